//! A connection of any transport.

use super::{
    Link, Options, Peer, ReadSide, StreamStats, Transports, WriteSide,
    deadline::{Deadline, Direction},
};
use crate::{Ending, Farewell, IntoAddress};
use bytes::Bytes;
use std::{
    any::Any,
    error::Error,
    fmt,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::coop,
};

/// A connection over TCP, UDP, KCP, or a transport of one's own: it is used as a tokio stream is.
///
/// Over `udp://`, and over `kcp://` in message mode, boundaries are kept: one write is one message, and one read gets
/// one; [`recv`](Self::recv) and [`send`](Self::send) say so more plainly. Dropping a stream closes it in the
/// background, as far as its transport can.
pub struct AnyStream {
    read: AnyReadHalf,
    write: AnyWriteHalf,
}

/// The reading half of an [`AnyStream`].
pub struct AnyReadHalf {
    side: Box<dyn ReadSide>,
    link: Arc<dyn Link>,
    deadline: Deadline,
}

/// The writing half of an [`AnyStream`]. Dropping it finishes.
pub struct AnyWriteHalf {
    side: Box<dyn WriteSide>,
    link: Arc<dyn Link>,
    deadline: Deadline,
}

/// The halves are of different streams: here they are again.
#[derive(Debug)]
pub struct AnyReuniteError(pub AnyReadHalf, pub AnyWriteHalf);

impl fmt::Display for AnyReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl Error for AnyReuniteError {}

/// Lets other tasks run now and then, however much there is to read or write at once.
#[inline]
fn cooperate<T>(cx: &mut Context<'_>, work: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let budget = ready!(coop::poll_proceed(cx));
    let poll = work(cx);
    if poll.is_ready() {
        budget.made_progress();
    }
    poll
}

/// What both halves tell.
macro_rules! common {
    ($half:ident, $name:literal) => {
        impl $half {
            /// Who is at the other end.
            pub fn peer(&self) -> Peer {
                self.link.peer()
            }

            /// Our own address.
            pub fn local(&self) -> Peer {
                self.link.local()
            }

            /// The most bytes of a message, where boundaries are kept; `None` for a stream of bytes.
            pub fn max_message(&self) -> Option<usize> {
                self.link.max_message()
            }

            /// What was counted and measured so far.
            pub fn stats(&self) -> StreamStats {
                self.link.stats()
            }

            /// How it ended, if it has.
            pub fn ending(&self) -> Option<Ending> {
                self.link.ending()
            }

            /// What the peer said when it finished, where the transport can carry it.
            pub fn peer_farewell(&self) -> Option<Farewell> {
                self.link.peer_farewell()
            }

            /// Waits for the end. The future lives on without the half. Cancel safe.
            pub fn closed(&self) -> impl Future<Output = Ending> + Send + 'static + use<> {
                self.link.closed()
            }

            /// Waits until the peer says that it goes away: see [`AnyStream::going_away`]. Cancel safe.
            pub fn going_away(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
                self.link.going_away()
            }

            /// Whether the peer has said that it goes away.
            pub fn is_peer_going_away(&self) -> bool {
                self.link.is_peer_going_away()
            }

            /// What only its transport knows: see [`AnyStream::link`].
            pub fn link<L: Link>(&self) -> Option<&L> {
                let link: &dyn Any = &*self.link;
                link.downcast_ref()
            }
        }

        impl fmt::Debug for $half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("peer", &self.link.peer()).finish_non_exhaustive()
            }
        }
    };
}

common!(AnyReadHalf, "AnyReadHalf");
common!(AnyWriteHalf, "AnyWriteHalf");

impl AnyStream {
    /// A stream of what a transport gives.
    pub fn new(read: Box<dyn ReadSide>, write: Box<dyn WriteSide>, link: Arc<dyn Link>) -> Self {
        let read = AnyReadHalf { side: read, link: link.clone(), deadline: Deadline::new(Direction::Read) };
        let write = AnyWriteHalf { side: write, link, deadline: Deadline::new(Direction::Write) };
        Self { read, write }
    }

    /// Connects to `tcp://HOST:PORT`, `udp://HOST:PORT` or `kcp://HOST:PORT`, with settings behind a `?` if any.
    /// Cancel safe: dropped, it opens nothing.
    ///
    /// # Errors
    /// `InvalidInput` names the part of the address that is wrong; else as the transport's own connect.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect(address: impl IntoAddress) -> io::Result<Self> {
        Self::connect_with(address, Options::new()).await
    }

    /// The same with typed options; settings in the address are laid over them.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn connect_with(address: impl IntoAddress, options: Options) -> io::Result<Self> {
        Transports::new(options).connect(address).await
    }

    /// Splits it into halves that can live in different tasks.
    pub fn into_split(self) -> (AnyReadHalf, AnyWriteHalf) {
        (self.read, self.write)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.read.peer()
    }

    /// Our own address.
    pub fn local(&self) -> Peer {
        self.read.local()
    }

    /// The most bytes of a message, where boundaries are kept; `None` for a stream of bytes.
    pub fn max_message(&self) -> Option<usize> {
        self.read.max_message()
    }

    /// What was counted and measured so far.
    pub fn stats(&self) -> StreamStats {
        self.read.stats()
    }

    /// How it ended, if it has: who, why, and with what code and reason, as far as the transport can tell.
    pub fn ending(&self) -> Option<Ending> {
        self.read.ending()
    }

    /// What the peer said when it finished, where the transport can carry it.
    pub fn peer_farewell(&self) -> Option<Farewell> {
        self.read.peer_farewell()
    }

    /// Waits for the end. The future lives on without the stream. Cancel safe.
    pub fn closed(&self) -> impl Future<Output = Ending> + Send + 'static + use<> {
        self.read.closed()
    }

    /// Waits until the peer says that it goes away and this connection should end soon: true if it has, false if
    /// the connection has ended and it never did. Only `kcp://` can say it, to a peer that is sendoff too: see
    /// [`KcpStream::going_away`](crate::KcpStream::going_away). The future lives on without the stream. Cancel safe.
    pub fn going_away(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
        self.read.going_away()
    }

    /// Whether the peer has said that it goes away: see [`going_away`](Self::going_away).
    pub fn is_peer_going_away(&self) -> bool {
        self.read.is_peer_going_away()
    }

    pub(super) fn weak_link(&self) -> Weak<dyn Link> {
        Arc::downgrade(&self.read.link)
    }

    /// What only its transport knows, if the connection is of that one: `stream.link::<KcpLink>()`.
    pub fn link<L: Link>(&self) -> Option<&L> {
        self.read.link()
    }

    /// How long a read may take from now on: see [`AnyReadHalf::read_timeout`].
    pub fn read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.read.read_timeout(timeout);
    }

    /// How long a write may take from now on: see [`AnyWriteHalf::write_timeout`].
    pub fn write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.write.write_timeout(timeout);
    }

    /// The next whole message: see [`AnyReadHalf::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv(&mut self) -> io::Result<Option<Bytes>> {
        self.read.recv().await
    }

    /// Sends one message: see [`AnyWriteHalf::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        self.write.send(message).await
    }

    /// As [`recv`](Self::recv), for those who poll.
    ///
    /// # Errors
    /// As there.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.read.poll_recv(cx)
    }

    /// As [`send`](Self::send), for those who poll.
    ///
    /// # Errors
    /// As there.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        self.write.poll_send(cx, message)
    }

    /// Nothing more from us; reading goes on. Doesn't wait.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish(&mut self) -> io::Result<()> {
        self.write.finish()
    }

    /// The same with a code and a reason: see [`AnyWriteHalf::finish_with`].
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish_with(&mut self, code: u32, reason: &str) -> io::Result<()> {
        self.write.finish_with(code, reason)
    }

    /// Stops reading, delivers what was written, then ends.
    pub fn close(&mut self, code: u32, reason: &str) {
        self.read.link.close(code, reason);
    }

    /// Ends at once: what wasn't delivered is given up, and the peer is told so where the transport can.
    pub fn abort(&mut self, code: u32) {
        self.read.link.abort(code);
    }
}

impl AnyReadHalf {
    /// Puts the stream together again.
    ///
    /// # Errors
    /// Both halves back, when they are of different streams.
    #[allow(clippy::result_large_err, reason = "who fails gets both halves back")]
    pub fn reunite(self, write: AnyWriteHalf) -> Result<AnyStream, AnyReuniteError> {
        if Arc::ptr_eq(&self.link, &write.link) {
            Ok(AnyStream { read: self, write })
        } else {
            Err(AnyReuniteError(self, write))
        }
    }

    /// How long a read may take from now on: then it fails with `TimedOut`, nothing is lost, and the next may be
    /// tried at once. `None`, the default: as long as it takes.
    pub fn read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.deadline.set(timeout.into());
    }

    /// The next whole message, which may be empty; `None` at the end. Cancel safe.
    ///
    /// # Errors
    /// `Unsupported` over a stream of bytes (see [`max_message`](Self::max_message)); how the connection ended;
    /// `TimedOut` after the [`read_timeout`](Self::read_timeout).
    pub async fn recv(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for those who poll.
    ///
    /// # Errors
    /// As there.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let poll = cooperate(cx, |cx| self.side.poll_recv(cx));
        self.deadline.check(cx, poll)
    }
}

impl AnyWriteHalf {
    /// How long a write may take from now on: then it fails with `TimedOut`, nothing of it was taken, and it may be
    /// tried again. `None`, the default: as long as it takes.
    pub fn write_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.deadline.set(timeout.into());
    }

    /// Sends one message, whole or not at all. Cancel safe.
    ///
    /// # Errors
    /// `Unsupported` over a stream of bytes; `InvalidInput` when it is too long, or empty where the transport has no
    /// empty ones; `BrokenPipe` after `finish`; how the connection ended; `TimedOut` after the
    /// [`write_timeout`](Self::write_timeout).
    pub async fn send(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        let message = message.as_ref();
        poll_fn(|cx| self.poll_send(cx, message)).await
    }

    /// As [`send`](Self::send), for those who poll.
    ///
    /// # Errors
    /// As there.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        let poll = cooperate(cx, |cx| self.side.poll_send(cx, message));
        self.deadline.check(cx, poll)
    }

    /// Nothing more from us. Doesn't wait; what was written is still delivered.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish(&mut self) -> io::Result<()> {
        self.finish_with(0, "")
    }

    /// The same with a code and up to 256 bytes of a reason, which reach the peer where the transport can carry
    /// them: over KCP, with an extended peer.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish_with(&mut self, code: u32, reason: &str) -> io::Result<()> {
        self.side.finish(code, reason)
    }

    /// Stops reading, delivers what was written, then ends.
    pub fn close(&mut self, code: u32, reason: &str) {
        self.link.close(code, reason);
    }

    /// Ends at once: what wasn't delivered is given up, and the peer is told so where the transport can.
    pub fn abort(&mut self, code: u32) {
        self.link.abort(code);
    }
}

impl fmt::Debug for AnyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStream").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

impl AsyncRead for AnyReadHalf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let poll = cooperate(cx, |cx| self.side.poll_read(cx, buf));
        self.deadline.check(cx, poll)
    }
}

impl AsyncWrite for AnyWriteHalf {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let poll = cooperate(cx, |cx| self.side.poll_write(cx, data));
        self.deadline.check(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = cooperate(cx, |cx| self.side.poll_write_vectored(cx, slices));
        self.deadline.check(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.side.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = self.side.poll_flush(cx);
        self.deadline.check(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = self.side.poll_shutdown(cx);
        self.deadline.check(cx, poll)
    }
}

impl AsyncRead for AnyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for AnyStream {
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
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    /// Nothing more from us. Waits until the peer has all, where the transport can tell (KCP): read at the same
    /// time, or use [`finish`](AnyStream::finish).
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}
