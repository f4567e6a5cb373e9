//! The end.

use super::*;
use crate::sim::net::block;
use sendoff_proto::{Mode, wire::Body};

#[test]
fn a_lost_last_acknowledgement_is_a_clean_end_also_when_the_other_has_gone() {
    // The client's last ACK is lost, and its process ends at once.
    type Then = fn(&mut Net);
    let thens: [Then; 3] = [
        |net| restart(net, 1, false),
        |net| {
            net.nodes.remove(&addr(1));
        },
        |_| {},
    ];
    for then in thens {
        let mut net = dialled(b"hello", Opening::Early);
        net.run_until(ms(1_000), |net| net.sent_by(2).any(|sent| sent.has(BlockKind::Fin)));
        net.loses = Some(Box::new(|sent| sent.from == addr(1)));
        net.run_until(ms(1_000), |net| net.at(1).is_over());
        assert_eq!(net.ending(1).cause, Cause::Closed);
        net.loses = None;
        then(&mut net);
        net.run_until(ms(60_000), |net| net.at(2).is_over());
        let ending = net.ending(2);
        assert_eq!((ending.cause, ending.bytes_in_doubt()), (Cause::Closed, 0), "{ending}");
        assert!(net.talk(2).app.eof);
    }
}

#[test]
fn who_needs_not_stay_may_go_at_once_and_the_other_stays_for_three_timeouts() {
    let mut net = dialled(b"hello", Opening::Early);
    net.run_to_the_end(1, 2);
    let now = net.instant();
    assert_eq!(net.at(2).endpoint.stay_until(), None, "it has heard that the client has all");
    let stay = net.at(1).endpoint.stay_until().expect("its last ACK may be lost");
    assert!(stay > now && stay <= now + ms(1_000));
}

#[test]
fn last_words_arrive_before_the_reset_for_what_nobody_reads() {
    let mut net = connected(Config::new());
    net.talk(1).app.outgoing = vec![7; 20_000];
    net.talk(2).app.deaf = true;
    net.run_for(ms(100));
    // The server closes with data unread, and has last words.
    net.connection(2).write(&[9; 8_000]);
    let now = net.instant();
    net.connection(2).close(now, 18, "enough");
    net.run_to_the_end(1, 2);
    assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 5));
    assert_eq!(net.talk(1).app.received, [9; 8_000]);
    assert_eq!(net.connection(1).peer_farewell().map(|f| f.code), Some(18));
    assert_eq!(cause(&mut net, 2), (Cause::Closed, Party::Local, 18));
    assert_eq!(net.ending(2).bytes_acknowledged, 8_000);
    let fin = net.log.iter().position(|sent| sent.has(BlockKind::Fin)).expect("a FIN");
    let reset = net.log.iter().position(|sent| sent.has(BlockKind::Reset)).expect("a RESET");
    assert!(fin < reset);
}

#[test]
fn what_comes_after_a_close_is_never_acknowledged() {
    let mut net = connected(Config::new());
    net.talk(1).app.outgoing = b"read".to_vec();
    net.run_for(ms(200));
    let now = net.instant();
    net.talk(2).app.deaf = true;
    net.connection(2).close(now, 18, "");
    net.talk(1).app.outgoing.extend_from_slice(&[7; 20_000]);
    net.run_to_the_end(1, 2);
    let ending = net.ending(1);
    assert_eq!((ending.cause, ending.code, ending.bytes_acknowledged), (Cause::Reset, 5, 4), "{ending}");
}

#[test]
fn two_that_close_with_data_under_way_wait_for_no_linger() {
    let mut net = connected(Config::new());
    net.talk(2).app.echoes = false;
    for n in [1, 2] {
        net.connection(n).write(&[7; 30_000]);
    }
    net.pump();
    let (began, now) = (net.now, net.instant());
    for n in [1, 2] {
        net.talk(n).app.deaf = true;
        net.connection(n).close(now, 18, "");
    }
    net.run_to_the_end(1, 2);
    assert!(net.now - began < ms(2_000), "{:?}: {:#?}", net.now - began, net.log);
    for n in [1, 2] {
        assert!(matches!(net.ending(n).cause, Cause::Reset | Cause::Closed), "{}", net.ending(n));
    }
}

#[test]
fn a_window_that_never_opens_holds_data_and_end_and_kills_nobody() {
    let mut net = connected(Config::new());
    net.talk(2).app.deaf = true;
    net.talk(2).app.echoes = false;
    net.talk(1).app.outgoing = vec![7; 4_000_000];
    net.run_for(ms(300_000));
    assert!(net.connection(1).ending().is_none() && net.connection(2).ending().is_none());
    let written = net.talk(1).app.written;
    assert!(written < 4_000_000 && !net.connection(1).is_delivered());
    // Who only waits is told after the linger time, and loses nothing.
    let now = net.instant();
    net.connection(1).finish();
    net.connection(1).start_linger(now);
    net.run_for(ms(31_000));
    assert!(net.connection(1).has_linger_elapsed() && net.connection(1).ending().is_none());
    // Who closes gives up with a code.
    let now = net.instant();
    net.connection(1).close(now, 0, "");
    net.run_until(ms(40_000), |net| net.at(1).is_over());
    assert_eq!(net.ending(1).cause, Cause::TimedOut(Silence::Linger));
    net.run_for(ms(100));
    net.talk(2).app.deaf = false;
    assert_eq!(cause(&mut net, 2), (Cause::Reset, Party::Peer, 6));
}

#[test]
fn a_reader_that_wakes_at_last_gets_data_and_end() {
    let mut net = connected(Config::new());
    net.talk(2).app.deaf = true;
    net.talk(1).app.outgoing = vec![7; 4_000_000];
    net.talk(1).app.finishes = true;
    net.run_for(ms(300_000));
    net.talk(2).app.deaf = false;
    let said = net.talk(1).app.outgoing.clone();
    ends_well(&mut net, &said);
}

#[test]
fn an_end_within_a_message_is_a_fault_and_what_lies_beyond_an_end_is_refused() {
    for (fragments, fault) in [(&[1u8, 0][..], false), (&[2, 1], true), (&[1], true)] {
        let mut net = Net::default();
        let config = Config::new().mode(Mode::Message);
        net.host(1, config.clone(), false, Script { deaf: true, ..Script::default() });
        net.host(2, config, true, Script { deaf: true, ..Script::default() });
        net.dial(1, 2, Opening::Waiting);
        net.run_for(ms(500));
        let [client, server] = [1, 2].map(|n| net.connection(n).token().value());
        for (sn, &fragment) in fragments.iter().enumerate() {
            let push = Segment { fragment, ..segment(Command::Push, sn as u32) };
            net.inject(addr(1), 2, encode(push, b"part"));
        }
        let sn = fragments.len() as u32;
        // Data beyond the end has come before it.
        let fin = block(segment(Command::Push, sn), server, client, Body::Fin { code: 16, reason: "" });
        net.inject(addr(1), 2, encode(segment(Command::Push, sn + 1), b"beyond"));
        net.inject(addr(1), 2, fin);
        net.inject(addr(1), 2, encode(segment(Command::Push, sn + 1), b"beyond"));
        if fault {
            assert_eq!(cause(&mut net, 2), (Cause::Reset, Party::Local, 7));
            net.run_for(ms(50));
            assert_eq!(cause(&mut net, 1), (Cause::Reset, Party::Peer, 7));
        } else {
            assert!(net.connection(2).is_peer_finished());
            assert_eq!(net.connection(2).stats().bytes_received, 4 * fragments.len() as u64);
            assert!(net.connection(2).stats().dropped_out_of_window > 0);
        }
    }
}

#[test]
fn of_two_ends_the_first_counts() {
    let mut net = connected(Config::new());
    let [client, server] = [1, 2].map(|n| net.connection(n).token().value());
    for (sn, code) in [(2, 16), (1, 17), (0, 18), (2, 19)] {
        let fin = block(segment(Command::Push, sn), server, client, Body::Fin { code, reason: "" });
        net.inject(addr(1), 2, fin);
        assert_eq!(net.connection(2).peer_farewell().map(|f| f.code), Some(16));
        assert!(!net.connection(2).is_peer_finished());
    }
    for sn in 0..2 {
        net.inject(addr(1), 2, encode(segment(Command::Push, sn), b"x"));
    }
    assert!(net.connection(2).is_peer_finished());
    assert_eq!(net.connection(2).stats().bytes_received, 2);
}

#[test]
fn everything_fits_the_smallest_mtu_of_blocks_the_longest_reason_too() {
    let mut net = Net::default();
    let config = Config::new().mtu(128).unwrap();
    net.host(1, config.clone(), false, Script { outgoing: vec![7; 5_000], ..Script::default() });
    net.host(2, config, true, Script { outgoing: vec![9; 5_000], ..Script::default() });
    net.dial(1, 2, Opening::Early);
    net.run_for(ms(3_000));
    let reason = "ü".repeat(300);
    for n in [1, 2] {
        net.connection(n).finish_with(33, &reason);
    }
    net.run_to_the_end(1, 2);
    for n in [1, 2] {
        let ending = net.ending(n);
        assert_eq!((ending.cause, ending.bytes_received), (Cause::Closed, 5_000), "{ending}");
        let heard = net.connection(n).peer_farewell().expect("words").reason.clone();
        assert!(reason.starts_with(&heard), "{heard}");
    }
    let longest = net.log.iter().map(|sent| sent.bytes.len()).max();
    assert!(longest <= Some(128), "{longest:?}");
}

#[test]
fn a_listener_that_goes_away_ends_nothing_by_that_alone() {
    let mut net = connected(Config::new());
    let [client, server] = [1, 2].map(|n| net.connection(n).token().value());
    let mut ping = block(segment(Command::WindowAsk, 1), client, server, Body::Ping { challenge: 5 });
    ping[30] = 1;
    net.inject(addr(2), 1, ping);
    net.run_for(ms(100));
    assert!(net.sent_by(1).any(|sent| sent.has(BlockKind::Pong)));
    net.talk(1).app.outgoing = b"on".to_vec();
    net.talk(1).app.finishes = true;
    assert_eq!(net.connection(1).peer_kind(), PeerKind::Extended);
    ends_well(&mut net, b"on");
}
