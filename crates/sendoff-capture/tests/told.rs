//! The text of small captures, as it stands in `tests/told/`. Written anew with SENDOFF_WRITE_TOLD=1; what changed shows
//! in the diff.

mod common;

use common::capture;
use sendoff_capture::{
    Dissector, Options, PacketReader,
    report::{Lines, Signs, Verbose, closing, conversation_object, packet_object, summary, totals_object},
    stream::Framing,
};
use std::{env, fs, path::Path};

#[derive(Clone, Copy, PartialEq)]
enum How {
    Lines,
    Fields,
    Json,
}

fn tell(name: &str, how: How, framing: Option<Framing>) -> String {
    let file = capture(name);
    let mut options = Options { framing, ..Options::default() };
    options.keys.secret = name.starts_with("crypt").then(|| "it's a secrect".into());
    let mut reader = PacketReader::new(&file[..]).unwrap();
    let (mut dissector, mut lines, mut out) =
        (Dissector::new(options), Lines::new(Signs::UNICODE), String::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        match how {
            How::Lines => lines.write(&dissected, &mut out),
            How::Fields => {
                lines.write(&dissected, &mut out);
                Verbose::default().write(&dissected, &mut out);
                out.push('\n');
            }
            How::Json => packet_object(&dissected, None, &mut out),
        }
    }
    for conversation in dissector.finish() {
        match how {
            How::Json => conversation_object(&conversation, &mut out),
            _ => {
                out.push('\n');
                summary(&conversation, Signs::UNICODE, &mut out);
            }
        }
    }
    match how {
        How::Json => totals_object(&dissector.totals(), &mut out),
        _ => {
            out.push('\n');
            closing(&dissector.totals(), &mut out);
        }
    }
    out
}

#[track_caller]
fn check(file: &str, name: &str, how: How, framing: Option<Framing>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/told").join(file);
    let told = tell(name, how, framing);
    if env::var_os("SENDOFF_WRITE_TOLD").is_some() {
        fs::write(path, told).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (n, (told, expected)) in told.lines().zip(expected.lines()).enumerate() {
        assert_eq!(told, expected, "{file}, line {}", n + 1);
    }
    assert_eq!(told.len(), expected.len(), "{file} has another length");
}

#[test]
fn the_four_packets_of_an_echo_are_named_and_no_end_is_said_to_be_seen() {
    check("seed-p002.txt", "seed-p002", How::Lines, None);
    let told = tell("seed-p002", How::Lines, None);
    let roles = ["(request)", "(its ack)", "(response)", "(its ack)"];
    for (line, role) in told.lines().zip(roles) {
        assert!(line.ends_with(role), "{line}");
    }
    assert!(told.contains("no end was seen; plain KCP has none"), "{told}");
}

#[test]
fn every_field_of_an_echo_is_told() {
    check("seed-p002-fields.txt", "seed-p002", How::Fields, None);
}

#[test]
fn an_echo_is_told_in_json() {
    check("seed-p002.json", "seed-p002", How::Json, None);
}

#[test]
fn plain_udp_says_why_it_is_not_explained() {
    check("seed-udp-echo.txt", "seed-udp-echo", How::Lines, None);
}

#[test]
fn tcp_is_told_with_its_frames() {
    check("seed-tcp-framed-le32.txt", "seed-tcp-framed-le32", How::Lines, Some(Framing::Le32));
    check("seed-tcp-sticky.txt", "seed-tcp-sticky", How::Lines, None);
}

#[test]
fn sealed_datagrams_are_told_with_their_cipher() {
    check("crypt-aes.txt", "crypt-aes", How::Lines, None);
    check("crypt-aes-fields.txt", "crypt-aes", How::Fields, None);
}

#[test]
fn losses_and_recoveries_are_told() {
    check("plain-stream-loss10.txt", "plain-stream-loss10", How::Lines, None);
    check("fec-10-3-loss15.txt", "fec-10-3-loss15", How::Lines, None);
}
