//! Parity beside kcp-go's own encoder: `vectors/README.md` has where the answers are from.

use sendoff_proto::{
    TransmitBuffer,
    fec::{Encoder, FEC_OVERHEAD, Fec},
};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, time::Instant};

const VECTORS: &str = include_str!("vectors/fec-kcp-go.txt");

/// Groups of each case.
const GROUPS: usize = 3;

/// The n-th data shard of a case, as the generator makes it, with room for the header.
fn datagram(sizes: &str, n: usize) -> Vec<u8> {
    let len = match sizes {
        "equal" => 1_392,
        "least" => 24,
        "mixed" => 24 + (n * n * 37 + n * 11) % 1_350,
        other => panic!("{other}"),
    };
    let content = (0..len).map(|at| (at * 7 + at / 251 + n * 13) as u8);
    [0; FEC_OVERHEAD].into_iter().chain(content).collect()
}

/// What a line says of each group: seqid and length of its parity, and the digest of all of it.
fn lines_of_our_own(fec: Fec, sizes: &str) -> Vec<String> {
    let (mut encoder, now) = (Encoder::new(fec), Instant::now());
    let mut buffer = TransmitBuffer::with_room(FEC_OVERHEAD, 0);
    let mut lines = Vec::new();
    for n in 0..GROUPS * fec.data() {
        encoder.encode_datagram(now, &mut datagram(sizes, n), FEC_OVERHEAD, 0);
        let mut parity: Vec<Vec<u8>> = Vec::new();
        while encoder.poll_transmit(&mut buffer) {
            parity.extend(buffer.datagrams().map(<[u8]>::to_vec));
        }
        let Some(first) = parity.first() else { continue };
        let seqid = u32::from_le_bytes(first[..4].try_into().unwrap());
        let digest: String =
            Sha256::digest(parity.concat()).iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("{fec} {sizes} seqid={seqid} length={} sha256={digest}", first.len()));
    }
    lines
}

#[test]
fn parity_is_kcp_gos_byte_for_byte() {
    let mut cases: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for line in VECTORS.lines() {
        let mut words = line.split(' ');
        cases.entry((words.next().unwrap(), words.next().unwrap())).or_default().push(line);
    }
    assert_eq!(cases.len(), 30);
    for ((ratio, sizes), expected) in cases {
        let fec: Fec = ratio.parse().unwrap();
        let mut ours = lines_of_our_own(fec, sizes);
        if fec.data() == 1 {
            // kcp-go's first group of one comes after a pause: its clock starts at 0.
            ours.remove(0);
        }
        assert_eq!(ours, expected, "{ratio} {sizes}");
    }
}
