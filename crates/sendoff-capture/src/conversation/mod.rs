//! Conversations: who spoke with whom, how it went, how it began and ended.

mod exchange;
mod far;
mod fec;
mod kcp;
mod life;
mod marks;
mod samples;
mod sent;
mod tcp;

pub use exchange::Role;
pub use fec::Fec;
pub use kcp::{Began, Ended, Fin, Kcp, KcpSide, Reset};
pub use marks::Marks;
pub use samples::Samples;
pub use sent::MAX_TRACKED;
pub use tcp::{TcpConversation, TcpNote, TcpSide};

pub(crate) use far::Far;
pub(crate) use kcp::SegmentNews;
pub(crate) use tcp::TcpSegment;

use std::{fmt, net::SocketAddr, time::Duration};

/// Who of the two: the client spoke first, as far as the capture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Spoke first.
    Client,
    /// The other.
    Server,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// Where its part is, of the pairs in this crate: 0 or 1.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// What one side has sent, whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams of UDP, segments of TCP.
    pub packets: u64,
    /// Their payload, in bytes.
    pub bytes: u64,
}

/// A conversation, as far as it was seen.
#[derive(Debug)]
pub struct Conversation {
    /// Counted from 1, in the order of their first packets.
    pub number: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// The server's address.
    pub server: SocketAddr,
    /// When its first packet came, since the first of the capture.
    pub first: Duration,
    /// When its last packet came, since the first of the capture.
    pub last: Duration,
    /// What each side has sent: client, server.
    pub totals: [Totals; 2],
    /// ICMP messages that said that nobody listens there.
    pub unreachable: u64,
    /// What it is.
    pub detail: Detail,
}

/// What a conversation is.
#[derive(Debug)]
pub enum Detail {
    /// KCP, whatever it was wrapped in.
    Kcp(Box<Kcp>),
    /// TCP.
    Tcp(Box<TcpConversation>),
    /// UDP that isn't explained further.
    Udp,
}

impl Detail {
    /// Whether nothing more can come of it, as far as was seen.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Kcp(kcp) => kcp.is_over(),
            Self::Tcp(tcp) => tcp.is_over(),
            Self::Udp => false,
        }
    }

    /// Bytes of memory that what waits for what belongs before it takes.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Kcp(kcp) => kcp.waiting(),
            Self::Tcp(tcp) => tcp.waiting(),
            Self::Udp => 0,
        }
    }

    /// What waits for what belongs before it is handed on.
    pub(crate) fn give_up(&mut self) {
        match self {
            Self::Kcp(kcp) => kcp.give_up(),
            Self::Tcp(tcp) => tcp.give_up(),
            Self::Udp => {}
        }
    }
}

impl Conversation {
    /// From its first packet to its last.
    pub fn duration(&self) -> Duration {
        self.last.saturating_sub(self.first)
    }

    /// Which side an address is.
    pub(crate) fn side_of(&self, source: SocketAddr) -> Side {
        if source == self.client { Side::Client } else { Side::Server }
    }

    pub(crate) fn count(&mut self, now: Duration, side: Side, bytes: usize) {
        self.last = self.last.max(now);
        let totals = &mut self.totals[side.index()];
        totals.packets += 1;
        totals.bytes += bytes as u64;
    }
}
