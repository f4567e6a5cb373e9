//! Datagrams that an endpoint sends without a connection: never longer than what they answer.

use super::cookie::Cookie;
use crate::{
    connection::code,
    seq::{Conv, SeqNumber, Timestamp},
    wire::{Block, BlockKind, Body, Command, Segment, Token},
};
use std::{fmt, ops::Deref};

/// The longest, a RETRY.
const MAX_ANSWER: usize = BlockKind::Retry.segment_size();

/// What every KCP assumes of a peer that it hasn't heard.
const INITIAL_WINDOW: u16 = 32;

/// One datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    bytes: [u8; MAX_ANSWER],
    len: usize,
}

impl Deref for Answer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(crate::wire::segments(self).flatten()).finish()
    }
}

impl Answer {
    pub(crate) fn new(segment: Segment, data: &[u8]) -> Self {
        let mut datagram = Vec::with_capacity(MAX_ANSWER);
        segment.encode(data, &mut datagram);
        let mut bytes = [0; MAX_ANSWER];
        let len = datagram.len().min(MAX_ANSWER);
        bytes[..len].copy_from_slice(&datagram[..len]);
        Self { bytes, len }
    }

    fn block(conv: Conv, window: u16, una: SeqNumber, block: Block<'_>) -> Self {
        let mut data = Vec::with_capacity(MAX_ANSWER);
        block.encode(&mut data);
        Self::new(tell(conv, window, una), &data)
    }

    /// Tells a peer that it isn't known: una far behind its PUSH acknowledges nothing, and can't be
    /// taken for an answer.
    pub(super) fn hint(conv: Conv, sn: SeqNumber) -> Self {
        Self::new(tell(conv, INITIAL_WINDOW, sn.plus((1u32 << 30).wrapping_neg())), &[])
    }

    /// What a stock peer answers that has just been opened by a probe.
    pub(super) fn bare_window(conv: Conv) -> Self {
        Self::new(tell(conv, INITIAL_WINDOW, SeqNumber(0)), &[])
    }

    /// "This conversation is no more", from nobody.
    pub(super) fn reset(conv: Conv, to: Option<Token>, code: u32) -> Self {
        let body = Body::Reset { code, reason: "" };
        Self::block(conv, 0, SeqNumber(0), Block { flags: 0, to, from: None, body })
    }

    pub(super) fn unknown(conv: Conv, to: Option<Token>) -> Self {
        Self::reset(conv, to, code::UNKNOWN)
    }

    /// "Come again with this cookie", from nobody.
    pub(super) fn retry(conv: Conv, to: Token, cookie: Cookie) -> Self {
        let block = Block { flags: 0, to: Some(to), from: None, body: Body::Retry { cookie } };
        Self::block(conv, 0, SeqNumber(0), block)
    }

    pub(super) fn pong(
        conv: Conv,
        una: SeqNumber,
        (to, own): (Option<Token>, Token),
        challenge: u64,
    ) -> Self {
        let block = Block { flags: 0, to, from: Some(own), body: Body::Pong { challenge } };
        Self::block(conv, INITIAL_WINDOW, una, block)
    }

    pub(super) fn ack(conv: Conv, una: SeqNumber, sn: SeqNumber, timestamp: Timestamp) -> Self {
        let header = Segment { command: Command::Ack, timestamp, sn, ..tell(conv, INITIAL_WINDOW, una) };
        Self::new(header, &[])
    }
}

/// A WINS; with sn 1, because 0 means something to stock listeners.
fn tell(conv: Conv, window: u16, una: SeqNumber) -> Segment {
    Segment {
        conv: conv.value(),
        command: Command::WindowTell,
        fragment: 0,
        window,
        timestamp: Timestamp(0),
        sn: SeqNumber(1),
        una,
    }
}
