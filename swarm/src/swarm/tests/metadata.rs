//! A swarm that begins with a name alone, and one that serves metadata. BEP 9.

use shoal_hashing::sha1;
use shoal_wire::MetadataMessage;
use shoal_wire::extended::{ExtendedHandshake, UT_METADATA};

use super::*;
use crate::limits::{
    CONTROL_BURST, EARLY_BITFIELD_BYTES_MAX, EARLY_HAVES_MAX, HAVES_WHEN_LIVE_MAX,
    METADATA_OWED_MAX, METADATA_SERVED_BURST,
};
use crate::misbehaved::PeerMisbehaved;

/// How the peers here number `ut_metadata`.
const THEIRS: u8 = 3;

/// Two pieces and a bit; what it says does not matter to a swarm.
fn info() -> Bytes {
    (0..40_000_u32).map(|n| (n % 253) as u8).collect()
}

fn config_of(info: &[u8]) -> Config {
    Config {
        info_hash: InfoHash(sha1(info)),
        ..config(1)
    }
}

impl Stage {
    /// Knows the name alone.
    fn magnet() -> Self {
        let now = Instant::now();
        let swarm = Swarm::new(config_of(&info()), Source::Metadata, 5, now);
        Self { swarm, now }
    }

    /// Knows everything, and serves the metadata.
    fn serving() -> Self {
        let mut stage = Self::seed();
        assert_eq!(stage.handle(Input::Info { bytes: info() }), []);
        stage
    }

    fn goes_live(&mut self, have: Bitfield) -> Vec<Output> {
        self.handle(Input::Live {
            geometry: geometry(),
            have,
            resumed: Vec::new(),
            private: false,
        })
    }
}

fn offers(size: Option<u32>) -> Message {
    let handshake = ExtendedHandshake {
        extensions: BTreeMap::from([("ut_metadata".to_owned(), THEIRS)]),
        metadata_size: size,
        ..ExtendedHandshake::default()
    };
    handshake.message()
}

fn offers_it() -> Message {
    offers(u32::try_from(info().len()).ok())
}

/// The piece as a peer sends it to us.
fn data_of(info: &Bytes, piece: u32) -> Message {
    let begin = piece as usize * (16 << 10);
    let data = MetadataMessage::Data {
        piece,
        total_size: info.len() as u32,
        data: info.slice(begin..info.len().min(begin + (16 << 10))),
    };
    data.message(UT_METADATA)
}

/// What we said of `ut_metadata`, under the peer's number.
fn said(outputs: &[Output], to: PeerKey) -> Vec<MetadataMessage> {
    let messages = sent(outputs, to).into_iter();
    messages
        .filter_map(|message| match message {
            Message::Extended {
                id: THEIRS,
                payload,
            } => MetadataMessage::decode(&payload).ok(),
            _ => None,
        })
        .collect()
}

/// Answers every request for metadata with the truth; everything that came of it.
fn gives_all(stage: &mut Stage, mut outputs: Vec<Output>, key: PeerKey) -> Vec<Output> {
    let mut all = Vec::new();
    loop {
        let asked = said(&outputs, key);
        all.append(&mut outputs);
        for message in asked {
            let MetadataMessage::Request { piece } = message else {
                panic!("{message:?}");
            };
            outputs.extend(stage.says(key, vec![data_of(&info(), piece)]));
        }
        if outputs.is_empty() {
            return all;
        }
    }
}

#[test]
fn newcomer_without_metadata_says_so_and_takes_it() {
    let mut stage = Stage::magnet();
    let outputs = stage.connect(KEY, 2, Extensions::OURS);
    let messages = sent(&outputs, KEY);
    assert_eq!(messages[0], Message::HaveNone);
    let Message::Extended { id: 0, payload } = &messages[1] else {
        panic!("{messages:?}");
    };
    let told = ExtendedHandshake::decode(payload).unwrap();
    assert_eq!(told.extensions["ut_metadata"], UT_METADATA);
    assert_eq!(told.metadata_size, None);
    assert!(told.port.is_some() && told.reqq.is_some() && told.version.is_some());
    assert_eq!(told.your_ip, Some(address(2).ip()));
    // Without BEP 6 a bitfield of nothing could have any length: it says nothing.
    let outputs = stage.connect(PeerKey(2), 3, Extensions::default());
    assert_eq!(sent(&outputs, PeerKey(2)), []);
}

#[test]
fn metadata_comes_and_the_swarm_lives_on_with_the_same_peer() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let first = Message::Bitfield(Bytes::from_static(&[0b0100_0000]));
    let outputs = stage.say([
        first,
        offers_it(),
        Message::Unchoke,
        Message::Have { index: 3 },
    ]);
    let asked = [MetadataMessage::Request { piece: 0 }];
    assert_eq!(said(&outputs, KEY), asked);
    assert_eq!(stage.swarm.snapshot(stage.now).metadata.unwrap().asked, 1);
    let outputs = gives_all(&mut stage, outputs, KEY);
    let found = outputs
        .iter()
        .filter(|output| matches!(output, Output::Metadata { .. }));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [&Output::Metadata { info: info() }]
    );
    assert_eq!(closed(&outputs), []);
    // The disk is being checked: nothing is asked for yet, and what is said is still kept.
    let outputs = stage.say([
        Message::Have { index: 0 },
        Message::AllowedFast { index: 1 },
    ]);
    assert_eq!(sent(&outputs, KEY), []);
    let snapshot = stage.swarm.snapshot(stage.now);
    assert_eq!((snapshot.pieces, snapshot.metadata), (0, None));
    let mut have = Bitfield::none(4);
    have.insert(piece(0));
    let outputs = stage.goes_live(have);
    let messages = sent(&outputs, KEY);
    assert!(messages.contains(&Message::Have { index: 0 }));
    assert!(messages.contains(&Message::Interested));
    let mut asked: Vec<_> = requests(&outputs, KEY)
        .iter()
        .map(|block| block.piece())
        .collect();
    asked.dedup();
    asked.sort_unstable();
    assert_eq!(
        asked,
        [piece(1), piece(3)],
        "what it said it has, and we lack"
    );
    assert_eq!(stage.swarm.snapshot(stage.now).pieces, 4);
}

#[test]
fn blocks_of_an_earlier_run_are_not_fetched_again_by_a_magnet() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, offers_it(), Message::Unchoke]);
    gives_all(&mut stage, outputs, KEY);
    let outputs = stage.handle(Input::Live {
        geometry: geometry(),
        have: Bitfield::none(4),
        resumed: vec![(piece(2), vec![0, 1, 2])],
        private: false,
    });
    let asked = requests(&outputs, KEY);
    assert!(
        asked.contains(&block(2, 3)) && !asked.contains(&block(2, 0)),
        "{asked:?}"
    );
}

#[test]
fn wrong_metadata_of_one_sender_bans_it_and_another_gives_the_right() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let outputs = stage.say([Message::HaveAll, offers_it()]);
    let wrong: Bytes = info().iter().map(|byte| byte ^ 1).collect();
    assert_eq!(said(&outputs, KEY), [MetadataMessage::Request { piece: 0 }]);
    let answers = (0..3).map(|piece| stage.says(KEY, vec![data_of(&wrong, piece)]));
    let outputs: Vec<_> = answers.flatten().collect();
    let reason = CloseReason::Banned;
    assert_eq!(closed(&outputs), [(KEY, reason)]);
    let ban = Event::PeerBanned {
        address: address(2),
        piece: None,
    };
    assert_eq!(events(&outputs), [Event::MetadataFailed, ban]);
    let other = PeerKey(2);
    stage.connect(other, 3, Extensions::OURS);
    let outputs = stage.says(other, vec![Message::HaveAll, offers_it()]);
    let outputs = gives_all(&mut stage, outputs, other);
    assert!(outputs.contains(&Output::Metadata { info: info() }));
}

#[test]
fn those_who_lack_the_metadata_are_told_when_it_is_here() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let lacks = PeerKey(2);
    stage.connect(lacks, 3, Extensions::OURS);
    assert_eq!(said(&stage.says(lacks, vec![offers(None)]), lacks), []);
    let outputs = stage.say([offers_it()]);
    let outputs = gives_all(&mut stage, outputs, KEY);
    let told = sent(&outputs, lacks);
    let [Message::Extended { id: 0, payload }] = &told[..] else {
        panic!("{told:?}");
    };
    let told = ExtendedHandshake::decode(payload).unwrap();
    assert_eq!(
        told.metadata_size.map(|size| size as usize),
        Some(info().len())
    );
    // And it is served while the disk is still being checked.
    let request = MetadataMessage::Request { piece: 2 }.message(UT_METADATA);
    let given = said(&stage.says(lacks, vec![request]), lacks);
    assert!(
        matches!(given[..], [MetadataMessage::Data { piece: 2, .. }]),
        "{given:?}"
    );
}

#[test]
fn peer_that_sends_another_size_than_it_claimed_is_closed() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    stage.say([offers(Some(100))]);
    let outputs = stage.say([data_of(&info(), 0)]);
    let fault = PeerMisbehaved::MetadataSize {
        claimed: 100,
        found: 40_000,
    };
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Misbehaved(fault))]);
    assert_eq!(
        events(&outputs),
        [],
        "a contradiction is no proof of wrong bytes"
    );
}

#[test]
fn early_lies_come_to_light_when_the_swarm_lives() {
    let too_long = PeerMisbehaved::BitfieldLength {
        expected: 1,
        found: 2,
    };
    for (said, fault) in [
        (Message::Bitfield(Bytes::from_static(&[0, 0])), too_long),
        (
            Message::Bitfield(Bytes::from_static(&[1])),
            PeerMisbehaved::BitfieldSpareBits,
        ),
        (
            Message::Have { index: 4 },
            PeerMisbehaved::HaveOutOfRange(4),
        ),
        (
            Message::AllowedFast { index: 9 },
            PeerMisbehaved::AllowedFastOutOfRange(9),
        ),
        (
            Message::Suggest { index: 4 },
            PeerMisbehaved::SuggestOutOfRange(4),
        ),
    ] {
        let mut stage = Stage::magnet();
        stage.connect(KEY, 2, Extensions::OURS);
        let outputs = stage.say([said, offers_it()]);
        let outputs = gives_all(&mut stage, outputs, KEY);
        assert_eq!(closed(&outputs), [], "nobody can know yet");
        let outputs = stage.goes_live(Bitfield::none(4));
        assert_eq!(closed(&outputs), [(KEY, CloseReason::Misbehaved(fault))]);
    }
}

#[test]
fn early_floods_are_closed() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let flood = CloseReason::Misbehaved(PeerMisbehaved::ControlFlood);
    let haves = (0..=EARLY_HAVES_MAX as u32).map(|index| Message::Have { index });
    assert_eq!(closed(&stage.says(KEY, haves.collect())), [(KEY, flood)]);
    stage.connect(PeerKey(2), 3, Extensions::OURS);
    let again = vec![Message::HaveAll; CONTROL_BURST as usize + 1];
    assert_eq!(
        closed(&stage.says(PeerKey(2), again)),
        [(PeerKey(2), flood)]
    );
    let longest = Bytes::from(vec![0; 256 << 10]);
    let most = EARLY_BITFIELD_BYTES_MAX / longest.len();
    for key in 10..10 + most as u64 {
        stage.connect(PeerKey(key), key as u8, Extensions::OURS);
        let bits = vec![Message::Bitfield(longest.clone())];
        assert_eq!(closed(&stage.says(PeerKey(key), bits)), []);
    }
    stage.swarm.check_invariants();
    let one_more = PeerKey(200);
    let outputs = stage.connect(one_more, 200, Extensions::OURS);
    // Fifty connections are the most here; the bound of bytes comes first with longer lives.
    if closed(&outputs).is_empty() {
        let outputs = stage.says(one_more, vec![Message::Bitfield(longest)]);
        assert_eq!(closed(&outputs), [(one_more, CloseReason::Full)]);
    }
}

#[test]
fn blocks_and_requests_are_no_use_before_the_metadata() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let raw = block(0, 0).raw();
    let outputs = stage.say([Message::Interested, Message::Request(raw)]);
    assert!(sent(&outputs, KEY).contains(&Message::Reject(raw)));
    let outputs = stage.say([block_message(block(0, 0))]);
    let fault = PeerMisbehaved::UnrequestedBlock { index: 0, begin: 0 };
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Misbehaved(fault))]);
}

#[test]
fn much_that_is_here_before_the_metadata_is_told_by_new_connections() {
    let pieces = HAVES_WHEN_LIVE_MAX + 1;
    let geometry = Geometry::new(u64::from(pieces) + 7, 1).unwrap();
    let mut stage = Stage::magnet();
    stage.handle(Input::Candidates {
        source: CandidateSource::Magnet,
        addresses: vec![address(2)],
    });
    stage.handle(Input::Connected {
        peer: KEY,
        address: address(2),
        direction: Direction::Outgoing,
        handshake: handshake(2, Extensions::OURS),
    });
    let outputs = stage.say([Message::HaveAll, offers_it()]);
    gives_all(&mut stage, outputs, KEY);
    let mut have = Bitfield::none(geometry.pieces());
    let here = geometry.all_pieces().take(pieces as usize);
    here.for_each(|piece| {
        have.insert(piece);
    });
    let outputs = stage.handle(Input::Live {
        geometry,
        have,
        resumed: Vec::new(),
        private: false,
    });
    assert_eq!(closed(&outputs), [(KEY, CloseReason::Afresh)]);
    let outputs = stage.wait(SECOND * 5);
    let address = address(2);
    assert!(outputs.contains(&Output::Dial { address }), "and at once");
}

#[test]
fn metadata_is_served_byte_for_byte() {
    let mut stage = Stage::serving();
    let outputs = stage.connect(KEY, 2, Extensions::OURS);
    let told = sent(&outputs, KEY)
        .into_iter()
        .find_map(|message| match message {
            Message::Extended { id: 0, payload } => ExtendedHandshake::decode(&payload).ok(),
            _ => None,
        });
    assert_eq!(told.unwrap().metadata_size, Some(40_000));
    stage.say([offers(None)]);
    let request = |piece| MetadataMessage::Request { piece }.message(UT_METADATA);
    let mut came = Vec::new();
    for message in said(
        &stage.say([request(0), request(1), request(2), request(3)]),
        KEY,
    ) {
        match message {
            MetadataMessage::Data {
                total_size, data, ..
            } => {
                assert_eq!(total_size, 40_000);
                came.extend_from_slice(&data);
            }
            other => assert_eq!(other, MetadataMessage::Reject { piece: 3 }),
        }
    }
    for message in said(&stage.wait(SECOND), KEY) {
        let MetadataMessage::Data { data, .. } = message else {
            panic!("{message:?}");
        };
        came.extend_from_slice(&data);
    }
    assert_eq!(came, info());
}

#[test]
fn flood_of_requests_for_metadata_is_rejected_and_then_closed() {
    let mut stage = Stage::serving();
    stage.connect(KEY, 2, Extensions::OURS);
    stage.say([offers(None)]);
    let request = |piece| MetadataMessage::Request { piece }.message(UT_METADATA);
    let (mut given, mut rejected) = (0, 0);
    let outputs = stage.says(KEY, vec![request(1); METADATA_OWED_MAX]);
    for message in said(&outputs, KEY) {
        match message {
            MetadataMessage::Data { .. } => given += 1,
            _ => rejected += 1,
        }
    }
    assert!(
        given <= METADATA_SERVED_BURST && rejected >= METADATA_OWED_MAX - 20,
        "{given}"
    );
    let outputs = stage.says(KEY, vec![request(1); CONTROL_BURST as usize]);
    let fault = CloseReason::Misbehaved(PeerMisbehaved::RequestFlood);
    assert_eq!(closed(&outputs), [(KEY, fault)]);
}

#[test]
fn swarm_without_metadata_rejects_requests_for_it() {
    let mut stage = Stage::magnet();
    stage.connect(KEY, 2, Extensions::OURS);
    let request = MetadataMessage::Request { piece: 0 }.message(UT_METADATA);
    let outputs = stage.say([offers(None), request]);
    assert_eq!(said(&outputs, KEY), [MetadataMessage::Reject { piece: 0 }]);
}

#[test]
fn magnet_that_turns_out_private_parts_from_whom_no_tracker_named() {
    let mut stage = Stage::magnet();
    let dialled = |id: u8, source| (PeerKey(id.into()), id, source);
    for (peer, id, source) in [
        dialled(2, CandidateSource::Tracker),
        dialled(3, CandidateSource::Dht),
    ] {
        let addresses = vec![address(id)];
        stage.handle(Input::Candidates { source, addresses });
        stage.handle(Input::Connected {
            peer,
            address: address(id),
            direction: Direction::Outgoing,
            handshake: handshake(id, Extensions::OURS),
        });
    }
    let (source, addresses) = (CandidateSource::Pex, vec![address(4)]);
    stage.handle(Input::Candidates { source, addresses });
    let peer = PeerKey(2);
    let outputs = stage.says(peer, vec![Message::HaveAll, offers_it()]);
    gives_all(&mut stage, outputs, peer);
    let outputs = stage.handle(Input::Live {
        geometry: geometry(),
        have: Bitfield::none(4),
        resumed: Vec::new(),
        private: true,
    });
    assert_eq!(closed(&outputs), [(PeerKey(3), CloseReason::Private)]);
    let (source, addresses) = (CandidateSource::Lsd, vec![address(5)]);
    let mut outputs = stage.handle(Input::Candidates { source, addresses });
    outputs.extend(stage.wait(SECOND * 3_600));
    let dialled = outputs.iter().filter_map(|output| match output {
        Output::Dial { address } => Some(*address),
        _ => None,
    });
    let strangers = [address(3), address(4), address(5)];
    assert_eq!(dialled.filter(|found| strangers.contains(found)).count(), 0);
}
