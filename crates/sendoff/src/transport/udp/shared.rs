//! What the driver and all flows of one socket share.

use super::{UdpOptions, UdpStats, flow::Flow, table::Table};
use crate::{
    Direction, Tap, TappedDatagram,
    lock::lock,
    socket,
    stream::Wakers,
    udp::{self, IcmpError, IcmpKind, SendError, Transmit, UdpIo},
};
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// Flows that wait to be accepted, at most.
pub(super) const ACCEPT_QUEUE: usize = 1_024;

/// Bytes that wait to be read in all flows of a socket, at most.
pub(super) const HELD_BYTES: usize = 64 << 20;

pub(super) struct Shared {
    pub(super) io: UdpIo,
    local: SocketAddr,
    /// The flows' clock starts here.
    pub(super) began: Instant,
    pub(super) idle: Duration,
    max_flows: usize,
    tap: Option<Arc<dyn Tap>>,
    table: Mutex<Table>,
    lobby: Mutex<Lobby>,
    driver: Mutex<Option<Waker>>,
    /// Those who wait for the socket to take something.
    writers: Mutex<Wakers>,
    held: AtomicUsize,
    too_many_flows: AtomicU64,
    backlog: AtomicU64,
    unknown: AtomicU64,
}

/// Those who come, and those who wait for them.
#[derive(Default)]
struct Lobby {
    arrivals: VecDeque<Arc<Flow>>,
    acceptors: Wakers,
    listening: bool,
    /// Why the socket is of no use any more.
    failure: Option<(io::ErrorKind, String)>,
}

impl Shared {
    pub(super) fn listen(addr: SocketAddr, options: &UdpOptions) -> io::Result<Arc<Self>> {
        Self::new(UdpIo::bind(addr, &io_options(options))?, options, true)
    }

    /// A socket with one flow.
    pub(super) fn connect(peer: SocketAddr, options: &UdpOptions) -> io::Result<(Arc<Self>, Arc<Flow>)> {
        let local = socket::local_for(peer, options.socket_options())?;
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{peer}: {error}"));
        let io = UdpIo::bind(local, &io_options(options)).map_err(named)?;
        io.connect(peer).map_err(named)?;
        let shared = Self::new(io, options, false)?;
        let flow = Flow::new(peer, None, shared.clone());
        shared.table().insert(flow.clone());
        Ok((shared, flow))
    }

    fn new(io: UdpIo, options: &UdpOptions, listening: bool) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            local: io.local_addr()?,
            io,
            began: Instant::now(),
            idle: options.idle_time(),
            max_flows: options.max_flows_count(),
            tap: options.tap_value().cloned(),
            table: Mutex::default(),
            lobby: Mutex::new(Lobby { listening, ..Lobby::default() }),
            driver: Mutex::default(),
            writers: Mutex::default(),
            held: AtomicUsize::new(0),
            too_many_flows: AtomicU64::new(0),
            backlog: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
        }))
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The flow of that peer, or a new one if there is room. Only the driver calls it.
    pub(super) fn flow(self: &Arc<Self>, peer: SocketAddr, local: Option<IpAddr>) -> Option<Arc<Flow>> {
        let flows = {
            let table = self.table();
            if let Some(flow) = table.get(peer) {
                return Some(flow.clone());
            }
            table.len()
        };
        if let Some(why_not) = self.obstacle(flows) {
            why_not.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // In the table first: who accepts it may close it at once.
        let flow = Flow::new(peer, local, self.clone());
        self.table().insert(flow.clone());
        let acceptors = {
            let mut lobby = lock(&self.lobby);
            if !lobby.listening {
                drop(lobby);
                self.table().remove(&flow);
                return None;
            }
            lobby.arrivals.push_back(flow.clone());
            lobby.acceptors.take()
        };
        acceptors.wake();
        Some(flow)
    }

    /// What forbids another flow: the counter of datagrams dropped for that.
    fn obstacle(&self, flows: usize) -> Option<&AtomicU64> {
        let lobby = lock(&self.lobby);
        if !lobby.listening {
            Some(&self.unknown)
        } else if flows >= self.max_flows {
            Some(&self.too_many_flows)
        } else {
            (lobby.arrivals.len() >= ACCEPT_QUEUE).then_some(&self.backlog)
        }
    }

    pub(super) fn remove(&self, flow: &Flow) {
        self.table().remove(flow);
        self.wake_writers();
        self.wake_driver();
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arc<Flow>>> {
        let mut lobby = lock(&self.lobby);
        if let Some(flow) = lobby.arrivals.pop_front() {
            return Poll::Ready(Ok(flow));
        }
        if let Some((kind, text)) = &lobby.failure {
            return Poll::Ready(Err(io::Error::new(*kind, text.clone())));
        }
        if !lobby.listening {
            return Poll::Ready(Err(super::super::listener::closed_here()));
        }
        let crowd = lobby.acceptors.register(cx.waker());
        drop(lobby);
        crowd.wake();
        Poll::Pending
    }

    /// Opens no more flows; those that were accepted live on.
    pub(super) fn stop_listening(&self) {
        let (arrivals, acceptors) = {
            let mut lobby = lock(&self.lobby);
            lobby.listening = false;
            (std::mem::take(&mut lobby.arrivals), lobby.acceptors.take())
        };
        acceptors.wake();
        for flow in arrivals {
            flow.close(Default::default());
        }
        self.wake_driver();
    }

    /// Whether nothing is left to drive.
    pub(super) fn is_abandoned(&self) -> bool {
        !lock(&self.lobby).listening && self.table().len() == 0
    }

    /// The socket is of no use any more: everyone learns why.
    pub(super) fn fail(&self, kind: io::ErrorKind, why: &str) {
        let acceptors = {
            let mut lobby = lock(&self.lobby);
            lobby.failure.get_or_insert_with(|| (kind, why.to_owned()));
            lobby.listening = false;
            lobby.acceptors.take()
        };
        acceptors.wake();
        let flows = self.table().take_all();
        flows.iter().for_each(|flow| flow.lose_socket());
    }

    /// Sends one datagram of a flow.
    pub(super) fn poll_send(
        &self,
        flow: &Flow,
        cx: &mut Context<'_>,
        datagram: &[u8],
    ) -> Poll<io::Result<()>> {
        if datagram.len() > udp::MAX_DATAGRAM_BYTES {
            flow.count_too_large();
            return Poll::Ready(Err(too_large(datagram.len())));
        }
        let mut icmp = Vec::new();
        let transmit = Transmit {
            destination: flow.peer(),
            source: flow.source(),
            contents: datagram,
            datagram_size: datagram.len(),
        };
        let at = std::time::Instant::now();
        let result = self.io.try_send(&transmit, &mut icmp);
        if result.is_ok() {
            self.show(at, Direction::Sent, (flow.peer(), transmit.source), datagram);
        }
        self.handle_icmp(&icmp);
        // It may be over now: whoever writes is the first to know.
        flow.writable()?;
        Poll::Ready(match result {
            Ok(_) => {
                flow.count_sent(datagram.len());
                Ok(())
            }
            Err(SendError::Blocked) => {
                let crowd = lock(&self.writers).register(cx.waker());
                crowd.wake();
                self.wake_driver();
                return Poll::Pending;
            }
            Err(SendError::TooLarge) => {
                flow.count_too_large();
                Err(too_large(datagram.len()))
            }
            Err(SendError::Unreachable(error)) => {
                flow.count_send_failure();
                flow.forget_source();
                if self.io.peer().is_some() {
                    // A connected socket fails for ever once its source address has gone.
                    _ = self.io.reconnect();
                }
                Err(error)
            }
            // As lost on the way.
            Err(SendError::Dropped(error)) => {
                tracing::debug!(peer = %flow.peer(), %error, "a datagram was refused");
                flow.count_send_failure();
                Ok(())
            }
            Err(SendError::Fatal(error)) => {
                self.fail(error.kind(), &error.to_string());
                Err(error)
            }
        })
    }

    /// Shows a datagram to the tap, if there is one; `own` is our address as the peer knows it.
    pub(super) fn show(
        &self,
        at: std::time::Instant,
        direction: Direction,
        (peer, own): (SocketAddr, Option<IpAddr>),
        datagram: &[u8],
    ) {
        if let Some(tap) = &self.tap {
            let local = own.map_or(self.local, |ip| SocketAddr::new(ip, self.local.port()));
            tap.datagram(&TappedDatagram::new(at, direction, local, peer, datagram));
        }
    }

    /// Wakes those who wait to write, once the socket takes something.
    pub(super) fn poll_writers(&self, cx: &mut Context<'_>) -> io::Result<()> {
        while !lock(&self.writers).is_empty() {
            match self.io.poll_send_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(result) => {
                    result?;
                    self.wake_writers();
                }
            }
        }
        Ok(())
    }

    fn wake_writers(&self) {
        let writers = lock(&self.writers).take();
        writers.wake();
    }

    /// Ends the flows whose peers' hosts say that nobody has the port.
    pub(super) fn handle_icmp(&self, errors: &[IcmpError]) {
        for error in errors {
            tracing::debug!(peer = %error.peer, kind = ?error.kind, "ICMP error");
            if error.kind == IcmpKind::PortUnreachable {
                let flow = self.table().get(error.peer).cloned();
                if let Some(flow) = flow {
                    flow.refuse();
                }
            }
        }
    }

    /// Keeps the driver's waker; whoever changes something for it calls [`wake_driver`](Self::wake_driver).
    pub(super) fn register_driver(&self, waker: &Waker) {
        let mut slot = lock(&self.driver);
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    fn wake_driver(&self) {
        let driver = lock(&self.driver).clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Whether so many bytes more may wait to be read.
    pub(super) fn hold(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > HELD_BYTES {
            self.release(bytes);
            return false;
        }
        true
    }

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> UdpStats {
        UdpStats {
            flows: self.table().len(),
            dropped_too_many_flows: self.too_many_flows.load(Ordering::Relaxed),
            dropped_backlog: self.backlog.load(Ordering::Relaxed),
            dropped_unknown: self.unknown.load(Ordering::Relaxed),
            socket_drops: self.io.socket_drops(),
            ..UdpStats::default()
        }
    }
}

/// Buffers are the system's unless they are asked for.
fn io_options(options: &UdpOptions) -> udp::Options {
    udp::Options { buffer: 0, socket: options.socket_options().clone(), ..Default::default() }
}

fn too_large(bytes: usize) -> io::Error {
    let text = format!("a datagram of {bytes} bytes is too large: at most {}", udp::MAX_DATAGRAM_BYTES);
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
