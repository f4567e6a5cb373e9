//! The beginning.

use super::*;
use crate::sim::net::{block, hello};
use sendoff_proto::{DropReason, Route, wire::Body};

const LONG: [u8; 6_000] = [7; 6_000];

#[test]
fn whichever_of_the_first_datagrams_is_lost_nothing_dies() {
    for first in 0..8 {
        for count in 1..4 {
            for (from, how) in
                [(1, Opening::Early), (2, Opening::Early), (1, Opening::Waiting), (2, Opening::Waiting)]
            {
                let mut net = dialled(&LONG, how);
                let mut n = 0;
                net.loses = Some(Box::new(move |sent| {
                    n += usize::from(sent.from == addr(from));
                    sent.from == addr(from) && (first + 1..first + 1 + count).contains(&n)
                }));
                ends_well(&mut net, &LONG);
            }
        }
    }
}

#[test]
fn first_datagrams_in_any_order_open_one_connection() {
    for first in 0..5 {
        let mut net = dialled(&LONG, Opening::Early);
        net.run_until(ms(100), |net| !net.log.is_empty());
        let flight: Vec<_> = net.sent_by(1).map(|sent| sent.bytes.clone()).collect();
        assert_eq!(flight.len(), 5);
        // They come once more later, in their order.
        for at in 0..flight.len() {
            net.inject(addr(1), 2, flight[(first + at) % flight.len()].clone());
        }
        ends_well(&mut net, &LONG);
    }
}

#[test]
fn a_first_segment_sent_again_to_a_restarted_server_opens_nothing_there() {
    for how in [Opening::Early, Opening::Waiting] {
        let mut net = dialled(b"an order", how);
        net.talk(1).app.finishes = false;
        net.talk(1).app.outgoing.clear();
        net.run_for(ms(100));
        let fill = net.connection(1).write(b"an order");
        assert!(fill > 0);
        // The server hears of it, and its answer is lost with it.
        net.loses = Some(Box::new(|sent| sent.from == addr(2)));
        net.run_for(DELAY * 2);
        restart(&mut net, 2, true);
        net.loses = None;
        net.run_until(ms(10_000), |net| net.at(1).is_over());
        assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 1), "{how:?}");
        assert_eq!(net.accepted(2), 0, "{how:?}: {:#?}", net.log);
        assert_eq!(net.talk(1).app.received, b"");
    }
}

#[test]
fn a_copy_of_a_hello_opens_no_second_connection_however_the_first_has_ended() {
    type End = fn(&mut Net);
    let ends: [End; 5] = [
        |net| net.talk(1).app.finishes = true,
        |net| {
            let now = net.instant();
            net.connection(1).abort(now, 42);
        },
        |net| {
            let now = net.instant();
            net.connection(2).abort(now, 42);
        },
        |net| {
            let now = net.instant();
            net.connection(2).close(now, 43, "");
            net.connection(1).close(now, 43, "");
        },
        // Its client is gone, and it finds out.
        |net| {
            net.nodes.remove(&addr(1));
            net.connection(2).write(b"anybody?");
        },
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut net = dialled(b"hello", Opening::Early);
        net.talk(1).app.finishes = false;
        net.run_for(ms(200));
        let copies: Vec<_> = net.sent_by(1).filter(|sent| sent.has(BlockKind::Hello)).cloned().collect();
        assert!(!copies.is_empty());
        end(&mut net);
        net.run_until(ms(60_000), |net| net.at(2).is_over());
        let ended = net.now;
        while net.now < ended + ms(9_500) {
            for copy in &copies {
                net.inject(addr(1), 2, copy.bytes.clone());
            }
            net.run_for(ms(500));
            assert_eq!(net.accepted(2), 1, "end {n}");
        }
    }
}

#[test]
fn lost_welcomes_keep_nobody_from_the_end() {
    for how in [Opening::Early, Opening::Waiting] {
        for count in 1..5 {
            let mut net = dialled(b"hello", how);
            lose(&mut net, count, |sent| sent.has(BlockKind::Welcome));
            ends_well(&mut net, b"hello");
        }
    }
}

#[test]
fn the_proof_is_repeated_until_it_has_come() {
    for how in [Opening::Early, Opening::Waiting] {
        let mut net = Net::default();
        net.host(1, Config::new(), false, Script::default());
        net.host(2, Config::new(), true, Script::echo());
        net.dial(1, 2, how);
        lose(&mut net, 4, |sent| sent.has(BlockKind::Ping) || sent.has(BlockKind::Pong));
        net.run_for(ms(15_000));
        assert!(net.connection(2).is_address_proven() && net.connection(2).ending().is_none(), "{how:?}");
        assert!(net.connection(1).ending().is_none());
        net.talk(1).app.outgoing = b"late".to_vec();
        net.talk(1).app.finishes = true;
        ends_well(&mut net, b"late");
    }
}

#[test]
fn an_acknowledgement_proves_an_address_but_welcome_stays_in_front_until_a_token_has_come() {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::says(b"hello"));
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, Opening::Early);
    // An ACK reaches the server before any block that names its token.
    net.run_for(DELAY);
    let at = net.instant();
    let push = net.sent_by(2).flat_map(Sent::segments).find(|s| s.command() == Command::Push);
    let push = push.expect("the echo rides with WELCOME");
    let ack =
        Segment { timestamp: push.timestamp(), una: SeqNumber(1), ..segment(Command::Ack, push.sn().0) };
    net.inject(addr(1), 2, encode(ack, &[]));
    assert!(net.connection(2).is_address_proven());
    let mut server = net.connection(2).clone();
    server.write(b"more");
    server.finish();
    let mut buffer = TransmitBuffer::new();
    assert!(server.poll_transmit(at, &mut buffer));
    for datagram in buffer.datagrams() {
        let sent = Sent { at: net.now, from: addr(2), to: addr(1), bytes: datagram.to_vec() };
        assert_eq!(sent.blocks().next().map(|b| b.body.kind()), Some(BlockKind::Welcome), "{sent:?}");
        assert!(!sent.has(BlockKind::Fin));
    }
    // And data without a HELLO in front isn't taken.
    let before = server.stats().bytes_received;
    server.handle_datagram(at, &encode(segment(Command::Push, 1), b"stray"));
    assert_eq!((server.stats().bytes_received, server.stats().dropped_unfronted), (before, 1));
}

#[test]
fn the_same_conv_again_within_ten_seconds_is_dialled_anew_unseen() {
    for how in [Opening::Early, Opening::Waiting] {
        let mut net = dialled(b"hello", how);
        net.run_to_the_end(1, 2);
        // Another process at the same port draws the same conv.
        restart(&mut net, 1, false);
        net.dial(1, 2, how);
        net.run_to_the_end(1, 2);
        assert_eq!(net.ending(1).cause, Cause::Closed);
        assert_eq!(net.talk(1).app.received, b"hello");
        assert_ne!(net.connection(1).conv(), conv(), "by another name");
        assert_eq!(net.accepted(2), 2);
    }
}

#[test]
fn a_conv_set_by_hand_is_not_dialled_while_its_tombstone_stands_and_refused_there() {
    let mut net = Net::default();
    net.host(1, Config::new().conv(conv()), false, Script::says(b"hello"));
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, Opening::Early);
    net.run_to_the_end(1, 2);
    let now = net.instant();
    assert!(net.at(1).endpoint.is_buried(now, addr(2), conv()), "so `connect` refuses it");
    assert!(!net.at(1).endpoint.is_buried(now + ms(10_000), addr(2), conv()));
    let app = Script::says(b"again");
    net.host(1, Config::new().conv(conv()), false, app);
    net.dial(1, 2, Opening::Early);
    net.run_until(ms(1_000), |net| net.at(1).is_over());
    assert_eq!(cause(&mut net, 1), (Cause::Refused, Party::Peer, 2));
    assert_eq!(net.accepted(2), 1);
}

#[test]
fn a_server_opened_by_an_old_hello_and_its_client_both_learn_of_it() {
    let mut net = dialled(b"hello", Opening::Early);
    net.talk(1).app.finishes = false;
    net.run_for(ms(200));
    let copy = net.log[0].bytes.clone();
    restart(&mut net, 2, true);
    net.inject(addr(1), 2, copy);
    net.run_for(ms(30_000));
    assert_eq!(cause(&mut net, 2), (Cause::Reset, Party::Peer, 1), "{:#?}", net.log);
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 1));
}

#[test]
fn two_that_dial_each_other_by_one_name_both_time_out_and_confuse_nobody() {
    let mut net = Net::default();
    for (n, other) in [(1, 2), (2, 1)] {
        net.host(n, Config::new(), true, Script::says(b"hello"));
        net.dial(n, other, Opening::Early);
    }
    net.run_until(ms(10_000), |net| net.at(1).is_over() && net.at(2).is_over());
    for n in [1, 2] {
        assert_eq!(net.ending(n).cause, Cause::TimedOut(Silence::Opening));
        assert_eq!((net.accepted(n), net.talk(n).app.received.len()), (1, 0));
    }
}

#[test]
fn a_server_is_told_of_an_opening_that_was_given_up() {
    type End = fn(&mut Connection, std::time::Instant);
    let ends: [(End, u32); 2] =
        [(|client, now| client.abort(now, 42), 42), (|client, now| client.close(now, 0, ""), 1)];
    for (end, code) in ends {
        let mut net = Net::default();
        net.host(1, Config::new(), false, Script::default());
        net.host(2, Config::new(), true, Script::echo());
        net.dial(1, 2, Opening::Waiting);
        net.run_for(DELAY);
        let now = net.instant();
        end(net.connection(1), now);
        net.run_until(ms(1_000), |net| net.at(2).is_over());
        assert_eq!(cause(&mut net, 2), (Cause::Reset, Party::Peer, code), "{:#?}", net.log);
    }
}

#[test]
fn a_late_conflict_ends_no_open_connection() {
    let mut net = connected(Config::new());
    let tokens = [1, 2].map(|n| net.connection(n).token().value());
    for (victim, token) in [(1, tokens[0]), (2, tokens[1])] {
        let reset = block(segment(Command::WindowTell, 1), token, 0, Body::Reset { code: 2, reason: "" });
        net.inject(addr(3 - victim), victim, reset);
    }
    net.talk(1).app.outgoing = b"on".to_vec();
    net.talk(1).app.finishes = true;
    ends_well(&mut net, b"on");
}

#[test]
fn unproven_connections_end_with_data_and_without() {
    for (data, lasts) in [(false, 10_000), (true, 30_000)] {
        let mut net = Net::default();
        net.host(2, Config::new().keep_alive(None), true, Script::echo());
        let mut first = hello(0xbad);
        if data {
            first.extend(encode(segment(Command::Push, 0), b"x"));
        }
        net.inject(addr(9), 2, first);
        net.run_until(ms(60_000), |net| net.at(2).is_over());
        assert_eq!((net.ending(2).cause, net.now), (Cause::TimedOut(Silence::Unproven), ms(lasts)));
        assert_eq!(net.at(2).endpoint.unproven(), (0, 0));
    }
}

#[test]
fn numbers_that_stock_listeners_take_for_an_end_stand_in_a_first_hello_only() {
    let mut net = dialled(&LONG, Opening::Early);
    net.run_to_the_end(1, 2);
    let zeros = net.log.iter().flat_map(|sent| sent.segments().zip(std::iter::repeat(sent)));
    let zeros = zeros.filter(|(s, _)| s.sn() == SeqNumber(0));
    for (segment, sent) in
        zeros.filter(|(s, _)| matches!(s.command(), Command::WindowAsk | Command::WindowTell))
    {
        let first = sendoff_proto::wire::Block::parse(&segment)
            .is_some_and(|b| b.to.is_none() && b.body.kind() == BlockKind::Hello);
        assert!(first, "{sent:?}");
    }
}

#[test]
fn timestamps_begin_anywhere() {
    let mut begun: Vec<_> = (0..64)
        .map(|seed| {
            let now = std::time::Instant::now();
            let mut client = Connection::new(Arc::new(Config::new()), conv(), Opening::Early, now, seed);
            client.write(b"x");
            let mut buffer = TransmitBuffer::new();
            assert!(client.poll_transmit(now, &mut buffer));
            let ts = |d: &[u8]| {
                sendoff_proto::wire::segments(d).last().and_then(Result::ok).map(|s| s.timestamp())
            };
            buffer.datagrams().next().and_then(ts).unwrap_or(Timestamp(0)).0 >> 24
        })
        .collect();
    begun.sort_unstable();
    begun.dedup();
    assert!(begun.len() > 32, "spread over the whole range: {begun:?}");
}

#[test]
fn a_first_segment_behind_a_welcome_opens_nothing_and_draws_a_hint() {
    let mut net = Net::default();
    net.host(1, Config::new(), true, Script::echo());
    let now = net.instant();
    let welcome = block(segment(Command::WindowTell, 1), 0xbad, 0xbad, Body::Welcome { features: 0 });
    let answer = net.at(1).receive(now, addr(2), &welcome);
    assert_eq!(answer, Vec::<Vec<u8>>::new(), "a WELCOME alone is never answered");
    let answer =
        net.at(1).receive(now, addr(2), &[welcome, encode(segment(Command::Push, 0), b"x")].concat());
    let hint = Segment { una: SeqNumber(3 << 30), ..segment(Command::WindowTell, 1) };
    assert_eq!(answer, [encode(hint, &[])]);
    assert_eq!(net.accepted(1), 0);
}

#[test]
fn a_question_without_data_opens_nothing() {
    let mut net = Net::default();
    net.host(2, Config::new(), true, Script::echo());
    let now = net.instant();
    for sn in [0, 1] {
        let route = net.at(2).endpoint.route(now, addr(1), &encode(segment(Command::WindowAsk, sn), &[]));
        assert_eq!(route, Route::Dropped(DropReason::Unknown));
    }
    assert_eq!(net.accepted(2), 0);
}
