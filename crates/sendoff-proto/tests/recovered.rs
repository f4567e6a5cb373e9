//! What is made good by parity may be old: it is taken for what is numbered in it, and for nothing else.

mod sim;

use sendoff_netem::LinkConfig;
use sendoff_proto::{
    Cause, Config, Connection, Opening, SeqNumber,
    wire::{Body, Command},
};
use sim::{
    Pair, ms,
    net::{Net, Script, block, connected, encode, segment},
    payload,
};
use std::time::Instant;

/// Both sides' tokens: of the client at 1, of the server at 2.
fn tokens(net: &mut Net) -> (u64, u64) {
    (net.connection(1).token().value(), net.connection(2).token().value())
}

/// Hands the same to two copies of a connection: as a datagram, and as one that was made good.
fn both_ways(connection: &Connection, now: Instant, datagram: &[u8]) -> (Connection, Connection) {
    let (mut fresh, mut recovered) = (connection.clone(), connection.clone());
    fresh.handle_datagram(now, datagram);
    recovered.handle_recovered(now, datagram);
    assert_eq!(recovered.stats().datagrams_recovered, 1);
    assert_eq!(recovered.stats().datagrams_received, connection.stats().datagrams_received);
    (fresh, recovered)
}

fn read(connection: &mut Connection) -> Vec<u8> {
    let mut out = vec![0; 4_096];
    let n = connection.read(&mut out);
    out.truncate(n);
    out
}

#[test]
fn a_reset_that_was_made_good_ends_nothing() {
    let mut net = connected(Config::new());
    let (client, server) = tokens(&mut net);
    let reset = block(segment(Command::WindowTell, 0), client, server, Body::Reset { code: 7, reason: "" });
    let now = net.instant();
    let (fresh, recovered) = both_ways(net.connection(1), now, &reset);
    assert_eq!(fresh.ending().map(|ending| ending.cause), Some(Cause::Reset));
    assert_eq!(recovered.ending(), None);
}

#[test]
fn a_ping_that_was_made_good_is_not_answered() {
    let mut net = connected(Config::new());
    let (client, server) = tokens(&mut net);
    let ping = block(segment(Command::WindowAsk, 0), server, client, Body::Ping { challenge: 5 });
    let now = net.instant();
    let (fresh, mut recovered) = both_ways(net.connection(2), now, &ping);
    assert!(fresh.owes_answer());
    assert!(!recovered.owes_answer() && !recovered.has_transmit());
}

#[test]
fn the_data_behind_a_hello_is_taken_if_the_hello_is_of_the_peer_that_is_known() {
    let mut net = connected(Config::new());
    let (client, server) = tokens(&mut net);
    let now = net.instant();
    let push = encode(segment(Command::Push, 0), b"data");
    for (to, from, is_taken) in
        [(server, client, true), (0, client, true), (0, 77, false), (78, client, false)]
    {
        let body = Body::Hello { features: 0, cookie: [0; 16] };
        let hello = block(segment(Command::WindowAsk, 0), to, from, body);
        let (_, mut recovered) = both_ways(net.connection(2), now, &[hello, push.clone()].concat());
        assert_eq!(read(&mut recovered) == b"data", is_taken, "to {to} from {from}");
        // Nobody else is believed in, and nobody is answered but for data.
        assert_eq!(recovered.token(), net.connection(2).token());
        assert_eq!(recovered.has_transmit(), is_taken);
        let reset =
            block(segment(Command::WindowTell, 0), server, client, Body::Reset { code: 7, reason: "" });
        recovered.handle_datagram(now, &reset);
        assert!(recovered.ending().is_some(), "its peer is still the same");
    }
}

#[test]
fn the_data_behind_a_welcome_is_taken_if_both_know_each_other() {
    let mut net = connected(Config::new());
    let (client, server) = tokens(&mut net);
    let now = net.instant();
    let push = encode(segment(Command::Push, 0), b"data");
    for (to, from, is_taken) in [(client, server, true), (client, 77, false), (77, server, false)] {
        let welcome = block(segment(Command::WindowTell, 0), to, from, Body::Welcome { features: 0 });
        let (_, mut recovered) = both_ways(net.connection(1), now, &[welcome, push.clone()].concat());
        assert_eq!(read(&mut recovered) == b"data", is_taken, "to {to} from {from}");
    }
}

#[test]
fn windows_and_round_trips_are_left_alone_and_what_is_acknowledged_counts() {
    let mut pair = Pair::new(Config::new(), LinkConfig::new().delay(ms(20)), 1);
    pair.transfer(0, b"hello", ms(1_000));
    let now = pair.instant();
    let client = &mut pair.client().connection;
    client.write(&payload(3 * 1_376, 1));
    let mut buffer = sendoff_proto::TransmitBuffer::new();
    assert!(client.poll_transmit(now, &mut buffer) && client.stats().in_flight == 3);
    let (before, later) = (client.stats(), now + ms(300));
    // Delivered to somewhere in what was sent, the window at that time, and an echo of the first timestamp.
    let echoed = sendoff_proto::wire::SegmentView::parse(buffer.contents()).unwrap().0.timestamp();
    let sn = segment(Command::Ack, 3);
    let ack = sendoff_proto::wire::Segment { window: 0, timestamp: echoed, una: SeqNumber(2), ..sn };
    let (fresh, recovered) = both_ways(client, later, &encode(ack, b""));
    assert!(fresh.stats().rtt > before.rtt && fresh.stats().remote_window == 0, "{:?}", fresh.stats());
    let after = recovered.stats();
    assert_eq!((after.rtt, after.rtt_variance), (before.rtt, before.rtt_variance));
    // The edge that the peer told last holds: una has moved towards it by one.
    assert_eq!(after.remote_window, before.remote_window - 1);
    assert_eq!(after.bytes_acknowledged, fresh.stats().bytes_acknowledged);
    assert!(after.bytes_acknowledged > before.bytes_acknowledged && after.in_flight < before.in_flight);
}

#[test]
fn an_end_that_was_made_good_is_an_end() {
    let mut net = connected(Config::new());
    let (client, server) = tokens(&mut net);
    let fin = block(segment(Command::Push, 0), server, client, Body::Fin { code: 17, reason: "enough" });
    let now = net.instant();
    let (fresh, recovered) = both_ways(net.connection(2), now, &fin);
    for mut connection in [fresh, recovered] {
        assert!(read(&mut connection).is_empty());
        assert!(connection.is_peer_finished());
        let farewell = connection.peer_farewell().unwrap();
        assert_eq!((farewell.code, farewell.reason.as_str()), (17, "enough"));
        assert!(connection.owes_answer(), "and is acknowledged");
    }
    // Not of somebody else.
    let other = block(segment(Command::Push, 0), server, 77, Body::Fin { code: 17, reason: "" });
    let (_, recovered) = both_ways(net.connection(2), now, &other);
    assert!(!recovered.is_peer_finished());
}

#[test]
fn a_question_for_the_window_is_answered_late_too() {
    let mut net = connected(Config::new());
    let now = net.instant();
    let (mut fresh, mut recovered) =
        both_ways(net.connection(2), now, &encode(segment(Command::WindowAsk, 0), b""));
    assert!(fresh.has_transmit() && recovered.has_transmit());
}

#[test]
fn nothing_is_taken_while_a_connection_opens_or_after_its_end() {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::default());
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(5));
    let now = net.instant();
    let (client, push) = (net.connection(1), encode(segment(Command::Push, 0), b"data"));
    let mut opening = client.clone();
    opening.handle_recovered(now, &push);
    assert!(read(&mut opening).is_empty());
    assert_eq!(opening.stats().datagrams_recovered, 0);
    let mut ended = client.clone();
    ended.abort(now, 3);
    ended.handle_recovered(now, &push);
    assert!(read(&mut ended).is_empty());
}

#[test]
fn rubbish_that_was_made_good_is_counted_and_dropped() {
    let mut net = connected(Config::new());
    let now = net.instant();
    let good = encode(segment(Command::Push, 0), b"data");
    let mut foreign = good.clone();
    foreign[0] ^= 1;
    for rubbish in [&good[..20], &good[..26], &foreign, &[0xff; 60], &[]] {
        let mut connection = net.connection(2).clone();
        connection.handle_recovered(now, rubbish);
        assert!(read(&mut connection).is_empty() && connection.ending().is_none());
        assert_eq!(connection.stats().malformed_datagrams, 1);
    }
    // What stands before it counts.
    let mut connection = net.connection(2).clone();
    connection.handle_recovered(now, &[&good[..], &[1; 9]].concat());
    assert_eq!(read(&mut connection), b"data");
}
