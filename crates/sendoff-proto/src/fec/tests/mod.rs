//! Encoder and decoder, alone and together.

mod decoding;
mod encoding;
mod hostile;
mod oracle;

use super::*;
use crate::{
    TransmitBuffer,
    seq::{SeqNumber, Timestamp},
    wire::{Command, HEADER_SIZE, Segment},
};
use std::time::{Duration, Instant};

const CONV: u32 = 0x5b1f_03aa;

/// Bytes that a cipher would need in front and behind.
const CIPHER: (usize, usize) = (20, 16);

/// One PUSH of that many bytes in all.
fn push(sn: u32, len: usize) -> Vec<u8> {
    let segment = Segment {
        conv: CONV,
        command: Command::Push,
        fragment: 0,
        window: 128,
        timestamp: Timestamp(sn.wrapping_mul(77)),
        sn: SeqNumber(sn),
        una: SeqNumber(3),
    };
    let data: Vec<u8> =
        (0..len - HEADER_SIZE).map(|n| (n as u32 * 31 + sn * 7 + (n as u32 >> 5)) as u8).collect();
    let mut out = Vec::new();
    segment.encode(&data, &mut out);
    out
}

/// PUSHes of these lengths, numbered from 0.
fn pushes(lens: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    lens.into_iter().enumerate().map(|(sn, len)| push(sn as u32, len)).collect()
}

/// An encoder with the buffer of a driver.
struct Sender {
    encoder: Encoder,
    buffer: TransmitBuffer,
    now: Instant,
    /// Datagrams of each batch that was sent.
    batches: Vec<usize>,
}

impl Sender {
    fn new(fec: Fec) -> Self {
        let buffer = TransmitBuffer::with_room(CIPHER.0 + FEC_OVERHEAD, CIPHER.1);
        Self { encoder: Encoder::new(fec), buffer, now: Instant::now(), batches: Vec::new() }
    }

    /// Sends datagrams with these segments as a connection does: in batches, as full as they get. Returns what is
    /// inside the encryption.
    fn send(&mut self, segments: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (mut next, mut sent) = (0, Vec::new());
        while next < segments.len() {
            self.encoder.prepare(self.now, &mut self.buffer);
            self.buffer.clear();
            while next < segments.len() && self.buffer.push(&segments[next]) {
                next += 1;
            }
            self.encoder.encode(self.now, &mut self.buffer);
            self.leave(&mut sent);
            while self.encoder.poll_transmit(&mut self.buffer) {
                self.leave(&mut sent);
            }
        }
        sent
    }

    fn leave(&mut self, sent: &mut Vec<Vec<u8>>) {
        let (datagrams, size) = (self.buffer.datagrams(), self.buffer.datagram_size());
        let datagrams: Vec<&[u8]> = datagrams.collect();
        let (last, full) = datagrams.split_last().expect("no batch is empty");
        assert!(full.iter().all(|datagram| datagram.len() == size) && last.len() <= size);
        assert!(datagrams.len() <= 64 && self.buffer.contents().len() <= 65_507);
        self.batches.push(datagrams.len());
        for datagram in datagrams {
            let (front, rest) = datagram.split_at(CIPHER.0);
            let (inside, back) = rest.split_at(rest.len() - CIPHER.1);
            assert!(front.iter().chain(back).all(|&byte| byte == 0), "the cipher's room is touched");
            sent.push(inside.to_vec());
        }
    }
}

fn fec(data: usize, parity: usize) -> Fec {
    Fec::new(data, parity).unwrap()
}

fn seqid(datagram: &[u8]) -> u32 {
    u32::from_le_bytes(datagram[..4].try_into().unwrap())
}

fn is_parity(datagram: &[u8]) -> bool {
    datagram[4] == 0xf2
}

/// A receiver, and what it has handed on.
#[derive(Default)]
struct Receiver {
    decoder: Decoder,
    data: Vec<Vec<u8>>,
    recovered: Vec<Vec<u8>>,
}

impl Receiver {
    fn take(&mut self, datagram: &[u8]) {
        if let Received::Data(segments) = self.decoder.handle_datagram(datagram) {
            self.data.push(segments.to_vec());
        }
        while let Some(segments) = self.decoder.poll_recovered() {
            self.recovered.push(segments.to_vec());
        }
    }

    fn take_all(&mut self, datagrams: &[Vec<u8>]) {
        datagrams.iter().for_each(|datagram| self.take(datagram));
    }

    /// One that knows the ratio of a sender, and the seqid with which the next group begins.
    fn knowing(sender: &mut Sender) -> Self {
        let mut receiver = Self::default();
        let data = sender.encoder.fec().data();
        while receiver.decoder.fec().is_none() {
            receiver.take_all(&sender.send(&pushes(vec![40; data])));
        }
        assert_eq!(receiver.decoder.fec(), Some(sender.encoder.fec()));
        (receiver.data, receiver.recovered) = Default::default();
        receiver
    }
}
