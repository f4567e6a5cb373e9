//! Finding out the peer's ratio from the seqids and types of its shards.
//!
//! Groups begin at multiples of their size, data first. So each shard that is seen speaks against some ratios, and
//! none ever speaks against the true one. A ratio is believed when no other is left, and each place of a
//! group has been seen twice: that needs no run without a loss, and no choice of losses makes a wrong ratio
//! the only one.

use super::Fec;

/// Seqids from here on lie past the wrap of some ratio.
const PAST_ANY_WRAP: u32 = 0xffff_ff00;

/// Shards that are remembered. If they don't tell, it is begun anew.
const MAX_SEEN: usize = 1_024;

/// The shards that have been seen while the ratio isn't known.
#[derive(Debug, Default)]
pub(super) struct RatioFinder {
    seen: Vec<Sample>,
    /// What nothing speaks against; empty until a parity shard is seen, without which nothing can be told.
    candidates: Vec<Candidate>,
    confirming: Option<Sightings>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    seqid: u32,
    is_data: bool,
}

/// A size of group, and how many of it can be data.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    group: u32,
    least_data: u32,
    most_data: u32,
}

impl Candidate {
    /// All sizes, with at least one data and one parity shard.
    fn all() -> impl Iterator<Item = Self> {
        (2..=255).map(|group| Self { group, least_data: 1, most_data: group - 1 })
    }

    /// Whether the sample leaves anything of it.
    #[inline]
    fn take(&mut self, sample: Sample) -> bool {
        let place = sample.seqid % self.group;
        if sample.is_data {
            self.least_data = self.least_data.max(place + 1);
        } else {
            self.most_data = self.most_data.min(place);
        }
        self.least_data <= self.most_data
    }
}

/// How often each place of the one ratio that is left has been seen.
#[derive(Debug)]
struct Sightings {
    fec: Fec,
    /// For each place: the first seqid, and whether there was another.
    places: Vec<(Option<u32>, bool)>,
    lacking: usize,
}

impl Sightings {
    fn new(fec: Fec) -> Self {
        Self { fec, places: vec![(None, false); fec.group()], lacking: fec.group() }
    }

    fn take(&mut self, seqid: u32) {
        let (_, place) = self.fec.place(seqid);
        let (first, again) = &mut self.places[place];
        match *first {
            None => *first = Some(seqid),
            Some(first) if first != seqid && !*again => {
                *again = true;
                self.lacking -= 1;
            }
            Some(_) => {}
        }
    }
}

impl RatioFinder {
    /// A shard has come. Returns the ratio as soon as it is known.
    pub(super) fn see(&mut self, seqid: u32, is_data: bool) -> Option<Fec> {
        if seqid >= PAST_ANY_WRAP {
            return None;
        }
        let sample = Sample { seqid, is_data };
        if self.seen.len() == MAX_SEEN {
            self.restart();
        }
        self.seen.push(sample);
        if !self.candidates.is_empty() {
            self.candidates.retain_mut(|candidate| candidate.take(sample));
            if self.candidates.is_empty() {
                // The ratio has changed meanwhile, or somebody lies.
                self.restart();
                self.seen.push(sample);
            }
        }
        if self.candidates.is_empty() && !is_data {
            self.begin();
        }
        self.confirm(sample)
    }

    /// Shards that what is known so far rests on: at least the latest one, if any.
    pub(super) fn seen(&self) -> usize {
        self.seen.len()
    }

    fn restart(&mut self) {
        self.seen.clear();
        self.candidates.clear();
        self.confirming = None;
    }

    /// The first parity shard has come: what does all that was seen leave?
    fn begin(&mut self) {
        let seen = &self.seen;
        self.candidates.extend(Candidate::all().filter_map(|mut candidate| {
            seen.iter().all(|&sample| candidate.take(sample)).then_some(candidate)
        }));
        if self.candidates.is_empty() {
            self.seen.drain(..self.seen.len() - 1);
        }
    }

    fn confirm(&mut self, sample: Sample) -> Option<Fec> {
        let [only] = self.candidates[..] else { return None };
        if only.least_data < only.most_data {
            return None;
        }
        let confirming = match &mut self.confirming {
            Some(confirming) => {
                confirming.take(sample.seqid);
                confirming
            }
            none => {
                let fec = Fec::new(only.least_data as usize, (only.group - only.least_data) as usize).ok()?;
                let mut sightings = Sightings::new(fec);
                self.seen.iter().for_each(|sample| sightings.take(sample.seqid));
                none.insert(sightings)
            }
        };
        (confirming.lacking == 0).then_some(confirming.fec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(fec: Fec, seqid: u32) -> (u32, bool) {
        (seqid, fec.place(seqid).1 < fec.data())
    }

    /// Shows the finder shards until it knows, and says how many it took.
    fn find(finder: &mut RatioFinder, samples: impl Iterator<Item = (u32, bool)>) -> Option<(Fec, usize)> {
        samples.enumerate().find_map(|(n, (seqid, is_data))| Some((finder.see(seqid, is_data)?, n + 1)))
    }

    #[test]
    fn two_whole_groups_tell_any_ratio() {
        for (data, parity) in
            [(1, 1), (10, 3), (3, 2), (1, 2), (2, 1), (10, 10), (254, 1), (1, 254), (128, 127)]
        {
            let fec = Fec::new(data, parity).unwrap();
            let found = find(&mut RatioFinder::default(), (0..2_000).map(|seqid| sample(fec, seqid)));
            let (found, shards) = found.unwrap();
            assert_eq!(found, fec);
            assert!((2 * fec.group()..=2 * fec.group() + 1).contains(&shards), "{fec}: after {shards}");
        }
    }

    #[test]
    fn a_ratio_whose_parity_is_never_seen_is_not_guessed() {
        let fec = Fec::new(10, 3).unwrap();
        let data = (0..5_000).map(|seqid| sample(fec, seqid)).filter(|&(_, is_data)| is_data);
        assert_eq!(find(&mut RatioFinder::default(), data), None);
        let first_parity = (0..5_000).map(|seqid| sample(fec, seqid)).filter(|(seqid, _)| seqid % 13 < 11);
        assert_eq!(find(&mut RatioFinder::default(), first_parity), None);
    }

    #[test]
    fn losses_that_make_a_wrong_ratio_fit_deceive_nobody() {
        let (truth, wrong) = (Fec::new(10, 3).unwrap(), Fec::new(5, 2).unwrap());
        let fitting = (0..50_000).map(|seqid| sample(truth, seqid)).filter(|&s| s == sample(wrong, s.0));
        let shown: Vec<_> = fitting.collect();
        for place in 0..7 {
            assert!(shown.iter().filter(|(seqid, _)| seqid % 7 == place).count() > 1_000, "it seems to fit");
        }
        let found = find(&mut RatioFinder::default(), shown.into_iter());
        assert!(found.is_none_or(|(fec, _)| fec == truth), "{found:?}");
    }

    #[test]
    fn a_new_ratio_is_found_behind_an_old_one() {
        let (old, new) = (Fec::new(10, 3).unwrap(), Fec::new(3, 2).unwrap());
        let mut finder = RatioFinder::default();
        assert_eq!(find(&mut finder, (0..20).map(|seqid| sample(old, seqid))), None);
        let (found, shards) = find(&mut finder, (20..200).map(|seqid| sample(new, seqid))).unwrap();
        assert_eq!(found, new);
        assert!(shards < 30, "{shards}");
    }

    proptest! {
        #[test]
        fn what_is_found_is_true_whatever_is_lost_doubled_or_late(
            (data, parity) in (1_usize..40, 1_usize..40),
            start: u32,
            fates in proptest::collection::vec(0_u32..10, 3_000),
        ) {
            let fec = Fec::new(data, parity).unwrap();
            let mut finder = RatioFinder::default();
            let mut seqids: Vec<(u32, u32)> = Vec::new();
            for (n, fate) in fates.into_iter().enumerate() {
                let seqid = start.wrapping_add(n as u32) % fec.wrap();
                match fate {
                    0 | 1 => {}
                    2 => seqids.push((n as u32 + 7, seqid)),
                    3 => seqids.extend([(n as u32, seqid), (n as u32 + 3, seqid)]),
                    _ => seqids.push((n as u32, seqid)),
                }
            }
            seqids.sort();
            let found = find(&mut finder, seqids.into_iter().map(|(_, seqid)| sample(fec, seqid)));
            prop_assert_eq!(found.map(|(fec, _)| fec), Some(fec));
        }
    }
}
