//! Our client in a process of its own: to measure its memory and threads, and to limit it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::eventually;

/// A running `test-peer`; it is killed when this is dropped.
#[derive(Debug)]
pub struct TestProcess {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl TestProcess {
    /// Starts the program, which is `env!("CARGO_BIN_EXE_test-peer")`, with a .torrent, the folder
    /// of its content, and further arguments; see its own page.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn start(program: &str, torrent: &Path, dir: &Path, further: &[&str]) -> Self {
        let arguments = [torrent.as_os_str(), dir.as_os_str()];
        let further = further.iter().map(OsStr::new);
        let mut command = Command::new(program);
        command.args(arguments.into_iter().chain(further));
        Self::spawn(command)
    }

    /// The same for a command that ends in running the program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program is built");
        let output = child.stdout.take().expect("piped above");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let noted = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                noted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        Self { child, lines }
    }

    /// All it said so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.clone()
    }

    /// Waits for a line that begins so; what comes behind that.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for(&self, begin: &str) -> String {
        let mut found = None;
        eventually(&format!("the process says `{begin}`"), || {
            let lines = self.lines();
            found = lines
                .iter()
                .find_map(|line| line.strip_prefix(begin))
                .map(|rest| rest.trim().to_owned());
            found.is_some()
        });
        found.expect("found above")
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.wait_for("listening").parse().expect("an address")
    }

    /// Tells it to end the client in good order, and waits until it has; the process stays.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop_client(&mut self) {
        let input = self.child.stdin.as_mut().expect("piped above");
        writeln!(input, "stop").expect("it reads");
        let _ = self.wait_for("stopped");
    }

    /// Names of its threads.
    #[must_use]
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let names = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            Some(name.trim().to_owned())
        });
        names.collect()
    }

    /// Memory that is neither a file's nor shared, now; bytes.
    ///
    /// # Panics
    /// When it has ended, or this is not Linux.
    #[must_use]
    pub fn anonymous_bytes(&self) -> u64 {
        anonymous_bytes(self.child.id()).expect("a running process of Linux")
    }

    /// Watches its memory until [`Memory::growth`].
    #[must_use]
    pub fn watch_memory(&self) -> Memory {
        let id = self.child.id();
        let before = self.anonymous_bytes();
        let (most, ended) = (Arc::new(AtomicU64::new(before)), Arc::default());
        let (sampled, end) = (most.clone(), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            while !AtomicBool::load(&end, Ordering::SeqCst) {
                let now = anonymous_bytes(id).unwrap_or(0);
                sampled.fetch_max(now, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Memory {
            before,
            most,
            ended,
            thread,
        }
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most anonymous memory that a process had while it was watched.
#[derive(Debug)]
pub struct Memory {
    before: u64,
    most: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Memory {
    /// How far it grew above what it was at first until now, bytes.
    #[must_use]
    pub fn growth_so_far(&self) -> u64 {
        self.most.load(Ordering::SeqCst) - self.before
    }

    /// How far it grew above what it was at first, bytes; ends the watch.
    ///
    /// # Panics
    /// When the watch failed.
    #[must_use]
    pub fn growth(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.join().expect("the watch cannot fail");
        self.most.load(Ordering::SeqCst) - self.before
    }
}

/// Source: proc(5), `RssAnon` of `status`, in KiB.
fn anonymous_bytes(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}
