//! Connections that peers open, over any transport.

use super::{AnyStream, BoxFuture, Options, Peer, Transports, departure::Accepted};
use crate::{Departure, IntoAddress};
use std::{any::Any, fmt, io, time::Duration};

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

    /// Goes away as [`AnyListener::close`] says, where the transport can do more than accept nothing, wait, and abort
    /// what is left; `None`, the default, where it can't.
    fn depart(&self, _limit: Duration) -> Option<BoxFuture<'_, Departure>> {
        None
    }
}

/// A socket, or whatever the transport has, that accepts connections. Dropping it stops accepting; streams already
/// accepted live on.
pub struct AnyListener {
    acceptor: Box<dyn Acceptor>,
    accepted: Accepted,
}

impl AnyListener {
    /// A listener of what a transport gives.
    pub fn new(acceptor: impl Acceptor) -> Self {
        Self { acceptor: Box::new(acceptor), accepted: Accepted::default() }
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
        let (stream, peer) = self.acceptor.accept().await?;
        self.accepted.note(&stream);
        Ok((stream, peer))
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
    pub fn stop_accepting(&self) {
        self.acceptor.close();
    }

    /// Goes away: accepts no more, waits until the connections that were accepted have ended by themselves, and aborts
    /// those that are open after `limit`. Says what became of them.
    ///
    /// Over `kcp://` peers that are sendoff too are told ([`AnyStream::going_away`]), and who comes is refused with
    /// code 4: see [`KcpEndpoint::go_away`](crate::KcpEndpoint::go_away). Over `tcp://` and `udp://` nobody can be told:
    /// what is new is not accepted, and after the limit a TCP peer gets a reset, a UDP peer nothing.
    ///
    /// Cancel safe: if it is dropped, nothing more is accepted all the same, and nothing is aborted. It can be called again.
    pub async fn close(&self, limit: Duration) -> Departure {
        if let Some(departing) = self.acceptor.depart(limit) {
            return departing.await;
        }
        self.acceptor.close();
        self.accepted.depart(limit).await
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
