//! Tells a conversation from the next one of the same conv on the same ports.

use sendoff_proto::wire::{Block, BlockKind, Command, SegmentView, Token};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Numbers that the other side has, after which none sends its first again.
const FAR_ON: u32 = 1_024;

/// What one side shows of its life.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// That of its HELLO.
    token: Option<Token>,
    /// Hash of the data of its first PUSH: a sender never changes what it has sent.
    first: Option<u64>,
    /// The latest time that it has put into a PUSH.
    latest_ts: Option<u32>,
}

fn hash(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    hasher.finish()
}

impl Life {
    /// A PUSH of this life.
    pub(super) fn push(&mut self, segment: &SegmentView<'_>) {
        let ts = segment.timestamp().0;
        if self.is_later(ts) {
            self.latest_ts = Some(ts);
        }
        if segment.sn().0 == 0 && self.first.is_none() {
            self.first = Some(hash(segment.data()));
        }
    }

    /// A HELLO of this life.
    pub(super) fn hello(&mut self, block: &Block<'_>) {
        self.token = self.token.or(block.from);
    }

    fn is_later(&self, ts: u32) -> bool {
        self.latest_ts.is_none_or(|latest| ts.wrapping_sub(latest) as i32 > 0)
    }

    /// Whether a segment is of the next life. `una` is what the other side has said that it expects of this one, and
    /// `is_over` whether it has seen its end.
    pub(super) fn is_another(&self, segment: &SegmentView<'_>, una: Option<u32>, is_over: bool) -> bool {
        let hello = Block::parse(segment).filter(|block| block.body.kind() == BlockKind::Hello);
        match (hello, self.token) {
            (Some(hello), Some(known)) => return hello.from != Some(known),
            // Each life begins with a HELLO.
            (None, Some(_)) => return false,
            _ => {}
        }
        // What was acknowledged may still come again: late, or because the sender doesn't know.
        let begins = segment.command() == Command::Push && (segment.sn().0, segment.una().0) == (0, 0);
        let Some(una @ 1..) = una.filter(|_| begins) else { return false };
        let differs = self.first.is_some_and(|first| first != hash(segment.data()));
        is_over || differs || (una >= FAR_ON && self.is_later(segment.timestamp().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sendoff_proto::{
        SeqNumber, Timestamp,
        wire::{Body, Segment},
    };

    fn with<T>(
        command: Command,
        [sn, una, ts]: [u32; 3],
        data: &[u8],
        look: impl FnOnce(&SegmentView<'_>) -> T,
    ) -> T {
        let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(ts));
        let mut out = Vec::new();
        Segment { conv: 7, command, fragment: 0, window: 32, timestamp, sn, una }.encode(data, &mut out);
        look(&SegmentView::parse(&out).unwrap().0)
    }

    fn push<T>(numbers: [u32; 3], data: &[u8], look: impl FnOnce(&SegmentView<'_>) -> T) -> T {
        with(Command::Push, numbers, data, look)
    }

    #[test]
    fn a_first_push_with_other_data_or_far_later_is_of_another_life() {
        let mut life = Life::default();
        push([0, 0, 10], b"one", |first| life.push(first));
        push([9, 0, 90], b"ten", |later| life.push(later));
        let is = |numbers, data: &[u8], una, is_over| {
            push(numbers, data, |first| life.is_another(first, una, is_over))
        };
        assert!(!is([0, 0, 100], b"one", Some(9), false), "sent again, because the ACK was lost");
        assert!(!is([0, 0, 100], b"other", None, false), "nothing was acknowledged");
        assert!(is([0, 0, 100], b"other", Some(9), false));
        assert!(is([0, 0, 100], b"one", Some(9), true), "the last one is over");
        assert!(is([0, 0, 100], b"one", Some(2_000), false));
        assert!(!is([0, 0, 10], b"one", Some(2_000), false), "a late copy");
        assert!(!is([0, 3, 100], b"other", Some(9), false), "it has got something");
        assert!(!is([1, 0, 100], b"other", Some(9), true));
    }

    #[test]
    fn who_says_hello_begins_anew_with_another_token_only() {
        let hello = |token, look: &mut dyn FnMut(&SegmentView<'_>)| {
            let mut data = Vec::new();
            let body = Body::Hello { features: 0, cookie: [0; 16] };
            Block { flags: 0, to: None, from: Token::new(token), body }.encode(&mut data);
            with(BlockKind::Hello.carrier(), [0, 0, 0], &data, |segment| look(segment));
        };
        let mut life = Life::default();
        hello(5, &mut |segment| {
            assert!(!life.is_another(segment, Some(9), true), "the first one that is seen");
            life.hello(&Block::parse(segment).unwrap());
        });
        hello(5, &mut |segment| assert!(!life.is_another(segment, Some(9), true)));
        hello(6, &mut |segment| assert!(life.is_another(segment, None, false)));
        push([0, 0, 1], b"x", |first| assert!(!life.is_another(first, Some(9), true)));
    }
}
