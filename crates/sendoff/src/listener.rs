//! Connections that peers open.

use crate::{Config, Departure, KcpEndpoint, KcpStream};
use std::{io, net::SocketAddr, time::Duration};
use tokio::net::ToSocketAddrs;

/// A socket that accepts connections, as tokio's `TcpListener`.
///
/// Dropping it stops accepting: who comes is refused with code 4 from then on; streams already accepted live on.
#[derive(Debug)]
pub struct KcpListener {
    endpoint: KcpEndpoint,
}

impl KcpListener {
    /// Listens with the default settings.
    ///
    /// # Errors
    /// When the address can't be resolved or bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::bind_with(addr, Config::new()).await
    }

    /// Listens with settings of one's own: they hold for every connection accepted.
    ///
    /// # Errors
    /// When the address can't be resolved or bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn bind_with(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        Ok(Self { endpoint: KcpEndpoint::bind_with(addr, config).await? })
    }

    /// Listens on a socket that is already bound.
    ///
    /// # Errors
    /// When the system refuses an option that is needed.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn from_socket(socket: std::net::UdpSocket, config: Config) -> io::Result<Self> {
        Ok(Self { endpoint: KcpEndpoint::from_socket(socket, config)? })
    }

    /// Takes the place of another process that hands its port over: see [`KcpEndpoint::take_over`]. Unix only.
    ///
    /// # Errors
    /// When the system refuses an option that is needed; when the other process doesn't hand over.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    #[cfg(unix)]
    pub async fn take_over(
        socket: std::net::UdpSocket,
        predecessor: std::os::unix::net::UnixStream,
        config: Config,
    ) -> io::Result<Self> {
        Ok(Self { endpoint: KcpEndpoint::take_over(socket, predecessor, config).await? })
    }

    /// The next connection, and who opened it. Cancel safe.
    ///
    /// # Errors
    /// Only when the endpoint was closed or its socket is dead; never for what a peer did.
    pub async fn accept(&self) -> io::Result<(KcpStream, SocketAddr)> {
        self.endpoint.accept().await
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Its endpoint: to connect from the same socket, for statistics, to wait until all is idle.
    pub fn endpoint(&self) -> &KcpEndpoint {
        &self.endpoint
    }

    /// Accepts no more, tells every peer, waits up to `limit` for the connections to end by themselves, and breaks off the
    /// rest with code 4; what became of them: see [`KcpEndpoint::go_away`]. To close all of them at once, and still
    /// have everything delivered: [`KcpEndpoint::close`].
    ///
    /// ```
    /// # use sendoff::KcpListener;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// let listener = KcpListener::bind("127.0.0.1:0").await?;
    /// let departure = listener.close(Duration::from_secs(10)).await;
    /// println!("{departure}"); // 0 served, none was open
    /// # Ok(()) }
    /// ```
    ///
    /// Cancel safe: if it is dropped, the listener goes away all the same, and nothing is broken off. It can be called again.
    pub async fn close(&self, limit: Duration) -> Departure {
        self.endpoint.go_away(limit).await
    }
}
