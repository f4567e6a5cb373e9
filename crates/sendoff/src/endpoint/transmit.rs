//! From a connection to the socket: by the driver, or by a handle that sends its own.

use super::shared::EndpointShared;
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

thread_local! {
    /// Belongs to the thread, not to an endpoint: it is used within one call only.
    static BUFFER: RefCell<TransmitBuffer> = RefCell::new(TransmitBuffer::new());
}

impl EndpointShared {
    /// Sends what is urgent; returns whether the driver has to look at the connection.
    pub(crate) fn attend(
        &self,
        now: Instant,
        peer: SocketAddr,
        state: &mut ConnectionState,
        urgency: Urgency,
    ) -> bool {
        let connection = &mut state.connection;
        let send = match urgency {
            Urgency::Data => {
                let full = self.io.max_batch().min(MAX_DATAGRAM_BYTES / connection.config().mtu_bytes());
                connection.is_quiescent() || connection.sendable_segments() as usize >= full
            }
            Urgency::Control | Urgency::All => connection.owes_answer() || connection.has_transmit(),
        };
        if send {
            let mut icmp = Vec::new();
            self.transmit_batch(now, peer, state, &mut icmp);
            if !icmp.is_empty() {
                self.report_icmp(icmp);
            }
        }
        let connection = &mut state.connection;
        connection.ending().is_some()
            || connection.has_transmit()
            || connection.poll_timeout().is_some_and(|at| state.deadline.is_none_or(|d| at < d))
    }

    /// Prepares and sends one batch of a connection whose lock the caller holds.
    pub(super) fn transmit_batch(
        &self,
        now: Instant,
        peer: SocketAddr,
        state: &mut ConnectionState,
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        if self.blocked.load(Ordering::Acquire) {
            return Sent::Blocked;
        }
        BUFFER.with_borrow_mut(|buffer| {
            buffer.set_max_datagrams(self.io.max_batch());
            let Some(batch) = state.connection.poll_batch(now, buffer) else { return Sent::Nothing };
            self.show_sent(now, peer, batch.contents(), batch.datagram_size());
            let sent = self.send(peer, state.source, batch.contents(), batch.datagram_size(), icmp);
            if sent == Sent::Unreachable {
                // Our address may have gone: the system chooses another for the next.
                state.source = None;
            }
            sent
        })
    }

    pub(super) fn show_sent(&self, now: Instant, peer: SocketAddr, contents: &[u8], datagram_size: usize) {
        if let Some(tap) = self.config.tap_value() {
            for payload in contents.chunks(datagram_size.max(1)) {
                tap.datagram(&TappedDatagram::new(now, Direction::Sent, self.local_addr, peer, payload));
            }
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
        let left = match self.io.try_send(&transmit, icmp) {
            Ok(sent) if sent.bytes >= contents.len() => return Sent::Batch,
            Ok(sent) => &contents[sent.bytes..],
            Err(SendError::Blocked) => contents,
            Err(error @ (SendError::TooLarge | SendError::Dropped(_))) => {
                tracing::debug!(%destination, %error, "datagrams lost on the way out");
                self.count_send_failure();
                return Sent::Batch;
            }
            Err(SendError::Unreachable(error)) => {
                // A connected socket fails for ever once its source address has gone.
                tracing::debug!(%destination, %error, "no way to the peer");
                self.count_send_failure();
                if self.io.is_connected() {
                    _ = self.io.reconnect();
                }
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
