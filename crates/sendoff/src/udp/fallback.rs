//! Where GSO is off.
//!
//! On a link that is smaller than the datagrams a GSO batch is refused, while single datagrams are fragmented. The
//! answer is the same the next time, so it is kept.

use std::collections::{HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Destinations remembered at most; the oldest is forgotten, and learnt again if it comes back.
pub(super) const MAX_DESTINATIONS: usize = 1_024;

/// The destinations that a GSO batch does not reach.
pub(super) struct GsoOff {
    everywhere: bool,
    /// Length of the set, so that a send asks no lock while it is empty.
    len: AtomicUsize,
    destinations: Mutex<Destinations>,
}

#[derive(Default)]
struct Destinations {
    members: HashSet<IpAddr>,
    by_age: VecDeque<IpAddr>,
}

impl GsoOff {
    pub(super) fn new(everywhere: bool) -> GsoOff {
        GsoOff { everywhere, len: AtomicUsize::new(0), destinations: Mutex::default() }
    }

    /// Whether batches to this address leave one datagram at a time.
    pub(super) fn covers(&self, destination: IpAddr) -> bool {
        self.is_everywhere()
            || self.len.load(Ordering::Relaxed) > 0 && self.lock().members.contains(&destination)
    }

    /// Whether GSO is off for every destination.
    pub(super) fn is_everywhere(&self) -> bool {
        self.everywhere
    }

    /// Keeps that no batch reaches this address.
    pub(super) fn insert(&self, destination: IpAddr) {
        let mut set = self.lock();
        if !set.members.insert(destination) {
            return;
        }
        set.by_age.push_back(destination);
        if set.by_age.len() > MAX_DESTINATIONS
            && let Some(oldest) = set.by_age.pop_front()
        {
            set.members.remove(&oldest);
        }
        self.len.store(set.members.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Destinations> {
        // The set is whole after every statement that can panic.
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number as u32).to_be_bytes())
    }

    #[test]
    fn the_set_covers_what_was_put_in_and_nothing_else() {
        let off = GsoOff::new(false);
        assert!(!off.covers(host(1)));
        off.insert(host(1));
        assert!(off.covers(host(1)) && !off.covers(host(2)));
        assert!(GsoOff::new(true).covers(host(2)));
    }

    #[test]
    fn the_set_is_bounded_and_forgets_the_oldest() {
        let off = GsoOff::new(false);
        for number in 0..MAX_DESTINATIONS + 2 {
            off.insert(host(number));
            off.insert(host(number));
        }
        assert_eq!(off.lock().members.len(), MAX_DESTINATIONS);
        assert_eq!(off.lock().by_age.len(), MAX_DESTINATIONS);
        assert!(!off.covers(host(0)) && !off.covers(host(1)));
        assert!(off.covers(host(2)) && off.covers(host(MAX_DESTINATIONS + 1)));
    }
}
