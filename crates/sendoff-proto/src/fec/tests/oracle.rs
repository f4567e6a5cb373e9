//! Beside reed-solomon-erasure, whose code is the same.

use super::*;
use crate::fec::shard::{Kind, classify};
use proptest::prelude::*;
use reed_solomon_erasure::galois_8::ReedSolomon;
use std::collections::BTreeMap;

/// Coded bytes by seqid.
fn shards(datagrams: &[Vec<u8>]) -> BTreeMap<u32, Vec<u8>> {
    datagrams
        .iter()
        .map(|datagram| match classify(datagram) {
            Kind::Data(shard) | Kind::Parity(shard) => (shard.seqid, shard.coded.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Checks the parity of every whole group, and returns how many there were.
pub(super) fn check_parity(fec: Fec, datagrams: &[Vec<u8>]) -> usize {
    let oracle = ReedSolomon::new(fec.data(), fec.parity()).unwrap();
    let shards = shards(datagrams);
    let mut groups = 0;
    let starts = shards.keys().filter(|&&seqid| fec.place(seqid).1 == 0);
    for &start in starts {
        let seqids = start..start + fec.group() as u32;
        let Some(mut group) = seqids.map(|seqid| shards.get(&seqid).cloned()).collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let longest = group[..fec.data()].iter().map(Vec::len).max().unwrap();
        for parity in &group[fec.data()..] {
            assert_eq!(parity.len(), longest, "parity is as long as the longest");
        }
        group.iter_mut().for_each(|shard| shard.resize(longest, 0));
        assert!(oracle.verify(&group).unwrap(), "{fec}, group at {start}");
        groups += 1;
    }
    groups
}

/// Segment lengths as they come: many of one size, some shorter, some longer.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let bulk = (24_usize..1_500, 1_usize..80).prop_map(|(len, count)| vec![len; count]);
    let mixed = proptest::collection::vec(24_usize..1_500, 1..20);
    proptest::collection::vec(prop_oneof![bulk, mixed], 1..6).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn parity_is_the_oracles_for_any_ratio_and_any_sizes(
        (data, parity) in prop_oneof![(1_usize..20, 1_usize..12), (1_usize..200, 1_usize..55), Just((10, 3))],
        lens in lengths(),
    ) {
        let fec = fec(data, parity);
        let mut sender = Sender::new(fec);
        let segments = pushes(lens);
        let sent = sender.send(&segments);
        let groups = segments.len() / data;
        prop_assert_eq!(check_parity(fec, &sent), groups);
        prop_assert_eq!(sent.len(), segments.len() + groups * parity);
        let handed: Vec<&[u8]> = sent.iter().filter(|d| !is_parity(d)).map(|d| &d[FEC_OVERHEAD..]).collect();
        prop_assert_eq!(handed, segments.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let stats = sender.encoder.stats();
        prop_assert_eq!((stats.data_sent, stats.parity_sent), (segments.len() as u64, (groups * parity) as u64));
    }
}
