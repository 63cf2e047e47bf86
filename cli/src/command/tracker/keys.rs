//! `shoal keys`: the passkeys of a tracker that does not run.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shoal_tracker::policy::{KeyLimits, KeyRecord, Passkey};
use shoal_tracker::server::{KeptKeys, ServerError};

use super::policy::state_folder;
use crate::args::KeysTask;
use crate::config::UsageError;
use crate::error::Error;
use crate::render;
use crate::units::{Bytes, Count};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Does it.
///
/// # Errors
/// [`Error`] when the state cannot be used, or there is no such key.
pub(crate) fn run(task: KeysTask) -> Result<(), Error> {
    match task {
        KeysTask::Add {
            torrents_max,
            peers_max,
            days,
            state_dir,
        } => {
            let limits = KeyLimits {
                torrents_max,
                peers_max,
                expires: days.map(|days| (since_1970() + DAY * days).as_secs()),
            };
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|error| Error::System {
                what: "make a passkey",
                source: io::Error::other(error.to_string()),
            })?;
            let key = Passkey::from_random(bytes);
            let mut keys = open(state_dir.as_deref())?;
            keys.put(key, limits).map_err(failed)?;
            keys.close().map_err(failed)?;
            render::say(key).map_err(Error::Output)
        }
        KeysTask::List { state_dir } => {
            let keys = open(state_dir.as_deref())?;
            let listed = keys
                .keys()
                .iter()
                .try_for_each(|(key, record)| render::say(format_args!("{key}  {}", told(record))));
            keys.close().map_err(failed)?;
            listed.map_err(Error::Output)
        }
        KeysTask::Remove { key, state_dir } => {
            let wrong = || UsageError::Passkey(key.clone());
            let parsed = Passkey::from_hex(key.as_bytes()).ok_or_else(wrong)?;
            let mut keys = open(state_dir.as_deref())?;
            let removed = keys.remove(&parsed).map_err(failed)?;
            keys.close().map_err(failed)?;
            if removed {
                Ok(())
            } else {
                Err(UsageError::NoSuchKey.into())
            }
        }
    }
}

fn open(state_dir: Option<&Path>) -> Result<KeptKeys, Error> {
    let folder = state_folder(state_dir).ok_or(UsageError::NoStateFolder)?;
    KeptKeys::open(&folder).map_err(failed)
}

fn failed(error: impl Into<ServerError>) -> Error {
    Error::Serve(error.into())
}

fn told(record: &KeyRecord) -> String {
    let (limits, totals) = (&record.limits, &record.totals);
    let announces = Count(totals.announces, "announce");
    let (up, down) = (Bytes(totals.uploaded), Bytes(totals.downloaded));
    let mut told = format!("up {up}, down {down}, {announces}");
    if let Some(max) = limits.torrents_max {
        told += &format!("; at most {}", Count(u64::from(max), "torrent"));
    }
    if let Some(max) = limits.peers_max {
        told += &format!("; at most {}", Count(u64::from(max), "peer"));
    }
    if let Some(expires) = limits.expires {
        let left = expires.checked_sub(since_1970().as_secs());
        let left = left
            .filter(|left| *left > 0)
            .map(|left| left.div_ceil(DAY.as_secs()));
        told += &left.map_or_else(
            || "; it is over".to_owned(),
            |days| format!("; good for {}", Count(days, "day")),
        );
    }
    told
}

fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
