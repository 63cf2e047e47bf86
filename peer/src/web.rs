//! The web seeds of one torrent: which are asked, and when again. BEP 17, 19.
//!
//! To the swarm a web seed is a peer that has everything: it is asked for blocks by `request`, and
//! gives them as `piece` messages. Here is what becomes of the requests, and the patience with
//! servers that fail. Knows nothing of other peers.

mod fetch;
mod gets;
mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::channel::Sender;
use fastrand::Rng;
use shoal_metainfo::{PeerId, Torrent};
use shoal_swarm::io::{CloseReason, PeerKey};
use shoal_tracker::client::web::{Line, Web, WebError};
use shoal_wire::Message;

use crate::connection::FromPeer;
use crate::limits::{WEB_BUSY, WEB_RETRY_FIRST, WEB_RETRY_MAX, WEB_RETRY_REFUSED, WEB_SEEDS_USED};
use crate::mailbox::Mailbox;
use crate::note::Note;
use crate::tasks::Spawner;
use fetch::{Fetch, FetchError};
use gets::Kind;
use wishes::Wishes;

/// What became of a web seed.
pub(crate) enum WebNote {
    /// There is a line to it, or none.
    Opened(usize, Result<Line, WebError>),
    /// It gives no more for now, or was told to end.
    Ended(usize, Result<(), String>, Patience),
}

/// How long a server is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It failed: longer each time.
    BackOff,
    /// It asked for so much.
    Asked(Duration),
    /// It has not what we need: a person would have to change something there.
    Long,
}

/// How a web seed stands: a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSeedStatus {
    /// As the torrent has it.
    pub url: String,
    /// It gives blocks now.
    pub is_used: bool,
    /// It gave content that is not the torrent's, and is not asked again.
    pub is_banned: bool,
    /// When it is asked again; `None` while it is.
    pub next: Option<Instant>,
    /// Why it gives none, if it failed the last time.
    pub error: Option<String>,
}

/// All of a torrent.
pub(crate) struct WebSeeds {
    torrent: Arc<Torrent>,
    web: Web,
    seeds: Vec<Seed>,
    live: BTreeMap<PeerKey, Arc<Wishes>>,
    rng: Rng,
}

struct Seed {
    kind: Kind,
    url: String,
    state: State,
    failures: u32,
    error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Rests(Instant),
    Opens,
    Gives(PeerKey),
    /// It gave bad data.
    Banned,
}

impl WebSeeds {
    pub(crate) fn new(torrent: Arc<Torrent>, web: Web, seed: u64, now: Instant) -> Self {
        let files = torrent.web_seeds.iter().map(|url| (Kind::Files, url));
        let pieces = torrent.http_seeds.iter().map(|url| (Kind::Pieces, url));
        let seeds = files.chain(pieces).map(|(kind, url)| Seed {
            kind,
            url: url.clone(),
            state: State::Rests(now),
            failures: 0,
            error: None,
        });
        Self {
            seeds: seeds.collect(),
            torrent,
            web,
            live: BTreeMap::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// When the next one is due.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        if self.used() >= WEB_SEEDS_USED {
            return None;
        }
        let due = self.seeds.iter().filter_map(|seed| match seed.state {
            State::Rests(at) => Some(at),
            _ => None,
        });
        due.min()
    }

    /// Connects to those that are due; each ends in a [`WebNote::Opened`].
    pub(crate) fn open_due(&mut self, now: Instant, tasks: &Spawner, notes: &Arc<Mailbox<Note>>) {
        while self.timeout().is_some_and(|at| at <= now) {
            let due = |seed: &Seed| matches!(seed.state, State::Rests(at) if at <= now);
            let Some(number) = self.seeds.iter().position(due) else {
                return;
            };
            let seed = &mut self.seeds[number];
            seed.state = State::Opens;
            let first = gets::first_url(seed.kind, &seed.url, &self.torrent);
            let (web, notes) = (self.web.clone(), notes.clone());
            tasks.until_stop(async move {
                let opened = web.open(&first, None).await;
                // The torrent has ended: then nobody wants it.
                let _ = notes.push(Note::Web(WebNote::Opened(number, opened)));
            });
        }
    }

    /// A line is open: the web seed is a peer of that name from now on, until it has said
    /// [`FromPeer::Ended`].
    pub(crate) fn begin(
        &mut self,
        number: usize,
        peer: PeerKey,
        line: Line,
        blocks_to: Sender<FromPeer>,
        notes: Arc<Mailbox<Note>>,
        tasks: &Spawner,
    ) {
        let seed = &mut self.seeds[number];
        seed.state = State::Gives(peer);
        let wishes = Arc::new(Wishes::default());
        self.live.insert(peer, wishes.clone());
        let fetch = Fetch {
            web: self.web.clone(),
            kind: seed.kind,
            url: seed.url.clone(),
            torrent: self.torrent.clone(),
            peer,
            wishes,
            blocks_to: blocks_to.clone(),
        };
        tasks.until_stop(async move {
            let ended = fetch.run(line).await;
            let patience = ended.as_ref().err().map_or(Patience::BackOff, patience);
            let ended = ended.map_err(|error| error.to_string());
            let note = Note::Web(WebNote::Ended(number, ended, patience));
            // The torrent has ended: then nobody wants to know.
            let _ = notes.push(note);
            let _ = blocks_to.send(FromPeer::Ended(peer)).await;
        });
    }

    /// A message of the swarm for this peer; false when it is no web seed.
    pub(crate) fn put(&self, peer: PeerKey, message: &Message) -> bool {
        let Some(wishes) = self.live.get(&peer) else {
            return false;
        };
        let block = |raw| self.torrent.info.geometry.block(raw);
        match message {
            Message::Request(raw) => block(*raw).into_iter().for_each(|b| wishes.ask(b)),
            Message::Cancel(raw) => block(*raw).into_iter().for_each(|b| wishes.cancel(b)),
            // It cannot be told anything else.
            _ => {}
        }
        true
    }

    /// The swarm closes this peer; false when it is no web seed.
    pub(crate) fn close(&mut self, peer: PeerKey, reason: CloseReason) -> bool {
        let Some(wishes) = self.live.get(&peer) else {
            return false;
        };
        wishes.close();
        if reason == CloseReason::Banned {
            let gives = |seed: &&mut Seed| seed.state == State::Gives(peer);
            if let Some(seed) = self.seeds.iter_mut().find(gives) {
                seed.state = State::Banned;
                seed.error = Some("it gave content that is not the torrent's".to_owned());
            }
        }
        true
    }

    /// The peer has said its last word; false when it was no web seed.
    pub(crate) fn remove(&mut self, peer: PeerKey) -> bool {
        self.live.remove(&peer).is_some()
    }

    /// It gave some: earlier failures are forgiven.
    pub(crate) fn ended(
        &mut self,
        now: Instant,
        number: usize,
        ended: Result<(), String>,
        patience: Patience,
    ) -> Option<(String, String)> {
        let jitter = self.rng.u32(500..=1_000);
        let seed = &mut self.seeds[number];
        if seed.state == State::Banned {
            return None;
        }
        let Err(error) = ended else {
            seed.state = State::Rests(now);
            seed.failures = 0;
            seed.error = None;
            return None;
        };
        let doubled = WEB_RETRY_FIRST.saturating_mul(1 << seed.failures.min(16));
        seed.failures += 1;
        let rest = match patience {
            Patience::BackOff => doubled.min(WEB_RETRY_MAX) * jitter / 1_000,
            Patience::Asked(rest) => rest.clamp(WEB_RETRY_FIRST, WEB_RETRY_MAX),
            Patience::Long => WEB_RETRY_REFUSED,
        };
        seed.state = State::Rests(now + rest);
        let news = seed.error.as_ref() != Some(&error);
        seed.error = Some(error.clone());
        news.then(|| (seed.url.clone(), error))
    }

    /// No line could be opened; what to tell of it.
    pub(crate) fn unreachable(
        &mut self,
        now: Instant,
        number: usize,
        error: WebError,
    ) -> Option<(String, String)> {
        let error = FetchError::from(error);
        let patience = patience(&error);
        self.ended(now, number, Err(error.to_string()), patience)
    }

    /// Its name as a peer: of this run and this torrent only.
    pub(crate) fn peer_id(&self, number: usize) -> PeerId {
        let mut id = *b"-WS0000-000000000000";
        for (place, digit) in id[8..]
            .iter_mut()
            .rev()
            .zip(format!("{number}").bytes().rev())
        {
            *place = digit;
        }
        PeerId(id)
    }

    pub(crate) fn status(&self) -> Vec<WebSeedStatus> {
        let status = self.seeds.iter().map(|seed| WebSeedStatus {
            url: seed.url.clone(),
            is_used: matches!(seed.state, State::Gives(_)),
            is_banned: seed.state == State::Banned,
            next: match seed.state {
                State::Rests(at) => Some(at),
                _ => None,
            },
            error: seed.error.clone(),
        });
        status.collect()
    }

    fn used(&self) -> usize {
        let used = self
            .seeds
            .iter()
            .filter(|seed| matches!(seed.state, State::Opens | State::Gives(_)));
        used.count()
    }
}

/// What an error says of when to come again.
fn patience(error: &FetchError) -> Patience {
    match error {
        FetchError::Web(WebError::Busy { after }) => Patience::Asked(after.unwrap_or(WEB_BUSY)),
        FetchError::Web(WebError::Status { code: 400..500 } | WebError::NotThere)
        | FetchError::OtherLength { .. }
        | FetchError::OtherRange { .. }
        | FetchError::NoRanges
        | FetchError::Redirects => Patience::Long,
        FetchError::Web(WebError::Line(error)) if error.is_permanent() => Patience::Long,
        FetchError::Web(_) => Patience::BackOff,
    }
}
