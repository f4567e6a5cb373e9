//! `tcp://`.

mod info;
mod sides;
mod socket;

pub use info::TcpStats;

use super::{
    Acceptor, AnyListener, AnyStream, BoxFuture, Options, Peer, TcpOptions, Transport, dial,
    listener::closed_here,
};
use crate::{Address, settings};
use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};

/// How long the listener rests when the system has no file descriptor or memory for another connection.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// TCP. Of several addresses that a name has, the first that answers is taken (RFC 8305).
#[derive(Clone, Debug, Default)]
pub struct TcpTransport {
    options: TcpOptions,
}

impl TcpTransport {
    /// With these options; those in an address are laid over them.
    pub fn new(options: TcpOptions) -> Self {
        Self { options }
    }

    fn options_for(&self, address: &Address, connect: bool) -> io::Result<TcpOptions> {
        let options = Options { tcp: self.options.clone(), ..Options::new() };
        Ok(settings::of_address(address, connect, &options)?.tcp)
    }
}

impl Transport for TcpTransport {
    fn scheme(&self) -> &'static str {
        "tcp"
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>> {
        Box::pin(async move {
            let options = self.options_for(address, true)?;
            let limit = options.connect_timeout_duration();
            let connecting = async {
                let addrs = dial::resolve(address).await?;
                dial::race(addrs, |addr| connect(addr, &options)).await
            };
            match timeout(limit, connecting).await {
                Ok(connected) => Ok(sides::stream(connected?, &options)?),
                Err(_elapsed) => {
                    let text = format!("{}: no answer within {limit:?}", address.without_settings());
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                }
            }
        })
    }

    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>> {
        Box::pin(async move {
            let options = self.options_for(address, false)?;
            let bind = async |addr| socket::listen(addr, &options);
            let listener = dial::first(dial::listen_addrs(address).await?, bind).await?;
            Ok(AnyListener::new(TcpAcceptor::new(listener, options)?))
        })
    }
}

async fn connect(addr: SocketAddr, options: &TcpOptions) -> io::Result<TcpStream> {
    let connected = socket::connecting(addr, options)?.connect(addr).await;
    connected.map_err(|error| io::Error::new(error.kind(), format!("{addr}: {error}")))
}

struct TcpAcceptor {
    listener: TcpListener,
    local: SocketAddr,
    options: TcpOptions,
    closed: watch::Sender<bool>,
}

impl TcpAcceptor {
    fn new(listener: TcpListener, options: TcpOptions) -> io::Result<Self> {
        let local = listener.local_addr()?;
        Ok(Self { listener, local, options, closed: watch::Sender::new(false) })
    }

    async fn next(&self) -> io::Result<(AnyStream, Peer)> {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // A peer that has gone again by now is no affair of who accepts.
                    if let Ok(stream) = sides::stream(stream, &self.options) {
                        return Ok((stream, Peer::new("tcp", peer)));
                    }
                }
                Err(error) if is_dead(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(local = %self.local, %error, "a connection can't be accepted");
                    if !is_of_peer(&error) {
                        sleep(EXHAUSTED).await;
                    }
                }
            }
        }
    }
}

/// Whether it says something of one connection alone.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Whether the listening socket itself is of no use any more.
fn is_dead(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotConnected)
}

impl Acceptor for TcpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>> {
        Box::pin(async {
            let mut receiver = self.closed.subscribe();
            let mut closed = pin!(receiver.wait_for(|closed| *closed));
            let mut next = pin!(self.next());
            poll_fn(|cx| match closed.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Err(closed_here())),
                Poll::Pending => next.as_mut().poll(cx),
            })
            .await
        })
    }

    fn local(&self) -> Peer {
        Peer::new("tcp", self.local)
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}
