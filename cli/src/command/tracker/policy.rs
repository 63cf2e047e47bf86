//! What was typed of a policy as the server takes it, and where its state is.

use std::env;
use std::path::{Path, PathBuf};

use shoal_tracker::server::{ListFiles, ServerConfig, StateConfig};

use crate::args::Policy;
use crate::config;

/// Fills in what the options say.
pub(super) fn apply(typed: Policy, config: &mut ServerConfig) {
    config.state = (!typed.no_state).then(|| StateConfig {
        folder: state_folder(typed.state_dir.as_deref()),
        swarms: typed.keep_swarms,
    });
    config.lists = ListFiles {
        folders: typed.folders,
        allow: typed.allow,
        deny: typed.deny,
        deny_clients: typed.deny_clients,
    };
    config.private = typed.private;
    config.capacity = typed.capacity;
    for (max, typed) in [
        (&mut config.torrents_max, typed.torrents_max),
        (&mut config.peers_max, typed.peers_max),
    ] {
        if let Some(typed) = typed {
            *max = usize::try_from(typed).unwrap_or(usize::MAX);
        }
    }
}

/// Whether the options make it serve only some torrents.
pub(super) fn is_closed(typed: &Policy) -> bool {
    !typed.folders.is_empty() || !typed.allow.is_empty()
}

/// The folder given, else the user's, else the current one's.
pub(super) fn state_folder(given: Option<&Path>) -> PathBuf {
    if let Some(given) = given {
        return given.to_owned();
    }
    let ours = config::state_folder(None, |name| env::var_os(name));
    ours.unwrap_or_else(|| PathBuf::from(".shoal"))
        .join("tracker")
}
