//! What the dissector makes of odd sequences of packets, and that it knows what it holds.

use super::*;
use crate::{
    LinkType,
    conversation::{Detail, Ended, Kcp, Side},
    file::Comments,
    flows::{MAX_CONVERSATIONS, MAX_FLOWS, MAX_PUT_TOGETHER},
    report::HtmlReport,
    udp_packet,
};
use sendoff_proto::{
    SeqNumber, Timestamp, TransmitBuffer,
    fec::{Encoder, FEC_OVERHEAD, Fec},
    wire::{Block, BlockKind, Body, Command, FIN_FRAGMENT, Segment, Token},
};
use std::{net::SocketAddr, path::Path, time::Instant};

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 1_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 2_000);

/// Shows a dissector one packet after the other.
struct Shown {
    dissector: Dissector,
    packets: u64,
}

impl Shown {
    fn new(options: Options) -> Self {
        Self { dissector: Dissector::new(options), packets: 0 }
    }

    fn following(side: Side) -> Self {
        Self::new(Options { follow: Some(Follow { side, conversation: None }), ..Options::default() })
    }

    fn packet<T>(&mut self, time: Duration, data: &[u8], look: impl FnOnce(&Dissected<'_>) -> T) -> T {
        self.packets += 1;
        let packet = Packet {
            number: self.packets,
            time: Some(time),
            interface: 0,
            link: LinkType::RAW,
            original_len: data.len() as u32,
            data,
            offset: 0,
            comments: Comments::default(),
        };
        look(&self.dissector.packet(&packet))
    }

    fn datagram(
        &mut self,
        time: Duration,
        from: impl Into<SocketAddr>,
        to: impl Into<SocketAddr>,
        payload: &[u8],
    ) {
        let mut packet = Vec::new();
        udp_packet(from.into(), to.into(), payload, &mut packet).unwrap();
        self.packet(time, &packet, |_| ());
    }

    fn segment(&mut self, time: Duration, side: Side, segment: &[u8]) {
        let (from, to) = if side == Side::Client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        self.datagram(time, from, to, segment);
    }

    fn tcp(
        &mut self,
        from: ([u8; 4], u16),
        to: ([u8; 4], u16),
        [sequence, acknowledgement]: [u32; 2],
        flags: u8,
        data: &[u8],
    ) {
        let mut packet = vec![0x45, 0];
        packet.extend((40 + data.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0, 0, 64, 6, 0, 0]);
        packet.extend([from.0, to.0].concat());
        packet.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
        packet.extend([sequence.to_be_bytes(), acknowledgement.to_be_bytes()].concat());
        packet.extend([0x50, flags, 16, 0, 0, 0, 0, 0]);
        packet.extend(data);
        self.packet(Duration::ZERO, &packet, |_| ());
    }

    fn followed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.dissector.take_followed(&mut bytes);
        bytes
    }
}

fn kcp(conversation: &Conversation) -> &Kcp {
    match &conversation.detail {
        Detail::Kcp(kcp) => kcp,
        other => panic!("{other:?}"),
    }
}

fn segment(command: Command, [sn, una, ts]: [u32; 3], window: u16, data: &[u8]) -> Vec<u8> {
    let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(una), Timestamp(ts));
    let mut out = Vec::new();
    Segment { conv: 7, command, fragment: 0, window, timestamp, sn, una }.encode(data, &mut out);
    out
}

fn push(sn: u32, una: u32, ts: u32, data: &[u8]) -> Vec<u8> {
    segment(Command::Push, [sn, una, ts], 32, data)
}

fn tells(una: u32, window: u16) -> Vec<u8> {
    segment(Command::WindowTell, [0, una, 0], window, b"")
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn stalls_of_all_of_time_are_added_up() {
    let (begin, end) = (Duration::ZERO, Duration::from_secs(u64::MAX));
    let mut shown = Shown::new(Options::default());
    let mut report = HtmlReport::new(Vec::new(), "stalls").unwrap();
    for (time, side, content) in [
        (begin, Side::Server, tells(0, 1)),
        (begin, Side::Client, push(0, 0, 0, b"x")),
        (end, Side::Server, tells(1, 1)),
        (begin, Side::Client, push(1, 0, 0, b"x")),
        (end, Side::Server, tells(2, 1)),
        (begin, Side::Client, push(2, 0, 0, b"x")),
        (end, Side::Client, push(2, 0, 9, b"x")),
    ] {
        let (mut packet, from_client) = (Vec::new(), side == Side::Client);
        let (from, to) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        udp_packet(from.into(), to.into(), &content, &mut packet).unwrap();
        shown.packet(time, &packet, |dissected| report.packet(dissected).unwrap());
    }
    let all = shown.dissector.finish();
    report.conversation(&all[0]).unwrap();
    report.finish(&shown.dissector.totals(), None, None).unwrap();
    // The one that speaks first is the client.
    assert_eq!(kcp(&all[0]).sides[1].stalls, 3);
    assert_eq!(kcp(&all[0]).sides[1].stalled, Duration::MAX);
}

#[test]
fn a_stall_that_never_ends_lasts_until_the_last_packet() {
    let mut shown = Shown::new(Options::default());
    shown.segment(ms(0), Side::Client, &tells(0, 32));
    shown.segment(ms(1), Side::Server, &tells(0, 1));
    shown.segment(ms(10), Side::Client, &push(0, 0, 0, b"x"));
    shown.segment(ms(250), Side::Client, &push(0, 0, 240, b"x"));
    let all = shown.dissector.finish();
    let client = &kcp(&all[0]).sides[0];
    assert_eq!((client.stalls, client.stalled), (1, ms(240)));
}

#[test]
fn a_retransmission_that_waited_for_its_timeout_is_not_fast_whatever_was_acknowledged_since() {
    let mut shown = Shown::new(Options::default());
    for sn in 0..4 {
        shown.segment(ms(0), Side::Client, &push(sn, 0, 0, b"x"));
    }
    // The round trip takes 20 ms: up to 70 ms it can have been an ACK that made it sent again.
    shown.segment(ms(20), Side::Server, &segment(Command::Ack, [3, 0, 0], 32, b""));
    shown.segment(ms(70), Side::Client, &push(0, 0, 70, b"x"));
    shown.segment(ms(71), Side::Client, &push(1, 0, 71, b"x"));
    shown.segment(ms(200), Side::Client, &push(2, 0, 200, b"x"));
    let all = shown.dissector.finish();
    let client = &kcp(&all[0]).sides[0];
    assert_eq!((client.retransmissions, client.fast), (3, 1));
}

#[test]
fn the_same_conv_on_the_same_ports_is_another_conversation_when_it_begins_anew() {
    for conversation in [1, 2] {
        let follow = Some(Follow { side: Side::Client, conversation: Some(conversation) });
        let mut shown = Shown::new(Options { follow, ..Options::default() });
        shown.segment(ms(0), Side::Client, &push(0, 0, 100, b"the first"));
        shown.segment(ms(1), Side::Server, &segment(Command::Ack, [0, 1, 100], 32, b""));
        shown.segment(ms(2), Side::Client, &push(0, 0, 102, b"the first"));
        shown.segment(ms(500), Side::Client, &push(0, 0, 7, b"the second"));
        shown.segment(ms(501), Side::Server, &segment(Command::Ack, [0, 1, 7], 32, b""));
        let all = shown.dissector.finish();
        assert_eq!(all.len(), 2);
        assert_eq!(all.iter().map(|one| kcp(one).sides[0].needless).collect::<Vec<_>>(), [1, 0]);
        assert!(all.iter().all(|one| matches!(kcp(one).ended(), Ended::Unseen { .. })));
        assert_eq!(
            shown.followed(),
            if conversation == 1 { b"the first".to_vec() } else { b"the second".to_vec() }
        );
        // It isn't known to have ended, but nothing can have come of it later.
        assert!(shown.dissector.follow_report().is_complete());
    }
}

#[test]
fn eight_datagrams_far_off_are_believed_and_one_with_as_many_segments_is_not() {
    for in_one in [true, false] {
        let mut shown = Shown::following(Side::Client);
        shown.segment(ms(0), Side::Client, &push(0, 0, 0, b"a"));
        shown.segment(ms(1), Side::Server, &tells(1, 32));
        let far: Vec<_> = (100_000..100_008).map(|sn| push(sn, 0, 0, b"far")).collect();
        let unas: Vec<_> = (200_000..200_008).map(|una| tells(una, 32)).collect();
        if in_one {
            shown.segment(ms(2), Side::Client, &far.concat());
            shown.segment(ms(3), Side::Server, &unas.concat());
        } else {
            far.iter().for_each(|far| shown.segment(ms(2), Side::Client, far));
        }
        shown.segment(ms(4), Side::Client, &push(if in_one { 1 } else { 100_008 }, 0, 0, b"b"));
        let all = shown.dissector.finish();
        assert_eq!(shown.followed(), if in_one { &b"ab"[..] } else { b"afarb" });
        assert_eq!(kcp(&all[0]).sides[0].new_segments, if in_one { 2 } else { 3 });
    }
}

#[test]
fn what_is_followed_and_was_replaced_is_complete_only_if_its_end_was_seen() {
    let hello = |token| {
        let mut data = Vec::new();
        let body = Body::Hello { features: 0, cookie: [0; 16] };
        Block { flags: 0, to: None, from: Token::new(token), body }.encode(&mut data);
        segment(BlockKind::Hello.carrier(), [0; 3], 32, &data)
    };
    let fin = {
        let mut data = Vec::new();
        Block { flags: 0, to: Token::new(9), from: Token::new(5), body: Body::Fin { code: 0, reason: "" } }
            .encode(&mut data);
        let mut fin = segment(BlockKind::Fin.carrier(), [1, 0, 0], 32, &data);
        // What an application's data never has.
        fin[5] = FIN_FRAGMENT;
        fin
    };
    for (end, complete) in [(None, false), (Some(&fin), true), (Some(&reset()), true)] {
        let mut shown = Shown::following(Side::Client);
        shown.segment(ms(0), Side::Client, &hello(5));
        shown.segment(ms(1), Side::Client, &push(0, 0, 0, b"all"));
        if let Some(end) = end {
            shown.segment(ms(2), Side::Client, end);
        }
        shown.segment(ms(3), Side::Client, &hello(6));
        shown.segment(ms(4), Side::Client, &push(1, 0, 0, b"more"));
        assert_eq!(shown.dissector.finish().len(), 2);
        assert_eq!(shown.followed(), b"all");
        let report = shown.dissector.follow_report();
        assert_eq!((report.replaced, report.is_complete()), (!complete, complete), "{end:?}");
    }
}

#[test]
fn a_datagram_is_counted_where_it_belongs_though_what_it_brings_back_begins_another_conversation() {
    let now = Instant::now();
    let (mut encoder, mut buffer) =
        (Encoder::new(Fec::new(3, 1).unwrap()), TransmitBuffer::with_room(FEC_OVERHEAD, 0));
    let mut group = |contents: [&[u8]; 3]| {
        let mut shards = Vec::new();
        for content in contents {
            let mut datagram = [&[0; FEC_OVERHEAD], content].concat();
            encoder.encode_datagram(now, &mut datagram, FEC_OVERHEAD, 0);
            shards.push(datagram);
        }
        while encoder.poll_transmit(&mut buffer) {
            shards.extend(buffer.datagrams().map(<[u8]>::to_vec));
        }
        <[Vec<u8>; 4]>::try_from(shards).unwrap()
    };
    let of = |conv: u8, sn| {
        let mut datagram = push(sn, 0, sn, b"x");
        datagram[0] = conv;
        datagram
    };
    let mut shown = Shown::new(Options::default());
    // As many as a flow may have.
    (1..=16).for_each(|conv| shown.segment(ms(0), Side::Client, &of(conv, 0)));
    for n in 0..8 {
        for shard in group([1, 2, 3].map(|place| of(16, 3 * n + place)).each_ref().map(Vec::as_slice)) {
            shown.segment(ms(1), Side::Client, &shard);
        }
    }
    // Of a conversation that hasn't been seen yet there is what is none of its segments, and one that is lost.
    let mut none = of(99, 0);
    none[4] = 0;
    let [_, second, third, parity] = group([&of(99, 0), &none, &of(5, 1)]);
    shown.segment(ms(2), Side::Client, &second);
    shown.segment(ms(2), Side::Client, &parity);
    let mut packet = Vec::new();
    udp_packet(CLIENT.into(), SERVER.into(), &third, &mut packet).unwrap();
    let (segments, participant) = shown.packet(ms(2), &packet, |dissected| {
        (dissected.analysis.segments.len(), dissected.analysis.participant.unwrap())
    });
    assert_eq!((segments, participant.conversation), (2, 5), "its own, and the one that came back");
    let all = shown.dissector.finish();
    assert_eq!((all.len(), kcp(&all[16]).conv), (17, 99));
    assert_eq!(all[4..6].iter().map(|one| one.totals[0].packets).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn what_tcp_has_acknowledged_and_the_capture_lacks_is_not_waited_for() {
    const ACK: u8 = 0x10;
    for late in [false, true] {
        let mut shown = Shown::following(Side::Client);
        shown.tcp(CLIENT, SERVER, [9, 0], 2, b"");
        shown.tcp(CLIENT, SERVER, [10, 0], ACK, b"abc");
        shown.tcp(CLIENT, SERVER, [15, 0], ACK, b"fg");
        shown.tcp(SERVER, CLIENT, [0, 17], ACK, b"");
        // A capture may have a segment behind its acknowledgement.
        assert_eq!(shown.followed(), b"abc");
        if late {
            shown.tcp(CLIENT, SERVER, [13, 0], ACK, b"de");
            assert_eq!(shown.followed(), b"defg");
        }
        shown.tcp(CLIENT, SERVER, [17, 0], ACK, b"hi");
        assert_eq!(shown.followed(), if late { b"hi".to_vec() } else { b"fghi".to_vec() });
        shown.dissector.finish();
        assert_eq!(shown.dissector.follow_report().gaps.len(), usize::from(!late));
    }
}

/// So many flows that those before are forgotten.
fn crowd(shown: &mut Shown) {
    for n in 0..=MAX_FLOWS {
        let from = ([10, 1, (n >> 8) as u8, n as u8], 7);
        shown.datagram(ms(1), from, SERVER, b"x");
    }
}

#[test]
fn what_is_followed_and_was_forgotten_is_complete_only_if_its_end_was_seen() {
    const FIN: u8 = 0x11;
    for (ends, complete) in [(false, false), (true, true)] {
        let mut shown = Shown::following(Side::Client);
        shown.tcp(CLIENT, SERVER, [9, 0], 2, b"");
        shown.tcp(CLIENT, SERVER, [10, 0], 0x10, b"all");
        if ends {
            shown.tcp(CLIENT, SERVER, [13, 0], FIN, b"");
            shown.tcp(SERVER, CLIENT, [0, 14], FIN, b"");
        }
        crowd(&mut shown);
        assert!(shown.dissector.has_forgotten());
        shown.dissector.finish();
        assert_eq!(shown.followed(), b"all");
        let report = shown.dissector.follow_report();
        assert_eq!((report.forgotten, report.is_complete()), (!complete, complete), "{ends}");
    }
    // Forgotten ones that nobody follows say nothing.
    let mut shown = Shown::new(Options::default());
    crowd(&mut shown);
    shown.dissector.finish();
    assert!(!shown.dissector.follow_report().forgotten);
}

#[test]
fn bounds_hold_whatever_numbers_the_packets_have() {
    let mut shown = Shown::new(Options::default());
    let flows = 2 * MAX_CONVERSATIONS / 16;
    for n in 0..2 * MAX_CONVERSATIONS {
        // Never a number that 4,096 divides.
        shown.packets = 2 * n as u64;
        let mut datagram = push(0, 0, 0, b"x");
        datagram[0] = (n / flows) as u8;
        let from = ([10, 1, ((n % flows) >> 8) as u8, (n % flows) as u8], 7);
        shown.datagram(ms(1), from, SERVER, &datagram);
    }
    let kept = shown.dissector.flows.take_all().len();
    assert!(kept < MAX_CONVERSATIONS + SUMS_EVERY as usize, "{kept}");
}

#[test]
fn the_sums_that_are_kept_are_those_of_a_count() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut most = Sums::default();
    for (name, secret) in [
        ("tests/captures/kcptun-aes-fast-snappy-smux1", "correct horse"),
        ("tests/captures/seed-tcp-framed-le32", ""),
        ("../sendoff-proto/tests/captures/fec-10-3-loss15", ""),
        ("../sendoff-proto/tests/captures/plain-stream-loss10", ""),
    ] {
        let file = std::fs::read(place.join(format!("{name}.pcapng"))).unwrap();
        let mut options = Options { smux: true, ..Options::default() };
        options.keys.secret = Some(secret.into());
        let mut dissector = Dissector::new(options);
        let mut reader = crate::PacketReader::new(&file[..]).unwrap();
        while let Some(packet) = reader.next_packet().unwrap() {
            dissector.packet(&packet);
            let Sums { tracked, waiting, shards } = dissector.flows.sums();
            assert_eq!(dissector.sums, Sums { tracked, waiting, shards }, "{name}: {}", packet.number);
            most.tracked = most.tracked.max(tracked);
            most.waiting = most.waiting.max(waiting);
            most.shards = most.shards.max(shards);
        }
    }
    assert!(most.tracked > 0 && most.waiting > 0 && most.shards > 0, "{most:?}");
}

#[test]
fn of_what_waits_that_goes_first_which_is_over_or_silent_longest_and_never_what_is_followed() {
    let follow = Some(Follow { side: Side::Client, conversation: Some(1) });
    let mut shown = Shown::new(Options { framing: Some(Framing::Lines), follow, ..Options::default() });
    let reset = reset();
    let much = vec![b'x'; 60_000];
    for n in 0..9 {
        for sn in 1..70 {
            shown.datagram(ms(n as u64), one_of_many(n), SERVER, &push(sn, 0, 0, &much));
        }
        if n == 6 {
            shown.datagram(ms(n as u64), one_of_many(n), SERVER, &reset);
        }
    }
    let waiting = shown.dissector.sums.waiting;
    assert!((MANY_WAITING / 4..MANY_WAITING).contains(&waiting), "{waiting}");
    // Whoever comes now may wait as if nothing were.
    for sn in [1, 0] {
        shown.datagram(ms(9), one_of_many(9), SERVER, &push(sn, 0, 0, b"line\n"));
    }
    let mut all = shown.dissector.flows.take_all();
    all.sort_by_key(|one| one.number);
    let waits: Vec<bool> = all.iter().map(|one| one.detail.waiting() > 0).collect();
    assert_eq!(waits, [true, false, false, false, true, true, false, true, true, false]);
    assert_eq!(frames_of(&all)[9], 2);
}

#[test]
fn frames_that_become_whole_together_are_told_as_first_and_count() {
    let mut shown = Shown::new(Options { framing: Some(Framing::Lines), ..Options::default() });
    shown.segment(ms(0), Side::Client, &push(0, 0, 0, b"a\n"));
    // It waits for 1.
    shown.segment(ms(0), Side::Client, &push(2, 0, 0, &[b'\n'; 1_000]));
    let mut packet = Vec::new();
    udp_packet(CLIENT.into(), SERVER.into(), &push(1, 0, 0, b"bc\nd"), &mut packet).unwrap();
    let frames = shown.packet(ms(0), &packet, |dissected| dissected.analysis.frames).unwrap();
    assert_eq!((frames.first.number, frames.first.len, frames.count, frames.last()), (2, 3, 1_001, 1_002));
}

fn reset() -> Vec<u8> {
    let mut data = Vec::new();
    let body = Body::Reset { code: 0, reason: "" };
    Block { flags: 0, to: None, from: None, body }.encode(&mut data);
    segment(BlockKind::Reset.carrier(), [0; 3], 0, &data)
}

/// The client of a conversation of its own.
fn one_of_many(n: usize) -> ([u8; 4], u16) {
    ([10, 1, (n >> 8) as u8, n as u8], 7)
}

fn frames_of(all: &[Conversation]) -> Vec<u64> {
    all.iter().map(|one| kcp(one).sides[0].framing().map_or(0, |(_, frames, _)| frames)).collect()
}

#[test]
fn of_more_conversations_than_may_be_put_together_the_one_that_was_silent_longest_gives_way() {
    let many = MAX_PUT_TOGETHER + 20;
    let follow = Some(Follow { side: Side::Client, conversation: Some(3) });
    let mut shown = Shown::new(Options { framing: Some(Framing::Lines), follow, ..Options::default() });
    for n in 0..many {
        shown.datagram(ms(n as u64), one_of_many(n), SERVER, &push(0, 0, 0, b"line\n"));
        // The first is never silent for long.
        shown.datagram(ms(n as u64), one_of_many(0), SERVER, &push(n as u32, 0, 0, b"line\n"));
    }
    for n in 0..many {
        shown.datagram(
            ms(1_000),
            one_of_many(n),
            SERVER,
            &push(if n == 0 { many as u32 } else { 1 }, 0, 0, b"line\n"),
        );
    }
    let all = shown.dissector.finish();
    // The third is followed and takes no place; the second and those behind the third were silent longest.
    assert_eq!(shown.dissector.totals().gave_way, 19);
    let frames = frames_of(&all);
    assert_eq!(frames[0], many as u64 + 1);
    assert_eq!(frames[1..4], [1, 2, 1]);
    assert_eq!(frames.iter().filter(|frames| **frames == 1).count(), 19);
    assert!(frames[21..].iter().all(|frames| *frames == 2), "{frames:?}");
    assert_eq!(shown.followed(), b"line\nline\n");
    let mut closing = String::new();
    crate::report::closing(&shown.dissector.totals(), &mut closing);
    assert!(
        closing.contains("; frames of 19 conversations not told to the end: more than 256 at a time"),
        "{closing}"
    );
}

#[test]
fn conversations_that_are_over_give_way_unnoticed() {
    let mut shown = Shown::new(Options { framing: Some(Framing::Lines), ..Options::default() });
    let reset = reset();
    // This one goes on, though it was silent longest.
    shown.datagram(ms(0), one_of_many(0), SERVER, &push(0, 0, 0, b"line\n"));
    for n in 1..2 * MAX_PUT_TOGETHER {
        // What waits is told in the end, though something is missing.
        shown.datagram(ms(n as u64), one_of_many(n), SERVER, &push(1, 0, 0, b"line\n"));
        shown.datagram(ms(n as u64), one_of_many(n), SERVER, &reset);
    }
    shown.datagram(ms(1_000), one_of_many(0), SERVER, &push(1, 0, 0, b"line\n"));
    let all = shown.dissector.finish();
    assert_eq!(shown.dissector.totals().gave_way, 0);
    let frames = frames_of(&all);
    assert_eq!((frames[0], all.len()), (2, 2 * MAX_PUT_TOGETHER));
    assert!(frames[1..].iter().all(|frames| *frames == 1), "{frames:?}");
}

#[test]
fn extension_headers_in_a_packet_that_came_in_pieces_are_gone_over() {
    let mut datagram = Vec::new();
    datagram.extend([[0x3, 0xe8], [0x7, 0xd0]].concat());
    let content = push(0, 0, 0, b"sixteen bytes...");
    datagram.extend((8 + content.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(&content);
    // Destination options, then UDP.
    let whole = [&[17, 0, 1, 4, 0, 0, 0, 0][..], &datagram].concat();
    let mut shown = Shown::new(Options::default());
    let (front, back) = whole.split_at(32);
    for (offset, more, piece) in [(0, 1, front), (32_u16, 0, back)] {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend((8 + piece.len() as u16).to_be_bytes());
        packet.extend([44, 64]);
        packet.extend([[0xfd; 16], [0xfe; 16]].concat());
        packet.extend([60, 0]);
        packet.extend((offset | more).to_be_bytes());
        packet.extend([0, 0, 0, 5]);
        packet.extend(piece);
        shown.packet(ms(0), &packet, |_| ());
    }
    let all = shown.dissector.finish();
    assert_eq!(kcp(&all[0]).sides[0].new_bytes, 16);
}
