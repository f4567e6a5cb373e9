//! What a connection has counted.

use std::time::Duration;

/// A snapshot of one connection. Counters start at 0 when it opens and never go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Bytes of the application that were sent, each counted once.
    pub bytes_sent: u64,
    /// Bytes that the peer's `una` has covered.
    pub bytes_acknowledged: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// PUSH segments sent, retransmissions included.
    pub segments_sent: u64,
    /// PUSH segments received, duplicates included.
    pub segments_received: u64,
    /// Segments sent again because their timer ran out.
    pub retransmitted_timeout: u64,
    /// Segments sent again because `resend` later ones were acknowledged.
    pub retransmitted_fast: u64,
    /// Segments sent again because a later one was acknowledged and nothing new was to be sent.
    pub retransmitted_early: u64,
    /// PUSH segments received that had been received before.
    pub duplicates_received: u64,
    /// PUSH segments beyond the window, or past the bound on buffered bytes: dropped.
    pub dropped_out_of_window: u64,
    /// PUSH segments after the application stopped reading: dropped.
    pub dropped_after_close: u64,
    /// PUSH segments without the HELLO or WELCOME that must stand in front of them: dropped.
    pub dropped_unfronted: u64,
    /// Blocks that name another token, or of another version or kind: ignored.
    pub unbelieved_blocks: u64,
    /// Times that the server, under pressure, has asked us to open again with a cookie.
    pub retries: u32,
    /// Hints that the peer may not know this conversation any more.
    pub hints: u64,
    /// PUSH segments with `frg` 255 that are no FIN: dropped.
    pub dropped_fragment: u64,
    /// PUSH segments without data: acknowledged, and nothing to read.
    pub empty_segments: u64,
    /// ACK segments that answer nothing that was sent: ignored.
    pub dropped_acks: u64,
    /// Segments whose `una` lies outside what was sent: it was ignored.
    pub invalid_una: u64,
    /// Datagrams whose parsing ended at something that is no segment, or one of another conversation.
    pub malformed_datagrams: u64,
    /// Datagrams from the peer's address that could not be opened: of another key or cipher, or forged.
    pub failed_to_open: u64,
    /// Times that the way has changed: at a listener the peer has moved, at a client our own address has.
    pub moves: u32,
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Lost datagrams that forward error correction made good.
    pub datagrams_recovered: u64,
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Window probes (WASK), PINGs and PROBEs sent.
    pub probes_sent: u64,
    /// Selective acknowledgements that were taken back, in segments.
    pub marks_cleared: u64,
    /// Smoothed round trip; `None` before the first sample.
    pub rtt: Option<Duration>,
    /// Mean deviation of the round trip.
    pub rtt_variance: Duration,
    /// Retransmission timeout of a segment sent now.
    pub rto: Duration,
    /// Segments that we allow in flight.
    pub send_window: u32,
    /// Segments that we advertise when nothing is unread.
    pub recv_window: u32,
    /// Segments that the peer has room for.
    pub remote_window: u32,
    /// Segments that congestion control allows; `None` without one.
    pub congestion_window: Option<u32>,
    /// Bytes of UDP payload that a datagram made now has at most: the setting, or less where the path doesn't take that.
    pub mtu: usize,
    /// How often full datagrams were found not to get through, and new ones made smaller.
    pub mtu_steps: u32,
    /// Segments in flight.
    pub in_flight: u32,
    /// Segments queued, never sent.
    pub queued: u32,
    /// Bytes in order, not yet read.
    pub unread: usize,
    /// Segments that wait for a gap before them to close.
    pub reordering: usize,
}
