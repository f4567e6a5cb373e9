//! The handles that applications read and write.

mod going_away;
mod halves;
mod messages;
mod moves;
mod out_of_band;
mod state;
mod wakers;

pub use halves::{ReadHalf, ReuniteError, WriteHalf};
pub(crate) use messages::does_not_fit;
pub use moves::Moves;
pub(crate) use state::{ConnectionShared, ConnectionState};
pub(crate) use wakers::Wakers;

use crate::{
    Config, ConfigError, ConnectionStats, Conv, Ending, Farewell, Fec, KcpEndpoint, PeerKind, Profile,
    endpoint::{KcpEndpoint as Endpoint, resolve},
};
use bytes::Bytes;
use sendoff_proto::Opening;
use std::{
    fmt,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::ToSocketAddrs,
};

/// A connection, as tokio's `TcpStream`: reads and writes bytes in order, each exactly once.
///
/// Dropping it closes it in the background: what was written is still delivered, within the linger
/// time, as long as the runtime lives (see [`KcpEndpoint::wait_idle`]).
///
/// All its futures are cancel safe, but for those that write more than once, such as `write_all`.
pub struct KcpStream {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
}

impl fmt::Debug for KcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection().fmt_as("KcpStream", f)
    }
}

impl KcpStream {
    /// Opens a connection with the default settings, on a socket of its own, and waits for the peer's answer:
    /// see [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// As `connect_with`.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_with(addr, Config::new()).await
    }

    /// The same with settings of one's own.
    ///
    /// Returns once the peer has answered: one that is sendoff too says WELCOME, a stock one tells its window.
    /// With [`Wire::Classic`](crate::Wire::Classic) it returns at once, with nothing sent: there, whether anyone
    /// listens shows with the first data. Cancel safe: dropped, it opens nothing.
    ///
    /// # Errors
    /// `ConnectionRefused` when the peer or its host says so, `TimedOut` when nobody has answered within the
    /// connect timeout (5 s); these hold an [`Ending`]. When the address can't be resolved, has port 0, or no
    /// socket can be made.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect_with(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        let remote = resolve(addr, |_| true).await?;
        let stream = Endpoint::connect_alone(remote, Arc::new(config), Opening::Waiting)?.0;
        stream.opened().await?;
        Ok(stream)
    }

    /// Opens a connection without waiting: the first data rides with the opening, which saves a round trip.
    ///
    /// Such data may be taken twice when somebody records it and sends it again later: use it for what can be
    /// repeated without harm. What `connect` would have failed with is an error of the first read or write
    /// that needs the peer.
    ///
    /// # Errors
    /// When the address can't be resolved, has port 0, or no socket can be made.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect_early(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::connect_early_with(addr, Config::new()).await
    }

    /// The same with settings of one's own.
    ///
    /// # Errors
    /// As [`connect_early`](Self::connect_early).
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect_early_with(addr: impl ToSocketAddrs, config: Config) -> io::Result<Self> {
        let remote = resolve(addr, |_| true).await?;
        Ok(Endpoint::connect_alone(remote, Arc::new(config), Opening::Early)?.0)
    }

    /// Waits until the peer has answered; at once where nothing is to be waited for.
    pub(crate) async fn opened(&self) -> io::Result<()> {
        let connection = self.connection();
        if !connection.lock().connection.config().speaks_blocks() {
            return Ok(());
        }
        wait(|cx| connection.poll_open(cx)).await
    }

    pub(crate) fn new(connection: Arc<ConnectionShared>) -> Self {
        connection.set_handles(2);
        Self { read: ReadHalf::new(connection.clone()), write: WriteHalf::new(connection) }
    }

    pub(crate) fn connection(&self) -> &Arc<ConnectionShared> {
        self.read.connection()
    }

    /// Splits it into halves that can live in different tasks.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    /// The conversation id.
    pub fn conv(&self) -> Conv {
        self.connection().conv()
    }

    /// What kind of peer it is: after a `connect` that waits, and on the accepting side, it is known.
    pub fn peer_kind(&self) -> PeerKind {
        self.connection().peer_kind()
    }

    /// Our address. On a wildcard socket it is the one that the peer last sent to, once it has.
    pub fn local_addr(&self) -> SocketAddr {
        self.connection().local_addr()
    }

    /// The peer's address: where it is now, if it has moved.
    pub fn peer_addr(&self) -> SocketAddr {
        self.connection().peer()
    }

    /// The peer's moves from now on.
    pub fn moves(&self) -> Moves {
        Moves::of(self.connection())
    }

    /// The endpoint that it belongs to.
    pub fn endpoint(&self) -> KcpEndpoint {
        self.connection().endpoint()
    }

    /// What was counted and measured so far.
    pub fn stats(&self) -> ConnectionStats {
        self.connection().stats()
    }

    /// Waits until something can be read, or the connection has ended. Cancel safe; costs no memory
    /// but the waiting task's.
    ///
    /// # Errors
    /// None today: an end is shown by the read that follows.
    pub async fn readable(&self) -> io::Result<()> {
        self.read.readable().await
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; how the connection ended.
    pub fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        self.read.try_read(out)
    }

    /// Waits until a batch can be written, or the connection has ended. Cancel safe.
    ///
    /// # Errors
    /// None today: an end is shown by the write that follows.
    pub async fn writable(&self) -> io::Result<()> {
        self.write.writable().await
    }

    /// Writes as much as the window takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; `BrokenPipe` after `finish`; how the connection ended.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.write.try_write(data)
    }

    /// Reads at most `max` bytes, waiting for the first; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// How the connection ended, if not in order.
    pub async fn read_chunk(&self, max: usize) -> io::Result<Option<Bytes>> {
        self.read.read_chunk(max).await
    }

    /// Sends a message of 1 byte to 127 fragments, in [`Mode::Message`](crate::Mode::Message); waits while the window is
    /// full. Cancel safe: it is queued whole or not at all.
    ///
    /// # Errors
    /// `InvalidInput` for an empty message, one that is too long, or in stream mode; `BrokenPipe` after
    /// `finish`; how the connection ended.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> io::Result<()> {
        self.write.send(message).await
    }

    /// The next whole message; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// `InvalidData` when a message has more fragments than the receive window; `InvalidInput` in
    /// stream mode; how the connection ended.
    pub async fn recv(&self) -> io::Result<Option<Bytes>> {
        self.read.recv().await
    }

    /// Nothing more from us: the peer reads to the end. Doesn't wait; what was written is still delivered,
    /// and reading goes on. A stock peer can't be told.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish(&mut self) -> io::Result<()> {
        self.write.finish()
    }

    /// The same with a code and up to 256 bytes of a reason, which the peer finds in its [`Ending`]. Codes 0 to
    /// 15 are the protocol's ([`code`](crate::code)). The first call counts.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish_with(&mut self, code: u32, reason: &str) -> io::Result<()> {
        self.write.finish_with(code, reason)
    }

    /// Stops reading, delivers what was written, says goodbye, then ends: after the linger time without
    /// progress in any case. A peer that goes on writing is told that nobody reads.
    pub fn close(&mut self, code: u32, reason: &str) {
        self.connection().close_with(code, reason);
    }

    /// Ends at once. What wasn't acknowledged is given up; errors here are `ConnectionAborted`, and the peer
    /// gets `ConnectionReset` with this code.
    pub fn abort(&mut self, code: u32) {
        self.connection().abort(code);
    }

    /// What the peer said when it finished, with its code and reason: known at the latest when a read has
    /// returned `Ok(0)`, whether the connection lives on or not. A stock peer says nothing.
    pub fn peer_farewell(&self) -> Option<Farewell> {
        self.connection().peer_farewell()
    }

    /// Waits for the end. The future lives on without the stream. Cancel safe.
    pub fn closed(&self) -> impl Future<Output = Ending> + Send + 'static + use<> {
        self.write.closed()
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<Ending> {
        self.connection().ending()
    }

    /// Changes the profile from now on.
    pub fn set_profile(&self, profile: Profile) {
        self.connection().set_profile(profile);
    }

    /// Changes the linger time from now on: see [`Config::linger`].
    pub fn set_linger(&self, linger: Duration) {
        self.connection().set_linger(linger);
    }

    /// Changes the ratio of data to parity shards that are sent, once the group in progress is complete.
    ///
    /// In between 516 datagrams go without parity, so that no peer takes shards of one ratio for those of the other:
    /// where parity is to follow the losses, [`Config::fec_auto`] does it without that. Peers of kcp-go 5.6.8 and
    /// later follow; an older one keeps its own ratio, and corrupts what it reads under another.
    ///
    /// # Errors
    /// `Unsupported` where it was made without FEC (datagrams have no room for it) or with `fec_auto`; how the
    /// connection ended.
    pub fn set_fec(&self, fec: Fec) -> io::Result<()> {
        self.connection().set_fec(fec)
    }

    /// Changes the windows from now on, in segments (1 to 32,768 each).
    ///
    /// # Errors
    /// When one is out of range; then neither is changed.
    pub fn set_windows(&self, send: u32, recv: u32) -> Result<(), ConfigError> {
        self.connection().set_windows(send, recv)
    }
}

impl AsyncRead for KcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for KcpStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Ready at once: what is written leaves by itself. Never waits for acknowledgements.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    /// As `finish`, and waits until the peer has acknowledged every byte: read at the same time, or use
    /// `finish`. Fails with `TimedOut` when nothing has been acknowledged for the linger time; nothing
    /// is discarded, and it can be called again.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}

async fn wait<T>(poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    poll_fn(poll).await
}
