//! A client that moves while both sides close, what is sent again meanwhile, and what a move makes of congestion and
//! of who shares the socket.

mod sim;

use sendoff_proto::{
    Cause, Config, Congestion, NoDelay, Party, Profile,
    wire::{Body, Command},
};
use sim::{
    ms,
    net::{DELAY, Net, Sent, addr, block, connected, segment},
    payload,
};

/// Where the client is at first, the server, where the client goes, and where nobody is.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const AWAY: u8 = 3;
const ELSEWHERE: u8 = 4;

/// What the client has sent so far, but for what would open another conversation elsewhere.
fn recorded(net: &Net) -> Vec<Vec<u8>> {
    let opens = |sent: &&Sent| {
        sent.blocks().any(|block| matches!(block.body, Body::Hello { .. }) && block.to.is_none())
    };
    let sent = net.sent_by(CLIENT).chain(net.sent_by(AWAY)).filter(|sent| !opens(sent));
    sent.map(|sent| sent.bytes.clone()).collect()
}

fn replay_all(net: &mut Net, from: u8) {
    for datagram in recorded(net) {
        net.inject(addr(from), SERVER, datagram);
        assert_ne!(net.talk(SERVER).remote, addr(ELSEWHERE), "moved by what was sent again");
        assert_eq!(net.accepted(SERVER), 1);
    }
}

fn moves(net: &mut Net, knows: bool) {
    net.move_host(CLIENT, AWAY);
    if knows {
        let now = net.instant();
        net.connection(AWAY).handle_new_path(now);
    }
}

#[test]
fn what_is_sent_again_while_a_client_moves_and_both_close_moves_nobody_and_spoils_no_end() {
    // At each moment of the farewell, however the client learns of its move, from where nobody is and from where it was.
    let mut replayed = 0;
    for after in (0..100).step_by(5) {
        for (knows, from) in [(true, ELSEWHERE), (false, ELSEWHERE), (true, CLIENT), (false, CLIENT)] {
            let mut net = connected(Config::new());
            net.talk(CLIENT).app.outgoing.extend_from_slice(b"last words");
            net.talk(CLIENT).app.finishes = true;
            net.run_for(ms(after));
            moves(&mut net, knows);
            let limit = net.now + ms(10_000);
            while !(net.at(AWAY).is_over() && net.at(SERVER).is_over()) {
                replay_all(&mut net, from);
                replayed += recorded(&net).len();
                net.run_for(ms(5));
                assert!(net.now < limit, "no end, moved after {after} ms: {:#?}", net.log);
            }
            for n in [AWAY, SERVER] {
                let ending = net.ending(n);
                assert_eq!(ending.cause, Cause::Closed, "{n}, moved after {after} ms: {ending}");
                assert!(net.talk(n).app.received == b"last words" && net.talk(n).app.eof, "{n}");
                assert!(net.connection(n).is_delivered());
            }
            // And as long as it is remembered.
            while net.now < limit - ms(3_000) {
                replay_all(&mut net, from);
                net.run_for(ms(500));
            }
        }
    }
    assert!(replayed > 1_000, "{replayed}");
}

#[test]
fn who_breaks_off_right_after_a_move_is_heard_at_once() {
    for knows in [true, false] {
        let mut net = connected(Config::new());
        moves(&mut net, knows);
        let (now, began) = (net.instant(), net.now);
        net.connection(AWAY).abort(now, 77);
        net.run_until(ms(1_000), |net| net.at(SERVER).is_over());
        let ending = net.ending(SERVER);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, 77));
        assert_eq!(net.now - began, DELAY);
    }
}

#[test]
fn a_reset_from_elsewhere_counts_alone_and_with_the_right_token() {
    let mut net = connected(Config::new());
    let (own, client) = (net.connection(SERVER).token().value(), net.connection(CLIENT).token().value());
    let reset = |to, from| {
        let body = Body::Reset { code: 77, reason: "" };
        block(segment(Command::WindowTell, 1), to, from, body)
    };
    let data = sim::net::encode(segment(Command::Push, 0), b"data");
    let with_data = [[reset(own, client), data.clone()].concat(), [data, reset(own, client)].concat()];
    for forged in [reset(own ^ 1, client), reset(client, own)].into_iter().chain(with_data) {
        net.inject(addr(ELSEWHERE), SERVER, forged);
        assert!(net.connection(SERVER).ending().is_none());
    }
    // As a tombstone says it again.
    net.inject(addr(ELSEWHERE), SERVER, reset(own, 0));
    assert_eq!(net.ending(SERVER).code, 77);
    assert_eq!(net.talk(SERVER).app.received, b"");
    assert_eq!(net.accepted(SERVER), 1);
}

#[test]
fn the_congestion_window_of_a_client_that_has_moved_starts_over() {
    let profile = Profile::new(NoDelay::On, ms(20), 2, Congestion::Classic).unwrap();
    let mut net = connected(Config::new().profile(profile));
    let window = |net: &mut Net| net.connection(SERVER).stats().congestion_window.expect("there is one");
    let first = window(&mut net);
    net.talk(SERVER).app.outgoing = payload(300_000, 2);
    net.run_until(ms(60_000), |net| net.talk(CLIENT).app.received.len() == 300_000);
    net.run_for(ms(100));
    let before = window(&mut net);
    assert!(before > 4 * first, "{before} after {first}");
    moves(&mut net, true);
    net.run_until(ms(1_000), |net| net.talk(SERVER).remote == addr(AWAY));
    assert_eq!(window(&mut net), first);
    // And grows again.
    net.talk(SERVER).app.outgoing.extend(payload(100_000, 3));
    net.run_until(ms(60_000), |net| net.talk(AWAY).app.received.len() == 400_000);
    assert!(window(&mut net) > 4 * first);
}

#[test]
fn what_a_client_says_from_elsewhere_is_ours_as_long_as_its_conversation_is_remembered() {
    let mut net = connected(Config::new());
    let (own, client) = (net.connection(SERVER).token().value(), net.connection(CLIENT).token().value());
    let says = |to, body: Body<'_>| block(segment(body.kind().carrier(), 1), to, client, body);
    let (ping, hello) = (Body::Ping { challenge: 1 }, Body::Hello { features: 0, cookie: [0; 16] });
    let is_ours = |net: &mut Net, datagram: &[u8]| {
        let now = net.instant();
        net.at(SERVER).endpoint.is_ours(now, addr(AWAY), datagram)
    };
    let check = |net: &mut Net, ours: bool| {
        for body in [ping, hello] {
            assert_eq!(is_ours(net, &says(own, body)), ours, "{body:?}");
            assert!(!is_ours(net, &says(own ^ 1, body)), "{body:?}");
        }
        assert!(!is_ours(net, &sim::net::encode(segment(Command::Push, 1), b"data")));
    };
    check(&mut net, true);
    net.talk(CLIENT).app.finishes = true;
    net.run_to_the_end(CLIENT, SERVER);
    check(&mut net, true);
    net.run_for(ms(9_900));
    check(&mut net, true);
    net.run_for(ms(200));
    check(&mut net, false);
}
