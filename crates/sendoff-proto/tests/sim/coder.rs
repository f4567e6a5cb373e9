//! Forward error correction around a host's connections, as a driver would have it.

use sendoff_proto::{
    Connection, TransmitBuffer,
    fec::{Decoder, Encoder, FEC_OVERHEAD, Fec, FecStats, ParityControl, Received},
};
use std::time::Instant;

/// The shards of one remote address.
#[derive(Default)]
pub struct Coder {
    pub encoder: Option<Encoder>,
    pub decoder: Decoder,
    /// Says how much parity there is to be.
    pub control: Option<ParityControl>,
}

/// What a datagram brought.
#[derive(Default)]
pub struct Arrived {
    /// Its own segments.
    pub segments: Option<Vec<u8>>,
    /// Those of datagrams that were lost.
    pub recovered: Vec<Vec<u8>>,
}

impl Coder {
    pub fn new(fec: Option<Fec>) -> Self {
        Self { encoder: fec.map(Encoder::new), decoder: Decoder::new(), control: None }
    }

    /// With as much parity as the losses call for.
    pub fn auto(most: Fec) -> Self {
        let mut coder = Self::new(Some(most));
        coder.control = Some(ParityControl::new(most));
        coder
    }

    /// Before a batch is sent.
    pub fn follow(&mut self, connection: &mut Connection) {
        if let (Some(control), Some(encoder)) = (&mut self.control, &mut self.encoder) {
            encoder.set_parity(control.observe(connection.take_loss_report()));
        }
    }

    /// Hands on what one datagram of segments becomes: a shard, and perhaps parity behind it.
    pub fn send(&mut self, now: Instant, segments: &[u8], send: &mut impl FnMut(Vec<u8>)) {
        let Some(encoder) = &mut self.encoder else { return send(segments.to_vec()) };
        let mut datagram = [&[0; FEC_OVERHEAD], segments].concat();
        encoder.encode_datagram(now, &mut datagram, FEC_OVERHEAD, 0);
        send(datagram);
        let mut buffer = TransmitBuffer::with_room(FEC_OVERHEAD, 0);
        while encoder.poll_transmit(&mut buffer) {
            buffer.datagrams().for_each(|parity| send(parity.to_vec()));
        }
    }

    pub fn receive(&mut self, datagram: &[u8]) -> Arrived {
        let mut arrived = Arrived::default();
        match self.decoder.handle_datagram(datagram) {
            Received::Bare(segments) | Received::Data(segments) => arrived.segments = Some(segments.to_vec()),
            _ => {}
        }
        while let Some(segments) = self.decoder.poll_recovered() {
            arrived.recovered.push(segments.to_vec());
        }
        arrived
    }

    pub fn stats(&self) -> FecStats {
        let encoder = self.encoder.as_ref().map(Encoder::stats).unwrap_or_default();
        self.decoder.stats().and(encoder)
    }
}
