//! What the tests share: a watchdog, pairs of streams, a clock that stands still, a peer that speaks
//! bare segments, a bad network, and a tap that remembers.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod deaf;
mod nat;
mod raw;
mod record;
mod relay;

pub use deaf::Deaf;
pub use nat::Nat;
pub use raw::{Heard, RawPeer};
pub use record::Recorder;
pub use relay::{Gate, Way, bad_relay, losing_relay};

use sendoff::{Config, Ending, KcpListener, KcpStream, Wire};
use sendoff_netem::Rng;
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::mpsc,
    task::Poll,
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

/// Only turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test that must not hang, by the clock on the wall even where tokio's stands still.
pub async fn watched<R>(test: impl Future<Output = R>) -> R {
    let (expire, expired) = oneshot::channel();
    let (_done, done) = mpsc::channel::<()>();
    thread::spawn(move || {
        if done.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            _ = expire.send(());
        }
    });
    tokio::select! {
        biased;
        result = test => result,
        Ok(()) = expired => panic!("hangs"),
    }
}

/// Waits until something holds that only counters tell.
pub async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Lets every task and the socket have several turns. For what must *not* happen.
pub async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Polls a future once, and drops it.
pub async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// Polls what `start` makes once, drops it, and lets others run, again and again until one is ready.
pub async fn poll_and_drop<R>(mut start: impl AsyncFnMut() -> R) -> R {
    loop {
        if let Some(ready) = poll_once(start()).await {
            return ready;
        }
        tokio::task::yield_now().await;
    }
}

/// tokio's clock stands still while it lives, and `tokio::time::advance` alone moves it: no timer runs
/// out, however slow the machine. For runtimes of one thread.
pub struct Frozen(#[allow(dead_code, reason = "dropping it ends the blocking task")] mpsc::Sender<()>);

impl Frozen {
    pub fn new() -> Self {
        tokio::time::pause();
        let (thaw, thawed) = mpsc::channel();
        // While a blocking task runs, tokio doesn't skip to the next timer by itself.
        tokio::task::spawn_blocking(move || _ = thawed.recv());
        Self(thaw)
    }
}

/// Lets virtual time pass, and everything that it brings about happen.
pub async fn advance(time: Duration) {
    tokio::time::advance(time).await;
    settle().await;
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Bytes that don't repeat in any window that a test could confuse.
pub fn payload(len: usize, seed: u64) -> Vec<u8> {
    Rng::new(seed).bytes(len)
}

/// Plain KCP, byte for byte.
pub fn classic() -> Config {
    Config::new().wire(Wire::Classic)
}

/// A client of a peer that is a stock one: with blocks, that answers the HELLO as such.
pub async fn connected(config: Config) -> (KcpStream, RawPeer) {
    let mut raw = RawPeer::listening().await;
    let (addr, blocks) = (raw.addr(), config.speaks_blocks());
    let answering = async {
        if blocks {
            raw.answer_hello().await;
        }
    };
    let (client, ()) = tokio::join!(KcpStream::connect_with(addr, config), answering);
    (client.unwrap(), raw)
}

/// Both ends of a connection, after one byte from the client.
pub struct Pair {
    pub client: KcpStream,
    pub server: KcpStream,
    pub listener: KcpListener,
}

impl Pair {
    pub async fn new() -> Self {
        Self::with(Config::new()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::of(config.clone(), config).await
    }

    pub async fn of(client: Config, server: Config) -> Self {
        let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
        let client = KcpStream::connect_with(listener.local_addr(), client).await.unwrap();
        let (client, server) = greeted(client, &listener).await;
        Self { client, server, listener }
    }
}

/// A pair with a relay between that can be shut.
pub async fn gated(config: Config) -> (Pair, std::sync::Arc<Gate>) {
    gated_of(config.clone(), config).await
}

pub async fn gated_of(client: Config, server: Config) -> (Pair, std::sync::Arc<Gate>) {
    let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
    let gate = Gate::before(listener.local_addr()).await;
    let client = KcpStream::connect_with(gate.addr(), client).await.unwrap();
    let (client, server) = greeted(client, &listener).await;
    (Pair { client, server, listener }, gate)
}

/// Asserts that it fails with the end of its connection, and returns that.
#[track_caller]
pub fn failed<T>(result: std::io::Result<T>, kind: std::io::ErrorKind) -> Ending {
    let Err(error) = result else { panic!("no error") };
    assert_eq!(error.kind(), kind, "{error}");
    Ending::of(&error).unwrap_or_else(|| panic!("no ending in {error}")).clone()
}

/// Sends one byte from a client that nobody knows yet, and accepts it.
pub async fn greeted(mut client: KcpStream, listener: &KcpListener) -> (KcpStream, KcpStream) {
    client.write_all(b"!").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'!');
    // Nothing is owed any more: a read that finds nothing sends it.
    assert!(server.try_read(&mut [0]).is_err());
    until(|| client.stats().bytes_acknowledged >= 1).await;
    (client, server)
}

/// Sends every byte back, to any number of clients, until the listener is closed.
pub async fn echo(listener: KcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            _ = tokio::io::copy(&mut reader, &mut writer).await;
        });
    }
}

/// A listener whose clients all get their bytes back.
pub async fn echo_server(config: Config) -> SocketAddr {
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
    let addr = listener.local_addr();
    tokio::spawn(echo(listener));
    addr
}

/// Sends `bytes`, and gets them back.
pub async fn exchange(stream: &mut KcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert!(back == bytes, "other bytes came back");
}

/// Reads exactly `len` bytes.
pub async fn read_exactly(stream: &mut KcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}
