//! Peers whose address changes, in virtual time: a network is left for another, a NAT forgets, somebody replays.

mod replays;
mod roaming;
#[path = "../sim/mod.rs"]
mod sim;

use sendoff_proto::{
    Cause, Config, Opening,
    wire::{BlockKind, Command},
};
use sim::{
    ms,
    net::{Net, Script, addr, block, connected, segment},
    payload,
};

/// Where the client is at first, the server, and where the client goes.
const CLIENT: u8 = 1;
const SERVER: u8 = 2;
const AWAY: u8 = 3;
const FURTHER: u8 = 4;

/// Both have said and heard all, and know it; the client is at that address now.
fn ends_well(net: &mut Net, client: u8, data: &[u8]) {
    net.run_to_the_end(client, SERVER);
    for n in [client, SERVER] {
        let ending = net.ending(n);
        assert_eq!(ending.cause, Cause::Closed, "{n}: {ending} {:#?}", net.log);
        assert!(net.talk(n).app.received == data && net.talk(n).app.eof, "{n}");
        assert!(net.connection(n).is_delivered());
    }
    assert_eq!(net.accepted(SERVER), 1);
}

/// Where the server has its first client.
fn seen_at(net: &mut Net) -> std::net::SocketAddr {
    net.talk(SERVER).remote
}

/// The client says so much more, and finishes.
fn say_the_rest(net: &mut Net, client: u8, data: &[u8]) {
    net.talk(client).app.outgoing.extend_from_slice(data);
    net.talk(client).app.finishes = true;
}
