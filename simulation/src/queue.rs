//! Virtual time: what happens next, and what time it is then.
//!
//! Time jumps from event to event, so an hour of waiting costs nothing. Events come by time, and
//! those of one instant in the order they were scheduled.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::limits::{EVENTS_MAX, EVENTS_PER_INSTANT_MAX};

/// Events to come, and the clock that they move.
///
/// ```
/// use std::time::Duration;
/// use shoal_simulation::EventQueue;
/// let mut queue = EventQueue::new();
/// queue.schedule_after(Duration::from_secs(3600), "tea");
/// queue.schedule_after(Duration::from_secs(60), "egg");
/// assert_eq!(queue.pop(), Some("egg"));
/// assert_eq!(queue.elapsed(), Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct EventQueue<T> {
    base: Instant,
    elapsed: Duration,
    at_this_instant: u64,
    scheduled: u64,
    heap: BinaryHeap<Reverse<Entry<T>>>,
}

#[derive(Debug)]
struct Entry<T> {
    at: Duration,
    number: u64,
    event: T,
}

impl<T> EventQueue<T> {
    /// Nothing to come. The real clock is read here, once, because an `Instant` cannot be made
    /// otherwise; only differences to it are ever seen, so runs stay equal.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            elapsed: Duration::ZERO,
            at_this_instant: 0,
            scheduled: 0,
            heap: BinaryHeap::new(),
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.base + self.elapsed
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Lets the event happen at that time; a time that has passed is now.
    pub fn schedule_at(&mut self, at: Instant, event: T) {
        self.schedule_elapsed(at.saturating_duration_since(self.base), event);
    }

    /// Lets the event happen after that delay.
    pub fn schedule_after(&mut self, delay: Duration, event: T) {
        self.schedule_elapsed(self.elapsed + delay, event);
    }

    /// Lets the event happen so long after the beginning; a time that has passed is now.
    pub fn schedule_elapsed(&mut self, at: Duration, event: T) {
        assert!(
            self.heap.len() < EVENTS_MAX,
            "{EVENTS_MAX} events wait after {:?}: the world runs away",
            self.elapsed
        );
        self.heap.push(Reverse(Entry {
            at: at.max(self.elapsed),
            number: self.scheduled,
            event,
        }));
        self.scheduled += 1;
    }

    /// When the next event comes, since the beginning.
    #[must_use]
    pub fn next_elapsed(&self) -> Option<Duration> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the next event and moves the clock to it.
    pub fn pop(&mut self) -> Option<T> {
        let Reverse(entry) = self.heap.pop()?;
        if entry.at > self.elapsed {
            self.at_this_instant = 0;
        }
        self.at_this_instant += 1;
        assert!(
            self.at_this_instant <= EVENTS_PER_INSTANT_MAX,
            "time stands still after {:?}: something wakes itself for ever",
            self.elapsed
        );
        self.elapsed = entry.at;
        Some(entry.event)
    }

    /// How many events are to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<T> Default for EventQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.number)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn events_come_by_time_then_in_the_order_they_were_scheduled() {
        let mut queue = EventQueue::new();
        for (delay, event) in [(2, 'c'), (1, 'a'), (2, 'd'), (1, 'b'), (0, '!')] {
            queue.schedule_after(SECOND * delay, event);
        }
        let order: String = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, "!abcd");
        assert_eq!(queue.elapsed(), SECOND * 2);
        assert!(queue.is_empty());
    }

    #[test]
    fn clock_moves_with_the_events_and_never_back() {
        let mut queue = EventQueue::new();
        let start = queue.now();
        queue.schedule_at(start + SECOND, 1);
        assert_eq!(queue.next_elapsed(), Some(SECOND));
        assert_eq!(queue.pop(), Some(1));
        assert_eq!(queue.now(), start + SECOND);
        queue.schedule_at(start, 2);
        assert_eq!(queue.pop(), Some(2));
        assert_eq!(queue.now(), start + SECOND);
    }

    #[test]
    #[should_panic(expected = "time stands still")]
    fn event_that_wakes_itself_for_ever_is_found() {
        let mut queue = EventQueue::new();
        queue.schedule_after(SECOND, ());
        while let Some(()) = queue.pop() {
            queue.schedule_after(Duration::ZERO, ());
        }
    }
}
