//! Calls that are dropped half way. That `try_next` loses nothing is tested at every cut in `cuts.rs`.

use crate::common::{poll_and_drop, poll_once, watched};
use bytes::Bytes;
use futures_util::SinkExt;
use sendoff::{Framing, Messages};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

/// A stream of 10 bytes' room, and its far end.
fn narrow() -> (Messages<DuplexStream>, Messages<DuplexStream>) {
    let (near, far) = duplex(10);
    (Messages::new(near, Framing::be32()), Messages::new(far, Framing::be32()))
}

async fn all(mut messages: Messages<DuplexStream>) -> Vec<Bytes> {
    let mut received = Vec::new();
    while let Some(message) = messages.try_next().await.unwrap() {
        received.push(message);
    }
    received
}

#[tokio::test]
async fn a_send_dropped_in_the_middle_of_a_frame_goes_on_with_the_next_call() {
    watched(async {
        for size in [9, 100, 16_384, 60_000] {
            let (mut near, far) = narrow();
            assert!(poll_once(near.send(vec![1; size])).await.is_none(), "it doesn't fit");
            let sending = async {
                near.send("next").await.unwrap();
                near.finish().await.unwrap();
            };
            let (received, ()) = tokio::join!(all(far), sending);
            assert_eq!(received.len(), 2);
            assert!(received[0] == vec![1; size] && received[1] == "next", "{size}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_that_lies_with_the_caller_may_be_gone_after_a_dropped_send() {
    watched(async {
        let (mut near, far) = narrow();
        let mut message = vec![1; 50_000];
        assert!(poll_once(near.send(&message)).await.is_none());
        message.fill(2);
        drop(message);
        let (received, finished) = tokio::join!(all(far), near.finish());
        finished.unwrap();
        assert!(received == [vec![1; 50_000]]);
    })
    .await;
}

#[tokio::test]
async fn a_feed_that_waits_has_queued_nothing() {
    watched(async {
        let (mut near, far) = narrow();
        let mut fed = Vec::new();
        for n in 0.. {
            match poll_once(near.feed([n; 1_000])).await {
                Some(done) => done.unwrap(),
                None => break,
            }
            fed.push(vec![n; 1_000]);
        }
        assert!(fed.len() > 60, "64 KiB are gathered, {} messages were", fed.len());
        for _ in 0..10 {
            assert!(poll_once(near.feed("waits")).await.is_none());
            assert!(poll_once(near.feed(vec![7; 100_000])).await.is_none());
            assert!(poll_once(near.send("waits")).await.is_none());
        }
        let (received, finished) = tokio::join!(all(far), near.finish());
        finished.unwrap();
        assert!(received == fed);
    })
    .await;
}

#[tokio::test]
async fn messages_sent_by_calls_that_are_dropped_again_and_again_arrive_once_and_in_order() {
    watched(async {
        let (mut near, far) = narrow();
        let sending = async {
            for n in 0..200_u16 {
                let message = [&n.to_be_bytes()[..], &vec![n as u8; usize::from(n) * 97]].concat();
                poll_and_drop(async || near.feed(&message).await).await.unwrap();
                poll_and_drop(async || near.flush().await).await.unwrap();
            }
            poll_and_drop(async || near.finish().await).await.unwrap();
        };
        let (received, ()) = tokio::join!(all(far), sending);
        assert_eq!(received.len(), 200);
        for (n, message) in received.iter().enumerate() {
            assert_eq!(message[..2], (n as u16).to_be_bytes());
            assert_eq!(message.len(), 2 + n * 97);
        }
    })
    .await;
}

#[tokio::test]
async fn a_sink_keeps_a_large_message_that_a_dropped_flush_has_begun() {
    watched(async {
        let (mut near, far) = narrow();
        near.start_send_unpin(Bytes::from(vec![1; 100_000])).unwrap();
        for _ in 0..3 {
            assert!(poll_once(SinkExt::flush(&mut near)).await.is_none());
        }
        let (received, closed) = tokio::join!(all(far), SinkExt::close(&mut near));
        closed.unwrap();
        assert!(received == [vec![1; 100_000]]);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_before_a_flush_ends_inside_a_frame() {
    watched(async {
        let (mut near, mut far) = narrow();
        assert!(poll_once(near.send([1; 100])).await.is_none());
        drop(near);
        let error = far.try_next().await.unwrap_err();
        assert_eq!(error.to_string(), "the stream ended inside a frame, after 6 of 100 bytes");
        let mut rest = Vec::new();
        far.stream_mut().read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    })
    .await;
}
