//! Queries of ours that are out: which answer belongs to which, and how long one takes. BEP 5.
//!
//! An answer counts when it brings the transaction id and comes from the address that was asked.
//! What a query was for is kept, not understood.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::id::NodeId;
use crate::io::LookupKey;
use crate::limits::{
    CALL_TIMEOUT, CALLS_MAX, QUERIES_AT_ONCE_SENT, QUERIES_PER_S_SENT, SLOW_AFTER_MAX,
    SLOW_AFTER_MIN, SLOW_AFTER_START,
};
use crate::node::JobKey;
use crate::rate::Rate;

/// A transaction id of ours.
pub(crate) type Transaction = [u8; 4];

/// Everything that is out.
pub(crate) struct Calls {
    calls: BTreeMap<Transaction, Call>,
    /// In the order they went out; some are answered.
    sent: VecDeque<(Instant, Transaction)>,
    rate: Rate,
    /// The smoothed round trip and its deviation, RFC 6298.
    round_trip: Option<(Duration, Duration)>,
}

/// One query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) to: SocketAddr,
    /// Its name, when it was known.
    pub(crate) id: Option<NodeId>,
    pub(crate) purpose: Purpose,
    pub(crate) sent: Instant,
}

/// What a query was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A sign of life.
    Upkeep,
    /// The user wants to know.
    Ping(LookupKey),
    /// A step of a lookup.
    Lookup(JobKey),
    /// What follows a lookup: an announce or a put.
    Store(JobKey),
}

impl Calls {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            calls: BTreeMap::new(),
            sent: VecDeque::new(),
            rate: Rate::new(QUERIES_PER_S_SENT, QUERIES_AT_ONCE_SENT, now),
            round_trip: None,
        }
    }

    /// Whether another query may go out now; if so, it counts.
    pub(crate) fn may_send(&mut self, now: Instant) -> bool {
        self.calls.len() < CALLS_MAX && self.rate.take(now)
    }

    /// When one may go out, if none may now.
    pub(crate) fn ready(&self) -> Instant {
        self.rate.ready()
    }

    pub(crate) fn add(&mut self, transaction: Transaction, call: Call) {
        self.sent.push_back((call.sent, transaction));
        self.calls.insert(transaction, call);
    }

    pub(crate) fn is_out(&self, transaction: &Transaction) -> bool {
        self.calls.contains_key(transaction)
    }

    /// The query that something from `from` answers; it is out no more.
    pub(crate) fn take(&mut self, transaction: &[u8], from: SocketAddr) -> Option<Call> {
        let transaction: Transaction = transaction.try_into().ok()?;
        let call = self.calls.get(&transaction)?;
        if call.to != from {
            return None;
        }
        self.calls.remove(&transaction)
    }

    /// An answer took this long.
    pub(crate) fn took(&mut self, time: Duration) {
        self.round_trip = Some(match self.round_trip {
            None => (time, time / 2),
            Some((smooth, deviation)) => {
                let deviation = (deviation * 3 + smooth.abs_diff(time)) / 4;
                ((smooth * 7 + time) / 8, deviation)
            }
        });
    }

    /// How long an answer usually takes; whoever takes longer may be dead.
    pub(crate) fn slow_after(&self) -> Duration {
        let usual = self
            .round_trip
            .map(|(smooth, deviation)| smooth + 4 * deviation);
        usual.map_or(SLOW_AFTER_START, |usual| {
            usual.clamp(SLOW_AFTER_MIN, SLOW_AFTER_MAX)
        })
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|(smooth, _)| smooth)
    }

    /// A query that nobody answered in time.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Call> {
        while let Some((sent, transaction)) = self.sent.front() {
            let call = self
                .calls
                .get(transaction)
                .filter(|call| call.sent == *sent);
            let is_due = now >= *sent + CALL_TIMEOUT;
            if call.is_some() && !is_due {
                return None;
            }
            let (_, transaction) = self.sent.pop_front()?;
            if is_due && let Some(call) = self.calls.remove(&transaction) {
                return Some(call);
            }
        }
        None
    }

    /// When [`Calls::expired`] may give something.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.sent.front().map(|(sent, _)| *sent + CALL_TIMEOUT)
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 1], port))
    }

    fn call(now: Instant, port: u16) -> Call {
        Call {
            to: to(port),
            id: None,
            purpose: Purpose::Upkeep,
            sent: now,
        }
    }

    #[test]
    fn answer_must_bring_the_transaction_from_the_address_asked() {
        let now = Instant::now();
        let mut calls = Calls::new(now);
        calls.add([1, 2, 3, 4], call(now, 1));
        assert!(
            calls.take(&[1, 2, 3, 4], to(2)).is_none(),
            "another address"
        );
        assert!(calls.take(&[1, 2, 3, 5], to(1)).is_none(), "another id");
        assert!(calls.take(&[1, 2, 3], to(1)).is_none(), "a part of it");
        assert!(calls.take(&[1, 2, 3, 4], to(1)).is_some());
        assert!(calls.take(&[1, 2, 3, 4], to(1)).is_none(), "only once");
    }

    #[test]
    fn unanswered_queries_end_in_order_and_answered_ones_do_not() {
        let now = Instant::now();
        let mut calls = Calls::new(now);
        let second = now + Duration::from_secs(1);
        calls.add([1; 4], call(now, 1));
        calls.add([2; 4], call(now, 2));
        calls.add([3; 4], call(second, 3));
        calls.take(&[1; 4], to(1));
        assert!(
            calls
                .expired(now + CALL_TIMEOUT - Duration::from_nanos(1))
                .is_none()
        );
        assert_eq!(
            calls.expired(now + CALL_TIMEOUT).map(|call| call.to),
            Some(to(2))
        );
        assert!(calls.expired(now + CALL_TIMEOUT).is_none());
        assert_eq!(calls.timeout(), Some(second + CALL_TIMEOUT));
        assert_eq!(
            calls.expired(second + CALL_TIMEOUT).map(|call| call.to),
            Some(to(3))
        );
        assert_eq!((calls.len(), calls.timeout()), (0, None));
    }

    #[test]
    fn slowness_follows_the_round_trip_within_bounds() {
        let mut calls = Calls::new(Instant::now());
        assert_eq!(calls.slow_after(), SLOW_AFTER_START);
        (0..100).for_each(|_| calls.took(Duration::from_millis(1)));
        assert_eq!(calls.slow_after(), SLOW_AFTER_MIN);
        (0..100).for_each(|_| calls.took(Duration::from_millis(400)));
        let slow = calls.slow_after();
        assert!(
            slow > Duration::from_millis(399) && slow < Duration::from_millis(450),
            "{slow:?}"
        );
        (0..100).for_each(|_| calls.took(Duration::from_secs(4)));
        assert_eq!(calls.slow_after(), SLOW_AFTER_MAX);
    }

    #[test]
    fn queries_out_are_bounded() {
        let now = Instant::now();
        let mut calls = Calls::new(now);
        let out = (0..100_000).filter(|_| calls.may_send(now)).count();
        assert_eq!(out, 400);
        assert!(calls.ready() > now);
        assert!(calls.may_send(calls.ready() + Duration::from_nanos(1)));
    }
}
