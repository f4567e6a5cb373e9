//! Message mode: boundaries are kept, and a message is sent whole or not at all.

mod common;

use common::*;
use sendoff::{Config, Conv, KcpListener, KcpStream, Mode, Wire};
use std::{
    io::{ErrorKind, IoSlice},
    sync::Arc,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes of data in a segment of 1,400.
const SEGMENT: usize = 1_376;

/// What a HELLO leaves of it: any message may be the first.
const FIRST_SEGMENT: usize = SEGMENT - 68;

fn messages() -> Config {
    Config::new().mode(Mode::Message)
}

/// A pair in message mode, after a message of one byte.
async fn message_pair(config: Config) -> Pair {
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
    let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
    client.send("!").await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap(), "!");
    Pair { client, server, listener }
}

#[tokio::test]
async fn boundaries_are_kept_from_1_byte_to_127_fragments() {
    watched(async {
        for (wire, segment) in [(Wire::Extended, FIRST_SEGMENT), (Wire::Classic, SEGMENT)] {
            let lengths =
                [1, 2, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 100_000, 127 * segment, 3, 1];
            let Pair { client, server, .. } = message_pair(messages().wire(wire)).await;
            let sending = async {
                for (n, len) in lengths.into_iter().enumerate() {
                    client.send(payload(len, n as u64)).await.unwrap();
                }
            };
            let receiving = async {
                for (n, len) in lengths.into_iter().enumerate() {
                    let message = server.recv().await.unwrap().unwrap();
                    assert_eq!(message.len(), len);
                    assert!(message == payload(len, n as u64));
                }
            };
            tokio::join!(sending, receiving);
        }
    })
    .await;
}

#[tokio::test]
async fn boundaries_are_kept_in_the_smallest_datagrams_and_windows() {
    watched(async {
        let config = messages().mtu(50).unwrap().send_window(1).unwrap().recv_window(128).unwrap();
        let Pair { client, server, .. } = message_pair(config).await;
        for len in (1..=127 * 26).step_by(409).chain([127 * 26]) {
            let (sent, received) = tokio::join!(client.send(payload(len, 1)), server.recv());
            sent.unwrap();
            assert!(received.unwrap().unwrap() == payload(len, 1), "{len}");
        }
    })
    .await;
}

#[tokio::test]
async fn messages_arrive_whole_through_a_network_that_loses_doubles_and_reorders() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", messages()).await.unwrap();
        let relay = bad_relay(listener.local_addr(), 2).await;
        let mut client = KcpStream::connect_with(relay, messages()).await.unwrap();
        let message = |n: usize| payload(1 + n * 7_919 % 30_000, n as u64);
        let sending = async {
            for n in 0..60 {
                client.send(message(n)).await.unwrap();
            }
            client.shutdown().await.unwrap();
        };
        let receiving = async {
            let (server, _) = listener.accept().await.unwrap();
            for n in 0..60 {
                assert!(server.recv().await.unwrap().unwrap() == message(n), "message {n}");
            }
            server
        };
        tokio::join!(sending, receiving);
    })
    .await;
}

#[tokio::test]
async fn a_message_too_large_or_empty_is_invalid_input_and_nothing_is_sent() {
    watched(async {
        let Pair { mut client, server, .. } = message_pair(messages()).await;
        let before = client.stats();
        for len in [127 * FIRST_SEGMENT + 1, 1 << 20, 0] {
            let error = client.send(vec![7; len]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("{len} bytes")), "{error}");
        }
        let too_large = vec![7; 127 * FIRST_SEGMENT + 1];
        assert_eq!(client.write(&too_large).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.try_write(&too_large).unwrap_err().kind(), ErrorKind::InvalidInput);
        let after = client.stats();
        assert_eq!((after.segments_sent, after.queued), (before.segments_sent, 0));
        client.send("the next").await.unwrap();
        assert_eq!(server.recv().await.unwrap().unwrap(), "the next");
    })
    .await;
}

#[tokio::test]
async fn send_and_recv_in_stream_mode_are_invalid_input() {
    watched(async {
        let Pair { client, server, .. } = Pair::new().await;
        assert_eq!(client.send("message").await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(server.recv().await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.stats().bytes_sent, 1, "nothing but the greeting");
    })
    .await;
}

#[tokio::test]
async fn a_write_is_a_message_and_a_read_takes_bytes() {
    watched(async {
        let Pair { mut client, server, .. } = message_pair(messages()).await;
        client.write_all(b"one").await.unwrap();
        client.write_all(b"two").await.unwrap();
        assert_eq!(server.recv().await.unwrap().unwrap(), "one");
        assert_eq!(server.recv().await.unwrap().unwrap(), "two");
        server.send("three").await.unwrap();
        server.send("four").await.unwrap();
        let mut bytes = [0; 9];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"threefour");
    })
    .await;
}

#[tokio::test]
async fn a_vectored_write_is_one_message_and_sends_nothing_when_it_is_too_large() {
    watched(async {
        let Pair { mut client, server, .. } = message_pair(messages()).await;
        let too_large = vec![7; 127 * FIRST_SEGMENT];
        let refused = [IoSlice::new(b"!"), IoSlice::new(&too_large)];
        assert_eq!(client.write_vectored(&refused).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let slices = [IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b" message")];
        assert_eq!(client.write_vectored(&slices).await.unwrap(), 11);
        assert_eq!(server.recv().await.unwrap().unwrap(), "one message");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_concurrent_senders_do_not_interleave() {
    watched(async {
        const SENDERS: u8 = 8;
        const EACH: u32 = 60;
        let Pair { client, server, .. } = message_pair(messages().send_window(40).unwrap()).await;
        let client = Arc::new(client);
        for sender in 0..SENDERS {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let mut message = vec![sender; 4 + (n as usize * 997) % 20_000];
                    message[..4].copy_from_slice(&n.to_le_bytes());
                    client.send(message).await.unwrap();
                }
            });
        }
        let mut expected = [0; SENDERS as usize];
        for _ in 0..u32::from(SENDERS) * EACH {
            let message = server.recv().await.unwrap().unwrap();
            let (n, body) = message.split_first_chunk().unwrap();
            let n = u32::from_le_bytes(*n);
            assert_eq!(body.len(), (n as usize * 997) % 20_000);
            // The first message of each has no body, so the sender isn't told: it can only be number 0.
            let Some(&sender) = body.first() else {
                assert_eq!(n, 0);
                continue;
            };
            assert!(body.iter().all(|&b| b == sender), "two messages are mixed");
            expected[usize::from(sender)] += 1;
            assert_eq!(expected[usize::from(sender)], n, "messages of sender {sender} are out of order");
        }
        assert_eq!(expected, [EACH - 1; SENDERS as usize]);
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_finish_still_arrives_and_recv_ends_with_none_after_close() {
    watched(async {
        let Pair { mut client, server, .. } = message_pair(messages()).await;
        client.send("last").await.unwrap();
        client.finish().unwrap();
        assert_eq!(client.send("too late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(server.recv().await.unwrap().unwrap(), "last");
        server.send("answer").await.unwrap();
        assert_eq!(client.recv().await.unwrap().unwrap(), "answer");
        client.close(0, "");
        assert_eq!(client.recv().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn sending_waits_while_the_window_is_full_and_goes_on_when_it_empties() {
    watched(async {
        let config = messages().send_window(16).unwrap();
        let Pair { client, server, .. } = message_pair(config).await;
        let mut queued = 0;
        // Nobody receives: at some point a message has to wait.
        until(|| match poll_now(client.send(payload(5_000, queued))) {
            true => {
                queued += 1;
                false
            }
            false => client.stats().remote_window == 0 && client.stats().in_flight == 0,
        })
        .await;
        let (waited, ()) = tokio::join!(client.send("the one that waited"), async {
            for n in 0..queued {
                assert!(server.recv().await.unwrap().unwrap() == payload(5_000, n));
            }
            assert_eq!(server.recv().await.unwrap().unwrap(), "the one that waited");
        });
        waited.unwrap();
    })
    .await;
}

/// Whether the send is done at the first poll.
fn poll_now(send: impl Future<Output = std::io::Result<()>>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(send).poll(&mut context) {
        std::task::Poll::Ready(result) => {
            result.unwrap();
            true
        }
        std::task::Poll::Pending => false,
    }
}

#[tokio::test]
async fn a_message_that_can_never_be_whole_is_invalid_data_and_not_a_hang() {
    watched(async {
        let config = messages().recv_window(128).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 9).await;
        for sn in 0..128 {
            raw.push_fragment(sn, 200, b"endless").await;
        }
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(server.recv().await.unwrap_err().kind(), ErrorKind::InvalidData);
    })
    .await;
}

#[tokio::test]
async fn a_message_is_not_received_before_its_last_fragment() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", messages()).await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), Conv::new(5).unwrap().value()).await;
        raw.push_fragment(0, 2, b"one ").await;
        raw.push_fragment(2, 0, b"three").await;
        let (server, _) = listener.accept().await.unwrap();
        until(|| server.stats().reordering == 1).await;
        assert!(poll_once(server.recv()).await.is_none());
        raw.push_fragment(1, 1, b"two ").await;
        assert_eq!(server.recv().await.unwrap().unwrap(), "one two three");
    })
    .await;
}
