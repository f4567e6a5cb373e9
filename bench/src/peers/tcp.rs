//! TCP through tokio.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};

use crate::load::{Connect, Listen, Stream};
use crate::net::ANY_PORT;

impl Stream for TcpStream {}

/// The server side, on any free port.
pub async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind(ANY_PORT).await
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    async fn accept(&mut self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// The client side.
pub struct Connector(pub SocketAddr);

impl Connect for Connector {
    type Stream = TcpStream;

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.0).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
