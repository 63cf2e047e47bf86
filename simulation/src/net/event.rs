//! The words in which the net is spoken to: names of things, and what it reports.

use super::host::HostId;

/// One connection. Never used again, and ascending in the order they were dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(super) u64);

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The one that called [`connect`](super::Net::connect).
    Dialer,
    /// The other.
    Acceptor,
}

/// One end of one connection: what a socket is to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// Which connection.
    pub conn: ConnId,
    /// Which of its ends.
    pub side: Side,
}

impl End {
    /// The end that hears what this one says.
    #[must_use]
    pub fn other(self) -> Self {
        let side = match self.side {
            Side::Dialer => Side::Acceptor,
            Side::Acceptor => Side::Dialer,
        };
        Self { side, ..self }
    }
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The end is not open: not yet, or no more.
    NotOpen,
    /// Too much waits already: [`QUEUED_BYTES_MAX`](crate::limits::QUEUED_BYTES_MAX).
    Full,
}

/// What happens to the hosts of a world. `M` is a message, `T` a timer of the test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<M, T> {
    /// A timer that the test set. Crashes do not stop it.
    Timer(T),
    /// Both ends hear it, the acceptor first. From here on they may send.
    Opened {
        /// Who hears it.
        host: HostId,
        /// The end that this host holds now.
        end: End,
        /// Who holds the other.
        other: HostId,
    },
    /// A dial came to nothing: nobody lives there, or no way leads there, or it was called off.
    Refused {
        /// Who dialled.
        host: HostId,
        /// What [`connect`](super::Net::connect) gave.
        end: End,
    },
    /// Messages came in whole: all that one chunk finished, in order. One read of a socket.
    Delivered {
        /// Who hears it.
        host: HostId,
        /// Where it came in.
        end: End,
        /// What.
        messages: Vec<M>,
    },
    /// Some bytes have left the host: there is room again.
    Sent {
        /// Who sent.
        host: HostId,
        /// From where.
        end: End,
        /// How many bytes left.
        bytes: u64,
        /// How many messages left whole with them, oldest first.
        messages: usize,
        /// How many bytes still wait.
        queued: u64,
    },
    /// The connection is gone, for this end: the last word on it.
    Closed {
        /// Who hears it.
        host: HostId,
        /// Which end.
        end: End,
    },
}
