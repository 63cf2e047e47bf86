//! Web seeds in the life of a torrent: peers that are asked over HTTP. BEP 17, 19.

use std::sync::Arc;
use std::time::Instant;

use shoal_metainfo::Torrent;
use shoal_swarm::io::{CloseReason, Direction, Input, PeerKey};
use shoal_tracker::client::web::Line;
use shoal_wire::{Extensions, Handshake, Message};

use super::Live;
use crate::event::Event;
use crate::web::{WebNote, WebSeeds};

impl Live {
    /// Those that a torrent has.
    pub(super) fn web_seeds(&self, now: Instant, torrent: Arc<Torrent>) -> WebSeeds {
        let mut seed = [0; 8];
        seed.copy_from_slice(&self.handshake.peer_id.0[12..]);
        WebSeeds::new(torrent, self.client.web(), u64::from_ne_bytes(seed), now)
    }

    /// When a web seed is to be opened; never while nothing is missing.
    pub(super) fn web_due(&self) -> Option<Instant> {
        let wanted = !self.swarm.is_complete() && self.trouble.is_none();
        self.web.as_ref()?.timeout().filter(|_| wanted)
    }

    pub(super) fn open_web_seeds(&mut self, now: Instant) {
        if let Some(web) = &mut self.web {
            web.open_due(now, self.tasks.spawner(), &self.shared.notes);
        }
    }

    /// Whether a message is for a web seed, and has been given to it.
    pub(super) fn web_takes(&self, peer: PeerKey, message: &Message) -> bool {
        let web = self.web.as_ref();
        web.is_some_and(|web| web.put(peer, message))
    }

    /// Whether it is a web seed that is closed, and has been told.
    pub(super) fn web_closes(&mut self, peer: PeerKey, reason: CloseReason) -> bool {
        let web = self.web.as_mut();
        web.is_some_and(|web| web.close(peer, reason))
    }

    /// Whether it is a web seed that has ended, and is forgotten.
    pub(super) fn web_ended(&mut self, peer: PeerKey) -> bool {
        let web = self.web.as_mut();
        web.is_some_and(|web| web.remove(peer))
    }

    pub(super) fn web_note(&mut self, now: Instant, note: WebNote) {
        let Some(web) = &mut self.web else {
            return;
        };
        let failed = match note {
            WebNote::Opened(number, Ok(line)) => return self.adopt_web(now, number, line),
            WebNote::Opened(number, Err(error)) => web.unreachable(now, number, error),
            WebNote::Ended(number, ended, patience) => web.ended(now, number, ended, patience),
        };
        if let Some((url, error)) = failed {
            self.board.post(Event::WebSeedFailed { url, error });
        }
    }

    /// Tells the swarm of a peer that has everything and answers every request.
    fn adopt_web(&mut self, now: Instant, number: usize, line: Line) {
        let Some(web) = &mut self.web else {
            return;
        };
        let peer = self.links.name();
        let address = line.address();
        let peer_id = web.peer_id(number);
        let (blocks_to, notes) = (self.to_torrent.clone(), self.shared.notes.clone());
        web.begin(number, peer, line, blocks_to, notes, self.tasks.spawner());
        let connected = Input::Connected {
            peer,
            address,
            direction: Direction::Web,
            handshake: Handshake {
                extensions: Extensions::FAST,
                info_hash: self.handshake.info_hash,
                peer_id,
            },
        };
        self.tell(now, connected);
        let messages = vec![Message::HaveAll, Message::Unchoke];
        self.tell(now, Input::Received { peer, messages });
    }
}
