//! Puts the PUSHes of one direction in order.

use super::{Consumer, MAX_PIECES, MAX_WAITING, Missing, Piece};
use crate::conversation::MAX_TRACKED;
use std::collections::BTreeMap;

/// Segments by their numbers. Numbers are unwrapped to 64 bits, so that they have an order.
#[derive(Debug, Default)]
pub(crate) struct KcpStream {
    next: Option<u64>,
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
}

/// Where numbers begin, so that those before can be told.
const ORIGIN: u64 = 1 << 32;

impl KcpStream {
    /// A PUSH with its data; without data if it is a FIN, which has a number too.
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
        let Some(number) = u64::try_from(ahead).ok().map(|ahead| next + ahead) else { return };
        if ahead > 0 {
            if (ahead as usize) < MAX_TRACKED && !self.waiting.contains_key(&number) {
                self.waiting_bytes += data.len();
                self.waiting.insert(number, data.to_vec());
            }
            while self.waiting_bytes > MAX_WAITING || self.waiting.len() > MAX_PIECES {
                self.give_up(sink);
            }
            return;
        }
        sink(Piece::Data(data));
        self.next = Some(number + 1);
        self.go_on(sink);
    }

    fn go_on(&mut self, sink: &mut dyn FnMut(Piece<'_>)) {
        while let Some(next) = self.next {
            let Some(data) = self.waiting.remove(&next) else { return };
            self.waiting_bytes -= data.len();
            sink(Piece::Data(&data));
            self.next = Some(next + 1);
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

    /// Nothing more comes; all below `una` has arrived at the other side, seen or not.
    pub(crate) fn finish(&mut self, una: Option<u32>, sink: &mut dyn FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(sink);
        }
        let due = self.next.map_or(0, |next| next as u32);
        match una.map(|una| una.wrapping_sub(due) as i32) {
            Some(never_seen @ 1..) if never_seen as usize <= MAX_TRACKED => {
                sink(Piece::Gap(Missing::Segments(never_seen as u64)));
            }
            Some(1..) if self.next.is_none() => sink(Piece::Gap(Missing::Beginning)),
            _ => {}
        }
    }
}

/// A direction that is put together, and what becomes of it.
#[derive(Debug, Default)]
pub(crate) struct KcpReassembly {
    stream: KcpStream,
    pub(crate) consumer: Consumer,
}

impl KcpReassembly {
    pub(crate) fn new(consumer: Consumer) -> Self {
        Self { stream: KcpStream::default(), consumer }
    }

    pub(crate) fn push(&mut self, sn: u32, data: &[u8]) {
        self.stream.push(sn, data, &mut |piece| self.consumer.take(piece));
    }

    pub(crate) fn finish(&mut self, una: Option<u32>) {
        self.stream.finish(una, &mut |piece| self.consumer.take(piece));
        self.consumer.finish();
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
            stream.push(sn, data, &mut |piece| gaps += usize::from(matches!(piece, Piece::Gap(_))));
            assert!(stream.waiting_bytes <= MAX_WAITING);
        }
        assert_eq!(gaps, 1);
    }
}
