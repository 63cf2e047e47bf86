//! `tracker-load`: asks a tracker as fast as it answers, or so many times a second, and checks each
//! answer. BEP 3, 15, 23.
//!
//! First each of the peers announces once; then, for so many seconds, peers picked at random say
//! that they are still there. An answer counts only if its numbers and its peers are those of the
//! swarm, so an empty one does not win. Beside the answers stand the CPU seconds that the tracker's
//! process took for them. One JSON object on standard output; `bench/tracker/__main__.py` runs it
//! against several trackers.

mod http;
mod swarms;
mod udp;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use swarms::Swarms;

/// What is to be done.
#[derive(Debug)]
struct Options {
    protocol: String,
    address: SocketAddr,
    /// Whose CPU seconds count.
    pid: u32,
    swarms: Swarms,
    duration: Duration,
    /// Announces a second; as fast as answers come when `None`.
    rate: Option<f64>,
    /// Announces that are under way at the same time.
    window: usize,
    /// Whether each peer announces first; else somebody has done that before.
    fill: bool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    answers: u64,
    wrong: u64,
    lost: u64,
    latencies_us: Vec<u32>,
    /// The first wrong answer, for people.
    example: Option<String>,
}

impl Outcome {
    fn count(&mut self, answered: Result<(), String>, asked: Instant) {
        self.answers += 1;
        if let Err(why) = answered {
            self.wrong += 1;
            self.example.get_or_insert(why);
        }
        let latency = asked.elapsed().as_micros();
        self.latencies_us
            .push(u32::try_from(latency).unwrap_or(u32::MAX));
    }

    fn percentile(&mut self, percent: usize) -> u32 {
        self.latencies_us.sort_unstable();
        let last = self.latencies_us.len().saturating_sub(1);
        self.latencies_us
            .get(last * percent / 100)
            .copied()
            .unwrap_or(0)
    }
}

/// When the next announce may be made.
#[derive(Debug)]
struct Pace {
    begun: Instant,
    rate: Option<f64>,
    asked: u64,
    /// How many are made in all; without end when `None`.
    count: Option<u64>,
    until: Option<Instant>,
}

impl Pace {
    /// Whether one more may be made now.
    fn due(&mut self) -> bool {
        if self.is_over() {
            return false;
        }
        let due = self.rate.is_none_or(|rate| {
            #[expect(clippy::cast_precision_loss, reason = "a number of announces")]
            let asked = self.asked as f64;
            asked < self.begun.elapsed().as_secs_f64() * rate
        });
        self.asked += u64::from(due);
        due
    }

    fn is_over(&self) -> bool {
        self.count.is_some_and(|count| self.asked >= count)
            || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let options = read(&mut arguments).unwrap_or_else(|why| {
        eprintln!(
            "{why}\nusage: tracker-load udp|http|http-close ADDRESS pid=N [torrents=N] [peers=N] \
             [seconds=N] [rate=N] [window=N] [fill=0]"
        );
        std::process::exit(2)
    });
    let pace = |count, until, rate| Pace {
        begun: Instant::now(),
        rate,
        asked: 0,
        count,
        until,
    };
    if options.fill {
        let filled = run(
            &options,
            &mut pace(Some(options.swarms.peers()), None, None),
            true,
        );
        eprintln!("filled: {} answers, {} lost", filled.answers, filled.lost);
        if let Some(example) = filled.example {
            eprintln!("{} of them no answers: {example}", filled.wrong);
            std::process::exit(1);
        }
    }
    let cpu = cpu_seconds(options.pid);
    let begun = Instant::now();
    let until = Some(begun + options.duration);
    let mut outcome = run(&options, &mut pace(None, until, options.rate), false);
    let (cpu, elapsed) = (
        cpu_seconds(options.pid) - cpu,
        begun.elapsed().as_secs_f64(),
    );
    let right = outcome.answers - outcome.wrong;
    #[expect(clippy::cast_precision_loss, reason = "a number of answers")]
    let (per_cpu, per_second) = (right as f64 / cpu, right as f64 / elapsed);
    let (wrong, lost) = (outcome.wrong, outcome.lost);
    let (p50, p99) = (outcome.percentile(50), outcome.percentile(99));
    println!(
        "{{\"answers\":{right},\"wrong\":{wrong},\"lost\":{lost},\"seconds\":{elapsed:.3},\
         \"cpu\":{cpu:.3},\"per_cpu_second\":{per_cpu:.0},\"per_second\":{per_second:.0},\
         \"p50_us\":{p50},\"p99_us\":{p99}}}"
    );
    if let Some(example) = outcome.example {
        eprintln!("a wrong answer: {example}");
        std::process::exit(1);
    }
}

fn run(options: &Options, pace: &mut Pace, first: bool) -> Outcome {
    match options.protocol.as_str() {
        "udp" => udp::run(options, pace, first),
        "http" => http::run(options, pace, first, true),
        _ => http::run(options, pace, first, first),
    }
}

fn read(arguments: &mut impl Iterator<Item = String>) -> Result<Options, String> {
    let protocol = arguments.next().ok_or("no protocol")?;
    if !["udp", "http", "http-close"].contains(&protocol.as_str()) {
        return Err(format!("`{protocol}` is no protocol"));
    }
    let address = arguments.next().ok_or("no address")?;
    let mut options = Options {
        protocol,
        address: address
            .parse()
            .map_err(|_| format!("`{address}` is no address"))?,
        pid: 0,
        swarms: Swarms::new(100_000, 10),
        duration: Duration::from_secs(8),
        rate: None,
        window: 128,
        fill: true,
    };
    let (mut torrents, mut peers) = (100_000, 1_000_000);
    for argument in arguments {
        let (name, value) = argument.split_once('=').ok_or("options are NAME=VALUE")?;
        let value: u32 = value.parse().map_err(|_| format!("{name} is no number"))?;
        match name {
            "pid" => options.pid = value,
            "torrents" => torrents = value,
            "peers" => peers = value,
            "seconds" => options.duration = Duration::from_secs(value.into()),
            "rate" => options.rate = Some(value.into()),
            "window" => options.window = value as usize,
            "fill" => options.fill = value > 0,
            _ => return Err(format!("`{name}` is no option")),
        }
    }
    options.swarms = Swarms::new(torrents, peers / torrents);
    Ok(options)
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the tracker runs");
    // The name in brackets may hold anything; `utime` is the twelfth word behind it.
    let (_, rest) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = |at: usize| -> u32 {
        let word = rest.split_whitespace().nth(at).expect("a stat line");
        word.parse().expect("a number of ticks")
    };
    let per_second =
        f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    f64::from(ticks(11) + ticks(12)) / per_second
}
