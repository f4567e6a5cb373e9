//! What comes from the network (`ikcp_input`).

use super::{Connection, Phase, Timer, loss::Acked, receive::Pushed};
use crate::{
    seq::{SeqNumber, Timestamp},
    wire::{Command, SegmentView, segments},
};
use std::time::{Duration, Instant};

/// ACKs owed are as many as PUSHes of one turn; a flood of duplicates must not make them more.
const MAX_OWED_ACKS: usize = 4_096;

/// The `frg` that no sender of data uses.
const RESERVED_FRAGMENT: u8 = 255;

impl Connection {
    /// A datagram of this conversation has come.
    ///
    /// What is malformed, old, or beyond the window is counted and dropped; nothing that a peer sends
    /// can fail.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        self.stats.datagrams_received += 1;
        if self.phase == Phase::Ended {
            return;
        }
        let mut sample = None;
        let mut delivered = false;
        for segment in segments(datagram) {
            match segment {
                Ok(segment) if segment.conv() == self.conv.value() => {
                    delivered |= self.handle_segment(now, &segment, &mut sample);
                }
                // As the reference: what came before counts.
                Ok(_) | Err(_) => {
                    self.stats.malformed_datagrams += 1;
                    break;
                }
            }
        }
        if let Some(rtt) = sample {
            self.rtt.sample(rtt);
        }
        if delivered {
            self.on_delivered(now);
        }
        if self.ring.in_flight() > 0 {
            self.detect_skipped(now);
        }
        self.rearm_resend();
        self.arm_probe(now);
        self.end_if_closed(now);
    }

    fn handle_segment(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        sample: &mut Option<Duration>,
    ) -> bool {
        let una_is_current = segment.una().is_within(self.ring.unacked, self.ring.next.plus(1));
        let una_is_ours = una_is_current || self.is_old_una(segment.una());
        match segment.command() {
            Command::Ack => {
                if !una_is_ours || !self.handle_ack(now, segment, sample) {
                    self.stats.dropped_acks += 1;
                    return false;
                }
            }
            Command::Push => self.handle_push(segment),
            Command::WindowAsk => self.probing.tell = true,
            Command::WindowTell => {}
        }
        if !una_is_ours {
            self.stats.invalid_una += 1;
            return false;
        }
        if una_is_current {
            // One that has forgotten the conversation answers too, but with una 0.
            self.note_sign_of_life(now);
        }
        self.handle_una(segment.una(), segment.window())
    }

    /// An old packet, overtaken: its una lies below ours, but not by more than can have been in flight.
    fn is_old_una(&self, una: SeqNumber) -> bool {
        self.ring.unacked.distance_from(una) <= 65_536
    }

    fn note_sign_of_life(&mut self, now: Instant) {
        self.last_received = now;
        self.probing.keep_alives = 0;
        self.probing.unanswered = 0;
        self.timeouts_unheard = 0;
        self.asking_since = None;
        self.unreachable.first = None;
        if self.phase == Phase::Opening {
            self.phase = Phase::Open;
            self.timers.stop(Timer::Opening);
        }
    }

    /// Marks what an ACK answers; false if it answers nothing that was sent.
    fn handle_ack(&mut self, now: Instant, segment: &SegmentView<'_>, sample: &mut Option<Duration>) -> bool {
        let (sn, echo) = (segment.sn(), segment.timestamp());
        if !sn.is_within(self.ring.unacked, self.ring.next) {
            return sn.is_before(self.ring.unacked) && self.could_have_sent(now, echo);
        }
        match self.loss.on_ack(&mut self.ring, sn, echo, self.profile.resend()) {
            Acked::Latest(sent_at) => *sample = Some(now.saturating_duration_since(sent_at)),
            // The echo tells which one (so Karn's doubt doesn't arise), to the millisecond.
            Acked::Earlier => *sample = self.clock.age(now, echo),
            Acked::NotOurs => return false,
        }
        true
    }

    /// Whether the timestamp lies between our first transmission and now.
    fn could_have_sent(&self, now: Instant, echo: Timestamp) -> bool {
        self.first_sent.is_some_and(|(first, _)| {
            // The clock counts whole milliseconds from the epoch, not from the first transmission.
            self.clock
                .age(now, echo)
                .is_some_and(|age| age <= now.duration_since(first) + Duration::from_millis(1))
        })
    }

    /// Everything below `una` is delivered; returns whether that is news.
    fn handle_una(&mut self, una: SeqNumber, window: u16) -> bool {
        if una.is_before(self.ring.unacked) {
            return false;
        }
        let edge = una.plus(u32::from(window));
        let news = una != self.ring.unacked;
        if news {
            self.stats.bytes_acknowledged += self.loss.on_una(&mut self.ring, una);
        }
        // Of two with the same una the larger is the newer: an edge is never taken back.
        if news || self.remote_edge.is_before(edge) {
            self.remote_edge = edge;
        }
        self.note_told_edge(edge);
        news
    }

    /// What is in flight beyond the furthest edge that was told before was sent in vain: on the
    /// assumption that every KCP makes of a peer that it hasn't heard.
    fn note_told_edge(&mut self, edge: SeqNumber) {
        match self.told_edge {
            Some(told) if told.is_before(edge) => {
                self.loss.on_window_opened(&mut self.ring, told, edge, self.rtt.rto);
                self.told_edge = Some(edge);
            }
            Some(_) => {}
            None => self.told_edge = Some(edge),
        }
    }

    fn handle_push(&mut self, segment: &SegmentView<'_>) {
        self.stats.segments_received += 1;
        if segment.fragment() == RESERVED_FRAGMENT {
            self.stats.dropped_fragment += 1;
            return;
        }
        let (sn, data) = (segment.sn(), segment.data());
        if self.reading_stopped && !sn.is_before(self.receive.next) {
            self.stats.dropped_after_close += 1;
            return;
        }
        let before = self.receive.ready_bytes();
        match self.receive.push(sn, segment.fragment(), data) {
            Pushed::InOrder => {
                self.stats.bytes_received += (self.receive.ready_bytes() - before) as u64;
            }
            Pushed::OutOfOrder => {}
            Pushed::Duplicate => self.stats.duplicates_received += 1,
            Pushed::Refused => {
                self.stats.dropped_out_of_window += 1;
                return;
            }
        }
        if self.acks.owed.len() < MAX_OWED_ACKS {
            self.acks.owed.push((sn, segment.timestamp()));
        }
    }

    fn on_delivered(&mut self, now: Instant) {
        self.last_progress = now;
        let remote = self.remote_edge.ahead_of(self.ring.unacked).max(0) as u32;
        self.congestion.on_delivered(remote);
        self.timers.stop(Timer::Marks);
        if self.is_delivered() {
            self.timers.stop(Timer::Linger);
            self.linger_elapsed = false;
        } else if self.timers.is_set(Timer::Linger) {
            self.timers.set(Timer::Linger, Some(now + self.config.linger_duration()));
        }
    }

    /// Fast retransmission at once; early retransmission after a wait that reordering may need.
    fn detect_skipped(&mut self, now: Instant) {
        let resend = self.profile.resend();
        let found = self.loss.detect_fast(&mut self.ring, resend, self.rtt.rto);
        if found > 0 {
            self.stats.retransmitted_fast += u64::from(found);
            self.congestion.on_fast_retransmit(self.ring.in_flight(), resend);
        }
        if self.loss.all_marked(&self.ring) {
            if !self.timers.is_set(Timer::Marks) {
                self.timers.set(Timer::Marks, Some(now + self.rtt.rto));
            }
        } else if !self.timers.is_set(Timer::Early) && self.loss.has_skipped(&self.ring) {
            self.timers.set(Timer::Early, Some(now + self.reordering_delay()));
        }
    }

    /// How long a skipped segment may be merely late: a quarter of a round trip (RFC 8985, 6.2).
    fn reordering_delay(&self) -> Duration {
        let quarter = self.rtt.smoothed.unwrap_or(self.rtt.rto) / 4;
        quarter.clamp(Duration::from_millis(1), self.profile.interval())
    }
}
