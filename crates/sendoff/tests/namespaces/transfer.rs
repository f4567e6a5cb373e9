//! A client and a server on two hosts, and many bytes from one to the other.

use super::lab::Host;
use sendoff::{Config, ConnectionStats, Ending, KcpListener, KcpStream};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub const MEGABYTES: usize = 1_000_000;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// What the server knows at the end.
#[derive(Debug)]
pub struct Story {
    pub ending: Ending,
    /// Where the client was at first, and at the end.
    pub peers: [SocketAddr; 2],
    pub stats: ConnectionStats,
    /// The longest time between two reads, if it has read.
    pub pause: Duration,
    /// That it has sent, or read.
    bytes: usize,
}

/// A transfer under way.
pub struct Transfer {
    server: JoinHandle<Story>,
    client: JoinHandle<(Ending, usize, Duration)>,
    /// What was to change in the midst of it has changed.
    changed: Arc<AtomicBool>,
    /// How many bytes have arrived, now and then.
    progress: mpsc::Receiver<usize>,
}

/// Each byte tells its place, so that none can be lost, doubled or moved unseen.
fn fill(buffer: &mut [u8], at: usize) {
    for (n, byte) in buffer.iter_mut().enumerate() {
        *byte = (((at + n) as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8;
    }
}

/// Sends so many bytes at least, and a third of them after the change, however fast the rest has gone; returns how many.
async fn send(stream: &mut KcpStream, bytes: usize, changed: &AtomicBool) -> usize {
    let (mut sent, mut buffer) = (0, vec![0; 65_536]);
    let mut enough = None;
    while enough.is_none_or(|enough| sent < enough) {
        fill(&mut buffer, sent);
        stream.write_all(&buffer).await.expect("a peer that reads");
        sent += buffer.len();
        if enough.is_none() && changed.load(Ordering::Relaxed) {
            enough = Some(bytes.max(sent + bytes / 3));
        }
    }
    sent
}

/// Reads to the end; returns how many bytes came, and the longest pause.
async fn receive(stream: &mut KcpStream, progress: mpsc::Sender<usize>) -> (usize, Duration) {
    let (mut got, mut told, mut pause, mut last) = (0, 0, Duration::ZERO, None::<Instant>);
    let (mut buffer, mut expected) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let len = stream.read(&mut buffer).await.expect("all that was sent");
        if let Some(last) = last.replace(Instant::now()) {
            pause = pause.max(last.elapsed());
        }
        if len == 0 {
            return (got, pause);
        }
        fill(&mut expected[..len], got);
        assert!(buffer[..len] == expected[..len], "other bytes arrive at {got}");
        got += len;
        if got - told >= MEGABYTES {
            told = got;
            _ = progress.send(got);
        }
    }
}

impl Transfer {
    /// Begins one; `server_ip` is the server's address.
    pub fn begin(client: Host, (server, server_ip): (Host, &'static str), way: Way, bytes: usize) -> Self {
        let (tell, progress) = mpsc::channel();
        let (tell_addr, addr) = mpsc::channel();
        let told = tell.clone();
        let changed = Arc::<AtomicBool>::default();
        let (server_is_told, client_is_told) = (changed.clone(), changed.clone());
        let server = server.start(move || async move {
            let listener = KcpListener::bind_with((server_ip, 0), Config::fast3()).await.expect("a listener");
            tell_addr.send(listener.local_addr()).expect("a test that waits");
            let (mut stream, first) = listener.accept().await.expect("a client");
            let (bytes, pause) = match way {
                Way::Up => receive(&mut stream, told).await,
                Way::Down => (send(&mut stream, bytes, &server_is_told).await, Duration::ZERO),
            };
            stream.finish().expect("a live stream");
            if way == Way::Down {
                assert_eq!(stream.read(&mut [0]).await.expect("the client's end"), 0);
            }
            let ending = stream.closed().await;
            let (peers, stats) = ([first, stream.peer_addr()], stream.stats());
            let story = Story { ending, peers, stats, pause, bytes };
            listener.endpoint().wait_idle().await;
            story
        });
        let addr = addr.recv().expect("a server");
        let client = client.start(move || async move {
            let mut stream = KcpStream::connect_with(addr, Config::fast3()).await.expect("a server");
            let (bytes, pause) = match way {
                Way::Up => (send(&mut stream, bytes, &client_is_told).await, Duration::ZERO),
                Way::Down => receive(&mut stream, tell).await,
            };
            stream.finish().expect("a live stream");
            if way == Way::Up {
                assert_eq!(stream.read(&mut [0]).await.expect("the server's end"), 0);
            }
            let ending = stream.closed().await;
            stream.endpoint().wait_idle().await;
            (ending, bytes, pause)
        });
        Self { server, client, changed, progress }
    }

    /// Waits until so many bytes have arrived.
    pub fn wait_for(&self, bytes: usize) {
        while self.progress.recv().expect("a transfer that isn't over") < bytes {}
    }

    /// What was to change has changed: waits for the end, which must be in order on both sides.
    pub fn finish(self) -> Story {
        self.changed.store(true, Ordering::Relaxed);
        let mut story = self.server.join().expect("a server without complaints");
        let (ending, bytes, pause) = self.client.join().expect("a client without complaints");
        assert!(ending.is_clean() && story.ending.is_clean(), "{ending} / {}", story.ending);
        assert_eq!(bytes, story.bytes, "what was sent has arrived");
        story.pause = story.pause.max(pause);
        story
    }
}
