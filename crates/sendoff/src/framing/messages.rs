//! A stream of messages over any transport.

use super::{Framing, MessageReader, MessageWriter, incoming::Incoming, outgoing::Outgoing, split};
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Whole messages over a stream: what one side sends is what the other receives, however the transport cuts it.
///
/// ```
/// use sendoff::{Framing, Messages};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (near, far) = tokio::io::duplex(1_024);
/// let mut near = Messages::new(near, Framing::le32().limit(1 << 20));
/// let mut far = Messages::new(far, Framing::le32().limit(1 << 20));
/// near.send("Hello, Hello. How are you?").await?;
/// near.finish().await?;
/// while let Some(message) = far.try_next().await? {
///     assert_eq!(message, "Hello, Hello. How are you?");
/// }
/// # Ok(()) }
/// ```
///
/// It is a `Stream` of `io::Result<Bytes>` and a `Sink` of `Bytes` too. The methods here are used without either.
///
/// # Transports that keep boundaries
/// UDP, and KCP in [`Mode::Message`](crate::Mode::Message), keep the boundaries of what is sent. The streams of this
/// crate are recognised, and with [`Framing::none`] each message is one of theirs: what they can't carry (an empty
/// message over KCP, too large a datagram) is an error of `send`. With another framing, each frame is sent as
/// one of their messages, and frames are read across them.
///
/// # Many small messages
/// `send` hands each message to the stream at once. To send many for the price of one, use [`feed`](Self::feed)
/// for each and [`flush`](Self::flush) behind them: up to 64 KiB are gathered into one write. Messages of 16 KiB and
/// more are not copied but written from where they lie.
pub struct Messages<S> {
    stream: S,
    incoming: Incoming<S>,
    outgoing: Outgoing<S>,
}

/// What a [`Messages`] was made of, and what was under way.
#[derive(Debug)]
#[non_exhaustive]
pub struct Parts<S> {
    /// The stream.
    pub stream: S,
    /// Read from the stream, and not yet taken as messages; frames with all their bytes.
    pub unread: Bytes,
    /// Fed, and not yet written to the stream; it may begin inside a frame. Empty after a flush.
    pub unsent: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Messages<S> {
    /// Sends and receives messages over a stream. Nothing is sent or read by that.
    pub fn new(stream: S, framing: Framing) -> Self {
        let incoming = Incoming::new(framing, &stream);
        let outgoing = Outgoing::new(framing, &stream);
        Self { stream, incoming, outgoing }
    }

    /// How messages are marked.
    pub fn framing(&self) -> &Framing {
        self.incoming.framing()
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream, to change its settings. Who reads from it or writes to it by himself breaks frames.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream again, with the bytes that were read ahead and those that wait to be written.
    pub fn into_parts(self) -> Parts<S> {
        Parts {
            stream: self.stream,
            unread: self.incoming.into_unread(),
            unsent: self.outgoing.into_unsent(),
        }
    }

    /// Splits it into two for two tasks. They share the stream behind a lock that is held for one poll.
    pub fn split(self) -> (MessageReader<split::Half<S>>, MessageWriter<split::Half<S>>) {
        split::split(self.stream, self.incoming, self.outgoing)
    }

    /// The next message; `None` at the end, and after a [`FrameError`](crate::FrameError).
    ///
    /// Cancel safe: dropped half way, it loses nothing; the next call goes on. An error of the stream that leaves it
    /// usable, such as an elapsed deadline, loses nothing either.
    ///
    /// # Errors
    /// `InvalidData` for a frame that breaks the rules, `UnexpectedEof` when the stream ends inside one: both
    /// hold a [`FrameError`](crate::FrameError). Those of the stream.
    pub async fn try_next(&mut self) -> io::Result<Option<Bytes>> {
        poll_fn(|cx| self.incoming.poll_next(&mut self.stream, cx)).await
    }

    /// Sends a message: [`feed`](Self::feed), then [`flush`](Self::flush).
    ///
    /// Dropped half way, either nothing of the message is sent, or all of it waits, in part written, and leaves with
    /// the next call of `send`, `flush`, `finish` or `shutdown`: the peer never sees a part of it in front of
    /// another message. Who needs to know which of the two uses `feed` and `flush`. With [`Framing::none`] over a
    /// transport that keeps boundaries, a dropped call has sent nothing.
    ///
    /// # Errors
    /// `InvalidInput` when it is larger than the limit, or a line with a line break in it; nothing of it is sent, and
    /// the next can be. Those of the stream: then the message is as after a dropped call.
    pub async fn send(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message, waiting while 64 KiB are queued already. It leaves with [`flush`](Self::flush) at the latest.
    ///
    /// Cancel safe: it is queued when the call returns `Ok`, else nothing of it is.
    ///
    /// # Errors
    /// `InvalidInput` as [`send`](Self::send). Those of the stream, in sending what was queued before.
    pub async fn feed(&mut self, message: impl AsRef<[u8]>) -> io::Result<()> {
        let message = message.as_ref();
        poll_fn(|cx| self.outgoing.poll_feed(&mut self.stream, cx, message)).await
    }

    /// Hands the stream what was queued. It doesn't wait for the peer.
    ///
    /// Cancel safe: the next call goes on.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_flush(&mut self.stream, cx)).await
    }

    /// Nothing more from us: flushes, and half-closes. The peer's `try_next` comes to its end, and ours goes on.
    ///
    /// Doesn't wait for the peer with the streams of this crate. With others, it waits as their shutdown does.
    /// Cancel safe: the next call goes on.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn finish(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_finish(&mut self.stream, cx)).await
    }

    /// As [`finish`](Self::finish), and waits as `AsyncWriteExt::shutdown` of the stream does: over KCP, until the peer
    /// has acknowledged all. Read at the same time, or use `finish`. Cancel safe: the next call goes on.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outgoing.poll_close(&mut self.stream, cx)).await
    }
}

impl<S: fmt::Debug + 'static> fmt::Debug for Messages<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let framing = format_args!("{}", self.incoming.framing());
        f.debug_struct("Messages")
            .field("stream", &self.stream)
            .field("framing", &framing)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream for Messages<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { stream, incoming, .. } = &mut *self;
        incoming.poll_next(stream, cx).map(Result::transpose)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Sink<Bytes> for Messages<S> {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing, .. } = &mut *self;
        outgoing.poll_ready(stream, cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        self.outgoing.start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing, .. } = &mut *self;
        outgoing.poll_flush(stream, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, outgoing, .. } = &mut *self;
        outgoing.poll_close(stream, cx)
    }
}
