//! How long messages take over links that lose, with FEC and without, in virtual time: the tables of `docs/fec.md`.
//!
//! ```text
//! cargo run --release -p sendoff-proto --example fec_latency
//! ```

#[path = "../tests/sim/mod.rs"]
mod sim;

use sendoff_netem::{LinkConfig, Loss};
use sendoff_proto::{Config, fec::Fec};
use sim::{Pair, coder::Coder, ms};
use std::{collections::VecDeque, fmt, time::Duration};

/// Messages before those that count: FEC has found the ratio, and `auto` what the link is like.
const WARM_UP: usize = 5_000;
const MEASURED: usize = 20_000;

/// Datagrams that are lost in a row on a bursty link, on average.
const BURST: f64 = 5.0;

/// What UDP and IPv4 add to each datagram.
const HEADERS: usize = 28;

#[derive(Clone, Copy)]
struct Traffic {
    name: &'static str,
    bytes: usize,
    every: Duration,
}

const TRAFFIC: [Traffic; 2] = [
    Traffic { name: "200 bytes each 20 ms", bytes: 200, every: Duration::from_millis(20) },
    Traffic { name: "1,400 bytes each ms", bytes: 1_400, every: Duration::from_millis(1) },
];

#[derive(Clone, Copy)]
enum Coding {
    Off,
    Fixed(usize, usize),
    Auto(usize, usize),
}

const CODINGS: [Coding; 5] =
    [Coding::Off, Coding::Fixed(10, 3), Coding::Fixed(3, 2), Coding::Fixed(1, 1), Coding::Auto(10, 5)];

impl Coding {
    fn coder(self) -> Coder {
        let fec = |data, parity| Fec::new(data, parity).expect("a ratio");
        match self {
            Self::Off => Coder::new(None),
            Self::Fixed(data, parity) => Coder::new(Some(fec(data, parity))),
            Self::Auto(data, parity) => Coder::auto(fec(data, parity)),
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("no FEC"),
            Self::Fixed(data, parity) => write!(f, "{data}/{parity}"),
            Self::Auto(data, parity) => write!(f, "auto, to {data}/{parity}"),
        }
    }
}

/// How long messages took from their write to the read of their last byte, and what that cost.
struct Measured {
    sorted: Vec<Duration>,
    /// Bytes on the wire, of both directions, for each byte of messages.
    cost: f64,
}

impl Measured {
    fn at(&self, percent: usize) -> f64 {
        let at = (self.sorted.len() * percent / 100).min(self.sorted.len() - 1);
        self.sorted[at].as_secs_f64() * 1e3
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.at(percent));
        write!(f, "{p50:.0} {p90:.0} {p99:.0} {max:.0} · {:.2}", self.cost)
    }
}

fn measure(traffic: Traffic, rtt: Duration, loss: Loss, coding: Coding) -> Measured {
    let link = LinkConfig::new().delay(rtt / 2).loss(loss);
    // A message and what stands before it fill a datagram on an Ethernet path.
    let config = Config::fast3().mtu(1_472).expect("an MTU");
    let mut pair = Pair::new(config, link, 0x5eed);
    pair.sides.iter_mut().for_each(|side| side.coder = coding.coder());
    let message = vec![0x5a; traffic.bytes];
    let mut flying = VecDeque::new();
    let (mut took, mut received, mut sent_before) = (Vec::new(), 0, 0);
    let mut next = pair.now;
    for number in 0..WARM_UP + MEASURED {
        if number == WARM_UP {
            sent_before = on_the_wire(&mut pair);
        }
        let client = pair.client();
        if client.written == client.outgoing.len() {
            client.outgoing.clear();
            client.written = 0;
        }
        client.outgoing.extend_from_slice(&message);
        flying.push_back(pair.now);
        pair.pump();
        next += traffic.every;
        let last = number + 1 == WARM_UP + MEASURED;
        let end = if last { next + Duration::from_secs(60) } else { next };
        while pair.step(end) && !(last && flying.is_empty()) {
            received += std::mem::take(&mut pair.server().received).len();
            while received >= traffic.bytes {
                received -= traffic.bytes;
                let written = flying.pop_front().expect("nothing comes that wasn't sent");
                took.push(pair.now - written);
            }
        }
    }
    assert!(flying.is_empty(), "all messages arrive");
    let cost = (on_the_wire(&mut pair) - sent_before) as f64 / (MEASURED * traffic.bytes) as f64;
    let mut sorted = took.split_off(WARM_UP);
    sorted.sort_unstable();
    Measured { sorted, cost }
}

/// Bytes that both sides have sent so far.
fn on_the_wire(pair: &mut Pair) -> usize {
    pair.sides.iter().flat_map(|side| &side.sent).map(|&(_, bytes)| bytes + HEADERS).sum()
}

fn main() {
    println!("Milliseconds at p50, p90, p99 and at most · bytes on the wire for each byte of messages");
    for traffic in TRAFFIC {
        for rtt in [ms(40), ms(100)] {
            println!("\n{}, round trip {} ms\n", traffic.name, rtt.as_millis());
            let headings: Vec<_> = CODINGS.iter().map(Coding::to_string).collect();
            println!("| loss | {} |\n|---|{}", headings.join(" | "), "---|".repeat(CODINGS.len()));
            for percent in [1, 5, 10, 20] {
                let rate = f64::from(percent) / 100.0;
                for (kind, loss) in [("random", Loss::Bernoulli(rate)), ("bursts", Loss::bursts(rate, BURST))]
                {
                    let cells = CODINGS.map(|coding| measure(traffic, rtt, loss.clone(), coding).to_string());
                    println!("| {percent} % {kind} | {} |", cells.join(" | "));
                }
            }
        }
    }
}
