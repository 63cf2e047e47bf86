//! What the swarm wants done: laid out one by one, handed on in batches.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

use shoal_metainfo::PieceIndex;
use shoal_swarm::io::{Direction, Event as SwarmEvent, Input, Output};
use shoal_tracker::announcer::Input as TrackerInput;
use shoal_wire::Decoder;

use super::Live;
use crate::connection::Connection;
use crate::dial::dial;
use crate::discovery::Totals;
use crate::disk::Job;
use crate::event::Event;
use crate::limits::{LEFT_UNKNOWN, WRITE_TOGETHER};
use crate::note::{Greeted, Note};

impl Live {
    /// Does what costs nothing, and lays the rest out for [`carry_out`](Self::carry_out).
    pub(super) fn put(&mut self, now: Instant, output: Output) {
        match output {
            Output::Dial { address } => self.dial(address),
            Output::Send { peer, message } => {
                if !self.web_takes(peer, &message) {
                    self.links.put(peer, |outbox| outbox.send(&message));
                }
            }
            Output::Serve { peer, block } => self.links.put(peer, |outbox| outbox.serve(block)),
            Output::Close { peer, reason } => {
                tracing::debug!(peer = peer.0, ?reason, "closing");
                if !self.web_closes(peer, reason)
                    && let Some(outbox) = self.links.outbox(peer)
                {
                    outbox.close();
                }
            }
            Output::Write { block, data } => {
                self.lay_out(block.piece(), Job::Write { block, data });
            }
            Output::Verify { piece, digests } => {
                self.lay_out(piece, Job::Verify { piece, digests });
            }
            Output::Metadata { info } => self.metadata_found(&info),
            Output::WantPeers => {
                self.tell_trackers(now, TrackerInput::WantPeers);
                self.want_peers(now);
            }
            Output::Event(SwarmEvent::Complete) => {
                self.board.post(Event::Complete);
                // All of it is to be durable soon.
                self.next_flush = now;
                let input = match self.swarm.is_whole() {
                    true => TrackerInput::Completed,
                    false => TrackerInput::Paused(true),
                };
                self.tell_trackers(now, input);
            }
            Output::Event(event) => self.board.post(Event::Swarm(event)),
        }
    }

    fn lay_out(&mut self, piece: PieceIndex, job: Job) {
        // Without files no block is asked for.
        if let Some(disk) = self.shared.disk() {
            self.jobs[disk.writer_of(piece)].push(job);
        }
    }

    pub(super) fn tell_trackers(&mut self, now: Instant, input: TrackerInput<'_>) {
        if let Some(discovery) = &mut self.discovery {
            discovery.handle(now, input);
        }
    }

    /// Hands on what was laid out: one push a disk thread, one wake-up a connection. Blocks wait
    /// for others to be written with, until something waits for them or the next tick.
    pub(super) fn carry_out(&mut self) {
        self.hand_on_jobs(is_due);
        self.links.carry_out(self.shared.disk());
        self.announce();
    }

    pub(super) fn hand_on_jobs(&mut self, is_due: impl Fn(&[Job]) -> bool) {
        for (writer, jobs) in self.jobs.iter_mut().enumerate() {
            if is_due(jobs)
                && let Some(disk) = self.shared.disk()
            {
                disk.push(writer, std::mem::take(jobs));
            }
        }
    }

    fn dial(&self, address: SocketAddr) {
        let (ours, notes) = (self.handshake, self.shared.notes.clone());
        let proxy = self.proxy.clone();
        self.tasks.spawner().until_stop(async move {
            let note = match dial(address, ours, proxy.as_deref()).await {
                Ok(greeted) => Note::Greeted(greeted),
                Err(error) => {
                    tracing::debug!("no connection to {address}: {error}");
                    Note::DialFailed(address)
                }
            };
            // The torrent has ended: then nobody wants the connection.
            let _ = notes.push(note);
        });
    }

    /// Starts the task of a connection, and tells the swarm of it.
    pub(super) fn adopt(&mut self, now: Instant, greeted: Greeted) {
        if greeted.direction == Direction::Incoming {
            self.arrivals.fetch_sub(1, Ordering::SeqCst);
        }
        let outbox = self.links.add(now);
        let peer = outbox.peer;
        let connection = Connection {
            stream: greeted.stream,
            place: greeted.place,
            decoder: Decoder::new(self.bitfield_length),
            outbox,
            torrent: self.to_torrent.clone(),
            surroundings: self.shared.clone(),
        };
        self.tasks.spawner().to_the_end(connection.run());
        let (address, extensions) = (greeted.address, greeted.handshake.extensions);
        let connected = Input::Connected {
            peer,
            address,
            direction: greeted.direction,
            handshake: greeted.handshake,
        };
        self.tell(now, connected);
        self.tell_port(peer, address, extensions);
    }

    /// Starts the announces that are due.
    pub(super) fn announce(&mut self) {
        let swarm = &self.swarm;
        if let Some(discovery) = &mut self.discovery {
            discovery.carry_out(|| {
                let snapshot = swarm.snapshot(Instant::now());
                Totals {
                    uploaded: snapshot.uploaded,
                    downloaded: snapshot.downloaded,
                    left: match swarm.is_live() {
                        true => snapshot.bytes_total - snapshot.bytes_have,
                        false => LEFT_UNKNOWN,
                    },
                }
            });
        }
    }
}

/// Whether the jobs pay for waking a thread, or something waits for them.
fn is_due(jobs: &[Job]) -> bool {
    let mut bytes = 0;
    jobs.iter().any(|job| match job {
        Job::Write { data, .. } => {
            bytes += data.len();
            bytes >= WRITE_TOGETHER
        }
        Job::Verify { .. } | Job::Retry(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use shoal_metainfo::Geometry;

    #[test]
    fn blocks_wait_for_others_but_not_for_their_piece() {
        let geometry = Geometry::new(64 << 20, 1 << 20).unwrap();
        let piece = geometry.piece(0).unwrap();
        let write = |number: usize| {
            let block = geometry.nth_block(piece, number).unwrap();
            let data = Bytes::from(vec![0; block.length() as usize]);
            Job::Write { block, data }
        };
        let mut jobs: Vec<Job> = (0..31).map(write).collect();
        assert!(!is_due(&[]));
        assert!(!is_due(&jobs), "31 blocks of 16 KiB");
        jobs.push(write(31));
        assert!(is_due(&jobs), "half a MiB");
        let digests = false;
        assert!(is_due(&[write(0), Job::Verify { piece, digests }]));
    }
}
