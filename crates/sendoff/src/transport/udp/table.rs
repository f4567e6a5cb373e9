//! The flows of a socket by peer, and when each is over if nothing happens.

use super::flow::Flow;
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};
use tokio::time::Instant;

/// Each flow has one entry in the deadlines at most; it is looked at when it is due, and put back if something has
/// happened meanwhile. So a datagram costs no timer.
#[derive(Default)]
pub(super) struct Table {
    flows: HashMap<SocketAddr, Entry>,
    deadlines: BTreeSet<(Instant, SocketAddr)>,
}

struct Entry {
    flow: Arc<Flow>,
    deadline: Option<Instant>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn get(&self, peer: SocketAddr) -> Option<&Arc<Flow>> {
        self.flows.get(&peer).map(|entry| &entry.flow)
    }

    pub(super) fn insert(&mut self, flow: Arc<Flow>) {
        let (peer, deadline) = (flow.peer(), flow.idle_at());
        self.deadlines.extend(deadline.map(|at| (at, peer)));
        self.flows.insert(peer, Entry { flow, deadline });
    }

    /// Takes out this flow, not another that its peer has opened since.
    pub(super) fn remove(&mut self, flow: &Flow) {
        let peer = flow.peer();
        if self.flows.get(&peer).is_none_or(|entry| !std::ptr::eq(&*entry.flow, flow)) {
            return;
        }
        if let Some(Entry { deadline: Some(at), .. }) = self.flows.remove(&peer) {
            self.deadlines.remove(&(at, peer));
        }
        if self.flows.capacity() > 4 * self.flows.len() + 64 {
            self.flows.shrink_to(2 * self.flows.len());
        }
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Flow>> {
        self.deadlines.clear();
        self.flows.drain().map(|(_, entry)| entry.flow).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// A flow whose time is over, taken out; up to `looks` entries are looked at.
    pub(super) fn pop_idle(&mut self, now: Instant, looks: &mut usize) -> Option<Arc<Flow>> {
        while *looks > 0 && self.next_deadline().is_some_and(|at| at <= now) {
            *looks -= 1;
            let (_, peer) = self.deadlines.pop_first()?;
            let entry = self.flows.get_mut(&peer)?;
            entry.deadline = entry.flow.idle_at();
            match entry.deadline {
                Some(at) if at <= now => return self.flows.remove(&peer).map(|entry| entry.flow),
                Some(at) => _ = self.deadlines.insert((at, peer)),
                None => {}
            }
        }
        None
    }
}
