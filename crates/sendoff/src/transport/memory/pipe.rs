//! One direction of a stream: bytes on the way, and how they end.

use crate::{Farewell, lock::lock};
use std::{
    collections::VecDeque,
    io::Read,
    sync::{Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};
use tokio::io::ReadBuf;

/// Written at one end, read at the other.
pub(super) struct Pipe {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    /// What the writer said when it finished.
    farewell: Option<Farewell>,
    /// The reader has closed.
    deaf: bool,
    /// Broken off by either end.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a reader comes to.
pub(super) enum Received {
    /// So many bytes; with them the last, if the writer has finished.
    Bytes(usize, Option<Farewell>),
    /// The end, and what the writer said.
    End(Farewell),
    /// Nothing more is read here.
    Closed,
    /// It was broken off.
    Broken,
}

/// What a writer comes to.
pub(super) enum Taken {
    /// So many bytes.
    Bytes(usize),
    /// Nobody reads any more.
    Deaf,
    /// It was broken off.
    Broken,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Received> {
        let mut state = self.lock();
        if state.broken {
            return Poll::Ready(Received::Broken);
        }
        if state.deaf {
            return Poll::Ready(Received::Closed);
        }
        if state.bytes.is_empty() {
            return match &state.farewell {
                Some(farewell) => Poll::Ready(Received::End(farewell.clone())),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        let mut read = 0;
        // The ring is in two pieces at most.
        while let Ok(n @ 1..) = state.bytes.read(buf.initialize_unfilled()) {
            buf.advance(n);
            read += n;
        }
        let last = state.farewell.clone().filter(|_| state.bytes.is_empty());
        wake(state, |state| [state.writer.take(), None]);
        Poll::Ready(Received::Bytes(read, last))
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Taken> {
        let mut state = self.lock();
        if state.broken {
            return Poll::Ready(Taken::Broken);
        }
        if state.deaf {
            return Poll::Ready(Taken::Deaf);
        }
        let room = self.capacity - state.bytes.len();
        if room == 0 && !data.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = room.min(data.len());
        state.bytes.extend(&data[..n]);
        wake(state, |state| [state.reader.take(), None]);
        Poll::Ready(Taken::Bytes(n))
    }

    /// Nothing more is written; returns whether the reader has all already. The first farewell counts.
    pub(super) fn finish(&self, farewell: Farewell) -> Option<Farewell> {
        let mut state = self.lock();
        let farewell = state.farewell.get_or_insert(farewell).clone();
        let all_read = state.bytes.is_empty();
        wake(state, |state| [state.reader.take(), None]);
        all_read.then_some(farewell)
    }

    /// Nothing more is read.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.deaf = true;
        state.bytes = VecDeque::new();
        wake(state, |state| [state.reader.take(), state.writer.take()]);
    }

    /// What is on the way is lost.
    pub(super) fn break_off(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.bytes = VecDeque::new();
        wake(state, |state| [state.reader.take(), state.writer.take()]);
    }
}

/// Wakes once the lock is released.
fn wake(mut state: MutexGuard<'_, State>, whom: impl FnOnce(&mut State) -> [Option<Waker>; 2]) {
    let wakers = whom(&mut state);
    drop(state);
    wakers.into_iter().flatten().for_each(Waker::wake);
}
