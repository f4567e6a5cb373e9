//! What goes to the network (`ikcp_flush`), without its tick.
//!
//! A batch begins with full datagrams; what is shorter comes last, and acknowledgements share that
//! last datagram or have their own: so one system call can send them all.

use super::{
    Connection, INITIAL_REMOTE_WINDOW, PeerKind, Phase, Role, Timer,
    buffer::{Batch, OpenDatagram, TransmitBuffer},
    lifecycle::code,
    pacer::Pacer,
    peering::Front,
    send::SlotState,
};
use crate::{
    endpoint::NO_COOKIE,
    seq::{SeqNumber, Timestamp},
    wire::{BLOCK_HEADER_SIZE, Block, BlockKind, Body, Command, HEADER_SIZE, Segment, Token, truncate},
};
use std::time::Instant;

/// The sequence number of probes. A stock listener that holds another conversation for our address
/// drops that one for any segment with sn 0.
pub(super) const PROBE_SN: SeqNumber = SeqNumber(1);

/// A segment with a PING or PONG, and one with a RESET without words.
const PING_SIZE: usize = BlockKind::Ping.segment_size();
const RESET_SIZE: usize = BlockKind::Reset.segment_size();

fn front_size(front: Front) -> usize {
    match front {
        Front::Hello => BlockKind::Hello.segment_size(),
        Front::Welcome => BlockKind::Welcome.segment_size(),
    }
}

impl Connection {
    /// Whether [`poll_transmit`](Self::poll_transmit) has something to send that can't wait.
    #[inline]
    pub fn has_transmit(&mut self) -> bool {
        if self.phase == Phase::Ended {
            return self.last_words.is_some();
        }
        let data = self.sendable_segments() > 0 || self.next_lost().is_some();
        let asks = self.answers.reset.is_some() || self.probing.any();
        let asks = asks || (self.liveness.ask && !self.is_greeting() && self.has_question());
        let any = data || asks || self.is_hello_due() || (self.owes_answer() && !self.acks.deferred);
        any && (self.unproven.is_none() || self.has_credit_for_any())
    }

    /// A client that has the peer's token tells it so before anything else.
    pub(super) fn is_greeting(&self) -> bool {
        self.liveness.ask && self.role == Role::Client && self.timers.is_set(Timer::Greeting)
    }

    fn is_hello_due(&self) -> bool {
        self.dial.as_ref().is_some_and(|dial| dial.due)
    }

    /// Towards an unproven peer: whether the next of what waits fits in what may be sent.
    fn has_credit_for_any(&mut self) -> bool {
        let credit = self.credit();
        if self.answers.reset.is_some() && credit >= RESET_SIZE {
            return true;
        }
        let front = self.front().map_or(0, front_size);
        let mut least = usize::MAX;
        let mut waits = |size: usize| least = least.min(size);
        let undeferred = !self.acks.deferred;
        if self.answers.welcome && undeferred {
            waits(0);
        }
        if self.owes_acks() && undeferred || self.probing.any() {
            waits(HEADER_SIZE);
        }
        if self.answers.pong.is_some() && undeferred || (self.liveness.ask && self.peering.knows_us()) {
            waits(PING_SIZE);
        }
        if self.next_lost().is_some() || self.sendable_segments() > 0 {
            let sn = self.next_lost().unwrap_or(self.ring.next);
            waits(HEADER_SIZE + self.ring.data_len(sn));
        }
        let probes = self.liveness.ask && self.peering.kind() == PeerKind::Stock;
        least != usize::MAX && front + least <= credit || (probes && self.may_probe())
    }

    /// Outside the credit, but no more than one for each datagram that came.
    fn may_probe(&self) -> bool {
        self.unproven.as_ref().is_none_or(|unproven| unproven.may_probe)
    }

    /// Writes the next batch of datagrams into `buffer`, which is cleared first; false when there is
    /// nothing to send. Deferred acknowledgements go along. See [`poll_batch`](Self::poll_batch) for less copying.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut TransmitBuffer) -> bool {
        buffer.clear();
        if self.phase == Phase::Ended {
            return self.say_last_words(now, buffer);
        }
        if self.turn_away_stranger(buffer) {
            return true;
        }
        self.refill_pacer(now);
        let asked = self.stats.segments_sent + self.stats.probes_sent;
        let mut stamp = self.stamp(now);
        let mut alike = None;
        loop {
            let room = self.datagram_room();
            if *alike.get_or_insert(room) != room {
                // Where large ones are lost, a whole batch may be: a host on the way has it as one packet.
                break;
            }
            let credit = self.credit();
            let Some(mut datagram) = buffer.start(room) else { break };
            datagram.limit(room.min(credit));
            let tells = self.probing.tell;
            let front = self.front();
            if front.is_some_and(|front| datagram.room() < front_size(front)) {
                datagram.abandon();
                break;
            }
            if let Some(front) = front {
                self.put_front(front, &stamp, &mut datagram);
            }
            if self.is_greeting() {
                // It vouches for the data behind it.
                self.put_question(now, &stamp, &mut datagram);
            }
            if self.is_answer_first() {
                self.fill_with_answers(&stamp, &mut datagram);
            }
            self.fill_with_data(now, &mut stamp, &mut datagram, front.is_some());
            if self.unproven.is_some() || (self.sendable_segments() == 0 && self.next_lost().is_none()) {
                self.fill_with_control(now, &stamp, &mut datagram);
            }
            let alone = front.is_some_and(|front| datagram.len() == front_size(front));
            // Also where it has told the window for free.
            let wanted = self.take_front_due() | (tells && !self.probing.tell);
            if alone && !wanted {
                datagram.abandon();
                break;
            }
            self.retries.answered |= front == Some(Front::Hello);
            let full = datagram.finish();
            if !full || self.unproven.is_some() {
                break; // one at a time, as long as it is counted
            }
        }
        if buffer.is_empty() {
            return false;
        }
        if let Some(unproven) = &mut self.unproven {
            unproven.sent += buffer.contents().len() as u64;
        }
        if self.stats.segments_sent + self.stats.probes_sent > asked {
            self.asking_since.get_or_insert(now);
        }
        self.after_transmit(now, buffer.len());
        true
    }

    /// Whether a PONG goes before data: where the way has changed it may be the proof of it, and what comes from an
    /// unknown address before that is dropped.
    fn is_answer_first(&self) -> bool {
        self.answers.pong.is_some() && self.path.is_some()
    }

    /// Bytes of segments in the next datagram at most: what the path takes, or what a segment needs that was made before
    /// that was known.
    fn datagram_room(&mut self) -> usize {
        let (most, usual) = (self.config.kcp_mtu(), self.loss.path.kcp_mtu());
        if usual == most {
            return most;
        }
        let new = (self.sendable_segments() > 0).then_some(self.ring.next);
        let Some(sn) = self.next_lost().or(new) else { return usual };
        let front = self.front().map_or(0, front_size);
        usual.max(front + HEADER_SIZE + self.ring.data_len(sn)).min(most)
    }

    /// What the next datagram begins with: always, or if the first segment of all is in it.
    fn front(&mut self) -> Option<Front> {
        if let Some(front) = self.peering.front() {
            return Some(front);
        }
        if self.answers.welcome {
            return Some(Front::Welcome);
        }
        let first = self.first_expected;
        let waits = match self.next_lost() {
            Some(sn) => sn == first,
            None => self.ring.next == first && self.sendable_segments() > 0,
        };
        if waits { self.peering.front_of_first() } else { None }
    }

    fn put_front(&self, front: Front, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        let opens = front == Front::Hello && self.peering.peer.is_none();
        let (command, body) = match front {
            Front::Hello => (
                Command::WindowAsk,
                Body::Hello { features: 0, cookie: if opens { self.retries.cookie() } else { NO_COOKIE } },
            ),
            Front::Welcome => (Command::WindowTell, Body::Welcome { features: 0 }),
        };
        // A stock listener that holds another conversation for our address drops that one for any segment with sn 0.
        let sn = if opens { SeqNumber(0) } else { PROBE_SN };
        let header = Segment { command, sn, fragment: 0, ..*stamp };
        self.put_block(&header, 0, self.peering.peer, Some(self.peering.own), body, datagram);
    }

    /// Whether the front was to be sent for its own sake.
    fn take_front_due(&mut self) -> bool {
        let hello = self.dial.as_mut().is_some_and(|dial| std::mem::take(&mut dial.due));
        hello | std::mem::take(&mut self.answers.welcome)
    }

    fn put_block(
        &self,
        header: &Segment,
        flags: u16,
        to: Option<Token>,
        from: Option<Token>,
        body: Body<'_>,
        datagram: &mut OpenDatagram<'_>,
    ) {
        let mut data = Vec::with_capacity(BLOCK_HEADER_SIZE + 20);
        Block { flags, to, from, body }.encode(&mut data);
        datagram.append(&header.encode_header(data.len()), &data);
    }

    /// The RESET that ends the connection.
    fn say_last_words(&mut self, now: Instant, buffer: &mut TransmitBuffer) -> bool {
        let (Some(words), Some(mut datagram)) = (self.last_words.take(), buffer.start(self.config.kcp_mtu()))
        else {
            return false;
        };
        let header = Segment { command: Command::WindowTell, sn: PROBE_SN, ..self.stamp(now) };
        let room = datagram.room().saturating_sub(RESET_SIZE);
        let body = Body::Reset { code: words.code, reason: truncate(&words.reason, room) };
        self.put_block(&header, 0, self.peering.peer, Some(self.peering.own), body, &mut datagram);
        datagram.finish();
        self.stats.datagrams_sent += 1;
        true
    }

    /// The next batch, without a copy where that can be: full segments leave straight from where
    /// they are kept, everything else is written into `buffer`. `None` when there is nothing to send.
    ///
    /// With a buffer that leaves room around the segments, the batch is in `buffer` in any case.
    pub fn poll_batch<'a>(&'a mut self, now: Instant, buffer: &'a mut TransmitBuffer) -> Option<Batch<'a>> {
        if let Some((first, count)) = self.stamp_run(now, buffer) {
            let (run, size) = (self.ring.stamped_run(first, count), self.loss.path.kcp_mtu());
            if !buffer.has_room_around() {
                return Some(Batch::new(run, size));
            }
            buffer.copy_run(run, size);
            return Some(Batch::new(buffer.contents(), buffer.datagram_size()));
        }
        self.poll_transmit(now, buffer).then(|| Batch::new(buffer.contents(), buffer.datagram_size()))
    }

    /// Takes full segments into flight that lie one behind the other; says where they begin, and how many they are.
    fn stamp_run(&mut self, now: Instant, buffer: &TransmitBuffer) -> Option<(SeqNumber, usize)> {
        if buffer.has_plan()
            || self.phase == Phase::Ended
            || self.peering.front().is_some()
            || self.unproven.is_some()
            || self.answers.welcome
            || self.is_greeting()
            || self.is_answer_first()
            || self.ring.next == self.first_expected
        {
            return None;
        }
        self.refill_pacer(now);
        let size = self.loss.path.kcp_mtu();
        let most = buffer.datagrams_of(size).min(self.sendable_segments() as usize);
        let count = self.ring.full_run(most);
        if count < 2 || self.next_lost().is_some() {
            return None;
        }
        let first = self.ring.next;
        let mut stamp = self.stamp(now);
        let len = size - HEADER_SIZE;
        for _ in 0..count {
            let sn = self.ring.next;
            (stamp.sn, stamp.fragment) = (sn, self.ring.slot(sn).fragment);
            self.ring.stamp(sn, &stamp.encode_header(len));
            self.note_sent(now, &stamp, size);
            self.ring.advance_next();
        }
        self.asking_since.get_or_insert(now);
        self.after_transmit(now, count);
        Some((first, count))
    }

    /// What all segments of a batch have in common.
    pub(super) fn stamp(&mut self, now: Instant) -> Segment {
        Segment {
            conv: self.conv.value(),
            command: Command::Push,
            fragment: 0,
            window: self.receive.advertise(),
            timestamp: self.clock.timestamp(now),
            sn: SeqNumber(0),
            una: self.receive.next,
        }
    }

    /// Segments never sent that the windows allow in flight now.
    #[inline]
    pub(super) fn send_allowance(&self) -> u32 {
        // The first flight, before anything is known of the path, is what every KCP sends.
        let paced = self.pacer.is_some() && self.rtt.smoothed.is_some();
        let known = paced || self.rtt.measured || !self.peering.blocks;
        let known = if known { u32::MAX } else { INITIAL_REMOTE_WINDOW };
        let window = self.send_window.min(self.congestion.window()).min(known);
        let ours = window.saturating_sub(self.ring.in_flight());
        let theirs = self.remote.room_from(self.ring.next);
        ours.min(theirs).min(self.paced())
    }

    #[inline]
    fn paced(&self) -> u32 {
        self.pacer.as_ref().map_or(u32::MAX, Pacer::allowance)
    }

    /// The next segment to send again, if the pacer lets it.
    #[inline]
    fn next_lost(&mut self) -> Option<SeqNumber> {
        if self.paced() == 0 { None } else { self.peek_lost() }
    }

    /// The next segment to send again. What rides with a HELLO waits for the next one.
    pub(super) fn peek_lost(&mut self) -> Option<SeqNumber> {
        if self.is_moving() || self.dial.as_ref().is_some_and(|dial| !dial.due && !dial.early) {
            return None;
        }
        self.loss.peek_lost(&self.ring)
    }

    fn fill_with_data(
        &mut self,
        now: Instant,
        stamp: &mut Segment,
        datagram: &mut OpenDatagram<'_>,
        fronted: bool,
    ) {
        // The first segment of all goes where the right block stands in front.
        let first = self.first_expected;
        let bare = !fronted && self.peering.front_of_first().is_some();
        while let Some(sn) = self.next_lost() {
            if (bare && sn == first) || !self.append(now, stamp, sn, datagram) {
                return;
            }
            self.loss.pop_lost();
        }
        if bare && self.ring.next == first {
            return;
        }
        let mut allowance = self.sendable_segments();
        while allowance > 0 && self.append(now, stamp, self.ring.next, datagram) {
            self.ring.advance_next();
            allowance -= 1;
        }
    }

    /// Appends one segment if it fits.
    #[inline]
    fn append(
        &mut self,
        now: Instant,
        stamp: &mut Segment,
        sn: SeqNumber,
        datagram: &mut OpenDatagram<'_>,
    ) -> bool {
        let len = self.ring.data_len(sn);
        if HEADER_SIZE + len > datagram.room() {
            return false;
        }
        let slot = self.ring.slot(sn);
        (stamp.sn, stamp.fragment) = (sn, slot.fragment);
        datagram.append(&stamp.encode_header(len), self.ring.data(sn));
        self.note_sent(now, stamp, datagram.len());
        true
    }

    /// A segment is on its way, in a datagram with so many bytes of segments.
    #[inline]
    fn note_sent(&mut self, now: Instant, stamp: &Segment, datagram: usize) {
        let slot = self.ring.slot_mut(stamp.sn);
        slot.set_datagram(datagram);
        if slot.state == SlotState::Queued {
            self.stats.bytes_sent += slot.payload_len();
            if stamp.sn == self.ring.unacked {
                self.last_progress = now; // of what was idle until now
            }
        }
        self.last_pushed = Some(now);
        self.loss.on_sent(&mut self.ring, stamp.sn, now, stamp.timestamp, self.rtt.rto);
        self.stats.segments_sent += 1;
        if let Some(pacer) = &mut self.pacer {
            pacer.spend();
        }
    }

    /// Acknowledgements, answers, questions. What doesn't fit waits for the next datagram.
    fn fill_with_control(&mut self, now: Instant, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        self.fill_with_acks(stamp, datagram);
        self.fill_with_answers(stamp, datagram);
        let bare = |command| Segment { command, sn: PROBE_SN, fragment: 0, ..*stamp };
        if (self.probing.tell || self.probing.answer) && datagram.room() >= HEADER_SIZE {
            // Any segment tells the window; one that goes anyway does it for free.
            if self.probing.answer || datagram.is_empty() {
                datagram.append(&bare(Command::WindowTell).encode_header(0), &[]);
            }
            (self.probing.tell, self.probing.answer) = (false, false);
        }
        if self.probing.ask && datagram.room() >= HEADER_SIZE {
            datagram.append(&bare(Command::WindowAsk).encode_header(0), &[]);
            self.probing.ask = false;
            self.stats.probes_sent += 1;
        }
        if self.liveness.ask && self.may_ask_in(datagram) {
            self.put_question(now, stamp, datagram);
            if !self.liveness.ask {
                self.loss.path.note_question(now, datagram.len());
            }
        }
        if !self.owes_answer() {
            self.acks.deferred = false;
            self.timers.stop(Timer::Ack);
        }
    }

    /// A question that is to show whether smaller datagrams arrive goes in a small one, and not in a batch with others.
    fn may_ask_in(&self, datagram: &OpenDatagram<'_>) -> bool {
        !self.is_path_in_doubt()
            || datagram.is_first() && !self.loss.path.is_large(datagram.len() + PING_SIZE)
    }

    fn fill_with_answers(&mut self, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        let header = Segment { command: Command::WindowTell, sn: PROBE_SN, fragment: 0, ..*stamp };
        let own = Some(self.peering.own);
        if datagram.room() >= PING_SIZE
            && let Some(challenge) = self.answers.pong.take()
        {
            self.put_block(&header, 0, self.peering.peer, own, Body::Pong { challenge }, datagram);
        }
    }

    /// RESET 1 to who takes us for somebody else. It goes alone: a HELLO or WELCOME in front is for another, and
    /// there the datagram would be dropped whole.
    fn turn_away_stranger(&mut self, buffer: &mut TransmitBuffer) -> bool {
        if self.answers.reset.is_none() || self.credit() < RESET_SIZE {
            return false;
        }
        let (Some(stranger), Some(mut datagram)) =
            (self.answers.reset.take(), buffer.start(self.config.kcp_mtu()))
        else {
            return false;
        };
        let nobody = Segment {
            conv: self.conv.value(),
            command: Command::WindowTell,
            fragment: 0,
            window: 0,
            timestamp: Timestamp(0),
            sn: PROBE_SN,
            una: SeqNumber(0),
        };
        let body = Body::Reset { code: code::UNKNOWN, reason: "" };
        self.put_block(&nobody, 0, Some(stranger), None, body, &mut datagram);
        datagram.finish();
        self.stats.datagrams_sent += 1;
        if let Some(unproven) = &mut self.unproven {
            unproven.sent += buffer.contents().len() as u64;
        }
        true
    }

    /// A PING, or a PROBE to a stock peer. One that has proven nothing is asked by WELCOME instead.
    fn put_question(&mut self, now: Instant, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        if self.peering.knows_us() {
            if datagram.room() < PING_SIZE {
                return;
            }
            let challenge = self.random.next();
            self.liveness.note_ping(challenge, now);
            let mut flags = if self.liveness.reads_no_more { Block::READS_NO_MORE } else { 0 };
            if self.going_away.is_to_be_said() {
                self.going_away.note_ping(challenge);
                flags |= Block::GOING_AWAY;
            }
            let header = Segment { command: Command::WindowAsk, sn: PROBE_SN, fragment: 0, ..*stamp };
            let (to, own) = (self.peering.peer, Some(self.peering.own));
            self.put_block(&header, flags, to, own, Body::Ping { challenge }, datagram);
        } else if self.peering.kind() == PeerKind::Stock {
            if !self.may_probe() || !self.has_question() || datagram.unlimited_room() <= HEADER_SIZE {
                return;
            }
            if let Some(unproven) = &mut self.unproven {
                unproven.may_probe = false;
            }
            if let Some(probe) = self.next_probe(now) {
                let (sn, timestamp) = (probe.sn, probe.timestamp);
                let header = Segment { command: Command::Push, sn, timestamp, fragment: 0, ..*stamp };
                datagram.append_unlimited(&header.encode_header(1), &[0]);
                self.liveness.note_probe(probe);
            }
        } else if self.peering.is_unproven() {
            self.answers.welcome = true;
        }
        self.liveness.note_asked(now, self.stats.segments_received);
        self.stats.probes_sent += 1;
    }

    /// As kcp-go: those that una doesn't cover, and the last one received, for its timestamp.
    fn fill_with_acks(&mut self, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        let owed = &mut self.acks.owed;
        let Some(&last) = owed.last() else { return };
        let next = self.receive.next;
        owed.pop();
        owed.retain(|&(sn, _)| !sn.is_before(next));
        owed.push(last);
        let fitting = owed.len().min(datagram.room() / HEADER_SIZE);
        for (sn, timestamp) in owed.drain(..fitting) {
            let ack = Segment { command: Command::Ack, sn, timestamp, fragment: 0, ..*stamp };
            datagram.append(&ack.encode_header(0), &[]);
        }
    }

    fn after_transmit(&mut self, now: Instant, datagrams: usize) {
        self.stats.datagrams_sent += datagrams as u64;
        self.unreachable.sent_since = true;
        if self.first_sent.is_none() && self.stats.segments_sent > 0 {
            self.first_sent = Some((now, self.clock.timestamp(now)));
            if self.phase == Phase::Opening && !self.peering.blocks {
                let limit = self.config.connect_timeout_duration();
                self.timers.set(Timer::Opening, Some(now + limit));
            }
        }
        self.note_hello(now);
        self.timers.set(Timer::Pace, self.pacer.as_ref().and_then(Pacer::next));
        self.rearm_resend();
        self.arm_probe(now);
        self.arm_idle(now);
        self.end_if_over(now);
    }

    /// The timestamp that our clock shows now: for tests that forge acknowledgements.
    #[doc(hidden)]
    pub fn timestamp(&self, now: Instant) -> Timestamp {
        self.clock.timestamp(now)
    }
}
