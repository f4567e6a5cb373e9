//! The deadlines of all connections, lazily: an entry that comes due too early is looked at and put back.

use crate::stream::ConnectionShared;
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{Arc, Weak},
    time::Instant,
};

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

/// A connection has one entry that counts: the one whose time it remembers. Entries that were
/// overtaken by an earlier one stay until their own time, so there are few.
#[derive(Default)]
pub(super) struct DeadlineHeap(BinaryHeap<Reverse<Entry>>);

impl DeadlineHeap {
    pub(super) fn push(&mut self, at: Instant, connection: &Arc<ConnectionShared>) {
        self.0.push(Reverse(Entry { at, connection: Arc::downgrade(connection) }));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse(entry)| entry.at)
    }

    /// An entry that is due: its time, and its connection if that still exists.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, Option<Arc<ConnectionShared>>)> {
        if self.next()? > now {
            return None;
        }
        let Reverse(entry) = self.0.pop()?;
        Some((entry.at, entry.connection.upgrade()))
    }
}
