//! What is said to the store of one torrent, and what it answers. BEP 3 "trackers", BEP 23, BEP 7.
//!
//! Of each torrent the store has four keys, which lie on one node since the info hash stands in
//! braces: `shoal:{HASH}:p`, peers by when they were seen last; `:g`, such as have gone; `:e`, when
//! old words were told last, so that all is to be read again; `:c`, completed downloads.
//!
//! Two scripts change and read them, each at once and by the store's own clock, so that trackers
//! need not agree on the time: a *mark* is where the last answer ended, and only what came later is
//! answered.
//!
//! A peer is `address | port | id`, 26 or 38 bytes. What comes back may be anybody's: of another
//! size, unfit or from the future it is left out. Knows no sockets.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::dialable;
use crate::limits;
use crate::registry::{Heard, Kind};

/// The script that tells.
pub(super) const WRITE: &str = include_str!("write.lua");
/// The script that asks.
pub(super) const READ: &str = include_str!("read.lua");

/// The names by which the store knows the scripts.
#[derive(Debug, Clone)]
pub(super) struct Scripts {
    pub(super) write: String,
    pub(super) read: String,
}

/// Which addresses other trackers are told, and are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope {
    /// The store is on this machine, and so are all who use it.
    pub(super) is_local: bool,
}

impl Scope {
    /// An address that means one machine only says nothing to others.
    pub(super) fn takes(self, address: &SocketAddr) -> bool {
        let means_here = match address.ip() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
        };
        dialable(address) && (self.is_local || !means_here)
    }
}

/// What one torrent is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) info_hash: &'a InfoHash,
    pub(super) peers: &'a [Heard],
    /// How long a peer lives in silence.
    pub(super) life: Duration,
    /// Ages count: the words are old, and whoever reads must look at all there is.
    pub(super) is_old: bool,
    /// How often it was completed as far as known here, without `completed_more`.
    pub(super) completed: u32,
    pub(super) completed_more: u32,
}

/// Where the last answer for a torrent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// Microseconds of the store's clock.
    pub(super) at: u64,
    /// When old words were told last.
    pub(super) epoch: u64,
}

/// What is new of a torrent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) mark: Mark,
    /// The answer was full: there is more.
    pub(super) more: bool,
    pub(super) heard: Vec<Heard>,
    pub(super) completed: u32,
}

fn keys(command: &mut Cmd, info_hash: &InfoHash) {
    command.arg(4);
    for name in ["p", "g", "e", "c"] {
        command.arg(format!("shoal:{{{info_hash}}}:{name}"));
    }
}

impl Telling<'_> {
    pub(super) fn command(&self, scripts: &Scripts) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&scripts.write);
        keys(&mut command, self.info_hash);
        command
            .arg(self.life.as_secs())
            .arg(limits::STORE_GONE_LIFE.as_secs())
            .arg(limits::PEERS_PER_TORRENT_MAX)
            .arg(u8::from(self.is_old))
            .arg(self.completed)
            .arg(self.completed_more)
            .arg(limits::STORE_COMPLETED_LIFE.as_secs());
        for heard in self.peers {
            let mut member = [0; 38];
            command.arg(write_member(heard, &mut member));
            let (kind, age) = match heard.kind {
                Kind::Leecher if !self.is_old => (0, 0),
                Kind::Seeder if !self.is_old => (1, 0),
                Kind::Leecher => (0, heard.age),
                Kind::Seeder => (1, heard.age),
                Kind::Gone => (2, heard.age),
            };
            command.arg(kind).arg(age);
        }
        command
    }
}

/// Asks what is new of a torrent.
pub(super) fn question(info_hash: &InfoHash, mark: Mark, life: Duration, scripts: &Scripts) -> Cmd {
    let mut command = cmd("EVALSHA");
    command.arg(&scripts.read);
    keys(&mut command, info_hash);
    command
        .arg(mark.at)
        .arg(mark.epoch)
        .arg(limits::STORE_READ_PEERS)
        .arg(life.as_secs());
    command
}

fn write_member<'b>(heard: &Heard, bytes: &'b mut [u8; 38]) -> &'b [u8] {
    let length = match heard.address.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            16
        }
    };
    bytes[length..length + 2].copy_from_slice(&heard.address.port().to_be_bytes());
    bytes[length + 2..length + 22].copy_from_slice(&heard.peer_id.0);
    &bytes[..length + 22]
}

fn read_member(member: &[u8]) -> Option<(SocketAddr, PeerId)> {
    let (rest, id) = member.split_last_chunk::<20>()?;
    let (ip, port) = rest.split_last_chunk::<2>()?;
    let ip = match ip.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        _ => return None,
    };
    // A mapped address is never written.
    let ip = Some(ip).filter(|ip| ip.to_canonical() == *ip)?;
    let address = SocketAddr::new(ip, u16::from_be_bytes(*port));
    Some((address, PeerId(*id)))
}

/// Reads the answer to a question; `None` when it is none.
pub(super) fn read_news(answer: &Value, scope: Scope) -> Option<News> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [now, mark, epoch, completed, peers, gone] = &parts[..] else {
        return None;
    };
    let (now, mark) = (number(now)?, number(mark)?);
    let mut heard = Vec::new();
    let mut take = |list: &Value, unit: u64| {
        let Value::Array(list) = list else {
            return None;
        };
        for pair in list.chunks_exact(2).take(limits::STORE_READ_PEERS) {
            let (Value::BulkString(member), Some(score)) = (&pair[0], number(&pair[1])) else {
                continue;
            };
            let Some((address, peer_id)) = read_member(member) else {
                continue;
            };
            let age = now.saturating_sub(score / unit) / 1_000_000;
            let kind = match (unit, score % unit) {
                (1, _) => Kind::Gone,
                (_, 0) => Kind::Leecher,
                _ => Kind::Seeder,
            };
            if scope.takes(&address) {
                heard.push(Heard {
                    address,
                    peer_id,
                    kind,
                    age: u32::try_from(age).unwrap_or(u32::MAX),
                });
            }
        }
        Some(())
    };
    // Who has gone and came again is among the peers.
    take(gone, 1)?;
    take(peers, 2)?;
    Some(News {
        mark: Mark {
            at: mark,
            epoch: number(epoch)?,
        },
        more: mark < now,
        heard,
        completed: u32::try_from(number(completed)?).unwrap_or(u32::MAX),
    })
}

/// A whole number as the store writes it.
pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
