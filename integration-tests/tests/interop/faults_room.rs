//! A mount namespace of its own for each case, and clients that run in it.
//!
//! Promise: nothing stays behind, however a test ends. The mounts live as long as a `cat` that
//! waits for its standard input to close; the clients end when nobody reads what they say. Needs
//! root, Linux and util-linux. Knows nothing of what goes wrong in it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shoal_integration_tests::Content;
use tempfile::TempDir;

use crate::clients::shoal_binary;

/// Far above what anything here needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a whole transfer: where others keep the disk busy and pages are few, reading back
/// a few pieces was seen to take three quarters of a minute.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(300);

/// What every warning of a failing disk ends with. Source: `shoal client`.
const DISK_FAILS: &str = "nothing is downloaded until";

/// Whom modes bind, unlike root.
pub(crate) const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

/// A private mount namespace with a folder `data` for file systems, and the torrent beside it.
pub(crate) struct Room {
    holder: Child,
    servers: Vec<Child>,
    dir: TempDir,
}

impl Room {
    pub(crate) fn new(content: &Content) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("an open folder");
        fs::create_dir(dir.path().join("data")).expect("a folder to mount on");
        fs::write(dir.path().join("shoal"), "").expect("a file to mount on");
        fs::copy(content.torrent_file(), dir.path().join("torrent")).expect("the torrent");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg("echo ready && exec cat");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("`unshare` of util-linux is needed");
        let mut ready = String::new();
        let out = holder.stdout.as_mut().expect("piped above");
        let read = BufReader::new(out).read_line(&mut ready);
        assert!(
            read.is_ok() && ready == "ready\n",
            "mount namespaces need root"
        );
        let servers = Vec::new();
        let room = Self {
            holder,
            servers,
            dir,
        };
        // In reach of everybody, whatever the modes of the folders above it.
        room.sh(&format!(
            "mount --bind '{}' shoal",
            shoal_binary().display()
        ));
        room
    }

    /// A file or folder of the room, seen from outside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = format!(
            "/proc/{}/root{}",
            self.holder.id(),
            self.dir.path().display()
        );
        Path::new(&path).join(name)
    }

    /// Runs a script in the room, its folder being the current one.
    pub(crate) fn sh(&self, script: &str) {
        let output = self
            .enter("sh")
            .args([
                "-euc",
                &format!("cd '{}'\n{script}", self.dir.path().display()),
            ])
            .output()
            .expect("`nsenter` of util-linux is needed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
    }

    /// Makes `data` a file system in user space, over a tmpfs of 16 MiB in `back`, in which no file
    /// can be mapped together with others.
    pub(crate) fn mount_without_mmap(&mut self) {
        self.sh("mkdir back && mount -t tmpfs -o size=16m shoal back");
        // The kernel ends it with this thread, which ends its mount.
        let mut command = self.enter("setpriv");
        command.args(["--pdeathsig", "KILL", "mergerfs", "-f", "-o"]);
        command.arg("cache.files=off,cache.attr=0,minfreespace=0,category.create=ff,allow_other");
        command.args(["back", "data"].map(|name| self.dir.path().join(name)));
        self.servers
            .push(command.spawn().expect("`nsenter` starts"));
        let until = Instant::now() + PATIENCE;
        let data = self.dir.path().join("data");
        let mounted = format!(" {} fuse", data.display());
        let mounts = format!("/proc/{}/mounts", self.holder.id());
        while !fs::read_to_string(&mounts).is_ok_and(|text| text.contains(&mounted)) {
            assert!(Instant::now() < until, "no `mergerfs` or no /dev/fuse");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Starts a client in the room on `data`, by way of the words of `through`, and waits until it
    /// has checked what is there.
    pub(crate) fn client(&self, through: &str, arguments: &[&str]) -> Shoal {
        let mut words = through.split_ascii_whitespace();
        let mut command = self.enter(words.next().unwrap_or("env"));
        command.args(words).arg(self.dir.path().join("shoal"));
        command.arg("client").arg(self.dir.path().join("torrent"));
        let quiet = ["--no-tracker", "--no-lsd", "--no-dht"];
        command.args(["0", "--json", "-v"]).args(quiet).arg("--dir");
        command.arg(self.dir.path().join("data")).args(arguments);
        Shoal::start(command)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for child in self.servers.iter_mut().chain([&mut self.holder]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One line of a client, and when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    pub(crate) number: usize,
    pub(crate) text: String,
}

impl Line {
    /// A number by its name.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let key = format!("\"{name}\":");
        let rest = self.text.split_once(&key).map_or("", |(_, rest)| rest);
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
        let number = digits.and_then(|digits| digits.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {}", self.text))
    }

    fn is(&self, event: &str) -> bool {
        self.text.contains(&format!("\"event\":\"{event}\""))
    }

    fn tells_failing_disk(&self) -> bool {
        self.is("warning") && self.text.contains(DISK_FAILS)
    }
}

/// A running `shoal client` that is listened to.
pub(crate) struct Shoal {
    child: Child,
    events: Lines,
    log: Lines,
}

type Lines = Arc<Mutex<Vec<Line>>>;

impl Shoal {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a client starts");
        let events: ChildStdout = child.stdout.take().expect("piped above");
        let events = listen(events);
        let log = listen(child.stderr.take().expect("piped above"));
        let client = Self { child, events, log };
        client.wait(0, "check", |line| line.is("checked"));
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        let started = self.wait(0, "start", |line| line.is("started"));
        format!("127.0.0.1:{}", started.number("port"))
    }

    /// Waits for an event from the line `from` on.
    pub(crate) fn wait(&self, from: usize, what: &str, is: impl FnMut(&Line) -> bool) -> Line {
        self.wait_for(PATIENCE, from, what, is)
    }

    fn wait_for(
        &self,
        patience: Duration,
        from: usize,
        what: &str,
        mut is: impl FnMut(&Line) -> bool,
    ) -> Line {
        let until = Instant::now() + patience;
        loop {
            if let Some(line) = lines(&self.events).iter().skip(from).find(|line| is(line)) {
                return line.clone();
            }
            let failed = lines(&self.events).iter().any(|line| line.is("error"));
            assert!(
                !failed && Instant::now() < until,
                "no {what} from line {from} on\n{}",
                self.said()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a look at how things stand.
    pub(crate) fn progress(&self, from: usize, mut is: impl FnMut(&Line) -> bool) -> Line {
        self.wait(from, "progress", |line| line.is("progress") && is(line))
    }

    /// Waits until it says that the disk fails.
    pub(crate) fn wait_failing(&self, from: usize) -> Line {
        self.wait(from, "word of a failing disk", Line::tells_failing_disk)
    }

    /// Waits until it says that the disk works.
    pub(crate) fn wait_working(&self, from: usize) -> Line {
        let says = |line: &Line| line.text.contains("the disk works again");
        self.wait(from, "word of a disk that works", says)
    }

    pub(crate) fn wait_complete(&self) -> Line {
        let is_complete = |line: &Line| line.is("complete");
        self.wait_for(TRANSFER_PATIENCE, 0, "completion", is_complete)
    }

    /// How often it has said that the disk fails.
    pub(crate) fn failures(&self) -> usize {
        let lines = lines(&self.events);
        lines
            .iter()
            .filter(|line| line.tells_failing_disk())
            .count()
    }

    /// How many lines it has said.
    pub(crate) fn line(&self) -> usize {
        lines(&self.events).len()
    }

    /// Asserts that all it was sent was right.
    pub(crate) fn assert_sent_no_wrong_byte(&self) {
        let log = lines(&self.log);
        let mut told = log
            .iter()
            .chain(&*lines(&self.events))
            .cloned()
            .collect::<Vec<_>>();
        told.retain(|line| {
            line.text.contains("failed its hash") || line.text.contains("sent bad data")
        });
        assert!(told.is_empty(), "wrong bytes came: {told:#?}");
    }

    /// Whether its log has these words.
    pub(crate) fn logged(&self, words: &str) -> bool {
        lines(&self.log)
            .iter()
            .any(|line| line.text.contains(words))
    }

    /// How many descriptors it has now.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Everything it said, for the message of a failed test.
    pub(crate) fn said(&self) -> String {
        let events = lines(&self.events);
        let all = events
            .iter()
            .chain(&*lines(&self.log))
            .cloned()
            .collect::<Vec<_>>();
        all.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Asserts that it runs, ends it in good order and asserts that it was well.
    pub(crate) fn stop(mut self) {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(
            ended.is_none(),
            "it ended by itself: {ended:?}\n{}",
            self.said()
        );
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-INT", &pid]).status();
        assert!(
            told.is_ok_and(|status| status.success()),
            "`kill` is needed"
        );
        let code = self.child.wait().expect("a child can be waited for").code();
        assert_eq!(code, Some(0), "{}", self.said());
    }
}

impl Drop for Shoal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(lines: &Lines) -> std::sync::MutexGuard<'_, Vec<Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(from: impl std::io::Read + Send + 'static) -> Lines {
    let heard = Lines::default();
    let told = Arc::clone(&heard);
    thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            let mut told = lines(&told);
            let (at, number) = (Instant::now(), told.len());
            told.push(Line { at, number, text });
        }
    });
    heard
}
