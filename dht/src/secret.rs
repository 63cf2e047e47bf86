//! What nobody outside may guess: transaction ids and tokens. BEP 5.
//!
//! Both are keyed hashes under a key that is drawn from the node's seed, hence the same for the
//! same seed and unpredictable for whoever does not have it.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::id::NodeId;
use crate::limits::TOKEN_EVERY;

/// What a node is born with: 32 bytes that the shell drew from the system.
pub type Seed = [u8; 32];

/// Bytes of a token. Ours: nobody tries 2^63 datagrams in ten minutes.
const TOKEN_LENGTH: usize = 8;

/// What ties an announce to an earlier query from the same address.
pub(crate) type Token = [u8; TOKEN_LENGTH];

/// The keys of a node.
pub(crate) struct Secret {
    transactions: Key,
    drawn: u64,
    tokens: Key,
    born: Instant,
}

impl Secret {
    pub(crate) fn new(seed: &Seed, now: Instant) -> Self {
        let root = Key::new(HMAC_SHA256, seed);
        let key = |purpose: &[u8]| Key::new(HMAC_SHA256, sign(&root, purpose).as_ref());
        Self {
            transactions: key(b"transactions"),
            drawn: 0,
            tokens: key(b"tokens"),
            born: now,
        }
    }

    /// A number for the generator of what may be guessed: targets, order, names.
    pub(crate) fn number(seed: &Seed) -> u64 {
        let tag = sign(&Key::new(HMAC_SHA256, seed), b"number");
        u64::from_be_bytes(first(tag.as_ref()))
    }

    /// A transaction id; another one each time.
    pub(crate) fn transaction(&mut self) -> [u8; 4] {
        self.drawn += 1;
        first(sign(&self.transactions, &self.drawn.to_be_bytes()).as_ref())
    }

    /// The token for whoever asks about `target` from `ip`.
    pub(crate) fn token(&self, now: Instant, ip: IpAddr, target: &NodeId) -> Token {
        self.token_of(self.generation(now), ip, target)
    }

    /// Whether `token` was given to `ip` for `target` in this five minutes or the last.
    pub(crate) fn is_token(&self, now: Instant, ip: IpAddr, target: &NodeId, token: &[u8]) -> bool {
        let generation = self.generation(now);
        [Some(generation), generation.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|generation| same(&self.token_of(generation, ip, target), token))
    }

    fn generation(&self, now: Instant) -> u64 {
        let age: Duration = now.saturating_duration_since(self.born);
        age.as_secs() / TOKEN_EVERY.as_secs()
    }

    fn token_of(&self, generation: u64, ip: IpAddr, target: &NodeId) -> Token {
        let mut input = generation.to_be_bytes().to_vec();
        input.extend_from_slice(&target.0);
        match ip {
            IpAddr::V4(ip) => input.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => input.extend_from_slice(&ip.octets()),
        }
        first(sign(&self.tokens, &input).as_ref())
    }
}

fn first<const LENGTH: usize>(tag: &[u8]) -> [u8; LENGTH] {
    *tag.first_chunk().expect("a tag has 32 bytes")
}

/// In the same time wherever they differ.
fn same(ours: &Token, theirs: &[u8]) -> bool {
    let differ = |ours: &[u8], theirs: &[u8]| {
        ours.iter().zip(theirs).fold(0, |all, (a, b)| all | (a ^ b)) != 0
    };
    ours.len() == theirs.len() && !differ(ours, theirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const TARGET: NodeId = NodeId([7; 20]);

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn token_is_good_for_its_address_and_target_for_five_to_ten_minutes() {
        let born = Instant::now();
        let secret = Secret::new(&[1; 32], born);
        let given = born + Duration::from_secs(290);
        let token = secret.token(given, ip(1), &TARGET);
        let check = |after, ip, target: &NodeId, expect| {
            let now = born + Duration::from_secs(after);
            assert_eq!(secret.is_token(now, ip, target, &token), expect, "{after}");
        };
        check(290, ip(1), &TARGET, true);
        check(599, ip(1), &TARGET, true);
        check(600, ip(1), &TARGET, false);
        check(290, ip(2), &TARGET, false);
        check(290, ip(1), &NodeId([8; 20]), false);
        assert!(!secret.is_token(given, ip(1), &TARGET, &token[..7]));
        assert!(!secret.is_token(given, ip(1), &TARGET, b""));
        let other = Secret::new(&[2; 32], born);
        assert!(!other.is_token(given, ip(1), &TARGET, &token));
    }

    #[test]
    fn transactions_do_not_repeat_and_follow_the_seed() {
        let now = Instant::now();
        let draw = |seed| {
            let mut secret = Secret::new(&[seed; 32], now);
            (0..1000).map(|_| secret.transaction()).collect::<Vec<_>>()
        };
        let drawn = draw(1);
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 1000);
        // Every bit is set about half of the time.
        for bit in 0..32 {
            let set = |id: &&[u8; 4]| u32::from_be_bytes(**id) >> bit & 1 == 1;
            let ones = drawn.iter().filter(set).count();
            assert!((400..600).contains(&ones), "bit {bit}: {ones} of 1000");
        }
    }
}
