//! What the shell does: connections, handshakes, the disk, and the deeds that a brain wants done.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use shoal_metainfo::Block;
use shoal_simulation::{End, SendError};
use shoal_swarm::io::{CandidateSource, Direction};
use shoal_swarm::limits::{DIALS_MAX, SERVE_AHEAD_MAX};
use shoal_swarm::{Event, Input, Output, PeerKey};
use shoal_wire::extended::{ExtendedHandshake, HANDSHAKE_ID};
use shoal_wire::{Extensions, HANDSHAKE_LENGTH, Handshake, Message, encode};

use crate::content::id_of;
use crate::liar::{Lie, number_told, piece_asked};
use crate::node::{Greeting, Link};
use crate::plan::{MIB, Role};
use crate::watch::Watch;
use crate::weather::Fault;
use crate::world::{Timer, Wire, World};

/// How long a dialler and an acceptor wait for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What may wait for a line beside blocks. Ours: haves, requests and rejects of a busy swarm.
const CONTROL_QUEUED_MAX: u64 = MIB;

/// Every so many inputs a brain is looked through.
const LOOK_EVERY: u64 = 128;

impl World {
    /// Tells the brain a fact, and does what it says. From inside a deed: when that is done.
    pub(crate) fn feed(&mut self, node: usize, input: Input) {
        self.inbox.push_back((node, input));
        if std::mem::replace(&mut self.telling, true) {
            return;
        }
        while let Some((node, input)) = self.inbox.pop_front() {
            self.tell(node, input);
        }
        self.telling = false;
    }

    fn tell(&mut self, number: usize, input: Input) {
        let now = self.net.now();
        let node = &mut self.nodes[number];
        let Some(brain) = &mut node.brain else {
            return;
        };
        let from = match &input {
            Input::Received { peer, .. } => node.links.get(peer).map(|link| link.other),
            _ => None,
        };
        brain.handle(now, input);
        node.record.inputs += 1;
        if node.record.inputs.is_multiple_of(LOOK_EVERY) {
            brain.check_invariants();
        }
        while let Some(output) = self.nodes[number]
            .brain
            .as_mut()
            .and_then(|brain| brain.poll())
        {
            self.perform(number, from, output);
        }
        self.rearm(number);
    }

    /// `from`: whose messages made the brain say so.
    fn perform(&mut self, number: usize, from: Option<usize>, output: Output) {
        match output {
            Output::Dial { address } => self.dial(number, address),
            Output::Send { peer, message } => self.send(number, peer, message),
            Output::Serve { peer, block } => self.serve(number, peer, block),
            Output::Close { peer, reason } => {
                self.say(|| {
                    format!(
                        "node {number} closes {}: {reason:?}",
                        self.label(number, peer)
                    )
                });
                let node = &mut self.nodes[number];
                if let Some(link) = node.links.get_mut(&peer) {
                    assert!(!link.closing, "closes twice");
                    link.closing = true;
                    let end = link.end;
                    self.net.close(end);
                }
            }
            Output::Write { block, data } => {
                let node = &mut self.nodes[number];
                assert!(
                    !node.has(block.piece()),
                    "writes into a verified piece: {block}"
                );
                let from = from.expect("blocks come from peers");
                node.writers.insert((block.piece(), block.number()), from);
                if !node.disk.write(self.net.now(), block, &data) {
                    self.tell_disk_failed(number);
                }
            }
            Output::Verify { piece, digests } => {
                let node = &mut self.nodes[number];
                let at = node.disk.verify(self.net.now(), piece, digests);
                let life = node.life;
                self.net
                    .schedule_at(at, Timer::Checked { node: number, life });
            }
            Output::Metadata { info } => self.metadata_found(number, &info),
            Output::WantPeers => self.plan_announce(number, self.net.now()),
            Output::Event(event) => self.news(number, event),
        }
    }

    fn news(&mut self, number: usize, event: Event) {
        let node = &mut self.nodes[number];
        match event {
            Event::PieceVerified { piece } => {
                let right = node.disk.is_true(&self.content, piece);
                assert!(
                    right,
                    "S1: node {number} marks {piece}, which is wrong on its disk"
                );
                assert!(node.have.insert(piece), "marks {piece} twice");
                let guilty = node.accused.remove(&piece).unwrap_or_default();
                node.must_ban.extend(guilty);
                self.piece_is_out(piece);
            }
            Event::PieceFailed { piece } => {
                node.record.pieces_failed += 1;
                let wrong = node.disk.wrong(&self.content, piece);
                let senders = wrong.iter().map(|&block| node.writers[&(piece, block)]);
                let senders: Vec<_> = senders.collect();
                assert!(!senders.is_empty(), "fails {piece}, which is right");
                let accused = node.accused.entry(piece).or_default();
                accused.extend(senders.iter().copied());
                let honest = senders
                    .iter()
                    .find(|&&sender| self.nodes[sender].is_honest());
                assert_eq!(honest, None, "an honest node sent a wrong block");
                self.say(|| format!("node {number}: piece {piece} failed by {senders:?}"));
            }
            Event::PeerBanned { address, .. } => {
                let whom = self.by_ip(address);
                let honest = self.nodes[whom].is_honest();
                assert!(
                    !honest,
                    "S6: node {number} bans node {whom}, which is honest"
                );
                self.nodes[number].banned.insert(whom);
                self.say(|| format!("node {number} bans node {whom}"));
            }
            Event::MetadataFailed => node.record.metadata_failed += 1,
            Event::Complete => {
                assert!(node.is_complete(), "complete without all pieces");
                node.record.complete_at = Some(self.net.now());
                self.look = true;
                self.say(|| format!("node {number} is complete"));
            }
            _ => {}
        }
    }

    fn dial(&mut self, number: usize, address: SocketAddr) {
        let life = self.nodes[number].life;
        let target = self.by_address.get(&address).copied();
        let lost = self.weather.strikes(Fault::LoseDial);
        let Some(target) = target.filter(|_| !lost) else {
            let timer = Timer::DialLate {
                node: number,
                life,
                address,
            };
            self.later(HANDSHAKE_TIMEOUT, timer);
            return;
        };
        let node = &self.nodes[number];
        let end = self.net.connect(node.host, self.nodes[target].host);
        let dials = &mut self.nodes[number].dials;
        dials.insert(end, address);
        assert!(dials.len() <= DIALS_MAX, "S3: {} dials", dials.len());
    }

    pub(crate) fn dial_failed(&mut self, number: usize, end: End) {
        if let Some(address) = self.nodes[number].dials.remove(&end) {
            self.feed(number, Input::DialFailed { address });
        }
    }

    pub(crate) fn opened(&mut self, number: usize, end: End, other: usize) {
        let dialled = self.nodes[number].dials.remove(&end);
        if dialled.is_none() && self.nodes[number].plan.firewalled {
            self.net.close(end);
            return;
        }
        self.next_port = 20_000 + (self.next_port + 1) % 40_000;
        let from = SocketAddr::new(self.nodes[other].address.ip(), self.next_port);
        let greeting = Greeting {
            dialled,
            address: dialled.unwrap_or(from),
            other,
            outbox: VecDeque::from([None]),
        };
        self.nodes[number].greetings.insert(end, greeting);
        if !self.weather.strikes(Fault::LoseHandshake) {
            let handshake = Wire::Handshake(self.nodes[number].handshake());
            let length = HANDSHAKE_LENGTH as u64;
            self.net
                .send(end, length, handshake)
                .expect("the line is open and empty");
        }
        self.later(
            HANDSHAKE_TIMEOUT,
            Timer::HandshakeLate { node: number, end },
        );
    }

    pub(crate) fn handshake_late(&mut self, number: usize, end: End) {
        if self.nodes[number].greetings.contains_key(&end) {
            self.net.close(end);
        }
    }

    pub(crate) fn delivered(&mut self, number: usize, end: End, messages: Vec<Wire>) {
        let mut batch = Vec::new();
        for message in messages {
            match message {
                Wire::Handshake(handshake) => self.greeted(number, end, handshake),
                Wire::Message(message) => batch.push(message),
            }
        }
        let node = &mut self.nodes[number];
        let Some(&peer) = node.keys.get(&end).filter(|_| !batch.is_empty()) else {
            return;
        };
        let link = node.links.get_mut(&peer).expect("both or none");
        if link.closing {
            return;
        }
        for message in &batch {
            if let Message::Piece { data, .. } = message {
                node.record.received += data.len() as u64;
            }
            link.ut_metadata = number_told(message).or(link.ut_metadata);
            link.watch.hears(message);
        }
        if let Role::Liar(lie) = node.plan.role {
            let asked: Vec<_> = batch.iter().filter_map(piece_asked).collect();
            batch.retain(|message| piece_asked(message).is_none());
            self.lie(number, peer, lie, &asked);
        }
        let input = Input::Received {
            peer,
            messages: batch,
        };
        self.feed(number, input);
    }

    /// Both handshakes are done.
    fn greeted(&mut self, number: usize, end: End, mut handshake: Handshake) {
        let Some(greeting) = self.nodes[number].greetings.remove(&end) else {
            return;
        };
        let ours = self.nodes[number].plan.plain;
        if ours {
            // A brain always offers BEP 6 and 10: a plain node's are left out on both ways.
            handshake.extensions = Extensions::default();
        }
        let peer = self.nodes[number].new_key();
        let link = Link {
            end,
            other: greeting.other,
            outbox: greeting.outbox,
            ut_metadata: None,
            closing: false,
            watch: Watch::new(handshake.extensions.fast()),
        };
        self.nodes[number].keys.insert(end, peer);
        self.nodes[number].links.insert(peer, link);
        let direction = match greeting.dialled {
            Some(_) => Direction::Outgoing,
            None => Direction::Incoming,
        };
        let input = Input::Connected {
            peer,
            address: greeting.address,
            direction,
            handshake,
        };
        self.feed(number, input);
    }

    pub(crate) fn closed(&mut self, number: usize, end: End) {
        let node = &mut self.nodes[number];
        if let Some(greeting) = node.greetings.remove(&end) {
            if let Some(address) = greeting.dialled {
                self.feed(number, Input::DialFailed { address });
            }
        } else if let Some(peer) = node.keys.remove(&end) {
            node.links.remove(&peer);
            self.feed(number, Input::Disconnected { peer });
        }
    }

    fn send(&mut self, number: usize, peer: PeerKey, mut message: Message) {
        let elapsed = self.net.elapsed();
        let node = &mut self.nodes[number];
        let wanted = node.plan.wanted.as_ref();
        let wants = |piece| wanted.is_none_or(|wanted| wanted.ones().any(|one| one == piece));
        let Some(link) = node.links.get_mut(&peer) else {
            panic!("speaks to a peer that is gone");
        };
        assert!(!link.closing, "speaks to a peer after closing");
        link.watch.says(&message);
        match &mut message {
            Message::Request(block) => {
                let quiet = self.quiet.filter(|(quiet, ..)| *quiet == number);
                let quiet = quiet.is_some_and(|(_, from, to)| (from..to).contains(&elapsed));
                assert!(!quiet, "node {number} asks for blocks while its disk fails");
                assert!(wants(block.index), "W1: node {number} asks for {block:?}");
                self.net.trace().note(&(number, peer.0, block));
            }
            Message::Choke | Message::Unchoke => node.record.choke_changes += 1,
            Message::Extended { id, payload } if *id == HANDSHAKE_ID => {
                if let (Some(reqq), Ok(told)) = (node.plan.reqq, ExtendedHandshake::decode(payload))
                {
                    let reqq = Some(reqq);
                    message = ExtendedHandshake { reqq, ..told }.message();
                }
            }
            _ => {}
        }
        if let Role::Liar(lie) = node.plan.role {
            message = lie.boasts(message, &self.content.info);
        }
        self.put(number, peer, message, None);
    }

    /// The metadata is there: M1. It goes on when the disk has been looked at.
    fn metadata_found(&mut self, number: usize, info: &[u8]) {
        assert!(
            info == self.content.info,
            "M1: node {number} believes a lie"
        );
        self.say(|| format!("node {number} has the metadata"));
        let node = &mut self.nodes[number];
        node.record.metadata_found += 1;
        let (life, checks) = (node.life, node.disk.speed.verify);
        self.later(checks, Timer::Known { node: number, life });
    }

    pub(crate) fn known(&mut self, number: usize) {
        let live = Input::Live {
            geometry: self.content.geometry,
            have: self.nodes[number].have.clone(),
            resumed: Vec::new(),
            private: false,
        };
        self.feed(number, live);
    }

    /// A liar's answers to requests for metadata.
    fn lie(&mut self, number: usize, peer: PeerKey, lie: Lie, asked: &[u32]) {
        for &piece in asked {
            self.nodes[number].record.lies += 1;
            let answer = lie.answers(piece, &self.content.info, &mut self.weather.rng);
            let id = self.nodes[number].links[&peer].ut_metadata;
            if let (Some(answer), Some(id)) = (answer, id) {
                self.put(number, peer, answer.message(id), None);
            }
        }
    }

    fn serve(&mut self, number: usize, peer: PeerKey, block: Block) {
        let node = &mut self.nodes[number];
        let brain = node.brain.as_ref().expect("it speaks");
        assert!(
            brain.have().has(block.piece()),
            "S5: serves {block}, which it lacks"
        );
        let link = node
            .links
            .get_mut(&peer)
            .expect("serves a peer that is gone");
        assert!(!link.closing, "serves a peer after closing");
        link.watch.serves(block);
        self.net.trace().note(&(number, peer.0, block));
        let (life, delay) = (node.life, node.disk.speed.read);
        if delay == Duration::ZERO {
            self.serve_now(number, peer, block);
        } else {
            let read = Timer::Read {
                node: number,
                life,
                peer,
                block,
            };
            self.later(delay, read);
        }
    }

    pub(crate) fn serve_now(&mut self, number: usize, peer: PeerKey, block: Block) {
        let node = &self.nodes[number];
        if !node.links.contains_key(&peer) {
            return;
        }
        if node.disk.failed {
            // The block cannot be read.
            let unread = Input::Sent {
                peer,
                blocks: 1,
                bytes: 0,
            };
            self.feed(number, unread);
            return self.tell_disk_failed(number);
        }
        let mut data = self.content.truth(block);
        if let Role::Poisoner(spoils) = node.plan.role
            && self.weather.rng.chance(spoils)
        {
            data = self.content.spoiled(block, number as u64);
        } else if node.is_honest() {
            let there = node.disk.is_true(&self.content, block.piece());
            assert!(
                there,
                "S2: serves {block}, whose piece is wrong on its disk"
            );
            debug_assert_eq!(id_of(&data), self.content.true_id(block));
        }
        let message = Message::Piece {
            index: block.piece().get(),
            begin: block.begin(),
            data,
        };
        self.put(number, peer, message, Some(block.length()));
    }

    /// Puts a message on the line; of a block the bytes.
    fn put(&mut self, number: usize, peer: PeerKey, message: Message, block: Option<u32>) {
        let link = self.nodes[number]
            .links
            .get_mut(&peer)
            .expect("looked up before");
        let end = link.end;
        let length = encode::length(&message) as u64;
        match self.net.send(end, length, Wire::Message(message)) {
            Ok(()) => link.outbox.push_back(block),
            // The net has closed it and will say so.
            Err(SendError::NotOpen) => return,
            Err(SendError::Full) => panic!("S3: the line of node {number} is full"),
        }
        let queued = self.net.queued(end);
        assert!(
            queued <= SERVE_AHEAD_MAX + CONTROL_QUEUED_MAX,
            "S3: {queued} bytes wait"
        );
    }

    /// Messages have left the line whole.
    pub(crate) fn left(&mut self, number: usize, end: End, messages: usize) {
        let node = &mut self.nodes[number];
        if let Some(greeting) = node.greetings.get_mut(&end) {
            greeting.outbox.drain(..messages);
            return;
        }
        let Some(&peer) = node.keys.get(&end) else {
            return;
        };
        let link = node.links.get_mut(&peer).expect("both or none");
        let left = link.outbox.drain(..messages).flatten();
        let (blocks, bytes) = left.fold((0, 0), |(blocks, bytes), length| {
            (blocks + 1, bytes + u64::from(length))
        });
        if blocks > 0 && !link.closing {
            node.record.sent += bytes;
            let sent = Input::Sent {
                peer,
                blocks,
                bytes,
            };
            self.feed(number, sent);
        }
    }

    pub(crate) fn answered(&mut self, number: usize, addresses: Vec<SocketAddr>) {
        let input = Input::Candidates {
            source: CandidateSource::Tracker,
            addresses,
        };
        self.feed(number, input);
    }

    pub(crate) fn checked(&mut self, number: usize) {
        let checked = self.nodes[number].disk.checked(&self.content);
        let input = Input::Verified {
            piece: checked.piece,
            verdict: checked.verdict,
            blocks: checked.blocks,
        };
        self.feed(number, input);
    }

    pub(crate) fn disk_fails(&mut self, number: usize) {
        if self.nodes[number].disk.fail() {
            self.tell_disk_failed(number);
        }
    }

    pub(crate) fn disk_mended(&mut self, number: usize) {
        let disk = &mut self.nodes[number].disk;
        disk.failed = false;
        if std::mem::take(&mut disk.told) {
            self.feed(number, Input::DiskRecovered);
        }
    }

    fn tell_disk_failed(&mut self, number: usize) {
        let disk = &mut self.nodes[number].disk;
        if !std::mem::replace(&mut disk.told, true) {
            self.say(|| format!("node {number} sees its disk fail"));
            self.feed(number, Input::DiskFailed);
        }
    }

    pub(crate) fn set_limits(&mut self, number: usize, up: Option<u64>, down: Option<u64>) {
        let limits = Input::SetRates {
            upload_bytes_per_s: up,
            download_bytes_per_s: down,
        };
        self.feed(number, limits);
    }

    pub(crate) fn by_ip(&self, address: SocketAddr) -> usize {
        let mut nodes = self.nodes.iter();
        let found = nodes.position(|node| node.address.ip() == address.ip());
        found.expect("every address is some node's")
    }

    fn label(&self, number: usize, peer: PeerKey) -> String {
        let link = self.nodes[number].links.get(&peer);
        let other = link.expect("looked up before").other;
        format!("node {other}")
    }
}
