//! A stream within the process behind the common interface.

use super::super::{
    AnyStream, BoxFuture, Link, Peer, ReadSide, StreamStats, TransportStats, WriteSide, ends::Ends,
};
use super::pipe::{Pipe, Received, Taken};
use crate::{Cause, Ending, Farewell, Party};
use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// One end of a stream, shared by its sides.
struct End {
    local: Peer,
    peer: Peer,
    inbound: Arc<Pipe>,
    outbound: Arc<Pipe>,
    ends: Arc<Ends>,
    /// The account of the other end: here it is told at once.
    ends_there: Arc<Ends>,
    /// Sides that aren't dropped.
    sides: AtomicU8,
}

struct MemoryReadSide(Arc<End>);

struct MemoryWriteSide(Arc<End>);

/// Both ends of a stream between `client` and `server`.
pub(super) fn pair(client: Peer, server: Peer, capacity: usize) -> (AnyStream, AnyStream) {
    let pipes = [Arc::new(Pipe::new(capacity)), Arc::new(Pipe::new(capacity))];
    let ends = [Arc::new(Ends::new()), Arc::new(Ends::new())];
    let end = |local: &Peer, peer: &Peer, out: usize| End {
        local: local.clone(),
        peer: peer.clone(),
        inbound: pipes[1 - out].clone(),
        outbound: pipes[out].clone(),
        ends: ends[out].clone(),
        ends_there: ends[1 - out].clone(),
        sides: AtomicU8::new(2),
    };
    (stream(end(&client, &server, 0)), stream(end(&server, &client, 1)))
}

fn stream(end: End) -> AnyStream {
    let end = Arc::new(end);
    let (read, write) = (MemoryReadSide(end.clone()), MemoryWriteSide(end.clone()));
    AnyStream::new(Box::new(read), Box::new(write), end)
}

impl End {
    fn finish(&self, farewell: Farewell) {
        self.ends.finished(farewell.clone());
        if let Some(farewell) = self.outbound.finish(farewell) {
            self.ends_there.peer_finished(Some(farewell));
        }
    }

    fn close(&self, farewell: Farewell) {
        self.finish(farewell.clone());
        self.inbound.close();
        self.ends.closed(farewell);
    }

    fn drop_side(&self) {
        if self.sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close(Farewell::default());
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

    /// What a reader gets where nothing more is read.
    fn read_end(&self) -> io::Result<()> {
        match self.ends.ending() {
            Some(ending) if !ending.is_clean() => Err(ending.into()),
            _ => Ok(()),
        }
    }
}

impl ReadSide for MemoryReadSide {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let end = &self.0;
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match ready!(end.inbound.poll_read(cx, buf)) {
            Received::Bytes(n, last) => {
                end.ends.count_received(n);
                if last.is_some() {
                    end.ends.peer_finished(last);
                }
                Ok(())
            }
            Received::End(farewell) => {
                end.ends.peer_finished(Some(farewell));
                Ok(())
            }
            Received::Closed | Received::Broken => end.read_end(),
        })
    }
}

impl WriteSide for MemoryWriteSide {
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let end = &self.0;
        end.writable()?;
        Poll::Ready(match ready!(end.outbound.poll_write(cx, data)) {
            Taken::Bytes(n) => {
                end.ends.count_sent(n);
                Ok(n)
            }
            Taken::Deaf => Err(end.ends.fail(io::ErrorKind::ConnectionReset.into())),
            Taken::Broken => Err(end.ends.fail(io::ErrorKind::ConnectionAborted.into())),
        })
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// What was written is with the peer already.
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

impl Drop for MemoryReadSide {
    fn drop(&mut self) {
        self.0.drop_side();
    }
}

impl Drop for MemoryWriteSide {
    fn drop(&mut self) {
        self.0.finish(Farewell::default());
        self.0.drop_side();
    }
}

impl Link for End {
    fn peer(&self) -> Peer {
        self.peer.clone()
    }

    fn local(&self) -> Peer {
        self.local.clone()
    }

    fn ending(&self) -> Option<Ending> {
        self.ends.ending()
    }

    fn closed(&self) -> BoxFuture<'static, Ending> {
        let ends = self.ends.clone();
        Box::pin(async move { poll_fn(|cx| ends.poll_closed(cx)).await })
    }

    fn peer_farewell(&self) -> Option<Farewell> {
        self.ends.peer_farewell()
    }

    fn close(&self, code: u32, reason: &str) {
        End::close(self, Farewell::new(code, reason));
    }

    fn abort(&self, code: u32) {
        self.ends.end(Party::Local, Cause::Aborted, code);
        self.ends_there.end(Party::Peer, Cause::Reset, code);
        self.inbound.break_off();
        self.outbound.break_off();
    }

    fn stats(&self) -> StreamStats {
        StreamStats::new(self.ends.received(), self.ends.sent(), None, TransportStats::Other)
    }
}
