//! What others heard: from the store into the table.

use std::collections::BTreeMap;
use std::time::Instant;

use redis::Cmd;
use shoal_metainfo::InfoHash;

use super::Link;
use crate::limits;
use crate::store::nodes::Outcome;
use crate::store::words::{Mark, question, read_news};

/// Questions to one server.
#[derive(Default)]
struct Batch {
    commands: Vec<Cmd>,
    about: Vec<(InfoHash, Mark)>,
}

impl Link<'_> {
    /// Asks for the torrents whose turn it is.
    pub(super) fn ask(&mut self, now: Instant) {
        let mut budget = limits::STORE_READS;
        // Each once, and some again of which there is more.
        let mut turns = self.followed.len();
        while budget > 0 && turns > 0 {
            let count = limits::STORE_READS_AT_ONCE.min(budget).min(turns);
            let handed = self.followed.next(count, now, self.life);
            if handed.is_empty() {
                return;
            }
            budget -= handed.len();
            turns -= handed.len();
            turns += self.ask_for(handed);
        }
    }

    /// Returns of how many there is more.
    fn ask_for(&mut self, handed: Vec<(InfoHash, Mark)>) -> usize {
        let mut batches = BTreeMap::<usize, Batch>::new();
        for (info_hash, mark) in handed {
            let place = self.nodes.of(&info_hash);
            let scripts = place.and_then(|place| Some((place, self.nodes.scripts(place)?)));
            let Some((place, scripts)) = scripts else {
                self.followed.back(info_hash, mark, false);
                continue;
            };
            let batch = batches.entry(place).or_default();
            let command = question(&info_hash, mark, self.life, scripts);
            batch.commands.push(command);
            batch.about.push((info_hash, mark));
        }
        let mut more = 0;
        for (place, batch) in batches {
            let outcomes = self.nodes.ask(place, batch.commands);
            for (outcome, (info_hash, mark)) in outcomes.into_iter().zip(batch.about) {
                more += usize::from(self.hear(info_hash, mark, outcome));
            }
        }
        more
    }

    /// Takes the answer for one torrent; returns whether there is more of it.
    fn hear(&mut self, info_hash: InfoHash, mark: Mark, outcome: Outcome) -> bool {
        let news = match outcome {
            Outcome::Answered(answer) => {
                let news = read_news(&answer, self.scope);
                if news.is_none() {
                    self.refuse("it answers a question with something else".to_owned());
                }
                news
            }
            Outcome::Refused(why) => {
                self.refuse(why);
                None
            }
            Outcome::Lost => None,
        };
        let Some(news) = news else {
            self.followed.back(info_hash, mark, false);
            return false;
        };
        self.table
            .merge(Instant::now(), &info_hash, &news.heard, news.completed);
        self.followed.back(info_hash, news.mark, news.more);
        news.more
    }
}
