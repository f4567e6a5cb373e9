//! A line for each packet, in words.

use super::{
    pen::{self, Addresses, Signs},
    segment::SegmentWords,
};
use crate::{
    above::ShardKind,
    conversation::Side,
    dissector::{Dissected, SegmentNote, Top},
    layers::{FragmentNews, Icmp, LayerKind, MacAddress, Source, Span, Tcp, TcpFlags, Udp},
    stream::{Frames, SmuxFrame},
};
use sendoff_proto::{Cipher, wire::SegmentView};
use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
};

/// Segments of a datagram that are told in its line; the rest is counted.
const TOLD_SEGMENTS: usize = 8;

/// Writes a line for each packet.
#[derive(Debug)]
pub struct Lines {
    signs: Signs,
    addresses: Addresses,
}

impl Lines {
    /// With the signs that the reader's terminal can show.
    pub fn new(signs: Signs) -> Self {
        Self { signs, addresses: Addresses::default() }
    }

    /// Appends the line of a packet, with a line feed.
    pub fn write(&mut self, dissected: &Dissected<'_>, out: &mut String) {
        let analysis = dissected.analysis;
        pen::right(out, analysis.number, 6);
        pen::seconds(out, analysis.after, 13);
        out.push(' ');
        for layer in &analysis.layers {
            out.push(' ');
            out.push_str(layer.kind.short_name());
        }
        out.push_str("  ");
        self.endpoints(dissected, out);
        if let Some(participant) = analysis.participant {
            out.push_str("  #");
            pen::number(out, participant.conversation);
            if !matches!(analysis.top, Top::Icmp(_)) {
                out.push_str(match participant.side {
                    Side::Client => " client",
                    Side::Server => " server",
                });
            }
        }
        out.push_str("  ");
        let from = out.len();
        self.words(dissected, out);
        let to = out.len();
        for comment in dissected.packet.comments.filter(|comment| !comment.is_empty()) {
            // A recording says in its comments what we say.
            let said = out.as_bytes()[from..to].trim_ascii() == comment.trim_ascii();
            if !said && !self.says(dissected, comment) {
                out.push_str("  # ");
                pen::escape(out, comment);
            }
        }
        // What ends with nothing to say leaves blanks.
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }

    /// Appends what a packet says, without number, time, layers and addresses.
    pub fn words(&self, dissected: &Dissected<'_>, out: &mut String) {
        self.what(dissected, out);
        if let Some(role) = dissected.analysis.role {
            _ = write!(out, "  ({role})");
        }
    }

    /// Whether a comment has our words, with signs that this terminal can't show.
    fn says(&self, dissected: &Dissected<'_>, comment: &[u8]) -> bool {
        if self.signs == Signs::UNICODE || comment.is_ascii() {
            return false;
        }
        let mut words = String::new();
        Self::new(Signs::UNICODE).words(dissected, &mut words);
        words.as_bytes() == comment
    }

    pub(super) fn endpoints(&mut self, dissected: &Dissected<'_>, out: &mut String) {
        let Some(ip) = dissected.analysis.ip else { return };
        let ports = match dissected.analysis.top {
            Top::Udp(Udp { source_port, destination_port, .. })
            | Top::Tcp(Tcp { source_port, destination_port, .. }) => Some((source_port, destination_port)),
            _ => None,
        };
        match ports {
            Some((source, destination)) => {
                self.addresses.write(out, SocketAddr::new(ip.source, source));
                out.extend([" ", self.signs.arrow, " "]);
                self.addresses.write(out, SocketAddr::new(ip.destination, destination));
            }
            None => _ = write!(out, "{} {} {}", ip.source, self.signs.arrow, ip.destination),
        }
    }

    pub(super) fn what(&self, dissected: &Dissected<'_>, out: &mut String) {
        let analysis = dissected.analysis;
        if let Some(news) = analysis.fragment {
            fragment(news, out);
        }
        match &analysis.top {
            Top::Nothing(problem) => _ = write!(out, "{problem}"),
            Top::Arp => arp(dissected, out),
            Top::Fragment => {}
            Top::Icmp(icmp) => self.icmp(icmp, out),
            Top::Tcp(tcp) => self.tcp(dissected, tcp, out),
            Top::Udp(udp) => self.udp(dissected, udp, out),
        }
        frames(analysis.frames, out);
        smux(&analysis.smux, out);
    }

    fn icmp(&self, icmp: &Icmp, out: &mut String) {
        out.push_str("ICMP ");
        out.push_str(icmp.words());
        if let Some(quoted) = icmp.quoted {
            let (name, arrow) = (if quoted.protocol == 6 { "TCP" } else { "UDP" }, self.signs.arrow);
            _ = write!(out, ", about {name} {} {arrow} {}", quoted.source, quoted.destination);
        }
    }

    fn tcp(&self, dissected: &Dissected<'_>, tcp: &Tcp, out: &mut String) {
        let note = dissected.analysis.tcp.unwrap_or_default();
        _ = write!(out, "{} seq={}", tcp.flags, note.sequence);
        if tcp.flags.has(TcpFlags::ACK) {
            _ = write!(out, " ack={}", note.acknowledgement);
        }
        _ = write!(out, " win={}", tcp.window);
        let payload = dissected.bytes(tcp.payload);
        if !payload.is_empty() {
            out.push(' ');
            pen::count(out, payload.len() as u64, "byte");
            out.push(' ');
            pen::quote(out, payload, self.signs);
        }
        let marks = [(note.retransmission, "retransmission"), (note.ahead, "ahead of what is missing")];
        for (_, words) in marks.iter().filter(|(is, _)| *is) {
            _ = write!(out, " [{words}]");
        }
        if tcp.missing > 0 {
            _ = write!(out, " [cut off by the capture: {} bytes are missing]", tcp.missing);
        }
    }

    fn udp(&self, dissected: &Dissected<'_>, udp: &Udp, out: &mut String) {
        let analysis = dissected.analysis;
        if let Some((cipher, _)) = analysis.opened {
            seal(cipher, out);
        }
        if let Some((shard, span)) = analysis.shard {
            match shard.kind {
                ShardKind::Data { .. } => out.push_str("data shard "),
                ShardKind::Parity => out.push_str("parity shard "),
                ShardKind::OutOfBand { conv, .. } => {
                    let message = dissected.bytes(span.from(shard.header_len()));
                    _ = write!(out, "out of band conv={conv:#010x} {} bytes ", message.len());
                    pen::quote(out, message, self.signs);
                }
            }
            if !matches!(shard.kind, ShardKind::OutOfBand { .. }) {
                pen::number(out, shard.seqid.into());
                out.push_str(if analysis.segments.is_empty() { " " } else { ": " });
            }
        }
        let mut first = true;
        for note in analysis.segments.iter().take(TOLD_SEGMENTS) {
            if !first {
                out.push_str(" | ");
            }
            first = false;
            if let Some(segment) = dissected.segment(note) {
                self.segment(&segment, note, out);
            }
        }
        if let Some(more @ 1..) = analysis.segments.len().checked_sub(TOLD_SEGMENTS) {
            _ = write!(out, " | {more} more segments");
        }
        if let Some(trouble) = analysis.trouble {
            if analysis.segments.is_empty() && analysis.shard.is_none() {
                self.plain(dissected, udp.payload, out);
            }
            _ = write!(out, " [{trouble}]");
        }
    }

    /// A datagram that isn't explained.
    fn plain(&self, dissected: &Dissected<'_>, payload: Span, out: &mut String) {
        let payload = match dissected.analysis.opened {
            Some((_, content)) => dissected.bytes(content),
            None => dissected.bytes(payload),
        };
        pen::count(out, payload.len() as u64, "byte");
        if !payload.is_empty() {
            out.push(' ');
            pen::quote(out, payload, self.signs);
        }
    }

    fn segment(&self, segment: &SegmentView<'_>, note: &SegmentNote, out: &mut String) {
        let marks = note.marks();
        if note.span.source == Source::Recovered {
            out.push_str("recovered ");
        }
        let words = SegmentWords::new(*segment);
        words.name(out);
        out.push(' ');
        words.numbers(out);
        out.push_str(" wnd=");
        pen::number(out, segment.window().into());
        if segment.fragment() != 0 && words.block().is_none() {
            out.push_str(" frg=");
            pen::number(out, segment.fragment().into());
        }
        part(out, |out| words.size(out));
        part(out, |out| words.content(out, self.signs));
        if marks.is_remarkable() {
            remarks(note, out);
        }
    }
}

/// Appends a blank and what is written, if anything is.
#[inline]
fn part(out: &mut String, write: impl FnOnce(&mut String)) {
    out.push(' ');
    let from = out.len();
    write(out);
    if out.len() == from {
        out.pop();
    }
}

fn remarks(note: &SegmentNote, out: &mut String) {
    let mut first = true;
    for word in note.marks().words().filter(|word| *word != "recovered") {
        out.push_str(if first { " [" } else { ", " });
        first = false;
        out.push_str(word);
        if word == "retransmission" {
            if note.transmission() > 2 {
                _ = write!(out, " {}", note.transmission() - 1);
            }
            out.push_str(" after ");
            pen::duration(out, note.since_last_transmission());
        }
    }
    if !first {
        out.push(']');
    }
}

fn seal(cipher: Cipher, out: &mut String) {
    _ = write!(out, "{cipher}: ");
}

pub(super) fn fragment(news: FragmentNews, out: &mut String) {
    _ = match news {
        FragmentNews::Waiting { offset, id } => {
            write!(out, "fragment of packet {id:#x} at byte {offset}: others are missing")
        }
        FragmentNews::Whole { pieces } => write!(out, "last of {pieces} fragments: "),
        FragmentNews::Refused { offset, id } => {
            write!(out, "fragment of packet {id:#x} at byte {offset}: fits no other, not used")
        }
        FragmentNews::Repeated { offset, id } => {
            write!(out, "fragment of packet {id:#x} at byte {offset}: a copy")
        }
    };
}

pub(super) fn frames(frames: Option<Frames>, out: &mut String) {
    match frames {
        None => {}
        Some(Frames { first, count: 1 }) => {
            _ = write!(out, "  frame {} ({} bytes)", first.number, first.len);
        }
        Some(frames) => _ = write!(out, "  frames {} to {}", frames.first.number, frames.last()),
    }
}

pub(super) fn smux(frames: &[SmuxFrame], out: &mut String) {
    for (n, frame) in frames.iter().take(TOLD_SEGMENTS).enumerate() {
        _ = write!(out, "{}{frame}", if n == 0 { "  smux " } else { " | " });
    }
    if let Some(more @ 1..) = frames.len().checked_sub(TOLD_SEGMENTS) {
        _ = write!(out, " | {more} more frames");
    }
}

/// ARP in words (RFC 826).
fn arp(dissected: &Dissected<'_>, out: &mut String) {
    let layer = dissected.analysis.layers.iter().find(|layer| layer.kind == LayerKind::Arp);
    let Some(bytes) = layer.and_then(|layer| dissected.bytes(layer.span).first_chunk::<28>()) else { return };
    let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let (sender, sender_ip, target_ip) = (MacAddress(&bytes[8..14]), ip(14), ip(24));
    _ = match u16::from_be_bytes([bytes[6], bytes[7]]) {
        1 if sender_ip == target_ip => write!(out, "ARP {sender_ip} is at {sender}, says it itself to all"),
        1 if sender_ip.is_unspecified() => {
            write!(out, "ARP has anybody {target_ip}? asks {sender}, before taking it")
        }
        1 => write!(out, "ARP who has {target_ip}? tell {sender_ip} at {sender}"),
        2 => write!(out, "ARP {sender_ip} is at {sender}"),
        other => write!(out, "ARP operation {other} from {sender_ip} at {sender} about {target_ip}"),
    };
}
