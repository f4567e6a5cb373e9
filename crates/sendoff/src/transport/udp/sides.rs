//! A flow behind the common interface.

use super::super::{AnyStream, BoxFuture, Link, Peer, ReadSide, StreamStats, TransportStats, WriteSide};
use super::flow::Flow;
use crate::{Ending, Farewell, udp::MAX_DATAGRAM_BYTES};
use bytes::Bytes;
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::ReadBuf;

struct UdpReadSide(Arc<Flow>);

struct UdpWriteSide(Arc<Flow>);

struct UdpLink(Arc<Flow>);

/// A flow that was opened or accepted.
pub(super) fn stream(flow: Arc<Flow>) -> AnyStream {
    let (read, write) = (UdpReadSide(flow.clone()), UdpWriteSide(flow.clone()));
    AnyStream::new(Box::new(read), Box::new(write), Arc::new(UdpLink(flow)))
}

impl ReadSide for UdpReadSide {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.0.poll_read(cx, buf)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.0.poll_recv(cx)
    }
}

impl WriteSide for UdpWriteSide {
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, data).map_ok(|()| data.len())
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [one] => self.poll_write(cx, one),
            _ => {
                let datagram: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                self.poll_write(cx, &datagram)
            }
        }
    }

    /// Together the slices are one datagram, and only here.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        self.0.writable()?;
        self.0.shared().poll_send(&self.0, cx, message)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// UDP can't tell what has arrived.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish(0, ""))
    }

    fn finish(&mut self, code: u32, reason: &str) -> io::Result<()> {
        if let Some(ending) = self.0.ends.ending().filter(|ending| !ending.is_clean()) {
            return Err(ending.into());
        }
        self.0.ends.finished(Farewell::new(code, reason));
        Ok(())
    }
}

impl Drop for UdpReadSide {
    fn drop(&mut self) {
        self.0.stop_reading();
        self.0.drop_side();
    }
}

impl Drop for UdpWriteSide {
    fn drop(&mut self) {
        self.0.ends.finished(Farewell::default());
        self.0.drop_side();
    }
}

impl Link for UdpLink {
    fn peer(&self) -> Peer {
        Peer::new("udp", self.0.peer())
    }

    fn local(&self) -> Peer {
        Peer::new("udp", self.0.local_addr())
    }

    fn max_message(&self) -> Option<usize> {
        Some(MAX_DATAGRAM_BYTES)
    }

    fn ending(&self) -> Option<Ending> {
        self.0.ends.ending()
    }

    fn closed(&self) -> BoxFuture<'static, Ending> {
        let ends = self.0.ends.clone();
        Box::pin(async move { poll_fn(|cx| ends.poll_closed(cx)).await })
    }

    fn close(&self, code: u32, reason: &str) {
        self.0.close(Farewell::new(code, reason));
    }

    fn abort(&self, code: u32) {
        self.0.abort(code);
    }

    fn stats(&self) -> StreamStats {
        let ends = &self.0.ends;
        StreamStats::new(ends.received(), ends.sent(), None, TransportStats::Udp(self.0.stats()))
    }
}
