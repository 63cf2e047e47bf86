//! Web seeds: servers that give blocks and are no peers. BEP 19.

use super::*;

const FAST: Extensions = Extensions::OURS;

fn connect(stage: &mut Stage, key: PeerKey, id: u8) -> Vec<Output> {
    stage.handle(Input::Connected {
        peer: key,
        address: address(9),
        direction: Direction::Web,
        handshake: handshake(id, FAST),
    })
}

/// Lets the server give everything, unchoked; the digests of what it spoils are its own.
fn begin(stage: &mut Stage, key: PeerKey) -> Vec<Block> {
    let outputs = stage.says(key, vec![Message::HaveAll, Message::Unchoke]);
    requests(&outputs, key)
}

#[test]
fn web_seed_is_told_nothing_but_what_it_is_asked_for() {
    let mut stage = Stage::leecher();
    assert!(sent(&connect(&mut stage, KEY, 3), KEY).is_empty());
    let outputs = stage.says(KEY, vec![Message::HaveAll, Message::Unchoke]);
    let told = sent(&outputs, KEY);
    let expected = |message: &Message| matches!(message, Message::Interested | Message::Request(_));
    assert!(told.iter().all(expected), "{told:?}");
    assert!(!requests(&outputs, KEY).is_empty());
}

#[test]
fn web_seed_is_never_dialled_as_a_peer() {
    let mut stage = Stage::leecher();
    connect(&mut stage, KEY, 3);
    begin(&mut stage, KEY);
    let mut outputs = stage.handle(Input::Disconnected { peer: KEY });
    outputs.extend(stage.wait(SECOND * 100));
    let dials = outputs
        .iter()
        .any(|output| matches!(output, Output::Dial { .. }));
    assert!(!dials);
    assert_eq!(stage.swarm.snapshot(stage.now).candidates, 0);
}

#[test]
fn web_seed_that_gives_a_bad_piece_is_banned_and_its_neighbours_are_not() {
    let mut stage = Stage::leecher();
    connect(&mut stage, KEY, 3);
    let asked = begin(&mut stage, KEY);
    let first = asked[0].piece();
    let blocks: Vec<_> = geometry().blocks(first).collect();
    assert!(blocks.iter().all(|block| asked.contains(block)));
    stage.says(
        KEY,
        blocks.iter().map(|&block| block_message(block)).collect(),
    );
    let outputs = stage.handle(Input::Verified {
        piece: first,
        verdict: Verdict::Bad,
        blocks: vec![[0; 20]; blocks.len()],
    });
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Banned)]);
    let again = connect(&mut stage, PeerKey(2), 3);
    assert_eq!(closed(&again), [(PeerKey(2), CloseReason::Banned)]);
    // Another URL of the same server, and a peer at its address.
    assert!(closed(&connect(&mut stage, PeerKey(3), 4)).is_empty());
    let peer = stage.handle(Input::Connected {
        peer: PeerKey(4),
        address: address(9),
        direction: Direction::Incoming,
        handshake: handshake(5, FAST),
    });
    assert!(closed(&peer).is_empty());
}
