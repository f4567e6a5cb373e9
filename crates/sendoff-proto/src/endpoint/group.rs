//! Several endpoints of one address, each with a socket and a driver of its own: whose a datagram is.
//!
//! The system spreads datagrams by a hash of both addresses, so what comes from one peer comes to one driver. Two
//! kinds of connections are not where that hash leads: those whose peer has moved, and those that were opened from
//! here. Their datagrams are passed on, once: a block says by its token whose it is, and everything else is looked up
//! by address and conversation id.

use super::{
    DropReason, Endpoint, Route, addressee,
    cookie::Quota,
    limits::{Budget, Neighbours},
};
use crate::{config::Config, seq::Conv, wire::SegmentView};
use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Connections at most whose datagrams come to another driver; those that have ended make room first.
const MAX_FORWARDS: usize = 65_536;

/// As long as the tombstone of a connection answers.
const AFTERWARDS: Duration = super::tombstones::LIFETIME;

/// What the endpoints of one address have in common: limits, and where connections are that the system's hash
/// doesn't lead to.
#[derive(Debug)]
pub struct Group {
    drivers: u8,
    pub(super) budget: Arc<Budget>,
    connections: AtomicUsize,
    /// How many there are, so that mostly no lock is taken.
    forwarded: AtomicUsize,
    forwards: Mutex<Forwards>,
    /// Ports of one address hash to different drivers.
    neighbours: Mutex<Neighbours>,
    /// So does what comes in one address's name from many ports: it is answered as by one driver.
    quota: Mutex<Option<Quota>>,
}

impl Group {
    /// Of so many endpoints, 1 at least, with these settings.
    pub fn new(config: &Config, drivers: u8) -> Arc<Self> {
        Arc::new(Self {
            drivers: drivers.max(1),
            budget: Arc::default(),
            connections: AtomicUsize::new(0),
            forwarded: AtomicUsize::new(0),
            forwards: Mutex::default(),
            neighbours: Mutex::new(Neighbours::new(config.max_connections_per_address_count())),
            quota: Mutex::default(),
        })
    }

    /// Endpoints that there are.
    pub fn drivers(&self) -> u8 {
        self.drivers
    }

    /// RETRYs are counted by a hash of the address that nobody can guess: the first seed counts.
    pub(super) fn count_retries(&self, seed: u128) {
        lock(&self.quota).get_or_insert_with(|| Quota::new(seed));
    }

    fn change<R>(&self, change: impl FnOnce(&mut Forwards) -> R) -> R {
        let mut forwards = self.lock();
        let result = change(&mut forwards);
        self.forwarded.store(forwards.len, Ordering::Release);
        result
    }

    fn lock(&self) -> MutexGuard<'_, Forwards> {
        lock(&self.forwards)
    }

    /// Where the connections of a remote address are that are forwarded: one of them, or any.
    fn find(&self, now: Instant, remote: SocketAddr, conv: Option<Conv>) -> Option<u8> {
        if self.forwarded.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().find(now, remote, conv)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in there can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An endpoint's place among those of its address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) group: Arc<Group>,
    driver: u8,
}

impl Place {
    pub(super) fn connections(&self) -> usize {
        self.group.connections.load(Ordering::Relaxed)
    }

    pub(super) fn count_in(&self) {
        self.group.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_out(&self) {
        self.group.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many RETRYs each address has had from all drivers.
    pub(super) fn quota(&self) -> MutexGuard<'_, Option<Quota>> {
        lock(&self.group.quota)
    }

    /// A connection has ended: its tombstone still answers for a while.
    pub(super) fn fade(&self, now: Instant, remote: SocketAddr, conv: Conv) {
        if self.group.forwarded.load(Ordering::Acquire) > 0 {
            self.group.change(|forwards| forwards.fade(now, remote, conv, self.driver));
        }
    }
}

impl<H: Clone> Endpoint<H> {
    /// The endpoint of one of a group's drivers, which are counted from 0. Connections in it must be told
    /// [their driver](crate::Connection::name_driver).
    pub fn in_group(config: Arc<Config>, listening: bool, group: Arc<Group>, driver: u8) -> Self {
        let mut endpoint = Self::new(config, listening);
        endpoint.budget = group.budget.clone();
        endpoint.place = Some(Place { group, driver });
        endpoint
    }

    /// Where a datagram goes that another driver of the group has passed on: it is never passed on again, and opens
    /// nothing, because what follows it would come to the other one.
    pub fn route_passed(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> Route<H> {
        match self.route_within(now, remote, datagram, true) {
            Route::Opens(..) => self.drop(DropReason::Unknown),
            route => route,
        }
    }

    /// From now on the datagrams of this connection, which is in this endpoint, are passed on to it, wherever the
    /// system brings them. False when there are too many such: they are met as those of an unknown conversation.
    /// Does nothing without a group.
    pub fn forward(&mut self, now: Instant, remote: SocketAddr, conv: Conv) -> bool {
        let Some(place) = &self.place else { return true };
        place.group.change(|forwards| forwards.enter(now, remote, conv, place.driver))
    }

    pub(super) fn change_neighbours(&mut self, change: impl FnOnce(&mut Neighbours)) {
        match &self.place {
            None => change(&mut self.neighbours),
            Some(place) => change(&mut lock(&place.group.neighbours)),
        }
    }

    pub(super) fn ask_neighbours(&self, ask: impl FnOnce(&Neighbours) -> bool) -> bool {
        match &self.place {
            None => ask(&self.neighbours),
            Some(place) => ask(&lock(&place.group.neighbours)),
        }
    }

    /// The other driver whose an unknown datagram is.
    pub(super) fn other_driver(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        conv: Conv,
        datagram: &[u8],
    ) -> Option<u8> {
        self.place.as_ref()?;
        if self.tombstones.contains(now, remote, conv) {
            return None;
        }
        let blocks = self.config.speaks_blocks();
        let place = self.place.as_ref()?;
        let driver = match place.group.find(now, remote, Some(conv)) {
            Some(driver) => driver,
            None if blocks => addressee(conv, datagram)?.driver(),
            None => return None,
        };
        (driver != place.driver && driver < place.group.drivers).then_some(driver)
    }

    /// The other driver whose a shard of forward error correction is; a data shard has segments in it. `None` when it
    /// is this one's, or nobody's.
    pub fn owner_of_shard(&mut self, now: Instant, remote: SocketAddr, data: Option<&[u8]>) -> Option<u8> {
        self.place.as_ref()?;
        let Some(data) = data else { return self.owner_of_remote(now, remote) };
        let (segment, _) = SegmentView::parse(data).ok()?;
        let conv = Conv::new(segment.conv())?;
        match self.get(remote, conv) {
            Some(_) => None,
            None => self.other_driver(now, remote, conv, data),
        }
    }

    /// The other driver that has the connections of a remote address with which this one has none.
    pub fn owner_of_remote(&self, now: Instant, remote: SocketAddr) -> Option<u8> {
        let place = self.place.as_ref().filter(|_| !self.remotes.contains_key(&remote))?;
        place.group.find(now, remote, None).filter(|&driver| driver != place.driver)
    }
}

#[derive(Clone, Copy, Debug)]
struct Forward {
    conv: Conv,
    driver: u8,
    /// Its connection has ended.
    until: Option<Instant>,
}

#[derive(Debug, Default)]
struct Forwards {
    by_remote: HashMap<SocketAddr, Vec<Forward>>,
    len: usize,
    /// Of connections that have ended, the oldest first.
    fading: VecDeque<(Instant, SocketAddr, Conv)>,
}

impl Forwards {
    fn enter(&mut self, now: Instant, remote: SocketAddr, conv: Conv, driver: u8) -> bool {
        self.expire(now);
        if let Some(known) = self.get_mut(remote, conv) {
            (known.driver, known.until) = (driver, None);
            return true;
        }
        while self.len >= MAX_FORWARDS {
            if !self.drop_oldest() {
                return false;
            }
        }
        self.by_remote.entry(remote).or_default().push(Forward { conv, driver, until: None });
        self.len += 1;
        true
    }

    fn find(&self, now: Instant, remote: SocketAddr, conv: Option<Conv>) -> Option<u8> {
        let there = self.by_remote.get(&remote)?;
        let forward = there.iter().find(|forward| {
            conv.is_none_or(|conv| forward.conv == conv) && forward.until.is_none_or(|until| until > now)
        });
        forward.map(|forward| forward.driver)
    }

    fn fade(&mut self, now: Instant, remote: SocketAddr, conv: Conv, driver: u8) {
        self.expire(now);
        let Some(forward) = self.get_mut(remote, conv).filter(|f| f.driver == driver && f.until.is_none())
        else {
            return;
        };
        forward.until = Some(now + AFTERWARDS);
        self.fading.push_back((now + AFTERWARDS, remote, conv));
    }

    fn expire(&mut self, now: Instant) {
        while self.fading.front().is_some_and(|&(until, ..)| until <= now) {
            self.drop_oldest();
        }
    }

    /// Forgets the one that ended first; false if none has.
    fn drop_oldest(&mut self) -> bool {
        let Some((until, remote, conv)) = self.fading.pop_front() else { return false };
        let Some(there) = self.by_remote.get_mut(&remote) else { return true };
        let before = there.len();
        // The same name may be in use again.
        there.retain(|forward| forward.conv != conv || forward.until != Some(until));
        self.len -= before - there.len();
        if there.is_empty() {
            self.by_remote.remove(&remote);
        }
        if self.len == 0 {
            *self = Self::default();
        }
        true
    }

    fn get_mut(&mut self, remote: SocketAddr, conv: Conv) -> Option<&mut Forward> {
        self.by_remote.get_mut(&remote)?.iter_mut().find(|forward| forward.conv == conv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(n: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 1 + (n >> 16) as u16))
    }

    #[test]
    fn of_too_many_forwards_those_whose_connections_have_ended_go_first_and_live_ones_never() {
        let (now, conv) = (Instant::now(), Conv::MAX);
        let mut forwards = Forwards::default();
        assert!((0..MAX_FORWARDS).all(|n| forwards.enter(now, remote(n), conv, 1)));
        assert!(!forwards.enter(now, remote(MAX_FORWARDS), conv, 1), "all of them live");
        assert!(forwards.enter(now, remote(3), conv, 2), "that one is known");
        for n in [5, 4] {
            forwards.fade(now, remote(n), conv, 1);
        }
        assert!(forwards.enter(now, remote(MAX_FORWARDS), conv, 1));
        assert_eq!(forwards.len, MAX_FORWARDS);
        assert_eq!(forwards.find(now, remote(5), Some(conv)), None);
        assert_eq!(forwards.find(now, remote(4), Some(conv)), Some(1));
        assert_eq!(forwards.find(now, remote(3), Some(conv)), Some(2));
    }

    #[test]
    fn a_name_that_is_used_again_outlives_the_end_of_its_former_user() {
        let (now, conv) = (Instant::now(), Conv::MAX);
        let mut forwards = Forwards::default();
        forwards.enter(now, remote(1), conv, 1);
        forwards.fade(now, remote(1), conv, 1);
        assert!(forwards.enter(now, remote(1), conv, 2));
        forwards.fade(now, remote(1), conv, 1); // not its own any more
        let later = now + AFTERWARDS;
        forwards.enter(later, remote(2), conv, 1);
        assert_eq!(forwards.find(later, remote(1), Some(conv)), Some(2));
        forwards.fade(later, remote(1), conv, 2);
        forwards.fade(later, remote(2), conv, 1);
        forwards.expire(later + AFTERWARDS);
        assert!(forwards.by_remote.is_empty() && forwards.len == 0);
    }
}
