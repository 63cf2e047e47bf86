//! One activity on the terminal: a line that changes in place, or a plain line every few seconds.
//!
//! Knows nothing of what is being done: it is told how far it is and what to say about it.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{LIVE, Mode};
use crate::units::percent;

/// Between two plain lines of one activity. Ours: a log of a day stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
/// A total that nobody knows: more than the nothing that is done.
pub(crate) const UNKNOWN: u64 = 1;
/// Characters of a name on a line. Ours: the line fits 100 columns.
const NAME_WIDTH: usize = 24;

/// The line of one activity. Gone from the terminal when dropped.
#[derive(Debug)]
pub(crate) struct Line {
    name: String,
    total: u64,
    plain_every: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Live(ProgressBar),
    Plain { shown: Option<Instant> },
    None,
}

impl Line {
    /// For `total` bytes of work on something called `name`, which may be hostile.
    pub(crate) fn new(mode: Mode, name: &str, total: u64) -> Self {
        let name = super::text::shortened(name, NAME_WIDTH);
        let kind = match mode {
            Mode::Live => Kind::Live(bar(&name, total)),
            Mode::Plain => Kind::Plain {
                shown: Some(Instant::now()),
            },
            Mode::Json => Kind::None,
        };
        Self {
            name,
            total,
            plain_every: PLAIN_EVERY,
            kind,
        }
    }

    /// The work has so many bytes, if that is known by now.
    pub(crate) fn set_total(&mut self, total: Option<u64>) {
        self.total = total.unwrap_or(UNKNOWN);
        if let Kind::Live(bar) = &self.kind {
            bar.set_length(self.total);
        }
    }

    /// `position` bytes of the work are done; `detail` says the rest.
    pub(crate) fn set(&mut self, position: u64, detail: impl fmt::Display) {
        match &mut self.kind {
            Kind::Live(bar) => {
                bar.set_position(position);
                bar.set_message(format!("{:>3}%  {detail}", percent(position, self.total)));
            }
            Kind::Plain { shown } => {
                if shown.is_none_or(|shown| shown.elapsed() >= self.plain_every) {
                    *shown = Some(Instant::now());
                    self.note(position, detail);
                }
            }
            Kind::None => {}
        }
    }

    /// Plain lines come no more often than this from now on.
    pub(crate) fn calm_down(&mut self, plain_every: Duration) {
        self.plain_every = plain_every;
    }

    /// The last state, which stays to be read.
    pub(crate) fn finish(&mut self, position: u64, detail: impl fmt::Display) {
        match &self.kind {
            Kind::Live(bar) => {
                bar.set_position(position);
                bar.finish_with_message(format!("{:>3}%  {detail}", percent(position, self.total)));
                self.kind = Kind::None;
            }
            Kind::Plain { .. } => self.note(position, detail),
            Kind::None => {}
        }
    }

    fn note(&self, position: u64, detail: impl fmt::Display) {
        let percent = percent(position, self.total);
        super::note(format_args!("{}: {percent}%  {detail}", self.name));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Kind::Live(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn bar(name: &str, total: u64) -> ProgressBar {
    let template = match super::colours() {
        true => "{prefix} {bar:20.cyan} {msg}",
        false => "{prefix} {bar:20} {msg}",
    };
    let style = ProgressStyle::with_template(template)
        .expect("the template is ours")
        .progress_chars("█▌░");
    let bar = LIVE.add(ProgressBar::new(total));
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}
