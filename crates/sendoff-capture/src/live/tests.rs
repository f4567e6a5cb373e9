//! Over loopback; only root may.

use super::*;
use crate::{Dissector, Options, Packet, Top, file::Comments};
use std::{env, net::UdpSocket, time::Instant};

/// Turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(30);

/// Watches a port of loopback, if that is allowed.
fn watch(interface: &str, port: u16) -> Option<LiveCapture> {
    match LiveCapture::open(interface, Some(port)) {
        Err(LiveError::NotAllowed) => {
            assert!(env::var_os("CI").is_none(), "packet sockets need root");
            eprintln!("skipped: packet sockets need root");
            None
        }
        opened => Some(opened.unwrap()),
    }
}

/// The payloads of the next `count` datagrams, with the packets that they were in.
fn payloads(live: &mut LiveCapture, count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let (deadline, mut dissector) = (Instant::now() + WATCHDOG, Dissector::new(Options::default()));
    let mut payloads = Vec::new();
    while payloads.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} packets came", payloads.len());
        let Some(LivePacket { time, interface, link, original_len, data }) = live.try_next().unwrap() else {
            std::thread::yield_now();
            continue;
        };
        assert_eq!(original_len as usize, data.len());
        let packet = Packet {
            number: 1,
            time: Some(time),
            interface,
            link,
            original_len,
            data,
            offset: 0,
            comments: Comments::default(),
        };
        let dissected = dissector.packet(&packet);
        let Top::Udp(udp) = dissected.analysis.top else { panic!("{:?}", dissected.analysis) };
        payloads.push((dissected.bytes(udp.payload).to_vec(), data.to_vec()));
        assert!(now().abs_diff(time) < Duration::from_secs(3_600), "{time:?}");
    }
    payloads
}

#[test]
fn a_datagram_over_loopback_is_seen_once_with_true_checksums() {
    for (interface, address, front) in
        [("lo", "127.0.0.1:0", 14), ("lo", "[::1]:0", 14), ("any", "127.0.0.1:0", 20)]
    {
        let Ok(receiver) = UdpSocket::bind(address) else { continue };
        let to = receiver.local_addr().unwrap();
        let Some(mut live) = watch(interface, to.port()) else { return };
        let sender = UdpSocket::bind(address).unwrap();
        let from = sender.local_addr().unwrap();
        for text in [&b"one"[..], b"two two"] {
            sender.send_to(text, to).unwrap();
        }
        // What has another port isn't seen.
        sender.send_to(b"other", from).unwrap();
        sender.send_to(b"three", to).unwrap();
        let seen = payloads(&mut live, 3);
        let texts: Vec<&[u8]> = seen.iter().map(|(payload, _)| &payload[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"two two", b"three"]);
        for (payload, packet) in &seen {
            let mut expected = Vec::new();
            crate::udp_packet(from, to, payload, &mut expected).unwrap();
            let udp = expected.len() - payload.len() - 8;
            // Identification and flow label are the sender's own; the UDP header is all in the checksum.
            assert_eq!(packet[front + udp..], expected[udp..], "{interface} {address}");
        }
        assert_eq!(live.statistics().unwrap(), LiveStatistics { received: 3, dropped: 0 });
    }
}

#[test]
fn packets_that_are_not_read_in_time_are_counted() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    let Some(mut live) = watch("lo", to.port()) else { return };
    // Nobody reads: as much as fits, and the rest is dropped.
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..1_000 {
        sender.send_to(&[7; 60_000], to).unwrap();
    }
    let LiveStatistics { received, dropped } = live.statistics().unwrap();
    assert!(received == 1_000 && dropped > 0, "{received} {dropped}");
    assert_eq!(payloads(&mut live, (received - dropped) as usize).len() as u64 + dropped, 1_000);
}

#[test]
fn an_interface_that_is_not_there_is_told_with_those_that_are() {
    for name in ["nosuch0", "", "a\0b"] {
        let error = LiveCapture::open(name, None).unwrap_err();
        assert!(matches!(error, LiveError::NoInterface { .. }), "{error}");
        assert!(error.to_string().contains("lo") && error.to_string().ends_with("any"), "{error}");
    }
}

#[test]
fn a_cooked_header_tells_the_link() {
    let hardware = Hardware {
        protocol: 0x0800,
        interface: 3,
        kind: 772,
        packet_type: 4,
        address_len: 6,
        address: [1, 2, 3, 4, 5, 6, 0, 0],
    };
    let expected = [8, 0, 0, 0, 0, 0, 0, 3, 3, 4, 4, 6, 1, 2, 3, 4, 5, 6, 0, 0];
    assert_eq!(cooked_header(&hardware), expected);
}
