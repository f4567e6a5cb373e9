//! What the handles of connections tell the driver: which of them want its attention.

use crate::stream::ConnectionShared;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// A connection is in it once at most (its own flag says so), so its length is bounded by the
/// number of connections.
#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    dirty: VecDeque<Arc<ConnectionShared>>,
    /// Something else has changed: handles are gone, the endpoint was closed.
    poked: bool,
    driver: Option<Waker>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a connection, and wakes the driver if it sleeps.
    pub(super) fn push(&self, connection: Arc<ConnectionShared>) {
        let waker = {
            let mut state = self.lock();
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

    /// Moves what is queued to the end of `into`; says whether the driver was poked.
    pub(super) fn drain(&self, into: &mut VecDeque<Arc<ConnectionShared>>) -> bool {
        let mut state = self.lock();
        into.append(&mut state.dirty);
        std::mem::take(&mut state.poked)
    }

    /// The driver is about to sleep; false if something has come meanwhile, so that it must not.
    pub(super) fn park(&self, waker: &Waker) -> bool {
        let mut state = self.lock();
        if !state.dirty.is_empty() || state.poked {
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
