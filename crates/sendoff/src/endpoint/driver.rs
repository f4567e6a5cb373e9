//! The one task of a socket: reads it, feeds its connections, sends what they have, and keeps their time.
//!
//! ```text
//!            ┌───────────────────────── a turn ─────────────────────────┐
//! socket ──▶ receive ─▶ connections ─▶ acknowledgements and data ─▶ socket
//!            inbox ───────────┘              ▲
//!            deadlines ──────────────────────┘  (only once the socket is drained)
//! ```
//!
//! A turn's work is bounded; when there is more, the task yields and goes on.

use super::{
    now,
    shards::Decoders,
    shared::EndpointShared,
    timers::{DeadlineHeap, Deadlines},
    transmit::Sent,
};
#[cfg(unix)]
use crate::udp::{PassOn, PassedOn};
use crate::{
    stream::{ConnectionShared, ConnectionState, Wakers},
    udp::{Batch, IcmpError, RecvBuffers},
};
use sendoff_proto::{
    Answer, Connection, Direction, Opening, Role, Route, TappedDatagram, code, fec::is_shard,
};
use std::{
    cell::Cell,
    collections::VecDeque,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep_until};

/// Receive calls of a turn at most, each of several buffers.
const RECV_CALLS: usize = 1;

/// Batches sent in a turn at most.
const SEND_BATCHES: usize = 16;

/// Turns in which the socket may keep the clock waiting.
const MAX_POSTPONED: u32 = 8;

/// A deadline missed by so much: the process was stopped, and tokio may not know yet what has come meanwhile.
const LATE: Duration = Duration::from_millis(100);

/// What a datagram of 1,400 bytes costs the kernel's receive buffer (Linux).
const KERNEL_BYTES_PER_DATAGRAM: usize = 2_304;

/// How often the windows that the socket's buffer bounds may grow.
const WINDOW_GROWTH: Duration = Duration::from_millis(50);

type Connections = VecDeque<Arc<ConnectionShared>>;

/// The connection of the datagram before, and where that came from.
pub(super) type Last = Option<(SocketAddr, Arc<ConnectionShared>)>;

pub(super) struct Driver {
    pub(super) shared: Arc<EndpointShared>,
    pub(super) deadlines: DeadlineHeap,
    sleep: Pin<Box<Sleep>>,
    /// Connections with something to look at, first come, first served; one batch each.
    busy: Connections,
    pub(super) icmp: Vec<IcmpError>,
    /// When the table has something to do.
    chore: Option<Instant>,
    postponed: u32,
    /// The last turn has left time to tokio to look at the socket.
    looked_again: bool,
    growth: WindowGrowth,
    pub(super) decoders: Decoders,
    /// What is looked at now was passed on by another driver.
    pub(super) is_passed: bool,
    /// What isn't ours goes there.
    #[cfg(unix)]
    pub(super) successor: Option<Box<PassOn>>,
    /// While it lives, it reads the socket.
    #[cfg(unix)]
    predecessor: Option<PassedOn>,
}

/// Whether the socket's buffer has room for larger windows.
#[derive(Default)]
struct WindowGrowth {
    next: Option<Instant>,
    drops: Option<u64>,
    stopped: bool,
}

impl Driver {
    pub(super) fn new(shared: Arc<EndpointShared>) -> Self {
        let growth = WindowGrowth { drops: shared.io.socket_drops(), ..Default::default() };
        Self {
            shared,
            deadlines: DeadlineHeap::default(),
            sleep: Box::pin(sleep_until(tokio::time::Instant::now())),
            busy: VecDeque::new(),
            icmp: Vec::new(),
            chore: None,
            postponed: 0,
            looked_again: false,
            growth,
            decoders: Decoders::default(),
            is_passed: false,
            #[cfg(unix)]
            successor: None,
            #[cfg(unix)]
            predecessor: None,
        }
    }

    /// Gets from another process what comes, until that one has gone.
    #[cfg(unix)]
    pub(super) fn after(mut self, predecessor: PassedOn) -> Self {
        self.predecessor = Some(predecessor);
        self
    }

    /// One turn; returns whether there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let now = now();
        // All that it can be poked for is looked at after this. What comes later makes another turn.
        self.shared.inbox.forget_poke();
        #[cfg(unix)]
        self.begin_handover();
        let drained = self.receive(cx, now)?;
        self.take_passed(now);
        #[cfg(unix)]
        self.flush_to_successor(cx);
        self.handle_icmp(now);
        if drained && !self.looked_again && self.deadlines.next().is_some_and(|at| at + LATE <= now) {
            // After tokio has looked at the socket.
            _ = pin!(tokio::task::yield_now()).poll(cx);
            self.looked_again = true;
            return Ok(false);
        }
        self.looked_again = false;
        if drained || self.postponed >= MAX_POSTPONED {
            self.postponed = 0;
            self.meet_deadlines(now);
            self.do_chores(now);
        } else {
            self.postponed += 1;
        }
        self.shared.inbox.drain(&mut self.busy);
        self.serve(cx, now);
        Ok(!drained || (!self.busy.is_empty() && !self.is_blocked()))
    }

    /// Reads the socket: all that is there, or as much as a turn may.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> io::Result<bool> {
        let mut last: Last = None;
        for _ in 0..RECV_CALLS {
            let received = RecvBuffers::lend(|buffers| {
                let received = self.poll_recv(cx, buffers);
                if let Poll::Ready(Ok(1..)) = received {
                    for batch in buffers.batches() {
                        self.dispatch(now, batch, &mut last);
                    }
                }
                received
            });
            match received {
                Poll::Pending => return Ok(true),
                Poll::Ready(received) => _ = received?,
            }
        }
        Ok(false)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, buffers: &mut RecvBuffers) -> Poll<io::Result<usize>> {
        #[cfg(unix)]
        if let Some(predecessor) = &mut self.predecessor {
            let received = std::task::ready!(predecessor.poll_recv(cx, buffers));
            if received.is_none() {
                self.predecessor = None;
                self.shared.outlive();
            }
            return Poll::Ready(Ok(received.unwrap_or(0)));
        }
        self.shared.io.poll_recv(cx, buffers, &mut self.icmp)
    }

    /// Hands the datagrams of one sender to their connections.
    fn dispatch(&mut self, now: Instant, batch: Batch<'_>, last: &mut Last) {
        #[cfg(unix)]
        if self.successor.is_some() {
            return self.dispatch_or_pass_on(now, batch, last);
        }
        let (source, local) = (batch.source, batch.local);
        if !self.shared.admission.lets_in(source) && !self.knows_remote(now, source) {
            return self.shared.admission.count_filtered(batch.datagrams().count());
        }
        let (opened, failed) = (Cell::new(0), Cell::new(0));
        let shared = self.shared.clone();
        let open = |datagram| {
            let inside = open(&shared, now, (source, local), datagram);
            let count = if inside.is_some() { &opened } else { &failed };
            count.set(count.get() + 1);
            inside
        };
        let datagrams = batch.datagrams().filter_map(open).map(|datagram| &*datagram);
        self.take_in(now, (source, local), datagrams, last);
        shared.envelope.count(opened.get(), failed.get());
        if failed.get() > 0 {
            self.note_unopened(now, source, failed.get());
        }
    }

    /// The same once they are opened.
    #[inline]
    pub(super) fn take_in<'a>(
        &mut self,
        now: Instant,
        (source, local): (SocketAddr, Option<IpAddr>),
        datagrams: impl Iterator<Item = &'a [u8]>,
        last: &mut Last,
    ) {
        let mut datagrams = datagrams.peekable();
        while let Some(datagram) = datagrams.next() {
            if is_shard(datagram) {
                self.take_shard(now, source, local, datagram, last);
                continue;
            }
            let Some(connection) = self.route(now, source, local, datagram, last) else { continue };
            let conv = connection.conv().value().to_le_bytes();
            let mut state = connection.lock();
            state.connection.handle_datagram(now, datagram);
            while let Some(datagram) = datagrams.next_if(|d| d.starts_with(&conv) && !is_shard(d)) {
                state.connection.handle_datagram(now, datagram);
            }
            if local.is_some() {
                state.source = local;
            }
            self.list(&mut state, &connection);
        }
    }

    /// Lets a connection take something that came.
    pub(super) fn feed(
        &mut self,
        connection: &Arc<ConnectionShared>,
        local: Option<IpAddr>,
        take: impl FnOnce(&mut Connection),
    ) {
        let mut state = connection.lock();
        take(&mut state.connection);
        if local.is_some() {
            state.source = local;
        }
        self.list(&mut state, connection);
    }

    /// Datagrams came that can't be opened: who waits for an answer from there should learn it.
    fn note_unopened(&self, now: Instant, source: SocketAddr, datagrams: u64) {
        tracing::debug!(peer = %source, datagrams, "datagrams of another key or cipher, or forged: dropped");
        for connection in self.concerned(now, source) {
            connection.lock().connection.handle_unopened(datagrams);
        }
    }

    pub(super) fn list(&mut self, state: &mut ConnectionState, connection: &Arc<ConnectionShared>) {
        if !state.listed {
            state.listed = true;
            self.busy.push_back(connection.clone());
        }
    }

    /// The connection of a datagram: mostly that of the one before.
    pub(super) fn route(
        &mut self,
        now: Instant,
        source: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
        last: &mut Last,
    ) -> Option<Arc<ConnectionShared>> {
        if let Some((peer, last)) = last
            && *peer == source
            && datagram.starts_with(&last.conv().value().to_le_bytes())
        {
            return Some(last.clone());
        }
        let route = match self.is_passed {
            false => self.shared.table().route(now, source, datagram),
            true => self.shared.table().route_passed(now, source, datagram),
        };
        let connection = match route {
            Route::Known(connection) => connection,
            Route::Opens(conv, opening) => self.accept(now, source, local, (conv, opening))?,
            Route::Elsewhere(connection) => {
                if !self.meet_elsewhere(now, source, local, datagram, &connection) {
                    return None;
                }
                connection
            }
            Route::Answer(answer) => {
                self.send_answer(now, source, local, &answer);
                return None;
            }
            Route::PassOn(driver) => {
                self.pass_to(driver, source, local, datagram);
                return None;
            }
            Route::Dropped(reason) => {
                tracing::trace!(%source, ?reason, "datagram dropped");
                return None;
            }
        };
        *last = Some((source, connection.clone()));
        Some(connection)
    }

    /// A peer opens a connection.
    fn accept(
        &mut self,
        now: Instant,
        source: SocketAddr,
        local: Option<IpAddr>,
        (conv, opening): (sendoff_proto::Conv, Opening),
    ) -> Option<Arc<ConnectionShared>> {
        if !self.shared.has_room_to_arrive() {
            self.shared.count_backlog_drop();
            return None;
        }
        self.forget_shards(source);
        let seed = self.shared.seeds().next_seed();
        let config = self.shared.config.clone();
        let mut connection = Connection::new(config, conv, opening, now, seed);
        if let Some(driver) = self.shared.named_driver() {
            connection.name_driver(driver);
        }
        connection.hold(self.shared.table().lease());
        self.shared.apply_known_path(now, source.ip(), &mut connection);
        let connection = ConnectionShared::new(connection, source, local, self.shared.clone());
        self.shared.table().insert(source, conv, connection.clone());
        if !self.shared.config.prove_value() {
            let holds = self.shared.admission.holds();
            {
                let mut state = connection.lock();
                (state.announced, state.held) = (true, holds);
            }
            let Some(waiting) = self.shared.arrive(connection.clone()) else {
                self.shared.remove(now, &connection);
                return None;
            };
            waiting.wake();
        }
        Some(connection)
    }

    /// Answers what belongs to no connection. Nothing is prepared behind a batch that was refused: who asks will
    /// ask again.
    pub(super) fn send_answer(
        &mut self,
        now: Instant,
        to: SocketAddr,
        local: Option<IpAddr>,
        answer: &Answer,
    ) {
        if self.is_blocked() {
            return;
        }
        self.shared.send_small(now, to, local, answer, &mut self.icmp);
    }

    /// RESETs that are to be repeated, and the end of a stay.
    fn do_chores(&mut self, now: Instant) {
        if self.chore.is_none_or(|at| at > now) {
            return;
        }
        loop {
            let Some((to, answer)) = self.shared.table().poll_answer(now) else { break };
            self.send_answer(now, to, None, &answer);
        }
        self.shared.wake_idlers_if_idle();
    }

    /// A connection that was to prove itself first, and has, is handed to those who accept: they are to be woken once
    /// its lock is released.
    fn announce(
        &self,
        now: Instant,
        state: &mut ConnectionState,
        connection: &Arc<ConnectionShared>,
    ) -> Wakers {
        if state.announced || state.connection.role() == Role::Client || !state.connection.is_proven() {
            return Wakers::default();
        }
        state.announced = true;
        if state.connection.ending().is_some() {
            return Wakers::default();
        }
        self.shared.arrive(connection.clone()).unwrap_or_else(|| {
            let code = if self.shared.is_closed() { code::GOING_AWAY } else { code::BUSY };
            state.connection.abort(now, code);
            Wakers::default()
        })
    }

    /// Looks at the connections in line, one batch each, as many as a turn may. While the socket takes
    /// nothing they wait: the task is woken when it does.
    fn serve(&mut self, cx: &mut Context<'_>, now: Instant) {
        let mut batches = 0;
        // Those that come back to the end of the line wait for the next turn.
        for _ in 0..self.busy.len() {
            if batches == SEND_BATCHES || !self.unblock(cx) {
                return;
            }
            let Some(connection) = self.busy.pop_front() else { return };
            batches += usize::from(self.serve_one(now, &connection) != Sent::Nothing);
        }
        // Also for a batch that a handle has tried to send, or the last one here.
        self.unblock(cx);
    }

    /// Sends first what the socket has refused; false while it still takes nothing.
    fn unblock(&mut self, cx: &mut Context<'_>) -> bool {
        let mut was_ready = false;
        while self.is_blocked() {
            if self.shared.retry_blocked(&mut self.icmp) {
                return true;
            }
            if was_ready {
                // It says that it takes something, and doesn't: others have their turn before it is tried again.
                cx.waker().wake_by_ref();
                return false;
            }
            match self.shared.io.poll_send_ready(cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => was_ready = true,
                Poll::Ready(Err(error)) => {
                    self.shared.fail(error);
                    return false;
                }
            }
        }
        true
    }

    fn is_blocked(&self) -> bool {
        self.shared.blocked.load(Ordering::Acquire)
    }

    fn serve_one(&mut self, now: Instant, connection: &Arc<ConnectionShared>) -> Sent {
        connection.clear_dirty();
        let mut guard = connection.lock();
        let state = &mut *guard;
        state.listed = false;
        self.grow_window(now, state);
        if let Some((conv, remains)) = state.connection.take_former_name() {
            self.shared.rename(now, (connection, state.peer), (conv, &remains), state.connection.conv());
        }
        self.shared.note_path(now, state.peer, &mut state.connection);
        let acceptors = self.announce(now, state, connection);
        self.follow(state, connection);
        self.shared.settle_doubt(now, state);
        if state.is_awaited() {
            // Whoever is woken now may answer: the acknowledgement can ride with that.
            state.connection.defer_answer(now);
        }
        let mut sent = Sent::Nothing;
        if !state.held && state.connection.has_transmit() {
            sent = self.shared.transmit_batch(now, state, &mut self.icmp);
            if state.connection.has_transmit() || sent == Sent::Blocked {
                self.list(state, connection);
            }
        }
        let ready = state.take_ready();
        self.register_deadline(state, connection);
        let ended = state.connection.ending().is_some() && !state.retired;
        state.retired |= ended;
        if ended {
            // Its entries in the heap are of no use any more.
            state.deadlines = Deadlines::default();
        }
        let (peer, retired) = (state.peer, state.retired);
        drop(guard);
        acceptors.wake();
        ready.into_iter().for_each(Wakers::wake);
        if ended {
            self.shared.remove(now, connection);
        }
        // Also after its last words, for which there was an encoder again if the socket was full before.
        if retired && !self.shared.has_remote(peer) {
            self.forget_shards(peer);
        }
        sent
    }

    /// The advertised window starts at what the socket's buffer holds, and grows while the system drops nothing.
    fn grow_window(&mut self, now: Instant, state: &mut ConnectionState) {
        let wanted = state.connection.recv_window();
        let Some(limit) = state.window_limit else {
            let held = self.shared.io.recv_buffer() / KERNEL_BYTES_PER_DATAGRAM;
            let limit = u32::try_from(held).unwrap_or(u32::MAX).max(1);
            state.connection.limit_recv_window(limit);
            state.window_limit = Some(limit);
            return;
        };
        if limit >= wanted || self.growth.stopped || self.growth.next.is_some_and(|next| now < next) {
            return;
        }
        self.growth.next = Some(now + WINDOW_GROWTH);
        let drops = self.shared.io.socket_drops();
        if drops != self.growth.drops {
            self.growth.stopped = true;
            return;
        }
        let limit = limit.saturating_add(limit / 4 + 1);
        state.connection.limit_recv_window(limit);
        state.window_limit = Some(limit);
    }

    fn arm_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.chore = self.shared.next_chore();
        let Some(next) = [self.deadlines.next(), self.chore].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let next = tokio::time::Instant::from_std(next);
        if self.sleep.deadline() != next {
            self.sleep.as_mut().reset(next);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// What is in a datagram that came, if it can be opened; the tap sees it in any case.
pub(super) fn open<'a>(
    shared: &EndpointShared,
    now: Instant,
    (peer, local): (SocketAddr, Option<IpAddr>),
    datagram: &'a mut [u8],
) -> Option<&'a mut [u8]> {
    let Some(tap) = shared.config.tap_value() else { return shared.envelope.open(datagram) };
    let local = shared.local_towards(local);
    if shared.envelope.is_null() {
        tap.datagram(&TappedDatagram::new(now, Direction::Received, local, peer, datagram));
        return Some(datagram);
    }
    // It is opened in place.
    let payload = datagram.to_vec();
    let inside = shared.envelope.open(datagram);
    let shown = TappedDatagram::new(now, Direction::Received, local, peer, &payload);
    tap.datagram(&shown.with_opened(inside.as_deref()));
    inside
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match this.turn(cx) {
            Err(error) => this.shared.fail(error),
            // It is woken once tokio has looked at the socket.
            Ok(false) if this.looked_again => return Poll::Pending,
            Ok(true) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Ok(false) => {}
        }
        if this.shared.has_failed() || this.shared.is_abandoned() {
            return Poll::Ready(());
        }
        if this.arm_sleep(cx).is_ready() || !this.shared.inbox.park(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    /// Also when the runtime is shut down: nobody waits for ever.
    fn drop(&mut self) {
        #[cfg(unix)]
        self.shared.never_hand_over();
        self.shared.abandon();
    }
}

#[cfg(test)]
mod tests;
