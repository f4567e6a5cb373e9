//! What streams of this crate can do beyond `AsyncRead` and `AsyncWrite`: keep boundaries, and finish without
//! waiting. They are recognised by their type, so that one constructor serves them and every other stream.

use crate::{AnyReadHalf, AnyStream, AnyWriteHalf, KcpStream, ReadHalf, WriteHalf};
use bytes::Bytes;
use std::{
    any::Any,
    io,
    task::{Context, Poll},
};

/// Receives one message of a transport that keeps boundaries; `None` at the end.
pub(super) type RecvFn<R> = fn(&mut R, &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

/// Sends one message over such a transport, whole or not at all.
pub(super) type SendFn<W> = fn(&mut W, &mut Context<'_>, &[u8]) -> Poll<io::Result<()>>;

/// Half-closes without waiting.
pub(super) type FinishFn<W> = fn(&mut W) -> io::Result<()>;

/// A reading side of this crate.
trait OwnReader: 'static {
    fn keeps_boundaries(&self) -> bool;
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;
}

/// A writing side of this crate.
trait OwnWriter: 'static {
    fn keeps_boundaries(&self) -> bool;
    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>>;
    fn finish(&mut self) -> io::Result<()>;
}

/// How to receive from a stream that keeps boundaries; `None` where it is one of bytes.
pub(super) fn recv_fn<R: 'static>(stream: &R) -> Option<RecvFn<R>> {
    recv_of::<AnyStream, R>(stream)
        .or_else(|| recv_of::<AnyReadHalf, R>(stream))
        .or_else(|| recv_of::<KcpStream, R>(stream))
        .or_else(|| recv_of::<ReadHalf, R>(stream))
}

/// The same for sending.
pub(super) fn send_fn<W: 'static>(stream: &W) -> Option<SendFn<W>> {
    send_of::<AnyStream, W>(stream)
        .or_else(|| send_of::<AnyWriteHalf, W>(stream))
        .or_else(|| send_of::<KcpStream, W>(stream))
        .or_else(|| send_of::<WriteHalf, W>(stream))
}

/// How to half-close a stream without waiting; `None` where only `poll_shutdown` is there.
pub(super) fn finish_fn<W: 'static>(stream: &W) -> Option<FinishFn<W>> {
    finish_of::<AnyStream, W>(stream)
        .or_else(|| finish_of::<AnyWriteHalf, W>(stream))
        .or_else(|| finish_of::<KcpStream, W>(stream))
        .or_else(|| finish_of::<WriteHalf, W>(stream))
}

fn recv_of<K: OwnReader, R: 'static>(stream: &R) -> Option<RecvFn<R>> {
    let own = (stream as &dyn Any).downcast_ref::<K>()?;
    own.keeps_boundaries().then_some(|stream: &mut R, cx: &mut Context<'_>| match own_mut::<K, R>(stream) {
        Some(own) => own.poll_recv(cx),
        None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
    })
}

fn send_of<K: OwnWriter, W: 'static>(stream: &W) -> Option<SendFn<W>> {
    let own = (stream as &dyn Any).downcast_ref::<K>()?;
    own.keeps_boundaries().then_some(|stream: &mut W, cx: &mut Context<'_>, message: &[u8]| {
        match own_mut::<K, W>(stream) {
            Some(own) => own.poll_send(cx, message),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    })
}

fn finish_of<K: OwnWriter, W: 'static>(stream: &W) -> Option<FinishFn<W>> {
    (stream as &dyn Any).is::<K>().then_some(|stream: &mut W| match own_mut::<K, W>(stream) {
        Some(own) => own.finish(),
        None => Err(io::ErrorKind::Unsupported.into()),
    })
}

fn own_mut<K: 'static, S: 'static>(stream: &mut S) -> Option<&mut K> {
    (stream as &mut dyn Any).downcast_mut()
}

impl OwnReader for AnyStream {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        AnyStream::poll_recv(self, cx)
    }
}

impl OwnReader for AnyReadHalf {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        AnyReadHalf::poll_recv(self, cx)
    }
}

impl OwnReader for KcpStream {
    fn keeps_boundaries(&self) -> bool {
        self.read.max_message().is_some()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.read.poll_recv(cx)
    }
}

impl OwnReader for ReadHalf {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ReadHalf::poll_recv(self, cx)
    }
}

impl OwnWriter for AnyStream {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        AnyStream::poll_send(self, cx, message)
    }

    fn finish(&mut self) -> io::Result<()> {
        AnyStream::finish(self)
    }
}

impl OwnWriter for AnyWriteHalf {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        AnyWriteHalf::poll_send(self, cx, message)
    }

    fn finish(&mut self) -> io::Result<()> {
        AnyWriteHalf::finish(self)
    }
}

impl OwnWriter for WriteHalf {
    fn keeps_boundaries(&self) -> bool {
        self.max_message().is_some()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        WriteHalf::poll_send(self, cx, message)
    }

    fn finish(&mut self) -> io::Result<()> {
        WriteHalf::finish(self)
    }
}

impl OwnWriter for KcpStream {
    fn keeps_boundaries(&self) -> bool {
        self.read.max_message().is_some()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        self.write.poll_send(cx, message)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write.finish()
    }
}
