//! The shards of one group, and the memory that they lie in.

use super::{
    Fec,
    kernels::Kernel,
    matrix::{Matrix, Target},
    shard::{SIZE_FIELD, Shard, size},
};
use crate::wire::segments;
use std::{cmp::Reverse, ops::Range};

/// Shards that are added up in one go.
const AT_ONCE: usize = 32;

/// Bytes of a buffer for a shard at least, so that shards of all usual sizes can use the same.
const LEAST: usize = 2_048;

/// Buffers for shards, used again and again.
#[derive(Debug)]
pub(super) struct Pool {
    free: Vec<Vec<u8>>,
    /// Bytes of all buffers, the lent ones included.
    bytes: usize,
    limit: usize,
}

impl Pool {
    pub(super) fn new(limit: usize) -> Self {
        Self { free: Vec::new(), bytes: 0, limit }
    }

    /// A copy; `None` if there is no room for it.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut buffer = self.free.pop().unwrap_or_default();
        if buffer.capacity() < bytes.len() {
            self.bytes -= buffer.capacity();
            let capacity = bytes.len().max(LEAST);
            if self.bytes + capacity > self.limit {
                self.bytes -= self.free.drain(..).map(|buffer| buffer.capacity()).sum::<usize>();
            }
            if self.bytes + capacity > self.limit {
                return None;
            }
            buffer = Vec::with_capacity(capacity);
            self.bytes += buffer.capacity();
        }
        buffer.extend_from_slice(bytes);
        Some(buffer)
    }

    pub(super) fn take_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.free.push(buffer);
    }

    /// Bytes of all buffers, the lent ones included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// How far a group is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It lacks shards.
    #[default]
    Collecting,
    /// All data is there, received or recovered.
    Done,
    /// Its shards contradict each other.
    Spoiled,
}

/// What came of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It is kept.
    Kept,
    /// With it, so many shards are there as the group has data: it can be decoded.
    Complete,
    /// All data was there already.
    Late,
    Duplicate,
    /// It can't be decoded with.
    Refused,
}

/// The shards of a group that have come.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Seqid of its first shard.
    pub(super) start: u32,
    pub(super) stage: Stage,
    /// Whether it was joined when part of it may have gone by already.
    pub(super) partial: bool,
    /// A bit for each place that has been seen.
    seen: [u64; 4],
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    place: u8,
    coded: Vec<u8>,
}

/// Data that was made good, in one buffer.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    bytes: Vec<u8>,
    /// Bytes in use.
    end: usize,
    /// Where the segments lie.
    segments: Vec<Range<usize>>,
    next: usize,
}

impl Recovered {
    pub(super) fn clear(&mut self) {
        self.segments.clear();
        (self.end, self.next) = (0, 0);
    }

    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Bytes of its buffer.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The segments of the next one.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let segments = self.segments.get(self.next)?.clone();
        self.next += 1;
        Some(&self.bytes[segments])
    }

    /// Room behind what is there already.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < self.end + len {
            self.bytes.resize(self.end + len, 0);
        }
        &mut self.bytes[self.end..][..len]
    }

    /// Takes over what was written there; the segments lie at these places in it.
    fn keep(&mut self, len: usize, segments: impl Iterator<Item = Range<usize>>) {
        let start = self.end;
        self.segments.extend(segments.map(|range| start + range.start..start + range.end));
        self.end += len;
    }
}

/// What decoding needs beside a group, kept to be used again.
#[derive(Debug)]
pub(super) struct Workshop {
    kernel: Kernel,
    matrix: Matrix,
    known: Vec<u8>,
    wanted: Vec<u8>,
    lens: Vec<usize>,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let matrix = Matrix::default();
        Self { kernel: Kernel::best(), matrix, known: Vec::new(), wanted: Vec::new(), lens: Vec::new() }
    }
}

impl Group {
    /// The first group of all.
    pub(super) fn first(start: u32) -> Self {
        Self { start, ..Self::default() }
    }

    /// A group that is joined at some place: what comes before it was handed on, or was lost.
    pub(super) fn joined(start: u32, place: usize) -> Self {
        let mut group = Self { start, partial: true, ..Self::default() };
        (0..place).for_each(|place| group.seen[place / 64] |= 1 << (place % 64));
        group
    }

    /// Makes it another, empty group.
    pub(super) fn restart(&mut self, start: u32, pool: &mut Pool) {
        self.release(pool);
        (self.start, self.stage, self.partial, self.seen) = (start, Stage::Collecting, false, [0; 4]);
    }

    /// Gives the shards back.
    pub(super) fn release(&mut self, pool: &mut Pool) {
        self.kept.drain(..).for_each(|kept| pool.take_back(kept.coded));
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.seen[place / 64] >> (place % 64) & 1 == 1
    }

    /// Parity shards that are kept.
    pub(super) fn parity(&self, fec: Fec) -> usize {
        self.kept.iter().filter(|kept| usize::from(kept.place) >= fec.data()).count()
    }

    /// Whether all data has come or was recovered.
    pub(super) fn has_all_data(&self, fec: Fec) -> bool {
        self.stage == Stage::Done || (0..fec.data()).all(|place| self.has(place))
    }

    /// Takes a shard that belongs here.
    pub(super) fn add(&mut self, fec: Fec, place: usize, shard: Shard<'_>, pool: &mut Pool) -> Added {
        if self.has(place) {
            let same = |kept: &Kept| usize::from(kept.place) != place || kept.coded == shard.coded;
            if !self.kept.iter().all(same) {
                self.spoil(pool);
            }
            return Added::Duplicate;
        }
        self.seen[place / 64] |= 1 << (place % 64);
        if self.stage == Stage::Done {
            return Added::Late;
        }
        if self.stage == Stage::Spoiled || (place < fec.data() && !shard.is_sound()) {
            return Added::Refused;
        }
        let Some(coded) = pool.copy(shard.coded) else { return Added::Refused };
        self.kept.push(Kept { place: place as u8, coded });
        if self.kept.len() == fec.data() { Added::Complete } else { Added::Kept }
    }

    fn spoil(&mut self, pool: &mut Pool) {
        if self.stage == Stage::Collecting {
            self.stage = Stage::Spoiled;
            self.release(pool);
        }
    }

    /// Makes good what is missing, of a group that is complete. False if what comes out is no segments.
    pub(super) fn decode(
        &mut self,
        fec: Fec,
        conv: Option<u32>,
        shop: &mut Workshop,
        out: &mut Recovered,
    ) -> bool {
        shop.wanted.clear();
        shop.wanted.extend((0..fec.data()).filter(|&place| !self.has(place)).map(|place| place as u8));
        self.stage = Stage::Done;
        if shop.wanted.is_empty() {
            return true;
        }
        // The longest first: those that reach to some place are then the first ones.
        if !self.kept.is_sorted_by_key(|kept| Reverse(kept.coded.len())) {
            self.kept.sort_unstable_by_key(|kept| Reverse(kept.coded.len()));
        }
        let longest = self.kept[0].coded.len();
        let is_parity = |kept: &Kept| usize::from(kept.place) >= fec.data();
        if !self.kept.iter().all(|kept| !is_parity(kept) || kept.coded.len() == longest) {
            self.stage = Stage::Spoiled;
            return false;
        }
        shop.known.clear();
        shop.known.extend(self.kept.iter().map(|kept| kept.place));
        shop.matrix.interpolate(&shop.known, &shop.wanted);
        let rows = shop.wanted.len();
        let room = out.room(rows * longest);
        self.multiply(shop, longest, room);
        shop.lens.clear();
        for coded in room.chunks(longest) {
            let Some(len) = self.check(fec, conv, coded) else {
                self.stage = Stage::Spoiled;
                return false;
            };
            shop.lens.push(len);
        }
        let segments = shop.lens.iter().enumerate().map(|(row, len)| {
            let start = row * longest + SIZE_FIELD;
            start..start + len
        });
        out.keep(rows * longest, segments);
        true
    }

    fn multiply(&self, shop: &Workshop, longest: usize, out: &mut [u8]) {
        let rows = shop.wanted.len();
        let (mut start, mut count) = (0, self.kept.len());
        while count > 0 {
            let end = self.kept[count - 1].coded.len();
            if start < end {
                for (n, kept) in self.kept[..count].chunks(AT_ONCE).enumerate() {
                    let mut inputs: [&[u8]; AT_ONCE] = [&[]; AT_ONCE];
                    inputs.iter_mut().zip(kept).for_each(|(input, kept)| *input = &kept.coded);
                    let (range, set) = (start..end, n == 0);
                    let target = Target { out, stride: longest, rows, range, set };
                    shop.matrix.multiply(shop.kernel, n * AT_ONCE, &inputs[..kept.len()], target);
                }
                start = end;
            }
            count -= 1;
        }
    }

    /// The length of the segments in a shard that was recovered, if they are some: of the conversation that the others
    /// are of, or of the latest one; they fill the size exactly; and nothing but zeros follows.
    fn check(&self, fec: Fec, conv: Option<u32>, coded: &[u8]) -> Option<usize> {
        let size = usize::from(size(coded));
        if !coded.get(size..)?.iter().all(|&byte| byte == 0) {
            return None;
        }
        let content = coded.get(SIZE_FIELD..size).filter(|content| !content.is_empty())?;
        let data = || self.kept.iter().filter(|kept| usize::from(kept.place) < fec.data());
        for segment in segments(content) {
            let found = segment.ok()?.conv();
            let known = data().any(|kept| kept.coded[SIZE_FIELD..][..4] == found.to_le_bytes());
            if !known && conv != Some(found) {
                return None;
            }
        }
        Some(content.len())
    }
}
