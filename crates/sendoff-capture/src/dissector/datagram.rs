//! A datagram of UDP: taken out of its seal and its shard, and told segment by segment.

use super::{Analysis, Dissector, Participant, Together, Top, analysis::SegmentNote};
use crate::{
    above::{Keys, MAX_TRIES, Seal, Shard, ShardKind, Trouble, is_surely_kcp_or_shard},
    conversation::{Conversation, Detail, Fec, Kcp, SegmentNews, Side},
    file::Packet,
    flows::{Flow, FlowKey, MAX_CONVERSATIONS_OF_FLOW, MAX_SHARD_BYTES},
    layers::{Ip, Source, Span, Udp},
};
use sendoff_proto::{
    Cipher,
    wire::{SegmentError, SegmentView},
};
use std::net::SocketAddr;

/// Room that is used again for each packet.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    news: Vec<SegmentNews>,
    /// Where each recovered datagram ends.
    ends: Vec<usize>,
}

/// From whom to whom, and which of a flow's two directions that is.
#[derive(Clone, Copy)]
struct Way {
    source: SocketAddr,
    destination: SocketAddr,
    direction: usize,
}

impl Dissector {
    pub(super) fn udp(&mut self, packet: &Packet<'_>, ip: Ip, udp: Udp) {
        let source = SocketAddr::new(ip.source, udp.source_port);
        let destination = SocketAddr::new(ip.destination, udp.destination_port);
        let (key, direction) = FlowKey::new(source, destination, false);
        let way = Way { source, destination, direction };
        // The buffers go out for a moment: they are read while the rest is changed.
        let mut buffers = std::mem::take(&mut self.buffers);
        let raw = match udp.payload.source {
            Source::Packet => packet.data,
            _ => &buffers.reassembled[..],
        };
        let payload = udp.payload.of(raw);
        let flow = self.flows.entry(key, packet.number, &mut self.forgotten);
        let analysis = &mut self.analysis;
        let content = if udp.missing > 0 {
            let (there, wanted) = (payload.len(), payload.len() + udp.missing);
            analysis.trouble = Some(Trouble::CutOff { there, wanted });
            // What is sealed can't be opened without its end.
            is_clear_though_cut(flow, payload, udp.missing).then_some(udp.payload)
        } else if payload.is_empty() {
            analysis.trouble = Some(Trouble::Empty);
            None
        } else {
            unseal(flow, &mut self.keys, payload, udp.payload, &mut buffers.opened, analysis)
        };
        let told = content.and_then(|content| {
            let bytes = match content.source {
                Source::Opened => &buffers.opened[..],
                _ => raw,
            };
            self.content(key, way, (bytes, udp.missing), content, &mut buffers.recovered)
        });
        let at = told.unwrap_or_else(|| self.unexplained(key, way));
        self.count(key, at, way, payload);
        self.buffers = buffers;
    }

    /// The content of a datagram, without its seal, of which so many bytes may be missing. Returns the place of its
    /// conversation in the flow.
    fn content(
        &mut self,
        key: FlowKey,
        way: Way,
        (bytes, missing): (&[u8], usize),
        content: Span,
        recovered: &mut Vec<u8>,
    ) -> Option<usize> {
        let shard = Shard::parse(content.of(bytes));
        let Some(shard) = shard else {
            let conv = self.segments(key, way, bytes, content, false)?;
            return self.find_conversation(key, Some(conv));
        };
        self.analysis.shard = Some((shard, content));
        let inner = content.from(shard.header_len());
        let mut conv = None;
        match shard.kind {
            ShardKind::Data { size } => {
                let wanted = inner.len() + missing + 2;
                if usize::from(size) != wanted {
                    self.analysis.trouble = Some(Trouble::ShardSize { size, wanted });
                }
                conv = self.segments(key, way, bytes, inner, false);
            }
            ShardKind::OutOfBand { conv: of, .. } => conv = Some(of),
            ShardKind::Parity => {}
        }
        // A decoder takes whole shards only.
        let whole = (missing == 0).then_some(content.of(bytes));
        let again = whole.and_then(|whole| self.recover(key, way, shard, whole, recovered));
        // Found only now: what came back may have begun another conversation, for which one was forgotten.
        let found =
            [conv, again].into_iter().flatten().find_map(|conv| self.find_conversation(key, Some(conv)));
        let at = found.or_else(|| self.find_conversation(key, None))?;
        self.count_shard(key, at, way, shard);
        Some(at)
    }

    /// Hands a shard to the decoder of its direction, and tells what comes back. Returns the conv of that.
    fn recover(
        &mut self,
        key: FlowKey,
        way: Way,
        shard: Shard,
        datagram: &[u8],
        recovered: &mut Vec<u8>,
    ) -> Option<u32> {
        if matches!(shard.kind, ShardKind::OutOfBand { .. }) {
            return None;
        }
        let flow = self.flows.get_mut(key)?;
        let mut ends = std::mem::take(&mut self.scratch.ends);
        recovered.clear();
        ends.clear();
        let before = flow.shard_bytes();
        let decoder = flow.decoders[way.direction].get_or_insert_default();
        decoder.handle_datagram(datagram);
        while let Some(segments) = decoder.poll_recovered() {
            recovered.extend_from_slice(segments);
            ends.push(recovered.len());
        }
        self.sums.shards = (self.sums.shards + flow.shard_bytes()).saturating_sub(before);
        while self.sums.shards > MAX_SHARD_BYTES && self.flows.forget_shards() {
            self.sums.shards = self.flows.sums().shards;
        }
        let (mut conv, mut start) = (None, 0);
        for end in &ends {
            let span = Span::new(Source::Recovered, start, *end);
            conv = self.segments(key, way, recovered, span, true);
            start = *end;
        }
        self.scratch.ends = ends;
        conv
    }

    fn count_shard(&mut self, key: FlowKey, at: usize, way: Way, shard: Shard) {
        let Some(flow) = self.flows.get_mut(key) else { return };
        let ratio = flow.decoders[way.direction].as_ref().and_then(|decoder| decoder.fec());
        let conversation = &mut flow.conversations[at];
        let side = conversation.side_of(way.source);
        let Detail::Kcp(kcp) = &mut conversation.detail else { return };
        let recovered = self.analysis.segments.iter().filter(|note| note.span.source == Source::Recovered);
        let recovered = recovered.count() as u64;
        let fec = kcp.sides[side.index()].fec.get_or_insert_with(Fec::default);
        fec.ratio = ratio.map(|ratio| (ratio.data(), ratio.parity())).or(fec.ratio);
        match shard.kind {
            ShardKind::Data { .. } => fec.shard(shard.seqid, false),
            ShardKind::Parity => fec.shard(shard.seqid, true),
            ShardKind::OutOfBand { .. } => fec.out_of_band += 1,
        }
        if recovered > 0 {
            fec.recovered += self.scratch.ends.len() as u64;
        }
    }

    /// Tells the segments in a piece of `bytes`. Returns their conv.
    fn segments(&mut self, key: FlowKey, way: Way, bytes: &[u8], span: Span, recovered: bool) -> Option<u32> {
        let from = self.analysis.segments.len();
        let inner = span.of(bytes);
        let missing = if recovered { 0 } else { self.missing_of_datagram() };
        let trouble = gather(inner, span, missing, &mut self.analysis.segments);
        let count = self.analysis.segments.len() - from;
        if !recovered && self.analysis.trouble.is_none() {
            self.analysis.trouble = trouble;
        }
        let first = SegmentView::parse_cut(inner).ok().filter(|_| count > 0)?.0;
        if !recovered {
            self.end_if_begun_anew(key, way, &first);
        }
        let at = match self.find_conversation(key, Some(first.conv())) {
            Some(at) => at,
            None => self.new_conversation(key, way, Some(&first)),
        };
        let now = self.analysis.after;
        let conversation = &mut self.flows.get_mut(key)?.conversations[at];
        let side = conversation.side_of(way.source);
        let Detail::Kcp(kcp) = &mut conversation.detail else { return None };
        let news = &mut self.scratch.news;
        news.clear();
        news.resize(count, SegmentNews::default());
        let all = || views(inner).take(count);
        let (tracked, waiting) = (kcp.tracked(), kcp.waiting());
        let role = kcp.datagram(now, side, all, news, recovered, self.sums.tracked);
        // At once: a few datagrams can make a conversation watch very many numbers.
        self.sums.tracked = (self.sums.tracked + kcp.tracked()).saturating_sub(tracked);
        self.sums.waiting = (self.sums.waiting + kcp.waiting()).saturating_sub(waiting);
        for (note, news) in self.analysis.segments[from..].iter_mut().zip(news) {
            note.news = *news;
        }
        if !recovered {
            self.analysis.role = role;
        }
        Some(first.conv())
    }

    /// The same ports and the same conv may serve again: then what they had served for is over.
    fn end_if_begun_anew(&mut self, key: FlowKey, way: Way, first: &SegmentView<'_>) {
        let Some(at) = self.find_conversation(key, Some(first.conv())) else { return };
        let Some(flow) = self.flows.get_mut(key) else { return };
        let conversation = &mut flow.conversations[at];
        let side = conversation.side_of(way.source);
        if let Detail::Kcp(kcp) = &mut conversation.detail
            && kcp.ends_before(side, first)
        {
            self.forgotten.push(flow.conversations.remove(at));
        }
    }

    /// Bytes that the capture has cut off this datagram.
    fn missing_of_datagram(&self) -> usize {
        match self.analysis.top {
            Top::Udp(udp) => udp.missing,
            _ => 0,
        }
    }

    /// The place of a conversation in its flow: that of this conv, or the latest.
    fn find_conversation(&mut self, key: FlowKey, conv: Option<u32>) -> Option<usize> {
        self.flows.get_mut(key)?.conversations.iter().rposition(|conversation| match &conversation.detail {
            Detail::Kcp(kcp) => conv.is_none_or(|conv| kcp.conv == conv),
            _ => false,
        })
    }

    /// A conversation begins: of KCP with its first segment, or of nobody knows what.
    fn new_conversation(&mut self, key: FlowKey, way: Way, first: Option<&SegmentView<'_>>) -> usize {
        self.totals.conversations += 1;
        let number = self.totals.conversations;
        let cipher = self.analysis.opened.map(|(cipher, _)| cipher);
        let followed = self.follow_side(number);
        let detail = match first {
            Some(first) => {
                let mut kcp = Kcp::new(first, cipher);
                for side in [Side::Client, Side::Server] {
                    if let Some(consumer) = self.options.consumer(followed == Some(side)) {
                        kcp.put_together(side, consumer);
                    }
                }
                if kcp.is_put_together() && followed.is_none() {
                    self.make_place();
                    self.together.push(Together { key, number });
                }
                Detail::Kcp(Box::new(kcp))
            }
            None => Detail::Udp,
        };
        let now = self.analysis.after;
        let conversation = Conversation {
            number,
            client: way.source,
            server: way.destination,
            first: now,
            last: now,
            totals: Default::default(),
            unreachable: 0,
            detail,
        };
        let flow = self.flows.entry(key, self.analysis.number, &mut self.forgotten);
        if first.is_some() {
            // A peer that begins anew begins anew with its shards.
            self.sums.shards = self.sums.shards.saturating_sub(flow.shard_bytes());
            flow.decoders = [None, None];
        }
        let conversations = &mut flow.conversations;
        if conversations.len() == MAX_CONVERSATIONS_OF_FLOW {
            self.forgotten.push(conversations.remove(0));
        }
        conversations.push(conversation);
        conversations.len() - 1
    }

    /// A datagram that says nothing here belongs to the latest conversation of its flow.
    fn unexplained(&mut self, key: FlowKey, way: Way) -> usize {
        let flow = self.flows.entry(key, self.analysis.number, &mut self.forgotten);
        match flow.conversations.len().checked_sub(1) {
            Some(latest) => latest,
            None => self.new_conversation(key, way, None),
        }
    }

    fn count(&mut self, key: FlowKey, at: usize, way: Way, payload: &[u8]) {
        let follow = self.options.follow;
        let Some(flow) = self.flows.get_mut(key) else { return };
        let conversation = &mut flow.conversations[at];
        let side = conversation.side_of(way.source);
        conversation.count(self.analysis.after, side, payload.len());
        let number = conversation.number;
        self.analysis.participant = Some(Participant { conversation: number, side });
        let cut_off = matches!(self.analysis.trouble, Some(Trouble::CutOff { .. }));
        let is_followed = follow.and_then(|follow| follow.side_in(number)) == Some(side);
        self.followed.cut_off |= cut_off && is_followed;
        match &mut conversation.detail {
            Detail::Kcp(kcp) => {
                if let Some(consumer) = kcp.consumer(side) {
                    let Analysis { frames, smux, .. } = &mut self.analysis;
                    consumer.hand_over(frames, smux, &mut self.followed_bytes);
                }
            }
            Detail::Udp if is_followed => self.followed_bytes.extend_from_slice(payload),
            _ => {}
        }
    }
}

/// Whether a datagram, of which so many bytes are missing, can only be KCP that isn't sealed, as far as it goes.
fn is_clear_though_cut(flow: &mut Flow, payload: &[u8], missing: usize) -> bool {
    let begins =
        |segments: &[u8]| SegmentView::parse_cut(segments).is_ok_and(|(first, _)| first.missing() <= missing);
    let is_clear = match (flow.seal, Shard::parse(payload)) {
        (Seal::Clear, _) => true,
        (Seal::With(_), _) => false,
        (Seal::Unknown(_), None) => begins(payload),
        (Seal::Unknown(_), Some(shard)) => match shard.kind {
            ShardKind::Data { size } => {
                let segments = &payload[shard.header_len()..];
                usize::from(size) == segments.len() + missing + 2 && begins(segments)
            }
            ShardKind::Parity | ShardKind::OutOfBand { .. } => false,
        },
    };
    if is_clear {
        flow.seal = Seal::Clear;
    }
    is_clear
}

/// The segments in a piece of a datagram; the last may be cut off.
fn views(inner: &[u8]) -> impl Iterator<Item = SegmentView<'_>> {
    let mut rest = inner;
    std::iter::from_fn(move || {
        let (segment, behind) = SegmentView::parse_cut(rest).ok()?;
        rest = behind;
        Some(segment)
    })
}

/// Takes a datagram out of its seal, if it has one. Returns where its content lies.
fn unseal(
    flow: &mut Flow,
    keys: &mut Keys,
    payload: &[u8],
    span: Span,
    opened: &mut Vec<u8>,
    analysis: &mut Analysis,
) -> Option<Span> {
    let mut found = |cipher: Cipher, range: std::ops::Range<usize>| {
        let span = Span::new(Source::Opened, range.start, range.end);
        analysis.opened = Some((cipher, span));
        Some(span)
    };
    let tries = match flow.seal {
        Seal::Clear => return Some(span),
        Seal::With(index) => {
            let cipher = keys.cipher(index);
            if let Some(range) = keys.open(index, payload, opened) {
                return found(cipher, range);
            }
            if is_surely_kcp_or_shard(payload) {
                return Some(span);
            }
            analysis.trouble = Some(Trouble::NotOpened { cipher, len: payload.len() });
            return None;
        }
        Seal::Unknown(tries) => tries,
    };
    if is_surely_kcp_or_shard(payload) {
        flow.seal = Seal::Clear;
        return Some(span);
    }
    let mut tried = 0;
    if tries < MAX_TRIES {
        tried = keys.len();
        if let Some((index, range)) = keys.find(payload, opened) {
            flow.seal = Seal::With(index);
            return found(keys.cipher(index), range);
        }
        flow.seal = Seal::Unknown(tries + 1);
    }
    let parity = Shard::parse(payload).is_some_and(|shard| shard.kind == ShardKind::Parity);
    analysis.trouble = Some(match SegmentView::parse(payload) {
        _ if parity => Trouble::LoneParity,
        Err(error) => Trouble::NotKcp { len: payload.len(), error, tried, secret: keys.secret_given },
        // The front is a segment, what follows is not: of a flow's first datagram more is wanted.
        Ok((first, rest)) => {
            let at = payload.len() - rest.len();
            match SegmentView::parse(rest) {
                Ok((other, _)) if other.conv() != first.conv() => {
                    Trouble::OtherConversation { at, conv: other.conv() }
                }
                Ok(_) => Trouble::Broken { at, error: SegmentError::Truncated { len: rest.len() } },
                Err(error) => Trouble::Broken { at, error },
            }
        }
    });
    None
}

/// Notes where the segments lie that lead a datagram, all of one conversation; and what is wrong behind them. Of a
/// datagram that lacks its last bytes, what is there of the segment that they belong to is noted too.
fn gather(inner: &[u8], span: Span, missing: usize, notes: &mut Vec<SegmentNote>) -> Option<Trouble> {
    let mut rest = inner;
    let mut conv = None;
    while !rest.is_empty() {
        let at = inner.len() - rest.len();
        match SegmentView::parse(rest) {
            Ok((segment, _)) if conv.is_some_and(|conv| conv != segment.conv()) => {
                return Some(Trouble::OtherConversation { at, conv: segment.conv() });
            }
            Ok((segment, behind)) => {
                conv = Some(segment.conv());
                let len = rest.len() - behind.len();
                let span = span.from(at).first(len);
                notes.push(SegmentNote { span, missing: 0, news: SegmentNews::default() });
                rest = behind;
            }
            Err(SegmentError::LengthPastEnd { claimed, available })
                if claimed as usize - available <= missing
                    && conv.is_none_or(|conv| {
                        SegmentView::parse_cut(rest).is_ok_and(|s| s.0.conv() == conv)
                    }) =>
            {
                let missing = claimed - available as u32;
                notes.push(SegmentNote { span: span.from(at), missing, news: SegmentNews::default() });
                return None;
            }
            Err(error) if at == 0 => {
                return Some(Trouble::NotKcp { len: inner.len(), error, tried: 0, secret: false });
            }
            Err(SegmentError::Truncated { len }) => return Some(Trouble::Trailing { len }),
            Err(error) => return Some(Trouble::Broken { at, error }),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkType, Options, PacketReader, PcapngWriter, udp_packet};
    use sendoff_proto::{
        SeqNumber, Timestamp,
        wire::{Command, Segment},
    };

    /// A datagram whose two PUSHes lie as far apart as a window may be.
    fn far_apart(conv: u32) -> Vec<u8> {
        let mut datagram = Vec::new();
        for sn in [0, 32_767] {
            let segment = Segment {
                conv,
                command: Command::Push,
                fragment: 0,
                window: 32,
                timestamp: Timestamp(0),
                sn: SeqNumber(sn),
                una: SeqNumber(0),
            };
            segment.encode(b"x", &mut datagram);
        }
        datagram
    }

    #[test]
    fn what_all_conversations_watch_is_bounded_however_few_packets_make_them() {
        let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
        let interface = writer.interface(LinkType::RAW, "any").unwrap();
        let mut packet = Vec::new();
        for n in 0..2_000 {
            let source = SocketAddr::from(([10, 0, 0, 1], n + 1));
            udp_packet(source, ([10, 0, 0, 2], 9).into(), &far_apart(7), &mut packet).unwrap();
            writer.packet(interface, std::time::Duration::ZERO, &packet, &[]).unwrap();
        }
        let file = writer.into_inner();
        let (mut reader, mut dissector) =
            (PacketReader::new(&file[..]).unwrap(), Dissector::new(Options::default()));
        while let Some(packet) = reader.next_packet().unwrap() {
            dissector.packet(&packet);
        }
        let watched = dissector.flows.sums().tracked;
        assert!(watched < 1 << 20, "{watched} numbers are watched");
        assert_eq!(watched, dissector.sums.tracked);
        assert_eq!(dissector.totals().conversations, 2_000);
    }
}
