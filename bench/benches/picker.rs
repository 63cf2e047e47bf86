//! Choosing blocks: 100,000 pieces of 16 blocks, 200 peers. BEP 3 "rarest first", "end game".
//!
//! First the picker alone, then the swarm as a shell drives it: batches in, outputs out. Each fifth
//! peer is a seed, the others have a random half.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fastrand::Rng;
use shoal_bench::crowd::Crowd;
use shoal_bench::{geometry, half};
use shoal_metainfo::{Bitfield, PieceIndex};

const PIECES: u32 = 100_000;
const PEERS: usize = 200;

fn main() {
    divan::main();
}

#[divan::bench_group(sample_count = 20, sample_size = 1)]
mod picker {
    use super::*;
    use shoal_swarm::PeerKey;
    use shoal_swarm::holdings::Holdings;
    use shoal_swarm::picker::{Arrival, Picker};

    /// Blocks of one pick: a quarter of a full pipeline.
    const PICK: usize = 125;

    struct State {
        picker: Picker,
        peers: Vec<Holdings>,
        rng: Rng,
    }

    fn peers(rng: &mut Rng) -> Vec<Holdings> {
        let peer = |number: usize| match number % 5 {
            0 => Holdings::All,
            _ => Holdings::new(half(PIECES, rng)),
        };
        (0..PEERS).map(peer).collect()
    }

    /// A picker that has one piece and knows every peer.
    fn state() -> State {
        let mut rng = Rng::with_seed(1);
        let peers = peers(&mut rng);
        let mut have = Bitfield::none(PIECES);
        have.insert(random(&mut rng));
        let mut picker = Picker::new(geometry(PIECES), have, 1);
        peers.iter().for_each(|peer| picker.peer_came(peer));
        picker.pick(PeerKey(0), &peers[0], &[], 1, &mut Vec::new());
        State { picker, peers, rng }
    }

    fn random(rng: &mut Rng) -> PieceIndex {
        let piece = geometry(PIECES).piece(rng.u32(..PIECES));
        piece.expect("below the number of pieces")
    }

    /// Peers with a bitfield come.
    #[divan::bench]
    fn bitfields(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(PEERS - PEERS / 5))
            .with_inputs(|| {
                let peers = peers(&mut Rng::with_seed(1));
                let picker = Picker::new(geometry(PIECES), Bitfield::none(PIECES), 1);
                (picker, peers)
            })
            .bench_local_refs(|(picker, peers)| {
                let peers = peers.iter().filter(|peer| !peer.is_seed());
                peers.for_each(|peer| picker.peer_came(black_box(peer)));
            });
    }

    /// A peer with a bitfield comes and the next block is picked: all is sorted anew.
    #[divan::bench]
    fn bitfield_then_pick(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(10usize))
            .with_inputs(state)
            .bench_local_refs(|State { picker, peers, .. }| {
                let mut picked = Vec::new();
                for peer in peers.iter().filter(|peer| !peer.is_seed()).take(10) {
                    picker.peer_came(peer);
                    picker.pick(PeerKey(0), &peers[0], &[], 1, &mut picked);
                }
                picked
            });
    }

    #[divan::bench]
    fn haves(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(100_000usize))
            .with_inputs(state)
            .bench_local_refs(|State { picker, rng, .. }| {
                for _ in 0..100_000 {
                    picker.peer_gained(random(rng));
                }
            });
    }

    /// Every peer's pipeline of 500 is filled, in four picks. An item is a block.
    #[divan::bench]
    fn picks(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(PEERS * PICK * 4))
            .with_inputs(state)
            .bench_local_refs(|State { picker, peers, .. }| {
                let mut picked = Vec::with_capacity(PEERS * PICK * 4);
                for _ in 0..4 {
                    for (key, peer) in (0..).map(PeerKey).zip(peers.iter()) {
                        picker.pick(key, peer, &[], PICK, &mut picked);
                    }
                }
                assert_eq!(picked.len(), PEERS * PICK * 4);
            });
    }

    /// Those 100,000 blocks come and their pieces are verified. An item is a block.
    #[divan::bench]
    fn arrivals(bencher: Bencher<'_, '_>) {
        let picks = || {
            let State {
                mut picker, peers, ..
            } = state();
            let mut picks = Vec::new();
            for (key, peer) in (0..).map(PeerKey).zip(&peers) {
                let mut picked = Vec::new();
                picker.pick(key, peer, &[], PICK * 4, &mut picked);
                picks.extend(picked.into_iter().map(|block| (block, key)));
            }
            (picker, picks)
        };
        bencher
            .counter(ItemsCount::new(PEERS * PICK * 4))
            .with_inputs(picks)
            .bench_local_refs(|(picker, picks)| {
                for &(block, key) in picks.iter() {
                    let Arrival::Accepted { piece_complete, .. } = picker.received(block, key)
                    else {
                        unreachable!("every block was picked once");
                    };
                    if piece_complete {
                        picker.verified(block.piece());
                    }
                }
            });
    }
}

#[divan::bench_group(sample_count = 10, sample_size = 1)]
mod swarm {
    use super::*;

    fn connected() -> Crowd {
        let mut crowd = Crowd::new(PIECES, PEERS, 1);
        crowd.connect();
        crowd
    }

    /// Peers connect and send a bitfield. An item is a peer.
    #[divan::bench]
    fn connect(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(PEERS))
            .with_inputs(|| Crowd::new(PIECES, PEERS, 1))
            .bench_local_refs(Crowd::connect);
    }

    /// Batches of 64 `have`.
    #[divan::bench]
    fn haves(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(100_000usize))
            .with_inputs(|| {
                let mut crowd = connected();
                crowd.unchoke();
                let haves = crowd.haves(100_000);
                (crowd, haves)
            })
            .bench_local_refs(|(crowd, haves)| crowd.hear(std::mem::take(haves)));
    }

    /// Every peer unchokes us and is asked for its first blocks. An item is a block.
    #[divan::bench]
    fn unchoke(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(PEERS * 16))
            .with_inputs(connected)
            .bench_local_refs(|crowd| assert_eq!(crowd.unchoke(), PEERS * 16));
    }

    /// Blocks come, in batches of 16, pieces are verified and told, more is asked for. An item is
    /// a block.
    #[divan::bench]
    fn download(bencher: Bencher<'_, '_>) {
        const BLOCKS: usize = 320_000;
        bencher
            .counter(ItemsCount::new(BLOCKS))
            .with_inputs(|| {
                let mut crowd = connected();
                crowd.unchoke();
                crowd
            })
            .bench_local_refs(|crowd| crowd.download(BLOCKS));
    }

    /// A whole torrent of 2,000 pieces, end game included. An item is a block.
    #[divan::bench]
    fn download_to_the_end(bencher: Bencher<'_, '_>) {
        bencher
            .counter(ItemsCount::new(32_000usize))
            .with_inputs(|| {
                let mut crowd = Crowd::new(2_000, PEERS, 1);
                crowd.connect();
                crowd.unchoke();
                crowd
            })
            .bench_local_refs(|crowd| crowd.download(usize::MAX));
    }

    /// The end game has begun, and peers that owe us nothing say something: is there a block that
    /// they would give sooner? An item is a message.
    #[divan::bench]
    fn idle_in_the_end_game(bencher: Bencher<'_, '_>) {
        // Half of the peers hold all blocks.
        let crowd = || {
            let mut crowd = Crowd::new(100, PEERS, 1);
            crowd.connect();
            crowd.unchoke();
            crowd
        };
        bencher
            .with_inputs(crowd)
            .input_counter(|crowd| ItemsCount::new(crowd.idle_peers()))
            .bench_local_refs(Crowd::idle_peers_speak);
    }
}
