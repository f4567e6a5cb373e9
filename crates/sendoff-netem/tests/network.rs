//! Hosts and the links between them.

use sendoff_netem::{Delivery, LinkConfig, Loss, Network};
use std::net::SocketAddr;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const ZERO: Duration = Duration::ZERO;

fn host(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4_000))
}

fn received(network: &mut Network, now: Duration) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| network.receive(now)).map(|delivery| delivery.datagram).collect()
}

#[test]
fn a_delivery_names_both_ends() {
    let mut network = Network::new(LinkConfig::new().delay(MS), 1);
    network.send(ZERO, host(1), host(2), vec![7]);
    assert_eq!((network.next_arrival(), network.receive(ZERO)), (Some(MS), None));
    let expected = Delivery { from: host(1), to: host(2), datagram: vec![7] };
    assert_eq!((network.receive(MS), network.next_arrival()), (Some(expected), None));
}

#[test]
fn datagrams_that_arrive_together_come_in_the_order_of_sending() {
    let mut network = Network::new(LinkConfig::new().delay(10 * MS), 2);
    network.configure(host(3), host(1), LinkConfig::new().delay(4 * MS));
    for (n, from) in [2, 3, 2, 4, 3, 2].into_iter().enumerate() {
        let sent = if from == 3 { 6 * MS } else { ZERO };
        network.send(sent, host(from), host(1), vec![n as u8]);
    }
    assert_eq!(network.next_arrival(), Some(10 * MS));
    assert_eq!(received(&mut network, 10 * MS), [[0], [1], [2], [3], [4], [5]]);
}

#[test]
fn one_direction_can_be_changed_while_running() {
    let mut network = Network::new(LinkConfig::new().delay(10 * MS), 3);
    network.send(ZERO, host(1), host(2), vec![1]);
    network.configure(host(1), host(2), LinkConfig::new().delay(50 * MS));
    network.send(ZERO, host(1), host(2), vec![2]);
    network.send(ZERO, host(2), host(1), vec![3]);
    assert_eq!(received(&mut network, 10 * MS), [[1], [3]]);
    assert_eq!(network.next_arrival(), Some(50 * MS));
    network.configure_pair(host(2), host(1), LinkConfig::new().loss(Loss::Bernoulli(1.0)));
    network.send(50 * MS, host(1), host(2), vec![4]);
    network.send(50 * MS, host(2), host(1), vec![5]);
    assert_eq!(received(&mut network, Duration::MAX), [[2]]);
    assert_eq!((network.stats().lost, network.stats().delivered), (2, 3));
}

#[test]
fn a_partitioned_pair_is_cut_both_ways_and_alone() {
    let mut network = Network::new(LinkConfig::new(), 4);
    let all = |network: &mut Network| {
        for (from, to, n) in [(1, 2, 12), (2, 1, 21), (1, 3, 13), (3, 2, 32)] {
            network.send(ZERO, host(from), host(to), vec![n]);
        }
        received(network, ZERO)
    };
    network.partition(host(2), host(1));
    assert_eq!(all(&mut network), [[13], [32]]);
    network.heal(host(1), host(2));
    assert_eq!(all(&mut network), [[12], [21], [13], [32]]);
    network.partition_one_way(host(1), host(2));
    assert_eq!(all(&mut network), [[21], [13], [32]]);
    network.heal(host(2), host(1));
    assert_eq!(all(&mut network).len(), 4);
    assert_eq!(network.stats().partitioned, 3);
}

#[test]
fn each_direction_counts_for_itself() {
    let mut network = Network::new(LinkConfig::new(), 5);
    network.send(ZERO, host(1), host(2), vec![0; 10]);
    network.send(ZERO, host(1), host(2), vec![0; 20]);
    network.send(ZERO, host(2), host(1), vec![0; 5]);
    assert_eq!(network.in_flight(), 3);
    received(&mut network, ZERO);
    let bytes = |from, to| network.link(host(from), host(to)).map(|link| link.stats().delivered_bytes);
    assert_eq!((bytes(1, 2), bytes(2, 1), bytes(1, 3)), (Some(30), Some(5), None));
    assert_eq!((network.stats().sent, network.stats().delivered_bytes), (3, 35));
}

#[test]
fn each_link_loses_datagrams_of_its_own_choice() {
    let mut network = Network::new(LinkConfig::new().loss(Loss::Bernoulli(0.5)), 6);
    let mut passed = |(from, to)| {
        network.send(ZERO, host(from), host(to), vec![0]);
        network.receive(ZERO).is_some()
    };
    let paths = [(1, 2), (2, 1), (1, 3), (3, 2)];
    let choices = paths.map(|path| (0..64).map(|_| passed(path)).collect::<Vec<bool>>());
    for (n, choice) in choices.iter().enumerate() {
        assert!((17..48).contains(&choice.iter().filter(|passed| **passed).count()), "{choices:?}");
        assert!(!choices[..n].contains(choice), "{choices:?}");
    }
}
