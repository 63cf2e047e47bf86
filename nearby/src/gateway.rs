//! What a gateway understands that lets others in: PCP, NAT-PMP and UPnP's IGD. RFC 6886, 6887.
//!
//! The messages alone: who is asked, in which order and how often is the shell's. A gateway is as
//! little trusted as a peer: its answers have bounds, and must fit what was asked.

pub mod http;
pub mod igd;
pub mod nat_pmp;
pub mod pcp;
pub mod ssdp;
mod xml;

use std::fmt;
use std::net::IpAddr;

/// Where NAT-PMP and PCP servers listen. Source: RFC 6886, 3.1; RFC 6887, 19.1.
pub const SERVER_PORT: u16 = 5351;

/// What travels to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What a gateway granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The port at the gateway that leads to ours.
    pub external_port: u16,
    /// The gateway's address on the outside, where the answer tells it.
    pub external_ip: Option<IpAddr>,
    /// For how long, seconds; 0 when it was taken back.
    pub lifetime_s: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
