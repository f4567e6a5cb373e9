//! What ICMP messages say of our peers: hints, which anybody on the path can have forged.

use super::driver::Driver;
use crate::udp::{IcmpError, IcmpKind};
use std::{net::SocketAddr, time::Instant};

impl Driver {
    /// Gives what was found to the connections that it is about. A port that nobody listens on may end them; all else
    /// may be over soon.
    pub(super) fn handle_icmp(&mut self, now: Instant) {
        self.shared.take_icmp(&mut self.icmp);
        for error in std::mem::take(&mut self.icmp) {
            if self.pass_error_on(now, &error) {
                continue;
            }
            self.shared.count_icmp();
            tracing::debug!(peer = %error.peer, kind = ?error.kind, "ICMP error");
            if let IcmpKind::TooBig { mtu } = error.kind {
                self.limit_mtu(error.peer, mtu);
            }
            if error.kind != IcmpKind::PortUnreachable {
                continue;
            }
            let concerned = self.shared.with_remote(error.peer);
            let quoted = self.quoted_conv(&error);
            if !self.shared.envelope.is_null() && concerned.len() > 1 && !self.shared.io.is_connected() {
                continue; // it can't be told which one
            }
            for connection in concerned {
                if quoted.is_none_or(|conv| conv == connection.conv().value()) {
                    let mut state = connection.lock();
                    state.connection.handle_unreachable(now);
                    self.list(&mut state, &connection);
                }
            }
        }
    }

    /// A router says how large an IP packet may be. On IPv6 the system fragments from then on; smaller datagrams are
    /// better. Forged, it costs no more than the lowest step.
    fn limit_mtu(&mut self, peer: SocketAddr, mtu: u32) {
        let headers = if peer.is_ipv4() { 28 } else { 48 };
        let payload = (mtu as usize).saturating_sub(headers);
        for connection in self.shared.with_remote(peer) {
            let mut state = connection.lock();
            state.connection.limit_mtu(payload);
            self.list(&mut state, &connection);
        }
    }

    /// What it quotes tells the conversation. Some systems quote too little; and what was sealed says nothing, so
    /// that the address has to do.
    fn quoted_conv(&self, error: &IcmpError) -> Option<u32> {
        let conv = error.quoted().first_chunk::<4>().filter(|_| self.shared.envelope.is_null())?;
        Some(u32::from_le_bytes(*conv))
    }
}
