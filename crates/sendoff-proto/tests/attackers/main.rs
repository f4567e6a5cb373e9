//! What somebody off the path can do who knows both addresses and the conversation id, but no token: data and una
//! in the window are plain KCP's, and nothing else moves, ends, or is believed.

mod cookies;
mod forgeries;
mod opening;
mod replays;
#[path = "../sim/mod.rs"]
mod sim;

use forgeries::{Forgery, acknowledgements, blocks, plain};
use sendoff_proto::{
    Cause, Config, Connection, Opening, Party, PeerKind, Wire,
    wire::{Command, FIN_FRAGMENT, Segment},
};
use sim::{
    ms,
    net::{CONV, Net, Script, addr, connected, encode, segment},
    stock::Stock,
};

/// What must not change.
#[derive(Debug, PartialEq, Eq)]
struct State {
    ended: bool,
    finished: bool,
    farewell: bool,
    delivered: bool,
    received: u64,
    acknowledged: u64,
    in_flight: u32,
    kind: PeerKind,
    proven: bool,
    readable: usize,
}

fn state(connection: &Connection) -> State {
    let stats = connection.stats();
    State {
        ended: connection.ending().is_some(),
        finished: connection.is_peer_finished(),
        farewell: connection.peer_farewell().is_some(),
        delivered: connection.is_delivered(),
        received: stats.bytes_received,
        acknowledged: stats.bytes_acknowledged,
        in_flight: stats.in_flight,
        kind: connection.peer_kind(),
        proven: connection.is_address_proven(),
        readable: connection.readable_bytes(),
    }
}

const HOSTS: [u8; 2] = [1, 2];

/// Says something in both directions, so that the numbers lie amid the conversation.
fn warm_up(net: &mut Net) {
    net.talk(1).app.outgoing.extend_from_slice(&[7; 5_000]);
    net.run_for(ms(500));
    assert_eq!(net.talk(1).app.received, [7; 5_000]);
}

/// All that is still to be said arrives, both ends come, and are in order.
fn ends_well(net: &mut Net, forgery: &Forgery) {
    net.talk(1).app.outgoing.extend_from_slice(&[8; 3_000]);
    net.talk(1).app.finishes = true;
    net.run_to_the_end(1, 2);
    for host in HOSTS {
        let ending = net.ending(host);
        assert_eq!((ending.cause, ending.code), (Cause::Closed, 17), "{forgery:?}: {ending}");
        assert_eq!(ending.bytes_received, ending.bytes_acknowledged, "{forgery:?}: {ending}");
        let said = net.talk(1).app.outgoing.clone();
        let heard = &net.talk(host).app;
        assert!(heard.eof && heard.received == said, "{forgery:?}");
        assert!(net.connection(host).is_delivered(), "{forgery:?}");
    }
}

/// Lets `forgery` loose on a host of a live pair, idle or with data in flight.
fn try_on_live_pair(
    victim: u8,
    busy: bool,
    make: &dyn Fn(&Connection, &Connection) -> Option<Forgery>,
) -> bool {
    let mut net = connected(Config::new());
    warm_up(&mut net);
    if busy {
        for host in HOSTS {
            // So long that the echo doesn't come in between.
            net.talk(host).app.outgoing.extend_from_slice(&[6; 4_000]);
        }
        net.pump();
        assert!(net.connection(victim).stats().in_flight > 0);
    }
    let peer = 3 - victim;
    let (own, other) = (net.connection(victim).clone(), net.connection(peer).clone());
    let Some(forgery) = make(&own, &other) else { return false };
    let before = HOSTS.map(|host| state(net.connection(host)));
    net.inject(addr(peer), victim, forgery.datagram.clone());
    assert_eq!(HOSTS.map(|host| state(net.connection(host))), before, "{forgery:?} at {victim}");
    net.run_for(ms(500));
    for host in HOSTS {
        let state = state(net.connection(host));
        assert!(!state.ended && !state.finished && !state.farewell, "{forgery:?} at {victim}: {state:?}");
        assert_eq!(net.accepted(host), 1);
    }
    if busy {
        // What the server said of itself isn't an echo: the rest of the check doesn't expect it.
        return true;
    }
    ends_well(&mut net, &forgery);
    true
}

fn try_all(busy: bool, make: impl Fn(&Connection, &Connection) -> Vec<Forgery>) -> usize {
    let mut count = 0;
    for victim in HOSTS {
        for n in 0.. {
            if !try_on_live_pair(victim, busy, &|own, peer| make(own, peer).into_iter().nth(n)) {
                break;
            }
            count += 1;
        }
    }
    count
}

#[test]
fn no_forged_block_moves_or_ends_an_idle_connection() {
    assert!(try_all(false, blocks) > 500);
}

#[test]
fn no_forged_block_moves_or_ends_a_busy_connection() {
    assert!(try_all(true, blocks) > 500);
}

#[test]
fn no_forged_acknowledgement_or_window_outside_of_what_was_sent_delivers_anything() {
    assert!(try_all(true, acknowledgements) > 60);
    assert!(try_all(false, acknowledgements) > 60);
}

#[test]
fn no_plain_segment_ends_an_idle_connection() {
    assert!(try_all(false, plain) > 10);
}

#[test]
fn forged_data_in_the_window_is_taken_as_with_every_kcp_but_ends_nothing() {
    for (fragment, taken) in [(0, true), (FIN_FRAGMENT, false)] {
        let mut net = connected(Config::new());
        warm_up(&mut net);
        let next = net.connection(2).stats().segments_received as u32;
        let push = Segment { fragment, ..segment(Command::Push, next) };
        let before = net.connection(2).stats().bytes_received;
        net.inject(addr(1), 2, encode(push, b"forged"));
        net.run_for(ms(100));
        let stats = net.connection(2).stats();
        assert_eq!(stats.bytes_received > before, taken);
        assert_eq!(stats.dropped_fragment, u64::from(!taken));
        net.run_for(ms(60_000));
        for host in HOSTS {
            assert!(net.connection(host).ending().is_none() && !net.connection(host).is_peer_finished());
        }
        // Only whose tokens it names is believed.
        net.connection(1).finish();
        net.run_for(ms(100));
        assert_eq!(
            net.connection(2).is_peer_finished(),
            !taken,
            "a forged segment stands in the way of the end"
        );
        let now = net.instant();
        net.connection(1).abort(now, 33);
        net.run_for(ms(100));
        assert_eq!(net.ending(2).code, if taken { 33 } else { net.ending(2).code });
    }
}

#[test]
fn a_thousand_guessed_resets_end_nothing_and_draw_no_answer() {
    let mut net = connected(Config::new());
    let sent = net.log.len();
    for guess in 1..=1_000 {
        for victim in HOSTS {
            net.inject(addr(3 - victim), victim, forgeries::reset(guess, guess + 1));
        }
    }
    net.run_for(ms(1_000));
    assert_eq!(net.log.len(), sent, "a RESET is never answered");
    for host in HOSTS {
        assert!(net.connection(host).ending().is_none());
        assert_eq!(net.connection(host).stats().unbelieved_blocks, 1_000);
    }
}

#[test]
fn what_a_stranger_asks_is_answered_once_a_timeout_and_moves_nobody() {
    let mut net = connected(Config::new());
    for _ in 0..1_000 {
        net.inject(addr(1), 2, forgeries::ping(0xbad, 0xbad));
        net.inject(addr(2), 1, forgeries::ping(0xbad, 0xbad));
    }
    net.run_for(ms(50));
    for host in HOSTS {
        let resets = net.sent_by(host).filter(|s| s.has(sendoff_proto::wire::BlockKind::Reset)).count();
        assert_eq!(resets, 1);
        assert!(net.connection(host).ending().is_none());
    }
    let idle = forgeries::forge("nothing more", Vec::new());
    net.talk(1).app.outgoing.extend_from_slice(&[7; 5_000]);
    ends_well(&mut net, &idle);
}

/// A sendoff server, and a stock client that has said something.
fn with_stock_client() -> Net {
    let mut net = Net::default();
    net.host(2, Config::new(), true, Script { echoes: true, ..Script::default() });
    net.stock(1, Stock::client(addr(2), CONV));
    net.stock_at(1).session().say(&[7; 5_000]);
    net.run_for(ms(1_000));
    net
}

#[test]
fn no_forged_block_harms_a_connection_with_a_stock_client() {
    for n in 0.. {
        let mut net = with_stock_client();
        let own = net.connection(2).clone();
        let Some(forgery) = blocks(&own, &own).into_iter().nth(n) else { break };
        let before = state(&own);
        net.inject(addr(1), 2, forgery.datagram.clone());
        assert_eq!(state(net.connection(2)), before, "{forgery:?}");
        for _ in 0..100 {
            net.run_for(ms(10));
            let window = net.stock_at(1).session().remote_window;
            assert!(window > 0, "{forgery:?} closes the client's window");
        }
        net.stock_at(1).session().say(&[8; 3_000]);
        net.run_for(ms(1_000));
        let session = net.stock_at(1).session();
        assert!(session.is_delivered() && session.received.len() == 8_000, "{forgery:?}");
        // It can't read a FIN, whoever else may have shown blocks.
        net.connection(2).finish();
        net.run_for(ms(1_000));
        assert_eq!(net.stock_at(1).session().received.len(), 8_000, "{forgery:?}: a FIN read as data");
        assert_eq!(net.connection(2).peer_kind(), PeerKind::Stock);
        assert!(net.connection(2).is_delivered() && net.connection(2).ending().is_none());
    }
}

#[test]
fn no_forged_block_harms_a_connection_with_a_stock_server() {
    for n in 0.. {
        let mut net = Net::default();
        net.host(1, Config::new(), false, Script::default());
        net.stock(2, Stock::listener());
        net.dial(1, 2, Opening::Waiting);
        warm_up(&mut net);
        let own = net.connection(1).clone();
        assert_eq!(own.peer_kind(), PeerKind::Stock);
        // An attacker who knew our token could make us believe in another peer: it doesn't.
        let guesses = blocks(&own, &own).into_iter().filter(|f| !f.names_own);
        let Some(forgery) = guesses.into_iter().nth(n) else { break };
        net.inject(addr(2), 1, forgery.datagram.clone());
        assert_eq!(state(net.connection(1)), state(&own), "{forgery:?}");
        net.run_for(ms(500));
        net.talk(1).app.outgoing.extend_from_slice(&[8; 3_000]);
        net.talk(1).app.finishes = true;
        net.run_for(ms(2_000));
        let talk = net.talk(1);
        assert!(talk.app.received == talk.app.outgoing && !talk.app.eof, "{forgery:?}");
        assert!(talk.connection.is_delivered() && talk.connection.ending().is_none(), "{forgery:?}");
        assert_eq!(net.stock_at(2).made, 1, "{forgery:?}");
    }
}

#[test]
fn two_forged_windows_with_una_0_end_no_connection_with_a_stock_peer() {
    let mut net = with_stock_client();
    net.connection(2).write(&[1; 3_000]);
    net.pump();
    for _ in 0..10 {
        net.inject(addr(1), 2, encode(segment(Command::WindowTell, 1), &[]));
        net.inject(
            addr(1),
            2,
            encode(Segment { una: 9_999.into_sn(), ..segment(Command::WindowTell, 1) }, &[]),
        );
        net.run_for(ms(300));
    }
    net.run_for(ms(60_000));
    assert!(net.connection(2).ending().is_none() && net.connection(2).is_delivered());
    assert_eq!(net.stock_at(1).session().received.len(), 8_000);
}

#[test]
fn a_classic_connection_believes_no_block_at_all() {
    let mut net = Net::default();
    net.host(1, Config::new().wire(Wire::Classic), false, Script::default());
    net.host(2, Config::new().wire(Wire::Classic), true, Script::echo());
    net.dial(1, 2, Opening::Early);
    warm_up(&mut net);
    let own = net.connection(2).clone();
    for forgery in blocks(&own, &own) {
        net.inject(addr(1), 2, forgery.datagram.clone());
        assert_eq!(net.connection(2).peer_kind(), PeerKind::Stock);
        assert!(net.connection(2).ending().is_none(), "{forgery:?}");
    }
    net.run_for(ms(1_000));
    assert!(net.log.iter().all(|sent| sent.blocks().count() == 0));
    let now = net.instant();
    net.connection(2).abort(now, 1);
    assert_eq!(net.ending(2).by, Party::Local);
}

/// So that a number reads as one.
trait IntoSn {
    fn into_sn(self) -> sendoff_proto::SeqNumber;
}

impl IntoSn for u32 {
    fn into_sn(self) -> sendoff_proto::SeqNumber {
        sendoff_proto::SeqNumber(self)
    }
}
