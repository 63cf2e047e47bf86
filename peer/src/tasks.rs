//! Tasks that end together: nothing that a torrent starts outlives it.
//!
//! Knows nothing of what the tasks do.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use async_std::channel::{Receiver, Sender, bounded};
use async_std::task;
use futures_lite::future::{FutureExt, or};

/// Nothing is ever sent: the channels below only tell that they are closed.
type Never = std::convert::Infallible;

/// The owner of a set of tasks. Dropping it stops them.
pub(crate) struct Tasks {
    spawner: Spawner,
    ended: Receiver<Never>,
}

/// Starts tasks in a set.
#[derive(Clone)]
pub(crate) struct Spawner {
    alive: Sender<Never>,
    stop: Receiver<Never>,
    /// Keeps `stop` open until somebody closes it.
    _running: Sender<Never>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        let (alive, ended) = bounded(1);
        let (running, stop) = bounded(1);
        Self {
            spawner: Spawner {
                alive,
                stop,
                _running: running,
            },
            ended,
        }
    }

    pub(crate) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Drops every task that was started with [`Spawner::until_stop`], at once.
    pub(crate) fn stop(&self) {
        self.spawner.stop.close();
    }

    /// Stops, and waits until every task has ended. Callers drop their own [`Spawner`]s first.
    pub(crate) async fn join(self) {
        self.stop();
        let ended = self.ended.clone();
        drop(self);
        let _ = ended.recv().await;
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Spawner {
    /// Starts a task that ends by itself: somebody else tells it to.
    pub(crate) fn to_the_end(&self, future: impl Future<Output = ()> + Send + 'static) {
        let alive = self.alive.clone();
        task::spawn(async move {
            guarded(future).await;
            drop(alive);
        });
    }

    /// Starts a task that is dropped where it stands when the set stops.
    pub(crate) fn until_stop(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.to_the_end(or(future, async move {
            let _ = stop.recv().await;
        }));
    }
}

/// Runs a task that must not take the thread with it; a panic is a bug, and is told to the log.
async fn guarded(future: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
        tracing::error!("a task panicked, which is a bug: {}", panic_text(&*panic));
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn join_returns_when_the_last_task_has_ended() {
        let ended = Arc::new(AtomicUsize::new(0));
        task::block_on(async {
            let tasks = Tasks::new();
            let (go, wait) = bounded::<Never>(1);
            for _ in 0..3 {
                let (ended, wait) = (ended.clone(), wait.clone());
                tasks.spawner().to_the_end(async move {
                    let _ = wait.recv().await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
            tasks.spawner().until_stop(std::future::pending());
            tasks.spawner().to_the_end(async { panic!("on purpose") });
            drop(go);
            tasks.join().await;
            assert_eq!(ended.load(Ordering::SeqCst), 3);
        });
    }

    #[test]
    fn dropping_the_owner_drops_what_runs() {
        task::block_on(async {
            let (held, gone) = bounded::<Never>(1);
            let tasks = Tasks::new();
            tasks.spawner().until_stop(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            drop(tasks);
            assert!(gone.recv().await.is_err());
        });
    }
}
