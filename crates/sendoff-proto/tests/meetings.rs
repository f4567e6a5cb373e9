//! Who meets whom: each kind of client at each kind of listener, what both see at the beginning, and at the end.

mod sim;

use sendoff_proto::{
    Cause, Config, Opening, Party, PeerKind, Silence, Wire,
    wire::{BlockKind, Command},
};
use sim::{
    ms,
    net::{CONV, Net, Script, Sent, addr},
    stock::Stock,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Extended,
    Classic,
    Required,
    /// Plain KCP that isn't ours.
    Stock,
}

use Kind::{Classic, Extended, Required};

const ALL: [Kind; 4] = [Extended, Classic, Required, Kind::Stock];

impl Kind {
    fn config(self) -> Option<Config> {
        let wire = match self {
            Extended => Wire::Extended,
            Classic => Wire::Classic,
            Required => Wire::Required,
            Kind::Stock => return None,
        };
        Some(Config::new().wire(wire))
    }

    fn speaks_blocks(self) -> bool {
        matches!(self, Extended | Required)
    }
}

/// What a client finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connect {
    /// Open, with a peer of that kind.
    Open(PeerKind),
    /// Nothing is sent, so nothing is known.
    Unasked,
    Refused,
}

/// What the table of the page about endings says: of connect, of the listener before and after data.
fn expected(client: Kind, listener: Kind) -> (Connect, Option<PeerKind>, Option<PeerKind>) {
    use PeerKind::{Extended as Ext, Stock};
    match (client, listener) {
        (Extended | Required, Extended | Required) => (Connect::Open(Ext), Some(Ext), Some(Ext)),
        (Extended, Classic) => (Connect::Open(Stock), None, Some(Stock)),
        (Extended, Kind::Stock) => (Connect::Open(Stock), Some(Stock), Some(Stock)),
        (Required, Classic) => (Connect::Refused, None, None),
        (Required, Kind::Stock) => (Connect::Refused, Some(Stock), Some(Stock)),
        (Classic | Kind::Stock, Required) => (Connect::Unasked, None, None),
        (Classic | Kind::Stock, _) => (Connect::Unasked, None, Some(Stock)),
    }
}

fn meet(client: Kind, listener: Kind) -> Net {
    meet_by(client, listener, Opening::Waiting)
}

fn meet_by(client: Kind, listener: Kind, how: Opening) -> Net {
    let mut net = Net::default();
    match client.config() {
        Some(config) => net.host(1, config, false, Script::default()),
        None => net.stock(1, Stock::client(addr(2), CONV)),
    }
    match listener.config() {
        Some(config) => net.host(2, config, true, Script::echo()),
        None => net.stock(2, Stock::listener()),
    }
    if client != Kind::Stock {
        net.dial(1, 2, how);
    }
    net
}

fn say(net: &mut Net, client: Kind) {
    if client == Kind::Stock {
        net.stock_at(1).session().say(b"hello");
    } else {
        net.talk(1).app.outgoing.extend_from_slice(b"hello");
    }
}

fn heard(net: &mut Net, client: Kind) -> Vec<u8> {
    if client == Kind::Stock {
        net.stock_at(1).session().received.clone()
    } else {
        net.talk(1).app.received.clone()
    }
}

/// What the listener has, if anything.
fn at_listener(net: &mut Net, listener: Kind) -> Option<PeerKind> {
    if listener == Kind::Stock {
        return (net.stock_at(2).made > 0).then_some(PeerKind::Stock);
    }
    net.at(2).talks.first().map(|talk| talk.connection.peer_kind())
}

fn connect(net: &mut Net) -> Connect {
    let connection = net.connection(1);
    match connection.ending().map(|ending| (ending.cause, ending.by)) {
        None if connection.is_established() => Connect::Open(connection.peer_kind()),
        None => Connect::Unasked,
        Some((Cause::Refused, Party::Peer)) => Connect::Refused,
        Some(other) => panic!("{other:?}"),
    }
}

fn is_probe(sent: &Sent) -> bool {
    sent.segments().any(|s| s.command() == Command::Push && s.sn().0 >= 1 << 30)
}

#[test]
fn each_kind_of_client_finds_what_the_table_says_at_each_kind_of_listener() {
    for (client, listener) in ALL.into_iter().flat_map(|c| ALL.map(|l| (c, l))) {
        let case = (client, listener);
        let (connects, before, after) = expected(client, listener);
        let mut net = meet(client, listener);
        net.run_for(ms(1_500));
        if client != Kind::Stock {
            assert_eq!(connect(&mut net), connects, "{case:?} {:#?}", net.log);
            let began = net.sent_by(1).next().is_some();
            assert_eq!(began, client.speaks_blocks(), "{case:?}: HELLO at once, or nothing");
        }
        assert_eq!(at_listener(&mut net, listener), before, "{case:?}");
        say(&mut net, client);
        net.run_for(ms(1_000));
        assert_eq!(at_listener(&mut net, listener), after, "{case:?}");
        let works = after.is_some() && connects != Connect::Refused;
        assert_eq!(heard(&mut net, client), if works { b"hello".to_vec() } else { Vec::new() }, "{case:?}");
        if works && client == Classic {
            assert_eq!(net.connection(1).peer_kind(), PeerKind::Stock);
        }
    }
}

#[test]
fn how_long_each_meeting_takes() {
    for (client, listener) in ALL.into_iter().flat_map(|c| ALL.map(|l| (c, l))) {
        if !client.speaks_blocks() {
            continue;
        }
        let mut net = meet(client, listener);
        net.run_until(ms(5_000), |net| connect(net) != Connect::Unasked);
        let took = match expected(client, listener).0 {
            Connect::Refused => ms(1_000)..=ms(1_100),
            // A HELLO that would ride waits for its data: here it doesn't.
            _ => ms(20)..=ms(20),
        };
        assert!(took.contains(&net.now), "{client:?} {listener:?}: {:?}", net.now);
    }
    // Nobody answers a classic client at a listener that wants blocks.
    let mut net = meet(Classic, Required);
    net.run_for(ms(10_000));
    assert_eq!(net.log.len(), 0);
    say(&mut net, Classic);
    net.run_until(ms(5_000), |net| net.at(1).is_over());
    assert_eq!(net.ending(1).cause, Cause::TimedOut(Silence::Opening));
    assert_eq!(net.now, ms(15_000));
    assert_eq!((net.accepted(2), net.sent_by(2).count()), (0, 0));
}

/// What of a goodbye leaves, and what comes of it.
#[test]
fn only_who_both_speak_blocks_say_goodbye_and_nobody_else_is_told() {
    for (client, listener) in ALL.into_iter().flat_map(|c| ALL.map(|l| (c, l))) {
        let case = (client, listener);
        let (connects, _, after) = expected(client, listener);
        if after.is_none() || connects == Connect::Refused {
            continue;
        }
        let mut net = meet(client, listener);
        net.run_for(ms(100));
        say(&mut net, client);
        net.run_for(ms(1_000));
        let both = client.speaks_blocks() && listener.speaks_blocks();
        if client == Kind::Stock {
            net.stock_at(1).close();
        } else {
            net.talk(1).app.finishes = true;
        }
        net.run_for(ms(1_000));
        let fins = net.log.iter().filter(|sent| sent.has(BlockKind::Fin)).count();
        assert_eq!(fins, if both { 2 } else { 0 }, "{case:?} {:#?}", net.log);
        assert!(!net.log.iter().any(|sent| sent.has(BlockKind::Reset)), "{case:?}");
        if client != Kind::Stock {
            let ended = net.connection(1).ending().map(|ending| (ending.cause, ending.by, ending.code));
            assert_eq!(ended, both.then_some((Cause::Closed, Party::Local, 17)), "{case:?}");
            assert!(net.connection(1).is_delivered(), "{case:?}");
        }
        if listener != Kind::Stock {
            let ended = net.connection(2).ending().map(|ending| (ending.cause, ending.by, ending.code));
            assert_eq!(ended, both.then_some((Cause::Closed, Party::Peer, 17)), "{case:?}");
            assert_eq!(net.talk(2).app.eof, both, "{case:?}");
        }
        // A classic side sends what kcp-go would, and nothing else; PROBEs are for stock peers.
        for (n, kind, other) in [(1, client, listener), (2, listener, client)] {
            let odd = net.sent_by(n).filter(|sent| sent.blocks().count() > 0 || is_probe(sent)).count();
            assert!(odd == 0 || kind.speaks_blocks(), "{case:?}: {n} says {odd}");
            assert!(!net.sent_by(n).any(is_probe) || !other.speaks_blocks(), "{case:?}");
        }
        if !client.speaks_blocks() && !listener.speaks_blocks() {
            assert!(net.log.len() <= 4, "{case:?}: PUSH, ACK, PUSH, ACK: {:#?}", net.log);
        }
    }
}

/// Idle, both; then the listener's side breaks off, or closes, as it can.
#[test]
fn what_the_client_sees_when_the_listener_breaks_off() {
    for (client, listener) in ALL.into_iter().flat_map(|c| ALL.map(|l| (c, l))) {
        let case = (client, listener);
        let (connects, _, after) = expected(client, listener);
        if after.is_none() || connects == Connect::Refused || client == Kind::Stock {
            continue;
        }
        let mut net = meet(client, listener);
        net.run_for(ms(100));
        say(&mut net, client);
        net.run_for(ms(1_000));
        let (began, now) = (net.now, net.instant());
        if listener == Kind::Stock {
            net.stock_at(2).close();
        } else {
            net.connection(2).abort(now, 42);
        }
        net.run_for(ms(30_000));
        let ending = net.connection(1).ending().cloned();
        let told = ending.as_ref().map(|ending| (ending.cause, ending.by, ending.code));
        let lasted = ending.map(|ending| ending.lasted.saturating_sub(began));
        match (client.speaks_blocks(), listener) {
            (true, Extended | Required) => {
                assert_eq!(told, Some((Cause::Reset, Party::Peer, 42)), "{case:?}");
                assert!(lasted < Some(ms(50)), "{case:?}");
            }
            // It makes a phantom of the question, and shows by its answer that it has forgotten.
            (true, Kind::Stock) => {
                assert_eq!(told, Some((Cause::Reset, Party::Peer, 1)), "{case:?}");
                assert!(lasted < Some(ms(20_100)), "{case:?}");
                assert_eq!(net.stock_at(2).made, 2, "{case:?}: one phantom, and nothing after the verdict");
            }
            // Ours stays silent about what it doesn't know.
            (true, Classic) => {
                assert_eq!(told, Some((Cause::TimedOut(Silence::KeepAlive), Party::Network, 0)), "{case:?}");
                assert!(lasted < Some(ms(23_100)), "{case:?}");
            }
            (false, _) => assert_eq!(told, None, "{case:?}: nobody asks"),
        }
    }
}

#[test]
fn data_that_was_under_way_to_a_stock_listener_that_has_closed_ends_in_one_round_trip() {
    for client in [Extended, Classic] {
        let mut net = meet(client, Kind::Stock);
        net.run_for(ms(100));
        say(&mut net, client);
        net.run_for(ms(1_000));
        net.stock_at(2).close();
        let began = net.now;
        say(&mut net, client);
        net.run_until(ms(5_000), |net| net.at(1).is_over());
        assert!(net.now - began <= ms(20), "{client:?}");
        let ending = net.ending(1);
        assert_eq!((ending.cause, ending.by, ending.code), (Cause::Reset, Party::Peer, 1), "{client:?}");
        assert_eq!((ending.bytes_sent, ending.bytes_acknowledged), (10, 5), "{client:?}");
    }
}

#[test]
fn early_data_reaches_whoever_listens_and_what_is_required_keeps_it() {
    for (client, listener) in [Extended, Required].into_iter().flat_map(|c| ALL.map(|l| (c, l))) {
        let case = (client, listener);
        let mut net = meet_by(client, listener, Opening::Early);
        say(&mut net, client);
        net.run_for(ms(2_000));
        let stock = matches!(listener, Classic | Kind::Stock);
        let refused = client == Required && stock;
        assert_eq!(
            net.connection(1).ending().map(|e| e.cause),
            refused.then_some(Cause::Refused),
            "{case:?}"
        );
        let heard = heard(&mut net, client);
        assert_eq!(heard, if refused { &b""[..] } else { b"hello" }, "{case:?}");
        // With blocks required, nothing of it is shown to a stock peer.
        let pushes = net.sent_by(1).flat_map(Sent::segments).filter(|s| s.command() == Command::Push);
        assert_eq!(pushes.count() == 0, refused, "{case:?}");
    }
}

#[test]
fn an_mtu_below_128_means_plain_kcp_unless_blocks_are_required() {
    for (mtu, kind) in [(50, PeerKind::Stock), (127, PeerKind::Stock), (128, PeerKind::Extended)] {
        let mut net = Net::default();
        let config = Config::new().mtu(mtu).unwrap();
        assert_eq!(config.speaks_blocks(), kind == PeerKind::Extended);
        net.host(1, config.clone(), false, Script::says(&[7; 10_000]));
        net.host(2, config, true, Script::echo());
        net.dial(1, 2, Opening::Waiting);
        net.run_for(ms(5_000));
        assert_eq!(net.talk(1).app.received, [7; 10_000]);
        assert_eq!([1, 2].map(|n| net.connection(n).peer_kind()), [kind; 2]);
        let blocks = net.log.iter().filter(|sent| sent.blocks().count() > 0).count();
        assert_eq!(blocks > 0, kind == PeerKind::Extended);
        assert!(net.log.iter().all(|sent| sent.bytes.len() <= mtu));
    }
    assert!(Config::new().wire(Wire::Required).mtu(127).is_err());
}
