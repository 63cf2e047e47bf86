//! What was typed of how a tracker is reached and looked at.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use shoal_tracker::server::{AdminConfig, FrontConfig, Net, NetError, Pages, TlsFiles};
use structopt::StructOpt;

use crate::config::{self, UsageError};

/// The options of `shoal tracker` that concern proxies, TLS and pages.
#[derive(Debug, StructOpt)]
pub(crate) struct FrontOptions {
    /// Speaks TLS too, on the same ports, with this certificate: a PEM file, the chain behind it;
    /// read again when it changes
    #[structopt(
        long,
        value_name = "FILE",
        requires = "tls-key",
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of --tls-cert: a PEM file
    #[structopt(
        long,
        value_name = "FILE",
        requires = "tls-cert",
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Believes X-Forwarded-For of proxies in this network (10.0.0.0/8, ::1); repeat for several
    #[structopt(long = "trusted-proxy", value_name = "NET", number_of_values = 1)]
    pub(crate) trusted_proxies: Vec<String>,
    // What was before --trusted-proxy.
    #[structopt(long, hidden = true)]
    pub(crate) trust_forwarded_for: bool,
    /// What strangers see at /: all (the default), sums (and no torrents; the default with
    /// --private) or health (that it runs)
    #[structopt(
        long,
        value_name = "WHAT",
        possible_values = &["all", "sums", "health"]
    )]
    pub(crate) pages: Option<String>,
    /// Serves the admin API, and pages with addresses, at ADDR (ADDRESS:PORT); without ADDR on a
    /// free port of 127.0.0.1
    #[structopt(long, value_name = "ADDR", require_equals = true, min_values = 0)]
    #[expect(clippy::option_option, reason = "given, and given with a value")]
    pub(crate) admin: Option<Option<String>>,
    /// The token of the admin API, in this file; without it one is made and told once
    #[structopt(
        long,
        value_name = "FILE",
        requires = "admin",
        empty_values = false,
        parse(from_os_str)
    )]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Answers a scrape without info hashes with all torrents
    #[structopt(long)]
    pub(crate) full_scrape: bool,
}

/// Told when all the world is trusted.
const ALL_TRUSTED: &str = "--trust-forwarded-for believes whoever connects: let only your proxy \
    reach this port, or say --trusted-proxy NET instead";

impl FrontOptions {
    /// What is meant, and what is to be warned of.
    ///
    /// # Errors
    /// [`UsageError::TrustedProxy`], [`UsageError::Listen`].
    pub(crate) fn config(&self) -> Result<(FrontConfig, Option<String>), UsageError> {
        let nets: Result<Vec<Net>, NetError> = self
            .trusted_proxies
            .iter()
            .map(|text| text.parse())
            .collect();
        let mut trusted_proxies = nets.map_err(UsageError::TrustedProxy)?;
        let mut warning = None;
        if self.trust_forwarded_for {
            trusted_proxies.extend(Net::ALL);
            warning = Some(ALL_TRUSTED.to_owned());
        }
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let config = FrontConfig {
            admin: self.admin()?,
            tls: tls.map(|(certificates, key)| TlsFiles { certificates, key }),
            trusted_proxies,
            full_scrape: self.full_scrape,
            pages: match self.pages.as_deref() {
                Some("sums") => Pages::Sums,
                Some("health") => Pages::Health,
                _ => Pages::All,
            },
            ..FrontConfig::default()
        };
        Ok((config, warning))
    }

    fn admin(&self) -> Result<Option<AdminConfig>, UsageError> {
        let listen = match &self.admin {
            None => return Ok(None),
            Some(None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            // A port alone would be a port of all addresses: too easily opened to the world.
            Some(Some(text)) if text.parse::<SocketAddr>().is_err() => {
                return Err(UsageError::Listen(text.clone()));
            }
            Some(Some(text)) => config::listen_address(text)?,
        };
        let token_file = self.admin_token_file.clone();
        Ok(Some(AdminConfig { listen, token_file }))
    }
}
