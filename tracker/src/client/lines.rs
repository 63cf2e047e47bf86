//! Connections to one tracker, shared by the torrents that announce there at the same time. RFC
//! 9112, section 9.3.
//!
//! So many are open to one place at most, and who comes later waits for one of them; a connection
//! that the tracker leaves open goes to the next in line. When nobody is left, none stays open: a
//! tracker of half a million clients has no room for idle ones.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_std::channel::{Receiver, Sender, bounded};
use http_types::Url;

use super::address::Reach;
use super::connector::Stream;
use crate::limits;

/// A connection, and how far away its other end is.
pub(super) struct Line {
    pub(super) stream: Box<dyn Stream>,
    /// Of the other end, where it is seen.
    pub(super) address: SocketAddr,
    pub(super) reach: Reach,
}

/// All places that are being asked.
#[derive(Default)]
pub(super) struct Lines {
    places: Arc<Mutex<HashMap<String, Place>>>,
}

struct Place {
    /// Exchanges under way, and those that wait.
    inside: usize,
    /// A token for each exchange under way.
    turns: (Sender<()>, Receiver<()>),
    idle: Vec<Line>,
}

/// One exchange's place among the others.
pub(super) struct Turn {
    places: Arc<Mutex<HashMap<String, Place>>>,
    key: String,
    /// It is its turn: a token is ours.
    taken: Option<Receiver<()>>,
}

impl Lines {
    /// Waits for a turn at the place that a URL names.
    pub(super) async fn turn(&self, url: &Url) -> Turn {
        // Scheme, host and port; a user and a password are never sent.
        let key = url.origin().ascii_serialization();
        let mut turn = Turn {
            places: Arc::clone(&self.places),
            key: key.clone(),
            taken: None,
        };
        let (tokens, taken) = {
            let mut places = lock(&self.places);
            let place = places.entry(key).or_insert_with(|| Place {
                inside: 0,
                turns: bounded(limits::CONNECTIONS_PER_TRACKER_MAX),
                idle: Vec::new(),
            });
            place.inside += 1;
            place.turns.clone()
        };
        tokens
            .send(())
            .await
            .expect("the other end is in our hands");
        turn.taken = Some(taken);
        turn
    }
}

impl Turn {
    /// A connection that another has left open.
    pub(super) fn idle(&self) -> Option<Line> {
        lock(&self.places).get_mut(&self.key)?.idle.pop()
    }

    /// Whether others are here who could use the connection after us.
    pub(super) fn has_others(&self) -> bool {
        let places = lock(&self.places);
        places.get(&self.key).is_some_and(|place| place.inside > 1)
    }

    /// Leaves the connection to the next.
    pub(super) fn leave(&self, line: Line) {
        if let Some(place) = lock(&self.places).get_mut(&self.key)
            && place.idle.len() < limits::CONNECTIONS_PER_TRACKER_MAX
        {
            place.idle.push(line);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(taken) = &self.taken {
            // Ours is in there, or another's who then takes ours.
            let _ = taken.try_recv();
        }
        let mut places = lock(&self.places);
        if let Some(place) = places.get_mut(&self.key) {
            place.inside -= 1;
            if place.inside == 0 {
                places.remove(&self.key);
            }
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = lock(&self.places).len();
        f.debug_struct("Lines").field("places", &places).finish()
    }
}

fn lock(places: &Mutex<HashMap<String, Place>>) -> MutexGuard<'_, HashMap<String, Place>> {
    // Nothing panics while the lock is held; a poisoned one is whole.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::task;
    use futures_lite::future::{block_on, poll_once};
    use futures_lite::io::Cursor;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn line() -> Line {
        Line {
            address: ([127, 0, 0, 1], 1).into(),
            stream: Box::new(Cursor::new(Vec::new())),
            reach: Reach::Global,
        }
    }

    #[test]
    fn connection_goes_to_the_next_at_the_same_place_and_to_nobody_else() {
        block_on(async {
            let lines = Lines::default();
            let first = lines.turn(&url("http://a.test/announce?1")).await;
            assert!(!first.has_others());
            let second = lines.turn(&url("http://a.test:80/announce?2")).await;
            let others = ["https://a.test/", "http://a.test:81/", "http://b.test/"];
            first.leave(line());
            for other in others {
                let other = lines.turn(&url(other)).await;
                assert!(!other.has_others() && other.idle().is_none());
            }
            assert!(second.has_others() && second.idle().is_some());
            assert!(second.idle().is_none());
        });
    }

    #[test]
    fn nothing_stays_open_when_nobody_is_left() {
        block_on(async {
            let lines = Lines::default();
            let turn = lines.turn(&url("http://a.test/")).await;
            turn.leave(line());
            drop(turn);
            assert!(lock(&lines.places).is_empty());
            assert!(lines.turn(&url("http://a.test/")).await.idle().is_none());
        });
    }

    #[test]
    fn who_comes_late_waits_for_a_turn() {
        let lines = Lines::default();
        let url = url("http://a.test/");
        block_on(async {
            let mut turns = Vec::new();
            for _ in 0..limits::CONNECTIONS_PER_TRACKER_MAX {
                turns.push(lines.turn(&url).await);
            }
            assert!(poll_once(lines.turn(&url)).await.is_none());
            assert_eq!(
                lock(&lines.places).values().next().unwrap().inside,
                turns.len()
            );
            turns.pop();
            assert!(poll_once(lines.turn(&url)).await.is_some());
        });
        task::block_on(async { drop(lines.turn(&url).await) });
        assert!(lock(&lines.places).is_empty());
    }
}
