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
    // Digits are always text; to check it costs less than to append them one by one.
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Appends a number, with blanks in front to `width`.
pub(crate) fn right(out: &mut String, value: u64, width: usize) {
    let len = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    blanks(out, width.saturating_sub(len));
    number(out, value);
}

fn blanks(out: &mut String, count: usize) {
    const BLANKS: &str = "                ";
    match BLANKS.get(..count) {
        Some(blanks) => out.push_str(blanks),
        None => out.extend(std::iter::repeat_n(' ', count)),
    }
}

/// Appends seconds with six digits behind the point, `width` wide.
pub(crate) fn seconds(out: &mut String, time: Duration, width: usize) {
    right(out, time.as_secs(), width.saturating_sub(7));
    out.push('.');
    let micros = u64::from(time.subsec_micros());
    let len = micros.checked_ilog10().map_or(1, |log| log as usize + 1);
    out.push_str(&"00000"[..6 - len]);
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

/// Digits of each byte, one behind the other.
const HEX: &str = {
    const DIGITS: [u8; 512] = {
        let (digits, mut table, mut byte) = (b"0123456789abcdef", [0; 512], 0);
        while byte < 256 {
            table[byte * 2] = digits[byte >> 4];
            table[byte * 2 + 1] = digits[byte & 15];
            byte += 1;
        }
        table
    };
    match std::str::from_utf8(&DIGITS) {
        Ok(digits) => digits,
        Err(_) => unreachable!(),
    }
};

/// The two digits of a byte.
#[inline]
pub(crate) fn hex_digits(byte: u8) -> &'static str {
    &HEX[usize::from(byte) * 2..][..2]
}

/// Appends bytes in hexadecimal, with a blank between two.
pub(crate) fn hex(out: &mut String, bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(hex_digits(*byte));
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
    use super::{super::escape::turns_text_around, *};
    use proptest::prelude::*;

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
    fn every_character_below_256_is_escaped_as_the_standard_library_would() {
        for c in ('\0'..='\u{ff}').filter(|c| !matches!(c, '"' | '\\')) {
            let told = written(|out| escape(out, c.to_string().as_bytes()));
            let expected = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
            assert_eq!(told, expected, "{c:?}");
        }
        for byte in 0x80..=0xff {
            assert_eq!(written(|out| escape(out, &[byte])), format!("\\x{byte:02x}"));
        }
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

    proptest! {
        #[test]
        fn what_is_utf_8_stays_and_of_the_rest_each_byte_is_told(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0xc0..=0xf7_u8, 0x80..=0xbf_u8], 0..40),
        ) {
            let mut expected = String::new();
            for chunk in bytes.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '"' | '\\' => expected.extend(['\\', c]),
                        c if c.is_control() || turns_text_around(c) => expected.extend(c.escape_default()),
                        c => expected.push(c),
                    }
                }
                for byte in chunk.invalid() {
                    _ = write!(expected, "\\x{byte:02x}");
                }
            }
            prop_assert_eq!(written(|out| escape(out, &bytes)), expected);
        }
    }
}
