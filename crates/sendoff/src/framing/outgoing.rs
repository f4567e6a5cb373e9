//! Messages into a stream: small ones are gathered in one buffer, large ones are lent to the stream.

use super::{
    FrameCodec, FrameError, Framing,
    own::{self, FinishFn, SendFn},
};
use bytes::{Buf, Bytes, BytesMut};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Bytes that are gathered before the next message has to wait.
const GATHERED: usize = 64 << 10;

/// From this many bytes on, copying a message costs more than a second slice in the write.
const LENT: usize = 16 << 10;

/// Bytes of buffer that who has nothing to send may keep.
const KEPT: usize = 8 << 10;

pub(super) struct Outgoing<W> {
    codec: FrameCodec,
    /// Frames, and the prefix of `tail`.
    buffer: BytesMut,
    /// Bytes of the buffer that the stream has taken.
    written: usize,
    /// A large message behind the buffer.
    tail: Bytes,
    /// The transport keeps boundaries.
    send: Option<SendFn<W>>,
    /// There, and a message, perhaps an empty one, waits in `tail`.
    waiting: bool,
    /// How to half-close without waiting.
    finish: Option<FinishFn<W>>,
}

impl<W: 'static> Outgoing<W> {
    pub(super) fn new(framing: Framing, stream: &W) -> Self {
        Self {
            codec: framing.codec(),
            buffer: BytesMut::new(),
            written: 0,
            tail: Bytes::new(),
            send: own::send_fn(stream),
            waiting: false,
            finish: own::finish_fn(stream),
        }
    }

    pub(super) fn framing(&self) -> &Framing {
        self.codec.framing()
    }

    /// The functions that its stream was found to have.
    pub(super) fn own(&self) -> (Option<SendFn<W>>, Option<FinishFn<W>>) {
        (self.send, self.finish)
    }

    /// The same over another handle of the stream.
    pub(super) fn over<T>(self, send: Option<SendFn<T>>, finish: Option<FinishFn<T>>) -> Outgoing<T> {
        let Self { codec, buffer, written, tail, waiting, .. } = self;
        Outgoing { codec, buffer, written, tail, send, waiting, finish }
    }

    /// What the stream hasn't taken yet.
    pub(super) fn into_unsent(mut self) -> Bytes {
        self.buffer.advance(self.written);
        self.buffer.extend_from_slice(&self.tail);
        self.buffer.freeze()
    }

    /// Queues a message that can be sent. `poll_ready` comes first.
    pub(super) fn start_send(&mut self, message: Bytes) -> io::Result<()> {
        self.codec.check(&message).map_err(FrameError::into_input_error)?;
        if self.send.is_some() {
            self.tail = if self.framing().is_none() { message } else { self.frame(&message) };
            self.waiting = true;
        } else if message.len() >= LENT && !self.codec.has_foot() {
            self.codec.put_head(message.len(), &mut self.buffer);
            self.tail = message;
        } else {
            self.codec.put(&message, &mut self.buffer);
        }
        Ok(())
    }

    /// A frame by itself: it travels in a message of the transport.
    fn frame(&mut self, message: &[u8]) -> Bytes {
        self.codec.put(message, &mut self.buffer);
        self.buffer.split().freeze()
    }
}

impl<W: AsyncWrite + Unpin + 'static> Outgoing<W> {
    /// Waits until there is room for a message.
    pub(super) fn poll_ready(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting && self.tail.is_empty() && self.buffer.len() < GATHERED {
            return Poll::Ready(Ok(()));
        }
        self.poll_write(stream, cx)
    }

    /// Takes a message that belongs to the caller, in one go: while it is pending, nothing of it is taken.
    pub(super) fn poll_feed(
        &mut self,
        stream: &mut W,
        cx: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<()>> {
        self.codec.check(message).map_err(FrameError::into_input_error)?;
        ready!(self.poll_ready(stream, cx))?;
        match self.send {
            Some(send) if self.framing().is_none() => return send(stream, cx, message),
            Some(_) => {
                self.tail = self.frame(message);
                self.waiting = true;
            }
            None if message.len() >= LENT && !self.codec.has_foot() => {
                self.lend(stream, cx, message);
            }
            None => self.codec.put(message, &mut self.buffer),
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a large message from where it lies, as much as the stream takes; only the rest is copied.
    fn lend(&mut self, stream: &mut W, cx: &mut Context<'_>, message: &[u8]) {
        self.codec.put_head(message.len(), &mut self.buffer);
        let mut lent = message;
        while !lent.is_empty() {
            match self.poll_write_once(stream, cx, lent) {
                Poll::Ready(Ok(written)) => lent = &lent[written..],
                // A part may be written, so the message is taken; the next write meets an error that stays.
                Poll::Ready(Err(_)) | Poll::Pending => {
                    self.buffer.extend_from_slice(lent);
                    return;
                }
            }
        }
    }

    /// Hands the stream all that was queued.
    pub(super) fn poll_write(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let (Some(send), true) = (self.send, self.waiting) {
            let sent = ready!(send(stream, cx, &self.tail));
            // What the transport can't carry doesn't keep the next message waiting.
            if sent.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::InvalidInput, |()| true) {
                (self.tail, self.waiting) = (Bytes::new(), false);
            }
            sent?;
        }
        while self.tail.is_empty() && self.written < self.buffer.len() {
            ready!(self.poll_write_once(stream, cx, &[]))?;
        }
        while !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            let written = self.poll_write_once(stream, cx, &tail);
            self.tail = tail;
            self.tail.advance(ready!(written)?);
            if self.tail.is_empty() {
                // Its bytes need no owner any more.
                self.tail = Bytes::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One write of the buffer and what is behind it; tells how much of the latter was taken.
    fn poll_write_once(
        &mut self,
        stream: &mut W,
        cx: &mut Context<'_>,
        behind: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (stream, front) = (Pin::new(stream), &self.buffer[self.written..]);
        let written = if front.is_empty() {
            ready!(stream.poll_write(cx, behind))?
        } else if behind.is_empty() || !stream.is_write_vectored() {
            ready!(stream.poll_write(cx, front))?
        } else {
            ready!(stream.poll_write_vectored(cx, &[IoSlice::new(front), IoSlice::new(behind)]))?
        };
        if written == 0 {
            let text = "the stream takes no more bytes";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::WriteZero, text)));
        }
        let of_front = written.min(front.len());
        self.written += of_front;
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
        Poll::Ready(Ok(written - of_front))
    }

    /// Hands the stream all that was queued, and flushes it.
    pub(super) fn poll_flush(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(stream, cx))?;
        if self.buffer.capacity() > KEPT {
            self.buffer = BytesMut::new();
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// The same, and shuts the stream down.
    pub(super) fn poll_close(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(stream, cx))?;
        Pin::new(stream).poll_shutdown(cx)
    }
    /// The same, without waiting where the stream can.
    pub(super) fn poll_finish(&mut self, stream: &mut W, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.finish {
            Some(finish) => self.poll_flush(stream, cx).map(|flushed| flushed.and_then(|()| finish(stream))),
            None => self.poll_close(stream, cx),
        }
    }
}
