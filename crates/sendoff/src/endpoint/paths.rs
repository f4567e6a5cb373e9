//! What earlier connections have learned of paths: how large a datagram gets to a host.
//!
//! The first connection over a small path pays for what it finds out, with segments that don't get through (see
//! `path_mtu.rs` of sendoff-proto); those after it begin with what fits.

use super::shared::EndpointShared;
use sendoff_proto::Connection;
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Hosts remembered at most; the one that was learned first is forgotten.
const MAX_HOSTS: usize = 1_024;

/// For how long: paths change (RFC 8899, 5.1.1: `PMTU_RAISE_TIMER`).
const REMEMBERED: Duration = Duration::from_secs(600);

/// The paths of an endpoint, and of the sockets that were opened in its name.
#[derive(Default)]
pub(super) struct Paths(Mutex<Arc<Mutex<Table>>>);

#[derive(Default)]
struct Table {
    /// Bytes of UDP payload that get there, and when that was learned.
    hosts: HashMap<IpAddr, (usize, Instant)>,
    by_age: VecDeque<IpAddr>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The table is whole after every statement that can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Paths {
    /// From now on both know the same; what was known here alone is forgotten.
    fn share(&self, other: &Self) {
        let table = lock(&other.0).clone();
        *lock(&self.0) = table;
    }

    fn learn(&self, now: Instant, host: IpAddr, mtu: usize) {
        let table = lock(&self.0).clone();
        let mut table = lock(&table);
        if table.hosts.insert(host, (mtu, now)).is_some() {
            return;
        }
        table.by_age.push_back(host);
        if table.by_age.len() > MAX_HOSTS
            && let Some(oldest) = table.by_age.pop_front()
        {
            table.hosts.remove(&oldest);
        }
    }

    fn mtu(&self, now: Instant, host: IpAddr) -> Option<usize> {
        let table = lock(&self.0).clone();
        let (mtu, learned) = *lock(&table).hosts.get(&host)?;
        (now.saturating_duration_since(learned) < REMEMBERED).then_some(mtu)
    }
}

impl EndpointShared {
    /// A connection begins with what is known of its path.
    pub(super) fn apply_known_path(&self, now: Instant, host: IpAddr, connection: &mut Connection) {
        if let Some(mtu) = self.paths.mtu(now, host) {
            connection.limit_mtu(mtu);
            // That is no news here.
            _ = connection.take_new_mtu();
        }
    }

    /// Its connections, and those of this endpoint, learn from each other.
    pub(super) fn share_paths(&self, now: Instant, child: &EndpointShared) {
        child.paths.share(&self.paths);
        for connection in child.connections() {
            child.apply_known_path(now, connection.peer().ip(), &mut connection.lock().connection);
        }
    }

    /// Keeps what a connection, whose lock the caller holds, has just learned.
    pub(super) fn note_path(&self, now: Instant, peer: SocketAddr, connection: &mut Connection) {
        let Some(mtu) = connection.take_new_mtu() else { return };
        let conv = connection.conv().value();
        tracing::debug!(conv, %peer, mtu, "larger datagrams don't get through: smaller ones from now on");
        self.paths.learn(now, peer.ip(), mtu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number as u32).to_be_bytes())
    }

    #[test]
    fn what_was_learned_is_known_for_ten_minutes() {
        let (paths, now) = (Paths::default(), Instant::now());
        paths.learn(now, host(1), 1_350);
        paths.learn(now, host(1), 1_200);
        let just_before = now + REMEMBERED - Duration::from_nanos(1);
        assert_eq!((paths.mtu(just_before, host(1)), paths.mtu(now, host(2))), (Some(1_200), None));
        assert_eq!(paths.mtu(now + REMEMBERED, host(1)), None);
        paths.learn(now + REMEMBERED, host(1), 1_350);
        assert_eq!(paths.mtu(now + REMEMBERED, host(1)), Some(1_350));
    }

    #[test]
    fn no_more_hosts_are_remembered_than_the_bound() {
        let (paths, now) = (Paths::default(), Instant::now());
        for number in 0..MAX_HOSTS + 2 {
            paths.learn(now, host(number), 1_200);
            paths.learn(now, host(number), 1_200);
        }
        let table = lock(&paths.0).clone();
        let (hosts, by_age) = {
            let table = lock(&table);
            (table.hosts.len(), table.by_age.len())
        };
        assert_eq!((hosts, by_age), (MAX_HOSTS, MAX_HOSTS));
        assert_eq!((paths.mtu(now, host(1)), paths.mtu(now, host(2))), (None, Some(1_200)));
    }

    #[test]
    fn sockets_opened_in_the_name_of_an_endpoint_know_what_it_knows() {
        let (parent, child, now) = (Paths::default(), Paths::default(), Instant::now());
        parent.learn(now, host(1), 1_350);
        child.share(&parent);
        child.learn(now, host(2), 1_200);
        assert_eq!((child.mtu(now, host(1)), parent.mtu(now, host(2))), (Some(1_350), Some(1_200)));
    }
}
