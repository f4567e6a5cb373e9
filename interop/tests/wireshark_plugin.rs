//! The dissector that `sendoff dissect --wireshark-plugin` prints, run by tshark: its fields beside our JSON, and whatever
//! the network may send.

use sendoff_capture::{
    Dissector, LinkType, Options, PacketReader, PcapngWriter,
    report::{LayerChoice, WIRESHARK_PLUGIN, packet_object},
    udp_packet,
};
use sendoff_interop::{
    captures::{checked_in, plain},
    program::there,
};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Block, BlockKind, Body, Command as Cmd, FIN_FRAGMENT, Segment, Token},
};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// tshark's name of a field; the beginning of our layer's title, and our name for it.
const FIELDS: [(&str, &str, &str); 22] = [
    ("kcp.conv", "KCP segment", "conv"),
    ("kcp.cmd", "KCP segment", "cmd"),
    ("kcp.frg", "KCP segment", "frg"),
    ("kcp.wnd", "KCP segment", "wnd"),
    ("kcp.ts", "KCP segment", "ts"),
    ("kcp.sn", "KCP segment", "sn"),
    ("kcp.una", "KCP segment", "una"),
    ("kcp.len", "KCP segment", "len"),
    ("kcp.fec.seqid", "Forward error correction", "seqid"),
    ("kcp.fec.type", "Forward error correction", "type"),
    ("kcp.fec.size", "Forward error correction", "size"),
    ("kcp.oob.conv", "Forward error correction", "conv"),
    ("kcp.block.version", "Extension block", "version"),
    ("kcp.block.kind", "Extension block", "kind"),
    ("kcp.block.flags", "Extension block", "flags"),
    ("kcp.block.to", "Extension block", "to"),
    ("kcp.block.from", "Extension block", "from"),
    ("kcp.block.features", "Extension block", "features"),
    ("kcp.block.challenge", "Extension block", "challenge"),
    ("kcp.block.code", "Extension block", "code"),
    ("kcp.block.cookie", "Extension block", "cookie"),
    ("kcp.block.reason", "Extension block", "reason"),
];

/// The port at which the made-up servers listen.
const SERVER: u16 = 29_900;

/// A directory that goes away with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("sendoff-plugin-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("kcp.lua"), WIRESHARK_PLUGIN).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// What tshark with the plugin prints.
    fn tshark(&self, file: &Path, args: &[&str]) -> String {
        let script = format!("lua_script:{}", self.0.join("kcp.lua").display());
        let output = Command::new("tshark").args(["-n", "-X", &script, "-r"]).arg(file).args(args).output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        assert!(!errors.contains("Lua"), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Of each packet and each of `FIELDS`, the values in our JSON, without what we have made good: a plugin sees one
/// datagram at a time.
fn ours(file: &[u8]) -> Vec<[Vec<String>; FIELDS.len()]> {
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(Options::default()));
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let mut line = String::new();
        packet_object(&dissector.packet(&packet), Some(LayerChoice::default()), &mut line);
        let object: Value = serde_json::from_str(&line).unwrap();
        let mut values: [Vec<String>; FIELDS.len()] = Default::default();
        for field in object["fields"].as_array().unwrap() {
            let text = |name: &str| field[name].as_str().unwrap();
            let is_it = |(_, layer, name): &(_, &str, &str)| {
                text("layer").starts_with(layer) && text("name") == *name
            };
            let Some(at) = FIELDS.iter().position(is_it).filter(|_| text("of") != "recovered") else {
                continue;
            };
            values[at].push(match FIELDS[at].2 {
                "cookie" | "reason" => text("hex").to_owned(),
                _ => plain(text("value")),
            });
        }
        packets.push(values);
    }
    packets
}

/// Compares all fields of all packets; returns how many values there were of each.
fn compare(scratch: &Scratch, file: &Path) -> [usize; FIELDS.len()] {
    // Some captures use ports that Wireshark knows otherwise.
    let mut args = vec![
        "-o",
        "udp.try_heuristic_first:TRUE",
        "-T",
        "fields",
        "-E",
        "separator=/t",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator=|",
    ];
    FIELDS.iter().for_each(|(name, ..)| args.extend(["-e", name]));
    let theirs = scratch.tshark(file, &args);
    let packets = ours(&fs::read(file).unwrap());
    assert_eq!(theirs.lines().count(), packets.len(), "{}", file.display());
    let mut compared = [0; FIELDS.len()];
    for (n, (line, packet)) in theirs.lines().zip(&packets).enumerate() {
        for (at, values) in line.split('\t').enumerate() {
            let (name, _, field) = FIELDS[at];
            let theirs: Vec<String> = values
                .split('|')
                .filter(|value| !value.is_empty())
                .map(|value| match field {
                    "cookie" => value.to_owned(),
                    "reason" => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
                    _ => plain(value),
                })
                .collect();
            assert_eq!(theirs, packet[at], "{}, packet {}: {name}", file.display(), n + 1);
            compared[at] += theirs.len();
        }
    }
    compared
}

#[test]
fn every_field_of_every_capture_is_as_in_our_json() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("captures");
    let mut compared = [0; FIELDS.len()];
    for path in checked_in() {
        // With "none" the segments lie in the clear behind a nonce, which only we know to skip.
        if !path.ends_with("crypt-none.pcapng") {
            compare(&scratch, &path).iter().zip(&mut compared).for_each(|(more, sum)| *sum += more);
        }
    }
    assert!(compared[..8].iter().all(|count| *count > 1_000), "too little was compared: {compared:?}");
    assert!(compared[8..11].iter().all(|count| *count > 300), "too little was compared: {compared:?}");
}

fn segment(command: Cmd, sn: u32, fragment: u8) -> Segment {
    let (timestamp, una) = (Timestamp(0xfedc_ba98), SeqNumber(7));
    Segment { conv: 0x5b1f_03aa, command, fragment, window: 513, timestamp, sn: SeqNumber(sn), una }
}

/// A datagram with a block, and what else it may have.
fn block(flags: u16, tokens: [u64; 2], body: Body<'_>, later: &[u8]) -> Vec<u8> {
    let block = Block { flags, to: Token::new(tokens[0]), from: Token::new(tokens[1]), body };
    let (mut data, mut datagram) = (Vec::new(), Vec::new());
    block.encode(&mut data);
    data.extend_from_slice(later);
    let fragment = if body.kind() == BlockKind::Fin { FIN_FRAGMENT } else { 0 };
    segment(body.kind().carrier(), 1, fragment).encode(&data, &mut datagram);
    datagram
}

fn push(sn: u32, data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    segment(Cmd::Push, sn, 0).encode(data, &mut datagram);
    datagram
}

fn data_shard(seqid: u32, segments: &[u8]) -> Vec<u8> {
    let size = segments.len() as u16 + 2;
    [&seqid.to_le_bytes()[..], &[0xf1, 0], &size.to_le_bytes(), segments].concat()
}

/// Datagrams with every block, whole and not, alone and among others, bare and in shards.
fn blocks() -> Vec<Vec<u8>> {
    let (to, from) = (0x0102_0304_0506_0708, 0xf0f1_f2f3_f4f5_f6f7);
    let bodies = [
        Body::Hello { features: 0, cookie: [0; 16] },
        Body::Hello { features: 0x8000_0001, cookie: *b"sixteen bytes..." },
        Body::Welcome { features: 5 },
        Body::Retry { cookie: [0xc0; 16] },
        Body::Ping { challenge: u64::MAX },
        Body::Pong { challenge: 1 },
        Body::Reset { code: 3, reason: "" },
        Body::Fin { code: 4_000_000_000, reason: "out of cöffee" },
    ];
    let mut all = vec![push(0, b"so that the flow is known")];
    for (n, body) in bodies.into_iter().enumerate() {
        for (flags, tokens, later) in
            [(0, [to, from], &b""[..]), (2, [0, from], b""), (0xffff, [to, from], b""), (1, [to, 0], b"")]
        {
            all.push(block(flags, tokens, body, later));
        }
        let whole = block(0, [to, from], body, b"");
        all.push([&whole[..], &push(n as u32, b"data")].concat());
        all.push([&push(n as u32, b"SOFF is data here"), &whole[..], &[0; 23]].concat());
        all.push(data_shard(n as u32, &[&whole[..], &push(9, b"x")].concat()));
        if !matches!(body, Body::Reset { .. } | Body::Fin { .. }) {
            all.push(block(0, [to, from], body, b"of a later version"));
        }
        // In each other carrier, of another version, of another kind, too short.
        for (at, byte) in [(4, 81), (4, 82), (4, 83), (4, 84), (5, 0), (28, 2), (29, 99)] {
            let mut changed = whole.clone();
            changed[at] = byte;
            all.push(changed);
        }
        for len in 24..whole.len() {
            let mut cut = whole[..len].to_vec();
            cut[20..24].copy_from_slice(&((len - 24) as u32).to_le_bytes());
            all.push(cut);
        }
    }
    let mut other = push(1, b"of another conversation");
    other[0] ^= 1;
    all.push([&push(1, b"here")[..], &other].concat());
    all.push([&push(1, b"here")[..], &[0x30; 40]].concat());
    all.push([&5_u32.to_le_bytes()[..], &[0xf2, 0], &[7; 50]].concat());
    all.push([&u32::MAX.to_le_bytes()[..], &[0xf3, 0, 11, 0, 0xaa, 3, 0x1f, 0x5b], b"hello"].concat());
    all.push(push(2, b""));
    all.push((0..40).flat_map(|sn| push(sn, b"many")).collect());
    all
}

fn addresses(n: usize) -> ([u8; 4], u16) {
    ([192, 0, 2, 1], 1_024 + (n % 60_000) as u16)
}

#[test]
fn every_field_of_every_block_is_as_in_our_json() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("blocks");
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::RAW, "any").unwrap();
    let mut packet = Vec::new();
    for (n, datagram) in blocks().iter().enumerate() {
        udp_packet(addresses(0).into(), ([192, 0, 2, 2], SERVER).into(), datagram, &mut packet).unwrap();
        writer.packet(interface, Duration::from_millis(n as u64), &packet, &[]).unwrap();
    }
    let file = scratch.file("blocks.pcapng", &writer.into_inner());
    let compared = compare(&scratch, &file);
    assert!(compared.iter().all(|count| *count > 0), "a field never came: {compared:?}");
    assert!(compared[13] > 70, "too few blocks: {compared:?}");
    let told = scratch.tshark(&file, &["-V"]);
    assert!(!told.contains("Lua Error"), "{told}");
    for words in [
        "No valid extension block: another version",
        "No valid extension block: too short for HELLO",
        "No valid extension block: PONG from nobody",
        "Another conversation in the same datagram",
        "cmd 0x30 is none of PUSH 0x51",
        "Reads no more: True",
        "Code: busy (3)",
    ] {
        assert!(told.contains(words), "{words}");
    }
    let lines = scratch.tshark(&file, &[]);
    for words in [
        "RESET una=7 wnd=513 code=3",
        "FIN sn=1 una=7",
        "PING una=7 wnd=513 reads no more",
        "32 more segments",
    ] {
        assert!(lines.contains(words), "{words}:\n{lines}");
    }
}

/// A capture in the old format, whose packets may be cut: each with the bytes that are kept of it.
fn pcap(packets: impl IntoIterator<Item = (Vec<u8>, usize)>) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(field.to_le_bytes());
    }
    for (packet, kept) in packets {
        let kept = kept.min(packet.len());
        for field in [0, 0, kept as u32, packet.len() as u32] {
            file.extend(field.to_le_bytes());
        }
        file.extend(&packet[..kept]);
    }
    file
}

/// Reproducible noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }
}

/// Noise, noise that begins as KCP does, and blocks with bytes changed, cut off by the sender or the capture.
fn hostile() -> Vec<u8> {
    let mut noise = Noise(0x0bad_5eed);
    let blocks = blocks();
    let packets = (0..6_000).map(|n| {
        let mut datagram: Vec<u8> = match n % 3 {
            0 => (0..noise.below(200)).map(|_| noise.next() as u8).collect(),
            _ => blocks[noise.below(blocks.len())].clone(),
        };
        for _ in 0..noise.below(4) {
            if !datagram.is_empty() {
                let at = noise.below(datagram.len());
                datagram[at] = [noise.next() as u8, 0, 0xff, 0xf1, 0xf2, 0xf3, 81][noise.below(7)];
            }
        }
        if let (2, Some(kind)) = (n % 5, datagram.get_mut(4)) {
            *kind = [0x51, 0x54, 0xf1, 0xf2, 0xf3][noise.below(5)];
        }
        if n % 7 == 0 {
            datagram.truncate(noise.below(datagram.len() + 1));
        }
        let mut packet = Vec::new();
        udp_packet(addresses(n).into(), ([192, 0, 2, 2], SERVER).into(), &datagram, &mut packet).unwrap();
        let kept = if n % 4 == 0 { 28 + noise.below(packet.len() - 27) } else { packet.len() };
        (packet, kept)
    });
    pcap(packets)
}

#[test]
fn nothing_that_the_network_sends_makes_the_plugin_fail() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("hostile");
    let file = scratch.file("hostile.pcap", &hostile());
    let found = scratch.tshark(&file, &["-V"]);
    assert!(!found.contains("Lua Error"), "with the heuristic");
    let ports = format!("kcp.ports:{SERVER}");
    let told = scratch.tshark(&file, &["-V", "-o", &ports]);
    assert!(!told.contains("Lua Error"), "{}", told.lines().find(|line| line.contains("Lua Error")).unwrap());
    let count = |text: &str| text.matches("\nKCP (reliable UDP)").count();
    // All but those of which nothing is there; by content far fewer: noise is not KCP.
    assert!(count(&told) > 5_000, "only {} of 6,000", count(&told));
    assert!(count(&found) < count(&told) / 2, "{} of {}", count(&found), count(&told));
    assert!(told.contains("Cut off by the capture"));
}

#[test]
fn what_is_sealed_is_told_as_opaque() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("sealed");
    let file = Path::new("../crates/sendoff-proto/tests/captures/crypt-aes.pcapng");
    assert!(!scratch.tshark(file, &[]).contains("KCP"), "nothing is guessed");
    let told = scratch.tshark(file, &["-d", "udp.port==1-65535,kcp", "-V"]);
    let packets = scratch.tshark(file, &[]).lines().count();
    assert_eq!(told.matches("bytes, sealed or not KCP").count(), packets);
    assert!(told.contains("No segment in front: sealed with a cipher, or not KCP"));
}

#[test]
fn answers_and_repetitions_are_found() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("analysis");
    let file = Path::new("../crates/sendoff-proto/tests/captures/plain-stream-loss10.pcapng");
    let fields = |filter: &str, field: &str| {
        let args =
            ["-2", "-Y", filter, "-T", "fields", "-E", "occurrence=a", "-e", "frame.number", "-e", field];
        scratch.tshark(file, &args)
    };
    // As our own summary has it: the client sent 6 segments again, and the server 20.
    let again = fields("kcp.analysis.sent_before", "kcp.analysis.sent_before");
    let values: usize = again.lines().map(|line| line.split([',', '\t']).count() - 1).sum();
    assert_eq!(values, 6 + 20, "{again}");
    // The ACK of the last packet answers the PUSH in the packet before it.
    let acks = fields("kcp.analysis.acks", "kcp.analysis.acks");
    assert_eq!(acks.lines().last(), Some("153\t152"), "{acks}");
}

/// IP and UDP from the client of the made-up server.
fn udp(content: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    udp_packet(addresses(0).into(), ([192, 0, 2, 2], SERVER).into(), content, &mut packet).unwrap();
    packet
}

fn push_at(timestamp: u32, sn: u32) -> Vec<u8> {
    let mut datagram = Vec::new();
    Segment { timestamp: Timestamp(timestamp), ..segment(Cmd::Push, sn, 0) }.encode(b"data", &mut datagram);
    datagram
}

#[test]
fn a_copy_that_was_overtaken_is_a_copy() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("overtaken");
    let packets = [100, 300, 100, 300].map(|ts| (udp(&push_at(ts, 5)), usize::MAX));
    let lines = scratch.tshark(&scratch.file("overtaken.pcap", &pcap(packets)), &[]);
    let words = |line: &str| ["[retransmission]", "[copy]"].map(|word| line.contains(word));
    let found: Vec<_> = lines.lines().map(words).collect();
    assert_eq!(found, [[false, false], [true, false], [false, true], [false, true]], "{lines}");
}

#[test]
fn what_an_icmp_message_quotes_was_not_sent_again() {
    if !there(&["tshark"]) {
        return;
    }
    let scratch = Scratch::new("quoted");
    let quoted = udp(&push_at(100, 5));
    // IPv4, destination unreachable, port unreachable; checksums are nobody's matter here.
    let mut icmp = vec![0x45, 0];
    icmp.extend((28 + quoted.len() as u16).to_be_bytes());
    icmp.extend([0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1, 3, 3, 0, 0, 0, 0, 0, 0]);
    icmp.extend(&quoted);
    let packets = [quoted.clone(), icmp, udp(&push_at(100, 5))].map(|packet| (packet, usize::MAX));
    let file = scratch.file("quoted.pcap", &pcap(packets));
    let fields = ["-T", "fields", "-e", "frame.number", "-e", "kcp.sn", "-e", "kcp.analysis.sent_before"];
    // The plugin tells what is quoted, but judges it not, and takes it for no transmission.
    assert_eq!(scratch.tshark(&file, &fields), "1\t5\t\n2\t5\t\n3\t5\t1\n");
}
