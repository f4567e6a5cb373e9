//! What the handles of connections tell the driver: which of them want its attention; and what the other drivers of
//! its group pass on to it.

use crate::{lock::lock, stream::ConnectionShared};
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

/// Bytes of datagrams passed on that wait for a driver at most: as much as its socket is asked to hold.
const PASSED_BYTES: usize = 4 << 20;

/// What each of them costs besides.
const PASSED_OVERHEAD: usize = 256;

/// A datagram that came to another driver, opened.
pub(super) struct Passed {
    pub(super) source: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) datagram: Box<[u8]>,
}

impl Passed {
    fn cost(&self) -> usize {
        self.datagram.len() + PASSED_OVERHEAD
    }
}

pub(super) type PassedQueue = VecDeque<Passed>;

/// A connection is in it once at most (its own flag says so), so its length is bounded by the
/// number of connections.
#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    dirty: VecDeque<Arc<ConnectionShared>>,
    passed: PassedQueue,
    passed_bytes: usize,
    /// Something else has changed: handles are gone, the endpoint was closed.
    poked: bool,
    /// The driver is gone. A connection that was put in here would hold its endpoint, and the socket, for ever.
    closed: bool,
    driver: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// Queues a connection, and wakes the driver if it sleeps.
    pub(super) fn push(&self, connection: Arc<ConnectionShared>) {
        let waker = {
            let mut state = self.lock();
            if state.closed {
                return;
            }
            state.dirty.push_back(connection);
            state.driver.take()
        };
        wake(waker);
    }

    /// Makes the driver look at everything else.
    pub(super) fn poke(&self) {
        let waker = {
            let mut state = self.lock();
            state.poked = true;
            state.driver.take()
        };
        wake(waker);
    }

    /// Queues a datagram of another driver, and wakes this one if it sleeps; false if there is no room.
    pub(super) fn pass(&self, passed: Passed) -> bool {
        let waker = {
            let mut state = self.lock();
            if state.closed || state.passed_bytes + passed.cost() > PASSED_BYTES {
                return false;
            }
            state.passed_bytes += passed.cost();
            state.passed.push_back(passed);
            state.driver.take()
        };
        wake(waker);
        true
    }

    /// All that was passed on.
    pub(super) fn take_passed(&self) -> PassedQueue {
        let mut state = self.lock();
        state.passed_bytes = 0;
        std::mem::take(&mut state.passed)
    }

    /// Nobody will look at it any more.
    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.lock();
            state.closed = true;
            (std::mem::take(&mut state.dirty), std::mem::take(&mut state.passed))
        };
        drop(dropped);
    }

    /// Everything else is about to be looked at: until it is poked again, the driver may sleep.
    pub(super) fn forget_poke(&self) {
        self.lock().poked = false;
    }

    /// Moves what is queued to the end of `into`.
    pub(super) fn drain(&self, into: &mut VecDeque<Arc<ConnectionShared>>) {
        into.append(&mut self.lock().dirty);
    }

    /// The driver is about to sleep; false if something has come meanwhile, so that it must not.
    pub(super) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if !state.dirty.is_empty() || state.poked || !state.passed.is_empty() {
            return false;
        }
        if !state.driver.as_ref().is_some_and(|w| w.will_wake(waker)) {
            state.driver = Some(waker.clone());
        }
        true
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_bounded_in_bytes_and_a_full_queue_takes_again_once_it_is_read() {
        let inbox = Inbox::default();
        let passed = |len: usize| Passed {
            source: "192.0.2.1:1".parse().unwrap(),
            local: None,
            datagram: vec![0; len].into(),
        };
        let mut taken = 0;
        while inbox.pass(passed(1_400)) {
            taken += 1;
        }
        assert_eq!(taken, PASSED_BYTES / (1_400 + PASSED_OVERHEAD));
        assert_eq!(inbox.take_passed().len(), taken);
        assert!(inbox.pass(passed(1_400)));
        inbox.take_passed();
        let small = (0..).take_while(|_| inbox.pass(passed(1))).count();
        assert!(small <= PASSED_BYTES / PASSED_OVERHEAD, "the smallest ones cost memory too");
    }
}
