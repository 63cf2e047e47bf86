//! What was typed. Each option is here with the help that teaches it, and nothing is looked up.
//!
//! `config` turns these into what is meant. Knows nothing of files, sockets or torrents.

mod dht;
mod front;
mod policy;
mod store;

use std::ffi::OsString;
use std::path::PathBuf;

use shoal_metainfo::Choice;
use shoal_peer::ports::MapBy;
use shoal_storage::{Allocation, Method};
use structopt::StructOpt;
use structopt::clap::{AppSettings, ErrorKind, Shell};

pub(crate) use self::dht::{Dht, DhtOptions, DhtTask};
use self::front::FrontOptions;
pub(crate) use self::policy::{Keys, KeysTask, Policy};
pub(crate) use self::store::StoreOptions;
use crate::render::text::shortened;
use crate::units::{Rate, Size, count, port, whole};

const UNITS: &str = "\
UNITS:
    Sizes: 16KiB, 1MiB, 1.5GiB are powers of 1024; 10MB, 500kB powers of 1000; 16384 is bytes.
    Rates: the same with or without /s, in bytes: 5MiB/s.";

const STATUS: &str = "\
EXIT STATUS:
    0 done   1 failed   2 wrong usage   130 interrupted before it was complete

ENVIRONMENT:
    NO_COLOR   when set and not empty, no colours
    SHOAL_LOG  what is logged, instead of -v: error, warn, info, debug, shoal_peer=debug";

/// Makes, tracks and moves torrents.
///
/// Begin with `shoal demo`: it runs a tracker and three clients on this machine. Then
/// `shoal create FILE URL`, `shoal tracker FILE.torrent` and `shoal client FILE.torrent`.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "shoal",
    after_help = STATUS,
    global_settings = &[
        AppSettings::ColorNever,
        AppSettings::DeriveDisplayOrder,
        AppSettings::UnifiedHelpMessage,
        AppSettings::VersionlessSubcommands,
    ],
    settings = &[AppSettings::SubcommandRequiredElseHelp]
)]
pub(crate) struct Args {
    /// What to do.
    #[structopt(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, StructOpt)]
pub(crate) enum Command {
    /// Makes a .torrent of a file or a folder
    Create(Create),
    /// Runs a tracker: tells clients of each other
    Tracker(Box<Tracker>),
    /// Makes, lists or removes passkeys of a private tracker that does not run
    Keys(Keys),
    /// Downloads what a .torrent or a magnet link names, then seeds it until Ctrl+C
    #[structopt(visible_alias = "get")]
    Client(Client),
    /// Shows what a .torrent holds, or a magnet link
    Show(Show),
    /// Checks the files on disk against a .torrent
    Verify(Verify),
    /// Prints the magnet link of a .torrent
    Magnet(Magnet),
    /// Runs a node of the DHT, or asks it something
    Dht(Dht),
    /// Prints the completions for a shell
    Completions(Completions),
    /// Runs a whole swarm on this machine: one tracker, one seeder, some downloaders
    Demo(Demo),
}

impl Command {
    /// Whether events were asked for.
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Create(args) => args.json,
            Self::Tracker(args) => args.json,
            Self::Client(args) => args.json,
            Self::Show(args) => args.json,
            Self::Verify(args) => args.json,
            Self::Dht(args) => args.json,
            Self::Keys(_) | Self::Magnet(_) | Self::Completions(_) | Self::Demo(_) => false,
        }
    }

    /// How often `-v` was given.
    pub(crate) fn verbosity(&self) -> u8 {
        match self {
            Self::Create(args) => args.verbose,
            Self::Tracker(args) => args.verbose,
            Self::Client(args) => args.verbose,
            Self::Verify(args) => args.verbose,
            Self::Dht(args) => args.verbose,
            Self::Demo(args) => args.verbose,
            Self::Show(args) => args.verbose,
            Self::Keys(_) | Self::Magnet(_) | Self::Completions(_) => 0,
        }
    }
}

const CREATE_EXAMPLES: &str = "\
EXAMPLES:
    shoal create holiday.mkv http://tracker.example:6969/announce
    shoal create photos/ http://a.example/announce udp://b.example:6969 --piece-length 1MiB

A folder's files are taken in the order of their names. Hidden ones (.name) are left out unless
--include-hidden, symbolic links always; what is left out is named. The .torrent appears whole or
not at all.";

/// `shoal create`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = CREATE_EXAMPLES)]
pub(crate) struct Create {
    /// The file or folder to share
    #[structopt(value_name = "PATH", empty_values = false, parse(from_os_str))]
    pub(crate) path: PathBuf,
    /// Announce URLs (http, https or udp), each a tier of its own: the first is asked first
    #[structopt(value_name = "TRACKER_URL", required = true)]
    pub(crate) trackers: Vec<String>,
    /// Writes here instead of `<name>.torrent` in the current folder
    #[structopt(
        short,
        long,
        value_name = "FILE",
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) output: Option<PathBuf>,
    /// Overwrites a .torrent that is there already
    #[structopt(short, long)]
    pub(crate) force: bool,
    /// Bytes in a piece, a power of two from 16KiB to 256MiB; else chosen for 1,000 to 2,000 pieces
    #[structopt(long, value_name = "SIZE")]
    pub(crate) piece_length: Option<Size>,
    /// Peers are to be found by these trackers alone (BEP 27)
    #[structopt(long)]
    pub(crate) private: bool,
    /// A remark for people
    #[structopt(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Where the torrent comes from; makes its info hash another one
    #[structopt(long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// An HTTP address of the same content (BEP 19); repeat for several
    #[structopt(long = "web-seed", value_name = "URL", number_of_values = 1)]
    pub(crate) web_seeds: Vec<String>,
    /// Leaves out the date of creation: the same input gives the same bytes
    #[structopt(long)]
    pub(crate) no_date: bool,
    /// Takes hidden files (.name) of a folder too
    #[structopt(long)]
    pub(crate) include_hidden: bool,
    /// One JSON event a line on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

const TRACKER_EXAMPLES: &str = "\
EXAMPLES:
    shoal tracker holiday.mkv.torrent       serves this torrent, where its announce URL says
    shoal tracker                           serves any torrent on 0.0.0.0:6969
    shoal tracker --listen 127.0.0.1:0      on a free port, which it prints
    shoal tracker --folder /srv/torrents    serves what is in this folder, as it comes and goes
    shoal tracker --private                 for those with a passkey of `shoal keys add`

It is announced at /announce, and at each path that an announce URL of the torrents has; and
over UDP at the same port number. A page at / shows what goes on. See docs/tracker.md.

Lists and folders are read again when they change, and on SIGHUP. A list with a mistake is refused
whole, with its line, and what was in force stays.";

/// `shoal tracker`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = TRACKER_EXAMPLES)]
pub(crate) struct Tracker {
    /// Serves these torrents and no others; without any, every info hash
    #[structopt(value_name = "TORRENT", empty_values = false, parse(from_os_str))]
    pub(crate) torrents: Vec<PathBuf>,
    /// Listens here: ADDRESS:PORT, `[IPV6]:PORT` or a port for all addresses; repeat for several
    #[structopt(long, value_name = "ADDR", number_of_values = 1)]
    pub(crate) listen: Vec<String>,
    /// Answers over HTTP alone, and not over UDP at the same port number
    #[structopt(long)]
    pub(crate) no_udp: bool,
    #[structopt(flatten)]
    pub(crate) policy: Policy,
    /// Seconds that clients are told to wait between announces
    #[structopt(
        long,
        value_name = "SECONDS",
        default_value = "1800",
        parse(try_from_str = whole)
    )]
    pub(crate) interval: u32,
    /// Seconds between two logs of the status; 0 for none but at news
    #[structopt(
        long,
        value_name = "SECONDS",
        default_value = "30",
        parse(try_from_str = whole)
    )]
    pub(crate) status_every: u32,
    #[structopt(flatten)]
    pub(crate) store: StoreOptions,
    #[structopt(flatten)]
    pub(crate) front: FrontOptions,
    /// One JSON event a line on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

const CLIENT_EXAMPLES: &str = "\
EXAMPLES:
    shoal client holiday.mkv.torrent                      into the current folder, port 6881
    shoal get holiday.mkv.torrent 0 --exit-when-complete  any free port, ends when it is whole
    shoal client a.torrent --dir /srv --max-upload 2MiB/s
    shoal client 'magnet:?xt=urn:btih:...&tr=...'         quoted: & means something to a shell

What is in the folder already is checked and kept. What was checked is remembered: the next start
checks only what others have changed. One client a folder. Ctrl+C stops: the trackers are told,
everything is written. A second Ctrl+C ends at once.";

/// `shoal client`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = CLIENT_EXAMPLES)]
pub(crate) struct Client {
    /// The .torrent file, or a magnet link
    #[structopt(value_name = "TORRENT", empty_values = false, parse(from_os_str))]
    pub(crate) torrent: PathBuf,
    /// The port that peers reach us at, up to 65535; 0 for any free one
    #[structopt(value_name = "PORT", default_value = "6881", parse(try_from_str = port))]
    pub(crate) port: u16,
    /// The folder that holds, or shall hold, the content [default: the current folder]
    #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
    pub(crate) dir: Option<PathBuf>,
    /// Ends as soon as everything is here, instead of seeding
    #[structopt(long)]
    pub(crate) exit_when_complete: bool,
    /// Connects to this peer, ADDRESS:PORT or NAME:PORT; repeat for several
    #[structopt(long = "peer", value_name = "ADDR", number_of_values = 1)]
    pub(crate) peers: Vec<String>,
    /// Only these files: numbers as `show` lists them, 0,2,6-8, or a path, '*.flac'; repeat
    #[structopt(long, value_name = "FILES", number_of_values = 1)]
    pub(crate) only: Vec<Choice>,
    /// Asks no tracker
    #[structopt(long)]
    pub(crate) no_tracker: bool,
    #[structopt(flatten)]
    pub(crate) dht: DhtOptions,
    /// Fetches nothing from web servers
    #[structopt(long)]
    pub(crate) no_web_seeds: bool,
    /// Neither tells peers of other peers nor hears of any from them (BEP 11)
    #[structopt(long)]
    pub(crate) no_pex: bool,
    /// Everything through this SOCKS5 proxy, socks5://USER:PASSWORD@HOST:PORT; nobody comes in
    #[structopt(long, value_name = "URL", empty_values = false)]
    pub(crate) proxy: Option<String>,
    /// Does not look for peers in the networks of this machine
    #[structopt(long)]
    pub(crate) no_lsd: bool,
    /// Asks the router to let peers in; by PCP, NAT-PMP and UPnP, or by =pcp, =nat-pmp, =upnp alone
    #[structopt(long, value_name = "WAY", require_equals = true)]
    pub(crate) map_port: Option<Option<MapBy>>,
    /// Sends at most this much a second: 5MiB/s, 500kB/s
    #[structopt(long, value_name = "RATE")]
    pub(crate) max_upload: Option<Rate>,
    /// Takes at most this much a second: 5MiB/s, 500kB/s
    #[structopt(long, value_name = "RATE")]
    pub(crate) max_download: Option<Rate>,
    /// How the files are used: auto, mmap (memory-mapped) or pread (by calls)
    #[structopt(long, value_name = "WAY", default_value = "auto")]
    pub(crate) storage: Method,
    /// Room for the files: full reserves it where the file system can, sparse takes it as needed
    #[structopt(long, value_name = "HOW", default_value = "full")]
    pub(crate) allocation: Allocation,
    /// Remembers here what was checked [default: $XDG_STATE_HOME/shoal, or ~/.local/state/shoal]
    #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
    pub(crate) state_dir: Option<PathBuf>,
    /// Remembers nothing: each start checks everything
    #[structopt(long, conflicts_with = "state-dir")]
    pub(crate) no_resume: bool,
    /// One JSON event a line on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
    /// With --json: an event for each verified piece too
    #[structopt(long, requires = "json")]
    pub(crate) json_pieces: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

const SHOW_EXAMPLES: &str = "\
EXAMPLES:
    shoal show holiday.mkv.torrent
    shoal show 'magnet:?xt=urn:btih:...'                          what the link says
    shoal show 'magnet:?xt=urn:btih:...' --fetch -o holiday.torrent   asks peers, saves the .torrent

--fetch waits until a peer gives the metadata; Ctrl+C ends it. It touches no files of the content.";

/// `shoal show`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// The .torrent file, or a magnet link
    #[structopt(value_name = "TORRENT", empty_values = false, parse(from_os_str))]
    pub(crate) torrent: PathBuf,
    /// Of a magnet link: gets the metadata from peers and shows that
    #[structopt(long)]
    pub(crate) fetch: bool,
    /// With --fetch: asks this peer too, ADDRESS:PORT or NAME:PORT; repeat for several
    #[structopt(
        long = "peer",
        value_name = "ADDR",
        number_of_values = 1,
        requires = "fetch"
    )]
    pub(crate) peers: Vec<String>,
    /// With --fetch: asks no tracker
    #[structopt(long, requires = "fetch")]
    pub(crate) no_tracker: bool,
    #[structopt(flatten)]
    pub(crate) dht: DhtOptions,
    /// With --fetch: writes the .torrent here
    #[structopt(
        short,
        long,
        value_name = "FILE",
        empty_values = false,
        requires = "fetch",
        parse(from_os_str)
    )]
    pub(crate) output: Option<PathBuf>,
    /// Overwrites a .torrent that is there already
    #[structopt(short, long, requires = "output")]
    pub(crate) force: bool,
    /// Asks each of its trackers how many have it
    #[structopt(long)]
    pub(crate) scrape: bool,
    /// Asks through this SOCKS5 proxy, socks5://USER:PASSWORD@HOST:PORT
    #[structopt(long, value_name = "URL", empty_values = false)]
    pub(crate) proxy: Option<String>,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
    /// One JSON object on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
}

/// `shoal verify`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = "Exits 0 when everything is there and good, 1 when it is not.")]
pub(crate) struct Verify {
    /// The .torrent file
    #[structopt(value_name = "TORRENT", empty_values = false, parse(from_os_str))]
    pub(crate) torrent: PathBuf,
    /// The folder that holds the content [default: the current folder]
    #[structopt(long, value_name = "DIR", empty_values = false, parse(from_os_str))]
    pub(crate) dir: Option<PathBuf>,
    /// One JSON event a line on standard output; see docs/json-events.md
    #[structopt(long)]
    pub(crate) json: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

/// `shoal magnet`.
#[derive(Debug, StructOpt)]
pub(crate) struct Magnet {
    /// The .torrent file
    #[structopt(value_name = "TORRENT", empty_values = false, parse(from_os_str))]
    pub(crate) torrent: PathBuf,
    /// Names a peer in the link (x.pe), ADDRESS:PORT or NAME:PORT, so that it works without a
    /// tracker; repeat for several
    #[structopt(
        long = "peers",
        alias = "peer",
        value_name = "ADDR",
        number_of_values = 1
    )]
    pub(crate) peers: Vec<String>,
}

/// `shoal completions`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = "\
EXAMPLES:
    shoal completions bash > ~/.local/share/bash-completion/completions/shoal
    shoal completions fish > ~/.config/fish/completions/shoal.fish")]
pub(crate) struct Completions {
    /// Which shell
    #[structopt(value_name = "SHELL", possible_values = &Shell::variants())]
    pub(crate) shell: Shell,
}

/// `shoal demo`.
#[derive(Debug, StructOpt)]
#[structopt(after_help = UNITS)]
pub(crate) struct Demo {
    /// Bytes of the random file that is shared
    #[structopt(long, value_name = "SIZE", default_value = "10MB")]
    pub(crate) size: Size,
    /// Clients that download; one more seeds
    #[structopt(long, value_name = "N", default_value = "2", parse(try_from_str = count))]
    pub(crate) peers: u16,
    /// Keeps the folder with all copies and logs, and prints where it is
    #[structopt(long)]
    pub(crate) keep: bool,
    /// Logs more to standard error; -vv everything
    #[structopt(short, long, parse(from_occurrences))]
    pub(crate) verbose: u8,
}

impl Args {
    /// Reads a command line, program name first.
    ///
    /// # Errors
    /// What clap has to say: also when it is help or the version that was asked for.
    pub(crate) fn read(
        line: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, structopt::clap::Error> {
        let line: Vec<_> = line.into_iter().collect();
        let first = line.get(1).map(|word| word.to_string_lossy());
        match first.filter(|word| !word.is_empty() && !word.starts_with('-')) {
            Some(word) if !COMMANDS.contains(&&*word) => {
                Err(structopt::clap::Error::with_description(
                    &no_such_command(&word),
                    ErrorKind::InvalidSubcommand,
                ))
            }
            _ => Self::from_iter_safe(line),
        }
    }

    /// The script that lets `shell` complete our commands.
    pub(crate) fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        Self::clap().gen_completions_to("shoal", shell, &mut script);
        script
    }
}

/// All commands, with the alias, and what clap adds.
const COMMANDS: [&str; 12] = [
    "create",
    "tracker",
    "keys",
    "client",
    "get",
    "show",
    "verify",
    "magnet",
    "dht",
    "completions",
    "demo",
    "help",
];

/// Letters that may be wrong in a command for it still to be guessed. Ours: two slips.
const SLIPS_MAX: usize = 2;

fn no_such_command(word: &str) -> String {
    let word = shortened(word, 40);
    let near = COMMANDS.map(|command| (slips(&word, command), command));
    let near = near
        .into_iter()
        .filter(|&(slips, _)| slips <= SLIPS_MAX)
        .min();
    let guess = near.map_or_else(String::new, |(_, command)| {
        format!("; did you mean `{command}`?")
    });
    format!(
        "there is no command `{word}`{guess}\nThe commands are {}; `shoal COMMAND --help` \
         explains each",
        COMMANDS.join(", ")
    )
}

/// Letters to change, add or leave out to make one word of the other (Levenshtein's distance).
fn slips(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.chars().enumerate() {
            let change = corner + usize::from(a != b);
            corner = row[column + 1];
            row[column + 1] = change.min(corner + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistyped_command_is_guessed_and_all_are_named() {
        for (word, guess) in [
            ("creat", "did you mean `create`?"),
            ("clinet", "did you mean `client`?"),
            ("shwo", "did you mean `show`?"),
            ("bogus", "no command `bogus`\n"),
            ("dow\x1b[nload", "no command `dow\u{fffd}[nload`\n"),
        ] {
            let message = no_such_command(word);
            assert!(message.contains(guess), "{message}");
            assert!(
                message.contains("create, tracker, keys, client, get"),
                "{message}"
            );
        }
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("kitten", "sitting"), 3);
    }

    #[test]
    fn every_command_is_known_by_its_name() {
        let help = Args::read(["shoal", "--help"].map(OsString::from)).unwrap_err();
        let (_, below) = help.message.split_once("SUBCOMMANDS:").unwrap();
        let lines = below
            .lines()
            .skip(1)
            .take_while(|line| !line.trim().is_empty());
        let shown: Vec<_> = lines
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(shown.len() + 1, COMMANDS.len(), "{shown:?} and get");
        for command in COMMANDS.iter().filter(|&&command| command != "help") {
            let refused = Args::read(["shoal", command, "--help"].map(OsString::from)).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::HelpDisplayed, "{command}");
        }
    }

    fn read(line: &str) -> Result<Args, ErrorKind> {
        let words = format!("shoal {line}");
        Args::read(words.split_whitespace().map(OsString::from)).map_err(|error| error.kind)
    }

    #[test]
    fn every_option_of_the_contract_is_taken() {
        for line in [
            "create p http://t/a udp://u:1 -o f --piece-length 16KiB --private --comment c \
             --source s --web-seed http://w/1 --web-seed http://w/2 --no-date --json \
             --include-hidden --force",
            "create --web-seed http://w p http://t/a",
            "tracker",
            "tracker a b --listen 1.2.3.4:5 --listen [::1]:6 --interval 60 --status-every 5 --json \
             --trust-forwarded-for",
            "tracker --folder a --folder b --allow c --deny d --deny-clients e --private \
             --capacity 100 --torrents-max 1 --peers-max 2 --state-dir f --keep-swarms",
            "tracker --no-state",
            "keys add --torrents-max 1 --peers-max 2 --days 3 --state-dir d",
            "keys list",
            "keys remove 00112233445566778899aabbccddeeff",
            "client t",
            "client t 0 --dir d --exit-when-complete --peer 1.2.3.4:5 --peer [::1]:6 --no-tracker \
             --no-pex --max-upload 5MiB/s --max-download 1MB --json --json-pieces -v",
            "client -vv --peer 1.2.3.4:5 t 7000",
            "get t",
            "show t --json",
            "verify t --dir d --json",
            "magnet t",
            "completions bash",
            "completions zsh",
            "completions fish",
            "demo --size 1MiB --peers 3 --keep",
        ] {
            assert!(read(line).is_ok(), "{line}: {:?}", read(line).err());
        }
    }

    #[test]
    fn client_port_is_6881_unless_given() {
        let Ok(Args {
            command: Command::Client(client),
        }) = read("client t")
        else {
            panic!("no client");
        };
        assert_eq!(client.port, 6881);
        assert!(client.peers.is_empty());
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "",
            "create",
            "create p",
            "tracker --interval soon",
            "tracker --status-every -1",
            "tracker --status-every 4294967296",
            "client t -1",
            "demo --peers 65536",
            "create p http://t --piece-length many",
            "client",
            "client t 70000",
            "client t 0 --max-upload 5M",
            "client t --json-pieces",
            "completions vi",
            "demo --peers -1",
            "swim",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn empty_paths_are_refused() {
        for line in [
            &["create", "", "http://t/a"][..],
            &["create", "p", "http://t/a", "-o", ""],
            &["tracker", ""],
            &["client", ""],
            &["client", "t", "--dir", ""],
            &["client", "t", "--dir="],
            &["show", ""],
            &["verify", ""],
            &["verify", "t", "--dir", ""],
            &["magnet", ""],
        ] {
            let words = ["shoal"].iter().chain(line).map(OsString::from);
            let refused = Args::read(words).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::EmptyValue, "{line:?}");
        }
    }

    #[test]
    fn help_and_version_are_no_mistakes() {
        assert_eq!(read("--help").unwrap_err(), ErrorKind::HelpDisplayed);
        assert_eq!(read("client --help").unwrap_err(), ErrorKind::HelpDisplayed);
        assert_eq!(read("--version").unwrap_err(), ErrorKind::VersionDisplayed);
    }
}
