//! Durations as typed.

use std::time::Duration;

/// Longest duration that is taken: far beyond use, and far from overflowing a clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a bare number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Everywhere else.
    Seconds,
    /// KCP's own numbers (`interval`), as kcptun has them.
    Milliseconds,
}

/// Parses `500ms`, `2s`, `1.5m`, `1h`, or a bare number of seconds.
///
/// # Errors
/// A sentence that goes behind the name and the value.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_duration_as(text, Bare::Seconds)
}

/// As [`parse_duration`], but 0 is refused.
///
/// # Errors
/// A sentence that goes behind the name and the value.
pub fn parse_duration_above_zero(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// As [`parse_duration`], with the unit of a bare number given.
///
/// # Errors
/// A sentence that goes behind the name and the value.
pub fn parse_duration_as(text: &str, bare: Bare) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match (unit, bare) {
        ("", Bare::Milliseconds) | ("ms", _) => 1e-3,
        ("" | "s", _) => 1.0,
        ("m" | "min", _) => 60.0,
        ("h", _) => 3600.0,
        _ => return Err(not_a_duration()),
    };
    let number: f64 = number.parse().map_err(|_| not_a_duration())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("must be at most a year".into()),
    }
}

fn not_a_duration() -> String {
    "must be a duration such as 500ms, 2s or 1m".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        for (text, ms) in
            [("500ms", 500), ("2s", 2_000), ("2", 2_000), ("1m", 60_000), ("1.5", 1_500), ("0.25s", 250)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(parse_duration_as("10", Bare::Milliseconds), Ok(Duration::from_millis(10)));
        assert_eq!(parse_duration_as("1s", Bare::Milliseconds), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "s", "x", "1x", "-1", "1e9", "1 s", "1.2.3", ".", "1ms2", "inf", "nan", "99999999999"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert!(parse_duration_above_zero("0ms").is_err());
    }
}
