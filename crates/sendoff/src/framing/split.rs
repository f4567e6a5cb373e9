//! Reading and writing messages in different tasks.

use super::{
    Framing,
    incoming::Incoming,
    outgoing::Outgoing,
    own::{FinishFn, RecvFn, SendFn},
};
use crate::lock::lock;
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The reading half of [`Messages`](crate::Messages), or messages from a half of a stream that splits by itself.
///
/// ```
/// use sendoff::{Framing, KcpListener, KcpStream, MessageReader, MessageWriter};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// # let listener = KcpListener::bind("127.0.0.1:0").await?;
/// # let stream = KcpStream::connect(listener.local_addr()).await?;
/// let (reader, writer) = stream.into_split();
/// let mut incoming = MessageReader::new(reader, Framing::lines());
/// let mut outgoing = MessageWriter::new(writer, Framing::lines());
/// # let server = tokio::spawn(async move {
/// #     let (mut stream, _) = listener.accept().await?;
/// #     let (mut reader, mut writer) = tokio::io::split(&mut stream);
/// #     tokio::io::copy(&mut reader, &mut writer).await
/// # });
/// outgoing.send("hello").await?;
/// outgoing.finish().await?;
/// assert_eq!(incoming.try_next().await?.unwrap(), "hello");
/// # _ = server;
/// # Ok(()) }
/// ```
pub struct MessageReader<R> {
    stream: R,
    incoming: Incoming<R>,
}

/// The writing half of [`Messages`](crate::Messages), or messages to a half of a stream that splits by itself.
///
/// Dropping it finishes where that needs no waiting: see [`finish`](Self::finish). What was fed and not flushed is lost.
pub struct MessageWriter<W> {
    stream: W,
    outgoing: Outgoing<W>,
}

/// One of two handles of a stream, for a task each.
pub struct Half<S> {
    shared: Arc<Shared<S>>,
    /// It writes: with it, the writing ends.
    finishes: bool,
}

struct Shared<S> {
    stream: Mutex<S>,
    recv: Option<RecvFn<S>>,
    send: Option<SendFn<S>>,
    finish: Option<FinishFn<S>>,
}

pub(super) fn split<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    incoming: Incoming<S>,
    outgoing: Outgoing<S>,
) -> (MessageReader<Half<S>>, MessageWriter<Half<S>>) {
    let (recv, (send, finish)) = (incoming.recv(), outgoing.own());
    let shared = Arc::new(Shared { stream: Mutex::new(stream), recv, send, finish });
    let reading = Half { shared: shared.clone(), finishes: false };
    let writing = Half { shared, finishes: true };
    let incoming = incoming.over(recv.map(|_| Half::recv as RecvFn<Half<S>>));
    let outgoing = outgoing
        .over(send.map(|_| Half::send as SendFn<Half<S>>), finish.map(|_| Half::finish as FinishFn<Half<S>>));
    (MessageReader { stream: reading, incoming }, MessageWriter { stream: writing, outgoing })
}

impl<R: AsyncRead + Unpin + 'static> MessageReader<R> {
    /// Receives messages from the reading half of a stream.
    pub fn new(stream: R, framing: Framing) -> Self {
        let incoming = Incoming::new(framing, &stream);
        Self { stream, incoming }
    }

    /// How messages are marked.
    pub fn framing(&self) -> &Framing {
        self.incoming.framing()
    }

    /// What it reads from.
    pub fn stream(&self) -> &R {
        &self.stream
    }

    /// The next message: see [`Messages::try_next`](crate::Messages::try_next). Cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn try_next(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.incoming.poll_next(&mut self.stream, cx)).await
    }
}

impl<W: AsyncWrite + Unpin + 'static> MessageWriter<W> {
    /// Sends messages to the writing half of a stream.
    pub fn new(stream: W, framing: Framing) -> Self {
        let outgoing = Outgoing::new(framing, &stream);
        Self { stream, outgoing }
    }

    /// How messages are marked.
    pub fn framing(&self) -> &Framing {
        self.outgoing.framing()
    }

    /// What it writes to.
    pub fn stream(&self) -> &W {
        &self.stream
    }

    /// Sends a message: see [`Messages::send`](crate::Messages::send), also for what a dropped call has done.
    ///
    /// # Errors
    /// As there.
    pub async fn send(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message: see [`Messages::feed`](crate::Messages::feed). Cancel safe.
    ///
    /// # Errors
    /// As there.
    pub async fn feed(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        let message = message.as_ref();
        poll_fn(|cx| self.outgoing.poll_feed(&mut self.stream, cx, message)).await
    }

    /// Hands the stream what was queued. Cancel safe.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_flush(&mut self.stream, cx)).await
    }

    /// Nothing more from us: see [`Messages::finish`](crate::Messages::finish). Cancel safe.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_finish(&mut self.stream, cx)).await
    }

    /// The same, and waits as the stream's shutdown does: see [`Messages::shutdown`](crate::Messages::shutdown).
    /// Cancel safe.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_close(&mut self.stream, cx)).await
    }
}

impl<R: fmt::Debug + 'static> fmt::Debug for MessageReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let framing = format_args!("{}", self.incoming.framing());
        f.debug_struct("MessageReader")
            .field("stream", &self.stream)
            .field("framing", &framing)
            .finish_non_exhaustive()
    }
}

impl<W: fmt::Debug + 'static> fmt::Debug for MessageWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let framing = format_args!("{}", self.outgoing.framing());
        f.debug_struct("MessageWriter")
            .field("stream", &self.stream)
            .field("framing", &framing)
            .finish_non_exhaustive()
    }
}

impl<R: AsyncRead + Unpin + 'static> Stream for MessageReader<R> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { stream, incoming } = &mut *self;
        incoming.poll_next(stream, cx).map(Result::transpose)
    }
}

impl<W: AsyncWrite + Unpin + 'static> Sink<Bytes> for MessageWriter<W> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing } = &mut *self;
        outgoing.poll_ready(stream, cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        self.outgoing.start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing } = &mut *self;
        outgoing.poll_flush(stream, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing } = &mut *self;
        outgoing.poll_close(stream, cx)
    }
}

impl<S> Half<S> {
    /// Looks at the stream, under its lock: its addresses, its statistics.
    pub fn with<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, S> {
        // Whoever panicked did so inside a poll of the stream, which has to bear that.
        lock(&self.shared.stream)
    }

    fn recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self.shared.recv {
            Some(recv) => recv(&mut self.lock(), cx),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        match self.shared.send {
            Some(send) => send(&mut self.lock(), cx, message),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self.shared.finish {
            Some(finish) => finish(&mut self.lock()),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl<S> Drop for Half<S> {
    fn drop(&mut self) {
        if self.finishes && self.shared.finish.is_some() {
            // One that has ended already needs no end.
            _ = self.finish();
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Half<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half").field("stream", &self.shared.stream).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Half<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Half<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}
