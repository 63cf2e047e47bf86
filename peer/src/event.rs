//! News of one torrent for people and programs, and the board it is posted on.
//!
//! A reader that is slow loses old news and delays nobody. The first reader is told everything,
//! even what happened before it came. What happens once (metadata, checked, complete, the end) is
//! never lost, and is told to readers that come later too.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use shoal_metainfo::Torrent;
use shoal_storage::StorageError;

use crate::error::Failure;
use crate::handle::TorrentSnapshot;
use crate::limits::EVENTS_QUEUED_MAX;

/// One piece of news.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Of a magnet: how far the metadata has come, when that changed. BEP 9.
    MetadataProgress(shoal_swarm::io::Progress),
    /// Of a magnet: the metadata is here and is what the link names. Once.
    MetadataFound(Arc<Torrent>),
    /// Some files only were asked for, and it is known which those are. Once.
    FilesChosen {
        /// Their numbers, as the torrent lists them.
        files: Vec<usize>,
        /// Bytes in them.
        bytes: u64,
        /// What was asked for and is not in the torrent.
        vain: Vec<String>,
    },
    /// What is on the disk is being checked; bytes.
    Checking {
        /// Looked at so far.
        done: u64,
        /// Of the torrent.
        total: u64,
    },
    /// The check is over. Once.
    Checked {
        /// Pieces that are there and good.
        have: u32,
        /// Pieces of the torrent.
        pieces: u32,
        /// Bytes of pieces that had to be checked; the others were known from before.
        bytes_checked: u64,
        /// Bytes of blocks of unfinished pieces that are here and are not fetched again.
        bytes_partial: u64,
    },
    /// What is here cannot be remembered, so that it is checked at the next start.
    NotRemembered {
        /// What happened, and what to do.
        error: String,
    },
    /// The swarm's own news, but for `Complete`.
    Swarm(shoal_swarm::io::Event),
    /// A tracker answered an announce.
    TrackerAnswered {
        /// Its announce URL.
        url: String,
        /// Addresses it gave.
        peers: usize,
        /// Peers that have everything, as it says.
        seeders: Option<u32>,
        /// Peers that do not, as it says.
        leechers: Option<u32>,
        /// Something it wants people to read.
        warning: Option<String>,
        /// Our address as it sees us, if it says. BEP 24.
        external_ip: Option<IpAddr>,
    },
    /// An announce came to nothing.
    TrackerFailed {
        /// Its announce URL.
        url: String,
        /// What happened, and what to do.
        error: String,
        /// Whether this tracker is asked again.
        again: bool,
    },
    /// A web seed gives nothing; it is tried again.
    WebSeedFailed {
        /// Its URL.
        url: String,
        /// What happened.
        error: String,
    },
    /// The disk failed: nothing is asked for until it works again.
    DiskFailed(Arc<StorageError>),
    /// The disk works again.
    DiskRecovered,
    /// Every piece of the wanted files is here. Once.
    Complete,
    /// It was stopped. Once, and nothing comes after it.
    Stopped,
    /// It cannot go on. Once, and nothing comes after it.
    Failed(Failure),
}

impl Event {
    fn lasts(&self) -> bool {
        matches!(
            self,
            Self::MetadataFound(_)
                | Self::FilesChosen { .. }
                | Self::Checked { .. }
                | Self::Complete
                | Self::Stopped
                | Self::Failed(_)
        )
    }

    fn ends(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }
}

/// Reads the news of one torrent: the first reader all of it, later ones from now on, and what
/// lasts also from before.
pub struct Events {
    reader: Arc<Reader>,
}

impl Events {
    /// Waits for the next event; `None` behind the last one.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.reader.poll(cx)).await
    }

    /// The next event, if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.reader.lock().events.pop_front()
    }

    /// How many events were dropped because nobody read them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.reader.lock().lost
    }
}

#[derive(Default)]
struct Reader {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    ended: bool,
    lost: u64,
    waker: Option<Waker>,
}

impl Reader {
    fn push(&self, event: Event) {
        let mut queue = self.lock();
        if queue.events.len() >= EVENTS_QUEUED_MAX {
            if let Some(oldest) = queue.events.iter().position(|event| !event.lasts()) {
                queue.events.remove(oldest);
            }
            queue.lost += 1;
        }
        queue.ended |= event.ends();
        queue.events.push_back(event);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Event>> {
        let mut queue = self.lock();
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a torrent posts its news; it never waits for readers.
#[derive(Default)]
pub(crate) struct Board {
    inner: Mutex<Inner>,
}

struct Inner {
    readers: Vec<Weak<Reader>>,
    /// For the first who reads: a torrent begins before anyone can have asked for its news.
    first: Option<Arc<Reader>>,
    lasting: Vec<Event>,
    last: Option<TorrentSnapshot>,
}

impl Default for Inner {
    fn default() -> Self {
        let first = Arc::new(Reader::default());
        Self {
            readers: vec![Arc::downgrade(&first)],
            first: Some(first),
            lasting: Vec::new(),
            last: None,
        }
    }
}

impl Board {
    /// Posts an event; those that happen once are posted once, and nothing behind the end.
    pub(crate) fn post(&self, event: Event) {
        let mut inner = self.lock();
        if inner.has_ended() || (event.lasts() && inner.lasting.contains(&event)) {
            return;
        }
        if event.lasts() {
            inner.lasting.push(event.clone());
        }
        inner.readers.retain(|reader| {
            let reader = reader.upgrade();
            if let Some(reader) = &reader {
                reader.push(event.clone());
            }
            reader.is_some()
        });
    }

    /// Keeps how things stood at the end, for those who ask later.
    pub(crate) fn keep(&self, snapshot: TorrentSnapshot) {
        self.lock().last = Some(snapshot);
    }

    /// What [`keep`](Self::keep) kept.
    pub(crate) fn last(&self) -> Option<TorrentSnapshot> {
        self.lock().last.clone()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().has_ended()
    }

    pub(crate) fn read(&self) -> Events {
        let mut inner = self.lock();
        if let Some(reader) = inner.first.take() {
            return Events { reader };
        }
        let reader = Arc::new(Reader::default());
        for event in &inner.lasting {
            reader.push(event.clone());
        }
        inner.readers.push(Arc::downgrade(&reader));
        Events { reader }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn has_ended(&self) -> bool {
        self.lasting.last().is_some_and(Event::ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::task;

    fn checking(done: u64) -> Event {
        Event::Checking { done, total: 9 }
    }

    #[test]
    fn slow_reader_loses_old_news_but_never_what_happens_once() {
        let board = Board::default();
        let mut events = board.read();
        board.post(Event::Complete);
        let posted = 2 * EVENTS_QUEUED_MAX as u64;
        (0..posted).for_each(|done| board.post(checking(done)));
        board.post(Event::Stopped);
        let found: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(found.len(), EVENTS_QUEUED_MAX);
        assert_eq!(found.first(), Some(&Event::Complete));
        assert_eq!(found[found.len() - 2], checking(posted - 1));
        assert_eq!(found.last(), Some(&Event::Stopped));
        assert_eq!(events.lost(), posted + 2 - EVENTS_QUEUED_MAX as u64);
    }

    #[test]
    fn first_reader_is_told_what_happened_before_it_came() {
        let board = Board::default();
        board.post(checking(1));
        board.post(Event::Complete);
        let mut events = board.read();
        board.post(checking(2));
        let found: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
        assert_eq!(found, [checking(1), Event::Complete, checking(2)]);
    }

    #[test]
    fn late_reader_is_told_what_lasts_and_then_the_end() {
        let board = Board::default();
        let _first = board.read();
        board.post(checking(1));
        board.post(Event::Complete);
        board.post(Event::Complete);
        board.post(Event::Stopped);
        board.post(checking(2));
        let mut events = board.read();
        task::block_on(async {
            assert_eq!(events.next().await, Some(Event::Complete));
            assert_eq!(events.next().await, Some(Event::Stopped));
            assert_eq!(events.next().await, None);
        });
    }

    #[test]
    fn readers_that_are_gone_cost_nothing() {
        let board = Board::default();
        drop(board.read());
        drop(board.read());
        board.post(checking(1));
        assert!(board.lock().readers.is_empty());
    }
}
