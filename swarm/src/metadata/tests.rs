//! Fetches of metadata among honest, lying and silent peers; no connections.

use super::*;
use crate::limits::METADATA_REQUEST_WITHIN;
use shoal_metainfo::PeerId;
use std::net::SocketAddr;
use std::time::Duration;

const PIECE: u32 = METADATA_PIECE_LENGTH;
const SIZE: u32 = 6 * PIECE + 100;
const SECOND: Duration = Duration::from_secs(1);

fn who(key: u64) -> Suspect {
    let port = u16::try_from(key).unwrap();
    Suspect {
        peer: PeerKey(key),
        address: SocketAddr::from(([192, 0, 2, 1], port)),
        peer_id: PeerId([0; 20]),
        is_web: false,
    }
}

fn truth() -> Vec<u8> {
    let bytes = (0..SIZE).map(|n| u8::try_from(n * 7 / 5 % 251).unwrap());
    bytes.collect()
}

fn piece(bytes: &[u8], number: u32) -> &[u8] {
    bytes.chunks(PIECE as usize).nth(number as usize).unwrap()
}

/// A fetch, and peers that answer by what they hold: `None` is silence.
struct Play {
    fetch: Fetch,
    now: Instant,
    peers: BTreeMap<PeerKey, Option<Vec<u8>>>,
    asked: BTreeMap<PeerKey, usize>,
    banned: Vec<u64>,
    wrong: usize,
    /// Bytes of pieces that came.
    came: usize,
}

impl Play {
    fn new() -> Self {
        Self {
            fetch: Fetch::new(InfoHash(sha1(&truth()))),
            now: Instant::now(),
            peers: BTreeMap::new(),
            asked: BTreeMap::new(),
            banned: Vec::new(),
            wrong: 0,
            came: 0,
        }
    }

    fn peer(mut self, key: u64, size: u32, holds: Option<Vec<u8>>) -> Self {
        self.fetch.offers(who(key), size);
        self.peers.insert(PeerKey(key), holds);
        self
    }

    fn honest(self, key: u64) -> Self {
        self.peer(key, SIZE, Some(truth()))
    }

    /// Wrong in that piece alone.
    fn liar(self, key: u64, number: u32) -> Self {
        let mut bytes = truth();
        bytes[(number * PIECE) as usize] ^= 1;
        self.peer(key, SIZE, Some(bytes))
    }

    fn ban(&mut self, guilty: impl IntoIterator<Item = Suspect>) {
        for guilty in guilty {
            self.banned.push(guilty.peer.0);
            self.fetch.left(guilty.peer);
        }
    }

    /// Lets everybody answer, round after round; the bytes and how long it took.
    fn run(&mut self) -> (Bytes, Duration) {
        let began = self.now;
        loop {
            let requests = self.fetch.requests(self.now);
            if requests.is_empty() {
                self.now += SECOND;
                assert!(self.now < began + SECOND * 600, "it never ends");
            }
            for (key, number) in requests {
                *self.asked.entry(key).or_default() += 1;
                let Some(holds) = self.peers[&key].clone() else {
                    continue;
                };
                let size = u32::try_from(holds.len()).unwrap();
                let data = piece(&holds, number);
                self.came += data.len();
                match self.fetch.came(key, number, size, data) {
                    Arrival::Taken | Arrival::Unasked => {}
                    Arrival::OtherSize => self.fetch.left(key),
                    Arrival::Wrong { guilty } => {
                        self.wrong += 1;
                        self.ban(guilty);
                    }
                    Arrival::Found { info, guilty } => {
                        self.ban(guilty);
                        self.banned.sort_unstable();
                        return (info, self.now - began);
                    }
                }
            }
        }
    }
}

#[test]
fn one_peer_gives_all_of_it() {
    let mut play = Play::new().honest(1);
    let (info, took) = play.run();
    assert_eq!((info, took), (truth().into(), Duration::ZERO));
    assert_eq!((play.came, play.wrong), (SIZE as usize, 0));
}

#[test]
fn several_peers_give_a_part_each() {
    let mut play = Play::new().honest(1).honest(2).honest(3);
    let (info, _) = play.run();
    assert_eq!((info, play.came), (truth().into(), SIZE as usize));
    assert!(
        play.asked.values().all(|&count| count >= 2),
        "{:?}",
        play.asked
    );
}

#[test]
fn silent_peers_hold_up_one_piece_each_for_a_second() {
    let mut play = Play::new().honest(9);
    for key in 1..=3 {
        play = play.peer(key, SIZE, None);
    }
    let (info, took) = play.run();
    assert_eq!((info, took), (truth().into(), SECOND));
    assert_eq!(play.asked[&PeerKey(1)], 1);
}

#[test]
fn sole_sender_of_wrong_metadata_is_guilty() {
    let mut play = Play::new().liar(1, 2);
    let requests = play.fetch.requests(play.now);
    assert_eq!(
        requests,
        [(PeerKey(1), 0)],
        "an untried peer is asked one thing"
    );
    play = play.honest(2);
    // Gone before the honest one is asked: what it gave was all of it.
    while play.wrong == 0 {
        let requests = play.fetch.requests(play.now);
        let of_one = requests.into_iter().filter(|(key, _)| *key == PeerKey(1));
        for (key, number) in of_one.chain([(PeerKey(1), 0)]) {
            let data = play.peers[&key].clone().unwrap();
            if let Arrival::Wrong { guilty } =
                play.fetch.came(key, number, SIZE, piece(&data, number))
            {
                play.wrong += 1;
                play.ban(guilty);
            }
        }
        play.fetch.left(PeerKey(2));
    }
    assert_eq!(play.banned, [1]);
}

#[test]
fn liar_among_several_is_found_by_its_own_assembly_and_nobody_else_is_banned() {
    let mut wrong = 0;
    for number in 0..7 {
        let mut play = Play::new()
            .liar(1, number)
            .liar(2, 6 - number)
            .honest(3)
            .honest(4);
        let (info, _) = play.run();
        assert_eq!(info, truth());
        let only_liars = play.banned.iter().all(|key| [1, 2].contains(key));
        assert!(only_liars, "{number}: {:?}", play.banned);
        wrong += play.wrong;
        // Once mixed, and at most once for each liar.
        assert!(
            play.came <= 4 * SIZE as usize,
            "{number}: {} bytes came",
            play.came
        );
    }
    assert!(wrong > 0, "no lie was asked for");
}

#[test]
fn who_spoiled_a_mixed_assembly_is_banned_when_the_truth_is_known() {
    let mut play = Play::new().honest(1);
    // It gives one wrong piece and then nothing.
    play.fetch.offers(who(2), SIZE);
    play.peers.insert(PeerKey(2), None);
    let requests = play.fetch.requests(play.now);
    let mut lied = false;
    for (key, number) in requests {
        let data = piece(&truth(), number).to_vec();
        let data = match key == PeerKey(2) {
            true => vec![9; data.len()],
            false => data,
        };
        lied |= key == PeerKey(2);
        assert_eq!(play.fetch.came(key, number, SIZE, &data), Arrival::Taken);
    }
    assert!(lied);
    let (info, _) = play.run();
    assert_eq!(
        (info, play.wrong, play.banned),
        (truth().into(), 1, vec![2])
    );
}

#[test]
fn claims_of_other_sizes_neither_mix_nor_hold_up() {
    let huge = 64 << 20;
    let mut play = Play::new();
    for key in 1..=5 {
        play = play.peer(key, huge, None);
    }
    // The size is a lie, and what comes under it.
    play = play.peer(6, PIECE, Some(vec![1; PIECE as usize]));
    // Claims one size and sends another.
    play = play.peer(7, 3 * PIECE, Some(truth()));
    play = play.honest(8);
    let (info, took) = play.run();
    assert_eq!((info, took), (truth().into(), Duration::ZERO));
    assert_eq!(play.banned, [6]);
    assert!(play.fetch.bytes_promised() <= METADATA_BYTES_MAX);
}

#[test]
fn memory_has_one_bound_and_the_small_goes_on() {
    let huge: u32 = 64 << 20;
    let mut fetch = Fetch::new(InfoHash([0; 20]));
    let now = Instant::now();
    for key in 1..=3 {
        fetch.offers(who(key), huge - u32::try_from(key).unwrap());
    }
    let data = vec![0; PIECE as usize];
    for _ in 0..METADATA_BYTES_MAX / PIECE as usize {
        for (peer, number) in fetch.requests(now) {
            let size = fetch.sources[&peer].size;
            if number < huge / PIECE - 1 {
                fetch.came(peer, number, size, &data);
            }
        }
        assert!(fetch.bytes_promised() <= METADATA_BYTES_MAX);
    }
    assert!(
        fetch.bytes_promised() > METADATA_BYTES_MAX / 2,
        "they gave a lot"
    );
    fetch.offers(who(9), 2 * PIECE);
    let requests = fetch.requests(now);
    assert!(
        requests.contains(&(PeerKey(9), 0)),
        "the small one finds room: {requests:?}"
    );
    assert!(fetch.bytes_promised() <= METADATA_BYTES_MAX);
}

#[test]
fn who_rejects_or_is_silent_rests_longer_each_time() {
    let mut fetch = Fetch::new(InfoHash([0; 20]));
    let mut now = Instant::now();
    fetch.offers(who(1), SIZE);
    let mut rest = METADATA_REST_FIRST;
    for turn in 0..12 {
        assert_eq!(fetch.requests(now), [(PeerKey(1), 0)], "{turn}");
        if turn % 2 == 0 {
            fetch.rejected(now, PeerKey(1), 5);
            assert_eq!(fetch.progress().asked, 1, "a reject of what was not asked");
            fetch.rejected(now, PeerKey(1), 0);
        } else {
            now += METADATA_REQUEST_WITHIN;
            assert_eq!(fetch.requests(now), []);
        }
        assert_eq!(fetch.requests(now + rest - SECOND), []);
        now += rest;
        rest = (rest * 2).min(METADATA_REST_MAX);
    }
    // What comes late is taken, and forgives.
    let late = fetch.came(PeerKey(1), 0, SIZE, piece(&truth(), 0));
    assert_eq!(late, Arrival::Taken);
    assert_eq!(fetch.requests(now).len(), METADATA_IN_FLIGHT);
}

#[test]
fn what_nobody_asked_for_is_not_kept() {
    let mut fetch = Fetch::new(InfoHash([0; 20]));
    let data = vec![0; PIECE as usize];
    assert_eq!(fetch.came(PeerKey(1), 0, SIZE, &data), Arrival::Unasked);
    fetch.offers(who(1), SIZE);
    assert_eq!(fetch.came(PeerKey(1), 0, SIZE, &data), Arrival::Unasked);
    let now = Instant::now();
    assert_eq!(fetch.requests(now), [(PeerKey(1), 0)]);
    assert_eq!(fetch.came(PeerKey(1), 1, SIZE, &data), Arrival::Unasked);
    assert_eq!(fetch.progress().bytes, 0);
}

#[test]
fn pieces_outlive_the_connection_that_brought_them() {
    let mut fetch = Fetch::new(InfoHash(sha1(&truth())));
    let now = Instant::now();
    for key in 1..=7 {
        fetch.offers(who(key), SIZE);
        let [(peer, number)] = fetch.requests(now)[..] else {
            panic!("an untried peer is asked one thing");
        };
        let came = fetch.came(peer, number, SIZE, piece(&truth(), number));
        fetch.left(peer);
        match key {
            7 => assert!(matches!(came, Arrival::Found { .. })),
            _ => assert_eq!(came, Arrival::Taken),
        }
    }
}

#[test]
fn claims_of_those_who_left_are_bounded() {
    let mut fetch = Fetch::new(InfoHash([0; 20]));
    let now = Instant::now();
    for key in 1..=1_000 {
        fetch.offers(who(key), SIZE + u32::try_from(key).unwrap());
        for (peer, number) in fetch.requests(now) {
            let size = fetch.sources[&peer].size;
            fetch.came(peer, number, size, piece(&truth(), number));
        }
        fetch.left(PeerKey(key));
        assert!(fetch.claims.len() <= METADATA_CLAIMS_KEPT);
        assert!(fetch.assemblies.len() <= METADATA_CLAIMS_KEPT);
    }
}
