//! The sending side: headers in place, parity summed up as data goes by.

use super::{
    Fec, FecStats,
    kernels::Kernel,
    matrix::{Matrix, Target},
    plan::{Plan, Schedule},
    shard::{FEC_OVERHEAD, SHARD_HEADER, SIZE_FIELD, write_data_header, write_parity_header},
};
use crate::{TransmitBuffer, connection::MAX_DATAGRAMS};
use std::time::{Duration, Instant};

/// A group gets no parity if its last datagram comes so long after the one before it (kcp-go's
/// `maxFECEncodeLatency`): what would be made good has been sent again by then.
const PAUSE: Duration = Duration::from_millis(500);

/// Data shards without parity between two ratios: see [`Encoder::change`].
const BETWEEN_RATIOS: u32 = 516;

/// Makes data shards of datagrams, and parity shards of data shards.
///
/// It keeps the sums of the group in progress, and no shard. All datagrams to one remote address that carry
/// segments go through one `Encoder`, for as long as the socket lives. For each batch, in this order:
///
/// 1. [`prepare`](Self::prepare), so that the buffer leaves room for parity between its datagrams; the buffer has
///    [`FEC_OVERHEAD`](super::FEC_OVERHEAD) bytes of room in front of each, behind those for a cipher;
/// 2. [`Connection::poll_transmit`](crate::Connection::poll_transmit) fills the buffer;
/// 3. [`encode`](Self::encode) writes the headers and the parity; what is in the buffer can be sealed and sent;
/// 4. [`poll_transmit`](Self::poll_transmit) fills the buffer with parity that had no room (longer than the batch's
///    datagrams, or too many), to be sealed and sent, until it returns false.
///
/// Datagrams that come alone go through [`encode_datagram`](Self::encode_datagram) and step 4.
#[derive(Debug)]
pub struct Encoder {
    fec: Fec,
    kernel: Kernel,
    matrix: Matrix,
    /// The seqid of the next shard.
    next: u32,
    /// Data shards of the group in progress.
    filled: usize,
    /// Its parity shards, once that is decided.
    rows: Option<usize>,
    sums: Sums,
    schedule: Schedule,
    /// When the latest data shard was sent.
    latest: Option<Instant>,
    pending: Option<Pending>,
    /// A ratio that was asked for and hasn't been begun with.
    asked: Option<Fec>,
    change: Option<Change>,
    stats: FecStats,
}

/// Parity in the making: a row for each shard, one `stride` behind the other.
#[derive(Debug, Default)]
struct Sums {
    bytes: Vec<u8>,
    stride: usize,
    /// Coded bytes of the longest data shard so far; what lies behind them doesn't count.
    longest: usize,
}

/// Parity that waits for a batch of its own; it lies in the sums.
#[derive(Clone, Copy, Debug)]
struct Pending {
    row: usize,
    rows: usize,
    /// Of the first that waits.
    seqid: u32,
}

/// A new ratio, on its way.
#[derive(Clone, Copy, Debug)]
struct Change {
    to: Fec,
    /// Data shards without parity that are still to be sent before it.
    left: u32,
}

/// Where a batch's datagrams lie.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// From one datagram to the next.
    size: usize,
    /// Bytes in front of the segments, and behind them.
    front: usize,
    back: usize,
    /// Bytes of all.
    end: usize,
}

impl Layout {
    /// Where the coded bytes of a datagram begin and end.
    fn coded(&self, at: usize) -> (usize, usize) {
        let start = at * self.size;
        (start + self.front - SIZE_FIELD, (start + self.size).min(self.end) - self.back)
    }
}

impl Encoder {
    /// Starts with seqid 0, and with all the parity that the ratio has.
    pub fn new(fec: Fec) -> Self {
        Self {
            fec,
            kernel: Kernel::best(),
            matrix: Matrix::parity(fec.data(), fec.parity()),
            next: 0,
            filled: 0,
            rows: None,
            sums: Sums::default(),
            schedule: Schedule::new(fec.parity()),
            latest: None,
            pending: None,
            asked: None,
            change: None,
            stats: FecStats::default(),
        }
    }

    /// The ratio that is in use; after [`change`](Self::change) the old one until the new one begins.
    pub fn fec(&self) -> Fec {
        self.fec
    }

    /// Parity shards that each group gets, as set by [`set_parity`](Self::set_parity).
    pub fn parity(&self) -> usize {
        self.schedule.wanted()
    }

    /// What has been counted so far.
    pub fn stats(&self) -> FecStats {
        self.stats
    }

    /// From the next group on, sends only so many of the parity shards that each group has seqids for: 0 up to the
    /// ratio's own.
    ///
    /// The ratio stays the same, so that no receiver has to find out another one and none can be deceived. The first
    /// three groups of all, the first three after 0 and three of each 64 get their whole parity all the same: a
    /// receiver that doesn't know the ratio finds it out from them.
    pub fn set_parity(&mut self, parity: usize) {
        self.schedule.want(parity);
    }

    /// Changes the ratio, once the group in progress is complete.
    ///
    /// Between the two ratios, 516 data shards are sent without parity. A kcp-go 5.6.72 receiver goes by the newest
    /// 258 shards: as long as there are old ones among them, it takes parity of the new ratio for that of the old one
    /// where the types happen to fit, and decodes rubbish. To send more or less parity as the path calls
    /// for it, [`set_parity`](Self::set_parity) is the better way.
    pub fn change(&mut self, fec: Fec) {
        self.asked = Some(fec);
    }

    /// Tells the buffer where to leave room in the batch that it is to be filled with next.
    pub fn prepare(&mut self, now: Instant, buffer: &mut TransmitBuffer) {
        self.begin_change();
        let plan = self.change.is_none().then(|| {
            let parity = self.rows();
            let missing = self.fec.data() - self.filled;
            let skipped = missing == 1 && self.pauses(now);
            Plan {
                missing,
                data: self.fec.data(),
                parity: if skipped { 0 } else { parity },
                longest: self.sums.longest.saturating_sub(SIZE_FIELD),
                schedule: self.schedule,
            }
        });
        buffer.set_plan(plan);
    }

    /// Makes data shards of the batch's datagrams, and writes parity where room was left for it.
    ///
    /// Parity that [`poll_transmit`](Self::poll_transmit) was not asked for until now is lost.
    pub fn encode(&mut self, now: Instant, buffer: &mut TransmitBuffer) {
        let ((front, back), gaps, size) = (buffer.room(), buffer.gaps(), buffer.datagram_size());
        buffer.set_plan(None);
        let bytes = buffer.contents_mut();
        let layout = Layout { size, front, back, end: bytes.len() };
        let total = bytes.len().div_ceil(size.max(1));
        let mut at = 0;
        while at < total {
            if gaps.checked_shr(at as u32).is_none_or(|gaps| gaps == 0) {
                self.begin_change();
            }
            let until_gap = gaps.checked_shr(at as u32).unwrap_or(0).trailing_zeros() as usize;
            let run = until_gap.min(total - at).min(self.run_limit());
            let behind = at + run;
            let gap = gaps.checked_shr(behind as u32).map_or(0, u64::trailing_ones) as usize;
            self.encode_run(now, bytes, layout, at, run, gap);
            at = behind + gap;
        }
    }

    /// Makes a data shard of one datagram, whose segments have `front` bytes in front of them, of which the last 8
    /// are for the header, and `back` bytes behind.
    pub fn encode_datagram(&mut self, now: Instant, datagram: &mut [u8], front: usize, back: usize) {
        self.begin_change();
        let layout = Layout { size: datagram.len(), front, back, end: datagram.len() };
        self.encode_run(now, datagram, layout, 0, 1, 0);
    }

    /// Fills the buffer, which is cleared first, with parity that waits; false when there is none.
    pub fn poll_transmit(&mut self, buffer: &mut TransmitBuffer) -> bool {
        let Some(mut pending) = self.pending.take() else { return false };
        buffer.clear();
        buffer.set_plan(None);
        let (front, _) = buffer.room();
        let longest = self.sums.longest;
        while pending.row < pending.rows {
            let start = buffer.contents().len();
            let Some(mut datagram) = buffer.start(longest - SIZE_FIELD) else { break };
            let coded = &self.sums.bytes[pending.row * self.sums.stride..][..longest];
            datagram.append(&[], &coded[SIZE_FIELD..]);
            datagram.finish();
            let header = &mut buffer.contents_mut()[start + front - FEC_OVERHEAD..][..FEC_OVERHEAD];
            write_parity_header(header, pending.seqid);
            header[SHARD_HEADER..].copy_from_slice(&coded[..SIZE_FIELD]);
            (pending.row, pending.seqid) = (pending.row + 1, pending.seqid + 1);
        }
        self.stats.parity_sent += buffer.len() as u64;
        self.stats.overhead_bytes += buffer.contents().len() as u64;
        if pending.row < pending.rows {
            self.pending = Some(pending);
        } else {
            self.sums.longest = 0;
        }
        true
    }

    /// Goes on with another seqid, the first of a group.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn start_at(&mut self, seqid: u32) {
        assert_eq!((self.filled, self.fec.place(seqid).1), (0, 0));
        self.next = seqid;
    }

    /// Datagrams that can be taken at once.
    fn run_limit(&self) -> usize {
        let limit = match self.change {
            Some(change) => change.left as usize,
            None => self.fec.data() - self.filled,
        };
        limit.min(MAX_DATAGRAMS)
    }

    /// Makes `run` datagrams data shards, from number `at` on; room for `gap` parity shards follows them.
    fn encode_run(
        &mut self,
        now: Instant,
        bytes: &mut [u8],
        layout: Layout,
        at: usize,
        run: usize,
        gap: usize,
    ) {
        self.give_up_pending();
        for at in at..at + run {
            let (start, end) = layout.coded(at);
            let header = bytes[start + SIZE_FIELD - FEC_OVERHEAD..].first_chunk_mut();
            write_data_header(header.expect("room for it"), self.next, end - start - SIZE_FIELD);
            self.next = (self.next + 1) % self.fec.wrap();
        }
        self.stats.data_sent += run as u64;
        self.stats.overhead_bytes += (run * FEC_OVERHEAD) as u64;
        let skipped = run == 1 && self.pauses(now);
        self.latest = Some(now);
        if let Some(change) = &mut self.change {
            change.left -= run as u32;
            self.end_change();
            return;
        }
        // Also where room was left by the plan: whose turn it is must go on.
        let rows = self.rows();
        let behind = ((at + run) * layout.size).min(layout.end);
        let (shards, room) = bytes.split_at_mut(behind);
        let mut inputs: [&[u8]; MAX_DATAGRAMS] = [&[]; MAX_DATAGRAMS];
        for (n, input) in inputs[..run].iter_mut().enumerate() {
            let (start, end) = layout.coded(at + n);
            *input = &shards[start..end];
        }
        let inputs = &inputs[..run];
        if gap > 0 {
            self.fill_gap(inputs, room, layout, gap);
            return;
        }
        self.sum(inputs, rows);
        self.filled += run;
        if self.filled == self.fec.data() {
            let rows = if skipped { 0 } else { rows };
            self.pending = (rows > 0).then_some(Pending { row: 0, rows, seqid: self.next });
            self.end_group(rows);
        }
    }

    /// Completes a group in the room that was left behind its last datagrams.
    fn fill_gap(&mut self, inputs: &[&[u8]], room: &mut [u8], layout: Layout, gap: usize) {
        debug_assert_eq!(self.filled + inputs.len(), self.fec.data(), "a datagram has come in between");
        let rows = gap.min(self.matrix.rows());
        let coded = layout.front - SIZE_FIELD;
        let (out, stride) = (&mut room[coded..], layout.size);
        let mut longest = self.sums.longest;
        let begun = if longest > 0 { rows } else { 0 };
        for row in 0..begun {
            let sum = &self.sums.bytes[row * self.sums.stride..][..longest];
            out[row * stride..][..longest].copy_from_slice(sum);
        }
        self.add(self.filled, inputs, out, stride, rows, &mut longest);
        for row in 0..rows {
            write_parity_header(&mut room[row * stride + coded - SHARD_HEADER..], self.next + row as u32);
        }
        self.stats.parity_sent += rows as u64;
        self.stats.overhead_bytes += (rows * stride) as u64;
        self.sums.longest = 0;
        self.end_group(rows);
    }

    /// Adds shards to the sums. All have the same length, but the last may be shorter.
    fn sum(&mut self, inputs: &[&[u8]], rows: usize) {
        let mut sums = std::mem::take(&mut self.sums);
        let (full, last) = inputs.split_at(inputs.len() - 1);
        for (column, inputs) in [(self.filled, full), (self.filled + full.len(), last)] {
            let Some(first) = inputs.first() else { continue };
            sums.make_room(rows, first.len());
            self.add(column, inputs, &mut sums.bytes, sums.stride, rows, &mut sums.longest);
        }
        self.sums = sums;
    }

    /// Adds shards of equal length to rows that are `longest` so far: what is missing of a shard is zeros.
    fn add(
        &self,
        column: usize,
        inputs: &[&[u8]],
        out: &mut [u8],
        stride: usize,
        rows: usize,
        longest: &mut usize,
    ) {
        let len = inputs[0].len();
        let common = len.min(*longest);
        for (range, set) in [(0..common, false), (common..len, true)] {
            let target = Target { out, stride, rows, range, set };
            self.matrix.multiply(self.kernel, column, inputs, target);
        }
        *longest = len.max(*longest);
    }

    /// `rows` parity shards are sent, or wait.
    fn end_group(&mut self, rows: usize) {
        if self.pending.is_none() {
            self.sums.longest = 0;
        }
        self.stats.parity_skipped += (self.fec.parity() - rows) as u64;
        self.next = (self.next + self.fec.parity() as u32) % self.fec.wrap();
        (self.filled, self.rows) = (0, None);
    }

    /// Parity shards of the group in progress.
    fn rows(&mut self) -> usize {
        *self.rows.get_or_insert_with(|| self.schedule.next())
    }

    fn pauses(&self, now: Instant) -> bool {
        self.latest.is_some_and(|latest| now.saturating_duration_since(latest) >= PAUSE)
    }

    fn give_up_pending(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.stats.parity_skipped += (pending.rows - pending.row) as u64;
            self.sums.longest = 0;
        }
    }

    /// Begins with the ratio that was asked for, if no group is in progress.
    fn begin_change(&mut self) {
        if self.filled == 0
            && let Some(to) = self.asked.take()
        {
            self.change = (to != self.fec).then_some(Change { to, left: BETWEEN_RATIOS });
        }
    }

    /// Goes over to the new ratio, with the next of its groups.
    fn end_change(&mut self) {
        let Some(Change { to, left: 0 }) = self.change else { return };
        self.give_up_pending();
        (self.fec, self.change, self.rows) = (to, None, None);
        self.matrix = Matrix::parity(to.data(), to.parity());
        self.schedule = Schedule::new(to.parity());
        let (start, place) = to.place(self.next);
        let next = if place == 0 { start.into() } else { u64::from(start) + to.group() as u64 };
        self.next = if next < to.wrap().into() { next as u32 } else { 0 };
    }
}

impl Sums {
    /// Makes the rows at least `len` long.
    fn make_room(&mut self, rows: usize, len: usize) {
        if self.stride < len {
            let stride = len.next_power_of_two().max(2_048);
            let mut bytes = vec![0; rows * stride];
            if self.longest > 0 {
                for (to, from) in bytes.chunks_mut(stride).zip(self.bytes.chunks(self.stride)) {
                    to[..self.longest].copy_from_slice(&from[..self.longest]);
                }
            }
            (self.bytes, self.stride) = (bytes, stride);
        }
        if self.bytes.len() < rows * self.stride {
            self.bytes.resize(rows * self.stride, 0);
        }
    }
}
