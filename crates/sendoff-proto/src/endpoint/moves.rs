//! Peers that come from another address than their connection's.

use super::{Answer, Endpoint, tombstones::Verdict};
use crate::{
    connection::{Remains, Rest},
    seq::Conv,
    wire::{Block, Body, Token, segments},
};
use std::{net::SocketAddr, time::Instant};

/// Whom a datagram asks for by token: the `to` of the first block in it that may come from another address than its
/// connection's (PING, PONG, HELLO, RESET).
pub fn addressee(conv: Conv, datagram: &[u8]) -> Option<Token> {
    named_in(conv, datagram).find_map(|block| block.to)
}

fn named_in(conv: Conv, datagram: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let own = segments(datagram).map_while(Result::ok).take_while(move |s| s.conv() == conv.value());
    let blocks = own.filter_map(|segment| Block::parse(&segment));
    blocks.filter(|b| {
        matches!(b.body, Body::Ping { .. } | Body::Pong { .. } | Body::Hello { .. } | Body::Reset { .. })
    })
}

impl<H: Clone> Endpoint<H> {
    /// From now on that connection is found by its own token, wherever its peer comes from, until it is
    /// [`remove`](Self::remove)d: for those that say [`followed_as`](crate::Connection::followed_as).
    pub fn follow(&mut self, own: Token, handle: H) {
        self.tokens.insert(own, handle);
    }

    /// The connection that is followed and whose own token that is.
    pub fn by_token(&self, own: Token) -> Option<&H> {
        self.tokens.get(&own)
    }

    /// Connections that are followed.
    pub fn followed(&self) -> usize {
        self.tokens.len()
    }

    /// The connection that a datagram from an address without one asks for. It knows the other token too, and what it
    /// has answered lately: who has no tokens can't use that up.
    pub(super) fn find_elsewhere(&self, conv: Conv, datagram: &[u8]) -> Option<H> {
        if self.tokens.is_empty() {
            return None;
        }
        named_in(conv, datagram).find_map(|block| self.by_token(block.to?).cloned())
    }

    /// What a PING or HELLO is told whose conversation has ended at another address: as it would be there.
    pub(super) fn meet_elsewhere(&mut self, now: Instant, conv: Conv, datagram: &[u8]) -> Option<Answer> {
        let remote = self.tombstones.address_of(addressee(conv, datagram)?, conv)?;
        match self.tombstones.meet(now, remote, conv, datagram)? {
            Verdict::Answer(answer) => Some(answer),
            Verdict::Silence | Verdict::Moved => None,
        }
    }

    /// The peer of a connection is at another address now. What comes late from the old one opens nothing for 10 s. False
    /// where there is no such connection, where another has that address and conversation id, or where the drivers of the
    /// [`Group`](crate::Group) can't be told of any more: then it stays where it is.
    pub fn relocate(
        &mut self,
        now: Instant,
        (from, conv): (SocketAddr, Conv),
        to: SocketAddr,
        remains: &Remains,
    ) -> bool {
        // The system may bring what comes from there to another driver, which has to know whose it is.
        let can = self.get(to, conv).is_none() && self.get(from, conv).is_some();
        if !can || !self.forward(now, to, conv) {
            return false;
        }
        let Some(handle) = self.take(from, conv) else { return false };
        self.insert(to, conv, handle);
        debug_assert!(remains.rest == Rest::Moved);
        self.tombstones.bury(now, from, conv, remains);
        if let Some(place) = &self.place {
            place.fade(now, from, conv);
        }
        true
    }
}
