//! When a peer is asked whether it is there, how often, by what, and what its answers count for: to the millisecond.

mod sim;

use sendoff_proto::{
    Cause, Config, Connection, Opening, PeerKind, SeqNumber, Silence, TransmitBuffer,
    wire::{self, Block, BlockKind, Command, Segment},
};
use sim::{
    ms,
    net::{Net, addr, connected, conv, encode, hello, segment},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// One connection, driven by hand; its peer is what a test says.
struct Lone {
    began: Instant,
    now: Duration,
    connection: Connection,
    sent: Vec<(Duration, Vec<u8>)>,
    buffer: TransmitBuffer,
}

impl Lone {
    fn new(config: Config, opening: Opening, first: u32) -> Self {
        let began = Instant::now();
        let start = (SeqNumber(first), 1_000);
        let connection = Connection::starting(Arc::new(config), conv(), opening, began, 7, start);
        Self { began, now: Duration::ZERO, connection, sent: Vec::new(), buffer: TransmitBuffer::new() }
    }

    /// A server whose stock client has said so much.
    fn with_stock_client(config: Config, first: u32, said: usize) -> Self {
        let mut lone = Self::new(config, Opening::Stock, first);
        lone.hear(&encode(
            Segment { una: SeqNumber(first), ..segment(Command::Push, first) },
            &vec![7; said],
        ));
        assert_eq!(lone.connection.peer_kind(), PeerKind::Stock);
        lone
    }

    /// The same, whose client has proven its address: by an ACK after that time, which is the round trip.
    fn with_proven_stock_client(config: Config, first: u32, round_trip: Duration) -> Self {
        let mut lone = Self::with_stock_client(config, first, 5);
        lone.say(b"x");
        let said = lone.pushes().next().expect("it was sent");
        lone.run_until(round_trip);
        lone.acknowledge(&said, first.wrapping_add(1));
        assert!(lone.connection.is_address_proven() && lone.connection.is_delivered());
        assert_eq!(lone.connection.stats().rtt, Some(round_trip));
        lone.sent.clear();
        lone
    }

    fn instant(&self) -> Instant {
        self.began + self.now
    }

    fn pump(&mut self) {
        let now = self.instant();
        while self.connection.has_transmit() {
            let sent = self.connection.poll_transmit(now, &mut self.buffer);
            assert!(sent, "something is to be sent, and nothing is: {:?}", self.connection.stats());
            self.sent.extend(self.buffer.datagrams().map(|datagram| (self.now, datagram.to_vec())));
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.connection.handle_datagram(self.instant(), datagram);
        self.pump();
    }

    fn say(&mut self, data: &[u8]) {
        assert_eq!(self.connection.write(data), data.len());
        self.pump();
    }

    fn acknowledge(&mut self, sent: &Segment, una: u32) {
        let ack = Segment { command: Command::Ack, una: SeqNumber(una), window: 32, fragment: 0, ..*sent };
        self.hear(&encode(ack, &[]));
    }

    fn run_until(&mut self, end: Duration) {
        while let Some(at) = self.connection.poll_timeout().filter(|&at| at <= self.began + end) {
            self.now = self.now.max(at.saturating_duration_since(self.began));
            self.connection.handle_timeout(self.instant());
            self.pump();
        }
        self.now = end;
    }

    /// Until it has ended, and when that was.
    fn run_to_the_end(&mut self) -> (Duration, Cause) {
        while self.connection.ending().is_none() {
            let at = self.connection.poll_timeout().expect("it waits for something");
            self.run_until(at.saturating_duration_since(self.began));
        }
        (self.now, self.connection.ending().expect("it has").cause)
    }

    fn segments(&self) -> impl Iterator<Item = (Duration, Segment, Vec<u8>)> {
        self.sent.iter().flat_map(|(at, datagram)| {
            wire::segments(datagram).flatten().map(|s| (*at, s.to_segment(), s.data().to_vec()))
        })
    }

    fn pushes(&self) -> impl Iterator<Item = Segment> {
        self.segments().filter(|(_, s, _)| s.command == Command::Push).map(|(_, segment, _)| segment)
    }

    fn probes(&self) -> Vec<(Duration, Segment)> {
        let is_probe = |s: &Segment, data: &[u8]| is_probe(s, data);
        self.segments().filter(|(_, s, data)| is_probe(s, data)).map(|(at, s, _)| (at, s)).collect()
    }

    /// When PROBEs have left.
    fn asked(&self) -> Vec<Duration> {
        self.probes().into_iter().map(|(at, _)| at).collect()
    }
}

/// One byte of 0, in a PUSH; tests say nothing of the kind.
fn is_probe(segment: &Segment, data: &[u8]) -> bool {
    segment.command == Command::Push && data == [0]
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// PINGs of a host since then.
fn pings(net: &Net, n: u8, since: Duration) -> Vec<Duration> {
    let pings = net.sent_by(n).filter(|sent| sent.has(BlockKind::Ping) && sent.at >= since);
    pings.map(|sent| sent.at - since).collect()
}

fn hint(net: &mut Net) {
    let hint = Segment { una: SeqNumber(1 << 30), ..segment(Command::WindowTell, 1) };
    net.inject(addr(2), 1, encode(hint, &[]));
}

#[test]
fn a_hint_asks_four_times_in_two_seconds_and_others_meanwhile_change_nothing() {
    let mut net = connected(Config::new());
    assert!(net.connection(1).stats().rto < ms(500));
    net.loses = Some(Box::new(|_| true));
    let began = net.now;
    hint(&mut net);
    let round = [0, 500, 1_000, 2_000].map(ms);
    for wait in [300, 0, 900, 800] {
        net.run_for(ms(wait));
        hint(&mut net);
        assert_eq!(net.connection(1).stats().hints, 1, "one round at a time");
    }
    net.run_for(ms(2_000));
    assert_eq!(pings(&net, 1, began), round);
    // When it is over, the next begins one.
    let began = net.now;
    hint(&mut net);
    net.run_for(ms(4_000));
    assert_eq!(pings(&net, 1, began), round);
    assert_eq!(net.connection(1).stats().hints, 2);
    assert!(net.connection(1).ending().is_none());
}

#[test]
fn any_answer_ends_a_round() {
    for (lost, asked) in [(0, &[0][..]), (1, &[0, 500]), (3, &[0, 500, 1_000, 2_000])] {
        let mut net = connected(Config::new());
        let (began, mut left) = (net.now, lost);
        net.loses = Some(Box::new(move |sent| {
            let loses = left > 0 && sent.has(BlockKind::Pong);
            left -= usize::from(loses);
            loses
        }));
        hint(&mut net);
        net.run_for(ms(5_000));
        let asked: Vec<_> = asked.iter().map(|&at| ms(at)).collect();
        assert_eq!(pings(&net, 1, began), asked, "{lost} answers lost");
    }
}

#[test]
fn the_questions_of_a_round_are_a_timeout_apart() {
    let mut lone = Lone::with_proven_stock_client(Config::new(), 0, ms(300));
    let rto = lone.connection.stats().rto;
    assert_eq!(rto, ms(900));
    let began = lone.now;
    lone.connection.handle_unreachable(lone.instant());
    lone.pump();
    lone.run_until(began + secs(10));
    let asked: Vec<_> = lone.asked().iter().map(|&at| at - began).collect();
    assert_eq!(asked, [ms(0), rto, rto * 2, rto * 3]);
}

#[test]
fn an_error_that_the_last_question_of_a_round_has_drawn_begins_no_other() {
    let mut net = connected(Config::new());
    net.loses = Some(Box::new(|_| true));
    let report = |net: &mut Net| {
        let now = net.instant();
        net.connection(1).handle_unreachable(now);
        net.connection(1).stats().hints
    };
    let began = net.now;
    assert_eq!(report(&mut net), 1);
    net.run_for(ms(4_000));
    assert_eq!(report(&mut net), 1, "late, or a copy");
    net.run_for(ms(1_000));
    assert_eq!(pings(&net, 1, began), [0, 500, 1_000, 2_000].map(ms));
    // What is sent after that is something else: an error may be its own.
    net.connection(1).write(b"news");
    net.run_for(ms(10));
    assert_eq!(report(&mut net), 2);
}

#[test]
fn an_answer_to_a_probe_is_no_round_trip() {
    let mut lone = Lone::with_proven_stock_client(Config::new(), 0, ms(300));
    let before = lone.connection.stats();
    lone.connection.handle_unreachable(lone.instant());
    lone.pump();
    let (_, probe) = lone.probes()[0];
    lone.run_until(lone.now + ms(450));
    lone.acknowledge(&probe, 1);
    let after = lone.connection.stats();
    assert_eq!((after.rtt, after.rtt_variance, after.rto), (before.rtt, before.rtt_variance, before.rto));
    lone.run_until(lone.now + secs(5));
    assert_eq!(lone.asked().len(), 1, "but it ends the round");
    // Also where there is no other.
    let mut lone = Lone::with_stock_client(Config::new(), 0, 1_000);
    lone.run_until(secs(1));
    let (_, probe) = lone.probes()[0];
    lone.run_until(ms(1_080));
    lone.acknowledge(&probe, 0);
    assert!(lone.connection.is_address_proven());
    assert_eq!(lone.connection.stats().rtt, None);
}

#[test]
fn welcome_is_said_twice_unasked_and_no_more_however_much_may_be_sent() {
    let mut lone = Lone::new(Config::new(), Opening::Hello(wire::Token::new(9).unwrap()), 0);
    // Three times as much as this would do for thirty of them.
    lone.hear(&[hello(9), encode(segment(Command::Push, 0), &[7; 1_000])].concat());
    let rto = lone.connection.stats().rto;
    let (ended, cause) = lone.run_to_the_end();
    assert_eq!((ended, cause), (secs(30), Cause::TimedOut(Silence::Unproven)));
    let welcomes = lone.sent.iter().filter(|(_, datagram)| {
        wire::segments(datagram)
            .flatten()
            .any(|s| Block::parse(&s).is_some_and(|block| block.body.kind() == BlockKind::Welcome))
    });
    let at: Vec<_> = welcomes.map(|(at, _)| *at).collect();
    assert_eq!(at, [ms(0), rto, rto * 2]);
    assert_eq!(lone.sent.len(), 3, "and nothing else");
}

#[test]
fn a_stock_client_is_asked_for_a_proof_after_1_2_4_and_7_seconds() {
    let mut lone = Lone::with_stock_client(Config::new(), 0, 1_000);
    let (ended, cause) = lone.run_to_the_end();
    assert_eq!((ended, cause), (secs(30), Cause::TimedOut(Silence::Unproven)));
    assert_eq!(lone.asked(), [1, 2, 4, 7].map(secs));
}

#[test]
fn the_number_of_a_probe_is_old_for_the_peer_and_for_one_that_has_forgotten() {
    const HALF: u32 = 1 << 31;
    const MARGIN: u32 = 1 << 16;
    let below = |u: u32| 3 * (1 << 30) + u / 2;
    let above = |u: u32| (1 << 30) + u / 2;
    for (unacked, number) in [
        (0, Some(below(0))),
        (1_000_001, Some(below(1_000_001))),
        (HALF - MARGIN, Some(below(HALF - MARGIN))),
        (HALF - MARGIN + 1, None),
        (HALF, None),
        (HALF + MARGIN - 1, None),
        (HALF + MARGIN, Some(above(HALF + MARGIN))),
        (3 << 30, Some(above(3 << 30))),
        (u32::MAX, Some(above(u32::MAX))),
    ] {
        let mut lone = Lone::with_stock_client(Config::new(), unacked, 1_000);
        lone.run_until(secs(8));
        let numbers: Vec<_> = lone.probes().iter().map(|(_, probe)| probe.sn.0).collect();
        let expected: Vec<_> = std::iter::repeat_n(number, 4).flatten().collect();
        assert_eq!(numbers, expected, "una {unacked}");
        for sn in numbers.into_iter().map(SeqNumber) {
            assert!(sn.is_before(SeqNumber(unacked)) && sn.is_before(SeqNumber(0)), "{sn} and {unacked}");
        }
    }
}

#[test]
fn timestamps_of_probes_are_drawn_at_random() {
    let mut lone = Lone::with_stock_client(Config::new(), 0, 1_000);
    lone.run_until(secs(8));
    let mut timestamps: Vec<_> = lone.probes().iter().map(|(_, probe)| probe.timestamp.0).collect();
    assert!(timestamps.iter().any(|&ts| ts > 1 << 20), "the clock is near 1,000: {timestamps:?}");
    timestamps.sort_unstable();
    timestamps.dedup();
    assert_eq!(timestamps.len(), 4);
}

#[test]
fn a_probe_is_the_last_segment_of_its_datagram() {
    let mut lone = Lone::with_proven_stock_client(Config::new(), 0, ms(100));
    // Data that is repeated brings one along, and acknowledgements and answers go in the same datagram.
    for n in 0..10 {
        lone.say(&[7; 300]);
        let datagram = [
            encode(Segment { una: SeqNumber(1 << 30), ..segment(Command::WindowTell, 1) }, &[]),
            encode(segment(Command::Push, 1 + n), b"data"),
            encode(segment(Command::WindowAsk, 1), &[]),
        ]
        .concat();
        lone.hear(&datagram);
        lone.run_until(lone.now + ms(400));
    }
    let (mut with, mut alone) = (0, 0);
    for (at, datagram) in &lone.sent {
        let segments: Vec<_> = wire::segments(datagram).flatten().collect();
        let Some(place) = segments.iter().position(|s| is_probe(&s.to_segment(), s.data())) else { continue };
        assert_eq!(place + 1, segments.len(), "at {at:?}: {segments:?}");
        *(if place > 0 { &mut with } else { &mut alone }) += 1;
    }
    assert!(with >= 5, "{with} beside other segments, {alone} alone");
}

#[test]
fn a_stock_peer_that_cannot_be_asked_is_not_taken_for_dead() {
    let mut lone = Lone::with_proven_stock_client(Config::new(), (1 << 31) - 9, ms(100));
    lone.run_until(secs(120));
    assert_eq!((lone.asked().len(), lone.connection.ending()), (0, None));
}

/// The peer answers at its flush tick, and only the last PUSH of it: a PROBE that was overtaken isn't answered.
#[test]
fn a_probe_that_a_push_has_overtaken_counts_for_nothing() {
    let overtaken_at = [(None, 15), (Some(ms(5_900)), 15), (Some(ms(6_500)), 18), (Some(ms(7_099)), 18)];
    for (pushed, ends) in overtaken_at.into_iter().chain([(Some(ms(7_100)), 15), (Some(ms(8_900)), 15)]) {
        let config = Config::new().keep_alive(secs(5));
        let mut lone = Lone::with_proven_stock_client(config, 0, secs(1));
        assert_eq!(lone.connection.stats().rto, secs(3));
        if let Some(at) = pushed {
            lone.run_until(at);
            lone.say(b"overtakes it");
        }
        let (ended, cause) = lone.run_to_the_end();
        assert_eq!((ended, cause), (secs(ends), Cause::TimedOut(Silence::KeepAlive)), "{pushed:?}");
        assert_eq!(lone.asked()[0], secs(6));
    }
}

#[test]
fn a_client_that_has_shown_its_address_and_not_our_token_is_asked_by_welcome() {
    let mut lone = Lone::new(Config::new(), Opening::Hello(wire::Token::new(9).unwrap()), 0);
    lone.hear(&[hello(9), encode(segment(Command::Push, 0), &[7; 1_200])].concat());
    lone.say(b"x");
    let said = lone.pushes().next().expect("it was sent");
    lone.run_until(ms(50));
    lone.acknowledge(&said, 1);
    assert!(lone.connection.is_address_proven());
    // Large datagrams don't arrive: whether small ones do is the question.
    lone.say(&[7; 1_200]);
    let before = lone.sent.len();
    lone.run_until(secs(8));
    let asks = |datagram: &[u8]| {
        let mut kinds = wire::segments(datagram).flatten();
        let welcome = kinds.next().and_then(|s| Block::parse(&s).map(|block| block.body.kind()));
        welcome == Some(BlockKind::Welcome) && kinds.all(|s| s.command() != Command::Push)
    };
    let asked = lone.sent[before..].iter().filter(|(_, datagram)| asks(datagram)).count();
    assert!(asked >= 1, "{:?}", lone.connection.stats());
}
