//! A connection of TCP.

use super::Side;
use crate::{
    layers::{Tcp, TcpFlags},
    stream::{Arrived, Consumer, FrameError, Framing, Piece, TcpStream},
};

/// What one side has sent.
#[derive(Debug, Default)]
pub struct TcpSide {
    /// Whether its SYN was seen.
    pub syn: bool,
    /// Whether its FIN was seen.
    pub fin: bool,
    /// Segments that were sent again.
    pub retransmissions: u64,
    /// Segments that came before what belongs in front of them.
    pub ahead: u64,
    /// Number of its first byte, for numbers that begin at 0.
    origin: Option<u32>,
    /// Behind its last byte, as its FIN says.
    end: Option<u32>,
    /// Furthest that the other side has acknowledged.
    acknowledged: Option<u32>,
    stream: TcpStream,
    pub(crate) consumer: Consumer,
}

impl TcpSide {
    /// Bytes of the application in order.
    pub fn stream_bytes(&self) -> u64 {
        self.consumer.position()
    }

    /// The framing that was asked for, or else one that fits all of its bytes; and how many frames there are.
    pub fn framing(&self) -> Option<(Framing, u64)> {
        self.consumer.frames_found()
    }

    /// What is wrong with the frames that were asked for.
    pub fn frame_error(&self) -> Option<FrameError> {
        self.consumer.frame_error()
    }
}

/// A connection of TCP.
#[derive(Debug, Default)]
pub struct TcpConversation {
    /// What each side has sent: client, server.
    pub sides: [TcpSide; 2],
    /// Who reset it.
    pub reset: Option<Side>,
}

/// A TCP segment and its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TcpSegment<'a> {
    pub(crate) header: &'a Tcp,
    pub(crate) payload: &'a [u8],
}

/// What a segment turned out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpNote {
    /// Its number, counted from the beginning of the connection.
    pub sequence: u32,
    /// Its acknowledgement, counted likewise.
    pub acknowledgement: u32,
    /// Its data has been sent before.
    pub retransmission: bool,
    /// Something belongs before it that hasn't been seen.
    pub ahead: bool,
}

impl TcpConversation {
    /// Whether both have finished, or one has reset it.
    pub fn is_over(&self) -> bool {
        self.reset.is_some() || self.sides.iter().all(|side| side.fin)
    }

    /// Bytes of memory that what waits for what belongs before it takes.
    pub(crate) fn waiting(&self) -> usize {
        self.sides.iter().map(|side| side.stream.waiting()).sum()
    }

    /// What waits is handed on, with its gaps; which packet brought it isn't told.
    pub(crate) fn give_up(&mut self) {
        for TcpSide { stream, consumer, .. } in &mut self.sides {
            stream.finish(None, &mut |piece| consumer.take(piece));
            consumer.hand_over(&mut None, &mut Vec::new(), &mut Vec::new());
        }
    }

    /// A segment passes by.
    pub(crate) fn segment(&mut self, side: Side, segment: TcpSegment<'_>) -> TcpNote {
        let TcpSegment { header, payload } = segment;
        let flags = header.flags;
        let own = &mut self.sides[side.index()];
        let origin = *own.origin.get_or_insert(header.sequence);
        if flags.has(TcpFlags::SYN) {
            own.syn = true;
            own.stream.begin(header.sequence);
        }
        let mut note = TcpNote { sequence: header.sequence.wrapping_sub(origin), ..TcpNote::default() };
        if !payload.is_empty() {
            let TcpSide { stream, consumer, acknowledged, .. } = own;
            let mut sink = |piece: Piece<'_>| consumer.take(piece);
            let first = header.sequence.wrapping_add(flags.has(TcpFlags::SYN).into());
            let arrived = stream.push(first, payload, &mut sink);
            // A capture may have data a little behind its acknowledgement, but not behind later data.
            if let (Arrived::Ahead, Some(acknowledged)) = (arrived, *acknowledged) {
                stream.acknowledged(acknowledged, &mut sink);
            }
            match arrived {
                Arrived::InOrder => {}
                Arrived::Ahead => {
                    note.ahead = true;
                    own.ahead += 1;
                }
                Arrived::Old => {
                    note.retransmission = true;
                    own.retransmissions += 1;
                }
            }
        }
        if flags.has(TcpFlags::FIN) {
            own.fin = true;
            let len = (payload.len() + header.missing) as u32;
            own.end = Some(header.sequence.wrapping_add(len));
        }
        if flags.has(TcpFlags::RST) {
            self.reset.get_or_insert(side);
        }
        if flags.has(TcpFlags::ACK) {
            let other = &mut self.sides[side.other().index()];
            // Of a side that was never seen the number is taken for its beginning.
            let origin = *other.origin.get_or_insert(header.acknowledgement.wrapping_sub(1));
            note.acknowledgement = header.acknowledgement.wrapping_sub(origin);
            let further = |known: u32| header.acknowledgement.wrapping_sub(known) as i32 > 0;
            if other.acknowledged.is_none_or(further) {
                other.acknowledged = Some(header.acknowledgement);
            }
        }
        note
    }

    /// Nothing more comes: what waits is handed on, with its gaps.
    pub(crate) fn finish(&mut self) {
        for side in &mut self.sides {
            let TcpSide { stream, consumer, end, acknowledged, fin, .. } = side;
            // An acknowledgement counts the FIN too.
            let acknowledged = acknowledged.filter(|_| !*fin && stream.has_begun());
            let mut sink = |piece: Piece<'_>| consumer.take(piece);
            stream.finish(end.or(acknowledged), &mut sink);
        }
    }
}
