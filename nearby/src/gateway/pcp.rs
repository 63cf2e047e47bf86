//! Port Control Protocol, version 2: `MAP` and `ANNOUNCE`. RFC 6887.
//!
//! A mapping belongs to the nonce it was asked with: only who has it renews it or takes it back,
//! and an answer with another nonce is not ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Granted, Transport, u16_at, u32_at};

const VERSION: u8 = 2;
/// Set in an operation that answers.
const RESPONSE: u8 = 0x80;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;

/// Bytes of the common head. Source: RFC 6887, 7.1 and 7.2.
const HEAD_LENGTH: usize = 24;
/// Bytes of a `MAP` answer without options. Source: RFC 6887, 11.1.
const MAP_LENGTH: usize = HEAD_LENGTH + 36;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Whether anyone is there.
    Announce {
        /// Ours, as the gateway sees it.
        client: IpAddr,
    },
    /// A way to one of our ports.
    Map {
        /// Ours, as the gateway sees it.
        client: IpAddr,
        /// Random; the same for renewals and the end of one mapping.
        nonce: [u8; 12],
        /// What travels there.
        transport: Transport,
        /// Our port.
        internal_port: u16,
        /// The one at the gateway that we would like; 0 for any.
        external_port: u16,
        /// For how long, seconds; 0 takes the mapping back.
        lifetime_s: u32,
    },
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Response {
    /// Somebody is there.
    Announced,
    /// The mapping that was asked for.
    Mapped(Granted),
}

/// Why an answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PcpError {
    /// Not one to this question, or not PCP at all: the right one may still come.
    #[error("an answer to something else")]
    Other,
    /// Result 1, or an answer of NAT-PMP.
    #[error("the gateway speaks another version")]
    Version,
    /// Result 2.
    #[error("the gateway does not allow it; look for PCP or UPnP in its settings")]
    NotAuthorized,
    /// Result 7.
    #[error("the gateway has no address on the outside yet")]
    NoNetwork,
    /// Results 8 and 10.
    #[error("the gateway has no room for more")]
    Full,
    /// Result 11.
    #[error("the gateway cannot give that port")]
    CannotProvide,
    /// Result 12.
    #[error("another translator stands between us and the gateway")]
    AddressMismatch,
    /// Any other.
    #[error("the gateway refuses with result {0}")]
    Result(u8),
}

impl Request {
    /// The datagram.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (operation, client, lifetime_s) = match *self {
            Self::Announce { client } => (ANNOUNCE, client, 0),
            Self::Map {
                client, lifetime_s, ..
            } => (MAP, client, lifetime_s),
        };
        let mut bytes = vec![VERSION, operation, 0, 0];
        bytes.extend(u32::to_be_bytes(lifetime_s));
        bytes.extend(wide(client).octets());
        if let Self::Map {
            nonce,
            transport,
            internal_port,
            external_port,
            ..
        } = self
        {
            bytes.extend(nonce);
            bytes.extend([number(*transport), 0, 0, 0]);
            bytes.extend(internal_port.to_be_bytes());
            bytes.extend(external_port.to_be_bytes());
            let any = match client.is_ipv4() {
                true => wide(Ipv4Addr::UNSPECIFIED.into()),
                false => Ipv6Addr::UNSPECIFIED,
            };
            bytes.extend(any.octets());
        }
        bytes
    }

    /// Reads the answer to it.
    ///
    /// # Errors
    /// [`PcpError`].
    pub fn decode(&self, datagram: &[u8]) -> Result<Response, PcpError> {
        match datagram {
            // RFC 6887, 9: a server of NAT-PMP refuses our version in its own.
            [0, operation, 0, 1, ..] if operation & RESPONSE != 0 => return Err(PcpError::Version),
            [VERSION, ..] if datagram.len() >= HEAD_LENGTH => {}
            _ => return Err(PcpError::Other),
        }
        match *self {
            Self::Announce { .. } => {
                if datagram[1] != RESPONSE | ANNOUNCE {
                    return Err(PcpError::Other);
                }
                refusal(datagram[3]).map_or(Ok(Response::Announced), Err)
            }
            Self::Map {
                nonce,
                transport,
                internal_port,
                lifetime_s,
                ..
            } => {
                let is_ours = datagram.len() >= MAP_LENGTH
                    && datagram[1] == RESPONSE | MAP
                    && datagram[24..36] == nonce
                    && datagram[36] == number(transport)
                    && u16_at(datagram, 40) == internal_port;
                // Refusals of what a server could not read need not have the rest.
                let is_refused = datagram[1] == RESPONSE | MAP && datagram.len() < MAP_LENGTH;
                if !is_ours && !is_refused {
                    return Err(PcpError::Other);
                }
                refusal(datagram[3]).map_or(Ok(()), Err)?;
                if is_refused {
                    return Err(PcpError::Other);
                }
                let granted_s = u32_at(datagram, 4);
                // What is granted late is no answer to taking it back.
                if lifetime_s == 0 && granted_s > 0 {
                    return Err(PcpError::Other);
                }
                let mut external_ip = [0; 16];
                external_ip.copy_from_slice(&datagram[44..60]);
                let external_ip = IpAddr::from(external_ip).to_canonical();
                Ok(Response::Mapped(Granted {
                    external_port: u16_at(datagram, 42),
                    external_ip: Some(external_ip).filter(|ip| !ip.is_unspecified()),
                    lifetime_s: granted_s,
                }))
            }
        }
    }
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Source: IANA's protocol numbers.
fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    }
}

fn refusal(result: u8) -> Option<PcpError> {
    match result {
        0 => None,
        1 => Some(PcpError::Version),
        2 => Some(PcpError::NotAuthorized),
        7 => Some(PcpError::NoNetwork),
        8 | 10 => Some(PcpError::Full),
        11 => Some(PcpError::CannotProvide),
        12 => Some(PcpError::AddressMismatch),
        other => Some(PcpError::Result(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
    const REQUEST: Request = Request::Map {
        client: CLIENT,
        nonce: *b"twelve bytes",
        transport: Transport::Tcp,
        internal_port: 6881,
        external_port: 6882,
        lifetime_s: 3600,
    };

    fn answer(result: u8) -> Vec<u8> {
        let mut bytes = vec![2, 0x81, 0, result, 0, 0, 0x0e, 0x10, 0, 0, 0, 9];
        bytes.resize(24, 0);
        bytes.extend(b"twelve bytes");
        bytes.extend([6, 0, 0, 0, 0x1a, 0xe1, 0x30, 0x39]);
        bytes.extend(wide(IpAddr::from([203, 0, 113, 5])).octets());
        bytes
    }

    #[test]
    fn requests_are_as_the_rfc_draws_them() {
        let announce = Request::Announce { client: CLIENT }.encode();
        let mut head = vec![2, 0, 0, 0, 0, 0, 0, 0];
        head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 7]);
        assert_eq!(announce, head);
        (head[1], head[6], head[7]) = (1, 0x0e, 0x10);
        head.extend(b"twelve bytes");
        head.extend([6, 0, 0, 0, 0x1a, 0xe1, 0x1a, 0xe2]);
        head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(REQUEST.encode(), head);
    }

    #[test]
    fn answers_are_read_as_the_rfc_draws_them() {
        let granted = Granted {
            external_port: 12345,
            external_ip: Some([203, 0, 113, 5].into()),
            lifetime_s: 3600,
        };
        assert_eq!(REQUEST.decode(&answer(0)), Ok(Response::Mapped(granted)));
        let mut announced = vec![2, 0x80];
        announced.resize(24, 0);
        let announce = Request::Announce { client: CLIENT };
        assert_eq!(announce.decode(&announced), Ok(Response::Announced));
    }

    #[test]
    fn answer_to_another_question_is_passed_over() {
        for (at, byte) in [(0, 1), (1, 0x80), (1, 1), (24, 0), (36, 17), (41, 0xe0)] {
            let mut other = answer(0);
            other[at] = byte;
            assert_eq!(REQUEST.decode(&other), Err(PcpError::Other), "byte {at}");
        }
        for length in 0..MAP_LENGTH {
            assert_eq!(
                REQUEST.decode(&answer(0)[..length]),
                Err(PcpError::Other),
                "{length}"
            );
        }
    }

    #[test]
    fn late_grant_is_no_answer_to_taking_back() {
        let mut release = REQUEST;
        if let Request::Map { lifetime_s, .. } = &mut release {
            *lifetime_s = 0;
        }
        let mut bytes = answer(0);
        assert_eq!(release.decode(&bytes), Err(PcpError::Other));
        bytes[4..8].fill(0);
        assert!(release.decode(&bytes).is_ok());
    }

    #[test]
    fn refusals_are_told_by_name() {
        let check = |result, expect| assert_eq!(REQUEST.decode(&answer(result)), Err(expect));
        check(1, PcpError::Version);
        check(2, PcpError::NotAuthorized);
        check(3, PcpError::Result(3));
        check(7, PcpError::NoNetwork);
        check(8, PcpError::Full);
        check(10, PcpError::Full);
        check(11, PcpError::CannotProvide);
        check(12, PcpError::AddressMismatch);
        assert_eq!(
            REQUEST.decode(&answer(2)[..24]),
            Err(PcpError::NotAuthorized)
        );
        // As RFC 6886, 3.5 has a server of NAT-PMP refuse.
        let old = [0, 0x81, 0, 1, 0, 0, 0, 9];
        assert_eq!(REQUEST.decode(&old), Err(PcpError::Version));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..128)) {
            let _ = Request::Announce { client: CLIENT }.decode(&bytes);
            let _ = REQUEST.decode(&bytes);
        }

        #[test]
        fn granted_port_reads_back(port: u16, lifetime: u32, ip: [u8; 4]) {
            prop_assume!(ip != [0; 4]);
            let mut bytes = answer(0);
            bytes[42..44].copy_from_slice(&port.to_be_bytes());
            bytes[4..8].copy_from_slice(&lifetime.to_be_bytes());
            bytes[56..60].copy_from_slice(&ip);
            let granted = Granted {
                external_port: port,
                external_ip: Some(ip.into()),
                lifetime_s: lifetime,
            };
            prop_assert_eq!(REQUEST.decode(&bytes), Ok(Response::Mapped(granted)));
        }
    }
}
