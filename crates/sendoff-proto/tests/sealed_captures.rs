//! Captures of conversations between kcp-go peers, encrypted: every datagram opens with the key that kcptun
//! derives from the secret, with no other, and what is within yields the payload. `captures/README.md` has what they hold.

#![cfg(feature = "crypt")]

mod recorded;

use recorded::{Datagram, datagrams, hex_sha256, payload};
use sendoff_proto::{
    Cipher, Config, Connection, Conv, Crypt, CryptError, OpenError, Opening, TransmitBuffer, Wire,
    wire::segments,
};
use std::{net::SocketAddr, sync::Arc, time::Instant};

const SECRET: &str = "it's a secrect";
const PAYLOAD: usize = 4_200;

/// Cipher, datagrams, SHA-256 of the payload, which runs in both directions.
const CAPTURES: [(&str, usize, &str); 8] = [
    ("aes", 14, "2346d9040e6ca1d92d1ea6c32bfd85a20a371a8cc20b4cf6093418defcc742a0"),
    ("aes-128", 14, "924d6a7aa1d7baf3343fdcba1138f885f650a7a8efa6ab1bc865005707ada67b"),
    ("tea", 14, "aa115ca736b9ae083f51bbf38d30add5408d78acdb4a328f880f99637667dd8b"),
    ("xor", 14, "c56c3d58de50cdc5b2465c54eed9183d55094d97a5e07cc9a0144486b257388f"),
    ("none", 14, "7d8b640d1cf6e16484300d6f45ea3560dab3968413a2df58d6990bfd98cf8613"),
    ("salsa20", 14, "643f1cc89a5f24baacce16f22f243aff8f4f2bfd52243f14c3a63b9b14aa339c"),
    ("blowfish", 14, "eb789b040e93a996164a6fbdcd506bae664decafada25f2886f054d025d88272"),
    ("aes-128-gcm", 68, "ff8894f3965e03c54f8564ec3313acea61315a41afd41eb775876ec66b312727"),
];

/// Name of the capture, its cipher with the key, what else is known of it; of those that this build can open.
fn captures() -> impl Iterator<Item = (String, Crypt, usize, &'static str)> {
    CAPTURES.into_iter().filter_map(|(cipher, count, sha256)| {
        let crypt = match cipher.parse::<Cipher>() {
            Ok(cipher) => Crypt::kcptun(cipher, SECRET),
            Err(CryptError::NotInThisBuild { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        Some((format!("crypt-{cipher}"), crypt, count, sha256))
    })
}

fn opened(name: &str, crypt: &Crypt) -> Vec<Datagram> {
    let opener = crypt.opener();
    let open = |mut datagram: Datagram| {
        datagram.payload =
            opener.open(&mut datagram.payload).unwrap_or_else(|e| panic!("{name}: {e}")).to_vec();
        datagram
    };
    datagrams(name).into_iter().map(open).collect()
}

/// What a connection reads that is fed all that `from` has sent, and how many datagrams it found bad.
fn receive(datagrams: &[Datagram], from: SocketAddr, role: Opening) -> (Vec<u8>, u64) {
    let start = Instant::now();
    let conv = segments(&datagrams[0].payload).next().unwrap().unwrap().conv();
    let config = Arc::new(Config::new().wire(Wire::Classic));
    let mut connection = Connection::new(config, Conv::new(conv).unwrap(), role, start, 7);
    let (mut received, mut read, mut buffer) = (Vec::new(), [0; 1_000], TransmitBuffer::new());
    for datagram in datagrams.iter().filter(|datagram| datagram.from == from) {
        let now = start + datagram.at;
        connection.handle_datagram(now, &datagram.payload);
        loop {
            match connection.read(&mut read) {
                0 => break,
                n => received.extend_from_slice(&read[..n]),
            }
        }
        while connection.poll_transmit(now, &mut buffer) {}
    }
    (received, connection.stats().malformed_datagrams)
}

#[test]
fn every_datagram_opens_to_whole_segments() {
    for (name, crypt, count, _) in captures() {
        let opened = opened(&name, &crypt);
        assert_eq!(opened.len(), count, "{name}");
        for datagram in opened {
            let mut encoded = Vec::new();
            for segment in segments(&datagram.payload) {
                let segment = segment.unwrap_or_else(|e| panic!("{name}: {e}"));
                segment.to_segment().encode(segment.data(), &mut encoded);
            }
            assert!(!encoded.is_empty(), "{name}");
            assert_eq!(encoded, datagram.payload, "{name}");
        }
    }
}

#[test]
fn a_receiver_yields_the_payload_of_either_direction() {
    for (name, crypt, _, sha256) in captures() {
        let opened = opened(&name, &crypt);
        let (client, server) = (opened[0].from, opened[0].to);
        for (from, role) in [(client, Opening::Stock), (server, Opening::Early)] {
            let (received, malformed) = receive(&opened, from, role);
            assert_eq!(hex_sha256(&received), sha256, "{name} from {from}");
            assert_eq!(received, payload(&name, PAYLOAD), "{name} from {from}");
            assert_eq!(malformed, 0, "{name}");
        }
    }
}

#[test]
fn no_datagram_opens_with_another_cipher_or_secret() {
    for (name, crypt, ..) in captures() {
        let others = Cipher::ALL.iter().filter(|&&other| other != Cipher::Null && other != crypt.cipher());
        let mut wrong: Vec<_> = others.map(|&other| Crypt::kcptun(other, SECRET)).collect();
        if crypt.cipher() != Cipher::None {
            wrong.push(Crypt::kcptun(crypt.cipher(), "it's a secret"));
        }
        for datagram in datagrams(&name) {
            for wrong in &wrong {
                let mut payload = datagram.payload.clone();
                assert_eq!(wrong.opener().open(&mut payload), Err(OpenError::Forged), "{name}, {wrong:?}");
            }
        }
    }
}
