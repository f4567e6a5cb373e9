//! What was recorded, sent again from somewhere else: it moves nothing.

use super::*;
use sendoff_proto::wire::{Block, Body};

/// A conversation with a move in it, and all that the client has sent so far.
fn recorded() -> (Net, Vec<Vec<u8>>) {
    let mut net = connected(Config::new());
    net.talk(CLIENT).app.outgoing = payload(10_000, 5);
    net.run_for(ms(1_000));
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    net.run_for(ms(1_000));
    assert_eq!(seen_at(&mut net), addr(AWAY));
    let sent = net.sent_by(CLIENT).chain(net.sent_by(AWAY)).map(|sent| sent.bytes.clone()).collect();
    (net, sent)
}

#[test]
fn no_datagram_of_the_client_moves_it_when_it_is_sent_again_from_elsewhere() {
    let (mut net, sent) = recorded();
    assert!(
        sent.iter().any(|bytes| has(bytes, BlockKind::Ping))
            && sent.iter().any(|bytes| has(bytes, BlockKind::Pong))
    );
    // From nowhere, from where it was, and each in every order of two.
    for from in [FURTHER, CLIENT] {
        for first in &sent {
            for second in
                sent.iter().filter(|bytes| has(bytes, BlockKind::Ping) || has(bytes, BlockKind::Pong))
            {
                net.inject(addr(from), SERVER, second.clone());
                net.inject(addr(from), SERVER, first.clone());
                net.run_for(ms(25));
                assert_eq!(seen_at(&mut net), addr(AWAY));
            }
        }
    }
    say_the_rest(&mut net, AWAY, b"!");
    net.run_to_the_end(AWAY, SERVER);
    assert_eq!(net.ending(AWAY).cause, Cause::Closed);
    assert_eq!(net.connection(SERVER).stats().moves, 1);
}

fn has(bytes: &[u8], kind: BlockKind) -> bool {
    sendoff_proto::wire::segments(bytes)
        .flatten()
        .any(|segment| Block::parse(&segment).is_some_and(|block| block.body.kind() == kind))
}

/// The challenge that the server has last sent to an address.
fn challenge_to(net: &Net, n: u8) -> Option<u64> {
    let there = net.log.iter().rev().filter(|sent| sent.to == addr(n));
    there.flat_map(|sent| sent.blocks().collect::<Vec<_>>()).find_map(|block| match block.body {
        Body::Ping { challenge } => Some(challenge),
        _ => None,
    })
}

fn forged_ping(net: &mut Net) -> Vec<u8> {
    let (own, client) = (net.connection(SERVER).token().value(), net.connection(CLIENT).token().value());
    block(segment(Command::WindowAsk, 1), own, client, Body::Ping { challenge: 9 })
}

fn forged_pong(net: &mut Net, challenge: u64) -> Vec<u8> {
    let (own, client) = (net.connection(SERVER).token().value(), net.connection(CLIENT).token().value());
    block(segment(Command::WindowTell, 1), own, client, Body::Pong { challenge })
}

#[test]
fn the_answer_counts_from_the_address_that_was_asked_and_within_ten_seconds() {
    for (from, wait, moves) in [(AWAY, 100, true), (FURTHER, 100, false), (AWAY, 10_000, false)] {
        let mut net = connected(Config::new());
        let ping = forged_ping(&mut net);
        net.inject(addr(AWAY), SERVER, ping);
        let challenge = challenge_to(&net, AWAY).expect("a question");
        net.run_for(ms(wait));
        let pong = forged_pong(&mut net, challenge);
        net.inject(addr(from), SERVER, pong);
        assert_eq!(seen_at(&mut net) != addr(CLIENT), moves, "from {from} after {wait} ms");
    }
}

#[test]
fn an_answer_counts_once() {
    let mut net = connected(Config::new());
    let ping = forged_ping(&mut net);
    net.inject(addr(AWAY), SERVER, ping);
    let pong =
        challenge_to(&net, AWAY).map(|challenge| forged_pong(&mut net, challenge)).expect("a question");
    net.inject(addr(AWAY), SERVER, pong.clone());
    assert_eq!(seen_at(&mut net), addr(AWAY));
    // The true one speaks up, and is followed back.
    net.talk(CLIENT).app.outgoing = b"here".to_vec();
    net.run_until(ms(2_000), |net| seen_at(net) == addr(CLIENT));
    net.inject(addr(AWAY), SERVER, pong);
    assert_eq!(seen_at(&mut net), addr(CLIENT));
}

#[test]
fn who_asks_from_a_hundred_other_addresses_does_not_stand_in_the_way_of_the_true_one() {
    let mut net = connected(Config::new());
    let ping = forged_ping(&mut net);
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    let began = net.now;
    while seen_at(&mut net) != addr(AWAY) {
        for n in 10..110 {
            net.inject(addr(n), SERVER, ping.clone());
        }
        net.run_for(ms(5));
        assert!(net.now < began + ms(100), "held up");
    }
    assert_eq!(net.now - began, ms(30));
}

#[test]
fn a_flood_of_questions_is_answered_by_a_thousand_datagrams_a_second_of_less_than_three_times_the_bytes() {
    // Also where something that asks for nothing stands in front, by a token that isn't the client's.
    for in_front in [false, true] {
        let mut net = connected(Config::new());
        let own = net.connection(SERVER).token().value();
        let pong = block(segment(Command::WindowTell, 1), own, 9, Body::Pong { challenge: 7 });
        let mut ping = if in_front { pong } else { Vec::new() };
        ping.extend(forged_ping(&mut net));
        let before = net.sent_by(SERVER).count();
        let mut asked = 0;
        for n in 0..5_000u16 {
            let from = std::net::SocketAddr::from(([198, 51, 100, (n % 250) as u8], 1_000 + n));
            asked += ping.len();
            net.inject(from, SERVER, ping.clone());
        }
        let told: Vec<_> = net.sent_by(SERVER).skip(before).map(|sent| sent.bytes.len()).collect();
        assert_eq!(told.len(), 1_000, "a PING and a PONG each");
        assert!(told.iter().sum::<usize>() < 3 * asked);
        assert_eq!(seen_at(&mut net), addr(CLIENT));
    }
}

#[test]
fn a_blind_flood_keeps_nobody_from_moving() {
    let mut net = connected(Config::new());
    net.move_host(CLIENT, AWAY);
    let now = net.instant();
    net.connection(AWAY).handle_new_path(now);
    let began = net.now;
    while seen_at(&mut net) != addr(AWAY) {
        // All that an endpoint answers in a second.
        for n in 10..210 {
            for sn in 5..15 {
                let push = sendoff_proto::wire::Segment { conv: 77, ..segment(Command::Push, sn) };
                net.inject(addr(n), SERVER, sim::net::encode(push, b"x"));
            }
        }
        net.run_for(ms(5));
        assert!(net.now < began + ms(1_000), "held up");
    }
    assert_eq!(net.now - began, ms(30));
    assert_eq!(net.at(SERVER).endpoint.stats().answered, 1_000);
}

#[test]
fn a_proof_moves_nothing_before_the_table_has_let_it() {
    let mut net = connected(Config::new());
    let ping = forged_ping(&mut net);
    net.inject(addr(AWAY), SERVER, ping);
    let challenge = challenge_to(&net, AWAY).expect("a question");
    let pong = forged_pong(&mut net, challenge);
    let now = net.instant();
    let connection = net.connection(SERVER);
    let rtt = connection.stats().rtt;
    for _ in 0..2 {
        let met = connection.handle_elsewhere(now, addr(AWAY), &pong);
        assert_eq!(met, sendoff_proto::Elsewhere::Moved);
        assert_eq!((connection.stats().moves, connection.stats().rtt), (0, rtt));
    }
    connection.handle_moved(now);
    assert_eq!(connection.stats().moves, 1);
    let met = connection.handle_elsewhere(now, addr(AWAY), &pong);
    assert_eq!(met, sendoff_proto::Elsewhere::Ignored, "it counts once");
}

#[test]
fn who_names_only_one_token_is_nobody() {
    let mut net = connected(Config::new());
    let (own, client) = (net.connection(SERVER).token().value(), net.connection(CLIENT).token().value());
    for (to, from) in [(own, client ^ 1), (own ^ 1, client), (client, own)] {
        for body in [
            Body::Ping { challenge: 3 },
            Body::Pong { challenge: 3 },
            Body::Hello { features: 0, cookie: [0; 16] },
        ] {
            let datagram = block(segment(body.kind().carrier(), 1), to, from, body);
            net.inject(addr(AWAY), SERVER, datagram);
        }
    }
    net.run_for(ms(100));
    assert_eq!(challenge_to(&net, AWAY), None);
    assert_eq!(seen_at(&mut net), addr(CLIENT));
    assert_eq!(net.accepted(SERVER), 1);
}

#[test]
fn questions_from_elsewhere_are_no_sign_of_life() {
    let mut net = connected(Config::new());
    let ping = forged_ping(&mut net);
    // The client is gone; somebody repeats what it has said.
    net.nodes.remove(&addr(CLIENT));
    net.run_until(ms(60_000), |net| {
        net.inject(addr(AWAY), SERVER, ping.clone());
        net.at(SERVER).is_over()
    });
    assert!(matches!(net.ending(SERVER).cause, Cause::TimedOut(_)));
}
