//! Buffers of a thread, lent for one turn of a driver.
//!
//! A receive call fills eight buffers of 64 KiB, because one GRO buffer holds up to 64 datagrams. That is half a
//! megabyte: too much for every endpoint, so it belongs to the thread that runs the drivers.

use std::cell::Cell;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::RecvMeta;

use super::address::canonical;

/// GRO buffers that one receive call fills at most.
pub(crate) const RECV_BATCH: usize = 8;

/// Bytes of one GRO buffer: the largest that the kernel coalesces, and more than the largest datagram.
const GRO_BUFFER_BYTES: usize = 65_536;

thread_local! {
    static RECV_BUFFERS: Cell<Option<Box<RecvBuffers>>> = const { Cell::new(None) };
}

/// Eight GRO buffers and what the last receive call put into them.
pub(crate) struct RecvBuffers {
    bytes: Box<[u8]>,
    meta: [RecvMeta; RECV_BATCH],
    filled: usize,
}

impl RecvBuffers {
    fn new() -> RecvBuffers {
        RecvBuffers {
            bytes: vec![0; RECV_BATCH * GRO_BUFFER_BYTES].into_boxed_slice(),
            meta: [RecvMeta::default(); RECV_BATCH],
            filled: 0,
        }
    }

    /// Lends the buffers of this thread for the length of one call.
    ///
    /// A call within a call gets buffers of its own, which are freed again.
    pub(crate) fn lend<R>(work: impl FnOnce(&mut RecvBuffers) -> R) -> R {
        // Taken out and put back, not borrowed: a panic in `work` then loses the buffers and nothing else.
        let mut buffers = RECV_BUFFERS.take().unwrap_or_else(|| Box::new(RecvBuffers::new()));
        buffers.filled = 0;
        let result = work(&mut buffers);
        RECV_BUFFERS.set(Some(buffers));
        result
    }

    /// What the last receive call brought: one [`Batch`] for each buffer filled, in order of arrival.
    pub(crate) fn batches(&mut self) -> impl Iterator<Item = Batch<'_>> {
        self.bytes.chunks_exact_mut(GRO_BUFFER_BYTES).zip(&self.meta).take(self.filled).map(
            |(buffer, meta)| Batch {
                source: canonical(meta.addr),
                local: meta.dst_ip.map(|ip| ip.to_canonical()),
                stride: meta.stride,
                contents: &mut buffer[..meta.len],
            },
        )
    }

    /// Has `receive` fill the buffers, and keeps how many it filled.
    pub(super) fn fill<E>(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.filled = 0;
        let mut chunks = self.bytes.chunks_exact_mut(GRO_BUFFER_BYTES);
        let mut slices: [IoSliceMut<'_>; RECV_BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        self.filled = receive(&mut slices, &mut self.meta)?;
        Ok(self.filled)
    }

    /// Datagrams and bytes of the last receive call.
    pub(super) fn totals(&self) -> (u64, u64) {
        let filled = &self.meta[..self.filled];
        let datagrams: usize = filled.iter().map(|meta| datagrams_in(meta.len, meta.stride)).sum();
        let bytes: usize = filled.iter().map(|meta| meta.len).sum();
        (datagrams as u64, bytes as u64)
    }

    /// Forgets what the last receive call brought.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }
}

/// Datagrams of one source that came in one GRO buffer.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// Where they came from, canonical.
    pub(crate) source: SocketAddr,
    /// The local address that they were sent to, where the platform tells; the source address of an answer.
    pub(crate) local: Option<IpAddr>,
    stride: usize,
    contents: &'a mut [u8],
}

impl<'a> Batch<'a> {
    /// The payload of each datagram, in order; an empty one comes alone.
    pub(crate) fn datagrams(self) -> impl Iterator<Item = &'a mut [u8]> {
        let empty: Option<&'a mut [u8]> = self.contents.is_empty().then_some(Default::default());
        empty.into_iter().chain(self.contents.chunks_mut(self.stride.max(1)))
    }
}

/// Datagrams of one buffer; an empty one counts.
fn datagrams_in(bytes: usize, stride: usize) -> usize {
    if stride == 0 { 1 } else { bytes.div_ceil(stride).max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loan_within_a_loan_gets_buffers_of_its_own() {
        RecvBuffers::lend(|outer| {
            let outer = outer.bytes.as_ptr();
            RecvBuffers::lend(|inner| assert_ne!(inner.bytes.as_ptr(), outer));
        });
    }

    #[test]
    fn the_buffers_of_a_thread_are_lent_again_and_lent_empty() {
        let first = RecvBuffers::lend(|buffers| {
            buffers.filled = 3;
            buffers.bytes.as_ptr() as usize
        });
        RecvBuffers::lend(|buffers| {
            assert_eq!(buffers.bytes.as_ptr() as usize, first);
            assert_eq!(buffers.batches().count(), 0);
        });
    }

    #[test]
    fn an_empty_datagram_counts_and_comes_alone() {
        let batch = Batch {
            source: SocketAddr::from(([127, 0, 0, 1], 1)),
            local: None,
            stride: 0,
            contents: &mut [],
        };
        assert_eq!(datagrams_in(0, batch.stride), 1);
        assert_eq!(batch.datagrams().map(|d| d.len()).collect::<Vec<_>>(), [0]);
    }
}
