//! Bytes of a peer, made harmless for a terminal and for JSON.

use sendoff_capture::report::Within;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The text, with everything escaped that could steer a terminal or pretend to be another line. Tabs stay.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    sendoff_capture::report::escape(&mut out, bytes, Within::Line);
    out
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
    fn a_tab_stays_and_what_could_steer_a_terminal_does_not() {
        assert_eq!(escape(b"plain\t\"text\"\r\n\x1b"), "plain\t\"text\"\\r\\n\\u{1b}");
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        assert_eq!(Value::from(json_text(b"a\n")), serde_json::json!({"text": "a\n"}));
        assert_eq!(Value::from(json_text(b"\xff")), serde_json::json!({"text": "\u{fffd}", "hex": "ff"}));
    }
}
