//! One direction of a path.

use crate::{LinkConfig, LinkStats, Loss, Queue, Reorder, Rng};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::time::Duration;

/// One direction of a path between two hosts: what is sent into it comes out later, or not, or twice.
///
/// Time is a [`Duration`] since the start of the simulation, kept in whole nanoseconds (at most 584 years).
/// It doesn't go back: an earlier time than the latest seen counts as the latest. Payloads are moved; only a
/// duplicate is copied.
///
/// ```
/// use sendoff_netem::{Link, LinkConfig};
/// use std::time::Duration;
///
/// let delay = Duration::from_millis(5);
/// let mut link = Link::new(LinkConfig::new().delay(delay), 1);
/// link.send(Duration::ZERO, b"hello".to_vec());
/// assert_eq!(link.receive(Duration::ZERO), None);
/// assert_eq!(link.next_arrival(), Some(delay));
/// assert_eq!(link.receive(delay), Some(b"hello".to_vec()));
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    config: LinkConfig,
    rng: Rng,
    stats: LinkStats,
    clock: u64,
    partitioned: bool,
    /// The state of the Gilbert-Elliott chain.
    bad: bool,
    bottleneck: Bottleneck,
    in_flight: BinaryHeap<InFlight>,
    /// When the last datagram that keeps the order arrives.
    last_arrival: u64,
    /// The highest number delivered so far.
    highest: u64,
}

impl Link {
    /// An empty link whose random choices depend on `seed` alone.
    pub fn new(config: LinkConfig, seed: u64) -> Link {
        Link {
            config,
            rng: Rng::new(seed),
            stats: LinkStats::default(),
            clock: 0,
            partitioned: false,
            bad: false,
            bottleneck: Bottleneck::default(),
            in_flight: BinaryHeap::new(),
            last_arrival: 0,
            highest: 0,
        }
    }

    /// Hands a datagram to the link.
    pub fn send(&mut self, now: Duration, datagram: Vec<u8>) {
        self.send_numbered(now, self.stats.sent, datagram);
    }

    /// As `send`; of datagrams that arrive together the lower number is delivered first. Numbers must grow.
    pub(crate) fn send_numbered(&mut self, now: Duration, number: u64, datagram: Vec<u8>) {
        self.clock = self.clock.max(nanos(now));
        let index = self.stats.sent;
        self.stats.sent += 1;
        self.stats.sent_bytes += datagram.len() as u64;
        if datagram.len() > self.config.mtu {
            self.stats.too_large += 1;
            return;
        }
        let within =
            |clock, span: &std::ops::Range<Duration>| nanos(span.start) <= clock && clock < nanos(span.end);
        if self.partitioned || self.config.partitions.iter().any(|span| within(self.clock, span)) {
            self.stats.partitioned += 1;
            return;
        }
        let Some(departure) = self.bottleneck.pass(self.clock, datagram.len(), &self.config) else {
            self.stats.queue_dropped += 1;
            return;
        };
        if self.loses(index) {
            self.stats.lost += 1;
            return;
        }
        let copy = self.rng.chance(self.config.duplicate).then(|| datagram.clone());
        self.launch(departure, number * 2, datagram);
        if let Some(copy) = copy {
            self.stats.duplicated += 1;
            self.launch(departure, number * 2 + 1, copy);
        }
    }

    /// When the next datagram arrives, `None` when nothing is in flight. May lie in the past.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.head().map(|(arrival, _)| Duration::from_nanos(arrival))
    }

    /// The next datagram that has arrived by `now`; to be called until it returns `None`.
    pub fn receive(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.clock = self.clock.max(nanos(now));
        self.head().filter(|(arrival, _)| *arrival <= self.clock)?;
        let InFlight { order, datagram, .. } = self.in_flight.pop()?;
        let number = order / 2;
        self.stats.delivered += 1;
        self.stats.delivered_bytes += datagram.len() as u64;
        self.stats.reordered += u64::from(number < self.highest);
        self.highest = self.highest.max(number);
        Some(datagram)
    }

    /// How many datagrams were sent and neither received nor dropped yet: waiting, on the wire, or arrived.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// What the link has counted.
    pub fn stats(&self) -> LinkStats {
        self.stats
    }

    /// How the link behaves.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes how the link behaves from now on. Datagrams in flight arrive as they would have; those sent
    /// later queue behind them. A burst of loss ends; counters and a partition stay.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
        self.bad = false;
        self.bottleneck.carry = 0;
    }

    /// Loses all that is sent until [`heal`](Link::heal). What is in flight arrives.
    pub fn partition(&mut self) {
        self.partitioned = true;
    }

    /// Ends what [`partition`](Link::partition) began. Spans set in the configuration stay.
    pub fn heal(&mut self) {
        self.partitioned = false;
    }

    /// Arrival and order of the next datagram: unique among all datagrams of the link.
    pub(crate) fn head(&self) -> Option<(u64, u64)> {
        self.in_flight.peek().map(InFlight::key)
    }

    fn loses(&mut self, index: u64) -> bool {
        let listed = self.config.dropped.contains(&index);
        let random = match self.config.loss {
            Loss::None => false,
            Loss::Bernoulli(probability) => self.rng.chance(probability),
            Loss::GilbertElliott { enter, leave, loss_good, loss_bad } => {
                let lost = self.rng.chance(if self.bad { loss_bad } else { loss_good });
                self.bad ^= self.rng.chance(if self.bad { leave } else { enter });
                lost
            }
        };
        listed || random
    }

    /// Puts one copy of a datagram on the wire.
    fn launch(&mut self, departure: u64, order: u64, mut datagram: Vec<u8>) {
        if self.rng.chance(self.config.corrupt) && !datagram.is_empty() {
            damage(&mut datagram, &mut self.rng);
            self.stats.corrupted += 1;
        }
        let reorder = self.config.reorder.filter(|(p, _)| self.rng.chance(*p)).map(|(_, how)| how);
        let jitter = match nanos(self.config.jitter) {
            0 => 0,
            most => self.rng.below(most.saturating_add(1)),
        };
        let mut arrival = departure.saturating_add(nanos(self.config.delay)).saturating_add(jitter);
        if !self.config.allow_reorder {
            arrival = arrival.max(self.last_arrival);
        }
        match reorder {
            // Neither kind moves `last_arrival`: nobody waits for one that is out of order.
            Some(Reorder::HoldBack(extra)) => arrival = arrival.saturating_add(nanos(extra)),
            Some(Reorder::Overtake) => arrival = departure,
            None => self.last_arrival = self.last_arrival.max(arrival),
        }
        self.in_flight.push(InFlight { arrival, order, datagram });
    }
}

/// The place where the rate is kept: when its wire is free, and what waits for that.
#[derive(Clone, Debug, Default)]
struct Bottleneck {
    free_at: u64,
    /// What `free_at` lacks, in nanoseconds divided by the rate, so that no rounding adds up.
    carry: u64,
    /// Start on the wire and size of each datagram that waited when it was last looked at.
    waiting: VecDeque<(u64, usize)>,
    waiting_bytes: usize,
}

impl Bottleneck {
    /// When the last bit of a datagram has left; `None` when the queue is full.
    fn pass(&mut self, clock: u64, len: usize, config: &LinkConfig) -> Option<u64> {
        let Some(rate) = config.rate else { return Some(clock) };
        while let Some(&(start, size)) = self.waiting.front()
            && start <= clock
        {
            self.waiting.pop_front();
            self.waiting_bytes -= size;
        }
        let size = len + config.overhead;
        if self.free_at < clock {
            (self.free_at, self.carry) = (clock, 0);
        } else if self.free_at > clock {
            let full = match config.queue {
                Queue::Datagrams(most) => self.waiting.len() >= most,
                Queue::Bytes(most) => self.waiting_bytes + size > most,
            };
            if full {
                return None;
            }
            self.waiting.push_back((self.free_at, size));
            self.waiting_bytes += size;
        }
        let work = u128::from(size as u64) * 8_000_000_000 + u128::from(self.carry);
        let took = u64::try_from(work / u128::from(rate)).unwrap_or(u64::MAX);
        self.carry = (work % u128::from(rate)) as u64;
        self.free_at = self.free_at.saturating_add(took);
        Some(self.free_at)
    }
}

#[derive(Clone)]
struct InFlight {
    arrival: u64,
    /// Twice the datagram's number, and one more for its duplicate.
    order: u64,
    datagram: Vec<u8>,
}

impl InFlight {
    fn key(&self) -> (u64, u64) {
        (self.arrival, self.order)
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrival = Duration::from_nanos(self.arrival);
        write!(f, "{} at {arrival:?}, {} bytes", self.order / 2, self.datagram.len())
    }
}

impl PartialEq for InFlight {
    fn eq(&self, other: &InFlight) -> bool {
        self.key() == other.key()
    }
}

impl Eq for InFlight {}

impl PartialOrd for InFlight {
    fn partial_cmp(&self, other: &InFlight) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InFlight {
    /// The earliest is the greatest, because the heap's top is its greatest.
    fn cmp(&self, other: &InFlight) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// Changes at least one bit of a datagram that isn't empty, or cuts it.
fn damage(datagram: &mut Vec<u8>, rng: &mut Rng) {
    if rng.chance(0.25) {
        datagram.truncate(rng.below(datagram.len() as u64) as usize);
        return;
    }
    let bits = datagram.len() as u64 * 8;
    let first = rng.below(bits);
    let last = (first + rng.below(8)).min(bits - 1);
    for bit in first..=last {
        datagram[(bit / 8) as usize] ^= 1 << (bit % 8);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
