//! Makes IP packets from what an endpoint sent and received, as if they had been captured.
//!
//! The headers are true as far as they can be known: addresses, ports, lengths and checksums. What an endpoint
//! doesn't know (time to live, identification) has usual values.

use etherparse::PacketBuilder;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A usual time to live (Linux).
const TIME_TO_LIVE: u8 = 64;

/// Bytes of a UDP payload at most: what fits an IPv4 packet.
pub const MAX_PAYLOAD: usize = 65_507;

/// A datagram that no UDP packet can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a datagram of {len} bytes: at most {MAX_PAYLOAD} fit a UDP packet")]
pub struct DatagramTooLarge {
    /// Bytes that it has.
    pub len: usize,
}

/// Writes the IP packet with that UDP payload into `out`, whose content is replaced: for link type
/// [`RAW`](crate::LinkType::RAW). It is of IPv4 if both addresses are, mapped ones too; else of IPv6.
///
/// # Errors
/// The payload is longer than [`MAX_PAYLOAD`].
pub fn udp_packet(
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DatagramTooLarge> {
    out.clear();
    if payload.len() > MAX_PAYLOAD {
        return Err(DatagramTooLarge { len: payload.len() });
    }
    let builder = match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TIME_TO_LIVE),
        (from, to) => PacketBuilder::ipv6(v6(from).octets(), v6(to).octets(), TIME_TO_LIVE),
    };
    let builder = builder.udp(source.port(), destination.port());
    builder.write(out, payload).map_err(|_| DatagramTooLarge { len: payload.len() })
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    fn check(source: &str, destination: &str, payload: &[u8]) {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let mut packet = vec![1, 2, 3];
        udp_packet(source, destination, payload, &mut packet).unwrap();
        let sliced = SlicedPacket::from_ip(&packet).unwrap();
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("{sliced:?}") };
        assert_eq!((udp.source_port(), udp.destination_port()), (source.port(), destination.port()));
        assert_eq!(udp.payload(), payload);
        let checksum = match sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                assert_eq!(header.calc_header_checksum(), header.header_checksum);
                udp.to_header().calc_checksum_ipv4(&header, payload).unwrap()
            }
            Some(NetSlice::Ipv6(ip)) => {
                udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), payload).unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(checksum, udp.checksum());
        assert_ne!(checksum, 0);
    }

    #[test]
    fn checksums_are_true_in_both_versions() {
        for payload in [&b""[..], b"x", b"Hello server", &[0xff; 1_400], &[7; MAX_PAYLOAD]] {
            check("127.0.0.1:1000", "192.0.2.7:65535", payload);
            check("[2001:db8::1]:1000", "[::1]:1", payload);
            check("[::ffff:192.0.2.1]:1000", "192.0.2.7:5", payload);
            check("192.0.2.1:9", "[2001:db8::1]:1000", payload);
        }
    }

    #[test]
    fn what_fits_no_packet_is_refused() {
        let (from, to) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let refused = udp_packet(from, to, &[0; MAX_PAYLOAD + 1], &mut Vec::new());
        assert_eq!(refused, Err(DatagramTooLarge { len: MAX_PAYLOAD + 1 }));
    }
}
