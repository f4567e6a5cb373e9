//! A small pseudo-random generator: the same numbers for the same seed, on every machine and in every version.

/// SplitMix64 (Steele, Lea and Flood, 2014): eight bytes of state, one addition and a hash per number.
///
/// Every seed is good, 0 included. For simulations and tests only: its output can be predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator whose numbers depend on `seed` alone.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// A number from all 64-bit numbers.
    pub fn u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `0..n`, each equally likely.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below 0: there is no such number");
        loop {
            // Lemire's method: the high half of the product; the few low halves that would favour some
            // numbers are drawn again. The remainder is less than n, so the division is rarely needed.
            let product = u128::from(self.u64()) * u128::from(n);
            let low = product as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number from `0.0..1.0`, in steps of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with `probability`: never at 0, always at 1. Uses up one number whatever the probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Fills `bytes` with random ones.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes);
        bytes
    }

    /// A second generator, seeded from this one, for a part that must not disturb this sequence.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_algorithm() {
        let mut rng = Rng::new(1_234_567);
        let numbers: Vec<u64> = (0..4).map(|_| rng.u64()).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
        ];
        assert_eq!(numbers, published);
    }

    #[test]
    fn below_reaches_each_number_equally_often_and_none_beyond() {
        let mut rng = Rng::new(1);
        let mut hits = [0u32; 7];
        for _ in 0..70_000 {
            hits[rng.below(7) as usize] += 1;
        }
        assert!(hits.iter().all(|&n| (9_600..10_400).contains(&n)), "{hits:?}");
        assert_eq!(rng.below(1), 0);
        // Here the high half of the product alone would be a multiple of three every second time.
        let multiples = (0..30_000).filter(|_| rng.below(3 << 62).is_multiple_of(3)).count();
        assert!((9_600..10_400).contains(&multiples), "{multiples}");
    }

    #[test]
    fn chance_is_exact_at_both_ends_and_right_between() {
        let mut rng = Rng::new(2);
        assert!((0..10_000).all(|_| !rng.chance(0.0)));
        assert!((0..10_000).all(|_| rng.chance(1.0)));
        let hits = (0..100_000).filter(|_| rng.chance(0.03)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
    }

    #[test]
    fn fill_covers_every_length_and_forks_go_their_own_way() {
        let mut rng = Rng::new(3);
        for len in 0..40 {
            let (a, b) = (rng.bytes(len), rng.bytes(len));
            assert_eq!((a.len(), b.len()), (len, len));
            assert!(len < 8 || a != b);
            assert!(len < 16 || a[len - 4..] != [0; 4], "the end is filled too");
        }
        let mut fork = rng.fork();
        assert_ne!(fork.u64(), rng.u64());
    }
}
