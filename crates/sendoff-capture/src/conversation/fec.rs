//! What is told of forward error correction.

/// Forward error correction of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fec {
    /// Data and parity shards of a group, once it is known.
    pub ratio: Option<(usize, usize)>,
    /// Data shards that were seen.
    pub data: u64,
    /// Parity shards that were seen.
    pub parity: u64,
    /// Out-of-band datagrams that were seen.
    pub out_of_band: u64,
    /// Numbers of shards that weren't seen between others.
    pub lost: u64,
    /// Data shards that came back.
    pub recovered: u64,
    /// The next number that is due.
    next: Option<u32>,
    /// A bit for each of the numbers before that, the latest in the lowest place: set where a late one wouldn't make
    /// good what counts as lost.
    settled: u128,
}

/// Numbers that lie further off begin anew.
const REACH: u32 = 4_096;

impl Fec {
    /// A shard passes by.
    pub(crate) fn shard(&mut self, seqid: u32, parity: bool) {
        *if parity { &mut self.parity } else { &mut self.data } += 1;
        let next = *self.next.get_or_insert_with(|| {
            self.settled = u128::MAX;
            seqid
        });
        let (ahead, behind) = (self.steps(next, seqid), self.steps(seqid, next));
        if ahead < REACH {
            self.lost += u64::from(ahead);
            self.settled = self.settled.checked_shl(ahead + 1).unwrap_or(0) | 1;
        } else if behind < REACH {
            // Overtaken, or a copy.
            let bit = 1_u128.checked_shl(behind - 1).unwrap_or(0);
            if bit != 0 && self.settled & bit == 0 {
                self.settled |= bit;
                self.lost = self.lost.saturating_sub(1);
            }
            return;
        } else {
            self.settled = u128::MAX;
        }
        self.next = Some(self.behind(seqid));
    }

    /// Numbers go from 0 to the last one of the last whole group (kcp-go's `paws`). As long as the ratio isn't known
    /// they are taken to use all 32 bits.
    fn numbers(&self) -> u64 {
        match self.ratio.map_or(0, |(data, parity)| (data + parity) as u32) {
            0 => 1 << 32,
            group => (u32::MAX / group * group).into(),
        }
    }

    fn behind(&self, seqid: u32) -> u32 {
        ((u64::from(seqid) + 1) % self.numbers()) as u32
    }

    /// So many steps lead from one number to another.
    fn steps(&self, from: u32, to: u32) -> u32 {
        let numbers = self.numbers();
        ((u64::from(to) + numbers - u64::from(from) % numbers) % numbers) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(ratio: Option<(usize, usize)>, seqids: &[u32]) -> u64 {
        let mut fec = Fec { ratio, ..Fec::default() };
        seqids.iter().for_each(|seqid| fec.shard(*seqid, false));
        assert_eq!(fec.data, seqids.len() as u64);
        fec.lost
    }

    #[test]
    fn what_was_not_seen_between_others_is_lost_until_it_comes() {
        assert_eq!(lost(None, &[7, 8, 11]), 2);
        assert_eq!(lost(None, &[7, 8, 11, 10]), 1);
        assert_eq!(lost(None, &[7, 300]), 292);
        // Far off: numbers begin anew.
        assert_eq!(lost(None, &[7, 9, 1_000_000, 1_000_001]), 1);
    }

    #[test]
    fn a_copy_makes_nothing_good() {
        assert_eq!(lost(None, &[7, 8, 11, 8, 8, 11]), 2);
        assert_eq!(lost(None, &[7, 8, 11, 10, 10, 10]), 1);
        // What came before the first that was seen counts for nothing.
        assert_eq!(lost(None, &[7, 9, 6, 5]), 1);
        assert_eq!(lost(None, &[1_000, 2_000, 1_990, 1_990, 1_000]), 998);
    }

    #[test]
    fn numbers_wrap_where_32_bits_end_or_the_last_group_does() {
        assert_eq!(lost(None, &[0xffff_fffe, 1]), 2);
        assert_eq!(lost(None, &[0xffff_fffe, 1, u32::MAX, u32::MAX]), 1);
        let last = u32::MAX / 13 * 13 - 1;
        assert_eq!(lost(Some((10, 3)), &[last - 1, last, 0, 1]), 0);
        assert_eq!(lost(Some((10, 3)), &[last - 1, 1, last]), 1);
        // No peer has such a number then.
        assert_eq!(lost(Some((10, 3)), &[u32::MAX, 0, 1]), 0);
    }
}
