//! UDP (RFC 768) and TCP (RFC 9293).

use super::{Layer, LayerKind, Problem, Span, be16, be32};
use std::fmt;

/// What UDP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// The datagram, what is there of it.
    pub payload: Span,
    /// Bytes of the datagram that aren't there.
    pub missing: usize,
}

/// What TCP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Number of the first byte of the payload, or of SYN.
    pub sequence: u32,
    /// The next byte expected, if ACK is set.
    pub acknowledgement: u32,
    /// SYN, ACK and others.
    pub flags: TcpFlags,
    /// As it stands there, without its scale.
    pub window: u16,
    /// The payload, what is there of it.
    pub payload: Span,
    /// Bytes of the payload that aren't there.
    pub missing: usize,
}

/// The flags of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// Nothing follows.
    pub const FIN: u8 = 1;
    /// Opens.
    pub const SYN: u8 = 2;
    /// The connection is no more.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;

    /// Whether one of `bits` is set.
    pub fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut first = true;
        // SYN and FIN are what a reader looks for: in front.
        for bit in [1, 0, 2, 3, 4, 5, 6, 7] {
            if self.has(1 << bit) {
                write!(f, "{}{}", if first { "" } else { " " }, names[bit])?;
                first = false;
            }
        }
        if first { f.write_str("no flags") } else { Ok(()) }
    }
}

/// Goes over a UDP header. `missing` is what IP's payload lacks.
#[inline]
pub(crate) fn walk_udp(
    bytes: &[u8],
    span: Span,
    missing: usize,
    layers: &mut Vec<Layer>,
) -> Result<Udp, Problem> {
    const HEADER: usize = 8;
    let (layer, data) = (LayerKind::Udp, span.of(bytes));
    if data.len() < HEADER {
        return Err(Problem::Short { layer, wanted: HEADER, there: data.len() });
    }
    layers.push(Layer { kind: layer, span: span.first(HEADER) });
    let len = match usize::from(be16(data, 4)) {
        // A jumbogram (RFC 2675), or left to the network card.
        0 => data.len() + missing,
        len if len < HEADER => return Err(Problem::BadLength { layer, len }),
        len => len,
    };
    Ok(Udp {
        source_port: be16(data, 0),
        destination_port: be16(data, 2),
        payload: span.first(len).from(HEADER),
        missing: len.saturating_sub(data.len()),
    })
}

/// Goes over a TCP header.
pub(crate) fn walk_tcp(
    bytes: &[u8],
    span: Span,
    missing: usize,
    layers: &mut Vec<Layer>,
) -> Result<Tcp, Problem> {
    const HEADER: usize = 20;
    let (layer, data) = (LayerKind::Tcp, span.of(bytes));
    if data.len() < HEADER {
        return Err(Problem::Short { layer, wanted: HEADER, there: data.len() });
    }
    let len = usize::from(data[12] >> 4) * 4;
    if len < HEADER {
        return Err(Problem::BadLength { layer, len });
    }
    if data.len() < len {
        return Err(Problem::Short { layer, wanted: len, there: data.len() });
    }
    layers.push(Layer { kind: layer, span: span.first(len) });
    Ok(Tcp {
        source_port: be16(data, 0),
        destination_port: be16(data, 2),
        sequence: be32(data, 4),
        acknowledgement: be32(data, 8),
        flags: TcpFlags(data[13]),
        window: be16(data, 14),
        payload: span.from(len),
        missing,
    })
}
