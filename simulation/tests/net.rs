//! What the virtual net promises: order, rates, fairness, faults, and the same again by seed.

use std::time::Duration;

use shoal_simulation::limits::{CONNECT_TIMEOUT, QUEUED_BYTES_MAX};
use shoal_simulation::{
    End, Event, Faults, HostConfig, HostId, LinkConfig, Net, Rng, SendError, Totals,
};

const BLOCK: u64 = 16 << 10;
const LATENCY: Duration = Duration::from_millis(50);
const LINK: LinkConfig = LinkConfig {
    latency: (LATENCY, LATENCY),
    jitter: Duration::ZERO,
};
const UNLIMITED: HostConfig = HostConfig {
    upload_bytes_per_s: None,
    download_bytes_per_s: None,
};

type World = Net<u64, &'static str>;

fn up(rate: u64) -> HostConfig {
    HostConfig {
        upload_bytes_per_s: Some(rate),
        ..UNLIMITED
    }
}

fn down(rate: u64) -> HostConfig {
    HostConfig {
        download_bytes_per_s: Some(rate),
        ..UNLIMITED
    }
}

/// A world of hosts, with `(from, to)` connected and everybody's events heard.
fn world(hosts: &[HostConfig], connected: &[(usize, usize)]) -> (World, Vec<HostId>, Vec<End>) {
    let mut net = World::new(&Rng::new(1), LINK);
    let hosts: Vec<_> = hosts.iter().map(|&config| net.add_host(config)).collect();
    let dial = |&(from, to): &(usize, usize)| net.connect(hosts[from], hosts[to]);
    let ends = connected.iter().map(dial).collect();
    let opened = drain(&mut net);
    assert_eq!(opened.len(), 2 * connected.len());
    (net, hosts, ends)
}

/// Everything that happens until nothing does.
fn drain(net: &mut World) -> Vec<(Duration, Event<u64, &'static str>)> {
    std::iter::from_fn(|| {
        let event = net.next_event()?;
        Some((net.elapsed(), event))
    })
    .collect()
}

fn delivered(events: &[(Duration, Event<u64, &str>)], to: End) -> Vec<u64> {
    let heard = events.iter().filter_map(|(_, event)| match event {
        Event::Delivered { end, messages, .. } if *end == to => Some(messages.clone()),
        _ => None,
    });
    heard.flatten().collect()
}

fn closed(events: &[(Duration, Event<u64, &str>)]) -> Vec<End> {
    let closed = events.iter().filter_map(|(_, event)| match event {
        Event::Closed { end, .. } => Some(*end),
        _ => None,
    });
    closed.collect()
}

/// Sends `count` blocks, numbered from 0.
fn send_blocks(net: &mut World, end: End, count: u64) {
    for number in 0..count {
        net.send(end, BLOCK, number).unwrap();
    }
}

fn assert_near(found: Duration, expected: Duration) {
    let (found, expected) = (found.as_secs_f64(), expected.as_secs_f64());
    assert!(
        (found / expected - 1.0).abs() < 0.02,
        "{found} s instead of {expected} s"
    );
}

#[test]
fn message_takes_one_latency_and_a_dial_two() {
    let (mut net, _, ends) = world(&[UNLIMITED; 2], &[(0, 1)]);
    assert_eq!(net.elapsed(), 2 * LATENCY);
    net.send(ends[0], 1, 7).unwrap();
    let events = drain(&mut net);
    assert_eq!(delivered(&events, ends[0].other()), [7]);
    assert_eq!(net.elapsed(), 3 * LATENCY);
}

#[test]
fn uplink_keeps_its_rate() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED], &[(0, 1)]);
    let begin = net.elapsed();
    send_blocks(&mut net, ends[0], 640);
    let events = drain(&mut net);
    let numbers: Vec<_> = (0..640).collect();
    assert_eq!(delivered(&events, ends[0].other()), numbers);
    assert_near(net.elapsed() - begin, Duration::from_secs(10) + LATENCY);
}

#[test]
fn downlink_keeps_its_rate_over_all_its_connections() {
    let hosts = [down(1 << 20), UNLIMITED, up(1 << 18), UNLIMITED];
    let (mut net, _, ends) = world(&hosts, &[(1, 0), (2, 0), (3, 0)]);
    let begin = net.elapsed();
    for end in &ends {
        send_blocks(&mut net, *end, 128);
    }
    drain(&mut net);
    // 6 MiB at 1 MiB/s; the slow sender needs 8 s for its 2 MiB.
    assert_near(net.elapsed() - begin, Duration::from_secs(8) + LATENCY);
    send_blocks(&mut net, ends[0], 256);
    send_blocks(&mut net, ends[2], 256);
    let begin = net.elapsed();
    drain(&mut net);
    assert_near(net.elapsed() - begin, Duration::from_secs(8) + LATENCY);
}

#[test]
fn connections_share_an_uplink_fairly_whatever_the_size_of_their_messages() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED, UNLIMITED], &[(0, 1), (0, 2)]);
    net.send(ends[0], 4 << 20, 1).unwrap();
    send_blocks(&mut net, ends[1], 256);
    let mut sent = [0; 2];
    while let Some(event) = net.next_event() {
        if let Event::Sent { end, bytes, .. } = event {
            sent[usize::from(end == ends[1])] += bytes;
            let gap = u64::abs_diff(sent[0], sent[1]);
            assert!(gap <= BLOCK, "{sent:?}");
        }
    }
    assert_eq!(sent, [4 << 20; 2]);
}

#[test]
fn messages_of_one_chunk_come_as_one_batch() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED], &[(0, 1)]);
    send_blocks(&mut net, ends[0], 1);
    for number in 1..100 {
        net.send(ends[0], 17, number).unwrap();
    }
    assert_eq!(net.queued(ends[0]), 99 * 17, "the first block is leaving");
    let events = drain(&mut net);
    let batches: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Delivered { messages, .. } => Some(messages.len()),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [1, 99]);
    let sent: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Sent {
                bytes,
                messages,
                queued,
                ..
            } => Some((*bytes, *messages, *queued)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(BLOCK, 1, 99 * 17), (99 * 17, 99, 0)]);
}

#[test]
fn order_is_kept_whatever_the_jitter() {
    let link = LinkConfig {
        latency: (Duration::ZERO, LATENCY),
        jitter: 10 * LATENCY,
    };
    let mut net = World::new(&Rng::new(2), link);
    let (a, b) = (net.add_host(up(1 << 20)), net.add_host(UNLIMITED));
    let end = net.connect(a, b);
    drain(&mut net);
    send_blocks(&mut net, end, 100);
    let numbers: Vec<_> = (0..100).collect();
    assert_eq!(delivered(&drain(&mut net), end.other()), numbers);
}

#[test]
fn partition_holds_everything_up_and_healing_lets_it_through() {
    let (mut net, hosts, ends) = world(&[UNLIMITED; 3], &[(0, 1), (2, 0)]);
    net.partition(&[hosts[0]]);
    net.send(ends[0], 10, 1).unwrap();
    net.send(ends[0].other(), 10, 2).unwrap();
    net.send(ends[1], 10, 3).unwrap();
    let events = drain(&mut net);
    assert!(
        events
            .iter()
            .all(|(_, event)| matches!(event, Event::Sent { .. }))
    );
    net.close(ends[1]);
    assert_eq!(closed(&drain(&mut net)), [ends[1]]);
    net.heal();
    let events = drain(&mut net);
    assert_eq!(delivered(&events, ends[0].other()), [1]);
    assert_eq!(delivered(&events, ends[0]), [2]);
    assert_eq!(delivered(&events, ends[1].other()), [3]);
    assert_eq!(closed(&events), [ends[1].other()]);
}

#[test]
fn partition_one_way_lets_the_other_way_through() {
    let (mut net, hosts, ends) = world(&[UNLIMITED; 2], &[(0, 1)]);
    net.partition_one_way(&[hosts[0]]);
    net.send(ends[0], 10, 1).unwrap();
    net.send(ends[0].other(), 10, 2).unwrap();
    let events = drain(&mut net);
    assert_eq!(delivered(&events, ends[0].other()), []);
    assert_eq!(delivered(&events, ends[0]), [2]);
}

#[test]
fn dial_fails_at_a_dead_host_and_at_a_partition() {
    let (mut net, hosts, _) = world(&[UNLIMITED; 3], &[]);
    net.crash(hosts[1]);
    net.partition(&[hosts[2]]);
    let dead = net.connect(hosts[0], hosts[1]);
    let apart = net.connect(hosts[0], hosts[2]);
    let refused = |end| Event::Refused {
        host: hosts[0],
        end,
    };
    let expect = [
        (2 * LATENCY, refused(dead)),
        (LATENCY + CONNECT_TIMEOUT, refused(apart)),
    ];
    assert_eq!(drain(&mut net), expect);
}

#[test]
fn answer_to_a_dial_waits_for_the_partition_to_heal() {
    let (mut net, hosts, _) = world(&[UNLIMITED; 2], &[]);
    let end = net.connect(hosts[0], hosts[1]);
    assert!(matches!(net.next_event(), Some(Event::Opened { host, .. }) if host == hosts[1]));
    net.partition(&[hosts[1]]);
    net.send(end.other(), 10, 1).unwrap();
    assert_eq!(net.send(end, 10, 2), Err(SendError::NotOpen));
    drain(&mut net);
    net.heal();
    let events = drain(&mut net);
    let first = &events[0].1;
    assert!(
        matches!(first, Event::Opened { host, .. } if *host == hosts[0]),
        "{first:?}"
    );
    assert_eq!(delivered(&events, end), [1]);
}

#[test]
fn crash_closes_everything_and_the_dead_hear_nothing() {
    let (mut net, hosts, ends) = world(&[UNLIMITED; 3], &[(0, 1), (2, 0), (1, 2)]);
    for end in &ends {
        send_blocks(&mut net, *end, 3);
    }
    net.crash(hosts[0]);
    assert!(!net.is_alive(hosts[0]));
    let events = drain(&mut net);
    assert_eq!(closed(&events), [ends[0].other(), ends[1]]);
    assert_eq!(delivered(&events, ends[2].other()), [0, 1, 2]);
    assert_eq!(delivered(&events, ends[0].other()), []);
    net.restart(hosts[0]);
    assert!(drain(&mut net).is_empty());
    assert_eq!(net.send(ends[0], 1, 1), Err(SendError::NotOpen));
    let end = net.connect(hosts[0], hosts[1]);
    drain(&mut net);
    send_blocks(&mut net, end, 2);
    assert_eq!(delivered(&drain(&mut net), end.other()), [0, 1]);
}

#[test]
fn cut_loses_what_is_on_the_way_and_both_ends_hear_of_it() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED], &[(0, 1)]);
    send_blocks(&mut net, ends[0], 64);
    while net.elapsed() < Duration::from_millis(500) {
        net.next_event();
    }
    assert_eq!(net.connections().collect::<Vec<_>>(), [ends[0].conn]);
    net.cut(ends[0].conn);
    let events = drain(&mut net);
    assert_eq!(closed(&events), [ends[0], ends[0].other()]);
    assert_eq!(delivered(&events, ends[0].other()), []);
    let Totals {
        accepted,
        delivered,
        lost,
    } = net.totals();
    assert!(delivered > 0 && lost > 0);
    assert_eq!(accepted, delivered + lost);
    assert_eq!(net.connections().count(), 0);
}

#[test]
fn close_lets_what_has_left_arrive_first() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED], &[(0, 1)]);
    send_blocks(&mut net, ends[0], 64);
    net.send(ends[0].other(), BLOCK, 99).unwrap();
    net.close(ends[0]);
    let events = drain(&mut net);
    assert_eq!(
        delivered(&events, ends[0].other()),
        [0],
        "one block was leaving"
    );
    assert_eq!(delivered(&events, ends[0]), []);
    assert_eq!(closed(&events), [ends[0], ends[0].other()]);
    let Totals { accepted, lost, .. } = net.totals();
    assert_eq!((accepted, lost), (65 * BLOCK, 64 * BLOCK));
}

#[test]
fn dial_that_is_called_off_is_refused() {
    let (mut net, hosts, _) = world(&[UNLIMITED; 2], &[]);
    let end = net.connect(hosts[0], hosts[1]);
    net.close(end);
    let refused = Event::Refused {
        host: hosts[0],
        end,
    };
    assert_eq!(drain(&mut net), [(Duration::ZERO, refused)]);
}

#[test]
fn clog_delays_and_loses_nothing() {
    let (mut net, _, ends) = world(&[UNLIMITED; 2], &[(0, 1)]);
    let begin = net.elapsed();
    send_blocks(&mut net, ends[0], 3);
    net.clog(ends[0].conn, Duration::from_secs(5));
    assert_eq!(delivered(&drain(&mut net), ends[0].other()), [0, 1, 2]);
    assert_eq!(net.elapsed() - begin, Duration::from_secs(5));
}

#[test]
fn queue_is_bounded() {
    let (mut net, _, ends) = world(&[up(1 << 20), UNLIMITED], &[(0, 1)]);
    assert_eq!(net.send(ends[0], QUEUED_BYTES_MAX, 1), Ok(()));
    assert_eq!(net.send(ends[0], QUEUED_BYTES_MAX, 2), Err(SendError::Full));
    assert_eq!(net.send(ends[0], BLOCK, 3), Ok(()), "a chunk has left");
}

#[test]
fn host_may_dial_itself() {
    let (mut net, hosts, ends) = world(&[UNLIMITED], &[(0, 0)]);
    net.send(ends[0], 10, 1).unwrap();
    assert_eq!(delivered(&drain(&mut net), ends[0].other()), [1]);
    net.crash(hosts[0]);
    assert!(drain(&mut net).is_empty());
}

#[test]
fn timers_ring_between_the_events_of_the_net() {
    let (mut net, _, ends) = world(&[UNLIMITED; 2], &[(0, 1)]);
    net.schedule_after(2 * LATENCY, "late");
    net.schedule_at(net.now(), "now");
    net.send(ends[0], 1, 1).unwrap();
    let order: Vec<_> = drain(&mut net)
        .into_iter()
        .map(|(_, event)| event)
        .collect();
    assert_eq!(order[0], Event::Timer("now"));
    assert_eq!(order[3], Event::Timer("late"));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Clog,
    Crash,
    Cut,
    Heal,
    Partition,
}

/// Hosts that dial and send at random while everything goes wrong, then peace. Gives the
/// fingerprint of the run, and the faults that struck.
fn storm(seed: u64) -> ((u64, u64), Faults<Kind>) {
    let rng = Rng::new(seed);
    let link = LinkConfig {
        latency: (Duration::from_millis(5), Duration::from_millis(80)),
        jitter: Duration::from_millis(20),
    };
    let mut net = World::new(&rng, link);
    let mut play = rng.fork("play");
    let mut faults = Faults::new(&rng)
        .with(Kind::Clog, 0.1)
        .with(Kind::Crash, 0.05)
        .with(Kind::Cut, 0.2)
        .with(Kind::Heal, 0.2)
        .with(Kind::Partition, 0.1);
    let hosts: Vec<_> = (0..8)
        .map(|_| {
            net.add_host(HostConfig {
                upload_bytes_per_s: play.chance(0.8).then(|| 50_000 + play.below(1 << 20)),
                download_bytes_per_s: play.chance(0.5).then(|| 50_000 + play.below(1 << 22)),
            })
        })
        .collect();
    let mut ends = Vec::new();
    net.schedule_after(Duration::ZERO, "act");
    while let Some(event) = net.next_event() {
        match event {
            Event::Opened { end, .. } => ends.push(end),
            Event::Closed { end, .. } => ends.retain(|&other| other != end),
            Event::Timer(_) if net.elapsed() < Duration::from_secs(60) => {
                net.schedule_after(Duration::from_millis(100), "act");
                act(&mut net, &mut play, &hosts, &ends);
                strike(&mut net, &mut play, &mut faults, &hosts);
            }
            Event::Timer(_) => {
                faults.stop();
                net.heal();
            }
            _ => {}
        }
    }
    let Totals {
        accepted,
        delivered,
        lost,
    } = net.totals();
    let waiting = ends.iter().map(|&end| net.queued(end)).sum::<u64>();
    assert!(delivered > 0, "seed {seed}");
    assert_eq!(accepted, delivered + lost, "seed {seed}");
    assert_eq!(waiting, 0, "seed {seed}");
    (net.trace().fingerprint(), faults)
}

fn act(net: &mut World, play: &mut Rng, hosts: &[HostId], ends: &[End]) {
    let (&from, &to) = (play.pick(hosts).unwrap(), play.pick(hosts).unwrap());
    if net.is_alive(from) {
        net.connect(from, to);
    } else {
        net.restart(from);
    }
    for _ in 0..4 {
        if let Some(&end) = play.pick(ends) {
            // A crash takes ends away silently.
            let _ = net.send(end, 1 + play.below(100_000), play.below(1000));
        }
    }
    let closes = play.chance(0.1);
    if let Some(&end) = play.pick(ends).filter(|_| closes) {
        net.close(end);
    }
}

fn strike(net: &mut World, play: &mut Rng, faults: &mut Faults<Kind>, hosts: &[HostId]) {
    let open: Vec<_> = net.connections().collect();
    let host = *play.pick(hosts).unwrap();
    let Some(&conn) = play.pick(&open) else {
        return;
    };
    if faults.strikes(Kind::Clog) {
        net.clog(conn, Duration::from_secs(play.below(5)));
    }
    if faults.strikes(Kind::Cut) {
        net.cut(conn);
    }
    if faults.strikes(Kind::Crash) {
        net.crash(host);
    }
    if faults.strikes(Kind::Partition) {
        net.partition(&hosts[play.index(hosts.len())..]);
    }
    if faults.strikes(Kind::Heal) {
        net.heal();
    }
}

#[test]
fn same_seed_gives_the_same_trace_and_bytes_are_conserved_in_any_storm() {
    for seed in 0..20 {
        let (trace, faults) = storm(seed);
        assert_eq!(faults.never_struck(), [], "seed {seed}");
        assert_eq!(storm(seed).0, trace, "seed {seed}");
        assert_ne!(storm(seed + 1).0, trace, "seed {seed}");
    }
}
