//! A gateway that speaks UPnP: searched by multicast, described and called over HTTP.
//!
//! Goes nowhere but to the gateway: an answer counts only from its address, or from our own network
//! where that is not known, and what it names must lie on the very address that answered.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::{TcpStream, UdpSocket};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use shoal_nearby::gateway::Granted;
use shoal_nearby::gateway::http::{self, Response};
use shoal_nearby::gateway::igd::{self, Action, IgdError, Service};
use shoal_nearby::gateway::ssdp::{self, Location};
use shoal_nearby::is_near;
use shoal_nearby::limits::SEARCH_ANSWER_LENGTH_MAX;

use super::Want;
use super::way::MapError;
use crate::interfaces;
use crate::limits::{GATEWAY_HTTP_TIME_MAX, GATEWAY_WAITS_MS, MAPPING_PORT_TRIES};

/// A service of a gateway.
pub(super) struct Upnp {
    service: Service,
    /// Our address, as the gateway reaches us.
    client: IpAddr,
    /// The port that was asked for or granted; `None` before.
    external_port: Option<u16>,
}

impl Upnp {
    /// Searches, and reads the description of the first gateway that has one.
    pub(super) async fn find(
        search: SocketAddr,
        gateway: Option<Ipv4Addr>,
    ) -> Result<Self, MapError> {
        let socket = searcher(gateway)?;
        let networks = interfaces::all()?.into_iter().map(|found| found.network);
        let networks: Vec<_> = networks.collect();
        let believed = |from: IpAddr| match gateway {
            Some(gateway) => from == gateway,
            None => is_near(from, &networks),
        };
        let mut failed = MapError::Silent;
        let mut buffer = [0; SEARCH_ANSWER_LENGTH_MAX];
        let mut asked = Vec::new();
        for wait in GATEWAY_WAITS_MS.map(Duration::from_millis) {
            for target in ssdp::TARGETS {
                socket.send_to(&ssdp::search(target), search).await?;
            }
            let until = std::time::Instant::now() + wait;
            loop {
                let left = until.saturating_duration_since(std::time::Instant::now());
                let Ok(heard) = timeout(left, socket.recv_from(&mut buffer)).await else {
                    break;
                };
                let (length, from) = heard?;
                if !believed(from.ip()) {
                    continue;
                }
                match ssdp::answer(&buffer[..length], from.ip()) {
                    // Both searches find the same one.
                    Ok(place) if asked.contains(&place) => {}
                    Ok(place) => match Self::describe(&place).await {
                        Ok(found) => return Ok(found),
                        Err(error) => {
                            failed = error;
                            asked.push(place);
                        }
                    },
                    Err(ssdp::LocationError::Other) => {}
                    Err(error) => failed = error.into(),
                }
            }
        }
        Err(failed)
    }

    /// The first service that knows its address on the outside; else the first there is.
    async fn describe(place: &Location) -> Result<Self, MapError> {
        let (response, client) = fetch(place, &http::get(place)).await?;
        if response.status != 200 {
            return Err(MapError::Status(response.status));
        }
        let mut found: Option<Self> = None;
        for service in igd::services(place, &response.body)? {
            let upnp = Self {
                service,
                client,
                external_port: None,
            };
            if let Ok(Some(_)) = upnp.call(Action::ExternalAddress).await {
                return Ok(upnp);
            }
            found = found.or(Some(upnp));
        }
        found.ok_or(MapError::NoService)
    }

    /// Asks for the mapping; for another port when somebody else has that one.
    pub(super) async fn map(&mut self, want: &Want, lifetime: u32) -> Result<Granted, MapError> {
        let mut external_port = self.external_port.unwrap_or(want.port);
        let mut lifetime_s = lifetime;
        for _ in 0..MAPPING_PORT_TRIES {
            self.external_port = Some(external_port);
            let action = Action::Add {
                transport: want.transport,
                external_port,
                client: self.client,
                internal_port: want.port,
                lifetime_s,
            };
            match self.call(action).await {
                Ok(_) => {
                    let external_ip = self.call(Action::ExternalAddress).await.ok().flatten();
                    return Ok(Granted {
                        external_port,
                        external_ip: external_ip.map(IpAddr::V4),
                        lifetime_s,
                    });
                }
                Err(MapError::Igd(IgdError::Conflict)) => external_port = fastrand::u16(20_000..),
                Err(MapError::Igd(IgdError::OnlyPermanent)) if lifetime_s != 0 => lifetime_s = 0,
                Err(error) => return Err(error),
            }
        }
        self.external_port = None;
        Err(IgdError::Conflict.into())
    }

    /// Takes the mapping back, if one was asked for.
    pub(super) async fn release(&self, want: &Want) -> Result<(), MapError> {
        let Some(external_port) = self.external_port else {
            return Ok(());
        };
        let action = Action::Delete {
            transport: want.transport,
            external_port,
        };
        self.call(action).await.map(drop)
    }

    async fn call(&self, action: Action) -> Result<Option<Ipv4Addr>, MapError> {
        let place = &self.service.control;
        let request = http::post(place, &self.service.call(&action));
        let (response, _) = fetch(place, &request).await?;
        match response.status {
            // A fault comes with 500, and says more than the number.
            200 | 500 => Ok(action.decode(&response.body)?),
            other => Err(MapError::Status(other)),
        }
    }
}

/// A socket that searches in the gateway's network.
fn searcher(gateway: Option<Ipv4Addr>) -> Result<UdpSocket, MapError> {
    let beside = match gateway {
        Some(gateway) => interfaces::address_beside(gateway)?,
        None => None,
    };
    let ours = beside.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let socket = StdSocket::bind((ours, 0))?;
    socket.set_multicast_ttl_v4(2)?;
    let socket = socket2::Socket::from(socket);
    socket.set_multicast_if_v4(&ours)?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from(StdSocket::from(socket)))
}

/// One request, and our address on that connection.
async fn fetch(place: &Location, request: &[u8]) -> Result<(Response, IpAddr), MapError> {
    let exchange = async {
        let mut stream = TcpStream::connect(place.address).await?;
        let client = stream.local_addr()?.ip();
        stream.write_all(request).await?;
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut buffer).await?;
            bytes.extend_from_slice(&buffer[..length]);
            if let Some(response) = Response::decode(&bytes, length == 0)? {
                return Ok((response, client));
            }
        }
    };
    let exchanged = timeout(GATEWAY_HTTP_TIME_MAX, exchange).await;
    exchanged.unwrap_or(Err(MapError::Silent))
}
