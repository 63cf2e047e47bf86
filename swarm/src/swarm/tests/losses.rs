//! Pieces that are gone, theirs and ours; peers that want nothing any more. BEP 21, 54.

use shoal_wire::ExtendedHandshake;
use shoal_wire::extended::{LT_DONTHAVE, UPLOAD_ONLY, donthave, upload_only};

use super::*;
use crate::PeerMisbehaved;

const THEIR_DONTHAVE: u8 = 31;
const THEIR_UPLOAD_ONLY: u8 = 32;

fn hello() -> Message {
    let names = [
        ("lt_donthave", THEIR_DONTHAVE),
        ("upload_only", THEIR_UPLOAD_ONLY),
    ];
    let handshake = ExtendedHandshake {
        extensions: names.map(|(name, id)| (name.to_owned(), id)).into(),
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

fn gone(index: u32) -> Message {
    let payload = Bytes::from(donthave::encode(index));
    Message::Extended {
        id: LT_DONTHAVE,
        payload,
    }
}

fn finished(is_so: bool) -> Message {
    let payload = Bytes::from(upload_only::encode(is_so));
    Message::Extended {
        id: UPLOAD_ONLY,
        payload,
    }
}

fn extension(id: u8, payload: Vec<u8>) -> Message {
    let payload = Bytes::from(payload);
    Message::Extended { id, payload }
}

#[test]
fn donthave_takes_the_have_back_and_frees_what_was_asked() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 11, Extensions::OURS);
    stage.connect(PeerKey(2), 12, Extensions::OURS);
    let first = Bitfield::all(4);
    let everything = Message::Bitfield(Bytes::copy_from_slice(first.as_wire()));
    let asked = stage.say([everything, Message::Unchoke]);
    let asked = requests(&asked, KEY);
    let lost = asked[0].piece();
    stage.says(PeerKey(2), vec![Message::HaveAll]);
    // Everything was asked of the first: the other gets what is freed.
    let count = |blocks: &[Block]| blocks.iter().filter(|block| block.piece() == lost).count();
    let outputs = stage.say([gone(lost.get())]);
    assert_eq!(stage.swarm.picker.availability(lost), 1);
    assert_eq!(closed(&outputs), []);
    let outputs = stage.says(PeerKey(2), vec![Message::Unchoke]);
    assert_eq!(count(&requests(&outputs, PeerKey(2))), count(&asked));
    assert!(count(&asked) > 0);
}

#[test]
fn seed_that_loses_a_piece_is_no_seed_and_interest_ends_with_its_last() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 11, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll]);
    assert!(sent(&outputs, KEY).contains(&Message::Interested));
    for index in 0..3 {
        assert_eq!(sent(&stage.say([gone(index), gone(index)]), KEY), []);
        let peer = &stage.swarm.snapshot(stage.now).peers[0];
        assert_eq!((peer.is_seed, peer.pieces_have), (false, 3 - index));
    }
    let outputs = stage.say([gone(3)]);
    assert_eq!(sent(&outputs, KEY), [Message::NotInterested]);
    let outputs = stage.say([Message::Have { index: 3 }]);
    assert_eq!(sent(&outputs, KEY), [Message::Interested]);
}

#[test]
fn donthave_of_a_piece_that_does_not_exist_is_a_fault() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 11, Extensions::OURS);
    let reason = CloseReason::Misbehaved(PeerMisbehaved::DonthaveOutOfRange(4));
    assert_eq!(closed(&stage.say([gone(4)])), [(KEY, reason)]);
}

#[test]
fn flapping_between_have_and_donthave_is_a_flood() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 11, Extensions::OURS);
    let mut outputs = Vec::new();
    for _ in 0..3_000 {
        outputs.extend(stage.say([Message::Have { index: 1 }, gone(1)]));
    }
    let reason = CloseReason::Misbehaved(PeerMisbehaved::ControlFlood);
    assert_eq!(closed(&outputs), [(KEY, reason)]);
}

#[test]
fn piece_of_ours_that_is_gone_is_told_rejected_and_fetched_again() {
    let mut stage = Stage::seed();
    for (key, id) in [(1, 11), (2, 12)] {
        stage.connect(PeerKey(key), id, Extensions::OURS);
        let told = vec![
            Message::HaveNone,
            Message::Have { index: 2 },
            Message::Interested,
        ];
        stage.says(PeerKey(key), told);
    }
    stage.say([hello()]);
    let pieces = vec![piece(2), piece(2)];
    let outputs = stage.handle(Input::PiecesGone { pieces });
    let expect = [
        extension(THEIR_DONTHAVE, donthave::encode(2)),
        Message::Interested,
        extension(THEIR_UPLOAD_ONLY, vec![0]),
    ];
    assert_eq!(sent(&outputs, KEY), expect);
    assert_eq!(sent(&outputs, PeerKey(2)), [Message::Interested]);
    assert!(!stage.swarm.is_complete());
    let request = Message::Request(block(2, 0).raw());
    let outputs = stage.says(PeerKey(2), vec![request]);
    assert_eq!(
        sent(&outputs, PeerKey(2)),
        [Message::Reject(block(2, 0).raw())]
    );

    let outputs = stage.say([Message::Unchoke]);
    let asked = requests(&outputs, KEY);
    assert_eq!(asked, geometry().blocks(piece(2)).collect::<Vec<_>>());
    let blocks = asked.into_iter().map(block_message).collect();
    stage.says(KEY, blocks);
    let outputs = stage.handle(Input::Verified {
        piece: piece(2),
        verdict: Verdict::Good,
        blocks: Vec::new(),
    });
    assert!(stage.swarm.is_complete());
    assert!(events(&outputs).contains(&Event::Complete));
    let told = sent(&outputs, KEY);
    assert!(
        told.contains(&extension(THEIR_UPLOAD_ONLY, vec![1])),
        "{told:?}"
    );
}

#[test]
fn pieces_that_are_not_ours_cannot_be_lost() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 11, Extensions::OURS);
    stage.say([hello(), Message::HaveAll, Message::Unchoke]);
    let other = Geometry::new(100 << 16, 1 << 16).unwrap();
    let pieces = vec![piece(1), other.piece(99).unwrap()];
    let outputs = stage.handle(Input::PiecesGone { pieces });
    assert_eq!(sent(&outputs, KEY), []);
}

#[test]
fn request_that_waits_for_a_lost_piece_is_rejected() {
    let mut stage = Stage::seed();
    stage.connect(KEY, 11, Extensions::OURS);
    stage.say([Message::HaveNone, Message::Interested]);
    // More than is handed out at once.
    let mut wanted: Vec<_> = (0..4)
        .flat_map(|index| geometry().blocks(piece(index)))
        .collect();
    let last = wanted.pop().unwrap();
    let messages = wanted
        .iter()
        .chain([&last])
        .map(|block| Message::Request(block.raw()));
    let outputs = stage.says(KEY, messages.collect());
    let served = |block: Block| Output::Serve { peer: KEY, block };
    assert!(!outputs.contains(&served(last)));
    let pieces = vec![last.piece()];
    let outputs = stage.handle(Input::PiecesGone { pieces });
    assert!(sent(&outputs, KEY).contains(&Message::Reject(last.raw())));
}

#[test]
fn two_that_want_nothing_part_as_both_seeds() {
    for said in [finished(true), {
        let handshake = ExtendedHandshake {
            upload_only: Some(true),
            ..ExtendedHandshake::default()
        };
        handshake.message()
    }] {
        let mut stage = Stage::seed();
        stage.connect(KEY, 11, Extensions::OURS);
        assert_eq!(closed(&stage.say([Message::HaveNone, finished(false)])), []);
        assert_eq!(closed(&stage.say([said])), [(KEY, CloseReason::BothSeeds)]);
    }
}

#[test]
fn peer_that_wants_nothing_gets_no_slot() {
    let mut some = Bitfield::none(4);
    some.insert(piece(0));
    let mut stage = Stage::new(some);
    stage.connect(KEY, 11, Extensions::OURS);
    let outputs = stage.say([Message::HaveNone, Message::Interested]);
    assert!(sent(&outputs, KEY).contains(&Message::Unchoke));
    let outputs = stage.say([finished(true)]);
    assert!(sent(&outputs, KEY).contains(&Message::Choke));
    let outputs = stage.wait(SECOND * 60);
    assert!(!sent(&outputs, KEY).contains(&Message::Unchoke));
    assert!(stage.swarm.snapshot(stage.now).peers[0].upload_only);
    let outputs = stage.say([finished(false)]);
    assert!(sent(&outputs, KEY).contains(&Message::Unchoke));
}

#[test]
fn seed_says_in_its_handshake_that_it_wants_nothing() {
    for (mut stage, expect) in [(Stage::seed(), Some(true)), (Stage::leecher(), None)] {
        let outputs = stage.connect(KEY, 11, Extensions::OURS);
        let hello = sent(&outputs, KEY)
            .into_iter()
            .find_map(|message| match message {
                Message::Extended { id: 0, payload } => ExtendedHandshake::decode(&payload).ok(),
                _ => None,
            });
        assert_eq!(hello.unwrap().upload_only, expect);
    }
}
