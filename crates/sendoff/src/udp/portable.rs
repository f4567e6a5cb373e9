//! Platforms without an error queue: ICMP errors come, if at all, with the call of a connected socket.

use std::io;
use std::task::{Context, Poll};

use quinn_udp::Transmit;
use socket2::SockRef;
use tokio::io::Interest;

use super::address::Family;
use super::errors::IcmpError;

/// A receive call fills one buffer at a time.
pub(super) const SHORT_BATCH_MEANS_EMPTY: bool = false;

/// A connected socket refuses to be given a destination (macOS, the BSDs).
pub(super) const CONNECTED_TAKES_DESTINATION: bool = false;

/// A call of [`send_marked`] sends several datagrams.
pub(super) const MARKED_TAKES_BATCHES: bool = false;

/// The size of a buffer is what was asked for.
pub(super) const BUFFER_FACTOR: usize = 1;

/// What the calls of this module take.
pub(super) type Socket = tokio::net::UdpSocket;

/// A socket known to tokio.
pub(super) struct Registered(Socket);

impl Registered {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Registered> {
        Ok(Registered(Socket::from_std(socket)?))
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.0
    }

    pub(super) fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.0.try_io(interest, call)
    }

    pub(super) fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_recv_ready(cx)
    }

    pub(super) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_send_ready(cx)
    }
}

/// Sets the options that quinn-udp leaves alone or sets otherwise; to be called after it.
pub(super) fn set_up(socket: &Socket, family: Family) -> io::Result<()> {
    #[cfg(unix)]
    super::unix::set_up(socket, family);
    #[cfg(windows)]
    super::windows::set_up(socket, family)?;
    let _ = (socket, family);
    Ok(())
}

/// Sends with the socket's own traffic class; quinn-udp gives each datagram one, which is 0. The system chooses the
/// source address.
pub(super) fn send_marked(socket: &SockRef<'_>, transmit: &Transmit<'_>) -> io::Result<()> {
    socket.send_to(transmit.contents, &transmit.destination.into()).map(drop)
}

/// Datagrams that the kernel dropped for want of room in the receive buffer: not told here.
pub(super) fn drops(_: &Socket) -> Option<u64> {
    None
}

/// Undoes `connect`.
pub(crate) fn dissolve(_: &Socket) -> io::Result<()> {
    // To connect again is enough here.
    Ok(())
}

/// Reads the error queue: there is none.
pub(super) fn drain_errors(_: &Socket, _: &mut Vec<IcmpError>) -> usize {
    0
}
