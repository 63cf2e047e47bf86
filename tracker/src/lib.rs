//! Trackers.
#![forbid(unsafe_code)]

pub mod announce;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod limits;
mod text;

pub use announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};
pub use error::{Retry, TrackerError};
