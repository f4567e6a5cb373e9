//! Bytes of a peer, made harmless for a terminal and for JSON.

use serde_json::{Map, Value};
use std::fmt::Write;

/// The text, with everything escaped that could steer a terminal or pretend to be another line. Tabs stay.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push(c),
                c if c.is_control() || turns_text_around(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Line and paragraph separators, and marks that change the direction of what follows.
fn turns_text_around(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The members that tell `bytes` in JSON: `text`, and `hex` as well where they aren't UTF-8.
pub fn json_text(bytes: &[u8]) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("text".into(), String::from_utf8_lossy(bytes).into());
    if std::str::from_utf8(bytes).is_err() {
        let mut hex = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            _ = write!(hex, "{byte:02x}");
        }
        members.insert("hex".into(), hex.into());
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(escape(b"plain\ttext"), "plain\ttext");
        assert_eq!(escape("Grüße, 世界".as_bytes()), "Grüße, 世界");
        assert_eq!(escape(b"\x1b[31mred\r\n\0\x7f"), "\\u{1b}[31mred\\r\\n\\u{0}\\u{7f}");
        assert_eq!(escape("a\u{202e}b\u{2028}c\u{9b}d".as_bytes()), "a\\u{202e}b\\u{2028}c\\u{9b}d");
    }

    #[test]
    fn what_is_no_text_prints_as_hexadecimal() {
        assert_eq!(escape(b"ok\xff\xfeok"), "ok\\xff\\xfeok");
        assert_eq!(escape("cut ü".as_bytes().split_last().unwrap().1), "cut \\xc3");
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        assert_eq!(Value::from(json_text(b"a\n")), serde_json::json!({"text": "a\n"}));
        assert_eq!(Value::from(json_text(b"\xff")), serde_json::json!({"text": "\u{fffd}", "hex": "ff"}));
    }
}
