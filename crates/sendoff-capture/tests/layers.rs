//! Packets of every link type and every layer, made by hand: each is told in words as a reader expects it.

use etherparse::PacketBuilder;
use sendoff_capture::{
    Dissector, LinkType, Options, PacketReader, PcapngWriter,
    report::{Lines, Signs, Verbose, summary},
    udp_packet,
};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Block, Body, Command, Segment, Token},
};
use std::{net::Ipv6Addr, time::Duration};

/// A capture of these packets, a millisecond apart, all of one link type.
fn capture(link: LinkType, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(link, "test").unwrap();
    for (n, packet) in packets.iter().enumerate() {
        writer.packet(interface, Duration::from_millis(n as u64), packet, &[]).unwrap();
    }
    writer.into_inner()
}

/// Lines without number and time, and the summaries.
fn told(file: &[u8], options: Options) -> (Vec<String>, String) {
    let mut reader = PacketReader::new(file).unwrap();
    let (mut dissector, mut lines) = (Dissector::new(options), Lines::new(Signs::ASCII));
    let (mut all, mut fields) = (Vec::new(), String::new());
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        let mut line = String::new();
        lines.write(&dissected, &mut line);
        Verbose::default().write(&dissected, &mut fields);
        all.push(line[21..].trim_end().to_owned());
    }
    let mut summaries = String::new();
    dissector.finish().iter().for_each(|conversation| summary(conversation, Signs::ASCII, &mut summaries));
    assert!(!fields.is_empty());
    (all, summaries)
}

fn lines(link: LinkType, packets: &[Vec<u8>]) -> Vec<String> {
    told(&capture(link, packets), Options::default()).0
}

const HI: &str = "10.0.0.1:1000 -> 10.0.0.2:2000  #1 client  2 bytes \"hi\" \
                  [not KCP: 2 bytes, too short for a segment header of 24; not sealed with \"none\" either]";

fn hi() -> Vec<u8> {
    let mut packet = Vec::new();
    udp_packet("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap(), b"hi", &mut packet)
        .unwrap();
    packet
}

fn behind(front: &[u8]) -> Vec<u8> {
    [front, &hi()].concat()
}

#[test]
fn every_link_type_leads_to_the_datagram() {
    let ethernet = |more: &[u8]| behind(&[&[0xaa; 6][..], &[0xbb; 6], more].concat());
    let sll: [u8; 16] = [0, 4, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0];
    let sll2: [u8; 20] = [8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0];
    for (link, packet, layers) in [
        (1, ethernet(&[8, 0]), "eth ipv4 udp"),
        (1, ethernet(&[0x81, 0, 0x60, 5, 8, 0]), "eth vlan ipv4 udp"),
        (1, ethernet(&[0x88, 0xa8, 0, 9, 0x81, 0, 0, 5, 8, 0]), "eth vlan vlan ipv4 udp"),
        (113, behind(&sll), "sll ipv4 udp"),
        (276, behind(&sll2), "sll2 ipv4 udp"),
        (101, hi(), "ipv4 udp"),
        (12, hi(), "ipv4 udp"),
        (14, hi(), "ipv4 udp"),
        (228, hi(), "ipv4 udp"),
        (0, behind(&[2, 0, 0, 0]), "loop ipv4 udp"),
        (0, behind(&[0, 0, 0, 2]), "loop ipv4 udp"),
        (108, behind(&[0, 0, 0, 2]), "loop ipv4 udp"),
        // Bytes behind the IP packet are padding of short frames.
        (1, [ethernet(&[8, 0]), vec![0; 16]].concat(), "eth ipv4 udp"),
    ] {
        assert_eq!(lines(LinkType(link), &[packet]), [format!("{layers}  {HI}")], "link type {link}");
    }
}

#[test]
fn arp_is_told_in_words() {
    let arp = |operation: u8, sender: [u8; 4], target: [u8; 4]| {
        let front =
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
        [&front[..], &[2, 0, 0, 0, 0, 1], &sender, &[0; 6], &target, &[0; 18]].concat()
    };
    let (a, b, nobody) = ([10, 0, 0, 1], [10, 0, 0, 2], [0; 4]);
    assert_eq!(
        lines(
            LinkType::ETHERNET,
            &[arp(1, a, b), arp(2, a, b), arp(1, a, a), arp(1, nobody, b), arp(9, a, b)]
        ),
        [
            "eth arp    ARP who has 10.0.0.2? tell 10.0.0.1 at 02:00:00:00:00:01",
            "eth arp    ARP 10.0.0.1 is at 02:00:00:00:00:01",
            "eth arp    ARP 10.0.0.1 is at 02:00:00:00:00:01, says it itself to all",
            "eth arp    ARP has anybody 10.0.0.2? asks 02:00:00:00:00:01, before taking it",
            "eth arp    ARP operation 9 from 10.0.0.1 at 02:00:00:00:00:01 about 10.0.0.2",
        ]
    );
}

/// Cuts an IPv4 packet without options into fragments of so many bytes of payload.
fn fragments_v4(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (header, payload) = packet.split_at(20);
    let count = payload.len().div_ceil(size);
    let piece = |(n, piece): (usize, &[u8])| {
        let mut header = header.to_vec();
        header[2..4].copy_from_slice(&(20 + piece.len() as u16).to_be_bytes());
        header[4..6].copy_from_slice(&77_u16.to_be_bytes());
        let more = if n + 1 < count { 0x2000 } else { 0 };
        header[6..8].copy_from_slice(&((n * size / 8) as u16 | more).to_be_bytes());
        [header, piece.to_vec()].concat()
    };
    payload.chunks(size).enumerate().map(piece).collect()
}

#[test]
fn fragments_of_both_versions_are_put_together_in_any_order() {
    let segment = push(0, &[b'x'; 100]);
    let mut packet = Vec::new();
    udp_packet("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), &segment, &mut packet).unwrap();
    let mut pieces = fragments_v4(&packet, 48);
    pieces.swap(0, 2);
    let told = lines(LinkType::RAW, &pieces);
    assert_eq!(told[0], "ipv4  10.0.0.1 -> 10.0.0.2  fragment of packet 0x4d at byte 96: others are missing");
    assert!(
        told[2].starts_with("ipv4 udp  10.0.0.1:1 -> 10.0.0.2:2  #1 client  last of 3 fragments: PUSH sn=0"),
        "{}",
        told[2]
    );

    let (from, to) = ("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap());
    udp_packet(from, to, &segment, &mut packet).unwrap();
    let (header, payload) = packet.split_at(40);
    let piece = |offset: usize, end: usize| {
        let mut header = header.to_vec();
        header[4..6].copy_from_slice(&((8 + end - offset) as u16).to_be_bytes());
        header[6] = 44;
        let more = u16::from(end < payload.len());
        let place = (offset as u16 | more).to_be_bytes();
        [&header[..], &[17, 0], &place, &[0, 0, 0, 9], &payload[offset..end]].concat()
    };
    // Hop-by-hop and destination options stand in front of a whole one.
    let mut options = header.to_vec();
    options[4..6].copy_from_slice(&((16 + payload.len()) as u16).to_be_bytes());
    options[6] = 0;
    let options = [&options[..], &[60, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 1, 4, 0, 0, 0, 0], payload].concat();
    let told = lines(LinkType::RAW, &[piece(64, payload.len()), piece(0, 64), options]);
    assert_eq!(
        told[0],
        "ipv6 fragment  2001:db8::1 -> 2001:db8::2  fragment of packet 0x9 at byte 64: others are missing"
    );
    assert!(
        told[1]
            .contains("udp  [2001:db8::1]:1 -> [2001:db8::2]:2  #1 client  last of 2 fragments: PUSH sn=0"),
        "{}",
        told[1]
    );
    assert!(
        told[2].starts_with("ipv6 hop-by-hop options udp  ") && told[2].contains("PUSH sn=0"),
        "{}",
        told[2]
    );
}

#[test]
fn icmp_names_the_conversation_that_it_is_about() {
    let mut icmp = Vec::new();
    let quoted = hi();
    PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
        .icmpv4_raw(3, 3, [0; 4])
        .write(&mut icmp, &quoted)
        .unwrap();
    let mut echo = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
        .icmpv4_echo_request(1, 2)
        .write(&mut echo, b"x")
        .unwrap();
    let (told, summary) = told(&capture(LinkType::RAW, &[hi(), icmp, echo]), Options::default());
    assert_eq!(
        told[1..],
        [
            "ipv4 icmp  10.0.0.2 -> 10.0.0.1  #1  ICMP port unreachable, about UDP 10.0.0.1:1000 -> 10.0.0.2:2000",
            "ipv4 icmp  10.0.0.2 -> 10.0.0.1  ICMP echo request",
        ]
    );
    assert!(summary.contains("port unreachable, says ICMP: 1 time"), "{summary}");
}

#[test]
fn icmp_of_ipv6_names_the_conversation_that_it_is_about() {
    let (client, server) = ([0xfd; 16], [0xfe; 16]);
    let (mut quoted, mut icmp) = (Vec::new(), Vec::new());
    PacketBuilder::ipv6(client, server, 64).udp(1_000, 2_000).write(&mut quoted, &push(0, b"hi")).unwrap();
    // Unreachable: the port.
    PacketBuilder::ipv6(server, client, 64).icmpv6_raw(1, 4, [0; 4]).write(&mut icmp, &quoted).unwrap();
    let (told, summary) = told(&capture(LinkType::RAW, &[quoted, icmp]), Options::default());
    assert!(told[0].contains("#1 client  PUSH sn=0"), "{}", told[0]);
    let about = format!("[{}]:1000 -> [{}]:2000", Ipv6Addr::from(client), Ipv6Addr::from(server));
    assert!(told[1].ends_with(&format!("#1  ICMP port unreachable, about UDP {about}")), "{}", told[1]);
    assert!(summary.contains("port unreachable, says ICMP: 1 time"), "{summary}");
}

#[test]
fn what_is_not_explained_says_why() {
    let mut short = hi();
    short.truncate(29);
    let mut bad_length = hi();
    bad_length[24..26].copy_from_slice(&[0, 5]);
    let mut sctp = hi();
    sctp[9] = 132;
    assert_eq!(
        lines(LinkType::RAW, &[vec![0x50; 20], vec![], vec![0x45; 10], short, bad_length, sctp]),
        [
            "   IP version 5 is neither 4 nor 6",
            "   ipv4 has 20 bytes, 0 are there",
            "   ipv4 has 20 bytes, 10 are there",
            "ipv4 udp  10.0.0.1:1000 -> 10.0.0.2:2000  #1 client  1 byte \"h\" [cut off by the capture: 1 of 2 bytes are there]",
            "ipv4 udp  10.0.0.1 -> 10.0.0.2  udp can't have a length of 5",
            "ipv4  10.0.0.1 -> 10.0.0.2  SCTP is not explained",
        ]
    );
    let frame = |kind: [u8; 2]| [&[0; 12][..], &kind, &[0; 50]].concat();
    let told = lines(LinkType::ETHERNET, &[frame([0x88, 0xcc]), frame([0, 50]), frame([0x12, 0x34])]);
    assert_eq!(
        told,
        [
            "eth    LLDP is not explained",
            "eth    802.3 frame of 50 bytes: LLC is not explained",
            "eth    EtherType 0x1234 is not explained",
        ]
    );
    assert_eq!(lines(LinkType(147), &[hi()]), ["   link type 147 is not explained"]);
}

fn segment(command: Command, sn: u32, una: u32, ts: u32, data: &[u8]) -> Vec<u8> {
    let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(ts));
    let mut out = Vec::new();
    Segment { conv: 7, command, fragment: 0, window: 4, timestamp, sn, una }.encode(data, &mut out);
    out
}

fn push(sn: u32, data: &[u8]) -> Vec<u8> {
    segment(Command::Push, sn, 0, sn, data)
}

/// Datagrams between two addresses, from the client or the server.
fn conversation(datagrams: &[(bool, Vec<u8>)]) -> (Vec<String>, String) {
    let (client, server) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
    let packets: Vec<Vec<u8>> = datagrams
        .iter()
        .map(|(from_client, datagram)| {
            let (from, to) = if *from_client { (client, server) } else { (server, client) };
            let mut packet = Vec::new();
            udp_packet(from, to, datagram, &mut packet).unwrap();
            packet
        })
        .collect();
    let (lines, summary) = told(&capture(LinkType::RAW, &packets), Options::default());
    let words = |line: String| line.split_once("  #1 ").map(|(_, words)| words.to_owned()).unwrap_or(line);
    (lines.into_iter().map(words).collect(), summary)
}

#[test]
fn retransmissions_copies_and_full_windows_are_marked() {
    let (lines, summary) = conversation(&[
        (true, push(0, b"a")),
        (false, segment(Command::Ack, 0, 1, 0, b"")),
        (true, push(1, b"b")),
        (true, push(2, b"c")),
        (true, push(3, b"d")),
        (true, push(4, b"e")),
        (true, push(3, b"d")),
        (false, segment(Command::Ack, 3, 1, 3, b"")),
        (true, segment(Command::Push, 1, 0, 77, b"b")),
        (true, segment(Command::Push, 2, 0, 78, b"c")),
        (false, segment(Command::Ack, 4, 5, 4, b"")),
        (true, segment(Command::Push, 1, 0, 90, b"b")),
    ]);
    assert_eq!(
        lines,
        [
            "client  PUSH sn=0 una=0 wnd=4 1 byte \"a\"  (request)",
            "server  ACK sn=0 una=1 wnd=4  (its ack)",
            "client  PUSH sn=1 una=0 wnd=4 1 byte \"b\"",
            "client  PUSH sn=2 una=0 wnd=4 1 byte \"c\"",
            "client  PUSH sn=3 una=0 wnd=4 1 byte \"d\"",
            "client  PUSH sn=4 una=0 wnd=4 1 byte \"e\" [fills the window]",
            "client  PUSH sn=3 una=0 wnd=4 1 byte \"d\" [duplicate]",
            "server  ACK sn=3 una=1 wnd=4",
            "client  PUSH sn=1 una=0 wnd=4 1 byte \"b\" [retransmission after 6.00 ms, fast]",
            "client  PUSH sn=2 una=0 wnd=4 1 byte \"c\" [retransmission after 6.00 ms, fast]",
            "server  ACK sn=4 una=5 wnd=4  (its ack)",
            "client  PUSH sn=1 una=0 wnd=4 1 byte \"b\" [needless: acknowledged before]",
        ]
    );
    assert!(summary.contains("sent again: 3 of 9 segments (33.3 %), 2 judged fast, 1 needless"), "{summary}");
    assert!(summary.contains("1 copy of a segment"), "{summary}");
    assert!(summary.contains("full 1 time, for 5.00 ms"), "{summary}");
}

#[test]
fn an_extended_conversation_is_told_with_its_end() {
    let token = Token::new;
    let block = |command, fragment, sn, from, body: Body<'_>| {
        let mut data = Vec::new();
        Block { flags: 0, to: token(3 - from), from: token(from), body }.encode(&mut data);
        let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(0), Timestamp(0));
        let mut out = Vec::new();
        Segment { conv: 7, command, fragment, window: 4, timestamp, sn, una }.encode(&data, &mut out);
        out
    };
    let hello = block(Command::WindowAsk, 0, 0, 1, Body::Hello { features: 0, cookie: [0; 16] });
    let fin = |from, reason| block(Command::Push, 255, 0, from, Body::Fin { code: 7, reason });
    let (lines, summary) = conversation(&[
        (true, hello.clone()),
        (false, fin(2, "so \x1b[2J long")),
        (true, fin(1, "")),
        (false, segment(Command::Ack, 0, 1, 0, b"")),
    ]);
    assert_eq!(
        lines,
        [
            "client  HELLO una=0 wnd=4",
            "server  FIN sn=0 una=0 wnd=4 code=7 \"so \\u{1b}[2J long\"  (response)",
            "client  FIN sn=0 una=0 wnd=4 code=7",
            "server  ACK sn=0 una=1 wnd=4",
        ]
    );
    assert!(summary.contains("began: with HELLO"), "{summary}");
    let end = "ended: the client finished, code 7 (protocol error); \
               the server finished, code 7 (protocol error) \"so \\u{1b}[2J long\", not acknowledged";
    assert!(summary.contains(end), "{summary}");
    let reset = block(Command::WindowTell, 0, 1, 2, Body::Reset { code: 42, reason: "enough" });
    let (_, summary) = conversation(&[(true, hello.clone()), (false, reset)]);
    assert!(summary.contains("ended: reset by the server, code 42 \"enough\""), "{summary}");
    let (_, summary) = conversation(&[(true, hello.clone()), (true, fin(1, ""))]);
    assert!(summary.contains("the client finished, code 7 (protocol error), not acknowledged; the server was not seen to finish"), "{summary}");
    let (_, summary) = conversation(&[(true, hello)]);
    assert!(summary.contains("no end was seen, though the peers can say one"), "{summary}");
}

#[test]
fn a_segment_that_none_is_says_what_is_wrong() {
    let mut wrong = push(0, b"");
    wrong[4] = 0x30;
    let broken = [push(0, b"a"), wrong.clone()].concat();
    let mut other = push(1, b"");
    other[0] = 8;
    let (lines, _) = conversation(&[
        (true, push(0, b"a")),
        (true, wrong),
        (true, broken),
        (true, [push(1, b""), other].concat()),
        (true, [push(2, b""), vec![1, 2, 3]].concat()),
        (true, vec![]),
    ]);
    let why = "cmd 0x30 is none of PUSH 0x51, ACK 0x52, WASK 0x53, WINS 0x54]";
    assert!(lines[1].contains("[not KCP: 24 bytes, ") && lines[1].ends_with(why), "{}", lines[1]);
    assert!(
        lines[2].contains("PUSH sn=0") && lines[2].contains("[from byte 25 on no segment: "),
        "{}",
        lines[2]
    );
    assert!(lines[3].ends_with("[from byte 24 on conv 0x00000008: receivers stop there]"), "{}", lines[3]);
    assert!(lines[4].ends_with("[3 bytes behind the last segment are ignored]"), "{}", lines[4]);
    assert!(lines[5].ends_with("[an empty datagram]"), "{}", lines[5]);
}
