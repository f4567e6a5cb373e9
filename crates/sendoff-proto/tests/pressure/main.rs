//! A server under pressure asks clients to come again with a cookie, and stores nothing until they do. Their
//! applications notice nothing.

mod client;
mod cookies;
mod limits;
#[path = "../sim/mod.rs"]
mod sim;

use sendoff_proto::{
    Cause, Config, Connection, Conv, Opening, PeerKind, Silence,
    wire::{Block, BlockKind, Body, Command, Token},
};
use sim::{
    ms,
    net::{Net, Script, Sent, addr, block, hello, segment},
};
use std::net::SocketAddr;

/// A client at 1 that says `data` and finishes, and a server at 2 that echoes and needs a cookie from everybody.
fn under_pressure(config: Config, how: Opening, data: &[u8]) -> Net {
    let mut net = Net::default();
    net.host(1, config.clone(), false, Script::says(data));
    net.host(2, config, true, Script::echo());
    net.at(2).endpoint.set_pressure(0);
    net.dial(1, 2, how);
    net
}

/// Both have all, and have ended in order.
fn ends_well(net: &mut Net, bytes: u64) {
    net.run_to_the_end(1, 2);
    for host in [1, 2] {
        let ending = net.ending(host);
        assert_eq!((ending.cause, ending.code), (Cause::Closed, 17), "{host}: {ending} {:#?}", net.log);
        assert_eq!((ending.bytes_received, ending.bytes_acknowledged), (bytes, bytes), "{host}: {ending}");
        assert_eq!(net.connection(host).peer_kind(), PeerKind::Extended);
    }
    assert_eq!(net.accepted(2), 1);
}

fn cookie_of(sent: &Sent) -> Option<[u8; 16]> {
    sent.blocks().find_map(|block| match block.body {
        Body::Hello { cookie, .. } | Body::Retry { cookie } => Some(cookie),
        _ => None,
    })
}

fn has_data(sent: &Sent) -> bool {
    sent.segments().any(|s| s.command() == Command::Push)
}

/// The kinds of the blocks of all datagrams, in their order; who sent them.
fn story(net: &Net) -> Vec<(u8, Vec<BlockKind>)> {
    let host = |sent: &Sent| if sent.from == addr(1) { 1 } else { 2 };
    net.log.iter().map(|sent| (host(sent), sent.blocks().map(|b| b.body.kind()).collect())).collect()
}

#[test]
fn a_client_comes_again_with_a_cookie_at_once_and_its_application_notices_nothing() {
    for (how, len) in [(Opening::Waiting, 5), (Opening::Early, 5), (Opening::Early, 60_000)] {
        let data = vec![7; len];
        let mut net = under_pressure(Config::new(), how, &data);
        net.run_until(ms(1_000), |net| net.at(1).talks[0].connection.is_established());
        let retry = net.log.iter().position(|sent| sent.has(BlockKind::Retry)).unwrap();
        let (before, after) = net.log.split_at(retry + 1);
        assert!(
            before.iter().all(|sent| cookie_of(sent) != cookie_of(&before[retry]) || sent.from == addr(2))
        );
        let again = after.iter().find(|sent| sent.from == addr(1)).unwrap();
        assert_eq!(again.at, before[retry].at + ms(10), "no back-off: {:#?}", net.log);
        assert_eq!(cookie_of(again), cookie_of(&before[retry]));
        let rides = how == Opening::Early;
        assert_eq!(has_data(again), rides, "and everything that rides");
        let flight = after.iter().filter(|sent| sent.from == addr(1) && sent.at == again.at);
        let segments: usize =
            flight.flat_map(Sent::segments).filter(|s| s.command() == Command::Push).count();
        let first = before.iter().flat_map(Sent::segments).filter(|s| s.command() == Command::Push).count();
        assert_eq!(segments, first, "what was sent before is sent again");
        assert_eq!(net.connection(1).stats().retries, 1);
        assert_eq!(net.at(2).endpoint.stats().cookies_accepted, 1);
        ends_well(&mut net, len as u64);
    }
}

#[test]
fn a_small_conversation_under_pressure_takes_one_round_trip_more() {
    let data = b"hello";
    let took = |pressure: usize| {
        let mut net = under_pressure(Config::new(), Opening::Early, data);
        net.at(2).endpoint.set_pressure(pressure);
        net.run_until(ms(1_000), |net| net.talk(1).app.received == data);
        net.now
    };
    assert_eq!(took(0), took(usize::MAX) + ms(20));
}

#[test]
fn a_cookie_proves_the_address_but_not_who_speaks() {
    let mut net = under_pressure(Config::new(), Opening::Waiting, b"hello");
    net.at(2).app = Script { outgoing: vec![5; 20_000], ..Script::default() };
    net.loses = Some(Box::new(|sent: &Sent| sent.has(BlockKind::Ping)));
    net.run_until(ms(1_000), |net| net.accepted(2) == 1);
    assert!(net.connection(2).is_address_proven() && !net.connection(2).is_proven());
    assert_eq!(net.at(2).endpoint.unproven(), (0, 0), "it counts in no limit");
    let at = net.now;
    let flight = || net.log.iter().filter(|sent| sent.from == addr(2) && sent.at == at);
    assert!(flight().map(|sent| sent.bytes.len()).sum::<usize>() > 10_000, "nor is it bound to three times");
    assert!(flight().all(|sent| sent.has(BlockKind::Welcome)), "WELCOME stands in front all the same");
    net.loses = None;
    net.run_until(ms(2_000), |net| net.connection(2).is_proven());
    net.run_until(ms(2_000), |net| net.talk(1).app.received.len() == 20_000);
}

/// A stock client would misread it, and takes no cookie.
#[test]
fn who_has_shown_a_cookie_is_told_the_end_at_once() {
    for (pressure, expected) in [(0, true), (usize::MAX, false)] {
        let mut net = under_pressure(Config::new(), Opening::Early, b"hello");
        net.at(2).endpoint.set_pressure(pressure);
        net.at(2).app = Script::says(b"olleh");
        net.run_until(ms(1_000), |net| net.accepted(2) == 1);
        let welcome = net.log.iter().find(|sent| sent.has(BlockKind::Welcome)).unwrap();
        assert_eq!(welcome.has(BlockKind::Fin), expected, "{welcome:?}");
        ends_well(&mut net, 5);
    }
}

#[test]
fn a_client_that_vanishes_after_its_cookie_is_forgotten_in_ten_seconds() {
    for data in [&b""[..], b"hello"] {
        let mut net = under_pressure(Config::new().keep_alive(None), Opening::Early, data);
        if data.is_empty() {
            net.talk(1).app.finishes = false;
        }
        net.run_until(ms(1_000), |net| net.accepted(2) == 1);
        net.nodes.remove(&addr(1));
        let opened = net.now;
        net.run_until(ms(120_000), |net| net.at(2).is_over());
        let ending = net.ending(2);
        assert_eq!(ending.by, sendoff_proto::Party::Network);
        if data.is_empty() {
            assert_eq!(ending.cause, Cause::TimedOut(Silence::Unproven));
            assert_eq!(net.now, opened + ms(10_000));
            assert_eq!(net.at(2).endpoint.tombstones(), 0);
        } else {
            assert!(net.now >= opened + ms(20_000), "it has said something: it gets longer, {:?}", net.now);
        }
    }
}

#[test]
fn the_pressure_may_come_and_go_while_a_client_opens() {
    // The server changes its mind after so many datagrams, once or twice.
    for how in [Opening::Waiting, Opening::Early] {
        for first in [0, usize::MAX] {
            for change in 1..6 {
                for back in change + 1..7 {
                    let mut net = under_pressure(Config::new(), how, b"hello");
                    let mut pressure = first;
                    for step in 0..8 {
                        if step == change || step == back {
                            pressure = !pressure;
                        }
                        net.at(2).endpoint.set_pressure(pressure);
                        net.step(ms(1_000));
                    }
                    ends_well(&mut net, 5);
                }
            }
        }
    }
}

#[test]
fn any_datagram_of_the_opening_may_be_lost_or_come_twice() {
    for how in [Opening::Waiting, Opening::Early] {
        for n in 0..7 {
            let mut net = under_pressure(Config::new(), how, b"hello");
            let mut count = 0;
            net.loses = Some(Box::new(move |_| {
                count += 1;
                count == n + 1
            }));
            ends_well(&mut net, 5);

            let mut net = under_pressure(Config::new(), how, b"hello");
            net.run_until(ms(1_000), |net| net.log.len() > n);
            let copy = net.log[n].clone();
            for wait in [0, 1, 10, 30] {
                net.run_for(ms(wait));
                let to = if copy.to == addr(1) { 1 } else { 2 };
                net.inject(copy.from, to, copy.bytes.clone());
            }
            ends_well(&mut net, 5);
        }
    }
}

#[test]
fn the_exchange_is_the_one_of_the_page() {
    use BlockKind::{Fin, Hello, Ping, Pong, Retry, Welcome};
    let mut net = under_pressure(Config::new(), Opening::Early, b"hello");
    ends_well(&mut net, 5);
    let blocks: Vec<_> = story(&net).into_iter().filter(|(_, blocks)| !blocks.is_empty()).collect();
    assert_eq!(blocks[..3], [(1, vec![Hello]), (2, vec![Retry]), (1, vec![Hello])]);
    assert_eq!(blocks[3], (2, vec![Welcome]));
    assert!(blocks[4..].iter().flat_map(|(_, blocks)| blocks).all(|kind| [Ping, Pong, Fin].contains(kind)));
    let sizes: Vec<_> = net.log[..2].iter().map(|sent| sent.bytes.len()).collect();
    assert_eq!(sizes, [68 + 24 + 5, 64], "the answer is smaller than its cause");
}
