//! A UDP relay between one client and one server: a link that loses, reorders and duplicates by
//! a seed, that delays, and that can record what it sees.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a waiting thread looks whether the relay has been dropped.
const LOOK_UP: Duration = Duration::from_millis(50);
/// The longest that a datagram is held back when no other passes.
const HOLD: Duration = Duration::from_millis(5);

/// What a link does to datagrams, each as a share from 0 to 1, in each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Lost.
    pub loss: f64,
    /// Held back until the next one has passed.
    pub reorder: f64,
    /// Sent twice.
    pub duplicate: f64,
    /// How long each is on its way.
    pub delay: Duration,
}

impl Link {
    /// Does nothing.
    pub const CLEAN: Self = Self { loss: 0.0, reorder: 0.0, duplicate: 0.0, delay: Duration::ZERO };
    /// 10 % loss, 5 % reordered, 5 % duplicated.
    pub const LOSSY: Self = Self { loss: 0.10, reorder: 0.05, duplicate: 0.05, ..Self::CLEAN };
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// A datagram as it came to the relay, before the link did anything to it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// When it came.
    pub at: Instant,
    /// Where it goes.
    pub direction: Direction,
    /// Its payload.
    pub datagram: Vec<u8>,
}

/// Datagrams by fate, both directions together.
#[derive(Debug, Default)]
pub struct Counts {
    passed: AtomicU64,
    lost: AtomicU64,
    reordered: AtomicU64,
    duplicated: AtomicU64,
}

impl Counts {
    /// Sent on at least once.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Lost by the link.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Held back by the link.
    pub fn reordered(&self) -> u64 {
        self.reordered.load(Ordering::Relaxed)
    }

    /// Sent twice by the link.
    pub fn duplicated(&self) -> u64 {
        self.duplicated.load(Ordering::Relaxed)
    }
}

/// A running relay. It ends when it is dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    stopped: AtomicBool,
    /// The server knows the client by the last of them. The others stay open, and nobody reads them: a NAT that has
    /// forgotten is silent.
    to_server: Mutex<Vec<Arc<UdpSocket>>>,
    /// By direction.
    cut: [AtomicBool; 2],
    counts: Counts,
    recorded: Option<Mutex<Vec<Recorded>>>,
    client: Mutex<Option<SocketAddr>>,
}

impl Shared {
    fn to_server(&self) -> Arc<UdpSocket> {
        self.to_server.lock().unwrap().last().expect("there is always one").clone()
    }
}

impl Relay {
    /// Starts a relay to `server`. The same seed has the same fates in the same order.
    pub fn start(server: SocketAddr, link: Link, seed: u64) -> io::Result<Self> {
        Self::launch(server, link, seed, None)
    }

    /// Starts a relay that records, and does nothing to the datagrams.
    pub fn recording(server: SocketAddr) -> io::Result<Self> {
        Self::launch(server, Link::CLEAN, 0, Some(Mutex::default()))
    }

    fn launch(
        server: SocketAddr,
        link: Link,
        seed: u64,
        recorded: Option<Mutex<Vec<Recorded>>>,
    ) -> io::Result<Self> {
        let to_client = Arc::new(socket()?);
        let to_server = Arc::new(socket()?);
        to_server.connect(server)?;
        let address = to_client.local_addr()?;
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            to_server: Mutex::new(vec![to_server]),
            cut: Default::default(),
            counts: Counts::default(),
            recorded,
            client: Mutex::new(None),
        });
        let mut threads = Vec::new();
        for direction in [Direction::ToServer, Direction::ToClient] {
            let random = Random(seed ^ (direction as u64) << 63);
            let way = Way { direction, to_client: to_client.clone(), shared: shared.clone() };
            let way = if link.delay.is_zero() { Exit::Direct(way) } else { Exit::delayed(way, link.delay) };
            let (to_client, shared) = (to_client.clone(), shared.clone());
            let lane = Lane { direction, to_client, way, link, random, held: None, shared };
            threads.push(thread::spawn(move || lane.run()));
        }
        Ok(Self { address, shared, threads })
    }

    /// Loses everything in this direction from now on, or nothing more.
    pub fn cut(&self, direction: Direction, cut: bool) {
        self.shared.cut[direction as usize].store(cut, Ordering::Relaxed);
    }

    /// The server sees the client at another port from now on, as behind a NAT that has forgotten it. What is still sent
    /// to the old one is lost.
    pub fn rebind(&self) -> io::Result<()> {
        let socket = socket()?;
        socket.connect(self.shared.to_server().peer_addr()?)?;
        self.shared.to_server.lock().unwrap().push(Arc::new(socket));
        Ok(())
    }

    /// Where the client sends to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has happened so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// All datagrams so far, in the order in which they came; empty if it doesn't record.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.recorded.as_ref().map(|all| all.lock().unwrap().clone()).unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // As much as the system gives: the relay should lose only what it means to lose.
    let options = socket2::SockRef::from(&socket);
    _ = options.set_recv_buffer_size(4 << 20);
    _ = options.set_send_buffer_size(4 << 20);
    Ok(socket)
}

/// One direction.
struct Lane {
    direction: Direction,
    to_client: Arc<UdpSocket>,
    way: Exit,
    link: Link,
    random: Random,
    held: Option<Vec<u8>>,
    shared: Arc<Shared>,
}

impl Lane {
    fn run(mut self) {
        let mut buffer = vec![0; 65_536];
        let (mut wait, mut from) = (Duration::ZERO, self.from());
        while !self.shared.stopped.load(Ordering::Relaxed) {
            let wanted = if self.held.is_some() { HOLD } else { LOOK_UP };
            let now = self.from();
            if wait != wanted || !Arc::ptr_eq(&from, &now) {
                (wait, from) = (wanted, now);
                from.set_read_timeout(Some(wait)).expect("the wait is not zero");
            }
            match from.recv_from(&mut buffer) {
                // What comes to a port that has been forgotten meanwhile is lost.
                Ok(_) if !Arc::ptr_eq(&from, &self.from()) => {}
                Ok((length, sender)) => self.take(&buffer[..length], sender),
                // Nothing came, or a datagram sent earlier met a closed port.
                Err(_) => self.release(),
            }
        }
    }

    fn from(&self) -> Arc<UdpSocket> {
        match self.direction {
            Direction::ToServer => self.to_client.clone(),
            Direction::ToClient => self.shared.to_server(),
        }
    }

    fn take(&mut self, datagram: &[u8], sender: SocketAddr) {
        let counts = &self.shared.counts;
        if self.direction == Direction::ToServer {
            *self.shared.client.lock().unwrap() = Some(sender);
        }
        if let Some(recorded) = &self.shared.recorded {
            let (at, direction) = (Instant::now(), self.direction);
            recorded.lock().unwrap().push(Recorded { at, direction, datagram: datagram.to_vec() });
        }
        let cut = self.shared.cut[self.direction as usize].load(Ordering::Relaxed);
        if cut || self.random.chance(self.link.loss) {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        counts.passed.fetch_add(1, Ordering::Relaxed);
        let twice = self.random.chance(self.link.duplicate);
        if self.random.chance(self.link.reorder) && self.held.is_none() {
            counts.reordered.fetch_add(1, Ordering::Relaxed);
            self.held = Some(datagram.to_vec());
            return;
        }
        self.send(datagram);
        if twice {
            counts.duplicated.fetch_add(1, Ordering::Relaxed);
            self.send(datagram);
        }
        self.release();
    }

    fn release(&mut self) {
        if let Some(datagram) = self.held.take() {
            self.send(&datagram);
        }
    }

    fn send(&self, datagram: &[u8]) {
        match &self.way {
            Exit::Direct(way) => way.send(datagram),
            Exit::Delayed(delay, queue) => _ = queue.send((Instant::now() + *delay, datagram.to_vec())),
        }
    }
}

/// Where a direction leaves the relay: at once, or by a queue that a thread of its own empties.
enum Exit {
    Direct(Way),
    Delayed(Duration, mpsc::Sender<(Instant, Vec<u8>)>),
}

impl Exit {
    fn delayed(way: Way, delay: Duration) -> Self {
        let (queue, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        thread::spawn(move || {
            for (at, datagram) in due {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                way.send(&datagram);
            }
        });
        Self::Delayed(delay, queue)
    }
}

/// The way out of one direction.
struct Way {
    direction: Direction,
    to_client: Arc<UdpSocket>,
    shared: Arc<Shared>,
}

impl Way {
    fn send(&self, datagram: &[u8]) {
        // A datagram that can't be sent is lost, as on any link.
        _ = match self.direction {
            Direction::ToServer => self.shared.to_server().send(datagram),
            Direction::ToClient => match *self.shared.client.lock().unwrap() {
                Some(client) => self.to_client.send_to(datagram, client),
                None => Ok(0),
            },
        };
    }
}

/// SplitMix64: small, and good enough to throw dice.
struct Random(u64);

impl Random {
    fn chance(&mut self, share: f64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((z >> 11) as f64 / (1_u64 << 53) as f64) < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(20);

    fn socket_with_watchdog() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(WATCHDOG)).unwrap();
        socket
    }

    #[test]
    fn a_recording_relay_passes_and_keeps_both_directions() {
        let (server, client) = (socket_with_watchdog(), socket_with_watchdog());
        let relay = Relay::recording(server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 100];

        client.send_to(b"question", relay.address()).unwrap();
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"question");
        server.send_to(b"answer", from).unwrap();
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"answer"[..], relay.address()));

        let seen: Vec<_> = relay.recorded().into_iter().map(|r| (r.direction, r.datagram)).collect();
        let expected =
            [(Direction::ToServer, b"question".to_vec()), (Direction::ToClient, b"answer".to_vec())];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_cut_direction_loses_everything_and_the_other_nothing() {
        let (server, client) = (socket_with_watchdog(), socket_with_watchdog());
        let relay = Relay::recording(server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 100];
        relay.cut(Direction::ToServer, true);
        client.send_to(b"lost", relay.address()).unwrap();
        while relay.counts().lost() == 0 {
            thread::yield_now();
        }
        relay.cut(Direction::ToServer, false);
        relay.cut(Direction::ToClient, true);
        client.send_to(b"question", relay.address()).unwrap();
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"question");
        server.send_to(b"lost", from).unwrap();
        while relay.counts().lost() == 1 {
            thread::yield_now();
        }
        assert_eq!((relay.counts().lost(), relay.counts().passed()), (2, 1));
    }

    #[test]
    fn behind_a_relay_that_forgets_the_client_has_another_port_and_what_goes_to_the_old_one_is_lost() {
        let (server, client) = (socket_with_watchdog(), socket_with_watchdog());
        let relay = Relay::recording(server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 100];
        client.send_to(b"before", relay.address()).unwrap();
        let (_, before) = server.recv_from(&mut buffer).unwrap();
        relay.rebind().unwrap();
        client.send_to(b"after", relay.address()).unwrap();
        let (_, after) = server.recv_from(&mut buffer).unwrap();
        assert_ne!(before, after);
        server.send_to(b"lost", before).unwrap();
        server.send_to(b"answer", after).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer");
    }

    #[test]
    fn a_delaying_relay_passes_nothing_before_its_time() {
        let (server, client) = (socket_with_watchdog(), socket_with_watchdog());
        let delay = Duration::from_millis(30);
        let link = Link { delay, ..Link::CLEAN };
        let relay = Relay::start(server.local_addr().unwrap(), link, 0).unwrap();
        let (started, mut buffer) = (Instant::now(), [0; 100]);
        for word in [&b"first"[..], b"second"] {
            client.send_to(word, relay.address()).unwrap();
        }
        for word in [&b"first"[..], b"second"] {
            let (length, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], word);
            server.send_to(word, from).unwrap();
        }
        client.recv_from(&mut buffer).unwrap();
        assert!(started.elapsed() >= 2 * delay, "{:?}", started.elapsed());
    }

    #[test]
    fn a_lossy_relay_loses_reorders_and_duplicates_the_shares_it_was_told() {
        let (server, client) = (socket_with_watchdog(), socket_with_watchdog());
        let relay = Relay::start(server.local_addr().unwrap(), Link::LOSSY, 7).unwrap();
        let (count, mut buffer, mut arrived) = (2_000_u32, [0; 4], Vec::new());
        for number in 0..count {
            client.send_to(&number.to_le_bytes(), relay.address()).unwrap();
            // One at a time, so that no socket buffer overflows.
            while relay.counts().passed() + relay.counts().lost() <= u64::from(number) {
                thread::yield_now();
            }
            server.set_nonblocking(true).unwrap();
            while server.recv(&mut buffer).is_ok() {
                arrived.push(u32::from_le_bytes(buffer));
            }
        }
        let counts = relay.counts();
        server.set_nonblocking(false).unwrap();
        while (arrived.len() as u64) < counts.passed() + counts.duplicated() {
            server.recv(&mut buffer).expect("what passed arrives");
            arrived.push(u32::from_le_bytes(buffer));
        }
        let late = arrived.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
        let twice = arrived.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        // Binomial with n = 2,000: 200 ± 13, 90 ± 9, 90 ± 9. The seed is fixed.
        assert!((150..250).contains(&counts.lost()), "{counts:?}");
        assert!((50..130).contains(&counts.reordered()), "{counts:?}");
        assert!((50..130).contains(&counts.duplicated()), "{counts:?}");
        assert_eq!(twice, counts.duplicated());
        assert!(late > 0 && late <= counts.reordered(), "{late} late, {counts:?}");
    }
}
