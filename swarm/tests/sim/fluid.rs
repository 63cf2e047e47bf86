//! A whole swarm beside what its lines allow: one seed, many leechers, 64 MiB.
//!
//! Two bounds: the fluid one, max(F / u_s, N·F / (u_s + Σ u_i)), for bytes that flow like water,
//! and that times 1 + ⌊log2 N⌋ / M, for M pieces that can be given on only when they are whole
//! (Mundinger, Weber, Weiss 2008; proved for equal lines).
//!
//! `just sim-fluid` prints the table; `SHOAL_SIM_FLUID` names its sizes, as `8,50,200`.

use std::time::Duration;

use shoal_metainfo::BLOCK_LENGTH;
use shoal_simulation::HostConfig;

use crate::outcome::Outcome;
use crate::plan::{MIB, Plan};
use crate::seeds::{Replay, Scenario, run, seeds};

/// 20 Mbit/s.
const LINE: u64 = 2_500_000;

/// What leechers of a mixed swarm send a second, in turn: 5, 40, 10 and 20 Mbit/s.
const MIXED: [u64; 4] = [LINE / 4, LINE * 2, LINE / 2, LINE];

/// A swarm to be measured.
#[derive(Debug, Clone, Copy)]
struct Race {
    leechers: usize,
    piece_length: u32,
    mixed: bool,
    bytes: u64,
}

/// How it went.
#[derive(Debug)]
struct Result {
    last: f64,
    mean: f64,
    fluid: f64,
    by_pieces: f64,
    /// Payload that came in vain, of all that came.
    waste: f64,
    /// What the seed had sent when every piece was out, in copies.
    first_copy: f64,
    first_copy_at: f64,
    /// How busy the lines of the leechers were until the end.
    busy: f64,
}

impl Race {
    fn plan(self, seed: u64) -> Plan {
        let pieces = u32::try_from(self.bytes / u64::from(self.piece_length)).expect("few");
        let mut plan = Plan::new(seed, pieces, self.piece_length / BLOCK_LENGTH);
        plan.link.latency = (Duration::from_millis(5), Duration::from_millis(40));
        plan.link.jitter = Duration::from_millis(5);
        plan.nodes = vec![plan.seed(LINE)];
        let leecher = plan.leecher(LINE);
        plan.nodes
            .extend(std::iter::repeat_n(leecher, self.leechers));
        for (number, node) in plan.nodes.iter_mut().enumerate() {
            let up = if self.mixed && number > 0 {
                MIXED[number % MIXED.len()]
            } else {
                LINE
            };
            node.line = HostConfig {
                upload_bytes_per_s: Some(up),
                download_bytes_per_s: Some(20 * LINE),
            };
        }
        plan
    }

    fn run(self, seed: u64) -> Result {
        let _replay = Replay(seed);
        let outcome = run(self.plan(seed));
        self.judge(&outcome)
    }

    fn judge(self, outcome: &Outcome) -> Result {
        let bytes = outcome.total as f64;
        let leechers = &outcome.nodes[1..];
        let line = |node: &crate::node::Node| {
            let up = node.plan.line.upload_bytes_per_s;
            up.expect("every line has a rate") as f64
        };
        let lines: f64 = leechers.iter().map(line).sum();
        let n = self.leechers as f64;
        let limit = (bytes / LINE as f64).max(n * bytes / (LINE as f64 + lines));
        let pieces = (bytes / f64::from(self.piece_length)).ceil();
        let times = leechers.iter().map(|node| {
            let at = node.record.complete_at.expect("all are complete");
            (at - outcome.begin).as_secs_f64()
        });
        let times: Vec<_> = times.collect();
        let last = times.iter().copied().fold(0.0, f64::max);
        let (first_copy_at, first_copy) = outcome.first_copy.expect("all are complete");
        let sent: u64 = leechers.iter().map(|node| node.record.sent).sum();
        Result {
            last,
            mean: times.iter().sum::<f64>() / n,
            fluid: last / limit,
            by_pieces: last / (limit * (1.0 + n.log2().floor() / pieces)),
            waste: outcome.waste(),
            first_copy: first_copy as f64 / bytes,
            first_copy_at: first_copy_at.as_secs_f64(),
            busy: sent as f64 / (lines * last),
        }
    }
}

fn print(race: Race, seed: u64, result: &Result) {
    println!(
        "{:>8} {:>6} {:>5} {seed:>5} {:>7.1} \
         {:>7.1} {:>7.3} {:>7.3} {:>6.2}% {:>6.3} {:>6.1} {:>6.2}",
        race.leechers,
        format!("{}K", race.piece_length >> 10),
        if race.mixed { "mixed" } else { "equal" },
        result.last,
        result.mean,
        result.fluid,
        result.by_pieces,
        result.waste * 100.0,
        result.first_copy,
        result.first_copy_at,
        result.busy,
    );
}

/// The sizes that are asked for.
fn sizes() -> Vec<usize> {
    let sizes = std::env::var("SHOAL_SIM_FLUID").unwrap_or_default();
    let sizes = sizes.split(',').filter(|size| !size.is_empty());
    let size = |text: &str| text.parse().expect("SHOAL_SIM_FLUID is like 8,50,200");
    sizes.map(size).collect()
}

/// As promised of real lines.
#[test]
fn eight_leechers_get_what_their_lines_allow_and_the_seed_gives_each_piece_once() {
    for seed in seeds(Scenario::Efficiency, 1, (0, 1)) {
        for mixed in [false, true] {
            let race = Race {
                leechers: 8,
                piece_length: 64 << 10,
                mixed,
                bytes: 64 * MIB,
            };
            let result = race.run(seed);
            print(race, seed, &result);
            assert!(result.fluid < 1.15, "seed {seed}: {result:?}");
            assert!(result.first_copy < 1.02, "seed {seed}: {result:?}");
            assert!(result.waste < 0.02, "seed {seed}: {result:?}");
        }
    }
}

/// More than have a slot at the seed, by far.
#[test]
fn fifty_leechers_get_what_their_lines_allow() {
    for seed in seeds(Scenario::Efficiency, 1, (0, 1)) {
        let race = Race {
            leechers: 50,
            piece_length: 256 << 10,
            mixed: false,
            bytes: 64 * MIB,
        };
        let result = race.run(seed);
        print(race, seed, &result);
        assert!(result.fluid < 1.25, "seed {seed}: {result:?}");
        assert!(result.first_copy < 1.05, "seed {seed}: {result:?}");
    }
}

#[test]
fn table_of_swarms_beside_their_bounds() {
    let bytes = 64 * MIB;
    let lengths = [shoal_metainfo::create::piece_length_for(bytes), 1 << 20];
    let seeds = seeds(Scenario::Efficiency, 1, (0, 1));
    let sizes = sizes();
    if !sizes.is_empty() {
        println!(
            "leechers piece  lines  seed    last    mean × fluid \
             × piece   waste 1st copy sent, at   busy"
        );
    }
    for leechers in sizes {
        for piece_length in lengths {
            for mixed in [false, true] {
                let race = Race {
                    leechers,
                    piece_length,
                    mixed,
                    bytes,
                };
                for &seed in &seeds {
                    print(race, seed, &race.run(seed));
                }
            }
        }
    }
}
