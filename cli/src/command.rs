//! The commands, one file each: what is meant goes in, a result or an error comes out.
//!
//! Knows nothing of exit codes: `error` does.

pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod demo;
pub(crate) mod dht;
pub(crate) mod magnet;
pub(crate) mod show;
pub(crate) mod tracker;
pub(crate) mod verify;

use crate::args::Command;
use crate::error::Error;

/// Does what was asked for.
///
/// # Errors
/// Whatever kept it from being done.
pub(crate) fn run(command: Command) -> Result<(), Error> {
    match command {
        Command::Create(args) => create::run(args),
        Command::Tracker(args) => tracker::run(*args),
        Command::Keys(args) => tracker::keys::run(args.task),
        Command::Client(args) => client::run(args),
        Command::Show(args) => show::run(&args),
        Command::Verify(args) => verify::run(args),
        Command::Magnet(args) => magnet::run(&args),
        Command::Dht(args) => dht::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
