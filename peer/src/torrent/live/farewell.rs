//! Ending in good order: connections, writes, trackers.
//!
//! An announce that is on its way (`completed`, when a download ends as soon as it is whole) gets
//! half of the time to arrive before `stopped` follows it.

use std::time::Instant;

use shoal_storage::StorageError;
use shoal_tracker::announcer::Input as TrackerInput;

use super::Live;
use crate::discovery::Discovery;
use crate::disk::Answer;
use crate::handle::{Command, State};
use crate::limits::FAREWELL_TIME_MAX;
use crate::note::Note;

impl Live {
    /// Closes connections, makes the writes durable, tells the trackers. A second stop ends it.
    ///
    /// # Errors
    /// What was written is not durable, or is no longer where it was.
    pub(super) async fn farewell(&mut self) -> Result<(), StorageError> {
        self.doors.close(self.handshake.info_hash);
        self.links.close_all();
        self.carry_out();
        self.hand_on_jobs(|jobs| !jobs.is_empty());
        self.tasks.stop();
        let disk = self.shared.disk();
        disk.iter().for_each(|disk| disk.flush());
        // Without files nothing was written.
        let nothing = disk.is_none().then_some(Ok(()));
        let began = Instant::now();
        let (half, limit) = (began + FAREWELL_TIME_MAX / 2, began + FAREWELL_TIME_MAX);
        let (mut said, mut flushed) = (false, nothing);
        loop {
            let now = Instant::now();
            let in_flight = |live: &Self| live.discovery.as_ref().map_or(0, Discovery::in_flight);
            if !said && (in_flight(self) == 0 || half <= now) {
                said = true;
                self.tell_trackers(now, TrackerInput::Stop);
            }
            self.announce();
            let told = (said && in_flight(self) == 0) || limit <= now;
            if let Some(flushed) = flushed.take_if(|_| told) {
                return flushed;
            }
            let until = [half, limit].into_iter().find(|&at| at > now);
            // A flush takes as long as it takes.
            let until = until.unwrap_or(now + FAREWELL_TIME_MAX);
            self.inbox.wait(until, false).await;
            if self.is_told_again() {
                return Ok(());
            }
            let heard = self.hear_the_last(Instant::now());
            flushed = flushed.or(heard);
        }
    }

    /// Whether a second stop came.
    fn is_told_again(&mut self) -> bool {
        while let Some(command) = self.inbox.next_command() {
            match command {
                Command::Stop => return true,
                // The asker may have gone.
                Command::Snapshot(asker) => {
                    let _ = asker.try_send(self.snapshot(State::Stopped));
                }
                Command::SetRates { .. } => {}
            }
        }
        false
    }

    /// Takes what still comes in; also whether all that was written is durable, once that is known.
    fn hear_the_last(&mut self, now: Instant) -> Option<Result<(), StorageError>> {
        let mut flushed = None;
        let mut notes = Vec::new();
        self.inbox.take_notes(&mut notes);
        for note in notes {
            match note {
                // Nobody is dialled any more.
                Note::Announced(announced) => drop(self.announced(now, announced)),
                Note::Disk(Answer::Flushed(result)) => flushed = Some(result),
                // The thread has told of its panic itself.
                Note::Disk(Answer::Panicked(_)) => flushed = Some(Ok(())),
                // The swarm decides nothing any more.
                _ => {}
            }
        }
        flushed
    }
}
