//! How one side's end shows at the other: finish, close, drop and abort, towards peers that speak blocks and stock ones.

mod common;

use common::*;
use sendoff::{Cause, Config, Farewell, KcpStream, Party, PeerKind, code};
use std::{io::ErrorKind, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// It is read to its end, and every way to read says so.
async fn assert_read_to_end(stream: &mut KcpStream) {
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(stream.read_chunk(8).await.unwrap(), None);
    stream.readable().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_finishes_is_read_to_its_end_at_once_and_the_other_way_goes_on() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.write_all(b"question").await.unwrap();
        client.finish_with(200, "that is all").unwrap();
        assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        assert_read_to_end(&mut server).await;
        assert_eq!(server.peer_farewell(), Some(Farewell::new(200, "that is all")), "though it lives on");
        assert_eq!(client.peer_farewell(), None);
        let answer = payload(200_000, 1);
        let (received, written) =
            tokio::join!(read_exactly(&mut client, answer.len()), server.write_all(&answer));
        written.unwrap();
        assert!(received == answer);
        client.shutdown().await.unwrap();
        assert_eq!((client.ending(), server.ending()), (None, None));
        server.finish_with(201, "here too").unwrap();
        assert_read_to_end(&mut client).await;
        let (here, there) = tokio::join!(client.closed(), server.closed());
        assert_eq!((here.by, here.cause), (Party::Local, Cause::Closed));
        assert_eq!((here.code, &here.reason[..]), (200, "that is all"), "who finished first");
        assert_eq!(here.peer, Some(Farewell::new(201, "here too")));
        assert_eq!((there.by, there.cause), (Party::Peer, Cause::Closed));
        assert_eq!((there.code, &there.reason[..]), (200, "that is all"));
        assert_eq!(there.peer, Some(Farewell::new(200, "that is all")));
        assert_eq!((there.bytes_sent, there.bytes_acknowledged), (200_000, 200_000));
        for mut stream in [client, server] {
            assert_read_to_end(&mut stream).await;
            stream.shutdown().await.unwrap();
            assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    })
    .await;
}

#[tokio::test]
async fn both_may_finish_at_the_same_time() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener } = Pair::new().await;
        client.finish_with(100, "client").unwrap();
        server.finish_with(101, "server").unwrap();
        let (here, there) = tokio::join!(client.closed(), server.closed());
        assert_eq!((here.by, here.code, here.peer), (Party::Local, 100, Some(Farewell::new(101, "server"))));
        assert_eq!(
            (there.by, there.code, there.peer),
            (Party::Local, 101, Some(Farewell::new(100, "client")))
        );
        assert_eq!(listener.endpoint().stats().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn a_stock_peer_that_finishes_says_nothing_and_both_ways_go_on() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::of(Config::new(), classic()).await;
        assert_eq!((client.peer_kind(), server.peer_kind()), (PeerKind::Stock, PeerKind::Stock));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_exactly(&mut server, 8).await, b"question");
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(read_exactly(&mut client, 6).await, b"answer");
        settle().await;
        for stream in [&mut client, &mut server] {
            assert!(poll_once(stream.read(&mut [0; 8])).await.is_none());
            assert_eq!(stream.ending(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_peer_has_written_before_it_drops_its_stream_is_read_then_the_end() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let sent = payload(50_000, 2);
        server.write_all(&sent).await.unwrap();
        let closed = server.closed();
        drop(server);
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
        assert!(closed.await.is_clean() && client.closed().await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn who_writes_to_a_peer_that_has_closed_is_reset_with_data_unread() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        server.close(300, "no more");
        assert_read_to_end(&mut client).await;
        client.write_all(b"are you listening?").await.unwrap();
        let ending = client.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNREAD));
        assert_eq!(ending.peer, Some(Farewell::new(300, "no more")));
        assert_eq!(ending.bytes_in_doubt(), 18);
        assert_read_to_end(&mut client).await;
        assert_eq!(failed(client.write(b"x").await, ErrorKind::ConnectionReset), ending);
        assert_eq!(failed(client.shutdown().await, ErrorKind::ConnectionReset), ending);
        assert!(server.closed().await.is_clean(), "its own words have arrived");
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_drops_its_stream_with_data_unread_resets() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.write_all(&payload(10_000, 1)).await.unwrap();
        until(|| server.stats().unread == 10_000).await;
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let ending = client.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNREAD));
        assert_eq!(read_exactly(&mut client, 3).await, b"bye");
        assert_eq!(failed(client.shutdown().await, ErrorKind::ConnectionReset), ending);
    })
    .await;
}

#[tokio::test]
async fn streams_dropped_on_both_sides_while_both_write_end() {
    watched(async {
        let _clock = Frozen::new();
        for _ in 0..10 {
            let Pair { mut client, mut server, listener } = Pair::new().await;
            client.write_all(&payload(30_000, 1)).await.unwrap();
            server.write_all(&payload(30_000, 2)).await.unwrap();
            let (here, there) = (client.closed(), server.closed());
            drop((client, server));
            tokio::join!(here, there);
            assert_eq!(listener.endpoint().stats().connections, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_aborts_resets_with_its_code_after_what_came_in_order() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        server.write_all(b"half a sen").await.unwrap();
        until(|| client.stats().unread == 10).await;
        let waiting = tokio::spawn(client.closed());
        settle().await;
        server.abort(99);
        let ending = waiting.await.unwrap();
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, 99));
        assert_eq!(read_exactly(&mut client, 10).await, b"half a sen");
        assert_eq!(failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset), ending);
        assert_eq!(failed(client.write(b"x").await, ErrorKind::ConnectionReset), ending);
        assert_eq!(failed(client.shutdown().await, ErrorKind::ConnectionReset), ending);
    })
    .await;
}

#[tokio::test]
async fn who_aborts_reads_what_came_in_order_then_connection_aborted() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, server, .. } = Pair::new().await;
        assert_eq!(server.try_write(b"in order").unwrap(), 8);
        until(|| client.stats().unread == 8).await;
        client.abort(42);
        assert_eq!(read_exactly(&mut client, 8).await, b"in order");
        let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionAborted);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Local, Cause::Aborted, 42));
        assert_eq!(failed(client.write(b"x").await, ErrorKind::ConnectionAborted), ending);
        assert_eq!(failed(client.shutdown().await, ErrorKind::ConnectionAborted), ending);
    })
    .await;
}

#[tokio::test]
async fn a_reason_is_cut_to_256_bytes_at_a_character_on_both_sides() {
    watched(async {
        let _clock = Frozen::new();
        for (reason, len) in
            [("x".repeat(256), 256), ("ä".repeat(200), 256), (format!("x{}", "ä".repeat(200)), 255)]
        {
            for close in [false, true] {
                let Pair { mut client, mut server, .. } = Pair::new().await;
                match close {
                    true => client.close(u32::MAX, &reason),
                    false => client.finish_with(u32::MAX, &reason).unwrap(),
                }
                assert_read_to_end(&mut server).await;
                server.close(0, "");
                let (here, there) = tokio::join!(client.closed(), server.closed());
                assert_eq!((here.code, &here.reason[..]), (u32::MAX, &reason[..len]));
                assert_eq!((there.code, &there.reason[..]), (u32::MAX, &reason[..len]));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_first_words_count() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, .. } = Pair::new().await;
        client.finish_with(20, "first").unwrap();
        client.finish_with(21, "second").unwrap();
        client.close(22, "third");
        assert_read_to_end(&mut server).await;
        server.shutdown().await.unwrap();
        assert_eq!(server.closed().await.peer, Some(Farewell::new(20, "first")));
    })
    .await;
}

#[tokio::test]
async fn halves_of_a_stream_end_by_themselves() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { client, mut server, .. } = Pair::new().await;
        let (mut reader, writer) = client.into_split();
        drop(writer);
        assert_read_to_end(&mut server).await;
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        assert!(reader.closed().await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn shutdown_is_ok_only_when_the_peer_has_acknowledged_the_end() {
    watched(async {
        let _clock = Frozen::new();
        let (Pair { mut client, mut server, .. }, gate) = gated(Config::new()).await;
        client.write_all(b"last words").await.unwrap();
        until(|| client.stats().bytes_acknowledged == 11).await;
        gate.shut(Way::Back);
        // All data is acknowledged; the end arrives, but its acknowledgement doesn't.
        assert!(poll_once(client.shutdown()).await.is_none());
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last words");
        settle().await;
        assert!(poll_once(client.shutdown()).await.is_none());
        gate.open(Way::Back);
        for _ in 0..10 {
            advance(ms(500)).await; // it is sent again
        }
        assert!(poll_once(client.shutdown()).await.expect("covered").is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_that_timed_out_can_be_tried_again_and_nothing_was_discarded() {
    watched(async {
        let config = Config::new().keep_alive(None).linger(Duration::from_secs(3));
        let (Pair { mut client, mut server, .. }, gate) = gated(config).await;
        tokio::time::pause();
        gate.shut(Way::There);
        client.write_all(b"unheard").await.unwrap();
        for _ in 0..2 {
            let begun = tokio::time::Instant::now();
            assert_eq!(client.shutdown().await.unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(begun.elapsed().as_secs(), 3);
        }
        assert_eq!(client.ending(), None);
        // Reading goes on.
        server.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut client, 10).await, b"still here");
        gate.open(Way::There);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"unheard");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(poll_once(client.shutdown()).await.expect("it has been covered since").is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_stops_reading_closes_its_window_and_nothing_is_lost() {
    watched(async {
        let config = Config::new().send_window(16).unwrap().recv_window(16).unwrap();
        let Pair { mut client, mut server, .. } = Pair::with(config).await;
        let mut sent = Vec::new();
        until(|| match client.try_write(&payload(5_000, sent.len() as u64)) {
            Ok(n) => {
                sent.extend_from_slice(&payload(5_000, sent.len() as u64)[..n]);
                false
            }
            Err(_) => client.stats().remote_window == 0 && client.stats().in_flight == 0,
        })
        .await;
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(client.shutdown().await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((client.ending(), server.ending()), (None, None));
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
    })
    .await;
}
