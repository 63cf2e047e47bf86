//! Some pieces only: what is not wanted is not asked for, and who has enough is a partial seed.
//! BEP 21, 53.

use shoal_wire::ExtendedHandshake;
use shoal_wire::extended::{UPLOAD_ONLY, upload_only};

use super::*;

const THEIR_UPLOAD_ONLY: u8 = 32;

fn only<const N: usize>(indices: [u32; N]) -> Bitfield {
    let mut pieces = Bitfield::none(4);
    for index in indices {
        pieces.insert(piece(index));
    }
    pieces
}

/// Wants pieces 1 and 2 of four.
fn stage(have: Bitfield) -> Stage {
    let mut stage = Stage::new(have);
    let pieces = only([1, 2]);
    stage.handle(Input::Only { pieces });
    stage
}

fn hello() -> Message {
    let names = [("upload_only".to_owned(), THEIR_UPLOAD_ONLY)];
    let handshake = ExtendedHandshake {
        extensions: names.into(),
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

fn give(stage: &mut Stage, index: u32) -> Vec<Output> {
    let blocks = geometry().blocks(piece(index)).map(block_message);
    stage.says(KEY, blocks.collect());
    stage.handle(Input::Verified {
        piece: piece(index),
        verdict: Verdict::Good,
        blocks: Vec::new(),
    })
}

#[test]
fn unwanted_pieces_are_never_asked_for_nor_of_interest() {
    let mut stage = stage(Bitfield::none(4));
    stage.connect(KEY, 11, Extensions::OURS);
    let outputs = stage.say([Message::Have { index: 0 }, Message::Have { index: 3 }]);
    assert_eq!(sent(&outputs, KEY), []);
    let outputs = stage.say([
        Message::AllowedFast { index: 0 },
        Message::Suggest { index: 3 },
        Message::Unchoke,
    ]);
    assert_eq!(requests(&outputs, KEY), []);
    let outputs = stage.say([Message::Have { index: 2 }]);
    assert!(sent(&outputs, KEY).contains(&Message::Interested));
    let asked = requests(&outputs, KEY);
    assert_eq!(asked, geometry().blocks(piece(2)).collect::<Vec<_>>());
}

#[test]
fn who_has_all_that_he_wants_is_complete_tells_so_and_serves_on() {
    let mut stage = stage(Bitfield::none(4));
    for (key, id) in [(1, 11), (2, 12)] {
        stage.connect(PeerKey(key), id, Extensions::OURS);
    }
    stage.say([hello(), Message::HaveAll, Message::Unchoke]);
    stage.says(
        PeerKey(2),
        vec![hello(), Message::HaveNone, Message::Interested],
    );
    let snapshot = stage.swarm.snapshot(stage.now);
    assert_eq!((snapshot.pieces, snapshot.pieces_wanted), (4, 2));
    assert_eq!(snapshot.bytes_left, snapshot.bytes_wanted);
    give(&mut stage, 1);
    let outputs = give(&mut stage, 2);
    assert!(events(&outputs).contains(&Event::Complete));
    assert!(stage.swarm.is_complete() && !stage.swarm.is_whole());
    // The seed is of no more use; the leecher stays, and is told.
    assert_eq!(closed(&outputs), [(KEY, CloseReason::BothSeeds)]);
    let told = Message::Extended {
        id: THEIR_UPLOAD_ONLY,
        payload: Bytes::from(upload_only::encode(true)),
    };
    assert!(sent(&outputs, PeerKey(2)).contains(&told));
    let snapshot = stage.swarm.snapshot(stage.now);
    assert_eq!((snapshot.bytes_left, snapshot.eta), (0, None));
    assert!(snapshot.bytes_have < snapshot.bytes_total);
    stage.wait(SECOND * 30);
    let outputs = stage.says(PeerKey(2), vec![Message::Request(block(1, 0).raw())]);
    let served = Output::Serve {
        peer: PeerKey(2),
        block: block(1, 0),
    };
    assert!(outputs.contains(&served), "{outputs:?}");
    // One who wants nothing any more, either, has no reason to stay.
    let finished = Message::Extended {
        id: UPLOAD_ONLY,
        payload: Bytes::from(upload_only::encode(true)),
    };
    let outputs = stage.says(PeerKey(2), vec![finished]);
    assert_eq!(closed(&outputs), [(PeerKey(2), CloseReason::BothSeeds)]);
}

#[test]
fn partial_seed_tells_newcomers_what_it_has_and_that_it_wants_nothing() {
    let mut stage = stage(only([1, 2]));
    assert!(stage.swarm.is_complete());
    let outputs = stage.connect(KEY, 11, Extensions::OURS);
    let messages = sent(&outputs, KEY);
    let bits = Bytes::copy_from_slice(only([1, 2]).as_wire());
    assert!(messages.contains(&Message::Bitfield(bits)), "{messages:?}");
    let hello = messages.into_iter().find_map(|message| match message {
        Message::Extended { id: 0, payload } => ExtendedHandshake::decode(&payload).ok(),
        _ => None,
    });
    assert_eq!(hello.unwrap().upload_only, Some(true));
    let outputs = stage.wait(SECOND * 60);
    assert!(!outputs.contains(&Output::WantPeers));
}

#[test]
fn seed_that_suggests_what_is_unwanted_is_asked_for_the_rest_at_once() {
    let mut stage = stage(Bitfield::none(4));
    stage.connect(KEY, 11, Extensions::OURS);
    let outputs = stage.say([
        Message::HaveAll,
        Message::Suggest { index: 0 },
        Message::Suggest { index: 2 },
        Message::Suggest { index: 3 },
        Message::Unchoke,
    ]);
    let asked = requests(&outputs, KEY);
    let pieces: std::collections::BTreeSet<_> = asked.iter().map(|block| block.piece()).collect();
    assert_eq!(pieces, [piece(1), piece(2)].into());
}

#[test]
fn unwanted_piece_that_is_here_is_served_and_lost_without_regret() {
    let mut stage = stage(only([0, 1, 2]));
    stage.connect(KEY, 11, Extensions::OURS);
    stage.say([hello(), Message::HaveAll]);
    // Parted: both want nothing. The next has one piece more than it takes.
    stage.connect(PeerKey(2), 12, Extensions::OURS);
    stage.says(PeerKey(2), vec![Message::Have { index: 0 }]);
    let pieces = vec![piece(0)];
    let outputs = stage.handle(Input::PiecesGone { pieces });
    assert_eq!(sent(&outputs, PeerKey(2)), []);
    assert!(stage.swarm.is_complete());
    let pieces = vec![piece(1)];
    stage.handle(Input::PiecesGone { pieces });
    assert!(!stage.swarm.is_complete());
    let outputs = stage.says(PeerKey(2), vec![Message::Have { index: 1 }]);
    assert!(sent(&outputs, PeerKey(2)).contains(&Message::Interested));
}

#[test]
fn blocks_from_before_of_an_unwanted_piece_change_nothing() {
    let mut stage = stage(Bitfield::none(4));
    let outputs = stage.handle(Input::Resumed {
        piece: piece(0),
        blocks: vec![0],
    });
    assert_eq!(outputs, []);
    stage.connect(KEY, 11, Extensions::OURS);
    let outputs = stage.say([Message::Have { index: 0 }, Message::Unchoke]);
    assert_eq!(requests(&outputs, KEY), []);
}
