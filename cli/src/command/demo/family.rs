//! The processes of one demo: started, listened to, stopped, and never left behind.
//!
//! Each is this same program in a process group of its own, so that Ctrl+C reaches the demo alone.
//! Should the demo be killed, their standard output breaks and they end by themselves.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::DemoError;
use super::told::Told;
use crate::units::Time;

/// Events that wait for us, over all children. Ours: they block when we are slower.
const NEWS_MAX: usize = 256;
/// The end of a log that is shown, bytes.
const LOG_SHOWN: usize = 2000;
/// Between two looks at whether a child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// For a child to end that has closed its output. Ours.
const END_MAX: Duration = Duration::from_secs(5);
/// The one child that is meant to end by itself.
pub(super) const MAKER: &str = "torrent maker";

/// One child.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its place in the family.
    pub(super) number: usize,
    /// For people.
    pub(super) name: String,
    /// For its files.
    pub(super) folder: String,
}

/// All children; killed when dropped.
pub(super) struct Family {
    folder: PathBuf,
    names: Vec<String>,
    killer: Killer,
    tell: SyncSender<(usize, Told)>,
}

/// Ends all children at once, from any thread, and for good: none is started after.
#[derive(Clone, Default)]
pub(super) struct Killer(Arc<Mutex<Children>>);

#[derive(Default)]
struct Children {
    list: Vec<Child>,
    is_over: bool,
}

impl Killer {
    /// Kills whoever still runs, and waits for it to be gone.
    pub(super) fn kill(&self) {
        let mut children = self.children();
        children.is_over = true;
        for child in &mut children.list {
            // It may have ended: then there is nothing to kill and nothing to wait for.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn children(&self) -> std::sync::MutexGuard<'_, Children> {
        // A panic elsewhere leaves the list whole: it is only pushed to.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    /// Nobody yet; logs will go into `folder`.
    pub(super) fn new(folder: &Path) -> (Self, Receiver<(usize, Told)>) {
        let (tell, news) = sync_channel(NEWS_MAX);
        let family = Self {
            folder: folder.to_owned(),
            names: Vec::new(),
            killer: Killer::default(),
            tell,
        };
        (family, news)
    }

    pub(super) fn killer(&self) -> Killer {
        self.killer.clone()
    }

    pub(super) fn kill(&self) {
        self.killer.kill();
    }

    /// Starts this program with the command line `line`.
    ///
    /// # Errors
    /// [`DemoError::Io`].
    pub(super) fn start<'a>(
        &mut self,
        name: &str,
        line: impl IntoIterator<Item = &'a str>,
    ) -> Result<Member, DemoError> {
        let program = std::env::current_exe().map_err(DemoError::io("find", Path::new("shoal")))?;
        // Held until it is in the list, so that nobody is started unseen while all are killed.
        let mut children = self.killer.children();
        if children.is_over {
            let over = io::Error::from(io::ErrorKind::Interrupted);
            return Err(DemoError::io("start", &program)(over));
        }
        let log = self.log_path(name);
        let stderr = File::create(&log).map_err(DemoError::io("write", &log))?;
        let mut child = Command::new(&program)
            .args(line)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .map_err(DemoError::io("start", &program))?;
        let stdout = child.stdout.take().expect("it is piped");
        let number = children.list.len();
        children.list.push(child);
        drop(children);
        self.names.push(name.to_owned());
        let tell = self.tell.clone();
        std::thread::spawn(move || listen(number, stdout, &tell));
        let (name, folder) = (name.to_owned(), name.replace(' ', "-"));
        Ok(Member {
            number,
            name,
            folder,
        })
    }

    /// Asks them to end, and waits.
    ///
    /// # Errors
    /// [`DemoError::Child`] when one does not end well within `limit`.
    pub(super) fn stop(&self, members: &[Member], limit: Duration) -> Result<(), DemoError> {
        for member in members {
            let pid = Pid::from_child(&self.killer.children().list[member.number]);
            // Not waited for yet, so the id is still the child's; it may have ended, though.
            let _ = kill_process(pid, Signal::TERM);
        }
        let until = Instant::now() + limit;
        for member in members {
            let how = match self.status_of(member.number, until) {
                Some(status) if status.success() => continue,
                Some(status) => format!("when it was stopped: {status}"),
                None => format!("it does not end within {}", Time(limit)),
            };
            return Err(self.failed(member.number, &how));
        }
        Ok(())
    }

    /// Waits for the end of a child. The list is locked for moments only: it may have to be killed.
    fn status_of(&self, who: usize, until: Instant) -> Option<ExitStatus> {
        loop {
            match self.killer.children().list[who].try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => {}
                Ok(None) | Err(_) => return None,
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// How a child that must not end ended, or how one that may did so badly.
    pub(super) fn ended(&self, who: usize, told: &Told) -> Option<String> {
        if !matches!(told, Told::Ended) {
            return None;
        }
        // Its output is closed, so it is about to end.
        match self.status_of(who, Instant::now() + END_MAX) {
            Some(status) if status.success() && self.names[who] == MAKER => None,
            Some(status) => Some(format!("it ended by itself: {status}")),
            None => Some("it told nothing more and does not end".to_owned()),
        }
    }

    /// The error of a child that failed.
    pub(super) fn failed(&self, who: usize, how: &str) -> DemoError {
        let name = self.names[who].clone();
        let log = self.log_of(&name);
        let how = how.to_owned();
        DemoError::Child { name, how, log }
    }

    /// The end of what a child wrote to its standard error.
    pub(super) fn log_of(&self, name: &str) -> String {
        let log = std::fs::read(self.log_path(name)).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_SHOWN)..];
        match end.is_empty() {
            true => "(nothing)".to_owned(),
            false => String::from_utf8_lossy(end).trim_end().to_owned(),
        }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}.log", name.replace(' ', "-")))
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes on what a child tells, until it has ended.
fn listen(number: usize, stdout: ChildStdout, tell: &SyncSender<(usize, Told)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let told = match serde_json::from_str(&line) {
            Ok(told) => told,
            Err(error) => Told::Error {
                message: format!("not an event: {error}: {line}"),
            },
        };
        if tell.send((number, told)).is_err() {
            return;
        }
    }
    let _ = tell.send((number, Told::Ended));
}
