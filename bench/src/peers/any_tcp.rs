//! TCP behind sendoff's interface for any transport: the same calls as in `tcp`, through `AnyStream`.

use std::io;
use std::net::SocketAddr;

use sendoff::{AnyListener, AnyStream};

use crate::load::{Connect, Listen, Stream};
use crate::net::ANY_PORT;

impl Stream for AnyStream {}

/// The server side, on any free port.
pub async fn listen() -> io::Result<AnyListener> {
    AnyListener::bind(format!("tcp://{ANY_PORT}")).await
}

impl Listen for AnyListener {
    type Stream = AnyStream;

    fn address(&self) -> io::Result<SocketAddr> {
        self.local().socket_addr().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    async fn accept(&mut self) -> io::Result<AnyStream> {
        Ok(AnyListener::accept(self).await?.0)
    }
}

/// The client side.
pub struct Connector(pub SocketAddr);

impl Connect for Connector {
    type Stream = AnyStream;

    async fn connect(&self) -> io::Result<AnyStream> {
        AnyStream::connect(format!("tcp://{}", self.0)).await
    }
}
