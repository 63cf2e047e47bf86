//! Two counters that count each other up over a line that breaks: `cargo run -p shoal-simulation
//! --example counters [seed]`. The same seed tells the same story.

use std::time::Duration;

use shoal_simulation::{End, Event, Faults, HostConfig, HostId, LinkConfig, Net, Rng};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Cut,
}

/// A state machine without I/O: it is told what came and says what to send.
#[derive(Default)]
struct Counter {
    highest: u64,
}

impl Counter {
    fn heard(&mut self, number: u64) -> Option<u64> {
        self.highest = self.highest.max(number + 1);
        (self.highest < 100).then_some(self.highest)
    }
}

fn main() {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok());
    let rng = Rng::new(seed.unwrap_or(1));
    let link = LinkConfig {
        latency: (Duration::from_millis(10), Duration::from_millis(60)),
        jitter: Duration::from_millis(20),
    };
    let mut net: Net<u64, (HostId, HostId)> = Net::new(&rng, link);
    let mut faults = Faults::new(&rng).with(Kind::Cut, 0.1);
    let mut counters = [Counter::default(), Counter::default()];
    let dialler = net.add_host(HostConfig::default());
    let other = net.add_host(HostConfig::default());
    net.connect(dialler, other);

    while let Some(event) = net.next_event() {
        match event {
            Event::Opened { host, end, .. } if host == dialler => {
                say(&mut net, end, counters[host.index()].highest);
            }
            Event::Delivered {
                host,
                end,
                messages,
            } => {
                for number in messages {
                    if let Some(answer) = counters[host.index()].heard(number) {
                        say(&mut net, end, answer);
                    }
                }
                if faults.strikes(Kind::Cut) {
                    net.cut(end.conn);
                }
            }
            Event::Closed { host, .. } if host == dialler => {
                println!("{:>9.3?} the line broke, again in a second", net.elapsed());
                net.schedule_after(Duration::from_secs(1), (dialler, other));
            }
            Event::Timer((from, to)) => {
                net.connect(from, to);
            }
            _ => {}
        }
    }

    let [a, b] = counters.map(|counter| counter.highest);
    println!("{:>9.3?} counted to {a} and {b}", net.elapsed());
    println!(
        "cut {} times; run {:x?}",
        faults.struck(Kind::Cut),
        net.trace().fingerprint()
    );
    assert!(a.max(b) == 100 && faults.never_struck().is_empty());
}

fn say(net: &mut Net<u64, (HostId, HostId)>, end: End, number: u64) {
    // Refused only when the line is gone, and then `Closed` comes.
    let _ = net.send(end, 8, number);
}
