//! Restarts, outages, and what stock peers show.

use super::*;

#[test]
fn an_idle_client_learns_of_a_restart_by_its_first_question() {
    let mut net = connected(Config::new());
    let began = net.now;
    restart(&mut net, 2, true);
    net.run_until(ms(21_000), |net| net.at(1).is_over());
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 1));
    assert!(net.now - began <= ms(20_100), "{:?}", net.now - began);
    assert_eq!(net.accepted(2), 0);
}

#[test]
fn a_client_that_writes_learns_of_a_restart_in_two_round_trips() {
    let mut net = connected(Config::new());
    net.talk(1).app.outgoing = vec![7; 5_000];
    net.run_for(ms(300));
    restart(&mut net, 2, true);
    let began = net.now;
    net.talk(1).app.outgoing.extend_from_slice(b"more");
    net.run_until(ms(1_000), |net| net.at(1).is_over());
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 1));
    assert!(net.now - began <= DELAY * 4, "{:?}", net.now - began);
    assert_eq!(net.ending(1).bytes_in_doubt(), 4);
}

#[test]
fn a_server_learns_that_another_has_its_clients_port() {
    let mut net = connected(Config::new());
    restart(&mut net, 1, false);
    let began = net.now;
    net.connection(2).write(b"are you there");
    net.run_until(ms(1_000), |net| net.at(2).is_over());
    assert_eq!(cause(&mut net, 2), (Cause::Reset, Party::Peer, 1));
    assert!(net.now - began <= DELAY * 4, "{:?}", net.now - began);
}

#[test]
fn a_cable_that_is_pulled_is_noticed_in_23_seconds_with_data_in_flight_and_without() {
    for data in [&b""[..], &[7; 50_000]] {
        let mut net = connected(Config::new());
        net.talk(1).app.outgoing = b"warm".to_vec();
        net.run_for(ms(500));
        net.loses = Some(Box::new(|_| true));
        let began = net.now;
        net.talk(1).app.outgoing.extend_from_slice(data);
        net.run_until(ms(120_000), |net| net.at(1).is_over() && net.at(2).is_over());
        for n in [1, 2] {
            let (why, by, _) = cause(&mut net, n);
            assert!(matches!(why, Cause::TimedOut(Silence::KeepAlive | Silence::Retransmissions)), "{why:?}");
            assert_eq!(by, Party::Network);
        }
        let took = net.now - began;
        assert!(took <= ms(23_500) && took >= ms(20_000), "{took:?}");
    }
}

#[test]
fn a_killed_peer_is_noticed_in_about_two_seconds_and_not_by_one_report() {
    let mut net = connected(Config::new());
    net.nodes.remove(&addr(2));
    net.connection(1).write(b"hello");
    let (began, mut last, mut reports) = (net.now, None, 0);
    // Its host reports at most once a second.
    while net.connection(1).ending().is_none() {
        let sent = net.sent_by(1).count();
        assert!(net.step(began + ms(5_000)), "not noticed");
        if net.sent_by(1).count() > sent && last.is_none_or(|at| net.now >= at + ms(1_000)) {
            (last, reports) = (Some(net.now), reports + 1);
            let now = net.instant();
            net.connection(1).handle_unreachable(now);
        }
    }
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Network, 0));
    let took = net.now - began;
    assert!((ms(1_900)..=ms(3_000)).contains(&took), "{took:?} after {reports} reports");

    let mut net = connected(Config::new());
    let now = net.instant();
    for _ in 0..10 {
        net.connection(1).handle_unreachable(now);
    }
    net.run_for(ms(30_000));
    assert!(net.connection(1).ending().is_none(), "forged, and the peer lives");
}

#[test]
fn a_forged_hint_and_a_short_outage_end_nothing() {
    let mut net = connected(Config::new());
    net.loses = Some(Box::new(|_| true));
    let now = net.instant();
    net.connection(1).handle_unreachable(now);
    let hint = Segment { una: SeqNumber(1 << 30), ..segment(Command::WindowTell, 1) };
    net.inject(addr(2), 1, encode(hint, &[]));
    for wait in [600, 300, 7_000] {
        // Reports that are drawn by questions less than a second apart can come from one that was forged.
        let now = net.instant();
        net.connection(1).handle_unreachable(now);
        net.run_for(ms(wait));
    }
    net.loses = None;
    net.talk(1).app.outgoing = b"on".to_vec();
    net.talk(1).app.finishes = true;
    ends_well(&mut net, b"on");
}

#[test]
fn the_una_of_a_hint_delivers_nothing_whatever_number_it_answers() {
    for start in [0u32, 77, 1 << 30, (1 << 31) - 2, 1 << 31, 3 << 30, u32::MAX - 2] {
        let mut client = Connection::starting(
            Arc::new(Config::new().wire(Wire::Classic)),
            conv(),
            Opening::Early,
            std::time::Instant::now(),
            7,
            (SeqNumber(start), 1_000),
        );
        let mut net = Net::default();
        net.host(2, Config::new(), true, Script::echo());
        let now = net.instant();
        client.write(&[7; 4_000]);
        let mut buffer = TransmitBuffer::new();
        while client.poll_transmit(now, &mut buffer) {
            for datagram in buffer.datagrams() {
                let route = net.at(2).endpoint.route(now, addr(1), datagram);
                if let sendoff_proto::Route::Answer(hint) = route {
                    client.handle_datagram(now, &hint);
                }
            }
        }
        let stats = client.stats();
        assert_eq!((stats.bytes_acknowledged, stats.in_flight), (0, 3), "from {start}");
        assert!(!client.is_delivered() && client.ending().is_none());
    }
}

/// An extended server with a stock client whose numbers are beyond half of all, and which then restarts.
#[test]
fn a_stock_peer_that_has_forgotten_is_found_out_beyond_half_of_all_numbers_too() {
    for start in [0u32, 1 << 30, (1 << 31) + (1 << 20), 3 << 30, u32::MAX - 70_000] {
        let now = std::time::Instant::now();
        let mut us = Connection::starting(
            Arc::new(Config::new()),
            conv(),
            Opening::Stock,
            now,
            7,
            (SeqNumber(start), 1_000),
        );
        let mut buffer = TransmitBuffer::new();
        let mut push = |us: &mut Connection, at, data: &[u8]| {
            us.write(data);
            assert!(us.poll_transmit(at, &mut buffer));
            let sent = buffer.contents().to_vec();
            sendoff_proto::wire::segments(&sent).next().and_then(Result::ok).map(|s| s.to_segment()).unwrap()
        };
        us.handle_datagram(now, &encode(segment(Command::Push, start), b"hello"));
        let sent = push(&mut us, now, b"one");
        let answer = |sent: Segment, una: u32| {
            encode(Segment { command: Command::Ack, una: SeqNumber(una), window: 32, ..sent }, &[])
        };
        us.handle_datagram(now + ms(20), &answer(sent, start.wrapping_add(1)));
        assert!(us.is_delivered(), "from {start}");
        let sent = push(&mut us, now + ms(40), b"two");
        assert_eq!(sent.sn.0, start.wrapping_add(1));
        us.handle_datagram(now + ms(60), &answer(sent, 0));
        let ending = us.ending().expect("an end by one packet");
        assert_eq!((ending.cause, ending.by, ending.code), (Cause::Reset, Party::Peer, 1), "from {start}");
        assert_eq!(ending.bytes_acknowledged, 3);
    }
}

#[test]
fn what_a_closed_stock_server_acknowledges_one_by_one_is_not_delivered() {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::default());
    net.stock(2, Stock::listener());
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(100));
    // It closes before anything was acknowledged: that it has forgotten can't be told.
    net.talk(1).app.outgoing = b"one".to_vec();
    net.run_for(ms(200));
    assert!(net.connection(1).is_delivered());
    // Its phantom takes segments 1 to 3 out of order, and waits for segment 0 for ever.
    net.stock_at(2).close();
    net.talk(1).app.outgoing.extend_from_slice(&[7; 4_000]);
    net.run_until(ms(60_000), |net| {
        assert!(!net.connection(1).is_delivered());
        net.at(1).is_over()
    });
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 1));
    assert_eq!((net.ending(1).bytes_acknowledged, net.connection(1).is_delivered()), (3, false));
    let sent = net.log.len();
    net.run_for(ms(60_000));
    assert_eq!(net.log.len(), sent, "nothing after the verdict: each would be one more phantom");
}

#[test]
fn a_tombstone_of_a_stock_conversation_acknowledges_nothing_of_its_successor() {
    let mut net = Net::default();
    net.host(2, Config::new(), true, Script::default());
    net.stock(1, Stock::client(addr(2), CONV));
    net.stock_at(1).session().say(b"first");
    net.run_for(ms(500));
    assert!(net.stock_at(1).session().is_delivered());
    let now = net.instant();
    net.connection(2).abort(now, 0);
    net.run_for(ms(100));
    let sent = net.sent_by(2).count();
    net.stock(1, Stock::client(addr(2), CONV));
    net.stock_at(1).session().say(b"second");
    net.run_for(ms(9_000));
    assert_eq!(net.sent_by(2).count(), sent, "an answer would say that it has arrived");
    assert!(!net.stock_at(1).session().is_delivered());
    net.run_for(ms(2_000));
    assert!(net.stock_at(1).session().is_delivered(), "and then it opens");
    assert_eq!(net.at(2).talks[1].app.received, b"second");
}
