//! Going away, for transports that have no word for it: nothing new is accepted, what is open is waited for.

use super::{AnyStream, Link};
use crate::{Departure, code, lock::lock};
use std::{
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// The connections that a listener has accepted.
#[derive(Default)]
pub(super) struct Accepted(Mutex<State>);

#[derive(Default)]
struct State {
    served: u64,
    /// Those that may still be open.
    links: Vec<Weak<dyn Link>>,
    /// When so many are in it, those that have gone are thrown out.
    next_look: usize,
}

/// Fewer than this are never looked through.
const FEW: usize = 64;

impl Accepted {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    pub(super) fn note(&self, stream: &AnyStream) {
        let mut state = self.lock();
        state.served += 1;
        if state.links.len() >= state.next_look.max(FEW) {
            state.links.retain(is_open);
            state.next_look = 2 * state.links.len();
        }
        state.links.push(stream.weak_link());
    }

    /// Waits until those that are open have ended, and aborts what is left after `limit`.
    pub(super) async fn depart(&self, limit: Duration) -> Departure {
        let began = Instant::now();
        let (served, open) = {
            let state = self.lock();
            (state.served, state.links.iter().filter_map(Weak::upgrade).collect::<Vec<_>>())
        };
        // Who waits for the end of a connection must not keep it open.
        let ends: Vec<_> = open
            .iter()
            .filter(|link| link.ending().is_none())
            .map(|link| (Arc::downgrade(link), link.closed()))
            .collect();
        drop(open);
        let mut departure = Departure { served, ..Departure::default() };
        let until = began.checked_add(limit);
        for (link, closed) in ends {
            let left = until.map_or(limit, |until| until.saturating_duration_since(Instant::now()));
            match timeout(left, closed).await {
                Ok(ending) if ending.is_clean() => departure.finished += 1,
                Ok(_) => departure.failed += 1,
                Err(_elapsed) => {
                    departure.reset += 1;
                    if let Some(link) = link.upgrade() {
                        link.abort(code::GOING_AWAY);
                    }
                }
            }
        }
        departure.lasted = began.elapsed();
        departure
    }
}

fn is_open(link: &Weak<dyn Link>) -> bool {
    link.upgrade().is_some_and(|link| link.ending().is_none())
}
