//! Several hosts and the links between them.

use crate::{Link, LinkConfig, LinkStats, Rng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Hosts, each with an address, and a [`Link`] from each to each other.
///
/// Links come into being when they are first named, with the default configuration and a seed made of the
/// network's seed and the two addresses: what happens on one link doesn't depend on the others. All
/// addresses exist; nobody needs to be registered. Time is as in [`Link`].
///
/// ```
/// use sendoff_netem::{LinkConfig, Network};
/// use std::time::Duration;
///
/// let (a, b) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap());
/// let mut network = Network::new(LinkConfig::new().delay(Duration::from_millis(5)), 1);
/// network.send(Duration::ZERO, a, b, b"ping".to_vec());
/// let now = network.next_arrival().unwrap();
/// let delivery = network.receive(now).unwrap();
/// assert_eq!((delivery.from, delivery.to), (a, b));
/// ```
#[derive(Clone, Debug)]
pub struct Network {
    default: LinkConfig,
    seed: u64,
    paths: BTreeMap<(SocketAddr, SocketAddr), usize>,
    links: Vec<Path>,
    /// Datagrams sent so far: their order, for those that arrive together on different links.
    sent: u64,
    /// What is next on each link, as arrival, order and index of the link; and some that was once next. Its
    /// top is never outdated.
    agenda: BinaryHeap<Reverse<((u64, u64), usize)>>,
}

#[derive(Clone, Debug)]
struct Path {
    from: SocketAddr,
    to: SocketAddr,
    link: Link,
}

/// A datagram that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it has reached.
    pub to: SocketAddr,
    /// Its bytes.
    pub datagram: Vec<u8>,
}

impl Network {
    /// A network in which each link begins with the configuration `default`.
    pub fn new(default: LinkConfig, seed: u64) -> Network {
        Network {
            default,
            seed,
            paths: BTreeMap::new(),
            links: Vec::new(),
            sent: 0,
            agenda: BinaryHeap::new(),
        }
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Duration, from: SocketAddr, to: SocketAddr, datagram: Vec<u8>) {
        let index = self.index(from, to);
        let link = &mut self.links[index].link;
        let before = link.head();
        link.send_numbered(now, self.sent, datagram);
        self.sent += 1;
        if let Some(head) = link.head()
            && before != Some(head)
        {
            self.agenda.push(Reverse((head, index)));
        }
    }

    /// When the next datagram arrives anywhere, `None` when nothing is in flight. May lie in the past.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.agenda.peek().map(|Reverse(((arrival, _), _))| Duration::from_nanos(*arrival))
    }

    /// The next datagram that has arrived anywhere by `now`; to be called until it returns `None`.
    pub fn receive(&mut self, now: Duration) -> Option<Delivery> {
        let &Reverse((_, index)) = self.agenda.peek()?;
        let Path { from, to, link } = &mut self.links[index];
        let datagram = link.receive(now)?;
        let delivery = Delivery { from: *from, to: *to, datagram };
        self.agenda.pop();
        if let Some(head) = link.head() {
            self.agenda.push(Reverse((head, index)));
        }
        while let Some(&Reverse((head, index))) = self.agenda.peek()
            && self.links[index].link.head() != Some(head)
        {
            self.agenda.pop();
        }
        Some(delivery)
    }

    /// Changes how one direction behaves, as [`Link::set_config`] does.
    pub fn configure(&mut self, from: SocketAddr, to: SocketAddr, config: LinkConfig) {
        let index = self.index(from, to);
        self.links[index].link.set_config(config);
    }

    /// Changes how both directions between two hosts behave.
    pub fn configure_pair(&mut self, a: SocketAddr, b: SocketAddr, config: LinkConfig) {
        self.configure(a, b, config.clone());
        self.configure(b, a, config);
    }

    /// Loses all that two hosts send to each other until [`heal`](Network::heal). What is in flight arrives.
    pub fn partition(&mut self, a: SocketAddr, b: SocketAddr) {
        self.partition_one_way(a, b);
        self.partition_one_way(b, a);
    }

    /// Loses all that `from` sends to `to` until [`heal`](Network::heal).
    pub fn partition_one_way(&mut self, from: SocketAddr, to: SocketAddr) {
        let index = self.index(from, to);
        self.links[index].link.partition();
    }

    /// Ends any partition between two hosts.
    pub fn heal(&mut self, a: SocketAddr, b: SocketAddr) {
        for (from, to) in [(a, b), (b, a)] {
            let index = self.index(from, to);
            self.links[index].link.heal();
        }
    }

    /// The link from one host to another, `None` when it was never named.
    pub fn link(&self, from: SocketAddr, to: SocketAddr) -> Option<&Link> {
        self.paths.get(&(from, to)).map(|index| &self.links[*index].link)
    }

    /// The sum over all links.
    pub fn stats(&self) -> LinkStats {
        self.links.iter().map(|path| path.link.stats()).sum()
    }

    /// How many datagrams are in flight on all links.
    pub fn in_flight(&self) -> usize {
        self.links.iter().map(|path| path.link.in_flight()).sum()
    }

    fn index(&mut self, from: SocketAddr, to: SocketAddr) -> usize {
        *self.paths.entry((from, to)).or_insert_with(|| {
            let link = Link::new(self.default.clone(), link_seed(self.seed, from, to));
            self.links.push(Path { from, to, link });
            self.links.len() - 1
        })
    }
}

fn link_seed(seed: u64, from: SocketAddr, to: SocketAddr) -> u64 {
    [from, to].into_iter().fold(seed, |seed, address| {
        let ip = match address.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        [ip as u64, (ip >> 64) as u64, u64::from(address.port())]
            .into_iter()
            .fold(seed, |seed, part| Rng::new(seed ^ part).u64())
    })
}
