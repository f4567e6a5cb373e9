//! Every field of every layer of a packet: where it lies, what it is called, what it says.

mod datagram;
mod link;
mod network;

use crate::{
    dissector::Dissected,
    layers::{LayerKind, Source, Span},
};
use std::fmt::{Arguments, Display};

/// A group of layers that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerGroup {
    /// The packet as a whole: its number, its time, its size.
    Frame,
    /// Ethernet, VLAN, Linux cooked, loopback.
    Link,
    /// ARP.
    Arp,
    /// IPv4, IPv6 and its extensions.
    Ip,
    /// ICMP.
    Icmp,
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// Nonce and CRC or tag.
    Seal,
    /// The header of a shard.
    Fec,
    /// Segments.
    Kcp,
    /// Extension blocks.
    Block,
    /// What the application says.
    Data,
}

impl LayerGroup {
    /// Each with its name.
    pub const ALL: [(LayerGroup, &'static str); 12] = [
        (Self::Frame, "frame"),
        (Self::Link, "link"),
        (Self::Arp, "arp"),
        (Self::Ip, "ip"),
        (Self::Icmp, "icmp"),
        (Self::Udp, "udp"),
        (Self::Tcp, "tcp"),
        (Self::Seal, "seal"),
        (Self::Fec, "fec"),
        (Self::Kcp, "kcp"),
        (Self::Block, "block"),
        (Self::Data, "data"),
    ];
}

/// A field of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Where it lies.
    pub span: Span,
    /// Its bytes; several fields may share one.
    pub bytes: &'a [u8],
    /// What it is called.
    pub name: &'a str,
    /// What it says. Text of a peer is escaped in it.
    pub value: Arguments<'a>,
}

/// Takes the fields, in order.
pub trait FieldSink {
    /// A layer begins. If it is not wanted, its fields aren't told.
    fn layer(&mut self, group: LayerGroup, title: Arguments<'_>, span: Option<Span>) -> bool;
    /// A field of the layer that began last.
    fn field(&mut self, field: Field<'_>);
    /// A remark on that layer.
    fn note(&mut self, note: Arguments<'_>);
}

/// Tells every field of a packet, from the link to the application's bytes.
pub fn all_fields(dissected: &Dissected<'_>, sink: &mut dyn FieldSink) {
    link::frame(dissected, sink);
    for layer in &dissected.analysis.layers {
        let mut teller = Teller { dissected, span: layer.span, sink };
        match layer.kind {
            LayerKind::Ethernet => link::ethernet(&mut teller),
            LayerKind::Vlan => link::vlan(&mut teller),
            LayerKind::LinuxSll => link::linux_sll(&mut teller),
            LayerKind::LinuxSll2 => link::linux_sll2(&mut teller),
            LayerKind::Loopback => link::loopback(&mut teller),
            LayerKind::Arp => link::arp(&mut teller),
            LayerKind::Ipv4 => network::ipv4(&mut teller),
            LayerKind::Ipv6 => network::ipv6(&mut teller),
            LayerKind::Ipv6Extension(number) => network::extension(&mut teller, number),
            LayerKind::Udp => network::udp(&mut teller),
            LayerKind::Tcp => network::tcp(&mut teller),
            LayerKind::Icmpv4 => network::icmp(&mut teller, false),
            LayerKind::Icmpv6 => network::icmp(&mut teller, true),
        }
    }
    datagram::above(dissected, sink);
}

/// Tells the fields of one layer, by their places in it.
struct Teller<'a, 'b> {
    dissected: &'a Dissected<'a>,
    span: Span,
    sink: &'b mut dyn FieldSink,
}

impl<'a> Teller<'a, '_> {
    fn bytes(&self) -> &'a [u8] {
        self.dissected.bytes(self.span)
    }

    fn layer(&mut self, group: LayerGroup, title: impl Display) -> bool {
        let span = Some(self.span);
        self.sink.layer(group, format_args!("{title}"), span)
    }

    fn field(&mut self, at: usize, len: usize, name: &str, value: impl Display) {
        let span = self.span.from(at).first(len);
        let bytes = self.dissected.bytes(span);
        self.sink.field(Field { span, bytes, name, value: format_args!("{value}") });
    }

    /// Big-endian.
    fn u16(&self, at: usize) -> u16 {
        self.bytes().get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]))
    }

    /// Big-endian.
    fn u32(&self, at: usize) -> u32 {
        self.bytes().get(at..at + 4).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn u8(&self, at: usize) -> u8 {
        self.bytes().get(at).copied().unwrap_or(0)
    }
}

/// Which bytes a place is of, in words.
pub(crate) fn source_words(source: Source) -> &'static str {
    match source {
        Source::Packet => "the packet",
        Source::Reassembled => "the fragments put together",
        Source::Opened => "the opened datagram",
        Source::Recovered => "what was recovered",
    }
}
