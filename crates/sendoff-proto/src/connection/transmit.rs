//! What goes to the network (`ikcp_flush`), without its tick.
//!
//! A batch begins with full datagrams; what is shorter comes last, and acknowledgements share that
//! last datagram or have their own: so one system call can send them all.

use super::{
    Connection, Phase, Timer,
    buffer::{Batch, OpenDatagram, TransmitBuffer},
    pacer::Pacer,
    send::SlotState,
};
use crate::{
    seq::{SeqNumber, Timestamp},
    wire::{Command, HEADER_SIZE, Segment},
};
use std::time::Instant;

/// The sequence number of probes. A stock listener that holds another conversation for our address
/// drops that one for any segment with sn 0.
const PROBE_SN: SeqNumber = SeqNumber(1);

impl Connection {
    /// Whether [`poll_transmit`](Self::poll_transmit) has something to send that can't wait.
    #[inline]
    pub fn has_transmit(&mut self) -> bool {
        self.phase != Phase::Ended
            && (self.next_lost().is_some()
                || self.sendable_segments() > 0
                || self.probing.ask
                || self.probing.tell
                || (self.owes_acks() && !self.acks.deferred))
    }

    /// Writes the next batch of datagrams into `buffer`, which is cleared first; false when there is
    /// nothing to send. Deferred acknowledgements go along. See [`poll_batch`](Self::poll_batch) for less copying.
    pub fn poll_transmit(&mut self, now: Instant, buffer: &mut TransmitBuffer) -> bool {
        buffer.clear();
        if self.phase == Phase::Ended {
            return false;
        }
        self.refill_pacer(now);
        let asked = self.stats.segments_sent + self.stats.probes_sent;
        let mut stamp = self.stamp(now);
        let mtu = self.config.mtu_bytes();
        while let Some(mut datagram) = buffer.start(mtu) {
            self.fill_with_data(now, &mut stamp, &mut datagram);
            if self.sendable_segments() == 0 && self.next_lost().is_none() {
                self.fill_with_control(&stamp, &mut datagram);
            }
            if !datagram.finish() {
                break;
            }
        }
        if buffer.is_empty() {
            return false;
        }
        if self.stats.segments_sent + self.stats.probes_sent > asked {
            self.asking_since.get_or_insert(now);
        }
        self.after_transmit(now, buffer.len());
        true
    }

    /// The next batch, without a copy where that can be: full segments leave straight from where
    /// they are kept, everything else is written into `buffer`. `None` when there is nothing to send.
    pub fn poll_batch<'a>(&'a mut self, now: Instant, buffer: &'a mut TransmitBuffer) -> Option<Batch<'a>> {
        if let Some((first, count)) = self.stamp_run(now, buffer) {
            return Some(Batch::new(self.ring.stamped_run(first, count), self.config.mtu_bytes()));
        }
        self.poll_transmit(now, buffer).then(|| Batch::new(buffer.contents(), buffer.datagram_size()))
    }

    /// Takes full segments into flight that lie one behind the other; says where they begin, and how many they are.
    fn stamp_run(&mut self, now: Instant, buffer: &TransmitBuffer) -> Option<(SeqNumber, usize)> {
        if self.phase == Phase::Ended {
            return None;
        }
        self.refill_pacer(now);
        let most = buffer.plain_datagrams(self.config.mtu_bytes()).min(self.sendable_segments() as usize);
        let count = self.ring.full_run(most);
        if count < 2 || self.next_lost().is_some() {
            return None;
        }
        let first = self.ring.next;
        let mut stamp = self.stamp(now);
        let len = self.config.segment_size();
        for _ in 0..count {
            let sn = self.ring.next;
            (stamp.sn, stamp.fragment) = (sn, self.ring.slot(sn).fragment);
            self.ring.stamp(sn, &stamp.encode_header(len));
            self.note_sent(now, &stamp, len);
            self.ring.advance_next();
        }
        self.asking_since.get_or_insert(now);
        self.after_transmit(now, count);
        Some((first, count))
    }

    /// What all segments of a batch have in common.
    fn stamp(&mut self, now: Instant) -> Segment {
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
        let window = self.send_window.min(self.congestion.window());
        let ours = window.saturating_sub(self.ring.in_flight());
        let theirs = self.remote_edge.ahead_of(self.ring.next).max(0) as u32;
        ours.min(theirs).min(self.paced())
    }

    #[inline]
    fn paced(&self) -> u32 {
        self.pacer.as_ref().map_or(u32::MAX, Pacer::allowance)
    }

    /// The next segment to send again, if the pacer lets it.
    #[inline]
    fn next_lost(&mut self) -> Option<SeqNumber> {
        if self.paced() == 0 { None } else { self.loss.peek_lost(&self.ring) }
    }

    fn fill_with_data(&mut self, now: Instant, stamp: &mut Segment, datagram: &mut OpenDatagram<'_>) {
        while let Some(sn) = self.next_lost() {
            if !self.append(now, stamp, sn, datagram) {
                return;
            }
            self.loss.pop_lost();
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
        self.note_sent(now, stamp, len);
        true
    }

    /// A segment is on its way.
    #[inline]
    fn note_sent(&mut self, now: Instant, stamp: &Segment, len: usize) {
        if self.ring.slot(stamp.sn).state == SlotState::Queued {
            self.stats.bytes_sent += len as u64;
        }
        self.loss.on_sent(&mut self.ring, stamp.sn, now, stamp.timestamp, self.rtt.rto);
        self.stats.segments_sent += 1;
        if let Some(pacer) = &mut self.pacer {
            pacer.spend();
        }
    }

    /// Acknowledgements, then what was asked about the windows. What doesn't fit waits for the next datagram.
    fn fill_with_control(&mut self, stamp: &Segment, datagram: &mut OpenDatagram<'_>) {
        self.fill_with_acks(stamp, datagram);
        let bare = |command| Segment { command, sn: PROBE_SN, fragment: 0, ..*stamp };
        if self.probing.tell && datagram.room() >= HEADER_SIZE {
            // Any segment tells the window; one that goes anyway does it for free.
            if datagram.is_empty() {
                datagram.append(&bare(Command::WindowTell).encode_header(0), &[]);
            }
            self.probing.tell = false;
        }
        if self.probing.ask && datagram.room() >= HEADER_SIZE {
            datagram.append(&bare(Command::WindowAsk).encode_header(0), &[]);
            self.probing.ask = false;
            self.stats.probes_sent += 1;
        }
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
        if owed.is_empty() {
            self.acks.deferred = false;
            self.timers.stop(Timer::Ack);
        }
    }

    fn after_transmit(&mut self, now: Instant, datagrams: usize) {
        self.stats.datagrams_sent += datagrams as u64;
        self.unreachable.sent_since = true;
        if self.first_sent.is_none() && self.stats.segments_sent > 0 {
            self.first_sent = Some((now, self.clock.timestamp(now)));
            if self.phase == Phase::Opening {
                let limit = self.config.connect_timeout_duration();
                self.timers.set(Timer::Opening, Some(now + limit));
            }
        }
        self.timers.set(Timer::Pace, self.pacer.as_ref().and_then(Pacer::next));
        self.rearm_resend();
        self.arm_probe(now);
        self.arm_idle(now);
        self.end_if_closed(now);
    }

    /// The timestamp that our clock shows now: for tests that forge acknowledgements.
    #[doc(hidden)]
    pub fn timestamp(&self, now: Instant) -> Timestamp {
        self.clock.timestamp(now)
    }
}
