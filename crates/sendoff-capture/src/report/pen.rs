//! Writes numbers, times, addresses and payloads quickly.

use super::escape::{self, Within};
use std::{fmt::Write, net::SocketAddr, time::Duration};

/// Signs that not every terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// From one address to another.
    pub arrow: &'static str,
    /// Where something was left out.
    pub ellipsis: &'static str,
}

impl Signs {
    /// For terminals that know UTF-8.
    pub const UNICODE: Signs = Signs { arrow: "→", ellipsis: "…" };
    /// For all others.
    pub const ASCII: Signs = Signs { arrow: "->", ellipsis: "..." };
}

/// Appends a number; without the machinery of formatting, which costs ten times as much.
#[inline]
pub(crate) fn number(out: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

/// Appends a number, with blanks in front to `width`.
pub(crate) fn right(out: &mut String, value: u64, width: usize) {
    let len = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(len)));
    number(out, value);
}

/// Appends seconds with six digits behind the point, `width` wide.
pub(crate) fn seconds(out: &mut String, time: Duration, width: usize) {
    right(out, time.as_secs(), width.saturating_sub(7));
    out.push('.');
    let micros = u64::from(time.subsec_micros());
    let len = micros.checked_ilog10().map_or(1, |log| log as usize + 1);
    out.extend(std::iter::repeat_n('0', 6 - len));
    number(out, micros);
}

/// Appends a duration for a person, in milliseconds or seconds.
pub(crate) fn duration(out: &mut String, time: Duration) {
    let ms = time.as_secs_f64() * 1e3;
    _ = match ms {
        ms if ms < 10.0 => write!(out, "{ms:.2} ms"),
        ms if ms < 1_000.0 => write!(out, "{ms:.1} ms"),
        ms => write!(out, "{:.3} s", ms / 1e3),
    };
}

/// Appends a count with its noun: `1 byte`, `53 bytes`.
pub(crate) fn count(out: &mut String, value: u64, thing: &str) {
    number(out, value);
    out.push(' ');
    out.push_str(thing);
    if value != 1 {
        out.push('s');
    }
}

/// Appends a number with a comma at each thousand.
pub(crate) fn thousands(out: &mut String, value: u64) {
    let digits = value.to_string();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
}

/// Appends bytes in hexadecimal, with a blank between two.
pub(crate) fn hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push(DIGITS[usize::from(byte >> 4)].into());
        out.push(DIGITS[usize::from(byte & 15)].into());
    }
}

/// Appends text so that it steers no terminal and ends no quotation.
pub(crate) fn escape(out: &mut String, bytes: &[u8]) {
    escape::escape(out, bytes, Within::Quotation);
}

/// Bytes of a payload that are quoted.
const QUOTED: usize = 23;

/// Appends the beginning of a payload, in quotation marks.
pub(crate) fn quote(out: &mut String, bytes: &[u8], signs: Signs) {
    quote_of(out, bytes, bytes.len(), signs);
}

/// The same for a payload of `len` bytes, of which not all may be there.
pub(crate) fn quote_of(out: &mut String, bytes: &[u8], len: usize, signs: Signs) {
    let shown = &bytes[..bytes.len().min(QUOTED)];
    out.push('"');
    escape(out, shown);
    if shown.len() < len {
        out.push(' ');
        out.push_str(signs.ellipsis);
    }
    out.push('"');
}

/// Both directions of the flow that the last packet was of, as text.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    known: Vec<(SocketAddr, String)>,
}

/// Addresses whose text is remembered.
const KNOWN: usize = 8;

impl Addresses {
    pub(crate) fn write(&mut self, out: &mut String, address: SocketAddr) {
        if let Some((_, text)) = self.known.iter().find(|(known, _)| *known == address) {
            out.push_str(text);
            return;
        }
        let text = address.to_string();
        out.push_str(&text);
        if self.known.len() == KNOWN {
            self.known.remove(0);
        }
        self.known.push((address, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn numbers_and_times_have_their_width() {
        assert_eq!(written(|out| right(out, 0, 3)), "  0");
        assert_eq!(written(|out| right(out, 12_345, 3)), "12345");
        assert_eq!(written(|out| number(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|out| seconds(out, Duration::from_micros(1_000_020), 12)), "    1.000020");
        assert_eq!(written(|out| thousands(out, 1_234_567)), "1,234,567");
        assert_eq!(written(|out| duration(out, Duration::from_micros(1_234))), "1.23 ms");
        assert_eq!(written(|out| duration(out, Duration::from_millis(12_345))), "12.345 s");
    }

    #[test]
    fn nothing_in_a_payload_steers_a_terminal_or_ends_its_quotation() {
        let quoted = |bytes: &[u8]| written(|out| quote(out, bytes, Signs::UNICODE));
        assert_eq!(quoted(b"plain text"), r#""plain text""#);
        assert_eq!(quoted(b"\x1b[31m\r\n\0\x7f"), r#""\u{1b}[31m\r\n\u{0}\u{7f}""#);
        assert_eq!(quoted(b"a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("ü\u{202e}\u{9b}".as_bytes()), r#""ü\u{202e}\u{9b}""#);
        assert_eq!(quoted(b"\xff\xfe"), r#""\xff\xfe""#);
        assert_eq!(quoted(&[b'x'; 24]), format!("\"{} …\"", "x".repeat(23)));
    }
}
