//! Peers out of the DHT, and our node told to peers. BEP 5.
//!
//! A torrent looks when it starts, when the swarm wants peers and from time to time, and announces
//! itself each time. A private torrent never does. How one looks is the node's business.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use shoal_dht::{Announce, Event, Task};
use shoal_metainfo::InfoHash;
use shoal_swarm::io::{CandidateSource, PeerKey};
use shoal_wire::{Extensions, Message};

use super::super::Start;
use super::Live;
use crate::dht::Dht;
use crate::finding::{Finding, Seeking};
use crate::limits::{DHT_AGAIN_MIN, DHT_ANNOUNCE_EVERY};
use crate::note::Note;
use crate::ports::Reach;

/// When to look next.
pub(super) struct Seeker {
    dht: Dht,
    info_hash: InfoHash,
    reach: Reach,
    /// Where peers are that have a node and may tell its port.
    peers: HashMap<PeerKey, IpAddr>,
    /// `None` while a lookup runs.
    next: Option<Instant>,
    /// The node knew others when the lookup began.
    looks: bool,
    /// Peers that the lookup has named, and nodes that took the announce at its end.
    found: usize,
    announced: usize,
    /// The earliest for one that is wanted and not yet due.
    earliest: Instant,
    pause: Duration,
}

impl Seeker {
    pub(super) fn new(start: &Start, now: Instant) -> Option<Self> {
        let dht = start.dht.clone().filter(|_| !start.begin.is_private())?;
        Some(Self {
            dht,
            info_hash: start.info_hash,
            reach: start.reach.clone(),
            peers: HashMap::new(),
            next: Some(now),
            looks: false,
            found: 0,
            announced: 0,
            earliest: now,
            pause: DHT_AGAIN_MIN,
        })
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        self.next
    }

    fn seeking(&self) -> Seeking {
        let found = self.found;
        match self.next {
            None if self.looks => Seeking::Looking { found },
            None => Seeking::Bootstrapping,
            Some(next) => Seeking::Resting {
                found,
                announced: self.announced,
                next,
            },
        }
    }
}

/// What a handshake says that we speak: of a torrent that only its trackers may know of, nothing of
/// the DHT. BEP 27.
pub(super) fn extensions(seeker: Option<&Seeker>) -> Extensions {
    match seeker {
        Some(_) => Extensions::OURS.with_dht(),
        None => Extensions::OURS,
    }
}

impl Live {
    /// Looks for peers when it is time.
    pub(super) fn seek(&mut self, now: Instant) {
        let Some(seeker) = &mut self.seeker else {
            return;
        };
        if seeker.next.is_none_or(|at| now < at) {
            return;
        }
        let seed = self.swarm.is_whole();
        (seeker.next, seeker.looks, seeker.found) = (None, false, 0);
        let task = Task::GetPeers {
            info_hash: seeker.info_hash,
            announce: Some(Announce {
                port: seeker.reach.port(),
                seed,
            }),
            scrape: false,
        };
        let (dht, notes) = (seeker.dht.clone(), self.shared.notes.clone());
        self.tasks.spawner().until_stop(async move {
            // Before there is anybody to ask, nobody would be found.
            dht.ready().await;
            // The torrent has ended: then it needs nobody. So below.
            let _ = notes.push(Note::Looks);
            let news = dht.begin(task).await;
            let mut announced = 0;
            while let Ok(event) = news.recv().await {
                match event {
                    Event::Peers { peers, .. } => {
                        let (source, addresses) = (CandidateSource::Dht, peers);
                        let _ = notes.push(Note::Named { source, addresses });
                    }
                    Event::Finished { outcome, .. } => announced = outcome.stored,
                    _ => {}
                }
            }
            let _ = notes.push(Note::Looked(announced));
        });
    }

    /// The lookup that was wanted begins.
    pub(super) fn looks(&mut self) {
        if let Some(seeker) = &mut self.seeker {
            seeker.looks = true;
        }
    }

    /// Somebody named peers; the lookups count theirs.
    pub(super) fn found(&mut self, source: CandidateSource, peers: usize) {
        if let Some(seeker) = &mut self.seeker
            && source == CandidateSource::Dht
        {
            seeker.found += peers;
        }
    }

    /// What each source is doing.
    pub(super) fn finding(&self) -> Finding {
        let off = Seeking::Off(self.allowed.no_dht);
        Finding {
            dht: self.seeker.as_ref().map_or(off, Seeker::seeking),
            lsd: self.allowed.lsd,
            pex: self.allowed.pex,
        }
    }

    /// A lookup is over.
    pub(super) fn looked(&mut self, now: Instant, announced: usize) {
        let Some(seeker) = &mut self.seeker else {
            return;
        };
        seeker.announced = announced;
        let nobody = seeker.found == 0;
        seeker.earliest = now + seeker.pause;
        seeker.pause = match nobody {
            true => (seeker.pause * 2).min(DHT_ANNOUNCE_EVERY),
            false => DHT_AGAIN_MIN,
        };
        // Who finds nobody looks again by itself: others may come at any time.
        let pause = if nobody {
            seeker.pause
        } else {
            DHT_ANNOUNCE_EVERY
        };
        seeker.next = Some(now + pause);
    }

    /// The swarm would like more peers: soon, if it was not just now.
    pub(super) fn want_peers(&mut self, now: Instant) {
        if let Some(seeker) = &mut self.seeker
            && let Some(next) = seeker.next
        {
            seeker.next = Some(next.min(seeker.earliest.max(now)));
        }
    }

    /// Tells a peer that has a node where ours is, behind our first messages.
    pub(super) fn tell_port(&mut self, peer: PeerKey, address: SocketAddr, extensions: Extensions) {
        let Some(seeker) = self.seeker.as_mut().filter(|_| extensions.dht()) else {
            return;
        };
        seeker.peers.insert(peer, address.ip());
        if let Some(port) = seeker.dht.port_for(address) {
            self.links
                .put(peer, |outbox| outbox.send(&Message::Port(port)));
        }
    }

    /// Peers that tell the port of their node: it is asked for a sign of life.
    pub(super) fn look_for_ports(&mut self, peer: PeerKey, messages: &[Message]) {
        let Some(seeker) = &mut self.seeker else {
            return;
        };
        // Blocks come this way too: nothing is searched for one that has told.
        if !seeker.peers.contains_key(&peer) {
            return;
        }
        let told = messages.iter().find_map(|message| match message {
            Message::Port(port) => Some(*port),
            _ => None,
        });
        // Once a connection: a node does not move.
        if let Some(port) = told
            && let Some(ip) = seeker.peers.remove(&peer)
        {
            seeker.dht.heard(SocketAddr::new(ip, port));
        }
    }

    pub(super) fn forget_port(&mut self, peer: PeerKey) {
        if let Some(seeker) = &mut self.seeker {
            seeker.peers.remove(&peer);
        }
    }
}
