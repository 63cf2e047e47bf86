//! A hundred hostile connections of each kind against a seeding client: its memory stays bounded,
//! an honest peer is served meanwhile, and who breaks the protocol is thrown out. BEP 3, 6.
//!
//! Who drips a message for more than 30 s, or reads nothing for 60 s, is closed too: that is longer
//! than a test, and shown where time is an argument, in the units of `peer/src/outbox.rs`.

use std::net::SocketAddr;
use std::slice::from_ref;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use shoal_integration_tests::{
    Content, Heard, PATIENCE, RawPeer, Ruse, Siege, TestPeer, TestProcess, handshake,
};
use shoal_metainfo::piece::{BLOCK_LENGTH, RawBlock};
use shoal_metainfo::{InfoHash, PeerId};
use shoal_wire::{Message, encode};

/// Connections of one kind.
const HOSTILE: usize = 100;

/// How far anonymous memory may grow, bytes.
const GROWTH_MAX: u64 = 64 << 20;

/// How long a siege lasts before somebody honest comes.
const BEFORE_THE_LATE: Duration = Duration::from_secs(6);

/// What one who comes with a hundred others may have to wait for, in place of a moment. Ours: the
/// rounds of choking that it takes to try them all.
const AMONG_THE_FIRST: Duration = Duration::from_secs(20);

/// One byte above 8 MiB: 513 pieces, so a bitfield of 65 bytes has seven spare bits.
const LENGTH: usize = (8 << 20) + 1;

/// A seeding client in a process of its own.
struct Victim {
    process: TestProcess,
    content: Content,
    address: SocketAddr,
}

impl Victim {
    fn start() -> Self {
        let content = Content::single(LENGTH);
        let program = env!("CARGO_BIN_EXE_test-peer");
        let torrent = content.torrent_file();
        let process = TestProcess::start(program, &torrent, content.dir(), &[]);
        let _ = process.wait_for("complete");
        Self {
            address: process.address(),
            process,
            content,
        }
    }

    fn greet(&self) -> RawPeer {
        RawPeer::greet(self.address, self.content.info_hash())
    }

    /// A connection that says this after the handshake, as far as it is let.
    fn say(&self, messages: &[Message]) -> RawPeer {
        let mut peer = self.greet();
        let mut bytes = Vec::new();
        messages
            .iter()
            .for_each(|message| encode(message, &mut bytes));
        // Whoever is thrown out before the end cannot say the rest.
        let _ = peer.send_raw(&bytes);
        peer
    }
}

/// A hostile connection.
struct Hostile {
    peer: RawPeer,
    /// It does not read any more.
    deaf: bool,
}

/// What a kind of hostile peer does after it has begun, again and again.
type GoOn = fn(&mut Hostile);

fn nothing(_: &mut Hostile) {
    thread::sleep(Duration::from_millis(1));
}

/// What becomes of the hostile connections.
#[derive(PartialEq)]
enum End {
    /// They are closed.
    Closed,
    /// They break no rule that is over within a test.
    MayStay,
}

fn besiege(begin: impl Fn(&Victim) -> RawPeer, go_on: GoOn, end: End) {
    let victim = Victim::start();
    let alone = TestPeer::download(&victim.content, victim.address);
    let memory = victim.process.watch_memory();
    let begin = |_| Hostile {
        peer: begin(&victim),
        deaf: false,
    };
    let mut hostile: Vec<_> = (0..HOSTILE).map(begin).collect();
    let took = thread::scope(|scope| {
        let done = scope.spawn(|| TestPeer::download(&victim.content, victim.address));
        while !done.is_finished() {
            hostile.iter_mut().for_each(go_on);
        }
        done.join().expect("the honest peer is served")
    });
    println!("{took:?} in place of {alone:?}");
    assert!(
        took < alone * 10 + AMONG_THE_FIRST,
        "{took:?} in place of {alone:?}"
    );
    if end == End::Closed {
        let open = |hostile: &mut Hostile| !hostile.peer.is_closed_within(PATIENCE);
        assert!(!hostile.iter_mut().any(open), "one stays open");
    }
    let growth = memory.growth();
    println!("anonymous memory grew by {} KiB", growth >> 10);
    assert!(growth <= GROWTH_MAX, "it grew by {growth} bytes");
}

fn block(index: u32, begin: u32) -> RawBlock {
    RawBlock {
        index,
        begin,
        length: BLOCK_LENGTH,
    }
}

fn piece(index: u32, begin: u32, length: usize) -> Message {
    Message::Piece {
        index,
        begin,
        data: Bytes::from(vec![0; length]),
    }
}

#[test]
fn garbage_is_closed_at_once() {
    let begin = |victim: &Victim| {
        let mut peer = RawPeer::open(victim.address).unwrap();
        let _ = peer.send_raw(&[0xa5; 8 << 10]);
        peer
    };
    besiege(begin, nothing, End::Closed);
}

#[test]
fn garbage_behind_the_handshake_is_closed_at_once() {
    let begin = |victim: &Victim| {
        let mut peer = victim.greet();
        let _ = peer.send_raw(&[0xa5; 8 << 10]);
        peer
    };
    besiege(begin, nothing, End::Closed);
}

#[test]
fn wrong_info_hash_is_turned_away_without_an_answer() {
    let begin = |victim: &Victim| {
        let mut peer = RawPeer::open(victim.address).unwrap();
        let wrong = handshake(InfoHash([7; 20]));
        let _ = peer.send_raw(&wrong.encode());
        peer
    };
    besiege(begin, nothing, End::Closed);
}

#[test]
fn own_peer_id_is_turned_away() {
    let begin = |victim: &Victim| {
        let own: PeerId = victim.greet().theirs().peer_id;
        let mut ours = handshake(victim.content.info_hash());
        ours.peer_id = own;
        RawPeer::greet_as(victim.address, ours)
    };
    besiege(begin, nothing, End::Closed);
}

#[test]
fn bitfield_too_long_is_closed() {
    let long = Message::Bitfield(Bytes::from(vec![0; 66]));
    besiege(|victim| victim.say(from_ref(&long)), nothing, End::Closed);
}

#[test]
fn bitfield_of_two_megabytes_is_closed() {
    let huge = Message::Bitfield(Bytes::from(vec![0; 2 << 20]));
    besiege(|victim| victim.say(from_ref(&huge)), nothing, End::Closed);
}

#[test]
fn bitfield_too_short_is_closed() {
    let short = Message::Bitfield(Bytes::from(vec![0; 64]));
    besiege(|victim| victim.say(from_ref(&short)), nothing, End::Closed);
}

#[test]
fn bitfield_with_spare_bits_is_closed() {
    let mut bits = vec![0; 65];
    bits[64] = 0x40;
    let spare = Message::Bitfield(Bytes::from(bits));
    besiege(|victim| victim.say(from_ref(&spare)), nothing, End::Closed);
}

/// aria2 sends one when it has got some more pieces.
#[test]
fn late_bitfield_is_taken_and_holds_no_memory() {
    let late = Message::Bitfield(Bytes::from(vec![0; 65]));
    let messages = [Message::HaveNone, Message::Have { index: 1 }, late];
    besiege(|victim| victim.say(&messages), nothing, End::MayStay);
}

#[test]
fn flood_of_late_bitfields_is_closed() {
    let late = Message::Bitfield(Bytes::from(vec![0; 65]));
    let messages = vec![late; 5_000];
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn have_of_no_piece_is_closed() {
    let messages = [Message::HaveNone, Message::Have { index: 513 }];
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn request_of_no_piece_is_closed() {
    let request = Message::Request(block(513, 0));
    let messages = [Message::HaveNone, Message::Interested, request];
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn request_across_the_end_of_a_piece_is_closed() {
    let request = Message::Request(block(0, u32::MAX));
    let messages = [Message::HaveNone, Message::Interested, request];
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn blocks_never_asked_for_are_closed() {
    let mut messages = vec![Message::HaveNone];
    messages.extend((0..80).map(|index| piece(index, 0, 16 << 10)));
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn block_of_no_piece_is_closed() {
    let mut messages = vec![Message::HaveNone];
    messages.extend((0..80).map(|_| piece(u32::MAX, u32::MAX, 100)));
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn length_prefix_of_four_gigabytes_is_closed() {
    let begin = |victim: &Victim| {
        let mut peer = victim.greet();
        let _ = peer.send_raw(&[0xff, 0xff, 0xff, 0xff, 7]);
        peer
    };
    besiege(begin, nothing, End::Closed);
}

/// One byte now and then: faster than one a second, so that more of it happens within a test.
fn drip(hostile: &mut Hostile) {
    let _ = hostile.peer.send_raw(&[0]);
    thread::sleep(Duration::from_millis(10));
}

#[test]
fn one_byte_a_second_holds_no_memory() {
    let begin = |victim: &Victim| {
        let mut peer = victim.say(&[Message::HaveNone]);
        // The head of a whole block.
        let _ = peer.send_raw(&shoal_wire::piece_head(0, 0, BLOCK_LENGTH));
        peer
    };
    besiege(begin, drip, End::MayStay);
}

#[test]
fn handshake_in_single_bytes_is_closed_when_its_time_is_over() {
    let begin = |victim: &Victim| {
        let mut peer = RawPeer::open(victim.address).unwrap();
        let _ = peer.send_raw(b"\x13BitTorrent protocol");
        peer
    };
    besiege(begin, drip, End::Closed);
}

#[test]
fn silent_half_open_connections_are_closed_when_their_time_is_over() {
    let begin = |victim: &Victim| RawPeer::open(victim.address).unwrap();
    besiege(begin, nothing, End::Closed);
}

#[test]
fn silent_peers_hold_no_memory() {
    besiege(Victim::greet, nothing, End::MayStay);
}

fn five_hundred_requests() -> Vec<Message> {
    let blocks = (0..500).map(|index| Message::Request(block(index, 0)));
    blocks.collect()
}

#[test]
fn who_asks_for_five_hundred_blocks_and_reads_none_holds_no_memory() {
    let mut messages = vec![Message::HaveNone, Message::Interested];
    messages.extend(five_hundred_requests());
    besiege(|victim| victim.say(&messages), nothing, End::MayStay);
}

/// Asks for as much as it may once it is unchoked, and reads no more from then on.
fn ask_when_unchoked(Hostile { peer, deaf }: &mut Hostile) {
    if !*deaf && peer.hear(Duration::from_millis(1)) == Heard::Message(Message::Unchoke) {
        let mut bytes = Vec::new();
        five_hundred_requests()
            .iter()
            .for_each(|message| encode(message, &mut bytes));
        let _ = peer.send_raw(&bytes);
        *deaf = true;
    }
}

#[test]
fn who_waits_for_a_slot_and_reads_nothing_keeps_it_from_nobody() {
    let messages = [Message::HaveNone, Message::Interested];
    besiege(
        |victim| victim.say(&messages),
        ask_when_unchoked,
        End::MayStay,
    );
}

#[test]
fn who_takes_a_slot_and_asks_for_nothing_keeps_it_from_nobody() {
    let messages = [Message::HaveNone, Message::Interested];
    besiege(|victim| victim.say(&messages), nothing, End::MayStay);
}

#[test]
fn flood_of_requests_is_closed() {
    let mut messages = vec![Message::HaveNone, Message::Interested];
    messages.extend((0..20_000).map(|n| Message::Request(block(n % 512, 0))));
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn flood_of_requests_for_single_bytes_is_closed() {
    let single = |n| RawBlock {
        length: 1,
        ..block(n % 512, n)
    };
    let mut messages = vec![Message::HaveNone, Message::Interested];
    messages.extend((0..5_000).map(|n| Message::Request(single(n))));
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

#[test]
fn flood_of_unknown_messages_is_closed() {
    let begin = |victim: &Victim| {
        let mut peer = victim.say(&[Message::HaveNone]);
        let _ = peer.send_raw(&[0, 0, 0, 1, 99].repeat(5_000));
        peer
    };
    besiege(begin, nothing, End::Closed);
}

#[test]
fn some_unknown_messages_are_no_fault() {
    let victim = Victim::start();
    let mut peer = victim.say(&[Message::HaveNone]);
    peer.send_raw(&[0, 0, 0, 1, 99].repeat(500)).unwrap();
    peer.send(&Message::Interested).unwrap();
    peer.expect("an unchoke", |message| *message == Message::Unchoke);
}

#[test]
fn flood_of_messages_that_change_nothing_is_closed() {
    let mut messages = vec![Message::HaveNone];
    for _ in 0..5_000 {
        messages.extend([
            Message::Interested,
            Message::NotInterested,
            Message::KeepAlive,
        ]);
    }
    besiege(|victim| victim.say(&messages), nothing, End::Closed);
}

/// Somebody honest comes when the siege has lasted for a while, and is served as before.
fn is_served_late(ruse: Ruse) {
    let victim = Victim::start();
    let memory = victim.process.watch_memory();
    Siege::assert_late_is_served(ruse, victim.address, &victim.content, BEFORE_THE_LATE);
    let growth = memory.growth();
    assert!(growth <= GROWTH_MAX, "memory grew by {growth} bytes");
}

#[test]
fn late_peer_is_served_among_those_who_hammer() {
    is_served_late(Ruse::Hammers);
}

#[test]
fn late_peer_is_served_among_those_who_ask_and_never_read() {
    is_served_late(Ruse::NeverReads);
}

#[test]
fn late_peer_is_served_among_those_who_sip() {
    is_served_late(Ruse::Sips);
}

#[test]
fn late_peer_is_served_among_those_who_never_ask() {
    is_served_late(Ruse::NeverAsks);
}
