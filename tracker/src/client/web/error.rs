//! Why a web server gave nothing. The server's fault or the network's, sorted by what to do.

use std::time::Duration;

use crate::error::TrackerError;

/// Why bytes did not come from a web server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebError {
    /// The URL is of no use, or there is no connection: as with trackers.
    #[error("{}", .0.to_string().replace("tracker", "web seed"))]
    Line(TrackerError),
    /// Nothing came for too long.
    #[error("it did not answer in time; it may be overloaded")]
    Silent,
    /// The server closed the connection where an answer should have begun.
    #[error("it closed the connection")]
    Closed,
    /// The connection broke, or what came is not HTTP.
    #[error("its HTTP answer is broken: {reason}")]
    Http {
        /// How.
        reason: String,
    },
    /// 429 or 503: it has too much to do.
    #[error("it is busy and asks us to come back later")]
    Busy {
        /// When, if it says.
        after: Option<Duration>,
    },
    /// 416: its file ends before that.
    #[error("its file is shorter than the torrent's")]
    NotThere,
    /// Any other refusal.
    #[error("it answered with HTTP status {code}")]
    Status {
        /// The status.
        code: u16,
    },
}

impl From<TrackerError> for WebError {
    fn from(error: TrackerError) -> Self {
        Self::Line(error)
    }
}
