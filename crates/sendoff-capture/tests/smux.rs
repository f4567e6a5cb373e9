//! Sessions of smux: in kcptun's own capture, under snappy, shards and a cipher; and of version 2 in plain segments.

mod common;

use common::capture;
use sendoff_capture::{
    Dissector, Follow, FollowReport, LinkType, Options, PacketReader, PcapngWriter,
    conversation::Side,
    report::{Lines, Signs, conversation_object, packet_object, summary},
    stream::SmuxError,
    udp_packet,
};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use sha2::{Digest, Sha256};
use std::time::Duration;

struct Told {
    lines: String,
    json: String,
    followed: Vec<u8>,
    report: FollowReport,
}

fn tell(file: &[u8], mut options: Options, secret: &str) -> Told {
    options.keys.secret = (!secret.is_empty()).then(|| secret.into());
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(options));
    let (mut lines, mut json, mut followed) = (String::new(), String::new(), Vec::new());
    let mut teller = Lines::new(Signs::UNICODE);
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        teller.write(&dissected, &mut lines);
        packet_object(&dissected, None, &mut json);
        dissector.take_followed(&mut followed);
    }
    for conversation in dissector.finish() {
        summary(&conversation, Signs::UNICODE, &mut lines);
        conversation_object(&conversation, &mut json);
    }
    dissector.take_followed(&mut followed);
    Told { lines, json, followed, report: dissector.follow_report().clone() }
}

fn smux() -> Options {
    Options { smux: true, ..Options::default() }
}

fn stream(side: Side, stream: u32) -> Options {
    let follow = Some(Follow { side, conversation: None });
    Options { follow, stream: Some(stream), ..Options::default() }
}

const KCPTUN: &str = "kcptun-aes-fast-snappy-smux1";
const SECRET: &str = "correct horse";

#[test]
fn the_web_page_that_went_through_kcptun_comes_out_of_its_stream() {
    let file = capture(KCPTUN);
    let answer = tell(&file, stream(Side::Server, 3), SECRET);
    assert!(answer.report.is_complete(), "{:?}", answer.report);
    let head = answer.followed.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(answer.followed.starts_with(b"HTTP/1.") && answer.followed.len() == head + 213_000);
    let hash: String = Sha256::digest(&answer.followed[head..]).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hash, "331f2e7c862fd8156470d96edc506d9741639be4bfa4f52aff7879321c3b6759");
    assert_eq!(answer.report.bytes, answer.followed.len() as u64);
    let request = tell(&file, stream(Side::Client, 3), SECRET);
    assert!(request.report.is_complete() && request.followed.starts_with(b"GET /"));
    let none = tell(&file, stream(Side::Client, 5), SECRET);
    assert!(!none.report.found && !none.report.is_complete() && none.followed.is_empty());
}

#[test]
fn lines_summary_and_json_tell_the_frames_and_streams_of_kcptun() {
    let told = tell(&capture(KCPTUN), smux(), SECRET);
    assert!(told.lines.contains("  smux SYN 3"), "{}", told.lines);
    assert!(told.lines.contains("PSH 3 "), "{}", told.lines);
    assert!(told.lines.contains("   smux 1 in snappy: 1 stream, "), "{}", told.lines);
    assert!(told.lines.contains("      stream 3, opened by the client; client "), "{}", told.lines);
    assert!(
        told.json.contains(r#""smux":[{"version":1,"command":"SYN","stream":3,"bytes":0}"#),
        "{}",
        told.json
    );
    assert!(told.json.contains(r#""snappy":true,"#), "{}", told.json);
    // Unasked nothing of it is told.
    assert!(!tell(&capture(KCPTUN), Options::default(), SECRET).lines.contains("smux"));
}

fn frame(command: u8, stream: u32, data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u16).to_le_bytes();
    [&[2, command], &len[..], &stream.to_le_bytes(), data].concat()
}

/// A capture of PUSHes: which side, sn, data.
fn pushes(all: &[(Side, u32, &[u8])]) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::RAW, "any").unwrap();
    let (client, server) = (([10, 0, 0, 1], 1_000).into(), ([10, 0, 0, 2], 2_000).into());
    for (n, (side, sn, data)) in all.iter().enumerate() {
        let (timestamp, una) = (Timestamp(n as u32), SeqNumber(0));
        let segment = Segment {
            conv: 7,
            command: Command::Push,
            fragment: 0,
            window: 32,
            timestamp,
            sn: SeqNumber(*sn),
            una,
        };
        let (mut datagram, mut packet) = (Vec::new(), Vec::new());
        segment.encode(data, &mut datagram);
        let (from, to) = if *side == Side::Client { (client, server) } else { (server, client) };
        udp_packet(from, to, &datagram, &mut packet).unwrap();
        writer.packet(interface, Duration::from_millis(n as u64), &packet, &[]).unwrap();
    }
    writer.into_inner()
}

#[test]
fn version_2_and_its_windows_are_told_across_segments_in_any_order() {
    let asks = [frame(0, 3, b""), frame(2, 3, b"a question")].concat();
    let update = frame(4, 3, &[10_u32.to_le_bytes(), 65_536_u32.to_le_bytes()].concat());
    let answers = [update, frame(2, 3, b"an answer"), frame(3, 0, b""), frame(1, 3, b"")].concat();
    let file = pushes(&[
        (Side::Client, 0, &asks[..12]),
        (Side::Client, 1, &asks[12..]),
        (Side::Server, 1, &answers[20..]),
        (Side::Server, 0, &answers[..20]),
    ]);
    let told = tell(&file, smux(), "");
    let lines: Vec<&str> = told.lines.lines().collect();
    assert!(lines[0].ends_with("  smux SYN 3  (request)"), "{}", lines[0]);
    assert!(lines[1].ends_with("smux PSH 3 10 bytes"), "{}", lines[1]);
    assert!(!lines[2].contains("smux"), "waits for what belongs before it: {}", lines[2]);
    let end = "smux UPD 3 consumed=10 window=65536 | PSH 3 9 bytes | NOP | FIN 3";
    assert!(lines[3].contains(end), "{}", lines[3]);
    let summary = "stream 3, opened by the client; client 10 bytes in 1 frame; \
         server 9 bytes in 1 frame, has read 10 of the other side, window 65536, finished";
    assert!(told.lines.contains("   smux 2: 1 stream, 1 keep-alive\n"), "{}", told.lines);
    assert!(told.lines.contains(summary), "{}", told.lines);
    assert_eq!(tell(&file, stream(Side::Server, 3), "").followed, b"an answer");
}

#[test]
fn what_is_no_smux_or_lacks_bytes_is_said() {
    let told = tell(&pushes(&[(Side::Client, 0, b"GET / HTTP/1.1")]), smux(), "");
    assert!(told.lines.contains("client: not smux: a frame of version 71, command 69"), "{}", told.lines);
    let (first, second) = (frame(2, 3, b"first"), frame(2, 3, b"second"));
    let file = pushes(&[(Side::Client, 0, &first), (Side::Client, 2, &second)]);
    let followed = tell(&file, stream(Side::Client, 3), "");
    assert_eq!(followed.followed, b"first");
    assert_eq!(followed.report.smux_error, Some(SmuxError::Lost { position: 13 }));
    assert!(!followed.report.is_complete());
}
