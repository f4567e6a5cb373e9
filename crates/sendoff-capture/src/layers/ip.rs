//! IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200).

use super::{Layer, LayerKind, Problem, Span, be16, be32};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
use std::net::{IpAddr, Ipv6Addr};

/// Extension headers in a row at most.
const MAX_EXTENSIONS: usize = 16;

/// What IP says of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// What the payload is: 6 TCP, 17 UDP…
    pub protocol: u8,
    /// Where the payload lies: what is there of it.
    pub payload: Span,
    /// Bytes of the payload that aren't there, though the header has them.
    pub missing: usize,
    /// Set if this is only a piece.
    pub fragment: Option<Fragment>,
}

/// Which piece of a packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Names the packet that was cut.
    pub id: u32,
    /// Where the piece belongs, in bytes.
    pub offset: usize,
    /// Whether others follow behind it.
    pub more: bool,
}

/// Whether a protocol number is that of an extension header.
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
}

/// Goes over an IP header, and over extensions.
#[inline]
pub(crate) fn walk_ip(bytes: &[u8], span: Span, layers: &mut Vec<Layer>) -> Result<Ip, Problem> {
    let data = span.of(bytes);
    match data.first().map(|first| first >> 4) {
        Some(4) => ipv4(data, span, layers),
        Some(6) => ipv6(bytes, span, layers),
        Some(version) => Err(Problem::IpVersion(version)),
        None => Err(Problem::Short { layer: LayerKind::Ipv4, wanted: 20, there: 0 }),
    }
}

#[inline]
fn ipv4(data: &[u8], span: Span, layers: &mut Vec<Layer>) -> Result<Ip, Problem> {
    let layer = LayerKind::Ipv4;
    let header_len = usize::from(data[0] & 0xf) * 4;
    let Ok(header) = Ipv4HeaderSlice::from_slice(data) else {
        return Err(match header_len {
            ..20 => Problem::BadLength { layer, len: header_len },
            wanted => Problem::Short { layer, wanted: wanted.max(20), there: data.len() },
        });
    };
    layers.push(Layer { kind: layer, span: span.first(header_len) });
    // 0: left to the network card (segmentation offload); the packet then has all that was captured.
    let total = match usize::from(header.total_len()) {
        0 => data.len(),
        len if len < header_len => return Err(Problem::BadLength { layer, len }),
        len => len,
    };
    let (offset, more) = (usize::from(header.fragments_offset().value()) * 8, header.more_fragments());
    let id = header.identification().into();
    Ok(Ip {
        source: IpAddr::V4(header.source_addr()),
        destination: IpAddr::V4(header.destination_addr()),
        protocol: header.protocol().0,
        payload: span.first(total).from(header_len),
        missing: total.saturating_sub(data.len()),
        fragment: (more || offset > 0).then_some(Fragment { id, offset, more }),
    })
}

fn ipv6(bytes: &[u8], span: Span, layers: &mut Vec<Layer>) -> Result<Ip, Problem> {
    const HEADER: usize = 40;
    let data = span.of(bytes);
    let Ok(header) = Ipv6HeaderSlice::from_slice(data) else {
        return Err(Problem::Short { layer: LayerKind::Ipv6, wanted: HEADER, there: data.len() });
    };
    layers.push(Layer { kind: LayerKind::Ipv6, span: span.first(HEADER) });
    // 0: a jumbogram, or left to the network card.
    let total = match usize::from(header.payload_length()) {
        0 => data.len(),
        len => HEADER + len,
    };
    let mut ip = Ip {
        source: IpAddr::V6(Ipv6Addr::from(header.source())),
        destination: IpAddr::V6(Ipv6Addr::from(header.destination())),
        protocol: header.next_header().0,
        payload: span.first(total).from(HEADER),
        missing: total.saturating_sub(data.len()),
        fragment: None,
    };
    walk_extensions(bytes, &mut ip, layers)?;
    Ok(ip)
}

/// Goes over the extension headers in front of `ip`'s payload, up to that of a fragment.
pub(crate) fn walk_extensions(bytes: &[u8], ip: &mut Ip, layers: &mut Vec<Layer>) -> Result<(), Problem> {
    let mut extensions = 0;
    // What is behind the header of a fragment can be told only when all are there.
    while !ip.is_v4() && ip.fragment.is_none() && is_extension(ip.protocol) {
        if extensions == MAX_EXTENSIONS {
            return Err(Problem::TooDeep);
        }
        extensions += 1;
        let kind = LayerKind::Ipv6Extension(ip.protocol);
        let rest = ip.payload.of(bytes);
        if rest.len() < 8 {
            return Err(Problem::Short { layer: kind, wanted: 8, there: rest.len() });
        }
        let len = match ip.protocol {
            44 => 8,
            51 => (usize::from(rest[1]) + 2) * 4,
            _ => (usize::from(rest[1]) + 1) * 8,
        };
        if rest.len() < len {
            return Err(Problem::Short { layer: kind, wanted: len, there: rest.len() });
        }
        if ip.protocol == 44 {
            let (offset, more) = (usize::from(be16(rest, 2) & !7), be16(rest, 2) & 1 != 0);
            // An atomic fragment (RFC 6946) is whole.
            ip.fragment = (more || offset > 0).then_some(Fragment { id: be32(rest, 4), offset, more });
        }
        layers.push(Layer { kind, span: ip.payload.first(len) });
        ip.protocol = rest[0];
        ip.payload = ip.payload.from(len);
    }
    Ok(())
}

impl Ip {
    /// An IPv4 address pair is of IPv4.
    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }
}
