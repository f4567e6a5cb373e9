//! What a link has counted.

use std::iter::Sum;
use std::ops::AddAssign;

/// Counters of a [`Link`](crate::Link), or the sum over the links of a [`Network`](crate::Network).
///
/// At any time `sent + duplicated = delivered + in flight + lost + partitioned + queue_dropped + too_large`.
/// Bytes are those of the datagrams, without headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Datagrams handed to the link.
    pub sent: u64,
    /// Bytes handed to the link.
    pub sent_bytes: u64,
    /// Datagrams that were received, copies included.
    pub delivered: u64,
    /// Bytes that were received.
    pub delivered_bytes: u64,
    /// Datagrams that the loss model or the drop list took.
    pub lost: u64,
    /// Datagrams sent while the link was partitioned.
    pub partitioned: u64,
    /// Datagrams that found the queue full.
    pub queue_dropped: u64,
    /// Datagrams larger than the MTU.
    pub too_large: u64,
    /// Copies that the link made.
    pub duplicated: u64,
    /// Datagrams received after one that was sent later (RFC 4737, section 3.3).
    pub reordered: u64,
    /// Datagrams that were damaged.
    pub corrupted: u64,
}

impl AddAssign for LinkStats {
    fn add_assign(&mut self, other: LinkStats) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.delivered += other.delivered;
        self.delivered_bytes += other.delivered_bytes;
        self.lost += other.lost;
        self.partitioned += other.partitioned;
        self.queue_dropped += other.queue_dropped;
        self.too_large += other.too_large;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
    }
}

impl Sum for LinkStats {
    fn sum<I: Iterator<Item = LinkStats>>(stats: I) -> LinkStats {
        stats.fold(LinkStats::default(), |mut total, one| {
            total += one;
            total
        })
    }
}
