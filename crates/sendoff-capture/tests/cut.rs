//! Packets that the capture has cut off: told as far as they go, and nothing is made up.

mod common;

use common::capture;
use sendoff_capture::{
    Dissector, Follow, Options, PacketReader, PcapngWriter,
    above::Trouble,
    conversation::{Conversation, Detail, KcpSide, Side},
    file::PacketNotes,
    report::{HtmlReport, Lines, Signs, Verbose, packet_object},
};

/// The capture as it would be if only so many bytes of each packet had been kept.
fn cut(file: &[u8], kept: usize) -> Vec<u8> {
    cut_each(file, kept, 1)
}

/// The same with each `nth` packet only.
fn cut_each(file: &[u8], kept: usize, nth: u64) -> Vec<u8> {
    let mut reader = PacketReader::new(file).unwrap();
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let mut interface = None;
    while let Some(packet) = reader.next_packet().unwrap() {
        let interface = *interface.get_or_insert_with(|| writer.interface(packet.link, "test").unwrap());
        let kept = if packet.number.is_multiple_of(nth) { kept } else { usize::MAX };
        let data = &packet.data[..packet.data.len().min(kept)];
        let notes = PacketNotes { original_len: Some(packet.original_len), ..PacketNotes::default() };
        writer.packet_with(interface, packet.time.unwrap(), data, &notes).unwrap();
    }
    writer.into_inner()
}

fn dissect(
    file: &[u8],
    options: Options,
    mut each: impl FnMut(&sendoff_capture::Dissected<'_>),
) -> (Dissector, Vec<Conversation>) {
    let (mut reader, mut dissector) = (PacketReader::new(file).unwrap(), Dissector::new(options));
    while let Some(packet) = reader.next_packet().unwrap() {
        each(&dissector.packet(&packet));
    }
    let conversations = dissector.finish();
    (dissector, conversations)
}

fn lines(file: &[u8]) -> Vec<String> {
    let (mut lines, mut all) = (Lines::new(Signs::UNICODE), Vec::new());
    dissect(file, Options::default(), |dissected| {
        let mut line = String::new();
        lines.write(dissected, &mut line);
        all.push(line);
    });
    all
}

fn sides(conversations: &[Conversation]) -> &[KcpSide; 2] {
    match &conversations[0].detail {
        Detail::Kcp(kcp) => &kcp.sides,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_short_packet_is_told_by_its_header_with_what_is_there_of_its_data() {
    let told = lines(&cut(&capture("seed-p002"), 14 + 20 + 8 + 24 + 10));
    assert!(told[0].contains("  #1 client  PUSH sn=0 una=0 wnd=32 53 bytes \"2026-11-20 …\""), "{}", told[0]);
    assert!(told[0].contains("[cut off by the capture: 34 of 77 bytes are there]"), "{}", told[0]);
    assert!(told[1].contains("ACK sn=0 una=1 wnd=32  (its ack)"), "{}", told[1]);
    assert!(told[2].contains("PUSH sn=0 una=1") && told[2].ends_with("(response)\n"), "{}", told[2]);
    // Not even its header: what is there is data.
    let told = lines(&cut(&capture("seed-p002"), 14 + 20 + 8 + 23));
    assert!(told[0].contains("[cut off by the capture: 23 of 77 bytes are there]"), "{}", told[0]);
    assert!(!told[0].contains("PUSH"), "{}", told[0]);
}

#[test]
fn headers_are_enough_for_retransmissions_and_round_trips() {
    let whole = capture("plain-stream-loss10");
    let (_, all) = dissect(&whole, Options::default(), |_| {});
    // Up to the end of the first segment's header.
    let (_, short) = dissect(&cut(&whole, 14 + 20 + 8 + 24), Options::default(), |_| {});
    for (all, short) in sides(&all).iter().zip(sides(&short)) {
        let figures = |side: &KcpSide| (side.retransmissions, side.fast, side.new_segments, side.new_bytes);
        assert!(short.new_bytes > 0 || all.new_bytes == 0);
        // Of datagrams with several segments only the first is there.
        let (all, short) = (figures(all), figures(short));
        assert!(short.0 <= all.0 && short.2 <= all.2 && short.3 <= all.3, "{short:?} {all:?}");
        assert!(short.2 * 2 >= all.2, "{short:?} {all:?}");
    }
    let samples = |conversations: &[Conversation]| sides(conversations)[0].round_trips.count();
    assert!(samples(&short) > 0 && samples(&short) <= samples(&all));
}

#[test]
fn bytes_that_were_cut_off_are_missing_and_never_made_up() {
    let whole = capture("plain-stream-loss10");
    let follow = |file: &[u8]| {
        let follow = Some(Follow { side: Side::Client, conversation: None });
        let options = Options { follow, ..Options::default() };
        let (mut dissector, _) = dissect(file, options, |_| {});
        let mut bytes = Vec::new();
        dissector.take_followed(&mut bytes);
        (bytes, dissector.follow_report().clone())
    };
    let (all, report) = follow(&whole);
    assert!(report.is_complete());
    let (some, report) = follow(&cut_each(&whole, 500, 5));
    assert!(report.cut_off && !report.is_complete(), "{report:?}");
    assert!(!report.gaps.is_empty(), "{report:?}");
    assert!(!some.is_empty() && some.len() < all.len());
    // What is there is a part of what there was, piece by piece.
    let mut at = 0;
    for piece in some.chunks(16) {
        let found = all[at..].windows(piece.len()).position(|window| window == piece);
        at += found.unwrap_or_else(|| panic!("made up: {piece:02x?}"));
    }
}

#[test]
fn a_parity_group_isnt_recovered_from_half_a_shard() {
    let file = cut(&capture("fec-10-3-loss15"), 14 + 20 + 8 + 8 + 24 + 100);
    let mut recovered = 0;
    let (_, conversations) = dissect(&file, Options::default(), |dissected| {
        let notes = &dissected.analysis.segments;
        let of = |note: &&sendoff_capture::SegmentNote| note.marks().words().any(|word| word == "recovered");
        // Whole shards may still make good what was lost; a cut one never.
        if matches!(dissected.analysis.trouble, Some(Trouble::CutOff { .. })) {
            recovered += notes.iter().filter(of).count();
            assert!(dissected.analysis.shard.is_some());
        }
    });
    assert_eq!(recovered, 0);
    assert!(sides(&conversations).iter().any(|side| side.fec.is_some()));
}

#[test]
fn every_length_is_told_without_a_panic() {
    for name in ["seed-p002", "seed-udp-echo", "seed-tcp-sticky"] {
        let file = capture(name);
        for kept in 0..180 {
            let mut text = String::new();
            let (_, conversations) = dissect(&cut(&file, kept), Options::default(), |dissected| {
                Lines::new(Signs::ASCII).write(dissected, &mut text);
                Verbose::default().write(dissected, &mut text);
                packet_object(dissected, Some(Default::default()), &mut text);
            });
            assert!(!text.is_empty() && conversations.len() <= 1, "{name} {kept}");
        }
    }
}

#[test]
fn the_page_has_the_lengths_of_the_wire() {
    let whole = capture("seed-p002");
    let page = |file: &[u8]| {
        let mut report = HtmlReport::new(Vec::new(), "cut").unwrap();
        let (dissector, conversations) =
            dissect(file, Options::default(), |dissected| report.packet(dissected).unwrap());
        report.conversation(&conversations[0]).unwrap();
        String::from_utf8(report.finish(&dissector.totals(), None, None).unwrap()).unwrap()
    };
    let column = |page: &str, name: &str| {
        let (_, rest) = page.split_once(&format!("\"{name}\":[")).unwrap_or_else(|| panic!("no {name}"));
        rest.split_once(']').unwrap().0.to_owned()
    };
    let told = page(&whole);
    // Differences of 53, 0, 53, 0.
    assert_eq!(column(&told, "length"), "53,-53,53,-53");
    for kept in [14 + 20 + 8 + 24, 14 + 20 + 8 + 24 + 10] {
        let short = page(&cut(&whole, kept));
        for name in ["length", "fresh", "wire"] {
            assert_eq!(column(&short, name), column(&told, name), "{name}, {kept} bytes");
        }
    }
}
