//! Where GSO is off.
//!
//! On a link that is smaller than the datagrams a GSO batch is refused, while single datagrams are fragmented. The
//! answer is the same the next time, so it is kept, for as long as what else is learned of a path: another link may
//! lead there by then.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::endpoint::now;
use crate::hosts::Hosts;
use crate::lock::lock;

/// The destinations that a GSO batch does not reach.
pub(super) struct GsoOff {
    everywhere: bool,
    /// Whether there are any, so that a send asks neither lock nor clock while there has been none.
    any: AtomicBool,
    hosts: Mutex<Hosts<()>>,
}

impl GsoOff {
    pub(super) fn new(everywhere: bool) -> GsoOff {
        GsoOff { everywhere, any: AtomicBool::new(false), hosts: Mutex::default() }
    }

    /// Whether batches to this address leave one datagram at a time.
    pub(super) fn covers(&self, destination: IpAddr) -> bool {
        self.is_everywhere()
            || self.any.load(Ordering::Relaxed) && lock(&self.hosts).get(now(), destination).is_some()
    }

    /// Whether GSO is off for every destination.
    pub(super) fn is_everywhere(&self) -> bool {
        self.everywhere
    }

    /// Keeps that no batch reaches this address.
    pub(super) fn insert(&self, destination: IpAddr) {
        let mut hosts = lock(&self.hosts);
        hosts.learn(now(), destination, ());
        self.any.store(true, Ordering::Relaxed);
    }

    /// Other links lead to all of them now.
    pub(super) fn clear(&self) {
        let mut hosts = lock(&self.hosts);
        *hosts = Hosts::default();
        self.any.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn host(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[tokio::test(start_paused = true)]
    async fn it_covers_what_was_put_in_for_ten_minutes_and_nothing_else() {
        let off = GsoOff::new(false);
        assert!(!off.covers(host(1)));
        off.insert(host(1));
        assert!(off.covers(host(1)) && !off.covers(host(2)));
        assert!(GsoOff::new(true).covers(host(2)));
        tokio::time::advance(Duration::from_secs(599)).await;
        assert!(off.covers(host(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!off.covers(host(1)), "a larger link may lead there by now");
        off.insert(host(1));
        assert!(off.covers(host(1)));
        off.clear();
        assert!(!off.covers(host(1)));
    }
}
