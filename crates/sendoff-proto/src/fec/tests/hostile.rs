//! Shards that lie.

use super::*;
use crate::fec::shard::{write_data_header, write_parity_header};

/// Whether one of five is lost, by a seed.
fn loses(seed: u32, round: u32, n: u32) -> bool {
    let mixed = (seed << 20 ^ round << 8 ^ n).wrapping_mul(0x9e37_79b9);
    (mixed ^ mixed >> 15).wrapping_mul(0x85eb_ca6b) >> 16 & 0xffff < 0x3333
}

fn data_shard(seqid: u32, segments: &[u8]) -> Vec<u8> {
    let mut header = [0; FEC_OVERHEAD];
    write_data_header(&mut header, seqid, segments.len());
    [&header[..], segments].concat()
}

fn parity_shard(seqid: u32, coded: &[u8]) -> Vec<u8> {
    let mut header = [0; 6];
    write_parity_header(&mut header, seqid);
    [&header[..], coded].concat()
}

/// A receiver that knows 3/2, and the shards of the next group: PUSHes of 60, 80 and 100 bytes.
fn scene() -> (Sender, Receiver, Vec<Vec<u8>>) {
    let mut sender = Sender::new(fec(3, 2));
    let receiver = Receiver::knowing(&mut sender);
    let group = sender.send(&pushes([60, 80, 100]));
    (sender, receiver, group)
}

#[test]
fn a_size_that_lies_is_not_decoded_with_and_its_segments_are_used_all_the_same() {
    for size in [0_u16, 1, 2, 25, 61, 63, 0xffff] {
        let (_, mut receiver, mut group) = scene();
        group[0][6..8].copy_from_slice(&size.to_le_bytes());
        receiver.take_all(&[group[0].clone(), group[3].clone(), group[4].clone()]);
        assert_eq!((receiver.recovered.len(), receiver.data.len()), (0, 1), "{size}");
        assert_eq!(receiver.data[0], push(0, 60));
        assert_eq!(receiver.decoder.stats().refused, 1);
    }
}

#[test]
fn parity_that_was_tampered_with_makes_nothing_that_looks_like_segments() {
    // Size field, conv, cmd, len and padding of what is recovered each catch it.
    for at in [0, 1, 2, 6, 22, 70, 101] {
        let (_, mut receiver, mut group) = scene();
        group[3][6 + at] ^= 0x10;
        receiver.take_all(&[group[1].clone(), group[2].clone(), group[3].clone()]);
        assert_eq!(receiver.recovered.len(), 0, "byte {at}");
        let stats = receiver.decoder.stats();
        assert_eq!((stats.refused_groups, stats.recovered), (1, 0));
        // The ratio is doubted too.
        assert_eq!(receiver.decoder.fec(), None);
    }
}

#[test]
fn parity_of_another_length_than_the_longest_is_refused() {
    for len in [40, 101, 103, 200] {
        let (_, mut receiver, mut group) = scene();
        group[3].resize(6 + len, 0);
        receiver.take_all(&[group[2].clone(), group[3].clone(), group[4].clone()]);
        assert_eq!(receiver.recovered.len(), 0, "{len}");
        assert_eq!(receiver.decoder.stats().refused_groups, 1);
    }
}

#[test]
fn another_conversation_is_not_made_good() {
    let mut sender = Sender::new(fec(2, 1));
    let mut receiver = Receiver::knowing(&mut sender);
    let mut segments = pushes([60, 60]);
    segments[0][..4].copy_from_slice(&7_u32.to_le_bytes());
    receiver.take_all(&sender.send(&segments)[1..]);
    assert_eq!((receiver.recovered.len(), receiver.decoder.stats().refused_groups), (0, 1));
}

#[test]
fn duplicates_complete_no_group() {
    let (_, mut receiver, group) = scene();
    for _ in 0..10 {
        receiver.take_all(&[group[1].clone(), group[4].clone()]);
    }
    assert_eq!((receiver.recovered.len(), receiver.decoder.stats().duplicates), (0, 18));
    receiver.take(&group[2]);
    assert_eq!(receiver.recovered, [push(0, 60)]);
}

#[test]
fn two_shards_with_one_seqid_and_different_bytes_spoil_their_group() {
    let (mut sender, mut receiver, group) = scene();
    let mut forged = group[1].clone();
    *forged.last_mut().unwrap() ^= 1;
    receiver.take_all(&[group[1].clone(), forged, group[2].clone(), group[3].clone(), group[4].clone()]);
    assert_eq!(receiver.recovered.len(), 0);
    // Only that one.
    receiver.take_all(&sender.send(&pushes([60, 80, 100]))[1..]);
    assert_eq!(receiver.recovered, [push(0, 60)]);
}

#[test]
fn seqids_at_and_past_the_wrap_are_not_decoded_and_their_data_is_used() {
    let fec = fec(10, 3);
    let mut sender = Sender::new(fec);
    sender.encoder.start_at(fec.wrap() - 5 * 13);
    let mut receiver = Receiver::knowing(&mut sender);
    let refused = receiver.decoder.stats().refused;
    let past: Vec<u32> = (fec.wrap()..=u32::MAX).collect();
    assert!(!past.is_empty());
    for &seqid in &past {
        receiver.take(&data_shard(seqid, &push(9, 60)));
    }
    assert_eq!((receiver.data.len(), receiver.decoder.fec()), (past.len(), Some(fec)));
    assert_eq!(receiver.decoder.stats().refused - refused, past.len() as u64);
}

#[test]
fn shards_of_no_length_are_dropped() {
    let mut decoder = Decoder::new();
    for (kind, shortest) in [(0xf1, 2), (0xf2, 26)] {
        for len in 0..shortest {
            let mut datagram = vec![0; 6 + len];
            datagram[4] = kind;
            assert_eq!(decoder.handle_datagram(&datagram), Received::Malformed, "{kind:x} {len}");
        }
    }
    assert_eq!(decoder.stats().refused, 2 + 26);
}

#[test]
fn one_shard_from_far_away_disturbs_nothing_and_many_are_followed() {
    let (mut sender, mut receiver, group) = scene();
    receiver.take_all(&group[..2]);
    for far in [0x8000_0000, 50_000, 0x7000_0000, 0xffff_0000] {
        receiver.take(&parity_shard(far, &[1; 60]));
        receiver.take(&data_shard(far, &push(5, 70)));
    }
    receiver.take(&group[3]);
    assert_eq!(receiver.recovered, [push(2, 100)]);
    // The peer may have gone there: many datagrams were lost.
    sender.encoder.start_at(1_000_000);
    for _ in 0..4 {
        receiver.take_all(&sender.send(&pushes([60, 80, 100])));
    }
    receiver.take_all(&sender.send(&pushes([60, 80, 100]))[1..]);
    assert_eq!(receiver.recovered, [push(2, 100), push(0, 60)]);
}

#[test]
fn a_flood_of_groups_needs_no_more_memory_than_four() {
    let mut sender = Sender::new(fec(200, 55));
    let mut receiver = Receiver::knowing(&mut sender);
    let start = seqid(&sender.send(&pushes([40]))[0]);
    let mut most = 0;
    for n in 0..4_000 {
        // One, or many, of each group; of the greatest length.
        let seqid = start + if n % 2 == 0 { n * 255 / 8 } else { n };
        receiver.take(&data_shard(seqid - seqid % 255 + n % 200, &push(n, 60_000)));
        most = most.max(receiver.decoder.kept_bytes());
    }
    assert!((1 << 20..=3 << 20).contains(&most), "{most}");
    assert!(receiver.decoder.stats().refused > 0);
}

#[test]
fn memory_is_used_again() {
    let mut sender = Sender::new(fec(10, 3));
    let mut receiver = Receiver::knowing(&mut sender);
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        receiver.take_all(&sender.send(&pushes(vec![1_300; 10]))[3..]);
        bytes.push(receiver.decoder.kept_bytes());
    }
    assert_eq!(receiver.recovered.len(), 3_000);
    assert!(bytes[10] < 100_000 && bytes[10..].iter().all(|&now| now == bytes[10]), "{:?}", &bytes[..12]);
}

#[test]
fn mixed_ratios_recover_nothing_wrong() {
    // A sender that changes its ratio without a word, again and again. What it sends first then arrives.
    let ratios = [fec(10, 3), fec(7, 6), fec(10, 4), fec(5, 2)];
    let (mut wrong, mut right) = (0, 0);
    for seed in 0..200 {
        let (mut receiver, mut next, mut sent) = (Receiver::default(), 0_u32, Vec::new());
        for burst in 0..12_usize {
            let ratio = ratios[burst % 4];
            let mut sender = Sender::new(ratio);
            sender.encoder.start_at(next.next_multiple_of(ratio.group() as u32));
            let segments: Vec<Vec<u8>> =
                (0..10 * ratio.data() as u32).map(|n| push(next * 2 + n, 80)).collect();
            let datagrams = sender.send(&segments);
            next = seqid(datagrams.last().unwrap()) + 1;
            sent.extend(segments);
            for (n, datagram) in datagrams.iter().enumerate() {
                if n < 2 * ratio.group() || !loses(seed, burst as u32, n as u32) {
                    receiver.take(datagram);
                }
            }
        }
        let good = receiver.recovered.iter().filter(|segments| sent.contains(segments)).count();
        (right, wrong) = (right + good, wrong + receiver.recovered.len() - good);
    }
    assert_eq!(wrong, 0);
    assert!(right > 10_000, "{right}");
}

/// A stream of 10/3 from which only those shards arrive that 5/2 would have made too: a decoder that takes what fits
/// for the truth puts rubbish together, and it would look well: what is equal in all shards (conv, cmd, len) survives.
#[test]
fn a_plausible_wrong_ratio_corrupts_nothing() {
    let (truth, wrong) = (fec(10, 3), fec(5, 2));
    let mut sender = Sender::new(truth);
    let mut receiver = Receiver::default();
    let (mut sent, mut shown) = (Vec::new(), 0);
    for round in 0..500 {
        let segments: Vec<Vec<u8>> = (0..10).map(|n| push(round * 10 + n, 300)).collect();
        for datagram in sender.send(&segments) {
            if (wrong.place(seqid(&datagram)).1 < 5) != is_parity(&datagram) {
                receiver.take(&datagram);
                shown += 1;
            }
        }
        sent.extend(segments);
    }
    assert!(shown > 3_000);
    assert_ne!(receiver.decoder.fec(), Some(wrong));
    assert!(receiver.recovered.iter().all(|segments| sent.contains(segments)));
}

/// The same, where the receiver knew the other ratio before.
#[test]
fn a_ratio_that_was_true_corrupts_nothing_when_it_no_longer_is() {
    for (old, new) in [(fec(5, 2), fec(10, 3)), (fec(10, 3), fec(10, 4)), (fec(3, 2), fec(6, 4))] {
        for seed in 0..40_u32 {
            let mut sender = Sender::new(old);
            let mut receiver = Receiver::knowing(&mut sender);
            sender.encoder.change(new);
            let mut sent = Vec::new();
            for round in 0..150_u32 {
                let segments: Vec<Vec<u8>> = (0..10).map(|n| push(1_000 + round * 10 + n, 300)).collect();
                for (n, datagram) in sender.send(&segments).iter().enumerate() {
                    if !loses(seed, round, n as u32) {
                        receiver.take(datagram);
                    }
                }
                sent.extend(segments);
            }
            assert!(receiver.recovered.iter().all(|segments| sent.contains(segments)), "{old} {new} {seed}");
            assert_eq!(receiver.decoder.fec(), Some(new));
            assert!(receiver.recovered.len() > 50, "{}", receiver.recovered.len());
        }
    }
}
