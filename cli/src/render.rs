//! What people and programs see: lines, live lines, events.
//!
//! Results go to standard output, progress and logs to standard error. Knows nothing of torrents;
//! the commands say what to show, this says how.

pub(crate) mod json;
pub(crate) mod line;
pub(crate) mod text;
pub(crate) mod watch;

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::MultiProgress;
use tracing::Level;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Standard error is a terminal: a line that changes in place.
    Live,
    /// It is not: a line every few seconds.
    Plain,
    /// Events on standard output, nothing else.
    Json,
}

impl Mode {
    /// What suits the place we run in.
    pub(crate) fn pick(json: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        match json {
            true => Self::Json,
            false if io::stderr().is_terminal() && !dumb => Self::Live,
            false => Self::Plain,
        }
    }
}

/// Whether standard error takes colours. Source: no-color.org: `NO_COLOR` not empty forbids them.
pub(crate) fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// All live lines: whoever writes to the terminal has to lift them first.
pub(crate) static LIVE: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints one line of a result to standard output.
///
/// # Errors
/// The system's; a reader that went away is `BrokenPipe`.
pub(crate) fn say(line: impl fmt::Display) -> io::Result<()> {
    print(format!("{line}\n").as_bytes())
}

/// Prints bytes to standard output, at once.
///
/// # Errors
/// As [`say`].
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    LIVE.suspend(|| {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    })
}

/// Whether standard error has JSON alone, as the log has then.
static IN_JSON: AtomicBool = AtomicBool::new(false);

/// From now on, what is told on standard error is an object a line; or not.
pub(crate) fn tell_in_json(json: bool) {
    IN_JSON.store(json, Ordering::Relaxed);
}

/// Prints one line to standard error; when that is gone nobody wants to know.
pub(crate) fn note(line: impl fmt::Display) {
    tell(Level::INFO, &line.to_string());
}

/// The same, of what is wrong and ends nothing.
pub(crate) fn warn(line: impl fmt::Display) {
    tell(Level::WARN, &format!("warning: {line}"));
}

/// The same, of what ends the command.
pub(crate) fn fail(line: impl fmt::Display) {
    tell(Level::ERROR, &line.to_string());
}

fn tell(level: Level, line: &str) {
    let line = told(level, line);
    LIVE.suspend(|| {
        let _ = writeln!(io::stderr(), "{line}");
    });
}

/// A line as standard error is to have it.
pub(crate) fn told(level: Level, line: &str) -> Cow<'_, str> {
    match IN_JSON.load(Ordering::Relaxed) {
        true => json::logged(level, line).into(),
        false => line.into(),
    }
}

/// Standard error for the log, lifting live lines while it writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LIVE.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
