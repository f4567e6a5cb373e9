//! What holds for every link, tried on links, traffic and networks made at random.

use sendoff_netem::{Delivery, Link, LinkConfig, Loss, Network, Queue, Reorder, Rng};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

fn any_config(rng: &mut Rng) -> LinkConfig {
    let some = |rng: &mut Rng| MS * rng.below(30) as u32;
    let mut config = LinkConfig::new().delay(some(rng)).jitter(some(rng)).allow_reorder(rng.chance(0.5));
    config = match rng.below(3) {
        0 => config.loss(Loss::Bernoulli(rng.unit() / 4.0)),
        1 => config.loss(Loss::bursts(rng.unit() / 4.0, 1.0 + rng.unit() * 5.0)),
        _ => config.drop_datagrams((0..10).map(|_| rng.below(500))),
    };
    if rng.chance(0.7) {
        let queue = if rng.chance(0.5) {
            Queue::Bytes(rng.below(20_000) as usize)
        } else {
            Queue::Datagrams(rng.below(20) as usize)
        };
        config = config.rate(1 + rng.below(20_000_000)).queue(queue);
    }
    let how = if rng.chance(0.5) { Reorder::HoldBack(some(rng)) } else { Reorder::Overtake };
    let start = some(rng);
    config
        .partition(start..start + some(rng))
        .reorder(rng.unit() / 4.0, how)
        .duplicate(rng.unit() / 4.0)
        .corrupt(rng.unit() / 4.0)
        .mtu(500 + rng.below(1_500) as usize)
}

/// One step of random traffic; `None` when nothing arrived.
fn step(link: &mut Link, rng: &mut Rng, now: &mut Duration) -> Option<(Duration, Vec<u8>)> {
    *now += Duration::from_micros(rng.below(1_000));
    if rng.chance(0.6) {
        let len = rng.below(1_501) as usize;
        link.send(*now, rng.bytes(len));
        return None;
    }
    let datagram = link.receive(*now)?;
    Some((*now, datagram))
}

fn balance(link: &Link) -> (u64, u64) {
    let s = link.stats();
    let gone = s.lost + s.partitioned + s.queue_dropped + s.too_large;
    (s.sent + s.duplicated, s.delivered + link.in_flight() as u64 + gone)
}

#[test]
fn every_datagram_is_accounted_for_at_every_step() {
    let mut total = sendoff_netem::LinkStats::default();
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut link = Link::new(any_config(&mut rng), seed);
        let mut now = Duration::ZERO;
        for n in 0..500 {
            step(&mut link, &mut rng, &mut now);
            if n == 250 {
                link.set_config(any_config(&mut rng));
            }
            let (inward, outward) = balance(&link);
            assert_eq!(inward, outward, "seed {seed}: {link:?}");
        }
        while link.receive(Duration::MAX).is_some() {}
        assert_eq!((link.in_flight(), balance(&link).0), (0, balance(&link).1), "seed {seed}");
        total += link.stats();
    }
    // None of the ways out was left untried.
    let ways = [total.lost, total.partitioned, total.queue_dropped, total.too_large];
    assert!(ways.iter().all(|&n| n > 500), "{total:?}");
    assert!([total.duplicated, total.reordered, total.corrupted].iter().all(|&n| n > 500), "{total:?}");
}

#[test]
fn the_same_seed_gives_the_same_deliveries_and_another_seed_others() {
    let deliveries = |link_seed: u64| {
        let mut rng = Rng::new(1);
        let config = any_config(&mut rng).loss(Loss::Bernoulli(0.1)).mtu(usize::MAX);
        let (mut link, mut now) = (Link::new(config, link_seed), Duration::ZERO);
        (0..2_000).filter_map(|_| step(&mut link, &mut rng, &mut now)).collect::<Vec<_>>()
    };
    assert!(deliveries(1).len() > 200);
    assert_eq!(deliveries(1), deliveries(1));
    assert_ne!(deliveries(1), deliveries(2));
}

#[test]
fn a_clone_has_the_same_future_and_a_life_of_its_own() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let (mut link, mut now) = (Link::new(any_config(&mut rng), seed), Duration::ZERO);
        for _ in 0..200 {
            step(&mut link, &mut rng, &mut now);
        }
        let before = format!("{link:?}");
        let (mut other, mut other_rng, mut other_now) = (link.clone(), rng.clone(), now);
        let run = |link: &mut Link, rng: &mut Rng, now: &mut Duration| {
            (0..300).map(|_| step(link, rng, now)).collect::<Vec<_>>()
        };
        let future = run(&mut other, &mut other_rng, &mut other_now);
        assert_eq!(format!("{link:?}"), before, "seed {seed}: the original has not moved");
        assert_eq!(run(&mut link, &mut rng, &mut now), future, "seed {seed}");
    }
}

fn host(n: u64) -> SocketAddr {
    let text = if n == 0 { "[2001:db8::1]:7000".to_owned() } else { format!("10.0.0.{n}:7000") };
    text.parse().expect("an address")
}

/// Random traffic among four hosts, of which only what `wanted` lets through is sent.
fn traffic(seed: u64, wanted: impl Fn(SocketAddr, SocketAddr) -> bool) -> Vec<(Duration, Delivery)> {
    let mut rng = Rng::new(seed);
    let mut network = Network::new(any_config(&mut rng), seed);
    let mut deliveries = Vec::new();
    let mut drain = |network: &mut Network, end: Duration| {
        while let Some(at) = network.next_arrival().filter(|at| *at <= end) {
            deliveries.push((at, network.receive(at).expect("a datagram arrives when it was announced")));
        }
    };
    for n in 0..2_000u32 {
        let now = Duration::from_micros(100) * n;
        drain(&mut network, now);
        let (from, to, len) = (host(rng.below(4)), host(rng.below(4)), rng.below(1_000) as usize);
        let datagram = rng.bytes(len);
        if wanted(from, to) {
            network.send(now, from, to, datagram);
        }
    }
    drain(&mut network, Duration::MAX);
    assert_eq!((network.in_flight(), network.next_arrival()), (0, None));
    assert_eq!(network.stats().delivered, deliveries.len() as u64);
    assert!(deliveries.windows(2).all(|w| w[0].0 <= w[1].0), "time does not go back");
    deliveries
}

#[test]
fn a_link_of_a_network_behaves_as_if_it_were_alone() {
    for seed in 0..20 {
        let mut by_pair = BTreeMap::<_, Vec<_>>::new();
        for (at, delivery) in traffic(seed, |_, _| true) {
            by_pair.entry((delivery.from, delivery.to)).or_default().push((at, delivery));
        }
        assert_eq!(by_pair.len(), 16, "each pair of four hosts, oneself included");
        for (pair, deliveries) in by_pair {
            assert_eq!(traffic(seed, |from, to| (from, to) == pair), deliveries, "seed {seed}: {pair:?}");
        }
    }
}
