//! Wrapping arithmetic: sequence numbers, millisecond timestamps, conversation ids.
//!
//! Sequence numbers and timestamps wrap at 2^32 and are compared as a signed 32-bit
//! difference (`_itimediff` in `ikcp.c` and kcp-go). They have no `Ord`, because
//! that order isn't transitive over the whole circle.

use std::{
    fmt,
    num::{NonZeroU32, ParseIntError},
    str::FromStr,
    time::{Duration, Instant},
};

/// The sequence number of a segment (`sn`), or the next one expected (`una`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNumber(pub u32);

impl SeqNumber {
    /// How far `self` lies ahead of `other`: negative when it lies behind.
    #[inline]
    pub fn ahead_of(self, other: SeqNumber) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether `self` comes before `other`.
    #[inline]
    pub fn is_before(self, other: SeqNumber) -> bool {
        self.ahead_of(other) < 0
    }

    /// Whether `self` lies in `from..to`.
    #[inline]
    pub fn is_within(self, from: SeqNumber, to: SeqNumber) -> bool {
        self.0.wrapping_sub(from.0) < to.0.wrapping_sub(from.0)
    }

    /// The number `n` places further on.
    #[inline]
    #[must_use]
    pub fn plus(self, n: u32) -> SeqNumber {
        SeqNumber(self.0.wrapping_add(n))
    }

    /// The number of places from `from` to `self`; the caller knows that it isn't behind.
    #[inline]
    pub(crate) fn distance_from(self, from: SeqNumber) -> u32 {
        self.0.wrapping_sub(from.0)
    }
}

impl fmt::Display for SeqNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sender's millisecond clock (`ts`): echoed by the acknowledgement of the segment that carried it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u32);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes timestamps from instants. It starts from a random base, so that the
/// echo in an acknowledgement can't be guessed from the age of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    base: u32,
}

impl Clock {
    pub(crate) fn new(epoch: Instant, base: u32) -> Self {
        Self { epoch, base }
    }

    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    #[inline]
    pub(crate) fn timestamp(&self, now: Instant) -> Timestamp {
        let age = now.saturating_duration_since(self.epoch);
        // Truncation is the wrap of the wire format.
        Timestamp(self.base.wrapping_add(age.as_millis() as u32))
    }

    /// The age of an echoed timestamp, if it is one that lies in the past (by less than 2^31 ms).
    #[inline]
    pub(crate) fn age(&self, now: Instant, echo: Timestamp) -> Option<Duration> {
        let age = self.timestamp(now).0.wrapping_sub(echo.0) as i32;
        u64::try_from(age).ok().map(Duration::from_millis)
    }
}

/// A conversation id (`conv`): the same on both sides, chosen at random by the side that opens.
///
/// Never 0: tokio_kcp and kcp-tokio servers answer 0 with a number of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv(NonZeroU32);

impl Conv {
    /// The largest.
    pub const MAX: Conv = Conv(NonZeroU32::MAX);

    /// A conversation id, unless `value` is 0.
    pub fn new(value: u32) -> Option<Conv> {
        NonZeroU32::new(value).map(Conv)
    }

    /// The number as it stands on the wire.
    #[inline]
    pub fn value(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Conv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Why a text is no [`Conv`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("conv {text}: must be 1 to 4294967295, decimal or 0x and hexadecimal")]
pub struct ParseConvError {
    text: String,
}

impl FromStr for Conv {
    type Err = ParseConvError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value: Result<u32, ParseIntError> = match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => text.parse(),
        };
        value.ok().and_then(Conv::new).ok_or_else(|| ParseConvError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_holds_across_the_wrap() {
        let last = SeqNumber(u32::MAX);
        assert!(last.is_before(SeqNumber(0)));
        assert!(!SeqNumber(0).is_before(last));
        assert_eq!(SeqNumber(3).ahead_of(SeqNumber(u32::MAX - 1)), 5);
        assert!(SeqNumber(1).is_within(SeqNumber(u32::MAX), SeqNumber(2)));
        assert!(!SeqNumber(2).is_within(SeqNumber(u32::MAX), SeqNumber(2)));
        assert!(!SeqNumber(5).is_within(SeqNumber(5), SeqNumber(5)));
    }

    #[test]
    fn a_timestamp_from_the_future_has_no_age() {
        let start = Instant::now();
        let clock = Clock::new(start, u32::MAX - 5);
        let now = start + Duration::from_millis(10);
        assert_eq!(clock.timestamp(now), Timestamp(4));
        assert_eq!(clock.age(now, Timestamp(u32::MAX)), Some(Duration::from_millis(5)));
        assert_eq!(clock.age(now, Timestamp(5)), None);
    }

    #[test]
    fn conv_parses_what_it_prints_and_refuses_zero() {
        let conv = Conv::new(0x5b1f_03aa).unwrap();
        assert_eq!(conv.to_string(), "0x5b1f03aa");
        assert_eq!("0x5b1f03aa".parse(), Ok(conv));
        assert_eq!("17".parse(), Ok(Conv::new(17).unwrap()));
        for bad in ["0", "0x0", "", "x", "4294967296", "-1"] {
            assert!(bad.parse::<Conv>().is_err(), "{bad}");
        }
    }
}
