//! Fields of IP, UDP, TCP and ICMP.

use super::{LayerGroup, Teller};
use crate::{
    dissector::Top,
    layers::{Ip, Span, TcpFlags, icmp_words, ip_protocol_name},
};
use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice, TcpOptionElement, TcpOptionsIterator};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// A protocol number with its name.
struct Protocol(u8);

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ip_protocol_name(self.0) {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A checksum and whether it is right.
struct Checksum {
    stands: u16,
    /// What all bytes with it add up to; 0 if it is right. `None` if not all bytes are there.
    rest: Option<u16>,
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.stands)?;
        match self.rest {
            Some(0) => f.write_str(" right"),
            Some(_) => f.write_str(" wrong, or left to the network card"),
            None => f.write_str(" not checked, bytes are missing"),
        }
    }
}

/// Adds 16-bit words in one's complement (RFC 1071).
#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn add(mut self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(2);
        for word in &mut words {
            self.0 += u64::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [last] = words.remainder() {
            self.0 += u64::from(*last) << 8;
        }
        self
    }

    fn rest(mut self) -> u16 {
        while self.0 > 0xffff {
            self.0 = (self.0 & 0xffff) + (self.0 >> 16);
        }
        !(self.0 as u16)
    }
}

/// What a checksum over the addresses, the header and the payload leaves.
fn pseudo_rest(ip: &Ip, protocol: u8, segment: &[u8]) -> u16 {
    let sum = match (ip.source, ip.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Sum::default().add(&from.octets()).add(&to.octets()),
        (from, to) => Sum::default().add(&v6(from).octets()).add(&v6(to).octets()),
    };
    sum.add(&[0, protocol]).add(&(segment.len() as u32).to_be_bytes()).add(segment).rest()
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

pub(super) fn ipv4(t: &mut Teller<'_, '_>) {
    if !t.layer(LayerGroup::Ip, "IPv4") {
        return;
    }
    let bytes = t.bytes();
    let Ok(header) = Ipv4HeaderSlice::from_slice(bytes) else { return };
    t.field(0, 1, "version", header.version());
    t.field(0, 1, "header length", format_args!("{} bytes", bytes.len()));
    t.field(1, 1, "dscp", header.dcp().value());
    t.field(1, 1, "ecn", header.ecn().value());
    t.field(2, 2, "total length", header.total_len());
    t.field(4, 2, "identification", format_args!("{:#06x}", header.identification()));
    t.field(6, 2, "don't fragment", u8::from(header.dont_fragment()));
    t.field(6, 2, "more fragments", u8::from(header.more_fragments()));
    t.field(6, 2, "fragment offset", u32::from(header.fragments_offset().value()) * 8);
    t.field(8, 1, "time to live", header.ttl());
    t.field(9, 1, "protocol", Protocol(header.protocol().0));
    let checksum =
        Checksum { stands: header.header_checksum(), rest: Some(Sum::default().add(bytes).rest()) };
    t.field(10, 2, "checksum", checksum);
    t.field(12, 4, "source", header.source_addr());
    t.field(16, 4, "destination", header.destination_addr());
    if bytes.len() > 20 {
        t.field(20, bytes.len() - 20, "options", format_args!("{} bytes", bytes.len() - 20));
    }
}

pub(super) fn ipv6(t: &mut Teller<'_, '_>) {
    if !t.layer(LayerGroup::Ip, "IPv6") {
        return;
    }
    let Ok(header) = Ipv6HeaderSlice::from_slice(t.bytes()) else { return };
    t.field(0, 1, "version", header.version());
    t.field(0, 2, "traffic class", format_args!("{:#04x}", header.traffic_class()));
    t.field(1, 3, "flow label", format_args!("{:#07x}", header.flow_label().value()));
    t.field(4, 2, "payload length", header.payload_length());
    t.field(6, 1, "next header", Protocol(header.next_header().0));
    t.field(7, 1, "hop limit", header.hop_limit());
    t.field(8, 16, "source", Ipv6Addr::from(header.source()));
    t.field(24, 16, "destination", Ipv6Addr::from(header.destination()));
}

pub(super) fn extension(t: &mut Teller<'_, '_>, number: u8) {
    if !t.layer(LayerGroup::Ip, format_args!("IPv6 extension {}", Protocol(number))) {
        return;
    }
    t.field(0, 1, "next header", Protocol(t.u8(0)));
    if number == 44 {
        t.field(2, 2, "fragment offset", t.u16(2) & !7);
        t.field(2, 2, "more fragments", t.u16(2) & 1);
        t.field(4, 4, "identification", format_args!("{:#010x}", t.u32(4)));
        return;
    }
    let len = t.bytes().len();
    t.field(1, 1, "length", format_args!("{len} bytes"));
    t.field(2, len - 2, "content", format_args!("{} bytes", len - 2));
}

/// Header and payload, if all of it is there.
fn whole<'a>(t: &Teller<'a, '_>, payload: Span, missing: usize) -> Option<&'a [u8]> {
    let all = Span { end: payload.end, ..t.span };
    (missing == 0).then(|| t.dissected.bytes(all))
}

pub(super) fn udp(t: &mut Teller<'_, '_>) {
    if !t.layer(LayerGroup::Udp, "UDP") {
        return;
    }
    t.field(0, 2, "source port", t.u16(0));
    t.field(2, 2, "destination port", t.u16(2));
    t.field(4, 2, "length", t.u16(4));
    let (Some(ip), Top::Udp(udp)) = (t.dissected.analysis.ip, t.dissected.analysis.top) else { return };
    match t.u16(6) {
        0 if ip.is_v4() => t.field(6, 2, "checksum", "0x0000 none"),
        stands => {
            let rest = whole(t, udp.payload, udp.missing).map(|all| pseudo_rest(&ip, 17, all));
            t.field(6, 2, "checksum", Checksum { stands, rest });
        }
    }
}

pub(super) fn tcp(t: &mut Teller<'_, '_>) {
    if !t.layer(LayerGroup::Tcp, "TCP") {
        return;
    }
    let len = t.bytes().len();
    let note = t.dissected.analysis.tcp.unwrap_or_default();
    t.field(0, 2, "source port", t.u16(0));
    t.field(2, 2, "destination port", t.u16(2));
    t.field(4, 4, "sequence", format_args!("{} (counted from 0: {})", t.u32(4), note.sequence));
    if TcpFlags(t.u8(13)).has(TcpFlags::ACK) {
        let counted = note.acknowledgement;
        t.field(8, 4, "acknowledgement", format_args!("{} (counted from 0: {counted})", t.u32(8)));
    } else {
        t.field(8, 4, "acknowledgement", format_args!("{} (says nothing)", t.u32(8)));
    }
    t.field(12, 1, "header length", format_args!("{len} bytes"));
    t.field(13, 1, "flags", TcpFlags(t.u8(13)));
    t.field(14, 2, "window", t.u16(14));
    if let (Some(ip), Top::Tcp(tcp)) = (t.dissected.analysis.ip, t.dissected.analysis.top) {
        let rest = whole(t, tcp.payload, tcp.missing).map(|all| pseudo_rest(&ip, 6, all));
        t.field(16, 2, "checksum", Checksum { stands: t.u16(16), rest });
    }
    t.field(18, 2, "urgent pointer", t.u16(18));
    tcp_options(t, len);
}

fn tcp_options(t: &mut Teller<'_, '_>, len: usize) {
    let mut options = TcpOptionsIterator::from_slice(t.bytes().get(20..).unwrap_or_default());
    let mut at = 20;
    while let Some(option) = options.next() {
        let end = len - options.rest().len();
        let span = end - at;
        match option {
            Ok(TcpOptionElement::Noop) => t.field(at, span, "option", "no operation"),
            Ok(TcpOptionElement::MaximumSegmentSize(size)) => {
                t.field(at, span, "option", format_args!("maximum segment size {size}"));
            }
            Ok(TcpOptionElement::WindowScale(shift)) => {
                t.field(at, span, "option", format_args!("window scale {shift}"));
            }
            Ok(TcpOptionElement::SelectiveAcknowledgementPermitted) => {
                t.field(at, span, "option", "selective acknowledgement permitted");
            }
            Ok(TcpOptionElement::SelectiveAcknowledgement(first, _)) => {
                t.field(
                    at,
                    span,
                    "option",
                    format_args!("selective acknowledgement {} to {}", first.0, first.1),
                );
            }
            Ok(TcpOptionElement::Timestamp(value, echo)) => {
                t.field(at, span, "option", format_args!("timestamp {value}, echo {echo}"));
            }
            Err(_) => {
                t.field(at, len - at, "option", "unknown or broken, and what follows");
                return;
            }
        }
        at = end;
    }
}

pub(super) fn icmp(t: &mut Teller<'_, '_>, v6: bool) {
    if !t.layer(LayerGroup::Icmp, if v6 { "ICMPv6" } else { "ICMP" }) {
        return;
    }
    let (kind, code) = (t.u8(0), t.u8(1));
    t.field(0, 1, "type", format_args!("{kind} {}", icmp_words(v6, kind, code)));
    t.field(1, 1, "code", code);
    t.field(2, 2, "checksum", format_args!("{:#06x}", t.u16(2)));
    t.field(4, 4, "rest of header", format_args!("{:#010x}", t.u32(4)));
    if let Top::Icmp(icmp) = t.dissected.analysis.top
        && let Some(quoted) = icmp.quoted
    {
        let protocol = Protocol(quoted.protocol);
        t.sink.note(format_args!("about {protocol} {} to {}", quoted.source, quoted.destination));
    }
}
