//! Cookies, and those who would like to open with somebody else's.

use super::*;
use sendoff_proto::wire::{BlockKind, Body};
use sim::net::{Sent, block, hello};

/// A server at 2 that needs a cookie from everybody, and a client at 1 that says something.
fn under_pressure(how: Opening) -> Net {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::says(b"an order"));
    net.host(2, Config::new(), true, Script::echo());
    net.at(2).endpoint.set_pressure(0);
    net.dial(1, 2, how);
    net
}

fn with_cookie(from: u64, cookie: [u8; 16]) -> Vec<u8> {
    block(segment(Command::WindowAsk, 0), 0, from, Body::Hello { features: 0, cookie })
}

/// The cookie that the attacker at 9 is told for a token of his.
fn attackers_cookie(net: &mut Net, token: u64) -> [u8; 16] {
    net.inject(addr(9), 2, hello(token));
    let last = net.log.last().expect("an answer");
    assert_eq!(last.to, addr(9));
    let cookie = last.blocks().find_map(|block| match block.body {
        Body::Retry { cookie } => Some(cookie),
        _ => None,
    });
    cookie.expect("a RETRY")
}

fn says_hello(sent: &&Sent) -> bool {
    sent.from == addr(1) && sent.has(BlockKind::Hello)
}

#[test]
fn an_attackers_own_cookie_opens_nothing_in_the_name_of_another() {
    let mut net = under_pressure(Opening::Waiting);
    net.nodes.remove(&addr(1));
    let cookie = attackers_cookie(&mut net, 0xbad);
    let before = net.at(2).endpoint.stats();
    net.inject(addr(1), 2, with_cookie(0xbad, cookie));
    net.inject(addr(9), 2, with_cookie(0xbadbad, cookie));
    let other = Segment { conv: CONV + 1, ..segment(Command::WindowAsk, 0) };
    net.inject(addr(9), 2, block(other, 0, 0xbad, Body::Hello { features: 0, cookie }));
    net.run_for(ms(100));
    assert_eq!(net.accepted(2), 0, "another address, another token, another conversation");
    let stats = net.at(2).endpoint.stats();
    assert_eq!(stats.cookies_refused - before.cookies_refused, 3);
    // Nor later on, in his own.
    net.run_for(ms(10_000));
    net.inject(addr(9), 2, with_cookie(0xbad, cookie));
    assert_eq!(net.accepted(2), 0, "too old");
    let cookie = attackers_cookie(&mut net, 0xbad);
    net.inject(addr(9), 2, with_cookie(0xbad, cookie));
    assert_eq!(net.accepted(2), 1, "his own, in time, from where it was sent to");
}

#[test]
fn guessed_retries_move_no_client() {
    for how in [Opening::Waiting, Opening::Early] {
        for pressure in [0, usize::MAX] {
            let mut net = under_pressure(how);
            net.at(2).endpoint.set_pressure(pressure);
            for n in 1..2_000u64 {
                let retry = Body::Retry { cookie: [n as u8; 16] };
                net.inject(addr(2), 1, block(segment(Command::WindowTell, 1), n << 32 | n, 0, retry));
                if n % 200 == 0 {
                    net.step(ms(1_000));
                }
            }
            net.run_to_the_end(1, 2);
            for host in HOSTS {
                assert_eq!(net.ending(host).cause, Cause::Closed);
            }
            let expected = u32::from(pressure == 0);
            assert_eq!(net.connection(1).stats().retries, expected, "the server's own alone");
        }
    }
}

#[test]
fn a_forged_hello_under_pressure_keeps_no_name_from_its_client() {
    // Without pressure it would take the name for a round trip or two.
    for how in [Opening::Waiting, Opening::Early] {
        let mut net = under_pressure(how);
        for n in 1..10 {
            net.inject(addr(1), 2, hello(0xbad + n));
            net.inject(addr(1), 2, with_cookie(0xbad + n, [n as u8; 16]));
        }
        net.run_to_the_end(1, 2);
        assert_eq!((net.ending(1).cause, net.ending(1).bytes_received), (Cause::Closed, 8));
        assert_eq!(net.accepted(2), 1);
    }
}

/// What rides with a HELLO and its cookie is taken once, however often it is sent again.
#[test]
fn a_recorded_hello_with_its_cookie_opens_nothing_while_the_cookie_is_good() {
    for how in [Opening::Waiting, Opening::Early] {
        let mut net = under_pressure(how);
        let mut over = false;
        for _ in 0..200 {
            let recorded: Vec<_> = net.log.iter().filter(says_hello).map(|sent| sent.bytes.clone()).collect();
            for datagram in recorded {
                net.inject(addr(1), 2, datagram);
            }
            net.run_for(ms(if over { 70 } else { 5 }));
            assert!(net.accepted(2) <= 1, "{how:?} at {:?}", net.now);
            over = net.at(1).is_over() && net.at(2).is_over();
        }
        assert!(over && net.now > ms(10_000));
        let ending = net.ending(2);
        assert_eq!((ending.cause, ending.bytes_received), (Cause::Closed, 8));
    }
}

#[test]
fn a_recorded_hello_with_an_old_cookie_is_worth_no_more_than_one_without() {
    for pressure in [0, usize::MAX] {
        let mut net = under_pressure(Opening::Early);
        net.run_to_the_end(1, 2);
        net.run_for(ms(10_100));
        net.nodes.remove(&addr(1));
        net.at(2).endpoint.set_pressure(pressure);
        let recorded: Vec<_> = net.log.iter().filter(says_hello).map(|sent| sent.bytes.clone()).collect();
        for datagram in recorded {
            net.inject(addr(1), 2, datagram);
        }
        net.run_for(ms(100));
        if pressure == 0 {
            assert_eq!(net.accepted(2), 1, "its address is asked, and isn't there");
        } else {
            assert_eq!(net.accepted(2), 2, "as ever with data that rides");
            assert!(!net.at(2).talks[1].connection.is_address_proven());
        }
    }
}
