//! `shoal dht`: a node of the DHT alone, or a question to it. BEP 5, 33, 43, 44.
//!
//! A node that lives for one question asks and answers nobody (BEP 43); `item` knows keys and
//! values, `view` shows what comes.

mod item;
mod view;

use std::collections::BTreeSet;
use std::env;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task;
use futures_lite::future::or;
use shoal_metainfo::InfoHash;
use shoal_peer::shoal_dht::{Announce, Event, ItemError, NodeId, Outcome, Task};
use shoal_peer::{Dht, DhtConfig, EngineError};

use self::view::View;
use crate::args::{self, DhtTask};
use crate::config::{self, UsageError};
use crate::error::Error;
use crate::render::{self, Mode};
use crate::signals::Interrupt;

/// Where a node of its own listens. Source: the port that BitTorrent has by custom.
const PORT: u16 = 6881;
/// For the first node to answer. Ours: names are looked up, and some nodes are dead.
const READY_MAX: Duration = Duration::from_secs(20);
/// Then the person who waits is told what for. Ours.
const READY_WORD: Duration = Duration::from_secs(2);
/// Between two looks at how the node stands. Ours.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// For the end in good order: the nodes are saved.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DhtError {
    /// It could not listen.
    #[error(transparent)]
    Start(#[from] EngineError),
    /// There is nobody to ask.
    #[error(
        "no node of the DHT answered; is UDP let through? --dht-bootstrap HOST:PORT names another"
    )]
    NobodyThere,
    /// The node that was pinged.
    #[error("{0} does not answer")]
    NoAnswer(SocketAddr),
    /// Nobody knows what was asked for.
    #[error("{0} nodes were asked, and none knows {1}")]
    NotFound(usize, &'static str),
    /// Nobody took it.
    #[error("none of {0} nodes stored it{1}")]
    NotStored(usize, String),
    /// The text or the salt is too long.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The file of the key.
    #[error("{path} cannot be used as a key: {reason}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Runs it.
///
/// # Errors
/// [`DhtError`], a mistake on the command line, or a signal before it was done.
pub(crate) fn run(args: &args::Dht) -> Result<(), Error> {
    let mut listen = config::listen_addresses(&args.listen)?;
    if listen.is_empty() {
        let port = if args.task.is_none() { PORT } else { 0 };
        listen = vec![
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ];
    }
    let node_config = DhtConfig {
        read_only: args.task.is_some(),
        ..config::dht(&args.bootstrap)?
    };
    let question = args.task.as_ref().map(question).transpose()?;
    let state_dir = config::state_folder(args.state_dir.as_deref(), |name| env::var_os(name));
    let view = View::new(Mode::pick(args.json));
    let interrupt = Interrupt::listen(|| ()).map_err(Error::signals)?;
    shoal_peer::start_executor();
    task::block_on(async {
        let dht = Dht::start(node_config, &listen, state_dir.as_deref()).map_err(DhtError::from)?;
        let interrupted = async {
            interrupt.raised().await;
            Err(Error::Interrupted)
        };
        let result = match &question {
            None => or(async { interrupted.await.or(Ok(())) }, serve(&dht, &view)).await,
            Some(question) => or(interrupted, answer(&dht, question, &view)).await,
        };
        let _ = timeout(STOP_MAX, dht.stop()).await;
        match result {
            Err(error) if error.is_reader_gone() => Ok(()),
            result => result,
        }
    })
}

/// A question, understood.
enum Question {
    GetPeers(InfoHash),
    Announce(InfoHash, u16),
    Ping(SocketAddr),
    Get(NodeId, Vec<u8>),
    Put(item::Put),
}

fn question(task: &DhtTask) -> Result<Question, Error> {
    Ok(match task {
        DhtTask::GetPeers { hash } => Question::GetPeers(config::info_hash(hash)?),
        DhtTask::Announce { hash, port } => Question::Announce(config::info_hash(hash)?, *port),
        DhtTask::Ping { address } => {
            let wrong = |_| UsageError::DhtBootstrap(address.clone());
            let addresses = config::peer(address).map_err(wrong)?.addresses()?;
            // A name that is found has an address.
            Question::Ping(*addresses.first().ok_or(DhtError::NobodyThere)?)
        }
        DhtTask::Get { name, salt } => Question::Get(
            item::target(name, salt.as_bytes())?,
            salt.as_bytes().to_vec(),
        ),
        DhtTask::Put {
            text,
            key,
            seq,
            salt,
        } => Question::Put(item::Put::new(
            text,
            key.as_deref(),
            *seq,
            salt.as_deref().unwrap_or_default(),
        )?),
    })
}

/// Runs a node and shows how it stands.
async fn serve(dht: &Dht, view: &View) -> Result<(), Error> {
    view.started(dht.local_addrs()).map_err(Error::unheard)?;
    loop {
        if let Some(snapshot) = dht.snapshot().await {
            view.status(&snapshot).map_err(Error::Output)?;
        }
        task::sleep(STATUS_EVERY).await;
    }
}

async fn answer(dht: &Dht, question: &Question, view: &View) -> Result<(), Error> {
    if let Question::Ping(address) = *question {
        let outcome = ask(dht, Task::Ping { address }, |_| Ok(())).await?;
        let node = outcome.closest.first().ok_or(DhtError::NoAnswer(address))?;
        return view.pong(node, outcome.took).map_err(Error::Output);
    }
    ready(dht).await?;
    match question {
        Question::Ping(_) => Ok(()),
        Question::GetPeers(info_hash) => get_peers(dht, *info_hash, view).await,
        Question::Announce(info_hash, port) => {
            let announce = Announce {
                port: Some(*port),
                seed: false,
            };
            let outcome = ask(dht, peers(*info_hash, Some(announce)), |_| Ok(())).await?;
            stored(view, outcome, None)
        }
        Question::Get(target, salt) => {
            let task = Task::Get {
                target: *target,
                salt: salt.clone(),
            };
            let mut found = None;
            let outcome = ask(dht, task, |event| {
                if let Event::Item { item, .. } = event {
                    found = Some(item.clone());
                }
                Ok(())
            });
            let outcome = outcome.await?;
            let found = found.ok_or(DhtError::NotFound(outcome.answers, "an item of this name"))?;
            view.item(&found).map_err(Error::Output)
        }
        Question::Put(put) => {
            let mut stored_seq = None;
            if put.wants_seq() {
                ask(dht, put.question(), |event| {
                    if let Event::Item { item, .. } = event {
                        stored_seq = item.seq();
                    }
                    Ok(())
                })
                .await?;
            }
            let item = put.item(stored_seq).map_err(DhtError::from)?;
            let task = Task::Put {
                item: item.clone(),
                cas: stored_seq,
                republish: false,
            };
            let outcome = ask(dht, task, |_| Ok(())).await?;
            stored(view, outcome, Some(&item))
        }
    }
}

/// Waits for the first node that answers.
async fn ready(dht: &Dht) -> Result<(), DhtError> {
    if timeout(READY_WORD, dht.ready()).await.is_ok() {
        return Ok(());
    }
    let left = READY_MAX.saturating_sub(READY_WORD);
    render::note(format_args!(
        "no node of the DHT has answered yet; waiting {} s more",
        left.as_secs()
    ));
    let ready = timeout(left, dht.ready()).await;
    ready.map_err(|_| DhtError::NobodyThere)
}

/// Shows each peer once.
async fn get_peers(dht: &Dht, info_hash: InfoHash, view: &View) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    let outcome = ask(dht, peers(info_hash, None), |event| {
        let Event::Peers { from, peers, .. } = event else {
            return Ok(());
        };
        let mut new = peers.clone();
        new.retain(|peer| known.insert(*peer));
        view.peers(*from, &new)
    });
    let mut outcome = outcome.await?;
    outcome.peers = known.len();
    view.peers_are_all(&outcome).map_err(Error::Output)?;
    match outcome.peers {
        0 => Err(DhtError::NotFound(outcome.answers, "peers of it").into()),
        _ => Ok(()),
    }
}

fn peers(info_hash: InfoHash, announce: Option<Announce>) -> Task {
    Task::GetPeers {
        info_hash,
        announce,
        scrape: announce.is_none(),
    }
}

fn stored(
    view: &View,
    outcome: Outcome,
    item: Option<&shoal_peer::shoal_dht::Item>,
) -> Result<(), Error> {
    if outcome.stored == 0 {
        let why = outcome
            .refused
            .map(|(code, text)| format!(": {text} ({code})"));
        return Err(DhtError::NotStored(outcome.answers, why.unwrap_or_default()).into());
    }
    view.stored(&outcome, item).map_err(Error::Output)
}

/// Has a task done, and its news heard.
async fn ask(
    dht: &Dht,
    task: Task,
    mut news: impl FnMut(&Event) -> std::io::Result<()>,
) -> Result<Outcome, Error> {
    let told = dht.begin(task).await;
    while let Ok(event) = told.recv().await {
        match event {
            Event::Finished { outcome, .. } => return Ok(outcome),
            event => news(&event).map_err(Error::Output)?,
        }
    }
    Err(DhtError::NobodyThere.into())
}
