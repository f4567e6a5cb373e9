//! At the limit, over it, and what an announcement may cost.

use crate::{common::watched, script::Script};
use bytes::BytesMut;
use sendoff::{FrameError, Framing, Messages};
use std::io::ErrorKind;
use tokio_util::codec::{Decoder as _, Encoder as _};

fn all() -> [Framing; 9] {
    [
        Framing::u8(),
        Framing::le16(),
        Framing::be16(),
        Framing::le32(),
        Framing::be32(),
        Framing::le64(),
        Framing::be64(),
        Framing::varint(),
        Framing::lines(),
    ]
}

fn encoded(framing: Framing, message: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    framing.codec().encode(message, &mut bytes).unwrap();
    bytes
}

#[test]
fn at_the_limit_a_message_passes_and_over_it_neither_way() {
    for framing in all().into_iter().flat_map(|framing| [framing, framing.counting_prefix()]) {
        for limit in [0, 1, 100, 245, 255, 65_525, 65_535, 70_000] {
            let framing = framing.limit(limit);
            let largest = framing.limit_bytes();
            assert!(largest <= limit, "{framing}");
            let mut bytes = encoded(framing, &vec![7; largest]);
            let message = framing.codec().decode(&mut bytes).unwrap().unwrap();
            assert!(message == vec![7; largest], "{framing}");
            let over = vec![7; largest + 1];
            let error = framing.codec().encode(&over[..], &mut BytesMut::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let expected = FrameError::TooLarge { len: largest as u64 + 1, limit: largest };
            assert_eq!(FrameError::of(&error), Some(&expected), "{framing}");
            if largest == limit {
                let generous = framing.limit(usize::MAX);
                if generous.limit_bytes() > largest {
                    let error = framing.codec().decode(&mut encoded(generous, &over)).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidData, "{framing}");
                }
            }
        }
    }
}

#[test]
fn the_default_limit_is_16_mib_or_what_the_length_can_tell() {
    let limits = all().map(|framing| framing.limit_bytes());
    let most = 16 << 20;
    assert_eq!(limits, [255, 65_535, 65_535, most, most, most, most, most, most]);
    assert_eq!(Framing::none().limit_bytes(), most);
    assert_eq!(Framing::le32().limit(usize::MAX).limit_bytes(), i32::MAX as usize);
    assert_eq!(Framing::be32().limit(usize::MAX).limit_bytes(), u32::MAX as usize);
    assert_eq!(Framing::u8().counting_prefix().limit_bytes(), 254);
    assert_eq!(Framing::le16().counting_prefix().limit_bytes(), 65_533);
}

/// Heads that announce as much as can be, and where they are allowed to.
fn announcements() -> [(Framing, Vec<u8>); 6] {
    let limit = usize::MAX;
    [
        (Framing::le32(), (16_u32 << 20).to_le_bytes().to_vec()),
        (Framing::le32().limit(limit), i32::MAX.to_le_bytes().to_vec()),
        (Framing::be32().limit(limit), vec![0xff; 4]),
        (Framing::le64().limit(limit), vec![0xff; 8]),
        (Framing::be64().limit(limit), vec![0xff; 8]),
        (Framing::varint().limit(limit), [&[0xff; 9][..], &[1]].concat()),
    ]
}

#[test]
fn the_codec_reserves_no_more_than_has_come() {
    for (framing, mut stream) in announcements() {
        for come in [0, 100, 10_000, 100_000] {
            stream.resize(stream.len() + come, 7);
            let mut buffer = BytesMut::from(&stream[..]);
            assert!(framing.codec().decode(&mut buffer).unwrap().is_none());
            let most = 3 * stream.len() + (16 << 10);
            assert!(buffer.capacity() <= most, "{framing}: {} after {}", buffer.capacity(), stream.len());
        }
    }
}

#[tokio::test]
async fn messages_ask_the_stream_for_no_more_than_has_come() {
    for (framing, head) in announcements() {
        let pieces = std::iter::once(head).chain(std::iter::repeat_n(vec![7; 1_000], 300));
        let mut messages = Messages::new(Script::bringing(pieces), framing);
        let error = messages.try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let FrameError::EndInFrame { received: 300_000, .. } = FrameError::of(&error).unwrap() else {
            panic!("{error:?}")
        };
        assert!(messages.stream().room <= 600_000, "{framing}: {}", messages.stream().room);
    }
}

#[tokio::test]
async fn messages_of_all_sizes_come_whole_in_pieces_of_all_sizes() {
    watched(async {
        let sizes = [0, 1, 5_000, 8_192, 70_000, 0, 300_000, 16 << 20, 12, 1_000_000, 3];
        let framing = Framing::varint();
        let mut stream = BytesMut::new();
        for (n, size) in sizes.into_iter().enumerate() {
            framing.codec().encode(&vec![n as u8; size][..], &mut stream).unwrap();
        }
        for piece in [1_000, 8_192, 60_000, 5_000_000, stream.len()] {
            let mut messages = Messages::new(Script::bringing(stream.chunks(piece)), framing);
            let mut kept = Vec::new();
            for (n, size) in sizes.into_iter().enumerate() {
                let message = messages.try_next().await.unwrap().unwrap();
                assert!(message == vec![n as u8; size], "message {n} in pieces of {piece}");
                kept.push(message);
            }
            assert_eq!(messages.try_next().await.unwrap(), None);
            let same = kept.iter().zip(sizes).enumerate().all(|(n, (m, size))| *m == vec![n as u8; size]);
            assert!(same, "a kept message has changed");
        }
    })
    .await;
}

#[tokio::test]
async fn a_long_line_in_small_pieces_is_found_in_one_pass() {
    watched(async {
        // Looking at all of it again for each piece would be 4 × 10^11 bytes.
        let line = "x".repeat(8 << 20);
        let stream = format!("{line}\r\nshort\n");
        let mut messages = Messages::new(Script::bringing(stream.as_bytes().chunks(80)), Framing::lines());
        assert!(messages.try_next().await.unwrap().unwrap() == line);
        assert_eq!(messages.try_next().await.unwrap().unwrap(), "short");
        assert_eq!(messages.try_next().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn raw_bytes_come_in_pieces_of_at_most_the_limit() {
    let mut messages = Messages::new(Script::bringing(["hello"]), Framing::none().limit(2));
    let mut received = Vec::new();
    while let Some(message) = messages.try_next().await.unwrap() {
        received.push(message);
    }
    assert_eq!(received, ["he", "ll", "o"]);
}
