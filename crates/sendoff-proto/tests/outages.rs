//! What goes into a path that carries nothing, and how soon all is well again, in virtual time.

mod sim;

use sendoff_netem::LinkConfig;
use sendoff_proto::{
    Config, Connection, Opening, SeqNumber, TransmitBuffer, Wire,
    wire::{Command, Segment, segments},
};
use sim::{
    Pair, ms,
    net::{conv, encode, segment},
    payload,
};
use std::{sync::Arc, time::Instant};

/// When the path breaks.
const BREAKS: u64 = 1_000;

/// A whole window of the fastest profile meets a hole of so many milliseconds. Says how many segments were sent in it,
/// and when all was delivered after it.
fn hole(lasts: u64) -> (u64, std::time::Duration) {
    let link = || LinkConfig::new().delay(ms(15));
    let broken = link().partition(ms(BREAKS)..ms(BREAKS + lasts));
    let ways = [broken.clone(), broken];
    let mut pair = Pair::with([Config::fast3(), Config::fast3()], ways, 1, sim::Start::default());
    pair.transfer(0, &payload(200_000, 1), ms(BREAKS));
    let rest = ms(BREAKS) - pair.now;
    pair.run_for(rest);
    // More than the window holds: what follows can only leave once the hole is over.
    let data = payload(2_000_000, 2);
    pair.client().outgoing.extend_from_slice(&data);
    let before = pair.client().connection.stats().segments_sent;
    pair.run_for(ms(lasts - 1));
    assert_eq!(pair.client().connection.stats().in_flight, 1_024);
    let sent = pair.client().connection.stats().segments_sent - before;
    pair.run_until(ms(60_000), |p| {
        p.client().written == p.client().outgoing.len() && p.client().connection.is_delivered()
    });
    pair.pump();
    assert!(pair.server().received[200_000..] == data);
    (sent, pair.now - ms(BREAKS + lasts))
}

#[test]
fn a_window_that_meets_a_hole_is_sent_again_by_less_each_time() {
    let (sent, _) = hole(18_000);
    assert!((3_000..6_000).contains(&sent), "{sent} segments, 1,024 of them new, in 18 s");
}

#[test]
fn after_a_hole_all_is_well_as_soon_as_if_all_had_been_sent_again_each_time() {
    // Without a limit on what is sent again it took so many milliseconds; a round trip more is allowed.
    for (lasts, took) in [(100, 119), (1_000, 175), (3_000, 375), (10_000, 387)] {
        let (_, soon) = hole(lasts);
        assert!(soon <= ms(took + 31), "{soon:?} after {lasts} ms, and {took} ms before");
    }
}

#[test]
fn a_peer_that_takes_back_all_acknowledgements_is_sent_all_less_and_less_often() {
    let config = Arc::new(Config::new().wire(Wire::Classic));
    let start = Instant::now();
    let mut connection = Connection::new(config, conv(), Opening::Early, start, 1);
    assert_eq!(connection.write(&[7; 32 * 1_376]), 32 * 1_376);
    let mut buffer = TransmitBuffer::new();
    let (mut sent, mut last) = (0, None);
    // As a stock server does that has closed before it had acknowledged anything.
    for n in 0..60_000 {
        let now = start + ms(n);
        if connection.poll_timeout().is_some_and(|at| at <= now) {
            connection.handle_timeout(now);
        }
        let mut acks = Vec::new();
        while connection.poll_transmit(now, &mut buffer) {
            for push in buffer.datagrams().flat_map(segments).flatten() {
                assert_eq!(push.command(), Command::Push);
                let ack = Segment { timestamp: push.timestamp(), ..segment(Command::Ack, push.sn().0) };
                acks.push(encode(ack, &[]));
                last = Some(ack);
                sent += 1;
            }
        }
        for ack in acks {
            connection.handle_datagram(now, &ack);
        }
    }
    assert!(connection.ending().is_none(), "it answers");
    assert!((5 * 32..15 * 32).contains(&sent), "{sent} segments in a minute");
    // One that only looked so is believed whenever it says that it has them.
    let ack = Segment { una: SeqNumber(32), ..last.unwrap() };
    connection.handle_datagram(start + ms(60_001), &encode(ack, &[]));
    assert!(connection.is_delivered());
}
