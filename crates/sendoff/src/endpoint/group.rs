//! Several sockets of one address, each with a driver of its own, behind one handle.
//!
//! ```text
//!              ┌─ socket 0 ─▶ driver 0 ─┐
//! kernel, by ──┼─ socket 1 ─▶ driver 1 ─┼─▶ one accept queue, one endpoint
//! a hash       └─ socket 2 ─▶ driver 2 ─┘
//!                     └ passed on ┘  (what the hash has brought to the wrong one)
//! ```
//!
//! Each driver has its own table, inbox and socket, so that nothing is shared on the hot path. An endpoint with one
//! socket is a group of one. A driver lives as long as the group, idle or not: handles count over all of them.

use super::{
    driver::Driver,
    inbox::{Passed, PassedQueue},
    shared::{EndpointShared, Guard, Lobby},
};
use crate::{
    Config, EndpointStats,
    admission::Admission,
    lock::lock,
    stream::ConnectionShared,
    udp::{DatagramIo, IcmpError},
};
use sendoff_proto::{Endpoint, SeedSource, fec::data_segments};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// What the drivers of one address have in common.
#[derive(Default)]
pub(super) struct Group {
    members: OnceLock<Box<[Weak<EndpointShared>]>>,
    pub(super) lobby: Arc<Mutex<Lobby>>,
    pub(super) admission: Arc<Admission>,
    guard: Mutex<Weak<Guard>>,
    /// There was a moment without handles: the drivers may be of no use any more.
    let_go: AtomicBool,
    /// One of the sockets is dead: the lobby says why.
    pub(super) failed: AtomicBool,
}

impl Group {
    /// Makes what the drivers of these sockets share with handles: one for each.
    pub(super) fn start(
        sockets: Vec<DatagramIo>,
        config: Config,
        listening: bool,
    ) -> io::Result<(Vec<Arc<EndpointShared>>, Arc<Guard>)> {
        let (group, config) = (Arc::new(Self::default()), Arc::new(config));
        let drivers = u8::try_from(sockets.len()).map_err(io::Error::other)?;
        let common = sendoff_proto::Group::new(&config, drivers);
        let member = |(driver, io)| {
            let mut seeds = SeedSource::new(u128::from_le_bytes(super::random_seed()?));
            let table = match drivers {
                1 => Endpoint::new(config.clone(), listening),
                _ => Endpoint::in_group(config.clone(), listening, common.clone(), driver),
            };
            let table = table.with_cookies(seeds.next_seed());
            EndpointShared::new(io, config.clone(), (table, seeds), (group.clone(), driver))
        };
        let members = (0..drivers).zip(sockets).map(member).collect::<io::Result<Vec<_>>>()?;
        _ = group.members.set(members.iter().map(Arc::downgrade).collect());
        let guard = group.guard();
        Ok((members, guard))
    }

    /// Whether there is more than one driver.
    #[inline]
    pub(super) fn is_several(&self) -> bool {
        self.slots().len() > 1
    }

    fn slots(&self) -> &[Weak<EndpointShared>] {
        self.members.get().map_or(&[], |members| members)
    }

    /// Those whose driver, or some handle, is still there: all, but while the runtime ends.
    pub(super) fn members(&self) -> impl Iterator<Item = Arc<EndpointShared>> {
        self.slots().iter().filter_map(Weak::upgrade)
    }

    fn member(&self, driver: u8) -> Option<Arc<EndpointShared>> {
        self.slots().get(usize::from(driver))?.upgrade()
    }

    /// From where a connection to that peer is opened: always the same, because what can't be told by a conversation
    /// id is told by the address.
    pub(super) fn opener(&self, remote: SocketAddr) -> Option<Arc<EndpointShared>> {
        let mut hasher = DefaultHasher::new();
        remote.hash(&mut hasher);
        let driver = hasher.finish() % self.slots().len().max(1) as u64;
        self.member(driver as u8)
    }

    /// The guard of the handles that there are, or a new one.
    pub(super) fn guard(&self) -> Arc<Guard> {
        let mut slot = lock(&self.guard);
        slot.upgrade().unwrap_or_else(|| {
            let guard = Arc::new(Guard::of(self.members().collect()));
            *slot = Arc::downgrade(&guard);
            guard
        })
    }

    /// The last handle has gone.
    pub(super) fn let_go(&self) {
        self.let_go.store(true, Ordering::Release);
    }

    /// Whether there is no handle.
    pub(super) fn is_let_go(&self) -> bool {
        self.let_go.load(Ordering::Acquire) && lock(&self.guard).strong_count() == 0
    }

    /// Makes every driver look up.
    pub(super) fn poke(&self) {
        self.members().for_each(|member| member.inbox.poke());
    }

    /// Whether no connection is left in all of it, and no peer may still need our last word.
    pub(super) fn is_idle(&self) -> bool {
        self.members().all(|member| member.is_idle_here())
    }

    pub(super) fn connections(&self) -> Vec<Arc<ConnectionShared>> {
        self.members().flat_map(|member| member.own_connections()).collect()
    }

    /// Connections that were handed to those who accept.
    pub(super) fn served(&self) -> u64 {
        self.members().map(|member| member.served.load(Ordering::Relaxed)).sum()
    }

    /// What each driver has counted.
    pub(super) fn stats(&self) -> Vec<EndpointStats> {
        self.members().map(|member| member.own_stats()).collect()
    }
}

impl EndpointShared {
    /// Passes datagrams on to the driver whose they are; what its queue has no room for is dropped, and counted.
    fn pass_to(&self, driver: u8, passed: Passed) {
        let taken = self.group.member(driver).is_some_and(|member| member.inbox.pass(passed));
        let count = if taken { &self.passed_on } else { &self.passed_drops };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Driver {
    /// A datagram is another driver's.
    pub(super) fn pass_to(&self, driver: u8, source: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        self.shared.pass_to(driver, Passed { source, local, datagram: datagram.into() });
    }

    /// The same for a shard; false if it isn't. It is passed on whole: the decoder is there too.
    pub(super) fn pass_shard_on(
        &self,
        now: Instant,
        source: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
    ) -> bool {
        if self.is_passed || !self.shared.group.is_several() {
            return false;
        }
        let owner = self.shared.table().owner_of_shard(now, source, data_segments(datagram));
        if let Some(driver) = owner {
            self.pass_to(driver, source, local, datagram);
        }
        owner.is_some()
    }

    /// Takes what other drivers have passed on: all that is there, which is bounded.
    pub(super) fn take_passed(&mut self, now: Instant) {
        if !self.shared.group.is_several() {
            return;
        }
        let mut passed: PassedQueue = self.shared.inbox.take_passed();
        let mut last = None;
        self.is_passed = true;
        let passed = passed.make_contiguous();
        for run in passed.chunk_by(|a, b| (a.source, a.local) == (b.source, b.local)) {
            let Some(first) = run.first() else { continue };
            let datagrams = run.iter().map(|passed| &*passed.datagram);
            self.take_in(now, (first.source, first.local), datagrams, &mut last);
        }
        self.is_passed = false;
    }

    /// Whether there is a connection with that address, here or with another driver.
    pub(super) fn knows_remote(&self, now: Instant, remote: SocketAddr) -> bool {
        self.shared.has_remote(remote) || self.owner(now, remote).is_some()
    }

    /// An ICMP error about a peer with which this driver has nothing to do; false if nobody has.
    pub(super) fn pass_error_on(&self, now: Instant, error: &IcmpError) -> bool {
        let owner = self.owner(now, error.peer);
        if let Some(owner) = &owner {
            owner.report_icmp(vec![*error]);
        }
        owner.is_some()
    }

    /// The connections with that address, wherever they are.
    pub(super) fn concerned(&self, now: Instant, remote: SocketAddr) -> Vec<Arc<ConnectionShared>> {
        let owner = self.owner(now, remote);
        owner.as_ref().unwrap_or(&self.shared).with_remote(remote)
    }

    fn owner(&self, now: Instant, remote: SocketAddr) -> Option<Arc<EndpointShared>> {
        if !self.shared.group.is_several() {
            return None;
        }
        let driver = self.shared.table().owner_of_remote(now, remote)?;
        self.shared.group.member(driver)
    }
}
