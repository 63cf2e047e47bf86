//! One passkey: what its owner may, what he has announced, and who announces with it now.
//!
//! Peers tell what they moved since they began, so what is new is a difference, and nobody vouches
//! for it: it never goes below nothing, never above what a line can carry, and what is first heard
//! of a peer is where counting begins. Whether a key is known at all, the policy knows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shoal_metainfo::{InfoHash, PeerId};

use super::PolicyRefusal;
use super::passkey::Passkey;
use crate::announce::{AnnounceEvent, AnnounceRequest};
use crate::limits;

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyLimits {
    /// Torrents at once.
    pub torrents_max: Option<u32>,
    /// Peers at once, over all its torrents; else [`limits::PEERS_PER_KEY_MAX`].
    pub peers_max: Option<u32>,
    /// It is good until then, in seconds since 1970.
    pub expires: Option<u64>,
}

/// What was announced with a key, all its peers and torrents together, as they say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyTotals {
    /// Bytes sent.
    pub uploaded: u64,
    /// Bytes received.
    pub downloaded: u64,
    /// Bytes by which torrents became more complete.
    pub gained: u64,
    /// Announces that were let in.
    pub announces: u64,
}

/// What of a key outlives the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyRecord {
    /// What it is good for.
    pub limits: KeyLimits,
    /// What was announced with it.
    pub totals: KeyTotals,
}

/// A key, as people look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyStatus {
    /// Which.
    pub key: Passkey,
    /// What it is good for, and what was announced with it.
    pub record: KeyRecord,
    /// Torrents that it is in now.
    pub torrents: usize,
    /// Peers that it is now.
    pub peers: usize,
}

/// What a peer said last.
#[derive(Debug, Clone, Copy)]
struct Session {
    uploaded: u64,
    downloaded: u64,
    left: u64,
    at: Instant,
}

type SessionKey = (InfoHash, PeerId);

#[derive(Debug)]
struct Book {
    totals: KeyTotals,
    sessions: BTreeMap<SessionKey, Session>,
    swept: Option<Instant>,
}

/// A key and its book.
#[derive(Debug)]
pub(super) struct Account {
    key: Passkey,
    limits: KeyLimits,
    changed: AtomicBool,
    book: Mutex<Book>,
}

impl Account {
    pub(super) fn new(key: Passkey, record: KeyRecord) -> Self {
        let book = Book {
            totals: record.totals,
            sessions: BTreeMap::new(),
            swept: None,
        };
        Self {
            key,
            limits: record.limits,
            changed: AtomicBool::new(false),
            book: Mutex::new(book),
        }
    }

    pub(super) fn key(&self) -> Passkey {
        self.key
    }

    pub(super) fn is_over(&self, unix: u64) -> bool {
        self.limits.expires.is_some_and(|expires| unix >= expires)
    }

    /// There is something to write down.
    pub(super) fn touch(&self) {
        self.changed.store(true, Ordering::Release);
    }

    /// Takes an announce, unless it is beyond the limits; whether the peer is new.
    pub(super) fn enter(
        &self,
        now: Instant,
        request: &AnnounceRequest,
        silence: Duration,
    ) -> Result<bool, PolicyRefusal> {
        let mut book = self.book();
        let key = (request.info_hash, request.peer_id);
        let fresh = !book.sessions.contains_key(&key);
        let stops = request.event == Some(AnnounceEvent::Stopped);
        if fresh && !stops {
            book.sweep(now, silence, limits::SWEEP_EVERY);
            if let Err(refusal) = book.room(&self.limits, request.info_hash) {
                // Some of them may be gone by now.
                book.sweep(now, silence, Duration::ZERO);
                book.room(&self.limits, request.info_hash)
                    .map_err(|_| refusal)?;
            }
        }
        book.count(now, key, request);
        drop(book);
        self.touch();
        Ok(fresh && !stops)
    }

    /// Undoes what an announce began that was refused in the end.
    pub(super) fn forget(&self, session: &SessionKey) {
        let mut book = self.book();
        book.sessions.remove(session);
        book.totals.announces = book.totals.announces.saturating_sub(1);
    }

    pub(super) fn status(&self, now: Instant, silence: Duration) -> KeyStatus {
        let mut book = self.book();
        book.sweep(now, silence, Duration::ZERO);
        KeyStatus {
            key: self.key,
            record: self.record(&book),
            torrents: book.torrents(),
            peers: book.sessions.len(),
        }
    }

    /// What is to be written down, if anything changed since this was asked last.
    pub(super) fn take_change(&self) -> Option<(Passkey, KeyRecord)> {
        let changed = self.changed.swap(false, Ordering::Acquire);
        changed.then(|| (self.key, self.record(&self.book())))
    }

    fn record(&self, book: &Book) -> KeyRecord {
        KeyRecord {
            limits: self.limits,
            totals: book.totals,
        }
    }

    /// The book is whole between any two calls, so a panic elsewhere does not spoil it.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether one more peer of a torrent may come.
    fn room(&self, limits: &KeyLimits, info_hash: InfoHash) -> Result<(), PolicyRefusal> {
        let peers_max = limits.peers_max.unwrap_or(limits::PEERS_PER_KEY_MAX);
        if self.sessions.len() >= usize::try_from(peers_max).unwrap_or(usize::MAX) {
            return Err(PolicyRefusal::Peers(peers_max));
        }
        let Some(max) = limits.torrents_max else {
            return Ok(());
        };
        let is_new = self.of(info_hash).next().is_none();
        if is_new && self.torrents() >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(PolicyRefusal::Torrents(max));
        }
        Ok(())
    }

    fn count(&mut self, now: Instant, key: SessionKey, request: &AnnounceRequest) {
        self.totals.announces = self.totals.announces.saturating_add(1);
        let begins = request.event == Some(AnnounceEvent::Started);
        // Whoever begins anew begins to count anew.
        if let Some(last) = self.sessions.get(&key).filter(|_| !begins) {
            let seconds = now.saturating_duration_since(last.at).as_secs() + 1;
            let most = limits::BYTES_PER_SECOND_MAX.saturating_mul(seconds);
            let since = |new: u64, old: u64| {
                let more = new.checked_sub(old).filter(|&more| more <= most);
                more.unwrap_or(0)
            };
            let totals = &mut self.totals;
            for (total, more) in [
                (&mut totals.uploaded, since(request.uploaded, last.uploaded)),
                (
                    &mut totals.downloaded,
                    since(request.downloaded, last.downloaded),
                ),
                (&mut totals.gained, since(last.left, request.left)),
            ] {
                *total = total.saturating_add(more);
            }
        }
        if request.event == Some(AnnounceEvent::Stopped) {
            self.sessions.remove(&key);
            return;
        }
        let session = Session {
            uploaded: request.uploaded,
            downloaded: request.downloaded,
            left: request.left,
            at: now,
        };
        self.sessions.insert(key, session);
    }

    /// Forgets the silent, at most once in `every`.
    fn sweep(&mut self, now: Instant, silence: Duration, every: Duration) {
        if self.swept.is_some_and(|swept| now < swept + every) {
            return;
        }
        self.swept = Some(now);
        let heard = |session: &Session| now.saturating_duration_since(session.at) <= silence;
        self.sessions.retain(|_, session| heard(session));
    }

    fn of(&self, info_hash: InfoHash) -> impl Iterator<Item = &SessionKey> {
        let (first, last) = (PeerId([0; 20]), PeerId([255; 20]));
        let range = self.sessions.range((info_hash, first)..=(info_hash, last));
        range.map(|(key, _)| key)
    }

    /// Torrents with a peer: they lie beside each other.
    fn torrents(&self) -> usize {
        let mut last = None;
        let hashes = self.sessions.keys().map(|(info_hash, _)| info_hash);
        hashes
            .filter(|hash| last.replace(*hash) != Some(*hash))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AnnounceEvent::{Started, Stopped};
    use proptest::prelude::*;

    const SILENCE: Duration = Duration::from_secs(100);

    fn announce(peer: u8, event: Option<AnnounceEvent>, told: [u64; 3]) -> AnnounceRequest {
        let [uploaded, downloaded, left] = told;
        AnnounceRequest {
            info_hash: InfoHash([peer / 10; 20]),
            peer_id: PeerId([peer; 20]),
            port: 1,
            uploaded,
            downloaded,
            left,
            event,
            ..AnnounceRequest::example()
        }
    }

    struct World(Account, Instant);

    impl World {
        fn new(limits: KeyLimits) -> Self {
            let totals = KeyTotals::default();
            let account = Account::new(Passkey::from_random([1; 16]), KeyRecord { limits, totals });
            Self(account, Instant::now())
        }

        fn say(
            &self,
            peer: u8,
            event: Option<AnnounceEvent>,
            told: [u64; 3],
        ) -> Result<bool, PolicyRefusal> {
            self.0.enter(self.1, &announce(peer, event, told), SILENCE)
        }

        fn totals(&self) -> [u64; 4] {
            let totals = self.0.status(self.1, SILENCE).record.totals;
            [
                totals.uploaded,
                totals.downloaded,
                totals.gained,
                totals.announces,
            ]
        }
    }

    #[test]
    fn what_is_new_since_the_last_announce_is_counted() {
        let world = World::new(KeyLimits::default());
        world.say(1, Some(Started), [0, 0, 1_000]).unwrap();
        world.say(1, None, [10, 400, 600]).unwrap();
        world.say(1, None, [30, 1_000, 0]).unwrap();
        assert_eq!(world.totals(), [30, 1_000, 1_000, 3]);
        world.say(1, Some(Stopped), [35, 1_000, 0]).unwrap();
        assert_eq!(world.totals(), [35, 1_000, 1_000, 4]);
        // Two at once, each with its own numbers.
        world.say(2, Some(Started), [0, 0, 5]).unwrap();
        world.say(3, Some(Started), [0, 0, 5]).unwrap();
        world.say(2, None, [100, 0, 5]).unwrap();
        world.say(3, None, [1, 0, 5]).unwrap();
        assert_eq!(world.totals()[0], 136);
    }

    #[test]
    fn counting_begins_where_a_peer_is_first_heard_of() {
        let world = World::new(KeyLimits::default());
        world.say(1, None, [1 << 40, 1 << 40, 7]).unwrap();
        assert_eq!(world.totals(), [0, 0, 0, 1]);
        world.say(1, None, [(1 << 40) + 5, 1 << 40, 7]).unwrap();
        assert_eq!(world.totals(), [5, 0, 0, 2]);
    }

    #[test]
    fn numbers_that_go_back_or_beyond_any_line_are_not_counted() {
        let world = World::new(KeyLimits::default());
        world.say(1, None, [500, 500, 500]).unwrap();
        // It was started again: less than before, more is left.
        world.say(1, None, [3, 4, 900]).unwrap();
        assert_eq!(world.totals(), [0, 0, 0, 2]);
        world.say(1, None, [u64::MAX, 5, 900]).unwrap();
        assert_eq!(world.totals(), [0, 1, 0, 3]);
        world.say(1, Some(Started), [u64::MAX, 6, 900]).unwrap();
        assert_eq!(world.totals(), [0, 1, 0, 4], "a start begins anew");
    }

    #[test]
    fn limits_hold_for_those_who_are_there() {
        let mut world = World::new(KeyLimits {
            torrents_max: Some(2),
            peers_max: Some(3),
            expires: None,
        });
        for peer in [10, 11, 20] {
            assert_eq!(world.say(peer, None, [0, 0, 1]), Ok(true));
        }
        assert_eq!(world.say(10, None, [0, 0, 1]), Ok(false));
        assert_eq!(world.say(21, None, [0, 0, 1]), Err(PolicyRefusal::Peers(3)));
        world.say(11, Some(Stopped), [0, 0, 1]).unwrap();
        assert_eq!(
            world.say(30, None, [0, 0, 1]),
            Err(PolicyRefusal::Torrents(2))
        );
        assert_eq!(world.say(22, None, [0, 0, 1]), Ok(true));
        // Who falls silent makes room.
        world.1 += SILENCE + Duration::from_secs(1);
        assert_eq!(world.say(30, None, [0, 0, 1]), Ok(true));
        let status = world.0.status(world.1, SILENCE);
        assert_eq!((status.torrents, status.peers), (1, 1));
    }

    #[test]
    fn announce_that_is_refused_in_the_end_leaves_nothing() {
        let world = World::new(KeyLimits::default());
        world.say(1, None, [0, 0, 1]).unwrap();
        let request = announce(1, None, [0, 0, 1]);
        world.0.forget(&(request.info_hash, request.peer_id));
        let status = world.0.status(world.1, SILENCE);
        assert_eq!(
            (status.peers, status.record.totals),
            (0, KeyTotals::default())
        );
    }

    #[test]
    fn key_is_over_when_its_time_is() {
        let limits = KeyLimits {
            expires: Some(100),
            ..KeyLimits::default()
        };
        let account = World::new(limits).0;
        assert!(!account.is_over(99));
        assert!(account.is_over(100));
    }

    proptest! {
        #[test]
        fn totals_never_go_down_and_never_beyond_a_line(
            steps in prop::collection::vec((0u8..3, any::<[u64; 3]>(), 0u8..3), 0..50),
        ) {
            let world = World::new(KeyLimits::default());
            let mut before = world.totals();
            for (peer, told, event) in steps {
                let event = [None, Some(Started), Some(Stopped)][usize::from(event)];
                world.say(peer, event, told).unwrap();
                let totals = world.totals();
                for (now, before) in totals.iter().zip(before) {
                    prop_assert!(*now >= before);
                    prop_assert!(now - before <= limits::BYTES_PER_SECOND_MAX);
                }
                before = totals;
            }
        }
    }
}
