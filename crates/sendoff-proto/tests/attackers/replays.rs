//! What was recorded, sent again.

use super::*;
use sendoff_proto::{DropReason, Route};

/// A conversation from its beginning to its end, and all that the client sent in it.
fn recorded(config: Config, how: Opening) -> (Net, Vec<Vec<u8>>) {
    let mut net = Net::default();
    net.host(1, config.clone(), false, Script::says(b"an order"));
    net.host(2, config, true, Script::echo());
    net.dial(1, 2, how);
    net.run_to_the_end(1, 2);
    let datagrams = net.sent_by(1).map(|sent| sent.bytes.clone()).collect();
    (net, datagrams)
}

#[test]
fn nothing_that_was_recorded_opens_anything_within_ten_seconds() {
    for how in [Opening::Early, Opening::Waiting] {
        let (mut net, datagrams) = recorded(Config::new(), how);
        let end = net.now;
        while net.now + ms(1) < end + ms(10_000) - ms(100) {
            for datagram in &datagrams {
                net.inject(addr(1), 2, datagram.clone());
            }
            net.run_for(ms(330));
            assert_eq!(net.accepted(2), 1);
        }
    }
}

#[test]
fn a_live_connection_takes_nothing_twice() {
    let mut net = connected(Config::new());
    warm_up(&mut net);
    for host in HOSTS {
        let before = state(net.connection(host));
        let sent: Vec<_> = net.sent_by(3 - host).map(|sent| sent.bytes.clone()).collect();
        for datagram in sent.iter().chain(sent.iter().rev()) {
            net.inject(addr(3 - host), host, datagram.clone());
        }
        net.run_for(ms(300));
        assert_eq!(state(net.connection(host)), before);
    }
    ends_well(&mut net, &forgeries::forge("a replay", Vec::new()));
}

#[test]
fn a_hello_with_its_data_opens_again_after_the_tombstone_but_is_never_proven() {
    let (mut net, datagrams) = recorded(Config::new(), Opening::Early);
    net.run_for(ms(10_100));
    // The client's address belongs to nobody now.
    net.nodes.remove(&addr(1));
    for datagram in &datagrams {
        net.inject(addr(1), 2, datagram.clone());
    }
    net.run_for(ms(100));
    assert_eq!(net.accepted(2), 2);
    let again = &net.at(2).talks[1];
    assert_eq!(again.app.received, b"an order", "as with every first flight without a round trip");
    assert!(!again.connection.is_address_proven(), "what `prove` waits for never comes");
    assert!(!again.app.eof, "its FIN names another token");
    net.run_until(ms(60_000), |net| net.at(2).is_over());
    assert!(!net.at(2).talks[1].app.eof);
    assert_ne!(net.at(2).talks[1].connection.ending().map(|e| e.cause), Some(Cause::Closed));
}

#[test]
fn a_waiting_client_that_is_replayed_brings_no_data() {
    let (mut net, datagrams) = recorded(Config::new(), Opening::Waiting);
    net.run_for(ms(10_100));
    net.nodes.remove(&addr(1));
    for datagram in datagrams.iter().chain(datagrams.iter().rev()) {
        net.inject(addr(1), 2, datagram.clone());
    }
    assert_eq!(net.accepted(2), 2);
    let again = &net.at(2).talks[1];
    assert_eq!(again.app.received, b"", "data without a HELLO in front");
    // Its first PUSH had a HELLO in front that named the former server.
    let ending = again.connection.ending().expect("an end at once");
    assert_eq!((ending.cause, ending.code), (Cause::Reset, 1));
}

#[test]
fn each_datagram_of_a_conversation_meets_silence_or_an_answer_that_leads_nowhere() {
    let (mut net, datagrams) = recorded(Config::new(), Opening::Early);
    net.run_for(ms(20_000));
    let now = net.instant();
    for datagram in datagrams.iter().skip(1) {
        match net.at(2).endpoint.route(now, addr(1), datagram) {
            Route::Answer(answer) => {
                assert!(answer.len() <= datagram.len());
                let back = net.at(1).endpoint.route(now, addr(2), &answer);
                assert_eq!(back, Route::Dropped(DropReason::Unknown));
            }
            route => assert_eq!(route, Route::Dropped(DropReason::Unknown)),
        }
    }
}
