//! `udp://`: a flow per peer, which keeps the boundaries of datagrams.
//!
//! ```text
//!              ┌─ table: peer ─▶ flow ─┐
//! socket ─▶ driver ─▶ queue of a flow ─┴─▶ AnyStream (a read: a datagram)
//!    ▲          └─▶ idle flows end         │
//!    └─────────────────────────────────────┘ each write is a datagram, sent at once
//! ```
//!
//! UDP has no connections: a flow begins with the first datagram of a peer, and ends when it is closed here, or after
//! a silence. What is lost, doubled or overtaken on the way stays so.

mod driver;
mod flow;
mod shared;
mod sides;
mod stats;
mod table;

pub use stats::UdpStats;

use super::{Acceptor, AnyListener, AnyStream, BoxFuture, Options, Peer, Transport, UdpOptions, dial};
use crate::{Address, IntoAddress, settings, socket};
use driver::Driver;
use shared::Shared;
use std::{
    future::{poll_fn, ready},
    io,
    net::SocketAddr,
    sync::Arc,
};

/// UDP, as a flow per peer.
///
/// - One read is one datagram, one write too. A buffer that is too small for the next datagram is an `InvalidInput`
///   error, and the datagram stays to be read. Up to 65,507 bytes.
/// - Empty datagrams are datagrams: [`AnyStream::recv`] returns them. A read can't tell one from the end, so reads
///   pass over them, and [`UdpStats::empty_passed_over`] counts them.
/// - A datagram of a new peer opens a flow, which `accept` hands out. It ends when it is closed or dropped here, at
///   once; or after [`UdpOptions::idle`] without a datagram in either direction: reads then end, as if the peer had
///   finished, and the ending says `TimedOut`. A later datagram of the same peer opens another one.
/// - `finish` and `shutdown` mean that nothing more is written here. Nothing of that goes on the wire: UDP has no end.
/// - A host that says that nobody has the port (ICMP) ends the flow: refused, if nothing had ever come from
///   there, else reset. Anybody on the path can forge such a message.
/// - Answers leave from the address that the peer has sent to, also when the listener is bound to all of them.
/// - Up to 1,024 datagrams and 1 MiB wait in a flow to be read, 64 MiB in all flows of a socket, and 1,024 flows to
///   be accepted. What exceeds that is dropped and counted; it keeps nobody else waiting.
#[derive(Clone, Debug, Default)]
pub struct UdpTransport {
    options: UdpOptions,
}

impl UdpTransport {
    /// With these options; those in an address are laid over them.
    pub fn new(options: UdpOptions) -> Self {
        Self { options }
    }

    /// A plain socket without flows, bound at this address, for `send_to` and `recv_from`, with the socket options of
    /// this transport and of the address.
    ///
    /// # Errors
    /// `InvalidInput` names the part of the address that is wrong; else why it can't be bound.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub async fn socket(&self, address: impl IntoAddress) -> io::Result<tokio::net::UdpSocket> {
        let address = address.into_address()?;
        let options = self.options_for(&address, false)?;
        let bind = |addr| ready(socket::bind_udp(addr, options.socket_options()));
        let socket = dial::first(dial::listen_addrs(&address).await?, bind).await?;
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket)
    }

    fn options_for(&self, address: &Address, connect: bool) -> io::Result<UdpOptions> {
        let options = Options { udp: self.options.clone(), ..Options::new() };
        Ok(settings::of_address(address, connect, &options)?.udp)
    }
}

impl Transport for UdpTransport {
    fn scheme(&self) -> &'static str {
        "udp"
    }

    /// Sends nothing: whether anybody is there shows later. Of several addresses that a name has, the first that
    /// there is a way to is taken.
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>> {
        Box::pin(async move {
            let options = self.options_for(address, true)?;
            let mut failed = None;
            for addr in dial::resolve(address).await? {
                match connect(addr, &options) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => _ = failed.get_or_insert((addr, error)),
                }
            }
            let (addr, error) = failed.unwrap_or_else(|| unreachable!("a name has an address"));
            Err(io::Error::new(error.kind(), format!("{addr}: {error}")))
        })
    }

    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>> {
        Box::pin(async move {
            let options = self.options_for(address, false)?;
            let bind = |addr| ready(Shared::listen(addr, &options));
            let shared = dial::first(dial::listen_addrs(address).await?, bind).await?;
            tokio::spawn(Driver::new(shared.clone()));
            Ok(AnyListener::new(UdpAcceptor(shared)))
        })
    }
}

fn connect(peer: SocketAddr, options: &UdpOptions) -> io::Result<AnyStream> {
    let (shared, flow) = Shared::connect(peer, options)?;
    tokio::spawn(Driver::new(shared));
    Ok(sides::stream(flow))
}

struct UdpAcceptor(Arc<Shared>);

impl Acceptor for UdpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>> {
        Box::pin(async {
            let flow = poll_fn(|cx| self.0.poll_accept(cx)).await?;
            let peer = Peer::new("udp", flow.peer());
            Ok((sides::stream(flow), peer))
        })
    }

    fn local(&self) -> Peer {
        Peer::new("udp", self.0.local_addr())
    }

    fn close(&self) {
        self.0.stop_listening();
    }
}

impl Drop for UdpAcceptor {
    fn drop(&mut self) {
        self.0.stop_listening();
    }
}
