//! A tracker's table. BEP 3, 23. An item is an announce, for 50 peers of it.
//!
//! A row's number is how many torrents there are and how many peers each has.

use std::net::IpAddr;
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use shoal_bench::announces;
use shoal_tracker::http::query;
use shoal_tracker::http::response::{AnnounceReply, Peers, encode_announce};
use shoal_tracker::limits::{SERVER_INTERVAL_DEFAULT, SWEEP_EVERY};
use shoal_tracker::registry::Registry;
use shoal_tracker::{AnnounceEvent, AnnounceRequest};

/// Torrents and peers of each.
const TABLES: [(u32, u32); 3] = [(1, 1_000), (1, 100_000), (10_000, 10)];

/// Announces of one measurement.
const BATCH: usize = 1_000;

fn main() {
    divan::main();
}

/// Known peers say that they are still there.
#[divan::bench(args = TABLES)]
fn announce(bencher: Bencher<'_, '_>, (torrents, peers): (u32, u32)) {
    let now = Instant::now();
    let registry = announces::registry(torrents, peers, now);
    let announces = announces::sample(torrents, peers, BATCH, 1);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for (request, ip) in &announces {
            let answer = registry.announce(now, black_box(request), *ip);
            black_box(answer.expect("there is room"));
        }
    });
}

/// The same from the query to the bytes of the answer: a tracker's work without its socket.
#[divan::bench(args = TABLES)]
fn query_to_response(bencher: Bencher<'_, '_>, (torrents, peers): (u32, u32)) {
    let now = Instant::now();
    let registry = announces::registry(torrents, peers, now);
    let sample = announces::sample(torrents, peers, BATCH, 1);
    let queries = sample
        .iter()
        .map(|(request, ip)| (announces::query(request), *ip));
    let queries: Vec<_> = queries.collect();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for (query, ip) in &queries {
            black_box(serve(&registry, now, black_box(query), *ip));
        }
    });
}

/// Peers come and go: a `started` and a `stopped` are two items.
#[divan::bench(args = TABLES)]
fn come_and_go(bencher: Bencher<'_, '_>, (torrents, peers): (u32, u32)) {
    let now = Instant::now();
    // Room for those who come, so that nobody is evicted.
    let known = peers.min(99_000);
    let registry = announces::registry(torrents, known, now);
    let with = |(request, ip): announces::Announce, event| {
        let event = Some(event);
        (AnnounceRequest { event, ..request }, ip)
    };
    let strangers = |event| {
        let stranger = move |at: u32| with(announces::announce(at % torrents, known + at), event);
        (0..500).map(stranger)
    };
    let come = strangers(AnnounceEvent::Started);
    let announces: Vec<_> = come.chain(strangers(AnnounceEvent::Stopped)).collect();
    let items = ItemsCount::new(announces.len());
    bencher.counter(items).bench_local(|| {
        for (request, ip) in &announces {
            let answer = registry.announce(now, black_box(request), *ip);
            black_box(answer.expect("there is room"));
        }
    });
    assert_eq!(registry.size().1, (torrents * known) as usize);
}

/// The pass over all peers of a torrent that looks for silent ones, every half minute. An item is
/// a peer.
#[divan::bench(args = TABLES)]
fn sweep(bencher: Bencher<'_, '_>, (torrents, peers): (u32, u32)) {
    let now = Instant::now();
    let registry = announces::registry(torrents, peers, now);
    let swept = torrents.min(1_000) * peers;
    bencher
        .counter(ItemsCount::new(swept))
        .bench_local(|| registry.expire(black_box(now + SWEEP_EVERY)));
}

fn serve(registry: &Registry, now: Instant, query: &[u8], ip: IpAddr) -> Vec<u8> {
    let asked = query::announce(query).expect("our own query");
    let answer = registry.announce(now, &asked.request, ip);
    let answer = answer.expect("there is room");
    encode_announce(&AnnounceReply {
        interval: SERVER_INTERVAL_DEFAULT,
        min_interval: None,
        seeders: answer.seeders,
        leechers: answer.leechers,
        peers: Peers::Compact {
            v4: &answer.peers_v4,
            v6: &answer.peers_v6,
        },
        external_ip: ip,
    })
}
