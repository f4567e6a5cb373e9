//! The layers below the application's protocol: link, IP, UDP, TCP, ICMP, ARP.
//!
//! A walk goes over a packet once, checks each header, and notes where it lies. Nothing is copied.

mod fragments;
mod icmp;
mod ip;
mod link;
mod problem;
mod transport;

pub use fragments::{FragmentNews, MAX_FRAGMENTED};
pub use icmp::{Icmp, icmp_words};
pub use ip::Ip;
pub use link::{ETHERNET_PREAMBLE, MacAddress};
pub use problem::Problem;
pub(crate) use problem::ip_protocol_name;
pub use transport::{Tcp, TcpFlags, Udp};

pub(crate) use fragments::Fragments;
pub(crate) use icmp::walk_icmp;
pub(crate) use ip::{walk_extensions, walk_ip};
pub(crate) use link::{Network, walk_link};
pub(crate) use transport::{walk_tcp, walk_udp};

use std::fmt;

/// Which bytes a [`Span`] is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The packet as it was captured.
    Packet,
    /// The payload of IP, put together from fragments.
    Reassembled,
    /// A datagram after its cipher was taken off.
    Opened,
    /// Datagrams that came back by forward error correction.
    Recovered,
}

/// A piece of a packet, or of what was made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Of which bytes.
    pub source: Source,
    /// Where it begins.
    pub start: u32,
    /// Where it ends, exclusive.
    pub end: u32,
}

impl Span {
    pub(crate) fn new(source: Source, start: usize, end: usize) -> Self {
        debug_assert!(start <= end);
        // Buffers are bounded far below 4 GiB.
        Self { source, start: start as u32, end: end as u32 }
    }

    /// Bytes that it has.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The part from `from` to the end; none of it if it is shorter.
    pub(crate) fn from(self, from: usize) -> Self {
        Self { start: (self.start + from as u32).min(self.end), ..self }
    }

    /// The first `len` bytes; all if there are fewer.
    pub(crate) fn first(self, len: usize) -> Self {
        Self { end: self.end.min(self.start.saturating_add(len as u32)), ..self }
    }

    /// The place in a slice of the source's bytes.
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }
}

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerKind {
    /// Ethernet II.
    Ethernet,
    /// An 802.1Q or 802.1ad tag.
    Vlan,
    /// Linux cooked.
    LinuxSll,
    /// Linux cooked, version 2.
    LinuxSll2,
    /// BSD loopback.
    Loopback,
    /// ARP.
    Arp,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// An extension header of IPv6, of this number.
    Ipv6Extension(u8),
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// ICMP.
    Icmpv4,
    /// ICMPv6.
    Icmpv6,
}

impl fmt::Display for LayerKind {
    /// A short name, such as `eth`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())
    }
}

impl LayerKind {
    /// A short name, such as `eth`: stands in the line of a packet.
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Ethernet => "eth",
            Self::Vlan => "vlan",
            Self::LinuxSll => "sll",
            Self::LinuxSll2 => "sll2",
            Self::Loopback => "loop",
            Self::Arp => "arp",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Ipv6Extension(0) => "hop-by-hop",
            Self::Ipv6Extension(43) => "routing",
            Self::Ipv6Extension(44) => "fragment",
            Self::Ipv6Extension(51) => "auth",
            Self::Ipv6Extension(60) => "options",
            Self::Ipv6Extension(_) => "extension",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Icmpv4 => "icmp",
            Self::Icmpv6 => "icmpv6",
        }
    }
}

/// A header in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub kind: LayerKind,
    /// Where it lies: the header alone, of ARP all.
    pub span: Span,
}

/// Big-endian, as all of these layers are; the caller has checked that the bytes are there.
#[inline]
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Big-endian; the caller has checked that the bytes are there.
#[inline]
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
