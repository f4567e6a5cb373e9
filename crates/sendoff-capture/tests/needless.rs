//! What is sent needlessly, what is only made good too late, and how much was lost.

mod common;

use common::capture;
use sendoff_capture::{
    Dissector, Options, PacketReader,
    conversation::{Detail, Kcp, Marks, Side},
    layers::Source,
};
use sendoff_proto::wire::Command;
use std::collections::BTreeSet;

/// A segment in a capture.
struct Seen {
    packet: u64,
    side: Side,
    command: Command,
    sn: u32,
    una: u32,
    ts: u32,
    marks: Marks,
    recovered: bool,
}

fn dissect(name: &str, secret: Option<&str>) -> (Vec<Seen>, Kcp) {
    let file = capture(name);
    let mut options = Options::default();
    options.keys.secret = secret.map(|secret| secret.into());
    let (mut reader, mut dissector) = (PacketReader::new(&file[..]).unwrap(), Dissector::new(options));
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        for note in &dissected.analysis.segments {
            let segment = dissected.segment(note).unwrap();
            all.push(Seen {
                packet: packet.number,
                side: dissected.analysis.participant.unwrap().side,
                command: segment.command(),
                sn: segment.sn().0,
                una: segment.una().0,
                ts: segment.timestamp().0,
                marks: note.marks(),
                recovered: note.span.source == Source::Recovered,
            });
        }
    }
    let Some(Detail::Kcp(kcp)) = dissector.finish().pop().map(|conversation| conversation.detail) else {
        panic!("no KCP in {name}")
    };
    (all, *kcp)
}

/// 56 of the 154 segments that this client sent were acknowledged before they left, as the capture says. That is true:
/// the datagram with their ACKs was lost, the next one named later numbers, and so kcp-go took all 56 for lost and
/// sent them in one flush, of one ts and una. While it sealed them one by one, una 95 came in.
#[test]
fn kcp_go_sends_56_segments_again_because_the_datagram_with_their_acks_was_lost() {
    let (all, kcp) = dissect("kcpgo72-gcm-fec-10-3-loss10", Some("it's a secrect"));
    let needless: Vec<&Seen> =
        all.iter().filter(|seen| seen.side == Side::Client && seen.marks.has(Marks::NEEDLESS)).collect();
    let numbers: Vec<u32> = needless.iter().map(|seen| seen.sn).collect();
    assert_eq!(numbers, (32..88).collect::<Vec<u32>>());
    assert!(needless.iter().all(|seen| (seen.una, seen.ts) == (12, 9) && !seen.recovered), "one flush");
    let of_server = || all.iter().filter(|seen| seen.side == Side::Server);
    let first = needless[0].packet;
    // In the capture, not only by recovery, all of them were covered before the first of them left.
    assert!(of_server().any(|seen| !seen.recovered && seen.una >= 88 && seen.packet < first));
    // Later numbers had been named, these had not: their ACKs came only by recovery.
    let acks = |recovered, before| {
        of_server().filter(move |seen| {
            seen.command == Command::Ack && seen.recovered == recovered && seen.packet < before
        })
    };
    assert_eq!(acks(false, first).filter(|ack| numbers.contains(&ack.sn)).count(), 0);
    assert!((88..95).all(|sn| acks(false, first).any(|ack| ack.sn == sn)));
    assert!((32..88).all(|sn| acks(true, u64::MAX).any(|ack| ack.sn == sn)), "the lost datagram came back");
    let client = &kcp.sides[Side::Client.index()];
    assert_eq!((client.pushes, client.needless, client.recovered_known), (154, 56, 0));
}

#[test]
fn what_comes_back_by_recovery_when_it_is_known_is_not_sent_again() {
    for (name, secret, known) in [
        ("kcpgo72-gcm-fec-10-3-loss10", Some("it's a secrect"), 1),
        ("fec-10-3-loss15", None, 1),
        ("aes-fec-10-3-loss10", Some("it's a secrect"), 0),
    ] {
        let (all, kcp) = dissect(name, secret);
        for side in [Side::Client, Side::Server] {
            let of = &kcp.sides[side.index()];
            let count = |is: &dyn Fn(&Seen) -> bool| {
                all.iter()
                    .filter(|seen| seen.side == side && seen.command == Command::Push && is(seen))
                    .count() as u64
            };
            let again = Marks::RETRANSMISSION | Marks::NEEDLESS;
            assert_eq!(of.retransmissions, count(&|seen| seen.marks.has(again)), "{name}");
            assert_eq!(
                count(&|seen| seen.recovered && seen.marks.has(again | Marks::DUPLICATE)),
                0,
                "{name}"
            );
            assert_eq!(of.recovered_known, count(&|seen| seen.marks.has(Marks::KNOWN)), "{name}");
            assert_eq!(of.recovered, count(&|seen| seen.recovered && seen.marks.has(Marks::NEW)), "{name}");
            assert_eq!(of.recovered + of.recovered_known, count(&|seen| seen.recovered), "{name}");
            assert_eq!(of.pushes + of.recovered_known, count(&|_| true), "{name}");
        }
        assert_eq!(kcp.sides[1].recovered_known, known, "{name}");
    }
}

/// Of a side: PUSHes, of these sent again, late, recovered; shards that weren't seen.
type Figures = (u64, u64, u64, u64, Option<u64>);

/// Losses and what was done about them, beside a count that knows of nothing but numbers and times.
#[test]
fn losses_and_retransmissions_are_counted_as_they_are() {
    let rows: [(&str, Option<&str>, [Figures; 2]); 3] = [
        ("plain-stream-loss10", None, [(66, 6, 0, 0, None), (80, 20, 11, 0, None)]),
        ("kcpgo72-plain-stream-loss10", None, [(64, 11, 0, 0, None), (53, 0, 2, 0, None)]),
        ("aes-fec-10-3-loss10", Some("it's a secrect"), [(137, 37, 0, 0, Some(0)), (100, 0, 6, 6, Some(9))]),
    ];
    for (name, secret, figures) in rows {
        let (all, kcp) = dissect(name, secret);
        for (side, figures) in [Side::Client, Side::Server].into_iter().zip(figures) {
            let of = &kcp.sides[side.index()];
            let lost = of.fec.as_ref().map(|fec| fec.lost);
            let told = (of.pushes, of.retransmissions, of.late, of.recovered, lost);
            assert_eq!(told, figures, "{name}, {side}");
            // Each transmission has a time of its own, and each number a first one.
            let pushes = all.iter().filter(|seen| seen.side == side && seen.command == Command::Push);
            let sent: BTreeSet<_> = pushes.clone().map(|seen| (seen.sn, seen.ts)).collect();
            let numbers: BTreeSet<_> = pushes.map(|seen| seen.sn).collect();
            assert_eq!((sent.len() - numbers.len()) as u64, of.retransmissions, "{name}, {side}");
            assert_eq!(numbers.len() as u64, of.new_segments, "{name}, {side}");
        }
    }
}
