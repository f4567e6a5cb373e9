//! `axum::serve` over KCP and over any transport; handlers learn who asks by `ConnectInfo<Peer>`.

use crate::{AnyListener, AnyStream, KcpListener, KcpStream, Peer};
use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use std::{
    future::{Future, pending},
    io,
    net::SocketAddr,
};

/// Serves HTTP over KCP. When the endpoint is closed, or its socket dead, nothing is accepted any more, and the server
/// waits for its graceful shutdown.
impl Listener for KcpListener {
    type Io = KcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (KcpStream, SocketAddr) {
        or_never(KcpListener::accept(self)).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(KcpListener::local_addr(self))
    }
}

/// Serves HTTP over any transport. When it is closed, or its socket dead, nothing is accepted any more, and the server
/// waits for its graceful shutdown.
impl Listener for AnyListener {
    type Io = AnyStream;
    type Addr = Peer;

    async fn accept(&mut self) -> (AnyStream, Peer) {
        or_never(AnyListener::accept(self)).await
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(self.local())
    }
}

/// The trait has no way to say that a listener has ended.
async fn or_never<T>(accept: impl Future<Output = io::Result<T>>) -> T {
    match accept.await {
        Ok(accepted) => accepted,
        Err(error) => {
            tracing::warn!(%error, "no more connections are accepted");
            pending().await
        }
    }
}

/// For `Router::into_make_service_with_connect_info::<Peer>()`.
impl Connected<IncomingStream<'_, KcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, KcpListener>) -> Self {
        Peer::new("kcp", *stream.remote_addr())
    }
}

/// For `Router::into_make_service_with_connect_info::<Peer>()`.
impl Connected<IncomingStream<'_, AnyListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, AnyListener>) -> Self {
        stream.remote_addr().clone()
    }
}
