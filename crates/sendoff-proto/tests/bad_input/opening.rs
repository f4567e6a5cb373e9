//! Datagrams that belong to no connection.

use super::*;
use sendoff_proto::{DropReason, Endpoint, Route, RouteStats};
use std::net::SocketAddr;

fn remote(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn endpoint() -> (Endpoint<u32>, Instant) {
    (Endpoint::new(Arc::new(Config::new()), true), Instant::now())
}

fn classic() -> (Endpoint<u32>, Instant) {
    (Endpoint::new(Arc::new(Config::new().wire(Wire::Classic)), true), Instant::now())
}

/// Takes a connection with a stock peer out, that has ended.
fn bury(endpoint: &mut Endpoint<u32>, now: Instant, remote: SocketAddr, conv: Conv) -> Option<u32> {
    let mut connection =
        Connection::new(Arc::new(Config::new().wire(Wire::Classic)), conv, Opening::Stock, now, 7);
    connection.abort(now, 0);
    endpoint.remove(now, remote, conv, connection.remains())
}

fn ask() -> Vec<u8> {
    encode(segment(Command::WindowAsk, 0), &[])
}

/// The counters of an endpoint: those named, and 0 for all others.
macro_rules! counted {
    ($($counter:ident: $count:expr),*) => {{
        let mut stats = RouteStats::default();
        $(stats.$counter = $count;)*
        stats
    }};
}

#[test]
fn what_is_no_segment_opens_nothing() {
    let (mut endpoint, now) = endpoint();
    let first = push(0, b"hello");
    let mut count = 0;
    let mut refuse = |datagram: &[u8], from| {
        assert_eq!(endpoint.route(now, from, datagram), Route::Dropped(DropReason::Malformed));
        count += 1;
        assert_eq!(endpoint.stats(), counted!(dropped_malformed: count));
    };
    for cut in 0..first.len() {
        refuse(&first[..cut], remote(1));
    }
    for command in (0..=255).filter(|c| !(81..=84).contains(c)) {
        let mut unknown = first.clone();
        unknown[4] = command;
        refuse(&unknown, remote(1));
    }
    refuse(&encode(Segment { conv: 0, ..segment(Command::Push, 0) }, b"hello"), remote(1));
    refuse(&[0; LARGEST_DATAGRAM], remote(1));
    refuse(&first, remote(0));
}

#[test]
fn only_a_first_push_opens() {
    let (mut endpoint, now) = endpoint();
    let first = segment(Command::Push, 0);
    let pushes = [
        Segment { sn: SeqNumber(1), ..first },
        Segment { sn: SeqNumber(u32::MAX), ..first },
        Segment { una: SeqNumber(1), ..first },
        Segment { fragment: 255, ..first },
    ];
    for push in pushes {
        // Its sender is told that it isn't known; far behind what it sent, so that it acknowledges nothing.
        let Route::Answer(hint) = endpoint.route(now, remote(1), &encode(push, b"x")) else { panic!() };
        let hint = wire::SegmentView::parse(&hint).unwrap().0.to_segment();
        assert_eq!(hint.command, Command::WindowTell);
        assert_eq!((hint.sn.0, hint.timestamp.0, hint.window), (1, 0, 32));
        assert_eq!(hint.una.0, push.sn.0.wrapping_sub(1 << 30));
    }
    assert_eq!(endpoint.stats(), counted!(answered: 4));
    let others = [
        segment(Command::Ack, 0),
        segment(Command::WindowTell, 0),
        segment(Command::WindowTell, 1),
        Segment { una: SeqNumber(1), ..segment(Command::WindowAsk, 0) },
        segment(Command::WindowAsk, 1),
        segment(Command::WindowAsk, 0),
    ];
    for (count, other) in (1..).zip(others) {
        let route = endpoint.route(now, remote(1), &encode(other, b"x"));
        assert_eq!(route, Route::Dropped(DropReason::Unknown), "{other:?}");
        assert_eq!(endpoint.stats(), counted!(answered: 4, dropped_unknown: count));
    }
    assert_eq!(endpoint.route(now, remote(1), &encode(first, b"x")), Route::Opens(conv(), Opening::Stock));
}

#[test]
fn a_classic_listener_answers_a_question_in_the_same_size_and_opens_nothing() {
    let (mut endpoint, now) = classic();
    let Route::Answer(answer) = endpoint.route(now, remote(1), &ask()) else { panic!("no answer") };
    assert_eq!(answer.len(), ask().len());
    let told: Vec<_> = wire::segments(&answer).map(Result::unwrap).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].conv(), told[0].to_string()), (CONV, "WINS una=0 wnd=32".to_owned()));
    assert_eq!(endpoint.connections(), 0);
    assert_eq!(endpoint.stats(), counted!(answered: 1));
}

#[test]
fn a_question_from_amid_a_conversation_is_not_answered() {
    let (mut endpoint, now) = classic();
    let asks = [
        encode(segment(Command::WindowAsk, 1), &[]),
        encode(Segment { una: SeqNumber(9), ..segment(Command::WindowAsk, 0) }, &[]),
    ];
    for ask in &asks {
        assert_eq!(endpoint.route(now, remote(1), ask), Route::Dropped(DropReason::Unknown));
    }
    assert_eq!(endpoint.stats(), counted!(dropped_unknown: 2));
}

#[test]
fn at_most_a_thousand_datagrams_a_second_are_answered_without_a_connection() {
    let (mut endpoint, now) = endpoint();
    let stray = push(7, b"stray");
    for second in 1..=3 {
        for n in 0..5_000 {
            let at = now + ms(1_000 * second) + Duration::from_micros(100 * n);
            let route = endpoint.route(at, remote(n as u16 + 1), &stray);
            assert_eq!(matches!(route, Route::Answer(_)), n < 1_000, "{n}: {route:?}");
        }
        assert_eq!(endpoint.stats(), counted!(answered: 1_000 * second, dropped_unknown: 4_000 * second));
    }
}

#[test]
fn an_endpoint_that_does_not_listen_opens_and_answers_nothing() {
    let (_, now) = endpoint();
    let mut endpoint: Endpoint<u32> = Endpoint::new(Arc::new(Config::new()), false);
    assert_eq!(endpoint.route(now, remote(1), &push(0, b"hello")), Route::Dropped(DropReason::NotListening));
    for datagram in [ask(), encode(segment(Command::WindowTell, 0), &[])] {
        assert_eq!(endpoint.route(now, remote(1), &datagram), Route::Dropped(DropReason::Unknown));
    }
    assert_eq!(endpoint.stats(), counted!(dropped_not_listening: 1, dropped_unknown: 2));
}

#[test]
fn a_full_endpoint_opens_no_more_until_one_ends() {
    let now = Instant::now();
    let mut endpoint: Endpoint<u32> = Endpoint::new(Arc::new(Config::new().max_connections(2)), true);
    for port in [1, 2] {
        assert_eq!(
            endpoint.route(now, remote(port), &push(0, b"hello")),
            Route::Opens(conv(), Opening::Stock)
        );
        endpoint.insert(remote(port), conv(), port.into());
    }
    assert_eq!(endpoint.route(now, remote(3), &push(0, b"hello")), Route::Dropped(DropReason::Full));
    assert_eq!(endpoint.route(now, remote(2), &push(0, b"hello")), Route::Known(2));
    assert_eq!(endpoint.stats(), counted!(dropped_full: 1));
    assert_eq!(bury(&mut endpoint, now, remote(1), conv()), Some(1));
    assert_eq!(endpoint.route(now, remote(3), &push(0, b"hello")), Route::Opens(conv(), Opening::Stock));
}

#[test]
fn many_connections_of_one_address_are_told_apart() {
    let (mut endpoint, now) = endpoint();
    let convs = || (1..=1_000).map(|n| Conv::new(n * 4_000_000).unwrap());
    let first = |conv: Conv| encode(Segment { conv: conv.value(), ..segment(Command::Push, 0) }, b"x");
    for (handle, conv) in (0..).zip(convs()) {
        assert_eq!(endpoint.route(now, remote(1), &first(conv)), Route::Opens(conv, Opening::Stock));
        endpoint.insert(remote(1), conv, handle);
    }
    assert_eq!(endpoint.connections(), 1_000);
    assert_eq!(endpoint.with_remote(remote(1)).count(), 1_000);
    // Every second one ends; the others stay.
    for (handle, conv) in (0..).zip(convs()) {
        if handle % 2 == 0 {
            assert_eq!(bury(&mut endpoint, now, remote(1), conv), Some(handle));
            assert_eq!(bury(&mut endpoint, now, remote(1), conv), None);
        }
    }
    for (handle, conv) in (0..).zip(convs()) {
        let expected = if handle % 2 == 0 { Route::Dropped(DropReason::Ended) } else { Route::Known(handle) };
        assert_eq!(endpoint.route(now, remote(1), &first(conv)), expected);
        assert_eq!(
            endpoint.route(now, remote(2), &first(conv)),
            Route::Opens(conv, Opening::Stock),
            "another address"
        );
    }
    assert_eq!(endpoint.connections(), 500);
    assert_eq!(endpoint.stats(), counted!(dropped_ended: 500));
}

#[test]
fn a_late_copy_of_the_first_datagram_opens_nothing_for_ten_seconds() {
    let (mut endpoint, now) = endpoint();
    endpoint.insert(remote(1), conv(), 7);
    assert_eq!(bury(&mut endpoint, now, remote(1), conv()), Some(7));
    let first = push(0, b"hello");
    for after in [0, 1, 5_000, 9_999] {
        let route = endpoint.route(now + ms(after), remote(1), &first);
        assert_eq!(route, Route::Dropped(DropReason::Ended), "after {after} ms");
    }
    assert_eq!(endpoint.stats(), counted!(dropped_ended: 4));
    assert_eq!(endpoint.route(now + ms(10_000), remote(1), &first), Route::Opens(conv(), Opening::Stock));
}

#[test]
fn another_conversation_of_the_same_address_opens_at_once_after_an_end() {
    let (mut endpoint, now) = endpoint();
    endpoint.insert(remote(1), conv(), 7);
    bury(&mut endpoint, now, remote(1), conv());
    let next = Segment { conv: CONV + 1, ..segment(Command::Push, 0) };
    assert_eq!(
        endpoint.route(now, remote(1), &encode(next, b"hello")),
        Route::Opens(Conv::new(CONV + 1).unwrap(), Opening::Stock)
    );
}

#[test]
fn a_question_about_a_conversation_that_ended_is_not_answered() {
    let (mut endpoint, now) = endpoint();
    endpoint.insert(remote(1), conv(), 7);
    bury(&mut endpoint, now, remote(1), conv());
    assert!(matches!(endpoint.route(now, remote(1), &ask()), Route::Dropped(_)));
    assert_eq!(endpoint.stats().answered, 0);
}

#[test]
fn the_names_of_ended_connections_are_bounded() {
    let (mut endpoint, now) = endpoint();
    let first = |conv: Conv| encode(Segment { conv: conv.value(), ..segment(Command::Push, 0) }, b"x");
    let convs = || (1..=100_000).map(|n| Conv::new(n).unwrap());
    for conv in convs() {
        endpoint.insert(remote(1), conv, 0);
        bury(&mut endpoint, now, remote(1), conv);
    }
    let remembered = convs()
        .filter(|&conv| endpoint.route(now, remote(1), &first(conv)) != Route::Opens(conv, Opening::Stock))
        .count();
    assert_eq!(remembered, 65_536);
}

/// Feeds `datagram` to one endpoint as if the other had sent it, and what it answers back and forth.
fn exchange(a: &mut Endpoint<u32>, b: &mut Endpoint<u32>, now: Instant, datagram: Vec<u8>) -> usize {
    let (mut datagram, mut answers) = (datagram, 0);
    loop {
        let target = if answers % 2 == 0 { &mut *b } else { &mut *a };
        match target.route(now, remote(1), &datagram) {
            Route::Answer(answer) => datagram = answer.to_vec(),
            _ => return answers,
        }
        answers += 1;
        assert!(answers < 100, "endless");
    }
}

#[test]
fn two_endpoints_cannot_be_set_on_each_other() {
    let (mut a, now) = endpoint();
    let (mut b, _) = endpoint();
    for command in [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell] {
        for (sn, una, data) in [(0, 0, &b""[..]), (1, 0, b""), (0, 1, b""), (0, 0, b"data"), (7, 7, b"data")]
        {
            let forged = Segment { una: SeqNumber(una), ..segment(command, sn) };
            let answers = exchange(&mut a, &mut b, now, encode(forged, data));
            assert!(answers <= 1, "{forged:?}: {answers} answers");
        }
    }
    assert!(b.stats().answered > 0);
    assert_eq!(a.stats(), counted!(dropped_unknown: b.stats().answered), "each answer meets silence");
}

#[test]
fn two_echo_servers_cannot_be_set_on_each_other() {
    let (mut a, now) = endpoint();
    let (mut echo, _) = connection();
    // A datagram with the forged address of A opens a connection at B, whose application echoes.
    echo.handle_datagram(now, &push(0, b"echo this"));
    let data = read_all(&mut echo);
    echo.write(&data);
    let (mut at, mut sent) = (now, 0);
    let mut buffer = TransmitBuffer::new();
    while echo.ending().is_none() {
        while echo.poll_transmit(at, &mut buffer) {
            for datagram in buffer.datagrams() {
                let route = a.route(at, remote(2), datagram);
                assert!(matches!(route, Route::Answer(_)), "{route:?}");
                sent += 1;
            }
        }
        at = echo.poll_timeout().expect("a connection without an end has a deadline");
        echo.handle_timeout(at);
        assert!(sent < 100, "endless");
    }
    assert_eq!((a.stats().answered, a.connections()), (sent, 0));
    assert!(at - now < Duration::from_secs(120), "gave up after {:?}", at - now);
}
