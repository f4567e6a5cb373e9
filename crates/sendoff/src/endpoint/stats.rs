//! What an endpoint has counted.

use crate::FecStats;

/// A snapshot of an endpoint, or of one of its drivers. Counters start at 0 and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Drivers that these figures are about, each with a socket.
    pub drivers: usize,
    /// Connections that there are now, closing ones included.
    pub connections: usize,
    /// Connections opened from here.
    pub connections_opened: u64,
    /// Connections that peers opened.
    pub connections_accepted: u64,
    /// Datagrams handed to the system.
    pub datagrams_sent: u64,
    /// Datagrams taken from the system.
    pub datagrams_received: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
    /// System calls that sent.
    pub send_calls: u64,
    /// System calls that received.
    pub recv_calls: u64,
    /// Batches that had to leave one datagram at a time, because the system refused them as one.
    pub gso_fallbacks: u64,
    /// Datagrams that the system would not send: too large for the path, no route, filtered.
    pub send_failures: u64,
    /// Datagrams encrypted before they were sent; 0 without a cipher.
    pub datagrams_sealed: u64,
    /// Datagrams received and decrypted; 0 without a cipher.
    pub datagrams_opened: u64,
    /// Datagrams dropped: they could not be decrypted. Of another key or cipher, damaged, or forged.
    pub failed_to_open: u64,
    /// Bytes that encryption has added to what was sent.
    pub overhead_bytes: u64,
    /// What forward error correction has done.
    pub fec: FecStats,
    /// ICMP errors that were about one of our peers.
    pub icmp_errors: u64,
    /// Datagrams dropped: no segment at their front.
    pub dropped_malformed: u64,
    /// Datagrams dropped: of no connection, and nothing that opens one.
    pub dropped_unknown: u64,
    /// Datagrams dropped: late copies of a connection that has ended.
    pub dropped_ended: u64,
    /// Openings dropped: as many connections as there may be.
    pub dropped_full: u64,
    /// Openings dropped: 1,024 connections have peers that have proven nothing; or a HELLO that should come again with a
    /// cookie, but its host has been told so 32 times in this second.
    pub dropped_unproven: u64,
    /// Openings dropped: by stock peers, which aren't wanted here.
    pub dropped_stock: u64,
    /// Openings dropped: 1,024 connections wait to be accepted.
    pub dropped_backlog: u64,
    /// Datagrams dropped: nothing is accepted here.
    pub dropped_not_listening: u64,
    /// Openings refused, or dropped: as many connections with that IP address as one may have.
    pub refused_per_address: u64,
    /// Datagrams dropped: from addresses that the [filter](crate::KcpListener::filter) doesn't let in.
    pub dropped_filtered: u64,
    /// Openings that the application has [refused](crate::Incoming::refuse).
    pub refused: u64,
    /// Datagrams of no connection that were answered: hints, and resets of conversations that ended.
    pub answered: u64,
    /// Openings that were told to come again with a cookie, because the endpoint is under pressure.
    pub retries_sent: u64,
    /// Openings with a cookie: their address is proven.
    pub cookies_accepted: u64,
    /// Openings with a cookie that is forged, too old or another's: told to come again.
    pub cookies_refused: u64,
    /// Datagrams that the system had brought to another driver than that of their connection, and which were passed
    /// on: of peers that have moved, and of connections that were opened from a group of drivers.
    pub passed_on: u64,
    /// The same, but dropped: 4 MiB waited for that driver already.
    pub dropped_passed_on: u64,
    /// Connections whose peers have proven nothing yet, and bytes held for them: of all drivers together.
    pub unproven: (usize, usize),
    /// Names of ended connections that are kept for 10 s.
    pub tombstones: usize,
    /// Datagrams that the system dropped because the socket's buffer was full; `None` where it doesn't tell.
    pub socket_drops: Option<u64>,
    /// Receive buffer of a socket in bytes, as the system counts it.
    pub recv_buffer: usize,
    /// Send buffer of a socket in bytes, as the system counts it.
    pub send_buffer: usize,
}

impl EndpointStats {
    /// With those of another driver of the same group.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.drivers += other.drivers;
        self.connections += other.connections;
        self.connections_opened += other.connections_opened;
        self.connections_accepted += other.connections_accepted;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_received += other.datagrams_received;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
        self.send_calls += other.send_calls;
        self.recv_calls += other.recv_calls;
        self.gso_fallbacks += other.gso_fallbacks;
        self.send_failures += other.send_failures;
        self.datagrams_sealed += other.datagrams_sealed;
        self.datagrams_opened += other.datagrams_opened;
        self.failed_to_open += other.failed_to_open;
        self.overhead_bytes += other.overhead_bytes;
        self.icmp_errors += other.icmp_errors;
        self.dropped_malformed += other.dropped_malformed;
        self.dropped_unknown += other.dropped_unknown;
        self.dropped_ended += other.dropped_ended;
        self.dropped_full += other.dropped_full;
        self.dropped_unproven += other.dropped_unproven;
        self.dropped_stock += other.dropped_stock;
        self.dropped_backlog += other.dropped_backlog;
        self.dropped_not_listening += other.dropped_not_listening;
        self.answered += other.answered;
        self.refused_per_address += other.refused_per_address;
        self.retries_sent += other.retries_sent;
        self.cookies_accepted += other.cookies_accepted;
        self.cookies_refused += other.cookies_refused;
        self.passed_on += other.passed_on;
        self.dropped_passed_on += other.dropped_passed_on;
        self.tombstones += other.tombstones;
        self.fec = self.fec.and(other.fec);
        self.socket_drops = match (self.socket_drops, other.socket_drops) {
            (Some(here), Some(there)) => Some(here + there),
            (here, there) => here.or(there),
        };
        self
    }
}
