//! What was typed of the store that several trackers share: options of `tracker`. BEP 3.

use std::path::PathBuf;

use structopt::StructOpt;

use crate::units::whole;

/// Where trackers share their swarms.
#[derive(Debug, StructOpt)]
pub(crate) struct StoreOptions {
    /// Shares swarms with other trackers through Redis or Valkey, redis://HOST:PORT or
    /// redis://HOST:PORT/DB, over TLS with rediss://; several are nodes of one cluster
    #[structopt(long = "store", value_name = "URL", number_of_values = 1)]
    pub(crate) urls: Vec<String>,
    /// Trusts the certificate authorities of this PEM file for a rediss:// store, and no others
    #[structopt(
        long = "store-ca",
        value_name = "FILE",
        parse(from_os_str),
        requires = "urls"
    )]
    pub(crate) authorities: Option<PathBuf>,
    /// Seconds between two exchanges with the store
    #[structopt(
        long = "store-every",
        value_name = "SECONDS",
        default_value = "2",
        parse(try_from_str = whole)
    )]
    pub(crate) every: u32,
}
