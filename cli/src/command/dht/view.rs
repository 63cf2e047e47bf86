//! What a node says, for people and for programs.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use shoal_peer::shoal_dht::{Contact, Family, Item, Outcome, Snapshot};

use super::item::hex;
use crate::render::text::Printable;
use crate::render::{Mode, json, say};
use crate::units::Count;

/// Shows it.
pub(super) struct View {
    mode: Mode,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Started {
        listen: &'a [SocketAddr],
    },
    Status {
        families: Vec<FamilyTold>,
        lookups: usize,
        torrents: usize,
        peers: usize,
        items: usize,
        queries_in: u64,
        queries_out: u64,
        dropped: u64,
        bytes_in: u64,
        bytes_out: u64,
    },
    Peers {
        from: SocketAddr,
        peers: &'a [SocketAddr],
    },
    Finished {
        answers: usize,
        queries: usize,
        peers: usize,
        seeds: Option<f64>,
        leechers: Option<f64>,
        took_s: f64,
    },
    Pong {
        id: String,
        address: SocketAddr,
        took_s: f64,
    },
    Item {
        target: String,
        value: String,
        key: Option<String>,
        salt: Option<String>,
        seq: Option<i64>,
    },
    Stored {
        nodes: usize,
        target: Option<String>,
        key: Option<String>,
        seq: Option<i64>,
    },
}

#[derive(Serialize)]
struct FamilyTold {
    family: &'static str,
    id: String,
    nodes: usize,
    good: usize,
    external_ip: Option<std::net::IpAddr>,
}

impl View {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode }
    }

    pub(super) fn started(&self, listen: &[SocketAddr]) -> io::Result<()> {
        self.tell(&Told::Started { listen }, || {
            let listen: Vec<_> = listen.iter().map(SocketAddr::to_string).collect();
            format!("node of the DHT on {}", listen.join(", "))
        })
    }

    pub(super) fn status(&self, snapshot: &Snapshot) -> io::Result<()> {
        let name = |family| match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        let counts = &snapshot.counts;
        let families = snapshot.families.iter().map(|family| FamilyTold {
            family: name(family.family),
            id: family.id.to_string(),
            nodes: family.nodes,
            good: family.good,
            external_ip: family.external_ip,
        });
        let told = Told::Status {
            families: families.collect(),
            lookups: snapshot.lookups,
            torrents: snapshot.torrents,
            peers: snapshot.peers,
            items: snapshot.items,
            queries_in: counts.queries_in,
            queries_out: counts.queries_out,
            dropped: counts.dropped,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
        };
        self.tell(&told, || {
            let families = snapshot.families.iter();
            let families = families.map(|f| format!("{} {} nodes", name(f.family), f.nodes));
            let families: Vec<_> = families.collect();
            format!(
                "{}  stores {} of {}, {}  queries {} in, {} out, {} dropped",
                families.join(", "),
                Count(snapshot.peers, "peer"),
                Count(snapshot.torrents, "torrent"),
                Count(snapshot.items, "item"),
                counts.queries_in,
                counts.queries_out,
                counts.dropped,
            )
        })
    }

    /// A node names peers.
    pub(super) fn peers(&self, from: SocketAddr, peers: &[SocketAddr]) -> io::Result<()> {
        if peers.is_empty() {
            return Ok(());
        }
        match self.mode {
            Mode::Json => json::emit(&Told::Peers { from, peers }),
            _ => peers.iter().try_for_each(say),
        }
    }

    pub(super) fn peers_are_all(&self, outcome: &Outcome) -> io::Result<()> {
        match self.mode {
            Mode::Json => json::emit(&Told::Finished {
                answers: outcome.answers,
                queries: outcome.queries,
                peers: outcome.peers,
                seeds: outcome.seeds,
                leechers: outcome.leechers,
                took_s: outcome.took.as_secs_f64(),
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn pong(&self, node: &Contact, took: Duration) -> io::Result<()> {
        let told = Told::Pong {
            id: node.id.to_string(),
            address: node.address,
            took_s: took.as_secs_f64(),
        };
        let text = || format!("{} answers as {} after {took:.1?}", node.address, node.id);
        self.tell(&told, text)
    }

    pub(super) fn item(&self, item: &Item) -> io::Result<()> {
        let text = String::from_utf8_lossy(text_of(item.value()));
        let signed = item.signature();
        let told = Told::Item {
            target: item.target().to_string(),
            value: text.to_string(),
            key: signed.map(|signed| hex(&signed.key)),
            salt: signed.map(|signed| String::from_utf8_lossy(&signed.salt).into_owned()),
            seq: item.seq(),
        };
        self.tell(&told, || Printable(&text).to_string())
    }

    /// It is stored; an item says by which name it is found.
    pub(super) fn stored(&self, outcome: &Outcome, item: Option<&Item>) -> io::Result<()> {
        let key = item
            .and_then(Item::signature)
            .map(|signed| hex(&signed.key));
        let seq = item.and_then(Item::seq);
        let target = item.map(|item| item.target().to_string());
        let mut text = format!("stored at {}", Count(outcome.stored, "node"));
        if let Some(target) = &target {
            text += &format!("\ntarget {target}");
        }
        if let (Some(key), Some(seq)) = (&key, seq) {
            text += &format!("\nkey    {key}\nseq    {seq}");
        }
        let nodes = outcome.stored;
        let told = Told::Stored {
            nodes,
            target,
            key,
            seq,
        };
        self.tell(&told, || text)
    }

    fn tell(&self, told: &Told<'_>, text: impl FnOnce() -> String) -> io::Result<()> {
        match self.mode {
            Mode::Json => json::emit(told),
            _ => say(text()),
        }
    }
}

/// What a bencoded string says; of any other value its encoding.
fn text_of(value: &[u8]) -> &[u8] {
    let Some(colon) = value.iter().position(|&byte| byte == b':') else {
        return value;
    };
    match value[..colon].iter().all(u8::is_ascii_digit) {
        true => &value[colon + 1..],
        false => value,
    }
}

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn string_is_shown_as_its_text_and_the_rest_as_it_is() {
        assert_eq!(text_of(b"5:hello"), b"hello");
        assert_eq!(text_of(b"0:"), b"");
        assert_eq!(text_of(b"i5e"), b"i5e");
        assert_eq!(text_of(b"l5:helloe"), b"l5:helloe");
        assert_eq!(text_of(b"d1:ai1ee"), b"d1:ai1ee");
    }
}
