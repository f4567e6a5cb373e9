//! What has come in: segments out of order wait in `reordering` (`rcv_buf`), data in order is
//! copied into `ready` (`rcv_queue`), so that unread bytes pin no receive buffer.

use super::byte_ring::ByteRing;
use crate::seq::SeqNumber;
use std::collections::VecDeque;

/// What became of a PUSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It was next: data has become ready.
    InOrder,
    /// Kept until the gap before it closes.
    OutOfOrder,
    /// Received before: acknowledged again.
    Duplicate,
    /// Beyond the window or the peer's end, or the buffers are full: not acknowledged.
    Refused,
}

/// A message can't be received whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message larger than the receive window of {window} segments")]
pub struct MessageError {
    /// The receive window, in segments.
    pub window: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) fragment: u8,
    pub(super) data: Box<[u8]>,
}

/// Length and `frg` of an unread segment, packed: a datagram can't hold 2^24 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread(u32);

impl Unread {
    fn new(len: usize, fragment: u8) -> Self {
        Self(len as u32 | u32::from(fragment) << 24)
    }

    fn len(self) -> usize {
        (self.0 & 0x00ff_ffff) as usize
    }

    fn fragment(self) -> u8 {
        (self.0 >> 24) as u8
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ReceiveQueue {
    /// Next segment expected (`rcv_nxt`).
    pub(crate) next: SeqNumber,
    /// Segments that may wait for the reader.
    window: u32,
    /// The window that the socket's buffer allows so far.
    limit: u32,
    /// The furthest right edge that was advertised: never taken back.
    pub(super) edge: SeqNumber,
    /// Bytes held back in `ready` and `reordering` at most.
    byte_limit: usize,
    /// Indexed by `sn`; empty, or a power of two in size.
    pub(super) reordering: Vec<Option<Waiting>>,
    pub(super) reordering_count: usize,
    reordering_bytes: usize,
    ready: ByteRing,
    pub(super) unread: VecDeque<Unread>,
    /// Segments with `frg` 0 in `unread`: ends of messages.
    complete: u32,
    /// A segment within the window was refused for want of bytes: nothing fits until something is read.
    pub(super) refusing: bool,
    /// Segments without data, in order.
    pub(crate) empty: u64,
    /// A bound on what is advertised, for a peer that has proven nothing yet.
    pub(super) cap: u32,
    /// Where the peer's data ends, once its FIN is here.
    pub(super) fin: Option<SeqNumber>,
    /// All before the FIN is here too.
    pub(super) finished: bool,
    /// `frg` of the last segment in order.
    pub(super) last_fragment: u8,
}

impl ReceiveQueue {
    pub(crate) fn new(first: SeqNumber, window: u32, segment_size: usize) -> Self {
        Self {
            next: first,
            window,
            limit: u32::MAX,
            // What a peer assumes before it has heard anything is 32 (kcp-go) or 128 (ikcp.c).
            edge: first.plus(window.min(128)),
            byte_limit: byte_limit(window, segment_size),
            reordering: Vec::new(),
            reordering_count: 0,
            reordering_bytes: 0,
            ready: ByteRing::default(),
            unread: VecDeque::new(),
            complete: 0,
            refusing: false,
            empty: 0,
            cap: u32::MAX,
            fin: None,
            finished: false,
            last_fragment: 0,
        }
    }

    pub(crate) fn set_window(&mut self, window: u32, segment_size: usize) {
        self.window = window;
        self.byte_limit = self.byte_limit.max(byte_limit(window, segment_size));
    }

    /// Advertises no more than `segments` for now.
    pub(crate) fn set_limit(&mut self, segments: u32) {
        self.limit = segments.max(1);
    }

    /// Advertises no more than that until it is taken back (`None`).
    pub(crate) fn set_cap(&mut self, segments: Option<u32>) {
        self.cap = segments.unwrap_or(u32::MAX);
    }

    pub(crate) fn window(&self) -> u32 {
        self.window
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.min(self.window).min(self.cap)
    }

    /// The window to advertise now.
    #[inline]
    pub(crate) fn advertise(&mut self) -> u16 {
        let free = self.free();
        let edge = self.next.plus(free);
        if self.edge.is_before(edge) {
            self.edge = edge;
        }
        // An edge once advertised holds, unless the buffers are full of large segments; that of the beginning
        // was only assumed.
        u16::try_from(self.promised().min(self.cap)).unwrap_or(u16::MAX)
    }

    /// Segments that the peer may still send by what was advertised; none if they don't fit.
    pub(crate) fn promised(&self) -> u32 {
        if self.is_full() {
            return 0;
        }
        (self.edge.ahead_of(self.next).max(0) as u32).min(self.cap)
    }

    /// Segments that there is room for.
    #[inline]
    pub(crate) fn free(&self) -> u32 {
        if self.is_full() { 0 } else { self.limit().saturating_sub(self.unread.len() as u32) }
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.refusing || self.ready.len() + self.reordering_bytes >= self.byte_limit
    }

    /// A PUSH has come.
    #[inline]
    pub(crate) fn push(&mut self, sn: SeqNumber, fragment: u8, data: &[u8]) -> Pushed {
        if sn.is_before(self.next) {
            return Pushed::Duplicate;
        }
        if !sn.is_before(self.edge) || self.fin.is_some_and(|fin| !sn.is_before(fin)) {
            return Pushed::Refused;
        }
        if !self.has_bytes_for(sn, data.len()) {
            self.refusing = true;
            return Pushed::Refused;
        }
        if sn == self.next {
            self.accept(fragment, data);
            if self.reordering_count > 0 {
                self.drain_reordering();
            }
            self.finish_if_complete();
            return Pushed::InOrder;
        }
        self.keep(sn, fragment, data)
    }

    /// The peer's end has come: its own place in the sequence. Of two the first counts.
    pub(crate) fn push_fin(&mut self, sn: SeqNumber) -> Pushed {
        if sn.is_before(self.next) || self.fin == Some(sn) {
            return Pushed::Duplicate;
        }
        if !sn.is_before(self.edge) || self.fin.is_some() {
            return Pushed::Refused;
        }
        self.fin = Some(sn);
        self.finish_if_complete();
        if self.finished { Pushed::InOrder } else { Pushed::OutOfOrder }
    }

    fn finish_if_complete(&mut self) {
        if self.fin == Some(self.next) {
            self.next = self.next.plus(1);
            self.finished = true;
            self.discard_reordering();
        }
    }

    /// Whether all that the peer had to say is here, its end too.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether what is in order ends within a message.
    pub(crate) fn ends_within_message(&self) -> bool {
        self.last_fragment != 0
    }

    /// Bytes that unread and reordered data take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.ready.len() + self.reordering_bytes
    }

    /// The bound on bytes gives way to the one segment that everything waits for.
    #[inline]
    fn has_bytes_for(&self, sn: SeqNumber, len: usize) -> bool {
        self.ready.len() + self.reordering_bytes + len <= self.byte_limit
            || (sn == self.next && self.ready.len() == 0)
    }

    #[inline]
    fn accept(&mut self, fragment: u8, data: &[u8]) {
        self.next = self.next.plus(1);
        self.last_fragment = fragment;
        if data.is_empty() {
            return self.end_message(fragment);
        }
        self.ready.push(data);
        self.unread.push_back(Unread::new(data.len(), fragment));
        self.complete += u32::from(fragment == 0);
    }

    /// A segment without data has no byte that a reader could be told of; but it may end a message.
    fn end_message(&mut self, fragment: u8) {
        self.empty += 1;
        if let Some(last) = self.unread.back_mut()
            && fragment == 0
            && last.fragment() != 0
        {
            *last = Unread::new(last.len(), 0);
            self.complete += 1;
        }
    }

    fn keep(&mut self, sn: SeqNumber, fragment: u8, data: &[u8]) -> Pushed {
        let span = sn.distance_from(self.next) as usize + 1;
        if span > self.reordering.len() {
            self.grow_reordering(span);
        }
        let index = self.reordering_index(sn);
        let place = &mut self.reordering[index];
        if place.is_some() {
            return Pushed::Duplicate;
        }
        *place = Some(Waiting { fragment, data: data.into() });
        self.reordering_count += 1;
        self.reordering_bytes += data.len();
        Pushed::OutOfOrder
    }

    fn drain_reordering(&mut self) {
        while self.fin != Some(self.next) {
            let index = self.reordering_index(self.next);
            let Some(waiting) = self.reordering[index].take() else { break };
            self.reordering_count -= 1;
            self.reordering_bytes -= waiting.data.len();
            self.accept(waiting.fragment, &waiting.data);
        }
    }

    #[inline]
    fn reordering_index(&self, sn: SeqNumber) -> usize {
        sn.0 as usize & (self.reordering.len() - 1)
    }

    #[cold]
    fn grow_reordering(&mut self, span: usize) {
        let old = std::mem::take(&mut self.reordering);
        self.reordering = vec![None; span.next_power_of_two().max(16)];
        // Every number kept lies within one old length above `next`, so its old place tells it.
        for offset in 0..old.len() as u32 {
            let sn = self.next.plus(offset);
            if let Some(waiting) = &old[sn.0 as usize & (old.len() - 1)] {
                let index = self.reordering_index(sn);
                self.reordering[index] = Some(waiting.clone());
            }
        }
    }

    /// Bytes in order, not yet read.
    #[inline]
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Segments kept until a gap closes.
    pub(crate) fn waiting_segments(&self) -> usize {
        self.reordering_count
    }

    /// Takes up to `max` bytes across segments; returns how many.
    pub(crate) fn read(&mut self, max: usize, take: impl FnMut(&[u8])) -> usize {
        let read = self.ready.pop(max, take);
        self.refusing &= read == 0;
        let mut left = read;
        while left > 0 {
            let Some(front) = self.unread.front_mut() else { break };
            if front.len() > left {
                *front = Unread::new(front.len() - left, front.fragment());
                break;
            }
            left -= front.len();
            self.complete -= u32::from(front.fragment() == 0);
            self.unread.pop_front();
        }
        read
    }

    /// Bytes of the next whole message, if it has arrived.
    pub(crate) fn message_len(&self) -> Result<Option<usize>, MessageError> {
        if self.complete == 0 {
            // All that may come is here, and no message ends in it.
            return match self.is_exhausted() {
                true => Err(MessageError { window: self.window }),
                false => Ok(None),
            };
        }
        let end = self.unread.iter().position(|s| s.fragment() == 0);
        Ok(Some(self.unread.iter().take(end.map_or(0, |e| e + 1)).map(|s| s.len()).sum()))
    }

    /// The next whole message, if it has arrived.
    pub(crate) fn read_message(&mut self) -> Result<Option<Vec<u8>>, MessageError> {
        let Some(len) = self.message_len()? else { return Ok(None) };
        let mut message = Vec::with_capacity(len);
        self.read(len, |piece| message.extend_from_slice(piece));
        Ok(Some(message))
    }

    /// Whether [`read_message`](Self::read_message) has something to say.
    pub(crate) fn has_message(&self) -> bool {
        self.complete > 0 || self.is_exhausted()
    }

    /// Nothing more fits, and nothing more was promised.
    fn is_exhausted(&self) -> bool {
        // A peer that has proven nothing yet will be promised more.
        self.cap == u32::MAX && !self.unread.is_empty() && self.free() == 0 && self.promised() == 0
    }

    /// Drops all that is unread.
    pub(crate) fn discard(&mut self) {
        self.ready.discard();
        self.unread = VecDeque::new();
        self.complete = 0;
        self.discard_reordering();
    }

    pub(crate) fn discard_reordering(&mut self) {
        self.reordering = Vec::new();
        (self.reordering_count, self.reordering_bytes) = (0, 0);
    }

    /// Gives memory back where nothing is stored.
    pub(crate) fn release_memory(&mut self) {
        self.ready.release();
        if self.unread.is_empty() {
            self.unread = VecDeque::new();
        }
        if self.reordering_count == 0 {
            self.reordering = Vec::new();
        }
    }

    pub(crate) fn holds_memory(&self) -> bool {
        self.ready.capacity() > 0 || !self.reordering.is_empty() || self.unread.capacity() > 0
    }
}

/// A peer may send larger segments than we do; but a window of its largest must not cost 65 MB.
fn byte_limit(window: u32, segment_size: usize) -> usize {
    window as usize * segment_size.max(2_048)
}
