//! Is the peer still there, and does it still know us? Keep-alive, hints, and what is asked.

use super::{
    Cause, Connection, Party, PeerKind, Phase, Silence, Timer,
    closing::Farewell,
    lifecycle::{Rest, code},
};
use crate::seq::{SeqNumber, Timestamp};
use std::time::{Duration, Instant};

/// Unanswered keep-alive probes that end a connection.
const KEEP_ALIVES: u32 = 3;

/// Between keep-alive probes, and at least a timeout.
const KEEP_ALIVE_GAP: Duration = Duration::from_secs(1);

/// When a round of questions asks, from its beginning; at least a timeout apart.
const ROUND: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Reports of an unreachable port count when the questions that drew them lay so far apart: systems
/// send no more than about one a second, and a single one can be forged.
const REPORTS_APART: Duration = Duration::from_secs(1);

/// A stock peer answers at its flush tick, and not when a PUSH has overtaken the question.
const FLUSH_TICK: Duration = Duration::from_millis(100);

/// PROBEs remembered.
const PROBES: usize = 4;

/// A question to a stock peer, of which nothing is delivered: one byte with an old number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) sn: SeqNumber,
    pub(super) timestamp: Timestamp,
    /// What `una` had covered when it left.
    pub(super) unacked: SeqNumber,
    sent_at: Instant,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    /// A PING, or a PROBE to a stock peer, is to be sent.
    pub(super) ask: bool,
    /// The next PING tells that nobody reads here any more.
    pub(super) reads_no_more: bool,
    /// Between the PINGs that answer WELCOME.
    pub(super) greeting_gap: Duration,
    /// Keep-alive probes without an answer.
    pub(super) keep_alives: u32,
    pub(super) round: Option<Round>,
    pub(super) probes: [Option<Probe>; PROBES],
    /// The latest PING: its challenge, and when it left.
    ping: Option<(u64, Instant)>,
    asked_at: Option<Instant>,
    /// The same of the last question of a round that met silence.
    last_of_round: Option<Instant>,
    /// PUSHes received until then.
    pub(super) heard_when_asked: u64,
}

/// A round of questions, drawn by a hint that the peer may be gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) began: Instant,
    pub(super) asked: usize,
    /// Questions that the network reported as undeliverable: when the first and the last had left.
    undelivered: Option<(Instant, Instant)>,
}

impl Liveness {
    /// A believed block or a checked ACK has come.
    pub(super) fn end_round(&mut self) {
        self.round = None;
    }

    pub(super) fn note_life(&mut self) {
        self.keep_alives = 0;
    }

    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(super) fn has_probed(&self) -> bool {
        self.probes[0].is_some()
    }

    pub(super) fn note_asked(&mut self, now: Instant, heard: u64) {
        self.ask = false;
        self.reads_no_more = false;
        self.asked_at = Some(now);
        self.heard_when_asked = heard;
    }

    pub(super) fn note_ping(&mut self, challenge: u64, now: Instant) {
        self.ping = Some((challenge, now));
    }

    /// How long the answer to the latest PING took.
    pub(super) fn take_pong(&mut self, challenge: u64, now: Instant) -> Option<Duration> {
        let (_, sent_at) = self.ping.take_if(|(asked, _)| *asked == challenge)?;
        Some(now.saturating_duration_since(sent_at))
    }

    pub(super) fn note_probe(&mut self, probe: Probe) {
        self.probes.rotate_right(1);
        self.probes[0] = Some(probe);
    }

    pub(super) fn in_round(&self) -> bool {
        self.round.is_some()
    }
}

impl Connection {
    /// Not moved by what comes in: it looks when it runs out.
    pub(super) fn arm_keep_alive(&mut self) {
        let every = self.config.keep_alive_interval();
        self.timers.set(Timer::KeepAlive, every.map(|every| self.last_received + every));
    }

    pub(super) fn on_keep_alive(&mut self, now: Instant) {
        let Some(every) = self.config.keep_alive_interval() else { return };
        let opening = self.phase == Phase::Opening && (self.dial.is_some() || self.first_sent.is_none());
        if opening || self.unproven.is_some() {
            // The opening has its own times, and so has who has proven nothing; a client that has said nothing isn't
            // known there.
            return self.timers.set(Timer::KeepAlive, Some(now + every));
        }
        if self.liveness.keep_alives == 0 && now < self.last_received + every {
            return self.arm_keep_alive();
        }
        let gap = KEEP_ALIVE_GAP.min(every).max(self.rtt.rto);
        if self.liveness.keep_alives > 0 && (self.was_overtaken() || !self.has_question()) {
            self.liveness.keep_alives -= 1;
        }
        if self.liveness.keep_alives == KEEP_ALIVES {
            return self.time_out(now, Silence::KeepAlive);
        }
        if self.liveness.keep_alives > 0 {
            self.doubt_path();
        }
        self.liveness.keep_alives += 1;
        self.ask();
        self.timers.set(Timer::KeepAlive, Some(now + gap));
    }

    /// A PUSH of ours that followed a PROBE before the peer's flush may have been taken for it.
    fn was_overtaken(&self) -> bool {
        let (Some(probe), Some(pushed)) = (&self.liveness.probes[0], self.last_pushed) else { return false };
        let slack = FLUSH_TICK + self.rtt.smoothed.unwrap_or(self.rtt.rto);
        self.peering.kind() == PeerKind::Stock && pushed > probe.sent_at && pushed < probe.sent_at + slack
    }

    /// Asks the peer for a sign of life. WELCOME does it where nothing shows yet that the peer knows our token.
    fn ask(&mut self) {
        if self.peering.is_unproven() {
            self.answers.welcome = true;
        } else {
            self.liveness.ask = true;
        }
    }

    /// Something hints that the peer doesn't know us any more: it is asked, four times in two seconds. A hint
    /// alone ends nothing. Who has proven nothing is asked at its own times: where its address is forged, each
    /// question would draw a hint, and each hint a round.
    pub(super) fn hint(&mut self, now: Instant) {
        let opening = self.phase != Phase::Open;
        if opening || !self.peering.blocks || self.liveness.in_round() || self.unproven.is_some() {
            return;
        }
        self.stats.hints += 1;
        self.start_round(now);
    }

    /// Asks now, and three times more if there is no answer.
    pub(super) fn start_round(&mut self, now: Instant) {
        self.liveness.round = Some(Round { began: now, asked: 0, undelivered: None });
        self.on_hint(now);
    }

    pub(super) fn on_hint(&mut self, now: Instant) {
        let rto = self.rtt.rto;
        let Some(round) = &mut self.liveness.round else { return };
        if round.asked == ROUND.len() {
            let proven = round.undelivered.is_some_and(|(first, last)| last >= first + REPORTS_APART);
            self.liveness.last_of_round = self.liveness.asked_at;
            self.liveness.end_round();
            self.stop_moving();
            if proven {
                self.give_up(now, Cause::Reset);
            }
            return;
        }
        let unanswered = round.asked > 0;
        round.asked += 1;
        let next = match ROUND.get(round.asked) {
            Some(&after) => (round.began + after).max(now + rto),
            None => now + rto,
        };
        if unanswered {
            self.doubt_path();
        }
        self.ask();
        self.timers.set(Timer::Hint, Some(next));
    }

    /// The peer's host has reported that nobody listens at its port (ICMP).
    ///
    /// One report can be forged or stale. While opening, two with a transmission between them refuse the
    /// connection. Later a report makes us ask; if only such reports come back, for two questions at least a
    /// second apart, it is reset.
    pub fn handle_unreachable(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.phase == Phase::Opening || !self.peering.blocks || self.unproven.is_some() {
            return self.count_unreachable(now);
        }
        let (asked_at, drawn) = (self.liveness.asked_at, self.has_asked_last());
        match (&mut self.liveness.round, asked_at) {
            (Some(round), Some(asked)) => {
                let first = round.undelivered.map_or(asked, |(first, _)| first);
                round.undelivered = Some((first, asked));
            }
            (Some(_), None) => {}
            (None, _) if drawn => {}
            (None, _) => self.hint(now),
        }
    }

    /// Whether nothing has left since the last question of a round: else each round could draw the next.
    pub(super) fn has_asked_last(&self) -> bool {
        let (last, asked) = (self.liveness.last_of_round, self.liveness.asked_at);
        let pushed_since = |asked| self.last_pushed.is_some_and(|pushed| pushed > asked);
        last == asked && asked.is_some_and(|asked| !pushed_since(asked))
    }

    fn count_unreachable(&mut self, now: Instant) {
        match self.unreachable.first {
            None => self.unreachable.first = Some(now),
            Some(_) if !self.unreachable.sent_since => return,
            Some(_) if self.phase == Phase::Opening => {
                return self.end(now, Party::Network, Cause::Refused, Rest::Opening(0));
            }
            Some(first) if now.duration_since(first) >= REPORTS_APART => {
                return self.give_up(now, Cause::Reset);
            }
            Some(_) => {}
        }
        self.unreachable.sent_since = false;
    }

    /// Whether there is something to ask by: the number of a PROBE must not be taken for a live one.
    pub(super) fn has_question(&self) -> bool {
        self.peering.kind() != PeerKind::Stock || self.ring.unacked.0.abs_diff(1 << 31) >= 1 << 16
    }

    /// The next PROBE.
    pub(super) fn next_probe(&mut self, now: Instant) -> Option<Probe> {
        let unacked = self.ring.unacked;
        let u = unacked.0;
        if !self.has_question() {
            return None;
        }
        // Old for the peer, and old for one that has forgotten us and expects 0.
        let base: u32 = if u < 1 << 31 { 3 << 30 } else { 1 << 30 };
        let timestamp = Timestamp(self.random.next() as u32);
        Some(Probe { sn: SeqNumber(base.wrapping_add(u / 2)), timestamp, unacked, sent_at: now })
    }

    /// Whether an ACK answers a PROBE; then what it shows is dealt with here.
    pub(super) fn handle_probe_ack(
        &mut self,
        now: Instant,
        sn: SeqNumber,
        echo: Timestamp,
        una: SeqNumber,
    ) -> Option<Life> {
        if self.peering.kind() == PeerKind::Extended {
            return None;
        }
        let probe = self.liveness.probes.iter().flatten().find(|p| p.sn == sn && p.timestamp == echo)?;
        if !una.is_within(probe.unacked, self.ring.next.plus(1)) {
            self.end_forgotten(now);
            return Some(Life::Forgotten);
        }
        self.loss.path.on_answer(probe.sent_at);
        self.liveness.probes = Default::default();
        Some(Life::There)
    }

    /// Whether an ACK answers the latest transmission of a segment, but tells of less than was
    /// acknowledged before it left: a stock peer that has closed or restarted.
    pub(super) fn shows_forgetting(&self, sn: SeqNumber, echo: Timestamp, una: SeqNumber) -> bool {
        self.peering.kind() == PeerKind::Stock && sn.is_within(self.ring.unacked, self.ring.next) && {
            let slot = self.ring.slot(sn);
            slot.timestamp == echo && !una.is_within(slot.unacked, self.ring.next.plus(1))
        }
    }

    pub(super) fn end_forgotten(&mut self, now: Instant) {
        let farewell = Farewell::new(code::UNKNOWN, "");
        self.end_with(now, Party::Peer, Cause::Reset, farewell, Rest::Silent);
    }

    pub(super) fn time_out(&mut self, now: Instant, silence: Silence) {
        let refused = self.liveness.round.is_some_and(|r| r.undelivered.is_some());
        let cause = if refused { Cause::Reset } else { Cause::TimedOut(silence) };
        self.give_up(now, cause);
    }
}

/// What an ACK of a PROBE shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    There,
    Forgotten,
}
