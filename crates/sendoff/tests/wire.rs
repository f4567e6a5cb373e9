//! What stands on the wire, datagram by datagram, while the clock stands still: so no timer has sent any of it.

mod common;

use common::*;
use sendoff::{Config, Direction, KcpEndpoint, KcpListener, KcpStream, Profile, Wire, wire::Command};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Two echoes of 5 bytes between two of ours: what the client has seen of the first and of the second.
async fn echoes_seen(wire: Wire) -> [Vec<String>; 2] {
    let tap = Recorder::new();
    let config = Config::new().wire(wire);
    let server = echo_server(config.clone()).await;
    let mut client = KcpStream::connect_with(server, config.tap(tap.clone())).await.unwrap();
    settle().await;
    tap.take(); // the opening
    let mut seen = [Vec::new(), Vec::new()];
    for lines in &mut seen {
        exchange(&mut client, b"hello").await;
        // Whoever waits for more has nothing to send an acknowledgement with.
        assert!(poll_once(client.read(&mut [0; 8])).await.is_none());
        settle().await;
        *lines = tap.take().iter().map(ToString::to_string).collect();
    }
    seen
}

#[tokio::test]
async fn a_classic_echo_is_exactly_four_datagrams() {
    watched(async {
        let _clock = Frozen::new();
        let [first, second] = echoes_seen(Wire::Classic).await;
        assert_eq!(
            first,
            [
                "sent PUSH sn=0 una=0 5 bytes",
                "received ACK sn=0 una=1",
                "received PUSH sn=0 una=1 5 bytes",
                "sent ACK sn=0 una=1",
            ]
        );
        assert_eq!(
            second,
            [
                "sent PUSH sn=1 una=1 5 bytes",
                "received ACK sn=1 una=2",
                "received PUSH sn=1 una=2 5 bytes",
                "sent ACK sn=1 una=2",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn an_extended_echo_is_three_datagrams_once_somebody_reads() {
    watched(async {
        let _clock = Frozen::new();
        let [first, second] = echoes_seen(Wire::Extended).await;
        assert_eq!(
            first,
            [
                "sent HELLO + PING + PUSH sn=0 una=0 5 bytes",
                "received WELCOME + PUSH sn=0 una=1 5 bytes + ACK sn=0 una=1 + PONG",
                "sent ACK sn=0 una=1",
            ]
        );
        assert_eq!(
            second,
            [
                "sent PUSH sn=1 una=1 5 bytes",
                "received PUSH sn=1 una=2 5 bytes + ACK sn=1 una=2",
                "sent ACK sn=1 una=2",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_question_an_answer_and_both_ends_cross_in_a_handful_of_datagrams() {
    watched(async {
        let _clock = Frozen::new();
        let tap = Recorder::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new().tap(tap.clone());
        let asking = async {
            let mut client = KcpStream::connect_early_with(listener.local_addr(), config).await.unwrap();
            client.write_all(b"question").await.unwrap();
            client.finish_with(20, "that is all").unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            assert_eq!(answer, b"answer");
            client.closed().await
        };
        let answering = async {
            let (mut server, _) = listener.accept().await.unwrap();
            let mut question = Vec::new();
            server.read_to_end(&mut question).await.unwrap();
            assert_eq!(question, b"question");
            server.write_all(b"answer").await.unwrap();
            server.shutdown().await.unwrap();
        };
        let (ending, ()) = tokio::join!(asking, answering);
        assert!(ending.is_clean());
        let seen: Vec<_> = tap.take().iter().map(ToString::to_string).collect();
        assert_eq!(
            seen,
            [
                "sent HELLO + PUSH sn=0 una=0 8 bytes",
                "received WELCOME + ACK sn=0 una=1",
                "sent PING + FIN sn=1 una=0 20 \"that is all\"",
                "received ACK sn=1 una=2 + PONG",
                "received WELCOME + PUSH sn=0 una=2 6 bytes",
                "received FIN sn=1 una=2 0 \"\"",
                "sent ACK sn=1 una=2",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn an_idle_classic_connection_sends_nothing_for_an_hour_after_its_echo() {
    watched(async {
        let _clock = Frozen::new();
        let mut raw = RawPeer::listening().await;
        let config = Config::new().wire(Wire::Classic);
        let mut client = KcpStream::connect_with(raw.addr(), config).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let push = raw.recv_one().await;
        raw.ack(&push, 1).await;
        raw.push(0, 1, b"hello").await;
        read_exactly(&mut client, 5).await;
        assert_eq!(raw.recv_one().await.segment.command, Command::Ack);
        for _ in 0..60 {
            advance(Duration::from_secs(60)).await;
        }
        assert!(raw.try_recv().is_none());
        assert_eq!(client.endpoint().stats().datagrams_sent, 2);
    })
    .await;
}

#[tokio::test]
async fn in_a_conversation_every_acknowledgement_rides_with_the_next_data() {
    watched(async {
        let _clock = Frozen::new();
        let mut raw = RawPeer::client(echo_server(Config::new()).await, 1).await;
        raw.push(0, 0, b"first").await;
        let answer = raw.recv_push().await;
        // It shows that it is where it says.
        raw.ack(&answer, 1).await;
        raw.push(1, 1, b"second").await;
        let mut answer = raw.recv_push().await;
        for sn in 2..10 {
            raw.ack(&answer, sn).await;
            raw.push(sn, sn, b"again").await;
            let datagram = raw.recv().await;
            let commands: Vec<_> = datagram.iter().map(|h| h.segment.command).collect();
            assert_eq!(commands, [Command::Push, Command::Ack], "{datagram:?}");
            assert_eq!(datagram[0].segment.una.0, sn + 1);
            answer = datagram[0].clone();
        }
        raw.ack(&answer, 10).await;
        settle().await;
        assert!(raw.try_recv().is_none());
    })
    .await;
}

/// A server's stream that has read 5 bytes, with the window given.
async fn served(config: Config) -> (KcpStream, RawPeer, KcpListener) {
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
    let mut raw = RawPeer::client(listener.local_addr(), 1).await;
    raw.push(0, 0, b"hello").await;
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(read_exactly(&mut server, 5).await, b"hello");
    // A read that finds nothing sends the acknowledgement that was left to it.
    assert!(poll_once(server.readable()).await.is_none());
    assert_eq!(raw.recv_one().await.segment.command, Command::Ack);
    (server, raw, listener)
}

#[tokio::test]
async fn an_acknowledgement_without_an_answer_leaves_when_the_reader_waits_again() {
    watched(async {
        let _clock = Frozen::new();
        let (mut server, mut raw, _listener) = served(Config::new()).await;
        let mut bytes = [0; 8];
        let ((), read) = tokio::join!(raw.push(1, 0, b"more"), server.read(&mut bytes));
        assert_eq!(read.unwrap(), 4);
        settle().await;
        assert!(raw.try_recv().is_none(), "left to the reader, who may answer");
        assert!(poll_once(server.read(&mut bytes)).await.is_none());
        let ack = raw.recv_one().await;
        assert_eq!((ack.segment.command, ack.segment.una.0), (Command::Ack, 2));
    })
    .await;
}

#[tokio::test]
async fn an_acknowledgement_that_nobody_takes_along_leaves_after_5_ms() {
    watched(async {
        let _clock = Frozen::new();
        let (mut server, mut raw, _listener) = served(Config::new()).await;
        let mut bytes = [0; 8];
        let ((), read) = tokio::join!(raw.push(1, 0, b"more"), server.read(&mut bytes));
        assert_eq!(read.unwrap(), 4);
        settle().await;
        assert!(raw.try_recv().is_none());
        tokio::time::advance(ms(6)).await; // tokio rounds up to whole milliseconds
        assert_eq!(raw.recv_one().await.segment.una.0, 2);
    })
    .await;
}

#[tokio::test]
async fn dropping_the_last_handle_sends_the_acknowledgement_that_is_owed() {
    watched(async {
        let _clock = Frozen::new();
        let (mut server, mut raw, listener) = served(Config::new()).await;
        let mut bytes = [0; 8];
        let ((), read) = tokio::join!(raw.push(1, 0, b"more"), server.read(&mut bytes));
        assert_eq!(read.unwrap(), 4);
        drop(server);
        assert_eq!(raw.recv_one().await.segment.una.0, 2);
        listener.endpoint().wait_idle().await;
    })
    .await;
}

#[tokio::test]
async fn a_probe_of_a_living_connection_is_answered_with_its_window() {
    watched(async {
        let _clock = Frozen::new();
        // One that has proven nothing is told what it assumes anyway.
        for (config, window) in [(Config::new(), 32), (classic(), 77)] {
            let (_server, mut raw, _listener) = served(config.recv_window(77).unwrap()).await;
            raw.wask(0).await;
            let answer = raw.recv_one().await.segment;
            assert_eq!((answer.command, answer.window, answer.una.0), (Command::WindowTell, window, 1));
        }
    })
    .await;
}

/// Fills the window of a reader that doesn't read; returns the next number.
async fn fill_window(server: &KcpStream, raw: &mut RawPeer, segments: u32) -> u32 {
    let mut next = 1;
    while next <= segments {
        raw.push(next, 0, &[b'x'; 100]).await;
        next += 1;
    }
    until(|| server.stats().unread == segments as usize * 100).await;
    // The last acknowledgement tells that the window is closed.
    loop {
        let ack = raw.recv().await.pop().unwrap();
        if ack.segment.una.0 == next {
            assert_eq!(ack.segment.window, 0, "{ack:?}");
            return next;
        }
    }
}

#[tokio::test]
async fn a_full_window_that_reopens_is_told_unasked() {
    watched(async {
        let _clock = Frozen::new();
        for wire in [Wire::Extended, Wire::Classic] {
            let config = Config::new().wire(wire).recv_window(32).unwrap();
            let (mut server, mut raw, _listener) = served(config).await;
            let next = fill_window(&server, &mut raw, 32).await;
            let bytes = read_exactly(&mut server, 32 * 100).await;
            assert_eq!(bytes, [b'x'; 3_200]);
            let told = raw.recv_one().await.segment;
            assert_eq!((told.command, told.una.0, told.window), (Command::WindowTell, next, 32), "{wire}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_never_stalls_the_transfer_though_no_timer_runs() {
    watched(async {
        let _clock = Frozen::new();
        for (send, recv) in [(1, 1), (1_024, 8), (64, 1_024), (32, 32)] {
            let window = |s, r| Config::fast3().send_window(s).unwrap().recv_window(r).unwrap();
            let Pair { mut client, server, .. } = Pair::of(window(send, 32), window(32, recv)).await;
            let sent = payload(300_000, 1);
            let reading = async {
                let mut received = Vec::new();
                while received.len() < sent.len() {
                    // The window fills up before anything is read.
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    received.extend_from_slice(&server.read_chunk(20_000).await.unwrap().unwrap());
                }
                received
            };
            let (received, written) = tokio::join!(reading, client.write_all(&sent));
            written.unwrap();
            assert!(received == sent);
            client.shutdown().await.unwrap();
            let stats = client.stats();
            assert_eq!(stats.retransmitted_timeout, 0);
            assert_eq!(stats.probes_sent, 1, "the PING that answers WELCOME");
        }
    })
    .await;
}

#[tokio::test]
async fn a_mebibyte_crosses_in_every_profile_though_no_timer_runs() {
    watched(async {
        let _clock = Frozen::new();
        for profile in [Profile::DEFAULT, Profile::NORMAL, Profile::FAST, Profile::FAST2] {
            let Pair { mut client, mut server, .. } = Pair::with(Config::new().profile(profile)).await;
            let sent = payload(1 << 20, 1);
            let writing = async {
                client.write_all(&sent).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let (received, ()) = tokio::join!(read_exactly(&mut server, sent.len()), writing);
            assert!(received == sent);
        }
    })
    .await;
}

#[tokio::test]
async fn shutdown_is_ok_only_when_una_covers_every_byte() {
    watched(async {
        let _clock = Frozen::new();
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(&payload(2_000, 1)).await.unwrap();
        let first = raw.recv_push().await;
        let second = raw.recv_push().await;
        assert!(poll_once(client.shutdown()).await.is_none());
        // Selective acknowledgements deliver nothing.
        raw.ack(&first, 0).await;
        raw.ack(&second, 0).await;
        until(|| client.stats().datagrams_received == 1 + 2).await;
        assert!(poll_once(client.shutdown()).await.is_none());
        raw.ack(&first, 1).await;
        until(|| client.stats().bytes_acknowledged == first.data.len() as u64).await;
        assert!(poll_once(client.shutdown()).await.is_none());
        raw.wins(2).await;
        client.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn flush_does_not_wait_for_acknowledgements() {
    watched(async {
        let _clock = Frozen::new();
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(&payload(100_000, 1)).await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(client.stats().bytes_acknowledged, 0);
        assert_eq!(raw.recv_push().await.segment.sn.0, 0);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_by_connecting_in_classic_mode() {
    watched(async {
        let _clock = Frozen::new();
        let raw = RawPeer::listening().await;
        let _own = KcpStream::connect_with(raw.addr(), classic()).await.unwrap();
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let _shared = endpoint.connect(raw.addr()).await.unwrap();
        for _ in 0..60 {
            advance(Duration::from_secs(60)).await;
        }
        assert!(raw.try_recv().is_none());
    })
    .await;
}

// Only Linux has all of 127.0.0.0/8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_leaves_from_the_very_address_that_the_peer_sent_to() {
    watched(async {
        let listener = KcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = listener.local_addr().port();
        for host in ["127.0.0.2", "127.0.0.77", "127.0.0.1"] {
            let addr: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let mut raw = RawPeer::client(addr, 1).await;
            raw.push(0, 0, b"hello").await;
            let (mut server, _) = listener.accept().await.unwrap();
            raw.recv_one().await;
            assert_eq!(raw.peer(), addr, "the acknowledgement");
            assert_eq!(server.local_addr(), addr);
            server.write_all(b"answer").await.unwrap();
            let push = raw.recv_push().await;
            assert_eq!(raw.peer(), addr, "the answer");
            raw.ack(&push, 1).await;
            until(|| server.stats().bytes_acknowledged == 6).await;
            raw.conv = 2;
            raw.push(7, 0, b"unknown").await;
            while raw.recv_one().await.segment.conv == 1 {}
            assert_eq!(raw.peer(), addr, "the answer to a stranger");
            // The address can change while the connection lives.
            let other: SocketAddr = format!("127.0.0.99:{port}").parse().unwrap();
            raw.conv = 1;
            raw.turn_to(other);
            raw.push(1, 0, b"hello").await;
            assert_eq!(read_exactly(&mut server, 10).await, b"hellohello");
            until(|| server.local_addr() == other).await;
            // What was on its way comes from before.
            raw.recv().await;
            while raw.peer() != other {
                raw.recv().await;
            }
            // A connected socket of ours takes nothing from elsewhere either.
            let client = KcpStream::connect(addr).await.unwrap();
            let (mut client, mut server) = greeted(client, &listener).await;
            server.write_all(b"!").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'!');
        }
    })
    .await;
}

#[tokio::test]
async fn a_tap_sees_every_datagram_both_ways() {
    watched(async {
        let (client_tap, server_tap) = (Recorder::new(), Recorder::new());
        let (client, server) = (Config::new().tap(client_tap.clone()), Config::new().tap(server_tap.clone()));
        let Pair { mut client, mut server, listener } = Pair::of(client, server).await;
        let sent = payload(200_000, 1);
        let (received, written) =
            tokio::join!(read_exactly(&mut server, sent.len()), client.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
        let (here, there) = (client.endpoint().stats(), listener.endpoint().stats());
        assert_eq!(client_tap.count(Direction::Sent), here.datagrams_sent);
        assert_eq!(client_tap.count(Direction::Received), here.datagrams_received);
        assert_eq!(server_tap.count(Direction::Sent), there.datagrams_sent);
        assert_eq!(server_tap.count(Direction::Received), there.datagrams_received);
        let payloads = |tap: &Recorder, direction| -> Vec<Vec<u8>> {
            tap.take().into_iter().filter(|s| s.direction == direction).map(|s| s.payload).collect()
        };
        let arrived = payloads(&server_tap, Direction::Received);
        assert!(payloads(&client_tap, Direction::Sent) == arrived, "seen there as they left here, in order");
    })
    .await;
}

#[tokio::test]
async fn a_tap_sees_what_is_dropped_and_what_is_answered_without_a_connection() {
    watched(async {
        let tap = Recorder::new();
        let listener = KcpListener::bind_with("127.0.0.1:0", classic().tap(tap.clone())).await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 9).await;
        raw.wins(0).await;
        raw.ping().await;
        raw.recv_one().await;
        let seen: Vec<_> = tap.take().iter().map(ToString::to_string).collect();
        assert_eq!(seen, ["received WINS una=0", "received WASK una=0", "sent WINS una=0"]);
    })
    .await;
}

#[tokio::test]
async fn a_tap_is_told_addresses_as_the_stream_tells_them() {
    watched(async {
        let tap = Recorder::new();
        let Pair { client, server: _server, .. } =
            Pair::of(Config::new().tap(tap.clone()), Config::new()).await;
        for seen in tap.take() {
            assert_eq!((seen.local, seen.peer), (client.local_addr(), client.peer_addr()));
        }
    })
    .await;
}
