//! The account of a connection whose transport doesn't keep one: what was carried, and how it ended.

use crate::{Cause, Ending, Farewell, Party, lock::lock, stream::Wakers};
use std::{
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// Shared by both sides of a connection.
pub(super) struct Ends {
    opened: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who was the first to finish.
    first: Option<Party>,
    /// The peer has finished; with what words, if it could say any.
    peer: Option<Option<Farewell>>,
    /// We have finished.
    own: Option<Farewell>,
    ending: Option<Ending>,
    watchers: Wakers,
}

impl Ends {
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    #[inline]
    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Nothing more will come.
    pub(super) fn peer_finished(&self, farewell: Option<Farewell>) {
        let mut state = self.lock();
        state.first.get_or_insert(Party::Peer);
        state.peer.get_or_insert(farewell);
        self.settle(state);
    }

    /// Nothing more will be written here; the first farewell counts.
    pub(super) fn finished(&self, farewell: Farewell) {
        let mut state = self.lock();
        state.first.get_or_insert(Party::Local);
        state.own.get_or_insert(farewell);
        self.settle(state);
    }

    /// Closed here: the peer's own end isn't waited for.
    pub(super) fn closed(&self, farewell: Farewell) {
        let mut state = self.lock();
        state.first.get_or_insert(Party::Local);
        state.own.get_or_insert(farewell);
        state.peer.get_or_insert(None);
        self.settle(state);
    }

    /// Over when both have finished.
    fn settle(&self, state: MutexGuard<'_, State>) {
        let (Some(by), Some(peer), Some(own)) = (state.first, &state.peer, &state.own) else { return };
        let words = if by == Party::Peer { peer.clone().unwrap_or_default() } else { own.clone() };
        self.end_locked(state, by, Cause::Closed, words, Duration::ZERO);
    }

    /// Over, for this cause, if it isn't yet.
    pub(super) fn end(&self, by: Party, cause: Cause, code: u32) {
        self.end_locked(self.lock(), by, cause, Farewell::new(code, ""), Duration::ZERO);
    }

    /// Over after such a silence, if it isn't yet.
    pub(super) fn end_silent(&self, cause: Cause, silent_for: Duration) {
        self.end_locked(self.lock(), Party::Network, cause, Farewell::default(), silent_for);
    }

    fn end_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        by: Party,
        cause: Cause,
        words: Farewell,
        silent_for: Duration,
    ) {
        if state.ending.is_some() {
            return;
        }
        let mut ending = Ending::new(by, cause, self.opened.elapsed());
        (ending.code, ending.reason) = (words.code, words.reason);
        ending.silent_for = silent_for;
        ending.peer = state.peer.clone().flatten();
        (ending.bytes_received, ending.bytes_sent) = (self.received(), self.sent());
        // What such a transport has taken, it doesn't account for.
        ending.bytes_acknowledged = ending.bytes_sent;
        state.ending = Some(ending);
        let watchers = state.watchers.take();
        drop(state);
        watchers.wake();
    }

    /// What an error of the transport means for the connection; the error that the application gets.
    pub(super) fn fail(&self, error: io::Error) -> io::Error {
        let (by, cause) = match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => (Party::Peer, Cause::Reset),
            io::ErrorKind::ConnectionRefused => (Party::Network, Cause::Refused),
            io::ErrorKind::ConnectionAborted => (Party::Local, Cause::Aborted),
            io::ErrorKind::TimedOut => (Party::Network, Cause::TimedOut(crate::Silence::Retransmissions)),
            _ => (Party::Network, Cause::EndpointLost),
        };
        self.end(by, cause, 0);
        match self.ending() {
            Some(ending) if !ending.is_clean() => ending.into(),
            _ => error,
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.lock().own.is_some()
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.lock().ending.clone()
    }

    pub(super) fn peer_farewell(&self) -> Option<Farewell> {
        self.lock().peer.clone().flatten()
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut state = self.lock();
        if let Some(ending) = &state.ending {
            return Poll::Ready(ending.clone());
        }
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }
}
