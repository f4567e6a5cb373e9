//! What comes from the network and shouldn't: counted and dropped, and nobody else is harmed.

mod common;

use common::*;
use sendoff::{Config, KcpEndpoint, KcpListener, KcpStream};
use sendoff_netem::Rng;
use std::net::UdpSocket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Datagrams that no KCP sends, to a conversation that the receiver knows.
fn malformed(conv: u32) -> Vec<Vec<u8>> {
    let header = |command: u8, len: u32| {
        let mut header = [0; 24];
        header[..4].copy_from_slice(&conv.to_le_bytes());
        header[4] = command;
        header[20..].copy_from_slice(&len.to_le_bytes());
        header.to_vec()
    };
    let truncated = (1..24).map(|len| header(81, 0)[..len].to_vec());
    let past_the_end = [1, 1_000, u32::MAX].map(|len| header(81, len));
    let unknown = [0, 80, 85, 255].map(|command| header(command, 0));
    truncated.chain(past_the_end).chain(unknown).chain([vec![0xff; 65_507]]).collect()
}

/// Well-formed segments that fit nowhere in a conversation: number, first number unacknowledged.
const OUT_OF_PLACE: [(u32, u32); 5] =
    [(5_000, 0), (u32::MAX, 0), (1 << 31, 0), (3, 1 << 31), (1 << 30, u32::MAX)];

#[tokio::test]
async fn stray_datagrams_from_any_source_do_not_end_a_client() {
    watched(async {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let addr = echo_server(Config::new()).await;
        let own = KcpStream::connect(addr).await.unwrap();
        let shared = endpoint.connect(addr).await.unwrap();
        for mut client in [own, shared] {
            exchange(&mut client, b"before").await;
            let mut stray = RawPeer::client(client.local_addr(), client.conv().value()).await;
            for datagram in malformed(client.conv().value()) {
                stray.send_bytes(&datagram).await;
            }
            for (sn, una) in OUT_OF_PLACE.into_iter().chain([(0, 0), (1, 1)]) {
                stray.push(sn, una, b"stray").await;
                stray.wins(una).await;
            }
            stray.conv ^= 1;
            stray.push(0, 0, b"stray").await;
            exchange(&mut client, b"after").await;
            assert_eq!(client.ending(), None);
            assert_eq!(client.stats().malformed_datagrams, 0, "they aren't of this connection");
        }
    })
    .await;
}

#[tokio::test]
async fn malformed_datagrams_of_the_peer_itself_are_counted_and_end_nothing() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 0x0102_0304).await;
        raw.push(0, 0, b"hello").await;
        let (mut server, _) = listener.accept().await.unwrap();
        let bad = malformed(raw.conv);
        for datagram in &bad {
            raw.send_bytes(datagram).await;
        }
        for (sn, una) in OUT_OF_PLACE {
            raw.push(sn, una, b"out of place").await;
        }
        raw.push(1, 0, b" again").await;
        assert_eq!(read_exactly(&mut server, 11).await, b"hello again");
        let (connection, endpoint) = (server.stats(), listener.endpoint().stats());
        assert_eq!(connection.dropped_out_of_window, 3, "5000, 2^31 and 2^30");
        assert!(connection.invalid_una >= 1, "{connection:?}");
        // What doesn't begin with a segment isn't known to be of the connection.
        assert_eq!(endpoint.dropped_malformed + connection.malformed_datagrams, bad.len() as u64);
        assert_eq!((endpoint.connections, endpoint.connections_accepted), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_datagram_without_a_byte_is_counted_and_dropped() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        raw.send_bytes(&[]).await;
        raw.push(0, 0, b"hello").await;
        raw.send_bytes(&[]).await;
        raw.push(1, 0, b" again").await;
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(read_exactly(&mut server, 11).await, b"hello again");
        let stats = listener.endpoint().stats();
        assert_eq!((stats.datagrams_received, stats.dropped_malformed), (4, 2));
    })
    .await;
}

#[tokio::test]
async fn garbage_from_1000_ports_leaves_no_connection() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let mut rng = Rng::new(1);
        for port in 0..1_000 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut garbage = rng.bytes(1 + port % 1_400);
            if port % 4 == 0 && garbage.len() >= 24 {
                // A header that is nearly right: PUSH, but with a number or an una that opens nothing.
                garbage[4] = 81;
                garbage[20..24].copy_from_slice(&0_u32.to_le_bytes());
            }
            socket.send_to(&garbage, addr).unwrap();
            if port % 100 == 99 {
                until(|| listener.endpoint().stats().datagrams_received > port as u64).await;
            }
        }
        let stats = listener.endpoint().stats();
        assert_eq!(stats.dropped_malformed + stats.dropped_unknown + stats.answered, 1_000, "{stats:?}");
        assert!(stats.answered >= 200 && stats.dropped_malformed >= 700, "{stats:?}");
        assert_eq!((stats.connections, stats.connections_accepted), (0, 0));
        // Each answer is a header, and no longer than what it answers.
        assert_eq!((stats.datagrams_sent, stats.bytes_sent), (stats.answered, stats.answered * 24));
        assert!(poll_once(listener.accept()).await.is_none());
        let client = KcpStream::connect(addr).await.unwrap();
        greeted(client, &listener).await;
    })
    .await;
}

#[tokio::test]
async fn a_stuck_reader_bounds_what_is_buffered_by_the_windows() {
    watched(async {
        let config = Config::new().send_window(64).unwrap().recv_window(100).unwrap();
        let Pair { client, server, .. } = Pair::with(config).await;
        let chunk = payload(10_000, 1);
        let mut written = 0;
        until(|| match client.try_write(&chunk) {
            Ok(n) => {
                written += n;
                assert!(written < 1 << 20, "no bound");
                false
            }
            Err(_) => client.stats().remote_window == 0 && client.stats().in_flight == 0,
        })
        .await;
        let (here, there) = (client.stats(), server.stats());
        assert!(there.unread <= 100 * 1_376, "{}", there.unread);
        assert!(here.queued <= 2 * 64, "{}", here.queued);
        assert!(written <= (100 + 2 * 64) * 1_376, "{written}");
        assert!(written >= 100 * 1_376, "{written}: less than the window");
    })
    .await;
}

#[tokio::test]
async fn a_sender_that_ignores_the_window_is_not_buffered_for() {
    watched(async {
        let config = Config::new().recv_window(32).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        let data = payload(1_376, 1);
        for sn in 0..200 {
            raw.push(sn, 0, &data).await;
        }
        let (mut server, _) = listener.accept().await.unwrap();
        until(|| server.stats().segments_received == 200).await;
        let stats = server.stats();
        assert_eq!((stats.dropped_out_of_window, stats.unread), (168, 32 * 1_376));
        // The connection lives, and takes what is sent again.
        read_exactly(&mut server, 32 * 1_376).await;
        raw.push(32, 0, b"again").await;
        assert_eq!(read_exactly(&mut server, 5).await, b"again");
    })
    .await;
}

#[tokio::test]
async fn a_datagram_beyond_the_window_is_dropped_and_the_connection_lives() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        raw.push(0, 0, b"one").await;
        raw.push(9_999, 0, b"far out").await;
        raw.push(1, 0, b"two").await;
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(read_exactly(&mut server, 6).await, b"onetwo");
        let stats = server.stats();
        assert_eq!((stats.dropped_out_of_window, stats.reordering), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn segments_of_64_kib_fill_no_more_memory_than_the_window_allows() {
    watched(async {
        let config = Config::new().recv_window(64).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        let data = payload(60_000, 1);
        for sn in 0..60 {
            raw.push(sn, 0, &data).await;
            raw.push(sn + 61, 0, &data).await;
            tokio::task::yield_now().await;
        }
        let (server, _) = listener.accept().await.unwrap();
        until(|| server.stats().segments_received == 120).await;
        // 64 segments of ours are 88,064 bytes; a peer's may be larger, but not by that much.
        assert!(server.stats().unread <= 64 * 2_048 + 60_000, "{:?}", server.stats());
        assert!(server.stats().dropped_out_of_window > 100);
    })
    .await;
}

#[tokio::test]
async fn forged_acknowledgements_neither_deliver_nor_panic() {
    watched(async {
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(&payload(5_000, 1)).await.unwrap();
        let mut push = raw.recv_push().await;
        // Who could echo the right one has got our data.
        push.segment.timestamp.0 ^= 1 << 31;
        for una in [5, 1_000, 1 << 31, u32::MAX] {
            raw.ack(&push, una).await;
            raw.wins(una).await;
        }
        let mut forged = push.clone();
        for sn in [4, 77, 1 << 31, u32::MAX] {
            forged.segment.sn.0 = sn;
            raw.ack(&forged, 0).await;
        }
        until(|| client.stats().datagrams_received == 1 + 12).await;
        let stats = client.stats();
        assert_eq!((stats.bytes_acknowledged, client.ending()), (0, None));
        assert!(stats.invalid_una > 0 && stats.dropped_acks > 0, "{stats:?}");
        raw.wins(4).await;
        client.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn random_segments_in_a_conversation_neither_panic_nor_disturb_another() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        let raw = RawPeer::client(addr, 7).await;
        tokio::spawn(echo(listener));
        let mut other = KcpStream::connect(addr).await.unwrap();
        exchange(&mut other, b"before").await;
        raw.push(0, 0, b"hello").await;
        let mut rng = Rng::new(2);
        for n in 0..2_000_u64 {
            let mut datagram = Vec::new();
            for _ in 0..1 + rng.below(3) {
                let mut header = rng.bytes(24);
                header[..4].copy_from_slice(&7_u32.to_le_bytes());
                header[4] = 81 + rng.below(4) as u8;
                let near = |rng: &mut Rng| (rng.below(64) as u32).wrapping_sub(8).to_le_bytes();
                if rng.chance(0.7) {
                    header[12..16].copy_from_slice(&near(&mut rng));
                    header[16..20].copy_from_slice(&near(&mut rng));
                }
                let len = rng.below(200) as u32;
                header[20..].copy_from_slice(&len.to_le_bytes());
                datagram.extend(header);
                datagram.extend(rng.bytes(len as usize));
            }
            raw.send_bytes(&datagram).await;
            if n % 100 == 0 {
                exchange(&mut other, &n.to_le_bytes()).await;
            }
        }
        exchange(&mut other, &payload(100_000, 1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_gets_each_byte_once_however_often_and_in_what_order_they_come() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        let mut rng = Rng::new(3);
        raw.push(0, 0, &[0; 10]).await;
        for _ in 0..600 {
            let sn = rng.below(30) as u8;
            raw.push(sn.into(), 0, &[sn; 10]).await;
        }
        for sn in 0..30 {
            raw.push(sn.into(), 0, &[sn; 10]).await;
        }
        let (mut server, _) = listener.accept().await.unwrap();
        let expected: Vec<u8> = (0..30).flat_map(|sn| [sn; 10]).collect();
        assert_eq!(read_exactly(&mut server, 300).await, expected);
        until(|| server.stats().segments_received == 631).await;
        assert_eq!(server.stats().duplicates_received, 601);
        assert!(poll_once(server.read_u8()).await.is_none());
    })
    .await;
}
