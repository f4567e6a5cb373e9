//! The application's bytes come out of every capture as they went in, in both directions: through losses,
//! ciphers and shards; and what the capture lacks is said.

mod common;

use common::{all_captures, capture};
use sendoff_capture::{
    Dissector, Follow, FollowReport, LinkType, Options, PacketReader, PcapngWriter,
    above::KeyOptions,
    conversation::{Conversation, Detail, Side},
    stream::Framing,
    udp_packet,
};
use sendoff_proto::{
    Cipher, SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use sha2::{Digest, Sha256};
use std::time::Duration;

const SECRET: &str = "it's a secrect";

struct Followed {
    bytes: Vec<u8>,
    report: FollowReport,
    conversations: Vec<Conversation>,
}

fn follow(file: &[u8], options: Options) -> Followed {
    let mut reader = PacketReader::new(file).unwrap();
    let mut dissector = Dissector::new(options);
    let mut bytes = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        dissector.packet(&packet);
        dissector.take_followed(&mut bytes);
    }
    let conversations = dissector.finish();
    dissector.take_followed(&mut bytes);
    Followed { bytes, report: dissector.follow_report().clone(), conversations }
}

fn options(side: Side, secret: Option<&str>) -> Options {
    let mut options = Options { follow: Some(Follow { side, conversation: None }), ..Options::default() };
    options.keys.secret = secret.map(|secret| secret.into());
    options
}

/// The payload of a capture, by the rule in its README.
fn payload(name: &str, len: usize) -> Vec<u8> {
    if name == "seed-p002" {
        return b"2026-11-20 20:59:07.84564567 +0000 UTC m=+0.000684753".to_vec();
    }
    let mut hash = Sha256::digest(if name == "plain-echo" { "plain" } else { name });
    let mut payload = Vec::new();
    while payload.len() < len {
        payload.extend_from_slice(&hash);
        hash = Sha256::digest(hash);
    }
    payload.truncate(len);
    payload
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Name, bytes, SHA-256, cipher, ratio of FEC.
type Row = (&'static str, usize, &'static str, Option<Cipher>, Option<(usize, usize)>);

const ECHOES: [Row; 17] = [
    ("seed-p002", 53, "f579f760241a9d9a51499a1fb43ee262cde462e37de5e9c5d5041ac68b0c86d6", None, None),
    ("plain-echo", 53, "343c29bb9f8c6596c20a2671f2b7463d02a46bc39e572ba99a12c6d4b38e2be7", None, None),
    ("plain-stream", 80_000, "2cf74b39ddace083fe98169f8272208a5b761c9e96bcbec2ffe18d1d14b98c22", None, None),
    (
        "plain-stream-loss10",
        60_000,
        "eaf034e86aedafd77b788df07509d54388a5ed9831e7973ba8f2e84f444f51dc",
        None,
        None,
    ),
    (
        "kcpgo72-plain-stream-loss10",
        60_000,
        "84134881cc374822fe35dcc571005348c92a6f7875717cb8b35b99b9188fcba3",
        None,
        None,
    ),
    (
        "fec-10-3",
        60_000,
        "d7087a2906f577b2d4d07881bb132bb66663d001c88f9bafa608fe575a24b4f6",
        None,
        Some((10, 3)),
    ),
    (
        "fec-10-3-loss15",
        120_000,
        "e4fc51cdaffe23865777d5d25b2242dc6891a9ead95679bb37f4a915b23d5ed1",
        None,
        Some((10, 3)),
    ),
    (
        "crypt-aes",
        4_200,
        "2346d9040e6ca1d92d1ea6c32bfd85a20a371a8cc20b4cf6093418defcc742a0",
        Some(Cipher::Aes256),
        None,
    ),
    (
        "crypt-aes-128",
        4_200,
        "924d6a7aa1d7baf3343fdcba1138f885f650a7a8efa6ab1bc865005707ada67b",
        Some(Cipher::Aes128),
        None,
    ),
    (
        "crypt-tea",
        4_200,
        "aa115ca736b9ae083f51bbf38d30add5408d78acdb4a328f880f99637667dd8b",
        Some(Cipher::Tea),
        None,
    ),
    (
        "crypt-xor",
        4_200,
        "c56c3d58de50cdc5b2465c54eed9183d55094d97a5e07cc9a0144486b257388f",
        Some(Cipher::Xor),
        None,
    ),
    (
        "crypt-none",
        4_200,
        "7d8b640d1cf6e16484300d6f45ea3560dab3968413a2df58d6990bfd98cf8613",
        Some(Cipher::None),
        None,
    ),
    (
        "crypt-salsa20",
        4_200,
        "643f1cc89a5f24baacce16f22f243aff8f4f2bfd52243f14c3a63b9b14aa339c",
        Some(Cipher::Salsa20),
        None,
    ),
    (
        "crypt-blowfish",
        4_200,
        "eb789b040e93a996164a6fbdcd506bae664decafada25f2886f054d025d88272",
        Some(Cipher::Blowfish),
        None,
    ),
    (
        "crypt-aes-128-gcm",
        4_200,
        "ff8894f3965e03c54f8564ec3313acea61315a41afd41eb775876ec66b312727",
        Some(Cipher::Aes128Gcm),
        None,
    ),
    (
        "aes-fec-10-3-loss10",
        100_000,
        "9081a6387bf9ea1a8969d77f85e0bac34a2493becfd998a8065c4f7184c61cb9",
        Some(Cipher::Aes256),
        Some((10, 3)),
    ),
    (
        "kcpgo72-gcm-fec-10-3-loss10",
        100_000,
        "be0f0cdf6a6ba813cc55a290db758e6014425ef9702744cefee507ecb748e88e",
        Some(Cipher::Aes128Gcm),
        Some((10, 3)),
    ),
];

#[test]
fn both_directions_of_every_echo_come_out_as_they_went_in() {
    for (name, len, sha256, cipher, ratio) in ECHOES {
        let file = capture(name);
        for side in [Side::Client, Side::Server] {
            let found = follow(&file, options(side, cipher.map(|_| SECRET)));
            let Detail::Kcp(kcp) = &found.conversations[0].detail else { panic!("{name}: not KCP") };
            assert_eq!((found.conversations.len(), kcp.cipher), (1, cipher), "{name}");
            assert_eq!(found.bytes.len(), len, "{name} {side}: {:?}", found.report);
            assert_eq!(hex(&found.bytes), sha256, "{name} {side}");
            assert_eq!(found.bytes, payload(name, len), "{name} {side}");
            assert!(
                found.report.is_complete() && found.report.bytes == len as u64,
                "{name} {side}: {:?}",
                found.report
            );
            let found_ratio = kcp.sides[side.index()].fec.as_ref().map(|fec| fec.ratio.unwrap());
            assert_eq!(found_ratio, ratio, "{name} {side}");
        }
    }
}

#[test]
fn shards_that_were_lost_before_the_capture_are_made_good() {
    for (name, secret) in [("fec-10-3-loss15", None), ("kcpgo72-gcm-fec-10-3-loss10", Some(SECRET))] {
        let found = follow(&capture(name), options(Side::Server, secret));
        let Detail::Kcp(kcp) = &found.conversations[0].detail else { panic!("{name}") };
        let [client, server] = &kcp.sides;
        let fec = server.fec.as_ref().unwrap();
        assert!(fec.lost > 0 && fec.recovered > 0, "{name}: {fec:?}");
        assert!(server.recovered > 0, "{name}: nothing came only from parity");
        // The client's side was captured before the loss.
        assert_eq!(client.fec.as_ref().unwrap().lost, 0, "{name}");
    }
}

#[test]
fn the_cipher_can_be_given_and_a_wrong_one_or_a_wrong_secret_opens_nothing() {
    let file = capture("crypt-tea");
    let with = |cipher, secret: &str| {
        let mut options = options(Side::Client, None);
        options.keys = KeyOptions { cipher, secret: Some(secret.into()) };
        follow(&file, options).conversations
    };
    let is_kcp = |found: Vec<Conversation>| matches!(found[0].detail, Detail::Kcp(_));
    assert!(is_kcp(with(Some(Cipher::Tea), SECRET)));
    assert!(!is_kcp(with(Some(Cipher::Xtea), SECRET)));
    assert!(!is_kcp(with(None, "its a secret")));
    assert!(!is_kcp(follow(&file, options(Side::Client, None)).conversations));
}

#[test]
fn what_kcptun_carries_is_opened_in_both_directions() {
    let file = capture("kcptun-aes-fast-snappy-smux1");
    for (side, least, sha256) in [
        (Side::Client, 100, "1b06bb867fe9bbbd0bcfdd7a1e7a48a59155442db9e0c0a05021e7f64d549e70"),
        (Side::Server, 213_000, "dbbb55b533d7004ff8a979eea3167b4f8a36962a60e841a2ce3792a2127a6fb9"),
    ] {
        let found = follow(&file, options(side, Some("correct horse")));
        assert!(found.report.is_complete(), "{side}: {:?}", found.report);
        assert!(found.bytes.len() > least, "{side}: {}", found.bytes.len());
        // The snappy framing format begins with its stream identifier.
        assert_eq!(&found.bytes[..10], b"\xff\x06\0\0sNaPpY", "{side}");
        assert_eq!(hex(&found.bytes), sha256, "{side}");
    }
}

#[test]
fn frames_of_tcp_are_taken_apart_and_bytes_of_udp_are_as_they_are() {
    let message = "Hello, Hello. How are you?";
    let mut framed = options(Side::Client, None);
    framed.framing = Some(Framing::Le32);
    let found = follow(&capture("seed-tcp-framed-le32"), framed.clone());
    assert_eq!(String::from_utf8(found.bytes).unwrap(), message.repeat(20));
    assert!(found.report.is_complete());
    let raw = follow(&capture("seed-tcp-framed-le32"), options(Side::Client, None));
    assert_eq!(raw.bytes.len(), 20 * (4 + message.len()));
    let Detail::Tcp(tcp) = &raw.conversations[0].detail else { panic!("not TCP") };
    assert_eq!(tcp.sides[0].framing(), Some((Framing::Le32, 20)));
    // These servers only listen.
    for name in ["seed-tcp-framed-le32", "seed-tcp-sticky"] {
        let silent = follow(&capture(name), options(Side::Server, None));
        assert_eq!((&silent.bytes[..], silent.report.is_complete()), (&b""[..], true), "{name}");
        assert_eq!(silent.conversations[0].totals[1].bytes, 0, "{name}");
    }

    let sticky = follow(&capture("seed-tcp-sticky"), options(Side::Client, None));
    assert_eq!(String::from_utf8(sticky.bytes).unwrap(), message.repeat(20));
    let Detail::Tcp(tcp) = &sticky.conversations[0].detail else { panic!("not TCP") };
    assert_eq!(tcp.sides[0].framing(), None);
    let wrong = follow(&capture("seed-tcp-sticky"), framed);
    assert!(wrong.bytes.is_empty() && wrong.report.frame_error.is_some() && !wrong.report.is_complete());

    for side in [Side::Client, Side::Server] {
        assert_eq!(follow(&capture("seed-udp-echo"), options(side, None)).bytes, b"Hello server");
    }
}

/// A capture of these datagrams, each from the client or the server.
fn synthetic(datagrams: &[(bool, Vec<u8>)]) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let raw = writer.interface(LinkType::RAW, "any").unwrap();
    let (client, server) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap());
    let mut packet = Vec::new();
    for (n, (from_client, datagram)) in datagrams.iter().enumerate() {
        let (from, to) = if *from_client { (client, server) } else { (server, client) };
        udp_packet(from, to, datagram, &mut packet).unwrap();
        writer.packet(raw, Duration::from_millis(n as u64), &packet, &[]).unwrap();
    }
    writer.into_inner()
}

fn segment(command: Command, sn: u32, una: u32, data: &[u8]) -> Vec<u8> {
    let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(sn));
    let mut out = Vec::new();
    Segment { conv: 7, command, fragment: 0, window: 32, timestamp, sn, una }.encode(data, &mut out);
    out
}

#[test]
fn bytes_that_the_capture_lacks_are_said() {
    let push = |sn, data: &[u8]| (true, segment(Command::Push, sn, 0, data));
    let ack = |sn, una| (false, segment(Command::Ack, sn, una, b""));
    let lost = synthetic(&[push(0, b"a"), push(2, b"c"), ack(2, 3)]);
    let found = follow(&lost, options(Side::Client, None));
    assert_eq!(found.bytes, b"ac");
    assert_eq!(found.report.gaps.len(), 1);
    assert_eq!(found.report.gaps[0].to_string(), "1 segment is missing from the capture behind byte 1");

    let end = follow(&synthetic(&[push(0, b"a"), ack(3, 4)]), options(Side::Client, None));
    assert_eq!(end.report.gaps[0].to_string(), "3 segments are missing from the capture behind byte 1");
    let whole =
        follow(&synthetic(&[push(1, b"b"), push(0, b"a"), push(1, b"b")]), options(Side::Client, None));
    assert_eq!((&whole.bytes[..], whole.report.is_complete()), (&b"ab"[..], true));
    let nobody = follow(&synthetic(&[]), options(Side::Client, None));
    assert!(!nobody.report.found && !nobody.report.is_complete());
}

#[test]
fn every_capture_is_one_conversation_of_the_kind_it_should_be() {
    for (name, file) in all_captures() {
        let secret = if name.starts_with("kcptun") { "correct horse" } else { SECRET };
        let found = follow(&file, options(Side::Client, Some(secret)));
        let kinds: Vec<_> = found.conversations.iter().map(|c| std::mem::discriminant(&c.detail)).collect();
        assert_eq!(kinds.len(), 1, "{name}");
        let right = match &found.conversations[0].detail {
            Detail::Tcp(_) => name.starts_with("seed-tcp"),
            Detail::Udp => name == "seed-udp-echo",
            Detail::Kcp(_) => !name.starts_with("seed-tcp") && name != "seed-udp-echo",
        };
        assert!(right, "{name}");
    }
}
