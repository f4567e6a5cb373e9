//! Whether a datagram is for a conversation that is or was here, for who shares the socket with another process.

use super::{Endpoint, moves::addressee};
use crate::{seq::Conv, wire::SegmentView};
use std::{net::SocketAddr, time::Instant};

impl<H: Clone> Endpoint<H> {
    /// Whether a datagram from `remote` belongs to a connection here, or to one that has ended less than 10 s ago. One that
    /// isn't would be answered, dropped, or open a connection.
    pub fn is_ours(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> bool {
        let conv = SegmentView::parse(datagram).ok().and_then(|(segment, _)| Conv::new(segment.conv()));
        conv.is_some_and(|conv| {
            // Also where its peer has moved, and says so; once it has ended, its tombstone answers it.
            let is_named = |this: &Self, token| {
                this.by_token(token).is_some() || this.tombstones.address_of(token, conv).is_some()
            };
            self.get(remote, conv).is_some()
                || self.is_buried(now, remote, conv)
                || addressee(conv, datagram).is_some_and(|token| is_named(self, token))
        })
    }
}
