//! When to announce, and whom to believe. BEP 14; private torrents are never named, BEP 27.
//!
//! Every torrent is announced when it starts and then every five minutes, as many as fit in one
//! datagram. What is heard counts only from near by, and only so often: anyone on the network can
//! say anything. Does no I/O; the caller says where its networks are.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use shoal_metainfo::InfoHash;

use super::Announce;
use crate::limits::{
    ANNOUNCE_EVERY, ANNOUNCE_PAUSE, ANNOUNCE_TOGETHER, FOUND_PER_TORRENT_MAX, HEARD_MAX,
    HEARD_PER_SOURCE_MAX, HEARD_WINDOW, TORRENTS_PER_ANNOUNCE_MAX,
};
use crate::network::{Network, is_near};

/// One fact.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A torrent runs, or more is known of one that does.
    Started {
        /// Its name.
        info_hash: InfoHash,
        /// Whether only its trackers may know of it: then nothing is said and nobody is found.
        private: bool,
    },
    /// A torrent runs no longer.
    Stopped {
        /// Its name.
        info_hash: InfoHash,
    },
    /// A datagram came to one of the groups.
    Heard {
        /// Who sent it.
        from: SocketAddr,
        /// The networks that we are part of.
        networks: &'a [Network],
        /// What it said.
        datagram: &'a [u8],
    },
    /// The time that [`Finder::timeout`] named has come. Harmless when early.
    Timeout,
}

/// One deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To both groups, on every interface.
    Announce(Announce),
    /// Somebody near by has a torrent of ours.
    Found {
        /// The torrent.
        info_hash: InfoHash,
        /// Where the peer listens.
        address: SocketAddr,
    },
}

/// Decides for all torrents of one listening port.
#[derive(Debug)]
pub struct Finder {
    port: u16,
    cookie: String,
    torrents: BTreeMap<InfoHash, Torrent>,
    /// No announce before.
    quiet_until: Option<Instant>,
    window: Window,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Torrent {
    announce_at: Instant,
    found: u32,
}

/// What was heard since it began.
#[derive(Debug, Default)]
struct Window {
    ends: Option<Instant>,
    heard: u32,
    by_source: BTreeMap<IpAddr, u32>,
}

impl Window {
    /// Counts an announce; whether it may still be read.
    fn admits(&mut self, source: IpAddr) -> bool {
        let from_it = self.by_source.get(&source).copied().unwrap_or_default();
        let is_admitted = self.heard < HEARD_MAX && from_it < HEARD_PER_SOURCE_MAX;
        if is_admitted {
            self.heard += 1;
            self.by_source.insert(source, from_it + 1);
        }
        is_admitted
    }
}

impl Finder {
    /// For peers that reach us at `port`; `secret` is any random number.
    #[must_use]
    pub fn new(port: u16, secret: u32) -> Self {
        Self {
            port,
            cookie: format!("{secret:08x}"),
            torrents: BTreeMap::new(),
            quiet_until: None,
            window: Window::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one fact.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Started {
                info_hash,
                private: true,
            } => {
                self.torrents.remove(&info_hash);
            }
            Input::Started { info_hash, .. } => {
                let torrent = Torrent {
                    announce_at: now,
                    found: 0,
                };
                self.torrents.entry(info_hash).or_insert(torrent);
            }
            Input::Stopped { info_hash } => {
                self.torrents.remove(&info_hash);
            }
            Input::Heard {
                from,
                networks,
                datagram,
            } => self.heard(now, from, networks, datagram),
            Input::Timeout => {}
        }
        self.announce(now);
    }

    /// Gives one deed to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to say [`Input::Timeout`].
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        let due = self.torrents.values().map(|torrent| torrent.announce_at);
        due.min()
            .max(self.quiet_until)
            .filter(|_| !self.torrents.is_empty())
    }

    fn heard(&mut self, now: Instant, from: SocketAddr, networks: &[Network], datagram: &[u8]) {
        if self.torrents.is_empty() || !is_near(from.ip(), networks) {
            return;
        }
        if self.window.ends.is_none_or(|ends| ends <= now) {
            self.window = Window {
                ends: Some(now + HEARD_WINDOW),
                ..Window::default()
            };
            self.torrents
                .values_mut()
                .for_each(|torrent| torrent.found = 0);
        }
        // Our own come back on every interface, and count against nobody.
        let announce = Announce::decode(datagram)
            .ok()
            .filter(|announce| announce.cookie.as_ref() != Some(&self.cookie));
        let Some(announce) = announce.filter(|_| self.window.admits(from.ip())) else {
            return;
        };
        let mut address = from;
        address.set_port(announce.port);
        for info_hash in announce.info_hashes {
            if let Some(torrent) = self.torrents.get_mut(&info_hash)
                && torrent.found < FOUND_PER_TORRENT_MAX
            {
                torrent.found += 1;
                self.outputs.push_back(Output::Found { info_hash, address });
            }
        }
    }

    fn announce(&mut self, now: Instant) {
        if self.timeout().is_none_or(|at| at > now) {
            return;
        }
        let mut soon: Vec<_> = self
            .torrents
            .iter_mut()
            .filter(|(_, torrent)| torrent.announce_at <= now + ANNOUNCE_TOGETHER)
            .collect();
        soon.sort_by_key(|(_, torrent)| torrent.announce_at);
        soon.truncate(TORRENTS_PER_ANNOUNCE_MAX);
        let mut info_hashes = Vec::with_capacity(soon.len());
        for (info_hash, torrent) in soon {
            torrent.announce_at = now + ANNOUNCE_EVERY;
            info_hashes.push(*info_hash);
        }
        self.quiet_until = Some(now + ANNOUNCE_PAUSE);
        self.outputs.push_back(Output::Announce(Announce {
            port: self.port,
            info_hashes,
            cookie: Some(self.cookie.clone()),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsd::group;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn hash(number: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        InfoHash(bytes)
    }

    fn started(number: u32) -> Input<'static> {
        Input::Started {
            info_hash: hash(number),
            private: false,
        }
    }

    fn drain(finder: &mut Finder) -> Vec<Output> {
        std::iter::from_fn(|| finder.poll()).collect()
    }

    fn announced(finder: &mut Finder) -> Vec<Vec<InfoHash>> {
        let announces = drain(finder).into_iter().map(|output| match output {
            Output::Announce(announce) => announce.info_hashes,
            Output::Found { .. } => panic!("nobody was heard"),
        });
        announces.collect()
    }

    /// Announces and when, for so long.
    fn play(finder: &mut Finder, from: Instant, span: Duration) -> Vec<(Duration, Vec<InfoHash>)> {
        let mut found = Vec::new();
        let mut now = from;
        while let Some(at) = finder.timeout().filter(|&at| at <= from + span) {
            now = now.max(at);
            finder.handle(now, Input::Timeout);
            let announces = announced(finder);
            assert!(!announces.is_empty(), "a time-out for nothing");
            found.extend(announces.into_iter().map(|names| (now - from, names)));
        }
        found
    }

    fn tell(finder: &mut Finder, now: Instant, from: &str, announce: &Announce) -> Vec<SocketAddr> {
        let datagram = announce.encode(group(false));
        let input = Input::Heard {
            from: from.parse().unwrap(),
            networks: &[],
            datagram: &datagram,
        };
        finder.handle(now, input);
        let found = drain(finder).into_iter().filter_map(|output| match output {
            Output::Found { address, .. } => Some(address),
            Output::Announce(_) => None,
        });
        found.collect()
    }

    fn theirs(numbers: impl IntoIterator<Item = u32>) -> Announce {
        Announce {
            port: 7000,
            info_hashes: numbers.into_iter().map(hash).collect(),
            cookie: None,
        }
    }

    #[test]
    fn torrent_is_announced_at_once_and_then_every_five_minutes() {
        let (mut finder, start) = (Finder::new(6881, 1), Instant::now());
        finder.handle(start, started(1));
        assert_eq!(announced(&mut finder), [[hash(1)]]);
        let later = play(&mut finder, start, 16 * 60 * SECOND);
        let times: Vec<_> = later.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [300, 600, 900]);
        finder.handle(start + 1000 * SECOND, Input::Stopped { info_hash: hash(1) });
        assert_eq!(finder.timeout(), None);
    }

    #[test]
    fn many_torrents_share_datagrams_that_keep_apart() {
        let (mut finder, start) = (Finder::new(6881, 1), Instant::now());
        (0..100).for_each(|number| finder.handle(start, started(number)));
        let mut all = announced(&mut finder);
        assert_eq!(all.len(), 1);
        let later = play(&mut finder, start, 60 * SECOND);
        let gaps = later.windows(2).map(|pair| pair[1].0 - pair[0].0);
        gaps.for_each(|gap| assert!(gap >= ANNOUNCE_PAUSE, "{gap:?}"));
        all.extend(later.into_iter().map(|(_, names)| names));
        assert!(
            all.len() <= 100 / TORRENTS_PER_ANNOUNCE_MAX + 2,
            "{}",
            all.len()
        );
        let mut names: Vec<_> = all.concat();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 100);
        // From then on they come together: one round of full datagrams every five minutes.
        let round = play(&mut finder, start + 60 * SECOND, 299 * SECOND);
        assert_eq!(round.len(), 100_usize.div_ceil(TORRENTS_PER_ANNOUNCE_MAX));
    }

    #[test]
    fn private_torrent_is_neither_announced_nor_found() {
        let (mut finder, now) = (Finder::new(6881, 1), Instant::now());
        let info_hash = hash(1);
        finder.handle(
            now,
            Input::Started {
                info_hash,
                private: true,
            },
        );
        assert_eq!(drain(&mut finder), []);
        assert_eq!(finder.timeout(), None);
        assert_eq!(tell(&mut finder, now, "192.168.1.9:6771", &theirs([1])), []);
        // Also beside one that is not, and when that is known later, as of a magnet link.
        finder.handle(now, started(1));
        drain(&mut finder);
        finder.handle(
            now,
            Input::Started {
                info_hash,
                private: true,
            },
        );
        finder.handle(now + 10 * SECOND, started(2));
        assert_eq!(announced(&mut finder), [[hash(2)]]);
        assert_eq!(tell(&mut finder, now, "192.168.1.9:6771", &theirs([1])), []);
    }

    #[test]
    fn neighbour_with_our_torrent_is_found_at_its_port() {
        let (mut finder, now) = (Finder::new(6881, 1), Instant::now());
        finder.handle(now, started(1));
        let found = tell(&mut finder, now, "192.168.1.9:6771", &theirs([5, 1]));
        assert_eq!(found, ["192.168.1.9:7000".parse().unwrap()]);
        let found = tell(&mut finder, now, "[fe80::9%3]:6771", &theirs([1]));
        assert_eq!(found, ["[fe80::9%3]:7000".parse().unwrap()]);
        assert_eq!(tell(&mut finder, now, "192.168.1.9:6771", &theirs([5])), []);
    }

    #[test]
    fn stranger_from_afar_is_not_believed_unless_its_network_is_ours() {
        let (mut finder, now) = (Finder::new(6881, 1), Instant::now());
        finder.handle(now, started(1));
        assert_eq!(tell(&mut finder, now, "203.0.113.9:6771", &theirs([1])), []);
        let networks = [Network {
            address: "203.0.113.1".parse().unwrap(),
            prefix: 24,
        }];
        let datagram = theirs([1]).encode(group(false));
        let from = "203.0.113.9:6771".parse().unwrap();
        let networks = &networks;
        drain(&mut finder);
        finder.handle(
            now,
            Input::Heard {
                from,
                networks,
                datagram: &datagram,
            },
        );
        assert_eq!(drain(&mut finder).len(), 1);
    }

    #[test]
    fn own_announce_is_known_by_its_cookie() {
        let (mut finder, now) = (Finder::new(6881, 0xc0ffee), Instant::now());
        finder.handle(now, started(1));
        let Some(Output::Announce(ours)) = finder.poll() else {
            panic!("it announces at once")
        };
        assert_eq!(ours.cookie.as_deref(), Some("00c0ffee"));
        assert_eq!(tell(&mut finder, now, "192.168.1.1:6771", &ours), []);
        let other = Announce {
            cookie: Some("00c0ffef".to_owned()),
            ..ours
        };
        assert_eq!(tell(&mut finder, now, "192.168.1.1:6771", &other).len(), 1);
    }

    #[test]
    fn flood_of_one_neighbour_leaves_room_for_others() {
        let (mut finder, now) = (Finder::new(6881, 1), Instant::now());
        finder.handle(now, started(1));
        let mut flood = (0..1000).map(|_| tell(&mut finder, now, "10.0.0.1:6771", &theirs([1])));
        let flood: usize = flood.by_ref().map(|found| found.len()).sum();
        assert_eq!(flood, HEARD_PER_SOURCE_MAX as usize);
        assert_eq!(
            tell(&mut finder, now, "10.0.0.2:6771", &theirs([1])).len(),
            1
        );
        let later = now + HEARD_WINDOW;
        assert_eq!(
            tell(&mut finder, later, "10.0.0.1:6771", &theirs([1])).len(),
            1
        );
    }

    #[test]
    fn crowd_of_inventions_is_bounded_for_each_torrent() {
        let (mut finder, now) = (Finder::new(6881, 1), Instant::now());
        finder.handle(now, started(1));
        let found: usize = (0..=255)
            .map(|host| {
                tell(
                    &mut finder,
                    now,
                    &format!("10.0.0.{host}:6771"),
                    &theirs([1]),
                )
                .len()
            })
            .sum();
        assert_eq!(found, FOUND_PER_TORRENT_MAX as usize);
    }
}
