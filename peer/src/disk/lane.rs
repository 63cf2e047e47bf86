//! A queue that threads sleep on. First in, first out; one lane may have several threads.
//!
//! It has no bound of its own: writers count their bytes and readers have one entry a connection.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub(crate) struct Lane<T> {
    queue: Mutex<Queue<T>>,
    bell: Condvar,
}

struct Queue<T> {
    jobs: VecDeque<T>,
    closed: bool,
}

impl<T> Lane<T> {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                jobs: VecDeque::new(),
                closed: false,
            }),
            bell: Condvar::new(),
        }
    }

    /// Puts a job at the end; drops it when the lane is closed.
    pub(crate) fn push(&self, job: T) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.jobs.push_back(job);
            drop(queue);
            self.bell.notify_one();
        }
    }

    /// Takes the first job; sleeps until there is one, `None` when the lane is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .bell
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same, but sleeps until `deadline` at most.
    pub(crate) fn pop_until(&self, deadline: Instant) -> Option<T> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if queue.closed || left.is_zero() {
                return None;
            }
            let woken = self.bell.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the first job when it is there and `fits`.
    pub(crate) fn pop_if(&self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        self.lock().jobs.pop_front_if(|job| fits(job))
    }

    /// Lets the threads go: after what is queued, or at once.
    pub(crate) fn close(&self, at_once: bool) {
        let mut queue = self.lock();
        queue.closed = true;
        let dropped = if at_once {
            std::mem::take(&mut queue.jobs)
        } else {
            VecDeque::new()
        };
        drop(queue);
        drop(dropped);
        self.bell.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn jobs_leave_in_the_order_they_came() {
        let lane = Arc::new(Lane::new());
        let worker = {
            let lane = lane.clone();
            std::thread::spawn(move || std::iter::from_fn(|| lane.pop()).collect::<Vec<_>>())
        };
        (0..1000).for_each(|job| lane.push(job));
        lane.close(false);
        assert!(worker.join().unwrap().into_iter().eq(0..1000));
    }

    #[test]
    fn closing_at_once_drops_what_is_queued() {
        let lane = Lane::new();
        lane.push(1);
        lane.close(true);
        lane.push(2);
        assert_eq!(lane.pop(), None);
    }

    #[test]
    fn pop_until_gives_up() {
        let lane = Lane::new();
        assert_eq!(
            lane.pop_until(Instant::now() + Duration::from_millis(5)),
            None
        );
        lane.push(1);
        assert_eq!(lane.pop_until(Instant::now()), Some(1));
    }

    #[test]
    fn pop_if_leaves_what_does_not_fit() {
        let lane = Lane::new();
        lane.push(1);
        assert_eq!(lane.pop_if(|&job| job == 2), None);
        assert_eq!(lane.pop_if(|&job| job == 1), Some(1));
        assert_eq!(lane.pop_if(|_| true), None);
    }
}
