//! Futures own no state: each here is polled once and dropped, again and again, and nothing is lost.

mod common;

use common::*;
use sendoff::{Config, KcpEndpoint, KcpListener, KcpStream, Mode};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

#[tokio::test]
async fn reads_and_writes_that_are_dropped_lose_and_repeat_nothing() {
    watched(async {
        let config = Config::new().send_window(16).unwrap().recv_window(16).unwrap();
        let Pair { mut client, mut server, .. } = Pair::with(config).await;
        let sent = payload(400_000, 1);
        let writing = async {
            let mut left = &sent[..];
            while !left.is_empty() {
                let n = poll_and_drop(async || client.write(left).await).await.unwrap();
                left = &left[n..];
            }
        };
        let reading = async {
            let mut received = Vec::new();
            let mut buffer = [0; 3_000];
            while received.len() < sent.len() {
                let n = match received.len() % 3 {
                    0 => poll_and_drop(async || server.read(&mut buffer).await).await.unwrap(),
                    1 => {
                        let chunk = poll_and_drop(async || server.read_chunk(3_000).await).await;
                        let chunk = chunk.unwrap().unwrap();
                        buffer[..chunk.len()].copy_from_slice(&chunk);
                        chunk.len()
                    }
                    _ => {
                        poll_and_drop(async || server.readable().await).await.unwrap();
                        server.try_read(&mut buffer).unwrap()
                    }
                };
                received.extend_from_slice(&buffer[..n]);
            }
            received
        };
        assert!(tokio::join!(reading, writing).0 == sent);
    })
    .await;
}

#[tokio::test]
async fn a_timeout_of_zero_loses_nothing() {
    watched(async {
        let config = Config::new().send_window(16).unwrap().recv_window(16).unwrap();
        let Pair { mut client, mut server, .. } = Pair::with(config).await;
        let sent = payload(100_000, 2);
        let mut left = &sent[..];
        let mut received = Vec::new();
        let mut buffer = [0; 2_000];
        while received.len() < sent.len() {
            if let Ok(written) = timeout(Duration::ZERO, client.write(left)).await {
                left = &left[written.unwrap()..];
            }
            if let Ok(read) = timeout(Duration::ZERO, server.read(&mut buffer)).await {
                received.extend_from_slice(&buffer[..read.unwrap()]);
            }
        }
        assert!(received == sent);
    })
    .await;
}

#[tokio::test]
async fn select_between_reading_and_writing_loses_nothing() {
    watched(async {
        let config = Config::new().send_window(16).unwrap().recv_window(16).unwrap();
        let Pair { client, server, .. } = Pair::with(config).await;
        let sent = payload(300_000, 3);
        // Each side writes and reads in one loop: whichever is ready first wins, the other is dropped.
        let one_side = |stream: KcpStream| {
            let sent = sent.clone();
            async move {
                let (mut reader, mut writer) = stream.into_split();
                let (mut left, mut received) = (&sent[..], Vec::new());
                let mut buffer = [0; 5_000];
                while !left.is_empty() || received.len() < sent.len() {
                    tokio::select! {
                        n = writer.write(left), if !left.is_empty() => left = &left[n.unwrap()..],
                        n = reader.read(&mut buffer), if received.len() < sent.len() => {
                            received.extend_from_slice(&buffer[..n.unwrap()]);
                        }
                    }
                }
                assert!(received == sent);
                writer.shutdown().await.unwrap();
                (reader, writer)
            }
        };
        tokio::join!(one_side(client), one_side(server));
    })
    .await;
}

#[tokio::test]
async fn writable_that_is_dropped_still_wakes_who_asks_again() {
    watched(async {
        let config = Config::new().send_window(8).unwrap().recv_window(8).unwrap();
        let Pair { client, server, .. } = Pair::with(config).await;
        let (mut sent, mut received) = (0, 0);
        while received < 200_000 {
            if let Some(writable) = poll_once(client.writable()).await {
                writable.unwrap();
                sent += client.try_write(&[7; 1_000]).unwrap_or(0);
            } else {
                let (writable, n) = tokio::join!(client.writable(), server.read_chunk(1 << 20));
                writable.unwrap();
                received += n.unwrap().unwrap().len();
            }
        }
        assert!(sent >= received);
    })
    .await;
}

#[tokio::test]
async fn messages_are_sent_and_received_whole_or_not_at_all() {
    watched(async {
        let config = Config::new().mode(Mode::Message).send_window(16).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
        let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
        client.send("!").await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.recv().await.unwrap();
        let message = |n: usize| payload(1 + n * 1_009 % 9_000, n as u64);
        let sending = async {
            for n in 0..200 {
                let message = message(n);
                poll_and_drop(async || client.send(&message).await).await.unwrap();
            }
        };
        let receiving = async {
            for n in 0..200 {
                let received = poll_and_drop(async || server.recv().await).await.unwrap().unwrap();
                assert!(received == message(n), "message {n}");
            }
        };
        tokio::join!(sending, receiving);
        assert!(poll_once(server.recv()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn accepts_that_are_dropped_lose_no_connection() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        for conv in 1..=100 {
            assert!(poll_once(listener.accept()).await.is_none());
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
            let (stream, _) = poll_and_drop(async || listener.accept().await).await.unwrap();
            assert_eq!(stream.conv().value(), conv);
        }
        assert_eq!(listener.endpoint().stats().connections_accepted, 100);
    })
    .await;
}

#[tokio::test]
async fn connects_that_are_dropped_leave_nothing_behind() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        // A name is looked up by another thread: mostly the first poll finds nothing.
        let name = format!("localhost:{}", listener.local_addr().port());
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut ready = 0;
        for _ in 0..20 {
            // Without blocks there is no answer to wait for.
            ready += u64::from(poll_once(endpoint.connect_with(&name, classic())).await.is_some());
            drop(poll_once(KcpStream::connect_with(&name, classic())).await);
            drop(poll_once(KcpEndpoint::bind("localhost:0")).await);
        }
        endpoint.wait_idle().await;
        let stats = endpoint.stats();
        assert_eq!(stats.connections, 0);
        // While one is being closed, the next to the same peer has a socket of its own.
        assert!(stats.connections_opened <= ready, "{stats:?}");
        let stream = poll_and_drop(async || endpoint.connect_with(listener.local_addr(), classic()).await);
        let (_client, _server) = greeted(stream.await.unwrap(), &listener).await;
        assert_eq!(listener.endpoint().stats().connections, 1);
    })
    .await;
}

#[tokio::test]
async fn connects_that_are_dropped_while_they_wait_for_an_answer_leave_nothing_on_either_side() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        settle().await;
        for n in 1..=20 {
            // The first poll resolves the address, and the HELLO leaves; the answer is for nobody.
            let addr = listener.local_addr();
            let waits = match n % 2 {
                0 => poll_twice(endpoint.connect(addr)).await,
                _ => poll_twice(KcpStream::connect(addr)).await,
            };
            assert!(waits, "answered before the listener can have run");
            // The server has got it, and is told so when it answers.
            until(|| listener.endpoint().stats().connections_accepted == n).await;
            until(|| listener.endpoint().stats().connections == 0).await;
        }
        endpoint.wait_idle().await;
        assert_eq!(endpoint.stats().connections, 0);
        let (_client, _server) = {
            let client = endpoint.connect(listener.local_addr()).await.unwrap();
            for _ in 0..20 {
                let (mut dead, _) = listener.accept().await.unwrap();
                let error = dead.read(&mut [0; 8]).await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            }
            greeted(client, &listener).await
        };
        assert_eq!(listener.endpoint().stats().connections, 1);
    })
    .await;
}

/// Polls a future, lets the driver of its own socket have a turn, and drops it; false if it was ready.
async fn poll_twice<F: Future>(future: F) -> bool {
    let mut future = std::pin::pin!(future);
    for _ in 0..2 {
        if poll_once(future.as_mut()).await.is_some() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test]
async fn a_shutdown_called_again_and_again_joins_the_first() {
    watched(async {
        let config = Config::new().recv_window(16).unwrap();
        let Pair { mut client, mut server, .. } = Pair::of(Config::new(), config).await;
        let sent = payload(500_000, 4);
        client.write_all(&sent).await.unwrap();
        let shutting = poll_and_drop(async || client.shutdown().await);
        let (received, shut) = tokio::join!(read_exactly(&mut server, sent.len()), shutting);
        shut.unwrap();
        assert!(received == sent);
        assert_eq!(client.stats().bytes_acknowledged, 500_001);
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_that_is_dropped_does_not_put_its_time_limit_off() {
    watched(async {
        let silent = RawPeer::listening().await;
        let config = Config::new().linger(ms(200)).connect_timeout(Duration::from_secs(60));
        let mut client = KcpStream::connect_early_with(silent.addr(), config).await.unwrap();
        client.write_all(b"unheard").await.unwrap();
        let error = poll_and_drop(async || client.shutdown().await).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    })
    .await;
}

#[tokio::test]
async fn closed_and_wait_idle_can_be_dropped_and_asked_again() {
    watched(async {
        let Pair { mut client, mut server, listener } = Pair::new().await;
        for _ in 0..100 {
            assert!(poll_once(client.closed()).await.is_none());
            assert!(poll_once(server.closed()).await.is_none());
            assert!(poll_once(client.endpoint().wait_idle()).await.is_none());
            assert!(poll_once(listener.endpoint().wait_idle()).await.is_none());
        }
        client.close(1, "");
        server.close(2, "");
        assert_eq!(poll_and_drop(async || client.closed().await).await.code, 1);
        assert_eq!(poll_and_drop(async || server.closed().await).await.code, 2);
        poll_and_drop(async || listener.endpoint().wait_idle().await).await;
        poll_and_drop(async || client.endpoint().wait_idle().await).await;
    })
    .await;
}

/// A task that notes whether anyone still remembers to wake it.
struct Remembered(Arc<AtomicUsize>);

impl Wake for Remembered {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Remembered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_tasks_of_futures_that_were_dropped_are_forgotten() {
    watched(async {
        const POLLS: usize = 10_000;
        let Pair { client, server: _server, listener } = Pair::new().await;
        let remembered = Arc::new(AtomicUsize::new(0));
        let poll = |future: &mut dyn FnMut(&mut Context<'_>) -> bool| {
            remembered.fetch_add(1, Ordering::Relaxed);
            let waker = Waker::from(Arc::new(Remembered(remembered.clone())));
            assert!(!future(&mut Context::from_waker(&waker)), "nothing has come");
        };
        for _ in 0..POLLS {
            poll(&mut |cx| std::pin::pin!(client.readable()).poll(cx).is_ready());
            poll(&mut |cx| std::pin::pin!(client.closed()).poll(cx).is_ready());
            poll(&mut |cx| std::pin::pin!(listener.accept()).poll(cx).is_ready());
            poll(&mut |cx| std::pin::pin!(listener.endpoint().wait_idle()).poll(cx).is_ready());
        }
        let left = remembered.load(Ordering::Relaxed);
        assert!(left <= 4 * 64, "{left} of {} tasks are still remembered", 4 * POLLS);
    })
    .await;
}
