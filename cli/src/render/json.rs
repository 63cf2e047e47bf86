//! One JSON object a line: events on standard output, the log on standard error. The events are
//! documented in docs/json-events.md.
//!
//! Each line is written whole and at once. Knows nothing of what the events mean.

use std::io;

use serde::Serialize;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::error::Error;

/// Writes one event.
///
/// # Errors
/// The system's; a reader that went away is `BrokenPipe`.
pub(crate) fn emit(event: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(event).expect("our events have only string keys");
    line.push(b'\n');
    super::print(&line)
}

/// A line for standard error in the form that the log has there.
pub(crate) fn logged(level: Level, message: &str) -> String {
    let mut timestamp = String::new();
    // A string takes all that is written.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let level = level.as_str();
    let fields = json!({ "message": message });
    json!({ "timestamp": timestamp, "level": level, "fields": fields, "target": "shoal" })
        .to_string()
}

/// `error`: the last event of a command that failed.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    event: &'static str,
    message: String,
    exit_code: u8,
}

impl Failed {
    /// Of an error, as people read it.
    pub(crate) fn new(error: &Error) -> Self {
        Self {
            event: "error",
            message: error.to_string(),
            exit_code: error.exit_code(),
        }
    }
}
