//! Ctrl+C and SIGTERM: the first asks for a clean stop, the second ends at once with 130.
//!
//! SIGHUP keeps its meaning, so that `nohup` works, but for a tracker, which reads its lists again.
//! Knows nothing of what has to be stopped: whoever works looks at the flag or waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_std::channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::EXIT_INTERRUPTED;

/// What SIGHUP asks for from here on: to read again what is in files. Of several that wait, one is
/// told.
///
/// # Errors
/// The system's, when it allows no handlers.
pub(crate) fn hangups() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGHUP])?;
    let (tell, told) = bounded(1);
    std::thread::Builder::new()
        .name("hangups".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                let _ = tell.try_send(());
            }
        })?;
    Ok(told)
}

/// Whether a stop was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    flag: Arc<AtomicBool>,
    asked: Receiver<()>,
}

impl Interrupt {
    /// From here on the first signal asks for a stop, and the second ends the process at once,
    /// after `last_words`.
    ///
    /// # Errors
    /// The system's, when it allows no handlers.
    pub(crate) fn listen(last_words: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        // A write above the limit of file sizes shall be an error, not the end.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let flag = Arc::new(AtomicBool::new(false));
        let (ask, asked) = bounded(1);
        let raised = Arc::clone(&flag);
        let mut last_words = Some(last_words);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for _ in signals.forever() {
                    if raised.swap(true, Ordering::SeqCst) {
                        if let Some(last_words) = last_words.take() {
                            last_words();
                        }
                        // Not `process::exit`: a destructor that hangs is why one asks twice.
                        signal_hook::low_level::exit(i32::from(EXIT_INTERRUPTED));
                    }
                    // Closing wakes every waiter, now and later. Nothing is printed here: this
                    // thread must never wait for a terminal that does not read.
                    ask.close();
                }
            })?;
        Ok(Self { flag, asked })
    }

    /// Asks for a stop as the first signal does.
    pub(crate) fn raise(&self) {
        self.flag.store(true, Ordering::SeqCst);
        self.asked.close();
    }

    /// Whether it has happened.
    pub(crate) fn is_raised(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }

    /// For work that looks at a flag.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Waits until it happens.
    pub(crate) async fn raised(&self) {
        // Nothing is ever sent: the only answer is that the channel is closed.
        let _ = self.asked.recv().await;
    }
}
