//! The way of a packet through all layers:
//!
//! ```text
//! file ─▶ link ─▶ IP (fragments) ─┬▶ UDP ─▶ [seal] ─▶ [shards] ─▶ segments ─┬▶ stream ─▶ [frames]
//!                                 └▶ TCP ───────────────────────────────────┘
//! ```
//!
//! One pass, one packet at a time. What it needs is kept from packet to packet: nothing is allocated for a packet
//! once the flows are known.

mod analysis;
mod datagram;
mod follow;
mod tcp;
mod together;

pub use analysis::{Analysis, Dissected, Participant, SegmentNote, Top};
pub use follow::{Follow, FollowReport};

use crate::{
    above::{KeyOptions, Keys},
    conversation::Conversation,
    file::Packet,
    flows::{FlowKey, Flows, Sums},
    layers::{
        FragmentNews, Fragments, Icmp, Ip, Network, Problem, Source, Span, walk_extensions, walk_icmp,
        walk_ip, walk_link, walk_tcp, walk_udp,
    },
    stream::{Consumer, Framing, MANY_WAITING},
};
use analysis::Buffers;
use std::time::Duration;
use together::Together;

/// What is asked of a dissection.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cipher and secret.
    pub keys: KeyOptions,
    /// Cut streams into frames.
    pub framing: Option<Framing>,
    /// Put together what one side of a conversation has sent.
    pub follow: Option<Follow>,
    /// Tell the frames of smux in the streams of KCP, under snappy if it is there.
    pub smux: bool,
    /// Of what is followed only this stream of smux.
    pub stream: Option<u32>,
}

impl Options {
    /// What becomes of one side's stream of KCP, which may be followed; `None` if it isn't put together.
    fn consumer(&self, followed: bool) -> Option<Consumer> {
        if self.smux || self.stream.is_some() {
            return Some(Consumer::of_smux(self.stream, followed));
        }
        (followed || self.framing.is_some()).then(|| Consumer::new(self.framing, false, followed))
    }
}

/// What a whole capture came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureTotals {
    /// Packets.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// From the first to the last.
    pub duration: Duration,
    /// Conversations.
    pub conversations: u64,
    /// IP packets of which pieces were missing.
    pub incomplete_fragments: u64,
    /// Packets that passed and that the capture hasn't, as it says itself
    /// ([`PacketReader::dropped`](crate::PacketReader::dropped)): for the caller to set.
    pub dropped: u64,
    /// Conversations of KCP whose frames aren't told to their end, because others took their place:
    /// [`MAX_PUT_TOGETHER`](crate::MAX_PUT_TOGETHER).
    pub gave_way: u64,
}

/// Explains the packets of a capture, one after the other.
#[derive(Debug)]
pub struct Dissector {
    options: Options,
    keys: Keys,
    flows: Flows,
    fragments: Fragments,
    analysis: Analysis,
    buffers: Buffers,
    /// When the first packet came, since 1970.
    origin: Option<Duration>,
    totals: CaptureTotals,
    /// Conversations that had to be forgotten, and weren't told yet.
    forgotten: Vec<Conversation>,
    /// What all flows hold; counted anew now and then, because of those that are forgotten.
    sums: Sums,
    /// In the order in which they began; without the one that is followed. Some may be over, or forgotten.
    together: Vec<Together>,
    /// Bytes of the side that is followed; whoever wants them takes them away.
    followed_bytes: Vec<u8>,
    followed: FollowReport,
    scratch: datagram::Scratch,
}

/// Packets from one refreshing of the sums over all flows to the next.
const SUMS_EVERY: u64 = 4_096;

impl Dissector {
    /// Has seen nothing yet. Making the keys of a secret takes some tens of milliseconds.
    pub fn new(options: Options) -> Self {
        Self {
            keys: Keys::new(&options.keys),
            followed_bytes: Vec::new(),
            followed: FollowReport::default(),
            options,
            flows: Flows::default(),
            fragments: Fragments::default(),
            analysis: Analysis::default(),
            buffers: Buffers::default(),
            origin: None,
            totals: CaptureTotals::default(),
            forgotten: Vec::new(),
            sums: Sums::default(),
            together: Vec::new(),
            scratch: datagram::Scratch::default(),
        }
    }

    /// The next packet.
    pub fn packet<'a>(&'a mut self, packet: &'a Packet<'a>) -> Dissected<'a> {
        self.begin(packet);
        let analysis = &mut self.analysis;
        match walk_link(packet.link, packet.data, &mut analysis.layers) {
            Err(problem) => analysis.top = Top::Nothing(problem),
            Ok(Network::Arp) => analysis.top = Top::Arp,
            Ok(Network::Ip(span)) => match walk_ip(packet.data, span, &mut analysis.layers) {
                Err(problem) => analysis.top = Top::Nothing(problem),
                Ok(ip) => self.ip(packet, ip),
            },
        }
        Dissected { packet, analysis: &self.analysis, buffers: &self.buffers }
    }

    fn begin(&mut self, packet: &Packet<'_>) {
        let time = packet.time.or(self.origin.map(|origin| origin + self.totals.duration));
        let origin = *self.origin.get_or_insert(time.unwrap_or_default());
        let now = time.unwrap_or_default().saturating_sub(origin);
        self.totals.packets += 1;
        self.totals.bytes += u64::from(packet.original_len);
        // A clock that was set back doesn't make the capture shorter.
        self.totals.duration = self.totals.duration.max(now);
        self.analysis.begin(packet.number, now);
        // Not by the packet's number: a recording leaves some out.
        if self.totals.packets.is_multiple_of(SUMS_EVERY) {
            self.flows.forget_if_too_many(&mut self.forgotten);
            self.sums = self.flows.sums();
        }
        if self.sums.waiting >= MANY_WAITING {
            let followed = self.options.follow.map(Follow::number);
            self.flows.give_up_what_waits(followed);
            self.sums = self.flows.sums();
        }
    }

    fn ip(&mut self, packet: &Packet<'_>, ip: Ip) {
        self.analysis.ip = Some(ip);
        let Some(fragment) = ip.fragment else {
            return self.transport(packet, ip, ip.payload);
        };
        let payload = ip.payload.of(packet.data);
        let mut whole = std::mem::take(&mut self.buffers.reassembled);
        let (news, protocol) = self.fragments.push(&ip, fragment, payload, &mut whole);
        self.buffers.reassembled = whole;
        self.analysis.fragment = Some(news);
        match (news, protocol) {
            (FragmentNews::Whole { .. }, Some(protocol)) => self.reassembled(packet, Ip { protocol, ..ip }),
            _ => self.analysis.top = Top::Fragment,
        }
    }

    /// A packet that was in pieces is whole.
    fn reassembled(&mut self, packet: &Packet<'_>, ip: Ip) {
        let payload = Span::new(Source::Reassembled, 0, self.buffers.reassembled.len());
        let mut whole = Ip { payload, missing: 0, fragment: None, ..ip };
        let layers = &mut self.analysis.layers;
        match walk_extensions(&self.buffers.reassembled, &mut whole, layers) {
            Err(problem) => self.analysis.top = Top::Nothing(problem),
            // A fragment of fragments: no system makes such.
            Ok(()) if whole.fragment.is_some() => self.analysis.top = Top::Fragment,
            Ok(()) => self.transport(packet, whole, whole.payload),
        }
    }

    /// `span` is the payload of IP, whole if it was in pieces.
    fn transport(&mut self, packet: &Packet<'_>, ip: Ip, span: Span) {
        let bytes = match span.source {
            Source::Packet => packet.data,
            _ => &self.buffers.reassembled[..],
        };
        // Of a packet put together nothing is missing.
        let missing = if span.source == Source::Packet { ip.missing } else { 0 };
        let layers = &mut self.analysis.layers;
        let top = match ip.protocol {
            17 => walk_udp(bytes, span, missing, layers).map(Top::Udp),
            6 => walk_tcp(bytes, span, missing, layers).map(Top::Tcp),
            1 if ip.is_v4() => walk_icmp(bytes, span, false, layers).map(Top::Icmp),
            58 if !ip.is_v4() => walk_icmp(bytes, span, true, layers).map(Top::Icmp),
            other => Err(Problem::IpProtocol(other)),
        };
        self.analysis.top = top.unwrap_or_else(Top::Nothing);
        match self.analysis.top {
            Top::Udp(udp) => self.udp(packet, ip, udp),
            Top::Tcp(tcp) => self.tcp(packet, ip, tcp),
            Top::Icmp(icmp) => self.icmp(icmp),
            _ => {}
        }
    }

    /// Tells the conversation that it is about.
    fn icmp(&mut self, icmp: Icmp) {
        let Some(quoted) = icmp.quoted else { return };
        let (key, _) = FlowKey::new(quoted.source, quoted.destination, quoted.protocol == 6);
        let Some(conversation) = self.flows.get_mut(key).and_then(|flow| flow.conversations.last_mut())
        else {
            return;
        };
        conversation.unreachable += u64::from(icmp.is_port_unreachable());
        let side = conversation.side_of(quoted.source);
        self.analysis.participant = Some(Participant { conversation: conversation.number, side });
    }

    /// Conversations that had to be forgotten because there were too many, since the last call.
    pub fn take_forgotten(&mut self) -> Vec<Conversation> {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.iter_mut().for_each(|conversation| self.over(conversation, true));
        forgotten
    }

    /// Whether some wait for [`take_forgotten`](Self::take_forgotten).
    pub fn has_forgotten(&self) -> bool {
        !self.forgotten.is_empty()
    }

    /// The end of the capture: all conversations that weren't told yet, in the order in which they began.
    pub fn finish(&mut self) -> Vec<Conversation> {
        let mut all = self.take_forgotten();
        let mut rest = self.flows.take_all();
        rest.iter_mut().for_each(|conversation| self.over(conversation, false));
        all.append(&mut rest);
        all.sort_by_key(|conversation| conversation.number);
        all
    }

    /// What the packets so far came to.
    pub fn totals(&self) -> CaptureTotals {
        let incomplete_fragments = self.fragments.incomplete() as u64 + self.fragments.given_up;
        CaptureTotals { incomplete_fragments, ..self.totals }
    }

    /// When the first packet came, since 1970.
    pub fn origin(&self) -> Option<Duration> {
        self.origin
    }
}

#[cfg(test)]
mod tests;
