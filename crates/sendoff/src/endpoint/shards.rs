//! Forward error correction of one socket: an encoder and a decoder for each remote address.
//!
//! ```text
//! connection ─▶ segments ─▶ Encoder (shared: handles send too) ─▶ seal ─▶ socket
//! socket ─▶ open ─▶ data shard ─▶ connection at once
//!                └▶ Decoder (the driver's) ─▶ what was lost ─▶ connection
//! ```

use super::{
    driver::{Driver, Last},
    shared::EndpointShared,
    transmit::Sent,
};
use crate::{
    Config, FecStats,
    lock::lock,
    stream::{ConnectionShared, ConnectionState},
    udp::IcmpError,
};
use sendoff_proto::{
    Conv, Fec, PeerKind, TransmitBuffer,
    fec::{
        Decoder, Encoder, FEC_OVERHEAD, OutOfBand, ParityControl, Received, data_segments, encode_out_of_band,
    },
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Instant,
};

/// The sending sides, and what is counted.
pub(super) struct Shards {
    fec: Option<Fec>,
    auto: bool,
    encoders: Mutex<HashMap<SocketAddr, Arc<Mutex<Sender>>>>,
    /// Of those that are gone, and of all that was received.
    totals: Mutex<FecStats>,
}

/// What goes to one remote address.
pub(super) struct Sender {
    encoder: Encoder,
    control: Option<ParityControl>,
}

impl Shards {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            fec: config.fec_value(),
            auto: config.is_fec_auto(),
            encoders: Mutex::default(),
            totals: Mutex::default(),
        }
    }

    /// Whether what is sent is coded.
    pub(super) fn encodes(&self) -> bool {
        self.fec.is_some()
    }

    /// The encoder of a remote address; `None` without FEC. By itself (`auto`) it isn't used towards a peer that
    /// may be a kcp-go before 5.6.8, which decodes wrongly under a ratio that isn't its own.
    pub(super) fn sender(&self, remote: SocketAddr, kind: PeerKind) -> Option<Arc<Mutex<Sender>>> {
        let fec = self.fec.filter(|_| !self.auto || kind == PeerKind::Extended)?;
        let sender = || {
            let mut encoder = Encoder::new(fec);
            let control = self.auto.then(|| ParityControl::new(fec));
            if let Some(control) = &control {
                encoder.set_parity(control.parity());
            }
            Arc::new(Mutex::new(Sender { encoder, control }))
        };
        Some(lock(&self.encoders).entry(remote).or_insert_with(sender).clone())
    }

    /// Changes the ratio of what goes to a remote address; false where nothing is coded, or the ratio isn't fixed.
    pub(super) fn change(&self, remote: SocketAddr, kind: PeerKind, fec: Fec) -> bool {
        let sender = self.sender(remote, kind).filter(|_| !self.auto);
        if let Some(sender) = &sender {
            lock(sender).encoder.change(fec);
        }
        sender.is_some()
    }

    /// A peer has moved. Its decoder goes on as it was, so the encoder does too: to it, seqids that start at 0 again would
    /// be old ones for a long time.
    pub(super) fn carry(&self, from: SocketAddr, to: SocketAddr) {
        let mut encoders = lock(&self.encoders);
        if !encoders.contains_key(&to)
            && let Some(sender) = encoders.remove(&from)
        {
            encoders.insert(to, sender);
        }
    }

    /// A new conversation begins there, or the last has ended: seqids start at 0 again.
    fn forget(&self, remote: SocketAddr) {
        if self.fec.is_none() {
            return;
        }
        if let Some(sender) = lock(&self.encoders).remove(&remote) {
            let stats = lock(&sender).encoder.stats();
            self.count(stats);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn encoders(&self) -> usize {
        lock(&self.encoders).len()
    }

    fn count(&self, stats: FecStats) {
        let mut totals = lock(&self.totals);
        *totals = totals.and(stats);
    }

    pub(super) fn stats(&self) -> FecStats {
        let totals = *lock(&self.totals);
        let senders: Vec<_> = lock(&self.encoders).values().cloned().collect();
        senders.iter().fold(totals, |sum, sender| sum.and(lock(sender).encoder.stats()))
    }
}

impl EndpointShared {
    /// As [`transmit_plain`](Self::transmit_plain) with FEC: a batch and its parity.
    ///
    /// Parity for which the socket has no room is lost, as it may be; what it would make good is sent again.
    pub(super) fn transmit_shards(
        &self,
        now: Instant,
        peer: SocketAddr,
        state: &mut ConnectionState,
        (sender, buffer): (&Mutex<Sender>, &mut TransmitBuffer),
        icmp: &mut Vec<IcmpError>,
    ) -> Sent {
        let mut sender = lock(sender);
        sender.follow(state);
        let encoder = &mut sender.encoder;
        buffer.set_room(self.envelope.front + FEC_OVERHEAD, self.envelope.back);
        encoder.prepare(now, buffer);
        if !state.connection.poll_transmit(now, buffer) {
            return Sent::Nothing;
        }
        encoder.encode(now, buffer);
        let mut sent = self.send_prepared(now, peer, state.source, buffer, icmp);
        while sent == Sent::Batch && encoder.poll_transmit(buffer) {
            sent = self.send_prepared(now, peer, state.source, buffer, icmp);
        }
        sent
    }
}

impl EndpointShared {
    /// Changes the ratio of what goes to a peer; false where nothing is coded, or the ratio isn't fixed.
    pub(crate) fn change_fec(&self, peer: SocketAddr, kind: PeerKind, fec: Fec) -> bool {
        self.shards.change(peer, kind, fec)
    }

    /// Sends what goes beside a stream; lost where the socket has no room.
    pub(crate) fn send_out_of_band(
        &self,
        now: Instant,
        peer: SocketAddr,
        source: Option<IpAddr>,
        conv: Conv,
        payload: &[u8],
    ) {
        if self.is_blocked() {
            return;
        }
        let mut datagram = vec![0; self.envelope.front];
        let message = OutOfBand { conv: conv.value(), payload };
        if encode_out_of_band(message, &mut datagram).is_none() {
            return;
        }
        datagram.resize(datagram.len() + self.envelope.back, 0);
        let mut icmp = Vec::new();
        self.send_sealed(now, peer, source, &mut datagram, &mut icmp);
        if !icmp.is_empty() {
            self.report_icmp(icmp);
        }
    }
}

impl Sender {
    /// With `auto`, as much parity as what was lost calls for.
    fn follow(&mut self, state: &mut ConnectionState) {
        let Some(control) = &mut self.control else { return };
        let parity = control.observe(state.connection.take_loss_report());
        if parity != self.encoder.parity() {
            tracing::debug!(parity, "FEC follows the losses");
            self.encoder.set_parity(parity);
        }
    }
}

/// The receiving sides: the driver's own.
#[derive(Default)]
pub(super) struct Decoders {
    by_remote: HashMap<SocketAddr, Box<Decoder>>,
}

#[cfg(test)]
impl Decoders {
    pub(super) fn is_empty(&self) -> bool {
        self.by_remote.is_empty()
    }
}

impl Driver {
    /// A shard has come: what it holds goes to its connection at once, and what it makes good after that.
    pub(super) fn take_shard(
        &mut self,
        now: Instant,
        source: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
        last: &mut Last,
    ) {
        if self.pass_shard_on(now, source, local, datagram) {
            return;
        }
        if let Some(segments) = data_segments(datagram)
            && let Some(connection) = self.route(now, source, local, segments, last)
        {
            self.feed(&connection, local, |connection| connection.handle_datagram(now, segments));
        }
        if !self.knows(source, last.as_ref()) {
            return;
        }
        let mut decoder = self.decoders.by_remote.remove(&source).unwrap_or_default();
        let before = decoder.stats();
        if let Received::OutOfBand(message) = decoder.handle_datagram(datagram)
            && let Some(connection) = self.shared.connection(source, message.conv)
        {
            connection.take_out_of_band(message.payload);
        }
        while let Some(recovered) = decoder.poll_recovered() {
            if let Some(connection) = self.connection_of(source, recovered, last.as_ref()) {
                self.feed(&connection, local, |connection| connection.handle_recovered(now, recovered));
            }
        }
        self.shared.shards.count(decoder.stats().since(before));
        self.decoders.by_remote.insert(source, decoder);
    }

    /// Whether there is a connection with that address: for others nothing is kept.
    fn knows(&self, source: SocketAddr, last: Option<&(SocketAddr, Arc<ConnectionShared>)>) -> bool {
        last.is_some_and(|(peer, _)| *peer == source) || self.shared.has_remote(source)
    }

    fn connection_of(
        &self,
        source: SocketAddr,
        segments: &[u8],
        last: Option<&(SocketAddr, Arc<ConnectionShared>)>,
    ) -> Option<Arc<ConnectionShared>> {
        let conv = u32::from_le_bytes(*segments.first_chunk()?);
        match last {
            Some((peer, last)) if *peer == source && last.conv().value() == conv => Some(last.clone()),
            _ => self.shared.connection(source, conv),
        }
    }

    /// The last connection of a remote address has moved: its peer's encoder counts on.
    pub(super) fn carry_decoder(&mut self, from: SocketAddr, to: SocketAddr) {
        if let Some(decoder) = self.decoders.by_remote.remove(&from) {
            self.decoders.by_remote.entry(to).or_insert(decoder);
        }
    }

    /// What was known of the shards of a remote address is of a conversation that is over.
    pub(super) fn forget_shards(&mut self, remote: SocketAddr) {
        self.decoders.by_remote.remove(&remote);
        self.shared.shards.forget(remote);
    }
}
