//! Fields above UDP: seal, shard, segments, blocks, data.

use super::{Field, FieldSink, LayerGroup, Teller};
use crate::{
    above::ShardKind,
    dissector::{Dissected, SegmentNote, Top},
    layers::{Source, Span},
};
use sendoff_proto::{
    Cipher, code_name,
    wire::{BLOCK_HEADER_SIZE, Block, Body, Command, HEADER_SIZE, SegmentView, Token},
};

/// Where a field of a block lies, its name and what it says.
type BlockField = (usize, usize, &'static str, String);

pub(super) fn above(dissected: &Dissected<'_>, sink: &mut dyn FieldSink) {
    let analysis = dissected.analysis;
    match analysis.top {
        Top::Tcp(tcp) => data(dissected, tcp.payload, sink),
        Top::Udp(udp) => {
            if let Some((cipher, content)) = analysis.opened {
                seal(dissected, cipher, udp.payload, content, sink);
            }
            shard(dissected, sink);
            for note in &analysis.segments {
                segment(dissected, note, sink);
            }
            if analysis.segments.is_empty() && analysis.shard.is_none() {
                data(dissected, analysis.opened.map_or(udp.payload, |(_, content)| content), sink);
            }
            if let Some(trouble) = analysis.trouble
                && sink.layer(LayerGroup::Kcp, format_args!("Not explained"), None)
            {
                sink.note(format_args!("{trouble}"));
            }
        }
        _ => {}
    }
}

/// What lies around the content, as it is on the wire: but for AES-GCM and Salsa20 it can be seen only opened.
fn seal(dissected: &Dissected<'_>, cipher: Cipher, payload: Span, content: Span, sink: &mut dyn FieldSink) {
    let opened = Span { start: 0, ..content };
    let aead = cipher.front() < 20;
    let span = if aead { payload } else { opened };
    let mut t = Teller { dissected, span, sink };
    if !t.layer(LayerGroup::Seal, format_args!("Sealed with {cipher}")) {
        return;
    }
    if aead {
        t.field(0, cipher.front(), "nonce", "random");
        t.field(payload.len().saturating_sub(cipher.back()), cipher.back(), "tag", "right");
    } else {
        t.field(0, 16, "nonce", "random");
        let crc = t.bytes().get(16..20).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        t.field(16, 4, "crc-32", format_args!("{crc:#010x} right"));
    }
}

fn shard(dissected: &Dissected<'_>, sink: &mut dyn FieldSink) {
    let Some((shard, span)) = dissected.analysis.shard else { return };
    let mut t = Teller { dissected, span, sink };
    if !t.layer(LayerGroup::Fec, "Forward error correction") {
        return;
    }
    t.field(0, 4, "seqid", shard.seqid);
    match shard.kind {
        ShardKind::Data { size } => {
            t.field(4, 2, "type", "0xf1 data");
            t.field(6, 2, "size", size);
        }
        ShardKind::Parity => {
            t.field(4, 2, "type", "0xf2 parity");
            t.field(6, span.len().saturating_sub(6), "parity", format_args!("{} bytes", span.len() - 6));
        }
        ShardKind::OutOfBand { size, conv } => {
            t.field(4, 2, "type", "0xf3 out of band");
            t.field(6, 2, "size", size);
            t.field(8, 4, "conv", format_args!("{conv:#010x}"));
            t.field(12, span.len() - 12, "message", format_args!("{} bytes", span.len() - 12));
        }
    }
}

fn segment(dissected: &Dissected<'_>, note: &SegmentNote, sink: &mut dyn FieldSink) {
    let Some(segment) = dissected.segment(note) else { return };
    let mut t = Teller { dissected, span: note.span, sink };
    let recovered = if note.span.source == Source::Recovered { ", recovered" } else { "" };
    if t.layer(LayerGroup::Kcp, format_args!("KCP segment{recovered}")) {
        let is_push = segment.command() == Command::Push;
        t.field(0, 4, "conv", format_args!("{:#010x}", segment.conv()));
        let command = segment.command();
        t.field(4, 1, "cmd", format_args!("{} {command}", command as u8));
        t.field(5, 1, "frg", format_args!("{}", segment.fragment()));
        t.field(6, 2, "wnd", format_args!("{} segments", segment.window()));
        let echo = if command == Command::Ack { " (echo)" } else { "" };
        t.field(8, 4, "ts", format_args!("{} ms{echo}", segment.timestamp()));
        t.field(12, 4, "sn", segment.sn());
        t.field(16, 4, "una", segment.una());
        t.field(20, 4, "len", segment.data_len());
        if segment.missing() > 0 {
            t.sink.note(format_args!("{} bytes of its data were cut off by the capture", segment.missing()));
        }
        for words in note.marks().words() {
            t.sink.note(format_args!("{words}"));
        }
        if is_push && note.transmission() > 1 {
            let (n, after) = (note.transmission(), note.since_last_transmission());
            t.sink.note(format_args!("transmission {n}, {after:?} after the last"));
        }
        if let Some(round_trip) = note.round_trip() {
            t.sink.note(format_args!("round trip {round_trip:?}"));
        }
    }
    let content = note.span.from(HEADER_SIZE);
    match Block::parse(&segment) {
        Some(parsed) => block(dissected, &segment, &parsed, content, sink),
        None => data(dissected, content, sink),
    }
}

fn token(token: Option<Token>) -> String {
    // Whole: who has the capture has it anyway.
    token.map_or_else(|| "0 (not known)".to_owned(), |token| format!("{:#018x}", token.value()))
}

fn code(code: u32) -> String {
    code_name(code).map_or_else(|| code.to_string(), |name| format!("{code} {name}"))
}

fn block(
    dissected: &Dissected<'_>,
    segment: &SegmentView<'_>,
    block: &Block<'_>,
    span: Span,
    sink: &mut dyn FieldSink,
) {
    let mut t = Teller { dissected, span, sink };
    if !t.layer(LayerGroup::Block, format_args!("Extension block {}", block.body.kind())) {
        return;
    }
    let kind = block.body.kind();
    let mut fields: Vec<BlockField> = vec![
        (0, 4, "magic", "SOFF".into()),
        (4, 1, "version", segment.data()[4].to_string()),
        (5, 1, "kind", format!("{} {kind}", kind as u8)),
        (6, 2, "flags", format!("{:#06x}", block.flags)),
        (8, 8, "to", token(block.to)),
        (16, 8, "from", token(block.from)),
    ];
    let body = BLOCK_HEADER_SIZE;
    match block.body {
        Body::Hello { features, cookie } => {
            fields.push((body, 4, "features", format!("{features:#x}")));
            let words = if cookie == [0; 16] { "none" } else { "there is one" };
            fields.push((body + 4, 16, "cookie", words.into()));
        }
        Body::Welcome { features } => fields.push((body, 4, "features", format!("{features:#x}"))),
        Body::Retry { .. } => fields.push((body, 16, "cookie", "for the next HELLO".into())),
        Body::Ping { challenge } | Body::Pong { challenge } => {
            fields.push((body, 8, "challenge", format!("{challenge:#018x}")));
        }
        Body::Reset { code: number, reason } | Body::Fin { code: number, reason } => {
            fields.push((body, 4, "code", code(number)));
            if !reason.is_empty() {
                fields.push((body + 4, reason.len(), "reason", format!("{reason:?}")));
            }
        }
    }
    for (at, len, name, value) in fields {
        t.field(at, len, name, value);
    }
}

/// The application's bytes, 16 a row.
fn data(dissected: &Dissected<'_>, span: Span, sink: &mut dyn FieldSink) {
    let bytes = dissected.bytes(span);
    if bytes.is_empty() {
        return;
    }
    if !sink.layer(LayerGroup::Data, format_args!("Data, {} bytes", bytes.len()), Some(span)) {
        return;
    }
    for (n, row) in bytes.chunks(16).enumerate() {
        let text: String = row
            .iter()
            .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        let span = span.from(n * 16).first(row.len());
        sink.field(Field { span, bytes: row, name: "", value: format_args!("{text}") });
    }
}
