//! What was typed of a tracker's policy: the options of `tracker` that say who may announce what.

use std::path::PathBuf;

use structopt::StructOpt;

use crate::units::whole;

/// Lists, keys, load and memory of `shoal tracker`.
#[derive(Debug, Default, StructOpt)]
pub(crate) struct Policy {
    /// Serves the .torrent files of this folder, and others only if named; repeat for several
    #[structopt(
        long = "folder",
        value_name = "DIR",
        number_of_values = 1,
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) folders: Vec<PathBuf>,
    /// Serves the info hashes in this file, a line each, # begins a remark; repeat for several
    #[structopt(
        long,
        value_name = "FILE",
        number_of_values = 1,
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) allow: Vec<PathBuf>,
    /// Never serves the info hashes in this file, of the same form; repeat for several
    #[structopt(
        long,
        value_name = "FILE",
        number_of_values = 1,
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) deny: Vec<PathBuf>,
    /// Refuses clients whose peer ids begin as a line of this file says, such as -XL
    #[structopt(
        long,
        value_name = "FILE",
        number_of_values = 1,
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) deny_clients: Vec<PathBuf>,
    /// Lets in only who has a passkey: announces are at /PASSKEY/announce; see `shoal keys`
    #[structopt(long)]
    pub(crate) private: bool,
    /// Announces a second that are no burden: beyond it, clients are told to come less often
    #[structopt(long, value_name = "N", parse(try_from_str = whole))]
    pub(crate) capacity: Option<u32>,
    /// Torrents at the same time, when any is served [default: 1000000]
    #[structopt(long, value_name = "N", parse(try_from_str = whole))]
    pub(crate) torrents_max: Option<u32>,
    /// Peers of all torrents together [default: 4000000]
    #[structopt(long, value_name = "N", parse(try_from_str = whole))]
    pub(crate) peers_max: Option<u32>,
    /// Keeps counts, keys and lists here [default: $XDG_STATE_HOME/shoal/tracker, or
    /// ~/.local/state/shoal/tracker]
    #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
    pub(crate) state_dir: Option<PathBuf>,
    /// Keeps nothing: the next start knows nothing of this one
    #[structopt(long, conflicts_with = "state-dir")]
    pub(crate) no_state: bool,
    /// Keeps swarms too, so that a start does not wait for peers to come again
    #[structopt(long, conflicts_with = "no-state")]
    pub(crate) keep_swarms: bool,
}

/// `shoal keys`.
#[derive(Debug, StructOpt)]
pub(crate) struct Keys {
    /// What to do
    #[structopt(subcommand)]
    pub(crate) task: KeysTask,
}

/// What is done with keys.
#[derive(Debug, StructOpt)]
pub(crate) enum KeysTask {
    /// Makes a passkey and prints it
    Add {
        /// Torrents that it is good for at the same time
        #[structopt(long, value_name = "N", parse(try_from_str = whole))]
        torrents_max: Option<u32>,
        /// Peers that it is good for at the same time
        #[structopt(long, value_name = "N", parse(try_from_str = whole))]
        peers_max: Option<u32>,
        /// Days that it is good for
        #[structopt(long, value_name = "N", parse(try_from_str = whole))]
        days: Option<u32>,
        /// The tracker's state [default: as of `shoal tracker`]
        #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
        state_dir: Option<PathBuf>,
    },
    /// Prints all passkeys, with what was announced with them
    List {
        /// The tracker's state [default: as of `shoal tracker`]
        #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
        state_dir: Option<PathBuf>,
    },
    /// Makes a passkey worthless
    Remove {
        /// The passkey, 32 hex digits
        #[structopt(value_name = "PASSKEY")]
        key: String,
        /// The tracker's state [default: as of `shoal tracker`]
        #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
        state_dir: Option<PathBuf>,
    },
}
