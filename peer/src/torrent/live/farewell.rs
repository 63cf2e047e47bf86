//! Ending in good order: connections, writes, trackers.

use std::time::Instant;

use shoal_tracker::announcer::Input as TrackerInput;

use super::Live;
use super::deeds::announce;
use crate::disk::Answer;
use crate::handle::Command;
use crate::limits::{FAREWELL_TIME_MAX, TICK};
use crate::note::Note;
use crate::tasks::Tasks;

impl Live {
    /// Closes connections, makes the writes durable, tells the trackers. A second stop ends it.
    pub(super) async fn farewell(&mut self) {
        self.doors.close(self.handshake.info_hash);
        self.links.close_all();
        self.carry_out();
        self.tasks.stop();
        // Answers to what no longer matters.
        let mut notes = Vec::new();
        self.inbox.take_notes(&mut notes);
        notes.clear();
        self.shared.disk.flush();
        let goodbyes = Tasks::new();
        self.tell_trackers(Instant::now(), TrackerInput::Stop);
        let mut untold = announce(&mut self.discovery, &self.swarm, goodbyes.spawner());
        let mut flushed = false;
        let limit = Instant::now() + FAREWELL_TIME_MAX;
        while !flushed || untold > 0 {
            self.inbox
                .wait(limit.max(Instant::now() + TICK), false)
                .await;
            while let Some(command) = self.inbox.next_command() {
                match command {
                    Command::Stop => return,
                    // Who asks now is told how it ended.
                    Command::Snapshot(_) | Command::SetRates { .. } => {}
                }
            }
            self.inbox.take_notes(&mut notes);
            for note in notes.drain(..) {
                match note {
                    Note::Announced { .. } => untold = untold.saturating_sub(1),
                    Note::Disk(Answer::Flushed(result)) => {
                        flushed = true;
                        if let Err(error) = result {
                            tracing::warn!("{error}");
                        }
                    }
                    Note::Disk(Answer::Panicked(_)) => flushed = true,
                    _ => {}
                }
            }
            if limit <= Instant::now() {
                untold = 0;
            }
        }
        goodbyes.join().await;
    }
}
