//! The layers of every capture up to UDP and TCP, field by field, beside what tshark says.

use sendoff_capture::{
    Dissector, Options, PacketReader, Top,
    layers::Span,
    report::fields::{Field, FieldSink, LayerGroup, all_fields},
};
use sendoff_interop::{
    captures::{checked_in, plain},
    program::there,
};
use std::{collections::HashMap, fmt::Arguments, fs, process::Command};

/// tshark's name of a field; our layer and name for it.
const FIELDS: [(&str, &str, &str); 35] = [
    ("eth.dst", "Ethernet II", "destination"),
    ("eth.src", "Ethernet II", "source"),
    ("eth.type", "Ethernet II", "type"),
    ("ip.version", "IPv4", "version"),
    ("ip.hdr_len", "IPv4", "header length"),
    ("ip.dsfield.dscp", "IPv4", "dscp"),
    ("ip.dsfield.ecn", "IPv4", "ecn"),
    ("ip.len", "IPv4", "total length"),
    ("ip.id", "IPv4", "identification"),
    ("ip.flags.df", "IPv4", "don't fragment"),
    ("ip.flags.mf", "IPv4", "more fragments"),
    ("ip.frag_offset", "IPv4", "fragment offset"),
    ("ip.ttl", "IPv4", "time to live"),
    ("ip.proto", "IPv4", "protocol"),
    ("ip.checksum", "IPv4", "checksum"),
    ("ip.src", "IPv4", "source"),
    ("ip.dst", "IPv4", "destination"),
    ("udp.srcport", "UDP", "source port"),
    ("udp.dstport", "UDP", "destination port"),
    ("udp.length", "UDP", "length"),
    ("udp.checksum", "UDP", "checksum"),
    ("tcp.srcport", "TCP", "source port"),
    ("tcp.dstport", "TCP", "destination port"),
    ("tcp.seq_raw", "TCP", "sequence"),
    ("tcp.ack_raw", "TCP", "acknowledgement"),
    ("tcp.hdr_len", "TCP", "header length"),
    ("tcp.window_size_value", "TCP", "window"),
    ("tcp.checksum", "TCP", "checksum"),
    ("tcp.urgent_pointer", "TCP", "urgent pointer"),
    // Not told as fields, but known.
    ("frame.len", "", "original length"),
    ("frame.time_epoch", "", "time"),
    ("udp.payload", "", "udp payload"),
    ("tcp.payload", "", "tcp payload"),
    ("tcp.flags", "", "tcp flags"),
    ("tcp.seq", "", "tcp sequence"),
];

#[derive(Default)]
struct Collected {
    layer: String,
    fields: HashMap<(String, String), String>,
}

impl FieldSink for Collected {
    fn layer(&mut self, _: LayerGroup, title: Arguments<'_>, _: Option<Span>) -> bool {
        self.layer = title.to_string();
        true
    }

    fn field(&mut self, field: Field<'_>) {
        self.fields.insert((self.layer.clone(), field.name.to_owned()), field.value.to_string());
    }

    fn note(&mut self, _: Arguments<'_>) {}
}

/// What we say of each packet.
fn ours(file: &[u8]) -> Vec<HashMap<(String, String), String>> {
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(Options::default()));
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        let mut collected = Collected::default();
        all_fields(&dissected, &mut collected);
        let mut set = |name: &str, value: String| {
            collected.fields.insert((String::new(), name.to_owned()), value);
        };
        set("original length", packet.original_len.to_string());
        let time = packet.time.unwrap();
        set("time", format!("{}.{:09}", time.as_secs(), time.subsec_nanos()));
        let hex = |span| dissected.bytes(span).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match dissected.analysis.top {
            Top::Udp(udp) => set("udp payload", hex(udp.payload)),
            Top::Tcp(tcp) => {
                set("tcp payload", hex(tcp.payload));
                set("tcp flags", tcp.flags.0.to_string());
                set("tcp sequence", dissected.analysis.tcp.unwrap().sequence.to_string());
            }
            _ => {}
        }
        packets.push(collected.fields);
    }
    packets
}

#[test]
fn every_field_up_to_udp_and_tcp_is_as_tshark_has_it() {
    if !there(&["tshark"]) {
        return;
    }
    let mut compared = 0;
    for path in checked_in() {
        let mut tshark = Command::new("tshark");
        // Whatever a port suggests: the payload of UDP and TCP stays payload.
        tshark.args(["-n", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f", "-r"]).arg(&path);
        for (name, ..) in FIELDS {
            tshark.args(["-e", name]);
        }
        let output = tshark.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs = String::from_utf8(output.stdout).unwrap();
        let packets = ours(&fs::read(&path).unwrap());
        assert_eq!(theirs.lines().count(), packets.len(), "{}", path.display());
        for (n, (line, packet)) in theirs.lines().zip(&packets).enumerate() {
            for ((name, layer, field), value) in FIELDS.iter().zip(line.split('\t')) {
                let mine = packet.get(&((*layer).to_owned(), (*field).to_owned())).map(String::as_str);
                let mine = plain(mine.unwrap_or_default());
                assert_eq!(mine, plain(value), "{}, packet {}: {name}", path.display(), n + 1);
                compared += usize::from(!value.is_empty());
            }
        }
    }
    assert!(compared > 20_000, "only {compared} fields were compared");
}
