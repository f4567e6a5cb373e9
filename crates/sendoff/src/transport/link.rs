//! What a transport has to give for a connection: a reading side, a writing side, and what both know.

use super::{BoxFuture, Peer, StreamStats};
use crate::{Ending, Farewell};
use bytes::Bytes;
use std::{
    any::Any,
    io::{self, IoSlice},
    task::{Context, Poll},
};
use tokio::io::ReadBuf;

/// The reading side of a connection. Dropping it must not block.
pub trait ReadSide: Send + Sync + Unpin + 'static {
    /// As [`AsyncRead::poll_read`](tokio::io::AsyncRead::poll_read). Where boundaries are kept, one message a read;
    /// one that doesn't fit is an error of kind `InvalidInput`, and stays to be read.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>>;

    /// The next whole message, which may be empty; `None` at the end. Where no boundaries are kept: `Unsupported`.
    fn poll_recv(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        Poll::Ready(Err(no_boundaries()))
    }
}

/// The writing side of a connection. Dropping it must not block; it finishes.
pub trait WriteSide: Send + Sync + Unpin + 'static {
    /// As [`AsyncWrite::poll_write`](tokio::io::AsyncWrite::poll_write). Where boundaries are kept, each write is a message.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// The same of several slices, which together are one message where boundaries are kept.
    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    /// Whether several slices are written as quickly as one.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// Sends one message, whole or not at all; it may be empty where the transport has such.
    /// Where no boundaries are kept: `Unsupported`.
    fn poll_send(&mut self, _cx: &mut Context<'_>, _message: &[u8]) -> Poll<io::Result<()>> {
        Poll::Ready(Err(no_boundaries()))
    }

    /// As [`AsyncWrite::poll_flush`](tokio::io::AsyncWrite::poll_flush).
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// As [`AsyncWrite::poll_shutdown`](tokio::io::AsyncWrite::poll_shutdown): nothing more is written; waits until
    /// the peer has all, where the transport can tell.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Nothing more is written. Doesn't wait. Code and reason reach the peer where the transport can carry them.
    ///
    /// # Errors
    /// How the connection ended, if it has.
    fn finish(&mut self, code: u32, reason: &str) -> io::Result<()>;
}

/// What both sides of a connection know and can do.
///
/// What only its transport knows is in its own type: a stream gives it back by
/// [`AnyStream::link`](super::AnyStream::link).
pub trait Link: Any + Send + Sync {
    /// Who is at the other end.
    fn peer(&self) -> Peer;

    /// Our own address.
    fn local(&self) -> Peer;

    /// The most bytes of a message, where the transport keeps the boundaries of what is written; `None` where it
    /// carries a stream of bytes.
    fn max_message(&self) -> Option<usize> {
        None
    }

    /// How it ended, if it has.
    fn ending(&self) -> Option<Ending>;

    /// Waits for the end. Several may wait; none of them keeps the connection open.
    fn closed(&self) -> BoxFuture<'static, Ending>;

    /// What the peer said when it finished, if it has and the transport can carry it.
    fn peer_farewell(&self) -> Option<Farewell> {
        None
    }

    /// Whether the peer has said that it goes away, where the transport can carry that.
    fn is_peer_going_away(&self) -> bool {
        false
    }

    /// Waits until the peer has said so, and is true then; false when the connection has ended and it never did.
    fn going_away(&self) -> BoxFuture<'static, bool> {
        let closed = self.closed();
        Box::pin(async move {
            closed.await;
            false
        })
    }

    /// Stops reading, delivers what was written, then ends.
    fn close(&self, code: u32, reason: &str);

    /// Ends at once: what wasn't delivered is given up.
    fn abort(&self, code: u32);

    /// What was counted and measured.
    fn stats(&self) -> StreamStats;
}

fn no_boundaries() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a stream of bytes has no messages: choose a framing")
}
