//! The bytes that one side's application sent.

use super::Dissector;
use crate::{
    conversation::{Conversation, Detail, Side},
    stream::{FrameError, Gap, MANY_WAITING, MAX_WAITING, SmuxError, move_all},
};

/// Whom to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow {
    /// Whose bytes.
    pub side: Side,
    /// Number of the conversation; the first if there is none.
    pub conversation: Option<u64>,
}

impl Follow {
    /// The side that is to be followed in a conversation.
    pub(super) fn side_in(self, number: u64) -> Option<Side> {
        (self.conversation.unwrap_or(1) == number).then_some(self.side)
    }
}

/// How complete the bytes are, once the capture is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FollowReport {
    /// Whether the conversation was there at all, and the stream in it if one was asked for.
    pub found: bool,
    /// Bytes of the stream: with frames, their headers too.
    pub bytes: u64,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// What is wrong with the frames that were asked for.
    pub frame_error: Option<FrameError>,
    /// Why not all of a stream of smux can be told.
    pub smux_error: Option<SmuxError>,
    /// Datagrams of plain UDP that the capture has cut off.
    pub cut_off: bool,
    /// There were so many others that it was forgotten before its end was seen: what came later isn't there.
    pub forgotten: bool,
}

impl FollowReport {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        let errors = self.frame_error.is_some() || self.smux_error.is_some();
        self.found && self.gaps.is_empty() && !errors && !self.cut_off && !self.forgotten
    }
}

impl Dissector {
    /// The side that is to be followed in a conversation.
    pub(super) fn follow_side(&self, number: u64) -> Option<Side> {
        self.options.follow?.side_in(number)
    }

    /// Bytes that may wait in a direction for what belongs before them.
    pub(super) fn waiting_limit(&self, number: u64, side: Side) -> usize {
        let may_wait = self.follow_side(number) == Some(side) || self.sums.waiting < MANY_WAITING;
        if may_wait { MAX_WAITING } else { 0 }
    }

    /// Moves the bytes that have come in order since the last call behind those in `out`.
    pub fn take_followed(&mut self, out: &mut Vec<u8>) {
        move_all(&mut self.followed_bytes, out);
    }

    /// How complete they are; to be asked behind [`finish`](Self::finish).
    pub fn follow_report(&self) -> &FollowReport {
        &self.followed
    }

    /// A conversation is over, or was forgotten: what waits for what is missing is handed on.
    pub(super) fn over(&mut self, conversation: &mut Conversation, forgotten: bool) {
        let followed = self.follow_side(conversation.number);
        self.followed.forgotten |= followed.is_some() && forgotten && !conversation.detail.is_over();
        let consumer = match &mut conversation.detail {
            Detail::Tcp(tcp) => {
                tcp.finish();
                followed.map(|side| &mut tcp.sides[side.index()].consumer)
            }
            Detail::Kcp(kcp) => {
                kcp.finish(conversation.last);
                followed.and_then(|side| kcp.consumer(side))
            }
            Detail::Udp => {
                if let Some(side) = followed {
                    self.followed.found = true;
                    self.followed.bytes = conversation.totals[side.index()].bytes;
                }
                None
            }
        };
        let Some(consumer) = consumer else { return };
        consumer.hand_over(&mut None, &mut Vec::new(), &mut self.followed_bytes);
        self.followed.found = true;
        self.followed.bytes = consumer.position();
        if let (Some(smux), Some(stream)) = (consumer.smux(), self.options.stream) {
            let stream = smux.streams.get(&stream);
            self.followed.found = stream.is_some();
            self.followed.bytes = stream.map_or(0, |stream| stream.bytes);
            self.followed.smux_error = smux.error;
        }
        self.followed.gaps = std::mem::take(&mut consumer.gaps);
        self.followed.frame_error = consumer.frame_error();
    }
}
