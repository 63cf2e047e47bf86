//! Real clients, each unmodified and with its own defaults but for what a closed network needs: no
//! DHT, no local discovery, plain TCP.
//!
//! A client is started as a seeder or a leecher of one torrent, and says when its copy is whole.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::net::{Host, Net, Running};

/// Far above what any transfer here needs, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Shoal,
    Transmission,
    Aria2,
    Libtorrent,
    Rqbit,
}

/// What it is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Has the content.
    Seed,
    /// Wants it.
    Leech,
}

/// A started client.
pub(crate) struct Client<'n> {
    kind: Kind,
    role: Role,
    net: &'n Net,
    host: Host,
    running: Running,
    work: PathBuf,
    data: PathBuf,
}

impl<'n> Client<'n> {
    /// Starts it with `data` as its folder and a folder of its own beside it. The torrent may be a
    /// magnet link.
    pub(crate) fn start(
        what: (Kind, Role),
        net: &'n Net,
        host: Host,
        torrent: &Path,
        data: &Path,
    ) -> Self {
        Self::start_with(what, net, host, torrent, data, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(
        (kind, role): (Kind, Role),
        net: &'n Net,
        host: Host,
        torrent: &Path,
        data: &Path,
        more: &[&str],
    ) -> Self {
        let work = data.with_extension("work");
        fs::create_dir_all(&work).expect("a folder for the client");
        fs::create_dir_all(data).expect("a folder for the data");
        let hook = work.join("hook");
        let whole = work.join("whole").display().to_string();
        fs::write(&hook, format!("#!/bin/sh\necho whole > {whole}\n")).expect("a hook");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a hook that runs");
        let mut command = match kind {
            Kind::Shoal => shoal(net, host, role, torrent, data),
            Kind::Transmission => transmission(net, host, &work, data, &hook),
            Kind::Aria2 => aria2(net, host, torrent, data, &hook),
            Kind::Libtorrent => libtorrent(net, host, role, torrent, data),
            Kind::Rqbit => rqbit(net, host, torrent, data),
        };
        let begins_dht = more.contains(&"--dht-bootstrap");
        if kind == Kind::Shoal && !begins_dht {
            command.arg("--no-dht");
        }
        command.args(more).current_dir(&work).env("HOME", &work);
        let running = Running::start(&mut command, &work.join("log"));
        let client = Self {
            kind,
            role,
            net,
            host,
            running,
            work,
            data: data.into(),
        };
        if kind == Kind::Transmission {
            client.wait("Transmission to take the torrent", || {
                client
                    .remote(&["--add", &torrent.display().to_string()])
                    .contains("success")
            });
        }
        client
    }

    /// Waits until its copy is whole.
    pub(crate) fn wait_whole(&mut self) {
        if self.kind == Kind::Shoal && self.role == Role::Leech {
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                if let Some(code) = self.running.ended() {
                    assert_eq!(code, Some(0), "shoal said:\n{}", self.running.said());
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            panic!("shoal did not end:\n{}", self.running.said());
        }
        let whole = self.work.join("whole");
        self.wait("its copy to be whole", || match (self.kind, self.role) {
            (Kind::Shoal, _) => self.running.said().contains("\"checked\""),
            (Kind::Libtorrent, _) => self.running.said().contains("DONE"),
            (Kind::Transmission, Role::Seed) => self.remote(&["--list"]).contains("100%"),
            (Kind::Rqbit, _) => self.running.said().contains(": 100.00% ("),
            // aria2 has no word for a seeder that is ready but its hook after the check.
            (Kind::Transmission | Kind::Aria2, _) => whole.exists(),
        });
    }

    /// What Transmission answers to this.
    pub(crate) fn remote(&self, arguments: &[&str]) -> String {
        let arguments = [&["127.0.0.1:9091"], arguments].concat();
        let output = self.net.run(self.host, "transmission-remote", &arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait(&self, what: &str, ready: impl Fn() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !ready() {
            let (kind, role) = (self.kind, self.role);
            let said = || self.running.said();
            assert!(
                Instant::now() < until,
                "{kind:?} {role:?}: no {what}; it said:\n{}",
                said()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until these words are in its log.
    pub(crate) fn wait_to_say(&self, words: &str) {
        self.wait(words, || self.running.said().contains(words));
    }

    /// Waits until its folder holds the same tree of files as `original`, whatever it says of it.
    pub(crate) fn wait_to_hold(&self, original: &Path) {
        let name = original.file_name().expect("content has a name");
        let copy = self.data.join(name);
        self.wait("the content", || same(original, &copy).is_ok());
    }

    /// Asserts that its folder holds the same tree of files as `original`, byte for byte.
    pub(crate) fn assert_holds(&self, original: &Path) {
        let name = original.file_name().expect("content has a name");
        let copy = self.data.join(name);
        assert_same(original, &copy);
        let ours = self.kind == Kind::Shoal;
        assert!(
            !ours || copy.join("a/b/empty").exists(),
            "we make empty files"
        );
    }
}

/// Asserts that two files or folders are the same, byte for byte. Empty files may be absent:
/// Transmission makes none.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    same(left, right).unwrap_or_else(|difference| panic!("{difference}"));
}

fn same(left: &Path, right: &Path) -> Result<(), String> {
    let is_empty = fs::metadata(left).is_ok_and(|metadata| metadata.len() == 0);
    if is_empty && !right.exists() {
        return Ok(());
    }
    if left.is_dir() {
        let entries = fs::read_dir(left).expect("a folder of the content");
        for entry in entries.map(|entry| entry.expect("an entry")) {
            same(&entry.path(), &right.join(entry.file_name()))?;
        }
    } else {
        let read =
            |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        if read(left)? != read(right)? {
            let (left, right) = (left.display(), right.display());
            return Err(format!("{left} differs from {right}"));
        }
    }
    Ok(())
}

/// The binary under test: the release build, or `SHOAL_BIN`.
pub(crate) fn shoal_binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("in the workspace");
    let built = root.join("target/release/shoal");
    let path = std::env::var_os("SHOAL_BIN").map_or(built, PathBuf::from);
    assert!(
        path.exists(),
        "no {}: run `cargo build --release` first",
        path.display()
    );
    path
}

/// The python that has libtorrent: `SHOAL_LIBTORRENT_PYTHON`, else `python3`.
pub(crate) fn libtorrent_python() -> String {
    std::env::var("SHOAL_LIBTORRENT_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

/// rqbit's program: `SHOAL_RQBIT`, else `rqbit` of the PATH.
fn rqbit_binary() -> String {
    std::env::var("SHOAL_RQBIT").unwrap_or_else(|_| "rqbit".to_owned())
}

/// A script beside these tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("interop")
        .join(name)
}

fn shoal(net: &Net, host: Host, role: Role, torrent: &Path, data: &Path) -> Command {
    let mut command = net.command(host, shoal_binary());
    command
        .arg("client")
        .arg(torrent)
        .arg("6881")
        .args(["--json", "--no-lsd"])
        .arg("--dir")
        .arg(data);
    if role == Role::Leech {
        command.arg("--exit-when-complete");
    }
    command
}

fn transmission(net: &Net, host: Host, work: &Path, data: &Path, hook: &Path) -> Command {
    // Whom it reaches over HTTP it reaches from this address.
    let bind = if net.has_v6() {
        Ipv4Addr::UNSPECIFIED
    } else {
        host.address()
    };
    let settings = format!(
        r#"{{"dht-enabled": false, "lpd-enabled": false, "pex-enabled": true,
        "utp-enabled": false, "port-forwarding-enabled": false, "peer-port": 6881,
        "rpc-bind-address": "127.0.0.1", "rpc-authentication-required": false,
        "bind-address-ipv4": "{bind}", "download-dir": "{}", "watch-dir-enabled": false,
        "script-torrent-done-enabled": true, "script-torrent-done-filename": "{}"}}"#,
        data.display(),
        hook.display(),
    );
    fs::write(work.join("settings.json"), settings).expect("settings for Transmission");
    let mut command = net.command(host, "transmission-daemon");
    command
        .args(["--foreground", "--log-error", "--config-dir"])
        .arg(work);
    command
}

fn aria2(net: &Net, host: Host, torrent: &Path, data: &Path, hook: &Path) -> Command {
    let mut command = net.command(host, "aria2c");
    command
        .args(["--no-conf", "--enable-dht=false", "--enable-dht6=false"])
        .arg(format!("--disable-ipv6={}", !net.has_v6()))
        .args([
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--seed-ratio=0.0",
        ])
        .args([
            "--listen-port=6881",
            "--summary-interval=0",
            "--check-integrity=true",
        ])
        .args(["--bt-hash-check-seed=true", "--allow-overwrite=true"])
        .arg(format!("--on-bt-download-complete={}", hook.display()))
        .arg("--dir")
        .arg(data)
        .arg(torrent);
    command
}

fn libtorrent(net: &Net, host: Host, role: Role, torrent: &Path, data: &Path) -> Command {
    let role = if role == Role::Seed { "seed" } else { "leech" };
    let mut command = net.command(host, libtorrent_python());
    command
        .arg(script("libtorrent_client.py"))
        .arg(role)
        .arg(torrent)
        .arg(data);
    let v6 = net.has_v6().then(|| format!(",[{}]", host.address_v6()));
    command.arg(format!("{}{}", host.address(), v6.unwrap_or_default()));
    command
}

fn rqbit(net: &Net, host: Host, torrent: &Path, data: &Path) -> Command {
    let mut command = net.command(host, rqbit_binary());
    command
        .args(["--disable-dht", "--disable-lsd", "--listen-port=6881"])
        .args(["--disable-upnp-port-forward"])
        .args(["download", "--disable-http-api", "--overwrite"])
        .args([Path::new("--output-folder"), data])
        .arg(torrent);
    command
}
