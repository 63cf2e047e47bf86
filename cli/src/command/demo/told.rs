//! What a child tells: its events, as far as the demo needs them. Schema: docs/json-events.md.
//!
//! Knows nothing of processes.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

use crate::units::{Count, PerSecond};

/// One event of a child, or its end.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told {
    /// It runs.
    Started {
        /// The tracker's announce URLs.
        #[serde(default)]
        announce: Vec<String>,
    },
    /// How far it is.
    Progress(Progress),
    /// It has everything.
    Complete {
        /// Since it started.
        #[serde(default)]
        seconds: f64,
    },
    /// The tracker heard from a client.
    Announce {},
    /// It failed.
    Error {
        /// Why.
        message: String,
    },
    /// Its standard output ended: so has it.
    #[serde(skip)]
    Ended,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// How far a client is.
#[derive(Debug, Deserialize)]
pub(super) struct Progress {
    /// Good bytes.
    #[serde(default)]
    pub(super) bytes_have: u64,
    #[serde(default)]
    download_bytes_per_s: u64,
    #[serde(default)]
    upload_bytes_per_s: u64,
    #[serde(default)]
    downloaded: u64,
    #[serde(default)]
    uploaded: u64,
    #[serde(default)]
    peers: u64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (down, up) = (self.download_bytes_per_s, self.upload_bytes_per_s);
        write!(
            f,
            "down {}  up {}  {}",
            PerSecond(down),
            PerSecond(up),
            Count(self.peers, "peer")
        )
    }
}

impl Told {
    /// Whether it shows that something moves; `moved` holds what each child had moved before.
    pub(super) fn is_news_after(&self, moved: &mut HashMap<usize, u64>, who: usize) -> bool {
        match self {
            Self::Progress(progress) => {
                let now = progress.downloaded + progress.uploaded;
                moved.insert(who, now) != Some(now)
            }
            Self::Other => false,
            _ => true,
        }
    }

    /// How it failed, if this says so.
    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::Error { message } => Some(message.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_events_and_fields_are_skipped() {
        let told = |line: &str| serde_json::from_str::<Told>(line).unwrap();
        assert!(matches!(
            told(r#"{"event":"status","torrents":[]}"#),
            Told::Other
        ));
        assert!(matches!(
            told(r#"{"event":"announce","kind":"started"}"#),
            Told::Announce {}
        ));
        let progress = told(r#"{"event":"progress","bytes_have":5,"peers":1,"more":null}"#);
        assert!(matches!(
            progress,
            Told::Progress(Progress {
                bytes_have: 5,
                peers: 1,
                ..
            })
        ));
        assert_eq!(
            told(r#"{"event":"error","message":"m"}"#)
                .failure()
                .as_deref(),
            Some("m")
        );
    }
}
