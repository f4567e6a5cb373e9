//! Paths that don't take what the MTU was set to, and paths that only lose much, in virtual time.

mod sim;

use sendoff_netem::{Link, LinkConfig, Loss, Queue};
use sendoff_proto::{Cause, Config, Mode, Silence, TransmitBuffer, Wire};
use sim::{Pair, Start, ms, payload};
use std::time::Duration;

fn clean() -> LinkConfig {
    LinkConfig::new().delay(ms(20))
}

/// A path that drops datagrams of more than so many bytes.
fn takes(bytes: usize) -> LinkConfig {
    clean().mtu(bytes)
}

/// The client's path becomes another one; what was on its way is lost.
fn change_path(pair: &mut Pair, link: LinkConfig) {
    let mut replaced = Link::new(link, 99);
    // A link's time doesn't go back.
    while replaced.receive(pair.now).is_some() {}
    pair.client().link = replaced;
}

fn mtu(pair: &Pair) -> (usize, u32) {
    let stats = pair.sides[0].connection.stats();
    (stats.mtu, stats.mtu_steps)
}

fn write(pair: &mut Pair, bytes: &[u8]) {
    pair.client().outgoing.extend_from_slice(bytes);
}

#[test]
fn a_path_that_eats_full_datagrams_is_stepped_down_until_they_fit() {
    for (bytes, sizes) in [(1_380, vec![1_350]), (1_252, vec![1_350, 1_200])] {
        let mut pair =
            Pair::with([Config::new(), Config::new()], [takes(bytes), clean()], 1, Start::default());
        // Two in flight, so that there is room for new ones.
        write(&mut pair, &payload(2 * 1_376, 1));
        for (step, &size) in sizes.iter().enumerate() {
            pair.run_until(ms(60_000), |p| mtu(p) != (1_400, 0) && mtu(p).1 > step as u32);
            assert_eq!(mtu(&pair), (size, step as u32 + 1));
            assert_eq!(pair.client().connection.take_new_mtu(), Some(size));
            assert_eq!(pair.client().connection.take_new_mtu(), None, "it is said once");
            write(&mut pair, &payload(2 * 1_376, 2));
        }
        let before = pair.sides[0].sent.len();
        pair.run_for(ms(5_000));
        assert_eq!(mtu(&pair).0, sizes[sizes.len() - 1], "what fits goes no further down");
        let new: Vec<usize> =
            pair.sides[0].sent[before..].iter().map(|s| s.1).filter(|&n| n <= bytes).collect();
        assert!(new.contains(&sizes[sizes.len() - 1]), "new segments fill what the path takes: {new:?}");
    }
}

#[test]
fn a_segment_that_was_made_too_large_ends_the_connection_with_its_own_error() {
    let mut pair = Pair::with([Config::new(), Config::new()], [takes(1_252), clean()], 1, Start::default());
    write(&mut pair, &payload(100_000, 1));
    pair.run_until(ms(120_000), |p| p.client().connection.ending().is_some());
    let ending = pair.client().connection.ending().unwrap().clone();
    assert_eq!(ending.cause, Cause::TimedOut(Silence::TooLarge));
    assert!(ending.lasted >= ms(20_000), "{:?}", ending.lasted);
    assert!(ending.silent_for < ms(5_000), "the peer was there: {:?}", ending.silent_for);
    assert!(ending.to_string().contains("smaller ones do, 0 of 100000 bytes acknowledged"), "{ending}");
    assert_eq!(mtu(&pair), (1_200, 2), "told also after the end");

    // A connection that begins with what was learned gets through.
    let mut pair = Pair::with([Config::new(), Config::new()], [takes(1_252), clean()], 2, Start::default());
    pair.client().connection.limit_mtu(1_200);
    pair.transfer(0, &payload(1_000_000, 2), ms(60_000));
    assert_eq!(pair.link_stats(0).too_large, 0);
    assert!(pair.sides[0].sent.iter().filter(|s| s.1 == 1_200).count() > 800);
}

#[test]
fn what_was_in_flight_gets_through_where_the_path_takes_it_again_and_the_rest_is_smaller() {
    let mut pair = Pair::new(Config::new(), clean(), 3);
    pair.transfer(0, &payload(500_000, 1), ms(10_000));
    change_path(&mut pair, takes(1_252));
    let data = payload(3_000_000, 2);
    write(&mut pair, &data);
    pair.run_until(ms(20_000), |p| mtu(p) == (1_200, 2));
    // As if it were sent in IP fragments from now on.
    change_path(&mut pair, clean());
    let before = pair.sides[0].sent.len();
    pair.run_until(ms(20_000), |p| {
        p.client().written == p.client().outgoing.len() && p.client().connection.is_delivered()
    });
    pair.pump();
    assert!(pair.server().received[500_000..] == data);
    let (large, small): (Vec<_>, Vec<_>) =
        pair.sides[0].sent[before..].iter().map(|s| s.1).partition(|&n| n > 1_200);
    assert!(!large.is_empty() && small.len() > 100, "{} large, {} small", large.len(), small.len());
    assert!(small.iter().filter(|&&n| n == 1_200).count() > 100);
}

#[test]
fn small_messages_that_shared_full_datagrams_get_through_in_smaller_ones() {
    let config = Config::new().mode(Mode::Message);
    let mut pair = Pair::with([config.clone(), config], [takes(1_252), clean()], 4, Start::default());
    for _ in 0..40 {
        assert!(pair.client().connection.write_message(&payload(440, 1)).unwrap());
    }
    pair.run_until(ms(20_000), |p| p.client().connection.is_delivered());
    assert_eq!(mtu(&pair), (1_350, 1), "two of them fit, where there were three");
}

#[test]
fn a_question_goes_apart_from_what_may_be_too_large() {
    // 1,300 bytes leave room for a PING, and a host on the way may drop a batch as a whole.
    let config = Config::new().mode(Mode::Message);
    let mut pair = Pair::with([config.clone(), config], [takes(1_252), clean()], 12, Start::default());
    assert!(pair.client().connection.write_message(&payload(1_200, 1)).unwrap());
    let mut buffer = TransmitBuffer::new();
    let (mut alone, end) = (0, ms(5_000));
    while mtu(&pair).1 == 0 {
        let now = pair.instant();
        if pair.client().connection.poll_timeout().is_some_and(|at| at <= now) {
            pair.client().connection.handle_timeout(now);
        }
        while pair.client().connection.poll_transmit(now, &mut buffer) {
            // Delivered only if all of the batch may pass.
            let passes = buffer.datagrams().all(|datagram| datagram.len() <= 1_252);
            alone += usize::from(passes);
            for datagram in buffer.datagrams().filter(|_| passes) {
                pair.server().connection.handle_datagram(now, datagram);
            }
            while pair.server().connection.poll_transmit(now, &mut buffer) {
                for datagram in buffer.datagrams() {
                    pair.client().connection.handle_datagram(now, datagram);
                }
            }
        }
        assert!(pair.now < end, "{}", pair.describe());
        pair.now += ms(1);
    }
    assert!(alone >= 3, "{alone} questions");
}

#[test]
fn a_stock_peer_is_asked_by_probe_whether_smaller_ones_arrive() {
    let configs = [Config::new(), Config::new().wire(Wire::Classic)];
    let mut pair = Pair::with(configs, [takes(1_252), clean()], 5, Start::default());
    pair.client().outgoing.extend_from_slice(b"hello");
    pair.run_until(ms(5_000), |p| p.server().received == b"hello");
    write(&mut pair, &payload(4 * 1_376, 1));
    // Some were made while a HELLO stood in front, and are not full any more: one step goes below them.
    pair.run_until(ms(30_000), |p| mtu(p).0 == 1_200);
}

#[test]
fn in_classic_only_what_is_sent_anyway_shows_whether_smaller_ones_arrive() {
    let config = Config::new().wire(Wire::Classic);
    let bulk = || Pair::with([config.clone(), config.clone()], [takes(1_252), clean()], 6, Start::default());
    let mut pair = bulk();
    write(&mut pair, &payload(4 * 1_376, 1));
    pair.run_for(ms(5_000));
    assert_eq!(mtu(&pair), (1_400, 0), "nothing small was sent, and no packet is added");
    assert!(pair.sides[0].sent.iter().all(|s| s.1 == 1_400));

    let mut pair = bulk();
    write(&mut pair, &payload(1_376, 1));
    for _ in 0..40 {
        pair.run_for(ms(100));
        write(&mut pair, b"small");
    }
    assert_eq!(mtu(&pair), (1_200, 2));
}

#[test]
fn an_outage_is_no_small_path() {
    for (there, back) in [(true, true), (true, false), (false, true)] {
        let outage = |out: bool| if out { clean().partition(ms(45)..ms(3_045)) } else { clean() };
        let links = [outage(there), outage(back)];
        let mut pair = Pair::with([Config::new(), Config::new()], links, 7, Start::default());
        // The peer talks all the while.
        pair.server().outgoing = payload(3_000_000, 1);
        write(&mut pair, &payload(3_000_000, 2));
        pair.run_until(ms(60_000), |p| {
            p.client().written == p.client().outgoing.len() && p.client().connection.is_delivered()
        });
        assert!(pair.now > ms(3_045));
        assert_eq!(mtu(&pair), (1_400, 0), "there: {there}, back: {back}");
    }
}

#[test]
fn a_queue_that_overflows_is_no_small_path() {
    // Counted in bytes, it has room for an ACK or a PING where a full datagram finds none.
    let narrow = clean().rate(20_000_000).queue(Queue::Bytes(20_000));
    let mut pair = Pair::with([Config::fast3(), Config::fast3()], [narrow, clean()], 8, Start::default());
    pair.transfer(0, &payload(10_000_000, 1), ms(120_000));
    assert!(pair.link_stats(0).queue_dropped > 1_000);
    assert_eq!(mtu(&pair), (1_400, 0));
}

/// How many of `conversations` step down though the path only loses at random, and how many full segments they send.
fn stepped((conversations, config): (u64, Config), loss: f64, mut talk: impl FnMut(&mut Pair)) -> (u64, u64) {
    let (mut stepped, mut segments) = (0, 0);
    for seed in 0..conversations {
        let link = clean().loss(Loss::Bernoulli(loss));
        let mut pair = Pair::new(config.clone(), link, seed);
        talk(&mut pair);
        stepped += u64::from(mtu(&pair).1 > 0);
        segments += pair.client().connection.stats().segments_sent;
    }
    (stepped, segments)
}

/// The server has written all that its window holds, and drops the stream: that takes half a minute to leave.
fn closes_behind_a_narrow_link(seed: u64) -> Pair {
    let narrow = clean().rate(400_000);
    // What waits in the link is no more than a second's.
    let configs = [Config::new().recv_window(32).unwrap(), Config::new()];
    let mut pair = Pair::with(configs, [clean(), narrow], seed, Start::default());
    let data = payload(1_500_000, 1);
    let now = pair.instant();
    let server = &mut pair.server().connection;
    assert_eq!(server.write(&data), data.len());
    server.close(now, 0, "");
    pair
}

#[test]
fn a_peer_that_has_closed_and_drops_what_comes_is_no_small_path() {
    let mut pair = closes_behind_a_narrow_link(13);
    // The client uploads all the while.
    write(&mut pair, &payload(3_000_000, 2));
    pair.run_until(ms(120_000), |p| p.client().connection.ending().is_some());
    let client = pair.client();
    let ending = client.connection.ending().unwrap();
    assert_eq!((ending.cause, ending.code), (Cause::Reset, sendoff_proto::code::UNREAD), "{ending}");
    assert!(client.received == payload(1_500_000, 1), "{} bytes of the answer", client.received.len());
    let stats = client.connection.stats();
    assert_eq!((stats.mtu, stats.mtu_steps), (1_400, 0));
    assert!(ending.lasted > ms(25_000), "{ending}");
    // It is known after a second; from then on only the first segment is sent again.
    assert!(stats.retransmitted_timeout < 3_200, "{stats:?}");
}

#[test]
fn a_reader_that_pauses_is_no_small_path() {
    // Its bound on bytes is met long before its window is.
    let sender = Config::new().mtu(9_000).unwrap();
    // More than the window, and less: then nothing new shows that there is room again.
    for (pause, len, seed) in [(60_000, 10_000_000, 14), (600_000, 3_000_000, 15)] {
        let configs = [sender.clone(), Config::new()];
        let mut pair = Pair::with(configs, [clean(), clean()], seed, Start::default());
        pair.server().reads = false;
        let data = payload(len, 3);
        write(&mut pair, &data);
        pair.run_for(ms(pause));
        assert!(pair.client().connection.ending().is_none(), "{}", pair.describe());
        assert_eq!(mtu(&pair), (9_000, 0));
        pair.server().reads = true;
        pair.run_until(ms(1_000), |p| {
            p.client().written == p.client().outgoing.len() && p.client().connection.is_delivered()
        });
        pair.pump();
        assert!(pair.server().received == data);
    }
}

#[test]
fn what_was_sent_beyond_the_window_that_was_told_is_no_small_path() {
    // Of the first flight the peer takes 8; then one for each that its reader takes, each three seconds.
    let configs = [Config::new(), Config::new().wire(Wire::Classic).recv_window(8).unwrap()];
    let mut pair = Pair::with(configs, [clean(), clean()], 16, Start::default());
    pair.server().reads = false;
    let data = payload(32 * 1_308, 4);
    write(&mut pair, &data);
    let mut received = Vec::new();
    while received.len() < data.len() {
        pair.run_for(ms(3_000));
        assert!(pair.client().connection.ending().is_none() && pair.now < ms(200_000), "{}", pair.describe());
        let mut chunk = [0; 1_308];
        let read = pair.server().connection.read(&mut chunk);
        received.extend_from_slice(&chunk[..read]);
        assert_eq!(mtu(&pair), (1_400, 0), "after {} bytes", received.len());
    }
    assert!(received == data);
}

#[test]
fn a_segment_that_follows_an_idle_time_has_twenty_seconds_too() {
    let mut pair = Pair::with([Config::fast3(), Config::fast3()], [clean(), clean()], 17, Start::default());
    pair.transfer(0, &payload(50_000, 1), ms(10_000));
    change_path(&mut pair, takes(1_252));
    pair.run_for(ms(15_000));
    let began = pair.now;
    write(&mut pair, &payload(20_000, 2));
    pair.run_until(ms(120_000), |p| p.client().connection.ending().is_some());
    let ending = pair.client().connection.ending().unwrap().clone();
    assert_eq!(ending.cause, Cause::TimedOut(Silence::TooLarge));
    assert!(pair.now - began >= ms(20_000), "{:?}", pair.now - began);
}

#[test]
fn a_peer_that_has_gone_since_is_not_said_to_be_behind_a_small_path() {
    let mut pair = Pair::with([Config::fast3(), Config::fast3()], [clean(), clean()], 18, Start::default());
    pair.transfer(0, &payload(50_000, 1), ms(10_000));
    change_path(&mut pair, takes(1_252));
    write(&mut pair, &payload(20_000, 2));
    pair.run_for(ms(15_000));
    assert_eq!(mtu(&pair), (1_200, 2));
    pair.server().stopped = true;
    pair.run_until(ms(60_000), |p| p.client().connection.ending().is_some());
    let ending = pair.client().connection.ending().unwrap();
    assert!(ending.silent_for > ms(15_000), "{ending}");
    assert!(
        matches!(ending.cause, Cause::TimedOut(Silence::Retransmissions | Silence::KeepAlive)),
        "nothing small arrives either: {ending}"
    );
}

#[test]
fn a_window_that_does_not_get_through_draws_one_question_a_timeout() {
    let mut pair = Pair::with([Config::fast3(), Config::fast3()], [clean(), clean()], 19, Start::default());
    pair.transfer(0, &payload(3_000_000, 1), ms(10_000));
    change_path(&mut pair, takes(1_252));
    let before = pair.client().connection.stats().probes_sent;
    // They leave one after the other, and so they time out.
    for n in 0..200 {
        write(&mut pair, &payload(2 * 1_376, n));
        pair.run_for(ms(1));
    }
    pair.run_for(ms(5_000));
    let stats = pair.client().connection.stats();
    // The first one times out after 1, 2.5, 4.5, … rto.
    assert!((3..=20).contains(&(stats.probes_sent - before)), "after {before}: {stats:?}");
}

#[test]
fn random_loss_hardly_ever_steps_down() {
    let mut told = String::new();
    for loss in [0.05, 0.1, 0.2, 0.3] {
        let (bulk, sent) = stepped((30, Config::new()), loss, |p| {
            p.transfer(0, &payload(2_000_000, 1), Duration::from_secs(600));
        });
        told += &format!("{loss}: bulk {bulk} of 30 ({sent} segments)");
        assert_eq!(bulk, 0, "{told}");
        // One full segment at a time, so that nothing else shows that full ones arrive.
        let (single, sent) = stepped((200, Config::new()), loss, |p| {
            for n in 0..50 {
                p.transfer(0, &payload(1_376, n), Duration::from_secs(600));
            }
        });
        told += &format!(", one at a time {single} of 200 ({sent} segments)");
        assert_eq!(single, 0, "{told}");
        // The hardest case: the same beside small ones, each of which shows that small ones arrive.
        let (beside, sent) = stepped((200, Config::new().mode(Mode::Message)), loss, |p| {
            for n in 0..50 {
                for len in [1_376, 50, 50, 50] {
                    assert!(p.client().connection.write_message(&payload(len, n)).unwrap());
                    p.pump();
                }
                p.run_until(Duration::from_secs(600), |p| p.client().connection.is_delivered());
            }
        });
        told += &format!(", beside small ones {beside} of 200 ({sent} segments)\n");
        assert!(beside <= 2, "{told}");
    }
    println!("{told}");
}

#[test]
fn full_segments_leave_in_batches_again_once_the_larger_ones_are_gone() {
    let mut pair = Pair::new(Config::new(), clean(), 9);
    pair.transfer(0, &payload(100_000, 1), ms(10_000));
    write(&mut pair, &payload(20_000, 2));
    pair.pump();
    pair.client().connection.limit_mtu(1_200);
    pair.run_until(ms(5_000), |p| p.client().connection.is_delivered());
    let now = pair.instant();
    let data = payload(40 * 1_176, 3);
    let connection = &mut pair.client().connection;
    assert_eq!(connection.write(&data), data.len());
    let mut buffer = TransmitBuffer::new();
    let batch = connection.poll_batch(now, &mut buffer).expect("a batch");
    assert_eq!((batch.datagram_size(), batch.contents().len() % 1_200), (1_200, 0));
    assert!(batch.contents().len() >= 10 * 1_200);
    assert!(buffer.is_empty(), "not copied");
}

#[test]
fn a_message_of_the_greatest_length_still_fits_on_a_smaller_path() {
    let config = Config::new().mode(Mode::Message);
    let mut pair = Pair::new(config, clean(), 10);
    let longest = pair.client().connection.max_message();
    pair.client().connection.limit_mtu(1_200);
    assert_eq!(pair.client().connection.max_message(), longest);
    for len in [1, 1_176, 1_177, 127 * 1_108, 127 * 1_108 + 1, 127 * 1_176, longest - 1, longest] {
        let message = payload(len, 1);
        let before = pair.sides[0].sent.len();
        let fragments = pair.client().connection.stats().segments_sent;
        pair.run_until(ms(10_000), |p| p.client().connection.is_writable());
        assert!(pair.client().connection.write_message(&message).unwrap());
        pair.run_until(ms(10_000), |p| p.client().connection.is_delivered());
        let received = std::mem::take(&mut pair.server().received);
        assert!(received == message, "{len} bytes, {} came", received.len());
        let fragments = pair.client().connection.stats().segments_sent - fragments;
        assert!(fragments <= 127, "{len} bytes in {fragments}");
        let largest = pair.sides[0].sent[before..].iter().map(|s| s.1).max();
        if len <= 127 * 1_108 {
            assert!(largest <= Some(1_200), "{len} bytes: {largest:?}");
        }
    }
    assert!(pair.client().connection.write_message(&payload(longest + 1, 1)).is_err());
}

#[test]
fn what_encryption_takes_counts() {
    let config = || Config::new().fec(sendoff_proto::Fec::new(10, 3).unwrap());
    let mut pair = Pair::new(config(), clean(), 11);
    let around = config().mtu_bytes() - config().kcp_mtu();
    assert!(around > 0);
    pair.client().connection.limit_mtu(1_252);
    pair.client().outgoing = payload(100_000, 1);
    pair.run_until(ms(10_000), |p| p.client().connection.is_delivered());
    let largest = pair.sides[0].sent.iter().map(|s| s.1).max();
    assert_eq!(largest, Some(1_200 - around), "segments leave the room that the shard's header takes");
}
