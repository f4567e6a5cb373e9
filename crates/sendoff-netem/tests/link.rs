//! What each setting of a link does, one by one, with fixed seeds.

use sendoff_netem::{Link, LinkConfig, LinkStats, Loss, Reorder};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const ZERO: Duration = Duration::ZERO;

/// Sends `count` numbered datagrams, one each `gap`, receiving in between; returns (arrival, number) in order.
fn run(link: &mut Link, count: u32, gap: Duration) -> Vec<(Duration, u32)> {
    let mut arrivals = Vec::new();
    for n in 0..count {
        let now = gap * n;
        receive_until(link, now, &mut arrivals);
        link.send(now, n.to_le_bytes().to_vec());
    }
    receive_until(link, Duration::MAX, &mut arrivals);
    arrivals
}

fn receive_until(link: &mut Link, end: Duration, arrivals: &mut Vec<(Duration, u32)>) {
    while let Some(at) = link.next_arrival().filter(|at| *at <= end) {
        let datagram = link.receive(at).expect("a datagram arrives when it was announced");
        arrivals.push((at, u32::from_le_bytes(datagram.try_into().expect("four bytes"))));
    }
}

fn numbers(arrivals: &[(Duration, u32)]) -> Vec<u32> {
    arrivals.iter().map(|(_, n)| *n).collect()
}

fn in_order(arrivals: &[(Duration, u32)]) -> bool {
    arrivals.windows(2).all(|w| w[0].1 <= w[1].1)
}

#[test]
fn a_perfect_link_delivers_everything_at_once_in_order() {
    let mut link = Link::new(LinkConfig::new(), 1);
    let arrivals = run(&mut link, 1_000, ZERO);
    assert_eq!(arrivals, (0..1_000).map(|n| (ZERO, n)).collect::<Vec<_>>());
    let expected = LinkStats {
        sent: 1_000,
        sent_bytes: 4_000,
        delivered: 1_000,
        delivered_bytes: 4_000,
        ..LinkStats::default()
    };
    assert_eq!(link.stats(), expected);
}

#[test]
fn delay_is_exact_and_nothing_arrives_before_it() {
    let mut link = Link::new(LinkConfig::new().delay(20 * MS), 1);
    link.send(5 * MS, vec![1]);
    assert_eq!(link.next_arrival(), Some(25 * MS));
    assert_eq!(link.receive(25 * MS - Duration::from_nanos(1)), None);
    assert_eq!(link.in_flight(), 1);
    assert_eq!(link.receive(25 * MS), Some(vec![1]));
    assert_eq!((link.receive(Duration::MAX), link.next_arrival(), link.in_flight()), (None, None, 0));
}

#[test]
fn time_that_goes_back_counts_as_the_latest_seen() {
    let mut link = Link::new(LinkConfig::new().delay(MS), 1);
    assert_eq!(link.receive(10 * MS), None);
    link.send(3 * MS, vec![1]);
    assert_eq!(link.next_arrival(), Some(11 * MS));
}

#[test]
fn jitter_spreads_evenly_over_its_range() {
    // Far apart, so that nobody waits for those in front.
    let mut link = Link::new(LinkConfig::new().delay(10 * MS).jitter(4 * MS), 2);
    let delays: Vec<Duration> =
        run(&mut link, 20_000, 20 * MS).iter().map(|(at, n)| *at - 20 * MS * *n).collect();
    assert!(delays.iter().all(|delay| (10 * MS..=14 * MS).contains(delay)));
    for quarter in 0..4 {
        let span = (10 + quarter) * MS..(11 + quarter) * MS;
        let hits = delays.iter().filter(|delay| span.contains(delay)).count();
        assert!((4_800..5_200).contains(&hits), "quarter {quarter}: {hits}");
    }
}

#[test]
fn jitter_keeps_the_order_unless_it_may_change_it() {
    let config = LinkConfig::new().delay(10 * MS).jitter(50 * MS);
    let mut link = Link::new(config.clone(), 3);
    assert!(in_order(&run(&mut link, 10_000, MS)));
    assert_eq!(link.stats().reordered, 0);
    let mut link = Link::new(config.allow_reorder(true), 3);
    assert!(!in_order(&run(&mut link, 10_000, MS)));
    assert!(link.stats().reordered > 5_000, "{:?}", link.stats());
}

#[test]
fn bernoulli_loss_takes_its_share_without_memory() {
    let mut link = Link::new(LinkConfig::new().loss(Loss::Bernoulli(0.1)), 4);
    let arrived = numbers(&run(&mut link, 100_000, ZERO));
    let lost = link.stats().lost;
    assert!((9_700..10_300).contains(&lost), "{lost}");
    // Two in a row are lost as often as chance says: 1 % of the pairs.
    let pairs = arrived.windows(2).map(|w| u64::from(w[1] - w[0]).saturating_sub(2)).sum::<u64>();
    assert!((850..1_150).contains(&pairs), "{pairs}");
}

#[test]
fn gilbert_elliott_loss_comes_in_bursts_of_the_asked_length() {
    let mut link = Link::new(LinkConfig::new().loss(Loss::bursts(0.05, 8.0)), 5);
    let arrived = numbers(&run(&mut link, 400_000, ZERO));
    let lost = link.stats().lost as f64;
    assert!((0.045..0.055).contains(&(lost / 400_000.0)), "{lost}");
    let bursts = arrived.windows(2).filter(|w| w[1] - w[0] > 1).count() as f64;
    assert!((7.5..8.5).contains(&(lost / bursts)), "{}", lost / bursts);
}

#[test]
fn both_states_of_gilbert_elliott_lose_with_their_own_probability() {
    let loss = Loss::GilbertElliott { enter: 0.01, leave: 0.03, loss_good: 0.02, loss_bad: 0.5 };
    let mut link = Link::new(LinkConfig::new().loss(loss), 6);
    run(&mut link, 400_000, ZERO);
    let lost = link.stats().lost as f64 / 400_000.0; // a quarter of the time bad: 0.75 × 0.02 + 0.25 × 0.5
    assert!((0.132..0.148).contains(&lost), "{lost}");
}

#[test]
fn a_new_configuration_ends_a_burst() {
    let forever = Loss::GilbertElliott { enter: 1.0, leave: 0.0, loss_good: 0.0, loss_bad: 1.0 };
    let mut link = Link::new(LinkConfig::new().loss(forever), 6);
    assert_eq!(numbers(&run(&mut link, 10, ZERO)), [0]);
    link.set_config(link.config().clone());
    assert_eq!(numbers(&run(&mut link, 10, ZERO)), [0]);
}

#[test]
fn listed_datagrams_are_lost_and_no_others() {
    let config = LinkConfig::new().drop_datagrams([0, 3]).drop_datagrams(7..9).mtu(4);
    let mut link = Link::new(config, 7);
    assert_eq!(numbers(&run(&mut link, 10, ZERO)), [1, 2, 4, 5, 6, 9]);
    assert_eq!(link.stats().lost, 4);
    // Those that don't reach the wire are counted too.
    let mut link = Link::new(LinkConfig::new().mtu(1).drop_datagrams([1]), 7);
    link.send(ZERO, vec![0; 2]);
    link.send(ZERO, vec![1]);
    link.send(ZERO, vec![2]);
    assert_eq!((link.receive(ZERO), link.receive(ZERO)), (Some(vec![2]), None));
}

#[test]
fn a_partition_takes_what_is_sent_in_its_span_and_nothing_in_flight() {
    let config = LinkConfig::new().delay(5 * MS).partition(10 * MS..20 * MS).partition(25 * MS..26 * MS);
    let mut link = Link::new(config, 8);
    let arrived = numbers(&run(&mut link, 30, MS));
    assert_eq!(arrived, (0..10).chain(20..25).chain(26..30).collect::<Vec<_>>());
    assert_eq!((link.stats().partitioned, link.stats().lost), (11, 0));
}

#[test]
fn partition_by_hand_lasts_until_it_is_healed() {
    let mut link = Link::new(LinkConfig::new(), 9);
    link.send(ZERO, vec![1]);
    link.partition();
    link.send(ZERO, vec![2]);
    link.set_config(LinkConfig::new().delay(MS));
    link.send(ZERO, vec![3]);
    link.heal();
    link.send(ZERO, vec![4]);
    assert_eq!((link.receive(MS), link.receive(MS), link.receive(MS)), (Some(vec![1]), Some(vec![4]), None));
    assert_eq!(link.stats().partitioned, 2);
}

#[test]
fn as_many_datagrams_arrive_twice_as_asked() {
    let mut link = Link::new(LinkConfig::new().delay(MS).jitter(MS).duplicate(0.2), 10);
    let arrived = numbers(&run(&mut link, 50_000, ZERO));
    let twice = arrived.windows(2).filter(|w| w[0] == w[1]).count();
    assert!((9_700..10_300).contains(&twice), "{twice}");
    assert_eq!((link.stats().duplicated, link.stats().reordered), (twice as u64, 0));
    assert_eq!(link.stats().delivered, 50_000 + twice as u64);
}

#[test]
fn a_held_back_datagram_is_late_and_delays_nobody() {
    let config = LinkConfig::new().delay(10 * MS).reorder(0.1, Reorder::HoldBack(5 * MS));
    let mut link = Link::new(config, 11);
    let arrivals = run(&mut link, 50_000, MS);
    let late = arrivals.iter().filter(|(at, n)| *at == MS * *n + 15 * MS).count();
    let punctual = arrivals.iter().filter(|(at, n)| *at == MS * *n + 10 * MS).count();
    assert_eq!(late + punctual, 50_000);
    assert!((4_700..5_300).contains(&late), "{late}");
    assert_eq!(link.stats().reordered, counted_by_the_receiver(&arrivals));
    assert!(link.stats().reordered > 4_000, "{:?}", link.stats());
}

#[test]
fn an_overtaking_datagram_has_no_delay() {
    let config = LinkConfig::new().delay(10 * MS).jitter(MS).reorder(0.02, Reorder::Overtake);
    let mut link = Link::new(config, 12);
    let arrivals = run(&mut link, 50_000, MS);
    let fast = arrivals.iter().filter(|(at, n)| *at == MS * *n).count();
    assert!((850..1_150).contains(&fast), "{fast}");
    assert!(arrivals.iter().all(|(at, n)| *at == MS * *n || *at >= MS * *n + 10 * MS));
    assert_eq!(link.stats().reordered, counted_by_the_receiver(&arrivals));
    assert!(link.stats().reordered > 5_000, "each overtakes about ten: {:?}", link.stats());
}

fn counted_by_the_receiver(arrivals: &[(Duration, u32)]) -> u64 {
    let (mut highest, mut late) = (0, 0);
    for (_, n) in arrivals {
        late += u64::from(*n < highest);
        highest = highest.max(*n);
    }
    late
}

#[test]
fn corruption_changes_or_shortens_what_it_touches_and_nothing_else() {
    let original: Vec<u8> = (0..100).collect();
    let mut link = Link::new(LinkConfig::new().corrupt(0.3), 13);
    let (mut damaged, mut shortened) = (0, 0);
    for _ in 0..20_000 {
        link.send(ZERO, original.clone());
        let datagram = link.receive(ZERO).expect("it arrives");
        assert!(datagram.len() <= original.len());
        damaged += u64::from(datagram != original);
        shortened += u64::from(datagram.len() < original.len());
    }
    assert_eq!(link.stats().corrupted, damaged, "damage is never undone");
    assert!((5_700..6_300).contains(&damaged), "{damaged}");
    assert!((1_350..1_650).contains(&shortened), "{shortened}");
}

#[test]
fn one_byte_can_be_damaged_and_an_empty_datagram_passes() {
    let mut link = Link::new(LinkConfig::new().corrupt(1.0), 14);
    for _ in 0..1_000 {
        link.send(ZERO, vec![0x55]);
        assert_ne!(link.receive(ZERO), Some(vec![0x55]));
        link.send(ZERO, Vec::new());
        assert_eq!(link.receive(ZERO), Some(Vec::new()));
    }
    assert_eq!(link.stats().corrupted, 1_000);
}

#[test]
fn the_mtu_itself_passes_and_one_byte_more_does_not() {
    let mut link = Link::new(LinkConfig::new().mtu(1_400), 15);
    link.send(ZERO, vec![0; 1_401]);
    link.send(ZERO, vec![0; 1_400]);
    assert_eq!(link.receive(ZERO).map(|datagram| datagram.len()), Some(1_400));
    assert_eq!((link.stats().too_large, link.stats().delivered), (1, 1));
}

#[test]
fn a_shorter_delay_set_while_running_keeps_the_order() {
    let mut link = Link::new(LinkConfig::new().delay(100 * MS), 16);
    link.send(ZERO, vec![1]);
    link.set_config(LinkConfig::new().delay(10 * MS));
    link.send(MS, vec![2]);
    assert_eq!(
        (link.receive(99 * MS), link.receive(100 * MS), link.receive(100 * MS)),
        (None, Some(vec![1]), Some(vec![2]))
    );
    link.send(100 * MS, vec![3]);
    assert_eq!(link.next_arrival(), Some(110 * MS));
}

#[test]
fn times_at_the_end_of_the_range_do_not_overflow() {
    let config = LinkConfig::new().delay(Duration::MAX).jitter(Duration::MAX).rate(1);
    let mut link = Link::new(config.reorder(0.5, Reorder::HoldBack(Duration::MAX)), 17);
    for n in 0..100 {
        link.send(Duration::MAX, vec![n]);
    }
    assert_eq!(std::iter::from_fn(|| link.receive(Duration::MAX)).count(), 100);
}

#[test]
fn settings_that_mean_nothing_can_not_be_made() {
    let bad: [fn(); 7] = [
        || drop(LinkConfig::new().loss(Loss::Bernoulli(1.1))),
        || drop(LinkConfig::new().duplicate(-0.1)),
        || drop(LinkConfig::new().corrupt(f64::NAN)),
        || drop(LinkConfig::new().rate(0)),
        || _ = Loss::bursts(1.0, 4.0),
        || _ = Loss::bursts(0.6, 1.0),
        || _ = Loss::bursts(0.1, 0.5),
    ];
    for (n, make) in bad.into_iter().enumerate() {
        assert!(std::panic::catch_unwind(make).is_err(), "setting {n}");
    }
}
