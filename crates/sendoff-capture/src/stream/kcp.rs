//! Puts the PUSHes of one direction in order.

use super::{Consumer, MAX_WAITING, Missing, PIECE_COST, Piece};
use crate::conversation::{Far, MAX_TRACKED};
use std::collections::{BTreeMap, btree_map::Entry};

/// Segments by their numbers. Numbers are unwrapped to 64 bits, so that they have an order.
#[derive(Debug, Default)]
pub(crate) struct KcpStream {
    next: Option<u64>,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Their bytes, and what each costs beside.
    waiting_bytes: usize,
    /// Segments that lie too far off; and the number behind the last of those that do so ahead.
    far: Far,
    furthest: u64,
    /// What was due before it went on far ahead.
    left: Option<u64>,
}

/// Where numbers begin, so that those before can be told.
const ORIGIN: u64 = 1 << 32;

/// A segment that lies so far behind what is due is no copy of an old one: windows are smaller.
const FAR_BEHIND: i64 = MAX_TRACKED as i64 / 2;

/// Segments that wait behind a hole which the other side hasn't got, until it is clear that the capture hasn't: more
/// than a group of shards, which may bring it back yet.
const LATER: usize = 64;

impl KcpStream {
    /// What comes now is in another datagram.
    fn new_datagram(&mut self) {
        self.far.new_datagram();
    }

    /// A PUSH with its data; without data if it is a FIN, which has a number too. Not more than [`MAX_WAITING`] bytes
    /// of memory may wait behind it.
    pub(crate) fn push(&mut self, sn: u32, data: &[u8], sink: &mut dyn FnMut(Piece<'_>)) {
        let next = match self.next {
            Some(next) => next,
            // A conversation begins with 0; the first that is seen may have overtaken others.
            None if (sn as usize) < MAX_TRACKED => *self.next.insert(ORIGIN),
            None => {
                sink(Piece::Gap(Missing::Beginning));
                *self.next.insert(ORIGIN + u64::from(sn))
            }
        };
        let ahead = i64::from(sn.wrapping_sub(next as u32) as i32);
        let Some(number) = next.checked_add_signed(ahead) else { return };
        if ahead >= MAX_TRACKED as i64 {
            self.furthest = self.furthest.max(number + 1);
            if !self.far.has_moved(sn) {
                return;
            }
            // The hole is so long that nothing in it comes any more.
            self.give_all_up(sink);
            let next = self.next.unwrap_or(next);
            if number > next {
                sink(Piece::Gap(Missing::Segments(number - next)));
            }
            self.left = Some(next);
        } else if ahead <= -FAR_BEHIND {
            if !self.far.has_moved(sn) {
                return;
            }
            // What it went on with far ahead were lies, and the sender is still here.
            self.give_all_up(sink);
            let refused = number.saturating_sub(self.left.take().unwrap_or(ORIGIN));
            sink(Piece::Gap(Missing::Segments(refused.max(1))));
            self.furthest = 0;
        } else if ahead < 0 {
            self.far = Far::default();
            return;
        } else if ahead > 0 {
            self.far = Far::default();
            if let Entry::Vacant(place) = self.waiting.entry(number) {
                self.waiting_bytes += data.len() + PIECE_COST;
                place.insert(data.to_vec());
            }
            while self.waiting_bytes > MAX_WAITING {
                self.give_up(sink);
            }
            return;
        }
        self.far = Far::default();
        sink(Piece::Data(data));
        self.next = Some(number + 1);
        self.go_on(sink);
    }

    /// Bytes of memory that what waits takes.
    fn waiting(&self) -> usize {
        self.waiting_bytes
    }

    fn go_on(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while let Some(next) = self.next {
            let Some(data) = self.waiting.remove(&next) else { return };
            self.waiting_bytes -= data.len() + PIECE_COST;
            sink(Piece::Data(&data));
            self.next = Some(next + 1);
        }
    }

    /// The other side has all below `una`: of what is due there, much later data has come since, and the capture won't
    /// bring it any more.
    fn acknowledged(&mut self, una: u32, sink: &mut dyn FnMut(Piece<'_>)) {
        while let (Some(next), Some((first, _)), Some((last, _))) =
            (self.next, self.waiting.first_key_value(), self.waiting.last_key_value())
        {
            let covered = next.saturating_add_signed(i64::from(una.wrapping_sub(next as u32) as i32));
            // What lies beyond all that was seen is a lie.
            if self.waiting.len() < LATER || !(*first..=last + 1).contains(&covered) {
                return;
            }
            self.give_up(sink);
        }
    }

    /// What is due won't come.
    fn give_up(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        if let (Some(next), Some((first, _))) = (self.next, self.waiting.first_key_value()) {
            sink(Piece::Gap(Missing::Segments(first - next)));
            self.next = Some(*first);
        }
        self.go_on(sink);
    }

    fn give_all_up(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(sink);
        }
    }

    /// Nothing more comes; all below `una` has arrived at the other side, seen or not.
    pub(crate) fn finish(&mut self, una: Option<u32>, sink: &mut dyn FnMut(Piece<'_>)) {
        self.give_all_up(sink);
        let due = self.next.unwrap_or(ORIGIN);
        let acknowledged = una.map_or(0, |una| i64::from(una.wrapping_sub(due as u32) as i32));
        let refused = self.furthest.saturating_sub(due);
        match refused.max(u64::try_from(acknowledged).unwrap_or(0)) {
            0 => {}
            never_seen if self.next.is_none() && never_seen > MAX_TRACKED as u64 => {
                sink(Piece::Gap(Missing::Beginning));
            }
            never_seen => sink(Piece::Gap(Missing::Segments(never_seen))),
        }
    }
}

/// A direction that is put together, and what becomes of it.
#[derive(Debug)]
pub(crate) struct KcpReassembly {
    /// `None` once nothing more is put together.
    stream: Option<KcpStream>,
    pub(crate) consumer: Consumer,
}

impl KcpReassembly {
    pub(crate) fn new(consumer: Consumer) -> Self {
        Self { stream: Some(KcpStream::default()), consumer }
    }

    /// Bytes of memory that what waits takes.
    pub(crate) fn waiting(&self) -> usize {
        self.stream.as_ref().map_or(0, KcpStream::waiting)
    }

    /// What comes now is in another datagram.
    pub(crate) fn new_datagram(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.new_datagram();
        }
    }

    /// A PUSH with its data; the other side has said that it has all below `una`.
    pub(crate) fn push(&mut self, sn: u32, data: &[u8], una: Option<u32>) {
        if let Some(stream) = &mut self.stream {
            let mut sink = |piece: Piece<'_>| self.consumer.take(piece);
            stream.push(sn, data, &mut sink);
            if let Some(una) = una {
                stream.acknowledged(una, &mut sink);
            }
        }
    }

    /// What waits is handed on, with its gaps; which packet brought it isn't told.
    pub(crate) fn give_up(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.give_all_up(&mut |piece| self.consumer.take(piece));
            self.consumer.hand_over(&mut None, &mut Vec::new(), &mut Vec::new());
        }
    }

    /// Others need its memory. Unless the conversation is over, what comes now is missing.
    pub(crate) fn end(&mut self, una: Option<u32>, is_over: bool) {
        if is_over {
            self.finish(una);
        } else {
            self.consumer.take(Piece::Gap(Missing::Segments(1)));
        }
        self.stream = None;
        self.consumer.give_memory_back();
    }

    pub(crate) fn finish(&mut self, una: Option<u32>) {
        if let Some(mut stream) = self.stream.take() {
            stream.finish(una, &mut |piece| self.consumer.take(piece));
            self.consumer.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_to(una: Option<u32>, pushes: &[(u32, &[u8])]) -> Vec<Result<Vec<u8>, Missing>> {
        let (mut stream, mut out) = (KcpStream::default(), Vec::new());
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(data) => out.push(Ok(data.to_vec())),
            Piece::Gap(missing) => out.push(Err(missing)),
        };
        for (sn, data) in pushes {
            stream.new_datagram();
            stream.push(*sn, data, &mut sink);
        }
        stream.finish(una, &mut sink);
        out
    }

    fn run(pushes: &[(u32, &[u8])]) -> Vec<Result<Vec<u8>, Missing>> {
        run_to(None, pushes)
    }

    #[test]
    fn data_comes_in_order_exactly_once() {
        let out = run(&[(1, b"b"), (0, b"a"), (1, b"x"), (3, b"d"), (2, b"c"), (0, b"x")]);
        assert_eq!(out, [b"a", b"b", b"c", b"d"].map(|data| Ok(data.to_vec())));
    }

    #[test]
    fn what_is_missing_is_told_and_not_skipped_silently() {
        assert_eq!(
            run(&[(0, b"a"), (3, b"d")]),
            [Ok(b"a".to_vec()), Err(Missing::Segments(2)), Ok(b"d".to_vec())]
        );
        assert_eq!(run(&[(5, b"f")])[0], Err(Missing::Segments(5)));
        assert_eq!(run(&[(4_000_000, b"f")]), [Err(Missing::Beginning), Ok(b"f".to_vec())]);
    }

    #[test]
    fn what_was_acknowledged_and_never_seen_is_missing_at_the_end() {
        assert_eq!(run_to(Some(3), &[(0, b"a")]), [Ok(b"a".to_vec()), Err(Missing::Segments(2))]);
        assert_eq!(run_to(Some(1), &[(0, b"a")]), [Ok(b"a".to_vec())]);
        assert_eq!(run_to(Some(2), &[]), [Err(Missing::Segments(2))]);
    }

    #[test]
    fn numbers_wrap() {
        let out = run(&[(u32::MAX, b"a"), (1, b"c"), (0, b"b")]);
        assert_eq!(out[1..], [b"a", b"b", b"c"].map(|data| Ok(data.to_vec())));
    }

    #[test]
    fn what_waits_is_bounded() {
        let piece = vec![0; 1 << 20];
        let pushes: Vec<(u32, &[u8])> = (1..8).map(|sn| (sn, &piece[..])).collect();
        let mut stream = KcpStream::default();
        let mut gaps = 0;
        for (sn, data) in pushes {
            let mut sink = |piece: Piece<'_>| gaps += usize::from(matches!(piece, Piece::Gap(_)));
            stream.push(sn, data, &mut sink);
            assert!(stream.waiting() <= MAX_WAITING);
        }
        assert_eq!(gaps, 1);
    }

    #[test]
    fn what_waits_counts_with_its_cost() {
        let mut stream = KcpStream::default();
        for sn in 1..200 {
            stream.push(sn, b"", &mut |_| {});
        }
        assert_eq!(stream.waiting(), 199 * PIECE_COST);
        stream.push(0, b"a", &mut |_| {});
        assert_eq!(stream.waiting(), 0);
    }

    #[test]
    fn a_hole_that_was_acknowledged_is_given_up_once_much_has_come_behind_it() {
        let mut stream = KcpStream::default();
        let mut gaps = Vec::new();
        let mut push = |sn, una| {
            let mut sink = |piece: Piece<'_>| {
                if let Piece::Gap(missing) = piece {
                    gaps.push(missing)
                }
            };
            stream.push(sn, b"x", &mut sink);
            stream.acknowledged(una, &mut sink);
            (stream.waiting.len(), gaps.len())
        };
        push(0, 0);
        for sn in 3..3 + 2 * LATER {
            assert_eq!(push(sn as u32, 1), (sn - 2, 0), "the other side hasn't got it either");
        }
        assert_eq!(push(300, 3_000), (2 * LATER + 1, 0), "nobody has sent that");
        assert_eq!(push(301, 300), (2, 1), "the second hole is acknowledged, and little lies behind it");
        for sn in 302..300 + LATER as u32 - 1 {
            assert_eq!(push(sn, 301).1, 1);
        }
        assert_eq!(push(300 + LATER as u32 - 1, 301), (0, 2));
        let second = 300 - 3 - 2 * LATER as u64;
        assert_eq!(gaps, [Missing::Segments(2), Missing::Segments(second)]);
    }

    #[test]
    fn behind_a_hole_of_any_length_it_goes_on_and_says_how_long_it_was() {
        let datum: &[u8] = b"x";
        let pushes: Vec<_> = (0..11).chain(40_000..100_000).map(|sn| (sn, datum)).collect();
        let out = run_to(Some(100_000), &pushes);
        let gaps: Vec<_> = out.iter().filter_map(|piece| piece.as_ref().err()).collect();
        // Seven more were refused until it was clear that it goes on there.
        assert_eq!(gaps, [&Missing::Segments(40_007 - 11)]);
        assert_eq!(out.len() - 1, 11 + 60_000 - 7);
        // Too few to go there: the hole is told all the same.
        let few = [(0, datum), (40_000, datum)];
        assert_eq!(run(&few)[1..], [Err(Missing::Segments(40_000))]);
        assert_eq!(run_to(Some(50_000), &few)[1..], [Err(Missing::Segments(49_999))]);
    }
    #[test]
    fn lies_far_ahead_are_left_again_for_what_the_sender_goes_on_with() {
        let datum: &[u8] = b"x";
        let lies = (40_000..40_008).map(|sn| (sn, &b"lie"[..]));
        let before = (0..1_000).map(|sn| (sn, datum));
        let pushes: Vec<_> = before.chain(lies.clone()).chain((1_000..2_000).map(|sn| (sn, datum))).collect();
        let out = run_to(Some(2_000), &pushes);
        let gaps: Vec<_> = out.iter().filter_map(|piece| piece.as_ref().err()).collect();
        // Seven of each were refused until it was clear that it goes on there.
        assert_eq!(gaps, [&Missing::Segments(40_007 - 1_000), &Missing::Segments(7)]);
        let true_ones = out.iter().filter(|piece| piece.as_deref() == Ok(datum)).count();
        assert_eq!(true_ones, 2_000 - 7);
    }

    #[test]
    fn one_datagram_full_of_lies_moves_nothing_nor_do_copies_of_old_segments() {
        let (mut stream, mut out) = (KcpStream::default(), Vec::new());
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(data) => out.extend_from_slice(data),
            Piece::Gap(missing) => panic!("{missing:?}"),
        };
        stream.push(0, b"a", &mut sink);
        stream.new_datagram();
        for sn in 40_000..40_100 {
            stream.push(sn, b"lie", &mut sink);
        }
        for lie in 0..20 {
            for sn in [40_100 + lie, 0] {
                stream.new_datagram();
                stream.push(sn, b"lie", &mut sink);
            }
        }
        stream.push(1, b"b", &mut sink);
        assert_eq!(out, b"ab");
    }
}
