//! What the system hands on as one packet and the wire has as many: a batch of UDP datagrams; and checksums that are
//! left to the network card.

use super::{Frame, now, sys::Received};
use std::{ops::Range, time::Duration};

const UDP: usize = 8;
const IPV6: usize = 40;

/// A batch of UDP datagrams with one set of headers, which is cut into packets.
#[derive(Debug)]
pub(super) struct Superpacket {
    time: Duration,
    interface: u32,
    /// Where the headers lie in the buffer, and in them those of IP and UDP.
    headers: Range<usize>,
    network: usize,
    transport: usize,
    is_v4: bool,
    /// What is left of the datagrams.
    payload: Range<usize>,
    size: usize,
    /// How many have been cut off.
    cut: u16,
    packet: Vec<u8>,
}

impl Superpacket {
    /// If it is one: of IPv4, or of IPv6 without extension headers.
    pub(super) fn new(buffer: &[u8], frame: Frame, received: &Received) -> Option<Self> {
        let size = received.batch_of?;
        let ip = buffer.get(frame.network..frame.end)?;
        let is_v4 = *ip.first()? >> 4 == 4;
        let (header, protocol) =
            if is_v4 { (usize::from(ip[0] & 15) * 4, *ip.get(9)?) } else { (IPV6, *ip.get(6)?) };
        if protocol != 17 || header < 20 || ip.len() < header + UDP || received.captured < received.len {
            return None;
        }
        let transport = header;
        let payload = frame.network + transport + UDP..frame.end;
        Some(Self {
            time: received.time.unwrap_or_else(now),
            interface: received.hardware.interface,
            headers: frame.start..payload.start,
            network: frame.network - frame.start,
            transport: frame.network - frame.start + transport,
            is_v4,
            payload,
            size,
            cut: 0,
            packet: Vec::new(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// The next packet, as the card would send it: its time, interface and bytes.
    pub(super) fn next(&mut self, buffer: &[u8]) -> Option<(Duration, u32, &[u8])> {
        if self.is_empty() {
            return None;
        }
        let end = self.payload.end.min(self.payload.start + self.size);
        let datagram = &buffer[self.payload.start..end];
        self.payload.start = end;
        self.packet.clear();
        self.packet.extend_from_slice(&buffer[self.headers.clone()]);
        self.packet.extend_from_slice(datagram);
        let udp_len = (UDP + datagram.len()) as u16;
        self.network_header(udp_len);
        self.transport_header(udp_len);
        self.cut += 1;
        Some((self.time, self.interface, &self.packet))
    }

    fn network_header(&mut self, udp_len: u16) {
        let header_len = self.transport - self.network;
        let ip = &mut self.packet[self.network..];
        if !self.is_v4 {
            ip[4..6].copy_from_slice(&udp_len.to_be_bytes());
            return;
        }
        ip[2..4].copy_from_slice(&(header_len as u16 + udp_len).to_be_bytes());
        // Each has its own identification, one after the other.
        let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(self.cut);
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip[10..12].fill(0);
        let sum = fold(sum(0, &ip[..header_len]));
        ip[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }

    fn transport_header(&mut self, udp_len: u16) {
        let addresses = if self.is_v4 { 12..20 } else { 8..40 };
        let pseudo = sum(0, &self.packet[self.network..][addresses]) + u64::from(udp_len) + 17;
        let udp = &mut self.packet[self.transport..];
        udp[4..6].copy_from_slice(&udp_len.to_be_bytes());
        udp[6..8].fill(0);
        let checksum = never_zero(!fold(sum(pseudo, udp)));
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Works out a checksum of which only the pseudo-header is in: over all from `start`, to be put at `at`.
pub(super) fn complete_checksum(packet: &mut [u8], start: usize, at: usize) {
    let Some(covered) = packet.get(start..).filter(|_| at >= start && at + 2 <= packet.len()) else { return };
    // The field itself holds the sum over the pseudo-header, and so adds it.
    let checksum = never_zero(!fold(sum(0, covered)));
    packet[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// In UDP 0 says that there is no checksum; in TCP both zeros are as good.
fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// The sum of 16-bit words (RFC 1071).
fn sum(from: u64, bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0)));
    words.fold(from, |sum, word| sum + word)
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp_packet;
    use std::net::SocketAddr;

    /// A batch as the kernel hands it on: one packet with all of the payload, and a partial checksum.
    fn batch(source: &str, destination: &str, payload: &[u8]) -> (Vec<u8>, [SocketAddr; 2]) {
        let addresses = [source.parse().unwrap(), destination.parse().unwrap()];
        let mut packet = Vec::new();
        udp_packet(addresses[0], addresses[1], payload, &mut packet).unwrap();
        (packet, addresses)
    }

    #[test]
    fn a_batch_becomes_the_packets_that_the_wire_has() {
        let payload: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
        for (source, destination) in
            [("127.0.0.1:5", "10.0.0.9:7"), ("[2001:db8::1]:1", "[2001:db8::2]:65535")]
        {
            let (whole, [from, to]) = batch(source, destination, &payload);
            let buffer = [&[0xee; 14][..], &whole].concat();
            let frame = Frame { start: 0, network: 14, end: buffer.len() };
            let captured = buffer.len();
            let received = Received { len: captured, captured, batch_of: Some(1_000), ..Received::default() };
            let mut superpacket = Superpacket::new(&buffer, frame, &received).unwrap();
            let mut sizes = Vec::new();
            for (n, chunk) in payload.chunks(1_000).enumerate() {
                let (_, _, packet) = superpacket.next(&buffer).unwrap();
                let mut expected = Vec::new();
                udp_packet(from, to, chunk, &mut expected).unwrap();
                if from.is_ipv4() {
                    // The identification counts on, and the header's checksum with it.
                    let id = n as u16;
                    expected[4..6].copy_from_slice(&id.to_be_bytes());
                    expected[10..12].fill(0);
                    let checksum = !fold(sum(0, &expected[..20]));
                    expected[10..12].copy_from_slice(&checksum.to_be_bytes());
                }
                assert_eq!(packet[..14], [0xee; 14]);
                assert_eq!(packet[14..], expected);
                sizes.push(chunk.len());
            }
            assert_eq!((sizes, superpacket.is_empty()), (vec![1_000, 1_000, 500], true));
            assert!(superpacket.next(&buffer).is_none());
        }
    }

    #[test]
    fn a_partial_checksum_becomes_a_whole_one() {
        for text in [&b"odd"[..], b"even", b""] {
            let (whole, _) = batch("127.0.0.1:5", "10.0.0.9:7", text);
            let mut partial = whole.clone();
            let pseudo = sum(0, &whole[12..20]) + 17 + 8 + text.len() as u64;
            partial[26..28].copy_from_slice(&fold(pseudo).to_be_bytes());
            complete_checksum(&mut partial, 20, 26);
            assert_eq!(partial, whole);
        }
        // What lies is left as it is.
        for (start, at) in [(40, 46), (20, 11), (20, 36), (65_535, 65_535)] {
            let mut packet = vec![7; 36];
            complete_checksum(&mut packet, start, at);
            assert_eq!(packet, [7; 36]);
        }
    }

    #[test]
    fn what_is_no_batch_of_udp_stays_whole() {
        let (whole, _) = batch("127.0.0.1:5", "10.0.0.9:7", &[0; 100]);
        let frame = Frame { start: 0, network: 0, end: whole.len() };
        let received = |batch_of| Received { len: 128, captured: 128, batch_of, ..Received::default() };
        assert!(Superpacket::new(&whole, frame, &received(None)).is_none());
        let mut tcp = whole.clone();
        tcp[9] = 6;
        assert!(Superpacket::new(&tcp, frame, &received(Some(10))).is_none());
        for len in 0..28 {
            let short = Frame { end: len, ..frame };
            assert!(Superpacket::new(&whole, short, &received(Some(10))).is_none(), "{len}");
        }
    }
}
