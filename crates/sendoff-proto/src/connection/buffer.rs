//! The buffer that datagrams are written into: one batch of equal size, ready for one system call.

use crate::fec::{Gap, Plan};

/// Datagrams of a batch at most: what Linux takes in one GSO send (`UDP_MAX_SEGMENTS` before 6.9).
pub(crate) const MAX_DATAGRAMS: usize = 64;

/// Bytes of a batch at most: a batch is one UDP payload to the kernel.
pub(crate) const MAX_BYTES: usize = 65_507;

/// A batch that is ready to be sent: datagrams equal in size but for the last, which may be shorter.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    contents: &'a [u8],
    datagram_size: usize,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(contents: &'a [u8], datagram_size: usize) -> Self {
        Self { contents, datagram_size }
    }

    /// All datagrams, one behind the other.
    pub fn contents(&self) -> &'a [u8] {
        self.contents
    }

    /// Size of each datagram but the last, which has what is left.
    pub fn datagram_size(&self) -> usize {
        self.datagram_size
    }

    /// The datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.contents.chunks(self.datagram_size.max(1))
    }
}

/// A batch of datagrams to one peer, equal in size but for the last, which may be shorter.
///
/// Made once and reused. Around the segments of each datagram, room can be left in front and behind
/// for headers and tags that are put in later, in place.
#[derive(Clone, Debug)]
pub struct TransmitBuffer {
    bytes: Vec<u8>,
    datagram_size: usize,
    count: usize,
    max_datagrams: usize,
    front: usize,
    back: usize,
    /// Where to leave room for parity shards.
    plan: Option<Plan>,
    /// A bit for each datagram that is such room.
    gaps: u64,
    /// Whether the last datagram ends the batch.
    closed: bool,
}

impl Default for TransmitBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl TransmitBuffer {
    /// A buffer for up to 64 datagrams and 65,507 bytes, without room around the segments.
    pub fn new() -> Self {
        Self::with_room(0, 0)
    }

    /// The same, with so many bytes left free at the front and back of each datagram.
    pub fn with_room(front: usize, back: usize) -> Self {
        let (bytes, max_datagrams) = (Vec::new(), MAX_DATAGRAMS);
        Self {
            bytes,
            datagram_size: 0,
            count: 0,
            max_datagrams,
            front,
            back,
            plan: None,
            gaps: 0,
            closed: false,
        }
    }

    /// From now on so many bytes are left free at the front and back of each datagram: those of
    /// [`Config::room_around`](crate::Config::room_around). Forgets the batch.
    pub fn set_room(&mut self, front: usize, back: usize) {
        self.clear();
        (self.front, self.back, self.plan) = (front, back, None);
    }

    /// Takes at most `count` datagrams a batch (1 to 64): what the system can send in one call.
    pub fn set_max_datagrams(&mut self, count: usize) {
        self.max_datagrams = count.clamp(1, MAX_DATAGRAMS);
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The whole batch.
    pub fn contents(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole batch, to be changed in place.
    pub fn contents_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Size of each datagram but the last, which has what is left.
    pub fn datagram_size(&self) -> usize {
        self.datagram_size
    }

    /// Number of datagrams, without the room that was left for parity shards.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The datagrams one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.datagram_size.max(1))
    }

    /// How many datagrams with so many bytes of segments a batch may have.
    pub(crate) fn datagrams_of(&self, size: usize) -> usize {
        self.max_datagrams.min(MAX_BYTES / (self.front + size + self.back))
    }

    /// Whether room for parity is to be left between datagrams.
    pub(crate) fn has_plan(&self) -> bool {
        self.plan.is_some()
    }

    /// Whether room is left around the segments, so that datagrams must be made here.
    pub(crate) fn has_room_around(&self) -> bool {
        self.front + self.back > 0
    }

    /// Makes the batch of segments of that size that lie one behind the other, each in a datagram of its own.
    pub(crate) fn copy_run(&mut self, run: &[u8], size: usize) {
        self.clear();
        self.datagram_size = self.front + size + self.back;
        for segment in run.chunks_exact(size) {
            let start = self.bytes.len();
            self.bytes.resize(start + self.front, 0);
            self.bytes.extend_from_slice(segment);
            self.bytes.resize(start + self.datagram_size, 0);
            self.count += 1;
        }
    }

    /// Forgets the batch; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.datagram_size, self.count, self.gaps, self.closed) = (0, 0, 0, false);
    }

    /// Appends a datagram with these segments, for what doesn't come from a connection. False, and nothing is
    /// done, if the batch can't take it: it is full, the datagram is longer than the others, or a shorter one was the
    /// last.
    pub fn push(&mut self, segments: &[u8]) -> bool {
        let size = segments.len() + self.front + self.back;
        if self.closed || (self.count > 0 && size > self.datagram_size) {
            return false;
        }
        let Some(mut datagram) = self.start(segments.len()) else { return false };
        datagram.append_unlimited(segments, &[]);
        datagram.finish();
        true
    }

    /// Bytes left free at the front and back of each datagram.
    pub(crate) fn room(&self) -> (usize, usize) {
        (self.front, self.back)
    }

    /// Where to leave room for parity shards in the next batch.
    pub(crate) fn set_plan(&mut self, plan: Option<Plan>) {
        self.plan = plan;
    }

    /// A bit for each datagram of the batch that is room for a parity shard.
    pub(crate) fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Leaves the room that the plan wants behind a datagram of full size; false if that ends the batch.
    fn leave_gap(&mut self) -> bool {
        let size = self.datagram_size;
        let Some(plan) = &mut self.plan else { return true };
        match plan.after_datagram(size - self.front - self.back) {
            Gap::None => true,
            Gap::Shards(shards) => {
                let before = self.bytes.len() / size;
                let fits = before + shards <= self.max_datagrams && (before + shards) * size <= MAX_BYTES;
                if fits {
                    self.gaps |= (u64::MAX >> (64 - shards)) << before;
                    self.bytes.resize((before + shards) * size, 0);
                }
                fits
            }
            Gap::End => false,
        }
    }

    /// Starts a datagram; `None` when the batch is full. Segments up to the given length may be appended.
    #[inline]
    pub(crate) fn start(&mut self, mtu: usize) -> Option<OpenDatagram<'_>> {
        let size = if self.count == 0 { mtu + self.front + self.back } else { self.datagram_size };
        let start = self.bytes.len();
        let datagrams = self.count + self.gaps.count_ones() as usize;
        if datagrams == self.max_datagrams || (self.count > 0 && start + size > MAX_BYTES) {
            return None;
        }
        self.bytes.resize(start + self.front, 0);
        let end = start + size - self.back;
        Some(OpenDatagram { end, limit: end, start, buffer: self })
    }
}

/// A datagram under construction.
pub(crate) struct OpenDatagram<'a> {
    buffer: &'a mut TransmitBuffer,
    start: usize,
    end: usize,
    /// Where what is counted must end.
    limit: usize,
}

impl OpenDatagram<'_> {
    /// Bytes that still fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.buffer.bytes.len())
    }

    /// The same, for what isn't counted.
    pub(crate) fn unlimited_room(&self) -> usize {
        self.end - self.buffer.bytes.len()
    }

    /// At most so many bytes.
    pub(crate) fn limit(&mut self, bytes: usize) {
        let start = self.start + self.buffer.front;
        self.limit = self.end.min(start.saturating_add(bytes));
    }

    /// Whether it is the first of its batch.
    pub(crate) fn is_first(&self) -> bool {
        self.start == 0
    }

    /// Bytes of segments so far.
    pub(crate) fn len(&self) -> usize {
        self.buffer.bytes.len() - self.start - self.buffer.front
    }

    /// Takes back what was begun.
    pub(crate) fn abandon(self) {
        self.buffer.bytes.truncate(self.start);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.bytes.len() == self.start + self.buffer.front
    }

    #[inline]
    pub(crate) fn append(&mut self, header: &[u8], data: &[u8]) {
        debug_assert!(header.len() + data.len() <= self.room());
        self.append_unlimited(header, data);
    }

    pub(crate) fn append_unlimited(&mut self, header: &[u8], data: &[u8]) {
        debug_assert!(header.len() + data.len() <= self.unlimited_room());
        self.buffer.bytes.extend_from_slice(header);
        self.buffer.bytes.extend_from_slice(data);
    }

    /// Ends the datagram; false if it is the last of its batch: shorter than the first, or empty.
    #[inline]
    pub(crate) fn finish(self) -> bool {
        if self.is_empty() {
            self.buffer.bytes.truncate(self.start);
            return false;
        }
        let buffer = self.buffer;
        buffer.bytes.resize(buffer.bytes.len() + buffer.back, 0);
        let size = buffer.bytes.len() - self.start;
        if buffer.count == 0 {
            buffer.datagram_size = size;
        }
        buffer.count += 1;
        buffer.closed = size < buffer.datagram_size || !buffer.leave_gap();
        !buffer.closed
    }
}
