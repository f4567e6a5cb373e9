//! What one conversation's graphs are drawn from: how both sides' numbers, windows, round trips and bytes went on.

use super::{
    bins::{Bin, Bins},
    packets::micros,
};
use crate::{
    conversation::{Marks, Side, TcpNote},
    dissector::{Dissected, SegmentNote, Top},
    layers::{Source, Tcp, TcpFlags},
};
use sendoff_proto::wire::{Block, BlockKind, Command, SegmentView};

/// A number that lies further off than that is no news, but a lie or another life of the conversation.
const REACH: i64 = 65_536;

/// The same for TCP, whose numbers are bytes.
const TCP_REACH: i64 = 1 << 30;

/// What one side sends, and what the other says about it.
#[derive(Debug)]
struct SideSeries {
    bins: Bins,
    /// Behind the last number that was sent, what is expected, the edge of the window: −1 until it is known.
    sent: i64,
    acked: i64,
    edge: i64,
    /// Since when the window is full, in microseconds.
    full_since: Option<u64>,
}

/// The number near `reference` that has these 32 bits; never below 0.
fn unwrap(reference: i64, number: u32) -> i64 {
    if reference < 0 {
        return number.into();
    }
    (reference + i64::from(number.wrapping_sub(reference as u32) as i32)).max(0)
}

impl SideSeries {
    fn new(limit: usize) -> Self {
        Self { bins: Bins::new(limit), sent: -1, acked: -1, edge: -1, full_since: None }
    }

    /// The bin of that time, which gets the state as it is now.
    fn bin(&mut self, now: u64) -> &mut Bin {
        let bin = self.bins.at(now);
        (bin.sent, bin.acked, bin.edge) = (self.sent, self.acked, self.edge);
        if self.sent >= 0 && self.acked >= 0 {
            bin.flight = bin.flight.max(self.sent - self.acked);
        }
        bin
    }

    /// A new number, however far it is, on or back: that it is no lie has been judged. What lies in a hole of the capture isn't in
    /// flight.
    fn go_on_at(&mut self, number: i64) {
        if self.sent >= 0 && (number - self.sent).abs() > REACH {
            (self.sent, self.acked, self.edge) = (number, number, -1);
        }
    }

    /// Up to `end` all has been sent.
    fn sent_to(&mut self, now: u64, start: i64, end: i64, reach: i64) {
        if self.acked < 0 {
            self.acked = start;
        }
        if self.sent < 0 || (self.sent < end && end - self.sent <= reach) {
            self.sent = end;
        }
        self.bin(now);
    }

    /// The other side expects `una` next, and has room for `window` from there on.
    fn covered(&mut self, now: u64, una: i64, window: Option<i64>, reach: i64) {
        let known = self.acked;
        if known >= 0 && !(0..=reach).contains(&(una - known)) {
            return;
        }
        self.acked = una;
        // What was acknowledged was sent, whether the capture has it or not.
        if self.sent >= 0 {
            self.sent = self.sent.max(una);
        }
        let edge = window.map_or(self.edge, |window| self.edge.max(una + window));
        if edge > self.edge {
            self.edge = edge;
            if let Some(since) = self.full_since.take() {
                self.bin(now).add_full(now.saturating_sub(since));
            }
        }
        self.bin(now);
    }

    /// Where the next number is looked for.
    fn reference(&self) -> i64 {
        self.sent.max(self.acked)
    }
}

/// The series of a conversation: client, server.
#[derive(Debug)]
pub(super) struct Series {
    sides: [SideSeries; 2],
}

impl Series {
    /// With at most `limit` bins for each side.
    pub(super) fn new(limit: usize) -> Self {
        Self { sides: [SideSeries::new(limit), SideSeries::new(limit)] }
    }

    /// A packet of the conversation, sent by `side`.
    pub(super) fn packet(&mut self, dissected: &Dissected<'_>, side: Side) {
        let analysis = dissected.analysis;
        let now = micros(analysis.after) as u64;
        let bytes = match analysis.top {
            Top::Udp(udp) => (udp.payload.len() + udp.missing) as i64,
            Top::Tcp(tcp) => {
                self.tcp(now, side, &tcp, analysis.tcp.unwrap_or_default());
                (tcp.payload.len() + tcp.missing) as i64
            }
            _ => return,
        };
        for note in &analysis.segments {
            if let Some(segment) = dissected.segment(note) {
                self.segment(now, side, &segment, note);
            }
        }
        self.sides[side.index()].bin(now).wire += bytes;
    }

    fn segment(&mut self, now: u64, side: Side, segment: &SegmentView<'_>, note: &SegmentNote) {
        let marks = note.marks();
        let block = if segment.data().is_empty() { None } else { Block::parse(segment) };
        let is_reset = block.is_some_and(|block| block.body.kind() == BlockKind::Reset);
        // In a RESET una and window say nothing; the window of a recovered segment is old.
        if !is_reset {
            let other = &mut self.sides[side.other().index()];
            let una = unwrap(other.reference(), segment.una().0);
            let window = (note.span.source != Source::Recovered).then(|| segment.window().into());
            other.covered(now, una, window, REACH);
            if let Some(round_trip) = note.round_trip() {
                other.bin(now).round_trip(micros(round_trip));
            }
        }
        if segment.command() != Command::Push {
            return;
        }
        let own = &mut self.sides[side.index()];
        let number = unwrap(own.reference(), segment.sn().0);
        if marks.has(Marks::NEW) {
            own.go_on_at(number);
            own.sent_to(now, number, number + 1, REACH);
        }
        if marks.has(Marks::FILLS_WINDOW) {
            own.full_since.get_or_insert(now);
        }
        let bin = own.bin(now);
        if marks.has(Marks::NEW) && block.is_none() {
            bin.fresh += segment.data_len() as i64;
        }
        if marks.has(Marks::RETRANSMISSION | Marks::NEEDLESS) {
            bin.sent_again(number);
        }
        bin.copies += i64::from(marks.has(Marks::DUPLICATE));
        bin.recovered += i64::from(marks.has(Marks::RECOVERED));
    }

    fn tcp(&mut self, now: u64, side: Side, header: &Tcp, note: TcpNote) {
        let bytes = (header.payload.len() + header.missing) as i64;
        if header.flags.has(TcpFlags::ACK) {
            let other = &mut self.sides[side.other().index()];
            let una = unwrap(other.reference(), note.acknowledgement);
            // A window without its scale says nothing.
            other.covered(now, una, None, TCP_REACH);
        }
        let own = &mut self.sides[side.index()];
        let number = unwrap(own.reference(), note.sequence);
        if bytes == 0 {
            return;
        }
        if note.retransmission {
            own.bin(now).sent_again(number);
        } else {
            own.sent_to(now, number, number + bytes, TCP_REACH);
            own.bin(now).fresh += bytes;
        }
    }

    /// Appends a list of JSON: client, server. The conversation's last packet came at `end`.
    pub(super) fn write(mut self, end: u64, out: &mut String) {
        for side in &mut self.sides {
            if let (Some(since), Some(last)) = (side.full_since, side.bins.last()) {
                // It never opened again.
                last.add_full(end.saturating_sub(since));
            }
        }
        out.push('[');
        self.sides[0].bins.write(out);
        out.push(',');
        self.sides[1].bins.write(out);
        out.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_32_bits_end() {
        assert_eq!(unwrap(-1, 7), 7);
        assert_eq!(unwrap(7, 9), 9);
        assert_eq!(unwrap(7, u32::MAX), 0, "never below 0");
        assert_eq!(unwrap((1 << 32) - 1, 3), (1 << 32) + 3);
        assert_eq!(unwrap((1 << 32) + 3, u32::MAX), (1 << 32) - 1);
    }

    #[test]
    fn what_is_in_flight_grows_with_what_is_sent_and_shrinks_with_what_is_covered() {
        let mut side = SideSeries::new(64);
        side.sent_to(0, 5, 6, REACH);
        side.sent_to(1, 6, 7, REACH);
        side.covered(2, 6, Some(32), REACH);
        side.covered(3, 7, None, REACH);
        let flight = |side: &mut SideSeries, now| side.bins.at(now).flight;
        assert_eq!(side.bin(3).flight, 0);
        assert_eq!((side.sent, side.acked, side.edge), (7, 7, 38));
        side.sent_to(4, 7, 10, REACH);
        assert_eq!(flight(&mut side, 4), 3);
    }

    #[test]
    fn a_window_is_full_until_its_edge_moves() {
        let mut side = SideSeries::new(64);
        side.sent_to(0, 0, 1, REACH);
        side.covered(1, 0, Some(1), REACH);
        side.full_since = Some(2);
        side.covered(5, 0, Some(1), REACH);
        assert_eq!(side.bin(5).full, 0, "the same edge again");
        side.covered(9, 1, Some(1), REACH);
        assert_eq!((side.bin(9).full, side.full_since), (7, None));
    }

    #[test]
    fn behind_a_hole_of_any_length_it_goes_on() {
        let mut side = SideSeries::new(64);
        side.sent_to(0, 0, 1, REACH);
        side.covered(1, 1, Some(32), REACH);
        side.go_on_at(1_000_000);
        side.sent_to(2, 1_000_000, 1_000_001, REACH);
        assert_eq!(side.bin(2).flight, 1);
        side.covered(3, 1_000_001, Some(32), REACH);
        assert_eq!((side.sent, side.acked, side.edge), (1_000_001, 1_000_001, 1_000_033));
        // What led there were lies.
        side.go_on_at(1);
        side.sent_to(4, 1, 2, REACH);
        side.covered(5, 2, Some(32), REACH);
        assert_eq!((side.sent, side.acked, side.edge), (2, 2, 34));
    }

    #[test]
    fn numbers_far_off_change_nothing() {
        let mut side = SideSeries::new(64);
        side.sent_to(0, 0, 1, REACH);
        side.covered(1, 1, Some(32), REACH);
        side.covered(2, 1_000_000, Some(32), REACH);
        side.covered(3, 0, Some(32), REACH);
        side.sent_to(4, 2_000_000_000, 2_000_000_001, REACH);
        assert_eq!((side.sent, side.acked, side.edge), (1, 1, 33));
        // Acknowledged, though the capture hasn't seen it sent.
        side.covered(5, 9, None, REACH);
        assert_eq!((side.sent, side.acked), (9, 9));
    }
}
