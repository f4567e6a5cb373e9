//! Wakers are called with no lock held: one that runs what it wakes, at once and in place, is as good as any.

mod common;

use common::*;
use sendoff::{Config, DatagramSocket, KcpEndpoint, KcpStream, Wire};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// Only turns a hang of a whole thread into a failure.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test that a deadlock would hold up for ever.
fn on_a_thread_that_must_end(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        _ = done.send(());
    });
    if is_done.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("hangs");
    }
    running.join().unwrap();
}

/// A task that, when it is woken, uses at once what it has waited for.
struct Eager<F> {
    act: F,
    woken: AtomicUsize,
}

impl<F: Fn() + Send + Sync + 'static> Eager<F> {
    fn new(act: F) -> Arc<Self> {
        Arc::new(Self { act, woken: AtomicUsize::new(0) })
    }

    /// Lets it wait for `future`.
    fn wait_for(self: &Arc<Self>, future: impl Future) {
        let waker = Waker::from(self.clone());
        let polled = std::pin::pin!(future).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }

    fn was_woken(&self) -> bool {
        self.woken.load(Ordering::Relaxed) > 0
    }
}

impl<F: Fn() + Send + Sync + 'static> Wake for Eager<F> {
    fn wake(self: Arc<Self>) {
        (self.act)();
        self.woken.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whatever takes a lock.
fn use_all(stream: &KcpStream, endpoint: &KcpEndpoint) {
    let mut nobody = Context::from_waker(Waker::noop());
    _ = (stream.stats(), stream.ending(), endpoint.stats());
    _ = (stream.try_read(&mut [0; 1]), stream.try_write(b""));
    _ = std::pin::pin!(stream.closed()).poll(&mut nobody);
    _ = std::pin::pin!(stream.readable()).poll(&mut nobody);
    _ = std::pin::pin!(endpoint.accept()).poll(&mut nobody);
    _ = std::pin::pin!(endpoint.wait_idle()).poll(&mut nobody);
}

#[test]
fn who_is_woken_may_use_at_once_what_woke_it() {
    on_a_thread_that_must_end(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let last = runtime.block_on(async {
            let config = Config::new().wire(Wire::Classic).send_window(1).unwrap();
            let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config).await.unwrap();
            let mut raw = RawPeer::client(endpoint.local_addr(), 1).await;
            raw.push(0, 0, b"!").await;
            let stream = Arc::new(endpoint.accept().await.unwrap().0);
            raw.recv_one().await;
            assert_eq!(stream.try_read(&mut [0; 8]).unwrap(), 1);
            let eager = || {
                let (stream, endpoint) = (stream.clone(), endpoint.clone());
                Eager::new(move || use_all(&stream, &endpoint))
            };
            // By the driver: data, room, a newcomer, who is dropped at once.
            let [reader, writer, acceptor, crowded] = [eager(), eager(), eager(), eager()];
            reader.wait_for(stream.readable());
            raw.push(1, 0, b"!").await;
            until(|| reader.was_woken()).await;
            while stream.try_write(&[0; 1_376]).is_ok() {}
            writer.wait_for(stream.writable());
            for sn in 0.. {
                let push = raw.recv_push().await;
                raw.ack(&push, sn + 1).await;
                if stream.stats().queued == 0 {
                    break;
                }
            }
            until(|| writer.was_woken() && stream.stats().in_flight == 0).await;
            acceptor.wait_for(endpoint.accept());
            raw.conv = 2;
            raw.push(0, 0, b"!").await;
            until(|| acceptor.was_woken() && endpoint.stats().connections == 1).await;
            // By one who waits too, where too many do.
            assert!(stream.try_read(&mut [0; 8]).is_err());
            crowded.wait_for(stream.readable());
            for _ in 0..64 {
                eager().wait_for(stream.readable());
            }
            assert!(crowded.was_woken());
            // By a handle that closes.
            let [acceptor, closed, idler] = [eager(), eager(), eager()];
            acceptor.wait_for(endpoint.accept());
            closed.wait_for(stream.closed());
            idler.wait_for(endpoint.wait_idle());
            endpoint.close();
            assert!(acceptor.was_woken() && closed.was_woken());
            until(|| idler.was_woken()).await;
            // By the end of the runtime.
            let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
            let stream = Arc::new(endpoint.connect_early_with(raw.addr(), Config::new()).await.unwrap());
            let last = {
                let (stream, endpoint) = (stream.clone(), endpoint.clone());
                Eager::new(move || use_all(&stream, &endpoint))
            };
            settle().await;
            last.wait_for(endpoint.accept());
            last.wait_for(endpoint.wait_idle());
            last.wait_for(stream.closed());
            last.wait_for(stream.readable());
            assert!(!last.was_woken());
            last
        });
        drop(runtime);
        assert!(last.was_woken());
    });
}

#[test]
fn who_accepts_a_peer_in_the_moment_in_which_it_is_proven_may_use_it_at_once() {
    on_a_thread_that_must_end(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", Config::new().prove(true)).await.unwrap();
            let accepted = Arc::new(AtomicUsize::new(0));
            let acceptor = {
                let (endpoint, accepted) = (endpoint.clone(), accepted.clone());
                Eager::new(move || {
                    let accepting = std::pin::pin!(endpoint.accept());
                    let Poll::Ready(arrival) = accepting.poll(&mut Context::from_waker(Waker::noop())) else {
                        return;
                    };
                    use_all(&arrival.unwrap().0, &endpoint);
                    accepted.fetch_add(1, Ordering::Relaxed);
                })
            };
            acceptor.wait_for(endpoint.accept());
            let _client = KcpStream::connect(endpoint.local_addr()).await.unwrap();
            until(|| accepted.load(Ordering::Relaxed) == 1).await;
        });
    });
}

/// A socket that breaks when it is to send.
struct Brittle;

impl DatagramSocket for Brittle {
    fn local_addr(&self) -> SocketAddr {
        ([10, 0, 0, 1], 1).into()
    }

    fn try_send(&self, _: SocketAddr, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        Poll::Pending
    }
}

#[test]
fn who_waits_to_accept_when_a_stream_finds_the_socket_broken_may_use_that_stream_at_once() {
    on_a_thread_that_must_end(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = Config::new().wire(Wire::Classic).socket(Arc::new(Brittle));
            let endpoint = KcpEndpoint::bind_with("0.0.0.0:0", config).await.unwrap();
            let stream = Arc::new(endpoint.connect("10.0.0.2:2").await.unwrap());
            let acceptor = {
                let (stream, endpoint) = (stream.clone(), endpoint.clone());
                Eager::new(move || use_all(&stream, &endpoint))
            };
            acceptor.wait_for(endpoint.accept());
            assert_eq!(stream.try_write(b"hello").unwrap(), 5);
            until(|| acceptor.was_woken() && stream.ending().is_some()).await;
            assert_eq!(endpoint.accept().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn who_waits_for_the_end_is_woken_once_by_it_and_by_nothing_else() {
    watched(async {
        let Pair { mut client, mut server, .. } = Pair::new().await;
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(counting.clone());
        let mut closed = std::pin::pin!(client.closed());
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..100 {
            client.write_all(b"hello").await.unwrap();
            read_exactly(&mut server, 5).await;
            server.write_all(b"hello").await.unwrap();
            read_exactly(&mut client, 5).await;
        }
        until(|| client.stats().in_flight == 0).await;
        assert_eq!(counting.0.load(Ordering::Relaxed), 0);
        server.abort(16);
        until(|| client.ending().is_some()).await;
        settle().await;
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
    })
    .await;
}
