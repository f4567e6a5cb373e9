//! A side that goes away: who is told, how often, what it ends (nothing), and what newcomers get.

mod sim;

use sendoff_proto::{
    Cause, Config, Endpoint, Opening, Party, PeerKind, Route, Wire, code,
    wire::{Block, BlockKind, Body},
};
use sim::{
    ms,
    net::{DELAY, Net, Script, Sent, addr, block, conv, hello, segment},
    stock::Stock,
};
use std::{sync::Arc, time::Duration};

/// A client at 1 and a server at 2 that echoes; connected, and everything proven.
fn connected() -> Net {
    sim::net::connected(Config::new())
}

fn go_away(net: &mut Net, n: u8) {
    let now = net.instant();
    net.at(n).go_away(now);
}

/// PINGs of a host that say that it goes away: when they left.
fn notices(net: &Net, n: u8) -> Vec<Duration> {
    net.sent_by(n).filter(|sent| says_so(sent)).map(|sent| sent.at).collect()
}

fn says_so(sent: &Sent) -> bool {
    sent.blocks().any(|b| matches!(b.body, Body::Ping { .. }) && b.flags & Block::GOING_AWAY != 0)
}

#[test]
fn one_question_that_is_answered_is_enough() {
    let mut net = connected();
    let before = net.log.len();
    go_away(&mut net, 2);
    assert!(!net.connection(2).is_going_away_confirmed());
    net.run_for(ms(15_000));
    assert_eq!(notices(&net, 2).len(), 1);
    assert_eq!(net.log.len() - before, 2, "a PING and its PONG: {:#?}", net.log);
    assert!(net.connection(2).is_going_away() && net.connection(2).is_going_away_confirmed());
    assert!(net.connection(1).is_peer_going_away());
    assert!(!net.connection(2).is_peer_going_away() && !net.connection(1).is_going_away());
}

#[test]
fn it_is_said_at_0_1_3_and_7_timeouts_and_silence_ends_nothing() {
    // Only the server asks for signs of life.
    let mut net = Net::default();
    net.host(1, Config::new().keep_alive(None), false, Script::default());
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(500));
    let (began, rto) = (net.now, net.connection(2).stats().rto);
    net.loses = Some(Box::new(|_| true));
    go_away(&mut net, 2);
    net.run_for(rto * 30);
    let after: Vec<_> = notices(&net, 2).iter().map(|&at| at - began).collect();
    assert_eq!(after, [Duration::ZERO, rto, rto * 3, rto * 7]);
    assert!(!net.connection(2).is_going_away_confirmed());
    net.loses = None;
    // It lives on as before; and the question of a keep-alive, which comes anyway, says it too.
    net.connection(1).write(b"still here");
    net.run_for(ms(500));
    assert_eq!(net.talk(1).app.received, b"still here");
    net.run_for(ms(21_000));
    assert!(net.connection(2).is_going_away_confirmed() && net.connection(1).is_peer_going_away());
    assert!(net.connection(1).ending().is_none() && net.connection(2).ending().is_none());
}

#[test]
fn a_lost_answer_is_asked_for_again_and_any_of_the_questions_will_do() {
    for lost in 1..=3 {
        let mut net = connected();
        let mut left = lost;
        net.loses = Some(Box::new(move |sent: &Sent| {
            let loses = left > 0 && sent.has(BlockKind::Pong);
            left -= usize::from(loses);
            loses
        }));
        go_away(&mut net, 2);
        net.run_for(ms(5_000));
        assert_eq!(notices(&net, 2).len(), lost + 1);
        assert!(net.connection(2).is_going_away_confirmed());
    }
    // The answer to the first comes when the second has left.
    let mut net = connected();
    let rto = net.connection(2).stats().rto;
    let answers = net.log.len();
    net.loses = Some(Box::new(|sent: &Sent| sent.has(BlockKind::Pong)));
    go_away(&mut net, 2);
    net.run_for(rto + DELAY * 4);
    assert_eq!(notices(&net, 2).len(), 2);
    let first = net.log[answers..].iter().find(|sent| sent.has(BlockKind::Pong)).unwrap().bytes.clone();
    net.inject(addr(1), 2, first);
    assert!(net.connection(2).is_going_away_confirmed());
}

#[test]
fn an_answer_to_another_question_confirms_nothing() {
    let mut net = connected();
    let earlier = net.log.iter().find(|sent| sent.has(BlockKind::Pong) && sent.from == addr(1)).cloned();
    net.loses = Some(Box::new(|_| true));
    go_away(&mut net, 2);
    net.run_for(ms(1));
    let token = |net: &mut Net, n| net.connection(n).token().value();
    let (to, from) = (token(&mut net, 2), token(&mut net, 1));
    let body = Body::Pong { challenge: 0x0123_4567_89ab_cdef };
    let header =
        sendoff_proto::wire::Segment { sn: sendoff_proto::SeqNumber(1), ..segment(body.kind().carrier(), 1) };
    net.inject(addr(1), 2, block(header, to, from, body));
    earlier.into_iter().for_each(|sent| net.inject(addr(1), 2, sent.bytes));
    assert!(!net.connection(2).is_going_away_confirmed());
}

#[test]
fn who_does_not_know_the_tokens_makes_nobody_believe_it() {
    let mut net = connected();
    for (to, from) in [(1, 2), (net.connection(1).token().value(), 3)] {
        let body = Body::Ping { challenge: 1 };
        let mut forged = block(segment(body.kind().carrier(), 1), to, from, body);
        // The flags of the block.
        forged[24 + 6] = 1;
        net.inject(addr(2), 1, forged);
    }
    assert!(!net.connection(1).is_peer_going_away());
}

#[test]
fn a_conversation_of_one_that_goes_away_ends_as_it_would() {
    let mut net = connected();
    go_away(&mut net, 2);
    net.talk(1).app.outgoing = vec![7; 50_000];
    net.talk(1).app.finishes = true;
    net.run_to_the_end(1, 2);
    for n in [1, 2] {
        assert_eq!(net.ending(n).cause, Cause::Closed);
    }
    assert_eq!(net.talk(1).app.received, [7; 50_000]);
}

#[test]
fn a_newcomer_is_refused_with_code_4_and_those_who_are_there_are_still_welcome() {
    let mut net = connected();
    let copy = net.sent_by(1).find(|sent| sent.has(BlockKind::Hello)).unwrap().bytes.clone();
    go_away(&mut net, 2);
    net.run_for(ms(500));
    net.host(3, Config::new(), false, Script::says(b"hello"));
    for opening in [Opening::Waiting, Opening::Early] {
        let began = net.now;
        net.at(3).talks.clear();
        net.dial(3, 2, opening);
        net.run_until(ms(1_000), |net| net.at(3).is_over());
        let ending = net.ending(3);
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Refused, code::GOING_AWAY));
        assert_eq!(net.now - began, DELAY * 2);
        net.run_for(ms(11_000));
    }
    assert_eq!(net.accepted(2), 1);
    let welcomes = |net: &Net| net.sent_by(2).filter(|sent| sent.has(BlockKind::Welcome)).count();
    let before = welcomes(&net);
    net.inject(addr(1), 2, copy);
    assert_eq!(welcomes(&net), before + 1, "a repeated HELLO of one that is there");
    assert!(net.connection(1).ending().is_none());
}

#[test]
fn a_cookie_or_a_stock_opening_opens_nothing_either() {
    let mut endpoint: Endpoint<()> = Endpoint::new(Arc::new(Config::new()), true);
    let now = std::time::Instant::now();
    let with_cookie =
        block(segment(BlockKind::Hello.carrier(), 0), 0, 5, Body::Hello { features: 0, cookie: [9; 16] });
    let stock = sim::net::encode(segment(sendoff_proto::wire::Command::Push, 0), b"stock");
    assert_eq!(endpoint.route(now, addr(3), &hello(5)), Route::Opens(conv(), opened_by(5)));
    endpoint.go_away();
    for datagram in [hello(5), with_cookie] {
        let Route::Answer(answer) = endpoint.route(now, addr(3), &datagram) else { panic!("no answer") };
        let segment = sendoff_proto::wire::segments(&answer).next().unwrap().unwrap();
        let block = Block::parse(&segment).unwrap();
        assert_eq!(block.body, Body::Reset { code: code::GOING_AWAY, reason: "" });
        assert_eq!((block.to.map(|t| t.value()), block.from), (Some(5), None));
    }
    assert!(matches!(endpoint.route(now, addr(3), &stock), Route::Dropped(_)));
    // Who never listened doesn't speak of it.
    let mut client: Endpoint<()> = Endpoint::new(Arc::new(Config::new()), false);
    client.go_away();
    assert!(matches!(client.route(now, addr(3), &hello(5)), Route::Dropped(_)));
}

fn opened_by(token: u64) -> Opening {
    Opening::Hello(sendoff_proto::wire::Token::new(token).unwrap())
}

#[test]
fn a_client_that_has_not_shown_that_it_knows_the_server_is_told_once_it_has() {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::default());
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, Opening::Waiting);
    // Its PINGs are lost for a while.
    net.loses = Some(Box::new(|sent: &Sent| sent.has(BlockKind::Ping)));
    net.run_for(DELAY + ms(1));
    go_away(&mut net, 2);
    net.run_for(ms(900));
    assert_eq!(notices(&net, 2), []);
    net.loses = None;
    net.run_until(ms(10_000), |net| net.connection(2).is_going_away_confirmed());
    assert!(net.connection(1).is_peer_going_away());
    assert_eq!(net.accepted(2), 1);
}

#[test]
fn a_stock_peer_is_told_nothing() {
    // One that opened here, and one that was dialled.
    let mut net = Net::default();
    net.host(
        1,
        Config::new().wire(Wire::Classic),
        false,
        Script { outgoing: b"stock".to_vec(), ..Script::default() },
    );
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, Opening::Early);
    net.run_for(ms(3_000));
    assert_eq!(net.connection(2).peer_kind(), PeerKind::Stock);
    let before = net.sent_by(2).count();
    go_away(&mut net, 2);
    net.run_for(ms(5_000));
    assert_eq!(net.sent_by(2).count(), before);
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script { outgoing: b"stock".to_vec(), ..Script::default() });
    net.stock(2, Stock::listener());
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(3_000));
    assert_eq!(net.connection(1).peer_kind(), PeerKind::Stock);
    let (before, timeout) = (net.sent_by(1).count(), net.connection(1).poll_timeout());
    go_away(&mut net, 1);
    assert_eq!(net.connection(1).poll_timeout(), timeout, "there is nothing to wait for");
    net.run_for(ms(5_000));
    assert_eq!(net.sent_by(1).count(), before);
}

#[test]
fn a_peer_that_was_taken_for_a_stock_one_is_told_as_soon_as_it_shows_that_it_is_none() {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::default());
    net.host(2, Config::new(), true, Script::echo());
    net.loses = Some(Box::new(|sent: &Sent| sent.from == addr(2)));
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(100));
    net.inject(addr(2), 1, sim::net::encode(segment(sendoff_proto::wire::Command::WindowTell, 1), &[]));
    assert_eq!(net.connection(1).peer_kind(), PeerKind::Stock);
    go_away(&mut net, 1);
    net.run_for(ms(3_000));
    assert_eq!(notices(&net, 1), []);
    net.loses = None;
    net.talk(1).app.outgoing = b"a PUSH, with a HELLO in front".to_vec();
    let began = net.now;
    net.run_until(ms(1_000), |net| net.connection(2).is_peer_going_away());
    assert_eq!(notices(&net, 1), [began + DELAY * 2], "with the first PING, and no other");
    net.run_for(ms(2_000));
    assert!(net.connection(1).is_going_away_confirmed());
    assert_eq!(notices(&net, 1).len(), 1);
}

#[test]
fn both_sides_may_go_away() {
    let mut net = connected();
    go_away(&mut net, 1);
    go_away(&mut net, 2);
    net.run_for(ms(500));
    for n in [1, 2] {
        assert!(net.connection(n).is_going_away_confirmed() && net.connection(n).is_peer_going_away());
    }
}
