//! Our address, as others see it. BEP 42 "bootstrapping".
//!
//! One voice can lie, so it takes several subnets of one mind. Which name follows from the address
//! is not known here.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::address::{Subnet, is_local};
use crate::limits::{VOTES_MAX, VOTES_NEEDED};

/// What the last voters said, in one family.
#[derive(Default)]
pub(crate) struct Votes {
    votes: VecDeque<(Subnet, IpAddr)>,
    elected: Option<IpAddr>,
}

impl Votes {
    /// The address that was agreed on.
    pub(crate) fn elected(&self) -> Option<IpAddr> {
        self.elected
    }

    /// Somebody who answered us says where our query came from: the address, if it is news.
    pub(crate) fn vote(&mut self, voter: SocketAddr, ip: IpAddr) -> Option<IpAddr> {
        let subnet = Subnet::of(voter)?;
        if is_local(ip) || ip.is_ipv4() != voter.is_ipv4() {
            return None;
        }
        self.votes.retain(|(other, _)| *other != subnet);
        self.votes.push_back((subnet, ip));
        if self.votes.len() > VOTES_MAX {
            self.votes.pop_front();
        }
        let agree = self.votes.iter().filter(|(_, vote)| *vote == ip).count();
        let wins = agree >= VOTES_NEEDED && agree * 2 > self.votes.len();
        (wins && self.elected.replace(ip) != Some(ip)).then_some(ip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voter(subnet: u8, host: u8) -> SocketAddr {
        SocketAddr::from(([203, 0, subnet, host], 6881))
    }

    const OURS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
    const LIE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 2));

    #[test]
    fn several_subnets_elect_and_one_does_not() {
        let mut votes = Votes::default();
        assert!((0..=255).all(|host| votes.vote(voter(1, host), LIE).is_none()));
        let needed = u8::try_from(VOTES_NEEDED).unwrap();
        for subnet in 2..=needed {
            assert_eq!(votes.vote(voter(subnet, 1), OURS), None);
        }
        assert_eq!(votes.vote(voter(99, 1), OURS), Some(OURS));
        assert_eq!(votes.vote(voter(100, 1), OURS), None, "no news");
        assert_eq!(votes.elected(), Some(OURS));
    }

    #[test]
    fn local_addresses_and_other_families_are_no_votes() {
        let mut votes = Votes::default();
        for subnet in 0..50 {
            assert_eq!(
                votes.vote(voter(subnet, 1), "10.0.0.1".parse().unwrap()),
                None
            );
            assert_eq!(
                votes.vote(voter(subnet, 1), "2001:db8::1".parse().unwrap()),
                None
            );
            let neighbour = SocketAddr::from(([192, 168, subnet, 1], 6881));
            assert_eq!(votes.vote(neighbour, LIE), None);
        }
    }

    #[test]
    fn another_address_wins_when_most_say_so() {
        let mut votes = Votes::default();
        let elected = (0..20)
            .filter_map(|s| votes.vote(voter(s, 1), OURS))
            .count();
        assert_eq!(elected, 1);
        let changed: Vec<_> = (20..40)
            .filter_map(|s| votes.vote(voter(s, 1), LIE))
            .collect();
        assert_eq!(changed, [LIE]);
    }
}
