//! tokio_kcp with the settings that suit it best here: its fastest profile, windows of 1,024, acknowledgements at
//! once. Echo and ping-pong flush after each write, which is cheaper than letting every bulk write do so.

use std::io;
use std::net::SocketAddr;

use tokio_kcp::{KcpConfig, KcpListener, KcpNoDelayConfig, KcpStream};

use crate::load::{Connect, Listen, Stream};
use crate::net::tokio_udp;
use crate::plan::DATAGRAM;

fn config() -> KcpConfig {
    KcpConfig {
        mtu: DATAGRAM,
        nodelay: KcpNoDelayConfig::fastest(),
        wnd_size: (1_024, 1_024),
        flush_acks_input: true,
        stream: true,
        ..KcpConfig::default()
    }
}

impl Stream for KcpStream {}

/// The server side, on any free port.
pub async fn listen() -> io::Result<KcpListener> {
    KcpListener::from_socket(config(), tokio_udp()?).await.map_err(io::Error::other)
}

impl Listen for KcpListener {
    type Stream = KcpStream;

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    async fn accept(&mut self) -> io::Result<KcpStream> {
        let (stream, _) = KcpListener::accept(self).await.map_err(io::Error::other)?;
        Ok(stream)
    }
}

/// The client side: a socket for each connection, as the crate has it.
pub struct Connector(pub SocketAddr);

impl Connect for Connector {
    type Stream = KcpStream;

    async fn connect(&self) -> io::Result<KcpStream> {
        KcpStream::connect_with_socket(&config(), tokio_udp()?, self.0).await.map_err(io::Error::other)
    }
}
