//! What the peer's blocks say, who is believed, and what is answered.

use super::{
    Cause, Connection, Party, PeerKind, Phase, Role, Timer,
    closing::Farewell,
    incoming::Arrival,
    lifecycle::{Rest, code},
    receive::Pushed,
};
use crate::wire::{Block, Body, SegmentView, Token};
use std::{ops::ControlFlow, time::Instant};

/// What blocks of the peer are answered with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answers {
    /// A WELCOME, to a HELLO.
    pub(super) welcome: bool,
    /// A PONG with that challenge.
    pub(super) pong: Option<u64>,
    /// RESET 1, to the token that a stranger has named.
    pub(super) reset: Option<Token>,
    /// When each was last given to something that doubles or doesn't fit.
    pub(super) welcomed_at: Option<Instant>,
    pub(super) reset_at: Option<Instant>,
}

/// A datagram whose leading HELLO or WELCOME isn't believed is dropped whole, and one further back ends its parsing.
const STOP: ControlFlow<()> = ControlFlow::Break(());
const GO_ON: ControlFlow<()> = ControlFlow::Continue(());

impl Connection {
    pub(super) fn handle_block(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        match block.body {
            Body::Hello { .. } => return self.handle_hello(now, segment, block, arrival),
            Body::Welcome { .. } => return self.handle_welcome(now, segment, block, arrival),
            Body::Ping { challenge } => self.handle_ping(now, segment, block, challenge, arrival),
            Body::Pong { challenge } => {
                if self.peering.believes(block) {
                    self.believe(now, segment, arrival);
                    if self.going_away.note_pong(challenge) {
                        self.timers.stop(Timer::GoingAway);
                    }
                    if let Some(took) = self.liveness.take_pong(challenge, now) {
                        self.rtt.estimate(took);
                        if let Some(sent_at) = now.checked_sub(took) {
                            self.loss.path.on_answer(sent_at);
                        }
                    }
                } else {
                    self.stats.unbelieved_blocks += 1;
                }
            }
            Body::Fin { code, reason } => self.handle_fin(now, segment, block, (code, reason), arrival),
            Body::Reset { code, reason } if block.to == Some(self.peering.own) => {
                let counts = block.from.is_some() && block.from == self.peering.peer;
                if counts && self.is_una_current(segment.una()) {
                    self.handle_una(segment.una(), segment.window());
                }
                self.handle_reset(now, code, reason);
            }
            Body::Retry { cookie } if block.to == Some(self.peering.own) => self.handle_retry(now, &cookie),
            Body::Reset { .. } | Body::Retry { .. } => self.stats.unbelieved_blocks += 1,
        }
        GO_ON
    }

    fn handle_hello(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        let same_peer = self.peering.peer.is_some() && block.from == self.peering.peer;
        if self.role == Role::Client || !same_peer {
            self.stats.unbelieved_blocks += 1;
            if self.role == Role::Server {
                self.hint(now);
            }
            return STOP;
        }
        if block.to == Some(self.peering.own) {
            self.believe(now, segment, arrival);
            arrival.fronted = true;
            return GO_ON;
        }
        if block.to.is_some() {
            // It takes us for another: that one has died, and with it this conversation.
            self.last_words = Some(Box::new(Farewell::new(code::UNKNOWN, "")));
            self.end_with(
                now,
                Party::Peer,
                Cause::Reset,
                Farewell::new(code::UNKNOWN, ""),
                Rest::Reset(code::UNKNOWN),
            );
            return STOP;
        }
        // Its first, or a copy: it hasn't heard us yet, or has by now.
        arrival.fronted = true;
        if self.peering.is_unproven() || self.is_due(now, |a| &mut a.welcomed_at) {
            self.answers.welcome = true;
        }
        GO_ON
    }

    fn handle_welcome(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        if self.role == Role::Server || !self.peering.believes(block) {
            self.refuse(now, block);
            return STOP;
        }
        arrival.welcomed = true;
        self.believe(now, segment, arrival);
        GO_ON
    }

    fn handle_ping(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        challenge: u64,
        arrival: &mut Arrival,
    ) {
        if !self.peering.believes(block) {
            return self.refuse(now, block);
        }
        self.believe(now, segment, arrival);
        self.answers.pong = Some(challenge);
        self.going_away.peer |= block.flags & Block::GOING_AWAY != 0;
        let reads_no_more = block.flags & Block::READS_NO_MORE != 0;
        self.remote.reads_no_more |= reads_no_more;
        if reads_no_more && self.reading_stopped {
            // Nobody reads any more, on either side.
            let doubt = self.stats.bytes_sent > self.stats.bytes_acknowledged || self.ring.queued_bytes() > 0;
            self.break_off(now, code::UNREAD, if doubt { Cause::Reset } else { Cause::Closed });
        }
    }

    fn handle_fin(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        (code, reason): (u32, &str),
        arrival: &mut Arrival,
    ) {
        if !self.peering.believes(block) {
            self.stats.unbelieved_blocks += 1;
            return;
        }
        self.believe(now, segment, arrival);
        self.take_fin(now, segment, (code, reason));
    }

    /// The end of what the peer sends, from the peer.
    pub(super) fn take_fin(&mut self, now: Instant, segment: &SegmentView<'_>, (code, reason): (u32, &str)) {
        self.stats.segments_received += 1;
        let sn = segment.sn();
        if self.reading_stopped && self.receive.next.is_before(sn) {
            // What lies before it is not taken any more, so this isn't either.
            return self.note_unread(now);
        }
        match self.receive.push_fin(sn) {
            Pushed::Refused => {
                self.stats.dropped_out_of_window += 1;
                return;
            }
            Pushed::Duplicate => self.stats.duplicates_received += 1,
            Pushed::InOrder | Pushed::OutOfOrder => {
                self.peer_farewell = Some(Box::new(Farewell::new(code, reason)));
            }
        }
        self.owe_ack(sn, segment.timestamp());
    }

    fn handle_reset(&mut self, now: Instant, code: u32, reason: &str) {
        let farewell = Farewell::new(code, reason);
        if self.dial.is_some() {
            if code == code::IN_USE && self.redial_for_conflict(now) {
                return;
            }
            return self.end_with(now, Party::Peer, Cause::Refused, farewell, Rest::Opening(code));
        }
        if code == code::IN_USE {
            return; // one that is late
        }
        if self.is_past_doubt(code) {
            return self.end_cleanly(now, Rest::Silent);
        }
        self.end_with(now, Party::Peer, Cause::Reset, farewell, Rest::Silent);
    }

    /// A block that names our token has come.
    fn believe(&mut self, now: Instant, segment: &SegmentView<'_>, arrival: &mut Arrival) {
        arrival.believed = true;
        if self.dial.is_some() {
            self.open();
        }
        if self.peering.take_learned() {
            self.greet(now);
        }
        self.liveness.end_round();
        self.timers.stop(Timer::Hint);
        self.note_sign_of_life(now);
        self.end_moving(now);
        self.prove();
        self.tell_going_away(now);
        if self.is_una_current(segment.una()) {
            arrival.delivered |= self.handle_una(segment.una(), segment.window());
        } else if !self.is_old_una(segment.una()) {
            self.stats.invalid_una += 1;
        }
        self.queue_fin();
    }

    /// Who takes us for somebody else is told, once a timeout. A stock peer has not said it, and would read
    /// the RESET as a closed window.
    fn refuse(&mut self, now: Instant, block: &Block<'_>) {
        self.stats.unbelieved_blocks += 1;
        if self.peering.kind() != PeerKind::Stock && self.is_due(now, |a| &mut a.reset_at) {
            self.answers.reset = block.from;
        }
    }

    /// Whether an answer of that kind may be given again: once a timeout.
    fn is_due(&mut self, now: Instant, last: impl Fn(&mut Answers) -> &mut Option<Instant>) -> bool {
        let rto = self.rtt.rto;
        let last = last(&mut self.answers);
        let due = last.is_none_or(|at| now >= at + rto);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Whether blocks of that peer are to be looked for in a segment.
    #[inline]
    pub(super) fn may_be_block(&self, segment: &SegmentView<'_>) -> bool {
        self.peering.blocks && !segment.data().is_empty() && Block::is_marked(segment.data())
    }

    /// Whether a PUSH has what must stand in front of it.
    pub(super) fn is_fronted(&self, arrival: &Arrival) -> bool {
        match self.role {
            Role::Client => self.phase != Phase::Opening || self.peering.kind() != PeerKind::Unknown,
            Role::Server => arrival.fronted || !self.peering.is_unproven(),
        }
    }
}
