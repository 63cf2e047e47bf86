//! One gateway by one protocol: found, asked for a mapping, told to take it back.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shoal_nearby::gateway::Granted;
use shoal_nearby::gateway::http::HttpError;
use shoal_nearby::gateway::igd::{IgdError, XmlError};
use shoal_nearby::gateway::nat_pmp::{self, NatPmpError};
use shoal_nearby::gateway::pcp::{self, PcpError};
use shoal_nearby::gateway::ssdp::LocationError;

use super::ask::Asker;
use super::upnp::Upnp;
use super::{MapBy, Place, Want};

/// Why a gateway does not let peers in.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// There is no way to the outside, or the system does not tell it.
    #[error("no gateway is known")]
    NoGateway,
    /// Nobody answers.
    #[error("no answer")]
    Silent,
    /// It has no service for it, or offers it where we do not go.
    #[error("the gateway has no service that maps ports")]
    NoService,
    /// As HTTP says it.
    #[error("the gateway answers {0}")]
    Status(u16),
    /// NAT-PMP's no.
    #[error(transparent)]
    NatPmp(#[from] NatPmpError),
    /// PCP's no.
    #[error(transparent)]
    Pcp(#[from] PcpError),
    /// UPnP's no.
    #[error(transparent)]
    Igd(#[from] IgdError),
    /// UPnP's gateway sends us elsewhere.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// UPnP's gateway speaks no HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// UPnP's gateway speaks no XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// The system's, or the network's.
    #[error("{0}")]
    Io(#[source] Arc<io::Error>),
    /// No random numbers.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl From<io::Error> for MapError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Silent,
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// A gateway that answered.
pub(super) enum Way {
    Pcp {
        asker: Asker,
        nonce: [u8; 12],
        /// The port that was granted.
        external_port: Option<u16>,
    },
    NatPmp {
        asker: Asker,
        /// The port that was granted.
        external_port: Option<u16>,
    },
    Upnp(Upnp),
}

impl Way {
    /// Asks what changes nothing, so that it is known who answers.
    pub(super) async fn find(by: MapBy, place: Place) -> Result<Self, MapError> {
        let server = || match place.gateway {
            Some(gateway) => Ok(SocketAddr::new(gateway.into(), place.server_port)),
            None => Err(MapError::NoGateway),
        };
        match by {
            MapBy::Pcp => {
                let asker = Asker::new(server()?).await?;
                let client = asker.client();
                ask_pcp(&asker, pcp::Request::Announce { client }).await?;
                let mut nonce = [0; 12];
                getrandom::fill(&mut nonce).map_err(MapError::Random)?;
                let external_port = None;
                Ok(Self::Pcp {
                    asker,
                    nonce,
                    external_port,
                })
            }
            MapBy::NatPmp => {
                let asker = Asker::new(server()?).await?;
                ask_nat_pmp(&asker, nat_pmp::Request::ExternalAddress).await?;
                let external_port = None;
                Ok(Self::NatPmp {
                    asker,
                    external_port,
                })
            }
            MapBy::Upnp => Upnp::find(place.search, place.gateway)
                .await
                .map(Self::Upnp),
        }
    }

    /// Asks for the mapping, or for more of its time.
    pub(super) async fn map(
        &mut self,
        want: &Want,
        lifetime: Duration,
    ) -> Result<Granted, MapError> {
        let lifetime_s = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let granted = match self {
            Self::Upnp(upnp) => return upnp.map(want, lifetime_s).await,
            Self::Pcp { .. } | Self::NatPmp { .. } => self.ask(want, lifetime_s).await?,
        };
        // A mapping to nowhere, or one that has ended, is none.
        if granted.external_port == 0 || granted.lifetime_s == 0 {
            return Err(MapError::NoService);
        }
        match self {
            Self::Pcp { external_port, .. } | Self::NatPmp { external_port, .. } => {
                *external_port = Some(granted.external_port);
            }
            Self::Upnp(_) => {}
        }
        Ok(granted)
    }

    /// Takes the mapping back.
    pub(super) async fn release(&self, want: &Want) -> Result<(), MapError> {
        match self {
            Self::Upnp(upnp) => upnp.release(want).await,
            Self::Pcp { .. } | Self::NatPmp { .. } => self.ask(want, 0).await.map(drop),
        }
    }

    async fn ask(&self, want: &Want, lifetime_s: u32) -> Result<Granted, MapError> {
        let (transport, internal_port) = (want.transport, want.port);
        // The same as before, or ours; none to take it back (RFC 6886, 3.4; RFC 6887, 15.1).
        let like = |granted: &Option<u16>| match lifetime_s {
            0 => 0,
            _ => granted.unwrap_or(internal_port),
        };
        match self {
            Self::Pcp {
                asker,
                nonce,
                external_port,
            } => {
                let request = pcp::Request::Map {
                    client: asker.client(),
                    nonce: *nonce,
                    transport,
                    internal_port,
                    external_port: like(external_port),
                    lifetime_s,
                };
                match ask_pcp(asker, request).await? {
                    pcp::Response::Mapped(granted) => Ok(granted),
                    pcp::Response::Announced => Err(PcpError::Other.into()),
                }
            }
            Self::NatPmp {
                asker,
                external_port,
            } => {
                let request = nat_pmp::Request::Map {
                    transport,
                    internal_port,
                    external_port: like(external_port),
                    lifetime_s,
                };
                let mut granted = match ask_nat_pmp(asker, request).await? {
                    nat_pmp::Response::Mapped(granted) => granted,
                    nat_pmp::Response::ExternalAddress(_) => return Err(NatPmpError::Other.into()),
                };
                if lifetime_s > 0 {
                    // Asked each time: it changes when a line is dialled again.
                    let address = ask_nat_pmp(asker, nat_pmp::Request::ExternalAddress).await;
                    if let Ok(nat_pmp::Response::ExternalAddress(ip)) = address {
                        granted.external_ip = Some(ip.into()).filter(|_| !ip.is_unspecified());
                    }
                }
                Ok(granted)
            }
            Self::Upnp(_) => unreachable!("UPnP is asked by calls"),
        }
    }
}

async fn ask_pcp(asker: &Asker, request: pcp::Request) -> Result<pcp::Response, MapError> {
    let read = |answer: &[u8]| match request.decode(answer) {
        Err(PcpError::Other) => None,
        answer => Some(answer.map_err(MapError::from)),
    };
    asker.ask(&request.encode(), read).await
}

async fn ask_nat_pmp(
    asker: &Asker,
    request: nat_pmp::Request,
) -> Result<nat_pmp::Response, MapError> {
    let read = |answer: &[u8]| match request.decode(answer) {
        Err(NatPmpError::Other) => None,
        answer => Some(answer.map_err(MapError::from)),
    };
    asker.ask(&request.encode(), read).await
}
