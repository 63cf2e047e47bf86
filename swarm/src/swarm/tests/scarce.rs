//! Newcomers when every place is taken. BEP 40.

use std::net::{IpAddr, Ipv4Addr};

use shoal_wire::ExtendedHandshake;

use super::*;
use crate::limits::{DISPLACE_EVERY, DISPLACED_AFTER};
use crate::priority::priority;

const US: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);

fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([50 + n, n, 1, 1], 5_000))
}

fn rank(n: u8) -> u32 {
    let ours = SocketAddr::from((US, config(1).listen_port.unwrap()));
    priority(ours, at(n)).unwrap()
}

/// Peers 0 to 9, the lowest priority first; the last half dialled by us.
struct Crowd {
    stage: Stage,
    /// By priority, the lowest first.
    ranked: Vec<u8>,
}

impl Crowd {
    fn comes(&mut self, n: u8, direction: Direction) -> Vec<Output> {
        self.stage.handle(Input::Connected {
            peer: PeerKey(n.into()),
            address: at(n),
            direction,
            handshake: handshake(n, Extensions::OURS),
        })
    }

    /// Ten of thirty numbers take all places: those in the middle, so that others are above and
    /// below them.
    fn new() -> Self {
        let config = Config {
            peers_max: 10,
            ..config(1)
        };
        let mut ranked: Vec<u8> = (100..130).collect();
        ranked.sort_by_key(|&n| rank(n));
        let stage = Stage::with(config, Bitfield::none(4));
        let mut crowd = Self { stage, ranked };
        for nth in 10..20 {
            let direction = match nth {
                10..12 => Direction::Outgoing,
                _ => Direction::Incoming,
            };
            let n = crowd.ranked[nth];
            crowd.comes(n, direction);
            let hello = ExtendedHandshake {
                your_ip: Some(IpAddr::V4(US)),
                ..ExtendedHandshake::default()
            };
            // Interest on both sides: nobody is useless.
            let some = vec![hello.message(), Message::HaveAll, Message::Interested];
            crowd.stage.says(PeerKey(n.into()), some);
        }
        crowd.stays(DISPLACED_AFTER);
        crowd
    }

    /// Time passes, and everybody is heard.
    fn stays(&mut self, duration: Duration) {
        self.stage.wait(duration);
        for peer in self.stage.swarm.snapshot(self.stage.now).peers {
            let peer = peer.peer;
            self.stage.says(peer, vec![Message::KeepAlive]);
        }
    }

    /// Of the lowest priority among those that came by themselves and are not served.
    fn lowest(&self) -> PeerKey {
        let peers = self.stage.swarm.snapshot(self.stage.now).peers;
        let mut may_go = peers
            .iter()
            .filter(|peer| peer.direction == Direction::Incoming && peer.we_choke)
            .map(|peer| peer.peer)
            .collect::<Vec<_>>();
        may_go.sort_by_key(|key| rank(key.0 as u8));
        may_go[0]
    }
}

#[test]
fn newcomer_of_higher_priority_takes_the_place_of_the_lowest() {
    let mut crowd = Crowd::new();
    let (lowest, best) = (crowd.lowest(), crowd.ranked[29]);
    let outputs = crowd.comes(best, Direction::Incoming);
    assert_eq!(closed(&outputs), [(lowest, CloseReason::Displaced)]);
    assert_eq!(crowd.stage.swarm.snapshot(crowd.stage.now).peers.len(), 10);
}

#[test]
fn newcomer_of_lower_priority_finds_it_full() {
    let mut crowd = Crowd::new();
    let worst = crowd.ranked[0];
    let outputs = crowd.comes(worst, Direction::Incoming);
    assert_eq!(
        closed(&outputs),
        [(PeerKey(worst.into()), CloseReason::Full)]
    );
}

#[test]
fn places_change_hands_one_by_one_and_what_we_dialled_stays() {
    let mut crowd = Crowd::new();
    let ours: Vec<_> = crowd.ranked[10..12]
        .iter()
        .map(|&n| PeerKey(n.into()))
        .collect();
    let mut displaced = Vec::new();
    for nth in [29, 27, 25, 23, 21] {
        let n = crowd.ranked[nth];
        let first = closed(&crowd.comes(n, Direction::Incoming));
        displaced.extend(
            first
                .into_iter()
                .filter(|(_, reason)| *reason == CloseReason::Displaced),
        );
        let again = crowd.ranked[nth - 1];
        let outputs = crowd.comes(again, Direction::Incoming);
        let full = (PeerKey(again.into()), CloseReason::Full);
        assert_eq!(closed(&outputs), [full], "not two at once");
        crowd.stays(DISPLACE_EVERY);
    }
    assert!(!displaced.is_empty());
    let here = crowd.stage.swarm.snapshot(crowd.stage.now).peers;
    for key in ours {
        assert!(
            here.iter().any(|peer| peer.peer == key),
            "{key:?} was dialled"
        );
        assert!(!displaced.iter().any(|(gone, _)| *gone == key));
    }
}

#[test]
fn nobody_gives_way_while_we_do_not_know_our_own_address() {
    let config = Config {
        peers_max: 4,
        ..config(1)
    };
    let mut ranked: Vec<u8> = (100..105).collect();
    ranked.sort_by_key(|&n| rank(n));
    let stage = Stage::with(config, Bitfield::none(4));
    let mut crowd = Crowd {
        stage,
        ranked: ranked.clone(),
    };
    for &n in &ranked[..4] {
        crowd.comes(n, Direction::Incoming);
        let some = vec![Message::HaveAll, Message::Interested];
        crowd.stage.says(PeerKey(n.into()), some);
    }
    crowd.stays(DISPLACED_AFTER);
    let outputs = crowd.comes(ranked[4], Direction::Incoming);
    assert_eq!(
        closed(&outputs),
        [(PeerKey(ranked[4].into()), CloseReason::Full)]
    );
}
