//! Peers that come from another address than before.

use super::driver::Driver;
use crate::stream::{ConnectionShared, ConnectionState, Wakers};
use sendoff_proto::Elsewhere;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

impl Driver {
    /// From now on the table finds it by its token too, if it is one to be followed.
    pub(super) fn follow(&self, state: &mut ConnectionState, connection: &Arc<ConnectionShared>) {
        if state.followed {
            return;
        }
        if let Some(token) = state.connection.followed_as() {
            state.followed = true;
            self.shared.table().follow(token, connection.clone());
        }
    }

    /// A datagram from another address names a connection. Says whether its peer is there from now on, and the datagram
    /// is for it.
    pub(super) fn meet_elsewhere(
        &mut self,
        now: Instant,
        source: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
        connection: &Arc<ConnectionShared>,
    ) -> bool {
        let mut state = connection.lock();
        match state.connection.handle_elsewhere(now, source, datagram) {
            Elsewhere::Ignored => false,
            Elsewhere::Reset => {
                // Nothing else from there is for it.
                state.connection.handle_datagram(now, datagram);
                self.list(&mut state, connection);
                false
            }
            Elsewhere::Asked(question, answer) => {
                drop(state);
                for answer in [Some(question), answer].into_iter().flatten() {
                    self.send_answer(now, source, local, &answer);
                }
                false
            }
            Elsewhere::Moved => {
                let from = state.peer;
                let name = (from, state.connection.conv());
                let remains = state.connection.leave_old_path();
                if !self.shared.table().relocate(now, name, source, &remains) {
                    return false;
                }
                state.connection.handle_moved(now);
                (state.peer, state.source) = (source, local);
                // Before any handle sends there.
                self.shared.shards.carry(from, source);
                let waiting: Wakers = state.watchers.take();
                drop(state);
                tracing::debug!(conv = %connection.conv(), %from, to = %source, "the peer has moved");
                if !self.shared.has_remote(from) {
                    self.carry_decoder(from, source);
                    self.forget_shards(from);
                }
                waiting.wake();
                true
            }
        }
    }
}
