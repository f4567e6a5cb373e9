//! Several endpoints of one address: whose a datagram is that came to one of them, and what they share.

use sendoff_proto::{
    Config, Connection, Conv, DropReason, Endpoint, Group, Opening, Remains, Route, SeqNumber, Timestamp,
    TransmitBuffer, Wire,
    wire::{Block, Body, Command, FIN_FRAGMENT, Segment, Token},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const TOMBSTONE: Duration = Duration::from_secs(10);

type Table = Endpoint<&'static str>;

fn group(config: Config, drivers: u8) -> Vec<Table> {
    let (config, group) = (Arc::new(config.clone()), Group::new(&config, drivers));
    (0..drivers).map(|driver| Endpoint::in_group(config.clone(), true, group.clone(), driver)).collect()
}

fn remote(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], n))
}

fn conv() -> Conv {
    Conv::new(0x5b1f_03aa).unwrap()
}

fn token(driver: u8) -> Token {
    Token::new(0xfeed_beef_0000_0100 | u64::from(driver)).unwrap()
}

fn segment(command: Command, fragment: u8, sn: u32, data: &[u8]) -> Vec<u8> {
    let (sn, una) = (SeqNumber(sn), SeqNumber(0));
    let conv = conv().value();
    let segment = Segment { conv, command, fragment, window: 32, timestamp: Timestamp(0), sn, una };
    let mut out = Vec::new();
    segment.encode(data, &mut out);
    out
}

fn push(sn: u32) -> Vec<u8> {
    segment(Command::Push, 0, sn, b"data")
}

/// A datagram with one block, to that token, from one that is nobody's here.
fn block(to: Option<Token>, body: Body<'_>) -> Vec<u8> {
    let (command, fragment) = match body {
        Body::Hello { .. } | Body::Ping { .. } => (Command::WindowAsk, 0),
        Body::Fin { .. } => (Command::Push, FIN_FRAGMENT),
        _ => (Command::WindowTell, 0),
    };
    let mut data = Vec::new();
    Block { flags: 0, to, from: Token::new(77), body }.encode(&mut data);
    segment(command, fragment, 1, &data)
}

fn hello(to: Option<Token>) -> Vec<u8> {
    block(to, Body::Hello { features: 0, cookie: [0; 16] })
}

fn ping(to: Token) -> Vec<u8> {
    block(Some(to), Body::Ping { challenge: 5 })
}

/// What a client leaves behind that was aborted.
fn remains(now: Instant) -> Remains {
    let mut connection = Connection::new(Arc::new(Config::new()), conv(), Opening::Hello(token(0)), now, 1);
    connection.abort(now, 99);
    while connection.poll_transmit(now, &mut TransmitBuffer::new()) {}
    connection.remains().expect("it has ended").clone()
}

/// What a connection leaves at its peer's former address.
fn moved(now: Instant) -> Remains {
    Connection::new(Arc::new(Config::new()), conv(), Opening::Hello(token(0)), now, 1).leave_old_path()
}

#[test]
fn what_a_peer_says_that_has_moved_is_passed_on_once_to_the_driver_that_it_names() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    let bodies = [
        Body::Hello { features: 0, cookie: [0; 16] },
        Body::Ping { challenge: 1 },
        Body::Pong { challenge: 1 },
    ];
    for body in bodies {
        let datagram = block(Some(token(2)), body);
        assert_eq!(tables[0].route(now, remote(1), &datagram), Route::PassOn(2), "{body:?}");
        let there = tables[2].route(now, remote(1), &datagram);
        assert!(matches!(there, Route::Answer(_) | Route::Dropped(_)), "{body:?}: {there:?}");
        let passed = tables[1].route_passed(now, remote(1), &datagram);
        assert_eq!(passed, there, "{body:?}: wherever it comes to an end, it is met alike");
    }
}

#[test]
fn a_block_behind_data_names_the_driver_too_and_the_first_one_does() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    let datagram = [push(9), ping(token(1)), ping(token(2))].concat();
    assert_eq!(tables[0].route(now, remote(1), &datagram), Route::PassOn(1));
}

#[test]
fn a_peer_that_has_moved_is_found_by_every_driver_from_then_on() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    tables[1].insert(remote(1), conv(), "roams");
    tables[1].follow(token(1), "roams");
    assert_eq!(tables[0].route(now, remote(2), &ping(token(1))), Route::PassOn(1));
    assert_eq!(tables[1].route_passed(now, remote(2), &ping(token(1))), Route::Elsewhere("roams"));
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        assert!(tables[1].relocate(now, (remote(from), conv()), remote(to), &moved(now)));
        assert_eq!(tables[0].route(now, remote(to), &push(9)), Route::PassOn(1));
        assert_eq!(tables[1].route_passed(now, remote(to), &push(9)), Route::Known("roams"));
        // Where it was before.
        let late = tables[1].route(now, remote(from), &push(0));
        assert!(matches!(late, Route::Answer(_) | Route::Dropped(_)), "{late:?}");
        assert_eq!(tables[1].connections(), 1);
        assert!(!tables[0].is_full());
    }
    assert_eq!(tables[0].route(now, remote(2), &push(0)), Route::PassOn(1), "its tombstone is there");
}

#[test]
fn what_names_no_other_driver_is_met_where_it_came() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    for datagram in [ping(token(0)), ping(token(3)), ping(token(255)), push(9)] {
        let route = tables[0].route(now, remote(1), &datagram);
        assert!(matches!(route, Route::Answer(_)), "{route:?}");
    }
    let peer = Token::new(77).unwrap();
    assert_eq!(tables[0].route(now, remote(1), &hello(None)), Route::Opens(conv(), Opening::Hello(peer)));
    assert_eq!(tables[0].route(now, remote(1), &push(0)), Route::Opens(conv(), Opening::Stock));
}

#[test]
fn an_endpoint_alone_and_a_classic_one_pass_nothing_on() {
    let now = Instant::now();
    let mut alone = Table::new(Arc::new(Config::new()), true);
    assert!(matches!(alone.route(now, remote(1), &ping(token(1))), Route::Answer(_)));
    let mut classic = group(Config::new().wire(Wire::Classic), 2);
    assert_eq!(classic[0].route(now, remote(1), &ping(token(1))), Route::Dropped(DropReason::Unknown));
}

#[test]
fn a_connection_takes_its_datagrams_whatever_driver_they_name() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 2);
    tables[0].insert(remote(1), conv(), "here");
    assert_eq!(tables[0].route(now, remote(1), &ping(token(1))), Route::Known("here"));
    tables[0].remove(now, remote(1), conv(), Some(&remains(now)));
    let ended = tables[0].route(now, remote(1), &ping(token(1)));
    assert!(matches!(ended, Route::Answer(_)), "its tombstone answers: {ended:?}");
}

#[test]
fn a_forwarded_connection_is_found_from_everywhere_until_its_tombstone_is_gone() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    tables[1].insert(remote(1), conv(), "there");
    assert!(matches!(tables[0].route(now, remote(1), &push(9)), Route::Answer(_)), "not yet");
    assert!(tables[1].forward(now, remote(1), conv()));
    for from in [0, 2] {
        assert_eq!(tables[from].route(now, remote(1), &push(9)), Route::PassOn(1));
        assert_eq!(tables[from].route(now, remote(1), &hello(None)), Route::PassOn(1));
        let named = tables[from].route(now, remote(1), &ping(token(2 - from as u8)));
        assert_eq!(named, Route::PassOn(1), "whatever it says");
    }
    assert_eq!(tables[1].route_passed(now, remote(1), &push(9)), Route::Known("there"));
    assert_eq!(tables[0].route(now, remote(2), &push(0)), Route::Opens(conv(), Opening::Stock));

    tables[1].remove(now, remote(1), conv(), Some(&remains(now)));
    let late = now + TOMBSTONE - Duration::from_millis(1);
    assert_eq!(tables[0].route(late, remote(1), &push(0)), Route::PassOn(1));
    assert!(matches!(tables[1].route_passed(late, remote(1), &push(0)), Route::Answer(_)));
    let gone = now + TOMBSTONE;
    assert_eq!(tables[0].route(gone, remote(1), &push(0)), Route::Opens(conv(), Opening::Stock));
    // It lay in the queue meanwhile: whoever opens with it sends the rest elsewhere.
    assert_eq!(tables[1].route_passed(gone, remote(1), &push(0)), Route::Dropped(DropReason::Unknown));
}

#[test]
fn a_connection_that_takes_another_name_while_it_opens_stays_forwarded() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 2);
    let other = Conv::new(9).unwrap();
    tables[1].insert(remote(1), other, "redialled");
    assert!(tables[1].forward(now, remote(1), other));
    tables[1].rename(now, remote(1), (other, &remains(now)), conv());
    assert_eq!(tables[0].route(now, remote(1), &push(9)), Route::PassOn(1));
}

#[test]
fn a_shard_without_a_conversation_id_follows_its_address() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 2);
    let (data, parity) = (push(9), None);
    assert_eq!(tables[0].owner_of_shard(now, remote(1), parity), None);
    tables[1].insert(remote(1), conv(), "there");
    tables[1].forward(now, remote(1), conv());
    assert_eq!(tables[0].owner_of_shard(now, remote(1), parity), Some(1));
    assert_eq!(tables[0].owner_of_shard(now, remote(1), Some(&data)), Some(1));
    assert_eq!(tables[1].owner_of_shard(now, remote(1), parity), None, "it is there");
    assert_eq!(tables[1].owner_of_shard(now, remote(1), Some(&data)), None);
    let question = ping(token(1));
    assert_eq!(tables[0].owner_of_shard(now, remote(2), Some(&question)), Some(1), "a peer that has moved");
    tables[0].insert(remote(1), Conv::new(9).unwrap(), "here");
    assert_eq!(tables[0].owner_of_shard(now, remote(1), parity), None, "its own come first");
}

#[test]
fn connections_are_counted_over_all_drivers() {
    let now = Instant::now();
    let mut tables = group(Config::new().max_connections(2), 2);
    tables[0].insert(remote(1), conv(), "a");
    assert!(matches!(tables[1].route(now, remote(2), &push(0)), Route::Opens(..)));
    tables[1].insert(remote(2), conv(), "b");
    for table in &mut tables {
        assert_eq!(table.route(now, remote(3), &push(0)), Route::Dropped(DropReason::Full));
        assert!(table.is_full());
    }
    tables[1].remove(now, remote(2), conv(), None);
    assert!(matches!(tables[0].route(now, remote(3), &push(0)), Route::Opens(..)));
}

#[test]
fn connections_of_one_address_are_counted_over_all_drivers() {
    let now = Instant::now();
    let mut tables = group(Config::new().max_connections_per_address(2), 2);
    tables[0].insert(remote(1), conv(), "a");
    tables[1].insert(remote(2), conv(), "b");
    for table in &mut tables {
        assert_eq!(table.route(now, remote(3), &push(0)), Route::Dropped(DropReason::PerAddress));
    }
    tables[1].remove(now, remote(2), conv(), None);
    assert!(matches!(tables[0].route(now, remote(3), &push(0)), Route::Opens(..)));
}

#[test]
fn unproven_peers_share_one_budget() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 2);
    let leases: Vec<_> = (0..1_024).map(|_| tables[0].lease()).collect();
    assert_eq!(tables[1].unproven().0, 1_024);
    assert_eq!(tables[1].route(now, remote(1), &push(0)), Route::Dropped(DropReason::Unproven));
    drop(leases);
    assert!(matches!(tables[1].route(now, remote(1), &push(0)), Route::Opens(..)));
}

#[test]
fn answers_a_second_are_those_of_one_endpoint() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 4);
    let mut answered = 0;
    for table in &mut tables {
        for n in 0..1_000 {
            let route = table.route(now, remote(1 + n), &push(9));
            answered += usize::from(matches!(route, Route::Answer(_)));
        }
    }
    assert_eq!(answered, 1_000);
}

#[test]
fn a_host_in_whose_name_a_flood_comes_gets_32_answers_a_second_from_all_drivers_together() {
    let now = Instant::now();
    let tables = group(Config::new(), 4).into_iter().zip(1..);
    let mut tables: Vec<_> = tables.map(|(table, seed)| table.with_cookies(seed)).collect();
    tables.iter_mut().for_each(|table| table.set_pressure(0));
    for second in 0..3 {
        let (mut retries, now) = (0, now + Duration::from_secs(second));
        for n in 0..400 {
            let route = tables[n % 4].route(now, remote(1 + n as u16), &hello(None));
            retries += usize::from(matches!(route, Route::Answer(_)));
        }
        assert_eq!(retries, 32);
    }
    let other = SocketAddr::from(([192, 0, 2, 2], 1));
    assert!(matches!(tables[0].route(now + Duration::from_secs(2), other, &hello(None)), Route::Answer(_)));
    let sent: Vec<_> = tables.iter().map(|table| table.stats().retries_sent).collect();
    assert_eq!(sent.iter().sum::<u64>(), 3 * 32 + 1);
    assert!(sent.iter().all(|&sent| sent > 0), "whichever the hash leads to: {sent:?}");
}

#[test]
fn a_peer_that_has_moved_stays_where_it_was_if_the_other_drivers_cannot_be_told() {
    let now = Instant::now();
    let mut tables = group(Config::new().max_connections(100_000), 2);
    for n in 0..65_536u32 {
        let [.., a, b] = n.to_be_bytes();
        let remote = SocketAddr::from(([10, 0, a, b], 9));
        tables[0].insert(remote, conv(), "lives");
        assert!(tables[0].forward(now, remote, conv()));
    }
    tables[1].insert(remote(1), conv(), "roams");
    tables[1].follow(token(1), "roams");
    let connections = tables[1].connections();
    assert!(!tables[1].relocate(now, (remote(1), conv()), remote(2), &moved(now)));
    assert_eq!(tables[1].route(now, remote(1), &push(9)), Route::Known("roams"));
    assert_eq!((tables[1].get(remote(2), conv()), tables[1].tombstones()), (None, 0));
    assert_eq!(tables[1].connections(), connections);
    // One of the others ends, and leaves room once it is forgotten.
    let gone = SocketAddr::from(([10, 0, 0, 0], 9));
    tables[0].remove(now, gone, conv(), Some(&remains(now)));
    assert!(tables[1].relocate(now, (remote(1), conv()), remote(2), &moved(now)));
    assert_eq!(tables[0].route(now, remote(2), &push(9)), Route::PassOn(1));
}

#[test]
fn a_connections_tokens_name_its_driver() {
    let now = Instant::now();
    let mut tables = group(Config::new(), 3);
    let opening = Opening::Hello(Token::new(77).unwrap());
    let mut server = Connection::new(Arc::new(Config::new()), conv(), opening, now, 7);
    server.name_driver(2);
    server.handle_datagram(now, &hello(None));
    let mut buffer = TransmitBuffer::new();
    assert!(server.poll_transmit(now, &mut buffer));
    let welcome = buffer.datagrams().next().unwrap();
    let (segment, _) = sendoff_proto::wire::SegmentView::parse(welcome).unwrap();
    let own = Block::parse(&segment).unwrap().from.unwrap();
    assert_eq!(own.driver(), 2);
    assert_eq!(tables[0].route(now, remote(1), &ping(own)), Route::PassOn(2));
}
