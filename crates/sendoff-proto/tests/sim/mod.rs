//! Two connections and a seeded link each way, in virtual time.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod coder;
pub mod host;
pub mod net;
pub mod stock;

use sendoff_netem::{Link, LinkConfig, LinkStats, Rng};
use sendoff_proto::{Config, Connection, Conv, Opening, SeqNumber, TransmitBuffer};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// When the time of the links begins: there is some before it.
static BASE: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_secs(60));

/// HELLO, WELCOME, PING, PONG.
const OPENING_HOPS: u32 = 4;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What one side has to say, and what it has heard.
pub struct Side {
    pub connection: Connection,
    pub link: Link,
    /// Bytes that the application wants to write, and how many are written.
    pub outgoing: Vec<u8>,
    pub written: usize,
    pub received: Vec<u8>,
    /// Whether the application reads what comes.
    pub reads: bool,
    /// Whether datagrams to it vanish: its process is stopped.
    pub stopped: bool,
    pub sent: Vec<(Duration, usize)>,
    /// Of all its datagrams; nothing by default.
    pub coder: coder::Coder,
}

/// A client (0) and a server (1).
pub struct Pair {
    pub now: Duration,
    pub sides: [Side; 2],
    pub datagrams: u64,
    buffer: TransmitBuffer,
}

/// Where the numbers of a conversation start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    pub sn: u32,
    pub timestamps: [u32; 2],
}

impl Pair {
    pub fn new(config: Config, link: LinkConfig, seed: u64) -> Self {
        Self::with([config.clone(), config], [link.clone(), link], seed, Start::default())
    }

    pub fn with(configs: [Config; 2], links: [LinkConfig; 2], seed: u64, start: Start) -> Self {
        let conv = Conv::new(0x5b1f_03aa).unwrap();
        let mut rng = Rng::new(seed);
        let [first, second] = configs;
        let [there, back] = links;
        let delay = there.delay_value();
        let begin = if first.speaks_blocks() { *BASE - delay * OPENING_HOPS } else { *BASE };
        let mut side = |config: Config, link: LinkConfig, opening, ts| Side {
            connection: Connection::starting(
                Arc::new(config),
                conv,
                opening,
                begin,
                u128::from(rng.u64()),
                (SeqNumber(start.sn), ts),
            ),
            link: Link::new(link, rng.u64()),
            outgoing: Vec::new(),
            written: 0,
            received: Vec::new(),
            reads: true,
            stopped: false,
            sent: Vec::new(),
            coder: coder::Coder::default(),
        };
        let extended = first.speaks_blocks() && second.speaks_blocks();
        let how = if extended { Opening::Waiting } else { Opening::Early };
        let client = side(first, there, how, start.timestamps[0]);
        let opened = if extended { Opening::Hello(client.connection.token()) } else { Opening::Stock };
        let server = side(second, back, opened, start.timestamps[1]);
        let mut pair = Self::of([client, server]);
        if extended {
            pair.open(delay);
        }
        pair
    }

    fn of(sides: [Side; 2]) -> Self {
        Self { now: Duration::ZERO, sides, datagrams: 0, buffer: TransmitBuffer::new() }
    }

    /// The opening, before the time of the links begins, each datagram taking its `delay`: most tests are about
    /// what comes after it.
    fn open(&mut self, delay: Duration) {
        let mut now = *BASE - delay * OPENING_HOPS;
        for hop in 0..OPENING_HOPS as usize {
            now += delay;
            let from = hop % 2;
            while self.sides[from].connection.poll_transmit(now - delay, &mut self.buffer) {
                for datagram in self.buffer.datagrams() {
                    self.sides[1 - from].connection.handle_datagram(now, datagram);
                }
            }
        }
        for side in &mut self.sides {
            assert!(!side.connection.has_transmit(), "the opening is over");
        }
    }

    pub fn instant(&self) -> Instant {
        *BASE + self.now
    }

    pub fn client(&mut self) -> &mut Side {
        &mut self.sides[0]
    }

    pub fn server(&mut self) -> &mut Side {
        &mut self.sides[1]
    }

    pub fn link_stats(&self, side: usize) -> LinkStats {
        self.sides[side].link.stats()
    }

    /// Lets the applications write and read, and puts on the links what is to be sent.
    pub fn pump(&mut self) {
        let now = self.instant();
        for side in &mut self.sides {
            if side.stopped {
                continue;
            }
            side.written += side.connection.write(&side.outgoing[side.written..]);
            if side.reads {
                let mut chunk = [0; 4096];
                loop {
                    match side.connection.read(&mut chunk) {
                        0 => break,
                        n => side.received.extend_from_slice(&chunk[..n]),
                    }
                }
                if side.connection.is_peer_finished() {
                    side.connection.finish();
                }
            }
            while side.connection.has_transmit() {
                side.coder.follow(&mut side.connection);
                let Some(batch) = side.connection.poll_batch(now, &mut self.buffer) else { break };
                for segments in batch.datagrams() {
                    side.coder.send(now, segments, &mut |datagram| {
                        side.sent.push((self.now, datagram.len()));
                        side.link.send(self.now, datagram);
                        self.datagrams += 1;
                    });
                }
            }
        }
    }

    /// When something happens next.
    pub fn next_event(&self) -> Option<Duration> {
        let mut next = None;
        for side in &self.sides {
            let timeout = side.connection.poll_timeout().filter(|_| !side.stopped);
            let timeout = timeout.map(|at| at.saturating_duration_since(*BASE).max(self.now));
            next = [next, timeout, side.link.next_arrival()].into_iter().flatten().min();
        }
        next
    }

    /// Goes to the next event, at most until `limit`, and lets it happen; false if there is none before.
    pub fn step(&mut self, limit: Duration) -> bool {
        self.pump();
        let Some(at) = self.next_event().filter(|&at| at <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = at;
        let now = self.instant();
        for from in 0..2 {
            while let Some(datagram) = self.sides[from].link.receive(at) {
                let to = &mut self.sides[1 - from];
                if to.stopped {
                    continue;
                }
                let arrived = to.coder.receive(&datagram);
                if let Some(segments) = arrived.segments {
                    to.connection.handle_datagram(now, &segments);
                }
                for segments in arrived.recovered {
                    to.connection.handle_recovered(now, &segments);
                }
            }
        }
        for side in &mut self.sides {
            if !side.stopped && side.connection.poll_timeout().is_some_and(|t| t <= now) {
                side.connection.handle_timeout(now);
                let next = side.connection.poll_timeout();
                assert!(next.is_none_or(|t| t > now), "a timer was left in the past");
            }
        }
        self.pump();
        true
    }

    /// Runs until `done`, or fails when that takes longer than `limit` of virtual time.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        self.pump();
        while !done(self) {
            assert!(self.step(end), "not done within {limit:?}:\n{}", self.describe());
        }
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Sends `bytes` from one side until all is acknowledged; returns how long that took.
    pub fn transfer(&mut self, from: usize, bytes: &[u8], limit: Duration) -> Duration {
        let start = self.now;
        let before = self.sides[1 - from].received.len();
        self.sides[from].outgoing.extend_from_slice(bytes);
        self.run_until(limit, |p| {
            let side = &p.sides[from];
            side.written == side.outgoing.len() && side.connection.is_delivered()
        });
        self.pump();
        assert!(self.sides[1 - from].received[before..] == *bytes, "other bytes than were sent");
        self.now - start
    }

    pub fn describe(&self) -> String {
        let [a, b] = &self.sides;
        format!(
            "at {:?}\nclient {:#?} {:?}\nserver {:#?} {:?}",
            self.now,
            a.connection.stats(),
            a.connection.ending(),
            b.connection.stats(),
            b.connection.ending()
        )
    }
}

/// Bytes that don't repeat in any window that a test could confuse.
pub fn payload(len: usize, seed: u64) -> Vec<u8> {
    Rng::new(seed).bytes(len)
}
