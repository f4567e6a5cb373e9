//! The one task of a socket: fair to all its connections, and asleep when there is nothing to do.

mod common;

use common::*;
use sendoff::{Config, KcpEndpoint, KcpListener, KcpStream};
use sendoff_netem::Rng;
use std::time::Duration;
use tokio::{io::AsyncWriteExt, runtime::Handle, task::JoinSet};

/// Writes until the connection is told to end.
async fn bulk(mut stream: KcpStream) {
    let chunk = payload(65_536, 1);
    while stream.write_all(&chunk).await.is_ok() {}
}

/// Reads until the connection has ended.
async fn sink(mut stream: KcpStream) {
    _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

#[tokio::test]
async fn neither_a_stuck_reader_nor_a_bulk_sender_holds_another_connection_up() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr();
        // All three from one socket to one socket, where both ways are shared.
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let (mut stuck, _stuck_server) = greeted(endpoint.connect(addr).await.unwrap(), &listener).await;
        while let Some(written) = poll_once(stuck.write(&payload(65_536, 2))).await {
            written.unwrap();
        }
        let mut bulks = Vec::new();
        for _ in 0..2 {
            let (client, server) = greeted(KcpStream::connect(addr).await.unwrap(), &listener).await;
            let counted = client.closed();
            bulks.push((tokio::spawn(bulk(client)), counted, tokio::spawn(sink(server))));
        }
        let (mut client, mut server) = greeted(KcpStream::connect(addr).await.unwrap(), &listener).await;
        for n in 0..500_u32 {
            client.write_all(&n.to_le_bytes()).await.unwrap();
            let asked = read_exactly(&mut server, 4).await;
            server.write_all(&asked).await.unwrap();
            assert_eq!(read_exactly(&mut client, 4).await, n.to_le_bytes());
        }
        for (bulk, ended, _sink) in bulks {
            assert!(!bulk.is_finished());
            bulk.abort();
            let ending = ended.await;
            assert!(ending.bytes_acknowledged > 1 << 20, "nor do 500 pings hold up the bulk: {ending:?}");
        }
        assert_eq!(stuck.ending(), None);
    })
    .await;
}

#[tokio::test]
async fn a_bulk_sender_gets_through_beside_a_thousand_connections_with_stuck_readers() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let (mut client, mut server) =
            greeted(endpoint.connect(listener.local_addr()).await.unwrap(), &listener).await;
        // A raw peer is cheaper than a thousand sockets. It doesn't read the acknowledgements.
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        let mut stuck = Vec::new();
        for conv in 1..=1_000 {
            raw.conv = conv;
            for sn in 0..3 {
                raw.push(sn, 0, b"unread").await;
            }
            stuck.push(listener.accept().await.unwrap().0);
        }
        let sent = payload(4 << 20, 3);
        let (received, written) =
            tokio::join!(read_exactly(&mut server, sent.len()), client.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        assert!(stuck.iter().all(|s| s.stats().unread == 18 && s.ending().is_none()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_connections_at_once_each_get_their_echo() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, endpoint) = (listener.local_addr(), listener.endpoint().clone());
        tokio::spawn(echo(listener));
        let mut clients = JoinSet::new();
        for n in 0..500 {
            clients.spawn(async move {
                let mut stream = KcpStream::connect(addr).await.unwrap();
                exchange(&mut stream, &payload(5_000 + n, n as u64)).await;
                exchange(&mut stream, &payload(100, 500 + n as u64)).await;
                stream
            });
        }
        let streams = clients.join_all().await;
        assert_eq!(streams.len(), 500);
        assert_eq!(endpoint.stats().connections, 500);
        assert_eq!(endpoint.stats().connections_accepted, 500);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_opened_used_and_dropped_at_random_on_several_threads_all_end() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, server) = (listener.local_addr(), listener.endpoint().clone());
        let serving = tokio::spawn(echo(listener));
        let mut clients = JoinSet::new();
        for seed in 0..8 {
            let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
            clients.spawn(async move {
                let mut rng = Rng::new(seed);
                for _ in 0..50 {
                    let mut stream = endpoint.connect(addr).await.unwrap();
                    exchange(&mut stream, &rng.bytes(1)).await;
                    let len = rng.below(100_000) as usize;
                    stream.write_all(&rng.bytes(len)).await.unwrap();
                    match rng.below(5) {
                        0 => drop(stream),
                        1 => stream.abort(1),
                        2 => stream.close(2, "enough"),
                        3 => drop(stream.into_split().1),
                        _ => drop(read_exactly(&mut stream, len).await),
                    }
                }
                endpoint.wait_idle().await;
                endpoint.stats().connections
            });
        }
        assert_eq!(clients.join_all().await, [0; 8]);
        // To some of them the server still has something to say, which nobody hears any more.
        assert!(server.stats().connections_accepted == 400);
        serving.abort();
    })
    .await;
}

#[tokio::test]
async fn connections_between_many_endpoints_share_their_sockets() {
    watched(async {
        let mut servers = Vec::new();
        for _ in 0..10 {
            servers.push(echo_server(Config::new()).await);
        }
        let mut clients = JoinSet::new();
        for _ in 0..10 {
            let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
            for &server in &servers {
                let endpoint = endpoint.clone();
                clients.spawn(async move {
                    let mut stream = endpoint.connect(server).await.unwrap();
                    assert_eq!(stream.local_addr(), endpoint.local_addr());
                    exchange(&mut stream, &payload(20_000, 1)).await;
                });
            }
        }
        assert_eq!(clients.join_all().await.len(), 100);
    })
    .await;
}

/// How often this runtime went to sleep and was woken.
fn parks() -> u64 {
    Handle::current().metrics().worker_park_count(0)
}

#[tokio::test]
async fn an_idle_connection_wakes_nobody_for_a_day() {
    watched(async {
        let (mut client, mut raw) = connected(Config::new().keep_alive(None)).await;
        client.write_all(b"hello").await.unwrap();
        let push = raw.recv_push().await;
        raw.ack(&push, 1).await;
        raw.push(0, 1, b"hello").await;
        read_exactly(&mut client, 5).await;
        assert!(poll_once(client.readable()).await.is_none());
        raw.recv_one().await; // the acknowledgement
        tokio::time::pause();
        // Buffers are given back a second after the last use.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (before, slept) = (client.endpoint().stats(), parks());
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(client.endpoint().stats(), before);
        assert!(raw.try_recv().is_none());
        // tokio's wheel takes a few steps to get as far as a day; ticks of 10 ms would be 8,640,000.
        assert!(parks() - slept < 100, "woken {} times", parks() - slept);
        assert_eq!(client.ending(), None);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_between_two_that_speak_blocks_wakes_nobody_for_a_day() {
    watched(async {
        let Pair { mut client, mut server, listener } = Pair::with(Config::new().keep_alive(None)).await;
        server.write_all(b"hello").await.unwrap();
        read_exactly(&mut client, 5).await;
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let stats = || (client.endpoint().stats(), listener.endpoint().stats());
        let (before, slept) = (stats(), parks());
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(stats(), before);
        assert!(parks() - slept < 100, "woken {} times", parks() - slept);
        assert_eq!((client.ending(), server.ending()), (None, None));
    })
    .await;
}

#[tokio::test]
async fn an_idle_server_with_many_connections_sleeps_too() {
    watched(async {
        let config = Config::new().keep_alive(None);
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        let mut streams = Vec::new();
        for conv in 1..=200 {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(read_exactly(&mut stream, 5).await, b"hello");
            // The acknowledgement shows that the peer is where it says.
            stream.write_all(b"hello").await.unwrap();
            let push = raw.recv_push().await;
            raw.ack(&push, 1).await;
            until(|| stream.stats().bytes_acknowledged == 5).await;
            streams.push(stream);
        }
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (before, slept) = (listener.endpoint().stats(), parks());
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(listener.endpoint().stats(), before);
        assert!(parks() - slept < 100, "woken {} times", parks() - slept);
    })
    .await;
}

#[tokio::test]
async fn a_batch_leaves_and_arrives_in_few_system_calls() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let sent = payload(4 << 20, 4);
        let (received, written) =
            tokio::join!(read_exactly(&mut server, sent.len()), client.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
        let (here, there) = (client.endpoint().stats(), server.endpoint().stats());
        assert!(here.datagrams_sent >= (4 << 20) / 1_376);
        if cfg!(target_os = "linux") {
            assert!(here.send_calls * 8 < here.datagrams_sent, "{here:?}");
            assert!(there.recv_calls * 8 < there.datagrams_received, "{there:?}");
            assert!(there.datagrams_sent * 8 < there.datagrams_received, "acknowledgements: {there:?}");
        }
    })
    .await;
}
