//! Fields of the link, and of ARP.

use super::{FieldSink, LayerGroup, Teller};
use crate::{
    dissector::{Dissected, Top},
    layers::{ETHERNET_PREAMBLE, MacAddress},
};
use std::{fmt, net::Ipv4Addr, time::Duration};

/// Seconds since 1970, with nanoseconds.
struct Epoch(Duration);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09} s since 1970", self.0.as_secs(), self.0.subsec_nanos())
    }
}

pub(super) fn frame(dissected: &Dissected<'_>, sink: &mut dyn FieldSink) {
    let packet = dissected.packet;
    if !sink.layer(LayerGroup::Frame, format_args!("Packet {}", packet.number), None) {
        return;
    }
    match packet.time {
        Some(time) => sink.note(format_args!("{}", Epoch(time))),
        None => sink.note(format_args!("without a time")),
    }
    let there = packet.data.len();
    if packet.is_cut() {
        sink.note(format_args!("{there} bytes, cut off by the capture: it had {}", packet.original_len));
    } else {
        sink.note(format_args!("{there} bytes"));
    }
    sink.note(format_args!("{}, interface {}", packet.link, packet.interface));
    sink.note(format_args!("at byte {} of the file", packet.offset));
    if let Top::Nothing(problem) = dissected.analysis.top {
        sink.note(format_args!("not explained to its end: {problem}"));
    }
}

/// An EtherType with its name.
struct EtherType(u16);

impl fmt::Display for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0x0800 => " IPv4",
            0x0806 => " ARP",
            0x86dd => " IPv6",
            0x8100 | 0x88a8 | 0x9100 => " VLAN tag",
            _ => "",
        };
        write!(f, "{:#06x}{name}", self.0)
    }
}

pub(super) fn ethernet(t: &mut Teller<'_, '_>) {
    if t.layer(LayerGroup::Link, "Ethernet II") {
        t.sink.note(format_args!("{ETHERNET_PREAMBLE}"));
        let bytes = t.bytes();
        t.field(0, 6, "destination", MacAddress(&bytes[..6]));
        t.field(6, 6, "source", MacAddress(&bytes[6..12]));
        t.field(12, 2, "type", EtherType(t.u16(12)));
    }
}

pub(super) fn vlan(t: &mut Teller<'_, '_>) {
    if t.layer(LayerGroup::Link, "VLAN tag (802.1Q)") {
        let tag = t.u16(0);
        t.field(0, 2, "priority", tag >> 13);
        t.field(0, 2, "drop eligible", tag >> 12 & 1);
        t.field(0, 2, "vlan", tag & 0xfff);
        t.field(2, 2, "type", EtherType(t.u16(2)));
    }
}

fn direction(number: u16) -> &'static str {
    match number {
        0 => "to this machine",
        1 => "broadcast",
        2 => "multicast",
        3 => "to another machine",
        4 => "from this machine",
        _ => "unknown",
    }
}

pub(super) fn linux_sll(t: &mut Teller<'_, '_>) {
    if t.layer(LayerGroup::Link, "Linux cooked") {
        let len = usize::from(t.u16(4)).min(8);
        t.field(0, 2, "direction", direction(t.u16(0)));
        t.field(2, 2, "device type", t.u16(2));
        t.field(4, 2, "address length", t.u16(4));
        let bytes = t.bytes();
        t.field(6, 8, "address", MacAddress(&bytes[6..6 + len]));
        t.field(14, 2, "type", EtherType(t.u16(14)));
    }
}

pub(super) fn linux_sll2(t: &mut Teller<'_, '_>) {
    if t.layer(LayerGroup::Link, "Linux cooked v2") {
        let len = usize::from(t.u8(11)).min(8);
        t.field(0, 2, "type", EtherType(t.u16(0)));
        t.field(4, 4, "interface", t.u32(4));
        t.field(8, 2, "device type", t.u16(8));
        t.field(10, 1, "direction", direction(t.u8(10).into()));
        t.field(11, 1, "address length", t.u8(11));
        let bytes = t.bytes();
        t.field(12, 8, "address", MacAddress(&bytes[12..12 + len]));
    }
}

pub(super) fn loopback(t: &mut Teller<'_, '_>) {
    if t.layer(LayerGroup::Link, "BSD loopback") {
        let family = t.u32(0);
        let family = if family > 0xffff { family.swap_bytes() } else { family };
        t.field(0, 4, "address family", family);
    }
}

pub(super) fn arp(t: &mut Teller<'_, '_>) {
    if !t.layer(LayerGroup::Arp, "ARP") {
        return;
    }
    let bytes = t.bytes();
    let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    t.field(0, 2, "hardware", format_args!("{} Ethernet", t.u16(0)));
    t.field(2, 2, "protocol", EtherType(t.u16(2)));
    t.field(4, 1, "hardware address length", t.u8(4));
    t.field(5, 1, "protocol address length", t.u8(5));
    let words = match t.u16(6) {
        1 => " request",
        2 => " reply",
        _ => "",
    };
    t.field(6, 2, "operation", format_args!("{}{words}", t.u16(6)));
    t.field(8, 6, "sender hardware address", MacAddress(&bytes[8..14]));
    t.field(14, 4, "sender address", ip(14));
    t.field(18, 6, "target hardware address", MacAddress(&bytes[18..24]));
    t.field(24, 4, "target address", ip(24));
}
