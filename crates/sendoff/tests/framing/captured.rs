//! Twenty frames of a program in Go, as they were captured, cut where TCP cut them.

use crate::{common::watched, script::Script};
use etherparse::{SlicedPacket, TransportSlice};
use pcap_parser::{Block, PcapBlockOwned, PcapNGSlice};
use sendoff::{Framing, Messages};
use std::{fs, path::Path};

/// What the client sent, segment by segment.
fn segments() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/seed-tcp-framed-le32.pcapng");
    let file = fs::read(path).unwrap();
    let mut segments = Vec::new();
    for block in PcapNGSlice::from_slice(&file).unwrap() {
        let PcapBlockOwned::NG(Block::EnhancedPacket(packet)) = block.unwrap() else { continue };
        assert_eq!(packet.caplen, packet.origlen, "cut off");
        let sliced = SlicedPacket::from_ethernet(&packet.data[..packet.caplen as usize]).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
        if !tcp.payload().is_empty() {
            segments.push((tcp.source_port(), tcp.sequence_number(), tcp.payload().to_vec()));
        }
    }
    // One direction, nothing repeated: the segments in a row are the stream.
    for pair in segments.windows(2) {
        let [(port, sequence, payload), (next_port, next_sequence, _)] = pair else { unreachable!() };
        assert_eq!((*next_port, *next_sequence), (*port, sequence.wrapping_add(payload.len() as u32)));
    }
    segments.into_iter().map(|(_, _, payload)| payload).collect()
}

async fn expect_twenty(pieces: Vec<Vec<u8>>) {
    let mut messages = Messages::new(Script::bringing(pieces), Framing::le32());
    for _ in 0..20 {
        assert_eq!(messages.try_next().await.unwrap().unwrap(), "Hello, Hello. How are you?");
    }
    assert_eq!(messages.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn the_frames_of_a_go_program_are_twenty_messages_cut_anywhere() {
    watched(async {
        let segments = segments();
        let stream = segments.concat();
        assert_eq!(stream.len(), 20 * (4 + 26));
        expect_twenty(segments).await;
        for at in 0..=stream.len() {
            expect_twenty(vec![stream[..at].to_vec(), stream[at..].to_vec()]).await;
        }
        expect_twenty(stream.chunks(1).map(<[u8]>::to_vec).collect()).await;
    })
    .await;
}

#[tokio::test]
async fn twenty_messages_of_ours_are_the_bytes_of_the_go_program() {
    let mut messages = Messages::new(Script::default(), Framing::le32());
    for _ in 0..20 {
        messages.send("Hello, Hello. How are you?").await.unwrap();
    }
    assert_eq!(messages.stream().written, segments().concat());
}
