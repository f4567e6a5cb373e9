//! What a connection will do, without when it is and what was counted: for tests that explore all states.

use super::{
    Connection, PeerKind, Timer,
    closing::Finish,
    loss::is_current,
    send::{Slot, SlotState},
};
use crate::{
    seq::{SeqNumber, Timestamp},
    wire::Token,
};
use std::{
    cmp::Reverse,
    hash::{Hash, Hasher},
    time::{Duration, Instant},
};

/// Beyond it, what an unproven peer may be sent makes no difference.
const CREDIT: usize = 600;

/// Long times are told apart by steps of this.
const STEP: Duration = Duration::from_secs(2);

fn left(now: Instant, at: Option<Instant>) -> Option<Duration> {
    at.map(|at| at.saturating_duration_since(now))
}

fn age(now: Instant, at: Instant) -> Duration {
    now.saturating_duration_since(at)
}

fn steps(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs().div_ceil(STEP.as_secs()))
}

impl Connection {
    /// Keeps the retransmission timeout at that value and frees no idle memory: then few times make a difference.
    /// To be called again after each event.
    #[doc(hidden)]
    pub fn simplify(&mut self, rto: Duration) {
        self.rtt.pin(rto);
        self.timers.stop(Timer::Idle);
        if let Some(unproven) = self.unproven.as_deref()
            && unproven.repeated == 0
            && self.peering.is_unproven()
        {
            self.timers.set(Timer::Greeting, Some(unproven.began + rto));
        }
    }

    /// The peer's token, once it is known.
    #[doc(hidden)]
    pub fn peer_token(&self) -> Option<Token> {
        self.peering.peer
    }

    /// The newest cookie of a client; zeros without one.
    #[doc(hidden)]
    pub fn cookie(&self) -> [u8; 16] {
        self.retries.cookie()
    }

    /// Whether a RETRY with that cookie was believed.
    #[doc(hidden)]
    pub fn has_cookie(&self, cookie: &[u8; 16]) -> bool {
        self.retries.has(cookie)
    }

    /// What an ACK with that number and timestamp would show us.
    #[doc(hidden)]
    pub fn echo_class(&self, now: Instant, sn: SeqNumber, timestamp: Timestamp) -> u8 {
        let mut probes = self.liveness.probes.iter().flatten();
        if let Some(n) = probes.position(|probe| (probe.sn, probe.timestamp) == (sn, timestamp)) {
            return 10 + n as u8;
        }
        if sn.is_within(self.ring.unacked, self.ring.next) {
            let slot = self.ring.slot(sn);
            let span = slot.timestamp.0.wrapping_sub(slot.first_timestamp.0);
            return match timestamp.0.wrapping_sub(slot.first_timestamp.0) {
                since if since == span => 1,
                since if since < span => 2,
                _ => 0,
            };
        }
        let old = sn.is_before(self.ring.unacked) && self.could_have_sent(now, timestamp);
        if old { 3 } else { 0 }
    }

    /// Two connections with the same fingerprint behave alike from now on, but for silences of 20 s and more,
    /// the limits of memory, and what is drawn at random.
    #[doc(hidden)]
    pub fn fingerprint(&self, now: Instant, h: &mut impl Hasher) {
        (self.conv, self.role, self.phase as u8).hash(h);
        let p = &self.peering;
        (p.own, p.peer, p.settled_stock, p.proven).hash(h);
        self.hash_opening(now, h);
        self.hash_asking(now, h);
        self.hash_sending(now, h);
        self.hash_receiving(h);
        self.hash_timers(now, h);
        self.hash_end(now, h);
    }

    fn hash_opening(&self, now: Instant, h: &mut impl Hasher) {
        if let Some(d) = self.dial.as_deref() {
            (d.early, d.due, d.said, d.gap, d.redials).hash(h);
            (steps(Some(age(now, d.token_since))), d.stock_since.map(|at| age(now, at))).hash(h);
            (d.hellos_since > 0).hash(h);
        }
        (self.retries.count(), self.retries.answered, self.peering.vouched).hash(h);
        if let Some(u) = self.unproven.as_deref() {
            (u.credit().min(CREDIT) / 100, u.segments > 15, u.may_probe, u.repeated).hash(h);
            (steps(Some(age(now, u.began))), self.stats.bytes_received > 0).hash(h);
        }
        (self.dial.is_some(), self.unproven.is_some()).hash(h);
    }

    fn hash_asking(&self, now: Instant, h: &mut impl Hasher) {
        self.loss.path.fingerprint().hash(h);
        let again = |at: Option<Instant>| at.map(|at| left(now, Some(at + self.rtt.rto)).unwrap_or_default());
        let a = &self.answers;
        (a.welcome, a.pong.is_some(), a.reset).hash(h);
        (again(a.welcomed_at).unwrap_or_default(), again(a.reset_at).unwrap_or_default()).hash(h);
        let l = &self.liveness;
        let gap = self.timers.is_set(Timer::Greeting).then_some(l.greeting_gap);
        (l.ask, l.reads_no_more, gap, l.keep_alives, self.has_asked_last()).hash(h);
        let path = self.path.as_deref();
        (self.is_moving(), path.map(super::path::Path::is_asking)).hash(h);
        l.round.map(|round| (age(now, round.began), round.asked)).hash(h);
        for probe in l.probes.iter().flatten() {
            (probe.sn, probe.unacked).hash(h);
        }
        let p = &self.probing;
        (p.ask, p.tell, p.answer, p.wait, p.unanswered).hash(h);
        again(self.unread_told).unwrap_or_default().hash(h);
        self.going_away.state().hash(h);
    }

    fn hash_sending(&self, now: Instant, h: &mut impl Hasher) {
        let (r, l) = (&self.ring, &self.loss);
        (r.unacked, r.next, r.end, r.open, r.reserve.all).hash(h);
        let in_flight = || (0..r.in_flight()).map(|n| r.slot(r.unacked.plus(n)));
        let rank = |transmission: u64| in_flight().filter(|slot| slot.transmission < transmission).count();
        for n in 0..r.end.distance_from(r.unacked) {
            let sn = r.unacked.plus(n);
            let slot = r.slot(sn);
            (slot.state as u8, slot.fragment, r.data(sn)).hash(h);
            if slot.transmissions > 0 {
                self.hash_sent(now, slot, h);
                rank(slot.transmission).hash(h);
            }
        }
        (l.marked, l.highest_acked.map(|edge| rank(edge + 1))).hash(h);
        let lost = |sn: SeqNumber| sn.is_within(r.unacked, r.next) && r.slot(sn).state == SlotState::Lost;
        for sn in l.lost.iter().filter(|&&sn| lost(sn)) {
            sn.hash(h);
        }
        // Each is the sum of its own transmission's, so their order needn't be known.
        let mut deadlines = 0u64;
        for &Reverse((at, n, sn)) in &l.deadlines {
            if is_current(r, SeqNumber(sn), n) {
                let time = left(now, Some(at)).unwrap_or_default().as_millis() as u64;
                deadlines =
                    deadlines.wrapping_add((time + 1).wrapping_mul(0x9e37_79b9 * (u64::from(sn) + 1)));
            }
        }
        (deadlines, self.rtt.rto, self.remote, self.first_sent.is_some()).hash(h);
        l.patience().hash(h);
    }

    fn hash_sent(&self, now: Instant, slot: &Slot, h: &mut impl Hasher) {
        let most = if self.unproven.is_some() { 6 } else { 2 };
        slot.transmissions.min(most).hash(h);
        let in_flight = slot.state == SlotState::InFlight;
        if in_flight && slot.transmissions == 1 {
            age(now, slot.sent_at).hash(h);
        }
        let stock = self.peering.kind() == PeerKind::Stock;
        (slot.rto, stock.then_some(slot.unacked)).hash(h);
    }

    fn hash_receiving(&self, h: &mut impl Hasher) {
        let r = &self.receive;
        (r.next, r.edge, r.cap, r.refusing, r.fin, r.finished, r.last_fragment).hash(h);
        (r.unread.len(), r.ready_bytes(), r.reordering_count).hash(h);
        if r.reordering_count > 0 {
            for (n, waiting) in r.reordering.iter().enumerate() {
                if let Some(waiting) = waiting {
                    (n, waiting.fragment, &waiting.data).hash(h);
                }
            }
        }
        for (sn, _) in &self.acks.owed {
            sn.hash(h);
        }
        self.acks.deferred.hash(h);
    }

    fn hash_timers(&self, now: Instant, h: &mut impl Hasher) {
        use Timer::*;
        for timer in [Resend, Early, Marks, Probe, Ack, Hello, Greeting, Hint, GoingAway] {
            left(now, self.timers.get(timer)).hash(h);
        }
        for timer in [Opening, Proof, Linger] {
            steps(left(now, self.timers.get(timer))).hash(h);
        }
        self.timers.is_set(KeepAlive).hash(h);
    }

    fn hash_end(&self, now: Instant, h: &mut impl Hasher) {
        let fin = match self.fin {
            Finish::Open => None,
            Finish::Wanted => Some(None),
            Finish::Queued(sn) => Some(Some(sn)),
        };
        (self.write_closed, fin, &self.farewell, &self.peer_farewell, self.finished_first).hash(h);
        (self.closing, self.reading_stopped, self.unread, self.linger_elapsed).hash(h);
        (&self.last_words, self.repeats, self.delivered_at_end).hash(h);
        if let Some(ending) = &self.ending {
            (ending.by, ending.cause, ending.code).hash(h);
        }
        let name = self.former_name.as_ref().map(|name| name.0);
        (name, left(now, self.unreachable.first)).hash(h);
    }
}
