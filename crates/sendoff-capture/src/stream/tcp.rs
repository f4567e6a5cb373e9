//! Puts the segments of one direction of TCP in order: overlaps, repetitions, gaps.

use super::{MAX_WAITING, Missing, PIECE_COST, Piece};
use std::collections::BTreeMap;

/// What a segment is for the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// In its place.
    InOrder,
    /// Something belongs before it.
    Ahead,
    /// All of it has been there.
    Old,
}

/// Bytes by their numbers, which are unwrapped to 64 bits.
#[derive(Debug, Default)]
pub(crate) struct TcpStream {
    next: Option<u64>,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// Their bytes, and what each costs beside.
    waiting_bytes: usize,
}

/// Where numbers begin, so that those before can be told.
const ORIGIN: u64 = 1 << 32;

/// A segment further ahead than that is no part of this connection's window.
const REACH: i64 = 1 << 30;

impl TcpStream {
    /// A SYN: the stream begins behind it.
    pub(crate) fn begin(&mut self, sequence: u32) {
        if self.next.is_none() {
            self.next = Some(ORIGIN + u64::from(sequence.wrapping_add(1)));
        }
    }

    /// Whether a beginning is known.
    pub(crate) fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// Bytes of memory that what waits takes.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_bytes
    }

    /// A segment with data. Not more than [`MAX_WAITING`] bytes of memory may wait behind it.
    pub(crate) fn push(&mut self, sequence: u32, data: &[u8], sink: &mut dyn FnMut(Piece<'_>)) -> Arrived {
        let next = match self.next {
            Some(next) => next,
            None => {
                sink(Piece::Gap(Missing::Beginning));
                *self.next.insert(ORIGIN + u64::from(sequence))
            }
        };
        let ahead = i64::from(sequence.wrapping_sub(next as u32) as i32);
        if ahead > 0 {
            let at = next + ahead as u64;
            if ahead > REACH || self.waiting.get(&at).is_some_and(|there| there.len() >= data.len()) {
                return Arrived::Old;
            }
            self.waiting_bytes += data.len() + PIECE_COST;
            if let Some(replaced) = self.waiting.insert(at, data.to_vec()) {
                self.waiting_bytes -= replaced.len() + PIECE_COST;
            }
            while self.waiting_bytes > MAX_WAITING {
                self.give_up(sink);
            }
            return Arrived::Ahead;
        }
        let Some(fresh) = data.get(ahead.unsigned_abs() as usize..).filter(|fresh| !fresh.is_empty()) else {
            return Arrived::Old;
        };
        sink(Piece::Data(fresh));
        self.next = Some(next + fresh.len() as u64);
        self.go_on(sink);
        Arrived::InOrder
    }

    fn go_on(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while let (Some(next), Some(entry)) = (self.next, self.waiting.first_entry()) {
            if *entry.key() > next {
                return;
            }
            let (at, data) = entry.remove_entry();
            self.waiting_bytes -= data.len() + PIECE_COST;
            if let Some(fresh) = data.get((next - at) as usize..).filter(|fresh| !fresh.is_empty()) {
                sink(Piece::Data(fresh));
                self.next = Some(next + fresh.len() as u64);
            }
        }
    }

    /// The other side has all before this number: of what is due there, later data has come since, and the capture
    /// won't bring it any more.
    pub(crate) fn acknowledged(&mut self, number: u32, sink: &mut dyn FnMut(Piece<'_>)) {
        while let (Some(next), Some((first, _))) = (self.next, self.waiting.first_key_value()) {
            let acknowledged = i64::from(number.wrapping_sub(next as u32) as i32);
            if acknowledged < (first - next) as i64 {
                return;
            }
            self.give_up(sink);
        }
    }

    /// What is due won't come.
    fn give_up(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        if let (Some(next), Some((first, _))) = (self.next, self.waiting.first_key_value()) {
            sink(Piece::Gap(Missing::Bytes(first - next)));
            self.next = Some(*first);
        }
        self.go_on(sink);
    }

    /// Nothing more comes; `end` is the number of the last byte plus one, if a FIN or an acknowledgement told it.
    pub(crate) fn finish(&mut self, end: Option<u32>, sink: &mut dyn FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(sink);
        }
        if let (Some(next), Some(end)) = (self.next, end) {
            let missing = i64::from(end.wrapping_sub(next as u32) as i32);
            if (1..=REACH).contains(&missing) {
                sink(Piece::Gap(Missing::Bytes(missing as u64)));
                self.next = Some(next + missing as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(syn: Option<u32>, segments: &[(u32, &[u8])], end: Option<u32>) -> (Vec<u8>, Vec<Missing>) {
        let (mut data, mut gaps) = (Vec::new(), Vec::new());
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(bytes) => data.extend(bytes),
            Piece::Gap(missing) => gaps.push(missing),
        };
        let mut stream = TcpStream::default();
        syn.inspect(|syn| stream.begin(*syn));
        for (sequence, bytes) in segments {
            stream.push(*sequence, bytes, &mut sink);
        }
        stream.finish(end, &mut sink);
        (data, gaps)
    }

    #[test]
    fn overlaps_and_repetitions_count_once() {
        let (data, gaps) =
            run(Some(9), &[(13, b"defg"), (10, b"abc"), (11, b"bcdefghi"), (10, b"ab")], Some(19));
        assert_eq!((&data[..], gaps), (&b"abcdefghi"[..], vec![]));
    }

    #[test]
    fn gaps_are_told_in_the_middle_at_the_front_and_at_the_end() {
        assert_eq!(run(Some(9), &[(10, b"a"), (15, b"f")], None), (b"af".to_vec(), vec![Missing::Bytes(4)]));
        assert_eq!(run(None, &[(10, b"a")], None), (b"a".to_vec(), vec![Missing::Beginning]));
        assert_eq!(run(Some(9), &[(10, b"a")], Some(14)), (b"a".to_vec(), vec![Missing::Bytes(3)]));
    }

    #[test]
    fn what_waits_counts_with_its_cost_and_is_bounded() {
        let (mut stream, mut gaps) = (TcpStream::default(), 0);
        stream.begin(0);
        let mut sink = |piece: Piece<'_>| gaps += usize::from(matches!(piece, Piece::Gap(_)));
        for n in 1..100_000 {
            stream.push(2 * n, b"x", &mut sink);
            let pieces = stream.waiting.len();
            assert_eq!(stream.waiting(), pieces * (1 + PIECE_COST));
            assert!(stream.waiting() <= MAX_WAITING);
        }
        stream.push(300_000, b"x", &mut sink);
        stream.finish(None, &mut sink);
        assert_eq!((stream.waiting(), stream.waiting.len()), (0, 0));
        assert_eq!(gaps, 100_000);
    }

    #[test]
    fn what_the_other_side_has_and_the_capture_lacks_is_given_up() {
        let mut out = Vec::new();
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Data(data) => out.push(Ok(data.to_vec())),
            Piece::Gap(missing) => out.push(Err(missing)),
        };
        let mut stream = TcpStream::default();
        stream.begin(u32::MAX - 1);
        stream.push(3, b"ef", &mut sink);
        stream.push(9, b"j", &mut sink);
        stream.acknowledged(3, &mut sink);
        // Only a part of what lies before the next piece.
        stream.acknowledged(8, &mut sink);
        assert_eq!(stream.waiting.len(), 1);
        stream.acknowledged(10, &mut sink);
        let (ef, j) = (Ok(b"ef".to_vec()), Ok(b"j".to_vec()));
        assert_eq!(out, [Err(Missing::Bytes(4)), ef, Err(Missing::Bytes(4)), j]);
    }

    proptest! {
        #[test]
        fn segments_in_any_order_and_any_overlap_make_the_stream(
            start in any::<u32>(),
            pieces in proptest::collection::vec((0..300usize, 1..60usize), 0..40),
        ) {
            let whole: Vec<u8> = (0..300).map(|n| n as u8).collect();
            let mut segments: Vec<(u32, &[u8])> = pieces
                .iter()
                .map(|&(at, len)| (start.wrapping_add(at as u32 + 1), &whole[at..(at + len).min(300)]))
                .collect();
            for at in (0..300).step_by(50) {
                segments.push((start.wrapping_add(at as u32 + 1), &whole[at..at + 50]));
            }
            let (data, gaps) = run(Some(start), &segments, Some(start.wrapping_add(301)));
            prop_assert_eq!(data, whole);
            prop_assert_eq!(gaps, vec![]);
        }
    }
}
