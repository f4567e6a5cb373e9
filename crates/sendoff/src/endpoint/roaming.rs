//! Our own way to a peer, when it is gone or may be another.
//!
//! A connected socket keeps the source address that was right when it was connected. Once that has gone, every send
//! fails; and where only the route has changed, what is sent from the old address is lost without a word. Then the
//! socket is dissolved and connected again, and the peer is asked, so that it can follow.

use super::shared::EndpointShared;
use crate::stream::ConnectionState;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

/// What has become of a socket's connection.
#[derive(Default)]
pub(super) struct Roaming {
    /// It was dissolved, and nothing leads to the peer for now.
    adrift: AtomicBool,
}

impl EndpointShared {
    /// A send has found no way: our address has gone, or there is no network now.
    pub(super) fn lose_way(&self, now: Instant, state: &mut ConnectionState) {
        // The system chooses another for the next.
        state.source = None;
        if !self.io.is_connected() || self.connect_again() {
            state.connection.handle_new_path(now);
        }
    }

    /// Where there was no way, there may be one by now. Before each batch.
    #[inline]
    pub(super) fn find_way_again(&self, now: Instant, state: &mut ConnectionState) {
        if self.roaming.adrift.load(Ordering::Relaxed) && self.connect_again() {
            state.source = None;
            state.connection.handle_new_path(now);
        }
    }

    fn connect_again(&self) -> bool {
        let connected = self.io.reconnect();
        self.roaming.adrift.store(connected.is_err(), Ordering::Relaxed);
        match &connected {
            Ok(()) => tracing::debug!(local = ?self.io.local_addr(), "the socket is connected again"),
            Err(error) => tracing::debug!(%error, "nothing leads to the peer"),
        }
        connected.is_ok()
    }

    /// What was sent has met silence: another address of ours may lead to the peer now.
    pub(super) fn settle_doubt(&self, now: Instant, state: &mut ConnectionState) {
        if !state.connection.take_path_doubt() {
            return;
        }
        if !self.io.is_connected() {
            // The system chooses, for each datagram.
            state.source = None;
            return;
        }
        let before = self.io.local_addr().ok();
        match self.io.is_rerouted() {
            // A socket that was bound to an address keeps it.
            Ok(true) if self.connect_again() && self.io.local_addr().ok() != before => {
                state.source = None;
                state.connection.handle_new_path(now);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "nothing leads to the peer"),
        }
    }
}
