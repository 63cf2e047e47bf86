//! What one swarm does with one or two peers, rule by rule.

use super::*;
use crate::limits::{
    ALLOWED_FAST_BLOCKS, CHOKED_ANSWER_WITHIN, KEEP_ALIVE_AFTER, REJECT_PAUSE, REQUESTS_START,
    SILENT_AFTER, SNUBBED_AFTER, USELESS_AFTER,
};

const OTHER: PeerKey = PeerKey(2);

/// A leecher with a seed that unchoked it, and what was asked.
fn downloading(extensions: Extensions) -> (Stage, Vec<Block>) {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 2, extensions);
    let all = if extensions.fast() {
        Message::HaveAll
    } else {
        Message::Bitfield(Bytes::from_static(&[0xf0]))
    };
    let outputs = stage.say([all, Message::Unchoke]);
    let asked = requests(&outputs, KEY);
    assert_eq!(asked.len(), REQUESTS_START);
    (stage, asked)
}

/// A second seed, unchoking.
fn join(stage: &mut Stage) -> Vec<Block> {
    stage.connect(OTHER, 3, Extensions::OURS);
    let outputs = stage.says(OTHER, vec![Message::HaveAll, Message::Unchoke]);
    requests(&outputs, OTHER)
}

fn sorted(mut blocks: Vec<Block>) -> Vec<Block> {
    blocks.sort_unstable();
    blocks
}

#[test]
fn first_message_says_what_we_have() {
    let half = Bitfield::from_wire(&[0b1010_0000], 4).unwrap();
    let plain = Extensions::default();
    let bits = |bits: &[u8]| Message::Bitfield(Bytes::copy_from_slice(bits));
    for (have, extensions, expected) in [
        (Bitfield::all(4), Extensions::OURS, Some(Message::HaveAll)),
        (Bitfield::none(4), Extensions::OURS, Some(Message::HaveNone)),
        (half.clone(), Extensions::OURS, Some(bits(&[0b1010_0000]))),
        (Bitfield::all(4), plain, Some(bits(&[0xf0]))),
        (half, plain, Some(bits(&[0b1010_0000]))),
        (Bitfield::none(4), plain, None),
    ] {
        let outputs = Stage::new(have).connect(KEY, 2, extensions);
        assert_eq!(sent(&outputs, KEY).first(), expected.as_ref());
    }
}

#[test]
fn extended_handshake_tells_port_queue_and_version() {
    let outputs = Stage::seed().connect(KEY, 2, Extensions::OURS);
    let payload = sent(&outputs, KEY)
        .into_iter()
        .find_map(|message| match message {
            Message::Extended { id: 0, payload } => Some(payload),
            _ => None,
        });
    let told = shoal_wire::ExtendedHandshake::decode(&payload.unwrap()).unwrap();
    assert_eq!((told.port, told.reqq), (Some(1_001), Some(500)));
    assert!(told.version.unwrap().starts_with("Shoal "));
}

#[test]
fn peer_that_is_ourselves_is_closed_and_never_dialled_again() {
    let mut stage = Stage::leecher();
    let us = Input::Candidates {
        source: CandidateSource::User,
        addresses: vec![address(1)],
    };
    let dial = Output::Dial {
        address: address(1),
    };
    assert!(stage.handle(us.clone()).contains(&dial));
    let outputs = stage.handle(Input::Connected {
        peer: KEY,
        address: address(1),
        direction: Direction::Outgoing,
        handshake: handshake(1, Extensions::OURS),
    });
    assert_eq!(closed(&outputs), [(KEY, CloseReason::OurOwnPeerId)]);
    assert!(!stage.handle(us).contains(&dial));
    assert!(!stage.wait(SECOND * 3_600).contains(&dial));
}

#[test]
fn second_connection_of_a_peer_is_closed_as_both_sides_agree() {
    // We are 1. Of two connections the greater peer id's stays.
    for (id, first, kept) in [
        (2, Direction::Incoming, KEY),
        (2, Direction::Outgoing, OTHER),
        (0, Direction::Incoming, OTHER),
        (0, Direction::Outgoing, KEY),
    ] {
        let mut stage = Stage::leecher();
        let second = match first {
            Direction::Incoming => Direction::Outgoing,
            Direction::Outgoing | Direction::Web => Direction::Incoming,
        };
        let mut outputs = Vec::new();
        for (peer, direction) in [(KEY, first), (OTHER, second)] {
            outputs.extend(stage.handle(Input::Connected {
                peer,
                address: address(id),
                direction,
                handshake: handshake(id, Extensions::OURS),
            }));
        }
        let gone = if kept == KEY { OTHER } else { KEY };
        assert_eq!(closed(&outputs), [(gone, CloseReason::Duplicate)]);
    }
}

#[test]
fn full_swarm_replaces_only_the_useless() {
    let mut stage = Stage::leecher();
    for id in 0..50 {
        stage.connect(PeerKey(u64::from(id) + 10), id + 100, Extensions::OURS);
    }
    let outputs = stage.connect(KEY, 2, Extensions::OURS);
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Full)]);
    stage.wait(USELESS_AFTER);
    let outputs = stage.connect(OTHER, 3, Extensions::OURS);
    assert_eq!(closed(&outputs), [(PeerKey(10), CloseReason::Useless)]);
}

#[test]
fn two_seeds_part() {
    let mut stage = Stage::seed();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll]);
    assert_eq!(closed(&outputs), [(KEY, CloseReason::BothSeeds)]);
    stage.connect(OTHER, 3, Extensions::OURS);
    stage.says(OTHER, vec![Message::HaveNone]);
    let haves = (0..4).map(|index| Message::Have { index }).collect();
    let outputs = stage.says(OTHER, haves);
    assert_eq!(closed(&outputs), [(OTHER, CloseReason::BothSeeds)]);
}

#[test]
fn input_about_an_unknown_peer_is_ignored() {
    let mut stage = Stage::leecher();
    stage.handle(Input::Timeout);
    let peer = PeerKey(99);
    assert_eq!(stage.says(peer, vec![Message::HaveAll]), []);
    assert_eq!(stage.handle(Input::Disconnected { peer }), []);
    let sent = Input::Sent {
        peer,
        blocks: 3,
        bytes: 5,
    };
    assert_eq!(stage.handle(sent), []);
    let address = address(9);
    assert_eq!(stage.handle(Input::DialFailed { address }), []);
}

#[test]
fn interest_follows_what_the_peer_has() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::Have { index: 2 }, Message::Have { index: 1 }]);
    assert_eq!(sent(&outputs, KEY), [Message::Interested]);
    let outputs = stage.say([Message::Unchoke]);
    let mut asked = requests(&outputs, KEY);
    assert_eq!(asked.len(), 8);
    let mut outputs = Vec::new();
    while let Some(block) = asked.pop() {
        outputs.extend(stage.say([block_message(block)]));
    }
    for index in [1, 2] {
        assert_eq!(sent(&outputs, KEY), []);
        outputs = stage.handle(Input::Verified {
            piece: piece(index),
            verdict: Verdict::Good,
            blocks: Vec::new(),
        });
        assert_eq!(sent(&outputs, KEY)[0], Message::Have { index });
        outputs.retain(|output| !matches!(output, Output::Event(_)));
        outputs.remove(0);
    }
    assert_eq!(sent(&outputs, KEY), [Message::NotInterested]);
}

#[test]
fn choke_frees_the_blocks_for_another_peer() {
    for extensions in [Extensions::OURS, Extensions::default()] {
        let (mut stage, asked) = downloading(extensions);
        assert_eq!(
            join(&mut stage),
            [],
            "everything is asked for, nothing is slow"
        );
        let mut messages = vec![Message::Choke];
        if extensions.fast() {
            messages.extend(asked.iter().map(|block| Message::Reject(block.raw())));
        }
        let outputs = stage.says(KEY, messages);
        assert_eq!(sorted(requests(&outputs, OTHER)), sorted(asked));
    }
}

#[test]
fn choking_peer_that_never_answers_loses_its_requests() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    join(&mut stage);
    let outputs = stage.say([Message::Choke]);
    assert_eq!(requests(&outputs, OTHER), []);
    let outputs = stage.wait(CHOKED_ANSWER_WITHIN + SECOND);
    assert_eq!(sorted(requests(&outputs, OTHER)), sorted(asked));
}

#[test]
fn reject_frees_the_block_and_pauses_the_peer() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    let outputs = stage.say([Message::Reject(asked[3].raw())]);
    assert_eq!(requests(&outputs, KEY), [], "not the same again at once");
    let freed = join(&mut stage);
    assert_eq!(freed, [asked[3]]);
    stage.handle(Input::Disconnected { peer: OTHER });
    for &block in &asked[..3] {
        stage.say([block_message(block)]);
    }
    let outputs = stage.wait(REJECT_PAUSE + SECOND);
    assert_eq!(requests(&outputs, KEY), [asked[3]]);
}

#[test]
fn disconnect_frees_the_blocks_and_says_nothing_more() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    join(&mut stage);
    let outputs = stage.handle(Input::Disconnected { peer: KEY });
    assert_eq!(sent(&outputs, KEY), []);
    assert_eq!(sorted(requests(&outputs, OTHER)), sorted(asked));
}

#[test]
fn stalled_peer_loses_its_blocks_after_a_minute() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    stage.say([block_message(asked[0])]);
    let outputs = stage.wait(SNUBBED_AFTER + SECOND);
    let cancelled = sent(&outputs, KEY);
    for &block in &asked[1..] {
        assert!(cancelled.contains(&Message::Cancel(block.raw())));
    }
    let freed = join(&mut stage);
    assert!(
        freed.len() >= asked.len() - 2,
        "one may be asked of the stalled peer again"
    );
    // What comes late all the same is welcome, and cancelled elsewhere.
    let late = freed[0];
    let outputs = stage.say([block_message(late)]);
    assert!(sent(&outputs, OTHER).contains(&Message::Cancel(late.raw())));
    let data = data(late);
    assert!(outputs.contains(&Output::Write { block: late, data }));
}

#[test]
fn endgame_asks_an_idle_peer_too_and_cancels_the_slower() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    join(&mut stage);
    let outputs = stage.wait(SECOND * 10);
    let doubled = requests(&outputs, OTHER);
    assert!(!doubled.is_empty() && doubled.iter().all(|block| asked.contains(block)));
    let outputs = stage.says(OTHER, vec![block_message(doubled[0])]);
    assert_eq!(sent(&outputs, KEY), [Message::Cancel(doubled[0].raw())]);
    // The cancel may cross the block: waste, no fault.
    let outputs = stage.say([block_message(doubled[0])]);
    assert_eq!(closed(&outputs), []);
    let wasted = stage.swarm.snapshot(stage.now).wasted;
    assert_eq!(wasted, u64::from(doubled[0].length()));
}

#[test]
fn allowed_fast_piece_is_asked_for_while_choked() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, Message::AllowedFast { index: 2 }]);
    let asked = requests(&outputs, KEY);
    assert_eq!(asked, geometry().blocks(piece(2)).collect::<Vec<_>>());
}

fn seed_with_a_peer_that_has_all_but_the_first() -> Stage {
    let mut stage = Stage::seed();
    stage.connect(OTHER, 3, Extensions::OURS);
    let rest = Bytes::from_static(&[0b0111_0000]);
    stage.says(OTHER, vec![Message::Bitfield(rest)]);
    stage
}

#[test]
fn newcomer_may_ask_for_allowed_fast_pieces_while_choked() {
    let mut stage = seed_with_a_peer_that_has_all_but_the_first();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveNone]);
    let allowed = sent(&outputs, KEY);
    assert_eq!(
        allowed.len(),
        3,
        "what the seed has alone is given to who is unchoked"
    );
    assert!(!allowed.contains(&Message::AllowedFast { index: 0 }));
    let outputs = stage.say([Message::Request(block(1, 0).raw())]);
    let serve = Output::Serve {
        peer: KEY,
        block: block(1, 0),
    };
    assert_eq!(outputs, [serve]);
    // The grant runs out: 12 blocks in all.
    let again = vec![Message::Request(block(1, 1).raw()); 40];
    for message in again {
        stage.say([message]);
        stage.handle(Input::Sent {
            peer: KEY,
            blocks: 1,
            bytes: 16_384,
        });
    }
    let outputs = stage.say([Message::Request(block(2, 0).raw())]);
    assert_eq!(sent(&outputs, KEY), [Message::Reject(block(2, 0).raw())]);
}

#[test]
fn choked_newcomer_gets_one_mib_of_large_pieces_and_no_more() {
    let large = Geometry::new(64 << 20, 4 << 20).unwrap();
    let mut stage = Stage::of(large, Bitfield::all(16));
    stage.connect(OTHER, 3, Extensions::OURS);
    let rest = Bytes::from_static(&[0b0111_1111, 0xFF]);
    stage.says(OTHER, vec![Message::Bitfield(rest)]);
    stage.connect(KEY, 2, Extensions::OURS);
    let allowed = sent(&stage.say([Message::HaveNone]), KEY);
    let Message::AllowedFast { index } = allowed[0] else {
        panic!("{allowed:?}");
    };
    let blocks = large.blocks(large.piece(index).unwrap());
    let blocks: Vec<_> = blocks.take(ALLOWED_FAST_BLOCKS + 1).collect();
    let requests = blocks.iter().map(|block| Message::Request(block.raw()));
    let outputs = stage.says(KEY, requests.collect());
    let refused = blocks[ALLOWED_FAST_BLOCKS];
    assert_eq!(sent(&outputs, KEY), [Message::Reject(refused.raw())]);
}

#[test]
fn seed_says_what_to_ask_for_before_it_unchokes() {
    let mut stage = Stage::seed();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveNone, Message::Interested]);
    let said = sent(&outputs, KEY);
    assert!(matches!(said[0], Message::Suggest { .. }), "{said:?}");
    assert_eq!(said.last(), Some(&Message::Unchoke));
}

#[test]
fn interested_peer_is_unchoked_and_served_at_once() {
    let mut stage = Stage::seed();
    stage.connect(KEY, 2, Extensions::default());
    let outputs = stage.say([Message::Interested]);
    assert_eq!(sent(&outputs, KEY), [Message::Unchoke]);
    let outputs = stage.say([
        Message::Request(block(0, 0).raw()),
        Message::Request(block(0, 0).raw()),
        Message::Request(block(3, 3).raw()),
    ]);
    let serve = |block| Output::Serve { peer: KEY, block };
    assert_eq!(outputs, [serve(block(0, 0)), serve(block(3, 3))]);
    // Interest may come back soon: until the next round nothing changes.
    assert_eq!(stage.say([Message::NotInterested]), []);
    let outputs = stage.wait(SECOND * 11);
    assert_eq!(sent(&outputs, KEY), [Message::Choke]);
}

#[test]
fn request_while_choked_is_rejected_or_ignored() {
    let raw = block(0, 0).raw();
    let mut fast = seed_with_a_peer_that_has_all_but_the_first();
    fast.connect(KEY, 2, Extensions::OURS);
    let outputs = fast.say([Message::HaveNone, Message::Request(raw)]);
    assert!(sent(&outputs, KEY).contains(&Message::Reject(raw)));
    let mut plain = Stage::seed();
    plain.connect(KEY, 2, Extensions::default());
    assert_eq!(plain.say([Message::Request(raw)]), []);
    let mut empty = Stage::leecher();
    empty.connect(KEY, 2, Extensions::OURS);
    let outputs = empty.say([Message::Interested, Message::Request(raw)]);
    assert!(sent(&outputs, KEY).contains(&Message::Reject(raw)));
}

#[test]
fn upload_limit_is_kept_to_the_byte() {
    let mut stage = Stage::seed();
    let now = stage.now;
    let limit = Input::SetRates {
        upload_bytes_per_s: Some(10_000),
        download_bytes_per_s: None,
    };
    stage.handle(limit);
    stage.connect(KEY, 2, Extensions::OURS);
    stage.say([Message::HaveNone, Message::Interested]);
    let mut served = 0u64;
    let mut all = (0..16).cycle().map(|at| block(at / 4, at as usize % 4));
    while stage.now < now + SECOND * 600 {
        let request = Message::Request(all.next().unwrap().raw());
        let mut outputs = stage.say([request]);
        outputs.extend(stage.wait(SECOND));
        let blocks = outputs.iter().filter_map(|output| match output {
            Output::Serve { block, .. } => Some(*block),
            _ => None,
        });
        for block in blocks.collect::<Vec<_>>() {
            let bytes = u64::from(block.length());
            served += bytes;
            stage.handle(Input::Sent {
                peer: KEY,
                blocks: 1,
                bytes,
            });
        }
    }
    assert!((5_980_000..=6_000_000).contains(&served), "{served} bytes");
}

#[test]
fn download_limit_paces_the_requests() {
    let mut stage = Stage::leecher();
    stage.handle(Input::SetRates {
        upload_bytes_per_s: None,
        download_bytes_per_s: Some(16_384),
    });
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, Message::Unchoke]);
    let mut asked = requests(&outputs, KEY).len();
    assert!(asked <= 2);
    for seconds in 1..10 {
        asked += requests(&stage.wait(SECOND), KEY).len();
        assert!(
            (seconds - 1..=seconds + 2).contains(&asked),
            "{asked} in {seconds} s"
        );
    }
}

#[test]
fn silence_is_answered_with_keep_alives_and_then_a_close() {
    let mut stage = Stage::leecher();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.wait(KEEP_ALIVE_AFTER + SECOND);
    assert_eq!(sent(&outputs, KEY), [Message::KeepAlive]);
    let outputs = stage.wait(SILENT_AFTER - KEEP_ALIVE_AFTER);
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Silent)]);
}

#[test]
fn failed_disk_stops_the_requests_and_nobody_is_blamed() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    for &block in &asked[..15] {
        stage.say([block_message(block)]);
    }
    let outputs = stage.handle(Input::DiskFailed);
    assert_eq!(sent(&outputs, KEY), [Message::Cancel(asked[15].raw())]);
    assert_eq!(stage.say([block_message(asked[15])]), []);
    assert!(stage.swarm.snapshot(stage.now).disk_failed);
    let mut outputs = Vec::new();
    for piece in geometry().all_pieces() {
        outputs.extend(stage.handle(Input::Verified {
            piece,
            verdict: Verdict::Bad,
            blocks: vec![[0; 20]; 4],
        }));
    }
    outputs.extend(stage.wait(SECOND * 30));
    assert_eq!(requests(&outputs, KEY), []);
    let ban = |event: &Event| matches!(event, Event::PeerBanned { .. });
    assert!(!events(&outputs).iter().any(ban));
    let outputs = stage.handle(Input::DiskRecovered);
    assert_eq!(sorted(requests(&outputs, KEY)), sorted(asked));
}

#[test]
fn verdict_unknown_fetches_the_piece_again() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    let first: Vec<_> = geometry().blocks(asked[0].piece()).collect();
    for &block in &first {
        stage.say([block_message(block)]);
    }
    let outputs = stage.handle(Input::Verified {
        piece: asked[0].piece(),
        verdict: Verdict::Unknown,
        blocks: Vec::new(),
    });
    assert_eq!(sorted(requests(&outputs, KEY)), first);
}

#[test]
fn more_peers_are_wished_for_once_a_minute() {
    let mut stage = Stage::leecher();
    let outputs = stage.wait(SECOND * 300);
    let wishes = outputs
        .iter()
        .filter(|output| **output == Output::WantPeers);
    assert!((5..=6).contains(&wishes.count()));
    let outputs = Stage::seed().wait(SECOND * 300);
    assert_eq!(outputs, [], "a seed has no wish, and an idle one no timers");
}

#[test]
fn port_of_the_extended_handshake_makes_an_incoming_peer_dialable() {
    let mut stage = Stage::leecher();
    stage.handle(Input::Connected {
        peer: KEY,
        address: SocketAddr::from(([127, 0, 0, 1], 55_555)),
        direction: Direction::Incoming,
        handshake: handshake(2, Extensions::OURS),
    });
    stage.say([Message::Extended {
        id: 0,
        payload: Bytes::from_static(b"d1:pi1002ee"),
    }]);
    let outputs = stage.handle(Input::Disconnected { peer: KEY });
    assert_eq!(outputs, []);
    let outputs = stage.wait(SECOND * 10);
    assert!(outputs.contains(&Output::Dial {
        address: address(2)
    }));
}

#[test]
fn seed_suggests_different_pieces_to_different_peers() {
    let mut stage = Stage::seed();
    let mut suggested = Vec::new();
    for (key, id) in [(KEY, 2), (OTHER, 3)] {
        stage.connect(key, id, Extensions::OURS);
        let outputs = stage.says(key, vec![Message::HaveNone, Message::Interested]);
        for message in sent(&outputs, key) {
            if let Message::Suggest { index } = message {
                suggested.push((key, index));
            }
        }
    }
    assert!(suggested.iter().any(|(key, _)| *key == KEY));
    let mut pieces: Vec<_> = suggested.iter().map(|(_, index)| *index).collect();
    pieces.sort_unstable();
    pieces.dedup();
    assert_eq!(pieces.len(), suggested.len(), "{suggested:?}");
}

#[test]
fn leecher_follows_a_suggestion() {
    for index in 0..4 {
        let mut stage = Stage::leecher();
        stage.connect(KEY, 2, Extensions::OURS);
        stage.say([Message::HaveAll, Message::Suggest { index }]);
        let outputs = stage.say([Message::Unchoke]);
        assert_eq!(requests(&outputs, KEY)[0].piece(), piece(index));
    }
}

#[test]
fn banned_peer_is_not_let_in_again() {
    let (mut stage, asked) = downloading(Extensions::OURS);
    let spoiled = asked[0].piece();
    let blocks = geometry().blocks(spoiled).map(block_message).collect();
    stage.says(KEY, blocks);
    let outputs = stage.handle(Input::Verified {
        piece: spoiled,
        verdict: Verdict::Bad,
        blocks: vec![[0; 20]; 4],
    });
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Banned)]);
    let ban = Event::PeerBanned {
        address: address(2),
        piece: Some(spoiled),
    };
    assert!(events(&outputs).contains(&ban));
    let outputs = stage.connect(OTHER, 2, Extensions::OURS);
    assert_eq!(closed(&outputs), [(OTHER, CloseReason::Banned)]);
    assert_eq!(stage.swarm.snapshot(stage.now).wasted, 65_536);
}

#[test]
fn blocks_of_an_earlier_run_are_not_asked_for_again() {
    let mut stage = Stage::leecher();
    let resumed = |index: u32, blocks: &[usize]| Input::Resumed {
        piece: piece(index),
        blocks: blocks.to_vec(),
    };
    // What a swarm says first.
    stage.handle(Input::Timeout);
    assert!(stage.handle(resumed(1, &[0, 2, 99])).is_empty());
    assert!(stage.handle(resumed(2, &[])).is_empty());
    let whole = stage.handle(resumed(3, &[0, 1, 2, 3]));
    let verify = Output::Verify {
        piece: piece(3),
        digests: false,
    };
    assert_eq!(whole, [verify]);
    assert!(stage.handle(resumed(3, &[0])).is_empty(), "it is known");
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, Message::Unchoke]);
    let mut asked = requests(&outputs, KEY);
    while let Some(&next) = asked.last() {
        assert!(![block(1, 0), block(1, 2)].contains(&next) && next.piece() != piece(3));
        let came = asked.remove(0);
        asked.extend(requests(&stage.say([block_message(came)]), KEY));
    }
    let good = |index| Input::Verified {
        piece: piece(index),
        verdict: Verdict::Good,
        blocks: Vec::new(),
    };
    (0..4).for_each(|index| drop(stage.handle(good(index))));
    assert!(stage.swarm.is_complete());
}
