//! Datagrams without end from everywhere: what they may cost one socket is bounded, in connections, memory and
//! answers, nobody is answered with more than three times what came in their name, and those who were there
//! before go on.
//!
//! `SENDOFF_FLOOD` is the number of datagrams of each flood.

mod counting;
mod guests;
mod loops;
mod server;
#[path = "../sim/mod.rs"]
mod sim;

use sendoff_netem::Rng;
use sendoff_proto::{
    Config, SeqNumber, Timestamp,
    wire::{Command, Segment},
};
use server::{Cost, Habit, Server};
use sim::{
    ms,
    net::{block, encode, hello, segment},
};
use std::time::Duration;

/// Datagrams of a flood, unless the environment says otherwise.
const DEFAULT: u64 = 200_000;

/// How long a flood lasts, in the time of the connections.
const LASTS: Duration = Duration::from_secs(60);

/// Addresses that a flood comes from.
const ADDRESSES: u64 = 65_536;

/// PROBEs after 1, 2, 4 and 7 s.
const BY_CLOCK: u64 = 4;

fn number() -> u64 {
    std::env::var("SENDOFF_FLOOD").ok().and_then(|n| n.parse().ok()).unwrap_or(DEFAULT)
}

/// Sends a flood, and looks at what it costs on the way and at its end.
fn flood(habit: Habit, addresses: u64, mut make: impl FnMut(u64, &mut Rng) -> Vec<u8>) -> Server {
    let mut server = Server::new(Config::new(), habit, addresses);
    server.begin_honest();
    let mut rng = Rng::new(7);
    let number = number();
    let before = counting::held();
    counting::restart_peak();
    for n in 0..number {
        server.advance(LASTS / number as u32);
        let who = 1 + n % addresses;
        let datagram = make(n / addresses, &mut rng);
        server.receive(who, &datagram);
        if n % (number / 200) == 0 {
            server.talk_honestly();
        }
        server.check_limits();
    }
    let peak = counting::peak() - before;
    // Data, its ring buffers, connections and tombstones.
    assert!(peak < 48 << 20, "{} MiB", peak >> 20);
    server.end_honest();
    server.advance(ms(120_000));
    assert_eq!(server.endpoint.connections(), 0, "nobody is left");
    assert_eq!(server.endpoint.unproven(), (0, 0));
    server
}

/// Of those who began with HELLO, or got no answer of an application, nobody got more than three times.
fn check_factor(server: &Server) {
    for (who, cost) in server.costs.iter().enumerate().skip(1) {
        assert!(cost.sent <= 3 * cost.received, "{who}: {cost:?}");
    }
    check_probes(server);
}

/// Beside that there is one PROBE for each datagram that came, and those that the clock sends.
fn check_probes(server: &Server) {
    for (who, cost) in server.costs.iter().enumerate().skip(1) {
        assert!(cost.probes <= cost.datagrams + BY_CLOCK * cost.opened, "{who}: {cost:?}");
    }
}

/// How many PROBEs each connection sent.
fn probes_by_connection(server: &Server) -> f64 {
    let sum = |of: fn(&Cost) -> u64| server.costs.iter().skip(1).map(of).sum::<u64>() as f64;
    sum(|cost| cost.probes) / sum(|cost| cost.opened)
}

fn some_hello(rng: &mut Rng) -> Vec<u8> {
    hello(rng.u64() | 1)
}

fn push(sn: u32, len: usize) -> Vec<u8> {
    encode(segment(Command::Push, sn), &vec![7; len])
}

#[test]
fn a_flood_of_hellos_costs_little_and_is_answered_with_less() {
    for habit in [Habit::Reads, Habit::Greets] {
        let server = flood(habit, ADDRESSES, |_, rng| some_hello(rng));
        check_factor(&server);
        assert!(server.most_connections >= 1_024, "the limit was reached: {}", server.most_connections);
        assert!(server.endpoint.stats().dropped_unproven > 0);
    }
}

#[test]
fn a_flood_of_hellos_with_data_is_answered_with_no_more_than_three_times_whatever_the_application_does() {
    for habit in [Habit::Echoes, Habit::Greets, Habit::Aborts, Habit::Closes, Habit::Ignores] {
        // Nobody comes again: they end, and leave tombstones.
        let server = flood(habit, number(), |_, rng| {
            let len = [1, 60, 1_200][rng.below(3) as usize];
            [some_hello(rng), push(0, len)].concat()
        });
        check_factor(&server);
        assert!(server.most_connections >= 1_024);
    }
}

#[test]
fn a_flood_of_stock_openings_costs_little_and_is_answered_with_less() {
    for habit in [Habit::Reads, Habit::Ignores] {
        let server = flood(habit, ADDRESSES, |round, rng| push(round as u32, 1 + rng.below(1_000) as usize));
        check_factor(&server);
        assert!(server.most_connections >= 1_024);
        assert!(probes_by_connection(&server) > 3.0, "they are asked");
    }
}

#[test]
fn a_flood_of_stock_openings_to_an_application_that_answers_gets_five_datagrams_more_at_most() {
    for habit in [Habit::Echoes, Habit::Greets] {
        let server = flood(habit, ADDRESSES, |round, rng| push(round as u32, 1 + rng.below(1_000) as usize));
        let (mut sent, mut received) = (0, 0);
        for (who, cost) in server.costs.iter().enumerate().skip(1) {
            assert!(cost.sent <= 3 * cost.received + 5 * 1_400 * cost.opened, "{who}: {cost:?}");
            sent += cost.sent;
            received += cost.received;
        }
        check_probes(&server);
        assert!(sent <= 3 * received, "{sent} for {received}");
    }
}

#[test]
fn data_that_nobody_reads_and_nobody_vouches_for_is_held_up_to_16_mib() {
    for (addresses, len, opens) in [(2_000, 1_300, false), (2_000, 1_300, true), (1_024, 40, false)] {
        let server = flood(Habit::Ignores, addresses, |round, rng| {
            let data = push((round % 128) as u32, len);
            if opens && round == 0 { [some_hello(rng), data].concat() } else { data }
        });
        let full = opens || len < 1_000 || server.most_bytes > 15 << 20;
        assert!(full, "the limit was reached: {} MiB", server.most_bytes >> 20);
        check_factor(&server);
    }
}

/// As large as UDP can be, and of many segments: a limit that is looked at once a datagram isn't enough.
#[test]
fn the_largest_datagrams_hold_no_more_than_the_others() {
    let mut server = Server::new(Config::new().mtu(1_400).unwrap(), Habit::Ignores, 2_000);
    for who in 1..=1_500 {
        let datagram: Vec<u8> = (0..45).flat_map(|sn| push(sn, 1_400)).collect();
        server.receive(who, &datagram);
        server.check_limits();
    }
    assert!(server.most_bytes > 15 << 20, "the limit was reached");
}

#[test]
fn a_flood_of_nonsense_opens_nothing_and_is_answered_a_thousand_times_a_second_at_most() {
    let bodies = sendoff_bodies();
    let server = flood(Habit::Echoes, ADDRESSES, |_, rng| match rng.below(4) {
        0 => {
            let len = rng.below(200) as usize;
            rng.bytes(len)
        }
        1 => {
            let commands = [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell];
            let header = Segment {
                conv: rng.u64() as u32,
                command: commands[rng.below(4) as usize],
                fragment: rng.u64() as u8,
                window: rng.u64() as u16,
                timestamp: Timestamp(rng.u64() as u32),
                sn: SeqNumber(1 + rng.u64() as u32 / 2),
                una: SeqNumber(rng.u64() as u32),
            };
            let len = rng.below(100) as usize;
            encode(header, &rng.bytes(len))
        }
        _ => {
            let header = segment(Command::WindowAsk, rng.u64() as u32);
            let body = bodies[rng.below(bodies.len() as u64) as usize];
            block(header, rng.u64() | 1, rng.u64() | 1, body)
        }
    });
    check_factor(&server);
    assert_eq!(server.most_connections, 0);
    assert!(server.endpoint.stats().answered > 1_000);
}

/// One of each kind.
fn sendoff_bodies() -> [sendoff_proto::wire::Body<'static>; 7] {
    use sendoff_proto::wire::Body;
    [
        Body::Hello { features: 0, cookie: [0; 16] },
        Body::Welcome { features: 0 },
        Body::Retry { cookie: [3; 16] },
        Body::Ping { challenge: 5 },
        Body::Pong { challenge: 5 },
        Body::Reset { code: 33, reason: "forged" },
        Body::Fin { code: 33, reason: "" },
    ]
}
