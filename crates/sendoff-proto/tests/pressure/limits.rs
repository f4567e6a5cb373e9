//! From when on a cookie is asked for, and what happens at the limits.

use super::*;
use sendoff_proto::{DropReason, Endpoint, Route};
use std::{sync::Arc, time::Instant};

const PRESSURE: usize = 256;
const MAX_UNPROVEN: usize = 1_024;

/// An endpoint and the connections that it was told to open, which do nothing.
struct Listener {
    endpoint: Endpoint<usize>,
    config: Arc<Config>,
    open: Vec<Connection>,
    now: Instant,
}

fn listener(config: Config) -> Listener {
    let config = Arc::new(config);
    Listener {
        endpoint: Endpoint::new(config.clone(), true).with_cookies(1),
        config,
        open: Vec::new(),
        now: Instant::now(),
    }
}

impl Listener {
    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) -> Route<usize> {
        let route = self.endpoint.route(self.now, from, datagram);
        if let Route::Opens(conv, opening) = route {
            let mut connection = Connection::new(self.config.clone(), conv, opening, self.now, 1);
            connection.hold(self.endpoint.lease());
            connection.handle_datagram(self.now, datagram);
            self.endpoint.insert(from, conv, self.open.len());
            self.open.push(connection);
        }
        route
    }

    /// HELLO, and again with the cookie if one is asked for.
    fn open_honestly(&mut self, from: SocketAddr) -> Route<usize> {
        match self.receive(from, &hello(7)) {
            Route::Answer(answer) => match cookie_in(&answer) {
                Some(cookie) => self.receive(from, &hello_with(7, cookie)),
                None => Route::Answer(answer),
            },
            route => route,
        }
    }
}

fn cookie_in(answer: &[u8]) -> Option<[u8; 16]> {
    let view = sendoff_proto::wire::SegmentView::parse(answer).ok()?.0;
    match Block::parse(&view)?.body {
        Body::Retry { cookie } => Some(cookie),
        _ => None,
    }
}

fn hello_with(from: u64, cookie: [u8; 16]) -> Vec<u8> {
    block(segment(Command::WindowAsk, 0), 0, from, Body::Hello { features: 0, cookie })
}

fn push(len: usize) -> Vec<u8> {
    sim::net::encode(segment(Command::Push, 0), &vec![7; len])
}

fn from(n: usize) -> SocketAddr {
    let [.., a, b] = (n as u32).to_be_bytes();
    SocketAddr::from(([10, 1, a, b], 1_000))
}

fn is_retry(route: &Route<usize>) -> bool {
    matches!(route, Route::Answer(answer) if answer.len() == 64 && cookie_in(answer).is_some())
}

fn is_busy(route: &Route<usize>) -> bool {
    let Route::Answer(answer) = route else { return false };
    let view = sendoff_proto::wire::SegmentView::parse(answer).unwrap().0;
    matches!(Block::parse(&view).unwrap().body, Body::Reset { code: sendoff_proto::code::BUSY, .. })
}

#[test]
fn from_256_unproven_connections_on_a_hello_is_asked_for_a_cookie_and_nothing_is_stored() {
    let mut listener = listener(Config::new());
    for n in 0..PRESSURE {
        assert!(matches!(listener.receive(from(n), &hello(7)), Route::Opens(..)), "{n}");
    }
    for n in PRESSURE..20_000 {
        let route = listener.receive(from(n), &hello(7));
        assert!(is_retry(&route), "{n}: {route:?}");
    }
    assert_eq!(listener.endpoint.unproven().0, PRESSURE);
    assert_eq!((listener.endpoint.connections(), listener.endpoint.tombstones()), (PRESSURE, 0));
    assert_eq!(listener.endpoint.stats().retries_sent, 20_000 - PRESSURE as u64);
    // Who comes back has shown that it is there, and counts in no limit.
    for n in 30_000..32_000 {
        let route = listener.open_honestly(from(n));
        let Route::Opens(_, Opening::HelloWithCookie(token)) = route else { panic!("{n}: {route:?}") };
        assert_eq!(Some(token), Token::new(7));
    }
    assert_eq!(listener.endpoint.unproven().0, PRESSURE);
    assert_eq!(listener.endpoint.stats().cookies_accepted, 2_000);
    // The pressure is over when they have gone.
    listener.open.clear();
    assert!(matches!(listener.receive(from(40_000), &hello(7)), Route::Opens(_, Opening::Hello(_))));
}

#[test]
fn at_1024_stock_openings_are_dropped_and_clients_with_a_cookie_still_come_in() {
    let mut listener = listener(Config::new());
    for n in 0..MAX_UNPROVEN {
        assert!(matches!(listener.receive(from(n), &push(5)), Route::Opens(_, Opening::Stock)), "{n}");
    }
    for n in 2_000..2_100 {
        assert_eq!(listener.receive(from(n), &push(5)), Route::Dropped(DropReason::Unproven));
    }
    assert_eq!(listener.endpoint.stats().dropped_unproven, 100);
    let route = listener.open_honestly(from(3_000));
    assert!(matches!(route, Route::Opens(_, Opening::HelloWithCookie(_))), "{route:?}");
}

#[test]
fn stock_openings_are_dropped_when_16_mib_are_held_for_the_unproven() {
    let mut listener = listener(Config::new().mtu(65_507).unwrap());
    let mut n = 0;
    let refused = loop {
        match listener.receive(from(n), &push(60_000)) {
            Route::Opens(..) => n += 1,
            route => break route,
        }
    };
    assert_eq!(refused, Route::Dropped(DropReason::Unproven));
    assert_eq!(n, (16 << 20) / 60_000);
    assert!(matches!(listener.receive(from(n), &push(5)), Route::Opens(..)), "a small one still fits");
    assert!(matches!(listener.open_honestly(from(n + 1)), Route::Opens(..)));
}

#[test]
fn without_a_key_nobody_is_asked_for_a_cookie() {
    let mut listener = listener(Config::new());
    listener.endpoint = Endpoint::new(listener.config.clone(), true);
    for n in 0..MAX_UNPROVEN {
        assert!(matches!(
            listener.receive(from(n), &hello_with(7, [1; 16])),
            Route::Opens(_, Opening::Hello(_))
        ));
    }
    assert_eq!(listener.receive(from(5_000), &hello(7)), Route::Dropped(DropReason::Unproven));
}

#[test]
fn one_host_is_asked_32_times_a_second_at_most_whatever_its_ports() {
    let mut listener = listener(Config::new());
    listener.endpoint.set_pressure(0);
    let port = |port: u16| SocketAddr::from(([10, 9, 9, 9], port));
    let asked = (1..5_000).filter(|&n| is_retry(&listener.receive(port(n), &hello(7)))).count();
    assert_eq!(asked, 32);
    assert_eq!(listener.endpoint.stats().dropped_unproven, 4_999 - 32);
    assert!(matches!(listener.open_honestly(from(1)), Route::Opens(..)), "others are asked all the same");
    listener.now += ms(1_000);
    assert!(is_retry(&listener.receive(port(1), &hello(7))));
    // No other answers are used up by it.
    assert_eq!(listener.endpoint.stats().answered, 0);
}

#[test]
fn a_cookie_that_isnt_asked_for_is_worth_the_same_and_a_wrong_one_nothing() {
    let mut listener = listener(Config::new());
    listener.endpoint.set_pressure(0);
    let Route::Answer(answer) = listener.receive(from(1), &hello(7)) else { panic!() };
    let cookie = cookie_in(&answer).unwrap();
    listener.endpoint.set_pressure(usize::MAX);
    let route = listener.receive(from(2), &hello_with(7, cookie));
    assert!(matches!(route, Route::Opens(_, Opening::Hello(_))), "another's: {route:?}");
    let route = listener.receive(from(1), &hello_with(7, cookie));
    assert!(matches!(route, Route::Opens(_, Opening::HelloWithCookie(_))), "{route:?}");
    assert_eq!(listener.endpoint.stats().cookies_refused, 0, "none was needed");
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_the_others_dont_notice() {
    let mut listener = listener(Config::new().max_connections_per_address(4));
    let port = |port: u16| SocketAddr::from(([10, 9, 9, 9], port));
    let mut routes: Vec<_> = (1..=6).map(|n| listener.open_honestly(port(n))).collect();
    assert!(routes.split_off(4).iter().all(is_busy));
    // The first half may be anybody's in its name; then it has to be its own.
    let cookies: Vec<_> =
        routes.iter().map(|r| matches!(r, Route::Opens(_, Opening::HelloWithCookie(_)))).collect();
    assert_eq!(cookies, [false, false, true, true]);
    assert_eq!(listener.receive(port(7), &push(5)), Route::Dropped(DropReason::PerAddress));
    assert_eq!(listener.endpoint.stats().refused_per_address, 3);
    assert!(matches!(listener.receive(from(1), &push(5)), Route::Opens(..)));
    // One that goes makes room for one.
    let now = listener.now;
    assert!(listener.endpoint.remove(now, port(2), sim::net::conv(), None).is_some());
    assert!(matches!(listener.open_honestly(port(8)), Route::Opens(..)));
    assert!(is_busy(&listener.open_honestly(port(9))));
}

#[test]
fn in_ipv6_an_address_is_a_network_of_64_bits() {
    let mut listener = listener(Config::new().max_connections_per_address(1));
    let host = |text: &str| SocketAddr::new(text.parse().unwrap(), 1_000);
    assert!(matches!(listener.open_honestly(host("2001:db8::1")), Route::Opens(..)));
    assert!(is_busy(&listener.open_honestly(host("2001:db8::ffff:1"))));
    assert!(matches!(listener.open_honestly(host("2001:db8:0:1::1")), Route::Opens(..)));
}

#[test]
fn nobody_takes_all_places_of_an_address_in_its_name() {
    let mut listener = listener(Config::new().max_connections_per_address(10));
    let port = |port: u16| SocketAddr::from(([10, 9, 9, 9], port));
    for n in 1..=1_000 {
        listener.receive(port(n), &hello(7));
        listener.receive(port(n), &hello_with(7, [1; 16]));
    }
    assert_eq!(listener.endpoint.connections(), 5);
    listener.now += ms(1_000);
    assert!(matches!(listener.open_honestly(port(2_000)), Route::Opens(..)));
}

#[test]
fn what_is_counted_once_a_connection_takes_another_name_stays_one() {
    let mut listener = listener(Config::new().max_connections_per_address(2));
    let (remote, now) = (from(1), listener.now);
    listener.open_honestly(remote);
    let client = Connection::new(listener.config.clone(), sim::net::conv(), Opening::Waiting, now, 3);
    let mut ended = client.clone();
    ended.abort(now, 0);
    let remains = ended.remains().unwrap();
    listener.endpoint.rename(now, remote, (sim::net::conv(), remains), Conv::new(99).unwrap());
    assert_eq!(listener.endpoint.connections(), 1);
    let other = SocketAddr::new(remote.ip(), 2_000);
    assert!(matches!(listener.open_honestly(other), Route::Opens(..)));
    assert!(is_busy(&listener.open_honestly(SocketAddr::new(remote.ip(), 2_001))));
}

#[test]
fn twenty_clients_of_one_address_whose_data_rides_all_come_in() {
    let mut listener = listener(Config::new());
    listener.endpoint.set_pressure(0);
    let client = |n: u16| SocketAddr::from(([10, 9, 9, 9], 1_000 + n));
    // Each has a HELLO in front of each of the 32 datagrams of its flight; and the flights are mixed.
    let mut told: [Vec<_>; 20] = Default::default();
    for _ in 0..32 {
        for n in 0..20 {
            if let Route::Answer(answer) = listener.receive(client(n), &hello(u64::from(n) + 1)) {
                told[usize::from(n)].push(cookie_in(&answer).expect("a cookie"));
            }
        }
    }
    assert!(told.iter().all(|told| told.len() == 1), "each is told once to come again: {told:?}");
    // One whose cookie was lost says HELLO again after 250 ms.
    listener.now += ms(250);
    let again = (0..32).filter(|_| is_retry(&listener.receive(client(3), &hello(4)))).count();
    assert_eq!(again, 1);
    for (n, told) in (0..20).zip(told) {
        let route = listener.receive(client(n), &hello_with(u64::from(n) + 1, told[0]));
        assert!(matches!(route, Route::Opens(_, Opening::HelloWithCookie(_))), "{n}: {route:?}");
    }
}
