//! Datagrams on their way from one process to another that has the same socket: a stream of frames, behind what the
//! two agree on first.
//!
//! | offset | size | field (little-endian) |
//! |---|---|---|
//! | 0 | 4 | bytes of the datagram |
//! | 4 | 2 | port of its sender |
//! | 6 | 16 | address of its sender, IPv6; IPv4 in IPv6's clothes |
//! | 22 | 4 | scope of that address |
//! | 26 | 16 | our address that it was sent to; zeros where the system doesn't tell |
//! | 42 | | the datagram, as it came |

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll, ready};

use tokio::net::UnixStream;

use super::MAX_DATAGRAM_BYTES;
use super::buffers::RecvBuffers;

const HEADER: usize = 42;

/// Bytes that wait for a slow reader at most; what comes then is lost, as in a full socket.
const MAX_WAITING: usize = 4 << 20;

/// Bytes read at a time.
const READ: usize = 256 * 1024;

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// The writing end: to the successor.
pub(crate) struct PassOn {
    stream: UnixStream,
    /// What is written leaves it at once: a reader that is always a little behind must not let it grow.
    waiting: VecDeque<u8>,
}

impl PassOn {
    /// The successor reads `first`, and then frames.
    pub(crate) fn new(stream: UnixStream, first: &[u8]) -> Self {
        Self { stream, waiting: first.iter().copied().collect() }
    }

    /// Queues a datagram as it came.
    pub(crate) fn push(&mut self, source: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        if self.waiting.len() + HEADER + datagram.len() > MAX_WAITING {
            return;
        }
        let scope = if let SocketAddr::V6(source) = source { source.scope_id() } else { 0 };
        self.waiting.extend(&(datagram.len() as u32).to_le_bytes());
        self.waiting.extend(&source.port().to_le_bytes());
        self.waiting.extend(&v6(source.ip()).octets());
        self.waiting.extend(&scope.to_le_bytes());
        self.waiting.extend(&local.map_or(Ipv6Addr::UNSPECIFIED, v6).octets());
        self.waiting.extend(datagram);
    }

    /// Writes what waits, as far as there is room; wakes when there is more.
    ///
    /// # Errors
    /// The successor is gone.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write(self.waiting.as_slices().0) {
                Ok(written) => _ = self.waiting.drain(..written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The reading end: from the predecessor.
pub(crate) struct PassedOn {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
}

impl PassedOn {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, bytes: Vec::new(), taken: 0 }
    }

    /// The next datagrams, one in each buffer; `None` once the predecessor has gone.
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut RecvBuffers,
    ) -> Poll<Option<usize>> {
        loop {
            let filled = buffers.fill(|slices, meta| {
                let mut filled = 0;
                for (slice, meta) in slices.iter_mut().zip(meta) {
                    let Some(frame) = Frame::parse(&self.bytes[self.taken..])? else { break };
                    let len = frame.datagram.len();
                    slice[..len].copy_from_slice(frame.datagram);
                    (meta.addr, meta.len, meta.stride, meta.dst_ip) = (frame.source, len, len, frame.local);
                    self.taken += HEADER + len;
                    filled += 1;
                }
                io::Result::Ok(filled)
            });
            match filled {
                Ok(0) => {}
                Ok(filled) => return Poll::Ready(Some(filled)),
                // It isn't what it should be: as if it were gone.
                Err(_) => return Poll::Ready(None),
            }
            if !ready!(self.poll_more(cx)) {
                return Poll::Ready(None);
            }
        }
    }

    /// Reads more of the stream; false at its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let had = self.bytes.len();
        loop {
            if ready!(self.stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(false);
            }
            self.bytes.resize(had + READ, 0);
            let read = self.stream.try_read(&mut self.bytes[had..]);
            self.bytes.truncate(had + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(read) => return Poll::Ready(read > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(false),
            }
        }
    }
}

struct Frame<'a> {
    source: SocketAddr,
    local: Option<IpAddr>,
    datagram: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame in front; `None` while it isn't whole.
    ///
    /// # Errors
    /// It can't be one.
    fn parse(bytes: &'a [u8]) -> io::Result<Option<Self>> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let number =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let ip = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&header[at..at + 16]).unwrap_or_default());
        let len = number(0) as usize;
        if len > MAX_DATAGRAM_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some(datagram) = rest.get(..len) else { return Ok(None) };
        let port = u16::from_le_bytes([header[4], header[5]]);
        let source = SocketAddrV6::new(ip(6), port, 0, number(22));
        let local = ip(26);
        Ok(Some(Self {
            source: super::canonical(source.into()),
            local: (!local.is_unspecified()).then(|| IpAddr::from(local).to_canonical()),
            datagram,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, future::poll_fn};

    fn pair() -> (PassOn, PassedOn) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (PassOn::new(ours, &[]), PassedOn::new(theirs))
    }

    async fn received(from: &mut PassedOn) -> Option<Vec<(SocketAddr, Option<IpAddr>, Vec<u8>)>> {
        poll_fn(|cx| {
            RecvBuffers::lend(|buffers| {
                let filled = ready!(from.poll_recv(cx, buffers));
                let all = buffers.batches().flat_map(|batch| {
                    let (source, local) = (batch.source, batch.local);
                    batch
                        .datagrams()
                        .map(move |datagram| (source, local, datagram.to_vec()))
                        .collect::<Vec<_>>()
                });
                Poll::Ready(filled.map(|_| all.collect()))
            })
        })
        .await
    }

    #[tokio::test]
    async fn what_is_passed_on_arrives_as_it_came_and_in_order() {
        let (mut to, mut from) = pair();
        let v4 = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let v6 = SocketAddr::from(SocketAddrV6::new("fe80::1".parse().unwrap(), 5_000, 0, 3));
        let local = Some(IpAddr::from([198, 51, 100, 7]));
        let sent = [(v4, local, vec![7; 1_400]), (v6, None, vec![]), (v4, None, vec![9; MAX_DATAGRAM_BYTES])];
        for (source, local, datagram) in &sent {
            to.push(*source, *local, datagram);
        }
        poll_fn(|cx| to.poll_flush(cx)).await.unwrap();
        let mut came = Vec::new();
        while came.len() < sent.len() {
            came.extend(received(&mut from).await.unwrap());
        }
        assert!(came == sent);
        drop(to);
        assert!(received(&mut from).await.is_none(), "it has gone");
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_is_an_error_and_one_that_is_slow_loses_what_is_too_much() {
        let (mut to, from) = pair();
        let source = SocketAddr::from(([192, 0, 2, 1], 4_000));
        for _ in 0..200 {
            to.push(source, None, &[1; 60_000]);
        }
        assert!(to.waiting.len() <= MAX_WAITING, "{}", to.waiting.len());
        drop(from);
        assert!(poll_fn(|cx| to.poll_flush(cx)).await.is_err());
    }

    #[tokio::test]
    async fn a_reader_that_is_always_behind_costs_no_more_memory_than_what_waits_for_it() {
        const DATAGRAM: usize = 60_000;
        let (mut to, mut from) = pair();
        let source = SocketAddr::from(([192, 0, 2, 1], 4_000));
        let (mut next, mut seen) = (0_u32, Vec::new());
        // Three times what may wait is written, and never all of it.
        while seen.len() * DATAGRAM < 3 * MAX_WAITING {
            for _ in 0..2 * READ.div_ceil(DATAGRAM) {
                let mut datagram = vec![0; DATAGRAM];
                datagram[..4].copy_from_slice(&next.to_le_bytes());
                to.push(source, None, &datagram);
                next += 1;
            }
            let writing = poll_fn(|cx| {
                assert!(to.poll_flush(cx).is_pending(), "it has caught up");
                Poll::<Infallible>::Pending
            });
            let came = tokio::select! {
                biased;
                never = writing => match never {},
                came = received(&mut from) => came.unwrap(),
            };
            seen.extend(came.iter().map(|(_, _, datagram)| {
                assert_eq!(datagram.len(), DATAGRAM);
                u32::from_le_bytes(*datagram.first_chunk().unwrap())
            }));
            assert!(to.waiting.capacity() <= 2 * MAX_WAITING, "{}", to.waiting.capacity());
        }
        // What was lost was lost whole.
        assert!(seen.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_waits_and_one_that_is_too_long_is_refused() {
        let mut whole = vec![0; HEADER];
        whole[0] = 5;
        whole.extend(b"hello");
        for cut in 0..whole.len() {
            assert!(Frame::parse(&whole[..cut]).unwrap().is_none());
        }
        assert_eq!(Frame::parse(&whole).unwrap().unwrap().datagram, b"hello");
        whole[2] = 1;
        assert!(Frame::parse(&whole).is_err());
    }
}
