//! Datagrams beside the stream: unreliable, unordered, in the stream's encryption (kcp-go's `SendOOB`).

use super::{ConnectionShared, KcpStream, ReadHalf, Wakers, WriteHalf, wait};
use crate::Ending;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    task::{Context, Poll},
};

/// What waits for its reader at most; the oldest goes first.
const MAX_DATAGRAMS: usize = 256;
const MAX_BYTES: usize = 256 * 1_024;

/// What has come beside a stream, and who waits for it.
#[derive(Default)]
pub(crate) struct OutOfBand {
    arrived: VecDeque<Bytes>,
    bytes: usize,
    readers: Wakers,
}

impl OutOfBand {
    /// Takes one that came; returns who is to be woken.
    #[must_use]
    fn push(&mut self, payload: &[u8]) -> Wakers {
        while self.arrived.len() >= MAX_DATAGRAMS || self.bytes + payload.len() > MAX_BYTES {
            let Some(oldest) = self.arrived.pop_front() else { break };
            self.bytes -= oldest.len();
        }
        self.bytes += payload.len();
        self.arrived.push_back(Bytes::copy_from_slice(payload));
        self.readers.take()
    }

    fn pop(&mut self) -> Option<Bytes> {
        let payload = self.arrived.pop_front()?;
        self.bytes -= payload.len();
        Some(payload)
    }

    /// Who waits, when nothing more can come.
    #[must_use]
    pub(crate) fn take_readers(&mut self) -> Wakers {
        self.readers.take()
    }
}

impl ConnectionShared {
    pub(crate) fn take_out_of_band(&self, payload: &[u8]) {
        let readers = {
            let mut state = self.lock();
            if state.ending().is_some() {
                return;
            }
            state.out_of_band.get_or_insert_default().push(payload)
        };
        readers.wake();
    }

    fn poll_out_of_band(&self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Ending>> {
        let mut state = self.lock();
        let ending = state.ending();
        let inbox = state.out_of_band.get_or_insert_default();
        if let Some(payload) = inbox.pop() {
            return Poll::Ready(Ok(payload));
        }
        if let Some(ending) = ending {
            return Poll::Ready(Err(ending));
        }
        let crowd = inbox.readers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }
}

impl KcpStream {
    /// Sends a datagram beside the stream: it may be lost, doubled, or overtake what was written. It leaves at
    /// once, without waiting for windows; where the socket has no room, it is lost.
    ///
    /// A peer of kcp-go 5.6.60 or later takes it (`SetOOBHandler`); older ones, `ikcp.c` and others ignore it.
    ///
    /// # Errors
    /// `InvalidInput` when it has more than [`max_out_of_band`](Self::max_out_of_band) bytes; `NotConnected` before the peer
    /// has answered; how the connection ended.
    pub fn send_out_of_band(&self, payload: impl AsRef<[u8]>) -> io::Result<()> {
        self.connection().send_out_of_band(payload.as_ref())
    }

    /// The most bytes that [`send_out_of_band`](Self::send_out_of_band) takes.
    pub fn max_out_of_band(&self) -> usize {
        self.connection().max_out_of_band()
    }

    /// The next datagram that the peer has sent beside the stream. Of those that nobody fetches, the newest 256 are
    /// kept, and 256 KiB. Cancel safe.
    ///
    /// # Errors
    /// How the connection ended, also if in order.
    pub async fn recv_out_of_band(&self) -> io::Result<Bytes> {
        recv(self.connection()).await
    }
}

impl WriteHalf {
    /// See [`KcpStream::send_out_of_band`].
    ///
    /// # Errors
    /// As there.
    pub fn send_out_of_band(&self, payload: impl AsRef<[u8]>) -> io::Result<()> {
        self.connection().send_out_of_band(payload.as_ref())
    }
}

impl ReadHalf {
    /// See [`KcpStream::recv_out_of_band`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv_out_of_band(&self) -> io::Result<Bytes> {
        recv(self.connection()).await
    }
}

async fn recv(connection: &Arc<ConnectionShared>) -> io::Result<Bytes> {
    wait(|cx| connection.poll_out_of_band(cx)).await.map_err(io::Error::from)
}
