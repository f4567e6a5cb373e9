//! What is counted, whatever the transport.

use super::{TcpStats, UdpStats};
use crate::ConnectionStats;
use std::time::Duration;

/// What a stream has counted and measured: what every transport knows, and what only its own does.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StreamStats {
    /// Bytes of the application that were handed over by the peer and read here.
    pub bytes_received: u64,
    /// Bytes of the application that were taken to be sent.
    pub bytes_sent: u64,
    /// Round trip to the peer, smoothed, where it is measured.
    pub rtt: Option<Duration>,
    /// What only this transport knows.
    pub transport: TransportStats,
}

impl StreamStats {
    /// What every transport knows.
    pub fn new(
        bytes_received: u64,
        bytes_sent: u64,
        rtt: Option<Duration>,
        transport: TransportStats,
    ) -> Self {
        Self { bytes_received, bytes_sent, rtt, transport }
    }
}

/// What only one transport knows.
#[allow(clippy::large_enum_variant, reason = "a snapshot: taken apart at once, not kept in numbers")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum TransportStats {
    /// Of KCP.
    Kcp(ConnectionStats),
    /// Of TCP.
    Tcp(TcpStats),
    /// Of UDP.
    Udp(UdpStats),
    /// Nothing more.
    #[default]
    Other,
}
