//! Whether a datagram is for a conversation that is or was here, for who shares the socket with another process.

use super::Endpoint;
use crate::{seq::Conv, wire::SegmentView};
use std::{net::SocketAddr, time::Instant};

impl<H: Clone> Endpoint<H> {
    /// Whether a datagram from `remote` belongs to a connection here, or to one that has ended less than 10 s ago. One that
    /// isn't would be answered, dropped, or open a connection.
    pub fn is_ours(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> bool {
        let conv = SegmentView::parse(datagram).ok().and_then(|(segment, _)| Conv::new(segment.conv()));
        conv.is_some_and(|conv| self.get(remote, conv).is_some() || self.is_buried(now, remote, conv))
    }
}
