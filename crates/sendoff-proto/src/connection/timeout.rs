//! What the clock brings.

use super::{Connection, IDLE_RELEASE, PeerKind, Phase, Silence, Timer};
use std::time::{Duration, Instant};

/// Transmissions of one segment after which a silent link is dead (`IKCP_DEADLINK`).
const DEAD_LINK: u32 = 20;

/// The silence that a dead link needs besides, since it was first asked something in vain.
const DEAD_LINK_SILENCE: Duration = Duration::from_secs(20);

/// And so many timeouts of the first segment in that silence: waits may be longer than it.
const DEAD_TIMEOUTS: u32 = 3;

/// Timeouts of the first segment in a silence after which there may be another way to the peer.
const DOUBTED_TIMEOUTS: u32 = 2;

/// Unanswered probes of a closed window after which a silent link is dead.
const DEAD_WINDOW: u32 = 5;

/// Before an unanswered probe is repeated, and at least a timeout.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// First wait before a closed window is probed (kcp-go's `IKCP_PROBE_INIT`), and the longest.
const PROBE_INIT: Duration = Duration::from_millis(500);
const PROBE_MAX: Duration = Duration::from_secs(120);

impl Connection {
    /// Time has passed. However late the call, each timer runs out once: a process that was stopped
    /// for a minute doesn't find its peers dead.
    pub fn handle_timeout(&mut self, now: Instant) {
        // A timer armed again here lies in the future, so this ends.
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                Timer::Resend => self.on_resend(now),
                Timer::Early => self.on_early(now),
                Timer::Marks => self.on_marks(now),
                Timer::Probe => self.on_probe(now),
                Timer::KeepAlive => self.on_keep_alive(now),
                Timer::Ack => self.acks.deferred = false,
                Timer::Opening => self.fail_to_open(now, Silence::Opening),
                Timer::Linger => self.on_linger(now),
                Timer::Hello => self.on_hello(now),
                Timer::Greeting => self.on_greeting(now),
                Timer::Proof => self.on_proof(now),
                Timer::Hint => self.on_hint(now),
                Timer::GoingAway => self.on_going_away(now),
                Timer::Pace => self.refill_pacer(now),
                Timer::Idle => self.on_idle(now),
            }
            if self.phase == Phase::Ended {
                return;
            }
        }
    }

    fn on_resend(&mut self, now: Instant) {
        let terms = self.terms();
        let found = self.loss.detect_timeouts(&mut self.ring, now, terms);
        if found.head {
            self.note_head_timeout();
        }
        if found.lost > 0 {
            self.stats.retransmitted_timeout += u64::from(found.lost);
            self.congestion.on_timeout();
            if self.is_link_dead(now) {
                return self.time_out(now, Silence::Retransmissions);
            }
            if self.is_stuck_in_path(now) {
                return self.time_out(now, Silence::TooLarge);
            }
        }
        self.rearm_resend();
    }

    /// The first segment in flight has timed out: of many that do one after the other, only this counts.
    fn note_head_timeout(&mut self) {
        self.timeouts_unheard += 1;
        if self.timeouts_unheard == DOUBTED_TIMEOUTS {
            self.doubt_path();
        }
        // Data beyond the fresh window of a stock peer that has restarted is met by silence.
        if self.peering.kind() == PeerKind::Stock && self.peering.blocks {
            self.liveness.ask = true;
        }
        if self.is_path_in_doubt() && self.peering.blocks && self.unproven.is_none() {
            self.liveness.ask = true;
        }
    }

    /// The first segment in flight doesn't get through, though the peer is there and takes what comes: it is larger
    /// than the path takes, and can't be cut again, for it may have arrived.
    fn is_stuck_in_path(&self, now: Instant) -> bool {
        let patience = DEAD_LINK_SILENCE.max(self.rtt.rto * 8);
        let is_old = now.saturating_duration_since(self.last_progress) >= patience;
        is_old && self.is_first_oversize() && !self.is_remote_closed() && !self.remote.reads_no_more && {
            let head = self.ring.slot(self.ring.unacked);
            // Where nothing is asked, what was sent anyway has to do.
            let lately = if self.peering.blocks { head.sent_at } else { self.last_progress };
            head.transmissions >= DEAD_LINK && self.loss.path.has_small_arrived(lately)
        }
    }

    /// Whether it should be tried if something small arrives.
    pub(super) fn is_path_in_doubt(&self) -> bool {
        !self.remote.drops() && (self.loss.path.wants_answer() || self.is_first_oversize())
    }

    fn is_first_oversize(&self) -> bool {
        self.ring.in_flight() > 0 && self.loss.path.is_oversize(self.ring.slot(self.ring.unacked))
    }

    /// The first segment in flight is the one sent most often. A peer whose window is closed may
    /// drop it in silence: there the probes tell.
    fn is_link_dead(&self, now: Instant) -> bool {
        !self.is_remote_closed()
            && self.timeouts_unheard >= DEAD_TIMEOUTS
            && self.ring.slot(self.ring.unacked).transmissions >= DEAD_LINK
            && self.is_silent(now)
    }

    fn is_silent(&self, now: Instant) -> bool {
        let bound = DEAD_LINK_SILENCE.max(self.rtt.rto * 8);
        self.asking_since.is_some_and(|since| now.saturating_duration_since(since) >= bound)
    }

    fn on_early(&mut self, _now: Instant) {
        // kcp-go: only where no new segment was to be sent.
        if self.sendable_segments() > 0 || self.ring.in_flight() == 0 {
            return;
        }
        let terms = self.terms();
        let found = self.loss.detect_early(&mut self.ring, terms);
        if found > 0 {
            self.stats.retransmitted_early += u64::from(found);
            self.congestion.on_fast_retransmit(self.ring.in_flight(), self.profile.resend());
            self.rearm_resend();
        }
    }

    fn on_marks(&mut self, now: Instant) {
        if self.loss.all_marked(&self.ring) {
            self.stats.marks_cleared += u64::from(self.loss.clear_marks(&mut self.ring));
            if self.is_link_dead(now) {
                return self.time_out(now, Silence::Retransmissions);
            }
        }
        self.rearm_resend();
    }

    /// Probes a closed window while data waits (`ikcp_flush`, `probe_wait`).
    pub(super) fn arm_probe(&mut self, now: Instant) {
        // Segments may be in flight beyond it: sent before the peer told how small its window is.
        let blocked = self.is_remote_closed() && !self.ring.is_empty();
        if !blocked {
            self.probing.wait = None;
            self.timers.stop(Timer::Probe);
        } else if !self.timers.is_set(Timer::Probe) {
            let wait = *self.probing.wait.get_or_insert(PROBE_INIT);
            self.timers.set(Timer::Probe, Some(now + wait));
        }
    }

    fn is_remote_closed(&self) -> bool {
        self.remote.is_closed(self.ring.unacked)
    }

    fn on_probe(&mut self, now: Instant) {
        if self.probing.unanswered >= DEAD_WINDOW && self.is_silent(now) {
            return self.time_out(now, Silence::Retransmissions);
        }
        if self.probing.unanswered == 0 {
            // The wait grows from answer to answer; one that is missing is asked for again soon.
            self.probing.wait = self.probing.wait.map(|wait| (wait * 3 / 2).min(PROBE_MAX));
            self.arm_probe(now);
        } else {
            self.timers.set(Timer::Probe, Some(now + PROBE_AGAIN.max(self.rtt.rto)));
        }
        self.probing.unanswered += 1;
        self.probing.ask = true;
    }

    pub(super) fn arm_idle(&mut self, now: Instant) {
        if !self.timers.is_set(Timer::Idle) && self.holds_memory() {
            self.timers.set(Timer::Idle, Some(now + IDLE_RELEASE));
        }
    }

    fn holds_memory(&self) -> bool {
        self.ring.holds_memory() || self.receive.holds_memory() || self.acks.owed.capacity() > 0
    }

    fn on_idle(&mut self, now: Instant) {
        let last = self.last_received.max(self.last_progress);
        if now >= last + IDLE_RELEASE && self.ring.is_empty() {
            self.ask_after_stream(now);
            self.ring.release_memory();
            self.receive.release_memory();
            self.loss.release_memory();
            if self.acks.owed.is_empty() {
                self.acks.owed = Vec::new();
            }
        } else if self.ring.is_empty() {
            self.timers.set(Timer::Idle, Some(last + IDLE_RELEASE));
        } else {
            self.arm_idle(now);
        }
    }

    pub(super) fn refill_pacer(&mut self, now: Instant) {
        if let Some(pacer) = &mut self.pacer {
            let window = self.send_window.min(self.congestion.window());
            pacer.refill(now, window, self.rtt.smoothed);
        }
    }

    pub(super) fn rearm_resend(&mut self) {
        if self.dial.is_some() {
            return; // what rides is repeated with HELLO
        }
        let timeout = self.timeout();
        let at = self.loss.next_timeout(&self.ring, timeout);
        self.timers.set(Timer::Resend, at);
    }
}
