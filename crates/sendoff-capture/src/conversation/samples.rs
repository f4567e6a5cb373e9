//! A distribution of durations in constant memory: exact while there are few, then to 2 %.

use std::time::Duration;

/// Samples that are kept as they are.
const EXACT: usize = 256;

/// Buckets for each doubling: a bucket is 1/32 wide, so its middle is off by 1.6 % at most.
const STEPS: u32 = 32;
const STEP_BITS: u32 = STEPS.ilog2();

/// Durations: how many, the least, the most, and quantiles.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    count: u64,
    least: Duration,
    most: Duration,
    /// In nanoseconds.
    few: Vec<u64>,
    /// Empty until there are more than a few. Only from the first bucket that is needed to the last: of one
    /// conversation samples lie close together.
    buckets: Vec<u32>,
    /// Which bucket the first one is.
    first_bucket: usize,
}

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.least = if self.count == 0 { sample } else { self.least.min(sample) };
        self.most = self.most.max(sample);
        self.count += 1;
        let nanos = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        if self.buckets.is_empty() && self.few.len() < EXACT {
            self.few.push(nanos);
            return;
        }
        for nanos in std::mem::take(&mut self.few) {
            self.count_in_bucket(bucket(nanos));
        }
        self.count_in_bucket(bucket(nanos));
    }

    fn count_in_bucket(&mut self, bucket: usize) {
        if self.buckets.is_empty() {
            self.first_bucket = bucket;
        }
        if let Some(before @ 1..) = self.first_bucket.checked_sub(bucket) {
            self.buckets.splice(..0, std::iter::repeat_n(0, before));
            self.first_bucket = bucket;
        }
        let at = bucket - self.first_bucket;
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] = self.buckets[at].saturating_add(1);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The least; 0 if there are none.
    pub fn least(&self) -> Duration {
        self.least
    }

    /// The most; 0 if there are none.
    pub fn most(&self) -> Duration {
        self.most
    }

    /// The sample that `share` of them (0 to 1) don't exceed; 0 if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        if self.buckets.is_empty() {
            let mut sorted = self.few.clone();
            sorted.sort_unstable();
            return sorted.get(rank as usize - 1).copied().map_or(Duration::ZERO, Duration::from_nanos);
        }
        if rank == self.count {
            return self.most;
        }
        let mut seen = 0;
        for (n, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Duration::from_nanos(middle(self.first_bucket + n)).clamp(self.least, self.most);
            }
        }
        self.most
    }
}

/// Below `STEPS` each number has a bucket; above, each doubling has `STEPS`.
fn bucket(nanos: u64) -> usize {
    if nanos < u64::from(STEPS) {
        return nanos as usize;
    }
    let doubling = nanos.ilog2() - STEP_BITS;
    let step = (nanos >> doubling) as u32 - STEPS;
    (STEPS + doubling * STEPS + step) as usize
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u32;
    if bucket < STEPS {
        return bucket.into();
    }
    let (doubling, step) = ((bucket - STEPS) / STEPS, (bucket - STEPS) % STEPS);
    let low = u64::from(STEPS + step) << doubling;
    low + ((1 << doubling) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_exact_and_none_are_zero() {
        let mut samples = Samples::default();
        assert_eq!((samples.quantile(0.5), samples.least(), samples.most()), Default::default());
        for ms in [5, 1, 3, 2, 4] {
            samples.add(Duration::from_millis(ms));
        }
        let at = |share| samples.quantile(share).as_millis();
        assert_eq!((at(0.0), at(0.5), at(0.9), at(1.0)), (1, 3, 5, 5));
        assert_eq!((samples.count(), samples.least().as_millis(), samples.most().as_millis()), (5, 1, 5));
    }

    #[test]
    fn many_samples_are_right_to_two_percent() {
        let mut samples = Samples::default();
        // From the middle outwards: buckets come in front and behind.
        for us in 1..=50_000 {
            samples.add(Duration::from_micros(50_000 + us));
            samples.add(Duration::from_micros(50_001 - us));
        }
        assert!(samples.buckets.len() < 600, "{}", samples.buckets.len());
        for share in [0.001, 0.1, 0.5, 0.9, 0.99] {
            let (found, right) = (samples.quantile(share).as_secs_f64() * 1e6, share * 100_000.0);
            assert!((found / right - 1.0).abs() < 0.02, "{share}: {found} for {right}");
        }
        assert_eq!(samples.quantile(1.0), Duration::from_millis(100));
    }

    #[test]
    fn every_number_has_a_bucket_whose_middle_is_near() {
        for shift in 0..64 {
            for near in [(1_u64 << shift).saturating_sub(1), 1 << shift, (1 << shift) + (1 << shift) / 3] {
                let off = middle(bucket(near)).abs_diff(near);
                assert!(off as f64 <= near as f64 / 32.0, "{near}: {}", middle(bucket(near)));
            }
        }
        assert!(bucket(u64::MAX) < 2_000);
    }
}
