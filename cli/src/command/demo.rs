//! `shoal demo`: the walk-through in one command, with real processes on the loopback.
//!
//! A tracker, one client that has the file and some that want it, each a process of this same
//! program that tells its events as JSON; at the end all copies are compared byte for byte.
//! Knows nothing of torrents: it does what a person would do with the commands.

mod family;
mod folder;
mod told;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::family::{Family, MAKER, Member};
use self::folder::Folder;
use self::told::Told;
use crate::args;
use crate::config::{DEMO_PEERS_MAX, UsageError};
use crate::error::Error;
use crate::render::{self, Mode, line::Line};
use crate::signals::Interrupt;
use crate::units::{Bytes, Count, PerSecond, Time, rate};

/// Without any news for so long the demo has failed. Ours: a loaded machine may pause a while.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the interrupt flag.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For a child to end after SIGTERM. Source: the client gives the trackers 3 s.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Read at once when copies are compared, bytes.
const CHUNK: usize = 1 << 18;
/// The shared file.
const FILE_NAME: &str = "demo.bin";

/// Why the demo did not end with identical copies.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// A child ended by itself or said that it failed.
    #[error("the {name} failed ({how}). It said:\n{log}")]
    Child {
        /// Which.
        name: String,
        /// Its exit status or its own words.
        how: String,
        /// The end of its standard error.
        log: String,
    },
    /// Nothing happened any more.
    #[error(
        "nothing has moved for {}; the {name} was waited for. It said:\n{log}",
        Time(SILENCE_MAX)
    )]
    Silent {
        /// For whom we waited.
        name: String,
        /// The end of its standard error.
        log: String,
    },
    /// A copy is not the original.
    #[error("the copy of the {name} differs from the original at byte {at}")]
    Differs {
        /// Whose.
        name: String,
        /// The first byte that differs, or where the shorter one ends.
        at: u64,
    },
    /// The copies would not fit.
    #[error(
        "{needed} are needed in {path} and {free} are free; choose a smaller --size, or set TMPDIR",
        needed = Bytes(*needed), path = path.display(), free = Bytes(*free)
    )]
    Room {
        /// Bytes of all copies.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        path: PathBuf,
    },
    /// The folder, a file or a process could not be made.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DemoError {
    /// For `map_err`.
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Runs the demo.
///
/// # Errors
/// [`DemoError`] unless all copies are identical; [`Error::Interrupted`].
pub(crate) fn run(args: &args::Demo) -> Result<(), Error> {
    if !(1..=DEMO_PEERS_MAX).contains(&args.peers) {
        return Err(UsageError::DemoPeers(args.peers).into());
    }
    if args.size.0 == 0 {
        return Err(UsageError::DemoSize.into());
    }
    let folder = Folder::new(args.keep)?;
    check_room(
        folder.path(),
        args.size.0.saturating_mul(u64::from(args.peers) + 1),
    )?;
    let (family, news) = Family::new(folder.path());
    let interrupt = Interrupt::listen({
        let (family, path) = (family.killer(), folder.path().to_owned());
        let keep = args.keep;
        move || {
            family.kill();
            if !keep {
                folder::remove(&path);
            }
        }
    })
    .map_err(Error::signals)?;
    let mut demo = Demo {
        size: args.size.0,
        mode: Mode::pick(false),
        folder: &folder,
        family,
        news,
        interrupt,
    };
    let result = demo.play(args.peers);
    demo.family.kill();
    if args.keep {
        render::say(format_args!("kept: {}", folder.path().display())).map_err(Error::Output)?;
    }
    match result {
        // The second signal kills the children while we still listen to them.
        Err(_) if demo.interrupt.is_raised() => Err(Error::Interrupted),
        result => result,
    }
}

/// Refuses what the disk could not hold, before a byte is written.
fn check_room(path: &Path, needed: u64) -> Result<(), DemoError> {
    let disk = rustix::fs::statvfs(path).map_err(io::Error::from);
    let disk = disk.map_err(DemoError::io("look at", path))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let path = path.to_owned();
    Err(DemoError::Room { needed, free, path })
}

/// A demo that runs.
struct Demo<'a> {
    size: u64,
    mode: Mode,
    folder: &'a Folder,
    family: Family,
    news: std::sync::mpsc::Receiver<(usize, Told)>,
    interrupt: Interrupt,
}

impl Demo<'_> {
    fn play(&mut self, downloaders: u16) -> Result<(), Error> {
        let original = self.folder.join("seeder").join(FILE_NAME);
        self.folder.random_file(&original, self.size)?;
        say(format_args!(
            "a file of {} random bytes, shared by 1 seeder with {}",
            self.size,
            Count(downloaders, "downloader")
        ))?;
        let announce = self.start_tracker()?;
        let torrent = self.make_torrent(&original, &announce)?;
        say(format_args!("tracker at {announce}"))?;

        let seeder = self.start_client("seeder", &torrent)?;
        self.wait("tracker", |_, told| matches!(told, Told::Announce { .. }))?;
        let begun = Instant::now();
        let mut clients = vec![seeder];
        for number in 1..=downloaders {
            clients.push(self.start_client(&format!("client {number}"), &torrent)?);
        }
        self.watch(&clients)?;
        let span = begun.elapsed();

        self.family.stop(&clients, STOP_MAX)?;
        for client in &clients[1..] {
            let copy = self.folder.join(&client.folder).join(FILE_NAME);
            if let Some(at) = first_difference(&original, &copy)? {
                let name = client.name.clone();
                return Err(DemoError::Differs { name, at }.into());
            }
        }
        let moved = self.size.saturating_mul(u64::from(downloaders));
        say(format_args!(
            "all copies are identical: {} to {} in {}, {}",
            Bytes(moved),
            Count(downloaders, "downloader"),
            Time(span),
            PerSecond(rate(moved, span))
        ))
    }

    /// Starts the tracker on a free port; gives its announce URL.
    fn start_tracker(&mut self) -> Result<String, Error> {
        let line = [
            "tracker",
            "--listen",
            "127.0.0.1:0",
            "--status-every",
            "1",
            "--no-state",
            "--json",
        ];
        self.family.start("tracker", line)?;
        let mut url = String::new();
        self.wait("tracker", |_, told| match told {
            Told::Started { announce } => {
                url = announce.first().cloned().unwrap_or_default();
                true
            }
            _ => false,
        })?;
        Ok(url)
    }

    fn make_torrent(&mut self, file: &Path, announce: &str) -> Result<PathBuf, Error> {
        let torrent = self.folder.join("demo.torrent");
        let (file, output) = (file.display().to_string(), torrent.display().to_string());
        let line = ["create", &file, announce, "-o", &output, "--json"];
        let maker = self.family.start(MAKER, line)?;
        self.wait(MAKER, |who, told| {
            who == maker.number && matches!(told, Told::Complete { .. })
        })?;
        Ok(torrent)
    }

    fn start_client(&mut self, name: &str, torrent: &Path) -> Result<Member, Error> {
        let folder = name.replace(' ', "-");
        let dir = self.folder.join(&folder);
        std::fs::create_dir_all(&dir).map_err(DemoError::io("make the folder", &dir))?;
        let (torrent, dir) = (torrent.display().to_string(), dir.display().to_string());
        let line = [
            "client",
            &torrent,
            "0",
            "--dir",
            &dir,
            "--no-resume",
            "--no-lsd",
            "--no-dht",
            "--json",
        ];
        Ok(self.family.start(name, line)?)
    }

    /// Shows all clients side by side until all of them are complete.
    fn watch(&self, clients: &[Member]) -> Result<(), Error> {
        let mut lines: Vec<Line> = clients
            .iter()
            .map(|client| Line::new(self.mode, &format!("{:9}", client.name), self.size))
            .collect();
        let mut missing: Vec<usize> = clients[1..].iter().map(|client| client.number).collect();
        let size = self.size;
        self.wait("client", |who, told| {
            let Some(at) = clients.iter().position(|client| client.number == who) else {
                return false;
            };
            match told {
                Told::Progress(progress) => lines[at].set(progress.bytes_have, progress),
                Told::Complete { seconds } if at > 0 => {
                    missing.retain(|&number| number != who);
                    lines[at].finish(size, format_args!("complete after {seconds:.1} s"));
                }
                _ => {}
            }
            missing.is_empty()
        })?;
        lines[0].finish(size, "seeded");
        Ok(())
    }

    /// Takes news until `enough` says so.
    fn wait(&self, name: &str, mut enough: impl FnMut(usize, &Told) -> bool) -> Result<(), Error> {
        let mut heard = Instant::now();
        let mut moved = HashMap::new();
        loop {
            if self.interrupt.is_raised() {
                return Err(Error::Interrupted);
            }
            let Ok((who, told)) = self.news.recv_timeout(LOOK_EVERY) else {
                if heard.elapsed() > SILENCE_MAX {
                    let (name, log) = (name.to_owned(), self.family.log_of(name));
                    return Err(DemoError::Silent { name, log }.into());
                }
                continue;
            };
            if told.is_news_after(&mut moved, who) {
                heard = Instant::now();
            }
            if let Some(how) = told.failure().or_else(|| self.family.ended(who, &told)) {
                return Err(self.family.failed(who, &how).into());
            }
            if enough(who, &told) {
                return Ok(());
            }
        }
    }
}

fn say(line: impl std::fmt::Display) -> Result<(), Error> {
    render::say(line).map_err(Error::Output)
}

/// Where two files begin to differ; `None` when they are the same, byte for byte.
fn first_difference(a: &Path, b: &Path) -> Result<Option<u64>, DemoError> {
    let open = |path: &Path| File::open(path).map_err(DemoError::io("read", path));
    let (mut file_a, mut file_b) = (open(a)?, open(b)?);
    let (mut chunk_a, mut chunk_b) = (Vec::new(), Vec::new());
    let mut at = 0;
    loop {
        let read = |file: &mut File, chunk: &mut Vec<u8>, path| {
            chunk.clear();
            let result = file.take(CHUNK as u64).read_to_end(chunk);
            result.map_err(DemoError::io("read", path))
        };
        read(&mut file_a, &mut chunk_a, a)?;
        read(&mut file_b, &mut chunk_b, b)?;
        if chunk_a != chunk_b {
            let same = chunk_a.iter().zip(&chunk_b).take_while(|(a, b)| a == b);
            return Ok(Some(at + same.count() as u64));
        }
        if chunk_a.is_empty() {
            return Ok(None);
        }
        at += chunk_a.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_difference_is_found_in_content_and_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let long = vec![7; CHUNK + 10];
        let mut changed = long.clone();
        changed[CHUNK + 3] = 8;
        let original = file("original", &long);
        for (content, expect) in [
            (&long[..], None),
            (&changed[..], Some(CHUNK as u64 + 3)),
            (&long[..CHUNK], Some(CHUNK as u64)),
            (&[], Some(0)),
        ] {
            let copy = file("copy", content);
            assert_eq!(first_difference(&original, &copy).unwrap(), expect);
        }
    }
}
