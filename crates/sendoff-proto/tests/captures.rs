//! Captures of conversations between kcp-go peers: every datagram parses and encodes to the same bytes,
//! and a receiver that is fed one direction of them yields the payload. `captures/README.md` has what they hold.

mod recorded;

use recorded::{datagrams, hex_sha256, payload};
use sendoff_proto::{
    Config, Connection, Conv, Endpoint, Opening, Route, TransmitBuffer, Wire,
    wire::{Command, segments},
};
use std::{net::SocketAddr, sync::Arc, time::Instant};

/// Name, datagrams, and length and SHA-256 of the payload, which runs in both directions.
const CAPTURES: [(&str, usize, usize, &str); 5] = [
    ("seed-p002", 4, 53, "f579f760241a9d9a51499a1fb43ee262cde462e37de5e9c5d5041ac68b0c86d6"),
    ("plain-echo", 4, 53, "343c29bb9f8c6596c20a2671f2b7463d02a46bc39e572ba99a12c6d4b38e2be7"),
    ("plain-stream", 164, 80_000, "2cf74b39ddace083fe98169f8272208a5b761c9e96bcbec2ffe18d1d14b98c22"),
    ("plain-stream-loss10", 153, 60_000, "eaf034e86aedafd77b788df07509d54388a5ed9831e7973ba8f2e84f444f51dc"),
    (
        "kcpgo72-plain-stream-loss10",
        125,
        60_000,
        "84134881cc374822fe35dcc571005348c92a6f7875717cb8b35b99b9188fcba3",
    ),
];

/// Feeds a connection all datagrams that `from` has sent, at the times at which they were seen, lets
/// it answer, and returns what it read.
fn receive(name: &str, from: SocketAddr, role: Opening) -> (Vec<u8>, Connection) {
    let start = Instant::now();
    let datagrams: Vec<_> = datagrams(name).into_iter().filter(|d| d.from == from).collect();
    let first = segments(&datagrams[0].payload).next().unwrap().unwrap();
    let conv = Conv::new(first.conv()).unwrap();
    let mut connection = Connection::new(Arc::new(Config::new().wire(Wire::Classic)), conv, role, start, 7);
    let (mut received, mut read, mut buffer) = (Vec::new(), [0; 1_000], TransmitBuffer::new());
    for datagram in datagrams {
        let now = start + datagram.at;
        while connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        connection.handle_datagram(now, &datagram.payload);
        loop {
            match connection.read(&mut read) {
                0 => break,
                n => received.extend_from_slice(&read[..n]),
            }
        }
        while connection.poll_transmit(now, &mut buffer) {}
    }
    (received, connection)
}

#[test]
fn every_datagram_parses_and_encodes_to_the_same_bytes() {
    for (name, count, ..) in CAPTURES {
        let datagrams = datagrams(name);
        assert_eq!(datagrams.len(), count, "{name}");
        for (n, datagram) in datagrams.iter().enumerate() {
            let mut encoded = Vec::new();
            for segment in segments(&datagram.payload) {
                let segment = segment.unwrap_or_else(|e| panic!("{name}, datagram {n}: {e}"));
                segment.to_segment().encode(segment.data(), &mut encoded);
            }
            assert_eq!(encoded, datagram.payload, "{name}, datagram {n}");
        }
    }
}

#[test]
fn a_receiver_yields_the_payload_of_either_direction() {
    for (name, _, len, sha256) in CAPTURES {
        let first = &datagrams(name)[0];
        for (from, role) in [(first.from, Opening::Stock), (first.to, Opening::Early)] {
            let (received, connection) = receive(name, from, role);
            assert_eq!(received.len(), len, "{name} from {from}");
            assert_eq!(hex_sha256(&received), sha256, "{name} from {from}");
            assert_eq!(received, payload(name, len), "{name} from {from}");
            let stats = connection.stats();
            assert_eq!(stats.bytes_received, len as u64);
            assert_eq!((stats.malformed_datagrams, stats.dropped_out_of_window), (0, 0), "{name}");
            assert_eq!((stats.unread, stats.reordering), (0, 0), "{name}");
        }
    }
}

#[test]
fn retransmissions_in_a_lossy_capture_are_duplicates_to_one_who_lost_nothing() {
    for (name, ..) in CAPTURES {
        let sent: Vec<_> = datagrams(name);
        let client = sent[0].from;
        let pushes: Vec<u32> = sent
            .iter()
            .filter(|d| d.from == client)
            .flat_map(|d| segments(&d.payload).map(Result::unwrap).collect::<Vec<_>>())
            .filter(|s| s.command() == Command::Push)
            .map(|s| s.sn().0)
            .collect();
        let distinct = pushes.iter().max().unwrap() + 1;
        let stats = receive(name, client, Opening::Stock).1.stats();
        assert_eq!(stats.segments_received, pushes.len() as u64, "{name}");
        assert_eq!(stats.duplicates_received, pushes.len() as u64 - u64::from(distinct), "{name}");
        assert_eq!(stats.duplicates_received > 0, name.ends_with("loss10"), "{name}");
    }
}

#[test]
fn the_first_datagram_opens_a_connection_and_the_servers_never_does() {
    for (name, ..) in CAPTURES {
        let datagrams = datagrams(name);
        let (client, now) = (datagrams[0].from, Instant::now());
        let conv = segments(&datagrams[0].payload).next().unwrap().unwrap().conv();
        let mut endpoint: Endpoint<()> = Endpoint::new(Arc::new(Config::new()), true);
        let opened = endpoint.route(now, client, &datagrams[0].payload);
        assert_eq!(opened, Route::Opens(Conv::new(conv).unwrap(), Opening::Stock), "{name}");
        for answer in datagrams.iter().filter(|d| d.to == client) {
            let route = endpoint.route(now, answer.from, &answer.payload);
            assert!(!matches!(route, Route::Opens(..)), "{name}: {route:?}");
        }
    }
}

#[test]
fn the_four_datagrams_of_an_echo_print_in_words() {
    let printed: Vec<String> = datagrams("seed-p002")
        .iter()
        .map(|d| segments(&d.payload).map(|s| s.unwrap().to_string()).collect::<Vec<_>>().join(" | "))
        .collect();
    assert_eq!(
        printed,
        [
            "PUSH sn=0 una=0 wnd=32 53 bytes",
            "ACK sn=0 una=1 wnd=32",
            "PUSH sn=0 una=1 wnd=32 53 bytes",
            "ACK sn=0 una=1 wnd=32",
        ]
    );
}
