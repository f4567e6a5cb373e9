//! The bytes that one side's application sent.

use super::Dissector;
use crate::{
    conversation::{Conversation, Detail, Side},
    stream::{FrameError, Gap, SmuxError, move_all},
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
    pub(super) fn number(self) -> u64 {
        self.conversation.unwrap_or(1)
    }

    /// The side that is to be followed in a conversation.
    pub(super) fn side_in(self, number: u64) -> Option<Side> {
        (self.number() == number).then_some(self.side)
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
    /// Another conversation began in its place before its end was seen, which it could have said: what came later isn't
    /// there.
    pub replaced: bool,
}

impl FollowReport {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        let errors = self.frame_error.is_some() || self.smux_error.is_some();
        let ends_early = self.forgotten || self.replaced;
        self.found && self.gaps.is_empty() && !errors && !self.cut_off && !ends_early
    }
}

impl Dissector {
    /// The side that is to be followed in a conversation.
    pub(super) fn follow_side(&self, number: u64) -> Option<Side> {
        self.options.follow?.side_in(number)
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
                self.followed.replaced |= followed.is_some_and(|side| kcp.was_replaced_before_end_of(side));
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
