//! Runs the binary in a folder of its own, and checks its events against docs/json-events.md.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use tempfile::TempDir;

/// Far above what anything here needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const DOCS: &str = include_str!("../../../docs/json-events.md");

/// Nobody answers there: port 9 is `discard`.
pub(crate) const TRACKER: &str = "http://127.0.0.1:9/announce";

/// A folder that is gone when dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes bytes that look random and are always the same.
    pub(crate) fn file(&self, name: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
        let path = self.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
        bytes
    }

    /// Makes `<name>.torrent` of a file of that length in this folder.
    pub(crate) fn torrent(&self, name: &str, length: usize) -> Vec<u8> {
        let bytes = self.file(name, length);
        self.done(["create", name, TRACKER]);
        bytes
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) fn command(&self, line: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        let line: Vec<_> = line
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        command.args(&line);
        // No test speaks to the network that this machine is in.
        let is = |names: &[&str]| {
            let mut names = names.iter();
            names.any(|name| line.first().is_some_and(|word| word == *name))
        };
        let says_where = line
            .iter()
            .any(|word| word == "--dht-bootstrap" || word == "--no-dht");
        if is(&["client", "get", "show"]) && !says_where {
            command.arg("--no-dht");
        }
        if is(&["client", "get"]) {
            command.arg("--no-lsd");
        }
        command
            .current_dir(self.path())
            .env("TMPDIR", self.path())
            .env("XDG_STATE_HOME", self.path());
        command.env_remove("SHOAL_LOG").stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, line: impl IntoIterator<Item: AsRef<OsStr>>) -> Ended {
        Ended::new(self.command(line).output().unwrap())
    }

    /// Runs a command that is to end well; gives what it printed.
    #[track_caller]
    pub(crate) fn done(&self, line: impl IntoIterator<Item: AsRef<OsStr>>) -> String {
        let ended = self.run(line);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout
    }

    /// Starts a command that tells events.
    pub(crate) fn start(&self, line: impl IntoIterator<Item: AsRef<OsStr>>) -> Running {
        let line: Vec<_> = line
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        Running::spawn(self.command(&line), line[0].to_str().unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("we print UTF-8");
        let stderr = text(output.stderr);
        assert!(!stderr.contains("a bug"), "{stderr}");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr,
        }
    }

    /// Asserts that it ended with that code and said each of those things on standard error.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for words in said {
            assert!(
                self.stderr.contains(words),
                "{words:?} is not in {}",
                self.stderr
            );
        }
    }

    /// Its events, checked.
    pub(crate) fn events(&self, command: &str) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| event(command, line))
            .collect()
    }
}

/// A command that runs and tells events. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Running {
    /// Starts what prints the events of that command of ours.
    pub(crate) fn spawn(mut program: Command, command: &str) -> Self {
        let command = command.to_owned();
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let (tell, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                // Nobody listens any more: the rest is of no interest.
                if tell.send(event(&command, &line.unwrap())).is_err() {
                    break;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
            text
        });
        Self {
            child,
            events,
            stderr: Some(stderr),
        }
    }

    /// Waits for the next event of that name.
    #[track_caller]
    pub(crate) fn wait(&mut self, name: &str) -> Value {
        self.wait_any(&[name])
    }

    /// Waits for the next event that has one of those names.
    #[track_caller]
    pub(crate) fn wait_any(&mut self, names: &[&str]) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            match self
                .events
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(event) if names.iter().any(|&name| event["event"] == name) => return event,
                Ok(_) => {}
                Err(error) => {
                    self.child.kill().unwrap();
                    panic!("no {names:?}: {error}; it said:\n{}", self.stderr());
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// From now on it cannot write to files beyond so many bytes; with `None` it can again.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Reads no more, and waits for its end.
    pub(crate) fn unread(mut self) -> (Option<i32>, String) {
        self.events = channel().1;
        let (code, _, stderr) = self.end();
        (code, stderr)
    }

    /// Waits for its end; gives the code, the events that were left, and standard error.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<Value>, String) {
        let until = Instant::now() + PATIENCE;
        let code = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status.code(),
                None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                None => panic!("it does not end"),
            }
        };
        let stderr = self.stderr();
        assert!(!stderr.contains("a bug"), "{stderr}");
        (code, self.events.iter().collect(), stderr)
    }

    fn stderr(&mut self) -> String {
        self.stderr
            .take()
            .map_or_else(String::new, |stderr| stderr.join().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one line as an event of that command; its fields are those of the documentation.
fn event(command: &str, line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let object = event
        .as_object()
        .unwrap_or_else(|| panic!("no object: {line}"));
    let Some(name) = object.get("event") else {
        return event;
    };
    let fields: BTreeSet<&str> = object
        .keys()
        .map(String::as_str)
        .filter(|&key| key != "event")
        .collect();
    let name = name.as_str().expect("event is a string");
    let documented = fields_of(command, name);
    // Some fields are of some states alone.
    if [("client", "stopped"), ("tracker", "store")].contains(&(command, name)) {
        assert!(fields.is_subset(&documented), "{line}");
    } else {
        assert_eq!(fields, documented, "{command}: {line}");
    }
    event
}

/// The fields that docs/json-events.md lists for an event.
fn fields_of(command: &str, event: &str) -> BTreeSet<&'static str> {
    let section = |title: &str| {
        let from = DOCS
            .find(&format!("\n## {title}\n"))
            .expect("every command has a section");
        let section = &DOCS[from + 3..];
        &section[..section.find("\n## ").unwrap_or(section.len())]
    };
    let row = format!("| `{event}` |");
    let row = [
        section("All commands"),
        section(if command == "get" { "client" } else { command }),
    ]
    .into_iter()
    .flat_map(str::lines)
    .find(|line| line.starts_with(&row))
    .unwrap_or_else(|| panic!("{event} of {command} is not documented"));
    let cell = row.split('|').nth(2).expect("a row has cells");
    cell.split('`').skip(1).step_by(2).collect()
}

/// The line of a client on a free port that asks no tracker; `more` is what else is typed.
pub(crate) fn client(torrent: &str, more: &str) -> Vec<String> {
    let line = ["client", torrent, "0", "--no-tracker"];
    let words = line.into_iter().chain(more.split_whitespace());
    words.map(str::to_owned).collect()
}

/// A client that has everything and is ready to seed; and its port.
pub(crate) fn seeder(folder: &Folder, torrent: &str) -> (Running, u64) {
    let mut seeder = folder.start(client(torrent, "--json"));
    let port = seeder.wait("started")["port"].as_u64().unwrap();
    let checked = seeder.wait("checked");
    assert_eq!(checked["have"], checked["pieces"]);
    assert_eq!(checked["bytes_have"], checked["bytes_total"]);
    seeder.wait("complete");
    (seeder, port)
}

/// A standard output that nobody reads, and never did.
pub(crate) fn closed_pipe() -> std::io::PipeWriter {
    let (_, writer) = std::io::pipe().unwrap();
    writer
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
