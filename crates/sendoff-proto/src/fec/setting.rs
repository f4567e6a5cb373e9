//! The ratio of data to parity shards.

use std::{fmt, num::NonZeroU8, str::FromStr};

/// Shards of a group at most: what kcp-go 5.6.72 takes over from its peer by itself.
const MAX_GROUP: usize = 255;

/// How many data shards make a group, and how many parity shards are added to them.
///
/// Any `parity` datagrams of a group of `data + parity` may be lost. Prints and parses as `10/3`. "None" is no `Fec`:
/// [`parse_optional`](Self::parse_optional) takes `off` and `0/0` too.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fec {
    data: NonZeroU8,
    parity: NonZeroU8,
}

/// Why a ratio is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FecError {
    /// One of the numbers is 0, or both together are more than 255.
    #[error("fec {data}/{parity}: both must be at least 1, and together at most 255 shards")]
    OutOfRange {
        /// Data shards of a group.
        data: usize,
        /// Parity shards of a group.
        parity: usize,
    },
    /// Not two numbers with a slash between them.
    #[error("fec {0:?}: must be data/parity, such as 10/3")]
    Syntax(String),
}

impl Fec {
    /// `parity` shards for each `data` shards. Both at least 1, together at most 255.
    pub fn new(data: usize, parity: usize) -> Result<Self, FecError> {
        let number = |n: usize| u8::try_from(n).ok().and_then(NonZeroU8::new);
        match (number(data), number(parity)) {
            (Some(d), Some(p)) if data + parity <= MAX_GROUP => Ok(Self { data: d, parity: p }),
            _ => Err(FecError::OutOfRange { data, parity }),
        }
    }

    /// Data shards of a group, 1 to 254 (kcp-go's `dataShards`).
    pub fn data(self) -> usize {
        self.data.get().into()
    }

    /// Parity shards of a group, 1 to 254 (kcp-go's `parityShards`).
    pub fn parity(self) -> usize {
        self.parity.get().into()
    }

    /// Shards of a group, 2 to 255.
    pub fn group(self) -> usize {
        self.data() + self.parity()
    }

    /// As [`from_str`](FromStr::from_str), and `off` or `0/0` for none.
    pub fn parse_optional(text: &str) -> Result<Option<Self>, FecError> {
        match text {
            "off" | "0/0" => Ok(None),
            _ => text.parse().map(Some),
        }
    }

    /// Where seqids wrap to 0: the largest multiple of a group below 2³² (kcp-go's `paws`).
    pub(crate) fn wrap(self) -> u32 {
        u32::MAX - u32::MAX % self.group() as u32
    }

    /// The first seqid of the group, and the place in it.
    #[inline]
    pub(crate) fn place(self, seqid: u32) -> (u32, usize) {
        let index = seqid % self.group() as u32;
        (seqid - index, index as usize)
    }
}

impl fmt::Display for Fec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.data, self.parity)
    }
}

impl fmt::Debug for Fec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fec({self})")
    }
}

impl FromStr for Fec {
    type Err = FecError;

    fn from_str(text: &str) -> Result<Self, FecError> {
        // Digits only: `parse` alone takes a plus sign.
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let (data, parity) = text.split_once('/').ok_or_else(|| FecError::Syntax(text.to_owned()))?;
        match (number(data), number(parity)) {
            (Some(data), Some(parity)) => Self::new(data, parity),
            _ => Err(FecError::Syntax(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_checked_and_print_as_they_parse() {
        for (data, parity) in [(1, 1), (10, 3), (254, 1), (1, 254), (128, 127)] {
            let fec = Fec::new(data, parity).unwrap();
            assert_eq!((fec.data(), fec.parity(), fec.group()), (data, parity, data + parity));
            assert_eq!(fec.to_string().parse(), Ok(fec));
            assert_eq!(Fec::parse_optional(&fec.to_string()), Ok(Some(fec)));
        }
        for (data, parity) in [(0, 1), (1, 0), (0, 0), (128, 128), (255, 1), (usize::MAX, 1)] {
            assert_eq!(Fec::new(data, parity), Err(FecError::OutOfRange { data, parity }));
        }
        assert_eq!(Fec::parse_optional("off"), Ok(None));
        assert_eq!(Fec::parse_optional("0/0"), Ok(None));
        for text in ["", "10", "10/", "/3", "10/3/1", "+10/3", "10/-3", "10 / 3", "99999999999999999999/1"] {
            assert_eq!(text.parse::<Fec>(), Err(FecError::Syntax(text.to_owned())));
        }
        let error = "300/3".parse::<Fec>().unwrap_err().to_string();
        assert_eq!(error, "fec 300/3: both must be at least 1, and together at most 255 shards");
    }

    #[test]
    fn seqids_wrap_at_the_last_whole_group() {
        for (data, parity) in [(10, 3), (1, 1), (254, 1), (3, 2), (1, 2)] {
            let fec = Fec::new(data, parity).unwrap();
            let (wrap, group) = (u64::from(fec.wrap()), fec.group() as u64);
            assert_eq!(wrap, 0xffff_ffff / group * group);
        }
    }
}
