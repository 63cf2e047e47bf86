//! The node of the DHT: sockets, names and a file around [`Node`]. BEP 5, 32.
//!
//! One task owns the node, one more reads each socket; one node serves all torrents. Every way into
//! the task is bounded: datagrams that it has no time for are dropped, as the network does. What is
//! asked and answered is the node's business.

mod names;
mod sockets;
mod state;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_std::channel::{Receiver, Sender, bounded};
use async_std::future::timeout;
use futures_lite::future::or;
use shoal_dht::io::FamilySnapshot;
use shoal_dht::{Config, Event, Input, LookupKey, Node, Output, Seed, Snapshot, Task};

use crate::error::EngineError;
use crate::limits::{DHT_COMMANDS_MAX, DHT_DATAGRAMS_MAX, DHT_NEWS_MAX};
use crate::tasks::Tasks;

use sockets::{Datagram, Sockets};

/// The public nodes that are asked for others when none are known.
/// Source: the defaults of libtorrent, Transmission and mainline.
pub const PUBLIC_BOOTSTRAP: [(&str, u16); 3] = [
    ("dht.libtorrent.org", 25401),
    ("dht.transmissionbt.com", 6881),
    ("router.bittorrent.com", 6881),
];

/// How a node is run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DhtConfig {
    /// Hosts and ports of nodes to begin with; nobody is contacted but them, who is named by them,
    /// and who was known at the last run.
    pub bootstrap: Vec<(String, u16)>,
    /// Asks, and answers nobody. BEP 43.
    pub read_only: bool,
}

impl DhtConfig {
    /// Begins with the public nodes.
    #[must_use]
    pub fn public() -> Self {
        let bootstrap = PUBLIC_BOOTSTRAP.map(|(host, port)| (host.to_owned(), port));
        Self {
            bootstrap: bootstrap.into(),
            read_only: false,
        }
    }
}

/// A running node. Cheap to clone; when the last one is dropped, it ends.
#[derive(Clone)]
pub struct Dht {
    commands: Sender<Command>,
    local_addrs: Vec<SocketAddr>,
}

enum Command {
    Start(Task, Sender<Event>),
    Heard(SocketAddr),
    Bootstrap(Vec<SocketAddr>),
    Snapshot(Sender<Snapshot>),
    /// The sender is dropped when there are nodes to ask.
    Ready(Sender<()>),
    /// Save and end; the sender is dropped when that is done.
    Stop(Sender<()>),
}

impl Dht {
    /// Binds a socket for each address, on its port if that is free and else on any, and starts the
    /// node. It remembers in `state_dir` what it knows.
    ///
    /// # Errors
    /// [`EngineError`] when there is no socket at all, or no randomness.
    pub fn start(
        config: DhtConfig,
        listen: &[SocketAddr],
        state_dir: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let mut seed: Seed = [0; 32];
        getrandom::fill(&mut seed).map_err(EngineError::Random)?;
        let (datagrams, heard) = bounded(DHT_DATAGRAMS_MAX);
        let reading = Tasks::new();
        let sockets = Sockets::bind(listen, &datagrams, &reading)?;
        let local_addrs = sockets.local_addrs();
        let path = state_dir.map(state::path);
        let config_of_node = Config {
            v4: local_addrs.iter().any(SocketAddr::is_ipv4),
            v6: local_addrs.iter().any(SocketAddr::is_ipv6),
            read_only: config.read_only,
            saved: path.as_deref().map(state::load).unwrap_or_default(),
        };
        let node = Node::new(config_of_node, &seed, Instant::now());
        let (commands, obeyed) = bounded(DHT_COMMANDS_MAX);
        let names = names::look_up(config.bootstrap, {
            let commands = commands.downgrade();
            move |addresses| {
                let commands = commands.upgrade();
                commands.is_some_and(|to| to.send_blocking(Command::Bootstrap(addresses)).is_ok())
            }
        });
        let runner = Runner {
            node,
            sockets,
            heard,
            commands: obeyed,
            listeners: HashMap::new(),
            last_key: 0,
            waiting: Vec::new(),
            path,
            _names: names,
        };
        // Ends when nobody holds the node any more; the readers end with it.
        let tasks = Tasks::new();
        tasks.spawner().to_the_end(async move {
            runner.run().await;
            drop(reading);
        });
        Ok(Self {
            commands,
            local_addrs,
        })
    }

    /// Where its sockets are.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The port of the family of an address, if that family is served.
    #[must_use]
    pub fn port_for(&self, peer: SocketAddr) -> Option<u16> {
        let v4 = peer.ip().to_canonical().is_ipv4();
        let local = self.local_addrs.iter().find(|local| local.is_ipv4() == v4);
        local.map(SocketAddr::port)
    }

    /// Waits until nodes are known and the search for the first ones is over; or it has ended.
    pub async fn ready(&self) {
        let (waiting, ready) = bounded(1);
        if self.commands.send(Command::Ready(waiting)).await.is_ok() {
            let _ = ready.recv().await;
        }
    }

    /// Begins a task. What it finds comes out here, the last being [`Event::Finished`]; whoever
    /// drops the receiver gives the task up. News that nobody takes in time is lost.
    pub async fn begin(&self, task: Task) -> Receiver<Event> {
        let (news, told) = bounded(DHT_NEWS_MAX);
        // The node has ended: then the receiver is closed.
        let _ = self.commands.send(Command::Start(task, news)).await;
        told
    }

    /// Somebody says that there is a node; when we are too busy it is not asked.
    pub fn heard(&self, address: SocketAddr) {
        let _ = self.commands.try_send(Command::Heard(address));
    }

    /// How things stand; `None` when it has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, answered) = bounded(1);
        self.commands.send(Command::Snapshot(answer)).await.ok()?;
        answered.recv().await.ok()
    }

    /// Saves what it knows and ends.
    pub async fn stop(&self) {
        let (done, ended) = bounded(1);
        if self.commands.send(Command::Stop(done)).await.is_ok() {
            let _ = ended.recv().await;
        }
    }
}

/// The task.
struct Runner {
    node: Node,
    sockets: Sockets,
    heard: Receiver<Datagram>,
    commands: Receiver<Command>,
    listeners: HashMap<LookupKey, Sender<Event>>,
    last_key: u64,
    /// Who waits for nodes.
    waiting: Vec<Sender<()>>,
    path: Option<PathBuf>,
    _names: names::Looking,
}

/// What comes next.
enum Next {
    Datagram(Datagram),
    Command(Option<Command>),
    Time,
}

impl Runner {
    async fn run(mut self) {
        loop {
            let persist = self.carry_out().await;
            if persist {
                self.save().await;
            }
            if !self.waiting.is_empty() && self.is_ready() {
                self.waiting.clear();
            }
            let next = self.next().await;
            let now = Instant::now();
            match next {
                Next::Time => self.node.handle(now, Input::Timeout),
                Next::Datagram((from, bytes)) => {
                    let bytes = &bytes;
                    self.node.handle(now, Input::Received { from, bytes });
                }
                Next::Command(Some(Command::Stop(done))) => {
                    self.save().await;
                    self.hear_no_more();
                    return drop(done);
                }
                Next::Command(None) => return self.save().await,
                Next::Command(Some(command)) => self.obey(now, command),
            }
        }
    }

    async fn next(&self) -> Next {
        let wait = self
            .node
            .timeout()
            .map(|at| at.saturating_duration_since(Instant::now()));
        let wait = wait.unwrap_or(Duration::from_secs(60));
        let command = async { Next::Command(self.commands.recv().await.ok()) };
        let datagram = async {
            match self.heard.recv().await {
                Ok(datagram) => Next::Datagram(datagram),
                Err(_) => std::future::pending().await,
            }
        };
        timeout(wait, or(command, datagram))
            .await
            .unwrap_or(Next::Time)
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Start(task, news) => {
                self.last_key += 1;
                let key = LookupKey(self.last_key);
                self.listeners.insert(key, news);
                self.node.handle(now, Input::Start { key, task });
            }
            Command::Heard(address) => self.node.handle(now, Input::Heard { address }),
            Command::Bootstrap(addresses) => {
                self.node.handle(now, Input::Bootstrap { addresses });
            }
            Command::Snapshot(answer) => {
                // The asker may have gone.
                let _ = answer.try_send(self.node.snapshot(now));
            }
            Command::Ready(waiting) => {
                self.waiting.retain(|waiting| !waiting.is_closed());
                self.waiting.push(waiting);
            }
            Command::Stop(_) => {}
        }
    }

    /// Whoever asks from now on, or asked just now, is answered by nobody, and hears it.
    fn hear_no_more(&self) {
        self.commands.close();
        while self.commands.try_recv().is_ok() {}
    }

    fn is_ready(&self) -> bool {
        let families = self.node.snapshot(Instant::now()).families;
        let known = |family: &FamilySnapshot| family.bootstrapped && family.nodes > 0;
        families.iter().any(known)
    }

    /// Does all that the node wants done; whether it wants to be saved.
    async fn carry_out(&mut self) -> bool {
        let mut persist = false;
        while let Some(output) = self.node.poll() {
            match output {
                Output::Send { to, bytes } => self.sockets.send(to, &bytes).await,
                Output::Event(event) => self.tell(event),
                Output::Persist => persist = true,
            }
        }
        persist
    }

    fn tell(&mut self, event: Event) {
        let key = match &event {
            Event::Peers { key, .. }
            | Event::Item { key, .. }
            | Event::Samples { key, .. }
            | Event::Finished { key, .. } => *key,
            event => return tracing::info!("DHT: {event:?}"),
        };
        let Some(news) = self.listeners.get(&key) else {
            return;
        };
        if matches!(event, Event::Finished { .. }) {
            let _ = news.try_send(event);
            self.listeners.remove(&key);
        } else if news.is_closed() {
            self.listeners.remove(&key);
            self.node.handle(Instant::now(), Input::Cancel { key });
        } else if news.len() + 1 < DHT_NEWS_MAX {
            // One place is kept for the last word.
            let _ = news.try_send(event);
        }
    }

    async fn save(&self) {
        if let Some(path) = self.path.clone() {
            let saved = self.node.save(Instant::now());
            state::save(path, saved).await;
        }
    }
}

#[cfg(test)]
mod tests;
