//! What the fuzz target does with its input; the tests run it too.

use crate::{
    Dissector, Follow, Options, PacketReader,
    conversation::Side,
    layers::Span,
    report::{
        LayerChoice, Lines, Signs, Verbose, closing, conversation_object, packet_object, summary,
        totals_object,
    },
    stream::Framing,
};

/// Reads the input as a capture, and tells all of it in every way.
///
/// The first byte chooses what is asked for.
pub fn capture(input: &[u8]) {
    let Some((choice, file)) = input.split_first() else { return };
    let Ok(mut reader) = PacketReader::new(file) else { return };
    let framing = [None, Some(Framing::Le32), Some(Framing::Be32), Some(Framing::Lines)];
    let side = if choice & 4 == 0 { Side::Client } else { Side::Server };
    let follow = (choice & 8 != 0).then_some(Follow { side, conversation: None });
    let (smux, stream) = (choice & 16 != 0, (choice & 32 != 0).then_some(3));
    let framing = framing[usize::from(choice & 3)];
    let mut dissector = Dissector::new(Options { framing, follow, smux, stream, ..Options::default() });
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
        dissector.take_followed(&mut bytes);
        drop(dissector.take_forgotten());
    }
    text.clear();
    for conversation in dissector.finish() {
        summary(&conversation, Signs::ASCII, &mut text);
        conversation_object(&conversation, &mut text);
    }
    dissector.take_followed(&mut bytes);
    closing(&dissector.totals(), &mut text);
    totals_object(&dissector.totals(), &mut text);
    assert!(!text.contains('\x1b'), "nothing steers a terminal");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{fs, path::Path};

    fn read(name: &str) -> Vec<u8> {
        let places = ["tests/captures", "../sendoff-proto/tests/captures"];
        let path = |place: &&str| Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join(name);
        fs::read(places.iter().map(path).find(|path| path.exists()).unwrap()).unwrap()
    }

    /// A capture of a few packets, all flipped about.
    fn any_small() -> impl Strategy<Value = Vec<u8>> {
        let names =
            ["plain-echo.pcapng", "seed-udp-echo.pcapng", "seed-tcp-framed-le32.pcapng", "crypt-none.pcapng"];
        let files: Vec<Vec<u8>> = names.map(read).into();
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
            let mut writer = crate::PcapngWriter::new(Vec::new(), "fuzz").unwrap();
            let interface = writer.interface(crate::LinkType(link), "any").unwrap();
            for mut packet in packets {
                // Mostly of IP, so that it goes deeper than the first byte.
                if let (true, Some(first)) = (link > 1, packet.first_mut()) {
                    *first = if version { 0x45 } else { 0x60 };
                }
                writer.packet(interface, std::time::Duration::ZERO, &packet, &[]).unwrap();
            }
            capture(&[vec![choice], writer.into_inner()].concat());
        }
    }
}
