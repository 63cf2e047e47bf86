//! Writes down what changed: every two seconds, and all of it at the end.
//!
//! A thread of its own, so that no announce waits for a disk. What could not be written is kept and
//! tried again. How it is written, `state` knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use async_std::channel::{Receiver, Sender, bounded};
use shoal_metainfo::InfoHash;

use super::lists::News;
use super::state::{Batch, Remembered, State};
use super::{Shared, unix_now};
use crate::limits;
use crate::policy::Policy;
use crate::registry::Registry;

/// Between two tellings that nothing can be written. Ours: people read it.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A state that is open, before the thread begins.
#[derive(Debug)]
pub(super) struct Keeper {
    state: State,
    swarms: bool,
    had_swarms: bool,
}

/// The thread.
#[derive(Debug)]
pub(super) struct Keeping {
    end: mpsc::Sender<()>,
    ended: Receiver<()>,
}

impl Keeper {
    /// Keeps swarms too if so it says; else those that the run before kept, if any, go.
    pub(super) fn new(state: State, swarms: bool, had_swarms: bool) -> Self {
        Self {
            state,
            swarms,
            had_swarms,
        }
    }

    /// Keeps what happens to a server until [`Keeping::end`].
    pub(super) fn start(self, shared: &Arc<Shared>) -> Keeping {
        let (end, asked) = mpsc::channel();
        let (running, ended) = bounded(1);
        let shared = Arc::clone(shared);
        let run = move || self.run(&shared, &asked, running);
        let thread = thread::Builder::new().name("tracker-state".to_owned());
        if let Err(error) = thread.spawn(run) {
            tracing::error!(%error, "cannot start the thread for the state: nothing is kept");
        }
        Keeping { end, ended }
    }

    fn run(mut self, shared: &Shared, asked: &mpsc::Receiver<()>, running: Sender<()>) {
        let mut batch = Batch::default();
        let mut parts = (0..Registry::PARTS).cycle();
        let mut told = None::<Instant>;
        if self.had_swarms && !self.swarms {
            forget_swarms(&mut batch);
        }
        loop {
            let ends = asked.recv_timeout(limits::STATE_EVERY) != Err(RecvTimeoutError::Timeout);
            gather(&mut batch, shared);
            if self.swarms {
                let count = if ends {
                    Registry::PARTS
                } else {
                    limits::STATE_PARTS_AT_ONCE
                };
                for part in parts.by_ref().take(count) {
                    gather_swarms(&mut batch, &shared.registry, part);
                }
            }
            if !batch.is_empty() {
                match self.state.save(&batch) {
                    Ok(()) => batch = Batch::default(),
                    Err(error) => {
                        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) || ends {
                            told = Some(Instant::now());
                            shared.watch.tell(News::NotKept(error.to_string()));
                        }
                    }
                }
            }
            if ends {
                break;
            }
        }
        if let Err(error) = self.state.close() {
            shared.watch.tell(News::NotKept(error.to_string()));
        }
        drop(running);
    }
}

impl Keeping {
    /// Writes what is left, once nothing more can happen.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        // Nothing is ever sent: the thread drops its end.
        let _ = self.ended.recv().await;
    }
}

/// Puts what was kept where it belongs. Lists are in force by then.
pub(super) fn restore(remembered: Remembered, registry: &Registry) {
    for (info_hash, count) in remembered.completed {
        registry.restore_completed(info_hash, count);
    }
    let now = unix_now();
    for (info_hash, peer, written) in remembered.swarms {
        let since = Duration::from_secs(now.saturating_sub(written));
        registry.restore_peer(info_hash, &peer, peer.silent + since);
    }
}

/// The same for keys and what people allowed and denied.
pub(super) fn restore_rules(remembered: &mut Remembered, policy: &Policy) {
    for (key, record) in std::mem::take(&mut remembered.keys) {
        if let Err(error) = policy.restore_key(key, record) {
            tracing::warn!(%error, "a key of the run before is not used");
        }
    }
    policy.restore_hashes(std::mem::take(&mut remembered.hashes));
}

fn gather(batch: &mut Batch, shared: &Shared) {
    let mut completed = Vec::new();
    shared.registry.take_completed(&mut completed);
    batch.completed.extend(completed);
    shorten(&mut batch.completed, limits::COMPLETED_MAX);
    let changes = shared.policy.take_changes();
    batch.changes.keys.extend(changes.keys);
    batch.changes.hashes.extend(changes.hashes);
}

/// While a disk takes nothing, changes gather: of more than there is room for some are lost, by
/// chance, as hashes are.
fn shorten(completed: &mut BTreeMap<InfoHash, u32>, max: usize) {
    while completed.len() > max {
        completed.pop_first();
    }
}

fn gather_swarms(batch: &mut Batch, registry: &Registry, part: usize) {
    let mut bytes = unix_now().to_be_bytes().to_vec();
    let head = bytes.len();
    registry.swarms(part, Instant::now(), &mut bytes);
    if bytes.len() == head {
        bytes.clear();
    }
    batch.swarms.insert(row(part), bytes);
}

fn forget_swarms(batch: &mut Batch) {
    let rows = (0..Registry::PARTS).map(row);
    batch.swarms.extend(rows.map(|row| (row, Vec::new())));
}

fn row(part: usize) -> u8 {
    u8::try_from(part).expect("there are few parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_nobody_writes_are_bounded() {
        let mut completed: BTreeMap<_, _> = (0..100).map(|n| (InfoHash([n; 20]), 1)).collect();
        shorten(&mut completed, 100);
        assert_eq!(completed.len(), 100);
        shorten(&mut completed, 10);
        assert_eq!(completed.len(), 10);
    }
}
