//! The address that a datagram left from, where the endpoint is bound to all of them.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// Peers whose address on our side is remembered.
const MAX_KNOWN: usize = 4_096;

/// Our address towards each peer.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses {
    known: HashMap<IpAddr, IpAddr>,
}

impl OwnAddresses {
    /// `local`, and if that is all addresses, the one that leads to `peer`: as the peer's other datagrams have shown,
    /// or as the system would choose now. The unspecified address stays where there is no way to the peer.
    pub(super) fn resolve(&mut self, local: SocketAddr, peer: SocketAddr) -> SocketAddr {
        let (own, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
        let own = match self.known.get(&peer) {
            _ if !own.is_unspecified() => own,
            Some(known) => return SocketAddr::new(*known, local.port()),
            None => route_to(peer).unwrap_or(own),
        };
        if self.known.get(&peer) != Some(&own) {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(peer, own);
        }
        SocketAddr::new(own, local.port())
    }
}

/// The address from which the system would send there. Connecting a socket of UDP asks it, and sends nothing.
fn route_to(peer: IpAddr) -> Option<IpAddr> {
    let any = match peer {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Any port does, but 0.
    socket.connect((peer, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_become_the_one_that_leads_to_the_peer() {
        let mut addresses = OwnAddresses::default();
        let mut resolve = |local: &str, peer: &str| {
            addresses.resolve(local.parse().unwrap(), peer.parse().unwrap()).to_string()
        };
        assert_eq!(resolve("0.0.0.0:7", "127.0.0.1:1"), "127.0.0.1:7");
        assert_eq!(resolve("[::]:7", "127.0.0.1:1"), "127.0.0.1:7");
        // What another datagram has shown counts more than a guess.
        assert_eq!(resolve("127.0.0.9:7", "127.0.0.1:1"), "127.0.0.9:7");
        assert_eq!(resolve("0.0.0.0:7", "127.0.0.1:2"), "127.0.0.9:7");
        assert_eq!(resolve("[::ffff:10.1.2.3]:7", "[2001:db8::1]:2"), "10.1.2.3:7");
    }

    #[test]
    fn no_more_peers_are_remembered_than_the_bound_says() {
        let mut addresses = OwnAddresses::default();
        for n in 0..(2 * MAX_KNOWN as u32 + 5) {
            let peer = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + n).into(), 1);
            addresses.resolve("127.0.0.1:7".parse().unwrap(), peer);
        }
        assert_eq!(addresses.known.len(), 5);
    }
}
