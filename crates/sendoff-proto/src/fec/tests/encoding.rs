//! Where parity goes, and when.

use super::{oracle::check_parity, *};

#[test]
fn bulk_gets_its_parity_in_the_same_batch() {
    let mut sender = Sender::new(fec(10, 3));
    let sent = sender.send(&pushes(vec![1_356; 34 * 8]));
    assert_eq!(check_parity(fec(10, 3), &sent), 27);
    // 1,400 bytes each: 46 fit.
    assert!(sender.batches[..6].iter().all(|&datagrams| datagrams == 46), "{:?}", sender.batches);
    assert!(sender.batches.len() <= 9);
    // Parity follows its group at once, so that a receiver that keeps few groups has use for it.
    assert!(sent.iter().zip(0..).all(|(datagram, n)| seqid(datagram) == n));
}

#[test]
fn parity_of_small_groups_follows_each_of_them() {
    let mut sender = Sender::new(fec(1, 1));
    let sent = sender.send(&pushes(vec![500; 64]));
    assert_eq!(check_parity(fec(1, 1), &sent), 64);
    assert_eq!(sender.batches, [64, 64]);
    assert!(sent.iter().zip(0..).all(|(datagram, n)| seqid(datagram) == n));
}

#[test]
fn parity_longer_than_the_batch_goes_in_one_of_its_own_before_the_next_group() {
    let mut sender = Sender::new(fec(3, 2));
    let sent = sender.send(&pushes([800, 100, 100, 100, 100, 100]));
    assert_eq!(check_parity(fec(3, 2), &sent), 2);
    // A shorter one is the last of its batch; the third, alone; parity of 800; three of 100 and their parity.
    assert_eq!(sender.batches, [2, 1, 2, 5]);
    assert!(sent.iter().zip(0..).all(|(datagram, n)| seqid(datagram) == n));
}

#[test]
fn parity_that_does_not_fit_the_batch_follows_in_further_ones() {
    let mut sender = Sender::new(fec(10, 100));
    let sent = sender.send(&pushes(vec![1_356; 12]));
    assert_eq!(check_parity(fec(10, 100), &sent), 1);
    assert_eq!(sender.batches, [10, 46, 46, 8, 2]);
}

#[test]
fn single_datagrams_are_encoded_in_place_too() {
    let (mut encoder, now) = (Encoder::new(fec(2, 1)), Instant::now());
    let mut buffer = TransmitBuffer::with_room(CIPHER.0 + FEC_OVERHEAD, CIPHER.1);
    let mut sent = Vec::new();
    for segments in pushes([24, 70, 33, 24]) {
        let mut datagram = [vec![0; CIPHER.0 + FEC_OVERHEAD], segments, vec![0; CIPHER.1]].concat();
        encoder.encode_datagram(now, &mut datagram, CIPHER.0 + FEC_OVERHEAD, CIPHER.1);
        sent.push(datagram[CIPHER.0..datagram.len() - CIPHER.1].to_vec());
        while encoder.poll_transmit(&mut buffer) {
            sent.extend(buffer.datagrams().map(|d| d[CIPHER.0..d.len() - CIPHER.1].to_vec()));
        }
    }
    assert_eq!(
        sent.iter().map(|d| is_parity(d)).collect::<Vec<_>>(),
        [false, false, true, false, false, true]
    );
    assert_eq!(check_parity(fec(2, 1), &sent), 2);
}

#[test]
fn parity_is_left_out_after_a_pause_and_its_seqids_are_used_up() {
    let mut sender = Sender::new(fec(3, 2));
    let mut send = |millis, lens: &[usize]| -> Vec<u32> {
        sender.now += Duration::from_millis(millis);
        sender.send(&pushes(lens.iter().copied())).iter().map(|datagram| seqid(datagram)).collect()
    };
    assert_eq!(send(0, &[50, 50]), [0, 1]);
    // Half a second before the last of the group: too late.
    assert_eq!(send(500, &[50]), [2]);
    assert_eq!(send(499, &[50, 50]), [5, 6]);
    assert_eq!(send(499, &[50]), [7, 8, 9]);
    // Only the last two datagrams of a group count.
    assert_eq!(send(5_000, &[50]), [10]);
    assert_eq!(send(5_000, &[50, 50]), [11, 12, 13, 14]);
    // The last of a group begins a batch.
    assert_eq!(send(0, &[50, 50]), [15, 16]);
    assert_eq!(send(700, &[50, 50, 50, 50, 50]), [17, 20, 21, 22, 23, 24, 25]);
    let stats = sender.encoder.stats();
    assert_eq!((stats.parity_sent, stats.parity_skipped), (6, 4));
}

#[test]
fn the_first_group_of_one_has_no_pause_before_it() {
    let mut sender = Sender::new(fec(1, 2));
    let seqids = |sent: Vec<Vec<u8>>| sent.iter().map(|datagram| seqid(datagram)).collect::<Vec<_>>();
    assert_eq!(seqids(sender.send(&pushes([50]))), [0, 1, 2]);
    sender.now += Duration::from_millis(500);
    assert_eq!(seqids(sender.send(&pushes([50, 50]))), [3, 6, 7, 8]);
}

#[test]
fn seqids_wrap_after_the_last_whole_group() {
    for fec in [fec(10, 3), fec(1, 1), fec(254, 1), fec(3, 2)] {
        let mut sender = Sender::new(fec);
        sender.encoder.start_at(fec.wrap() - fec.group() as u32);
        let sent = sender.send(&pushes(vec![60; 2 * fec.data()]));
        let seqids: Vec<u32> = sent.iter().map(|datagram| seqid(datagram)).collect();
        let expected: Vec<u32> =
            (fec.wrap() - fec.group() as u32..fec.wrap()).chain(0..fec.group() as u32).collect();
        assert_eq!(seqids, expected, "{fec}");
        assert_eq!(check_parity(fec, &sent), 2);
    }
}

#[test]
fn less_parity_is_the_first_of_the_ratio_and_uses_up_all_seqids() {
    let mut sender = Sender::new(fec(4, 3));
    let whole = sender.send(&pushes(vec![100; 12]));
    sender.encoder.set_parity(1);
    assert_eq!(sender.encoder.parity(), 1);
    let less = sender.send(&pushes(vec![100; 12]));
    let seqids: Vec<u32> = less.iter().map(|datagram| seqid(datagram)).collect();
    let group = |start: u32| start..start + 5;
    assert_eq!(seqids, group(21).chain(group(28)).chain(group(35)).collect::<Vec<_>>());
    for (whole, less) in whole.chunks(7).zip(less.chunks(5)) {
        assert_eq!(whole[4][4..], less[4][4..], "the same data, the same parity");
    }
    sender.encoder.set_parity(0);
    assert_eq!(sender.send(&pushes(vec![100; 8])).len(), 8);
    // Shown again, three times.
    sender.encoder.set_parity(2);
    assert_eq!(sender.send(&pushes(vec![100; 20])).len(), 3 * 7 + 2 * 6);
    assert_eq!(sender.encoder.stats().parity_skipped, 3 * 2 + 2 * 3 + 2);
}

#[test]
fn between_two_ratios_goes_data_without_parity() {
    for new in [fec(10, 4), fec(3, 2), fec(200, 55)] {
        let mut sender = Sender::new(fec(10, 3));
        sender.send(&pushes(vec![100; 15]));
        sender.encoder.change(new);
        // The group in progress, then those between; in batches, whose plans must not go astray.
        let sent = sender.send(&pushes(vec![100; 5]));
        assert_eq!(sent.len(), 8);
        let between = sender.send(&pushes(vec![100; 516]));
        assert_eq!(between.len(), 516);
        assert!(between.iter().zip(26..).all(|(datagram, n)| seqid(datagram) == n && !is_parity(datagram)));
        assert_eq!(sender.encoder.fec(), new);
        let sent = sender.send(&pushes(vec![100; new.data() * 2]));
        assert_eq!(check_parity(new, &sent), 2);
        assert_eq!(seqid(&sent[0]) % new.group() as u32, 0);
        assert!((542..542 + new.group() as u32).contains(&seqid(&sent[0])));
    }
}

#[test]
fn a_change_that_is_asked_for_while_room_is_left_for_parity_waits_for_the_next_batch() {
    let mut sender = Sender::new(fec(2, 1));
    let all = pushes(vec![100; 12]);
    sender.encoder.prepare(sender.now, &mut sender.buffer);
    assert!(all.iter().all(|segments| sender.buffer.push(segments)));
    sender.encoder.change(fec(3, 1));
    sender.encoder.encode(sender.now, &mut sender.buffer);
    let mut sent = Vec::new();
    sender.leave(&mut sent);
    assert_eq!(check_parity(fec(2, 1), &sent), 6);
    assert_eq!(sender.send(&pushes(vec![100; 6])).len(), 6);
}

#[test]
fn overhead_is_counted_in_bytes() {
    let mut sender = Sender::new(fec(2, 1));
    sender.send(&pushes([100, 100, 50]));
    let parity = 100 + FEC_OVERHEAD + CIPHER.0 + CIPHER.1;
    assert_eq!(sender.encoder.stats().overhead_bytes, (3 * FEC_OVERHEAD + parity) as u64);
}
