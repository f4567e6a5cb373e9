//! How connections end, and that nobody who waits is left waiting.

mod common;

use common::*;
use sendoff::{
    Cause, Config, Ending, Farewell, KcpEndpoint, KcpListener, KcpStream, Party, PeerKind, Silence,
};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_was_written_before_a_drop_is_delivered_20_times_of_20() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::time::pause(); // waiting for a server that says nothing costs no time
        for n in 0..20 {
            let sent = payload(65_536, n);
            let config = if n % 2 == 0 { Config::new() } else { classic() };
            let mut client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
            client.write_all(&sent).await.unwrap();
            let (endpoint, closed) = (client.endpoint(), client.closed());
            drop(client);
            endpoint.wait_idle().await;
            // All is there before anyone has read a byte of it.
            let (mut server, _) = listener.accept().await.unwrap();
            assert_eq!(server.stats().unread, 65_536);
            assert!(read_exactly(&mut server, 65_536).await == sent);
            drop(server);
            let ending = closed.await;
            assert!(ending.is_clean(), "{ending}");
            assert_eq!((ending.bytes_acknowledged, ending.bytes_in_doubt()), (65_536, 0));
        }
    })
    .await;
}

#[test]
fn what_was_written_by_a_program_that_ends_after_wait_idle_is_delivered() {
    let server = runtime();
    let listener = server.block_on(KcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr();
    let serving = thread::spawn(move || {
        server.block_on(watched(async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            received
        }))
    });
    let program = runtime();
    program.block_on(watched(async {
        let mut client = KcpStream::connect(addr).await.unwrap();
        client.write_all(&payload(65_536, 1)).await.unwrap();
        let endpoint = client.endpoint();
        drop(client);
        endpoint.wait_idle().await;
    }));
    drop(program);
    assert!(serving.join().unwrap() == payload(65_536, 1));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn more_than_a_window_written_before_shutdown_is_delivered_to_a_slow_reader() {
    watched(async {
        let config = Config::new().recv_window(16).unwrap();
        let Pair { mut client, server, .. } = Pair::of(Config::new(), config).await;
        let sent = payload(1 << 20, 2);
        let writing = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(client.stats().bytes_acknowledged, (1 << 20) + 1);
        };
        let reading = async {
            let mut received = Vec::new();
            while received.len() < sent.len() {
                received.extend_from_slice(&server.read_chunk(1_000).await.unwrap().unwrap());
                tokio::task::yield_now().await;
            }
            received
        };
        assert!(tokio::join!(reading, writing).0 == sent);
    })
    .await;
}

#[tokio::test]
async fn close_delivers_what_was_written_and_tells_code_and_reason() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.write_all(&payload(50_000, 3)).await.unwrap();
        client.close(77, "done for today");
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(read_exactly(&mut server, 50_000).await == payload(50_000, 3));
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        server.shutdown().await.unwrap();
        let ending = client.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Local, Cause::Closed, 77));
        assert_eq!(ending.reason, "done for today");
        assert!(ending.to_string().contains("code 77 \"done for today\""), "{ending}");
        assert_eq!(client.ending(), Some(ending));
        assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        client.shutdown().await.unwrap();
        let ending = server.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Closed, 77));
        assert_eq!(ending.peer, Some(Farewell::new(77, "done for today")));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_waits_gets_the_end_when_the_other_half_closes() {
    watched(async {
        let Pair { client, server: _server, .. } = Pair::new().await;
        let (mut reader, mut writer) = client.into_split();
        let reading = tokio::spawn(async move { reader.read(&mut [0; 8]).await });
        settle().await;
        writer.close(0, "");
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn abort_ends_at_once_and_every_call_says_so() {
    watched(async {
        let silent = RawPeer::listening().await;
        let mut client = KcpStream::connect_early(silent.addr()).await.unwrap();
        client.write_all(&payload(1_000, 1)).await.unwrap();
        let closed = client.closed();
        client.abort(42);
        let ending = closed.await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Local, Cause::Aborted, 42));
        assert_eq!(ending.bytes_in_doubt(), 1_000);
        assert!(!ending.is_clean());
        assert_ended(&mut client, ErrorKind::ConnectionAborted, Cause::Aborted).await;
        client.endpoint().wait_idle().await;
    })
    .await;
}

/// Every call tells how the connection has ended.
async fn assert_ended(stream: &mut KcpStream, kind: ErrorKind, cause: Cause) {
    let is_told = |error: io::Error| {
        assert_eq!(error.kind(), kind, "{error}");
        let ending = Ending::of(&error).unwrap_or_else(|| panic!("no ending in {error}"));
        assert_eq!(ending.cause, cause);
    };
    is_told(stream.read(&mut [0; 8]).await.unwrap_err());
    is_told(stream.try_read(&mut [0; 8]).unwrap_err());
    is_told(stream.read_chunk(8).await.unwrap_err());
    is_told(stream.write(b"x").await.unwrap_err());
    is_told(stream.try_write(b"x").unwrap_err());
    is_told(stream.finish().unwrap_err());
    let delivered = stream.ending().unwrap().bytes_in_doubt() == 0;
    match stream.shutdown().await {
        // A stock peer can get no more than that.
        Ok(()) => assert!(delivered && stream.peer_kind() == PeerKind::Stock),
        Err(error) => is_told(error),
    }
    stream.readable().await.unwrap();
    stream.writable().await.unwrap();
    assert_eq!(stream.ending().unwrap().cause, cause);
    assert_eq!(stream.closed().await.cause, cause);
}

/// A port at which nobody listens.
fn dead_port() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

// Other systems show a socket no ICMP errors, or not all.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_port_where_nobody_listens_refuses_the_first_data() {
    watched(async {
        let shared = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        for (own_socket, config) in
            [(true, classic()), (false, classic()), (true, Config::new()), (false, Config::new())]
        {
            let addr = dead_port();
            let connecting = match own_socket {
                true => KcpStream::connect_early_with(addr, config).await,
                false => shared.connect_early_with(addr, config).await,
            };
            let mut client = connecting.unwrap();
            client.write_all(b"anyone?").await.unwrap();
            let error = client.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let ending = Ending::of(&error).unwrap();
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Refused));
            assert_eq!((ending.bytes_sent, ending.bytes_acknowledged), (7, 0));
            assert_ended(&mut client, ErrorKind::ConnectionRefused, Cause::Refused).await;
        }
        assert!(shared.stats().icmp_errors >= 4);
        shared.wait_idle().await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_refusal_of_one_peer_leaves_the_other_connections_of_the_socket_alone() {
    watched(async {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut living = endpoint.connect(echo_server(Config::new()).await).await.unwrap();
        exchange(&mut living, b"before").await;
        let refusal = tokio::spawn({
            let endpoint = endpoint.clone();
            async move { endpoint.connect(dead_port()).await }
        });
        while !refusal.is_finished() {
            exchange(&mut living, &payload(10_000, 1)).await;
        }
        let error = refusal.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::Refused);
        exchange(&mut living, b"after").await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_whose_process_is_gone_resets_the_connection() {
    watched(async {
        let (mut client, mut raw) = connected(Config::new()).await;
        client.write_all(b"hello").await.unwrap();
        let push = raw.recv_push().await;
        raw.ack(&push, 1).await;
        until(|| client.stats().bytes_acknowledged == 5).await;
        drop(raw);
        tokio::time::pause();
        client.write_all(b"still there?").await.unwrap();
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::Reset);
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_whose_process_is_gone_resets_its_connection_at_the_server_and_no_other() {
    watched(async {
        let Pair { mut client, server: mut other, listener } = Pair::new().await;
        let raw = RawPeer::client(listener.local_addr(), 1).await;
        raw.push(0, 0, b"hello").await;
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(read_exactly(&mut server, 5).await, b"hello");
        drop(raw);
        tokio::time::pause();
        server.write_all(b"still there?").await.unwrap();
        let error = server.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::Reset);
        client.write_all(b"of course").await.unwrap();
        assert_eq!(read_exactly(&mut other, 9).await, b"of course");
        assert!(poll_once(listener.accept()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_answers_times_out_after_the_connect_timeout() {
    watched(async {
        let silent = RawPeer::listening().await;
        let config = Config::new().connect_timeout(ms(300));
        let error = KcpStream::connect_with(silent.addr(), config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::TimedOut(Silence::Opening));
        let mut client = KcpStream::connect_early_with(silent.addr(), config).await.unwrap();
        client.write_all(b"anyone?").await.unwrap();
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        let ending = Ending::of(&error).unwrap();
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Opening));
        assert!(ending.lasted >= ms(300), "{ending}");
        assert_ended(&mut client, ErrorKind::TimedOut, Cause::TimedOut(Silence::Opening)).await;
    })
    .await;
}

/// A client that was answered once, by a peer that is never heard again.
async fn abandoned(config: Config) -> (KcpStream, RawPeer) {
    let (mut client, mut raw) = connected(config).await;
    raw.window = 4;
    client.write_all(b"hello").await.unwrap();
    let push = raw.recv_push().await;
    raw.ack(&push, 1).await;
    raw.push(0, 1, b"welcome").await;
    assert_eq!(read_exactly(&mut client, 7).await, b"welcome");
    (client, raw)
}

#[tokio::test]
async fn keep_alive_finds_a_peer_that_has_vanished() {
    watched(async {
        let (mut client, _raw) = abandoned(Config::new().keep_alive(ms(50))).await;
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let ending = Ending::of(&error).unwrap();
        assert_eq!((ending.by, ending.cause), (Party::Network, Cause::TimedOut(Silence::KeepAlive)));
        assert!(ending.to_string().contains("3 probes unanswered"), "{ending}");
        assert_eq!((ending.bytes_sent, ending.bytes_acknowledged, ending.bytes_received), (5, 5, 7));
        assert_ended(&mut client, ErrorKind::TimedOut, Cause::TimedOut(Silence::KeepAlive)).await;
    })
    .await;
}

#[tokio::test]
async fn the_default_keep_alive_finds_a_peer_that_has_vanished() {
    watched(async {
        let (mut client, _raw) = abandoned(Config::new()).await;
        tokio::time::pause(); // from here on, waiting costs no time
        let ending = match client.read(&mut [0; 8]).await {
            Err(error) => Ending::of(&error).unwrap().clone(),
            Ok(n) => panic!("read {n} bytes"),
        };
        assert_eq!(ending.cause, Cause::TimedOut(Silence::KeepAlive));
        assert!(ending.silent_for >= Duration::from_secs(20), "{ending}");
    })
    .await;
}

#[tokio::test]
async fn keep_alive_finds_a_peer_that_has_closed_though_its_listener_lives() {
    watched(async {
        // A stock one, which says nothing when it closes.
        let Pair { client, server, listener } = Pair::with(classic().keep_alive(ms(50))).await;
        let _clock = Frozen::new();
        drop(server);
        listener.endpoint().wait_idle().await;
        for _ in 0..20 {
            advance(Duration::from_secs(1)).await;
        }
        let ending = client.ending().expect("an end: nobody there knows this connection any more");
        assert_eq!(ending.cause, Cause::TimedOut(Silence::KeepAlive));
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_has_forgotten_the_conversation_is_no_sign_of_life() {
    watched(async {
        let (client, mut raw) = abandoned(Config::new().keep_alive(ms(50))).await;
        let forgetful = async {
            loop {
                raw.recv().await;
                raw.wins(0).await;
            }
        };
        tokio::select! {
            ending = client.closed() => assert_eq!(ending.cause, Cause::TimedOut(Silence::KeepAlive)),
            () = forgetful => {}
        }
        assert!(client.stats().datagrams_received >= 4, "it has answered");
    })
    .await;
}

#[tokio::test]
async fn keep_alive_holds_an_idle_connection_open_for_an_hour() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let _clock = Frozen::new();
        for round in 1..=180 {
            advance(Duration::from_secs(20)).await;
            until(|| client.stats().datagrams_received >= round).await;
        }
        assert!(client.stats().probes_sent > 0);
        assert_eq!((client.ending(), server.ending()), (None, None));
        client.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut server, 10).await, b"still here");
    })
    .await;
}

#[tokio::test]
async fn a_full_window_and_a_peer_that_has_vanished_time_out() {
    watched(async {
        let (mut client, mut raw) = abandoned(Config::new().keep_alive(ms(50))).await;
        // The peer closes its window, with data still to come, and dies.
        client.write_all(&payload(100_000, 1)).await.unwrap();
        raw.window = 0;
        for una in 2..=5 {
            let push = raw.recv().await.pop().unwrap();
            raw.ack(&push, una).await;
        }
        until(|| client.stats().remote_window == 0 && client.stats().in_flight == 0).await;
        assert!(client.stats().queued > 0);
        let error = client.shutdown().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::TimedOut(Silence::KeepAlive));
    })
    .await;
}

#[tokio::test]
async fn a_full_window_and_a_peer_that_has_vanished_time_out_without_keep_alive_too() {
    watched(async {
        let (mut client, mut raw) = abandoned(Config::new().keep_alive(None)).await;
        client.write_all(&payload(100_000, 1)).await.unwrap();
        raw.window = 0;
        for una in 2..=5 {
            let push = raw.recv().await.pop().unwrap();
            raw.ack(&push, una).await;
        }
        until(|| client.stats().remote_window == 0 && client.stats().in_flight == 0).await;
        tokio::time::pause();
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::TimedOut(Silence::Retransmissions));
    })
    .await;
}

#[tokio::test]
async fn data_in_flight_to_a_peer_that_has_vanished_times_out_without_keep_alive_too() {
    watched(async {
        let (mut client, _raw) = abandoned(Config::new().keep_alive(None)).await;
        client.write_all(b"anyone?").await.unwrap();
        tokio::time::pause();
        let error = client.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::TimedOut(Silence::Retransmissions));
    })
    .await;
}

#[tokio::test]
async fn shutdown_gives_up_after_the_linger_time_and_can_be_called_again() {
    watched(async {
        let config = Config::new().keep_alive(None).linger(ms(200));
        let (mut client, raw) = abandoned(config).await;
        client.write_all(b"unheard").await.unwrap();
        for _ in 0..2 {
            let error = client.shutdown().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("5 bytes"), "how much was acknowledged: {error}");
        }
        // Nothing was discarded, and reading goes on.
        assert!(client.ending().is_none());
        raw.push(1, 1, b"late").await;
        assert_eq!(read_exactly(&mut client, 4).await, b"late");
        raw.wins(2).await;
        client.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stream_gives_up_after_the_linger_time() {
    watched(async {
        let config = Config::new().keep_alive(None).linger(ms(200));
        let (mut client, _raw) = abandoned(config).await;
        client.write_all(b"unheard").await.unwrap();
        let (endpoint, closed) = (client.endpoint(), client.closed());
        drop(client);
        endpoint.wait_idle().await;
        let ending = closed.await;
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Linger));
        assert_eq!((ending.bytes_acknowledged, ending.bytes_in_doubt()), (5, 7));
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_never_used_ends_at_once_when_it_is_dropped() {
    watched(async {
        for config in [classic(), Config::new()] {
            let (client, stock) = connected(config).await;
            let (endpoint, closed) = (client.endpoint(), client.closed());
            drop(client);
            endpoint.wait_idle().await;
            assert!(closed.await.is_clean());
            assert!(stock.try_recv().is_none(), "KCP has no farewell to send");
        }
    })
    .await;
}

#[test]
fn the_end_of_the_runtime_wakes_everyone_who_waits_elsewhere() {
    let dying = runtime();
    let silent = runtime().block_on(async { UdpSocket::bind("127.0.0.1:0") }).unwrap();
    let addr = silent.local_addr().unwrap();
    let window = Config::new().send_window(1).unwrap();
    let (listener, streams) = dying.block_on(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = KcpStream::connect_early_with(addr, window.clone()).await.unwrap();
            while stream.try_write(&[0; 5_000]).is_ok() {}
            assert!(poll_once(stream.write(&[0])).await.is_none(), "the window is full");
            streams.push(stream);
        }
        (listener, streams)
    });
    let [mut reading, mut writing, mut shutting, waiting] = <[KcpStream; 4]>::try_from(streams).unwrap();
    let endpoint = waiting.endpoint();
    let is_lost = |error: io::Error| {
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
        assert_eq!(Ending::of(&error).unwrap().cause, Cause::EndpointLost);
    };
    runtime().block_on(watched(async {
        let closed = waiting.closed();
        let everyone = async {
            tokio::join!(
                async { is_lost(reading.read(&mut [0; 8]).await.unwrap_err()) },
                async { is_lost(writing.write_all(&[0; 100_000]).await.unwrap_err()) },
                async { is_lost(shutting.shutdown().await.unwrap_err()) },
                async { assert_eq!(closed.await.cause, Cause::EndpointLost) },
                async { waiting.readable().await.unwrap() },
                async { waiting.writable().await.unwrap() },
                async { assert!(listener.accept().await.is_err()) },
                endpoint.wait_idle(),
            )
        };
        tokio::pin!(everyone);
        assert!(poll_once(everyone.as_mut()).await.is_none());
        thread::spawn(move || drop(dying));
        everyone.await;
        assert!(endpoint.connect(addr).await.is_err(), "nobody drives that socket");
        assert!(listener.accept().await.is_err());
    }));
}

#[test]
fn connections_opened_while_the_runtime_ends_are_told_so() {
    let living = runtime();
    for _ in 0..30 {
        let dying =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let endpoint = dying.block_on(KcpEndpoint::bind("127.0.0.1:0")).unwrap();
        let streams = thread::scope(|scope| {
            let (begun, has_begun) = mpsc::channel();
            let connecting = scope.spawn({
                let living = living.handle();
                move || {
                    let mut streams = Vec::new();
                    // As long as anyone drives the socket; a port of its own each, for one socket for all.
                    for port in 1..=u16::MAX {
                        match living.block_on(endpoint.connect_early_with(("127.0.0.1", port), Config::new()))
                        {
                            Ok(stream) => streams.push(stream),
                            Err(_) => return streams,
                        }
                        _ = begun.send(());
                    }
                    panic!("still connecting, and the runtime has long ended");
                }
            });
            for _ in 0..100 {
                has_begun.recv().unwrap();
            }
            drop(dying);
            connecting.join().unwrap()
        });
        let forgotten = streams.iter().filter(|s| s.ending().is_none()).count();
        assert_eq!(forgotten, 0, "of {}: nobody will ever wake who waits for them", streams.len());
    }
}
