//! What a client believes of RETRYs.

use super::*;

/// A client at 1 that has said HELLO to nobody: what comes back is made by the test.
fn client(config: Config, how: Opening, data: &[u8]) -> Net {
    let mut net = Net::default();
    net.host(1, config, false, Script::says(data));
    net.dial(1, 2, how);
    net.run_until(ms(100), |net| !net.log.is_empty());
    net
}

fn token(net: &mut Net) -> u64 {
    net.connection(1).token().value()
}

fn retry(to: u64, cookie: u8) -> Vec<u8> {
    block(segment(Command::WindowTell, 1), to, 0, Body::Retry { cookie: [cookie; 16] })
}

fn cookies_sent(net: &Net) -> Vec<u8> {
    net.sent_by(1).filter_map(cookie_of).map(|cookie| cookie[0]).collect()
}

#[test]
fn every_later_hello_has_the_newest_cookie() {
    let mut net = client(Config::new(), Opening::Early, b"hello");
    let token = token(&mut net);
    net.inject(addr(2), 1, retry(token, 1));
    net.run_for(ms(800));
    net.inject(addr(2), 1, retry(token, 2));
    net.run_for(ms(800));
    // Each begins anew: at once, after 0.25 s and after 0.75 s.
    assert_eq!(cookies_sent(&net), [0, 1, 1, 1, 2, 2, 2]);
    assert!(net.sent_by(1).all(has_data));
}

#[test]
fn a_retry_counts_once_and_only_as_the_answer_to_a_hello() {
    let mut net = client(Config::new(), Opening::Waiting, b"");
    let token = token(&mut net);
    for _ in 0..50 {
        net.inject(addr(2), 1, retry(token, 1));
    }
    assert_eq!(cookies_sent(&net), [0, 1], "copies draw nothing");
    // Two answers to one flight: the first counts.
    let now = net.instant();
    for cookie in [2, 3] {
        net.connection(1).handle_datagram(now, &retry(token, cookie));
    }
    net.pump();
    assert_eq!(cookies_sent(&net), [0, 1, 2]);
    // Nor does it go back to one that it has had.
    net.inject(addr(2), 1, retry(token, 1));
    assert_eq!(cookies_sent(&net), [0, 1, 2]);
    assert_eq!(net.connection(1).stats().retries, 2);
    net.inject(addr(2), 1, retry(token, 0));
    assert_eq!(cookies_sent(&net), [0, 1, 2], "zeros are no cookie");
}

#[test]
fn who_asks_a_fourth_time_is_believed_to_be_busy() {
    for how in [Opening::Waiting, Opening::Early] {
        let mut net = client(Config::new(), how, b"hello");
        let token = token(&mut net);
        for cookie in 1..=3 {
            net.inject(addr(2), 1, retry(token, cookie));
            assert!(net.connection(1).ending().is_none());
        }
        net.inject(addr(2), 1, retry(token, 4));
        let ending = net.ending(1);
        assert_eq!((ending.cause, ending.code), (Cause::Refused, sendoff_proto::code::BUSY), "{ending}");
        assert_eq!(cookies_sent(&net), [0, 1, 2, 3]);
    }
}

#[test]
fn another_name_begins_without_cookie() {
    let mut net = client(Config::new(), Opening::Waiting, b"");
    let first = token(&mut net);
    net.inject(addr(2), 1, retry(first, 1));
    let in_use = Body::Reset { code: sendoff_proto::code::IN_USE, reason: "" };
    net.inject(addr(2), 1, block(segment(Command::WindowTell, 1), first, 0, in_use));
    assert_eq!(cookies_sent(&net), [0, 1, 0]);
    assert_ne!(token(&mut net), first);
    net.inject(addr(2), 1, retry(first, 2));
    assert_eq!(cookies_sent(&net), [0, 1, 0], "the old name is nobody's");
}

#[test]
fn a_retry_is_no_answer_that_opens_and_its_header_says_nothing() {
    let mut net = client(Config::new(), Opening::Early, &[7; 5_000]);
    let token = token(&mut net);
    let header = sendoff_proto::wire::Segment {
        una: sendoff_proto::SeqNumber(2),
        window: 0,
        ..segment(Command::WindowTell, 1)
    };
    let before = net.connection(1).stats();
    net.inject(addr(2), 1, block(header, token, 0, Body::Retry { cookie: [1; 16] }));
    let stats = net.connection(1).stats();
    assert!(!net.connection(1).is_established());
    assert_eq!((stats.bytes_acknowledged, stats.remote_window), (0, before.remote_window));
    assert_eq!(stats.in_flight, before.in_flight);
    net.run_for(ms(5_000));
    assert_eq!(net.ending(1).cause, Cause::TimedOut(Silence::Opening));
}

#[test]
fn retries_outside_of_an_opening_are_ignored() {
    let mut net = sim::net::connected(Config::new());
    for host in [1, 2] {
        let token = net.connection(host).token().value();
        let (sent, before) = (net.log.len(), net.connection(host).stats().unbelieved_blocks);
        net.inject(addr(3 - host), host, retry(token, 1));
        assert_eq!(net.log.len(), sent);
        assert_eq!(net.connection(host).stats().unbelieved_blocks, before + 1);
    }
}

#[test]
fn where_blocks_are_required_a_retry_shows_that_the_server_speaks_them() {
    let mut net = client(Config::new().wire(sendoff_proto::Wire::Required), Opening::Waiting, b"");
    let token = token(&mut net);
    net.inject(addr(2), 1, sim::net::encode(segment(Command::WindowTell, 1), &[]));
    net.run_for(ms(600));
    net.inject(addr(2), 1, retry(token, 1));
    net.run_for(ms(2_000));
    assert!(net.connection(1).ending().is_none(), "a window from nobody refuses nothing");
}

#[test]
fn a_server_that_has_asked_for_a_cookie_has_a_host_that_doesnt_refuse_us() {
    let mut net = client(Config::new(), Opening::Waiting, b"");
    let token = token(&mut net);
    let now = net.instant();
    net.connection(1).handle_unreachable(now);
    net.inject(addr(2), 1, retry(token, 1));
    let now = net.instant();
    net.connection(1).handle_unreachable(now);
    assert!(net.connection(1).ending().is_none());
    net.run_for(ms(300));
    let now = net.instant();
    net.connection(1).handle_unreachable(now);
    assert_eq!(net.ending(1).cause, Cause::Refused);
}

/// An attacker may make an opening client believe for a moment that the server is a stock one. Then its HELLOs stand in
/// front of the first segment only, and under pressure they need a cookie there too.
#[test]
fn a_forged_stock_answer_under_pressure_is_healed_too() {
    let mut net = under_pressure(Config::new(), Opening::Early, b"hello");
    net.loses = Some(Box::new(|sent: &Sent| sent.from == addr(2)));
    net.run_for(ms(5));
    net.inject(addr(2), 1, sim::net::encode(segment(Command::WindowTell, 1), &[]));
    assert_eq!(net.connection(1).peer_kind(), PeerKind::Stock);
    net.run_for(ms(100));
    net.loses = None;
    ends_well(&mut net, 5);
    assert_eq!(net.connection(1).stats().retries, 1);
}

#[test]
fn a_cookie_that_has_grown_too_old_is_replaced_by_a_new_one() {
    let mut net = Net::default();
    let config = Config::new().connect_timeout(ms(30_000));
    net.host(1, config.clone(), false, Script::says(b"hello"));
    net.host(2, config, true, Script::echo());
    net.at(2).endpoint.set_pressure(0);
    // The slots begin with the first RETRY; the client's is made at the end of the first.
    net.inject(addr(9), 2, hello(9));
    net.run_for(ms(4_900));
    net.dial(1, 2, Opening::Waiting);
    let lost_until = ms(10_100);
    net.loses = Some(Box::new(move |sent: &Sent| {
        sent.at < lost_until
            && cookie_of(sent).is_some_and(|cookie| cookie != [0; 16])
            && sent.from == addr(1)
    }));
    ends_well(&mut net, 5);
    let stats = net.at(2).endpoint.stats();
    assert_eq!((stats.cookies_refused, stats.cookies_accepted, stats.retries_sent), (1, 1, 3));
    assert_eq!(net.connection(1).stats().retries, 2);
}
