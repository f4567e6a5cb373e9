//! What peers that have proven nothing may cost, all together.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Connections whose peers have not proven their address, at most.
pub(super) const MAX_UNPROVEN: usize = 1_024;

/// Bytes of data held for them at most.
const MAX_UNPROVEN_BYTES: usize = 16 << 20;

#[derive(Debug, Default)]
pub(super) struct Budget {
    connections: AtomicUsize,
    bytes: AtomicUsize,
}

impl Budget {
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// One unproven connection's share of what an endpoint spends on such; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Lease {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.connections.fetch_add(1, Ordering::Relaxed);
        Self { budget, bytes: 0 }
    }

    /// Whether it may hold so many bytes: of one datagram, more may have been taken than was told yet.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.budget.bytes() - self.bytes + bytes <= MAX_UNPROVEN_BYTES
    }

    /// So many are held now.
    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        let mut lease = Self::new(self.budget.clone());
        lease.set(self.bytes);
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.set(0);
        self.budget.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
