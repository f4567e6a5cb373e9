//! What is on its way out: one ring of slots, first the segments in flight, then the queued ones.
//!
//! ```text
//!   unacked            next                end
//!     │  in flight       │  queued           │
//!     ▼ (snd_buf)        ▼ (snd_queue)       ▼
//! ──[ 7 ][ 8 ][ 9 ][ 10 ][ 11 ][ 12 ][ 13.. ]── free
//!                                       └ open: takes further writes until it is sent
//! ```
//!
//! A slot has room for a header in front of its data, so that full segments are sent straight from
//! here. The ring grows by doubling and is given back when the connection is idle; as long as all
//! segments are small, so are its slots.

use crate::{
    config::MAX_FRAGMENTS,
    seq::{SeqNumber, Timestamp},
    wire::{FIN_FRAGMENT, HEADER_SIZE},
};
use std::time::{Duration, Instant};

/// Queued segments beyond the send window, so that an acknowledgement finds something to send.
const QUEUE_AHEAD: u32 = 128;

/// Data that a slot has room for at first.
const SMALL_SLOT: usize = 232;

/// Segments of one batch: a waiting writer is woken when that many are free.
const WAKE_BATCH: u32 = 48;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Queued,
    InFlight,
    /// Selectively acknowledged: not sent again, but only `una` delivers it.
    Marked,
    /// To be sent again.
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) sent_at: Instant,
    /// Number of its latest transmission, counted over the connection.
    pub(crate) transmission: u64,
    /// Its own timeout, back-off included.
    pub(crate) rto: Duration,
    pub(crate) first_timestamp: Timestamp,
    pub(crate) timestamp: Timestamp,
    /// What `una` had covered when it last left: a peer that answers it with less has forgotten us.
    pub(crate) unacked: SeqNumber,
    /// How often it was sent (`xmit`).
    pub(crate) transmissions: u32,
    /// Acknowledged by a sending before the latest, as far as that can be told.
    pub(crate) in_vain: bool,
    /// Bytes of segments of the datagram that it last left in.
    datagram: u16,
    len: u32,
    pub(crate) fragment: u8,
    pub(crate) state: SlotState,
}

impl Slot {
    /// Bytes of segments of the datagram that it last left in.
    #[inline]
    pub(crate) fn datagram(&self) -> usize {
        usize::from(self.datagram)
    }

    /// See [`datagram`](Self::datagram): 65,507 at most.
    #[inline]
    pub(crate) fn set_datagram(&mut self, bytes: usize) {
        self.datagram = u16::try_from(bytes).unwrap_or(u16::MAX);
    }

    /// Bytes of data in it.
    pub(crate) fn data_len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of the application in it.
    pub(crate) fn payload_len(&self) -> u64 {
        if self.fragment == FIN_FRAGMENT { 0 } else { u64::from(self.len) }
    }
}

/// Room for a HELLO or WELCOME in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reserve {
    bytes: usize,
    /// The first segment of all always leaves it free,
    first: SeqNumber,
    /// and others as long as this lasts.
    pub(super) all: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct SendRing {
    /// Empty, or a power of two in number; indexed by `sn`.
    slots: Vec<Slot>,
    /// One stride a slot: header room, then data.
    bytes: Vec<u8>,
    /// Bytes of data that new segments take.
    segment_size: usize,
    /// The same at first, before the path was found to be smaller.
    full_size: usize,
    /// Segments before it may be larger than new ones.
    oversize_before: Option<SeqNumber>,
    /// Bytes that certain segments leave free, for a block in front of them.
    pub(super) reserve: Reserve,
    /// Data that a slot has room for: small at first, then a whole segment.
    slot_size: usize,
    /// First segment that `una` hasn't covered (`snd_una`).
    pub(crate) unacked: SeqNumber,
    /// First segment that was never sent (`snd_nxt`).
    pub(crate) next: SeqNumber,
    /// One past the last queued.
    pub(crate) end: SeqNumber,
    /// The last queued segment takes further writes.
    pub(super) open: bool,
    created: Instant,
}

impl SendRing {
    pub(crate) fn new(segment_size: usize, first: SeqNumber, created: Instant) -> Self {
        Self {
            slots: Vec::new(),
            bytes: Vec::new(),
            segment_size,
            full_size: segment_size,
            oversize_before: None,
            reserve: Reserve { bytes: 0, first, all: false },
            slot_size: segment_size.min(SMALL_SLOT),
            unacked: first,
            next: first,
            end: first,
            open: false,
            created,
        }
    }

    /// From now on so many bytes are left free in the first segment, and in all until
    /// [`release_reserve`](Self::release_reserve).
    pub(crate) fn reserve(&mut self, bytes: usize) {
        (self.reserve.bytes, self.reserve.all) = (bytes, true);
    }

    pub(crate) fn release_reserve(&mut self) {
        self.reserve.all = false;
    }

    /// Bytes of data that a segment takes.
    #[inline]
    fn capacity(&self, sn: SeqNumber) -> usize {
        let reserved = self.reserve.all || sn == self.reserve.first;
        self.segment_size - if reserved { self.reserve.bytes } else { 0 }
    }

    #[inline]
    fn index(&self, sn: SeqNumber) -> usize {
        sn.0 as usize & (self.slots.len() - 1)
    }

    /// The slot of a segment in `unacked..end`.
    #[inline]
    pub(crate) fn slot(&self, sn: SeqNumber) -> &Slot {
        debug_assert!(sn.is_within(self.unacked, self.end));
        &self.slots[self.index(sn)]
    }

    /// The slot of a segment in `unacked..end`, to change.
    #[inline]
    pub(crate) fn slot_mut(&mut self, sn: SeqNumber) -> &mut Slot {
        debug_assert!(sn.is_within(self.unacked, self.end));
        let index = self.index(sn);
        &mut self.slots[index]
    }

    /// The data of a segment in `unacked..end`.
    #[inline]
    pub(crate) fn data(&self, sn: SeqNumber) -> &[u8] {
        let index = self.index(sn);
        let start = index * self.stride() + HEADER_SIZE;
        &self.bytes[start..start + self.slots[index].len as usize]
    }

    #[inline]
    pub(crate) fn data_len(&self, sn: SeqNumber) -> usize {
        self.slot(sn).data_len()
    }

    #[inline]
    fn stride(&self) -> usize {
        HEADER_SIZE + self.slot_size
    }

    /// Segments sent and not yet delivered.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.next.distance_from(self.unacked)
    }

    /// Segments never sent.
    #[inline]
    pub(crate) fn queued(&self) -> u32 {
        self.end.distance_from(self.next)
    }

    /// Bytes never sent.
    pub(crate) fn queued_bytes(&self) -> u64 {
        (0..self.queued()).map(|n| self.slot(self.next.plus(n)).payload_len()).sum()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.unacked == self.end
    }

    /// Segments that may still be queued with this send window.
    #[inline]
    fn free(&self, window: u32) -> u32 {
        let limit = window + window.min(QUEUE_AHEAD);
        limit.saturating_sub(self.end.distance_from(self.unacked))
    }

    /// Whether a write would take at least a byte.
    #[inline]
    pub(crate) fn has_room(&self, window: u32) -> bool {
        self.open || self.free(window) > 0
    }

    /// Whether so much is free that a waiting writer is worth waking.
    #[inline]
    pub(crate) fn has_worthwhile_room(&self, window: u32) -> bool {
        self.free(window) >= WAKE_BATCH.min(window.div_ceil(2))
    }

    /// Queues bytes in stream mode; returns how many were taken.
    pub(crate) fn write(&mut self, mut data: &[u8], window: u32) -> usize {
        let offered = data.len();
        let mut free = self.free(window);
        while !data.is_empty() {
            if !self.open {
                if free == 0 {
                    break;
                }
                free -= 1;
                self.push_slot(0);
                self.open = true;
            }
            let taken = self.fill_last(data, self.capacity(self.end.plus(u32::MAX)));
            data = &data[taken..];
        }
        offered - data.len()
    }

    /// Queues a whole message, cut into fragments. The caller has checked that it may be sent.
    pub(crate) fn push_message(&mut self, message: &[u8]) {
        // Where the path has become smaller, the longest messages need larger fragments than others.
        let first = self.capacity(self.end).max(message.len().div_ceil(MAX_FRAGMENTS));
        let (first, rest) = message.split_at(first.min(message.len()));
        // The others are alike.
        let size = self.capacity(self.end.plus(1)).max(rest.len().div_ceil(MAX_FRAGMENTS - 1));
        let mut left = 1 + rest.len().div_ceil(size);
        for fragment in std::iter::once(first).chain(rest.chunks(size)) {
            left -= 1;
            self.push_slot(left as u8);
            self.fill_last(fragment, fragment.len());
            self.open = false;
        }
        if first.len().max(size) > self.segment_size {
            self.oversize_before = Some(self.end);
        }
    }

    /// Queues the end, behind everything.
    pub(crate) fn push_fin(&mut self, block: &[u8]) -> SeqNumber {
        let sn = self.end;
        self.push_slot(FIN_FRAGMENT);
        self.fill_last(block, block.len());
        self.open = false;
        sn
    }

    /// Bytes of the longest message, wherever it stands in the conversation, and whatever the path.
    pub(crate) fn max_message(&self) -> usize {
        MAX_FRAGMENTS * (self.full_size - self.reserve.bytes)
    }

    /// Fills the last segment up to `capacity`; returns how many bytes were taken.
    fn fill_last(&mut self, data: &[u8], capacity: usize) -> usize {
        let index = self.index(self.end.plus(u32::MAX));
        let stored = self.slots[index].len as usize;
        let taken = data.len().min(capacity.saturating_sub(stored));
        if stored + taken > self.slot_size {
            let fits = stored + taken <= self.segment_size;
            self.resize(self.slots.len(), if fits { self.segment_size } else { self.full_size });
        }
        let start = index * self.stride() + HEADER_SIZE + stored;
        self.bytes[start..start + taken].copy_from_slice(&data[..taken]);
        self.slots[index].len += taken as u32;
        self.open = stored + taken < capacity;
        taken
    }

    fn push_slot(&mut self, fragment: u8) {
        if self.end.distance_from(self.unacked) as usize == self.slots.len() {
            self.resize((self.slots.len() * 2).max(2), self.slot_size);
        }
        let index = self.index(self.end);
        self.slots[index] = Slot { fragment, ..self.vacant() };
        self.end = self.end.plus(1);
    }

    fn vacant(&self) -> Slot {
        Slot {
            sent_at: self.created,
            transmission: 0,
            rto: Duration::ZERO,
            first_timestamp: Timestamp(0),
            timestamp: Timestamp(0),
            unacked: self.unacked,
            transmissions: 0,
            in_vain: false,
            datagram: 0,
            len: 0,
            fragment: 0,
            state: SlotState::Queued,
        }
    }

    #[cold]
    fn resize(&mut self, count: usize, slot_size: usize) {
        let mut grown = Self {
            slots: vec![self.vacant(); count],
            bytes: vec![0; count * (HEADER_SIZE + slot_size)],
            slot_size,
            ..Self::new(self.segment_size, self.unacked, self.created)
        };
        let mut sn = self.unacked;
        while sn != self.end {
            let (from, to) = (self.index(sn), grown.index(sn));
            let used = HEADER_SIZE + self.slots[from].len as usize;
            grown.slots[to] = self.slots[from];
            let (from, to) = (from * self.stride(), to * grown.stride());
            grown.bytes[to..][..used].copy_from_slice(&self.bytes[from..][..used]);
            sn = sn.plus(1);
        }
        (self.slots, self.bytes, self.slot_size) = (grown.slots, grown.bytes, grown.slot_size);
    }

    /// How many full segments from `next` on lie one behind the other in memory, at most `most`.
    pub(crate) fn full_run(&self, most: usize) -> usize {
        if self.slots.is_empty() || self.slot_size != self.segment_size {
            return 0;
        }
        let first = self.index(self.next);
        let most = most.min(self.slots.len() - first).min(self.queued() as usize);
        let run = &self.slots[first..first + most];
        run.iter().take_while(|slot| slot.len as usize == self.segment_size).count()
    }

    /// Puts the header in front of a segment's data, where room was left for it.
    #[inline]
    pub(crate) fn stamp(&mut self, sn: SeqNumber, header: &[u8; HEADER_SIZE]) {
        let start = self.index(sn) * self.stride();
        self.bytes[start..start + HEADER_SIZE].copy_from_slice(header);
    }

    /// `count` segments from `first` on, with their headers: a run that was stamped.
    pub(crate) fn stamped_run(&self, first: SeqNumber, count: usize) -> &[u8] {
        let start = self.index(first) * self.stride();
        &self.bytes[start..start + count * self.stride()]
    }

    /// Takes the next queued segment into flight.
    #[inline]
    pub(crate) fn advance_next(&mut self) {
        self.next = self.next.plus(1);
        if self.next == self.end {
            self.open = false;
        }
    }

    /// Frees all segments below `una`, which lies in `unacked..=next`; returns their bytes.
    pub(crate) fn release_below(&mut self, una: SeqNumber, mut each: impl FnMut(&Slot)) -> u64 {
        let mut bytes = 0;
        while self.unacked != una {
            let slot = self.slot(self.unacked);
            bytes += slot.payload_len();
            each(slot);
            self.unacked = self.unacked.plus(1);
        }
        if self.oversize_before.is_some() {
            self.fit_slots();
        }
        bytes
    }

    /// New segments take so many bytes; those that there are stay as they are: their numbers are given.
    pub(crate) fn set_segment_size(&mut self, size: usize) {
        self.segment_size = size;
        self.slot_size = if self.slots.is_empty() { size.min(SMALL_SLOT) } else { self.slot_size };
        self.oversize_before = Some(self.end);
        self.fit_slots();
    }

    /// Slots lie close together again, once none needs more.
    fn fit_slots(&mut self) {
        if self.oversize_before.is_some_and(|end| self.unacked.is_before(end)) {
            return;
        }
        self.oversize_before = None;
        if self.slot_size > self.segment_size {
            self.resize(self.slots.len(), self.segment_size);
        }
    }

    /// Gives the memory back if nothing is stored.
    pub(crate) fn release_memory(&mut self) {
        if self.is_empty() {
            (self.slots, self.bytes) = (Vec::new(), Vec::new());
            self.slot_size = self.segment_size.min(SMALL_SLOT);
        }
    }

    /// Drops all that is stored.
    pub(crate) fn discard(&mut self) {
        self.unacked = self.end;
        self.next = self.end;
        self.open = false;
        self.release_memory();
    }

    pub(crate) fn holds_memory(&self) -> bool {
        !self.slots.is_empty()
    }
}
