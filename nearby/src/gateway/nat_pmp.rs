//! NAT Port Mapping Protocol. RFC 6886.
//!
//! Fixed lengths, version 0, big-endian numbers. An answer names the operation and the port it is
//! for, and its lifetime tells what was granted from what was taken back, so that one to another
//! question is never taken for ours.

use std::net::Ipv4Addr;

use super::{Granted, Transport, u16_at, u32_at};

const VERSION: u8 = 0;
/// Set in an operation that answers.
const RESPONSE: u8 = 128;
const EXTERNAL_ADDRESS: u8 = 0;

/// Bytes of an answer about the address. Source: RFC 6886, 3.2.
const ADDRESS_LENGTH: usize = 12;
/// Bytes of an answer about a port. Source: RFC 6886, 3.3.
const MAPPED_LENGTH: usize = 16;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Its address on the outside.
    ExternalAddress,
    /// A way to one of our ports.
    Map {
        /// What travels there.
        transport: Transport,
        /// Ours.
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
    /// The gateway's address on the outside.
    ExternalAddress(Ipv4Addr),
    /// The mapping that was asked for.
    Mapped(Granted),
}

/// Why an answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatPmpError {
    /// Not one to this question, or not NAT-PMP at all: the right one may still come.
    #[error("an answer to something else")]
    Other,
    /// Result 1.
    #[error("the gateway speaks another version")]
    Version,
    /// Result 2.
    #[error("the gateway does not allow it; look for NAT-PMP or UPnP in its settings")]
    NotAuthorized,
    /// Result 3.
    #[error("the gateway has no address on the outside yet")]
    NoNetwork,
    /// Result 4.
    #[error("the gateway has no room for more")]
    Full,
    /// Result 5.
    #[error("the gateway does not know this operation")]
    Operation,
    /// A result that RFC 6886 does not know.
    #[error("the gateway refuses with result {0}")]
    Result(u16),
}

impl Request {
    fn operation(&self) -> u8 {
        match self {
            Self::ExternalAddress => EXTERNAL_ADDRESS,
            Self::Map {
                transport: Transport::Udp,
                ..
            } => 1,
            Self::Map {
                transport: Transport::Tcp,
                ..
            } => 2,
        }
    }

    /// The datagram.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.operation()];
        if let Self::Map {
            internal_port,
            external_port,
            lifetime_s,
            ..
        } = self
        {
            bytes.extend([0, 0]);
            bytes.extend(internal_port.to_be_bytes());
            bytes.extend(external_port.to_be_bytes());
            bytes.extend(lifetime_s.to_be_bytes());
        }
        bytes
    }

    /// Reads the answer to it.
    ///
    /// # Errors
    /// [`NatPmpError`].
    pub fn decode(&self, datagram: &[u8]) -> Result<Response, NatPmpError> {
        if datagram.len() < 4 || datagram[0] != VERSION {
            return Err(NatPmpError::Other);
        }
        // A refusal of the version need not name the operation.
        let result = u16_at(datagram, 2);
        if datagram[1] == RESPONSE | self.operation() || result == 1 {
            refusal(result).map_or(Ok(()), Err)?;
        }
        if datagram[1] != RESPONSE | self.operation() {
            return Err(NatPmpError::Other);
        }
        match self {
            Self::ExternalAddress if datagram.len() >= ADDRESS_LENGTH => {
                Ok(Response::ExternalAddress(u32_at(datagram, 8).into()))
            }
            // What is granted late is no answer to taking it back.
            Self::Map {
                internal_port,
                lifetime_s,
                ..
            } if datagram.len() >= MAPPED_LENGTH
                && u16_at(datagram, 8) == *internal_port
                && (*lifetime_s > 0 || u32_at(datagram, 12) == 0) =>
            {
                Ok(Response::Mapped(Granted {
                    external_port: u16_at(datagram, 10),
                    external_ip: None,
                    lifetime_s: u32_at(datagram, 12),
                }))
            }
            _ => Err(NatPmpError::Other),
        }
    }
}

fn refusal(result: u16) -> Option<NatPmpError> {
    match result {
        0 => None,
        1 => Some(NatPmpError::Version),
        2 => Some(NatPmpError::NotAuthorized),
        3 => Some(NatPmpError::NoNetwork),
        4 => Some(NatPmpError::Full),
        5 => Some(NatPmpError::Operation),
        other => Some(NatPmpError::Result(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MAP: Request = Request::Map {
        transport: Transport::Tcp,
        internal_port: 0x1ae1,
        external_port: 0x1ae2,
        lifetime_s: 7200,
    };

    #[test]
    fn requests_are_as_the_rfc_draws_them() {
        assert_eq!(Request::ExternalAddress.encode(), [0, 0]);
        let expect = [0, 2, 0, 0, 0x1a, 0xe1, 0x1a, 0xe2, 0, 0, 0x1c, 0x20];
        assert_eq!(MAP.encode(), expect);
    }

    #[test]
    fn answers_are_read_as_the_rfc_draws_them() {
        let address = [0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 5];
        assert_eq!(
            Request::ExternalAddress.decode(&address),
            Ok(Response::ExternalAddress(Ipv4Addr::new(203, 0, 113, 5)))
        );
        let mapped = [
            0, 130, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1, 0x30, 0x39, 0, 0, 0x0e, 0x10,
        ];
        let granted = Granted {
            external_port: 12345,
            external_ip: None,
            lifetime_s: 3600,
        };
        assert_eq!(MAP.decode(&mapped), Ok(Response::Mapped(granted)));
    }

    #[test]
    fn answer_to_another_question_is_passed_over() {
        let mapped = [
            0, 130, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1, 0x30, 0x39, 0, 0, 0x0e, 0x10,
        ];
        assert_eq!(
            Request::ExternalAddress.decode(&mapped),
            Err(NatPmpError::Other)
        );
        for (at, byte) in [(0, 2), (1, 129), (1, 2), (9, 0xe0)] {
            let mut other = mapped;
            other[at] = byte;
            assert_eq!(MAP.decode(&other), Err(NatPmpError::Other), "byte {at}");
        }
        for length in 0..mapped.len() {
            assert_eq!(
                MAP.decode(&mapped[..length]),
                Err(NatPmpError::Other),
                "{length}"
            );
        }
    }

    #[test]
    fn late_grant_is_no_answer_to_taking_back() {
        let mut release = MAP;
        if let Request::Map { lifetime_s, .. } = &mut release {
            *lifetime_s = 0;
        }
        let mut answer = [0, 130, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1, 0, 0, 0, 0, 0, 1];
        assert_eq!(release.decode(&answer), Err(NatPmpError::Other));
        answer[15] = 0;
        assert!(release.decode(&answer).is_ok());
    }

    #[test]
    fn refusals_are_told_by_name() {
        let check = |result: u8, expect| {
            let answer = [0, 130, 0, result, 0, 0, 0, 9];
            assert_eq!(MAP.decode(&answer), Err(expect));
        };
        check(1, NatPmpError::Version);
        check(2, NatPmpError::NotAuthorized);
        check(3, NatPmpError::NoNetwork);
        check(4, NatPmpError::Full);
        check(5, NatPmpError::Operation);
        check(6, NatPmpError::Result(6));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in vec(any::<u8>(), 0..64)) {
            let _ = Request::ExternalAddress.decode(&bytes);
            let _ = MAP.decode(&bytes);
        }

        #[test]
        fn granted_port_reads_back(external_port: u16, lifetime_s: u32) {
            let mut answer = vec![0, 130, 0, 0, 0, 0, 0, 9, 0x1a, 0xe1];
            answer.extend(external_port.to_be_bytes());
            answer.extend(lifetime_s.to_be_bytes());
            let granted = Granted { external_port, external_ip: None, lifetime_s };
            prop_assert_eq!(MAP.decode(&answer), Ok(Response::Mapped(granted)));
        }
    }
}
