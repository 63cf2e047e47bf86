//! Hosts in network namespaces that the test makes itself, joined by one bridge. Needs root, Linux
//! and `ip`.
//!
//! Every network has the same addresses and knows nothing of the others, so tests run in parallel.
//! What runs in a host dies with it.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Networks made by this process, for names that are free.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// One bridge and `hosts` hosts hung off it.
pub(crate) struct Net {
    name: String,
    hosts: usize,
    has_v6: bool,
}

/// One host's place in its network.
#[derive(Clone, Copy)]
pub(crate) struct Host(pub(crate) usize);

impl Host {
    /// `10.78.0.1` for the first.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 78, 0, u8::try_from(self.0 + 1).expect("few hosts"))
    }

    /// `fd78::1` for the first, in a network that has IPv6.
    pub(crate) fn address_v6(self) -> Ipv6Addr {
        let last = u16::try_from(self.0 + 1).expect("few hosts");
        Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, last)
    }
}

impl Net {
    pub(crate) fn new(hosts: usize) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            name: format!("shoal{}-{number}", std::process::id()),
            hosts,
            has_v6: false,
        };
        let bridge = net.bridge();
        ip(&["netns", "add", &bridge]);
        ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", &bridge, "link", "set", "br0", "up"]);
        for host in (0..hosts).map(Host) {
            net.plug(&bridge, host);
        }
        net
    }

    /// The same, and each host has an address of IPv6 too.
    pub(crate) fn with_v6(hosts: usize) -> Self {
        let mut net = Self::new(hosts);
        net.has_v6 = true;
        for host in (0..hosts).map(Host) {
            let (name, address) = (net.host(host), format!("{}/64", host.address_v6()));
            // Nobody else has the address: it need not be asked for.
            ip(&["-n", &name, "addr", "add", &address, "dev", "eth0", "nodad"]);
            ip(&["-n", &name, "-6", "route", "add", "default", "dev", "eth0"]);
        }
        net
    }

    pub(crate) const fn has_v6(&self) -> bool {
        self.has_v6
    }

    fn plug(&self, bridge: &str, host: Host) {
        let (name, port) = (self.host(host), format!("p{}", host.0));
        let address = format!("{}/24", host.address());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        let veth = [
            "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", bridge,
        ];
        ip(&[&["-n", &name], &veth[..]].concat());
        ip(&["-n", &name, "addr", "add", &address, "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        // Some clients look for a default route before they believe in a network.
        ip(&["-n", &name, "route", "add", "default", "dev", "eth0"]);
        ip(&["-n", bridge, "link", "set", &port, "master", "br0"]);
        ip(&["-n", bridge, "link", "set", &port, "up"]);
    }

    fn bridge(&self) -> String {
        format!("{}-br", self.name)
    }

    fn host(&self, host: Host) -> String {
        format!("{}-h{}", self.name, host.0)
    }

    /// A command that will run in the host.
    pub(crate) fn command(&self, host: Host, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.host(host)])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command in the host to its end.
    pub(crate) fn run(&self, host: Host, program: &str, arguments: &[&str]) -> Output {
        self.command(host, program)
            .args(arguments)
            .output()
            .expect("ip netns exec runs")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in (0..self.hosts)
            .map(|host| self.host(Host(host)))
            .chain([self.bridge()])
        {
            let deleted = Command::new("ip").args(["netns", "del", &name]).status();
            assert!(deleted.is_ok_and(|status| status.success()) || std::thread::panicking());
        }
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.expect("`ip` of iproute2 is needed: apt-get install iproute2");
    assert!(
        output.status.success(),
        "ip {}: {} (network namespaces need root)",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// A process, in a host as a rule: killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    log: std::path::PathBuf,
}

impl Running {
    /// Starts it, everything it says going to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let out = File::create(log).expect("a log beside the test's data");
        let err = out.try_clone().expect("a second handle of the log");
        let child = command.stdout(out).stderr(err).spawn();
        Self {
            child: child.expect("ip netns exec starts"),
            log: log.into(),
        }
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit code, once it has ended.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child
            .try_wait()
            .expect("a child can be asked")
            .map(|status| status.code())
    }

    /// Waits until it has ended well; what others have said helps to see why it does not.
    pub(crate) fn wait_done(&mut self, others: &[&Self]) {
        let until = Instant::now() + Duration::from_secs(120);
        while self.ended().is_none() {
            if Instant::now() >= until {
                let others: Vec<_> = others.iter().map(|other| other.said()).collect();
                panic!("it did not end:\n{}\n{}", self.said(), others.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.ended(), Some(Some(0)), "{}", self.said());
    }

    /// Sends SIGINT and gives the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        self.signal("-INT");
        self.child.wait().expect("a child can be waited for").code()
    }

    fn signal(&self, signal: &str) {
        // `ip netns exec` becomes the program, so the child's pid is the program's.
        let _ = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-KILL");
        let _ = self.child.wait();
    }
}
