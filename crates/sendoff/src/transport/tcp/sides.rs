//! A TCP connection behind the common interface.

use super::super::{
    AnyStream, BoxFuture, Link, Peer, ReadSide, StreamStats, TransportStats, WriteSide, ends::Ends,
};
use super::{TcpOptions, info, socket};
use crate::{Cause, Ending, Farewell, Party};
use socket2::SockRef;
use std::{
    future::poll_fn,
    io::{self, IoSlice, Read},
    net::{Shutdown, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{Interest, ReadBuf},
    net::TcpStream,
};

/// What both sides share.
struct Shared {
    stream: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
    /// Closed or aborted here: nothing is read any more.
    closed: AtomicBool,
    /// Sides that aren't dropped.
    sides: AtomicU8,
    /// Apart: who waits for the end must not keep the socket open.
    ends: Arc<Ends>,
}

struct TcpReadSide(Arc<Shared>);

struct TcpWriteSide(Arc<Shared>);

/// A connection that was opened or accepted.
pub(super) fn stream(stream: TcpStream, options: &TcpOptions) -> io::Result<AnyStream> {
    socket::set_up(&stream, options)?;
    let shared = Arc::new(Shared {
        local: stream.local_addr()?,
        peer: stream.peer_addr()?,
        stream,
        closed: AtomicBool::new(false),
        sides: AtomicU8::new(2),
        ends: Arc::new(Ends::new()),
    });
    let (read, write) = (TcpReadSide(shared.clone()), TcpWriteSide(shared.clone()));
    Ok(AnyStream::new(Box::new(read), Box::new(write), shared))
}

impl Shared {
    /// Reads once. A read that doesn't fill the buffer has emptied the socket: with an edge-triggered poller that
    /// saves the next call, as tokio's own `poll_read` does.
    fn read(&self, out: &mut [u8]) -> io::Result<usize> {
        let mut short = None;
        let read = self.stream.try_io(Interest::READABLE, || {
            let n = (&*SockRef::from(&self.stream)).read(out)?;
            if cfg!(any(target_os = "linux", target_os = "macos")) && n > 0 && n < out.len() {
                short = Some(n);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(n)
        });
        short.map_or(read, Ok)
    }

    fn finish(&self, farewell: Farewell) {
        if !self.ends.is_finished() {
            // It fails only where the connection is gone, and then there is no one to tell.
            _ = SockRef::from(&self.stream).shutdown(Shutdown::Write);
            self.ends.finished(farewell);
        }
    }

    fn drop_side(&self) {
        if self.sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ends.closed(Farewell::default());
        }
    }

    fn writable(&self) -> io::Result<()> {
        match self.ends.ending() {
            Some(ending) => Err(ending.into()),
            None if self.ends.is_finished() => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "nothing can be written after finish"))
            }
            None => Ok(()),
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.stream) {
                Ok(n) => {
                    self.ends.count_sent(n);
                    return Poll::Ready(Ok(n));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_write_ready(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.writable()?;
                    return Poll::Ready(Err(self.ends.fail(error)));
                }
            }
        }
    }
}

impl ReadSide for TcpReadSide {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let shared = &self.0;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if shared.closed.load(Ordering::Acquire) {
                let ending = shared.ends.ending().filter(|ending| !ending.is_clean());
                return Poll::Ready(ending.map_or(Ok(()), |ending| Err(ending.into())));
            }
            match shared.read(buf.initialize_unfilled()) {
                Ok(n) => {
                    if n == 0 {
                        shared.ends.peer_finished(None);
                    }
                    shared.ends.count_received(n);
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(shared.stream.poll_read_ready(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(shared.ends.fail(error))),
            }
        }
    }
}

impl WriteSide for TcpWriteSide {
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(cx, |stream| stream.try_write(data))
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_with(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The system delivers what was written; it doesn't tell when.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish(0, ""))
    }

    fn finish(&mut self, code: u32, reason: &str) -> io::Result<()> {
        if let Some(ending) = self.0.ends.ending().filter(|ending| !ending.is_clean()) {
            return Err(ending.into());
        }
        self.0.finish(Farewell::new(code, reason));
        Ok(())
    }
}

impl Drop for TcpReadSide {
    fn drop(&mut self) {
        self.0.drop_side();
    }
}

impl Drop for TcpWriteSide {
    fn drop(&mut self) {
        self.0.finish(Farewell::default());
        self.0.drop_side();
    }
}

impl Link for Shared {
    fn peer(&self) -> Peer {
        Peer::new("tcp", self.peer)
    }

    fn local(&self) -> Peer {
        Peer::new("tcp", self.local)
    }

    fn ending(&self) -> Option<Ending> {
        self.ends.ending()
    }

    fn closed(&self) -> BoxFuture<'static, Ending> {
        let ends = self.ends.clone();
        Box::pin(async move { poll_fn(|cx| ends.poll_closed(cx)).await })
    }

    fn close(&self, code: u32, reason: &str) {
        self.closed.store(true, Ordering::Release);
        self.finish(Farewell::new(code, reason));
        _ = SockRef::from(&self.stream).shutdown(Shutdown::Read);
        self.ends.closed(Farewell::new(code, reason));
    }

    /// The peer gets a RST: at once on Linux, elsewhere when the stream is dropped.
    fn abort(&self, code: u32) {
        self.ends.end(Party::Local, Cause::Aborted, code);
        self.closed.store(true, Ordering::Release);
        let socket = SockRef::from(&self.stream);
        _ = socket.set_linger(Some(Duration::ZERO));
        #[cfg(target_os = "linux")]
        {
            _ = crate::udp::dissolve(&self.stream);
        }
        // Wakes who reads or writes here.
        _ = socket.shutdown(Shutdown::Both);
    }

    fn stats(&self) -> StreamStats {
        let tcp = info::of(&self.stream);
        StreamStats::new(self.ends.received(), self.ends.sent(), tcp.rtt, TransportStats::Tcp(tcp))
    }
}
