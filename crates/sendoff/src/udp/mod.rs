//! The UDP socket under a driver: everything that differs from one platform to the next.
//!
//! A [`UdpIo`] sends batches (GSO) and receives batches (GRO). What it adds to `quinn-udp`:
//!
//! - An ICMP message about one peer never fails a call for another: it is read from the error queue, handed out as an
//!   [`IcmpError`] that names its peer, and the call is repeated.
//! - Datagrams larger than a link are fragmented, as with any plain UDP program. A GSO batch that the link refuses
//!   leaves one datagram at a time.
//! - Addresses are canonical above this module: no `::ffff:a.b.c.d`.
//! - A receive call that did not fill its buffers has emptied the socket, and tokio is told so: no further system
//!   call is needed to learn that.

mod address;
mod buffers;
mod counters;
mod datagram_io;
mod errors;
mod fallback;
#[cfg(unix)]
mod passed_on;
mod transfer;

#[cfg(target_os = "linux")]
mod marked;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod platform;
#[cfg(not(target_os = "linux"))]
mod portable;
#[cfg(all(unix, not(target_os = "linux")))]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg(not(target_os = "linux"))]
use portable as platform;

pub(crate) use platform::dissolve;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::task::{Context, Poll};

use quinn_udp::{UdpSockRef, UdpSocketState};
use socket2::SockRef;

use crate::SocketOptions;

use address::Family;
use counters::AtomicCounters;
use fallback::GsoOff;
use platform::Registered;

#[cfg(unix)]
pub(crate) use self::passed_on::{PassOn, PassedOn};
pub(crate) use self::{
    address::canonical,
    buffers::{Batch, RecvBuffers},
    counters::Counters,
    datagram_io::DatagramIo,
    errors::{IcmpError, IcmpKind, SendError},
};

/// Bytes of payload of the largest datagram, and of the largest batch.
pub(crate) const MAX_DATAGRAM_BYTES: usize = 65_507;

/// A buffer smaller than this is not asked for, however often larger ones were refused.
const MIN_BUFFER_BYTES: usize = 64 * 1024;

/// How a socket is set up.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Bytes asked for as send and as receive buffer; 4 MiB. A buffer that is larger already stays so.
    pub(crate) buffer: usize,
    /// Whether batches are sent with one call where the platform can; true.
    pub(crate) gso: bool,
    /// What else is asked for. Buffers given there count instead of `buffer`.
    pub(crate) socket: SocketOptions,
}

impl Default for Options {
    fn default() -> Options {
        Options { buffer: 4 << 20, gso: true, socket: SocketOptions::new() }
    }
}

/// Datagrams for one destination.
#[derive(Clone, Debug)]
pub(crate) struct Transmit<'a> {
    /// Where they go.
    pub(crate) destination: SocketAddr,
    /// The address they leave from: the one that the peer sent to ([`Batch::local`]). None: the system chooses.
    pub(crate) source: Option<IpAddr>,
    /// The datagrams, one after the other: at most [`UdpIo::max_batch`] of them and [`MAX_DATAGRAM_BYTES`] together.
    pub(crate) contents: &'a [u8],
    /// Bytes of each datagram; the last may be shorter. One datagram: anything that is not less.
    pub(crate) datagram_size: usize,
}

/// What a call to send has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The part of the contents that is done with. Less than all: the socket took no more (that happens only
    /// without GSO), and the rest must be sent when it is ready.
    pub(crate) bytes: usize,
    /// Datagrams that the system took; the others of `bytes` count as lost.
    pub(crate) datagrams: usize,
}

/// A non-blocking UDP socket. Several threads may send; one receives; only one task polls for readiness.
pub(crate) struct UdpIo {
    socket: Registered,
    state: UdpSocketState,
    family: Family,
    local_port: u16,
    peer: OnceLock<SocketAddr>,
    max_batch: usize,
    gso_off: GsoOff,
    /// The socket's own traffic class counts, not one for each datagram.
    marked: bool,
    counters: AtomicCounters,
    recv_buffer: usize,
    send_buffer: usize,
    buffers_refused: bool,
}

impl UdpIo {
    /// Binds a socket. An IPv6 wildcard address serves IPv4 too.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub(crate) fn bind(addr: SocketAddr, options: &Options) -> io::Result<UdpIo> {
        UdpIo::from_bound(crate::socket::bind_udp(addr, &options.socket)?, options)
    }

    /// Binds so many sockets to one address, over which the system spreads peers; more than one on Linux alone.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub(crate) fn bind_several(
        addr: SocketAddr,
        sockets: usize,
        options: &Options,
    ) -> io::Result<Vec<UdpIo>> {
        if sockets == 1 {
            return Ok(vec![UdpIo::bind(addr, options)?]);
        }
        let sockets = crate::socket::bind_several(addr, sockets, &options.socket)?;
        sockets.into_iter().map(|socket| UdpIo::from_bound(socket, options)).collect()
    }

    /// Takes over a socket that somebody else has bound, connected or not; makes it non-blocking.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O enabled.
    pub(crate) fn from_std(socket: UdpSocket, options: &Options) -> io::Result<UdpIo> {
        crate::socket::set_bound(&SockRef::from(&socket), socket.local_addr()?, &options.socket)?;
        UdpIo::from_bound(socket, options)
    }

    fn from_bound(socket: UdpSocket, options: &Options) -> io::Result<UdpIo> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let family = Family::of(local);
        let peer = OnceLock::new();
        if let Ok(connected) = socket.peer_addr() {
            let _ = peer.set(canonical(connected));
        }
        let granted = set_buffers(&SockRef::from(&socket), options)?;
        let socket = Registered::new(socket)?;
        let state = UdpSocketState::new(UdpSockRef::from(socket.socket()))?;
        platform::set_up(socket.socket(), family)?;
        Ok(UdpIo {
            // Asked once: quinn-udp turns GSO off for the whole socket after any EINVAL.
            max_batch: state.max_gso_segments(),
            socket,
            state,
            family,
            local_port: local.port(),
            peer,
            gso_off: GsoOff::new(!options.gso),
            marked: options.socket.dscp_value().is_some(),
            counters: AtomicCounters::default(),
            recv_buffer: granted.recv,
            send_buffer: granted.send,
            buffers_refused: granted.refused,
        })
    }

    /// Connects the socket to its only peer: only its datagrams come, and its ICMP messages. At most once.
    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        let peer = canonical(peer);
        self.connect_socket(peer)?;
        self.peer.set(peer).map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "socket is connected"))
    }

    /// Connects to the same peer again, from whatever address leads there now; the local port stays.
    ///
    /// A connected socket whose source address has gone fails for ever otherwise. After an error it is not connected:
    /// datagrams of others may come, and the call should be repeated.
    pub(crate) fn reconnect(&self) -> io::Result<()> {
        let peer = self.peer().ok_or(io::ErrorKind::NotConnected)?;
        dissolve(self.socket.socket())?;
        // What refused batches may have been the link of before.
        self.gso_off.clear();
        // Linux gives back a port that it chose itself.
        let local = self.local_addr()?;
        if local.port() == 0 {
            let ip = if local.ip().is_unspecified() { self.family.any() } else { local.ip() };
            let local = self.family.address(SocketAddr::new(ip, self.local_port));
            let local = local.ok_or(io::ErrorKind::AddrNotAvailable)?;
            self.socket_ref().bind(&local.into())?;
        }
        self.connect_socket(peer)
    }

    /// Whether another of our addresses leads to the peer now than that which it was connected from: asked of a socket
    /// that sends nothing, so that this one keeps its place.
    pub(crate) fn is_rerouted(&self) -> io::Result<bool> {
        let peer = self.peer().ok_or(io::ErrorKind::NotConnected)?;
        let any = SocketAddr::new(Family::of(peer).any(), 0);
        let scout = UdpSocket::bind(any)?;
        scout.connect(peer)?;
        Ok(canonical(scout.local_addr()?).ip() != self.local_addr()?.ip())
    }

    fn connect_socket(&self, peer: SocketAddr) -> io::Result<()> {
        let peer = self.family.address(peer).ok_or_else(|| wrong_family(peer))?;
        self.socket_ref().connect(&peer.into())
    }

    /// The peer that the socket is connected to.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer.get().copied()
    }

    /// The socket's own address, canonical; a connected one has the address that leads to its peer.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.socket().local_addr().map(canonical)
    }

    /// Bytes of the receive buffer as the kernel counts them: on Linux a datagram of 1,400 bytes costs 2,304.
    pub(crate) fn recv_buffer(&self) -> usize {
        self.recv_buffer
    }

    /// Bytes of the send buffer as the kernel counts them.
    pub(crate) fn send_buffer(&self) -> usize {
        self.send_buffer
    }

    /// Whether a buffer is smaller than was asked for.
    pub(crate) fn buffers_refused(&self) -> bool {
        self.buffers_refused
    }

    /// Datagrams that one call can send; 1 where the platform has no GSO, or it is off.
    ///
    /// A larger batch is no error: it leaves one datagram at a time.
    pub(crate) fn max_batch(&self) -> usize {
        if self.gso_off.is_everywhere() || self.sends_singly() { 1 } else { self.max_batch }
    }

    /// Whether datagrams are sent without a destination, because the platform refuses one when connected.
    fn sends_plainly(&self) -> bool {
        !platform::CONNECTED_TAKES_DESTINATION && self.peer.get().is_some()
    }

    /// Whether a call sends one datagram only.
    fn sends_singly(&self) -> bool {
        self.sends_plainly() || self.marked && !platform::MARKED_TAKES_BATCHES
    }

    /// Waits for datagrams, or on Linux for an ICMP error. Only one task may wait at a time.
    pub(crate) fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    /// Waits for room in the send buffer. Only one task may wait at a time.
    pub(crate) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_send_ready(cx)
    }

    /// Datagrams that the kernel dropped because the receive buffer was full, modulo 2^32; None where it doesn't tell.
    pub(crate) fn socket_drops(&self) -> Option<u64> {
        platform::drops(self.socket.socket())
    }

    /// What the socket has done so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// Another handle of the same socket.
    #[cfg(unix)]
    pub(crate) fn share(&self) -> io::Result<UdpSocket> {
        use std::os::fd::AsFd;
        Ok(UdpSocket::from(self.socket.socket().as_fd().try_clone_to_owned()?))
    }

    fn socket_ref(&self) -> SockRef<'_> {
        SockRef::from(self.socket.socket())
    }
}

fn wrong_family(address: SocketAddr) -> io::Error {
    let text = format!("{address}: an IPv4 socket does not reach an IPv6 address");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

struct GrantedBuffers {
    recv: usize,
    send: usize,
    refused: bool,
}

/// Asks for buffers, less if that is an error, and reads back what they are.
///
/// Those of the socket's own options have been asked for already.
fn set_buffers(socket: &SockRef<'_>, options: &Options) -> io::Result<GrantedBuffers> {
    let ask =
        |own: Option<usize>, size: &dyn Fn() -> io::Result<usize>, set: &dyn Fn(usize) -> io::Result<()>| {
            let wished = own.unwrap_or(options.buffer);
            let mut asked = wished;
            while own.is_none()
                && size()? < asked.saturating_mul(platform::BUFFER_FACTOR)
                && set(asked).is_err()
                && asked > MIN_BUFFER_BYTES
            {
                asked /= 2;
            }
            let granted = size()?;
            io::Result::Ok((granted, granted < wished.saturating_mul(platform::BUFFER_FACTOR)))
        };
    let (recv, recv_refused) =
        ask(options.socket.recv_buffer_bytes(), &|| socket.recv_buffer_size(), &|bytes| {
            socket.set_recv_buffer_size(bytes)
        })?;
    let (send, send_refused) =
        ask(options.socket.send_buffer_bytes(), &|| socket.send_buffer_size(), &|bytes| {
            socket.set_send_buffer_size(bytes)
        })?;
    Ok(GrantedBuffers { recv, send, refused: recv_refused || send_refused })
}
