//! Where parity goes: how much each group gets, and the room that is left for it in a batch.

/// Groups that get all their parity, so that a receiver can find out the ratio: our own needs to see every place of
/// a group twice, kcp-go 5.6.72 a run of data and one of parity without a gap.
const SHOWN: u8 = 3;

/// Groups with less than all parity after which it is shown again: the receiver may have missed it.
const SHOW_EVERY: u8 = 64;

/// How many parity shards each group gets, of those that it has seqids for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    full: u8,
    wanted: u8,
    /// Groups to come that get all.
    show: u8,
    /// Groups since the last that got all.
    since: u8,
}

impl Schedule {
    pub(super) fn new(full: usize) -> Self {
        Self { full: full as u8, wanted: full as u8, show: SHOWN, since: 0 }
    }

    /// From the next group on.
    pub(super) fn want(&mut self, parity: usize) {
        let parity = parity.min(self.full.into()) as u8;
        if self.wanted == 0 && parity > 0 {
            self.show = SHOWN;
        }
        self.wanted = parity;
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted.into()
    }

    /// Parity shards of the next group.
    pub(super) fn next(&mut self) -> usize {
        if self.wanted > 0 && self.wanted < self.full && self.show == 0 {
            self.since += 1;
            if self.since == SHOW_EVERY {
                self.show = SHOWN;
            }
        }
        let parity = if self.show > 0 { self.full } else { self.wanted };
        if parity == self.full {
            (self.show, self.since) = (self.show.saturating_sub(1), 0);
        }
        parity.into()
    }
}

/// Tells a [`TransmitBuffer`](crate::TransmitBuffer) where to leave room for parity in the next batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Data shards that the group in progress lacks, and those of a whole group.
    pub(super) missing: usize,
    pub(super) data: usize,
    /// Parity shards of the group in progress.
    pub(super) parity: usize,
    /// Bytes of segments in the longest shard of the group in progress so far.
    pub(super) longest: usize,
    pub(super) schedule: Schedule,
}

/// What follows a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The next datagram.
    None,
    /// Room for so many parity shards, as long as the datagrams of this batch.
    Shards(usize),
    /// The end of the batch: parity that is longer than its datagrams.
    End,
}

impl Plan {
    /// A datagram of the batch's full size is complete, with so many bytes of segments.
    pub(crate) fn after_datagram(&mut self, segments: usize) -> Gap {
        self.missing -= 1;
        if self.missing > 0 {
            return Gap::None;
        }
        let gap = match self.parity {
            0 => Gap::None,
            _ if self.longest > segments => Gap::End,
            parity => Gap::Shards(parity),
        };
        (self.missing, self.parity, self.longest) = (self.data, self.schedule.next(), 0);
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(schedule: &mut Schedule, count: usize) -> Vec<usize> {
        (0..count).map(|_| schedule.next()).collect()
    }

    #[test]
    fn less_parity_is_interrupted_by_whole_groups() {
        let mut schedule = Schedule::new(3);
        assert_eq!(groups(&mut schedule, 5), [3; 5]);
        schedule.want(1);
        let first = groups(&mut schedule, 200);
        assert_eq!(first[..63], [1; 63]);
        assert_eq!(first[63..66], [3; 3]);
        assert_eq!(first[66..129], [1; 63]);
        assert_eq!(first[129..132], [3; 3]);
    }

    #[test]
    fn a_receiver_is_shown_the_ratio_at_the_start_and_when_there_is_parity_again() {
        let mut schedule = Schedule::new(2);
        schedule.want(0);
        assert_eq!(groups(&mut schedule, 5), [2, 2, 2, 0, 0]);
        schedule.want(1);
        assert_eq!(groups(&mut schedule, 5), [2, 2, 2, 1, 1]);
        schedule.want(9);
        assert_eq!((schedule.wanted(), groups(&mut schedule, 2)), (2, vec![2, 2]));
    }
}
