//! A peer that goes away says so: what is under way may still end, and what is new should go elsewhere.

use super::{ConnectionShared, KcpStream, ReadHalf, WriteHalf, wait};
use crate::code;
use sendoff_proto::Role;
use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll},
};

impl ConnectionShared {
    /// Tells the peer that this side goes away; the connection goes on.
    pub(crate) fn go_away(self: &Arc<Self>) {
        self.command(|state, now| state.connection.go_away(now));
    }

    /// Breaks off what hasn't ended yet, because this side has gone; says whether there was anything to break off.
    pub(crate) fn break_off(self: &Arc<Self>) -> bool {
        let mut open = false;
        self.command(|state, now| {
            open = state.connection.ending().is_none();
            match std::mem::take(&mut state.held) {
                true => state.connection.turn_away(now, code::GOING_AWAY),
                false => state.connection.abort(now, code::GOING_AWAY),
            }
        });
        open
    }

    /// A peer has opened it, and has yet to prove itself before it is accepted.
    pub(crate) fn is_yet_to_arrive(&self) -> bool {
        let state = self.lock();
        !state.announced && state.connection.role() == Role::Server
    }

    pub(crate) fn is_peer_going_away(&self) -> bool {
        self.lock().connection.is_peer_going_away()
    }

    pub(crate) fn poll_going_away(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.connection.is_peer_going_away() {
            return Poll::Ready(true);
        }
        if state.connection.ending().is_some() {
            return Poll::Ready(false);
        }
        state.awaits_departure = true;
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }

    fn going_away(self: &Arc<Self>) -> impl Future<Output = bool> + Send + 'static + use<> {
        let connection = self.clone();
        async move { wait(|cx| connection.poll_going_away(cx)).await }
    }
}

impl KcpStream {
    /// Waits until the peer says that it goes away: it takes no new connections, gives this one some time to end, and then
    /// breaks it off with code 4 ([`code::GOING_AWAY`]). True if it has said so; false if the connection has ended
    /// and it never did. Nothing ends by it. A stock peer can't say it. The future lives on without the stream. Cancel safe.
    ///
    /// ```no_run
    /// # async fn f(stream: sendoff::KcpStream) {
    /// if stream.going_away().await {
    ///     // Finish what is under way; what is new goes to another server.
    /// }
    /// # }
    /// ```
    pub fn going_away(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
        self.read.going_away()
    }

    /// Whether the peer has said that it goes away: see [`going_away`](Self::going_away).
    pub fn is_peer_going_away(&self) -> bool {
        self.read.is_peer_going_away()
    }
}

macro_rules! of_half {
    ($half:ident) => {
        impl $half {
            /// Waits until the peer says that it goes away: see [`KcpStream::going_away`]. Cancel safe.
            pub fn going_away(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
                self.connection().going_away()
            }

            /// Whether the peer has said that it goes away.
            pub fn is_peer_going_away(&self) -> bool {
                self.connection().is_peer_going_away()
            }
        }
    };
}

of_half!(ReadHalf);
of_half!(WriteHalf);
