//! `kcp://`.

use super::{
    Acceptor, AnyListener, AnyStream, BoxFuture, Link, Options, Peer, ReadSide, StreamStats, Transport,
    TransportStats, WriteSide, dial,
};
use crate::{
    Address, Config, Conv, Departure, Ending, Farewell, KcpEndpoint, KcpListener, KcpStream, Moves, PeerKind,
    ReadHalf, Wire, WriteHalf, settings, stream::ConnectionShared,
};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// KCP. Of several addresses that a name has, the first that answers is taken.
#[derive(Clone, Debug, Default)]
pub struct KcpTransport {
    config: Config,
}

impl KcpTransport {
    /// With these settings; those in an address are laid over them.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    fn config_for(&self, address: &Address, connect: bool) -> io::Result<Config> {
        let options = Options { kcp: self.config.clone(), ..Options::new() };
        Ok(settings::of_address(address, connect, &options)?.kcp)
    }
}

impl Transport for KcpTransport {
    fn scheme(&self) -> &'static str {
        "kcp"
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>> {
        Box::pin(async move {
            let config = self.config_for(address, true)?;
            let addrs = dial::resolve(address).await?;
            if config.wire_value() == Wire::Classic {
                // It would answer to nothing that is sent before the first data.
                return Ok(KcpStream::connect_with(addrs[0], config).await?.into());
            }
            let stream = dial::race(addrs, |addr| KcpStream::connect_with(addr, config.clone())).await?;
            Ok(stream.into())
        })
    }

    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>> {
        Box::pin(async move {
            let config = self.config_for(address, false)?;
            let bind = |addr| KcpListener::bind_with(addr, config.clone());
            Ok(dial::first(dial::listen_addrs(address).await?, bind).await?.into())
        })
    }
}

impl From<KcpListener> for AnyListener {
    fn from(listener: KcpListener) -> Self {
        Self::new(listener)
    }
}

impl Acceptor for KcpListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>> {
        Box::pin(async {
            let (stream, peer) = KcpListener::accept(self).await?;
            Ok((stream.into(), Peer::new("kcp", peer)))
        })
    }

    fn local(&self) -> Peer {
        Peer::new("kcp", self.local_addr())
    }

    fn close(&self) {
        self.endpoint().stop_accepting();
    }

    fn depart(&self, limit: Duration) -> Option<BoxFuture<'_, Departure>> {
        Some(Box::pin(KcpListener::close(self, limit)))
    }
}

impl From<KcpStream> for AnyStream {
    fn from(stream: KcpStream) -> Self {
        let link = Arc::new(KcpLink(stream.connection().clone()));
        let (read, write) = stream.into_split();
        Self::new(Box::new(read), Box::new(write), link)
    }
}

impl ReadSide for ReadHalf {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.max_message() {
            Some(_) if buf.remaining() == 0 => Poll::Ready(Ok(())),
            Some(_) => self.poll_read_message(cx, buf),
            None => AsyncRead::poll_read(Pin::new(self), cx, buf),
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ReadHalf::poll_recv(self, cx)
    }
}

impl WriteSide for WriteHalf {
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), cx, data)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(self), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        WriteHalf::poll_send(self, cx, message)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(self), cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), cx)
    }

    fn finish(&mut self, code: u32, reason: &str) -> io::Result<()> {
        self.finish_with(code, reason)
    }
}

/// What an [`AnyStream`] over KCP knows beyond what all know: see [`AnyStream::link`].
///
/// ```
/// use sendoff::{AnyStream, KcpLink};
///
/// async fn leave(stream: AnyStream) {
///     let endpoint = stream.link::<KcpLink>().map(KcpLink::endpoint);
///     drop(stream);
///     if let Some(endpoint) = endpoint {
///         endpoint.wait_idle().await; // until all is delivered, before the process ends
///     }
/// }
/// ```
pub struct KcpLink(Arc<ConnectionShared>);

impl KcpLink {
    /// The conversation id.
    pub fn conv(&self) -> Conv {
        self.0.conv()
    }

    /// What kind of peer it is, as far as is known.
    pub fn peer_kind(&self) -> PeerKind {
        self.0.peer_kind()
    }

    /// The endpoint that it belongs to.
    pub fn endpoint(&self) -> KcpEndpoint {
        self.0.endpoint()
    }

    /// The peer's moves from now on: see [`KcpStream::moves`].
    pub fn moves(&self) -> Moves {
        Moves::of(&self.0)
    }

    /// See [`KcpStream::set_linger`].
    pub fn set_linger(&self, linger: Duration) {
        self.0.set_linger(linger);
    }
}

impl Link for KcpLink {
    fn peer(&self) -> Peer {
        Peer::new("kcp", self.0.peer())
    }

    fn local(&self) -> Peer {
        Peer::new("kcp", self.0.local_addr())
    }

    fn max_message(&self) -> Option<usize> {
        self.0.max_message()
    }

    fn ending(&self) -> Option<Ending> {
        self.0.ending()
    }

    fn closed(&self) -> BoxFuture<'static, Ending> {
        let connection = self.0.clone();
        Box::pin(async move { poll_fn(|cx| connection.poll_closed(cx)).await })
    }

    fn peer_farewell(&self) -> Option<Farewell> {
        self.0.peer_farewell()
    }

    fn is_peer_going_away(&self) -> bool {
        self.0.is_peer_going_away()
    }

    fn going_away(&self) -> BoxFuture<'static, bool> {
        let connection = self.0.clone();
        Box::pin(async move { poll_fn(|cx| connection.poll_going_away(cx)).await })
    }

    fn close(&self, code: u32, reason: &str) {
        self.0.close_with(code, reason);
    }

    fn abort(&self, code: u32) {
        self.0.abort(code);
    }

    fn stats(&self) -> StreamStats {
        let stats = self.0.stats();
        StreamStats::new(stats.bytes_received, stats.bytes_sent, stats.rtt, TransportStats::Kcp(stats))
    }
}
