//! How large a datagram the path carries: where large ones vanish while smaller ones arrive, new ones are made smaller.
//!
//! A datagram is *large* if it has more than the lowest step, else *small*. The first segment that is lost in a large
//! one is the witness. A loss of it is a *strike* if something small that left with it or later is known to have
//! arrived: then neither the peer nor the path was away, and neither was the answer lost. Enough strikes in a row make
//! a step; a datagram of that size or more that arrives ends the row. Three are enough where large datagrams are hardly
//! ever lost; where they are lost at random, so many that chance does it once in 100,000 rows.
//!
//! RFC 8899 probes for a size before it is used. Here the setting is used from the start, as every KCP does, and taken
//! back where it is too large.

use super::send::Slot;
use crate::seq::SeqNumber;
use std::time::Instant;

/// What is stepped down to, in bytes of UDP payload. 1,350 fits the usual tunnels (a WireGuard link of 1,420 bytes,
/// PPPoE), 1,200 every path that carries IPv6 (QUIC's choice: RFC 9000, 14).
const STEPS: [usize; 3] = [1_400, 1_350, LOWEST];
const LOWEST: usize = 1_200;

/// Strikes that a step needs at least, and at most.
const FEWEST: u32 = 3;
const MOST: u32 = 10;

/// The probability of a row by chance that is good enough.
const BY_CHANCE: f64 = 1e-5;

/// What is assumed of a path before it has shown anything: as if 0.1 of 5 large datagrams had been lost.
const ASSUMED: (f64, f64) = (0.1, 5.0);

/// Large datagrams remembered; then all counts for half.
const REMEMBERED: u32 = 256;

/// Losses of the witness after which something small is sent along with it, to see whether that arrives.
const ASKS_AFTER: u32 = 2;

/// What is believed of a path's MTU. Sizes are bytes of UDP payload.
#[derive(Clone, Debug)]
pub(super) struct PathMtu {
    /// Bytes around the segments of each datagram.
    overhead: usize,
    /// Of datagrams made now, at most.
    size: usize,
    steps: u32,
    /// Of the largest datagram that has arrived since the last step.
    largest: usize,
    witness: Option<Witness>,
    /// When the latest small datagram left that is known to have arrived.
    small: Option<Instant>,
    /// When the latest small question left.
    question: Option<Instant>,
    /// Large datagrams that arrived, and that were lost.
    arrived: u32,
    lost: u32,
    /// The size has changed: for the send ring, and for the caller.
    resized: bool,
    news: bool,
}

/// The segment that is watched.
#[derive(Clone, Copy, Debug)]
struct Witness {
    sn: SeqNumber,
    /// Of the datagram that was lost.
    size: usize,
    losses: u32,
    strikes: u32,
    /// Datagrams of that size or more that were lost since.
    row: u32,
}

impl PathMtu {
    /// `mtu` bytes, of which segments may fill all but `overhead`.
    pub(super) fn new(mtu: usize, overhead: usize) -> Self {
        Self {
            overhead,
            size: mtu,
            steps: 0,
            largest: 0,
            witness: None,
            small: None,
            question: None,
            arrived: 0,
            lost: 0,
            resized: false,
            news: false,
        }
    }

    /// The way is another now: what was seen of the old one is no evidence. The size stays; smaller ones get through
    /// anywhere.
    pub(super) fn start_over(&mut self) {
        (self.largest, self.arrived, self.lost) = (0, 0, 0);
        (self.witness, self.small, self.question) = (None, None, None);
    }

    /// What a datagram that is made now has at most.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How often it was stepped down.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Bytes of each datagram that segments may fill.
    #[inline]
    pub(super) fn kcp_mtu(&self) -> usize {
        self.size - self.overhead
    }

    /// Whether a datagram with so many bytes of segments is large.
    #[inline]
    pub(super) fn is_large(&self, segments: usize) -> bool {
        segments + self.overhead > LOWEST
    }

    /// Whether a segment has last left in a datagram that is larger than those made now: it was made before the last
    /// step.
    pub(super) fn is_oversize(&self, slot: &Slot) -> bool {
        slot.datagram() + self.overhead > self.size
    }

    /// A smaller size is known already, or told. Returns whether that is news.
    pub(super) fn limit(&mut self, bytes: usize) -> bool {
        let size = STEPS.into_iter().find(|&step| step <= bytes).unwrap_or(LOWEST);
        let smaller = size < self.size;
        if smaller {
            self.set_size(size);
        }
        smaller
    }

    /// A segment has left in a datagram with so many bytes of segments.
    #[inline]
    pub(super) fn on_sent(&mut self, sn: SeqNumber, segments: usize) {
        // In a smaller one it tells nothing of the size that was lost.
        if let Some(witness) = &self.witness
            && witness.sn == sn
            && segments + self.overhead < witness.size
        {
            self.witness = None;
        }
    }

    /// A question, PING or PROBE, has left in a datagram with so many bytes of segments.
    pub(super) fn note_question(&mut self, now: Instant, segments: usize) {
        if !self.is_large(segments) {
            self.question = Some(now);
        }
    }

    /// A question that left at that time was answered.
    pub(super) fn on_answer(&mut self, sent_at: Instant) {
        if self.question == Some(sent_at) {
            self.small = self.small.max(Some(sent_at));
        }
    }

    /// A datagram with so many bytes of segments has arrived; `sent_at`: when it left, if that is sure.
    #[inline]
    pub(super) fn on_arrived(&mut self, segments: usize, sent_at: Option<Instant>) {
        if !self.is_large(segments) {
            self.small = self.small.max(sent_at);
            return;
        }
        let size = segments + self.overhead;
        self.largest = self.largest.max(size);
        self.arrived += 1;
        if let Some(witness) = &self.witness
            && (size >= witness.size || self.knows_better(witness.size))
        {
            self.lost += if size >= witness.size { witness.row } else { 0 };
            self.witness = None;
        }
        if self.arrived + self.lost > REMEMBERED {
            (self.arrived, self.lost) = (self.arrived / 2, self.lost / 2);
        }
    }

    /// Whether something small has arrived that left at that time or later.
    pub(super) fn has_small_arrived(&self, since: Instant) -> bool {
        self.small >= Some(since)
    }

    /// Whether the loss of what was made before the last step tells nothing: new ones have got through.
    fn knows_better(&self, lost: usize) -> bool {
        lost > self.size && self.largest > step_below(self.size)
    }

    /// A transmission of that segment is believed lost.
    pub(super) fn on_lost(&mut self, sn: SeqNumber, slot: &Slot) {
        let size = slot.datagram() + self.overhead;
        let next = step_below(size.min(self.size));
        if next == 0 || self.knows_better(size) {
            return;
        }
        let peer_was_there = self.has_small_arrived(slot.sent_at);
        let witness = self.witness.get_or_insert(Witness { sn, size, losses: 0, strikes: 0, row: 0 });
        if size < witness.size {
            self.lost += 1;
            return;
        }
        witness.row += 1;
        if witness.sn != sn {
            return;
        }
        witness.losses += 1;
        if peer_was_there {
            witness.strikes += 1;
            if witness.strikes >= self.needed() {
                self.steps += 1;
                self.set_size(next);
            }
        }
    }

    /// Whether it should be tried if something small arrives.
    pub(super) fn wants_answer(&self) -> bool {
        self.witness.is_some_and(|witness| witness.losses >= ASKS_AFTER)
    }

    /// Strikes in a row that chance hardly brings about, at the rate of loss so far.
    fn needed(&self) -> u32 {
        let (lost, all) = (f64::from(self.lost), f64::from(self.lost + self.arrived));
        let rate = (lost + ASSUMED.0) / (all + ASSUMED.1);
        (FEWEST..MOST).find(|&n| rate.powi(n as i32) <= BY_CHANCE).unwrap_or(MOST)
    }

    fn set_size(&mut self, size: usize) {
        self.size = size;
        (self.largest, self.witness) = (0, None);
        (self.resized, self.news) = (true, true);
    }

    /// Whether the size has changed since the last call: for the send ring.
    #[inline]
    pub(super) fn take_resized(&mut self) -> bool {
        std::mem::take(&mut self.resized)
    }

    /// The size, if it has changed since the last call.
    pub(super) fn take_news(&mut self) -> Option<usize> {
        std::mem::take(&mut self.news).then_some(self.size)
    }

    /// What it will do, for tests that explore all states.
    pub(super) fn fingerprint(&self) -> (usize, usize, Option<(SeqNumber, u32, u32)>, u32) {
        (self.size, self.largest, self.witness.map(|w| (w.sn, w.losses, w.strikes)), self.needed())
    }
}

/// The largest step below that size; 0 if there is none.
fn step_below(size: usize) -> usize {
    STEPS.into_iter().find(|&step| step < size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::send::SendRing;
    use std::time::Duration;

    const FIRST: SeqNumber = SeqNumber(0);

    /// Loses a datagram of so many bytes with that segment in it.
    fn lose_sized(path: &mut PathMtu, sn: SeqNumber, size: usize, sent_at: Instant) {
        let mut ring = SendRing::new(1_376, sn, sent_at);
        ring.push_message(&[0; 100]);
        let slot = ring.slot_mut(sn);
        slot.set_datagram(size - path.overhead);
        slot.sent_at = sent_at;
        let slot = *slot;
        path.on_sent(sn, size - path.overhead);
        path.on_lost(sn, &slot);
    }

    fn lose(path: &mut PathMtu, sn: SeqNumber, sent_at: Instant) {
        lose_sized(path, sn, 1_400, sent_at);
    }

    /// A strike each 100 ms, as many as are needed for a step, or 20.
    fn strikes_to_step(path: &mut PathMtu, size: usize) -> usize {
        let (mut now, steps) = (Instant::now(), path.steps());
        for strike in 1..=20 {
            now += Duration::from_millis(100);
            path.on_arrived(100, Some(now));
            lose_sized(path, FIRST, size, now);
            if path.steps() > steps {
                return strike;
            }
        }
        20
    }

    #[test]
    fn three_losses_in_a_row_beside_smaller_arrivals_are_a_step() {
        let mut path = PathMtu::new(1_400, 0);
        let mut sizes = vec![path.size()];
        while step_below(path.size()) > 0 {
            let size = path.size();
            assert_eq!(strikes_to_step(&mut path, size), 3);
            assert!(path.take_resized());
            sizes.extend(path.take_news());
        }
        assert_eq!((sizes, path.steps()), (vec![1_400, 1_350, 1_200], 2));
        assert_eq!(
            (strikes_to_step(&mut path, 1_200), path.take_news()),
            (20, None),
            "there is no step below"
        );
    }

    #[test]
    fn a_step_goes_below_the_size_that_was_lost() {
        for (mtu, lost, size) in
            [(9_000, 9_000, 1_400), (1_500, 1_400, 1_350), (1_400, 1_332, 1_200), (1_400, 1_200, 1_400)]
        {
            let mut path = PathMtu::new(mtu, 28);
            strikes_to_step(&mut path, lost);
            assert_eq!(path.size(), size, "{lost} of {mtu}");
            assert_eq!(path.kcp_mtu(), size - 28);
        }
    }

    #[test]
    fn another_way_is_judged_by_what_is_seen_of_it() {
        let strikes = |starts_over: bool| {
            let mut path = PathMtu::new(1_400, 0);
            let mut now = Instant::now();
            // A way on which a third of all large datagrams is lost by chance.
            for n in 1..90 {
                now += Duration::from_millis(1);
                match n % 3 {
                    0 => lose(&mut path, SeqNumber(n), now),
                    _ => path.on_arrived(1_400, Some(now)),
                }
            }
            if starts_over {
                path.start_over();
            }
            strikes_to_step(&mut path, 1_400)
        };
        assert_eq!((strikes(true), strikes(false)), (3, 10));
    }

    #[test]
    fn what_is_around_segments_counts() {
        let sealed = PathMtu::new(1_400, 28);
        assert!(sealed.is_large(1_173) && !sealed.is_large(1_172));
    }

    #[test]
    fn silence_proves_nothing() {
        let (mut path, start) = (PathMtu::new(1_400, 0), Instant::now());
        path.on_arrived(100, Some(start));
        for n in 1..50 {
            lose(&mut path, FIRST, start + Duration::from_millis(n));
        }
        assert_eq!(path.steps(), 0);
        assert!(path.wants_answer());
    }

    #[test]
    fn an_answer_counts_only_to_a_question_that_was_small() {
        let (mut path, now) = (PathMtu::new(1_400, 0), Instant::now());
        for (datagram, steps) in [(1_201, 0), (1_200, 1)] {
            for _ in 0..3 {
                path.note_question(now, datagram);
                path.on_answer(now);
                lose(&mut path, FIRST, now);
            }
            assert_eq!(path.steps(), steps);
        }
    }

    #[test]
    fn only_an_arrival_of_that_size_ends_the_row() {
        for (size, steps) in [(1_400, 0), (1_399, 1)] {
            let (mut path, now) = (PathMtu::new(1_400, 0), Instant::now());
            path.on_arrived(100, Some(now));
            for _ in 0..3 {
                lose(&mut path, FIRST, now);
                lose(&mut path, FIRST, now);
                path.on_arrived(size, Some(now));
            }
            assert_eq!(path.steps(), steps, "{size}");
        }
    }

    #[test]
    fn what_was_made_before_a_step_makes_the_next_only_until_new_ones_arrive() {
        let (mut path, mut clogged) = (PathMtu::new(1_400, 0), PathMtu::new(1_400, 0));
        for path in [&mut path, &mut clogged] {
            strikes_to_step(path, 1_400);
        }
        path.on_arrived(1_350, None);
        assert_eq!((strikes_to_step(&mut path, 1_400), path.size()), (20, 1_350));
        assert_eq!((strikes_to_step(&mut clogged, 1_400), clogged.size()), (3, 1_200));
        assert_eq!((strikes_to_step(&mut path, 1_350), path.size()), (3, 1_200), "the path has changed");
    }

    #[test]
    fn others_lost_beside_the_witness_are_no_strikes() {
        let (mut path, now) = (PathMtu::new(1_400, 0), Instant::now());
        path.on_arrived(100, Some(now));
        for sn in 0..100 {
            lose(&mut path, SeqNumber(sn), now);
        }
        assert_eq!(path.steps(), 0);
    }

    #[test]
    fn a_witness_that_leaves_in_a_smaller_datagram_is_none_any_more() {
        let (mut path, now) = (PathMtu::new(1_400, 0), Instant::now());
        path.on_arrived(100, Some(now));
        for _ in 0..20 {
            lose(&mut path, FIRST, now);
            lose(&mut path, FIRST, now);
            path.on_sent(FIRST, 500);
        }
        assert_eq!(path.steps(), 0);
    }

    #[test]
    fn the_more_is_lost_at_random_the_longer_the_row_must_be() {
        for (percent, strikes) in [(0, 3), (1, 3), (5, 4), (10, 5), (20, 8), (30, 10), (60, 10)] {
            let (mut path, now) = (PathMtu::new(1_400, 0), Instant::now());
            for n in 0..200 {
                if n % 100 < percent {
                    lose(&mut path, SeqNumber(n), now);
                } else {
                    path.on_arrived(1_400, None);
                }
            }
            assert_eq!(strikes_to_step(&mut path, 1_400), strikes, "at {percent} %");
        }
    }

    #[test]
    fn a_limit_takes_the_step_that_fits_it() {
        for (bytes, size) in [(1_500, 1_400), (1_400, 1_400), (1_372, 1_350), (1_232, 1_200), (68, 1_200)] {
            let mut path = PathMtu::new(1_400, 0);
            assert_eq!((path.limit(bytes), path.size()), (size < 1_400, size), "{bytes}");
        }
        assert!(!PathMtu::new(1_000, 0).limit(68), "a smaller setting stays");
    }
}
