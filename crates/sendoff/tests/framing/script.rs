//! A stream that does what a test says: brings the bytes in these pieces, takes so many at a time.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug, Default)]
pub struct Script {
    /// What comes, read by read. Before each, one read finds nothing.
    pieces: VecDeque<Vec<u8>>,
    hesitated: bool,
    /// The most room that a read offered.
    pub room: usize,
    pub written: Vec<u8>,
    /// Calls that wrote something.
    pub writes: usize,
    /// Bytes that one write takes at most; before each but the first, one takes nothing.
    takes: Option<usize>,
    refused: bool,
    fails: bool,
    vectored: bool,
    pub flushed: usize,
    pub shut: bool,
}

impl Script {
    pub fn bringing(pieces: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let pieces = pieces.into_iter().map(Into::into).filter(|piece: &Vec<u8>| !piece.is_empty());
        Self { pieces: pieces.collect(), ..Self::default() }
    }

    /// Where a write would have to wait, it fails instead.
    pub fn failing(bytes: usize) -> Self {
        Self { fails: true, ..Self::taking(bytes, true) }
    }

    pub fn taking(bytes: usize, vectored: bool) -> Self {
        Self { takes: Some(bytes), vectored, ..Self::default() }
    }

    fn take(&mut self, cx: &mut Context<'_>, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
        if self.takes.is_some() && !self.refused && self.writes > 0 {
            self.refused = true;
            if self.fails {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.refused = false;
        let mut room = self.takes.unwrap_or(usize::MAX);
        let before = self.written.len();
        for slice in slices {
            let taken = slice.len().min(room);
            self.written.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        self.writes += 1;
        Poll::Ready(Ok(self.written.len() - before))
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.room = self.room.max(buf.remaining());
        if !std::mem::replace(&mut self.hesitated, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.hesitated = false;
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                self.hesitated = true;
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.take(cx, &[data])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.take(cx, &slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.written.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

/// A stream that fails once before each byte that it brings, and stays usable.
pub struct Flaky {
    bytes: std::slice::Iter<'static, u8>,
    failed: bool,
}

impl Flaky {
    pub fn new(bytes: &'static [u8]) -> Self {
        Self { bytes: bytes.iter(), failed: false }
    }
}

impl AsyncRead for Flaky {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.failed = !self.failed && self.bytes.len() > 0;
        if self.failed {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        buf.put_slice(self.bytes.next().map_or(&[], std::slice::from_ref));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flaky {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
