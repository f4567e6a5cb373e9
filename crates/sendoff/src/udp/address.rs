//! Addresses: canonical for everybody above, mapped for a socket of the other family.
//!
//! A dual-stack socket names an IPv4 peer `::ffff:a.b.c.d`. Above this module there are no such addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The address as everybody above knows it: IPv4 where it is a mapped one, without a flow label.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        },
    }
}

/// The family of a socket, and with it the form of the addresses that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(local: SocketAddr) -> Family {
        if local.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The address in the form that a socket of this family takes; None where it can't reach it.
    pub(super) fn address(self, address: SocketAddr) -> Option<SocketAddr> {
        match (self, address) {
            (Family::V4, SocketAddr::V6(_)) => match canonical(address) {
                mapped @ SocketAddr::V4(_) => Some(mapped),
                SocketAddr::V6(_) => None,
            },
            (Family::V6, SocketAddr::V4(v4)) => Some(SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))),
            _ => Some(address),
        }
    }

    /// The source address in the form that a socket of this family takes; None where no peer can have
    /// spoken to it, so that the kernel chooses.
    pub(super) fn source(self, source: IpAddr) -> Option<IpAddr> {
        let source = source.to_canonical();
        let broadcast = matches!(source, IpAddr::V4(v4) if v4.is_broadcast());
        if source.is_unspecified() || source.is_multicast() || broadcast {
            return None;
        }
        match (self, source) {
            (Family::V4, IpAddr::V6(_)) => None,
            (Family::V6, IpAddr::V4(v4)) => Some(IpAddr::V6(v4.to_ipv6_mapped())),
            _ => Some(source),
        }
    }

    /// The wildcard address of this family.
    pub(super) fn any(self) -> IpAddr {
        match self {
            Family::V4 => IpAddr::from([0, 0, 0, 0]),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_mapped_address_is_known_as_ipv4_and_a_flow_label_is_forgotten() {
        assert_eq!(canonical(address("[::ffff:10.1.2.3]:7")), address("10.1.2.3:7"));
        assert_eq!(canonical(address("[2001:db8::1]:7")), address("[2001:db8::1]:7"));
        let labelled = SocketAddrV6::new("fe80::1".parse().expect("an address"), 7, 99, 3);
        let SocketAddr::V6(plain) = canonical(labelled.into()) else { panic!("not IPv6") };
        assert_eq!((plain.flowinfo(), plain.scope_id()), (0, 3));
    }

    #[test]
    fn each_family_gets_the_form_it_takes() {
        assert_eq!(Family::V6.address(address("10.1.2.3:7")), Some(address("[::ffff:10.1.2.3]:7")));
        assert_eq!(Family::V4.address(address("[::ffff:10.1.2.3]:7")), Some(address("10.1.2.3:7")));
        assert_eq!(Family::V4.address(address("[2001:db8::1]:7")), None);
        assert_eq!(Family::V6.source([10, 1, 2, 3].into()), "::ffff:10.1.2.3".parse().ok());
    }

    #[test]
    fn no_answer_leaves_from_a_wildcard_multicast_or_broadcast_address() {
        for source in ["0.0.0.0", "::", "224.0.0.251", "255.255.255.255", "ff02::1"] {
            let source: IpAddr = source.parse().expect("an address");
            assert_eq!((Family::V4.source(source), Family::V6.source(source)), (None, None), "{source}");
        }
    }
}
