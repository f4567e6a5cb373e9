//! The end: FIN, RESET, lingering, and when a conversation is over.

use super::{
    AckQueue, Cause, Connection, Ending, LossDetector, Party, PeerKind, Phase, Probing, Timer,
    blocks::Answers,
    lifecycle::{Remains, Rest, code},
};
use crate::{
    seq::SeqNumber,
    wire::{BLOCK_HEADER_SIZE, Block, BlockKind, Body, HEADER_SIZE, truncate},
};
use std::time::{Duration, Instant};

/// What one side has said at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Farewell {
    /// 0 where there is none; 1 to 15 are the protocol's (see [`code_name`](super::code_name)), the rest the application's.
    pub code: u32,
    /// In words; may be empty.
    pub reason: String,
}

impl Farewell {
    /// A farewell; of the reason, 256 bytes at most.
    pub fn new(code: u32, reason: &str) -> Self {
        Self { code, reason: truncate(reason, crate::wire::MAX_REASON).to_owned() }
    }
}

/// Our own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Finish {
    /// More may be written.
    Open,
    /// Nothing more will be written; the peer isn't told yet, or can't be.
    Wanted,
    /// A FIN with that number is queued behind the data.
    Queued(SeqNumber),
}

/// How often a RESET is repeated that nothing has drawn.
const RESET_REPEATS: u8 = 2;

/// How long a process should stay after a clean end, in case its last acknowledgement was lost.
const MAX_STAY: Duration = Duration::from_secs(1);

impl Connection {
    /// Nothing more will be written. What was written is still delivered, and an extended peer told so.
    pub fn finish(&mut self) {
        self.finish_with(0, "");
    }

    /// The same, with a code and up to 256 bytes of a reason for the peer. The first call counts.
    pub fn finish_with(&mut self, code: u32, reason: &str) {
        if self.write_closed || self.phase == Phase::Ended {
            return;
        }
        self.write_closed = true;
        self.farewell = Some(Box::new(Farewell::new(code, reason)));
        self.finished_first = self.peer_farewell.is_none();
        self.knows_peers_end = self.receive.is_finished();
        self.fin = Finish::Wanted;
        self.queue_fin();
    }

    /// Whether the peer has finished, and all that it wrote is here, if not yet read.
    pub fn is_peer_finished(&self) -> bool {
        self.receive.is_finished()
    }

    /// What the peer has said at its end, once that has come; there may be data before it.
    pub fn peer_farewell(&self) -> Option<&Farewell> {
        self.peer_farewell.as_deref()
    }

    /// The FIN goes behind the data once the peer has proven that it can read it.
    pub(super) fn queue_fin(&mut self) {
        if self.fin != Finish::Wanted || !self.peering.knows_us() {
            return;
        }
        let farewell = self.farewell.as_deref().cloned().unwrap_or_default();
        let room = self.config.segment_size().saturating_sub(super::FRONT_RESERVE + BLOCK_HEADER_SIZE + 4);
        let block = Block {
            flags: 0,
            to: self.peering.peer,
            from: Some(self.peering.own),
            body: Body::Fin { code: farewell.code, reason: truncate(&farewell.reason, room) },
        };
        let mut data = Vec::with_capacity(block.size());
        block.encode(&mut data);
        self.fin = Finish::Queued(self.ring.push_fin(&data));
    }

    /// Starts the linger time anew for a caller that waits until all is delivered.
    pub fn start_linger(&mut self, now: Instant) {
        self.linger_elapsed = false;
        if self.phase != Phase::Ended && (!self.is_delivered() || self.closing) {
            self.timers.set(Timer::Linger, Some(now + self.linger));
        }
    }

    /// Changes the linger time: see [`Config::linger`](crate::Config::linger).
    pub fn set_linger(&mut self, now: Instant, linger: Duration) {
        self.linger = linger;
        if self.timers.is_set(Timer::Linger) {
            self.timers.set(Timer::Linger, Some(now + linger));
        }
    }

    /// Whether nothing was acknowledged for the linger time.
    pub fn has_linger_elapsed(&self) -> bool {
        self.linger_elapsed
    }

    /// Whether all that was written, and an end that the peer can be told of, has been acknowledged by `una`.
    pub fn is_delivered(&self) -> bool {
        match self.ending {
            Some(_) => self.delivered_at_end,
            None => {
                let untold = self.fin == Finish::Wanted && self.peering.kind() != PeerKind::Stock;
                self.ring.is_empty() && !untold
            }
        }
    }

    /// Whether it is closed here, and the peer has all that was written and our end: what is still to come is the
    /// peer's own, which nobody waits for.
    pub fn has_said_all(&self) -> bool {
        self.ending.is_some() || (self.closing && self.is_delivered())
    }

    /// Whether it is closed here: nothing more is read.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    fn is_fin_covered(&self) -> bool {
        matches!(self.fin, Finish::Queued(sn) if sn.is_before(self.ring.unacked))
    }

    /// Stops reading, delivers what was written and says goodbye, then ends: after the linger time without
    /// progress in any case. The code and up to 256 bytes of the reason are for the peer, if nothing was
    /// said by [`finish_with`](Self::finish_with) before.
    pub fn close(&mut self, now: Instant, code: u32, reason: &str) {
        if self.closing || self.phase == Phase::Ended {
            return;
        }
        self.finish_with(code, reason);
        self.closing = true;
        self.reading_stopped = true;
        if self.receive.held_bytes() > 0 {
            self.unread = true;
        }
        self.receive.discard();
        self.acks.deferred = false;
        self.start_linger(now);
        self.end_if_over(now);
    }

    /// Data has come that nobody reads: its sender is asked to stop, once a timeout.
    pub(super) fn note_unread(&mut self, now: Instant) {
        self.stats.dropped_after_close += 1;
        self.unread = true;
        if self.peering.knows_us() && now >= self.unread_told.map_or(now, |at| at + self.rtt.rto) {
            self.unread_told = Some(now);
            self.liveness.ask = true;
            self.liveness.reads_no_more = true;
        }
    }

    /// Ends at once. What was not acknowledged is given up; an extended peer is told the code.
    pub fn abort(&mut self, now: Instant, code: u32) {
        self.break_off(now, code, Cause::Aborted);
    }

    /// Ends with a RESET to the peer, which is repeated.
    pub(super) fn break_off(&mut self, now: Instant, code: u32, cause: Cause) {
        if self.phase == Phase::Ended {
            return;
        }
        let rest = self.reset_peer(code, RESET_REPEATS);
        self.end_with(now, Party::Local, cause, Farewell::new(code, ""), rest);
    }

    /// The last word is a RESET, repeated so often, if the peer can read it; says how late datagrams are met.
    pub(super) fn reset_peer(&mut self, code: u32, repeats: u8) -> Rest {
        match self.peering.kind() {
            PeerKind::Extended => {
                self.last_words = Some(Box::new(Farewell::new(code, "")));
                self.repeats = repeats;
                Rest::Reset(code)
            }
            PeerKind::Unknown => Rest::Opening(code),
            PeerKind::Stock => Rest::Silent,
        }
    }

    /// The socket is gone: nothing more can be sent or received.
    pub fn lose_endpoint(&mut self, now: Instant) {
        self.end(now, Party::Local, Cause::EndpointLost, Rest::Gone);
    }

    /// The peer is given up: an extended one gets one RESET, in case it lives.
    pub(super) fn give_up(&mut self, now: Instant, cause: Cause) {
        if self.is_past_doubt(code::UNKNOWN) {
            return self.end_cleanly(now, Rest::Reset(code::UNKNOWN));
        }
        let rest = self.reset_peer(code::UNKNOWN, 0);
        self.end(now, Party::Network, cause, rest);
    }

    /// The rule of the last acknowledgement: all data is covered, the peer's end is in, and only the
    /// answer to our own is missing. Then no byte is in doubt, and who doesn't know us any more has ended.
    /// After `close` it is enough that our end is covered: nobody waits for more.
    pub(super) fn is_past_doubt(&self, code: u32) -> bool {
        let Finish::Queued(fin) = self.fin else { return false };
        if self.closing && self.is_fin_covered() {
            return true;
        }
        code == code::UNKNOWN && self.receive.is_finished() && !self.ring.unacked.is_before(fin)
    }

    pub(super) fn on_linger(&mut self, now: Instant) {
        if !self.closing {
            self.linger_elapsed = true;
        } else if self.is_fin_covered() {
            self.leave(now, code::LINGER, Cause::Closed);
        } else {
            self.leave(now, code::LINGER, Cause::TimedOut(super::Silence::Linger));
        }
    }

    fn leave(&mut self, now: Instant, code: u32, cause: Cause) {
        let rest = self.reset_peer(code, RESET_REPEATS);
        match cause {
            Cause::Closed => self.end_cleanly(now, rest),
            _ => self.end(now, Party::Network, cause, rest),
        }
    }

    /// Ends the connection once both sides have said all, or we have and nobody listens here any more.
    pub(super) fn end_if_over(&mut self, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.receive.is_finished() && self.receive.ends_within_message() {
            return self.break_off(now, code::PROTOCOL, Cause::Reset);
        }
        if !self.acks.owed.is_empty() && self.credit() >= HEADER_SIZE {
            return;
        }
        if self.is_fin_covered() {
            if self.unread {
                return self.leave(now, code::UNREAD, Cause::Closed);
            }
            if self.receive.is_finished() {
                return self.end_cleanly(now, Rest::Closed);
            }
            return;
        }
        if !self.closing {
            return;
        }
        let opening = self.phase == Phase::Opening && self.dial.is_some();
        if self.ring.is_empty() && (opening || self.peering.kind() == PeerKind::Stock) {
            let rest = if opening { Rest::Opening(0) } else { Rest::Silent };
            self.end_cleanly(now, rest);
        }
    }

    /// An end in order, with what was said by whoever finished first.
    pub(super) fn end_cleanly(&mut self, now: Instant, rest: Rest) {
        let (by, farewell) = match &self.peer_farewell {
            Some(peer) if !self.finished_first => (Party::Peer, Farewell::clone(peer)),
            _ => (Party::Local, self.farewell.as_deref().cloned().unwrap_or_default()),
        };
        self.end_with(now, by, Cause::Closed, farewell, rest);
    }

    pub(super) fn end(&mut self, now: Instant, by: Party, cause: Cause, rest: Rest) {
        self.end_with(now, by, cause, Farewell::default(), rest);
    }

    pub(super) fn end_with(&mut self, now: Instant, by: Party, cause: Cause, farewell: Farewell, rest: Rest) {
        if self.phase == Phase::Ended {
            return;
        }
        self.opened_before_end = self.phase == Phase::Open;
        let told = self.is_fin_covered() || self.peering.kind() == PeerKind::Stock;
        self.delivered_at_end = cause == Cause::Closed || (self.ring.is_empty() && told);
        self.limit_last_words();
        self.remains = Some(Box::new(self.leave_behind(rest)));
        self.phase = Phase::Ended;
        self.dial = None;
        self.ending = Some(Box::new(Ending {
            by,
            cause,
            code: farewell.code,
            reason: farewell.reason,
            peer: self.peer_farewell.as_deref().cloned(),
            bytes_received: self.stats.bytes_received,
            bytes_sent: self.stats.bytes_sent,
            bytes_acknowledged: self.stats.bytes_acknowledged,
            bytes_unsent: self.ring.queued_bytes(),
            lasted: now.saturating_duration_since(self.clock.epoch()),
            silent_for: now.saturating_duration_since(self.last_received),
            datagrams_unopened: (self.config.crypt_value().overhead() > 0)
                .then_some(self.stats.failed_to_open),
        }));
        self.unproven = None;
        self.timers.stop_all();
        self.loss = LossDetector::new(self.ring.end, self.loss.path.clone());
        self.ring.discard();
        self.receive.discard_reordering();
        self.acks = AckQueue::default();
        self.probing = Probing::default();
        self.answers = Answers::default();
        self.liveness.stop();
    }

    /// What an unproven peer may be sent bounds the RESET and its repetitions too.
    fn limit_last_words(&mut self) {
        let Some(unproven) = &self.unproven else { return };
        match unproven.credit() / (BlockKind::Reset.segment_size() + self.config.overhead()) {
            0 => (self.last_words, self.repeats) = (None, 0),
            resets => self.repeats = self.repeats.min(u8::try_from(resets - 1).unwrap_or(u8::MAX)),
        }
    }

    pub(super) fn leave_behind(&self, rest: Rest) -> Remains {
        // Who first sent its end when it had the peer's knows, by its acknowledgement, that the peer has all.
        let unheard = rest == Rest::Closed && !self.knows_peers_end;
        // A HELLO may just be answered that is no longer meant.
        let called_off = matches!(rest, Rest::Opening(_))
            && self.dial.is_some()
            && self.stats.datagrams_sent > 0
            && self.unreachable.first.is_none();
        let stays = unheard || called_off || self.last_words.is_some();
        // Where something was lost already, a peer's timeouts may have grown, and what it repeats be lost again.
        let stay = if self.has_seen_loss() { MAX_STAY } else { (self.rtt.rto * 3).min(MAX_STAY) };
        Remains {
            own: self.peering.own,
            peer: self.peering.peer,
            una: self.receive.next,
            rest,
            repeats: self.repeats,
            rto: self.rtt.rto,
            unproven: self.unproven.is_some(),
            stay: if stays { stay } else { Duration::ZERO },
        }
    }

    /// What its old name has to know once the peer has moved.
    pub fn leave_old_path(&self) -> Remains {
        Remains { repeats: 0, stay: Duration::ZERO, ..self.leave_behind(Rest::Moved) }
    }

    fn has_seen_loss(&self) -> bool {
        let stats = &self.stats;
        let repeated = stats.retransmitted_timeout + stats.retransmitted_fast + stats.retransmitted_early;
        repeated + stats.duplicates_received + stats.datagrams_recovered > 0
    }

    /// What a tombstone has to know; once it has ended.
    pub fn remains(&self) -> Option<&Remains> {
        self.remains.as_deref()
    }
}
