//! A segment of TCP.

use super::{Analysis, Dissector, Participant};
use crate::{
    conversation::{Conversation, Detail, Side, TcpConversation, TcpSegment},
    file::Packet,
    flows::FlowKey,
    layers::{Ip, Source, Tcp, TcpFlags},
    stream::Consumer,
};
use std::net::SocketAddr;

impl Dissector {
    pub(super) fn tcp(&mut self, packet: &Packet<'_>, ip: Ip, header: Tcp) {
        let source = SocketAddr::new(ip.source, header.source_port);
        let destination = SocketAddr::new(ip.destination, header.destination_port);
        let (key, _) = FlowKey::new(source, destination, true);
        let now = self.analysis.after;
        let mut conversations =
            std::mem::take(&mut self.flows.entry(key, packet.number, &mut self.forgotten).conversations);
        let opens = header.flags.has(TcpFlags::SYN) && !header.flags.has(TcpFlags::ACK);
        let begins_anew = conversations.last().is_some_and(|conversation| match &conversation.detail {
            Detail::Tcp(tcp) => opens && tcp.is_over(),
            _ => false,
        });
        if begins_anew {
            // The same ports again: another connection.
            self.forgotten.append(&mut conversations);
        }
        if conversations.is_empty() {
            self.totals.conversations += 1;
            let number = self.totals.conversations;
            let (client, server) = if header.flags.0 & (TcpFlags::SYN | TcpFlags::ACK) == 0x12 {
                // An answer to a SYN that wasn't captured.
                (destination, source)
            } else {
                (source, destination)
            };
            let mut tcp = TcpConversation::default();
            let followed = self.follow_side(number);
            for side in [Side::Client, Side::Server] {
                let guess = self.options.framing.is_none();
                let consumer = Consumer::new(self.options.framing, guess, followed == Some(side));
                tcp.sides[side.index()].consumer = consumer;
            }
            conversations.push(Conversation {
                number,
                client,
                server,
                first: now,
                last: now,
                totals: Default::default(),
                unreachable: 0,
                detail: Detail::Tcp(Box::new(tcp)),
            });
        }
        let raw = match header.payload.source {
            Source::Packet => packet.data,
            _ => &self.buffers.reassembled[..],
        };
        let payload = header.payload.of(raw);
        let conversation = &mut conversations[0];
        let side = conversation.side_of(source);
        conversation.count(now, side, payload.len());
        let number = conversation.number;
        if let Detail::Tcp(tcp) = &mut conversation.detail {
            let before = tcp.waiting();
            self.analysis.tcp = Some(tcp.segment(side, TcpSegment { header: &header, payload }));
            self.sums.waiting = (self.sums.waiting + tcp.waiting()).saturating_sub(before);
            let consumer = &mut tcp.sides[side.index()].consumer;
            let Analysis { frames, smux, .. } = &mut self.analysis;
            consumer.hand_over(frames, smux, &mut self.followed_bytes);
        }
        self.analysis.participant = Some(Participant { conversation: number, side });
        self.flows.entry(key, packet.number, &mut self.forgotten).conversations = conversations;
    }
}
