//! What peers that have proven nothing may cost, all together, and how many connections one address may have.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Connections whose peers have not proven their address, at most.
pub(super) const MAX_UNPROVEN: usize = 1_024;

/// From so many on a HELLO needs a cookie.
pub(super) const PRESSURE: usize = MAX_UNPROVEN / 4;

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

    /// Whether there is room for one more, which begins with so many bytes.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.connections() < MAX_UNPROVEN && self.bytes() + bytes <= MAX_UNPROVEN_BYTES
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

/// What counts as one address: an IPv4 address; of IPv6 the first 64 bits, because whoever has one of them has
/// all of that network.
pub(super) fn group(ip: IpAddr) -> Ipv6Addr {
    let ip = match ip {
        IpAddr::V4(ip) => return ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    match ip.to_ipv4_mapped() {
        Some(_) => ip,
        None => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)),
    }
}

/// How many connections each address has; nothing is counted without a bound.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    bound: Option<usize>,
    connections: HashMap<Ipv6Addr, usize>,
}

impl Neighbours {
    pub(super) fn new(bound: Option<usize>) -> Self {
        Self { bound, connections: HashMap::new() }
    }

    fn at(&self, ip: IpAddr) -> usize {
        self.connections.get(&group(ip)).copied().unwrap_or(0)
    }

    /// Whether that address has as many connections as it may have.
    pub(super) fn are_full(&self, ip: IpAddr) -> bool {
        self.bound.is_some_and(|bound| self.at(ip) >= bound)
    }

    /// Whether it has half of them: the rest is for those who show that it is their address, so that nobody can take
    /// all places in another's name.
    pub(super) fn are_many(&self, ip: IpAddr) -> bool {
        self.bound.is_some_and(|bound| self.at(ip) >= bound / 2)
    }

    pub(super) fn add(&mut self, ip: IpAddr) {
        if self.bound.is_some() {
            *self.connections.entry(group(ip)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, ip: IpAddr) {
        let group = group(ip);
        if let Some(count) = self.connections.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                self.connections.remove(&group);
            }
        }
    }

    /// Gives back the memory of a table that was larger once.
    pub(super) fn shrink(&mut self) {
        if self.connections.capacity() > 4 * self.connections.len().max(16) {
            self.connections.shrink_to(2 * self.connections.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_counts_by_network_and_ipv4_by_address_in_either_form() {
        let group = |text: &str| group(text.parse().unwrap());
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), group("2001:db8:1:2::1"));
        assert_ne!(group("2001:db8:1:2::1"), group("2001:db8:1:3::1"));
        assert_eq!(group("192.0.2.1"), group("::ffff:192.0.2.1"));
        assert_ne!(group("192.0.2.1"), group("192.0.2.2"));
        assert_ne!(group("::ffff:192.0.2.1"), group("::ffff:192.0.2.2"));
    }

    #[test]
    fn who_has_left_leaves_nothing_behind() {
        let ip = "192.0.2.1".parse().unwrap();
        let mut neighbours = Neighbours::new(Some(3));
        assert!(!neighbours.are_many(ip));
        let states: Vec<_> = (0..3)
            .map(|_| {
                neighbours.add(ip);
                (neighbours.are_many(ip), neighbours.are_full(ip))
            })
            .collect();
        assert_eq!(states, [(true, false), (true, false), (true, true)]);
        (0..3).for_each(|_| neighbours.remove(ip));
        assert!(neighbours.connections.is_empty());
        neighbours.remove(ip);
        assert!(!neighbours.are_full(ip));
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let ip = "192.0.2.1".parse().unwrap();
        let mut neighbours = Neighbours::new(None);
        (0..100).for_each(|_| neighbours.add(ip));
        assert!(neighbours.connections.is_empty() && !neighbours.are_full(ip) && !neighbours.are_many(ip));
    }
}
