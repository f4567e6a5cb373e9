//! What goes on in the background after a close or a drop, and how long anybody waits for it.

mod common;

use common::*;
use sendoff::{Cause, Config, KcpListener, KcpStream, Silence, code};
use std::{io::ErrorKind, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

#[tokio::test]
async fn wait_idle_does_not_wait_for_a_peer_that_goes_on() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        tokio::time::pause();
        client.write_all(b"last words").await.unwrap();
        let (endpoint, closed) = (client.endpoint(), client.closed());
        drop(client);
        let begun = Instant::now();
        endpoint.wait_idle().await;
        assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
        // Which is still there, and free to end when it likes.
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last words");
        assert_eq!(server.ending(), None);
        server.shutdown().await.unwrap();
        assert!(closed.await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn wait_idle_waits_as_long_as_something_is_undelivered() {
    watched(async {
        let (Pair { mut client, mut server, .. }, gate) = gated(Config::new()).await;
        tokio::time::pause();
        gate.shut(Way::There);
        client.write_all(b"last words").await.unwrap();
        let endpoint = client.endpoint();
        drop(client);
        let waiting = tokio::time::timeout(Duration::from_secs(10), endpoint.wait_idle());
        assert!(waiting.await.is_err(), "nobody has got them");
        gate.open(Way::There);
        endpoint.wait_idle().await;
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last words");
    })
    .await;
}

#[tokio::test]
async fn wait_idle_returns_without_any_time_when_both_have_said_goodbye() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { client, mut server, listener } = Pair::new().await;
        let endpoint = client.endpoint();
        // Who finishes last knows that the other has everything.
        server.finish().unwrap();
        settle().await;
        drop(client);
        endpoint.wait_idle().await;
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(server.closed().await.is_clean());
        assert_eq!(listener.endpoint().stats().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_says_its_end_is_left_after_the_linger_time() {
    watched(async {
        let Pair { client, mut server, .. } = Pair::new().await;
        tokio::time::pause();
        let closed = client.closed();
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        let begun = Instant::now();
        let ending = closed.await;
        assert!(ending.is_clean(), "all that was ours to say was heard: {ending}");
        assert!((29..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        let ending = server.closed().await;
        assert_eq!((ending.cause, ending.code), (Cause::Reset, code::LINGER));
        failed(server.write(b"x").await, ErrorKind::ConnectionReset);
    })
    .await;
}

#[tokio::test]
async fn what_lingers_wakes_nobody_meanwhile() {
    watched(async {
        let config = Config::new().keep_alive(None);
        let Pair { client, mut server, .. } = Pair::with(config).await;
        tokio::time::pause();
        let closed = client.closed();
        drop(client);
        assert_eq!(server.read(&mut [0; 8]).await.unwrap(), 0);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let parks = || tokio::runtime::Handle::current().metrics().worker_park_count(0);
        let slept = parks();
        closed.await;
        assert!(parks() - slept < 100, "woken {} times", parks() - slept);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_left_after_the_linger_time_and_told_so() {
    watched(async {
        let config = Config::new().send_window(16).unwrap().recv_window(16).unwrap();
        let Pair { client, mut server, .. } = Pair::with(config).await;
        let mut written = 0;
        until(|| match client.try_write(&payload(5_000, 1)) {
            Ok(n) => {
                written += n as u64;
                false
            }
            Err(_) => client.stats().remote_window == 0 && client.stats().in_flight == 0,
        })
        .await;
        tokio::time::pause();
        let closed = client.closed();
        drop(client);
        let ending = closed.await;
        assert_eq!(ending.cause, Cause::TimedOut(Silence::Linger));
        assert_eq!(ending.bytes_acknowledged - 1 + ending.bytes_in_doubt(), written);
        assert!(ending.bytes_in_doubt() > 0);
        let there = server.closed().await;
        assert_eq!((there.cause, there.code), (Cause::Reset, code::LINGER));
        // What came in order is read first.
        read_exactly(&mut server, ending.bytes_acknowledged as usize - 1).await;
        assert_eq!(failed(server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset), there);
    })
    .await;
}

#[test]
fn the_end_of_the_runtime_ends_what_lingers_there_and_wakes_who_waits() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dying = runtime();
    let (endpoint, closed, _silent) = dying.block_on(watched(async {
        let (mut client, raw) = connected(Config::new()).await;
        client.write_all(b"unheard").await.unwrap();
        let (endpoint, closed) = (client.endpoint(), client.closed());
        drop(client);
        settle().await;
        assert!(poll_once(endpoint.wait_idle()).await.is_none());
        (endpoint, closed, raw)
    }));
    drop(dying);
    runtime().block_on(watched(async {
        endpoint.wait_idle().await;
        let ending = closed.await;
        assert_eq!((ending.cause, ending.bytes_in_doubt()), (Cause::EndpointLost, 7));
        assert_eq!(endpoint.stats().connections, 0);
    }));
}

#[tokio::test]
async fn a_listener_that_closes_lets_its_connections_finish() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener } = Pair::new().await;
        let sent = payload(100_000, 1);
        server.write_all(&sent).await.unwrap();
        listener.endpoint().close();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
        assert!(server.closed().await.is_clean());
        assert!(client.closed().await.is_clean());
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = KcpStream::connect(listener.local_addr()).await.unwrap();
        greeted(client, &listener).await;
    })
    .await;
}
