//! Time for tasks: an alarm that is set again and again without a timer each time.
//!
//! Every new timer of the executor wakes the thread that waits for sockets. A torrent's next
//! deadline moves with every batch, mostly to later; an alarm that rings early is harmless.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_std::task::sleep;

/// Earlier by less than this is not worth a new timer.
const SLACK: Duration = Duration::from_millis(2);

/// Rings at or before the time it is set to, and never much later.
pub(crate) struct Alarm {
    at: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Alarm {
    pub(crate) fn new(now: Instant, at: Instant) -> Self {
        Self {
            at,
            sleep: Box::pin(sleep(at.saturating_duration_since(now))),
        }
    }

    /// Must ring at `at`; it may ring before.
    pub(crate) fn ring_by(&mut self, now: Instant, at: Instant) {
        if at + SLACK < self.at || self.at <= now {
            *self = Self::new(now, at);
        }
    }

    /// Ready when it rings. It stays silent afterwards until it is set.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.at <= now {
            return Poll::Ready(());
        }
        self.sleep.as_mut().poll(cx)
    }
}
