//! What the peer has room for, as far as it has told.

use super::INITIAL_REMOTE_WINDOW;
use crate::seq::SeqNumber;

/// The peer's window, and whether it takes anything at all.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Remote {
    /// One past the last segment that the peer has room for (its una + wnd).
    edge: SeqNumber,
    /// The furthest that it ever told.
    told: Option<SeqNumber>,
    /// The window that it told last was 0: what is within the edge is refused for want of bytes.
    full: bool,
    reopened: bool,
    /// It has said that nobody reads there any more.
    pub(super) reads_no_more: bool,
}

impl Remote {
    /// Every KCP assumes a window before it has heard one.
    pub(super) fn new(first: SeqNumber) -> Self {
        Self {
            edge: first.plus(INITIAL_REMOTE_WINDOW),
            told: None,
            full: false,
            reopened: false,
            reads_no_more: false,
        }
    }

    /// Segments from `sn` on that it has room for.
    #[inline]
    pub(super) fn room_from(&self, sn: SeqNumber) -> u32 {
        self.edge.ahead_of(sn).max(0) as u32
    }

    /// Whether it has no room for the first segment in flight.
    pub(super) fn is_closed(&self, unacked: SeqNumber) -> bool {
        self.full || !unacked.is_before(self.edge)
    }

    /// Whether it drops what comes, though that may be within its window.
    #[inline]
    pub(super) fn drops(&self) -> bool {
        self.full || self.reads_no_more
    }

    /// One past the last segment in `unacked..next` whose loss tells something of the path: what the peer has told no
    /// room for, it drops in silence.
    #[inline]
    pub(super) fn takes_before(&self, unacked: SeqNumber, next: SeqNumber) -> SeqNumber {
        if self.drops() { unacked } else { self.told.unwrap_or(next) }
    }

    /// The peer has told its window; `moved`: with an una that is news. Returns from where to where the furthest edge
    /// ever told has moved, if it was told before.
    #[inline]
    pub(super) fn tell(
        &mut self,
        una: SeqNumber,
        window: u16,
        moved: bool,
    ) -> Option<(SeqNumber, SeqNumber)> {
        let edge = una.plus(u32::from(window));
        // Of two with the same una the larger is the newer: an edge is never taken back.
        if moved || self.edge.is_before(edge) {
            self.edge = edge;
        }
        self.reopened |= self.full && window > 0;
        self.full = window == 0;
        let told = self.told;
        if told.is_none_or(|told| told.is_before(edge)) {
            self.told = Some(edge);
        }
        told.filter(|told| told.is_before(edge)).map(|told| (told, edge))
    }

    /// Whether there was no room, and is again, since the last call.
    #[inline]
    pub(super) fn take_reopened(&mut self) -> bool {
        std::mem::take(&mut self.reopened)
    }

    /// The edge that was told last holds, but for what lies below una already.
    pub(super) fn hold_from(&mut self, una: SeqNumber) {
        if self.edge.is_before(una) {
            self.edge = una;
        }
    }
}
