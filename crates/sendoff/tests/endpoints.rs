//! Endpoints and listeners: who may open a connection, what closing one does, and what is counted.

mod common;

use common::*;
use sendoff::{Cause, Config, KcpEndpoint, KcpListener, KcpStream, wire::Command};
use std::{collections::HashSet, io::ErrorKind};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn closing_an_endpoint_ends_accept_with_an_error_now_and_later() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.endpoint().clone();
        let accepting = tokio::spawn(async move { (listener.accept().await.map(|_| ()), listener) });
        settle().await;
        assert!(!accepting.is_finished());
        endpoint.close();
        let (accepted, listener) = accepting.await.unwrap();
        assert_eq!(accepted.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::NotConnected);
        let error = endpoint.connect("127.0.0.1:9").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        endpoint.close();
        endpoint.wait_idle().await;
    })
    .await;
}

#[tokio::test]
async fn closing_an_endpoint_delivers_what_its_connections_have_written() {
    watched(async {
        for config in [Config::new(), classic()] {
            let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config).await.unwrap();
            let mut streams = Vec::new();
            // In classic mode the second to the same peer has a socket of its own, and belongs to the
            // endpoint all the same.
            for n in 0..3 {
                let mut stream = endpoint.connect(listener.local_addr()).await.unwrap();
                stream.write_all(&payload(30_000, n)).await.unwrap();
                streams.push(stream);
            }
            endpoint.close();
            let reading = async {
                for n in 0..3 {
                    let (mut server, _) = listener.accept().await.unwrap();
                    assert!(read_exactly(&mut server, 30_000).await == payload(30_000, n));
                }
            };
            tokio::join!(endpoint.wait_idle(), reading);
            for stream in &streams {
                assert!(stream.ending().unwrap().is_clean());
            }
        }
    })
    .await;
}

#[tokio::test]
async fn wait_idle_waits_for_every_connection_and_returns_at_once_without_any() {
    watched(async {
        let Pair { client, server, listener } = Pair::new().await;
        assert!(poll_once(listener.endpoint().wait_idle()).await.is_none());
        drop(server);
        assert!(poll_once(listener.endpoint().wait_idle()).await.is_none());
        drop(client);
        listener.endpoint().wait_idle().await;
        assert!(poll_once(listener.endpoint().wait_idle()).await.is_some());
        assert_eq!(listener.endpoint().stats().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn streams_live_on_when_their_listener_is_dropped_and_no_new_ones_come() {
    watched(async {
        let Pair { mut client, mut server, listener } = Pair::new().await;
        let addr = listener.local_addr();
        drop(listener);
        let raw = RawPeer::client(addr, 1).await;
        raw.push(0, 0, b"too late").await;
        until(|| server.endpoint().stats().dropped_not_listening == 1).await;
        let sent = payload(500_000, 1);
        let (received, written) =
            tokio::join!(read_exactly(&mut server, sent.len()), client.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        server.write_all(b"both ways").await.unwrap();
        assert_eq!(read_exactly(&mut client, 9).await, b"both ways");
        assert_eq!(server.endpoint().stats().connections, 1);
        let error = server.endpoint().accept().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
    })
    .await;
}

#[tokio::test]
async fn connections_that_nobody_has_accepted_are_dropped_with_the_listener() {
    watched(async {
        let Pair { server, listener, .. } = Pair::new().await;
        for conv in 1..=5 {
            RawPeer::client(listener.local_addr(), conv).await.push(0, 0, b"hello").await;
        }
        until(|| listener.endpoint().stats().connections == 6).await;
        drop(listener);
        until(|| server.endpoint().stats().connections == 1).await;
        assert_eq!(server.ending(), None);
    })
    .await;
}

#[tokio::test]
async fn the_socket_is_given_back_when_the_last_handle_and_connection_are_gone() {
    watched(async {
        let Pair { client, server, listener } = Pair::new().await;
        let addr = listener.local_addr();
        drop((client, server, listener));
        // The driver's task ends in its own time.
        until(|| std::net::UdpSocket::bind(addr).is_ok()).await;
    })
    .await;
}

#[tokio::test]
async fn a_clone_of_the_endpoint_keeps_it_listening() {
    watched(async {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let clone = endpoint.clone();
        drop(endpoint);
        let mut client = KcpStream::connect(clone.local_addr()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        assert_eq!(clone.accept().await.unwrap().1, client.local_addr());
    })
    .await;
}

#[tokio::test]
async fn several_tasks_that_accept_share_what_comes() {
    watched(async {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut accepting = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let endpoint = endpoint.clone();
            accepting.spawn(async move { endpoint.accept().await.unwrap().0.conv().value() });
        }
        settle().await;
        let mut raw = RawPeer::client(endpoint.local_addr(), 0).await;
        for conv in 1..=8 {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
        }
        let accepted: HashSet<u32> = accepting.join_all().await.into_iter().collect();
        assert_eq!(accepted, (1..=8).collect());
    })
    .await;
}

#[tokio::test]
async fn the_accept_queue_holds_1024_and_counts_what_it_drops() {
    watched(async {
        // Of those that have proven nothing there may be no more than that; without blocks nothing can be proven.
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let mut raw = RawPeer::client(endpoint.local_addr(), 0).await;
        for conv in 1..=1_030 {
            raw.conv = conv;
            raw.push(0, 0, &conv.to_le_bytes()).await;
        }
        until(|| endpoint.stats().dropped_backlog == 6).await;
        let stats = endpoint.stats();
        assert_eq!((stats.connections, stats.connections_accepted), (1_024, 1_024));
        let mut streams = Vec::new();
        for conv in 1..=1_024_u32 {
            let (mut stream, _) = endpoint.accept().await.unwrap();
            assert_eq!(stream.conv().value(), conv);
            assert_eq!(read_exactly(&mut stream, 4).await, conv.to_le_bytes());
            streams.push(stream);
        }
        assert!(poll_once(endpoint.accept()).await.is_none());
        // One that was dropped comes in when it tries again.
        raw.push(0, 0, b"again").await;
        assert_eq!(endpoint.accept().await.unwrap().0.conv().value(), 1_030);
    })
    .await;
}

#[tokio::test]
async fn no_more_than_1024_peers_that_have_proven_nothing_are_let_in() {
    watched(async {
        let _clock = Frozen::new();
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut raw = RawPeer::client(endpoint.local_addr(), 0).await;
        let mut streams = Vec::new();
        for conv in 1..=1_030 {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
            if conv <= 1_024 {
                let (mut stream, _) = endpoint.accept().await.unwrap();
                assert_eq!(read_exactly(&mut stream, 5).await, b"hello");
                assert!(stream.try_read(&mut [0]).is_err());
                streams.push(stream);
                raw.recv_one().await;
            }
        }
        until(|| endpoint.stats().dropped_unproven == 6).await;
        assert_eq!((endpoint.stats().connections, endpoint.stats().unproven.0), (1_024, 1_024));
        // One that shows that it gets what is sent makes room.
        streams[1_023].write_all(b"prove it").await.unwrap();
        let push = raw.recv_push().await;
        assert_eq!(push.data, b"prove it");
        raw.ack(&push, 1).await;
        until(|| endpoint.stats().unproven.0 == 1_023).await;
        raw.conv = 1_030;
        raw.push(0, 0, b"again").await;
        assert_eq!(endpoint.accept().await.unwrap().0.conv().value(), 1_030);
    })
    .await;
}

#[tokio::test]
async fn no_more_than_max_connections_are_opened_from_either_side() {
    watched(async {
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", Config::new().max_connections(3)).await.unwrap();
        let mut raw = RawPeer::client(endpoint.local_addr(), 0).await;
        for conv in 1..=5 {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
        }
        until(|| endpoint.stats().dropped_full == 2).await;
        assert_eq!(endpoint.stats().connections, 3);
        let elsewhere = RawPeer::listening().await;
        assert!(endpoint.connect(elsewhere.addr()).await.is_err());
        // The room of one that has ended can be taken again.
        let (first, _) = endpoint.accept().await.unwrap();
        drop(first);
        until(|| endpoint.stats().connections == 2).await;
        raw.push(0, 0, b"once more").await;
        until(|| endpoint.stats().connections == 3).await;
        let stats = endpoint.stats();
        assert_eq!((stats.connections_accepted, stats.connections_opened), (4, 0));
    })
    .await;
}

#[tokio::test]
async fn a_new_connection_from_the_same_port_is_accepted_while_the_old_one_is_there() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 1).await;
        raw.push(0, 0, b"old").await;
        let (mut old, from) = listener.accept().await.unwrap();
        raw.conv = 2;
        raw.push(0, 0, b"new").await;
        let (mut new, from_again) = listener.accept().await.unwrap();
        assert_eq!(from, from_again);
        assert_eq!(read_exactly(&mut old, 3).await, b"old");
        assert_eq!(read_exactly(&mut new, 3).await, b"new");
        raw.conv = 1;
        raw.push(1, 0, b" and alive").await;
        assert_eq!(read_exactly(&mut old, 10).await, b" and alive");
        drop(old);
        raw.conv = 2;
        raw.push(1, 0, b"er").await;
        assert_eq!(read_exactly(&mut new, 2).await, b"er");
    })
    .await;
}

/// A listener that had one connection, which it has closed; the peer of that; and the one PUSH that the peer got.
async fn closed_by_the_server() -> (KcpListener, RawPeer, Heard) {
    let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut raw = RawPeer::client(listener.local_addr(), 0x5b1f_03aa).await;
    raw.push(0, 0, b"hello").await;
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(read_exactly(&mut server, 5).await, b"hello");
    server.write_all(b"bye").await.unwrap();
    let push = raw.recv_push().await;
    let closed = server.closed();
    drop(server);
    raw.ack(&push, 1).await;
    assert_eq!(closed.await.cause, Cause::Closed);
    listener.endpoint().wait_idle().await;
    (listener, raw, push)
}

async fn assert_no_phantom(listener: &KcpListener) {
    assert!(poll_once(listener.accept()).await.is_none(), "a connection that nobody has opened");
    let stats = listener.endpoint().stats();
    assert_eq!((stats.connections, stats.connections_accepted), (0, 1));
}

#[tokio::test]
async fn late_copies_of_the_first_datagram_make_no_phantom() {
    watched(async {
        let (listener, raw, _) = closed_by_the_server().await;
        for _ in 0..10 {
            raw.push(0, 0, b"hello").await;
        }
        until(|| listener.endpoint().stats().dropped_ended == 10).await;
        assert_no_phantom(&listener).await;
    })
    .await;
}

#[tokio::test]
async fn late_copies_that_come_after_the_tombstone_make_no_phantom_if_they_know_of_an_answer() {
    watched(async {
        let (listener, raw, _) = closed_by_the_server().await;
        let _clock = Frozen::new();
        advance(std::time::Duration::from_secs(60)).await;
        raw.push(0, 1, b"hello").await; // una 1: it has seen our answer
        raw.push(7, 1, b"more").await;
        until(|| listener.endpoint().stats().answered == 2).await;
        assert_no_phantom(&listener).await;
    })
    .await;
}

#[tokio::test]
async fn keep_alives_probes_and_acknowledgements_after_the_close_make_no_phantom() {
    watched(async {
        let (listener, raw, answer) = closed_by_the_server().await;
        for _ in 0..10 {
            raw.wask(1).await;
            raw.wins(1).await;
            raw.ack(&answer, 1).await;
            raw.push(1, 1, b"more").await;
        }
        let counted = || {
            let stats = listener.endpoint().stats();
            stats.dropped_unknown + stats.dropped_ended + stats.answered
        };
        until(|| counted() >= 40).await;
        assert_no_phantom(&listener).await;
    })
    .await;
}

#[tokio::test]
async fn nothing_but_a_first_push_opens_a_connection() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        raw.push(0, 0, b"no conversation has the number 0").await;
        raw.conv = 8;
        for command in [Command::Ack, Command::WindowTell] {
            raw.send(raw.segment(command, 0, 0), &[]).await;
        }
        raw.push(1, 0, b"not the first").await;
        raw.push(0, 1, b"one that has heard something").await;
        raw.push_fragment(0, 255, b"no data").await;
        raw.wask(0).await;
        let stats = || listener.endpoint().stats();
        until(|| (stats().dropped_unknown, stats().answered) == (3, 3)).await;
        let stats = stats();
        assert_eq!((stats.dropped_malformed, stats.connections, stats.connections_accepted), (1, 0, 0));
        for sn in [1_u32, 0, 0] {
            // A hint, which acknowledges nothing: who is alive will ask what it means.
            let hint = raw.recv_one().await.segment;
            assert_eq!((hint.command, hint.una.0), (Command::WindowTell, sn.wrapping_sub(1 << 30)));
        }
        raw.push(0, 0, b"hello").await;
        assert_eq!(listener.accept().await.unwrap().0.conv().value(), 8);
    })
    .await;
}

#[tokio::test]
async fn a_ping_is_answered_once_and_opens_nothing() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 99).await;
        raw.ping().await;
        let answer = raw.recv_one().await;
        assert_eq!(answer.segment.command, Command::WindowTell);
        assert_eq!((answer.segment.conv, answer.segment.una.0), (99, 0));
        let stats = listener.endpoint().stats();
        assert_eq!((stats.answered, stats.connections, stats.connections_accepted), (1, 0, 0));
        raw.wins(0).await;
        until(|| listener.endpoint().stats().dropped_unknown == 1).await;
        settle().await;
        assert!(raw.try_recv().is_none(), "an answer to an answer");
    })
    .await;
}
