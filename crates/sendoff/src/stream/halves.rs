//! Owned halves of a stream, for different tasks.

use super::{KcpStream, Moves, messages::Write as _, state::ConnectionShared, wait};
use crate::{ConnectionStats, Conv, Ending, Farewell, KcpEndpoint, PeerKind};
use bytes::Bytes;
use sendoff_proto::Connection;
use std::{
    error::Error,
    fmt,
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The reading half of a [`KcpStream`].
///
/// Dropping it stops nothing by itself; with both halves dropped, the connection is closed.
pub struct ReadHalf {
    connection: Arc<ConnectionShared>,
}

/// The writing half of a [`KcpStream`].
///
/// Dropping it finishes: nothing more is written, what was is still delivered.
pub struct WriteHalf {
    connection: Arc<ConnectionShared>,
}

/// The halves are of different streams: here they are again.
#[derive(Debug)]
pub struct ReuniteError(pub ReadHalf, pub WriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl Error for ReuniteError {}

/// What both halves tell.
macro_rules! common {
    ($half:ident, $name:literal) => {
        impl $half {
            pub(super) fn new(connection: Arc<ConnectionShared>) -> Self {
                Self { connection }
            }

            /// The conversation id.
            pub fn conv(&self) -> Conv {
                self.connection.conv()
            }

            /// Our address: see [`KcpStream::local_addr`].
            pub fn local_addr(&self) -> SocketAddr {
                self.connection.local_addr()
            }

            /// The peer's address: where it is now, if it has moved.
            pub fn peer_addr(&self) -> SocketAddr {
                self.connection.peer()
            }

            /// The peer's moves from now on.
            pub fn moves(&self) -> Moves {
                Moves::of(&self.connection)
            }

            /// The endpoint that it belongs to.
            pub fn endpoint(&self) -> KcpEndpoint {
                self.connection.endpoint()
            }

            /// What was counted and measured so far.
            pub fn stats(&self) -> ConnectionStats {
                self.connection.stats()
            }

            /// The most bytes of a message, in [`Mode::Message`](crate::Mode::Message); `None` in stream mode.
            pub fn max_message(&self) -> Option<usize> {
                self.connection.max_message()
            }

            /// What kind of peer it is, as far as is known.
            pub fn peer_kind(&self) -> PeerKind {
                self.connection.peer_kind()
            }

            /// What the peer said when it finished, once that has come: see [`KcpStream::peer_farewell`].
            pub fn peer_farewell(&self) -> Option<Farewell> {
                self.connection.peer_farewell()
            }

            /// Waits for the end. The future lives on without the half. Cancel safe.
            pub fn closed(&self) -> impl Future<Output = Ending> + Send + 'static + use<> {
                let connection = self.connection.clone();
                async move { wait(|cx| connection.poll_closed(cx)).await }
            }

            /// How it ended, if it has.
            pub fn ending(&self) -> Option<Ending> {
                self.connection.ending()
            }
        }

        impl fmt::Debug for $half {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.connection.fmt_as($name, f)
            }
        }
    };
}

common!(ReadHalf, "ReadHalf");
common!(WriteHalf, "WriteHalf");

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.connection.drop_handle(false);
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.connection.drop_handle(true);
    }
}

impl ReadHalf {
    pub(super) fn connection(&self) -> &Arc<ConnectionShared> {
        &self.connection
    }

    /// Puts the stream together again.
    ///
    /// # Errors
    /// Both halves back, when they are of different streams.
    pub fn reunite(self, write: WriteHalf) -> Result<KcpStream, ReuniteError> {
        if Arc::ptr_eq(&self.connection, &write.connection) {
            Ok(KcpStream { read: self, write })
        } else {
            Err(ReuniteError(self, write))
        }
    }

    /// See [`KcpStream::readable`].
    ///
    /// # Errors
    /// None today: an end is shown by the read that follows.
    pub async fn readable(&self) -> io::Result<()> {
        wait(|cx| match self.connection.poll_read_with(Some(cx), |c| Ok(c.readable_bytes())) {
            Poll::Ready(_) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// See [`KcpStream::try_read`].
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; how the connection ended.
    pub fn try_read(&self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        or_would_block(self.connection.poll_read_with(None, |c| Ok(c.read(out))))
    }

    /// See [`KcpStream::read_chunk`].
    ///
    /// # Errors
    /// How the connection ended, if not in order.
    pub async fn read_chunk(&self, max: usize) -> io::Result<Option<Bytes>> {
        let mut chunk = Vec::new();
        let n = wait(|cx| {
            self.connection.poll_read_with(Some(cx), |c| {
                chunk.resize(c.readable_bytes().min(max), 0);
                Ok(c.read(&mut chunk))
            })
        })
        .await?;
        Ok((n > 0).then(|| chunk.into()))
    }
}

impl WriteHalf {
    pub(super) fn connection(&self) -> &Arc<ConnectionShared> {
        &self.connection
    }

    /// See [`KcpStream::writable`].
    ///
    /// # Errors
    /// None today: an end is shown by the write that follows.
    pub async fn writable(&self) -> io::Result<()> {
        wait(|cx| {
            let mut state = self.connection.lock();
            if state.connection.is_worth_writing() {
                return Poll::Ready(Ok(()));
            }
            let crowd = state.writers.register(cx.waker());
            drop(state);
            crowd.wake();
            Poll::Pending
        })
        .await
    }

    /// See [`KcpStream::try_write`].
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing; `BrokenPipe` after `finish`; how the connection ended.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        if data.is_empty() {
            return Ok(0);
        }
        or_would_block(self.connection.poll_write_with(None, |c| c.write_as_configured(data)))
    }

    /// See [`KcpStream::finish`].
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish(&mut self) -> io::Result<()> {
        self.connection.finish(0, "")
    }

    /// See [`KcpStream::finish_with`].
    ///
    /// # Errors
    /// How the connection ended, if it has.
    pub fn finish_with(&mut self, code: u32, reason: &str) -> io::Result<()> {
        self.connection.finish(code, reason)
    }

    /// See [`KcpStream::close`].
    pub fn close(&mut self, code: u32, reason: &str) {
        self.connection.close_with(code, reason);
    }

    /// See [`KcpStream::set_linger`].
    pub fn set_linger(&self, linger: Duration) {
        self.connection.set_linger(linger);
    }

    /// See [`KcpStream::abort`].
    pub fn abort(&mut self, code: u32) {
        self.connection.abort(code);
    }
}

fn or_would_block(poll: Poll<io::Result<usize>>) -> io::Result<usize> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = buf.remaining();
        let read = |c: &mut Connection| Ok(c.read_with(room, |piece| buf.put_slice(piece)));
        ready!(self.connection.poll_read_with(Some(cx), read))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.connection.poll_write_with(Some(cx), |c| c.write_as_configured(data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|s| s.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.connection.poll_write_with(Some(cx), |c| c.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_shutdown(cx)
    }
}
