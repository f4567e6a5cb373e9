//! The same for programs: an object for each packet, each conversation, and the whole.

use super::{
    fields::{Field, FieldSink, LayerGroup, all_fields},
    pen, smux,
    verbose::LayerChoice,
};
use crate::{
    above::{Shard, ShardKind},
    conversation::{Began, Conversation, Detail, Ended, Kcp, KcpSide, Role, Samples, Side, TcpConversation},
    dissector::{CaptureTotals, Dissected, SegmentNote, Top},
    layers::{Source, Span},
};
use sendoff_proto::wire::{Block, SegmentView};
use std::{
    fmt::{Arguments, Display, Write},
    net::SocketAddr,
    time::Duration,
};

/// Writes members of one object or array, with the commas between them.
pub(super) struct Json<'a> {
    out: &'a mut String,
    first: bool,
    close: char,
}

impl<'a> Json<'a> {
    fn object(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true, close: '}' }
    }

    fn comma(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
    }

    fn key(&mut self, key: &str) {
        self.comma();
        string(self.out, key);
        self.out.push(':');
    }

    pub(super) fn text(&mut self, key: &str, value: impl Display) {
        self.key(key);
        displayed(self.out, value);
    }

    /// A whole number: the most of what there is, and so without the machinery of formatting.
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        pen::number(self.out, value);
    }

    /// A number or a truth value: what stands without quotation marks.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        self.key(key);
        _ = write!(self.out, "{value}");
    }

    fn milliseconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        // To the microsecond.
        let text = format!("{:.3}", value.as_nanos() as f64 / 1e6);
        self.out.push_str(text.trim_end_matches('0').trim_end_matches('.'));
    }

    pub(super) fn nested(&mut self, key: &str) -> Json<'_> {
        self.key(key);
        Json::object(self.out)
    }

    pub(super) fn list(&mut self, key: &str) -> Json<'_> {
        self.key(key);
        self.out.push('[');
        Json { out: self.out, first: true, close: ']' }
    }

    pub(super) fn item(&mut self) -> Json<'_> {
        self.comma();
        Json::object(self.out)
    }

    fn text_item(&mut self, value: impl Display) {
        self.comma();
        displayed(self.out, value);
    }

    pub(super) fn end(self) {
        self.out.push(self.close);
    }
}

/// A string of JSON (RFC 8259, section 7).
pub(super) fn string(out: &mut String, text: &str) {
    out.push('"');
    escape(out, text);
    out.push('"');
}

/// The same of what prints itself.
fn displayed(out: &mut String, value: impl Display) {
    struct Escaping<'a>(&'a mut String);
    impl Write for Escaping<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            escape(self.0, text);
            Ok(())
        }
    }
    out.push('"');
    _ = write!(Escaping(out), "{value}");
    out.push('"');
}

fn escape(out: &mut String, text: &str) {
    // Plain stretches are appended at once.
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '\\' || c.is_control()) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let Some(c) = special.chars().next() else { return };
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => _ = write!(out, "\\u{:04x}", u32::from(c)),
        }
        rest = &special[c.len_utf8()..];
    }
    out.push_str(rest);
}

/// Bytes in hexadecimal; prints itself.
struct Hex<'a>(&'a [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| f.write_str(pen::hex_digits(*byte)))
    }
}

/// `text`, and `hex` as well where it isn't UTF-8.
fn data(json: &mut Json<'_>, key: &str, bytes: &[u8]) {
    let mut object = json.nested(key);
    object.text("text", String::from_utf8_lossy(bytes));
    if std::str::from_utf8(bytes).is_err() {
        object.text("hex", Hex(bytes));
    }
    object.end();
}

/// Appends the object of a packet, with a line feed; with `layers` also the fields of these.
pub fn packet_object(dissected: &Dissected<'_>, layers: Option<LayerChoice>, out: &mut String) {
    let (packet, analysis) = (dissected.packet, dissected.analysis);
    let mut json = Json::object(out);
    json.text("report", "packet");
    json.plain("number", analysis.number);
    json.milliseconds("after_ms", analysis.after);
    if let Some(time) = packet.time {
        json.text("time", format_args!("{}.{:09}", time.as_secs(), time.subsec_nanos()));
    }
    json.text("link", packet.link);
    json.plain("bytes", packet.original_len);
    json.plain("captured", packet.data.len());
    let mut list = json.list("layers");
    analysis.layers.iter().for_each(|layer| list.text_item(layer.kind));
    list.end();
    addresses(dissected, &mut json);
    if let Some(participant) = analysis.participant {
        json.plain("conversation", participant.conversation);
        json.text("side", participant.side);
    }
    if let Some(role) = analysis.role {
        json.text(
            "role",
            match role {
                Role::Request => "request",
                Role::RequestAck => "request ack",
                Role::Response => "response",
                Role::ResponseAck => "response ack",
            },
        );
    }
    top(dissected, &mut json);
    comments(dissected, &mut json);
    if let Some(layers) = layers {
        let list = json.list("fields");
        let mut sink = FieldList { list, layers, layer: String::new() };
        all_fields(dissected, &mut sink);
        sink.list.end();
    }
    json.end();
    out.push('\n');
}

fn comments(dissected: &Dissected<'_>, json: &mut Json<'_>) {
    if dissected.packet.comments.count() > 0 {
        let mut list = json.list("comments");
        dissected.packet.comments.for_each(|comment| list.text_item(String::from_utf8_lossy(comment)));
        list.end();
    }
}

fn addresses(dissected: &Dissected<'_>, json: &mut Json<'_>) {
    let Some(ip) = dissected.analysis.ip else { return };
    match dissected.analysis.top {
        Top::Udp(udp) => {
            json.text("source", SocketAddr::new(ip.source, udp.source_port));
            json.text("destination", SocketAddr::new(ip.destination, udp.destination_port));
        }
        Top::Tcp(tcp) => {
            json.text("source", SocketAddr::new(ip.source, tcp.source_port));
            json.text("destination", SocketAddr::new(ip.destination, tcp.destination_port));
        }
        _ => {
            json.text("source", ip.source);
            json.text("destination", ip.destination);
        }
    }
}

fn top(dissected: &Dissected<'_>, json: &mut Json<'_>) {
    let analysis = dissected.analysis;
    match analysis.top {
        Top::Nothing(problem) => json.text("problem", problem),
        Top::Icmp(icmp) => json.text("icmp", icmp.words()),
        Top::Tcp(tcp) => {
            let note = analysis.tcp.unwrap_or_default();
            let mut object = json.nested("tcp");
            object.text("flags", tcp.flags);
            object.plain("sequence", note.sequence);
            object.plain("acknowledgement", note.acknowledgement);
            object.plain("window", tcp.window);
            object.plain("bytes", tcp.payload.len());
            object.plain("retransmission", note.retransmission);
            object.plain("ahead", note.ahead);
            if !tcp.payload.is_empty() {
                data(&mut object, "data", dissected.bytes(tcp.payload));
            }
            object.end();
        }
        Top::Udp(udp) => {
            json.plain("datagram_bytes", udp.payload.len() + udp.missing);
            if let Some((cipher, _)) = analysis.opened {
                json.text("cipher", cipher);
            }
            if let Some((shard, _)) = analysis.shard {
                shard_object(shard, json);
            }
            if !analysis.segments.is_empty() {
                let mut list = json.list("segments");
                for note in &analysis.segments {
                    if let Some(segment) = dissected.segment(note) {
                        dissected_segment(&segment, note, &mut list);
                    }
                }
                list.end();
            }
            if let Some(trouble) = analysis.trouble {
                json.text("trouble", trouble);
                if analysis.segments.is_empty() {
                    data(json, "data", dissected.bytes(udp.payload));
                }
            }
        }
        Top::Arp | Top::Fragment => {}
    }
    if let Some(frames) = analysis.frames {
        let mut object = json.nested("frames");
        object.plain("first", frames.first.number);
        object.plain("count", frames.count);
        object.end();
    }
    smux::frames(&analysis.smux, json);
}

fn shard_object(shard: Shard, json: &mut Json<'_>) {
    let mut object = json.nested("shard");
    object.plain("seqid", shard.seqid);
    object.text(
        "kind",
        match shard.kind {
            ShardKind::Data { .. } => "data",
            ShardKind::Parity => "parity",
            ShardKind::OutOfBand { .. } => "out of band",
        },
    );
    object.end();
}

/// Appends the object of a segment, without what only a dissection knows of it.
pub fn segment_object(segment: &SegmentView<'_>, out: &mut String) {
    let mut object = Json::object(out);
    segment_header(segment, &mut object);
    segment_content(segment, &mut object);
    object.end();
}

fn segment_header(segment: &SegmentView<'_>, object: &mut Json<'_>) {
    object.text("command", segment.command());
    for (key, value) in [
        ("conv", segment.conv()),
        ("fragment", segment.fragment().into()),
        ("window", segment.window().into()),
        ("timestamp", segment.timestamp().0),
        ("sn", segment.sn().0),
        ("una", segment.una().0),
        ("bytes", segment.data_len() as u32),
    ] {
        object.number(key, value.into());
    }
    if segment.missing() > 0 {
        object.number("cut_off", segment.missing() as u64);
    }
}

fn segment_content(segment: &SegmentView<'_>, object: &mut Json<'_>) {
    match Block::parse(segment) {
        Some(block) => object.text("block", block),
        None if !segment.data().is_empty() => data(object, "data", segment.data()),
        None => {}
    }
}

fn dissected_segment(segment: &SegmentView<'_>, note: &SegmentNote, list: &mut Json<'_>) {
    let mut object = list.item();
    segment_header(segment, &mut object);
    object.plain("recovered", note.span.source == Source::Recovered);
    let mut marks = object.list("marks");
    note.marks().words().for_each(|word| marks.text_item(word));
    marks.end();
    if note.transmission() > 0 {
        object.plain("transmission", note.transmission());
    }
    if let Some(round_trip) = note.round_trip() {
        object.milliseconds("rtt_ms", round_trip);
    }
    segment_content(segment, &mut object);
    object.end();
}

struct FieldList<'a> {
    list: Json<'a>,
    layers: LayerChoice,
    layer: String,
}

impl FieldSink for FieldList<'_> {
    fn layer(&mut self, group: LayerGroup, title: Arguments<'_>, _: Option<Span>) -> bool {
        self.layer = title.to_string();
        // Data stands in the packet's object.
        self.layers.has(group) && group != LayerGroup::Data
    }

    fn field(&mut self, field: Field<'_>) {
        let mut object = self.list.item();
        object.text("layer", &self.layer);
        object.text("name", field.name);
        object.text(
            "of",
            match field.span.source {
                Source::Packet => "packet",
                Source::Reassembled => "reassembled",
                Source::Opened => "opened",
                Source::Recovered => "recovered",
            },
        );
        object.plain("offset", field.span.start);
        object.text("hex", Hex(field.bytes));
        object.text("value", field.value);
        object.end();
    }

    fn note(&mut self, _: Arguments<'_>) {}
}

/// Appends the object of a conversation, with a line feed.
pub fn conversation_object(conversation: &Conversation, out: &mut String) {
    let mut json = Json::object(out);
    json.text("report", "conversation");
    json.plain("number", conversation.number);
    json.text("client", conversation.client);
    json.text("server", conversation.server);
    json.milliseconds("first_ms", conversation.first);
    json.milliseconds("last_ms", conversation.last);
    json.plain("unreachable", conversation.unreachable);
    let kind = match &conversation.detail {
        Detail::Kcp(_) => "kcp",
        Detail::Tcp(_) => "tcp",
        Detail::Udp => "udp",
    };
    json.text("kind", kind);
    if let Detail::Kcp(kcp) = &conversation.detail {
        kcp_members(kcp, &mut json);
    }
    let mut sides = json.list("sides");
    for side in [Side::Client, Side::Server] {
        let totals = conversation.totals[side.index()];
        let mut object = sides.item();
        object.text("side", side);
        object.plain("packets", totals.packets);
        object.plain("bytes", totals.bytes);
        match &conversation.detail {
            Detail::Kcp(kcp) => kcp_side(&kcp.sides[side.index()], &mut object),
            Detail::Tcp(tcp) => tcp_side(tcp, side, &mut object),
            Detail::Udp => {}
        }
        object.end();
    }
    sides.end();
    if let Detail::Tcp(tcp) = &conversation.detail
        && let Some(by) = tcp.reset
    {
        json.text("reset_by", by);
    }
    json.end();
    out.push('\n');
}

fn kcp_members(kcp: &Kcp, json: &mut Json<'_>) {
    json.plain("conv", kcp.conv);
    if let Some(cipher) = kcp.cipher {
        json.text("cipher", cipher);
    }
    json.plain("extended", kcp.extended);
    json.text(
        "began",
        match kcp.began {
            Began::Hello => "hello",
            Began::FirstPush => "first push",
            Began::Unseen => "unseen",
        },
    );
    let mut ended = json.nested("ended");
    match kcp.ended() {
        Ended::Finished => ended.text("how", "finished"),
        Ended::HalfFinished(by) => {
            ended.text("how", "half finished");
            ended.text("by", by);
        }
        Ended::Reset(reset) => {
            ended.text("how", "reset");
            ended.text("by", reset.by);
            ended.plain("code", reset.code);
            ended.text("reason", &reset.reason);
        }
        Ended::Unseen { .. } => ended.text("how", "unseen"),
    }
    ended.end();
}

fn kcp_side(side: &KcpSide, json: &mut Json<'_>) {
    for (key, value) in [
        ("data_bytes", side.new_bytes),
        ("data_segments", side.new_segments),
        ("pushes", side.pushes),
        ("retransmissions", side.retransmissions),
        ("fast", side.fast),
        ("needless", side.needless),
        ("duplicates", side.duplicates),
        ("late", side.late),
        ("recovered", side.recovered),
        ("recovered_known", side.recovered_known),
        ("missing", side.missing()),
        ("acks", side.acks),
        ("window_asks", side.asks),
        ("window_tells", side.tells),
        ("blocks", side.blocks),
        ("stalls", side.stalls),
    ] {
        json.plain(key, value);
    }
    json.milliseconds("stalled_ms", side.stalled);
    if let Some(goodput) = side.goodput() {
        json.plain("goodput_bytes_per_s", goodput.round() as u64);
    }
    round_trips(&side.round_trips, json);
    if let Some(fin) = &side.fin {
        let mut object = json.nested("fin");
        object.plain("sn", fin.sn);
        object.plain("code", fin.code);
        object.text("reason", &fin.reason);
        object.plain("acknowledged", fin.acknowledged);
        object.end();
    }
    if let Some(totals) = side.smux() {
        smux::side(totals, json);
    }
    if let Some(fec) = &side.fec {
        let mut object = json.nested("fec");
        if let Some((data, parity)) = fec.ratio {
            object.text("ratio", format_args!("{data}/{parity}"));
        }
        object.plain("data", fec.data);
        object.plain("parity", fec.parity);
        object.plain("out_of_band", fec.out_of_band);
        object.plain("lost", fec.lost);
        object.plain("recovered", fec.recovered);
        object.end();
    }
}

fn round_trips(samples: &Samples, json: &mut Json<'_>) {
    if samples.count() == 0 {
        return;
    }
    let mut object = json.nested("rtt_ms");
    object.plain("samples", samples.count());
    object.milliseconds("least", samples.least());
    object.milliseconds("median", samples.quantile(0.5));
    object.milliseconds("p90", samples.quantile(0.9));
    object.milliseconds("p99", samples.quantile(0.99));
    object.milliseconds("most", samples.most());
    object.end();
}

fn tcp_side(tcp: &TcpConversation, side: Side, json: &mut Json<'_>) {
    let of = &tcp.sides[side.index()];
    json.plain("data_bytes", of.stream_bytes());
    json.plain("retransmissions", of.retransmissions);
    json.plain("ahead", of.ahead);
    json.plain("fin", of.fin);
    if let Some((framing, frames)) = of.framing() {
        json.text("framing", framing);
        json.plain("frames", frames);
    }
}

/// Appends the object of the whole capture, with a line feed.
pub fn totals_object(totals: &CaptureTotals, out: &mut String) {
    let mut json = Json::object(out);
    json.text("report", "capture");
    json.plain("packets", totals.packets);
    json.plain("bytes", totals.bytes);
    json.milliseconds("duration_ms", totals.duration);
    json.plain("conversations", totals.conversations);
    json.plain("incomplete_fragments", totals.incomplete_fragments);
    json.plain("dropped", totals.dropped);
    json.plain("gave_way", totals.gave_way);
    json.end();
    out.push('\n');
}
