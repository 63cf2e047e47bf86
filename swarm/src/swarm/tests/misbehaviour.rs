//! One test for each way to misbehave, and for the nearest deed that is none.

use super::*;
use crate::limits::{CONTROL_BURST, UNREQUESTED_BLOCKS_MAX, UNREQUESTED_REJECTS_MAX};
use crate::misbehaved::PeerMisbehaved;
use shoal_metainfo::RawBlock;

fn stage(have: Bitfield, extensions: Extensions) -> Stage {
    let mut stage = Stage::new(have);
    stage.connect(KEY, 2, extensions);
    stage
}

/// A leecher and an honest seed that has just unchoked it: requests are out.
fn asked() -> (Stage, Vec<Block>) {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, Message::Unchoke]);
    let asked = requests(&outputs, KEY);
    assert!(!asked.is_empty());
    (stage, asked)
}

#[track_caller]
fn check(outputs: &[Output], fault: PeerMisbehaved) {
    assert_eq!(closed(outputs), [(KEY, CloseReason::Misbehaved(fault))]);
}

#[track_caller]
fn leecher_hears<const N: usize>(messages: [Message; N], fault: PeerMisbehaved) {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    check(&stage.say(messages), fault);
}

fn bits(byte: u8) -> Message {
    Message::Bitfield(Bytes::from(vec![byte]))
}

#[test]
fn allowed_fast_out_of_range_closes() {
    let fault = PeerMisbehaved::AllowedFastOutOfRange(4);
    leecher_hears([Message::AllowedFast { index: 4 }], fault);
}

#[test]
fn bitfield_of_wrong_length_closes() {
    for found in [0, 2] {
        let fault = PeerMisbehaved::BitfieldLength { expected: 1, found };
        leecher_hears([Message::Bitfield(Bytes::from(vec![0; found]))], fault);
    }
}

#[test]
fn late_bitfield_replaces_what_was_told_before() {
    let firsts = [
        bits(0),
        Message::HaveNone,
        Message::HaveAll,
        Message::Have { index: 1 },
    ];
    for first in firsts {
        for (second, pieces) in [
            (bits(0xa0), 2),
            (Message::HaveAll, 4),
            (Message::HaveNone, 0),
        ] {
            let mut stage = stage(Bitfield::none(4), Extensions::OURS);
            let outputs = stage.say([first.clone(), second]);
            assert_eq!(closed(&outputs), []);
            assert_eq!(stage.swarm.snapshot(stage.now).peers[0].pieces_have, pieces);
        }
    }
}

#[test]
fn late_bitfields_without_news_are_a_flood() {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    for _ in 0..CONTROL_BURST / 2 {
        assert_eq!(closed(&stage.say([bits(0x80), bits(0x40)])), []);
    }
    check(
        &stage.say([bits(0x80), bits(0x40)]),
        PeerMisbehaved::ControlFlood,
    );
}

#[test]
fn bitfield_behind_an_extended_handshake_is_first_enough() {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    let extended = Message::Extended {
        id: 0,
        payload: Bytes::from_static(b"de"),
    };
    let outputs = stage.say([Message::KeepAlive, extended, bits(0xf0)]);
    assert_eq!(closed(&outputs), []);
}

#[test]
fn bitfield_with_spare_bits_closes() {
    leecher_hears([bits(0xf8)], PeerMisbehaved::BitfieldSpareBits);
}

#[test]
fn flood_of_control_messages_closes() {
    for message in [
        Message::Interested,
        Message::Choke,
        Message::KeepAlive,
        Message::Have { index: 0 },
        Message::Cancel(block(0, 0).raw()),
        Message::Suggest { index: 0 },
    ] {
        let mut stage = stage(Bitfield::none(4), Extensions::OURS);
        let burst = CONTROL_BURST as usize;
        assert_eq!(closed(&stage.says(KEY, vec![message.clone(); burst])), []);
        let outputs = stage.says(KEY, vec![message; 2]);
        check(&outputs, PeerMisbehaved::ControlFlood);
    }
}

#[test]
fn flood_of_unknown_messages_closes_and_a_few_do_not() {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    let unknown = |messages| Input::Unknown {
        peer: KEY,
        messages,
    };
    let burst = u32::try_from(CONTROL_BURST).unwrap();
    assert_eq!(closed(&stage.handle(unknown(burst))), []);
    stage.now += SECOND * 2;
    assert_eq!(closed(&stage.handle(unknown(90))), [], "some a second");
    check(&stage.handle(unknown(11)), PeerMisbehaved::ControlFlood);
    assert_eq!(stage.handle(unknown(1)), [], "it is gone");
}

#[test]
fn haves_that_are_news_are_no_flood() {
    let now = Instant::now();
    let pieces = 3 * CONTROL_BURST as u32;
    let source = Source::Verified {
        geometry: Geometry::new(u64::from(pieces), 1).unwrap(),
        have: Bitfield::none(pieces),
    };
    let swarm = Swarm::new(config(1), source, 5, now);
    let mut stage = Stage { swarm, now };
    stage.connect(KEY, 2, Extensions::OURS);
    let haves = (0..pieces).map(|index| Message::Have { index });
    assert_eq!(closed(&stage.says(KEY, haves.collect())), []);
}

#[test]
fn fast_message_without_the_handshake_closes() {
    for message in [
        Message::HaveAll,
        Message::HaveNone,
        Message::Suggest { index: 0 },
        Message::AllowedFast { index: 0 },
        Message::Reject(block(0, 0).raw()),
    ] {
        let mut stage = stage(Bitfield::none(4), Extensions::default());
        check(&stage.say([message]), PeerMisbehaved::FastWithoutHandshake);
    }
}

#[test]
fn have_out_of_range_closes() {
    for index in [4, u32::MAX] {
        leecher_hears(
            [Message::Have { index }],
            PeerMisbehaved::HaveOutOfRange(index),
        );
    }
}

#[test]
fn block_of_another_length_closes() {
    let (mut stage, asked) = asked();
    let (index, begin) = (asked[0].piece().get(), asked[0].begin());
    for found in [0, 16_383, 16_385] {
        let data = Bytes::from(vec![0; found]);
        let fault = PeerMisbehaved::PieceLength {
            index,
            begin,
            expected: asked[0].length(),
            found,
        };
        let (mut stage, again) = self::asked();
        assert_eq!(again, asked, "the same seed asks the same");
        check(&stage.say([Message::Piece { index, begin, data }]), fault);
    }
    assert_eq!(closed(&stage.say([block_message(asked[0])])), []);
}

#[test]
fn flood_of_rejects_closes() {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    let reject = Message::Reject(block(0, 0).raw());
    let honest = UNREQUESTED_REJECTS_MAX as usize;
    assert_eq!(closed(&stage.says(KEY, vec![reject.clone(); honest])), []);
    check(&stage.say([reject]), PeerMisbehaved::RejectFlood);
}

#[test]
fn flood_of_requests_for_crumbs_closes() {
    let mut stage = stage(Bitfield::all(4), Extensions::OURS);
    stage.say([Message::Interested]);
    let mut left = CONTROL_BURST;
    // All of them are served, so nothing else is wrong with them.
    let outputs = loop {
        let whole = block(3, 3).raw();
        let crumb = RawBlock { length: 1, ..whole };
        let outputs = stage.say([Message::Request(crumb), Message::Request(whole)]);
        if !closed(&outputs).is_empty() {
            break outputs;
        }
        let serves = |output: &&Output| matches!(output, Output::Serve { .. });
        assert_eq!(outputs.iter().filter(serves).count(), 2);
        left = left.checked_sub(1).expect("the flood is noticed");
        stage.handle(Input::Sent {
            peer: KEY,
            blocks: 2,
            bytes: u64::from(1 + whole.length),
        });
    };
    check(&outputs, PeerMisbehaved::RequestFlood);
    assert_eq!(left, 1, "interest was charged, whole blocks were not");
}

#[test]
fn flood_of_requests_closes() {
    let flood = vec![Message::Request(block(0, 0).raw()); CONTROL_BURST as usize + 2];
    // Choked, unchoked (all but the first are duplicates), of a piece that is not there.
    for (have, interested) in [
        (Bitfield::all(4), Message::NotInterested),
        (Bitfield::all(4), Message::Interested),
        (Bitfield::none(4), Message::Interested),
    ] {
        for extensions in [Extensions::OURS, Extensions::default()] {
            let mut stage = stage(have.clone(), extensions);
            stage.say([interested.clone()]);
            let outputs = stage.says(KEY, flood.clone());
            check(&outputs, PeerMisbehaved::RequestFlood);
            let rejects = sent(&outputs, KEY).len();
            assert!(rejects <= CONTROL_BURST as usize, "{rejects} answers");
        }
    }
}

#[test]
fn request_that_fits_no_block_closes() {
    let request = |index, begin, length| RawBlock {
        index,
        begin,
        length,
    };
    for raw in [
        request(4, 0, 16_384),
        request(0, 65_536, 1),
        request(0, 49_153, 16_384),
        request(0, u32::MAX, 16_384),
        request(0, 0, 16_385),
        request(0, 0, 131_072),
        request(0, 0, 0),
        request(3, 49_152, 16_384),
    ] {
        let mut stage = stage(Bitfield::all(4), Extensions::OURS);
        let outputs = stage.say([Message::Request(raw)]);
        check(&outputs, PeerMisbehaved::RequestOutOfRange(raw));
    }
}

#[test]
fn suggest_out_of_range_closes() {
    let fault = PeerMisbehaved::SuggestOutOfRange(9);
    leecher_hears([Message::Suggest { index: 9 }], fault);
}

#[test]
fn unrequested_blocks_above_the_grace_close_and_are_no_download() {
    let mut stage = stage(Bitfield::none(4), Extensions::OURS);
    let asked = requests(&stage.say([Message::HaveAll, Message::Unchoke]), KEY);
    assert!(!asked.is_empty());
    // It begins where no block does.
    let message = Message::Piece {
        index: 1,
        begin: 8_192,
        data: Bytes::from(vec![0; 16_384]),
    };
    let grace = UNREQUESTED_BLOCKS_MAX as usize;
    let outputs = stage.says(KEY, vec![message.clone(); grace]);
    assert_eq!(outputs, [], "nothing is written, nobody is closed");
    let fault = PeerMisbehaved::UnrequestedBlock {
        index: 1,
        begin: 8_192,
    };
    check(&stage.say([message]), fault);
    let snapshot = stage.swarm.snapshot(stage.now);
    assert_eq!(
        snapshot.wasted,
        (u64::from(UNREQUESTED_BLOCKS_MAX) + 1) * 16_384
    );
    assert_eq!((snapshot.downloaded, snapshot.download_bytes_per_s), (0, 0));
}

#[test]
fn block_of_a_peer_that_was_never_asked_closes() {
    let mut stage = stage(Bitfield::all(4), Extensions::OURS);
    let fault = PeerMisbehaved::UnrequestedBlock {
        index: 1,
        begin: 16_384,
    };
    check(&stage.say([block_message(block(1, 1))]), fault);
    assert_eq!(stage.swarm.snapshot(stage.now).downloaded, 0);
}
