//! Two peers that cannot be dialled are told by a third to dial each other. BEP 55, `ut_holepunch`.
//!
//! Only the messages: who may ask for what, and how often, is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::ExtensionError;

const RENDEZVOUS: u8 = 0;
const CONNECT: u8 = 1;
const ERROR: u8 = 2;
const IPV4: u8 = 0;
const IPV6: u8 = 1;

/// One message. BEP 55.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holepunch {
    /// Asks the receiver, who is connected to this peer, to let both dial each other.
    Rendezvous(SocketAddr),
    /// Tells the receiver to dial this peer at once: it does the same.
    Connect(SocketAddr),
    /// Answers a rendezvous with this peer that comes to nothing.
    Error(SocketAddr, HolepunchError),
}

/// Why a rendezvous comes to nothing. BEP 55, "error codes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolepunchError {
    /// 1: the address is no peer's.
    NoSuchPeer,
    /// 2: the one who was asked is not connected to that peer.
    NotConnected,
    /// 3: that peer does not speak `ut_holepunch`.
    NoSupport,
    /// 4: the peer asked for itself.
    NoSelf,
    /// A number that BEP 55 does not name.
    Other(u32),
}

impl HolepunchError {
    /// The number on the wire. Source: BEP 55, "error codes".
    #[must_use]
    pub fn code(self) -> u32 {
        match self {
            Self::NoSuchPeer => 1,
            Self::NotConnected => 2,
            Self::NoSupport => 3,
            Self::NoSelf => 4,
            Self::Other(code) => code,
        }
    }

    fn new(code: u32) -> Self {
        match code {
            1 => Self::NoSuchPeer,
            2 => Self::NotConnected,
            3 => Self::NoSupport,
            4 => Self::NoSelf,
            code => Self::Other(code),
        }
    }
}

impl Holepunch {
    /// Reads the payload. The error code may be missing where there is no error: programs in the
    /// field leave it out; bytes behind are passed over.
    ///
    /// # Errors
    /// [`ExtensionError::Length`] when it is too short, [`ExtensionError::Kind`] for another kind
    /// of message or address than BEP 55 names.
    ///
    /// Source: BEP 55, "message layout".
    pub fn decode(payload: &[u8]) -> Result<Self, ExtensionError> {
        let found = payload.len();
        let short = || ExtensionError::Length { found };
        let (&[kind, family], rest) = payload.split_first_chunk().ok_or_else(short)?;
        let (ip, rest) = match family {
            IPV4 => {
                let (ip, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
                (IpAddr::V4(Ipv4Addr::from(*ip)), rest)
            }
            IPV6 => {
                let (ip, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
                (IpAddr::V6(Ipv6Addr::from(*ip)), rest)
            }
            family => return Err(ExtensionError::Kind { found: family }),
        };
        let (port, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let address = SocketAddr::new(ip, u16::from_be_bytes(*port));
        match kind {
            RENDEZVOUS => Ok(Self::Rendezvous(address)),
            CONNECT => Ok(Self::Connect(address)),
            ERROR => {
                let (code, _) = rest.split_first_chunk().ok_or_else(short)?;
                let error = HolepunchError::new(u32::from_be_bytes(*code));
                Ok(Self::Error(address, error))
            }
            kind => Err(ExtensionError::Kind { found: kind }),
        }
    }

    /// The payload; the error code is always there. Source: BEP 55, "message layout".
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let (kind, address, code) = match self {
            Self::Rendezvous(address) => (RENDEZVOUS, address, 0),
            Self::Connect(address) => (CONNECT, address, 0),
            Self::Error(address, error) => (ERROR, address, error.code()),
        };
        let mut payload = vec![kind];
        match address.ip() {
            IpAddr::V4(ip) => {
                payload.push(IPV4);
                payload.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                payload.push(IPV6);
                payload.extend_from_slice(&ip.octets());
            }
        }
        payload.extend_from_slice(&address.port().to_be_bytes());
        payload.extend_from_slice(&code.to_be_bytes());
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn messages_are_laid_out_as_bep_55_says() {
        let check = |message: Holepunch, payload: &[u8]| {
            assert_eq!(message.encode(), payload);
            assert_eq!(Holepunch::decode(payload), Ok(message));
        };
        let v4 = address("1.2.3.4:6881");
        check(
            Holepunch::Rendezvous(v4),
            &[0, 0, 1, 2, 3, 4, 0x1a, 0xe1, 0, 0, 0, 0],
        );
        check(
            Holepunch::Connect(address("[::1]:80")),
            &[
                1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80, 0, 0, 0, 0,
            ],
        );
        for code in 0..6 {
            let error = HolepunchError::new(code);
            assert_eq!(error.code(), code);
            let code = u8::try_from(code).unwrap();
            check(
                Holepunch::Error(v4, error),
                &[2, 0, 1, 2, 3, 4, 0x1a, 0xe1, 0, 0, 0, code],
            );
        }
    }

    #[test]
    fn error_code_may_be_missing_where_there_is_no_error() {
        let connect = [1, 0, 1, 2, 3, 4, 0x1a, 0xe1];
        let message = Holepunch::Connect(address("1.2.3.4:6881"));
        assert_eq!(Holepunch::decode(&connect), Ok(message));
        let error = [2, 0, 1, 2, 3, 4, 0x1a, 0xe1];
        let short = Err(ExtensionError::Length { found: 8 });
        assert_eq!(Holepunch::decode(&error), short);
    }

    #[test]
    fn other_kinds_are_refused() {
        let kind = |found| Err(ExtensionError::Kind { found });
        let message = [3, 0, 1, 2, 3, 4, 0x1a, 0xe1];
        assert_eq!(Holepunch::decode(&message), kind(3));
        let family = [0, 2, 1, 2, 3, 4, 0x1a, 0xe1];
        assert_eq!(Holepunch::decode(&family), kind(2));
        for length in 0..8 {
            let short = Err(ExtensionError::Length { found: length });
            let message = [0, 0, 1, 2, 3, 4, 0x1a, 0xe1];
            assert_eq!(Holepunch::decode(&message[..length]), short);
        }
    }
}
