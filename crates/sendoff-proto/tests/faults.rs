//! Faults that other implementations have where the clock wraps or jumps, and what exploration needs.

mod sim;

use sendoff_netem::LinkConfig;
use sendoff_proto::{
    Cause, Config, Connection, Conv, Endpoint, Opening, Route, SeqNumber, Silence, Timestamp, TransmitBuffer,
    Wire,
    wire::{Command, Segment, SegmentView},
};
use sim::{Pair, ms, payload};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const CONV: u32 = 0x5b1f_03aa;

fn classic() -> Config {
    Config::new().wire(Wire::Classic)
}

/// A client whose clock of milliseconds wraps after `left` of them.
fn shortly_before_the_wrap(left: u32, now: Instant) -> Connection {
    let base = 0_u32.wrapping_sub(left);
    Connection::starting(
        Arc::new(classic()),
        Conv::new(CONV).unwrap(),
        Opening::Early,
        now,
        1,
        (SeqNumber(0), base),
    )
}

/// The first segment of what it sends now.
fn sent(connection: &mut Connection, now: Instant) -> Segment {
    let mut buffer = TransmitBuffer::new();
    assert!(connection.poll_transmit(now, &mut buffer));
    SegmentView::parse(buffer.contents()).unwrap().0.to_segment()
}

fn ack(push: &Segment, timestamp: u32, una: u32) -> Vec<u8> {
    let ack =
        Segment { command: Command::Ack, timestamp: Timestamp(timestamp), una: SeqNumber(una), ..*push };
    ack.encode_header(0).to_vec()
}

#[test]
fn a_round_trip_is_measured_across_the_wrap_of_the_clock() {
    for left in [1, 10, 19, 20, 21] {
        let now = Instant::now();
        let mut client = shortly_before_the_wrap(left, now);
        client.write(b"hello");
        let push = sent(&mut client, now);
        assert_eq!(push.timestamp.0, 0_u32.wrapping_sub(left));
        client.handle_datagram(now + ms(20), &ack(&push, push.timestamp.0, 1));
        assert_eq!((client.stats().rtt, client.is_delivered()), (Some(ms(20)), true), "{left} ms left");
        assert_eq!(client.stats().dropped_acks, 0);
    }
}

#[test]
fn an_echo_of_the_first_sending_is_true_after_the_wrap_too() {
    let now = Instant::now();
    let mut client = shortly_before_the_wrap(50, now);
    client.write(b"hello");
    let first = sent(&mut client, now);
    let at = client.poll_timeout().unwrap();
    client.handle_timeout(at);
    let second = sent(&mut client, at);
    assert!(second.timestamp.0 < first.timestamp.0, "the clock has wrapped between");
    client.handle_datagram(at + ms(30), &ack(&first, first.timestamp.0, 1));
    assert_eq!(client.stats().rtt, Some(at - now + ms(30)), "not that of the second");
}

#[test]
fn forged_echoes_around_the_wrap_are_dropped_and_nothing_else_happens() {
    let now = Instant::now();
    for left in [0, 1, 5, 50] {
        let mut client = shortly_before_the_wrap(left, now);
        client.write(&payload(5 * 1_376, 1));
        let push = sent(&mut client, now);
        let (true_echo, before) = (push.timestamp.0, client.stats());
        let offsets = [1, 2, 49, 50, 51, 1_000, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, u32::MAX];
        for (count, offset) in (1..).zip(offsets) {
            let forged = ack(&push, true_echo.wrapping_add(offset), 0);
            client.handle_datagram(now + ms(10), &forged);
            let stats = client.stats();
            assert_eq!((stats.dropped_acks, stats.in_flight), (count, 5), "{left} ms left, {offset}");
            assert_eq!((stats.rtt, stats.rto), (None, before.rto));
        }
    }
}

#[test]
fn however_late_the_clock_comes_each_probe_has_a_round_of_its_own() {
    let every = Duration::from_secs(1);
    let mut pair = Pair::new(classic().keep_alive(every), LinkConfig::new().delay(ms(10)), 1);
    pair.transfer(0, b"hello", ms(1_000));
    pair.server().stopped = true;
    let mut buffer = TransmitBuffer::new();
    for probes in 1..=3 {
        // The process was stopped for an hour before each of them.
        pair.now += ms(3_600_000);
        let now = pair.instant();
        let client = &mut pair.client().connection;
        client.handle_timeout(now);
        assert_eq!(client.ending(), None, "before probe {probes} could be answered");
        assert!(client.poll_timeout().is_some_and(|next| next > now), "no time to answer probe {probes}");
        assert!(client.has_transmit() && client.poll_transmit(now, &mut buffer) && buffer.len() == 1);
        assert_eq!(client.stats().probes_sent, probes);
    }
    pair.now += ms(3_600_000);
    let now = pair.instant();
    let client = &mut pair.client().connection;
    client.handle_timeout(now);
    assert_eq!(client.ending().unwrap().cause, Cause::TimedOut(Silence::KeepAlive));
}

#[test]
fn copies_of_an_endpoint_and_its_connections_go_their_own_ways() {
    let (now, config) = (Instant::now(), Arc::new(classic()));
    let (remote, conv) = (SocketAddr::from(([127, 0, 0, 1], 7)), Conv::new(CONV).unwrap());
    let mut client = Connection::new(config.clone(), conv, Opening::Early, now, 1);
    client.write(b"hello");
    let mut buffer = TransmitBuffer::new();
    assert!(client.poll_transmit(now, &mut buffer));
    let first = buffer.contents().to_vec();
    let endpoint = Endpoint::<u32>::new(config.clone(), true);

    // One in which the datagram is lost, and one in which it comes twice.
    let (mut lost, mut doubled) = (endpoint.clone(), endpoint);
    assert_eq!(doubled.route(now, remote, &first), Route::Opens(conv, Opening::Stock));
    doubled.insert(remote, conv, 1);
    assert_eq!(doubled.route(now, remote, &first), Route::Known(1));
    assert_eq!((lost.connections(), doubled.connections()), (0, 1));
    assert_eq!(lost.route(now, remote, &first), Route::Opens(conv, Opening::Stock));

    let (mut answered, mut silent) = (client.clone(), client);
    let push = SegmentView::parse(&first).unwrap().0.to_segment();
    answered.handle_datagram(now + ms(1), &ack(&push, push.timestamp.0, 1));
    let at = silent.poll_timeout().unwrap();
    silent.handle_timeout(at);
    assert!(answered.is_delivered() && !answered.has_transmit());
    assert!(!silent.is_delivered() && silent.poll_transmit(at, &mut buffer));
}
