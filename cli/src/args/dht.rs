//! What was typed of the DHT: the options of `client`, `show --fetch` and `dht`. BEP 5, 44.

use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::AppSettings;

use crate::units::{UnitError, port};

/// How the DHT is used where peers are looked for.
#[derive(Debug, StructOpt)]
pub(crate) struct DhtOptions {
    /// Begins the DHT with this node, HOST:PORT, and not with public ones; repeat for several
    #[structopt(
        long = "dht-bootstrap",
        value_name = "HOST:PORT",
        number_of_values = 1,
        conflicts_with = "no-dht"
    )]
    pub(crate) bootstrap: Vec<String>,
    /// Asks no DHT
    #[structopt(long)]
    pub(crate) no_dht: bool,
}

const DHT_EXAMPLES: &str = "\
EXAMPLES:
    shoal dht                                    a node on port 6881, until Ctrl+C
    shoal dht get-peers 2c6b6858d61da9543d4231a71db4b1c9264b0685
    shoal dht put 'Hello World!'                 prints the name to get it by
    shoal dht put v1 --key me.key --salt news    an item that whoever has me.key may change

Options but those of the task stand before it: shoal dht --json get-peers HASH. Without
--dht-bootstrap it begins with public nodes and with those of the last run.";

/// `shoal dht`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = DHT_EXAMPLES, settings = &[AppSettings::VersionlessSubcommands])]
pub(crate) struct Dht {
    /// What to do; without it a node runs until Ctrl+C
    #[structopt(subcommand)]
    pub(crate) task: Option<DhtTask>,
    /// Listens here: ADDRESS:PORT, `[IPV6]:PORT` or a port for all addresses; repeat for several
    #[structopt(long, value_name = "ADDR", number_of_values = 1)]
    pub(crate) listen: Vec<String>,
    /// Begins with this node, HOST:PORT, and not with public ones; repeat for several
    #[structopt(long = "dht-bootstrap", value_name = "HOST:PORT", number_of_values = 1)]
    pub(crate) bootstrap: Vec<String>,
    /// Remembers nodes here [default: $XDG_STATE_HOME/shoal, or ~/.local/state/shoal]
    #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
    pub(crate) state_dir: Option<PathBuf>,
    /// One JSON event a line on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

/// What `shoal dht` finds out or tells.
#[derive(Debug, StructOpt)]
pub(crate) enum DhtTask {
    /// Looks for the peers of a torrent
    GetPeers {
        /// Its info hash, 40 hex digits
        #[structopt(value_name = "HASH")]
        hash: String,
    },
    /// Tells that this machine has peers of a torrent at a port
    Announce {
        /// Its info hash, 40 hex digits
        #[structopt(value_name = "HASH")]
        hash: String,
        /// The port that peers are reached at
        #[structopt(value_name = "PORT", parse(try_from_str = port_of_peers))]
        port: u16,
    },
    /// Asks a node whether it is there
    Ping {
        /// The node
        #[structopt(value_name = "HOST:PORT")]
        address: String,
    },
    /// Gets what is stored under a name or a public key
    Get {
        /// The name, 40 hex digits, or the public key, 64 hex digits
        #[structopt(value_name = "TARGET_OR_KEY")]
        name: String,
        /// What tells apart the items of one key
        #[structopt(long, value_name = "TEXT", default_value = "")]
        salt: String,
    },
    /// Stores a text for two hours
    Put {
        /// The text, at most 996 bytes
        #[structopt(value_name = "TEXT")]
        text: String,
        /// Signs it with the key in this file, which is made if it is not there
        #[structopt(long, value_name = "FILE", empty_values = false, parse(from_os_str))]
        key: Option<PathBuf>,
        /// With --key: the version [default: one more than what is stored]
        #[structopt(long, value_name = "N", requires = "key")]
        seq: Option<u32>,
        /// With --key: tells apart the items of one key
        #[structopt(long, value_name = "TEXT", requires = "key")]
        salt: Option<String>,
    },
}

/// A port that somebody can be reached at.
fn port_of_peers(text: &str) -> Result<u16, UnitError> {
    let port = port(text)?;
    let at_all = Some(port).filter(|&port| port != 0);
    at_all.ok_or_else(|| UnitError::PortOfNobody(text.to_owned()))
}
