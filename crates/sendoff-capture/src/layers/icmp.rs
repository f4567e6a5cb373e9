//! ICMP (RFC 792) and ICMPv6 (RFC 4443): what is said, and of which packet.

use super::{Ip, Layer, LayerKind, Problem, Span, be16, walk_ip};
use std::net::SocketAddr;

/// What ICMP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Kind of message.
    pub kind: u8,
    /// More exactly.
    pub code: u8,
    /// Whether it is of ICMPv6.
    pub v6: bool,
    /// The packet that it is about, if it quotes one.
    pub quoted: Option<Quoted>,
}

/// A packet in the payload of an ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// What it is: 17 is UDP.
    pub protocol: u8,
    /// Who had sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

impl Icmp {
    /// Whether nobody listens at the port.
    pub fn is_port_unreachable(&self) -> bool {
        (self.v6, self.kind, self.code) == (false, 3, 3) || (self.v6, self.kind, self.code) == (true, 1, 4)
    }

    /// In words.
    pub fn words(&self) -> &'static str {
        icmp_words(self.v6, self.kind, self.code)
    }
}

/// Goes over an ICMP message.
pub(crate) fn walk_icmp(
    bytes: &[u8],
    span: Span,
    v6: bool,
    layers: &mut Vec<Layer>,
) -> Result<Icmp, Problem> {
    const HEADER: usize = 8;
    let layer = if v6 { LayerKind::Icmpv6 } else { LayerKind::Icmpv4 };
    let data = span.of(bytes);
    if data.len() < HEADER {
        return Err(Problem::Short { layer, wanted: HEADER, there: data.len() });
    }
    layers.push(Layer { kind: layer, span: span.first(HEADER) });
    let (kind, code) = (data[0], data[1]);
    let quotes = if v6 { kind < 128 } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
    // The quoted headers are no layers of this packet.
    let quoted = || walk_ip(bytes, span.from(HEADER), &mut Vec::new()).ok().and_then(|ip| ports(&ip, bytes));
    Ok(Icmp { kind, code, v6, quoted: if quotes { quoted() } else { None } })
}

/// Of the quoted packet 8 bytes behind its header are there at least.
fn ports(ip: &Ip, bytes: &[u8]) -> Option<Quoted> {
    let data = ip.payload.of(bytes);
    let first = ip.fragment.is_none_or(|fragment| fragment.offset == 0);
    if !first || data.len() < 4 || !matches!(ip.protocol, 6 | 17) {
        return None;
    }
    Some(Quoted {
        protocol: ip.protocol,
        source: SocketAddr::new(ip.source, be16(data, 0)),
        destination: SocketAddr::new(ip.destination, be16(data, 2)),
    })
}

/// What a kind and a code mean.
pub fn icmp_words(v6: bool, kind: u8, code: u8) -> &'static str {
    match (v6, kind, code) {
        (false, 0, _) | (true, 129, _) => "echo reply",
        (false, 8, _) | (true, 128, _) => "echo request",
        (false, 3, 0) => "network unreachable",
        (false, 3, 1) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 4) => "fragmentation needed",
        (false, 3, 9 | 10 | 13) | (true, 1, 1) => "administratively prohibited",
        (false, 3, _) | (true, 1, _) => "destination unreachable",
        (false, 5, _) | (true, 137, _) => "redirect",
        (false, 11, _) | (true, 3, _) => "time exceeded",
        (false, 12, _) | (true, 4, _) => "parameter problem",
        (true, 2, _) => "packet too big",
        (true, 133, _) => "router solicitation",
        (true, 134, _) => "router advertisement",
        (true, 135, _) => "neighbor solicitation",
        (true, 136, _) => "neighbor advertisement",
        (true, 130 | 131 | 132 | 143, _) => "multicast listener",
        _ => "message",
    }
}
