//! Forgeries while a connection opens.

use super::*;
use crate::sim::net::{Sent, hello};
use sendoff_proto::{SeqNumber, Silence, wire::BlockKind};

/// A client that has said HELLO, which is on its way; with what data, and by which opening.
fn opening(config: Config, how: Opening) -> Net {
    let mut net = Net::default();
    net.host(1, config.clone(), false, Script::says(&[7; 5_000]));
    net.host(2, config, true, Script::echo());
    net.dial(1, 2, how);
    net.run_until(ms(100), |net| !net.log.is_empty());
    net
}

/// Both ends have all, and say so.
fn goes_on(net: &mut Net, what: &dyn std::fmt::Debug) {
    net.run_to_the_end(1, 2);
    for host in HOSTS {
        let ending = net.ending(host);
        assert_eq!(ending.cause, Cause::Closed, "{what:?} at {host}: {ending} {:#?}", net.log);
        assert_eq!((ending.bytes_received, ending.bytes_acknowledged), (5_000, 5_000), "{what:?}");
        assert_eq!(net.connection(host).peer_kind(), PeerKind::Extended, "{what:?}");
    }
    assert_eq!(net.accepted(2), 1, "{what:?}");
}

/// Each forgery at each of the first moments of an opening.
fn try_while_opening(victim: u8, how: Opening, make: impl Fn(&Connection) -> Vec<Forgery>) {
    for n in 0.. {
        let mut over = true;
        for steps in 0..4 {
            let mut net = opening(Config::new(), how);
            for _ in 0..steps {
                net.step(ms(1_000));
            }
            if net.accepted(victim) == 0 {
                over = false;
                continue; // the server's connection isn't there yet
            }
            let own = net.connection(victim).clone();
            let forgeries = make(&own).into_iter().filter(|f| !f.names_own);
            let Some(forgery) = forgeries.into_iter().step_by(3).nth(n) else { continue };
            over = false;
            net.inject(addr(3 - victim), victim, forgery.datagram.clone());
            let (before, after) = (state(&own), state(net.connection(victim)));
            let ends = |state: &State| (state.ended, state.finished, state.farewell, state.received);
            assert_eq!(ends(&after), ends(&before), "{forgery:?} after {steps}");
            goes_on(&mut net, &(forgery, victim, steps));
        }
        if over || n > 1_000 {
            break;
        }
    }
}

#[test]
fn a_client_that_waits_opens_whatever_is_forged() {
    try_while_opening(1, Opening::Waiting, |own| blocks(own, own));
}

#[test]
fn a_client_whose_data_rides_opens_whatever_is_forged() {
    try_while_opening(1, Opening::Early, |own| blocks(own, own));
    try_while_opening(1, Opening::Early, |own| acknowledgements(own, own));
}

#[test]
fn a_server_that_is_not_proven_yet_opens_whatever_is_forged() {
    try_while_opening(2, Opening::Waiting, |own| blocks(own, own));
    try_while_opening(2, Opening::Early, |own| acknowledgements(own, own));
}

#[test]
fn data_that_is_forged_while_opening_is_dropped_by_both() {
    for (victim, how) in [(1, Opening::Waiting), (2, Opening::Waiting), (1, Opening::Early)] {
        let mut net = opening(Config::new(), how);
        net.loses = Some(Box::new(|sent: &Sent| sent.from == addr(1) && sent.has(BlockKind::Ping)));
        while net.accepted(victim) == 0 {
            net.step(ms(100));
        }
        for sn in 0..3 {
            net.inject(addr(3 - victim), victim, encode(segment(Command::Push, sn), b"forged"));
        }
        assert_eq!(net.connection(victim).stats().bytes_received, 0);
        net.loses = None;
        goes_on(&mut net, &victim);
    }
}

#[test]
fn a_forged_stock_answer_is_healed_by_the_first_block() {
    for how in [Opening::Waiting, Opening::Early] {
        let mut net = opening(Config::new(), how);
        net.inject(addr(2), 1, encode(segment(Command::WindowTell, 1), &[]));
        assert_eq!(net.connection(1).peer_kind(), PeerKind::Stock, "it can't know better yet");
        goes_on(&mut net, &how);
    }
}

#[test]
fn where_blocks_are_required_a_forged_stock_answer_refuses_nothing() {
    for how in [Opening::Waiting, Opening::Early] {
        let mut net = opening(Config::new().wire(Wire::Required), how);
        for _ in 0..10 {
            net.inject(addr(2), 1, encode(segment(Command::WindowTell, 1), &[]));
        }
        assert_eq!(net.connection(1).peer_kind(), PeerKind::Unknown);
        goes_on(&mut net, &how);
    }
}

#[test]
fn a_hello_forged_before_the_true_one_is_turned_away_by_the_true_client() {
    for how in [Opening::Early, Opening::Waiting] {
        let mut net = Net::default();
        net.host(1, Config::new(), false, Script::says(b"hello"));
        net.host(2, Config::new(), true, Script::echo());
        net.inject(addr(1), 2, hello(0xbad));
        net.dial(1, 2, how);
        net.run_until(ms(6_000), |net| net.at(1).is_over());
        assert_eq!((net.ending(1).cause, net.ending(1).bytes_received), (Cause::Closed, 5), "{:#?}", net.log);
        let forged = net.ending(2);
        assert_eq!((forged.cause, forged.code, forged.bytes_received), (Cause::Reset, 1, 0));
        assert_eq!(net.accepted(2), 2);
    }
}

#[test]
fn a_hello_forged_for_nobody_holds_a_name_for_ten_seconds() {
    let mut net = Net::default();
    net.host(2, Config::new(), true, Script::echo());
    net.inject(addr(1), 2, hello(0xbad));
    net.run_until(ms(11_000), |net| net.at(2).is_over());
    assert_eq!(net.ending(2).cause, Cause::TimedOut(Silence::Unproven));
    assert!(net.now < ms(10_500));
    assert_eq!(net.at(2).endpoint.tombstones(), 0, "a name that was never proven is free at once");
}

#[test]
fn a_hello_forged_before_a_stock_client_neither_speaks_for_it_nor_keeps_it_out() {
    let mut net = Net::default();
    net.host(2, Config::new(), true, Script { echoes: true, ..Script::default() });
    net.stock(1, Stock::client(addr(2), CONV));
    net.inject(addr(1), 2, hello(0xbad));
    net.connection(2).finish();
    net.stock_at(1).session().say(b"hello");
    net.run_for(ms(15_000));
    let fins = net.sent_by(2).filter(|sent| sent.has(BlockKind::Fin)).count();
    assert_eq!(fins, 0, "a FIN to who hasn't shown that it can read it");
    assert_eq!((net.accepted(2), &net.stock_at(1).session().received[..]), (2, &b"hello"[..]));
}

#[test]
fn a_forged_port_unreachable_and_a_living_peer_refuse_nothing() {
    let mut net = opening(Config::new(), Opening::Waiting);
    let now = net.instant();
    for _ in 0..5 {
        net.connection(1).handle_unreachable(now);
    }
    goes_on(&mut net, &"unreachable");
}

#[test]
fn guessed_refusals_refuse_nothing() {
    let mut net = opening(Config::new(), Opening::Waiting);
    for guess in 1..1_000 {
        net.inject(addr(2), 1, forgeries::reset(guess, 0));
    }
    let wins = Segment { una: SeqNumber(77), ..segment(Command::WindowTell, 1) };
    net.inject(addr(2), 1, encode(wins, &[]));
    goes_on(&mut net, &"resets");
}
