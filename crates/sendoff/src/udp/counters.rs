//! What a socket has done so far.

use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of what a socket has done since it was bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// System calls that send, failed ones and repeated ones included.
    pub(crate) send_calls: u64,
    /// System calls that receive, failed ones and repeated ones included.
    pub(crate) recv_calls: u64,
    /// Datagrams that the system took.
    pub(crate) datagrams_sent: u64,
    /// Datagrams that came.
    pub(crate) datagrams_received: u64,
    /// Bytes of UDP payload that the system took.
    pub(crate) bytes_sent: u64,
    /// Bytes of UDP payload that came.
    pub(crate) bytes_received: u64,
    /// GSO batches that were refused and left one datagram at a time.
    pub(crate) gso_fallbacks: u64,
}

/// The counters themselves: several threads send.
#[derive(Default)]
pub(super) struct AtomicCounters {
    pub(super) send_calls: AtomicU64,
    pub(super) recv_calls: AtomicU64,
    pub(super) datagrams_sent: AtomicU64,
    pub(super) datagrams_received: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    pub(super) gso_fallbacks: AtomicU64,
}

impl AtomicCounters {
    pub(super) fn snapshot(&self) -> Counters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            send_calls: of(&self.send_calls),
            recv_calls: of(&self.recv_calls),
            datagrams_sent: of(&self.datagrams_sent),
            datagrams_received: of(&self.datagrams_received),
            bytes_sent: of(&self.bytes_sent),
            bytes_received: of(&self.bytes_received),
            gso_fallbacks: of(&self.gso_fallbacks),
        }
    }
}

/// Adds without order: the counters guard nothing.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
