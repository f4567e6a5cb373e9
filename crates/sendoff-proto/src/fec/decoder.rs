//! The receiving side: says what a datagram is, finds out the ratio, makes good what was lost.

use super::{
    Fec, FecStats, LossMeter, LossReport,
    group::{Added, Group, Pool, Recovered, Stage, Workshop},
    ratio::RatioFinder,
    shard::{Kind, OutOfBand, SIZE_FIELD, Shard, classify},
};
use std::collections::VecDeque;

/// Groups that are kept: the newest and three before it, as kcp-go 5.6.72's (`maxShardSets`).
const GROUPS: usize = 4;

/// Bytes of shards that are kept at most: 4 groups of 254 shards of 1,400 bytes, and as much again.
const MAX_BYTES: usize = 3 << 20;

/// Shards that one may lie ahead of or behind the newest.
const NEAR: u32 = 1_024;

/// Shards in a row, near each other and far from the rest, after which the peer is taken to have gone there.
const MOVED: u32 = 8;

/// Shards that are kept while the ratio isn't known, to be decoded once it is.
const EARLY: usize = 256;

/// Groups without a single shard that are counted as lost at most, when a later one comes.
const MAX_MISSED: u64 = 16;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// No shard: the datagram as it is. Peers without FEC send such, and FEC and plain peers mix.
    Bare(&'a [u8]),
    /// The segments of a data shard.
    Data(&'a [u8]),
    /// A parity shard: nothing for a connection. From an unknown address it opens none.
    Parity,
    /// A message beside the stream.
    OutOfBand(OutOfBand<'a>),
    /// It says it is a shard, and can't be one: to be dropped.
    Malformed,
}

/// Takes datagrams from one remote address, inside the encryption.
///
/// For each: [`handle_datagram`](Self::handle_datagram), and what it returns goes to the connection at once; then
/// [`poll_recovered`](Self::poll_recovered) until it returns `None`: segments that were lost. Of those `una`, ACKs, data
/// and WASK count; `wnd` and RTT samples are old.
///
/// Nothing is decoded but under a ratio that has been found out: no other fits what was seen, and each place of
/// its group has been seen twice; what came before that is decoded then. One shard that doesn't fit ends that, until a ratio is found again. What
/// is recovered must be whole segments of the conversation that the other shards are of, and zeros behind. That leaves one
/// gap: a peer that goes over to another ratio from one shard to the next (kcp-go doesn't, and [`Encoder::change`
/// ](super::Encoder::change) doesn't either), where just those shards are lost that don't fit the old one.
/// A peer that begins anew from the same address (another conv) needs a new `Decoder`.
#[derive(Debug)]
pub struct Decoder {
    fec: Option<Fec>,
    finder: RatioFinder,
    /// The latest shards while the ratio isn't known: whether data, seqid, coded bytes. None speaks against what the
    /// finder still takes for possible.
    early: VecDeque<(bool, u32, Vec<u8>)>,
    /// Whether shards have been handed on that are no longer known of: then a group may be joined in its middle.
    gone_by: bool,
    /// The newest seqid; and shards far from it: how many in a row, and the latest.
    newest: Option<u32>,
    far: (u32, u32),
    /// One behind the other, the newest last.
    groups: VecDeque<Group>,
    pool: Pool,
    shop: Workshop,
    recovered: Recovered,
    /// The conversation of the latest data shard.
    conv: Option<u32>,
    loss: LossMeter,
    stats: FecStats,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Knows nothing of the peer yet.
    pub fn new() -> Self {
        Self {
            fec: None,
            finder: RatioFinder::default(),
            early: VecDeque::new(),
            gone_by: false,
            newest: None,
            far: (0, 0),
            groups: VecDeque::new(),
            pool: Pool::new(MAX_BYTES),
            shop: Workshop::new(),
            recovered: Recovered::default(),
            conv: None,
            loss: LossMeter::default(),
            stats: FecStats::default(),
        }
    }

    /// The peer's ratio, once it is known.
    pub fn fec(&self) -> Option<Fec> {
        self.fec
    }

    /// What has been counted so far.
    pub fn stats(&self) -> FecStats {
        self.stats
    }

    /// What became of the peer's data shards before anything was made good, as far as their groups are over.
    pub fn loss(&self) -> LossReport {
        self.loss.report()
    }

    /// Takes a datagram. What was recovered before and not polled is forgotten.
    pub fn handle_datagram<'a>(&mut self, datagram: &'a [u8]) -> Received<'a> {
        self.recovered.clear();
        match classify(datagram) {
            Kind::Bare => Received::Bare(datagram),
            Kind::Data(shard) => {
                self.stats.data_received += 1;
                if shard.is_sound() {
                    self.conv = shard.coded[SIZE_FIELD..].first_chunk().copied().map(u32::from_le_bytes);
                }
                self.take(shard, true);
                Received::Data(&shard.coded[SIZE_FIELD..])
            }
            Kind::Parity(shard) => {
                self.stats.parity_received += 1;
                self.take(shard, false);
                Received::Parity
            }
            Kind::OutOfBand(message) => {
                self.stats.out_of_band_received += 1;
                Received::OutOfBand(message)
            }
            Kind::Malformed => {
                self.stats.refused += 1;
                Received::Malformed
            }
        }
    }

    /// The segments of a data shard that was lost, cut at its size field: one datagram's worth.
    pub fn poll_recovered(&mut self) -> Option<&[u8]> {
        self.recovered.next()
    }

    /// Bytes of memory that shards and what was recovered take: 3 MiB of shards at most, and what one datagram can
    /// recover.
    pub fn kept_bytes(&self) -> usize {
        self.pool.bytes() + self.recovered.capacity()
    }

    fn take(&mut self, shard: Shard<'_>, is_data: bool) {
        if !self.is_near(shard.seqid) {
            self.stats.refused += 1;
            return;
        }
        match self.ratio(shard.seqid, is_data) {
            Some(fec) => {
                while let Some((is_data, seqid, coded)) = self.early.pop_front() {
                    self.sort_in(fec, Shard { seqid, coded: &coded }, is_data);
                    self.pool.take_back(coded);
                }
                self.sort_in(fec, shard, is_data);
            }
            None => self.keep_early(shard, is_data),
        }
    }

    /// Keeps a shard until the ratio is known.
    fn keep_early(&mut self, shard: Shard<'_>, is_data: bool) {
        let drop = if self.finder.seen() <= 1 {
            self.early.len()
        } else {
            (self.early.len() + 1).saturating_sub(EARLY)
        };
        self.gone_by |= drop > 0;
        for (is_data, _, coded) in self.early.drain(..drop) {
            self.stats.useless += u64::from(!is_data);
            self.pool.take_back(coded);
        }
        match self.pool.copy(shard.coded) {
            Some(coded) => self.early.push_back((is_data, shard.seqid, coded)),
            None => self.stats.refused += 1,
        }
    }

    /// Puts a shard into its group, and completes that.
    fn sort_in(&mut self, fec: Fec, shard: Shard<'_>, is_data: bool) {
        if self.fec != Some(fec) {
            // A group before this one was no good: neither is the ratio.
            self.stats.useless += u64::from(!is_data);
            return;
        }
        let (start, place) = fec.place(shard.seqid);
        let known = fec.has(shard.seqid).then(|| self.group(fec, start, place)).flatten();
        let Some(at) = known else {
            self.stats.refused += 1;
            return;
        };
        match self.groups[at].add(fec, place, shard, &mut self.pool) {
            Added::Kept => {}
            Added::Complete => self.complete(fec, at),
            Added::Late => self.stats.useless += u64::from(!is_data),
            Added::Duplicate => self.stats.duplicates += 1,
            Added::Refused => self.stats.refused += 1,
        }
    }

    /// Whether a seqid is among those that can be expected.
    fn is_near(&mut self, seqid: u32) -> bool {
        let newest = *self.newest.get_or_insert(seqid);
        let ahead = seqid.wrapping_sub(newest) as i32;
        if ahead.unsigned_abs() <= NEAR {
            self.newest = Some(if ahead > 0 { seqid } else { newest });
            self.far.0 = 0;
            return true;
        }
        let (count, latest) = self.far;
        let together = count > 0 && (seqid.wrapping_sub(latest) as i32).unsigned_abs() <= NEAR;
        self.far = (if together { count + 1 } else { 1 }, seqid);
        if self.far.0 < MOVED {
            return false;
        }
        self.forget_groups();
        (self.newest, self.far.0) = (Some(seqid), 0);
        true
    }

    /// The ratio, if it is known and the shard fits; else what the shard tells about it.
    fn ratio(&mut self, seqid: u32, is_data: bool) -> Option<Fec> {
        if let Some(fec) = self.fec {
            if !fec.has(seqid) || (fec.place(seqid).1 < fec.data()) == is_data {
                return Some(fec);
            }
            self.forget_ratio();
        }
        self.fec = self.finder.see(seqid, is_data);
        if self.fec.is_some() {
            self.stats.ratios_found += 1;
            self.finder = RatioFinder::default();
        }
        self.fec
    }

    fn forget_ratio(&mut self) {
        self.fec = None;
        self.forget_groups();
    }

    fn forget_groups(&mut self) {
        self.gone_by |= !self.groups.is_empty();
        self.groups.iter_mut().for_each(|group| group.release(&mut self.pool));
        self.groups.clear();
    }

    /// Where the group that begins with `start` stands, made if it is a new one; `None` if it is too old.
    fn group(&mut self, fec: Fec, start: u32, place: usize) -> Option<usize> {
        let Some(newest) = self.groups.back() else {
            let group = if self.gone_by { Group::joined(start, place) } else { Group::first(start) };
            self.groups.push_back(group);
            return Some(0);
        };
        if newest.start == start {
            return Some(self.groups.len() - 1);
        }
        let (wrap, size) = (u64::from(fec.wrap()), fec.group() as u64);
        let ahead = (u64::from(start) + wrap - u64::from(newest.start)) % wrap;
        if ahead <= wrap / 2 {
            self.advance(fec, start, ahead / size);
            return Some(self.groups.len() - 1);
        }
        let behind = (wrap - ahead) / size;
        (self.groups.len() - 1).checked_sub(behind as usize)
    }

    /// Makes `start` the newest group, `steps` after the one that was.
    fn advance(&mut self, fec: Fec, start: u32, steps: u64) {
        let missed = steps.saturating_sub(GROUPS as u64);
        for step in (0..steps.min(GROUPS as u64)).rev() {
            let mut group = if self.groups.len() < GROUPS { Group::default() } else { self.retire(fec) };
            let back = step * fec.group() as u64;
            let wrap = u64::from(fec.wrap());
            group.restart(((u64::from(start) + wrap - back) % wrap) as u32, &mut self.pool);
            self.groups.push_back(group);
        }
        if missed > 0 {
            self.stats.groups_lost += missed.min(MAX_MISSED);
            self.loss.record_many(true, missed.min(MAX_MISSED) * fec.data() as u64);
        }
    }

    /// Takes the oldest group out: what hasn't come until now counts as lost.
    fn retire(&mut self, fec: Fec) -> Group {
        let group = self.groups.pop_front().unwrap_or_default();
        self.stats.useless += group.parity(fec) as u64;
        if !group.partial {
            self.stats.groups_lost += u64::from(!group.has_all_data(fec));
            for place in 0..fec.data() {
                self.loss.record(!group.has(place));
            }
        }
        group
    }

    /// As many shards are there as the group has data.
    fn complete(&mut self, fec: Fec, at: usize) {
        let (group, before) = (&mut self.groups[at], self.recovered.len());
        let sound = group.decode(fec, self.conv, &mut self.shop, &mut self.recovered);
        let recovered = (self.recovered.len() - before) as u64;
        self.stats.recovered += recovered;
        if recovered == 0 {
            self.stats.useless += group.parity(fec) as u64;
        }
        debug_assert_eq!(sound, group.stage == Stage::Done);
        group.release(&mut self.pool);
        if !sound {
            self.stats.refused_groups += 1;
            // It may be the ratio that is wrong.
            self.forget_ratio();
        }
    }
}
