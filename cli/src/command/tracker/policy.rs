//! What was typed of a policy as the server takes it, and where its state is.

use std::env;
use std::path::{Path, PathBuf};

use shoal_tracker::server::{ListFiles, ServerConfig, StateConfig};

use crate::args::Policy;
use crate::config;

/// Fills in what the options say.
pub(super) fn apply(typed: Policy, config: &mut ServerConfig) {
    let folder = state_folder(typed.state_dir.as_deref()).filter(|_| !typed.no_state);
    config.state = folder.map(|folder| StateConfig {
        folder,
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

/// What is lost when no folder can be named and nobody said that none is wanted.
pub(super) fn warning(typed: &Policy) -> Option<String> {
    let is_lost = !typed.no_state && state_folder(typed.state_dir.as_deref()).is_none();
    is_lost.then(|| {
        "nothing is kept: completed counts, passkeys and lists made here are lost when it ends, \
         since neither XDG_STATE_HOME nor HOME names a folder; name one with --state-dir DIR, or \
         say --no-state"
            .to_owned()
    })
}

/// The folder given, else the user's, if there is one.
pub(super) fn state_folder(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(given) = given {
        return Some(given.to_owned());
    }
    let ours = config::state_folder(None, |name| env::var_os(name));
    Some(ours?.join("tracker"))
}
