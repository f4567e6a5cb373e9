//! Streams of bytes: what is written is read, once and in order.

mod common;

use common::*;
use sendoff::{Backoff, Config, KcpListener, KcpStream, Profile, Wire};
use std::io::{ErrorKind, IoSlice};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[tokio::test]
async fn an_echo_comes_back() {
    watched(async {
        let mut stream = KcpStream::connect(echo_server(Config::new()).await).await.unwrap();
        exchange(&mut stream, b"hello").await;
        exchange(&mut stream, &payload(100_000, 1)).await;
    })
    .await;
}

/// Writes and reads on both sides at once, until all has come and all is acknowledged.
async fn transfer_both_ways(pair: Pair, len: usize) {
    let one_side = |stream: KcpStream, out: u64, back: u64| async move {
        let (mut reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            writer.write_all(&payload(len, out)).await.unwrap();
            writer.shutdown().await.unwrap();
            writer
        });
        let mut received = vec![0; len];
        reader.read_exact(&mut received).await.unwrap();
        assert!(received == payload(len, back), "other bytes than were sent");
        (reader, writing.await.unwrap())
    };
    let client = tokio::spawn(one_side(pair.client, 1, 2));
    let server = tokio::spawn(one_side(pair.server, 2, 1));
    // Neither is dropped before both are done: nobody could send a lost acknowledgement again.
    drop((client.await.unwrap(), server.await.unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mebibytes_arrive_whole_both_ways_at_once_on_two_threads() {
    watched(async { transfer_both_ways(Pair::new().await, 16 << 20).await }).await;
}

#[tokio::test]
async fn mebibytes_arrive_whole_both_ways_at_once_on_one_thread() {
    watched(async { transfer_both_ways(Pair::new().await, 8 << 20).await }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_profile_wire_and_backoff_carries_bytes_both_ways() {
    watched(async {
        for profile in [Profile::NORMAL, Profile::FAST, Profile::FAST2, Profile::FAST3] {
            for wire in [Wire::Extended, Wire::Classic] {
                let config = Config::new().profile(profile).wire(wire).backoff(Backoff::Exponential);
                transfer_both_ways(Pair::with(config).await, 300_000).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_one_segment_and_tiny_socket_buffers_carry_bytes_both_ways() {
    watched(async {
        let window = |segments| Config::new().send_window(segments).unwrap().recv_window(segments).unwrap();
        transfer_both_ways(Pair::with(window(1)).await, 50_000).await;
        transfer_both_ways(Pair::of(window(2), window(300)).await, 300_000).await;
        transfer_both_ways(Pair::with(Config::new().socket_buffer(16_384)).await, 1 << 20).await;
    })
    .await;
}

#[tokio::test]
async fn datagrams_of_50_and_of_65507_bytes_carry_bytes_both_ways() {
    watched(async {
        let config = Config::new().mtu(50).unwrap();
        transfer_both_ways(Pair::with(config).await, 30_000).await;
        let config = Config::new().mtu(65_507).unwrap();
        transfer_both_ways(Pair::with(config).await, 4 << 20).await;
    })
    .await;
}

#[tokio::test]
async fn bytes_arrive_whole_through_a_network_that_loses_doubles_and_reorders() {
    watched(async {
        for profile in [Profile::DEFAULT, Profile::FAST3] {
            let config = Config::new().profile(profile);
            let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            let relay = bad_relay(listener.local_addr(), 1).await;
            let client = KcpStream::connect_with(relay, config).await.unwrap();
            let (client, server) = greeted(client, &listener).await;
            transfer_both_ways(Pair { client, server, listener }, 1 << 20).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_read_fills_the_buffer_across_segments() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let sent = payload(100_000, 3);
        client.write_all(&sent).await.unwrap();
        until(|| server.stats().unread == sent.len()).await;
        let mut buffer = vec![0; 65_536];
        assert_eq!(server.read(&mut buffer).await.unwrap(), 65_536);
        assert!(buffer == sent[..65_536]);
        assert_eq!(server.read(&mut buffer).await.unwrap(), sent.len() - 65_536);
        assert!(buffer[..sent.len() - 65_536] == sent[65_536..]);
    })
    .await;
}

#[tokio::test]
async fn empty_reads_and_writes_return_at_once_and_send_nothing() {
    watched(async {
        let Pair { mut client, server: _server, .. } = Pair::new().await;
        let before = client.stats().segments_sent;
        assert_eq!(client.read(&mut []).await.unwrap(), 0);
        assert_eq!(client.write(&[]).await.unwrap(), 0);
        assert_eq!(client.write_vectored(&[]).await.unwrap(), 0);
        assert_eq!(client.try_read(&mut []).unwrap(), 0);
        assert_eq!(client.try_write(&[]).unwrap(), 0);
        assert_eq!(client.stats().segments_sent, before);
    })
    .await;
}

#[tokio::test]
async fn vectored_writes_arrive_in_order() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        assert!(client.is_write_vectored());
        let parts = [payload(10, 1), vec![], payload(3_000, 2), payload(1, 3)];
        let slices: Vec<_> = parts.iter().map(|p| IoSlice::new(p)).collect();
        assert_eq!(client.write_vectored(&slices).await.unwrap(), 3_011);
        assert!(read_exactly(&mut server, 3_011).await == parts.concat());
    })
    .await;
}

#[tokio::test]
async fn try_read_would_block_until_readable() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let mut buffer = [0; 8];
        assert_eq!(server.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (readable, written) = tokio::join!(server.readable(), client.write_all(b"now"));
        readable.unwrap();
        written.unwrap();
        assert_eq!(server.try_read(&mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"now");
        assert_eq!(server.try_read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        exchange_ways(&mut client, &mut server).await;
    })
    .await;
}

async fn exchange_ways(client: &mut KcpStream, server: &mut KcpStream) {
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_exactly(server, 4).await, b"ping");
    server.write_all(b"pong").await.unwrap();
    assert_eq!(read_exactly(client, 4).await, b"pong");
}

#[tokio::test]
async fn try_write_would_block_on_a_full_window_until_writable() {
    watched(async {
        let config = Config::new().send_window(8).unwrap().recv_window(8).unwrap();
        let Pair { client, mut server, .. } = Pair::with(config).await;
        let mut sent = Vec::new();
        // Nobody reads: in the end the window is closed and the queue is full.
        until(|| {
            let chunk = payload(4_000, sent.len() as u64);
            let full = match client.try_write(&chunk) {
                Ok(n) => {
                    sent.extend_from_slice(&chunk[..n]);
                    false
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    true
                }
            };
            let stats = client.stats();
            full && stats.remote_window == 0 && stats.in_flight == 0
        })
        .await;
        assert!(poll_once(client.writable()).await.is_none());
        let received = read_exactly(&mut server, sent.len()).await;
        assert!(received == sent);
        client.writable().await.unwrap();
        assert_eq!(client.try_write(b"more").unwrap(), 4);
        assert_eq!(read_exactly(&mut server, 4).await, b"more");
    })
    .await;
}

#[tokio::test]
async fn read_chunk_returns_at_most_what_was_asked_for_and_none_at_the_end() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.write_all(b"hello world").await.unwrap();
        until(|| server.stats().unread == 11).await;
        assert_eq!(server.read_chunk(5).await.unwrap().unwrap(), &b"hello"[..]);
        assert_eq!(server.read_chunk(100).await.unwrap().unwrap(), &b" world"[..]);
        server.close(0, "");
        assert_eq!(server.read_chunk(100).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn reading_goes_on_after_finish_and_after_shutdown() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.write_all(b"question").await.unwrap();
        client.finish().unwrap();
        client.finish().unwrap();
        assert_eq!(read_exactly(&mut server, 8).await, b"question");
        server.write_all(b"answer").await.unwrap();
        assert_eq!(read_exactly(&mut client, 6).await, b"answer");
        client.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        server.write_all(b"and more").await.unwrap();
        assert_eq!(read_exactly(&mut client, 8).await, b"and more");
        assert!(client.ending().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_write_after_finish_or_shutdown_is_a_broken_pipe() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.finish().unwrap();
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(client.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        client.writable().await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(server.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    })
    .await;
}

#[tokio::test]
async fn small_writes_one_after_the_other_all_arrive() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let sent = payload(20_000, 9);
        let writing = async {
            for byte in sent.chunks(1) {
                client.write_all(byte).await.unwrap();
            }
            client.flush().await.unwrap();
        };
        let (received, ()) = tokio::join!(read_exactly(&mut server, sent.len()), writing);
        assert!(received == sent);
    })
    .await;
}

#[tokio::test]
async fn windows_and_profile_change_in_the_middle_of_a_transfer() {
    watched(async {
        let Pair { mut client, server, .. } = Pair::new().await;
        let sent = payload(4 << 20, 5);
        let profiles = [Profile::FAST3, Profile::NORMAL, Profile::DEFAULT, Profile::FAST];
        let windows = [(32, 64), (2_048, 4_096), (1, 1), (512, 128)];
        let writing = async {
            for (n, chunk) in sent.chunks(100_000).enumerate() {
                client.set_profile(profiles[n % 4]);
                let (send, recv) = windows[n / 3 % 4];
                client.set_windows(send, recv).unwrap();
                client.write_all(chunk).await.unwrap();
            }
        };
        let reading = async {
            let mut received = Vec::new();
            while received.len() < sent.len() {
                let (send, recv) = windows[received.len() / 500_000 % 4];
                server.set_windows(send, recv).unwrap();
                let chunk = server.read_chunk(70_000).await.unwrap().unwrap();
                received.extend_from_slice(&chunk);
            }
            received
        };
        let (received, ()) = tokio::join!(reading, writing);
        assert!(received == sent);
        assert_eq!(client.stats().send_window, windows[41 / 3 % 4].0);
    })
    .await;
}

#[tokio::test]
async fn windows_out_of_range_are_refused_and_change_neither() {
    watched(async {
        let Pair { client, server: _server, .. } = Pair::new().await;
        let windows = |s: &KcpStream| (s.stats().send_window, s.stats().recv_window);
        client.set_windows(100, 200).unwrap();
        let refused = client.set_windows(0, 300).unwrap_err();
        assert_eq!(refused.to_string(), "send window 0: must be 1 to 32768 segments");
        assert!(client.set_windows(300, 0).is_err());
        assert!(client.set_windows(300, 32_769).is_err());
        assert_eq!(windows(&client), (100, 200));
    })
    .await;
}

#[tokio::test]
async fn statistics_count_what_was_transferred() {
    watched(async {
        let Pair { mut client, mut server, listener } = Pair::new().await;
        client.write_all(&payload(10_000, 1)).await.unwrap();
        read_exactly(&mut server, 10_000).await;
        client.shutdown().await.unwrap();
        let (sent, received) = (client.stats(), server.stats());
        assert_eq!((sent.bytes_sent, sent.bytes_acknowledged), (10_001, 10_001));
        assert_eq!((received.bytes_received, received.unread), (10_001, 0));
        assert_eq!((sent.in_flight, sent.queued), (0, 0));
        assert!(sent.segments_sent >= 9, "1 and 10,000 bytes in segments of 1,376: {sent:?}");
        assert!(sent.rtt.is_some_and(|rtt| rtt > std::time::Duration::ZERO), "{sent:?}");
        let (here, there) = (client.endpoint().stats(), listener.endpoint().stats());
        assert_eq!((here.connections, here.connections_opened, here.connections_accepted), (1, 1, 0));
        assert_eq!((there.connections, there.connections_opened, there.connections_accepted), (1, 0, 1));
        assert_eq!(here.datagrams_sent, sent.datagrams_sent);
        assert_eq!(there.datagrams_received, received.datagrams_received);
        assert!(here.bytes_sent >= 10_001 + 9 * 24, "{here:?}");
        assert!(there.recv_calls > 0 && here.send_calls > 0);
        assert!(here.recv_buffer > 0 && here.send_buffer > 0);
    })
    .await;
}
