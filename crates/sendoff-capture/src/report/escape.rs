//! Bytes of others, made harmless for a terminal: the one place where that is done.

use super::pen::hex_digits;

/// What the text stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// A line of its own: tabs and quotation marks stay.
    Line,
    /// Quotation marks, which it must not end.
    Quotation,
}

/// Appends text with everything escaped that could steer a terminal or pretend to be another line, and in quotation
/// marks what could end them. Bytes that aren't UTF-8 become `\\xff`.
pub fn escape(out: &mut String, bytes: &[u8], within: Within) {
    if bytes.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        // Plain text, by far the most.
        out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
        return;
    }
    let mut rest = bytes;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match (*first, within) {
            (b'\t', Within::Line) => out.push('\t'),
            (b'"', Within::Quotation) => out.push_str("\\\""),
            (b'\\', Within::Quotation) => out.push_str("\\\\"),
            (plain @ b' '..=b'~', _) => out.push(plain.into()),
            (b'\t', _) => out.push_str("\\t"),
            (b'\n', _) => out.push_str("\\n"),
            (b'\r', _) => out.push_str("\\r"),
            (control @ 0..=0x7f, _) => short_escape(out, control),
            (lead, _) => match character(lead, behind) {
                Some((c, len)) => {
                    rest = &behind[len - 1..];
                    match c {
                        '\u{80}'..='\u{9f}' => short_escape(out, c as u8),
                        c if turns_text_around(c) => out.extend(c.escape_default()),
                        c => out.push(c),
                    }
                }
                None => {
                    out.push_str("\\x");
                    out.push_str(hex_digits(lead));
                }
            },
        }
    }
}

/// The character of UTF-8 that begins with `lead`, which is not ASCII, and its length.
fn character(lead: u8, behind: &[u8]) -> Option<(char, usize)> {
    let len = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [lead, 0, 0, 0];
    bytes[1..len].copy_from_slice(behind.get(..len - 1)?);
    Some((std::str::from_utf8(&bytes[..len]).ok()?.chars().next()?, len))
}

/// Appends a control character as `char::escape_default` does, a good deal faster.
fn short_escape(out: &mut String, byte: u8) {
    out.push_str("\\u{");
    out.push_str(hex_digits(byte).trim_start_matches('0'));
    if byte == 0 {
        out.push('0');
    }
    out.push('}');
}

/// Line and paragraph separators, and marks that change the direction of what follows.
pub(super) fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8], within: Within) -> String {
        let mut out = String::new();
        escape(&mut out, bytes, within);
        out
    }

    #[test]
    fn what_could_steer_a_terminal_is_escaped_everywhere() {
        for within in [Within::Line, Within::Quotation] {
            for (bytes, expected) in [
                (&b"plain text"[..], "plain text"),
                ("Grüße, 世界".as_bytes(), "Grüße, 世界"),
                (b"\x1b[31mred\r\n\0\x7f", "\\u{1b}[31mred\\r\\n\\u{0}\\u{7f}"),
                ("a\u{202e}b\u{2028}c\u{9b}d".as_bytes(), "a\\u{202e}b\\u{2028}c\\u{9b}d"),
                (b"ok\xff\xfeok", "ok\\xff\\xfeok"),
                (b"cut \xc3", "cut \\xc3"),
            ] {
                assert_eq!(escaped(bytes, within), expected);
            }
        }
    }

    #[test]
    fn only_what_could_end_a_quotation_differs() {
        let text = b"a\t\"b\" \\";
        assert_eq!(escaped(text, Within::Line), "a\t\"b\" \\");
        assert_eq!(escaped(text, Within::Quotation), "a\\t\\\"b\\\" \\\\");
    }
}
