//! What comes back, and what doesn't.

use super::*;
use proptest::prelude::*;

/// Shuffles by a seed.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for at in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(at, (seed >> 33) as usize % (at + 1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_losses_up_to_the_parity_are_made_good_and_one_more_is_not(
        (data, parity) in prop_oneof![(1_usize..14, 1_usize..6), (1_usize..200, 1_usize..50), Just((10, 3))],
        lens in proptest::collection::vec(24_usize..1_400, 200),
        lost in 0_usize..60,
        seed: u64,
    ) {
        let mut sender = Sender::new(fec(data, parity));
        let mut receiver = Receiver::knowing(&mut sender);
        let before = receiver.decoder.stats();
        let segments = pushes(lens[..data].iter().copied());
        let mut group = sender.send(&segments);
        prop_assert_eq!(group.len(), data + parity);
        shuffle(&mut group, seed);
        group.truncate(data + parity - lost.min(data + parity));
        let arrived: Vec<u32> = group.iter().filter(|d| !is_parity(d)).map(|d| seqid(d)).collect();
        receiver.take_all(&group);
        // Enough following groups that this one is over.
        for _ in 0..5 {
            receiver.take_all(&sender.send(&pushes(vec![40; data])));
        }
        let after = receiver.decoder.stats();
        let missing = data - arrived.len();
        let mut expected = segments.clone();
        let start = group.first().map_or(0, |d| seqid(d) / (data + parity) as u32 * (data + parity) as u32);
        let is_missing = |at: usize| !arrived.contains(&(start + at as u32));
        let mut at = 0;
        expected.retain(|_| { at += 1; is_missing(at - 1) });
        if lost <= parity {
            // Those that came after as many as were needed had been made good already.
            prop_assert!(receiver.recovered.len() >= missing);
            prop_assert!(expected.iter().all(|segments| receiver.recovered.contains(segments)));
            prop_assert!(receiver.recovered.iter().all(|recovered| segments.contains(recovered)));
            prop_assert_eq!(after.groups_lost, before.groups_lost);
        } else {
            prop_assert_eq!(receiver.recovered.len(), 0);
            prop_assert_eq!(after.groups_lost - before.groups_lost, u64::from(missing > 0));
        }
        prop_assert_eq!(after.recovered - before.recovered, receiver.recovered.len() as u64);
        prop_assert_eq!((after.refused, after.refused_groups), (before.refused, before.refused_groups));
    }
}

#[test]
fn what_is_lost_is_there_as_soon_as_enough_shards_are() {
    let mut sender = Sender::new(fec(5, 2));
    let mut receiver = Receiver::knowing(&mut sender);
    let segments = pushes([100, 1_300, 24, 500, 77]);
    let sent = sender.send(&segments);
    for at in [0, 2, 4, 6] {
        receiver.take(&sent[at]);
    }
    assert!(receiver.recovered.is_empty());
    receiver.take(&sent[5]);
    assert_eq!(receiver.recovered, [segments[1].clone(), segments[3].clone()]);
    // Late ones are handed on, and don't make anything again.
    receiver.take(&sent[3]);
    assert_eq!((receiver.recovered.len(), receiver.data.len()), (2, 4));
}

#[test]
fn nothing_is_decoded_before_the_ratio_is_known() {
    let mut sender = Sender::new(fec(3, 2));
    let mut receiver = Receiver::default();
    let sent = sender.send(&pushes(vec![100; 6]));
    receiver.take_all(&sent[1..9]);
    assert_eq!((receiver.decoder.fec(), receiver.recovered.len()), (None, 0));
    let sent = sender.send(&pushes(vec![100; 6]));
    receiver.take_all(&sent);
    assert_eq!(receiver.decoder.fec(), Some(fec(3, 2)));
    assert_eq!(receiver.decoder.stats().ratios_found, 1);
}

#[test]
fn losses_are_made_good_across_the_wrap_of_seqids() {
    for fec in [fec(10, 3), fec(1, 1), fec(3, 2)] {
        let mut sender = Sender::new(fec);
        // Near the wrap a ratio can't be found out.
        sender.encoder.start_at(fec.wrap() - 600 / fec.group() as u32 * fec.group() as u32);
        let mut receiver = Receiver::knowing(&mut sender);
        let (mut lost, mut after) = (Vec::new(), 0);
        while after < 10 {
            let segments = pushes(vec![80; fec.data()]);
            let sent = sender.send(&segments);
            after += u32::from(seqid(&sent[0]) < 1_000);
            receiver.take_all(&sent[1..]);
            lost.push(segments[0].clone());
        }
        assert_eq!(receiver.recovered, lost, "{fec}");
        assert_eq!(receiver.decoder.stats().groups_lost, 0);
    }
}

#[test]
fn late_shards_complete_one_of_the_four_newest_groups_and_no_older_one() {
    let mut sender = Sender::new(fec(2, 1));
    let mut receiver = Receiver::knowing(&mut sender);
    let groups: Vec<Vec<Vec<u8>>> = (0..5).map(|_| sender.send(&pushes([60, 70]))).collect();
    for group in &groups {
        receiver.take(&group[0]);
    }
    for group in &groups {
        receiver.take(&group[2]);
    }
    assert_eq!(receiver.recovered.len(), 4);
    let stats = receiver.decoder.stats();
    assert_eq!((stats.recovered, stats.groups_lost, stats.refused), (4, 1, 1));
}

#[test]
fn a_change_of_ratio_is_followed() {
    let mut sender = Sender::new(fec(10, 3));
    let mut receiver = Receiver::knowing(&mut sender);
    for new in [fec(10, 4), fec(3, 2), fec(20, 1), fec(1, 1)] {
        sender.encoder.change(new);
        while sender.encoder.fec() != new {
            receiver.take_all(&sender.send(&pushes(vec![90; 10])));
        }
        for _ in 0..8 {
            receiver.take_all(&sender.send(&pushes(vec![90; new.data()])));
        }
        assert_eq!(receiver.decoder.fec(), Some(new));
        assert_eq!(receiver.recovered, Vec::<Vec<u8>>::new());
        let segments = pushes(vec![90; new.data()]);
        receiver.take_all(&sender.send(&segments)[1..]);
        assert_eq!(std::mem::take(&mut receiver.recovered), [segments[0].clone()], "{new}");
    }
    assert_eq!(receiver.decoder.stats().refused_groups, 0);
}

#[test]
fn a_sender_that_leaves_parity_out_is_still_understood() {
    let mut sender = Sender::new(fec(4, 3));
    sender.encoder.set_parity(1);
    let mut receiver = Receiver::knowing(&mut sender);
    for _ in 0..200 {
        receiver.take_all(&sender.send(&pushes(vec![90; 4])));
    }
    let segments = pushes([50, 60, 70, 80]);
    for _ in 0..3 {
        let sent = sender.send(&segments);
        let one_lost: Vec<_> = sent.iter().filter(|d| seqid(d) % 7 != 2).take(4).cloned().collect();
        receiver.take_all(&one_lost);
    }
    assert_eq!(receiver.recovered, vec![segments[2].clone(); 3]);
    assert_eq!((receiver.decoder.stats().ratios_found, receiver.decoder.stats().groups_lost), (1, 0));
}

#[test]
fn loss_is_measured_in_runs_and_before_anything_is_made_good() {
    let mut sender = Sender::new(fec(4, 3));
    let mut receiver = Receiver::knowing(&mut sender);
    for _ in 0..4 {
        receiver.take_all(&sender.send(&pushes(vec![90; 4])));
    }
    let before = receiver.decoder.loss();
    for losses in [&[0, 1][..], &[3], &[0], &[], &[0, 1, 2, 3, 4, 5, 6]] {
        let sent = sender.send(&pushes(vec![90; 4]));
        let arrived: Vec<_> = (0..7).filter(|at| !losses.contains(at)).map(|at| sent[at].clone()).collect();
        receiver.take_all(&arrived);
    }
    for _ in 0..4 {
        receiver.take_all(&sender.send(&pushes(vec![90; 4])));
    }
    let seen = receiver.decoder.loss().since(&before);
    // The last data of one group and the first of the next are in a row.
    assert_eq!((seen.lost, seen.runs), (8, 3));
    assert_eq!(seen.total(), 4 * (4 + 5));
    assert_eq!(receiver.recovered.len(), 4);
}

#[test]
fn bare_segments_and_messages_beside_the_stream_are_told_from_shards() {
    let mut decoder = Decoder::new();
    let bare = push(1, 100);
    assert_eq!(decoder.handle_datagram(&bare), Received::Bare(&bare));
    assert_eq!(decoder.handle_datagram(&[]), Received::Bare(&[]));
    let mut datagram = Vec::new();
    let message = OutOfBand { conv: CONV, payload: b"beside" };
    encode_out_of_band(message, &mut datagram);
    assert_eq!(decoder.handle_datagram(&datagram), Received::OutOfBand(message));
    assert_eq!(decoder.stats().out_of_band_received, 1);
}
