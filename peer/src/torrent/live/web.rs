//! Web seeds in the life of a torrent: peers that are asked over HTTP. BEP 17, 19.

use std::time::Instant;

use shoal_metainfo::Torrent;
use shoal_swarm::io::{Direction, Input};
use shoal_tracker::client::web::{Line, Web};
use shoal_wire::{Extensions, Handshake, Message};
use std::sync::Arc;

use super::super::Start;
use super::Live;
use crate::event::Event;
use crate::web::{WebNote, WebSeeds};

/// All that a torrent has, or none if none are wanted.
pub(super) fn seeds(start: &Start, now: Instant) -> WebSeeds {
    let mut torrent = start.torrent.clone();
    if !start.config.use_web_seeds {
        let torrent: &mut Torrent = Arc::make_mut(&mut torrent);
        torrent.web_seeds.clear();
        torrent.http_seeds.clear();
    }
    WebSeeds::new(torrent, Web::new(), start.seed, now)
}

impl Live {
    /// When a web seed is to be opened; never while nothing is missing.
    pub(super) fn web_due(&self) -> Option<Instant> {
        let wanted = !self.swarm.is_complete() && self.trouble.is_none();
        self.web.timeout().filter(|_| wanted)
    }

    pub(super) fn web_note(&mut self, now: Instant, note: WebNote) {
        let failed = match note {
            WebNote::Opened(number, Ok(line)) => {
                self.adopt_web(now, number, line);
                None
            }
            WebNote::Opened(number, Err(error)) => self.web.unreachable(now, number, error),
            WebNote::Ended(number, ended, patience) => self.web.ended(now, number, ended, patience),
        };
        if let Some((url, error)) = failed {
            self.board.post(Event::WebSeedFailed { url, error });
        }
    }

    /// Tells the swarm of a peer that has everything and answers every request.
    fn adopt_web(&mut self, now: Instant, number: usize, line: Line) {
        let peer = self.links.name();
        let address = line.address();
        let (blocks_to, notes) = (self.to_torrent.clone(), self.shared.notes.clone());
        let tasks = self.tasks.spawner();
        self.web.begin(number, peer, line, blocks_to, notes, tasks);
        let connected = Input::Connected {
            peer,
            address,
            direction: Direction::Web,
            handshake: Handshake {
                extensions: Extensions::FAST,
                info_hash: self.handshake.info_hash,
                peer_id: self.web.peer_id(number),
            },
        };
        self.tell(now, connected);
        let messages = vec![Message::HaveAll, Message::Unchoke];
        self.tell(now, Input::Received { peer, messages });
    }
}
