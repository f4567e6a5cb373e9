//! What comes from the network (`ikcp_input`).

use super::{Connection, Phase, Role, Timer, liveness::Life, loss::Acked, receive::Pushed};
use crate::{
    seq::{SeqNumber, Timestamp},
    wire::{Block, Command, FIN_FRAGMENT, SegmentView, segments},
};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// ACKs owed are as many as PUSHes of one turn; a flood of duplicates must not make them more.
const MAX_OWED_ACKS: usize = 4_096;

/// What an ACK answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// Nothing that was sent.
    Nothing,
    /// Something acknowledged before: its una counts, and nothing else.
    Old,
    /// A segment in flight, or a PROBE: its sender gets what we send.
    Live,
}

/// What one datagram has brought so far.
#[derive(Default)]
pub(super) struct Arrival {
    sample: Option<Duration>,
    /// `una` has moved.
    pub(super) delivered: bool,
    /// A HELLO of this peer stands in front.
    pub(super) fronted: bool,
    /// A WELCOME stands in front.
    pub(super) welcomed: bool,
    /// Something in it was believed.
    pub(super) believed: bool,
    pushed_first: bool,
    /// It was made good by parity: it may be old.
    recovered: bool,
}

impl Arrival {
    pub(super) fn of_recovered() -> Self {
        Self { recovered: true, ..Self::default() }
    }
}

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
        if let Some(unproven) = &mut self.unproven {
            unproven.received += (datagram.len() + self.config.overhead()) as u64;
            unproven.may_probe = true;
        }
        self.loss.on_received(now, &self.rtt);
        let mut arrival = Arrival::default();
        for segment in segments(datagram) {
            match segment {
                Ok(segment) if segment.conv() == self.conv.value() => {
                    if self.handle_segment(now, &segment, &mut arrival).is_break() {
                        break;
                    }
                }
                // As the reference: what came before counts.
                Ok(_) | Err(_) => {
                    self.stats.malformed_datagrams += 1;
                    break;
                }
            }
        }
        self.after_datagram(now, &arrival);
    }

    /// So many datagrams have come from the peer's address that can't be opened: they count for nothing, but for
    /// what is said of a connection that doesn't open.
    pub fn handle_unopened(&mut self, datagrams: u64) {
        self.stats.failed_to_open += datagrams;
    }

    pub(super) fn after_datagram(&mut self, now: Instant, arrival: &Arrival) {
        if self.phase == Phase::Ended {
            return;
        }
        if let Some(rtt) = arrival.sample.filter(|_| !arrival.recovered) {
            self.rtt.sample(rtt);
        }
        if self.role == Role::Client && arrival.believed && !arrival.recovered {
            if !arrival.welcomed {
                // Its WELCOMEs have stopped: it knows that we know it.
                self.timers.stop(Timer::Greeting);
            } else if !arrival.pushed_first {
                self.greet(now);
            }
        }
        if arrival.delivered {
            self.on_delivered(now);
        }
        let reopened = self.remote.take_reopened();
        if self.ring.in_flight() > 0 {
            if reopened {
                self.loss.resend_first(&mut self.ring, now, self.rtt.rto);
            }
            self.detect_skipped(now);
        }
        self.settle_lease();
        self.rearm_resend();
        self.arm_probe(now);
        self.end_if_over(now);
    }

    fn handle_segment(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        let is_fin = segment.command() == Command::Push && segment.fragment() == FIN_FRAGMENT;
        let is_push = segment.command() == Command::Push && !is_fin;
        if !is_push && segment.command() != Command::Ack && self.may_be_block(segment) {
            match Block::parse(segment) {
                Some(block) => {
                    let flow = self.handle_block(now, segment, &block, arrival);
                    return if self.phase == Phase::Ended { ControlFlow::Break(()) } else { flow };
                }
                // Of another version or kind: no verdict on the peer.
                None => self.stats.unbelieved_blocks += 1,
            }
            return ControlFlow::Continue(());
        }
        if self.dial.is_some() && !self.hear_while_opening(now, segment) {
            return ControlFlow::Continue(());
        }
        if is_push && !self.is_fronted(arrival) {
            self.stats.dropped_unfronted += 1;
            self.answers.welcome |= self.peering.is_unproven();
            return ControlFlow::Continue(());
        }
        arrival.pushed_first |= is_push && segment.sn() == self.first_expected;
        self.handle_plain(now, segment, arrival);
        if self.phase == Phase::Ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// While opening, only a bare WINS tells something: that the peer is a stock one. Says whether the
    /// segment counts further.
    fn hear_while_opening(&mut self, now: Instant, segment: &SegmentView<'_>) -> bool {
        let known = self.is_una_current(segment.una());
        if known && matches!(segment.command(), Command::WindowTell | Command::Ack) {
            // Somebody is there: nobody's host refuses us.
            self.unreachable.first = None;
        }
        let bare = segment.command() == Command::WindowTell && segment.data().is_empty();
        bare && known && self.hear_stock(now)
    }

    /// A segment of plain KCP.
    pub(super) fn handle_plain(&mut self, now: Instant, segment: &SegmentView<'_>, arrival: &mut Arrival) {
        let una = segment.una();
        let una_is_current = self.is_una_current(una);
        let una_is_ours = una_is_current || self.is_old_una(una);
        let mut alive = una_is_current;
        match segment.command() {
            Command::Ack => match self.handle_ack(now, segment, arrival) {
                Answered::Nothing => {
                    self.stats.dropped_acks += 1;
                    return;
                }
                Answered::Live => {
                    self.liveness.end_round();
                    self.timers.stop(Timer::Hint);
                    self.prove_address();
                    self.end_moving(now);
                    arrival.believed = true;
                }
                Answered::Old => alive = false,
            },
            Command::Push => self.handle_push(now, segment),
            Command::WindowAsk => self.probing.answer = true,
            Command::WindowTell => {}
        }
        if self.phase == Phase::Ended {
            return;
        }
        if !una_is_current && segment.command() == Command::WindowTell && segment.data().is_empty() {
            self.hint(now);
        }
        if !una_is_ours {
            self.stats.invalid_una += 1;
            return;
        }
        if alive {
            // One that has forgotten the conversation answers too, but with una 0.
            self.note_sign_of_life(now);
            arrival.believed |= segment.command() == Command::Push;
        }
        arrival.delivered |= match arrival.recovered {
            true => self.handle_una_alone(una),
            false => self.handle_una(una, segment.window()),
        };
    }

    /// Whether una lies in what is in flight.
    #[inline]
    pub(super) fn is_una_current(&self, una: SeqNumber) -> bool {
        una.is_within(self.ring.unacked, self.ring.next.plus(1))
    }

    /// An old packet, overtaken: its una lies below ours, but not by more than can have been in flight.
    pub(super) fn is_old_una(&self, una: SeqNumber) -> bool {
        self.ring.unacked.distance_from(una) <= 65_536
    }

    pub(super) fn note_sign_of_life(&mut self, now: Instant) {
        self.last_received = now;
        self.liveness.note_life();
        self.probing.unanswered = 0;
        self.timeouts_unheard = 0;
        self.asking_since = None;
        self.unreachable.first = None;
        if self.phase == Phase::Opening && self.dial.is_none() {
            self.phase = Phase::Open;
            self.timers.stop(Timer::Opening);
        }
    }

    /// Marks what an ACK answers.
    fn handle_ack(&mut self, now: Instant, segment: &SegmentView<'_>, arrival: &mut Arrival) -> Answered {
        let (sn, echo, una) = (segment.sn(), segment.timestamp(), segment.una());
        if let Some(life) = self.handle_probe_ack(now, sn, echo, una) {
            return if life == Life::There { Answered::Live } else { Answered::Old };
        }
        if self.shows_forgetting(sn, echo, una) {
            self.end_forgotten(now);
            return Answered::Old;
        }
        if !self.is_una_current(una) && !self.is_old_una(una) {
            return Answered::Nothing;
        }
        if !sn.is_within(self.ring.unacked, self.ring.next) {
            let old = sn.is_before(self.ring.unacked) && self.could_have_sent(now, echo);
            return if old { Answered::Old } else { Answered::Nothing };
        }
        match self.loss.on_ack(&mut self.ring, sn, echo, self.profile.resend()) {
            Acked::Latest(sent_at) => {
                let this_way = self.went_this_way(sent_at);
                arrival.sample = this_way.then(|| now.saturating_duration_since(sent_at));
            }
            // The echo tells which one (so Karn's doubt doesn't arise), to the millisecond.
            Acked::Earlier => {
                let age = self.clock.age(now, echo);
                let this_way =
                    |age: &Duration| now.checked_sub(*age).is_some_and(|at| self.went_this_way(at));
                arrival.sample = age.filter(this_way);
            }
            Acked::NotOurs => return Answered::Nothing,
        }
        Answered::Live
    }

    /// Whether the timestamp lies between our first transmission and now.
    pub(super) fn could_have_sent(&self, now: Instant, echo: Timestamp) -> bool {
        self.first_sent.is_some_and(|(first, _)| {
            // The clock counts whole milliseconds from the epoch, not from the first transmission.
            self.clock
                .age(now, echo)
                .is_some_and(|age| age <= now.duration_since(first) + Duration::from_millis(1))
        })
    }

    /// Everything below `una` is delivered; returns whether that is news.
    pub(super) fn handle_una(&mut self, una: SeqNumber, window: u16) -> bool {
        if una.is_before(self.ring.unacked) {
            return false;
        }
        let news = una != self.ring.unacked;
        if news {
            self.stats.bytes_acknowledged += self.loss.on_una(&mut self.ring, una);
        }
        if let Some((old, new)) = self.remote.tell(una, window, news) {
            // What is in flight there was sent in vain, on the assumption that every KCP makes of a peer that it
            // hasn't heard.
            self.loss.resend_between(&mut self.ring, old, new, self.rtt.rto);
        }
        news
    }

    fn handle_push(&mut self, now: Instant, segment: &SegmentView<'_>) {
        self.stats.segments_received += 1;
        if segment.fragment() == FIN_FRAGMENT {
            self.stats.dropped_fragment += 1;
            return;
        }
        let (sn, data) = (segment.sn(), segment.data());
        if self.reading_stopped && !sn.is_before(self.receive.next) {
            return self.note_unread(now);
        }
        if self.unproven.is_some() && !sn.is_before(self.receive.next) && !self.may_take(data.len()) {
            self.stats.dropped_out_of_window += 1;
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
        self.owe_ack(sn, segment.timestamp());
    }

    pub(super) fn owe_ack(&mut self, sn: SeqNumber, timestamp: Timestamp) {
        if self.acks.owed.len() < MAX_OWED_ACKS {
            self.acks.owed.push((sn, timestamp));
        }
        if self.receive.is_finished() {
            self.acks.deferred = false;
        }
    }

    fn on_delivered(&mut self, now: Instant) {
        self.last_progress = now;
        self.congestion.on_delivered(self.remote.room_from(self.ring.unacked));
        self.timers.stop(Timer::Marks);
        if self.is_delivered() && !self.closing {
            self.timers.stop(Timer::Linger);
            self.linger_elapsed = false;
        } else if self.timers.is_set(Timer::Linger) {
            self.timers.set(Timer::Linger, Some(now + self.linger));
        }
    }

    /// Fast retransmission at once; early retransmission after a wait that reordering may need.
    fn detect_skipped(&mut self, now: Instant) {
        let resend = self.profile.resend();
        if !self.remote.drops() {
            let released = self.loss.release_held(&mut self.ring, now, self.rtt.rto);
            self.stats.retransmitted_timeout += u64::from(released);
        }
        let terms = self.terms();
        let found = self.loss.detect_fast(&mut self.ring, resend, terms);
        if found > 0 {
            self.stats.retransmitted_fast += u64::from(found);
            self.congestion.on_fast_retransmit(self.ring.in_flight(), resend);
        }
        if self.loss.all_marked(&self.ring) {
            if !self.timers.is_set(Timer::Marks) {
                self.timers.set(Timer::Marks, Some(now + self.loss.marks_wait(self.rtt.rto)));
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
