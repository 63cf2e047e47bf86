//! What the disk answers, and what is done when it fails.
//!
//! A failed disk ends nothing: the swarm asks for no more blocks, what failed is tried again every
//! few seconds, and when that goes well the swarm goes on. A piece with a write that failed is
//! fetched again. A file that vanished, shrank or was replaced is neither read nor written until
//! every verified piece in it has been hashed again: it takes its owner to put it back.

use std::sync::Arc;
use std::time::Instant;

use shoal_storage::StorageError;
use shoal_swarm::io::Input;

use super::Live;
use crate::disk::{Answer, Deed, Job};
use crate::error::Failure;
use crate::event::Event;
use crate::limits::DISK_RETRY;

/// The disk does not work.
pub(super) struct Trouble {
    /// What failed first.
    deed: Deed,
    /// When to try again; `None` while a try is under way.
    pub(super) retry_at: Option<Instant>,
}

impl Live {
    pub(super) fn disk_answer(&mut self, now: Instant, answer: Answer) -> Result<(), Failure> {
        match answer {
            Answer::Verified {
                piece,
                verdict,
                blocks,
            } => self.tell(
                now,
                Input::Verified {
                    piece,
                    verdict,
                    blocks,
                },
            ),
            Answer::Unserved { peer, blocks } => {
                if self.links.outbox(peer).is_some() {
                    let sent = Input::Sent {
                        peer,
                        blocks,
                        bytes: 0,
                    };
                    self.tell(now, sent);
                }
            }
            Answer::Failed { error, deed } => self.disk_failed(now, error, deed),
            Answer::Retried(Ok(())) => {
                self.trouble = None;
                self.shared.disk().iter().for_each(|disk| disk.recovered());
                self.tell(now, Input::DiskRecovered);
                self.board.post(Event::DiskRecovered);
            }
            Answer::Retried(Err(error)) => {
                tracing::debug!("the disk still fails: {error}");
                if let Some(trouble) = &mut self.trouble {
                    trouble.retry_at = Some(now + DISK_RETRY);
                }
            }
            Answer::Forgetful(error) => self.board.post(Event::NotRemembered { error }),
            // Only for waking up.
            Answer::Room | Answer::Flushed(_) => {}
            Answer::Panicked(text) => return Err(Failure::Panicked { text }),
        }
        Ok(())
    }

    fn disk_failed(&mut self, now: Instant, error: StorageError, deed: Deed) {
        if self.trouble.is_some() {
            return;
        }
        tracing::warn!("{error}");
        self.trouble = Some(Trouble {
            deed,
            retry_at: Some(now + DISK_RETRY),
        });
        self.tell(now, Input::DiskFailed);
        self.board.post(Event::DiskFailed(Arc::new(error)));
    }

    pub(super) fn retry_disk(&mut self, now: Instant) {
        if let Some(trouble) = &mut self.trouble
            && let Some(disk) = self.shared.disk()
            && trouble.retry_at.is_some_and(|at| at <= now)
        {
            trouble.retry_at = None;
            let deed = trouble.deed.clone();
            let writer = disk.writer_of_deed(&deed);
            self.jobs[writer].push(Job::Retry(deed));
        }
    }
}
