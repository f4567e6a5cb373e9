//! Honest clients that come while a flood of HELLOs goes on.

use super::{
    ADDRESSES, check_factor, counting, number,
    server::{Habit, Server},
    some_hello,
};
use crate::sim::{ms, net::conv};
use sendoff_netem::Rng;
use sendoff_proto::{Cause, Config, Connection, Opening, TransmitBuffer};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const GUESTS: u64 = 100;

/// HELLOs of the flood in a second.
const RATE: u64 = 100_000;

/// What each guest says, and hears again.
const BYTES: usize = 10_000;

/// One client, from an address of its own.
struct Guest {
    who: u64,
    connection: Connection,
    said: usize,
    heard: usize,
}

impl Guest {
    fn new(who: u64, now: Instant) -> Self {
        let opening = if who.is_multiple_of(2) { Opening::Waiting } else { Opening::Early };
        let config = Arc::new(Config::new());
        let connection = Connection::new(config, conv(), opening, now, 0x9_0000 + u128::from(who));
        Self { who, connection, said: 0, heard: 0 }
    }

    fn act(&mut self, now: Instant, server: &mut Server, buffer: &mut TransmitBuffer) {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        let mut chunk = [0; 4_096];
        while let n @ 1.. = self.connection.read(&mut chunk) {
            self.heard += n;
        }
        self.said += self.connection.write(&[5; BYTES][self.said..]);
        if self.said == BYTES {
            self.connection.finish();
        }
        while self.connection.has_transmit() && self.connection.poll_transmit(now, buffer) {
            for datagram in buffer.datagrams() {
                server.receive(self.who, datagram);
            }
        }
    }
}

/// What the flood and the guests have come to.
struct Outcome {
    server: Server,
    guests: Vec<Guest>,
    peak: isize,
}

fn flood(cookies: bool) -> Outcome {
    let addresses = ADDRESSES + GUESTS;
    let mut server = Server::new(Config::new(), Habit::Reads, addresses);
    if cookies {
        server.ask_for_cookies(GUESTS);
    }
    let mut rng = Rng::new(7);
    let mut guests: Vec<Guest> = Vec::new();
    let mut buffer = TransmitBuffer::new();
    let number = number();
    let before = counting::held();
    counting::restart_peak();
    let batch = RATE / 1_000;
    let batches = number / batch;
    for n in 0..batches {
        server.advance(ms(1));
        for k in 0..batch {
            let who = GUESTS + (n * batch + k) % ADDRESSES;
            let hello = some_hello(&mut rng);
            server.receive(who, &hello);
        }
        // They come one by one, when the flood has reached its height.
        let due = GUESTS * (2 * (n + 1)).saturating_sub(batches) / batches;
        while (guests.len() as u64) < due {
            guests.push(Guest::new(guests.len() as u64, server.now()));
        }
        let now = server.now();
        for guest in &mut guests {
            guest.act(now, &mut server, &mut buffer);
        }
        for (who, datagram) in server.take_mail() {
            guests[who as usize].connection.handle_datagram(now, &datagram);
        }
        server.check_limits();
    }
    let peak = counting::peak() - before;
    for _ in 0..5_000 {
        server.advance(ms(1));
        let now = server.now();
        for guest in &mut guests {
            guest.act(now, &mut server, &mut buffer);
        }
        for (who, datagram) in server.take_mail() {
            guests[who as usize].connection.handle_datagram(now, &datagram);
        }
    }
    Outcome { server, guests, peak }
}

fn is_served(guest: &Guest) -> bool {
    guest.heard == BYTES && guest.connection.ending().is_some_and(|ending| ending.cause == Cause::Closed)
}

#[test]
fn every_honest_client_is_served_while_hellos_come_from_everywhere() {
    let Outcome { server, guests, peak } = flood(true);
    assert_eq!(guests.len() as u64, GUESTS);
    for guest in &guests {
        let ending = guest.connection.ending();
        assert!(is_served(guest), "{}: {} bytes, {ending:?}", guest.who, guest.heard);
        assert!(guest.connection.stats().retries <= 1);
    }
    check_factor(&server);
    let strangers = server.costs.iter().skip(GUESTS as usize);
    let (received, sent) =
        strangers.fold((0, 0), |(received, sent), cost| (received + cost.received, sent + cost.sent));
    assert!(sent <= received, "{sent} bytes for {received}");
    let stats = server.endpoint.stats();
    assert!(stats.retries_sent > number() / 2, "{stats:?}");
    assert!(server.most_connections <= 256 + GUESTS as usize, "{}", server.most_connections);
    // 256 connections, 100 guests, and what RETRYs are counted in.
    assert!(peak < 8 << 20, "{} KiB", peak >> 10);
    println!("{} KiB at most; {sent} bytes sent for {received}; {stats:?}", peak >> 10);
}

#[test]
fn without_cookies_the_same_flood_keeps_nearly_everybody_out() {
    let Outcome { guests, .. } = flood(false);
    let served = guests.iter().filter(|guest| is_served(guest)).count();
    assert!(served < guests.len() / 2, "{served}: then the flood shows nothing");
}

/// Many from one host: the others are asked all the same, and that host isn't flooded with answers.
#[test]
fn a_host_in_whose_name_a_flood_comes_gets_32_answers_a_second() {
    let mut server = Server::new(Config::new(), Habit::Reads, GUESTS + 2_000);
    server.ask_for_cookies(GUESTS);
    let mut rng = Rng::new(7);
    for who in GUESTS..GUESTS + 256 {
        server.receive(who, &some_hello(&mut rng));
    }
    let victim = GUESTS + 1_000;
    for _ in 0..10 {
        for _ in 0..10_000 {
            server.receive(victim, &some_hello(&mut rng));
        }
        server.advance(Duration::from_secs(1));
    }
    assert_eq!(server.costs[victim as usize].sent, 10 * 32 * 64);
}
