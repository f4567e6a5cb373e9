//! What is written for each message, however the stream takes it.

use crate::{
    page::{self, Outgoing},
    script::Script,
};
use bytes::{Bytes, BytesMut};
use futures_util::SinkExt;
use sendoff::{FrameError, Framing, Messages};
use std::io;
use tokio_util::codec::Encoder as _;

#[track_caller]
fn expect(row: &Outgoing, result: io::Result<()>, written: &[u8]) {
    match (&row.written, result) {
        (Ok(bytes), Ok(())) => assert_eq!(written, bytes, "{} {:?}", row.framing, row.message),
        (Err(expected), Err(error)) => {
            assert_eq!(&(error.kind(), error.to_string()), expected, "{}", row.framing);
            assert!(FrameError::of(&error).is_some(), "{error:?}");
            assert_eq!(written, b"", "{}", row.framing);
        }
        (_, result) => panic!("{} {:?}: {result:?}", row.framing, row.message),
    }
}

#[tokio::test]
async fn every_row_of_the_page_is_written_by_the_codec_and_by_messages() {
    let rows = page::outgoing();
    assert_eq!(rows.len(), 33);
    for row in &rows {
        let framing: Framing = row.framing.parse().unwrap();
        let mut buffer = BytesMut::new();
        let result = framing.codec().encode(&row.message[..], &mut buffer);
        expect(row, result, &buffer);
        let mut buffer = BytesMut::new();
        let result = framing.codec().encode(Bytes::from(row.message.clone()), &mut buffer);
        expect(row, result, &buffer);
        for takes in 1..30 {
            let mut messages = Messages::new(Script::taking(takes, true), framing);
            let result = messages.send(&row.message).await;
            expect(row, result, &messages.stream().written);
            let mut messages = Messages::new(Script::taking(takes, true), framing);
            let result = SinkExt::send(&mut messages, Bytes::from(row.message.clone())).await;
            expect(row, result, &messages.stream().written);
        }
    }
}

#[tokio::test]
async fn after_a_message_that_cannot_be_sent_the_next_can() {
    let mut messages = Messages::new(Script::default(), Framing::be16().limit(5));
    messages.send("hello").await.unwrap();
    assert_eq!(messages.send("sixsix").await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let refused = SinkExt::send(&mut messages, Bytes::from_static(b"sixsix")).await;
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    messages.send("hi").await.unwrap();
    assert_eq!(messages.stream().written, b"\0\x05hello\0\x02hi");
}

/// Messages around the sizes where they are lent instead of copied.
fn large() -> Vec<Vec<u8>> {
    let sizes = [0, 1, 16_383, 16_384, 16_385, 3, 200_000, 65_536, 7];
    sizes.into_iter().enumerate().map(|(n, size)| vec![n as u8; size]).collect()
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|m| [&(m.len() as u32).to_be_bytes()[..], m].concat()).collect()
}

#[tokio::test]
async fn small_and_large_messages_keep_their_order_however_little_a_write_takes() {
    for takes in [5, 1_000, 16_386, 20_000, 65_540, 1 << 20] {
        for vectored in [false, true] {
            let mut by_send = Messages::new(Script::taking(takes, vectored), Framing::be32());
            let mut by_feed = Messages::new(Script::taking(takes, vectored), Framing::be32());
            let mut by_sink = Messages::new(Script::taking(takes, vectored), Framing::be32());
            for message in large() {
                by_send.send(&message).await.unwrap();
                by_feed.feed(&message).await.unwrap();
                SinkExt::feed(&mut by_sink, message.into()).await.unwrap();
            }
            by_feed.flush().await.unwrap();
            SinkExt::close(&mut by_sink).await.unwrap();
            for messages in [&by_send, &by_feed, &by_sink] {
                assert!(messages.stream().written == framed(&large()), "{takes} {vectored}");
                assert_eq!(messages.stream().flushed, messages.stream().written.len());
            }
            assert!(by_sink.stream().shut && !by_feed.stream().shut);
        }
    }
}

#[tokio::test]
async fn large_lines_end_in_a_line_feed() {
    for takes in [1_000, 1 << 20] {
        let mut messages = Messages::new(Script::taking(takes, true), Framing::lines());
        messages.send("x".repeat(100_000)).await.unwrap();
        SinkExt::send(&mut messages, Bytes::from("y".repeat(100_000))).await.unwrap();
        let expected = format!("{}\n{}\n", "x".repeat(100_000), "y".repeat(100_000));
        assert!(messages.stream().written == expected.as_bytes());
    }
}

#[tokio::test]
async fn finish_flushes_and_shuts_down() {
    let mut messages = Messages::new(Script::default(), Framing::lines());
    messages.feed("fed").await.unwrap();
    assert_eq!(messages.stream().written, b"");
    messages.finish().await.unwrap();
    assert_eq!(messages.stream().written, b"fed\n");
    assert!(messages.stream().shut);
}

#[tokio::test]
async fn a_stream_that_takes_nothing_more_is_an_error_and_not_a_hang() {
    let mut messages = Messages::new(Script::taking(0, true), Framing::le32());
    let error = messages.send("hello").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
}

#[tokio::test]
async fn the_parts_have_every_byte_that_was_under_way() {
    let script = Script::bringing([&b"\x02hi\x05hel"[..]]);
    let mut messages = Messages::new(script, Framing::u8());
    assert_eq!(messages.try_next().await.unwrap().unwrap(), "hi");
    messages.feed("fed").await.unwrap();
    let parts = messages.into_parts();
    assert_eq!(parts.unread, &b"\x05hel"[..]);
    assert_eq!(parts.unsent, &b"\x03fed"[..]);
    assert_eq!(parts.stream.written, b"");
}

#[tokio::test]
async fn an_elapsed_deadline_while_sending_loses_nothing_and_tears_nothing() {
    for size in [5, 16_384, 100_000] {
        let mut messages = Messages::new(Script::failing(1_000), Framing::be32());
        let mut elapsed = 0;
        for n in 0..3 {
            let mut result = messages.send(vec![n; size]).await;
            while let Err(error) = result {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                elapsed += 1;
                result = messages.flush().await;
            }
        }
        let expected: Vec<Vec<u8>> = (0..3).map(|n| vec![n; size]).collect();
        assert!(messages.stream().written == framed(&expected), "{size}");
        assert!(elapsed >= 2, "{elapsed}");
    }
}
