//! Which segments in flight are lost: by later acknowledgements, or by time. Each check costs O(1), amortised.
//!
//! KCP counts for each segment how many later ones were acknowledged (`fastack`), in a walk over the
//! window per acknowledgement. Here each transmission has a number. A segment was skipped `n` times
//! if the `n`-th highest acknowledged number is above that of its own latest transmission; so it
//! suffices to hold the `resend` highest ones against two queues that are in order of transmission:
//! the first sendings (a cursor over the ring) and the retransmissions.
//!
//! An acknowledgement counts for the transmission whose timestamp it echoes. That is the guard of
//! kcp-go's `parse_fastack`: what was sent before can't show that something sent later is lost.

use super::{
    INITIAL_REMOTE_WINDOW,
    path_mtu::PathMtu,
    rtt::Rtt,
    send::{SendRing, SlotState},
};
use crate::{
    fec::LossMeter,
    profile::{Backoff, NoDelay},
    seq::{SeqNumber, Timestamp},
    wire::HEADER_SIZE,
};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::{Duration, Instant},
};

/// Timeouts of the first segment in a row that send all again that has waited as long. After that half, then a quarter,
/// and so on: into a path that carries nothing, a whole window each time would be sent in vain.
const FRUITLESS: u32 = 3;

/// What all segments being acknowledged without una may make wait at most.
const LONGEST_MARKS: Duration = Duration::from_secs(60);

/// What counts of losses in a row at most, for the account of them: longer than parity reaches.
const MOST_IN_A_RUN: u64 = 16;

#[derive(Clone, Debug)]
pub(crate) struct LossDetector {
    /// Number of the next transmission.
    next_transmission: u64,
    /// Every segment before it is acknowledged, lost, or was sent again.
    first_sendings: SeqNumber,
    /// Retransmissions in order; entries are stale once the segment is acknowledged or sent again.
    resent: VecDeque<(u64, SeqNumber)>,
    /// When retransmissions time out; stale in the same way.
    pub(super) deadlines: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    /// To be sent again; stale once acknowledged.
    pub(super) lost: VecDeque<SeqNumber>,
    /// The highest acknowledged transmissions, at most `resend` of them.
    highest: BinaryHeap<Reverse<u64>>,
    pub(super) highest_acked: Option<u64>,
    /// Segments in flight that are selectively acknowledged.
    pub(super) marked: u32,
    /// What was delivered only after it had been sent again counts as lost.
    pub(super) meter: LossMeter,
    /// What was sent later than that can't have been answered by what is handled now.
    latest_answered: Option<Instant>,
    /// How large a datagram gets through.
    pub(super) path: PathMtu,
    /// Timeouts of the first segment in flight since any was acknowledged.
    fruitless: u32,
    /// Timeouts have run out of segments that were not sent again.
    holds: bool,
    /// How often the marks were cleared since una moved.
    clearings: u32,
}

/// What has timed out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimedOut {
    /// Segments that are to be sent again.
    pub(crate) lost: u32,
    /// The first segment in flight is among them.
    pub(crate) head: bool,
}

/// Whose timeouts count, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) timeout: Timeout,
    /// Segments from there on tell nothing of the path: the peer drops them.
    pub(crate) judged: SeqNumber,
    /// Only the first is sent again.
    pub(crate) head_only: bool,
}

/// What an acknowledgement of one segment has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It answers the latest transmission, which left at that instant.
    Latest(Instant),
    /// It answers an earlier transmission.
    Earlier,
    /// Not a timestamp that was ever sent with this segment.
    NotOurs,
}

fn is_later(sent_at: Instant, latest_answered: Option<Instant>) -> bool {
    latest_answered.is_some_and(|latest| sent_at > latest)
}

impl LossDetector {
    pub(crate) fn new(first: SeqNumber, path: PathMtu) -> Self {
        Self {
            path,
            next_transmission: 0,
            first_sendings: first,
            resent: VecDeque::new(),
            deadlines: BinaryHeap::new(),
            lost: VecDeque::new(),
            highest: BinaryHeap::new(),
            highest_acked: None,
            marked: 0,
            meter: LossMeter::bounded(MOST_IN_A_RUN),
            latest_answered: None,
            fruitless: 0,
            holds: false,
            clearings: 0,
        }
    }

    /// Something came from the peer. A round trip that is much shorter than all that were measured is none: of what
    /// was sent again that lately, an earlier sending has arrived, or was made good by parity.
    #[inline]
    pub(super) fn on_received(&mut self, now: Instant, rtt: &Rtt) {
        let least = rtt.smoothed.map(|whole| (whole - whole / 4).saturating_sub(rtt.variance * 4));
        self.latest_answered = least.and_then(|least| now.checked_sub(least));
    }

    /// Notes that the segment leaves now.
    #[inline]
    pub(crate) fn on_sent(
        &mut self,
        ring: &mut SendRing,
        sn: SeqNumber,
        now: Instant,
        ts: Timestamp,
        rto: Duration,
    ) {
        let transmission = self.next_transmission;
        self.next_transmission += 1;
        let unacked = ring.unacked;
        let slot = ring.slot_mut(sn);
        slot.unacked = unacked;
        slot.sent_at = now;
        slot.timestamp = ts;
        slot.transmission = transmission;
        slot.state = SlotState::InFlight;
        slot.transmissions += 1;
        self.path.on_sent(sn, slot.datagram());
        if slot.transmissions == 1 {
            slot.first_timestamp = ts;
            slot.rto = rto;
        } else {
            self.deadlines.push(Reverse((now + slot.rto, transmission, sn.0)));
            self.resent.push_back((transmission, sn));
        }
    }

    /// An ACK for a segment in flight.
    pub(crate) fn on_ack(
        &mut self,
        ring: &mut SendRing,
        sn: SeqNumber,
        echo: Timestamp,
        resend: u32,
    ) -> Acked {
        let slot = ring.slot_mut(sn);
        let latest = echo == slot.timestamp;
        let span = slot.timestamp.0.wrapping_sub(slot.first_timestamp.0);
        if !latest && echo.0.wrapping_sub(slot.first_timestamp.0) > span {
            return Acked::NotOurs;
        }
        let (sent_at, transmission) = (slot.sent_at, slot.transmission);
        if slot.state != SlotState::Marked {
            slot.state = SlotState::Marked;
            self.fruitless = 0;
            slot.in_vain = !latest || is_later(sent_at, self.latest_answered);
            self.marked += 1;
            self.path.on_arrived(slot.datagram(), latest.then_some(sent_at));
            // A duplicate of an ACK tells nothing new: only the first counts.
            if latest {
                self.note_acked(transmission, resend);
            }
        }
        if latest { Acked::Latest(sent_at) } else { Acked::Earlier }
    }

    fn note_acked(&mut self, transmission: u64, resend: u32) {
        self.highest_acked = self.highest_acked.max(Some(transmission));
        if resend > 0 {
            self.highest.push(Reverse(transmission));
            while self.highest.len() > resend as usize {
                self.highest.pop();
            }
        }
    }

    /// `una` has moved: frees what it covers; returns the bytes.
    pub(crate) fn on_una(&mut self, ring: &mut SendRing, una: SeqNumber) -> u64 {
        (self.fruitless, self.clearings) = (0, 0);
        let (marked, meter, latest) = (&mut self.marked, &mut self.meter, self.latest_answered);
        let path = &mut self.path;
        let bytes = ring.release_below(una, |slot| {
            let in_vain = match slot.state {
                SlotState::Marked => slot.in_vain,
                _ => is_later(slot.sent_at, latest),
            };
            meter.record(slot.transmissions > 1 && !in_vain);
            if slot.state == SlotState::Marked {
                *marked -= 1;
            } else {
                path.on_arrived(slot.datagram(), None);
            }
        });
        if self.first_sendings.is_before(una) {
            self.first_sendings = una;
        }
        self.drop_stale(ring);
        bytes
    }

    /// Segments skipped by `resend` acknowledgements become lost; returns how many.
    pub(crate) fn detect_fast(&mut self, ring: &mut SendRing, resend: u32, terms: Terms) -> u32 {
        if resend == 0 || self.highest.len() < resend as usize {
            return 0;
        }
        let Some(&Reverse(edge)) = self.highest.peek() else { return 0 };
        self.detect_below(ring, edge, terms)
    }

    /// Segments skipped at all become lost; returns how many.
    pub(crate) fn detect_early(&mut self, ring: &mut SendRing, terms: Terms) -> u32 {
        self.highest_acked.map_or(0, |edge| self.detect_below(ring, edge, terms))
    }

    fn detect_below(&mut self, ring: &mut SendRing, edge: u64, terms: Terms) -> u32 {
        let mut found = 0;
        while let Some(sn) = self.oldest_first_sending(ring) {
            if ring.slot(sn).transmission >= edge {
                break;
            }
            self.believe_lost(ring, sn, terms.judged);
            found += 1;
        }
        while let Some(&(transmission, sn)) = self.resent.front() {
            if is_current(ring, sn, transmission) {
                if transmission >= edge {
                    break;
                }
                // Sent again by evidence, not by time: its back-off starts over (kcp-go does so).
                ring.slot_mut(sn).rto = terms.timeout.rto;
                self.believe_lost(ring, sn, terms.judged);
                found += 1;
            }
            self.resent.pop_front();
        }
        self.resize(ring);
        found
    }

    /// That transmission has not arrived; which tells something of the path, unless the peer drops it.
    fn believe_lost(&mut self, ring: &mut SendRing, sn: SeqNumber, judged: SeqNumber) {
        if sn.is_before(judged) {
            self.path.on_lost(sn, ring.slot(sn));
        }
        self.mark_lost(ring, sn);
    }

    /// What is made from now on fits the path.
    pub(super) fn resize(&mut self, ring: &mut SendRing) {
        if self.path.take_resized() {
            ring.set_segment_size(self.path.kcp_mtu() - HEADER_SIZE);
        }
    }

    fn mark_lost(&mut self, ring: &mut SendRing, sn: SeqNumber) {
        ring.slot_mut(sn).state = SlotState::Lost;
        self.lost.push_back(sn);
    }

    /// Sends again what is in flight from `from` to `to` and not marked, each with this timeout; returns how many.
    pub(crate) fn resend_between(
        &mut self,
        ring: &mut SendRing,
        from: SeqNumber,
        to: SeqNumber,
        rto: Duration,
    ) -> u32 {
        let mut sn = if from.is_before(ring.unacked) { ring.unacked } else { from };
        let mut found = 0;
        while sn.is_before(to) && sn.is_before(ring.next) {
            if ring.slot(sn).state == SlotState::InFlight {
                ring.slot_mut(sn).rto = rto;
                self.mark_lost(ring, sn);
                found += 1;
            }
            sn = sn.plus(1);
        }
        found
    }

    /// Whether a segment in flight has been skipped by an acknowledgement.
    pub(crate) fn has_skipped(&mut self, ring: &SendRing) -> bool {
        let Some(edge) = self.highest_acked else { return false };
        let first = self.oldest_first_sending(ring);
        first.is_some_and(|sn| ring.slot(sn).transmission < edge)
            || self.resent.front().is_some_and(|&(n, sn)| n < edge && is_current(ring, sn, n))
    }

    /// Segments whose timer has run out become lost, and their timeouts grow. Those beyond the reach only wait on.
    pub(crate) fn detect_timeouts(&mut self, ring: &mut SendRing, now: Instant, terms: Terms) -> TimedOut {
        let mut found = TimedOut::default();
        while let Some(sn) = self.oldest_first_sending(ring) {
            if ring.slot(sn).sent_at + terms.timeout.first() > now {
                break;
            }
            self.first_sendings = sn.plus(1);
            self.on_timeout(ring, sn, now, terms, &mut found);
        }
        while let Some(&Reverse((deadline, transmission, sn))) = self.deadlines.peek() {
            let sn = SeqNumber(sn);
            let current = is_current(ring, sn, transmission);
            if current && deadline > now {
                break;
            }
            self.deadlines.pop();
            if current {
                self.on_timeout(ring, sn, now, terms, &mut found);
            }
        }
        self.resize(ring);
        found
    }

    fn on_timeout(
        &mut self,
        ring: &mut SendRing,
        sn: SeqNumber,
        now: Instant,
        terms: Terms,
        found: &mut TimedOut,
    ) {
        if sn == ring.unacked {
            self.fruitless += 1;
            found.head = true;
        }
        // One that is only marked has no timer: then the others stand for it.
        found.head |= ring.slot(ring.unacked).state == SlotState::Marked;
        let slot = ring.slot_mut(sn);
        terms.timeout.back_off(&mut slot.rto);
        let (deadline, transmission) = (now + slot.rto, slot.transmission);
        if sn.distance_from(ring.unacked) < self.reach(ring, terms) {
            self.believe_lost(ring, sn, terms.judged);
            found.lost += 1;
        } else {
            self.deadlines.push(Reverse((deadline, transmission, sn.0)));
            self.holds = true;
        }
    }

    /// How many segments from the first on are sent again by time. Windows as small as every KCP assumes aren't cut.
    fn reach(&self, ring: &SendRing, terms: Terms) -> u32 {
        if terms.head_only {
            return 1;
        }
        let halvings = self.fruitless.saturating_sub(FRUITLESS).min(31);
        (ring.in_flight() >> halvings).max(INITIAL_REMOTE_WINDOW)
    }

    /// Something was acknowledged after segments were held back: all that is in flight goes again, in its order, unless
    /// it left just now; returns how much.
    #[inline]
    pub(crate) fn release_held(&mut self, ring: &mut SendRing, now: Instant, rto: Duration) -> u32 {
        if !self.holds || self.fruitless > 0 {
            return 0;
        }
        self.holds = false;
        // First sendings that were held back are in their queue again.
        self.first_sendings = ring.unacked;
        self.resend_older(ring, now, rto)
    }

    #[cold]
    fn resend_older(&mut self, ring: &mut SendRing, now: Instant, rto: Duration) -> u32 {
        let (mut sn, mut found) = (ring.unacked, 0);
        while sn.is_before(ring.next) {
            found += u32::from(self.resend_if_older(ring, sn, now, rto));
            sn = sn.plus(1);
        }
        found
    }

    /// The peer has refused what came, and takes it again. The timeouts have grown meanwhile: the first segment shows
    /// whether it is taken.
    pub(crate) fn resend_first(&mut self, ring: &mut SendRing, now: Instant, rto: Duration) {
        self.resend_if_older(ring, ring.unacked, now, rto);
    }

    /// From now on it waits no longer than any other; if that time is over already, it is sent again.
    fn resend_if_older(&mut self, ring: &mut SendRing, sn: SeqNumber, now: Instant, rto: Duration) -> bool {
        let slot = ring.slot_mut(sn);
        if slot.state != SlotState::InFlight {
            return false;
        }
        let sooner = rto < slot.rto;
        slot.rto = rto;
        let due = slot.sent_at + rto;
        if due > now {
            // A first sending has its place in the queue of those, and what waits no shorter than before has its own.
            if sooner && slot.transmissions > 1 {
                self.deadlines.push(Reverse((due, slot.transmission, sn.0)));
            }
            return false;
        }
        self.mark_lost(ring, sn);
        true
    }

    /// What timeouts in vain have changed, as far as it makes a difference in small windows: for fingerprints.
    pub(crate) fn patience(&self) -> (u32, u32, bool) {
        (self.clearings.min(3), self.fruitless.min(FRUITLESS + 2), self.holds)
    }

    /// When the next segment times out.
    pub(crate) fn next_timeout(&mut self, ring: &SendRing, timeout: Timeout) -> Option<Instant> {
        let first = self.oldest_first_sending(ring).map(|sn| ring.slot(sn).sent_at + timeout.first());
        let again = self.deadlines.peek().map(|&Reverse((deadline, ..))| deadline);
        first.into_iter().chain(again).min()
    }

    /// The oldest segment that was sent once and is neither acknowledged nor lost.
    #[inline]
    fn oldest_first_sending(&mut self, ring: &SendRing) -> Option<SeqNumber> {
        while self.first_sendings.is_before(ring.next) {
            let slot = ring.slot(self.first_sendings);
            if slot.state == SlotState::InFlight && slot.transmissions == 1 {
                return Some(self.first_sendings);
            }
            self.first_sendings = self.first_sendings.plus(1);
        }
        None
    }

    /// The next segment to send again, without taking it.
    #[inline]
    pub(crate) fn peek_lost(&mut self, ring: &SendRing) -> Option<SeqNumber> {
        while let Some(&sn) = self.lost.front() {
            if sn.is_within(ring.unacked, ring.next) && ring.slot(sn).state == SlotState::Lost {
                return Some(sn);
            }
            self.lost.pop_front();
        }
        None
    }

    /// Takes what [`peek_lost`](Self::peek_lost) has shown.
    pub(crate) fn pop_lost(&mut self) {
        self.lost.pop_front();
    }

    /// Whether every segment in flight is marked, so that no timer of theirs runs.
    pub(crate) fn all_marked(&self, ring: &SendRing) -> bool {
        self.marked > 0 && self.marked == ring.in_flight()
    }

    /// How long una may stand still then: longer each time that sending all again has not moved it.
    pub(crate) fn marks_wait(&self, rto: Duration) -> Duration {
        rto.saturating_mul(1 << self.clearings.min(16)).min(LONGEST_MARKS)
    }

    /// A selective ACK may be taken back (a stock peer that closed acknowledges what it discards):
    /// forgets the marks and sends all again.
    pub(crate) fn clear_marks(&mut self, ring: &mut SendRing) -> u32 {
        self.clearings += 1;
        let mut sn = ring.unacked;
        while sn != ring.next {
            if ring.slot(sn).state == SlotState::Marked {
                self.mark_lost(ring, sn);
            }
            sn = sn.plus(1);
        }
        std::mem::take(&mut self.marked)
    }

    /// Sends all in flight again, marked or not.
    pub(crate) fn resend_all(&mut self, ring: &mut SendRing) {
        let mut sn = ring.unacked;
        while sn != ring.next {
            if ring.slot(sn).state != SlotState::Lost {
                self.mark_lost(ring, sn);
            }
            sn = sn.plus(1);
        }
        self.marked = 0;
    }

    /// Sends again what is in flight and not marked, each with this timeout: what is known of the path is void.
    pub(crate) fn resend_in_flight(&mut self, ring: &mut SendRing, rto: Duration) {
        (self.fruitless, self.holds) = (0, false);
        self.resend_between(ring, ring.unacked, ring.next, rto);
    }

    /// Drops stale entries at the fronts, so that the queues stay as short as what is in flight.
    fn drop_stale(&mut self, ring: &SendRing) {
        while self.resent.front().is_some_and(|&(n, sn)| !is_current(ring, sn, n)) {
            self.resent.pop_front();
        }
        while let Some(&Reverse((_, n, sn))) = self.deadlines.peek() {
            if is_current(ring, SeqNumber(sn), n) {
                break;
            }
            self.deadlines.pop();
        }
        if ring.in_flight() == 0 {
            self.resent.clear();
            self.deadlines.clear();
            self.lost.clear();
            self.holds = false;
        }
        let bound = 64 + 2 * ring.in_flight() as usize;
        if self.deadlines.len() > bound {
            self.deadlines.retain(|&Reverse((_, n, sn))| is_current(ring, SeqNumber(sn), n));
        }
        if self.resent.len() > bound {
            self.resent.retain(|&(n, sn)| is_current(ring, sn, n));
        }
        if self.lost.len() > bound {
            self.lost.retain(|&sn| {
                sn.is_within(ring.unacked, ring.next) && ring.slot(sn).state == SlotState::Lost
            });
        }
    }

    /// Gives memory back; only when nothing is in flight.
    pub(crate) fn release_memory(&mut self) {
        self.resent = VecDeque::new();
        self.deadlines = BinaryHeap::new();
        self.lost = VecDeque::new();
        self.highest.shrink_to_fit();
    }
}

/// Whether that transmission is the latest of its segment, and still waits for an answer.
#[inline]
pub(super) fn is_current(ring: &SendRing, sn: SeqNumber, transmission: u64) -> bool {
    sn.is_within(ring.unacked, ring.next) && {
        let slot = ring.slot(sn);
        slot.transmission == transmission && slot.state == SlotState::InFlight
    }
}

/// How long a segment waits, and how that grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    pub(crate) rto: Duration,
    pub(crate) nodelay: NoDelay,
    pub(crate) backoff: Backoff,
}

impl Timeout {
    /// A first sending gets an eighth more without nodelay (`rtomin` in `ikcp_flush`).
    #[inline]
    fn first(self) -> Duration {
        match self.nodelay {
            NoDelay::Off => self.rto + self.rto / 8,
            _ => self.rto,
        }
    }

    fn back_off(self, rto: &mut Duration) {
        let step = match (self.backoff, self.nodelay) {
            (Backoff::Linear, NoDelay::Off) => self.rto,
            (Backoff::Linear, _) => self.rto / 2,
            (Backoff::Exponential, NoDelay::Off) => self.rto.max(*rto),
            (Backoff::Exponential, NoDelay::On) => *rto / 2,
            (Backoff::Exponential, NoDelay::Twice) => self.rto / 2,
        };
        // Growth without an end would make a segment that can't be delivered cost a timer in the far future.
        *rto = (*rto + step).min(Duration::from_secs(60));
    }
}
