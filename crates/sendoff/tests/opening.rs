//! How connections begin: who answers, who refuses, what rides with the opening, and what an unproven peer may do.

mod common;

use common::*;
use sendoff::{
    Cause, Config, Conv, KcpEndpoint, KcpListener, KcpStream, Party, PeerKind, Silence, Wire, code,
};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

fn dead_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn connect_waits_for_an_answer_and_knows_then_what_kind_of_peer_it_is() {
    watched(async {
        let _clock = Frozen::new();
        for (server, kind) in [(Config::new(), PeerKind::Extended), (classic(), PeerKind::Stock)] {
            let tap = Recorder::new();
            let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
            let config = Config::new().tap(tap.clone());
            let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
            assert_eq!(client.peer_kind(), kind);
            let seen: Vec<_> = tap.take().iter().map(ToString::to_string).collect();
            let answer = if kind == PeerKind::Extended { "received WELCOME" } else { "received WINS una=0" };
            assert_eq!(seen[..2], ["sent HELLO", answer]);
            let (_client, server) = greeted(client, &listener).await;
            assert_eq!(server.peer_kind(), kind);
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_nobody_listens_connect_is_refused_long_before_its_time_is_over() {
    watched(async {
        tokio::time::pause();
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        for shared in [false, true] {
            let begun = Instant::now();
            let result = match shared {
                false => KcpStream::connect(dead_port()).await,
                true => endpoint.connect(dead_port()).await,
            };
            let ending = failed(result, ErrorKind::ConnectionRefused);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Refused));
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        }
        endpoint.wait_idle().await;
        assert_eq!(endpoint.stats().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn where_nobody_answers_connect_asks_again_ever_more_rarely_and_times_out() {
    watched(async {
        tokio::time::pause();
        let silent = RawPeer::listening().await;
        let begun = Instant::now();
        let ending = failed(KcpStream::connect(silent.addr()).await, ErrorKind::TimedOut);
        assert_eq!((ending.by, ending.cause), (Party::Network, Cause::TimedOut(Silence::Opening)));
        assert_eq!(begun.elapsed().as_secs(), 5);
        let mut asked = 0;
        while let Some(heard) = silent.try_recv() {
            assert!(heard.iter().all(|h| h.data.starts_with(b"SOFF")), "nothing but HELLO: {heard:?}");
            asked += 1;
        }
        assert_eq!(asked, 5, "at 0, 0.25, 0.75, 1.75 and 3.75 s");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_full_refuses_as_busy() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind_with("127.0.0.1:0", Config::new().max_connections(1)).await.unwrap();
        let client = KcpStream::connect(listener.local_addr()).await.unwrap();
        let (_first, _server) = greeted(client, &listener).await;
        let refused = KcpStream::connect(listener.local_addr()).await;
        let ending = failed(refused, ErrorKind::ConnectionRefused);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Refused, code::BUSY));
        assert_eq!(listener.endpoint().stats().connections, 1);
    })
    .await;
}

#[tokio::test]
async fn where_blocks_are_required_a_stock_peer_is_refused_both_ways() {
    watched(async {
        let required = Config::new().wire(Wire::Required);
        let listener = KcpListener::bind_with("127.0.0.1:0", required.clone()).await.unwrap();
        let stock = RawPeer::client(listener.local_addr(), 7).await;
        stock.push(0, 0, b"hello").await;
        until(|| listener.endpoint().stats().dropped_stock == 1).await;
        assert!(poll_once(listener.accept()).await.is_none());
        let client = KcpStream::connect_with(listener.local_addr(), required.clone()).await.unwrap();
        greeted(client, &listener).await;
        settle().await;
        assert!(stock.try_recv().is_none(), "a stranger that is not welcome gets no answer");
        tokio::time::pause();
        let stock_listener = KcpListener::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let begun = Instant::now();
        let refused = KcpStream::connect_with(stock_listener.local_addr(), required).await;
        let ending = failed(refused, ErrorKind::ConnectionRefused);
        assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Refused));
        assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        assert_eq!(stock_listener.endpoint().stats().connections_accepted, 0);
    })
    .await;
}

#[tokio::test]
async fn a_conversation_id_set_by_hand_is_in_use_until_10_seconds_after_the_end() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new().conv(Conv::new(77).unwrap());
        let connect = async || endpoint.connect_with(listener.local_addr(), config.clone()).await;
        let (client, server) = greeted(connect().await.unwrap(), &listener).await;
        assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::AddrInUse);
        let (here, there) = (client.closed(), server.closed());
        drop((client, server));
        tokio::join!(here, there);
        advance(Duration::from_secs(9)).await;
        assert_eq!(connect().await.unwrap_err().kind(), ErrorKind::AddrInUse);
        advance(Duration::from_secs(2)).await;
        let (client, _server) = greeted(connect().await.unwrap(), &listener).await;
        assert_eq!(client.conv().value(), 77);
    })
    .await;
}

#[tokio::test]
async fn early_data_rides_with_the_opening_and_is_answered_after_one_round_trip() {
    watched(async {
        let _clock = Frozen::new();
        let tap = Recorder::new();
        let config = Config::new().tap(tap.clone());
        let server = echo_server(Config::new()).await;
        let mut client = KcpStream::connect_early_with(server, config).await.unwrap();
        assert_eq!(client.peer_kind(), PeerKind::Unknown);
        exchange(&mut client, b"hello").await;
        assert_eq!(client.peer_kind(), PeerKind::Extended);
        let seen: Vec<_> = tap.take().iter().map(ToString::to_string).collect();
        assert_eq!(seen[0], "sent HELLO + PUSH sn=0 una=0 5 bytes");
        assert!(seen[1].starts_with("received WELCOME"), "{seen:?}");
        exchange(&mut client, &payload(300_000, 1)).await;
    })
    .await;
}

#[tokio::test]
async fn early_data_reaches_a_stock_peer_too() {
    watched(async {
        let _clock = Frozen::new();
        let mut client = KcpStream::connect_early(echo_server(classic()).await).await.unwrap();
        exchange(&mut client, b"hello").await;
        exchange(&mut client, &payload(300_000, 1)).await;
        assert_eq!(client.peer_kind(), PeerKind::Stock);
    })
    .await;
}

#[tokio::test]
async fn early_data_is_delivered_though_the_stream_is_dropped_at_once() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = KcpStream::connect_early(listener.local_addr()).await.unwrap();
        let sent = payload(100_000, 1);
        client.write_all(&sent).await.unwrap();
        let closed = client.closed();
        drop(client);
        let (mut server, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        drop(server);
        assert!(closed.await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn what_an_early_connect_fails_with_shows_at_the_first_read() {
    watched(async {
        tokio::time::pause();
        let silent = RawPeer::listening().await;
        let mut client = KcpStream::connect_early(silent.addr()).await.unwrap();
        client.write_all(b"anyone?").await.unwrap();
        let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::TimedOut);
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Opening));
        assert_eq!((ending.bytes_sent, ending.bytes_acknowledged), (7, 0));
        failed(client.shutdown().await, ErrorKind::TimedOut);
    })
    .await;
}

#[tokio::test]
async fn connections_to_one_extended_peer_share_a_socket_once_it_has_answered() {
    watched(async {
        let _clock = Frozen::new();
        let addr = echo_server(Config::new()).await;
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        // While the first waits, nobody knows what kind of peer it is.
        let (first, second) = tokio::join!(endpoint.connect(addr), endpoint.connect(addr));
        let mut streams = vec![first.unwrap(), second.unwrap()];
        assert_eq!(streams[0].local_addr(), endpoint.local_addr());
        assert_ne!(streams[1].local_addr(), endpoint.local_addr());
        for _ in 0..5 {
            let stream = endpoint.connect(addr).await.unwrap();
            assert_eq!(stream.local_addr(), endpoint.local_addr());
            streams.push(stream);
        }
        assert_eq!(endpoint.stats().connections, 6);
        for (n, stream) in streams.iter_mut().enumerate() {
            exchange(stream, &payload(20_000, n as u64)).await;
        }
        // One that ends takes no other along.
        streams.remove(0).abort(16);
        drop(streams.remove(0));
        for stream in &mut streams {
            exchange(stream, b"still here").await;
        }
    })
    .await;
}

#[tokio::test]
async fn connections_to_one_stock_peer_have_a_socket_each() {
    watched(async {
        let _clock = Frozen::new();
        let addr = echo_server(classic()).await;
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut ports = std::collections::HashSet::new();
        let mut streams = Vec::new();
        for _ in 0..5 {
            let stream = endpoint.connect(addr).await.unwrap();
            assert!(ports.insert(stream.local_addr().port()));
            streams.push(stream);
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            exchange(stream, &payload(20_000, n as u64)).await;
        }
        // All of them are the endpoint's.
        endpoint.close();
        endpoint.wait_idle().await;
        assert!(streams.iter().all(|stream| stream.ending().is_some_and(|e| e.is_clean())));
    })
    .await;
}

/// A listener, and what an early client has sent to it in its first datagram.
async fn recorded(config: Config) -> (KcpListener, KcpStream, KcpStream, Vec<u8>) {
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
    let gate = Gate::before(listener.local_addr()).await;
    let client = KcpStream::connect_early(gate.addr()).await.unwrap();
    let (client, server) = greeted(client, &listener).await;
    let first = gate.passed().swap_remove(0);
    (listener, client, server, first)
}

#[tokio::test]
async fn with_prove_a_replayed_opening_is_never_accepted_and_an_honest_one_is() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, mut client, mut server, first) = recorded(Config::new().prove(true)).await;
        client.write_all(b"proven").await.unwrap();
        assert_eq!(read_exactly(&mut server, 6).await, b"proven");
        // From another port, where nobody answers what the server says.
        let replayer = RawPeer::client(listener.local_addr(), 0).await;
        replayer.send_bytes(&first).await;
        until(|| listener.endpoint().stats().connections == 2).await;
        for _ in 0..60 {
            advance(Duration::from_secs(1)).await;
        }
        let stats = listener.endpoint().stats();
        assert_eq!((stats.connections, stats.connections_accepted, stats.unproven.0), (1, 1, 0));
        assert!(poll_once(listener.accept()).await.is_none());
        client.write_all(b"unharmed").await.unwrap();
        assert_eq!(read_exactly(&mut server, 8).await, b"unharmed");
    })
    .await;
}

#[tokio::test]
async fn without_prove_a_replayed_opening_is_handed_out_and_told_as_unproven_in_the_end() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, _client, _server, first) = recorded(Config::new().keep_alive(None)).await;
        let replayer = RawPeer::client(listener.local_addr(), 0).await;
        replayer.send_bytes(&first).await;
        let (mut replayed, _) = listener.accept().await.unwrap();
        assert_eq!(read_exactly(&mut replayed, 1).await, b"!");
        for _ in 0..40 {
            advance(Duration::from_secs(1)).await;
        }
        let ending = failed(replayed.read(&mut [0; 8]).await, ErrorKind::TimedOut);
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Unproven));
    })
    .await;
}

#[tokio::test]
async fn with_prove_a_waiting_client_is_accepted_before_it_has_said_a_word() {
    watched(async {
        // The proof waits up to 5 ms for data to ride with.
        let listener = KcpListener::bind_with("127.0.0.1:0", Config::new().prove(true)).await.unwrap();
        let (client, accepted) = tokio::join!(KcpStream::connect(listener.local_addr()), listener.accept());
        let (mut client, (mut server, _)) = (client.unwrap(), accepted.unwrap());
        server.write_all(b"welcome").await.unwrap();
        assert_eq!(read_exactly(&mut client, 7).await, b"welcome");
    })
    .await;
}

#[tokio::test]
async fn two_clients_of_one_process_do_not_disturb_each_other() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut pairs = Vec::new();
        for _ in 0..2 {
            let client = KcpStream::connect(listener.local_addr()).await.unwrap();
            pairs.push(greeted(client, &listener).await);
        }
        let (mut other, mut other_server) = pairs.pop().unwrap();
        let (mut one, mut one_server) = pairs.pop().unwrap();
        assert_ne!(one.local_addr(), other.local_addr());
        one.abort(16);
        assert_eq!(failed(one_server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset).code, 16);
        other.write_all(b"not me").await.unwrap();
        other.finish().unwrap();
        let mut received = Vec::new();
        other_server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"not me");
    })
    .await;
}
