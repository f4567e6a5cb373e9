//! The loss detector against a naive walk over the window, as the reference does it.

use super::{
    loss::{Acked, LossDetector, Terms, Timeout},
    path_mtu::PathMtu,
    send::{SendRing, SlotState},
};
use crate::{
    profile::{Backoff, NoDelay},
    seq::{SeqNumber, Timestamp},
};
use sendoff_netem::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// What the reference holds of each segment in flight, walked over at every acknowledgement.
#[derive(Default)]
struct Naive {
    segments: BTreeMap<u64, NaiveSegment>,
    transmissions: u64,
}

struct NaiveSegment {
    latest: u64,
    sent_at: Instant,
    rto: Duration,
    sendings: u32,
    /// Later transmissions that were acknowledged (`fastack`).
    skipped: BTreeSet<u64>,
    acked: bool,
    lost: bool,
}

impl Naive {
    fn send(&mut self, n: u64, now: Instant, rto: Duration) {
        let latest = self.transmissions;
        self.transmissions += 1;
        let segment = self.segments.entry(n).or_insert_with(|| NaiveSegment {
            latest,
            sent_at: now,
            rto,
            sendings: 0,
            skipped: BTreeSet::new(),
            acked: false,
            lost: false,
        });
        segment.latest = latest;
        segment.sent_at = now;
        segment.sendings += 1;
        segment.skipped.clear();
        segment.lost = false;
    }

    fn ack(&mut self, n: u64) {
        let segment = self.segments.get_mut(&n).unwrap();
        if std::mem::replace(&mut segment.acked, true) {
            return;
        }
        let acked = segment.latest;
        for other in self.segments.values_mut().filter(|s| s.latest < acked) {
            other.skipped.insert(acked);
        }
    }

    fn detect_skipped(&mut self, resend: usize, rto: Duration) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for (n, segment) in &mut self.segments {
            if !segment.acked && !segment.lost && segment.skipped.len() >= resend {
                segment.lost = true;
                if segment.sendings > 1 {
                    segment.rto = rto;
                }
                found.insert(*n);
            }
        }
        found
    }

    fn detect_timeouts(&mut self, now: Instant, rto: Duration) -> BTreeSet<u64> {
        let mut found = BTreeSet::new();
        for (n, segment) in &mut self.segments {
            let wait = if segment.sendings == 1 { rto } else { segment.rto };
            if !segment.acked && !segment.lost && segment.sent_at + wait <= now {
                segment.lost = true;
                segment.rto = (segment.rto + rto / 2).min(Duration::from_secs(60));
                found.insert(*n);
            }
        }
        found
    }
}

struct Both {
    first: u32,
    ring: SendRing,
    loss: LossDetector,
    naive: Naive,
    /// Segments below it are delivered.
    una: u64,
    next: u64,
}

impl Both {
    fn terms(&self, timeout: Timeout) -> Terms {
        Terms { timeout, judged: self.ring.next, head_only: false }
    }

    fn sn(&self, n: u64) -> SeqNumber {
        SeqNumber(self.first.wrapping_add(n as u32))
    }

    fn lost(&mut self) -> BTreeSet<u64> {
        let mut lost = BTreeSet::new();
        for n in self.una..self.next {
            if self.ring.slot(self.sn(n)).state == SlotState::Lost {
                lost.insert(n);
            }
        }
        lost
    }

    fn naive_lost(&self) -> BTreeSet<u64> {
        self.naive.segments.iter().filter(|(_, s)| s.lost && !s.acked).map(|(n, _)| *n).collect()
    }
}

fn random_run(seed: u64) -> u64 {
    let mut rng = Rng::new(seed);
    let first = u32::MAX.wrapping_sub(rng.below(500) as u32);
    let start = Instant::now();
    let mut now = start;
    let resend = rng.below(4) as u32;
    let timeout = Timeout { rto: Duration::from_millis(50), nodelay: NoDelay::On, backoff: Backoff::Linear };
    let (ring, loss) =
        (SendRing::new(10, SeqNumber(first), now), LossDetector::new(SeqNumber(first), PathMtu::new(34, 0)));
    let mut both = Both { first, ring, loss, naive: Naive::default(), una: 0, next: 0 };
    let mut losses = 0;
    for _ in 0..400 {
        now += Duration::from_millis(rng.below(12));
        let ts = Timestamp(now.duration_since(start).as_millis() as u32);
        let terms = both.terms(timeout);
        match rng.below(10) {
            // Send new segments.
            0..=3 => {
                for _ in 0..=rng.below(6) {
                    both.ring.write(&[0; 10], 1_000);
                    let (sn, n) = (both.sn(both.next), both.next);
                    both.ring.advance_next();
                    both.next += 1;
                    both.loss.on_sent(&mut both.ring, sn, now, ts, timeout.rto);
                    both.naive.send(n, now, timeout.rto);
                }
            }
            // Acknowledge the latest transmission of some segment.
            4..=6 if both.next > both.una => {
                let n = both.una + rng.below(both.next - both.una);
                let sn = both.sn(n);
                let echo = both.ring.slot(sn).timestamp;
                let acked = both.loss.on_ack(&mut both.ring, sn, echo, resend);
                assert!(matches!(acked, Acked::Latest(_)));
                both.naive.ack(n);
                losses += both.loss.detect_fast(&mut both.ring, resend, terms) as u64;
                if resend > 0 {
                    both.naive.detect_skipped(resend as usize, timeout.rto);
                }
            }
            // Deliver all that is acknowledged in front.
            7 => {
                while both.naive.segments.get(&both.una).is_some_and(|s| s.acked) {
                    both.naive.segments.remove(&both.una);
                    both.una += 1;
                }
                let una = both.sn(both.una);
                both.loss.on_una(&mut both.ring, una);
            }
            8 => {
                losses += both.loss.detect_timeouts(&mut both.ring, now, terms).lost as u64;
                both.naive.detect_timeouts(now, timeout.rto);
                if rng.chance(0.3) {
                    losses += both.loss.detect_early(&mut both.ring, terms) as u64;
                    both.naive.detect_skipped(1, timeout.rto);
                }
            }
            // Send again what is lost.
            _ => {
                while let Some(sn) = both.loss.peek_lost(&both.ring) {
                    both.loss.pop_lost();
                    both.loss.on_sent(&mut both.ring, sn, now, ts, timeout.rto);
                    both.naive.send(u64::from(sn.0.wrapping_sub(first)), now, timeout.rto);
                }
            }
        }
        assert_eq!(both.lost(), both.naive_lost(), "seed {seed}");
        let due = both.loss.next_timeout(&both.ring, timeout);
        let naive = both.naive.segments.values().filter(|s| !s.acked && !s.lost);
        let naive = naive.map(|s| s.sent_at + if s.sendings == 1 { timeout.rto } else { s.rto }).min();
        // A stale entry may make the timer early, never late.
        assert!(
            naive.is_none_or(|at| due.is_some_and(|due| due <= at)),
            "seed {seed}: {due:?} after {naive:?}"
        );
    }
    losses
}

#[test]
fn the_loss_detector_finds_what_a_walk_over_the_window_finds() {
    let losses: u64 = (0..200).map(random_run).sum();
    assert!(losses > 1_000, "only {losses} losses were detected");
}

#[test]
fn an_echo_that_was_never_sent_acknowledges_nothing() {
    let now = Instant::now();
    let first = SeqNumber(0);
    let (mut ring, mut loss) = (SendRing::new(10, first, now), LossDetector::new(first, PathMtu::new(34, 0)));
    ring.write(b"x", 32);
    ring.advance_next();
    loss.on_sent(&mut ring, first, now, Timestamp(100), Duration::from_millis(10));
    loss.on_sent(&mut ring, first, now, Timestamp(120), Duration::from_millis(10));
    let acked = |echo| loss.clone().on_ack(&mut ring.clone(), first, Timestamp(echo), 2);
    assert_eq!(acked(120), Acked::Latest(now));
    assert_eq!((acked(100), acked(110)), (Acked::Earlier, Acked::Earlier));
    assert_eq!((acked(99), acked(121)), (Acked::NotOurs, Acked::NotOurs));
}

/// So many segments in flight, each sent once at that time.
fn in_flight(count: u32, now: Instant, rto: Duration) -> (SendRing, LossDetector) {
    let first = SeqNumber(0);
    let (mut ring, mut loss) = (SendRing::new(10, first, now), LossDetector::new(first, PathMtu::new(34, 0)));
    for n in 0..count {
        ring.write(&[0; 10], 1_000);
        ring.advance_next();
        loss.on_sent(&mut ring, SeqNumber(n), now, Timestamp(0), rto);
    }
    (ring, loss)
}

#[test]
fn a_window_that_flaps_makes_nothing_grow() {
    let (now, rto) = (Instant::now(), Duration::from_secs(1));
    let (mut ring, mut loss) = in_flight(1, now, rto);
    loss.on_sent(&mut ring, SeqNumber(0), now, Timestamp(1), rto);
    for _ in 0..10_000 {
        loss.resend_first(&mut ring, now, rto);
    }
    assert!(loss.deadlines.len() < 3, "{}", loss.deadlines.len());
}

#[test]
fn what_was_held_back_in_a_hole_is_found_again_by_what_skips_it() {
    let (start, rto) = (Instant::now(), Duration::from_millis(50));
    let (mut ring, mut loss) = in_flight(200, start, rto);
    let timeout = Timeout { rto, nodelay: NoDelay::On, backoff: Backoff::Linear };
    let terms = Terms { timeout, judged: ring.next, head_only: true };
    let now = start + rto;
    assert_eq!(loss.detect_timeouts(&mut ring, now, terms).lost, 1);
    loss.pop_lost();
    loss.on_sent(&mut ring, SeqNumber(0), now, Timestamp(50), rto);
    loss.on_una(&mut ring, SeqNumber(1));
    // A late answer has made the timeout longer than all of them have waited.
    assert_eq!(loss.release_held(&mut ring, now, Duration::from_secs(10)), 0);
    // Then the last but one arrives.
    assert!(matches!(loss.on_ack(&mut ring, SeqNumber(198), Timestamp(0), 1), Acked::Latest(_)));
    assert_eq!(loss.detect_fast(&mut ring, 1, terms), 197);
}
