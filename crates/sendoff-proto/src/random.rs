//! All that a connection needs at random, from one seed that the caller takes from a secure source.

use crate::{seq::Conv, wire::Token};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// SipHash-2-4 of a counter: who doesn't know the seed can't tell the next number, and the same seed
/// gives the same conversation again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random {
    key: (u64, u64),
    drawn: u64,
    /// What the low 8 bits of tokens are, if they aren't random too.
    driver: Option<u8>,
}

impl Random {
    pub(crate) fn new(seed: u128) -> Self {
        Self { key: ((seed >> 64) as u64, seed as u64), drawn: 0, driver: None }
    }

    /// From now on tokens name this driver by their low 8 bits; 56 are left to be random.
    pub(crate) fn name_driver(&mut self, driver: u8) {
        self.driver = Some(driver);
    }

    pub(crate) fn next(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        hasher.finish()
    }

    pub(crate) fn token(&mut self) -> Token {
        loop {
            let random = self.next();
            let value = self.driver.map_or(random, |driver| random & !0xff | u64::from(driver));
            if let Some(token) = Token::new(value) {
                return token;
            }
        }
    }

    pub(crate) fn conv(&mut self) -> Conv {
        loop {
            if let Some(conv) = Conv::new(self.next() as u32) {
                return conv;
            }
        }
    }
}

/// Makes the seeds of connections from one number of a secure source: for drivers, so that a connection costs
/// no system call for its randomness.
#[derive(Clone, Debug)]
pub struct SeedSource(Random);

impl SeedSource {
    /// `seed` must be from a secure source.
    pub fn new(seed: u128) -> Self {
        Self(Random::new(seed))
    }

    /// Another seed for a [`Connection`](crate::Connection).
    pub fn next_seed(&mut self) -> u128 {
        u128::from(self.0.next()) << 64 | u128::from(self.0.next())
    }

    /// A conversation id that can't be guessed.
    pub fn next_conv(&mut self) -> Conv {
        self.0.conv()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [(); 4].map(|()| random.next())
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(1 << 64));
        let [a, b, c, d] = numbers(7);
        assert!(a != b && b != c && c != d);
    }

    #[test]
    fn tokens_name_their_driver_and_differ() {
        for driver in [0, 1, 254] {
            let mut random = Random::new(7);
            random.name_driver(driver);
            let tokens = [(); 64].map(|()| random.token());
            assert!(tokens.iter().all(|token| token.driver() == driver));
            assert!(tokens.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
