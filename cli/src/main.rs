//! The `shoal` command: makes, tracks and moves torrents.
//!
//! `args` is what was typed, `config` what is meant, `command` does it, `render` shows it, `error`
//! says how it ended. The only crate of the workspace that knows JSON.
#![forbid(unsafe_code)]

mod args;
mod command;
mod config;
mod error;
mod link;
mod output;
mod render;
mod signals;
mod torrent_file;
mod units;

use std::io::{self, Write as _};
use std::panic;
use std::process::ExitCode;

use structopt::clap;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use crate::args::Args;
use crate::error::{EXIT_DONE, EXIT_FAILED, EXIT_USAGE, Error};

fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(refusal) => return ExitCode::from(explain(&refusal)),
    };
    let json = args.command.json();
    render::tell_in_json(json);
    log_to_stderr(args.command.verbosity(), json);
    panic::set_hook(Box::new(report));
    let code = match panic::catch_unwind(|| command::run(args.command)) {
        Ok(Ok(())) => EXIT_DONE,
        Ok(Err(error)) => {
            if !error.is_reader_gone() {
                tell(&error, json);
            }
            error.exit_code()
        }
        // Reported when it happened.
        Err(_) => EXIT_FAILED,
    };
    ExitCode::from(code)
}

/// A bug of ours, in words that can be reported.
fn report(info: &panic::PanicHookInfo<'_>) {
    let version = env!("CARGO_PKG_VERSION");
    let line = format!("shoal {version}: a bug, please report it: {info}");
    // Straight to standard error: the panic may have come while live lines were locked.
    let _ = writeln!(io::stderr(), "{}", render::told(Level::ERROR, &line));
}

/// What clap has to say: help and version are answers, the rest are mistakes.
fn explain(refusal: &clap::Error) -> u8 {
    match refusal.kind {
        clap::ErrorKind::HelpDisplayed | clap::ErrorKind::VersionDisplayed => {
            // A reader that is gone has read enough.
            let _ = render::say(&refusal.message);
            EXIT_DONE
        }
        _ => {
            render::note(&refusal.message);
            EXIT_USAGE
        }
    }
}

/// The error, for people and, when they asked for events, for programs. A mistake on the command
/// line is for people alone, as it is where clap finds it.
fn tell(error: &Error, json: bool) {
    if json && error.exit_code() != EXIT_USAGE {
        // Whoever does not read it still gets the exit code.
        let _ = render::json::emit(&render::json::Failed::new(error));
    }
    let text = error.to_string();
    render::fail(format_args!("shoal: {}", render::text::Lines(&text)));
}

/// `SHOAL_LOG` says what is logged in the words of tracing's filters; else `-v` does.
/// With events on standard output, each line is a JSON object too.
fn log_to_stderr(verbosity: u8, json: bool) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        _ => "debug,polling=info,async_io=info",
    };
    let filter = EnvFilter::try_from_env("SHOAL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(!json && render::colours())
        .with_writer(|| render::LogWriter)
        .log_internal_errors(false);
    if json {
        let log = log.json().with_current_span(false).with_span_list(false);
        log.init();
    } else {
        log.init();
    }
}
