//! What the driver and all handles of one socket share.

use super::{
    EndpointStats, envelope::Envelope, group::Group, inbox::Inbox, paths::Paths, roaming::Roaming,
    shards::Shards, transmit::Blocked,
};
use crate::{
    Config, KcpStream,
    admission::Admission,
    lock::lock,
    stream::{ConnectionShared, Wakers},
    udp::{DatagramIo, IcmpError},
};
use sendoff_proto::{Cause, Conv, Endpoint, PeerKind, Remains, SeedSource, Silence};
use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

/// Connections that wait to be accepted at most.
pub(super) const ACCEPT_QUEUE: usize = 1_024;

/// ICMP errors that wait for the driver at most.
const MAX_FOUND: usize = 64;

/// Locks are taken in this order: a connection's state, then one of those here. Never two of these at once, but for the
/// `Sender` of a remote address (see `shards`), which is held while what it has coded is sent, and what the socket
/// refuses of that is kept.
pub(crate) struct EndpointShared {
    pub(super) io: DatagramIo,
    pub(super) config: Arc<Config>,
    pub(super) local_addr: SocketAddr,
    pub(super) envelope: Envelope,
    pub(super) shards: Shards,
    pub(super) paths: Paths,
    pub(super) inbox: Inbox,
    /// Of which this is one: it has the lobby.
    pub(super) group: Arc<Group>,
    /// Its place in the group.
    driver: u8,
    pub(crate) admission: Arc<Admission>,
    table: Mutex<Endpoint<Arc<ConnectionShared>>>,
    lobby: Arc<Mutex<Lobby>>,
    /// The table may have something to do by itself: see [`next_chore`](Self::next_chore).
    chores: AtomicBool,
    /// A batch waits in `refused`: nothing else may be prepared.
    pub(super) blocked: AtomicBool,
    pub(super) roaming: Roaming,
    /// One for each thread that was sending at that moment, at most.
    refused: Mutex<VecDeque<Blocked>>,
    /// ICMP errors that a sending handle came upon: the driver deals with them.
    found: Mutex<Vec<IcmpError>>,
    seeds: Mutex<SeedSource>,
    #[cfg(unix)]
    handover: Mutex<super::handover::Handover>,
    opened: AtomicU64,
    accepted: AtomicU64,
    /// Handed to those who accept.
    pub(crate) served: AtomicU64,
    backlog_drops: AtomicU64,
    send_failures: AtomicU64,
    icmp_errors: AtomicU64,
    pub(super) passed_on: AtomicU64,
    pub(super) passed_drops: AtomicU64,
}

/// Those who come, and those who wait for them: one for all drivers of a group.
#[derive(Default)]
pub(super) struct Lobby {
    arrivals: VecDeque<Arc<ConnectionShared>>,
    acceptors: Wakers,
    idlers: Wakers,
    closed: bool,
    /// Why the socket is of no use any more.
    failure: Option<(io::ErrorKind, String)>,
    children: Vec<Weak<EndpointShared>>,
}

impl Lobby {
    fn check_open(&self) -> io::Result<()> {
        match &self.failure {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None if self.closed => Err(io::Error::new(io::ErrorKind::NotConnected, "the endpoint is closed")),
            None => Ok(()),
        }
    }
}

/// The users' handles hold it. With the last of them the endpoint stops accepting.
pub(crate) struct Guard(Vec<Arc<EndpointShared>>);

impl Guard {
    pub(super) fn of(members: Vec<Arc<EndpointShared>>) -> Self {
        Self(members)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(shared) = self.0.first() {
            shared.group.let_go();
            _ = shared.stop_accepting();
        }
    }
}

impl EndpointShared {
    pub(super) fn new(
        io: DatagramIo,
        config: Arc<Config>,
        (table, seeds): (Endpoint<Arc<ConnectionShared>>, SeedSource),
        (group, driver): (Arc<Group>, u8),
    ) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Self {
            local_addr: io.local_addr()?,
            envelope: Envelope::new(&config)?,
            shards: Shards::new(&config),
            paths: Paths::default(),
            io,
            inbox: Inbox::default(),
            admission: group.admission.clone(),
            table: Mutex::new(table),
            config,
            lobby: group.lobby.clone(),
            group,
            driver,
            chores: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            roaming: Roaming::default(),
            refused: Mutex::default(),
            found: Mutex::default(),
            seeds: Mutex::new(seeds),
            #[cfg(unix)]
            handover: Mutex::default(),
            opened: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            served: AtomicU64::new(0),
            backlog_drops: AtomicU64::new(0),
            send_failures: AtomicU64::new(0),
            icmp_errors: AtomicU64::new(0),
            passed_on: AtomicU64::new(0),
            passed_drops: AtomicU64::new(0),
        });
        if shared.io.buffers_refused() {
            let (asked, granted) = (shared.config.socket_buffer_bytes(), shared.io.recv_buffer());
            tracing::debug!(asked, granted, "the system grants smaller socket buffers (net.core.rmem_max)");
        }
        Ok(shared)
    }

    /// The driver that its connections' tokens name; none where there is but one.
    pub(super) fn named_driver(&self) -> Option<u8> {
        self.group.is_several().then_some(self.driver)
    }

    pub(super) fn seeds(&self) -> MutexGuard<'_, SeedSource> {
        lock(&self.seeds)
    }

    #[cfg(unix)]
    pub(super) fn handover(&self) -> MutexGuard<'_, super::handover::Handover> {
        lock(&self.handover)
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Endpoint<Arc<ConnectionShared>>> {
        lock(&self.table)
    }

    /// Whether this socket's address family reaches that address.
    pub(super) fn can_reach(&self, remote: SocketAddr) -> bool {
        if self.io.is_supplied() {
            return true;
        }
        match self.local_addr {
            SocketAddr::V4(_) => remote.is_ipv4(),
            SocketAddr::V6(local) => remote.is_ipv6() || local.ip().is_unspecified(),
        }
    }

    /// Whether a connection to that peer may share this socket: a stock listener, and one that hasn't
    /// answered may be one, ends the first conversation of an address for the second.
    pub(super) fn may_share(&self, remote: SocketAddr) -> bool {
        if self.shards.encodes() {
            // A parity shard has no conversation id: it belongs to an address.
            return false;
        }
        if self.io.peer().is_some_and(|only| only != remote) {
            // What anybody else answered would not get through.
            return false;
        }
        let there: Vec<_> = self.group.members().flat_map(|member| member.with_remote(remote)).collect();
        there.iter().all(|connection| connection.peer_kind() == PeerKind::Extended)
    }

    /// The connections of this driver with that address.
    pub(super) fn with_remote(&self, remote: SocketAddr) -> Vec<Arc<ConnectionShared>> {
        self.table().with_remote(remote).cloned().collect()
    }

    /// Whether there is any connection with that address.
    pub(super) fn has_remote(&self, remote: SocketAddr) -> bool {
        self.table().with_remote(remote).next().is_some()
    }

    pub(super) fn connection(&self, remote: SocketAddr, conv: u32) -> Option<Arc<ConnectionShared>> {
        self.table().get(remote, Conv::new(conv)?).cloned()
    }

    pub(super) fn is_taken(&self, remote: SocketAddr, conv: Conv) -> bool {
        self.group.members().any(|member| {
            let mut table = member.table();
            table.get(remote, conv).is_some() || table.is_buried(super::now(), remote, conv)
        })
    }

    /// Another socket that was opened in this one's name.
    ///
    /// # Errors
    /// When this one was closed meanwhile: then nobody else ends the other.
    pub(super) fn adopt(&self, child: &Arc<EndpointShared>) -> io::Result<()> {
        self.share_paths(super::now(), child);
        let mut lobby = lock(&self.lobby);
        lobby.check_open()?;
        lobby.children.retain(|c| c.strong_count() > 0);
        lobby.children.push(Arc::downgrade(child));
        Ok(())
    }

    pub(super) fn children(&self) -> Vec<Arc<EndpointShared>> {
        lock(&self.lobby).children.iter().filter_map(Weak::upgrade).collect()
    }

    /// Enters a connection that is opened from here.
    pub(super) fn enter(
        &self,
        remote: SocketAddr,
        conv: Conv,
        connection: Arc<ConnectionShared>,
    ) -> io::Result<()> {
        self.check_open()?;
        if self.is_taken(remote, conv) {
            let text = format!("conv {conv} with {remote} is in use");
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        {
            let mut table = self.table();
            let most = self.config.max_connections_count();
            // Its peer's answers may come to any driver.
            if table.is_full() || !table.forward(super::now(), remote, conv) {
                return Err(io::Error::other(format!("{most} connections are open: no more")));
            }
            table.insert(remote, conv, connection.clone());
        }
        // It may have been closed, or its driver have gone, just before: then nobody else ends this one.
        if let Err(error) = self.check_open() {
            let now = super::now();
            connection.lose_endpoint(now);
            self.remove(now, &connection);
            return Err(error);
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        // For its timers.
        connection.mark_dirty();
        Ok(())
    }

    pub(super) fn check_open(&self) -> io::Result<()> {
        lock(&self.lobby).check_open()
    }

    /// Lets a connection wait to be accepted. Gives those who wait for one, to be woken once no lock is held; `None`
    /// when nobody is accepted any more, or too many wait already.
    #[must_use]
    pub(super) fn arrive(&self, connection: Arc<ConnectionShared>) -> Option<Wakers> {
        let mut lobby = lock(&self.lobby);
        if lobby.closed || lobby.arrivals.len() >= ACCEPT_QUEUE {
            self.backlog_drops.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        lobby.arrivals.push_back(connection);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(lobby.acceptors.take())
    }

    /// Whether nobody is accepted any more.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.lobby).closed
    }

    /// Whether one more may arrive.
    pub(super) fn has_room_to_arrive(&self) -> bool {
        lock(&self.lobby).arrivals.len() < ACCEPT_QUEUE
    }

    pub(super) fn count_backlog_drop(&self) {
        self.backlog_drops.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(KcpStream, SocketAddr)>> {
        self.poll_arrival(cx).map_ok(|connection| {
            connection.admit();
            let peer = connection.peer();
            (KcpStream::new(connection), peer)
        })
    }

    /// The next that waits to be accepted.
    pub(crate) fn poll_arrival(&self, cx: &mut Context<'_>) -> Poll<io::Result<Arc<ConnectionShared>>> {
        let arrival = loop {
            let mut lobby = lock(&self.lobby);
            let arrival = lobby.arrivals.pop_front();
            if arrival.is_none() && !lobby.closed && lobby.failure.is_none() {
                let crowd = lobby.acceptors.register(cx.waker());
                drop(lobby);
                crowd.wake();
                return Poll::Pending;
            }
            drop(lobby);
            // Not one that has only ever been a name.
            let ending = arrival.as_ref().and_then(|a| a.ending());
            if ending.is_none_or(|ending| ending.cause != Cause::TimedOut(Silence::Unproven)) {
                break arrival;
            }
        };
        let closed = || self.check_open().err().unwrap_or_else(|| io::ErrorKind::NotConnected.into());
        Poll::Ready(arrival.ok_or_else(closed))
    }

    pub(super) fn poll_idle(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered first, so that the last connection's end isn't missed between the two locks.
        let crowd = lock(&self.lobby).idlers.register(cx.waker());
        crowd.wake();
        if self.is_idle() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Those of the whole group.
    pub(super) fn connections(&self) -> Vec<Arc<ConnectionShared>> {
        self.group.connections()
    }

    pub(super) fn own_connections(&self) -> Vec<Arc<ConnectionShared>> {
        self.table().iter().cloned().collect()
    }

    pub(super) fn has_said_all(&self) -> bool {
        self.connections().iter().all(|connection| connection.lock().connection.has_said_all())
    }

    fn is_idle(&self) -> bool {
        self.group.is_idle()
    }

    /// Whether no connection is left here, and no peer may still need our last word.
    pub(super) fn is_idle_here(&self) -> bool {
        let table = self.table();
        table.connections() == 0 && table.stay_until().is_none_or(|until| until <= super::now())
    }

    pub(super) fn wake_idlers(&self) {
        let idlers = lock(&self.lobby).idlers.take();
        idlers.wake();
    }

    /// Opens and accepts no more; connections that were accepted live on. Who comes is told that nobody is taken any
    /// more, and so are those that nobody has accepted: says how many these were.
    pub(super) fn stop_accepting(&self) -> usize {
        self.group.members().for_each(|member| member.table().go_away());
        let refused = self.refuse_arrivals();
        let acceptors = lock(&self.lobby).acceptors.take();
        acceptors.wake();
        self.group.poke();
        refused
    }

    fn refuse_arrivals(&self) -> usize {
        let arrivals = {
            let mut lobby = lock(&self.lobby);
            lobby.closed = true;
            std::mem::take(&mut lobby.arrivals)
        };
        // Also those that have yet to prove themselves: nobody would accept them then.
        let coming = self.connections().into_iter().filter(|connection| connection.is_yet_to_arrive());
        arrivals.into_iter().chain(coming).filter(|connection| connection.break_off()).count()
    }

    pub(super) fn close(&self) {
        _ = self.stop_accepting();
        for connection in self.connections() {
            connection.close();
        }
        for child in self.children() {
            child.close();
        }
        self.group.poke();
    }

    /// The socket is of no use any more: its driver ends, and with that everyone learns why. Wakes nobody else: the
    /// caller may hold a connection's lock.
    pub(super) fn fail(&self, error: io::Error) {
        lock(&self.lobby).failure.get_or_insert_with(|| (error.kind(), error.to_string()));
        if !self.group.failed.swap(true, Ordering::AcqRel) {
            tracing::warn!(local = %self.local_addr, %error, "the socket has failed");
        }
        self.group.poke();
    }

    /// Whether a socket of the group is dead: what would come to it is lost, so the others end too.
    pub(super) fn has_failed(&self) -> bool {
        self.group.failed.load(Ordering::Acquire)
    }

    /// Ends all connections of this driver: there is nobody any more who could send or receive for them. Nor can the
    /// others of the group open any.
    pub(super) fn abandon(&self) {
        let now = super::now();
        self.inbox.close();
        self.group.members().for_each(|member| member.table().set_listening(false));
        let arrivals = {
            let mut lobby = lock(&self.lobby);
            lobby.closed = true;
            std::mem::take(&mut lobby.arrivals)
        };
        drop(arrivals);
        for connection in self.own_connections() {
            connection.lose_endpoint(now);
            self.remove(now, &connection);
        }
        let (acceptors, idlers) = {
            let mut lobby = lock(&self.lobby);
            (lobby.acceptors.take(), lobby.idlers.take())
        };
        acceptors.wake();
        idlers.wake();
    }

    /// Takes out a connection that has ended.
    pub(super) fn remove(&self, now: Instant, connection: &ConnectionShared) {
        let (remains, peer) = {
            let state = connection.lock();
            (state.connection.remains().cloned(), state.peer)
        };
        {
            let mut table = self.table();
            table.remove(now, peer, connection.conv(), remains.as_ref());
            table.shrink();
            self.chores.store(true, Ordering::Release);
        }
        self.wake_idlers_if_idle();
    }

    pub(super) fn wake_idlers_if_idle(&self) {
        if self.is_idle() {
            self.wake_idlers();
            if self.group.is_several() && self.group.is_let_go() {
                // The drivers that sleep have nothing to wait for.
                self.group.poke();
            }
        }
    }

    /// When the table has something to do: a RESET to repeat, or the end of a stay.
    pub(super) fn next_chore(&self) -> Option<Instant> {
        if !self.chores.load(Ordering::Acquire) {
            return None;
        }
        let table = self.table();
        let stay = table.stay_until().filter(|&until| until > super::now());
        let next = [table.poll_timeout(), stay].into_iter().flatten().min();
        self.chores.store(next.is_some(), Ordering::Release);
        next
    }

    /// A connection has taken another id while it opens.
    pub(super) fn rename(
        &self,
        now: Instant,
        (connection, peer): (&ConnectionShared, SocketAddr),
        former: (Conv, &Remains),
        conv: Conv,
    ) {
        self.table().rename(now, peer, former, conv);
        connection.set_conv(conv);
    }

    /// Whether nothing is left to drive: no handle, no connection.
    pub(super) fn is_abandoned(&self) -> bool {
        self.group.is_let_go() && self.is_idle()
    }

    /// Hands ICMP errors to the driver; a flood of them is cut.
    pub(super) fn report_icmp(&self, errors: Vec<IcmpError>) {
        {
            let mut found = lock(&self.found);
            let room = MAX_FOUND.saturating_sub(found.len());
            found.extend(errors.into_iter().take(room));
        }
        self.inbox.poke();
    }

    pub(super) fn take_icmp(&self, into: &mut Vec<IcmpError>) {
        into.append(&mut lock(&self.found));
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    pub(crate) fn push_dirty(&self, connection: Arc<ConnectionShared>) {
        self.inbox.push(connection);
    }

    pub(super) fn keep_blocked(&self, batch: Blocked) {
        lock(&self.refused).push_back(batch);
        // The driver that tries again must not wake itself: it waits for the socket.
        if !self.blocked.swap(true, Ordering::AcqRel) {
            self.inbox.poke();
        }
    }

    pub(super) fn take_blocked(&self) -> Option<Blocked> {
        let mut refused = lock(&self.refused);
        let batch = refused.pop_front();
        if batch.is_none() {
            self.blocked.store(false, Ordering::Release);
        }
        batch
    }

    pub(super) fn count_icmp(&self) {
        self.icmp_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_send_failures(&self, datagrams: usize) {
        self.send_failures.fetch_add(datagrams as u64, Ordering::Relaxed);
    }

    /// Of this driver alone, but for what all have in common.
    pub(super) fn own_stats(&self) -> EndpointStats {
        let (routes, connections, unproven, tombstones) = {
            let table = self.table();
            (table.stats(), table.connections(), table.unproven(), table.tombstones())
        };
        let (dropped_filtered, refused) = self.admission.counts();
        let io = self.io.counters();
        let mut stats = EndpointStats {
            drivers: 1,
            connections,
            connections_opened: self.opened.load(Ordering::Relaxed),
            connections_accepted: self.accepted.load(Ordering::Relaxed),
            datagrams_sent: io.datagrams_sent,
            datagrams_received: io.datagrams_received,
            bytes_sent: io.bytes_sent,
            bytes_received: io.bytes_received,
            send_calls: io.send_calls,
            recv_calls: io.recv_calls,
            gso_fallbacks: io.gso_fallbacks,
            send_failures: self.send_failures.load(Ordering::Relaxed),
            icmp_errors: self.icmp_errors.load(Ordering::Relaxed),
            dropped_malformed: routes.dropped_malformed,
            dropped_unknown: routes.dropped_unknown,
            dropped_ended: routes.dropped_ended,
            dropped_full: routes.dropped_full,
            dropped_unproven: routes.dropped_unproven,
            dropped_stock: routes.dropped_stock,
            dropped_backlog: self.backlog_drops.load(Ordering::Relaxed),
            dropped_not_listening: routes.dropped_not_listening,
            refused_per_address: routes.refused_per_address,
            dropped_filtered,
            refused,
            answered: routes.answered,
            passed_on: self.passed_on.load(Ordering::Relaxed),
            dropped_passed_on: self.passed_drops.load(Ordering::Relaxed),
            retries_sent: routes.retries_sent,
            cookies_accepted: routes.cookies_accepted,
            cookies_refused: routes.cookies_refused,
            unproven,
            tombstones,
            socket_drops: self.io.socket_drops(),
            recv_buffer: self.io.recv_buffer(),
            send_buffer: self.io.send_buffer(),
            ..EndpointStats::default()
        };
        self.envelope.add_to(&mut stats);
        stats.fec = self.shards.stats();
        stats
    }
}
