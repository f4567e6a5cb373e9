//! Tests on real loopback sockets.

mod batches;
#[cfg(target_os = "linux")]
mod icmp;
#[cfg(target_os = "linux")]
#[path = "../../../tests/namespaces/lab.rs"]
#[allow(dead_code, reason = "hosts aren't needed here")]
mod lab;
mod limits;
#[cfg(target_os = "linux")]
mod namespace;
mod readiness;

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::buffers::RECV_BATCH;
use super::*;

/// Only turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(60);

/// What a wildcard socket is bound to, and the loopback address at which it is reached.
const V4: (&str, &str) = ("0.0.0.0:0", "127.0.0.1");
const V6: (&str, &str) = ("[::1]:0", "::1");
const DUAL: (&str, &str) = ("[::]:0", "127.0.0.1");

fn bind(addr: &str) -> UdpIo {
    bind_with(addr, &Options::default())
}

fn bind_with(addr: &str, options: &Options) -> UdpIo {
    UdpIo::bind(addr.parse().expect("an address"), options).expect("a socket")
}

/// Where the socket is reached at `host`.
fn reach(io: &UdpIo, host: &str) -> SocketAddr {
    let host: IpAddr = host.parse().expect("an address");
    SocketAddr::new(host, io.local_addr().expect("an address").port())
}

fn to(destination: SocketAddr, contents: &[u8], datagram_size: usize) -> Transmit<'_> {
    Transmit { destination, source: None, contents, datagram_size }
}

/// Bytes that differ from one datagram to the next.
fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 251) as u8 ^ at as u8).collect()
}

async fn watched<R>(work: impl Future<Output = R>) -> R {
    tokio::time::timeout(WATCHDOG, work).await.expect("the socket hangs")
}

async fn send_ready(io: &UdpIo) {
    watched(poll_fn(|cx| io.poll_send_ready(cx))).await.expect("readiness");
}

async fn recv_ready(io: &UdpIo) {
    watched(poll_fn(|cx| io.poll_recv_ready(cx))).await.expect("readiness");
}

/// Tries once, as soon as the socket says that it can.
async fn send_once(io: &UdpIo, transmit: Transmit<'_>, icmp: &mut Vec<IcmpError>) -> Result<Sent, SendError> {
    loop {
        send_ready(io).await;
        match io.try_send(&transmit, icmp) {
            Err(SendError::Blocked) => {}
            other => return other,
        }
    }
}

/// Sends everything, however often the socket blocks, and expects that all of it leaves.
async fn send_all(io: &UdpIo, mut transmit: Transmit<'_>) {
    while !transmit.contents.is_empty() {
        let part = transmit.clone();
        let sent = send_once(io, part, &mut Vec::new()).await.expect("a batch that leaves");
        let expected = sent.bytes.div_ceil(transmit.datagram_size);
        assert_eq!(sent.datagrams, expected, "of {} datagrams", transmit.contents.len());
        transmit.contents = &transmit.contents[sent.bytes..];
    }
}

/// One datagram as it came.
#[derive(Debug, PartialEq)]
struct Datagram {
    source: SocketAddr,
    local: Option<IpAddr>,
    payload: Vec<u8>,
}

/// What came in some turns.
#[derive(Default)]
struct Inbox {
    datagrams: Vec<Datagram>,
    largest_batch: usize,
    icmp: Vec<IcmpError>,
}

impl Inbox {
    /// One turn: waits until the socket is ready, and receives once.
    async fn turn(&mut self, io: &UdpIo) {
        recv_ready(io).await;
        RecvBuffers::lend(|buffers| match io.try_recv(buffers, &mut self.icmp) {
            Ok(filled) => {
                assert_eq!(buffers.batches().count(), filled);
                buffers.batches().for_each(|batch| self.take(batch));
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        });
    }

    fn take(&mut self, batch: Batch<'_>) {
        let (source, local) = (batch.source, batch.local);
        let before = self.datagrams.len();
        self.datagrams.extend(batch.datagrams().map(|payload| Datagram {
            source,
            local,
            payload: payload.to_vec(),
        }));
        self.largest_batch = self.largest_batch.max(self.datagrams.len() - before);
    }

    async fn receive(io: &UdpIo, count: usize) -> Inbox {
        let mut inbox = Inbox::default();
        while inbox.datagrams.len() < count {
            inbox.turn(io).await;
        }
        inbox
    }

    fn payloads(&self) -> Vec<&[u8]> {
        self.datagrams.iter().map(|datagram| &datagram.payload[..]).collect()
    }
}
