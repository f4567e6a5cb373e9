//! The packets of the ladder, in chunks of columns.

use super::columns::Column;
use crate::{
    above::{Shard, ShardKind},
    conversation::{Role, Side},
    dissector::{Analysis, Dissected, SegmentNote, Top},
    layers::FragmentNews,
    report::{
        json,
        line::{self, Lines},
        pen::{self, Signs},
    },
};
use sendoff_proto::wire::{Block, Command, SegmentView};
use std::{fmt::Write, time::Duration};

/// Packets of a chunk, at most: what is held before it is written.
const CHUNK_PACKETS: usize = 4_096;

/// Segments of a chunk after which it is written.
const CHUNK_SEGMENTS: usize = 16_384;

/// Characters of what is said in words of a packet, at most: comments in a file may be long.
const MAX_WORDS: usize = 400;

/// Bytes of data that are shown as text.
const EXCERPT: usize = 23;

/// Bytes of data that are shown in hexadecimal, where it is no text.
const EXCERPT_HEX: usize = 8;

/// Bits of the column `flags`, as `page/data.js` reads them.
mod flags {
    /// The server has sent it.
    pub(super) const SERVER: i64 = 1;
    /// It goes from one side to the other: an arrow.
    pub(super) const ARROW: i64 = 1 << 1;
    /// There are words in `text`.
    pub(super) const WORDS: i64 = 1 << 2;
    /// It has more to it than it should: trouble.
    pub(super) const TROUBLE: i64 = 1 << 3;
    /// Sent again, of TCP.
    pub(super) const AGAIN: i64 = 1 << 4;
    /// Ahead of what is missing, of TCP.
    pub(super) const AHEAD: i64 = 1 << 5;
    /// An ICMP message.
    pub(super) const ICMP: i64 = 1 << 6;
    /// Two bits: 1 data shard, 2 parity, 3 out of band.
    pub(super) const SHARD: u32 = 7;
    /// Three bits: 1 request, 2 its ack, 3 response, 4 its ack.
    pub(super) const ROLE: u32 = 9;
    /// A datagram of UDP.
    pub(super) const DATAGRAM: i64 = 1 << 12;
}

/// Added to the number of a command: its data is an extension block.
const BLOCK: i64 = 4;

/// Packets that were not written yet.
#[derive(Debug)]
pub(super) struct Packets {
    lines: Lines,
    packets: usize,
    segments: usize,
    number: Column,
    time: Column,
    conversation: Column,
    flags: Column,
    bytes: Column,
    seqid: Column,
    count: Column,
    command: Column,
    sn: Column,
    una: Column,
    window: Column,
    timestamp: Column,
    fragment: Column,
    length: Column,
    marks: Column,
    transmission: Column,
    after: Column,
    round_trip: Column,
    /// Strings of JSON with commas between: the words of packets, then what their segments carry.
    text: String,
    words: String,
}

impl Default for Packets {
    fn default() -> Self {
        Self {
            lines: Lines::new(Signs::UNICODE),
            packets: 0,
            segments: 0,
            number: Column::default(),
            time: Column::default(),
            conversation: Column::default(),
            flags: Column::default(),
            bytes: Column::default(),
            seqid: Column::default(),
            count: Column::default(),
            command: Column::default(),
            sn: Column::default(),
            una: Column::default(),
            window: Column::default(),
            timestamp: Column::default(),
            fragment: Column::default(),
            length: Column::default(),
            marks: Column::default(),
            transmission: Column::default(),
            after: Column::default(),
            round_trip: Column::default(),
            text: String::new(),
            words: String::new(),
        }
    }
}

impl Packets {
    /// Adds a packet.
    pub(super) fn push(&mut self, dissected: &Dissected<'_>) {
        let analysis = dissected.analysis;
        self.packets += 1;
        self.number.push(analysis.number as i64);
        self.time.push(micros(analysis.after));
        self.conversation.push(analysis.participant.map_or(0, |participant| participant.conversation as i64));
        let mut bits = bits(analysis);
        self.say(dissected);
        if !self.words.is_empty() {
            bits |= flags::WORDS;
            push_text(&mut self.text, &self.words);
        }
        self.flags.push(bits);
        self.bytes.push(match dissected.analysis.top {
            Top::Udp(udp) => (udp.payload.len() + udp.missing) as i64,
            Top::Tcp(tcp) => (tcp.payload.len() + tcp.missing) as i64,
            _ => dissected.packet.original_len.into(),
        });
        self.seqid.push(analysis.shard.map_or(0, |(shard, _)| shard.seqid.into()));
        let mut count = 0;
        for note in &analysis.segments {
            if let Some(segment) = dissected.segment(note) {
                self.segment(&segment, note);
                count += 1;
            }
        }
        self.count.push(count);
    }

    fn segment(&mut self, segment: &SegmentView<'_>, note: &SegmentNote) {
        self.segments += 1;
        let data = segment.data();
        let block = if data.is_empty() { None } else { Block::parse(segment) };
        let command = match segment.command() {
            Command::Push => 0,
            Command::Ack => 1,
            Command::WindowAsk => 2,
            Command::WindowTell => 3,
        };
        self.command.push(command + if block.is_some() { BLOCK } else { 0 });
        self.sn.push(segment.sn().0.into());
        self.una.push(segment.una().0.into());
        self.window.push(segment.window().into());
        self.timestamp.push(segment.timestamp().0.into());
        self.fragment.push(segment.fragment().into());
        self.length.push(segment.data_len() as i64);
        self.marks.push(note.marks().bits().into());
        self.transmission.push(note.transmission().into());
        self.after.push(micros(note.since_last_transmission()));
        // 0 is none.
        self.round_trip.push(note.round_trip().map_or(0, |round_trip| micros(round_trip) + 1));
        self.words.clear();
        match block {
            Some(block) => _ = write!(self.words, "{block}"),
            None if segment.data_len() == 0 => return,
            // All of it may be cut off.
            None if data.is_empty() => {}
            None => excerpt(data, &mut self.words),
        }
        push_text(&mut self.text, &self.words);
    }

    /// Says in words what the columns don't.
    fn say(&mut self, dissected: &Dissected<'_>) {
        let (analysis, words) = (dissected.analysis, &mut self.words);
        words.clear();
        let parity = matches!(analysis.shard, Some((Shard { kind: ShardKind::Parity, .. }, _)));
        if analysis.segments.is_empty() && !parity {
            if analysis.participant.is_none() || matches!(analysis.top, Top::Icmp(_)) {
                self.lines.endpoints(dissected, words);
                words.push_str("  ");
            }
            self.lines.what(dissected, words);
        } else {
            if let Some(news @ FragmentNews::Whole { .. }) = analysis.fragment {
                line::fragment(news, words);
            }
            if let Some(trouble) = analysis.trouble {
                _ = write!(words, "[{trouble}]");
            }
            line::frames(analysis.frames, words);
            line::smux(&analysis.smux, words);
        }
        for comment in dissected.packet.comments {
            words.push_str("  # ");
            pen::escape(words, comment);
        }
        let from = words.len() - words.trim_start().len();
        words.drain(..from);
        if let Some((cut, _)) = words.char_indices().nth(MAX_WORDS) {
            words.truncate(cut);
            words.push_str(" …");
        }
    }

    /// Whether enough have come together to be written.
    pub(super) fn is_full(&self) -> bool {
        self.packets >= CHUNK_PACKETS || self.segments >= CHUNK_SEGMENTS
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Takes them out: an object of JSON.
    pub(super) fn take(&mut self, out: &mut String) {
        _ = write!(out, "{{\"packets\":{},\"segments\":{}", self.packets, self.segments);
        (self.packets, self.segments) = (0, 0);
        for (name, column) in [
            ("number", &mut self.number),
            ("time", &mut self.time),
            ("conversation", &mut self.conversation),
            ("flags", &mut self.flags),
            ("bytes", &mut self.bytes),
            ("seqid", &mut self.seqid),
            ("count", &mut self.count),
            ("command", &mut self.command),
            ("sn", &mut self.sn),
            ("una", &mut self.una),
            ("window", &mut self.window),
            ("timestamp", &mut self.timestamp),
            ("fragment", &mut self.fragment),
            ("length", &mut self.length),
            ("marks", &mut self.marks),
            ("transmission", &mut self.transmission),
            ("after", &mut self.after),
            ("roundTrip", &mut self.round_trip),
        ] {
            column.take(name, out);
        }
        _ = write!(out, ",\"text\":[{}]}}", self.text);
        self.text.clear();
    }
}

/// Microseconds: what a page tells times in.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn bits(analysis: &Analysis) -> i64 {
    let mut bits = 0;
    let mut set = |bit, is| bits |= if is { bit } else { 0 };
    set(flags::SERVER, analysis.participant.is_some_and(|participant| participant.side == Side::Server));
    set(flags::TROUBLE, analysis.trouble.is_some() || matches!(analysis.top, Top::Nothing(_)));
    match analysis.top {
        Top::Udp(_) => set(flags::ARROW | flags::DATAGRAM, analysis.participant.is_some()),
        Top::Tcp(_) => {
            set(flags::ARROW, analysis.participant.is_some());
            let note = analysis.tcp.unwrap_or_default();
            set(flags::AGAIN, note.retransmission);
            set(flags::AHEAD, note.ahead);
        }
        Top::Icmp(_) => set(flags::ICMP, true),
        _ => {}
    }
    let shard = match analysis.shard {
        None => 0,
        Some((Shard { kind: ShardKind::Data { .. }, .. }, _)) => 1,
        Some((Shard { kind: ShardKind::Parity, .. }, _)) => 2,
        Some((Shard { kind: ShardKind::OutOfBand { .. }, .. }, _)) => 3,
    };
    let role = match analysis.role {
        None => 0,
        Some(Role::Request) => 1,
        Some(Role::RequestAck) => 2,
        Some(Role::Response) => 3,
        Some(Role::ResponseAck) => 4,
    };
    bits | (shard << flags::SHARD) | (role << flags::ROLE)
}

fn push_text(text: &mut String, words: &str) {
    if !text.is_empty() {
        text.push(',');
    }
    json::string(text, words);
}

/// The beginning of what a segment carries: quoted if it is text, else in hexadecimal.
fn excerpt(data: &[u8], out: &mut String) {
    let front = &data[..data.len().min(EXCERPT)];
    let is_text = match std::str::from_utf8(front) {
        Ok(text) => is_plain(text),
        // A character may be cut in two by the excerpt's end.
        Err(error) if error.error_len().is_none() && front.len() < data.len() => {
            std::str::from_utf8(&front[..error.valid_up_to()]).is_ok_and(is_plain)
        }
        Err(_) => false,
    };
    if is_text {
        pen::quote(out, data, Signs::UNICODE);
        return;
    }
    pen::hex(out, &data[..data.len().min(EXCERPT_HEX)]);
    if data.len() > EXCERPT_HEX {
        out.push_str(" …");
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_and_other_data_is_told_in_hexadecimal() {
        let excerpt = |data: &[u8]| {
            let mut out = String::new();
            excerpt(data, &mut out);
            out
        };
        assert_eq!(excerpt(b"GET / HTTP/1.1\r\n"), r#""GET / HTTP/1.1\r\n""#);
        assert_eq!(excerpt("\u{202e}</script>".as_bytes()), r#""\u{202e}</script>""#);
        assert_eq!(excerpt(&[0x16, 0xfe, 0]), "16 fe 00");
        assert_eq!(excerpt(&[0xff; 40]), format!("{}…", "ff ".repeat(8)));
        // The ü is cut in two.
        let cut = excerpt(format!("{}üü", "x".repeat(22)).as_bytes());
        assert!(cut.starts_with('"'), "{cut}");
    }
}
