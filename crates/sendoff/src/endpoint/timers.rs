//! The deadlines of all connections, lazily: an entry that comes due too early is looked at and put back.

use super::driver::Driver;
use crate::stream::{ConnectionShared, ConnectionState};
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{Arc, Weak},
    time::Instant,
};

/// Deadlines met in a turn at most.
const DEADLINES: usize = 1_024;

/// So many entries are never looked through.
const FEW: usize = 1_024;

struct Entry {
    at: Instant,
    connection: Weak<ConnectionShared>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// The entries of all connections, each of which remembers two of its own at most ([`Deadlines`]). Others are of no use:
/// those that are between these two, and those of connections that have ended.
#[derive(Default)]
pub(super) struct DeadlineHeap(BinaryHeap<Reverse<Entry>>);

impl DeadlineHeap {
    fn push(&mut self, at: Instant, connection: &Arc<ConnectionShared>) {
        self.0.push(Reverse(Entry { at, connection: Arc::downgrade(connection) }));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse(entry)| entry.at)
    }

    /// An entry that is due: its time, and its connection if that still exists.
    fn pop_due(&mut self, now: Instant) -> Option<(Instant, Option<Arc<ConnectionShared>>)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.0.pop()?;
        Some((entry.at, entry.connection.upgrade()))
    }

    /// Throws out what is of no use once that is the greater part: each entry keeps the memory of its connection, and
    /// its time may be far away. No connection's lock may be held.
    fn tidy(&mut self, connections: impl FnOnce() -> usize) {
        if self.0.len() <= FEW || self.0.len() <= FEW + 4 * connections() {
            return;
        }
        self.0.retain(|Reverse(entry)| {
            entry.connection.upgrade().is_some_and(|connection| connection.lock().deadlines.has(entry.at))
        });
        self.0.shrink_to(2 * self.0.len());
    }
}

/// What a connection remembers of its entries in the heap: those are there.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// The one that counts.
    next: Option<Instant>,
    /// Of those that were overtaken by earlier ones the latest. It will count again: were it forgotten, a connection that
    /// is busy would add one for its keep-alive each time that something else came first.
    overtaken: Option<Instant>,
}

impl Deadlines {
    /// Whether a deadline is earlier than what is in the heap.
    pub(crate) fn would_miss(&self, at: Instant) -> bool {
        self.next.is_none_or(|next| at < next)
    }

    /// A connection wants to be looked at then; says whether the heap needs an entry for it.
    fn enter(&mut self, at: Instant) -> bool {
        if !self.would_miss(at) {
            return false;
        }
        if self.next.is_none() && self.overtaken.is_some_and(|overtaken| overtaken <= at) {
            self.next = self.overtaken.take();
            return false;
        }
        self.overtaken = self.overtaken.max(self.next);
        self.next = Some(at);
        true
    }

    /// An entry has come due; says whether it is the one that counts.
    fn meet(&mut self, at: Instant) -> bool {
        if self.overtaken == Some(at) {
            self.overtaken = None;
        }
        let counts = self.next == Some(at);
        if counts {
            self.next = None;
        }
        counts
    }

    /// Whether that entry is of use.
    fn has(&self, at: Instant) -> bool {
        self.next == Some(at) || self.overtaken == Some(at)
    }
}

impl Driver {
    pub(super) fn meet_deadlines(&mut self, now: Instant) {
        for _ in 0..DEADLINES {
            let Some((at, connection)) = self.deadlines.pop_due(now) else { break };
            let Some(connection) = connection else { continue };
            let mut state = connection.lock();
            if !state.deadlines.meet(at) {
                continue; // an earlier one has taken its place
            }
            if state.connection.poll_timeout().is_some_and(|at| at <= now) {
                state.connection.handle_timeout(now);
                self.list(&mut state, &connection);
            } else {
                self.register_deadline(&mut state, &connection);
            }
        }
        self.deadlines.tidy(|| self.shared.table().connections());
    }

    pub(super) fn register_deadline(
        &mut self,
        state: &mut ConnectionState,
        connection: &Arc<ConnectionShared>,
    ) {
        if let Some(at) = state.connection.poll_timeout()
            && state.deadlines.enter(at)
        {
            self.deadlines.push(at, connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, time::Duration};

    /// A connection's entries as the heap has them, by their times.
    #[derive(Default)]
    struct Entries(BTreeMap<Instant, usize>, Deadlines);

    impl Entries {
        fn enter(&mut self, at: Instant) {
            if self.1.enter(at) {
                *self.0.entry(at).or_default() += 1;
            }
            let next = self.1.next.expect("a deadline");
            assert!(next <= at && self.0.contains_key(&next), "it would be missed");
        }

        /// Pops the first.
        fn pop(&mut self) -> Option<(Instant, bool)> {
            let mut first = self.0.first_entry()?;
            let at = *first.key();
            *first.get_mut() -= 1;
            if *first.get() == 0 {
                first.remove();
            }
            Some((at, self.1.meet(at)))
        }

        fn count(&self) -> usize {
            self.0.values().sum()
        }
    }

    #[test]
    fn a_late_deadline_that_is_overtaken_again_and_again_stays_one_entry() {
        let (mut entries, began) = (Entries::default(), Instant::now());
        let keep_alive = began + Duration::from_secs(3_600);
        entries.enter(keep_alive);
        for round in 1..1_000 {
            let resend = began + Duration::from_millis(200 * round);
            entries.enter(resend);
            entries.enter(resend - Duration::from_millis(100));
            while entries.0.first_key_value().is_some_and(|(&at, _)| at <= resend) {
                entries.pop();
            }
            entries.enter(keep_alive + Duration::from_millis(round));
            assert_eq!(entries.count(), 1, "{round}");
        }
        assert_eq!(entries.pop(), Some((keep_alive, true)));
    }

    #[test]
    fn no_deadline_is_missed_in_whatever_order_they_come() {
        let (mut random, began) = (sendoff_netem::Rng::new(7), Instant::now());
        let mut entries = Entries::default();
        let mut now = began;
        for _ in 0..100_000 {
            // A connection's next deadline goes back and forth.
            let mut wanted = (random.below(8) > 0).then(|| now + Duration::from_millis(1 + random.below(40)));
            if let Some(at) = wanted {
                entries.enter(at);
            }
            now += Duration::from_millis(random.below(20));
            while entries.0.first_key_value().is_some_and(|(&at, _)| at <= now) {
                let (_, counts) = entries.pop().expect("an entry");
                match wanted {
                    Some(at) if counts && at > now => entries.enter(at),
                    Some(at) if counts && at <= now => wanted = None,
                    _ => {}
                }
            }
            assert!(wanted.is_none_or(|at| at > now), "it was missed");
        }
    }
}
