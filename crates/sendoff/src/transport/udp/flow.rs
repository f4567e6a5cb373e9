//! What came from one peer, and how that ends.

use super::super::ends::Ends;
use super::{UdpStats, shared::Shared};
use crate::{Cause, Ending, Farewell, Party, Silence, lock::lock, stream::does_not_fit};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{io::ReadBuf, time::Instant};

/// Datagrams that wait to be read, at most.
pub(super) const QUEUE_DATAGRAMS: usize = 1_024;

/// Bytes that wait to be read, at most: each datagram counts with [`DATAGRAM_COST`] on top.
pub(super) const QUEUE_BYTES: usize = 1 << 20;

/// What a datagram costs beside its bytes.
pub(super) const DATAGRAM_COST: usize = 64;

/// A lock of it is never held while the table is locked, or the other way round.
pub(super) struct Flow {
    peer: SocketAddr,
    shared: Arc<Shared>,
    /// Apart: who waits for the end must not keep the socket open.
    pub(super) ends: Arc<Ends>,
    state: Mutex<State>,
    /// Microseconds from the beginning of the socket to the last datagram in either direction.
    active: AtomicU64,
    /// Sides that aren't dropped.
    sides: AtomicU8,
    counters: Counters,
}

struct State {
    queue: VecDeque<Bytes>,
    /// What the queue costs.
    cost: usize,
    reader: Option<Waker>,
    /// Our address that the peer sends to: answers leave from there.
    source: Option<IpAddr>,
    /// Somebody may still read.
    read: bool,
    over: bool,
}

#[derive(Default)]
struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    queue_full: AtomicU64,
    too_large: AtomicU64,
    send_failures: AtomicU64,
    empty_passed_over: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Flow {
    pub(super) fn new(peer: SocketAddr, source: Option<IpAddr>, shared: Arc<Shared>) -> Arc<Self> {
        let flow = Self {
            peer,
            shared,
            ends: Arc::new(Ends::new()),
            state: Mutex::new(State {
                queue: VecDeque::new(),
                cost: 0,
                reader: None,
                source,
                read: true,
                over: false,
            }),
            active: AtomicU64::new(0),
            sides: AtomicU8::new(2),
            counters: Counters::default(),
        };
        flow.touch();
        Arc::new(flow)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Our own address, as the peer knows it.
    pub(super) fn local_addr(&self) -> SocketAddr {
        let local = self.shared.local_addr();
        self.lock().source.map_or(local, |ip| SocketAddr::new(ip, local.port()))
    }

    fn touch(&self) {
        let since = self.shared.began.elapsed().as_micros();
        self.active.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn last_active(&self) -> Instant {
        self.shared.began + Duration::from_micros(self.active.load(Ordering::Relaxed))
    }

    /// When it is over if nothing happens.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        self.last_active().checked_add(self.shared.idle)
    }

    /// A datagram has come; false when the flow is over, so that it opens another one.
    pub(super) fn deliver(&self, datagram: &[u8], local: Option<IpAddr>) -> bool {
        let mut state = self.lock();
        if state.over {
            return false;
        }
        self.touch();
        state.source = local.or(state.source);
        let cost = datagram.len() + DATAGRAM_COST;
        let full = state.queue.len() >= QUEUE_DATAGRAMS || state.cost + cost > QUEUE_BYTES;
        if !state.read || full || !self.shared.hold(cost) {
            count(&self.counters.queue_full);
            return true;
        }
        state.queue.push_back(Bytes::copy_from_slice(datagram));
        state.cost += cost;
        count(&self.counters.received);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// The next datagram; `None` at the end.
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.lock();
        match self.take(&mut state) {
            Some(datagram) => Poll::Ready(Ok(Some(datagram))),
            None => self.wait(cx, state).map_ok(|()| None),
        }
    }

    /// The next datagram that isn't empty, if it fits.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        while let Some(next) = state.queue.front() {
            if next.len() > buf.remaining() {
                return Poll::Ready(Err(does_not_fit(next.len(), buf.remaining())));
            }
            let Some(datagram) = self.take(&mut state) else { break };
            if !datagram.is_empty() {
                buf.put_slice(&datagram);
                return Poll::Ready(Ok(()));
            }
            count(&self.counters.empty_passed_over);
        }
        self.wait(cx, state)
    }

    fn take(&self, state: &mut State) -> Option<Bytes> {
        let datagram = state.queue.pop_front()?;
        let cost = datagram.len() + DATAGRAM_COST;
        state.cost -= cost;
        self.shared.release(cost);
        self.ends.count_received(datagram.len());
        Some(datagram)
    }

    /// Ready at the end, with an error unless it is an orderly one.
    fn wait(&self, cx: &mut Context<'_>, mut state: MutexGuard<'_, State>) -> Poll<io::Result<()>> {
        if state.over {
            drop(state);
            let broken = self.ends.ending().filter(|ending| !ends_reading(ending));
            return Poll::Ready(broken.map_or(Ok(()), |ending| Err(ending.into())));
        }
        if !state.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What a writer gets who can't write any more.
    pub(super) fn writable(&self) -> io::Result<()> {
        match self.ends.ending() {
            Some(ending) => Err(ending.into()),
            None if self.ends.is_finished() => {
                Err(io::Error::new(io::ErrorKind::BrokenPipe, "nothing can be written after finish"))
            }
            None => Ok(()),
        }
    }

    pub(super) fn source(&self) -> Option<IpAddr> {
        self.lock().source
    }

    /// Our address may have gone: the system chooses another one.
    pub(super) fn forget_source(&self) {
        self.lock().source = None;
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.touch();
        count(&self.counters.sent);
        self.ends.count_sent(bytes);
    }

    pub(super) fn count_too_large(&self) {
        count(&self.counters.too_large);
    }

    pub(super) fn count_send_failure(&self) {
        count(&self.counters.send_failures);
    }

    /// Nobody reads any more.
    pub(super) fn stop_reading(&self) {
        let mut state = self.lock();
        state.read = false;
        self.discard(&mut state);
    }

    fn discard(&self, state: &mut State) {
        self.shared.release(std::mem::take(&mut state.cost));
        state.queue = VecDeque::new();
    }

    pub(super) fn drop_side(&self) {
        if self.sides.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close(Farewell::default());
        }
    }

    /// Closed here: the peer isn't told, for UDP has no words for that.
    pub(super) fn close(&self, farewell: Farewell) {
        self.ends.closed(farewell);
        self.leave(true);
    }

    pub(super) fn abort(&self, code: u32) {
        self.ends.end(Party::Local, Cause::Aborted, code);
        self.leave(true);
    }

    /// The peer's host says that nobody has the port.
    pub(super) fn refuse(&self) {
        let heard = self.counters.received.load(Ordering::Relaxed) > 0;
        let cause = if heard { Cause::Reset } else { Cause::Refused };
        self.ends.end(Party::Network, cause, 0);
        self.leave(false);
    }

    /// Nothing has happened for the idle time.
    pub(super) fn expire(&self) {
        self.ends.end_silent(Cause::TimedOut(Silence::Idle), self.last_active().elapsed());
        self.leave(false);
    }

    /// The socket is of no use any more.
    pub(super) fn lose_socket(&self) {
        self.ends.end(Party::Network, Cause::EndpointLost, 0);
        self.leave(false);
    }

    /// It is over: out of the table, and whoever waits is told.
    fn leave(&self, discard: bool) {
        let reader = {
            let mut state = self.lock();
            state.over = true;
            if discard {
                self.discard(&mut state);
            }
            state.reader.take()
        };
        self.shared.remove(self);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn stats(&self) -> UdpStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        UdpStats {
            datagrams_received: of(&self.counters.received),
            datagrams_sent: of(&self.counters.sent),
            dropped_queue_full: of(&self.counters.queue_full),
            too_large: of(&self.counters.too_large),
            send_failures: of(&self.counters.send_failures),
            empty_passed_over: of(&self.counters.empty_passed_over),
            ..self.shared.stats()
        }
    }
}

/// Whether a reader sees the end, not an error: a silence is all that UDP has for one.
fn ends_reading(ending: &Ending) -> bool {
    ending.is_clean() || ending.cause == Cause::TimedOut(Silence::Idle)
}

impl Drop for Flow {
    fn drop(&mut self) {
        let cost = self.lock().cost;
        self.shared.release(cost);
    }
}
