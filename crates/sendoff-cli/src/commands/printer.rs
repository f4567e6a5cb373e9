//! How what comes on a connection is printed: lines of a stream, messages, or each read.

use super::lines::{End, LINE_LIMIT, Line, Lines};
use crate::{
    messages::{Cut, Format},
    report::{Event, Report, escape, json_text},
    units::bytes,
};
use sendoff::Peer;
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};

/// A client that pauses within a line sees what it has written so far printed after this time.
pub const PAUSE: Duration = Duration::from_secs(1);

/// Prints what comes from one peer.
pub struct Printer {
    /// Of the connection, where there are several.
    number: Option<u64>,
    peer: Peer,
    unit: Unit,
    format: Format,
    lines: Lines,
}

/// What stands on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// A line of a stream.
    Line,
    /// What one read brought.
    Read,
    /// A message.
    Message,
}

impl Printer {
    /// For one connection whose messages are cut like this.
    pub fn new(number: Option<u64>, peer: Peer, cut: &Cut, format: Option<Format>, report: &Report) -> Self {
        let unit = match cut.has_messages() {
            true => Unit::Message,
            false if cut.reads => Unit::Read,
            false => Unit::Line,
        };
        let format = if report.json() { Format::Json } else { format.unwrap_or(Format::Text) };
        Self { number, peer, unit, format, lines: Lines::default() }
    }

    /// Prints what has come: all that came together in one write, so that nobody else's bytes get between.
    ///
    /// # Errors
    /// As [`Report::raw`].
    pub async fn print(&mut self, chunk: &[u8], report: &Report) -> anyhow::Result<()> {
        let mut text = String::new();
        match self.unit {
            Unit::Line => {
                let mut lines = std::mem::take(&mut self.lines);
                lines.feed(chunk, |line| text += &self.line(&line, report));
                self.lines = lines;
            }
            Unit::Read | Unit::Message => text = self.whole(chunk),
        }
        if text.is_empty() { Ok(()) } else { report.raw(text.as_bytes()).await }
    }

    /// Whether an unfinished line waits for its rest.
    pub fn is_pending(&self) -> bool {
        self.lines.is_pending()
    }

    /// Prints the unfinished line, if there is one.
    ///
    /// # Errors
    /// As [`Report::raw`].
    pub async fn print_rest(&mut self, report: &Report) -> anyhow::Result<()> {
        match self.lines.flush() {
            Some(line) => report.raw(self.line(&line, report).as_bytes()).await,
            None => Ok(()),
        }
    }

    fn line(&self, line: &Line, report: &Report) -> String {
        if line.end == End::Cut && !line.continued {
            let (number, peer) = (self.number, self.peer.clone());
            report.event(&Event::LineCut { number, peer, limit: LINE_LIMIT });
        }
        match self.format {
            Format::Json => line.to_json(self.object("line")),
            _ => format!("{}{}", self.number(), line.to_text(report.arrows().ellipsis)),
        }
    }

    /// A message or a read: who, how, how much, what.
    fn whole(&self, chunk: &[u8]) -> String {
        let content = match self.format {
            Format::Json => {
                let mut object = self.object(if self.unit == Unit::Read { "read" } else { "message" });
                object["bytes"] = chunk.len().into();
                for (name, value) in json_text(chunk) {
                    object[name] = value;
                }
                return format!("{object}\n");
            }
            Format::Hex => hex(chunk),
            Format::Text => escape(chunk),
        };
        let Self { peer, .. } = self;
        let size = bytes(chunk.len() as u64);
        let line = format!("{}{} {peer} {size}: {content}", self.number(), peer.transport());
        format!("{}\n", line.trim_end())
    }

    fn number(&self) -> String {
        self.number.map(|number| format!("#{number} ")).unwrap_or_default()
    }

    fn object(&self, report: &str) -> Value {
        let mut object = json!({"report": report});
        if let Some(number) = self.number {
            object["connection"] = number.into();
        }
        object["transport"] = self.peer.transport().into();
        object["peer"] = self.peer.to_string().into();
        object
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printer(unit: Unit, format: Format) -> Printer {
        let peer = Peer::new("tcp", "127.0.0.1:52114".parse().unwrap());
        Printer { number: Some(3), peer, unit, format, lines: Lines::default() }
    }

    #[test]
    fn a_message_stands_on_one_line_with_who_and_how_much() {
        let text = printer(Unit::Message, Format::Text);
        assert_eq!(text.whole(b"two\nlines\x1b"), "#3 tcp 127.0.0.1:52114 10 bytes: two\\nlines\\u{1b}\n");
        assert_eq!(text.whole(b""), "#3 tcp 127.0.0.1:52114 0 bytes:\n");
        let hex = printer(Unit::Read, Format::Hex);
        assert_eq!(hex.whole(b"\x00\xff"), "#3 tcp 127.0.0.1:52114 2 bytes: 00ff\n");
    }

    #[test]
    fn a_message_is_an_object_for_a_program() {
        let value: Value =
            serde_json::from_str(&printer(Unit::Message, Format::Json).whole(b"\xffa")).unwrap();
        let expected = json!({"report": "message", "connection": 3, "transport": "tcp", "peer": "127.0.0.1:52114",
            "bytes": 2, "text": "\u{fffd}a", "hex": "ff61"});
        assert_eq!(value, expected);
        let value: Value = serde_json::from_str(&printer(Unit::Read, Format::Json).whole(b"a")).unwrap();
        assert_eq!(value["report"], "read");
    }
}
