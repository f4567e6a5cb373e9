//! Durations, counts and sizes as printed.

use std::time::Duration;

/// A duration for a person: three digits or so, in the unit that suits it.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let milliseconds = seconds * 1e3;
    match milliseconds {
        ms if ms < 0.095 => format!("{ms:.2} ms"),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{seconds:.2} s"),
        ms if ms < 119_950.0 => format!("{seconds:.1} s"),
        _ => long_duration(seconds.round() as u64),
    }
}

fn long_duration(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!("{minutes} min {seconds} s"),
        hours => format!("{hours} h {} min", minutes % 60),
    }
}

/// A duration that somebody set, without digits that they didn't type: `2 s`, `500 ms`, `1.5 s`.
pub fn setting_duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s < 1.0 => format!("{} ms", s * 1e3),
        s => format!("{s} s"),
    }
}

/// A number with a comma at each thousand.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes: `1 byte`, `1,048,576 bytes`.
pub fn bytes(number: u64) -> String {
    plural(number, "byte")
}

/// A number of things: `1 probe`, `3 probes`.
pub fn plural(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_with_about_three_digits() {
        let printed = |us: u64| duration(Duration::from_micros(us));
        assert_eq!(printed(4), "0.00 ms");
        assert_eq!(printed(92), "0.09 ms");
        assert_eq!(printed(99), "0.1 ms");
        assert_eq!(printed(3_240), "3.2 ms");
        assert_eq!(printed(9_960), "10 ms");
        assert_eq!(printed(999_600), "1.00 s");
        assert_eq!(printed(61_230_000), "61.2 s");
        assert_eq!(printed(119_960_000), "2 min 0 s");
        assert_eq!(printed(3_725_000_000), "1 h 2 min");
    }

    #[test]
    fn a_set_duration_prints_as_it_was_typed() {
        assert_eq!(setting_duration(Duration::from_secs(2)), "2 s");
        assert_eq!(setting_duration(Duration::from_millis(500)), "500 ms");
        assert_eq!(setting_duration(Duration::from_millis(1_500)), "1.5 s");
    }

    #[test]
    fn numbers_have_commas_and_plurals() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(bytes(1_048_576), "1,048,576 bytes");
        assert_eq!(bytes(1), "1 byte");
    }
}
