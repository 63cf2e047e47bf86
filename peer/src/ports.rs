//! A port of ours at the gateway: asked for, renewed, taken back. RFC 6886, 6887, UPnP IGD.
//!
//! ```text
//! asking ──somebody grants it──▶ mapped ──half of its life──▶ renewed ──▶ …
//!   ▲  nobody does: minutes later   │ refused, or silent
//!   └───────────────────────────────┘              told to stop, from anywhere: ──▶ taken back
//! ```
//! All ways are looked for at once, by questions that change nothing; whoever answers first is
//! asked for the mapping, and the next one if that fails. So there is never more than one mapping
//! of a port, and taking it back takes nobody else's. Knows nothing of who uses the port.

mod ask;
mod route;
mod upnp;
mod way;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_std::channel::{Receiver, Sender, bounded};
use async_std::future::timeout;
use async_std::task::sleep;
use futures_lite::future::or;
use shoal_nearby::gateway::{Granted, SERVER_PORT, ssdp};

pub use shoal_nearby::gateway::Transport;

use crate::limits::{
    MAPPING_LIFETIME, MAPPING_RELEASE_TIME_MAX, MAPPING_RENEW_MIN, MAPPING_RETRY,
    PORT_NEWS_QUEUED_MAX,
};
use crate::tasks::Tasks;

pub use way::MapError;
use way::Way;

/// By which protocol a gateway is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MapBy {
    /// Port Control Protocol. RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol. RFC 6886.
    NatPmp,
    /// UPnP's Internet Gateway Device.
    Upnp,
}

impl MapBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pcp, Self::NatPmp, Self::Upnp];
}

impl fmt::Display for MapBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "pcp",
            Self::NatPmp => "nat-pmp",
            Self::Upnp => "upnp",
        })
    }
}

impl FromStr for MapBy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|by| by.to_string() == text);
        found.ok_or("write pcp, nat-pmp or upnp")
    }
}

/// How it went, each time that it is news.
#[derive(Debug, Clone)]
pub enum PortNews {
    /// The gateway lets peers in.
    Mapped {
        /// Who granted it.
        by: MapBy,
        /// What travels there.
        transport: Transport,
        /// Ours.
        internal_port: u16,
        /// The gateway's.
        external_port: u16,
        /// The gateway's address on the outside, if it told.
        external_ip: Option<IpAddr>,
    },
    /// No gateway does, or it does no longer; it is asked again every few minutes.
    Failed {
        /// What travels there.
        transport: Transport,
        /// Ours.
        internal_port: u16,
        /// What each way came to.
        causes: Vec<(MapBy, MapError)>,
    },
}

/// The port at which those outside reach us: ours, or the gateway's that leads to it; 0 if they do
/// not. Cheap to clone; every clone tells the same.
#[derive(Debug, Clone)]
pub(crate) struct Reach(Arc<AtomicU16>);

impl Reach {
    pub(crate) fn new(port: u16) -> Self {
        Self(Arc::new(AtomicU16::new(port)))
    }

    pub(crate) fn port(&self) -> Option<u16> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&port| port != 0)
    }

    fn is(&self, port: u16) {
        self.0.store(port, Ordering::Relaxed);
    }
}

/// What is wanted.
#[derive(Debug, Clone)]
struct Want {
    by: Vec<MapBy>,
    transport: Transport,
    port: u16,
    /// Told of the port that is granted.
    reach: Reach,
}

/// Where gateways are looked for.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// `None`: there is no route to the outside, or the system does not tell it.
    gateway: Option<Ipv4Addr>,
    server_port: u16,
    search: SocketAddr,
}

impl Place {
    fn now() -> Self {
        Self {
            gateway: route::gateway(),
            server_port: SERVER_PORT,
            search: ssdp::GROUP.into(),
        }
    }
}

/// Keeps the ports of an engine mapped, each by itself.
pub(crate) struct Mappers {
    mappers: Vec<Mapper>,
    pub(crate) news: Receiver<PortNews>,
}

impl Mappers {
    /// The port of peers, and that of datagrams where there is one; `None` when no way is wanted,
    /// or nobody is let in.
    pub(crate) fn start_if_wanted(by: &[MapBy], tcp: &Reach, udp: Option<u16>) -> Option<Self> {
        let channel = bounded(PORT_NEWS_QUEUED_MAX);
        let udp = udp.map(Reach::new);
        let ports = [(Transport::Tcp, Some(tcp)), (Transport::Udp, udp.as_ref())];
        let wanted = ports.into_iter().filter_map(|(transport, reach)| {
            let reach = reach?.clone();
            let want = Want {
                by: by.to_vec(),
                transport,
                port: reach.port()?,
                reach,
            };
            (!by.is_empty()).then_some(want)
        });
        let start = |want| Mapper::start_at(want, &channel, MAPPING_RENEW_MIN, Place::now);
        let mappers: Vec<_> = wanted.map(start).collect();
        let news = channel.1.clone();
        (!mappers.is_empty()).then_some(Self { mappers, news })
    }

    /// Takes all mappings back.
    pub(crate) async fn stop(self) {
        // Told at once, so that none waits for the other.
        let (stops, tasks): (Vec<_>, Vec<_>) = self
            .mappers
            .into_iter()
            .map(|mapper| (mapper.stop, mapper.tasks))
            .unzip();
        drop(stops);
        for tasks in tasks {
            tasks.join().await;
        }
    }
}

/// Where news goes, and where it is read.
type News = (Sender<PortNews>, Receiver<PortNews>);

/// Keeps one port mapped until it is stopped.
struct Mapper {
    tasks: Tasks,
    /// Closed when it shall stop.
    stop: Sender<()>,
    #[cfg(test)]
    news: Receiver<PortNews>,
}

impl Mapper {
    fn start_at(
        want: Want,
        news: &News,
        renew_min: Duration,
        place: impl Fn() -> Place + Send + Sync + 'static,
    ) -> Self {
        let (stop, stopped) = bounded(1);
        let tell = news.0.clone();
        let tasks = Tasks::new();
        let keeper = Keeper {
            want,
            renew_min,
            stopped,
            tell,
            failed: String::new(),
        };
        tasks.spawner().to_the_end(keeper.run(place));
        Self {
            tasks,
            stop,
            #[cfg(test)]
            news: news.1.clone(),
        }
    }

    /// Takes the mapping back.
    #[cfg(test)]
    async fn stop(self) {
        drop(self.stop);
        self.tasks.join().await;
    }
}

struct Keeper {
    want: Want,
    renew_min: Duration,
    stopped: Receiver<()>,
    tell: Sender<PortNews>,
    /// What was last told to have failed: the same is not news.
    failed: String,
}

/// Whether it shall go on.
#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Keeper {
    async fn run(mut self, place: impl Fn() -> Place + Send + Sync) {
        loop {
            let mut causes = Vec::new();
            if self.keep_any(place(), &mut causes).await == Next::Stop {
                return;
            }
            self.fail(causes);
            if self.wait(MAPPING_RETRY).await == Next::Stop {
                return;
            }
        }
    }

    /// Finds a way and keeps the port mapped by it; goes on when there is none, or no longer.
    async fn keep_any(&mut self, place: Place, causes: &mut Vec<(MapBy, MapError)>) -> Next {
        // Dropping them ends those that have not answered yet.
        let searches = Tasks::new();
        let (tell, found) = bounded(MapBy::ALL.len());
        for &by in &self.want.by {
            let tell = tell.clone();
            searches.spawner().until_stop(async move {
                // Nobody waits any more: another way was sooner.
                let _ = tell.send((by, Way::find(by, place).await)).await;
            });
        }
        drop(tell);
        loop {
            let stopped = async {
                let _ = self.stopped.recv().await;
                Err(Next::Stop)
            };
            let next = async { found.recv().await.map_err(|_| Next::GoOn) };
            match or(stopped, next).await {
                Err(next) => return next,
                Ok((by, Err(error))) => causes.push((by, error)),
                Ok((by, Ok(way))) => match self.keep(by, way).await {
                    Ok(next) => return next,
                    Err(error) => causes.push((by, error)),
                },
            }
        }
    }

    /// Keeps the port mapped by one way.
    async fn keep(&mut self, by: MapBy, mut way: Way) -> Result<Next, MapError> {
        let mut last = None;
        loop {
            let stopped = async {
                let _ = self.stopped.recv().await;
                None
            };
            let mapped = async { Some(way.map(&self.want, MAPPING_LIFETIME).await) };
            let Some(granted) = or(stopped, mapped).await else {
                // It may have been granted just now.
                self.release(&way).await;
                return Ok(Next::Stop);
            };
            let granted = granted?;
            let now = (granted.external_port, granted.external_ip);
            if last.replace(now) != Some(now) {
                self.mapped(by, granted);
            }
            let lifetime = match granted.lifetime_s {
                // For ever, until the gateway is restarted.
                0 => MAPPING_LIFETIME,
                seconds => Duration::from_secs(seconds.into()).min(MAPPING_LIFETIME),
            };
            if self.wait((lifetime / 2).max(self.renew_min)).await == Next::Stop {
                self.release(&way).await;
                return Ok(Next::Stop);
            }
        }
    }

    async fn release(&self, way: &Way) {
        self.want.reach.is(self.want.port);
        match timeout(MAPPING_RELEASE_TIME_MAX, way.release(&self.want)).await {
            Ok(Ok(())) => tracing::info!("the gateway has taken the mapping back"),
            Ok(Err(error)) => tracing::info!("the mapping is left to expire: {error}"),
            Err(_) => tracing::info!("the mapping is left to expire: the gateway is silent"),
        }
    }

    fn mapped(&mut self, by: MapBy, granted: Granted) {
        self.failed.clear();
        self.want.reach.is(granted.external_port);
        self.news(PortNews::Mapped {
            by,
            transport: self.want.transport,
            internal_port: self.want.port,
            external_port: granted.external_port,
            external_ip: granted.external_ip,
        });
    }

    fn fail(&mut self, causes: Vec<(MapBy, MapError)>) {
        self.want.reach.is(self.want.port);
        let failed = causes.iter().map(|(by, error)| format!("{by}: {error}"));
        let failed = failed.collect::<Vec<_>>().join("; ");
        if self.failed == failed {
            return;
        }
        self.failed = failed;
        self.news(PortNews::Failed {
            transport: self.want.transport,
            internal_port: self.want.port,
            causes,
        });
    }

    fn news(&self, news: PortNews) {
        // Nobody reads: then nobody needs to know.
        let _ = self.tell.try_send(news);
    }

    async fn wait(&self, span: Duration) -> Next {
        let slept = async {
            sleep(span).await;
            Next::GoOn
        };
        let stopped = async {
            let _ = self.stopped.recv().await;
            Next::Stop
        };
        or(stopped, slept).await
    }
}

#[cfg(test)]
mod tests;
