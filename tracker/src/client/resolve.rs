//! Names to addresses, on threads of their own. RFC 3986 says what a host is, the system the rest.
//!
//! The system's look-up blocks, for many seconds if a name's server is dead: on an executor thread
//! it would hold up every peer. Here it holds up at most the other look-ups, and those only when
//! [`limits::RESOLVER_THREADS`] names are dead at once. Which address is good is not decided here.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::thread;

use async_std::channel::{Receiver, Sender, bounded};
use surf::http::url::Host;

use crate::error::TrackerError;
use crate::limits;
use crate::text::printable;

type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up. The threads begin with the first name and end with the resolver.
pub(super) struct Resolver {
    lookup: Arc<Lookup>,
    jobs: OnceLock<Sender<Job>>,
}

struct Job {
    host: String,
    port: u16,
    reply: Sender<io::Result<Vec<SocketAddr>>>,
}

/// The system's own look-up.
pub(super) fn system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

impl Resolver {
    pub(super) fn new(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            lookup: Arc::new(lookup),
            jobs: OnceLock::new(),
        }
    }

    /// All addresses of a host.
    pub(super) async fn resolve(
        &self,
        host: &Host<&str>,
        port: u16,
    ) -> Result<Vec<SocketAddr>, TrackerError> {
        let name = match *host {
            Host::Ipv4(ip) => return Ok(vec![SocketAddr::from((ip, port))]),
            Host::Ipv6(ip) => return Ok(vec![SocketAddr::from((ip, port))]),
            Host::Domain(name) => name,
        };
        let failed = |reason: &str| TrackerError::Resolve {
            host: name.to_owned(),
            reason: printable(reason.as_bytes()),
        };
        let (reply, answer) = bounded(1);
        let job = Job {
            host: name.to_owned(),
            port,
            reply,
        };
        let jobs = self.jobs.get_or_init(|| start(&self.lookup));
        if jobs.send(job).await.is_err() {
            return Err(failed("no thread could be started to look it up"));
        }
        match answer.recv().await {
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(&error.to_string())),
            Err(_) => Err(failed("the look-up was broken off")),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

fn start(lookup: &Arc<Lookup>) -> Sender<Job> {
    let (sender, jobs) = bounded(limits::RESOLVER_QUEUE);
    for number in 0..limits::RESOLVER_THREADS {
        let (jobs, lookup) = (jobs.clone(), Arc::clone(lookup));
        let thread = thread::Builder::new().name(format!("tracker-names-{number}"));
        if let Err(error) = thread.spawn(move || work(&jobs, &*lookup)) {
            tracing::warn!(%error, "cannot start a thread to look up names");
        }
    }
    sender
}

fn work(jobs: &Receiver<Job>, lookup: &Lookup) {
    while let Ok(job) = jobs.recv_blocking() {
        // An asker that gave up has closed its side.
        if !job.reply.is_closed() {
            let _ = job.reply.try_send(lookup(&job.host, job.port));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::task;
    use std::sync::mpsc;

    #[test]
    fn dead_name_does_not_hold_up_the_next() {
        let (release, dead) = mpsc::channel::<()>();
        let dead = std::sync::Mutex::new(dead);
        let resolver = Arc::new(Resolver::new(move |host, port| {
            if host == "dead.test" {
                let _ = dead.lock().unwrap().recv();
            }
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))])
        }));
        task::block_on(async {
            let other = Arc::clone(&resolver);
            let pending =
                task::spawn(async move { other.resolve(&Host::Domain("dead.test"), 1).await });
            let good = resolver.resolve(&Host::Domain("good.test"), 7).await;
            assert_eq!(good.unwrap(), [SocketAddr::from(([10, 0, 0, 1], 7))]);
            release.send(()).unwrap();
            assert!(pending.await.is_ok());
        });
    }

    #[test]
    fn literal_addresses_are_not_looked_up() {
        let resolver = Resolver::new(|_, _| panic!("looked up"));
        task::block_on(async {
            let v6 = Host::Ipv6("::1".parse().unwrap());
            let got = resolver.resolve(&v6, 80).await.unwrap();
            assert_eq!(got, ["[::1]:80".parse().unwrap()]);
            assert!(resolver.jobs.get().is_none());
        });
    }

    #[test]
    fn system_refuses_what_is_no_name() {
        // Too long for a label: refused without asking the network.
        assert!(system(&"a".repeat(70), 80).is_err());
    }
}
