//! What a packet turned out to be.

use crate::{
    above::{Shard, Trouble},
    conversation::Marks,
    conversation::{Role, SegmentNews, Side, TcpNote},
    file::Packet,
    layers::{FragmentNews, Icmp, Ip, Layer, Problem, Source, Span, Tcp, Udp},
    stream::{Frames, SmuxFrame},
};
use sendoff_proto::{Cipher, wire::SegmentView};
use std::time::Duration;

/// What was made from a packet: other bytes than its own.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) reassembled: Vec<u8>,
    pub(crate) opened: Vec<u8>,
    pub(crate) recovered: Vec<u8>,
}

/// What lies on top of the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Top {
    /// The walk ended early, for this reason.
    Nothing(Problem),
    /// ARP.
    #[default]
    Arp,
    /// A piece of an IP packet.
    Fragment,
    /// UDP.
    Udp(Udp),
    /// TCP.
    Tcp(Tcp),
    /// ICMP.
    Icmp(Icmp),
}

/// Who has sent a packet, in which conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Number of the conversation.
    pub conversation: u64,
    /// Who has sent it; of an ICMP message: who had sent what it is about.
    pub side: Side,
}

/// A segment of KCP, and what it turned out to be.
#[derive(Clone, Copy, Debug)]
pub struct SegmentNote {
    /// Header and data.
    pub span: Span,
    /// Bytes of its data that the capture has cut off.
    pub(crate) missing: u32,
    pub(crate) news: SegmentNews,
}

impl SegmentNote {
    /// Bytes of its data that the capture has cut off.
    pub fn missing(&self) -> usize {
        self.missing as usize
    }

    /// What is remarkable about it.
    pub fn marks(&self) -> Marks {
        self.news.marks
    }

    /// Which transmission it is, of those that were seen; 0 if that can't be told.
    pub fn transmission(&self) -> u8 {
        self.news.transmission
    }

    /// Since the transmission before; 0 for the first.
    pub fn since_last_transmission(&self) -> Duration {
        self.news.after
    }

    /// Of an ACK: since the PUSH that it answers.
    pub fn round_trip(&self) -> Option<Duration> {
        self.news.round_trip
    }
}

/// What a packet turned out to be. Places of bytes are [`Span`]s; [`Dissected::bytes`] has the bytes.
#[derive(Debug, Default)]
pub struct Analysis {
    /// Number of the packet.
    pub number: u64,
    /// Since the first packet.
    pub after: Duration,
    /// The headers, from the link upwards.
    pub layers: Vec<Layer>,
    /// What IP says.
    pub ip: Option<Ip>,
    /// What a fragment came to.
    pub fragment: Option<FragmentNews>,
    /// What lies on top.
    pub top: Top,
    /// The conversation.
    pub participant: Option<Participant>,
    /// The cipher that the datagram was sealed with, and where its content lies.
    pub opened: Option<(Cipher, Span)>,
    /// The shard that the datagram is, and where it lies.
    pub shard: Option<(Shard, Span)>,
    /// The segments; those that were recovered are the last.
    pub segments: Vec<SegmentNote>,
    /// What it is in an exchange.
    pub role: Option<Role>,
    /// Why the datagram isn't explained, or not all of it.
    pub trouble: Option<Trouble>,
    /// What a TCP segment turned out to be.
    pub tcp: Option<TcpNote>,
    /// Frames that became whole with this packet.
    pub frames: Option<Frames>,
    /// Frames of smux that began with this packet, [`MAX_SMUX_TOLD`](crate::stream::MAX_SMUX_TOLD) at most.
    pub smux: Vec<SmuxFrame>,
}

impl Analysis {
    pub(crate) fn begin(&mut self, number: u64, after: Duration) {
        (self.number, self.after) = (number, after);
        self.layers.clear();
        self.segments.clear();
        self.smux.clear();
        self.top = Top::Arp;
        (self.ip, self.fragment, self.participant, self.role) = (None, None, None, None);
        (self.opened, self.shard, self.trouble, self.tcp) = (None, None, None, None);
        self.frames = None;
    }
}

/// A packet and what it turned out to be.
#[derive(Clone, Copy, Debug)]
pub struct Dissected<'a> {
    /// As it was captured.
    pub packet: &'a Packet<'a>,
    /// What it turned out to be.
    pub analysis: &'a Analysis,
    pub(crate) buffers: &'a Buffers,
}

impl<'a> Dissected<'a> {
    /// The bytes of a place.
    pub fn bytes(&self, span: Span) -> &'a [u8] {
        span.of(match span.source {
            Source::Packet => self.packet.data,
            Source::Reassembled => &self.buffers.reassembled,
            Source::Opened => &self.buffers.opened,
            Source::Recovered => &self.buffers.recovered,
        })
    }

    /// A segment of KCP: what is there of it, if the capture has cut it off.
    pub fn segment(&self, note: &SegmentNote) -> Option<SegmentView<'a>> {
        SegmentView::parse_cut(self.bytes(note.span)).ok().map(|(segment, _)| segment)
    }

    /// The payload of UDP or TCP.
    pub fn payload(&self) -> Option<Span> {
        match self.analysis.top {
            Top::Udp(udp) => Some(udp.payload),
            Top::Tcp(tcp) => Some(tcp.payload),
            _ => None,
        }
    }
}
