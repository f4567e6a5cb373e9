//! Shards of an honest sender and of liars, over a network, into a decoder.

use super::{Input, conv};
use crate::{
    SeqNumber, Timestamp, TransmitBuffer,
    fec::{Decoder, Encoder, FEC_OVERHEAD, Fec, Received},
    wire::{Command, Segment, segments},
};
use std::time::{Duration, Instant};

/// Bytes of a decoder's shards at most.
const MOST_KEPT: usize = 3 << 20;

struct World {
    now: Instant,
    encoder: Encoder,
    buffer: TransmitBuffer,
    decoder: Decoder,
    /// What the honest sender has sent, and shards on their way.
    sent: Vec<Vec<u8>>,
    network: Vec<Vec<u8>>,
    next: u32,
    /// Whether nothing but the honest sender's shards, unchanged, has come.
    honest: bool,
}

/// Runs one input. Panics when something doesn't hold.
pub fn fec(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let ratio = ratio(&mut input);
    let mut encoder = Encoder::new(ratio);
    if input.bit() {
        encoder.start_at(ratio.wrap() - 300 / ratio.group() as u32 * ratio.group() as u32);
    }
    let mut world = World {
        now: Instant::now(),
        encoder,
        buffer: TransmitBuffer::with_room(FEC_OVERHEAD, 0),
        decoder: Decoder::new(),
        sent: Vec::new(),
        network: Vec::new(),
        next: 0,
        honest: true,
    };
    while !input.is_empty() {
        world.step(&mut input);
    }
}

fn ratio(input: &mut Input<'_>) -> Fec {
    let small = [(10, 3), (1, 1), (3, 2), (2, 1), (1, 3), (5, 2), (10, 10)];
    let (data, parity) = match input.byte() {
        255 => (1 + input.index(254), 1 + input.index(127)),
        n => small[usize::from(n) % small.len()],
    };
    Fec::new(data, parity).unwrap_or(Fec::new(254, 1).expect("in range"))
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        match kind % 8 {
            0 | 1 => self.send(1 + usize::from(kind / 8), input.byte()),
            2 => self.deliver(usize::from(kind / 8), input.byte()),
            3 => {
                // Lost.
                let at = input.index(self.network.len());
                self.network.drain(at..(at + usize::from(kind / 64)).min(self.network.len()));
            }
            4 => {
                // Doubled, late.
                let at = input.index(self.network.len());
                if let Some(datagram) = self.network.get(at).cloned() {
                    self.network.push(datagram);
                }
            }
            5 => self.forge(kind / 8, input),
            6 => {
                let raw = input.byte();
                self.receive(&input.bytes(raw.into()).to_vec(), false);
            }
            _ => self.settings(kind / 8, input),
        }
    }

    /// A run of datagrams, of one length but for some.
    fn send(&mut self, count: usize, shape: u8) {
        let mut left: Vec<Vec<u8>> = (0..count).map(|n| self.segments(n, shape)).collect();
        left.reverse();
        while !left.is_empty() {
            self.encoder.prepare(self.now, &mut self.buffer);
            self.buffer.clear();
            while left.last().is_some_and(|segments| self.buffer.push(segments)) {
                left.pop();
            }
            self.encoder.encode(self.now, &mut self.buffer);
            self.network.extend(self.buffer.datagrams().map(<[u8]>::to_vec));
            while self.encoder.poll_transmit(&mut self.buffer) {
                self.network.extend(self.buffer.datagrams().map(<[u8]>::to_vec));
            }
        }
    }

    fn segments(&mut self, n: usize, shape: u8) -> Vec<u8> {
        let len = if n.is_multiple_of(1 + usize::from(shape / 32)) { usize::from(shape) } else { 7 };
        let segment = Segment {
            conv: conv().value(),
            command: Command::Push,
            fragment: 0,
            window: 32,
            timestamp: Timestamp(self.next / 3),
            sn: SeqNumber(self.next),
            una: SeqNumber(0),
        };
        let mut segments = Vec::new();
        segment.encode(&vec![self.next as u8; len], &mut segments);
        self.next += 1;
        self.sent.push(segments.clone());
        segments
    }

    /// The next shards arrive, or some that are further behind.
    fn deliver(&mut self, count: usize, from: u8) {
        let from = if from < 200 { 0 } else { usize::from(from - 200).min(self.network.len()) };
        let end = (from + count).min(self.network.len());
        for datagram in self.network.drain(from..end).collect::<Vec<_>>() {
            self.receive(&datagram, true);
        }
    }

    /// A shard of the sender's, changed; or one that looks as if it belonged there.
    fn forge(&mut self, shape: u8, input: &mut Input<'_>) {
        let at = input.index(self.network.len());
        let mut datagram = match self.network.get(at) {
            Some(datagram) if shape & 1 == 0 => datagram.clone(),
            _ => vec![0; FEC_OVERHEAD + usize::from(input.byte())],
        };
        let seqid = u32::from_le_bytes([datagram[0], datagram[1], datagram[2], datagram[3]]);
        datagram[..4].copy_from_slice(&input.near(seqid).to_le_bytes());
        if shape & 2 != 0 {
            datagram[4] = [0xf1, 0xf2, 0xf3, 81][usize::from(input.byte() % 4)];
        }
        if shape & 4 != 0 {
            let at = input.index(datagram.len());
            datagram[at] = input.byte();
        }
        if shape & 8 != 0 {
            datagram.truncate(input.byte().into());
        }
        self.receive(&datagram, false);
    }

    fn settings(&mut self, shape: u8, input: &mut Input<'_>) {
        match shape % 4 {
            0 => self.now += Duration::from_millis(u64::from(input.short())),
            1 => self.encoder.set_parity(input.byte().into()),
            2 => {
                // Where all that is sent in between is lost, the old ratio may still seem to fit.
                self.honest = false;
                self.encoder.change(ratio(input));
            }
            _ => {
                let datagram = input.bytes(12).to_vec();
                let mut padded = vec![0; FEC_OVERHEAD];
                padded.extend(datagram);
                self.encoder.encode_datagram(self.now, &mut padded, FEC_OVERHEAD, 0);
                self.sent.push(padded[FEC_OVERHEAD..].to_vec());
                self.network.push(padded);
                while self.encoder.poll_transmit(&mut self.buffer) {
                    self.network.extend(self.buffer.datagrams().map(<[u8]>::to_vec));
                }
            }
        }
    }

    fn receive(&mut self, datagram: &[u8], honest: bool) {
        self.honest &= honest;
        let before = self.decoder.stats();
        if let Received::Data(segments) = self.decoder.handle_datagram(datagram) {
            assert!(!honest || self.sent.iter().any(|sent| sent == segments));
        }
        let mut recovered = 0;
        while let Some(found) = self.decoder.poll_recovered() {
            recovered += 1;
            assert!(segments(found).all(|segment| segment.is_ok()), "what is recovered is segments");
            assert!(!self.honest || self.sent.iter().any(|sent| sent == found), "what is recovered was sent");
        }
        let stats = self.decoder.stats();
        assert_eq!(stats.recovered - before.recovered, recovered);
        assert!(self.decoder.kept_bytes() <= MOST_KEPT);
        let loss = self.decoder.loss();
        assert!(loss.runs <= loss.lost);
    }
}
