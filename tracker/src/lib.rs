//! Trackers.
#![forbid(unsafe_code)]

pub mod announce;
pub mod announcer;
#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod limits;
pub mod registry;
#[cfg(feature = "server")]
pub mod server;
mod text;

pub use announce::{AnnounceEvent, AnnounceRequest, AnnounceResponse, ScrapeEntry};
pub use announcer::{Announcer, TrackerKey, TrackerStatus};
pub use error::{Retry, TrackerError};

#[cfg(feature = "client")]
pub use client::Client;
#[cfg(feature = "server")]
pub use server::{Server, ServerConfig, ServerError, ServerEvent, ServerHandle};
