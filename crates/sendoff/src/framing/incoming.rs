//! Messages out of a stream, and the buffer that they are read into.

use super::{
    FrameCodec, Framing,
    codec::Step,
    own::{self, RecvFn},
};
use bytes::{Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes that are read at once at first.
const READ_LEAST: usize = 8 << 10;

/// Bytes that are read at once when reads have filled the buffer again and again.
const READ_MOST: usize = 64 << 10;

/// From this many bytes on, a message takes its buffer with it.
const LARGE: usize = 256 << 10;

pub(super) struct Incoming<R> {
    codec: FrameCodec,
    /// Read, and not yet taken.
    buffer: BytesMut,
    /// Bytes that the next read asks for.
    read_size: usize,
    state: State,
    /// The transport keeps boundaries.
    recv: Option<RecvFn<R>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more comes, but something may be left in the buffer.
    Ended,
    /// The end, or what is wrong, has been told.
    Told,
}

impl<R: 'static> Incoming<R> {
    pub(super) fn new(framing: Framing, stream: &R) -> Self {
        Self {
            codec: framing.codec(),
            buffer: BytesMut::new(),
            read_size: READ_LEAST,
            state: State::Open,
            recv: own::recv_fn(stream),
        }
    }

    pub(super) fn framing(&self) -> &Framing {
        self.codec.framing()
    }

    pub(super) fn recv(&self) -> Option<RecvFn<R>> {
        self.recv
    }

    /// The same over another handle of the stream.
    pub(super) fn over<T>(self, recv: Option<RecvFn<T>>) -> Incoming<T> {
        let Self { codec, buffer, read_size, state, .. } = self;
        Incoming { codec, buffer, read_size, state, recv }
    }

    /// What was read, and not yet taken.
    pub(super) fn into_unread(self) -> Bytes {
        self.buffer.freeze()
    }
}

impl<R: AsyncRead + Unpin + 'static> Incoming<R> {
    pub(super) fn poll_next(
        &mut self,
        stream: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        match self.recv {
            Some(recv) if self.framing().is_none() => self.poll_whole(recv, stream, cx),
            _ => self.poll_framed(stream, cx),
        }
    }

    /// What the transport keeps whole is the message.
    fn poll_whole(
        &mut self,
        recv: RecvFn<R>,
        stream: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        if self.state == State::Told {
            return Poll::Ready(Ok(None));
        }
        let Some(message) = ready!(recv(stream, cx))? else {
            self.state = State::Told;
            return Poll::Ready(Ok(None));
        };
        // The next message isn't harmed: it begins where the transport says.
        self.codec.check(&message)?;
        Poll::Ready(Ok(Some(message)))
    }

    fn poll_framed(&mut self, stream: &mut R, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if self.state == State::Told {
                return Poll::Ready(Ok(None));
            }
            let missing = match self.codec.step(&mut self.buffer) {
                Ok(Step::Message(message)) => {
                    self.let_go(message.len());
                    return Poll::Ready(Ok(Some(message)));
                }
                Ok(Step::Missing(missing)) => missing,
                Err(error) => {
                    self.state = State::Told;
                    return Poll::Ready(Err(error.into()));
                }
            };
            if self.state == State::Ended {
                self.state = State::Told;
                return Poll::Ready(Ok(self.codec.last(&mut self.buffer)?));
            }
            // An error of the stream, such as an elapsed deadline, changes nothing here.
            if !ready!(self.poll_fill(stream, cx, missing))? {
                self.state = State::Ended;
            }
        }
    }

    /// Reads more; false at the end.
    fn poll_fill(&mut self, stream: &mut R, cx: &mut Context<'_>, missing: usize) -> Poll<io::Result<bool>> {
        if let Some(recv) = self.recv {
            // One that is empty is no end.
            return recv(stream, cx).map_ok(|message| message.map(|bytes| self.append(bytes)).is_some());
        }
        self.make_room(missing);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = poll_read_buf(Pin::new(stream), cx, &mut self.buffer);
        match read {
            Poll::Pending if self.buffer.is_empty() && self.read_size > READ_LEAST => {
                // Who waits may wait for long, and many may: no large buffer for that.
                self.buffer = BytesMut::new();
            }
            Poll::Ready(Ok(n)) if n == room => self.read_size = (2 * self.read_size).min(READ_MOST),
            _ => {}
        }
        read.map_ok(|n| n > 0)
    }

    fn append(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Room grows with what has come, never with what is announced.
    fn make_room(&mut self, missing: usize) {
        let len = self.buffer.len();
        let wanted = if len < self.read_size { self.read_size - len } else { missing.min(len) };
        if self.buffer.capacity() - len < wanted.div_ceil(2) {
            self.buffer.reserve(wanted);
        }
    }

    /// The buffer of a large message goes with it, so that the next read doesn't take it over.
    fn let_go(&mut self, len: usize) {
        if len >= LARGE {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }
}
