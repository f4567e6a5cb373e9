//! Datagram I/O that is supplied: a simulated link in virtual time, and an obfuscator around a real socket.

mod common;

use common::{failed, ms, payload, watched};
use sendoff::{Cause, Config, DatagramSocket, KcpEndpoint, KcpListener, KcpStream, Wire};
use sendoff_netem::{Link, LinkConfig, Loss};
use std::{
    collections::VecDeque,
    future::Future,
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::UdpSocket,
    time::{Instant, Sleep},
};

const HERE: &str = "10.0.0.1:1";
const THERE: &str = "10.0.0.2:2";

/// One direction of a simulated path, and whoever waits at its end.
struct Way {
    began: Instant,
    state: Mutex<WayState>,
}

struct WayState {
    link: Link,
    receiver: Option<Waker>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// One end of a simulated path between two addresses.
struct SimulatedSocket {
    local: SocketAddr,
    peer: SocketAddr,
    out: Arc<Way>,
    inward: Arc<Way>,
}

fn path(config: LinkConfig, seed: u64) -> [Arc<SimulatedSocket>; 2] {
    let way = |seed| {
        let link = Link::new(config.clone(), seed);
        let state = WayState { link, receiver: None, sleep: None };
        Arc::new(Way { began: Instant::now(), state: Mutex::new(state) })
    };
    let (there, back) = (way(seed), way(seed + 1));
    let (here_addr, there_addr) = (HERE.parse().unwrap(), THERE.parse().unwrap());
    [
        SimulatedSocket { local: here_addr, peer: there_addr, out: there.clone(), inward: back.clone() },
        SimulatedSocket { local: there_addr, peer: here_addr, out: back, inward: there },
    ]
    .map(Arc::new)
}

impl DatagramSocket for SimulatedSocket {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        assert_eq!(to, self.peer);
        let receiver = {
            let mut state = self.out.state.lock().unwrap();
            state.link.send(self.out.began.elapsed(), datagram.to_vec());
            state.receiver.take()
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        Ok(())
    }

    fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let way = &self.inward;
        let mut state = way.state.lock().unwrap();
        loop {
            if let Some(datagram) = state.link.receive(way.began.elapsed()) {
                buffer[..datagram.len()].copy_from_slice(&datagram);
                return Poll::Ready(Ok((datagram.len(), self.peer)));
            }
            state.receiver = Some(cx.waker().clone());
            let Some(arrival) = state.link.next_arrival() else { return Poll::Pending };
            let at = way.began + arrival;
            let sleep = state.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            sleep.as_mut().reset(at);
            ready!(sleep.as_mut().poll(cx));
        }
    }
}

/// Sends a megabyte over a bad path: the virtual time that takes.
async fn transfer(config: Config, seed: u64) -> Duration {
    let link = LinkConfig::new().delay(ms(50)).rate(20_000_000).loss(Loss::Bernoulli(0.05));
    let [here, there] = path(link, seed);
    let listener = KcpListener::bind_with(THERE, config.clone().socket(there)).await.unwrap();
    let began = Instant::now();
    let mut client = KcpStream::connect_with(THERE, config.socket(here)).await.unwrap();
    assert_eq!((client.local_addr(), client.peer_addr()), (HERE.parse().unwrap(), THERE.parse().unwrap()));
    let bytes = payload(1 << 20, seed);
    let sending = async {
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
    };
    let receiving = async {
        let (mut server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, HERE.parse().unwrap());
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert!(got == bytes, "other bytes came");
    };
    tokio::join!(sending, receiving);
    assert!(client.stats().retransmitted_timeout > 0, "{:?}", client.stats());
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_bad_path_is_crossed_in_virtual_time() {
    watched(async {
        let took = transfer(Config::fast3(), 1).await;
        // 1 MiB at 20 Mbit/s is 0.42 s, and nothing is faster than the path.
        assert!((ms(470)..ms(10_000)).contains(&took), "{took:?}");
        assert_eq!(transfer(Config::fast3(), 1).await, took);
        assert_ne!(transfer(Config::fast3(), 2).await, took);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_at_the_other_end_of_a_path_is_found_out_in_virtual_time() {
    watched(async {
        let [here, _there] = path(LinkConfig::new(), 1);
        let began = Instant::now();
        let connecting = KcpStream::connect_with(THERE, Config::new().socket(here)).await;
        assert_eq!(failed(connecting, ErrorKind::TimedOut).bytes_sent, 0);
        assert!((ms(5_000)..ms(5_200)).contains(&began.elapsed()), "{:?}", began.elapsed());
    })
    .await;
}

/// Hides each datagram behind a key.
struct Obfuscated {
    socket: UdpSocket,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Obfuscated {
    async fn bind() -> Arc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Arc::new(Self { socket, seen: Mutex::default() })
    }
}

fn xor(bytes: &mut [u8]) {
    bytes.iter_mut().zip([0x5a, 0xc3, 0x17].into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}

impl DatagramSocket for Obfuscated {
    fn local_addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let mut hidden = datagram.to_vec();
        xor(&mut hidden);
        self.socket.try_send_to(&hidden, to).map(drop)?;
        self.seen.lock().unwrap().push(hidden);
        Ok(())
    }

    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_send_ready(cx)
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buffer))?;
        xor(buffer.filled_mut());
        Poll::Ready(Ok((buffer.filled().len(), from)))
    }
}

#[tokio::test]
async fn what_an_obfuscator_hides_is_understood_behind_it() {
    watched(async {
        let (here, there) = (Obfuscated::bind().await, Obfuscated::bind().await);
        let listener =
            KcpListener::bind_with("0.0.0.0:0", Config::new().socket(there.clone())).await.unwrap();
        assert_eq!(listener.local_addr(), there.local_addr());
        let config = Config::new().socket(here.clone());
        let mut client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
        let bytes = payload(300_000, 1);
        let echoing = tokio::spawn(common::echo(listener));
        let (mut reader, mut writer) = tokio::io::split(&mut client);
        let mut back = vec![0; bytes.len()];
        let (written, read) = tokio::join!(writer.write_all(&bytes), reader.read_exact(&mut back));
        written.unwrap();
        read.unwrap();
        assert!(back == bytes, "other bytes came back");
        let conv = client.conv().value().to_le_bytes();
        for sent in here.seen.lock().unwrap().iter_mut() {
            assert!(!sent.starts_with(&conv));
            xor(sent);
            assert!(sent.starts_with(&conv));
        }
        let stats = client.endpoint().stats();
        assert_eq!(stats.datagrams_sent, here.seen.lock().unwrap().len() as u64);
        assert!(stats.datagrams_received > 0 && stats.bytes_received > 300_000, "{stats:?}");
        echoing.abort();
    })
    .await;
}

#[tokio::test]
async fn a_supplied_socket_serves_one_endpoint_at_a_time_at_its_own_address() {
    watched(async {
        let socket = Obfuscated::bind().await;
        let own = socket.local_addr();
        let config = Config::new().socket(socket);
        let refused = async |addr: &str| KcpEndpoint::bind_with(addr, config.clone()).await.unwrap_err();
        let error = refused("127.0.0.2:0").await;
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(error.to_string(), format!("127.0.0.2:0: the socket that was supplied is {own}"));
        let endpoint = KcpEndpoint::bind_with(own, config.clone()).await.unwrap();
        let error = refused("0.0.0.0:0").await;
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(error.to_string(), "another endpoint uses the socket that was supplied");
        drop(endpoint);
        // Its driver lets go of the socket in its own time.
        common::poll_and_drop(async || match KcpEndpoint::bind_with("0.0.0.0:0", config.clone()).await {
            Ok(endpoint) => endpoint,
            Err(_) => std::future::pending().await,
        })
        .await;
        let system = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(KcpEndpoint::from_socket(system, config).unwrap_err().kind(), ErrorKind::InvalidInput);
    })
    .await;
}

/// A socket that a test holds in its hand.
#[derive(Default)]
struct Puppet {
    sent: Mutex<Vec<Vec<u8>>>,
    refusals: Mutex<VecDeque<ErrorKind>>,
    blocked: AtomicBool,
    waited: AtomicUsize,
    sender: Mutex<Option<Waker>>,
    receiver: Mutex<Option<Waker>>,
    broken: AtomicBool,
}

impl DatagramSocket for Puppet {
    fn local_addr(&self) -> SocketAddr {
        HERE.parse().unwrap()
    }

    fn try_send(&self, _: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        if self.blocked.load(Ordering::SeqCst) {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.refusals.lock().unwrap().pop_front() {
            Some(kind) => Err(kind.into()),
            None => {
                self.sent.lock().unwrap().push(datagram.to_vec());
                Ok(())
            }
        }
    }

    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.blocked.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        self.waited.fetch_add(1, Ordering::SeqCst);
        *self.sender.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_recv(&self, cx: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        if self.broken.load(Ordering::SeqCst) {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        *self.receiver.lock().unwrap() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A client in the hand of the test: a classic one sends what is written at once.
async fn puppet() -> (Arc<Puppet>, KcpStream) {
    let puppet = Arc::new(Puppet::default());
    let config = Config::new().wire(Wire::Classic).socket(puppet.clone());
    (puppet, KcpStream::connect_with(THERE, config).await.unwrap())
}

#[tokio::test]
async fn what_a_supplied_socket_does_not_take_leaves_when_it_does() {
    watched(async {
        let (puppet, mut client) = puppet().await;
        puppet.blocked.store(true, Ordering::SeqCst);
        client.write_all(b"hello").await.unwrap();
        common::until(|| puppet.waited.load(Ordering::SeqCst) > 0).await;
        assert!(puppet.sent.lock().unwrap().is_empty());
        puppet.blocked.store(false, Ordering::SeqCst);
        puppet.sender.lock().unwrap().take().unwrap().wake();
        common::until(|| !puppet.sent.lock().unwrap().is_empty()).await;
        assert!(puppet.sent.lock().unwrap()[0].ends_with(b"hello"));
    })
    .await;
}

#[tokio::test]
async fn a_supplied_socket_that_refuses_refuses_the_connection() {
    watched(async {
        let (puppet, mut client) = puppet().await;
        // Once alone it could be stale.
        puppet.refusals.lock().unwrap().extend([ErrorKind::ConnectionRefused; 2]);
        client.write_all(b"hello").await.unwrap();
        assert_eq!(client.closed().await.cause, Cause::Refused);
    })
    .await;
}

#[tokio::test]
async fn a_supplied_socket_that_loses_a_datagram_is_asked_again() {
    watched(async {
        let (puppet, mut client) = puppet().await;
        puppet.refusals.lock().unwrap().push_back(ErrorKind::PermissionDenied);
        client.write_all(b"hello").await.unwrap();
        common::until(|| !puppet.sent.lock().unwrap().is_empty()).await;
        assert_eq!(client.endpoint().stats().send_failures, 1);
    })
    .await;
}

#[tokio::test]
async fn each_datagram_that_a_socket_refuses_is_counted_alone_or_in_a_batch() {
    watched(async {
        let (puppet, mut client) = puppet().await;
        // The first of a batch, and then all of one.
        for (refused, counted) in [(1, 1), (3, 4)] {
            puppet.refusals.lock().unwrap().extend(vec![ErrorKind::PermissionDenied; refused]);
            client.write_all(&payload(3 * 1_376, 1)).await.unwrap();
            common::until(|| client.endpoint().stats().send_failures == counted).await;
        }
    })
    .await;
}

/// A socket that always says that it takes something, and never does.
#[derive(Default)]
struct Liar {
    asked: AtomicUsize,
}

impl DatagramSocket for Liar {
    fn local_addr(&self) -> SocketAddr {
        HERE.parse().unwrap()
    }

    fn try_send(&self, _: SocketAddr, _: &[u8]) -> io::Result<()> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        // A runtime gives others their turn after some of one task's.
        assert!(asked < 10_000, "nobody else has a turn");
        Err(ErrorKind::WouldBlock.into())
    }

    fn poll_send_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_supplied_socket_that_takes_nothing_although_it_is_ready_holds_nobody_up() {
    watched(async {
        let liar = Arc::new(Liar::default());
        let config = Config::new().wire(Wire::Classic).socket(liar.clone());
        let mut client = KcpStream::connect_with(THERE, config).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        for _ in 0..20 {
            liar.asked.store(0, Ordering::SeqCst);
            common::until(|| liar.asked.load(Ordering::SeqCst) > 0).await;
        }
        assert_eq!(client.ending(), None);
    })
    .await;
}

#[tokio::test]
async fn a_supplied_socket_that_breaks_ends_its_endpoint() {
    watched(async {
        let (puppet, mut client) = puppet().await;
        common::until(|| puppet.receiver.lock().unwrap().is_some()).await;
        puppet.broken.store(true, Ordering::SeqCst);
        puppet.receiver.lock().unwrap().take().unwrap().wake();
        let ending = failed(client.read(&mut [0; 10]).await, ErrorKind::ConnectionAborted);
        assert_eq!(ending.cause, Cause::EndpointLost);
    })
    .await;
}
