//! Datagram I/O that somebody supplies in place of a socket of the system.

use std::{
    fmt, io,
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// Carries datagrams in place of a socket of the system: to hide them, to send them through a relay, or over a
/// simulated link. Set it with [`Config::socket`](crate::Config::socket).
///
/// Addresses are what this socket makes of them: a peer's is where `try_send` is told to send, and what `poll_recv`
/// reports, and connections are known by it; nothing else looks at it. Those of IPv4 in IPv6's clothes
/// (`::ffff:a.b.c.d`) come undressed. Datagrams may be lost, doubled and overtake each other; those that are changed
/// on the way are dropped only where a check of one's own finds it, for KCP has none.
///
/// Several threads may call [`try_send`](Self::try_send) at a time; the two that poll are called by one task. All are
/// called on the hot path, with locks held: they must be quick, and must not call back into the endpoint.
pub trait DatagramSocket: Send + Sync + 'static {
    /// Our own address.
    fn local_addr(&self) -> SocketAddr;

    /// Sends a datagram, or drops it.
    ///
    /// # Errors
    /// `WouldBlock`: nothing leaves now; it is tried again after [`poll_send_ready`](Self::poll_send_ready).
    /// `ConnectionRefused`: nobody is there; when that is repeated, connections to that address end so. `BrokenPipe`: this socket is of no
    /// use any more, and its endpoint ends. With any other error the datagram counts as lost.
    fn try_send(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()>;

    /// Waits until a datagram may leave, after `try_send` has said `WouldBlock`.
    ///
    /// # Errors
    /// The socket is of no use any more: its endpoint ends.
    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The next datagram, put at the front of the buffer, which has room for the largest: how long it is, and who
    /// sent it.
    ///
    /// # Errors
    /// The socket is of no use any more: its endpoint ends. What is wrong with one datagram is no error: it is passed
    /// over.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
}

/// A supplied socket, which one endpoint at a time uses.
#[doc(hidden)]
#[derive(Clone)]
pub struct SuppliedSocket(Arc<Supplied>);

struct Supplied {
    socket: Arc<dyn DatagramSocket>,
    taken: AtomicBool,
}

/// For the endpoint that uses it now.
#[doc(hidden)]
pub struct SocketLease(SuppliedSocket);

impl SuppliedSocket {
    pub(crate) fn new(socket: Arc<dyn DatagramSocket>) -> Self {
        Self(Arc::new(Supplied { socket, taken: AtomicBool::new(false) }))
    }

    /// None while another endpoint has it.
    pub fn lease(&self) -> Option<SocketLease> {
        let free = !self.0.taken.swap(true, Ordering::AcqRel);
        free.then(|| SocketLease(self.clone()))
    }
}

impl fmt::Debug for SuppliedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatagramSocket")
    }
}

impl Deref for SocketLease {
    type Target = dyn DatagramSocket;

    fn deref(&self) -> &Self::Target {
        &*self.0.0.socket
    }
}

impl Drop for SocketLease {
    fn drop(&mut self) {
        self.0.0.taken.store(false, Ordering::Release);
    }
}
