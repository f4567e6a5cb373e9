//! Two endpoints, or two servers that echo, can't be set on each other by what an attacker sends in the name of one.

use crate::{
    sendoff_bodies,
    sim::{
        ms,
        net::{Net, Script, addr, block, conv, encode, hello, segment},
    },
};
use sendoff_proto::{
    Config, Opening, SeqNumber, Wire,
    wire::{Body, Command, FIN_FRAGMENT, Segment},
};

/// What there is of the conversation before the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Both have a tombstone: an orderly end.
    Finished,
    Aborted,
    /// That of a stock client.
    Stock,
    /// One has a tombstone of an opening that had no answer.
    NeverOpened,
    /// Another forgery has opened a connection at the victim,
    HalfOpen,
    HalfOpenStock,
    /// or one at each.
    BothHalfOpen,
    Live,
}

const ALL: [Before; 9] = [
    Before::Nothing,
    Before::Finished,
    Before::Aborted,
    Before::Stock,
    Before::NeverOpened,
    Before::HalfOpen,
    Before::HalfOpenStock,
    Before::BothHalfOpen,
    Before::Live,
];

/// Two servers that echo.
fn servers(wires: [Wire; 2]) -> Net {
    let mut net = Net::default();
    for (n, wire) in [1, 2].into_iter().zip(wires) {
        net.host(n, Config::new().wire(wire), true, Script::echo());
    }
    net
}

fn prepare(before: Before, wires: [Wire; 2]) -> Net {
    let mut net = servers(wires);
    let first = || encode(segment(Command::Push, 0), b"echo this");
    match before {
        Before::Nothing => {}
        Before::Finished | Before::Aborted | Before::Live => {
            net.dial(1, 2, Opening::Early);
            net.connection(1).write(b"hello");
            net.talk(1).app.echoes = false;
            net.talk(1).app.finishes = before == Before::Finished;
            net.run_for(ms(300));
            let now = net.instant();
            if before == Before::Aborted {
                net.connection(1).abort(now, 42);
            }
            net.run_for(ms(1_000));
        }
        Before::Stock => {
            net.inject(addr(1), 2, first());
            let now = net.instant();
            if net.accepted(2) > 0 {
                net.connection(2).abort(now, 0);
            }
            net.run_for(ms(300));
        }
        Before::NeverOpened => {
            net.loses = Some(Box::new(|_| true));
            net.dial(1, 2, Opening::Waiting);
            net.run_for(ms(6_000));
            net.loses = None;
        }
        Before::HalfOpen => net.inject(addr(1), 2, hello(0xbad)),
        Before::HalfOpenStock => net.inject(addr(1), 2, first()),
        Before::BothHalfOpen => {
            net.inject(addr(1), 2, hello(0xbad));
            net.inject(addr(2), 1, hello(0xbee));
        }
    }
    net
}

/// All kinds of datagrams, with the tokens of both where there are any.
fn spoofed(net: &mut Net) -> Vec<Vec<u8>> {
    let tokens: Vec<u64> = [1, 2]
        .into_iter()
        .flat_map(|n| net.at(n).talks.iter().map(|talk| talk.connection.token().value()).collect::<Vec<_>>())
        .collect();
    let names = || tokens.iter().copied().chain([0, 0xbad, 0xbee, 0xf00]);
    let mut all = Vec::new();
    for body in sendoff_bodies() {
        for (to, from) in names().flat_map(|to| names().map(move |from| (to, from))) {
            for sn in [0, 1] {
                let alone = block(segment(Command::WindowAsk, sn), to, from, body);
                if matches!(body, Body::Hello { .. } | Body::Welcome { .. }) {
                    all.push([&alone[..], &encode(segment(Command::Push, 0), b"echo this")].concat());
                }
                all.push(alone);
            }
        }
    }
    for command in [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell] {
        for (sn, una) in [(0, 0), (1, 0), (0, 1), (1, 1), (7, 7), (1 << 30, 0), (3 << 30, 0)] {
            for data in [&b""[..], b"x", b"echo this", &[7; 100]] {
                for fragment in [0, 1, FIN_FRAGMENT] {
                    let header = Segment { fragment, una: SeqNumber(una), ..segment(command, sn) };
                    all.push(encode(header, data));
                }
            }
        }
    }
    all
}

/// What is sent after one datagram in the name of the other; until all is over, or only keep-alive is left.
fn set_off(before: Before, wires: [Wire; 2], pick: usize) -> Option<(usize, usize)> {
    let mut net = prepare(before, wires);
    let datagram = spoofed(&mut net).into_iter().nth(pick)?;
    let sent = net.log.len();
    net.inject(addr(1), 2, datagram);
    net.run_for(ms(60_000));
    let busy = net.log.len();
    net.run_for(ms(600_000));
    Some((busy - sent, net.log.len() - busy))
}

fn try_all(before: Before, wires: [Wire; 2]) {
    for pick in 0.. {
        let Some((first, rest)) = set_off(before, wires, pick) else {
            assert!(pick > 300);
            break;
        };
        let of_what = || format!("{before:?} {wires:?}, datagram {pick}: {first} in a minute, then {rest}");
        // HELLOs, WELCOMEs, PROBEs, and retransmissions that are paid for by hints: all end by themselves.
        assert!(first <= 120, "{}", of_what());
        // A connection that is proven, and lives, asks every 20 s.
        let keeps_alive = if before == Before::Live { 2 * 600 / 20 + 2 } else { 0 };
        assert!(rest <= keeps_alive, "{}", of_what());
    }
}

#[test]
fn two_servers_that_echo_cannot_be_set_on_each_other_by_one_datagram() {
    for before in ALL {
        try_all(before, [Wire::Extended, Wire::Extended]);
    }
}

#[test]
fn nor_can_two_of_different_kinds() {
    for wires in [[Wire::Extended, Wire::Classic], [Wire::Classic, Wire::Extended], [Wire::Required; 2]] {
        for before in [Before::Nothing, Before::HalfOpen, Before::HalfOpenStock, Before::Stock] {
            try_all(before, wires);
        }
    }
}

#[test]
fn a_tombstone_answers_a_flood_once_a_timeout() {
    for before in [Before::Finished, Before::Aborted] {
        let mut net = prepare(before, [Wire::Extended; 2]);
        let all = spoofed(&mut net);
        let (now, mut answers) = (net.instant(), 0);
        for datagram in all.iter().cycle().take(10_000) {
            let route = net.at(2).endpoint.route(now, addr(1), datagram);
            if let sendoff_proto::Route::Answer(answer) = route {
                answers += 1;
                assert!(answer.len() <= datagram.len(), "{answer:?}");
            }
        }
        assert!((1..=3).contains(&answers), "{before:?}: {answers}");
        assert!(net.at(2).endpoint.is_buried(now, addr(1), conv()));
    }
}
