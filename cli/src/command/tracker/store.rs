//! What the tracker shows of the store that it shares with others.
//!
//! Schema of the events: docs/json-events.md. Knows nothing of the table.

use std::io;
use std::time::Duration;

use async_std::channel::Receiver;
use async_std::task;
use serde::Serialize;
use shoal_tracker::store::{StoreConfig, StoreEvent};

use crate::args::StoreOptions;
use crate::config::UsageError;
use crate::render::text::Printable;
use crate::render::{self, Mode, json};
use crate::units::Date;

/// The store that is meant, if one is.
///
/// # Errors
/// [`UsageError`] when a URL is none.
pub(super) fn config(options: &StoreOptions) -> Result<Option<StoreConfig>, UsageError> {
    if options.urls.is_empty() {
        return Ok(None);
    }
    let every = Duration::from_secs(options.every.into());
    let config = StoreConfig::new(&options.urls);
    let config = config.and_then(|config| match &options.authorities {
        Some(file) => config.trusting(file),
        None => Ok(config),
    });
    let config = config.map_err(UsageError::Store)?;
    Ok(Some(config.every(every)))
}

/// Shows what happens to the store, beside all else, for as long as the tracker runs.
pub(super) fn watched(config: Option<StoreConfig>, mode: Mode) -> Option<StoreConfig> {
    let (config, events) = config?.with_events();
    let servers = config.addresses().join(", ");
    task::spawn(show(events, servers, mode));
    Some(config)
}

async fn show(events: Receiver<StoreEvent>, servers: String, mode: Mode) {
    while let Ok(event) = events.recv().await {
        // Nobody reads: the tracker sees that too, and ends.
        if tell(&event, &servers, mode).is_err() {
            return;
        }
    }
}

/// `store`. Schema: docs/json-events.md.
#[derive(Debug, Serialize, Default)]
struct Told<'a> {
    event: &'static str,
    state: &'static str,
    servers: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

fn tell(event: &StoreEvent, servers: &str, mode: Mode) -> io::Result<()> {
    let mut told = Told {
        event: "store",
        servers,
        ..Told::default()
    };
    let text = match event {
        StoreEvent::There => {
            told.state = "there";
            format!("the store at {servers} is there")
        }
        StoreEvent::Away { server, why } => {
            (told.state, told.message) = ("away", Some(why.as_str()));
            let server = if server.is_empty() { servers } else { server };
            told.servers = server;
            format!("the store at {server} is away: {why}; what is known here is answered")
        }
        StoreEvent::Repaired { peers } => {
            (told.state, told.count) = ("repaired", Some(*peers));
            format!("the store at {servers} was told all that is known here: {peers} peers")
        }
        StoreEvent::Dropped { words } => {
            (told.state, told.count) = ("dropped", Some(*words));
            format!("the store at {servers} is slow: {words} words on peers were not told")
        }
        StoreEvent::Refused { times, why } => {
            (told.state, told.count, told.message) = ("refused", Some(*times), Some(why.as_str()));
            format!("the store at {servers} refused {times} times: {why}")
        }
    };
    if mode == Mode::Json {
        return json::emit(&told);
    }
    let text = Printable(&text);
    render::say(format_args!("{}  {text}", Date::now()))
}
