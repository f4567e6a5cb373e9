//! What comes late, out of parity: the segments of a datagram that was lost.
//!
//! They may be old, even very old where little is sent: windows, round trips, and what blocks say of who
//! the peer is are left alone. What is numbered counts: PUSH, FIN, una and acknowledgements.

use super::{Connection, Phase, Role, incoming::Arrival};
use crate::{
    seq::SeqNumber,
    wire::{Block, Body, Command, FIN_FRAGMENT, SegmentView, segments},
};
use std::{ops::ControlFlow, time::Instant};

const GO_ON: ControlFlow<()> = ControlFlow::Continue(());
const STOP: ControlFlow<()> = ControlFlow::Break(());

impl Connection {
    /// The segments of a datagram that was lost, and was made good by forward error correction.
    ///
    /// As [`handle_datagram`](Self::handle_datagram), but for what would be out of date by now.
    pub fn handle_recovered(&mut self, now: Instant, datagram: &[u8]) {
        // While opening, nothing is known of the peer that it could be compared with.
        if self.phase == Phase::Ended || self.dial.is_some() {
            return;
        }
        self.stats.datagrams_recovered += 1;
        self.loss.on_received(now, &self.rtt);
        let mut arrival = Arrival::of_recovered();
        for segment in segments(datagram) {
            match segment {
                Ok(segment) if segment.conv() == self.conv.value() => {
                    if self.handle_recovered_segment(now, &segment, &mut arrival).is_break() {
                        break;
                    }
                }
                Ok(_) | Err(_) => {
                    self.stats.malformed_datagrams += 1;
                    break;
                }
            }
        }
        self.after_datagram(now, &arrival);
    }

    fn handle_recovered_segment(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        let is_fin = segment.command() == Command::Push && segment.fragment() == FIN_FRAGMENT;
        let is_push = segment.command() == Command::Push && !is_fin;
        if !is_push && segment.command() != Command::Ack && self.may_be_block(segment) {
            return match Block::parse(segment) {
                Some(block) => self.handle_recovered_block(now, segment, &block, arrival),
                None => GO_ON,
            };
        }
        if is_push && !self.is_fronted(arrival) {
            self.stats.dropped_unfronted += 1;
            return GO_ON;
        }
        self.handle_plain(now, segment, arrival);
        if self.phase == Phase::Ended { STOP } else { GO_ON }
    }

    /// Nothing is learned and nobody is believed: a block is compared with the tokens that are known.
    fn handle_recovered_block(
        &mut self,
        now: Instant,
        segment: &SegmentView<'_>,
        block: &Block<'_>,
        arrival: &mut Arrival,
    ) -> ControlFlow<()> {
        let of_peer = self.peering.peer.is_some() && block.from == self.peering.peer;
        let to_us = block.to == Some(self.peering.own);
        match block.body {
            Body::Hello { .. } => {
                let known = self.role == Role::Server && of_peer && (to_us || block.to.is_none());
                arrival.fronted = known;
                if known { GO_ON } else { STOP }
            }
            Body::Welcome { .. } => {
                let known = self.role == Role::Client && of_peer && to_us;
                if known { GO_ON } else { STOP }
            }
            Body::Fin { code, reason } if of_peer && to_us => {
                self.take_fin(now, segment, (code, reason));
                arrival.delivered |= self.handle_una_alone(segment.una());
                GO_ON
            }
            _ => GO_ON,
        }
    }

    /// Everything below `una` is delivered, whatever the window was at that time; returns whether that is news.
    pub(super) fn handle_una_alone(&mut self, una: SeqNumber) -> bool {
        let news = self.is_una_current(una) && una != self.ring.unacked;
        if news {
            self.stats.bytes_acknowledged += self.loss.on_una(&mut self.ring, una);
            self.remote.hold_from(una);
        }
        news
    }
}
