//! Bytes of others, made harmless for a terminal: the one place where that is done.

use std::fmt::Write;

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
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match (c, within) {
                ('\t', Within::Line) => out.push(c),
                ('"' | '\\', Within::Quotation) => out.extend(['\\', c]),
                (c, _) if c.is_control() || turns_text_around(c) => out.extend(c.escape_default()),
                (c, _) => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// Line and paragraph separators, and marks that change the direction of what follows.
fn turns_text_around(c: char) -> bool {
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
