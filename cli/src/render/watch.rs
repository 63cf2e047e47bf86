//! Watches work that blocks: hashing a folder, checking files.
//!
//! The work counts its bytes up; a second thread looks now and then and shows them. When that fails
//! the work is interrupted: nobody is there who wants it. Knows nothing of what the work is.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::line::Line;
use super::{Mode, json};
use crate::error::Error;
use crate::signals::Interrupt;
use crate::units::{Bytes, PerSecond, Time, rate};

/// Between two looks. Ours: a live line moves smoothly and costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between two `progress` events. Source: docs/json-events.md.
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// `progress` of work that reads files.
#[derive(Debug, Serialize)]
struct Progress {
    event: &'static str,
    bytes: u64,
    bytes_total: u64,
    bytes_per_s: u64,
}

/// Does `work` while showing how many of `total` bytes it has counted.
///
/// # Errors
/// [`Error::Output`] when standard output failed. A reader that went away is none: it raised the
/// interrupt, like a signal.
pub(crate) fn watch<T>(
    mode: Mode,
    name: &str,
    total: u64,
    interrupt: &Interrupt,
    work: impl FnOnce(&AtomicU64) -> T,
) -> Result<T, Error> {
    let done = AtomicU64::new(0);
    // Nothing is sent: the looker ends when the sender is dropped, also by a panic of the work.
    let (ended, looker) = sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let done = &done;
        let shown = scope.spawn(move || -> io::Result<()> {
            let begun = Instant::now();
            let mut told = begun;
            let mut line = Line::new(mode, name, total);
            while looker.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let bytes = done.load(Ordering::Relaxed);
                let bytes_per_s = rate(bytes, begun.elapsed());
                line.set(bytes, detail(bytes, total, bytes_per_s));
                if mode == Mode::Json && told.elapsed() >= EVENT_EVERY {
                    told = Instant::now();
                    json::emit(&Progress {
                        event: "progress",
                        bytes,
                        bytes_total: total,
                        bytes_per_s,
                    })
                    .inspect_err(|_| interrupt.raise())?;
                }
            }
            Ok(())
        });
        let result = work(done);
        drop(ended);
        match shown.join() {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Output(error))
            }
            Ok(_) => Ok(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn detail(bytes: u64, total: u64, bytes_per_s: u64) -> String {
    let left = total.saturating_sub(bytes).checked_div(bytes_per_s);
    let eta = left.map_or_else(String::new, |s| {
        format!("  ETA {}", Time(Duration::from_secs(s)))
    });
    let (bytes, total, rate) = (Bytes(bytes), Bytes(total), PerSecond(bytes_per_s));
    format!("{bytes} of {total}  {rate}{eta}")
}
