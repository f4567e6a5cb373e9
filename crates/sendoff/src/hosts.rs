//! What was learned of hosts, kept for a while.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Hosts remembered at most; the one that was learned first is forgotten.
const MAX_HOSTS: usize = 1_024;

/// For how long: paths change (RFC 8899, 5.1.1: `PMTU_RAISE_TIMER`).
const REMEMBERED: Duration = Duration::from_secs(600);

/// Something that is known of hosts, bounded in number and time.
#[derive(Debug)]
pub(crate) struct Hosts<T> {
    /// And when it was learned.
    known: HashMap<IpAddr, (T, Instant)>,
    by_age: VecDeque<IpAddr>,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), by_age: VecDeque::new() }
    }
}

impl<T: Copy> Hosts<T> {
    /// Remembers it from now on, in place of what was known of that host.
    pub(crate) fn learn(&mut self, now: Instant, host: IpAddr, what: T) {
        if self.known.insert(host, (what, now)).is_some() {
            return;
        }
        self.by_age.push_back(host);
        if self.by_age.len() > MAX_HOSTS
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// What is known of it, if that isn't too old.
    pub(crate) fn get(&self, now: Instant, host: IpAddr) -> Option<T> {
        let (what, learned) = *self.known.get(&host)?;
        (now.saturating_duration_since(learned) < REMEMBERED).then_some(what)
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
        let (mut hosts, now) = (Hosts::default(), Instant::now());
        hosts.learn(now, host(1), 1_350);
        hosts.learn(now, host(1), 1_200);
        let just_before = now + REMEMBERED - Duration::from_nanos(1);
        assert_eq!((hosts.get(just_before, host(1)), hosts.get(now, host(2))), (Some(1_200), None));
        assert_eq!(hosts.get(now + REMEMBERED, host(1)), None);
        hosts.learn(now + REMEMBERED, host(1), 1_350);
        assert_eq!(hosts.get(now + REMEMBERED, host(1)), Some(1_350));
    }

    #[test]
    fn no_more_hosts_are_remembered_than_the_bound() {
        let (mut hosts, now) = (Hosts::default(), Instant::now());
        for number in 0..MAX_HOSTS + 2 {
            hosts.learn(now, host(number), 1_200);
            hosts.learn(now, host(number), 1_200);
        }
        assert_eq!((hosts.known.len(), hosts.by_age.len()), (MAX_HOSTS, MAX_HOSTS));
        assert_eq!((hosts.get(now, host(1)), hosts.get(now, host(2))), (None, Some(1_200)));
    }
}
