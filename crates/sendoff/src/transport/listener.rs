//! Connections that peers open, over any transport.

use super::{AnyStream, BoxFuture, Options, Peer, Transports};
use crate::IntoAddress;
use std::{any::Any, fmt, io};

/// What a transport gives for a listener.
pub trait Acceptor: Any + Send + Sync {
    /// The next connection, and who opened it. Cancel safe; several tasks may wait.
    ///
    /// # Errors
    /// Only when it was closed or its socket is dead; never for what a peer did.
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>>;

    /// Where it listens.
    fn local(&self) -> Peer;

    /// Accepts no more: those who wait, and all later calls, get an error.
    fn close(&self);
}

/// A socket, or whatever the transport has, that accepts connections. Dropping it stops accepting; streams already
/// accepted live on.
pub struct AnyListener {
    acceptor: Box<dyn Acceptor>,
}

impl AnyListener {
    /// A listener of what a transport gives.
    pub fn new(acceptor: impl Acceptor) -> Self {
        Self { acceptor: Box::new(acceptor) }
    }

    /// Listens at `tcp://HOST:PORT`, `udp://HOST:PORT` or `kcp://HOST:PORT`; without a host on all addresses, with
    /// port 0 on a free one. Settings stand behind a `?`.
    ///
    /// # Errors
    /// `InvalidInput` names the part of the address that is wrong; else why it can't be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind(address: impl IntoAddress) -> io::Result<Self> {
        Self::bind_with(address, Options::new()).await
    }

    /// The same with typed options; settings in the address are laid over them.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind_with(address: impl IntoAddress, options: Options) -> io::Result<Self> {
        Transports::new(options).bind(address).await
    }

    /// The next connection, and who opened it. Cancel safe; several tasks may wait.
    ///
    /// # Errors
    /// Only when it was closed or its socket is dead; never for what a peer did.
    pub async fn accept(&self) -> io::Result<(AnyStream, Peer)> {
        self.acceptor.accept().await
    }

    /// Where it listens.
    pub fn local(&self) -> Peer {
        self.acceptor.local()
    }

    /// What the transport gave, if it is of this type: `listener.acceptor::<KcpListener>()` leads to the endpoint of
    /// a listener at `kcp://`.
    pub fn acceptor<A: Acceptor>(&self) -> Option<&A> {
        let acceptor: &dyn Any = &*self.acceptor;
        acceptor.downcast_ref()
    }

    /// Accepts no more: those who wait, and all later calls, get an error. Streams already accepted live on.
    pub fn close(&self) {
        self.acceptor.close();
    }
}

impl fmt::Debug for AnyListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyListener").field("local", &self.local()).finish_non_exhaustive()
    }
}

/// What those get who wait at a listener that was closed.
pub(super) fn closed_here() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the listener was closed")
}
