//! What the fuzz target does with its input; the tests run it too.

use crate::{
    Dissector, Follow, Options, PacketReader,
    above::KeyOptions,
    conversation::{Conversation, Side},
    layers::Span,
    report::{
        HtmlReport, LayerChoice, Lines, Signs, Verbose, closing, conversation_object, packet_object, summary,
        totals_object,
    },
    stream::Framing,
};
use sendoff_proto::Cipher;
use std::io;

/// The secret, where there is one; the cipher is then the cheapest.
const SECRET: &[u8] = b"it's a secrect";

/// What is asked for: two bits for the framing, then one each for the server's side, following, smux, its stream 3, a
/// secret, and the second conversation.
fn options(choice: u8) -> Options {
    let is = |bit: u8| choice >> bit & 1 == 1;
    let framing = [None, Some(Framing::Le32), Some(Framing::Be32), Some(Framing::Lines)];
    let side = if is(2) { Side::Server } else { Side::Client };
    Options {
        framing: framing[usize::from(choice & 3)],
        follow: is(3).then_some(Follow { side, conversation: is(7).then_some(2) }),
        smux: is(4),
        stream: is(5).then_some(3),
        keys: if is(6) {
            KeyOptions { cipher: Some(Cipher::Xor), secret: Some(SECRET.into()) }
        } else {
            KeyOptions::default()
        },
    }
}

/// Tells conversations in every way.
fn tell(conversations: Vec<Conversation>, report: &mut HtmlReport<io::Sink>, text: &mut String) {
    for conversation in conversations {
        text.clear();
        summary(&conversation, Signs::ASCII, text);
        conversation_object(&conversation, text);
        report.conversation(&conversation).expect("a sink takes all");
        assert!(!text.contains('\x1b'), "nothing steers a terminal");
    }
}

/// Reads the input as a capture, and tells all of it in every way: lines, fields, JSON, a page, summaries, and the bytes
/// of a side.
///
/// The first byte chooses what is asked for.
pub fn capture(input: &[u8]) {
    let Some((choice, file)) = input.split_first() else { return };
    let Ok(mut reader) = PacketReader::new(file) else { return };
    let mut dissector = Dissector::new(options(*choice));
    let mut report = HtmlReport::new(io::sink(), "fuzz").expect("a sink takes all");
    let (mut lines, mut text, mut bytes) = (Lines::new(Signs::UNICODE), String::new(), Vec::new());
    while let Ok(Some(packet)) = reader.next_packet() {
        let dissected = dissector.packet(&packet);
        text.clear();
        lines.write(&dissected, &mut text);
        assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "one line: {text:?}");
        assert!(!text.contains('\x1b'), "nothing steers a terminal");
        Verbose::default().write(&dissected, &mut text);
        packet_object(&dissected, Some(LayerChoice::default()), &mut text);
        for layer in &dissected.analysis.layers {
            assert_eq!(dissected.bytes(layer.span).len(), layer.span.len(), "{layer:?}");
        }
        for note in &dissected.analysis.segments {
            let Span { start, end, .. } = note.span;
            assert!(dissected.segment(note).is_some(), "{start}..{end}");
        }
        report.packet(&dissected).expect("a sink takes all");
        dissector.take_followed(&mut bytes);
        tell(dissector.take_forgotten(), &mut report, &mut text);
    }
    tell(dissector.finish(), &mut report, &mut text);
    dissector.take_followed(&mut bytes);
    let followed = dissector.follow_report();
    assert!(followed.found || !followed.is_complete());
    report.finish(&dissector.totals(), dissector.origin(), None).expect("a sink takes all");
    text.clear();
    closing(&dissector.totals(), &mut text);
    totals_object(&dissector.totals(), &mut text);
    assert!(!text.contains('\x1b'), "nothing steers a terminal");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkType, PcapngWriter, udp_packet};
    use proptest::prelude::*;
    use sendoff_proto::{
        Crypt, SeqNumber, Timestamp,
        wire::{Command, Segment},
    };
    use std::{fs, path::Path, time::Duration};

    fn read(name: &str) -> Vec<u8> {
        let places = ["tests/captures", "../sendoff-proto/tests/captures"];
        let path = |place: &&str| Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join(name);
        fs::read(places.iter().map(path).find(|path| path.exists()).unwrap()).unwrap()
    }

    /// A capture of a few packets, all flipped about.
    fn any_small() -> impl Strategy<Value = Vec<u8>> {
        let names =
            ["plain-echo.pcapng", "seed-udp-echo.pcapng", "seed-tcp-framed-le32.pcapng", "crypt-none.pcapng"];
        let files: Vec<Vec<u8>> = names.map(read).into_iter().chain(made().map(|(_, file)| file)).collect();
        let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
        (proptest::sample::select(files), changes, any::<u8>()).prop_map(|(mut file, changes, choice)| {
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            file.insert(0, choice);
            file
        })
    }

    fn push(sn: u32, data: &[u8]) -> Vec<u8> {
        let (sn, una, timestamp) = (SeqNumber(sn), SeqNumber(0), Timestamp(sn));
        let command = Command::Push;
        let mut out = Vec::new();
        Segment { conv: 7, command, fragment: 0, window: 32, timestamp, sn, una }.encode(data, &mut out);
        out
    }

    /// A capture of what a client sends.
    fn sent(datagrams: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut writer = PcapngWriter::new(Vec::new(), "fuzz").unwrap();
        let interface = writer.interface(LinkType::RAW, "any").unwrap();
        let (client, server) = (([10, 0, 0, 1], 1_000).into(), ([10, 0, 0, 2], 2_000).into());
        for (n, datagram) in datagrams.into_iter().enumerate() {
            let mut packet = Vec::new();
            udp_packet(client, server, &datagram, &mut packet).unwrap();
            writer.packet(interface, Duration::from_millis(n as u64), &packet, &[]).unwrap();
        }
        writer.into_inner()
    }

    /// Parity of a group of one is its data.
    fn shards() -> Vec<u8> {
        let shard = |seqid: u32, kind: u8| {
            let content = push(seqid / 2, b"shard");
            let size = (content.len() + 2) as u16;
            [&seqid.to_le_bytes()[..], &[kind, 0], &size.to_le_bytes(), &content].concat()
        };
        let data_or_parity = |seqid: u32| shard(seqid, if seqid.is_multiple_of(2) { 0xf1 } else { 0xf2 });
        // The last data shards are lost.
        sent((0..24).filter(|seqid| *seqid < 12 || seqid % 2 == 1).map(data_or_parity))
    }

    fn smux() -> Vec<u8> {
        let frame = |command: u8, data: &[u8]| {
            let len = (data.len() as u16).to_le_bytes();
            [&[2, command], &len[..], &[3, 0, 0, 0], data].concat()
        };
        let frames = [frame(0, b""), frame(2, b"question"), frame(4, &[7; 8]), frame(3, b""), frame(1, b"")];
        let plain = frames.concat();
        // A chunk that isn't compressed, behind its CRC, which nobody looks at.
        let head = [&[1][..], &(plain.len() as u32 + 4).to_le_bytes()[..3], &[0; 4]].concat();
        let all = [&b"\xff\x06\x00\x00sNaPpY"[..], &head, &plain].concat();
        sent(all.chunks(20).enumerate().map(|(n, part)| push(n as u32, part)))
    }

    fn sealed() -> Vec<u8> {
        let crypt = Crypt::kcptun(Cipher::Xor, SECRET);
        let sealer = crypt.sealer([7; 32]);
        sent((0..3).map(|sn| {
            let content = push(sn, b"sealed");
            let mut datagram = vec![0; crypt.front()];
            datagram.extend_from_slice(&content);
            datagram.resize(crypt.front() + content.len() + crypt.back(), 0);
            let len = datagram.len();
            sealer.seal_batch(&mut datagram, len);
            datagram
        }))
    }

    /// Captures of what the checked-in ones that are small haven't; what is asked of each.
    fn made() -> impl Iterator<Item = (u8, Vec<u8>)> {
        [(0, shards()), (0b0001_1000, smux()), (0b0011_1000, smux()), (0b0100_1000, sealed())].into_iter()
    }

    /// Written anew with SENDOFF_WRITE_SEEDS=1.
    #[test]
    fn captures_of_the_corpus_break_nothing() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/capture");
        if std::env::var_os("SENDOFF_WRITE_SEEDS").is_some() {
            for (n, (choice, file)) in made().enumerate() {
                fs::write(place.join(format!("seed-{:02}", n + 4)), [vec![choice], file].concat()).unwrap();
            }
        }
        let mut count = 0;
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            capture(&fs::read(path).unwrap());
            count += 1;
        }
        assert!(count >= 8, "{count}");
    }

    #[test]
    fn the_made_captures_have_what_they_are_made_for() {
        let told = |choice, file: &[u8]| {
            let mut dissector = Dissector::new(options(choice));
            let mut reader = PacketReader::new(file).unwrap();
            while let Some(packet) = reader.next_packet().unwrap() {
                dissector.packet(&packet);
            }
            let (mut text, mut bytes) = (String::new(), Vec::new());
            for conversation in dissector.finish() {
                summary(&conversation, Signs::ASCII, &mut text);
            }
            dissector.take_followed(&mut bytes);
            (text, bytes)
        };
        let all: Vec<_> = made().map(|(choice, file)| told(choice, &file)).collect();
        assert!(all[0].0.contains("6 recovered"), "{}", all[0].0);
        assert!(all[1].0.contains("smux 2 in snappy: 1 stream, 1 keep-alive"), "{}", all[1].0);
        assert_eq!(all[2].1, b"question");
        assert_eq!(all[3].1, b"sealed".repeat(3));
    }

    /// The same packets, with times up to the end of all numbers.
    #[test]
    fn every_resolution_of_time_breaks_nothing() {
        let mut file = read("plain-echo.pcapng");
        for end in [false, true] {
            let times: Vec<usize> =
                blocks(&file).filter(|(_, kind)| *kind == 6).map(|(at, _)| at + 12).collect();
            if end {
                for (n, at) in times.iter().enumerate() {
                    file[*at..at + 8].fill(if n == 1 { 0 } else { 0xff });
                }
            }
            let at = file.windows(5).position(|window| window[..4] == [9, 0, 1, 0]).unwrap() + 4;
            for resolution in 0..=255 {
                file[at] = resolution;
                capture(&[&[0][..], &file].concat());
            }
        }
    }

    /// Where the blocks of a file of pcapng begin, and their kinds.
    fn blocks(file: &[u8]) -> impl Iterator<Item = (usize, u32)> {
        let number = |at: usize| file[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let mut at = 0;
        std::iter::from_fn(move || {
            let (here, kind) = (at, number(at)?);
            at += number(at + 4)? as usize;
            Some((here, kind))
        })
    }

    #[test]
    fn a_capture_cut_at_every_byte_breaks_nothing() {
        for name in ["plain-echo.pcapng", "seed-udp-echo.pcapng"] {
            let file = [vec![13], read(name)].concat();
            (0..file.len()).for_each(|len| capture(&file[..len]));
        }
    }

    #[test]
    fn a_capture_with_any_byte_changed_breaks_nothing() {
        let file = [vec![9], read("plain-echo.pcapng")].concat();
        for at in 1..file.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, file[at] ^ 1, file[at] ^ 0x80] {
                let mut changed = file.clone();
                changed[at] = value;
                capture(&changed);
            }
        }
    }

    proptest! {
        #[test]
        fn changed_captures_break_nothing(input in any_small()) {
            capture(&input);
        }

        #[test]
        fn any_packet_of_any_link_breaks_nothing(
            link in proptest::sample::select(vec![0, 1, 12, 14, 101, 108, 113, 228, 229, 276]),
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..8),
            version in any::<bool>(),
            choice in any::<u8>(),
        ) {
            let mut writer = PcapngWriter::new(Vec::new(), "fuzz").unwrap();
            let interface = writer.interface(LinkType(link), "any").unwrap();
            for mut packet in packets {
                // Mostly of IP, so that it goes deeper than the first byte.
                if let (true, Some(first)) = (link > 1, packet.first_mut()) {
                    *first = if version { 0x45 } else { 0x60 };
                }
                writer.packet(interface, Duration::ZERO, &packet, &[]).unwrap();
            }
            capture(&[vec![choice], writer.into_inner()].concat());
        }
    }
}
