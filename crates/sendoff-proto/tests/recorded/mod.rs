//! Reads captures: `tests/captures/README.md` has what they hold.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::{Block, PcapBlockOwned, PcapNGSlice};
use sha2::{Digest, Sha256};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

pub struct Datagram {
    /// Since the first of the capture.
    pub at: Duration,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub payload: Vec<u8>,
}

/// The UDP datagrams of a capture, in order. A clock that was set back while it ran doesn't count.
pub fn datagrams(name: &str) -> Vec<Datagram> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(format!("{name}.pcapng"));
    let file = fs::read(path).unwrap();
    let (mut resolution, mut started, mut found) = (1, None, Vec::new());
    for block in PcapNGSlice::from_slice(&file).unwrap() {
        match block.unwrap() {
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                resolution = interface.ts_resolution().unwrap();
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                assert_eq!(packet.caplen, packet.origlen, "cut off");
                let (seconds, fraction) = packet.decode_ts(0, resolution);
                let nanos = u64::from(fraction) * (1_000_000_000 / resolution);
                let time = Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos);
                let at = time.saturating_sub(*started.get_or_insert(time));
                found.push(udp(at, &packet.data[..packet.caplen as usize]));
            }
            _ => {}
        }
    }
    found
}

fn udp(at: Duration, frame: &[u8]) -> Datagram {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (sliced.net, sliced.transport) else {
        panic!("not UDP over IPv4");
    };
    let address = |ip, port| SocketAddr::new(IpAddr::V4(ip), port);
    Datagram {
        at,
        from: address(ip.header().source_addr(), udp.source_port()),
        to: address(ip.header().destination_addr(), udp.destination_port()),
        payload: udp.payload().to_vec(),
    }
}

pub fn hex_sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The payload of a capture, by the rule in its README.
pub fn payload(name: &str, len: usize) -> Vec<u8> {
    if name == "seed-p002" {
        return b"2026-11-20 20:59:07.84564567 +0000 UTC m=+0.000684753".to_vec();
    }
    let mut hash = Sha256::digest(if name == "plain-echo" { "plain" } else { name });
    let mut payload = Vec::new();
    while payload.len() < len {
        payload.extend_from_slice(&hash);
        hash = Sha256::digest(hash);
    }
    payload.truncate(len);
    payload
}
