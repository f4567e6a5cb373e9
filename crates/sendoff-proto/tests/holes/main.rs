//! Each way in which a connection could begin, live or end wrongly that was found on paper, by a model of the
//! rules, or on the wire, as a conversation that must go well.

mod ending;
mod living;
mod opening;
#[path = "../sim/mod.rs"]
mod sim;

use sendoff_proto::{
    Cause, Config, Connection, Opening, Party, PeerKind, SeqNumber, Silence, Timestamp, TransmitBuffer, Wire,
    wire::{BlockKind, Command, Segment},
};
use sim::{
    ms,
    net::{CONV, DELAY, Net, Script, Sent, addr, connected, conv, encode, segment},
    stock::Stock,
};
use std::sync::Arc;

/// A client that says `data` and finishes, and a server that echoes.
fn dialled(data: &[u8], how: Opening) -> Net {
    let mut net = Net::default();
    net.host(1, Config::new(), false, Script::says(data));
    net.host(2, Config::new(), true, Script::echo());
    net.dial(1, 2, how);
    net
}

/// Both have said and heard `data`, and both know it.
fn ends_well(net: &mut Net, data: &[u8]) {
    net.run_to_the_end(1, 2);
    for n in [1, 2] {
        let ending = net.ending(n);
        assert_eq!(ending.cause, Cause::Closed, "{n}: {ending} {:#?}", net.log);
        assert!(net.talk(n).app.received == data, "{n} {:#?}", net.log);
        assert!(net.talk(n).app.eof && net.connection(n).is_delivered());
    }
    assert_eq!(net.accepted(2), 1);
}

/// The server's process is another one now: it knows nothing.
fn restart(net: &mut Net, n: u8, listening: bool) {
    let app = net.at(n).app.clone();
    net.run_for(ms(0));
    net.host(n, Config::new(), listening, app);
}

/// Loses what fits, the first `count` times.
fn lose(net: &mut Net, count: usize, fits: impl Fn(&Sent) -> bool + 'static) {
    let mut left = count;
    net.loses = Some(Box::new(move |sent| {
        let lost = left > 0 && fits(sent);
        left -= usize::from(lost);
        lost
    }));
}

fn cause(net: &mut Net, n: u8) -> (Cause, Party, u32) {
    let ending = net.ending(n);
    (ending.cause, ending.by, ending.code)
}
