//! What one client sends, as lines for a person or a program.

use crate::report::{escape, json_text};
use serde_json::Value;

/// A line longer than this is cut.
pub const LINE_LIMIT: usize = 64 * 1024;

/// Collects the bytes of one client until a line is whole.
#[derive(Debug, Default)]
pub struct Lines {
    pending: Vec<u8>,
    /// The front of the line has been printed already: too long, or the client paused in it.
    continued: bool,
}

/// A line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Without its end.
    pub bytes: Vec<u8>,
    /// The front of it went before.
    pub continued: bool,
    /// What made it end here.
    pub end: End,
}

/// Why a [`Line`] ends where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a line feed, or a message's end.
    Whole,
    /// At [`LINE_LIMIT`].
    Cut,
    /// The client has paused or gone.
    Unfinished,
}

impl Lines {
    /// Takes bytes in, and hands out the lines that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(Line)) {
        while !bytes.is_empty() {
            let room = LINE_LIMIT - self.pending.len();
            let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
            match end {
                Some(end) => {
                    self.pending.extend_from_slice(&bytes[..end]);
                    if self.pending.last() == Some(&b'\r') {
                        self.pending.pop();
                    }
                    bytes = &bytes[end + 1..];
                    // A line that was printed to its last byte needs no empty rest.
                    if !(self.continued && self.pending.is_empty()) {
                        out(self.take(End::Whole));
                    }
                    self.continued = false;
                }
                None if bytes.len() > room => {
                    self.pending.extend_from_slice(&bytes[..room]);
                    bytes = &bytes[room..];
                    out(self.take(End::Cut));
                }
                None => {
                    self.pending.extend_from_slice(bytes);
                    bytes = &[];
                }
            }
        }
    }

    /// The unfinished line, if there is one: the client has paused or gone.
    pub fn flush(&mut self) -> Option<Line> {
        (!self.pending.is_empty()).then(|| self.take(End::Unfinished))
    }

    /// Whether [`flush`](Self::flush) would give something.
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn take(&mut self, end: End) -> Line {
        let line = Line { bytes: std::mem::take(&mut self.pending), continued: self.continued, end };
        self.continued = end != End::Whole;
        line
    }
}

impl Line {
    /// For a person; the rest of a line that was begun before starts with the ellipsis.
    pub fn to_text(&self, ellipsis: &str) -> String {
        let continued = if self.continued { ellipsis } else { "" };
        format!("{continued}{}\n", escape(&self.bytes))
    }

    /// For a program: laid over what is said of every line.
    pub fn to_json(&self, mut object: Value) -> String {
        for (name, value) in json_text(&self.bytes) {
            object[name] = value;
        }
        object["continued"] = self.continued.into();
        object["whole"] = (self.end == End::Whole).into();
        format!("{object}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fed(lines: &mut Lines, bytes: &[u8]) -> Vec<Line> {
        let mut out = Vec::new();
        lines.feed(bytes, |line| out.push(line));
        out
    }

    fn line(text: &str, continued: bool, end: End) -> Line {
        Line { bytes: text.into(), continued, end }
    }

    #[test]
    fn a_line_comes_out_when_it_is_whole() {
        let mut lines = Lines::default();
        assert_eq!(fed(&mut lines, b"he"), []);
        assert_eq!(fed(&mut lines, b"llo\r\nwor"), [line("hello", false, End::Whole)]);
        assert!(lines.is_pending());
        let rest = fed(&mut lines, b"ld\n\nx\n");
        assert_eq!(rest, ["world", "", "x"].map(|text| line(text, false, End::Whole)));
        assert!(!lines.is_pending() && lines.flush().is_none());
    }

    #[test]
    fn an_unfinished_line_goes_on_marked() {
        let mut lines = Lines::default();
        assert_eq!(fed(&mut lines, b"hello"), []);
        assert_eq!(lines.flush(), Some(line("hello", false, End::Unfinished)));
        assert_eq!(
            fed(&mut lines, b" world\nnext\n"),
            [line(" world", true, End::Whole), line("next", false, End::Whole)]
        );
    }

    #[test]
    fn a_line_that_was_printed_to_its_end_has_no_empty_rest() {
        let mut lines = Lines::default();
        fed(&mut lines, b"hello");
        lines.flush();
        assert_eq!(fed(&mut lines, b"\nnext\n"), [line("next", false, End::Whole)]);
    }

    #[test]
    fn a_long_line_is_cut_and_memory_stays_bounded() {
        let mut lines = Lines::default();
        let long = vec![b'a'; LINE_LIMIT * 2 + 3];
        let mut out = Vec::new();
        for chunk in long.chunks(1_000) {
            lines.feed(chunk, |line| out.push(line));
            assert!(lines.pending.len() <= LINE_LIMIT);
        }
        lines.feed(b"\n", |line| out.push(line));
        let shape: Vec<_> = out.iter().map(|l| (l.bytes.len(), l.continued, l.end)).collect();
        assert_eq!(
            shape,
            [(LINE_LIMIT, false, End::Cut), (LINE_LIMIT, true, End::Cut), (3, true, End::Whole)]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let mut lines = Lines::default();
        let mut exact = vec![b'a'; LINE_LIMIT];
        exact.push(b'\n');
        let out = fed(&mut lines, &exact);
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].bytes.len(), out[0].end), (LINE_LIMIT, End::Whole));
    }

    #[test]
    fn lines_print_escaped() {
        assert_eq!(line("a\x1bb", false, End::Whole).to_text("…"), "a\\u{1b}b\n");
        assert_eq!(line("rest", true, End::Whole).to_text("…"), "…rest\n");
        let json = line("a\x1bb", false, End::Whole).to_json(json!({"report": "line"}));
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value, json!({"report": "line", "text": "a\u{1b}b", "continued": false, "whole": true}));
    }
}
