//! What remains of a connection for a while: its name, so that late copies of its first datagram open no other.

use crate::seq::Conv;
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Longer than any copy of a datagram is expected to stay in the network.
const LIFETIME: Duration = Duration::from_secs(10);

/// Tombstones at most; the oldest goes first.
const MAX_TOMBSTONES: usize = 65_536;

#[derive(Clone, Debug, Default)]
pub(super) struct Tombstones {
    until: HashMap<(SocketAddr, Conv), Instant>,
    order: VecDeque<(Instant, SocketAddr, Conv)>,
}

impl Tombstones {
    pub(super) fn insert(&mut self, now: Instant, remote: SocketAddr, conv: Conv) {
        self.expire(now);
        if self.order.len() == MAX_TOMBSTONES {
            self.pop();
        }
        let until = now + LIFETIME;
        self.until.insert((remote, conv), until);
        self.order.push_back((until, remote, conv));
    }

    pub(super) fn contains(&mut self, now: Instant, remote: SocketAddr, conv: Conv) -> bool {
        self.expire(now);
        self.until.contains_key(&(remote, conv))
    }

    fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|&(until, ..)| until <= now) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some((until, remote, conv)) = self.order.pop_front() else { return };
        // The same name may have been entered again since: then the later one counts.
        if self.until.get(&(remote, conv)) == Some(&until) {
            self.until.remove(&(remote, conv));
        }
    }
}
