//! The bottleneck: serialisation and the queue in front of it.

use sendoff_netem::{Link, LinkConfig, Queue};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const ZERO: Duration = Duration::ZERO;

/// 8 Mbit/s and no overhead: one byte each microsecond.
fn byte_per_microsecond() -> LinkConfig {
    LinkConfig::new().rate(8_000_000).overhead(0)
}

fn last_arrival(link: &mut Link) -> Duration {
    let mut last = ZERO;
    while let Some(at) = link.next_arrival() {
        last = at;
        link.receive(at).expect("a datagram arrives when it was announced");
    }
    last
}

#[test]
fn a_datagram_takes_its_bits_divided_by_the_rate() {
    let mut link = Link::new(byte_per_microsecond().delay(10 * MS), 1);
    link.send(ZERO, vec![0; 1_000]);
    link.send(ZERO, vec![0; 500]);
    assert_eq!(link.next_arrival(), Some(11 * MS));
    assert_eq!(last_arrival(&mut link), 11 * MS + MS / 2);
}

#[test]
fn each_datagram_pays_for_its_headers() {
    let mut link = Link::new(LinkConfig::new().rate(8_000_000), 1);
    link.send(ZERO, vec![0; 972]);
    assert_eq!(link.next_arrival(), Some(MS));
    let mut link = Link::new(LinkConfig::new().rate(8_000_000).overhead(48), 1);
    link.send(ZERO, Vec::new());
    assert_eq!(link.next_arrival(), Some(Duration::from_micros(48)));
}

#[test]
fn throughput_is_the_rate_without_rounding_errors() {
    // 7 bytes at 3 bits/ns take 18.666… ns: rounded each time, 100,000 of them would be off by 30 µs or more.
    let config = LinkConfig::new().rate(3_000_000_000).overhead(0).queue(Queue::Datagrams(usize::MAX));
    let mut link = Link::new(config, 2);
    for _ in 0..100_000 {
        link.send(ZERO, vec![0; 7]);
    }
    assert_eq!(last_arrival(&mut link), Duration::from_nanos(100_000 * 7 * 8 / 3));
    // The same for a sender that keeps the wire busy and the queue empty.
    let mut link = Link::new(LinkConfig::new().rate(3_000_000_000).overhead(0), 2);
    let mut now = ZERO;
    for _ in 0..100_000 {
        link.send(now, vec![0; 7]);
        now = last_arrival(&mut link);
    }
    assert_eq!(now, Duration::from_nanos(100_000 * 7 * 8 / 3));
}

#[test]
fn an_overloaded_link_delivers_its_rate_and_a_full_queue_drops_the_rest() {
    // Twice the rate for one second: 2,000 datagrams of 1,000 bytes, of which 1,000 fit.
    let mut link = Link::new(byte_per_microsecond().queue(Queue::Datagrams(20)), 3);
    for n in 0..2_000 {
        let now = MS / 2 * n;
        while link.receive(now).is_some() {}
        link.send(now, vec![0; 1_000]);
        assert!(link.in_flight() <= 21, "20 wait and one is on the wire");
    }
    while link.receive(MS * 1_000).is_some() {}
    let stats = link.stats();
    assert_eq!(stats.delivered_bytes, 1_000_000);
    assert_eq!(stats.queue_dropped + stats.delivered + link.in_flight() as u64, 2_000);
    assert!((979..=981).contains(&stats.queue_dropped), "{stats:?}");
}

#[test]
fn the_queue_holds_its_datagrams_beside_the_one_on_the_wire() {
    let mut link = Link::new(byte_per_microsecond().queue(Queue::Datagrams(3)), 4);
    for _ in 0..10 {
        link.send(ZERO, vec![0; 1_000]);
    }
    assert_eq!((link.in_flight(), link.stats().queue_dropped), (4, 6));
    // The second goes on the wire when the first has left, and makes room for exactly one.
    link.send(MS - Duration::from_nanos(1), vec![0; 1_000]);
    assert_eq!(link.stats().queue_dropped, 7);
    link.send(MS, vec![0; 1_000]);
    link.send(MS, vec![0; 1_000]);
    assert_eq!((link.in_flight(), link.stats().queue_dropped), (5, 8));
    assert_eq!(last_arrival(&mut link), 5 * MS);
}

#[test]
fn a_queue_in_bytes_counts_headers_and_takes_the_small_where_the_large_does_not_fit() {
    let config = byte_per_microsecond().overhead(28).queue(Queue::Bytes(2_100));
    let mut link = Link::new(config, 5);
    for len in [5_000, 1_000, 1_000, 100, 16] {
        link.send(ZERO, vec![0; len]); // on the wire, waits, waits (2,056 bytes), dropped, waits (2,100)
    }
    assert_eq!(link.stats().queue_dropped, 1);
    link.send(ZERO, Vec::new());
    assert_eq!((link.stats().queue_dropped, link.in_flight()), (2, 4));
    // When all have left, the same bytes fit again.
    last_arrival(&mut link);
    for len in [5_000, 1_000, 1_000, 16] {
        link.send(100 * MS, vec![0; len]);
    }
    assert_eq!((link.stats().queue_dropped, link.in_flight()), (2, 4));
}

#[test]
fn an_idle_link_takes_a_datagram_even_without_a_queue() {
    for queue in [Queue::Datagrams(0), Queue::Bytes(0)] {
        let mut link = Link::new(byte_per_microsecond().queue(queue), 6);
        for n in 0..10 {
            link.send(n * MS, vec![0; 1_000]);
            link.send(n * MS, vec![0; 1_000]);
        }
        assert_eq!((link.stats().queue_dropped, link.in_flight()), (10, 10));
    }
}

#[test]
fn lost_datagrams_use_the_rate_and_duplicates_do_not() {
    let mut link = Link::new(byte_per_microsecond().drop_datagrams(0..9), 7);
    for _ in 0..10 {
        link.send(ZERO, vec![0; 1_000]);
    }
    assert_eq!(last_arrival(&mut link), 10 * MS);
    // A copy leaves together with its original, not before.
    let mut link = Link::new(byte_per_microsecond().duplicate(1.0).allow_reorder(true), 7);
    for _ in 0..10 {
        link.send(ZERO, vec![0; 1_000]);
    }
    assert_eq!((link.in_flight(), link.next_arrival()), (20, Some(MS)));
    assert_eq!(last_arrival(&mut link), 10 * MS);
}

#[test]
fn a_new_rate_holds_for_what_is_sent_after_it() {
    let mut link = Link::new(byte_per_microsecond(), 8);
    link.send(ZERO, vec![0; 1_000]);
    link.set_config(byte_per_microsecond().rate(4_000_000));
    link.send(ZERO, vec![0; 1_000]);
    assert_eq!(link.next_arrival(), Some(MS));
    assert_eq!(last_arrival(&mut link), 3 * MS);
    link.set_config(LinkConfig::new());
    link.send(5 * MS, vec![0; 1_000]);
    assert_eq!(link.next_arrival(), Some(5 * MS));
    // The third of a nanosecond that a fast link owes is nothing to a slow one.
    let mut link = Link::new(byte_per_microsecond().rate(3_000_000_000), 8);
    link.send(ZERO, vec![0; 7]);
    link.set_config(byte_per_microsecond().rate(8));
    link.send(ZERO, vec![0; 1]);
    assert_eq!(last_arrival(&mut link), Duration::from_nanos(1_000_000_018));
}
