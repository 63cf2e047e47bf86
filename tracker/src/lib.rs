//! Trackers.
#![forbid(unsafe_code)]

pub mod announce;
pub mod announcer;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod limits;
pub mod registry;
mod text;

pub use announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};
pub use announcer::{Announcer, TrackerKey, TrackerStatus};
pub use error::{Retry, TrackerError};
