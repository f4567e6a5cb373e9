//! Many messages cost few calls of the stream, and what comes is not copied.

use crate::script::Script;
use bytes::Bytes;
use futures_util::SinkExt as _;
use sendoff::{Framing, Messages};

#[tokio::test]
async fn a_thousand_fed_messages_are_a_few_writes() {
    let mut messages = Messages::new(Script::default(), Framing::le32());
    for n in 0..1_000_u32 {
        messages.feed([n as u8; 1_000]).await.unwrap();
    }
    messages.flush().await.unwrap();
    let script = messages.stream();
    assert_eq!(script.written.len(), 1_000 * 1_004);
    assert!(script.writes <= 1_004_000 / 65_536 + 1, "{} writes", script.writes);
}

#[tokio::test]
async fn a_thousand_messages_of_a_sink_are_a_few_writes_too() {
    let mut messages = Messages::new(Script::default(), Framing::le32());
    let all = (0..1_000_u32).map(|n| Ok(Bytes::from(vec![n as u8; 1_000])));
    messages.send_all(&mut futures_util::stream::iter(all)).await.unwrap();
    let script = messages.stream();
    assert_eq!((script.written.len(), script.flushed), (1_000 * 1_004, 1_000 * 1_004));
    assert!(script.writes <= 1_004_000 / 65_536 + 1, "{} writes", script.writes);
}

#[tokio::test]
async fn a_large_message_is_one_vectored_write_with_its_length_and_what_waits() {
    let mut messages = Messages::new(Script::taking(1 << 20, true), Framing::le32());
    messages.feed("before").await.unwrap();
    messages.send(vec![7; 500_000]).await.unwrap();
    assert_eq!(messages.stream().writes, 1);
    assert_eq!(messages.stream().written.len(), 4 + 6 + 4 + 500_000);
}

#[tokio::test]
async fn messages_that_come_together_are_slices_of_one_buffer() {
    let stream = b"\x05hello\x02hi\x03you".to_vec();
    let mut messages = Messages::new(Script::bringing([stream]), Framing::u8());
    let mut received = Vec::new();
    while let Some(message) = messages.try_next().await.unwrap() {
        received.push(message);
    }
    let start = received[0].as_ptr() as usize;
    let places: Vec<usize> = received.iter().map(|message| message.as_ptr() as usize - start).collect();
    assert_eq!(places, [0, 6, 9]);
}
