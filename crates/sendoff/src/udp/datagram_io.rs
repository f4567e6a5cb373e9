//! What carries an endpoint's datagrams: a socket of the system, or one that was supplied.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use sendoff_proto::SocketLease;

use super::buffers::RecvBuffers;
use super::counters::{AtomicCounters, add};
use super::errors::{IcmpError, IcmpKind, MAX_ICMP_ERRORS, SendError};
use super::{Counters, Sent, Transmit, UdpIo};

/// Datagrams of one batch to a supplied socket.
const SUPPLIED_BATCH: usize = 16;

/// Either of them, with the methods of [`UdpIo`].
#[allow(
    clippy::large_enum_variant,
    reason = "there is one for each endpoint, and the large one is on the hot path"
)]
pub(crate) enum DatagramIo {
    System(UdpIo),
    Supplied(Supplied),
}

/// A socket that was supplied, used by one endpoint.
pub(crate) struct Supplied {
    socket: SocketLease,
    /// What is assumed to be held for us.
    buffer: usize,
    counters: AtomicCounters,
}

impl From<UdpIo> for DatagramIo {
    fn from(io: UdpIo) -> Self {
        Self::System(io)
    }
}

impl DatagramIo {
    pub(crate) fn supplied(socket: SocketLease, buffer: usize) -> Self {
        Self::Supplied(Supplied { socket, buffer, counters: AtomicCounters::default() })
    }

    pub(crate) fn is_supplied(&self) -> bool {
        matches!(self, Self::Supplied(_))
    }

    #[inline]
    pub(crate) fn try_send(
        &self,
        transmit: &Transmit<'_>,
        icmp: &mut Vec<IcmpError>,
    ) -> Result<Sent, SendError> {
        match self {
            Self::System(io) => io.try_send(transmit, icmp),
            Self::Supplied(supplied) => supplied.try_send(transmit, icmp),
        }
    }

    /// Receives what is there, as much as the buffers take; 0: nothing now, but it should be called again. Wakes for
    /// ICMP errors too (Linux), which are added to `icmp` whatever the result.
    #[inline]
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut RecvBuffers,
        icmp: &mut Vec<IcmpError>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::System(io) => match io.try_recv(buffers, icmp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    io.poll_recv_ready(cx).map_ok(|()| 0)
                }
                received => Poll::Ready(received),
            },
            Self::Supplied(supplied) => supplied.poll_recv(cx, buffers),
        }
    }

    pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::System(io) => io.poll_send_ready(cx),
            Self::Supplied(supplied) => supplied.socket.poll_send_ready(cx),
        }
    }

    #[inline]
    pub(crate) fn max_batch(&self) -> usize {
        match self {
            Self::System(io) => io.max_batch(),
            Self::Supplied(_) => SUPPLIED_BATCH,
        }
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(io) => io.local_addr(),
            Self::Supplied(supplied) => Ok(supplied.socket.local_addr()),
        }
    }

    /// The one peer that the system has connected it to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::System(io) => io.peer(),
            Self::Supplied(_) => None,
        }
    }

    /// Whether the system knows it as connected to one peer.
    pub(crate) fn is_connected(&self) -> bool {
        self.peer().is_some()
    }

    pub(crate) fn reconnect(&self) -> io::Result<()> {
        match self {
            Self::System(io) => io.reconnect(),
            Self::Supplied(_) => Ok(()),
        }
    }

    /// Whether another of our addresses leads to the peer now than that which the socket was connected from.
    pub(crate) fn is_rerouted(&self) -> io::Result<bool> {
        match self {
            Self::System(io) => io.is_rerouted(),
            Self::Supplied(_) => Ok(false),
        }
    }

    pub(crate) fn recv_buffer(&self) -> usize {
        match self {
            Self::System(io) => io.recv_buffer(),
            Self::Supplied(supplied) => supplied.buffer,
        }
    }

    pub(crate) fn send_buffer(&self) -> usize {
        match self {
            Self::System(io) => io.send_buffer(),
            Self::Supplied(supplied) => supplied.buffer,
        }
    }

    pub(crate) fn buffers_refused(&self) -> bool {
        matches!(self, Self::System(io) if io.buffers_refused())
    }

    pub(crate) fn socket_drops(&self) -> Option<u64> {
        match self {
            Self::System(io) => io.socket_drops(),
            Self::Supplied(_) => None,
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        match self {
            Self::System(io) => io.counters(),
            Self::Supplied(supplied) => supplied.counters.snapshot(),
        }
    }
}

impl Supplied {
    fn try_send(&self, transmit: &Transmit<'_>, icmp: &mut Vec<IcmpError>) -> Result<Sent, SendError> {
        let to = transmit.destination;
        let mut sent = Sent::default();
        let mut lost = None;
        for datagram in transmit.contents.chunks(transmit.datagram_size.max(1)) {
            add(&self.counters.send_calls, 1);
            match self.socket.try_send(to, datagram) {
                Ok(()) => {
                    sent.datagrams += 1;
                    add(&self.counters.datagrams_sent, 1);
                    add(&self.counters.bytes_sent, datagram.len() as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match sent.bytes {
                    0 => return Err(SendError::Blocked),
                    _ => return Ok(sent),
                },
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(SendError::Fatal(error));
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::ConnectionRefused && icmp.len() < MAX_ICMP_ERRORS {
                        icmp.push(IcmpError::new(to, IcmpKind::PortUnreachable, datagram));
                    }
                    lost = Some(error);
                }
            }
            sent.bytes += datagram.len();
        }
        match lost {
            Some(error) if sent.datagrams == 0 => Err(SendError::Dropped(error)),
            _ => Ok(sent),
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffers: &mut RecvBuffers) -> Poll<io::Result<usize>> {
        buffers.clear();
        add(&self.counters.recv_calls, 1);
        let mut failed = None;
        let filled = buffers.fill(|slices, meta| {
            let mut filled = 0;
            for (slice, meta) in slices.iter_mut().zip(meta) {
                match self.socket.poll_recv(cx, slice) {
                    Poll::Pending => break,
                    Poll::Ready(Ok((len, from))) => {
                        let len = len.min(slice.len());
                        (meta.addr, meta.len, meta.stride, meta.dst_ip) = (from, len, len, None);
                        filled += 1;
                    }
                    Poll::Ready(Err(error)) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
            io::Result::Ok(filled)
        })?;
        let (datagrams, bytes) = buffers.totals();
        add(&self.counters.datagrams_received, datagrams);
        add(&self.counters.bytes_received, bytes);
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if filled == 0 => Poll::Pending,
            None => Poll::Ready(Ok(filled)),
        }
    }
}
