//! Why the rest of a packet isn't explained.

use super::LayerKind;
use crate::file::LinkType;
use std::fmt;

/// Why the walk over a packet ended before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The packet ends within a header, or before what its length field says.
    Short {
        /// Of which layer.
        layer: LayerKind,
        /// Bytes that it has.
        wanted: usize,
        /// Bytes that are there.
        there: usize,
    },
    /// A header's length field says less than the header has.
    BadLength {
        /// Of which layer.
        layer: LayerKind,
        /// As it stands there, in bytes.
        len: usize,
    },
    /// A link type that isn't known here.
    LinkType(LinkType),
    /// A protocol above the link that isn't explained.
    EtherType(u16),
    /// An 802.3 frame: a length where Ethernet II has a type.
    Ieee8023 {
        /// The length field.
        len: u16,
    },
    /// The address family of a loopback header is unknown.
    AddressFamily(u32),
    /// Neither IPv4 nor IPv6.
    IpVersion(u8),
    /// A protocol above IP that isn't explained.
    IpProtocol(u8),
    /// ARP of something else than IPv4 over Ethernet.
    ForeignArp {
        /// Kind of hardware address.
        hardware: u16,
        /// Kind of protocol address.
        protocol: u16,
    },
    /// More headers stacked than are followed.
    TooDeep,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Short { layer, wanted, there } => {
                write!(f, "{layer} has {wanted} bytes, {there} are there")
            }
            Self::BadLength { layer, len } => write!(f, "{layer} can't have a length of {len}"),
            Self::LinkType(link) => write!(f, "{link} is not explained"),
            Self::EtherType(number) => match ether_type_name(number) {
                Some(name) => write!(f, "{name} is not explained"),
                None => write!(f, "EtherType {number:#06x} is not explained"),
            },
            Self::Ieee8023 { len } => write!(f, "802.3 frame of {len} bytes: LLC is not explained"),
            Self::AddressFamily(family) => write!(f, "address family {family:#x} is neither IPv4 nor IPv6"),
            Self::IpVersion(version) => write!(f, "IP version {version} is neither 4 nor 6"),
            Self::IpProtocol(number) => match ip_protocol_name(number) {
                Some(name) => write!(f, "{name} is not explained"),
                None => write!(f, "IP protocol {number} is not explained"),
            },
            Self::ForeignArp { hardware, protocol } => {
                write!(f, "ARP of hardware {hardware} and protocol {protocol:#06x} is not explained")
            }
            Self::TooDeep => f.write_str("too many headers are stacked"),
        }
    }
}

fn ether_type_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x8035 => "RARP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 | 0x8864 => "PPPoE",
        0x888e => "802.1X",
        0x88cc => "LLDP",
        0x88e5 => "MACsec",
        0x88f7 => "PTP",
        _ => return None,
    })
}

/// Names of the commonest protocols over IP.
pub(crate) fn ip_protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "hop-by-hop options",
        1 => "ICMP",
        2 => "IGMP",
        4 => "IPv4 in IP",
        6 => "TCP",
        17 => "UDP",
        41 => "IPv6 in IP",
        43 => "routing",
        44 => "fragment",
        47 => "GRE",
        50 => "ESP",
        51 => "authentication header",
        58 => "ICMPv6",
        59 => "no next header",
        60 => "destination options",
        89 => "OSPF",
        132 => "SCTP",
        136 => "UDP-Lite",
        _ => return None,
    })
}
