//! From the first byte of a packet to IP or ARP.

use super::{Layer, LayerKind, Problem, Source, Span, be16};
use crate::file::LinkType;
use std::fmt;

/// What stands in front of each Ethernet frame on the cable, and behind it. No capture has it.
pub const ETHERNET_PREAMBLE: &str =
    "preamble (7 bytes 0x55), start of frame (0xd5) and checksum (4 bytes) stay in the network card";

/// VLAN tags in a row at most.
const MAX_TAGS: usize = 4;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// What lies above the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Arp,
    Ip(Span),
}

/// A hardware address, as it is usually written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacAddress<'a>(pub &'a [u8]);

impl fmt::Display for MacAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if n == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// Goes over the link's headers.
#[inline]
pub(crate) fn walk_link(link: LinkType, data: &[u8], layers: &mut Vec<Layer>) -> Result<Network, Problem> {
    let all = Span::new(Source::Packet, 0, data.len());
    let mut header = |kind, at: usize, len: usize| {
        let there = data.len() - at;
        if there < len {
            return Err(Problem::Short { layer: kind, wanted: len, there });
        }
        layers.push(Layer { kind, span: all.from(at).first(len) });
        Ok(at + len)
    };
    match link.0 {
        1 => {
            header(LayerKind::Ethernet, 0, 14)?;
            let (mut kind, mut at, mut tags) = (be16(data, 12), 14, 0);
            while matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
                if tags == MAX_TAGS {
                    return Err(Problem::TooDeep);
                }
                tags += 1;
                at = header(LayerKind::Vlan, at, 4)?;
                kind = be16(data, at - 2);
            }
            network(kind, data, at, layers)
        }
        113 => {
            let at = header(LayerKind::LinuxSll, 0, 16)?;
            network(be16(data, 14), data, at, layers)
        }
        276 => {
            let at = header(LayerKind::LinuxSll2, 0, 20)?;
            network(be16(data, 0), data, at, layers)
        }
        0 | 108 => {
            header(LayerKind::Loopback, 0, 4)?;
            let family = u32::from_be_bytes([data[0], data[1], data[2], data[3]]);
            // In the byte order of a machine that isn't known: families are below 256. IPv6 is 10 on Linux, 24
            // on OpenBSD and NetBSD, 28 on FreeBSD, 30 on macOS.
            match if family > 0xffff { family.swap_bytes() } else { family } {
                2 | 10 | 24 | 28 | 30 => Ok(Network::Ip(all.from(4))),
                _ => Err(Problem::AddressFamily(family)),
            }
        }
        12 | 14 | 101 | 228 | 229 => Ok(Network::Ip(all)),
        _ => Err(Problem::LinkType(link)),
    }
}

#[inline]
fn network(kind: u16, data: &[u8], at: usize, layers: &mut Vec<Layer>) -> Result<Network, Problem> {
    let rest = Span::new(Source::Packet, at, data.len());
    match kind {
        IPV4 | IPV6 => Ok(Network::Ip(rest)),
        ARP => arp(rest, data, layers),
        ..=0x05dc => Err(Problem::Ieee8023 { len: kind }),
        _ => Err(Problem::EtherType(kind)),
    }
}

/// ARP of IPv4 addresses over Ethernet: 28 bytes (RFC 826).
fn arp(span: Span, data: &[u8], layers: &mut Vec<Layer>) -> Result<Network, Problem> {
    const SIZE: usize = 28;
    let bytes = span.of(data);
    if bytes.len() < 8 {
        return Err(Problem::Short { layer: LayerKind::Arp, wanted: SIZE, there: bytes.len() });
    }
    let (hardware, protocol) = (be16(bytes, 0), be16(bytes, 2));
    if (hardware, protocol, bytes[4], bytes[5]) != (1, IPV4, 6, 4) {
        return Err(Problem::ForeignArp { hardware, protocol });
    }
    if bytes.len() < SIZE {
        return Err(Problem::Short { layer: LayerKind::Arp, wanted: SIZE, there: bytes.len() });
    }
    layers.push(Layer { kind: LayerKind::Arp, span: span.first(SIZE) });
    Ok(Network::Arp)
}
