//! Who is connected, and who has to leave when there is no place for the next. Of no BEP: a few
//! hundred connections that say nothing must not keep others from a tracker.
//!
//! For a newcomer beyond the bound the connection leaves that has said nothing for the longest, of
//! the newcomer's own host when that has too many. So who asks at once is served at once, however
//! many others only hold their places. Knows no sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_std::channel::{Receiver, Sender, bounded};

use super::proxies::Proxies;
use crate::host::{host, is_local};

/// All connections.
#[derive(Debug)]
pub(super) struct Guests {
    state: Mutex<State>,
    max: usize,
    per_host_max: usize,
    /// Who speaks for many.
    proxies: Proxies,
}

#[derive(Debug, Default)]
struct State {
    /// Counts what was heard of anybody.
    clock: u64,
    /// By when they were heard last.
    by_silence: BTreeMap<u64, Guest>,
    /// Those of hosts that have a bound.
    by_host: BTreeMap<IpAddr, BTreeSet<u64>>,
}

#[derive(Debug)]
struct Guest {
    host: Option<IpAddr>,
    leave: Leave,
}

/// How somebody is sent away.
#[derive(Debug)]
pub(super) enum Leave {
    /// By who let the newcomer in, who knows this place.
    Here(usize),
    /// By closing this; nothing is ever sent.
    Away(Sender<()>),
}

impl State {
    fn put(&mut self, guest: Guest) -> u64 {
        self.clock += 1;
        if let Some(host) = guest.host {
            self.by_host.entry(host).or_default().insert(self.clock);
        }
        self.by_silence.insert(self.clock, guest);
        self.clock
    }

    /// `None` when it was sent away already.
    fn take(&mut self, heard: u64) -> Option<Guest> {
        let guest = self.by_silence.remove(&heard)?;
        if let Some(host) = guest.host
            && let Some(there) = self.by_host.get_mut(&host)
        {
            there.remove(&heard);
            if there.is_empty() {
                self.by_host.remove(&host);
            }
        }
        Some(guest)
    }

    /// The longest silent of that host if it has too many, else of all if those are too many.
    fn surplus(&self, host: Option<IpAddr>, guests: &Guests) -> Option<u64> {
        let there = host.and_then(|host| self.by_host.get(&host));
        if let Some(there) = there.filter(|there| there.len() >= guests.per_host_max) {
            return there.first().copied();
        }
        let full = self.by_silence.len() >= guests.max;
        full.then(|| self.by_silence.keys().next().copied())?
    }
}

impl Guests {
    /// At most `max` at the same time, and `per_host_max` of one address of the internet that is
    /// none of these proxies.
    pub(super) fn new(max: usize, per_host_max: usize, proxies: Proxies) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            max: max.max(1),
            per_host_max,
            proxies,
        })
    }

    /// A place for a newcomer from there; somebody else may have to leave for it, and if that is
    /// for the caller to do, is returned.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr, leave: Leave) -> (Place, Option<usize>) {
        let host = (!is_local(ip) && !self.proxies.contains(ip)).then(|| host(ip));
        let mut state = self.lock();
        let silent = state.surplus(host, self);
        let gone = match silent.and_then(|silent| state.take(silent)) {
            Some(guest) => match guest.leave {
                Leave::Here(place) => Some(place),
                Leave::Away(leave) => {
                    leave.close();
                    None
                }
            },
            None => None,
        };
        let heard = state.put(Guest { host, leave });
        let guests = Arc::clone(self);
        (Place { guests, heard }, gone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    guests: Arc<Guests>,
    heard: u64,
}

impl Place {
    /// It has asked for something: others have been silent for longer.
    pub(super) fn heard(&mut self) {
        let mut state = self.guests.lock();
        if let Some(guest) = state.take(self.heard) {
            self.heard = state.put(guest);
        }
    }

    /// For who goes elsewhere with its place: becomes ready when that is needed for another.
    pub(super) fn hand_over(&self) -> impl Future<Output = ()> + use<> {
        let (leave, asked): (_, Receiver<()>) = bounded(1);
        match self.guests.lock().by_silence.get_mut(&self.heard) {
            Some(guest) => guest.leave = Leave::Away(leave),
            None => drop(leave.close()),
        }
        async move {
            // Closing it is the message.
            let _ = asked.recv().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.guests.lock().take(self.heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn stays(place: &Place) -> bool {
        place.guests.lock().by_silence.contains_key(&place.heard)
    }

    fn enter(guests: &Arc<Guests>, text: &str) -> Place {
        guests.enter(ip(text), Leave::Here(0)).0
    }

    #[test]
    fn longest_silent_makes_room() {
        let guests = Guests::new(3, 3, Proxies::default());
        let mut places: Vec<_> = (0..3).map(|_| enter(&guests, "127.0.0.1")).collect();
        places[0].heard();
        let _new = enter(&guests, "127.0.0.1");
        let stay: Vec<_> = places.iter().map(stays).collect();
        assert_eq!(stay, [true, false, true]);
        // Who was sent away is not counted any more, whatever it still says.
        places[1].heard();
        drop(places);
        assert_eq!(guests.lock().by_silence.len(), 1);
    }

    #[test]
    fn who_has_to_leave_is_told_where_it_is() {
        let guests = Guests::new(2, 2, Proxies::default());
        let (_first, gone) = guests.enter(ip("::1"), Leave::Here(7));
        assert_eq!(gone, None);
        let (second, _) = guests.enter(ip("::1"), Leave::Here(8));
        let leave = second.hand_over();
        let (third, gone) = guests.enter(ip("::1"), Leave::Here(9));
        assert_eq!(gone, Some(7));
        let (_fourth, gone) = guests.enter(ip("::1"), Leave::Here(7));
        assert_eq!(gone, None, "the second is told by itself");
        async_std::task::block_on(leave);
        let (_fifth, gone) = guests.enter(ip("::1"), Leave::Here(10));
        assert_eq!(gone, Some(9));
        // It was to leave before it went elsewhere.
        async_std::task::block_on(third.hand_over());
    }

    #[test]
    fn host_beyond_its_bound_pays_itself() {
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8:0:0:ffff::2", "2001:db8:0:1::1"),
        ] {
            let guests = Guests::new(100, 2, Proxies::default());
            let first = enter(&guests, other);
            let places = [one, same].map(|address| enter(&guests, address));
            assert!(places.iter().all(stays));
            let third = enter(&guests, one);
            assert!(!stays(&places[0]) && stays(&places[1]) && stays(&third) && stays(&first));
            drop((first, places, third));
            let state = guests.lock();
            assert!(state.by_host.is_empty() && state.by_silence.is_empty());
        }
    }

    #[test]
    fn trusted_proxy_has_no_bound_of_its_own() {
        let proxies = Proxies::new(vec!["192.0.2.0/24".parse().unwrap()]);
        let guests = Guests::new(100, 2, proxies);
        let places: Vec<_> = (0..50).map(|_| enter(&guests, "192.0.2.7")).collect();
        assert!(places.iter().all(stays));
        let others: Vec<_> = (0..3).map(|_| enter(&guests, "198.51.100.7")).collect();
        assert!(!stays(&others[0]) && stays(&others[2]));
    }

    #[test]
    fn this_machine_and_private_networks_have_no_bound_of_their_own() {
        let guests = Guests::new(100, 2, Proxies::default());
        let places: Vec<_> = (0..50)
            .flat_map(|_| ["127.0.0.1", "::1", "::ffff:10.0.0.1"])
            .take(100)
            .map(|address| enter(&guests, address))
            .collect();
        assert!(places.iter().all(stays));
    }
}
