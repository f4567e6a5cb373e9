//! Captures of conversations between kcp-go peers with FEC 10/3, plain and encrypted: every parity shard is computed
//! again, and the shards that survived the network yield the payload. `captures/README.md` has what they hold.

mod recorded;

use recorded::{Datagram, datagrams, hex_sha256, payload};
#[cfg(feature = "crypt")]
use sendoff_proto::{Cipher, Crypt};
use sendoff_proto::{
    Config, Connection, Conv, Opening, TransmitBuffer, Wire,
    fec::{Decoder, Encoder, FEC_OVERHEAD, Fec, FecStats, Received},
    wire::segments,
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const RATIO: (usize, usize) = (10, 3);
const GROUP: u32 = 13;

struct Capture {
    name: &'static str,
    /// As kcptun calls it.
    cipher: Option<&'static str>,
    len: usize,
    sha256: &'static str,
    /// Parity shards from client to server, where nothing is lost, and those from server to client whose data is all
    /// there, received or made good.
    parity: (usize, usize),
    /// Data shards that are made good from server to client.
    recovered: u64,
    /// Whether the payload is there without them too.
    complete: bool,
}

const CAPTURES: [Capture; 4] = [
    Capture {
        name: "fec-10-3",
        cipher: None,
        len: 60_000,
        sha256: "d7087a2906f577b2d4d07881bb132bb66663d001c88f9bafa608fe575a24b4f6",
        parity: (18, 18),
        recovered: 0,
        complete: true,
    },
    Capture {
        name: "fec-10-3-loss15",
        cipher: None,
        len: 120_000,
        sha256: "e4fc51cdaffe23865777d5d25b2242dc6891a9ead95679bb37f4a915b23d5ed1",
        parity: (42, 24),
        recovered: 15,
        complete: false,
    },
    Capture {
        name: "aes-fec-10-3-loss10",
        cipher: Some("aes"),
        len: 100_000,
        sha256: "9081a6387bf9ea1a8969d77f85e0bac34a2493becfd998a8065c4f7184c61cb9",
        parity: (42, 21),
        recovered: 6,
        complete: false,
    },
    Capture {
        name: "kcpgo72-gcm-fec-10-3-loss10",
        cipher: Some("aes-128-gcm"),
        len: 100_000,
        sha256: "be0f0cdf6a6ba813cc55a290db758e6014425ef9702744cefee507ecb748e88e",
        parity: (48, 23),
        recovered: 11,
        complete: false,
    },
];

/// The captures that this build can open, with their datagrams as they are inside the encryption.
fn captures() -> impl Iterator<Item = (Capture, Vec<Datagram>)> {
    CAPTURES.into_iter().filter_map(|capture| {
        let mut datagrams = datagrams(capture.name);
        if let Some(cipher) = capture.cipher {
            open(cipher, &mut datagrams)?;
        }
        Some((capture, datagrams))
    })
}

#[cfg(feature = "crypt")]
fn open(cipher: &str, datagrams: &mut [Datagram]) -> Option<()> {
    let opener = Crypt::kcptun(cipher.parse::<Cipher>().unwrap(), "it's a secrect").opener();
    for datagram in datagrams {
        datagram.payload = opener.open(&mut datagram.payload).unwrap().to_vec();
    }
    Some(())
}

#[cfg(not(feature = "crypt"))]
fn open(cipher: &str, _: &mut [Datagram]) -> Option<()> {
    println!("{cipher}: needs the feature `crypt`");
    None
}

fn ratio() -> Fec {
    Fec::new(RATIO.0, RATIO.1).unwrap()
}

/// Seqid and type of a shard.
fn header(datagram: &[u8]) -> (u32, u8) {
    (u32::from_le_bytes(datagram[..4].try_into().unwrap()), datagram[4])
}

/// What a decoder made of one direction.
struct Decoded {
    /// Segments by seqid: of received and recovered data shards.
    data: BTreeMap<u32, Vec<u8>>,
    /// In the order of arrival: whether it was recovered, when, and the segments.
    handed_on: Vec<(bool, Duration, Vec<u8>)>,
    stats: FecStats,
}

fn decode<'a>(datagrams: impl Iterator<Item = &'a Datagram>) -> Decoded {
    let (mut decoder, mut known) = (Decoder::new(), false);
    let mut decoded = Decoded { data: BTreeMap::new(), handed_on: Vec::new(), stats: FecStats::default() };
    for datagram in datagrams {
        let (seqid, _) = header(&datagram.payload);
        match decoder.handle_datagram(&datagram.payload) {
            Received::Data(segments) => {
                decoded.handed_on.push((false, datagram.at, segments.to_vec()));
                decoded.data.insert(seqid, segments.to_vec());
            }
            Received::Parity => {}
            other => panic!("{other:?}"),
        }
        // They come in the order of their places in the group; when the ratio has just been found, from several groups.
        let start = seqid - seqid % GROUP;
        let mut missing =
            (start..start + 10).filter(|seqid| !decoded.data.contains_key(seqid)).collect::<Vec<_>>();
        let just_found = !std::mem::replace(&mut known, decoder.fec().is_some()) && known;
        while let Some(segments) = decoder.poll_recovered() {
            decoded.handed_on.push((true, datagram.at, segments.to_vec()));
            if !just_found {
                decoded.data.insert(missing.remove(0), segments.to_vec());
            }
        }
    }
    decoded.stats = decoder.stats();
    decoded
}

/// The parity that an encoder makes of a group, without its headers.
fn parity_of<'a>(group: impl Iterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let (mut encoder, mut buffer) = (Encoder::new(ratio()), TransmitBuffer::with_room(FEC_OVERHEAD, 0));
    for segments in group {
        let mut datagram = [&[0; FEC_OVERHEAD][..], segments].concat();
        encoder.encode_datagram(Instant::now(), &mut datagram, FEC_OVERHEAD, 0);
    }
    let mut parity = Vec::new();
    while encoder.poll_transmit(&mut buffer) {
        parity.extend(buffer.datagrams().map(|datagram| datagram[6..].to_vec()));
    }
    parity
}

/// Computes the parity of each group whose data is all there; returns how many shards of it were seen.
fn check_parity(name: &str, seen: &[&Datagram], data: &BTreeMap<u32, Vec<u8>>) -> usize {
    let mut checked = 0;
    for datagram in seen {
        let (seqid, kind) = header(&datagram.payload);
        let start = seqid - seqid % GROUP;
        if kind == 0xf2 && (start..start + 10).all(|seqid| data.contains_key(&seqid)) {
            let parity = parity_of(data.range(start..start + 10).map(|(_, segments)| segments));
            let place = (seqid - start) as usize - RATIO.0;
            assert_eq!(datagram.payload[6..], parity[place], "{name}, seqid {seqid}");
            checked += 1;
        }
    }
    checked
}

/// What a connection reads that is fed these.
fn receive<'a>(
    handed_on: impl Iterator<Item = &'a (bool, Duration, Vec<u8>)>,
    opening: Opening,
) -> (Vec<u8>, u64) {
    let start = Instant::now();
    let mut handed_on = handed_on.peekable();
    let conv = segments(&handed_on.peek().unwrap().2).next().unwrap().unwrap().conv();
    let config = Arc::new(Config::new().wire(Wire::Classic));
    let mut connection = Connection::new(config, Conv::new(conv).unwrap(), opening, start, 7);
    let (mut received, mut read, mut buffer) = (Vec::new(), [0; 1_000], TransmitBuffer::new());
    for (_, at, segments) in handed_on {
        connection.handle_datagram(start + *at, segments);
        loop {
            match connection.read(&mut read) {
                0 => break,
                n => received.extend_from_slice(&read[..n]),
            }
        }
        while connection.poll_transmit(start + *at, &mut buffer) {}
    }
    (received, connection.stats().malformed_datagrams)
}

fn from(datagrams: &[Datagram], address: SocketAddr) -> Vec<&Datagram> {
    datagrams.iter().filter(|datagram| datagram.from == address).collect()
}

#[test]
fn every_parity_shard_is_computed_again() {
    for (capture, datagrams) in captures() {
        let (client, server) = (datagrams[0].from, datagrams[0].to);
        let checked = [client, server].map(|address| {
            let seen = from(&datagrams, address);
            check_parity(capture.name, &seen, &decode(seen.iter().copied()).data)
        });
        let parity = from(&datagrams, client).iter().filter(|d| header(&d.payload).1 == 0xf2).count();
        assert_eq!(checked[0], parity, "{}: all of a direction that lost nothing", capture.name);
        assert_eq!((checked[0], checked[1]), capture.parity, "{}", capture.name);
    }
}

#[test]
fn the_shards_that_survived_yield_the_payload_of_either_direction() {
    for (capture, datagrams) in captures() {
        let (name, client, server) = (capture.name, datagrams[0].from, datagrams[0].to);
        for (address, opening) in [(client, Opening::Stock), (server, Opening::Early)] {
            let decoded = decode(from(&datagrams, address).into_iter());
            let (received, malformed) = receive(decoded.handed_on.iter(), opening);
            assert_eq!(received.len(), capture.len, "{name} from {address}");
            assert_eq!(hex_sha256(&received), capture.sha256, "{name} from {address}");
            assert_eq!(received, payload(name, capture.len), "{name} from {address}");
            assert_eq!(malformed, 0, "{name}");
            let stats = decoded.stats;
            assert_eq!((stats.refused, stats.refused_groups, stats.ratios_found), (0, 0, 1), "{name}");
            let recovered = if address == client { 0 } else { capture.recovered };
            assert_eq!(stats.recovered, recovered, "{name} from {address}");
            let (without, _) =
                receive(decoded.handed_on.iter().filter(|(recovered, ..)| !recovered), opening);
            let complete = address == client || capture.complete;
            assert_eq!(without.len() == capture.len, complete, "{name} from {address}: without those");
        }
    }
}
