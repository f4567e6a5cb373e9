//! From a connection to the socket: by the driver, or by a handle that sends its own.

use super::{envelope::MAX_SMALL, shared::EndpointShared};
use crate::{
    stream::ConnectionState,
    udp::{IcmpError, MAX_DATAGRAM_BYTES, SendError, Transmit},
};
use sendoff_proto::{Direction, TappedDatagram, TransmitBuffer};
use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr},
    sync::atomic::Ordering,
    time::Instant,
};

/// What a handle wants to leave at once; the rest is the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Data was written. A batch is never split: it leaves when nothing is in flight, or once it is full.
    Data,
    /// An acknowledgement or a window.
    Control,
    /// Whatever there is.
    All,
}

/// What became of an attempt to send a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// There was nothing to send.
    Nothing,
    /// A batch has left.
    Batch,
    /// The socket takes no more for now.
    Blocked,
    /// No way there, as from the address that was asked for: the batch is lost.
    Unreachable,
}

/// A batch that the socket refused: it stays as it was prepared, and goes first.
pub(super) struct Blocked {
    destination: SocketAddr,
    source: Option<IpAddr>,
    bytes: Vec<u8>,
    datagram_size: usize,
}

/// The address that is asked for to send from, and the peer.
type Way = (Option<IpAddr>, SocketAddr);

thread_local! {
    /// Belongs to the thread, not to an endpoint: it is used within one call only.
    static BUFFER: RefCell<TransmitBuffer> = RefCell::new(TransmitBuffer::new());
}

impl EndpointShared {
    /// Sends what is urgent; returns whether the driver has to look at the connection.
    pub(crate) fn attend(&self, now: Instant, state: &mut ConnectionState, urgency: Urgency) -> bool {
        let connection = &mut state.connection;
        let send = match urgency {
            Urgency::Data => {
                let full = self.io.max_batch().min(MAX_DATAGRAM_BYTES / connection.config().mtu_bytes());
                connection.is_quiescent() || connection.sendable_segments() as usize >= full
            }
            Urgency::Control | Urgency::All => connection.owes_answer() || connection.has_transmit(),
        };
        if send && !state.held {
            let mut icmp = Vec::new();
            self.transmit_batch(now, state, &mut icmp);
            if !icmp.is_empty() {
                self.report_icmp(icmp);
            }
        }
        let connection = &mut state.connection;
        connection.ending().is_some()
            || connection.has_transmit()
            || connection.poll_timeout().is_some_and(|at| state.deadlines.would_miss(at))
    }

    /// Prepares and sends one batch of a connection whose lock the caller holds.
    pub(super) fn transmit_batch(
        &self,
        now: Instant,
        state: &mut ConnectionState,
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        if self.is_blocked() {
            return Sent::Blocked;
        }
        self.find_way_again(now, state);
        let peer = state.peer;
        BUFFER.with_borrow_mut(|buffer| {
            buffer.set_max_datagrams(self.io.max_batch());
            let sent = match self.shards.sender(peer, state.connection.peer_kind()) {
                Some(sender) => self.transmit_shards(now, peer, state, (&sender, buffer), icmp),
                None => self.transmit_plain(now, peer, state, buffer, icmp),
            };
            if sent == Sent::Unreachable {
                self.lose_way(now, state);
            }
            sent
        })
    }

    /// Without FEC.
    fn transmit_plain(
        &self,
        now: Instant,
        peer: SocketAddr,
        state: &mut ConnectionState,
        buffer: &mut TransmitBuffer,
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        buffer.set_room(self.envelope.front, self.envelope.back);
        let Some(batch) = state.connection.poll_batch(now, buffer) else { return Sent::Nothing };
        if !self.envelope.is_null() {
            // Room was left, so it is in the buffer.
            return self.send_prepared(now, peer, state.source, buffer, icmp);
        }
        let size = batch.datagram_size();
        self.show_sent(now, (state.source, peer), batch.contents(), size, None);
        self.send(peer, state.source, batch.contents(), size, icmp)
    }

    /// Seals the batch that is in the buffer, and sends it.
    pub(super) fn send_prepared(
        &self,
        now: Instant,
        peer: SocketAddr,
        source: Option<IpAddr>,
        buffer: &mut TransmitBuffer,
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        let size = buffer.datagram_size();
        let contents = buffer.contents_mut();
        self.seal(now, (source, peer), contents, size);
        self.send(peer, source, contents, size, icmp)
    }

    /// Sends a datagram that belongs to no connection.
    pub(super) fn send_small(
        &self,
        now: Instant,
        to: SocketAddr,
        source: Option<IpAddr>,
        segments: &[u8],
        icmp: &mut Vec<IcmpError>,
    ) {
        let (front, back) = (self.envelope.front, self.envelope.back);
        let mut bytes = [0; MAX_SMALL];
        let size = front + segments.len() + back;
        debug_assert!(size <= MAX_SMALL);
        let Some(datagram) = bytes.get_mut(..size) else { return };
        datagram[front..size - back].copy_from_slice(segments);
        self.send_sealed(now, to, source, datagram, icmp);
    }

    /// Seals one datagram, which has the room for it, and sends it.
    pub(super) fn send_sealed(
        &self,
        now: Instant,
        to: SocketAddr,
        source: Option<IpAddr>,
        datagram: &mut [u8],
        icmp: &mut Vec<IcmpError>,
    ) {
        let size = datagram.len();
        self.seal(now, (source, to), datagram, size);
        self.send(to, source, datagram, size, icmp);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Seals a batch in place, and shows it to the tap.
    fn seal(&self, now: Instant, way: Way, contents: &mut [u8], size: usize) {
        let written = self.config.tap_value().is_some().then(|| contents.to_vec());
        self.envelope.seal(contents, size);
        if let Some(written) = written {
            self.show_sent(now, way, contents, size, Some(&written));
        }
    }

    /// Our address, as the peer that uses `own` knows it: the socket may be bound to all of them.
    pub(super) fn local_towards(&self, own: Option<IpAddr>) -> SocketAddr {
        own.map_or(self.local_addr, |ip| SocketAddr::new(ip, self.local_addr.port()))
    }

    /// Shows what leaves to the tap; `written` is the same before it was sealed, if it was.
    fn show_sent(
        &self,
        now: Instant,
        (source, peer): Way,
        contents: &[u8],
        size: usize,
        written: Option<&[u8]>,
    ) {
        let Some(tap) = self.config.tap_value() else { return };
        let local = self.local_towards(source);
        let size = size.max(1);
        let mut written = written.unwrap_or(contents).chunks(size);
        for payload in contents.chunks(size) {
            let inside =
                written.next().and_then(|w| w.get(self.envelope.front..w.len() - self.envelope.back));
            let shown = TappedDatagram::new(now, Direction::Sent, local, peer, payload);
            tap.datagram(&shown.with_opened(inside));
        }
    }

    /// Sends what was prepared; what the socket can't take is kept for [`retry_blocked`](Self::retry_blocked).
    pub(super) fn send(
        &self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        contents: &[u8],
        datagram_size: usize,
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        let transmit = Transmit { destination, source, contents, datagram_size };
        let datagrams = |bytes: usize| bytes.div_ceil(datagram_size.max(1));
        let left = match self.io.try_send(&transmit, icmp) {
            Ok(sent) => {
                self.count_send_failures(datagrams(sent.bytes).saturating_sub(sent.datagrams));
                if sent.bytes >= contents.len() {
                    return Sent::Batch;
                }
                &contents[sent.bytes..]
            }
            Err(SendError::Blocked) => contents,
            Err(error @ (SendError::TooLarge | SendError::Dropped(_))) => {
                tracing::debug!(%destination, %error, "datagrams lost on the way out");
                self.count_send_failures(datagrams(contents.len()));
                return Sent::Batch;
            }
            Err(SendError::Unreachable(error)) => {
                tracing::debug!(%destination, %error, "no way to the peer");
                self.count_send_failures(datagrams(contents.len()));
                return Sent::Unreachable;
            }
            Err(SendError::Fatal(error)) => {
                self.fail(error);
                return Sent::Batch;
            }
        };
        self.keep_blocked(Blocked { destination, source, bytes: left.to_vec(), datagram_size });
        Sent::Blocked
    }

    /// Sends the batches that were refused; false while the socket still takes nothing.
    pub(super) fn retry_blocked(&self, icmp: &mut Vec<IcmpError>) -> bool {
        while let Some(batch) = self.take_blocked() {
            if self.send(batch.destination, batch.source, &batch.bytes, batch.datagram_size, icmp)
                == Sent::Blocked
            {
                return false;
            }
        }
        true
    }
}
