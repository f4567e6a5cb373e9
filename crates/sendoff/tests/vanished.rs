//! Peers that go without a word: their process, their memory, or the way to them.

mod common;

use common::*;
use sendoff::{Cause, Config, KcpEndpoint, KcpListener, KcpStream, Party, PeerKind, Silence, code};
use std::{io::ErrorKind, net::UdpSocket, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_whose_process_is_gone_resets_who_writes_within_about_two_seconds() {
    watched(async {
        tokio::time::pause();
        for (config, kind) in [(Config::new(), PeerKind::Extended), (classic(), PeerKind::Stock)] {
            let (Pair { mut client, server: _server, .. }, gate) = gated_of(Config::new(), config).await;
            assert_eq!(client.peer_kind(), kind);
            gate.vanish().await;
            let begun = Instant::now();
            client.write_all(b"still there?").await.unwrap();
            let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));
            assert_eq!(ending.bytes_in_doubt(), 12);
            let took = begun.elapsed();
            assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(5), "{took:?}");
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_whose_process_is_gone_is_found_by_keep_alive_though_nobody_writes() {
    watched(async {
        tokio::time::pause();
        for config in [Config::new(), classic()] {
            let (Pair { mut client, server: _server, .. }, gate) = gated_of(Config::new(), config).await;
            gate.vanish().await;
            let begun = Instant::now();
            let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));
            assert!((19..30).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_whose_process_is_gone_resets_its_connection_at_the_server_and_no_other() {
    watched(async {
        tokio::time::pause();
        for config in [Config::new(), classic()] {
            let (Pair { mut server, listener, client: _client }, gate) =
                gated_of(config, Config::new()).await;
            let other = KcpStream::connect(listener.local_addr()).await.unwrap();
            let (mut other, mut other_server) = greeted(other, &listener).await;
            gate.vanish().await;
            server.write_all(b"still there?").await.unwrap();
            let ending = failed(server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));
            other.write_all(b"of course").await.unwrap();
            assert_eq!(read_exactly(&mut other_server, 9).await, b"of course");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_restarts_at_its_port_resets_by_its_first_answers_and_sees_no_phantom() {
    watched(async {
        let _clock = Frozen::new(); // no timer runs
        let (Pair { mut client, server: _server, .. }, gate) = gated(Config::new()).await;
        gate.vanish().await;
        let listener = KcpListener::bind(gate.addr()).await.unwrap();
        client.write_all(b"do you remember me?").await.unwrap();
        let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
        assert_eq!((ending.bytes_acknowledged, ending.bytes_in_doubt()), (1, 19));
        assert!(poll_once(listener.accept()).await.is_none());
        let again = KcpStream::connect(gate.addr()).await.unwrap();
        greeted(again, &listener).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_restarts_at_its_port_resets_what_the_server_had_with_the_first() {
    watched(async {
        let _clock = Frozen::new();
        let (Pair { mut server, listener, client: mut old }, gate) = gated(Config::new()).await;
        // Its very first data has WELCOME in front, which nobody answers.
        server.write_all(b"hello").await.unwrap();
        assert_eq!(read_exactly(&mut old, 5).await, b"hello");
        gate.vanish().await;
        let reborn = KcpEndpoint::bind(gate.back.unwrap()).await.unwrap();
        let client = reborn.connect(listener.local_addr()).await.unwrap();
        let (mut client, mut other) = greeted(client, &listener).await;
        assert_eq!(server.peer_addr(), other.peer_addr());
        server.write_all(b"do you remember me?").await.unwrap();
        let ending = failed(server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
        other.write_all(b"and you").await.unwrap();
        assert_eq!(read_exactly(&mut client, 7).await, b"and you");
        assert!(poll_once(reborn.accept()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_stock_server_that_restarts_resets_by_its_first_acknowledgement() {
    watched(async {
        let _clock = Frozen::new();
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(b"hello").await.unwrap();
        let push = raw.recv_push().await;
        raw.ack(&push, 1).await;
        until(|| client.stats().bytes_acknowledged == 5).await;
        client.write_all(b"do you remember me?").await.unwrap();
        let push = raw.recv_push().await;
        // It begins anew, and waits for number 0.
        raw.ack(&push, 0).await;
        let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
        assert_eq!((ending.bytes_acknowledged, ending.bytes_in_doubt()), (5, 19));
    })
    .await;
}

#[tokio::test]
async fn a_stock_server_that_closed_while_the_connection_was_idle_is_found_by_keep_alive() {
    watched(async {
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(b"hello").await.unwrap();
        let push = raw.recv_push().await;
        raw.ack(&push, 1).await;
        until(|| client.stats().bytes_acknowledged == 5).await;
        let _clock = Frozen::new();
        // As long as it remembers, it lives.
        for _ in 0..3 {
            advance(Duration::from_secs(21)).await;
            let probe = raw.recv_push().await;
            assert_eq!((probe.segment.sn.0, probe.data.len()), (3 << 30, 1), "an old number: {probe:?}");
            raw.ack(&probe, 1).await;
            settle().await;
            assert_eq!(client.ending(), None);
        }
        advance(Duration::from_secs(21)).await;
        let probe = raw.recv_push().await;
        raw.ack(&probe, 0).await;
        let ending = client.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
    })
    .await;
}

#[tokio::test]
async fn a_cable_that_is_pulled_times_both_ends_out_after_20_seconds_and_three_questions() {
    watched(async {
        for in_flight in [false, true] {
            let (Pair { mut client, mut server, .. }, gate) = gated(Config::new()).await;
            tokio::time::pause();
            gate.shut(Way::There);
            gate.shut(Way::Back);
            if in_flight {
                client.write_all(&payload(5_000, 1)).await.unwrap();
                server.write_all(&payload(5_000, 1)).await.unwrap();
            }
            let begun = Instant::now();
            let (here, there) = tokio::join!(client.closed(), server.closed());
            for ending in [here, there] {
                // Data may have been sent 20 times by then.
                let by_data = in_flight && ending.cause == Cause::TimedOut(Silence::Retransmissions);
                assert!(by_data || ending.cause == Cause::TimedOut(Silence::KeepAlive), "{ending}");
                assert_eq!(ending.by, Party::Network);
                assert!((20..30).contains(&ending.silent_for.as_secs()), "{ending}");
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
            failed(client.read(&mut [0; 8]).await, ErrorKind::TimedOut);
            tokio::time::resume();
        }
    })
    .await;
}

#[tokio::test]
async fn a_cable_that_is_pulled_for_15_seconds_costs_nothing_but_time() {
    watched(async {
        let (Pair { mut client, mut server, .. }, gate) = gated(Config::new()).await;
        tokio::time::pause();
        gate.shut(Way::There);
        gate.shut(Way::Back);
        let sent = payload(50_000, 1);
        client.write_all(&sent).await.unwrap();
        tokio::time::sleep(Duration::from_secs(15)).await;
        gate.open(Way::There);
        gate.open(Way::Back);
        client.finish().unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
    })
    .await;
}

#[tokio::test]
async fn keep_alive_keeps_two_that_have_nothing_to_say_for_a_day() {
    watched(async {
        let (Pair { mut client, mut server, .. }, _gate) = gated(Config::new()).await;
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!((client.ending(), server.ending()), (None, None));
        client.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut server, 10).await, b"still here");
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_report_of_a_closed_port_ends_nothing() {
    watched(async {
        // The port is closed for a moment; then somebody is there who is silent.
        let (mut client, raw) = connected(Config::new()).await;
        let addr = raw.addr();
        tokio::time::pause();
        drop(raw);
        client.write_all(b"anyone?").await.unwrap();
        until(|| client.endpoint().stats().icmp_errors > 0).await;
        let _silent = UdpSocket::bind(addr).unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(client.ending(), None, "silence ends nothing before keep-alive does");
        let ending = client.closed().await;
        assert_eq!(ending.cause, Cause::TimedOut(Silence::KeepAlive));
    })
    .await;
}
