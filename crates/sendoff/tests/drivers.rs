//! Several sockets on one port, each with a driver of its own, behind one listener or endpoint.
#![cfg(target_os = "linux")]

mod common;

use common::*;
use sendoff::{
    Config, Fec, KcpEndpoint, KcpListener, KcpStream, SocketOptions,
    wire::{Block, Body, Command, SegmentView, Token},
};
use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

const DRIVERS: usize = 4;

fn drivers(drivers: usize) -> Config {
    Config::new().drivers(drivers).unwrap()
}

async fn listener(addr: &str) -> KcpListener {
    KcpListener::bind_with(addr, drivers(DRIVERS)).await.unwrap()
}

/// So many clients, each of which gets its own bytes back, while the others do.
async fn all_echo(addr: SocketAddr, clients: usize) -> Vec<KcpStream> {
    let mut tasks = JoinSet::new();
    for n in 0..clients {
        tasks.spawn(async move {
            let mut client = KcpStream::connect(addr).await.unwrap();
            exchange(&mut client, &payload(20_000, n as u64)).await;
            client
        });
    }
    tasks.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_spread_over_drivers_and_all_are_served_by_one_listener() {
    watched(async {
        let listener = listener("127.0.0.1:0").await;
        let (addr, endpoint) = (listener.local_addr(), listener.endpoint().clone());
        tokio::spawn(echo(listener));
        let clients = all_echo(addr, 64).await;
        let (each, all) = (endpoint.driver_stats(), endpoint.stats());
        assert_eq!((each.len(), all.drivers), (DRIVERS, DRIVERS));
        for stats in &each {
            assert!(stats.connections > 0 && stats.datagrams_received > 0, "a driver without work: {each:?}");
        }
        assert_eq!((all.connections, all.connections_accepted), (64, 64));
        assert_eq!(each.iter().map(|stats| stats.connections_accepted).sum::<u64>(), 64);
        assert_eq!(all.passed_on, 0, "nobody has moved");
        drop(clients);
        until(|| endpoint.stats().connections == 0).await;
    })
    .await;
}

#[tokio::test]
async fn one_thread_can_have_several_drivers() {
    watched(async {
        let listener = listener("127.0.0.1:0").await;
        let addr = listener.local_addr();
        tokio::spawn(echo(listener));
        all_echo(addr, 16).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drivers_on_the_wildcard_of_both_families_serve_both() {
    watched(async {
        let listener = listener("[::]:0").await;
        let (port, endpoint) = (listener.local_addr().port(), listener.endpoint().clone());
        tokio::spawn(echo(listener));
        let v4 = all_echo(([127, 0, 0, 1], port).into(), 32).await;
        let v6 = all_echo((std::net::Ipv6Addr::LOCALHOST, port).into(), 32).await;
        assert!(endpoint.driver_stats().iter().all(|stats| stats.connections_accepted > 0));
        drop((v4, v6));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_and_wait_idle_are_about_all_drivers_and_leave_the_port_free() {
    watched(async {
        let listener = listener("127.0.0.1:0").await;
        let addr = listener.local_addr();
        let mut servers = Vec::new();
        let mut clients = Vec::new();
        // As many as it takes until each driver has one.
        while listener.endpoint().driver_stats().iter().any(|stats| stats.connections == 0) {
            let sent = payload(5_000, clients.len() as u64);
            let mut client = KcpStream::connect(addr).await.unwrap();
            client.write_all(&sent).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            assert!(read_exactly(&mut server, 5_000).await == sent);
            server.write_all(b"goodbye").await.unwrap();
            servers.push(server);
            clients.push(client);
        }
        assert!(poll_once(listener.endpoint().wait_idle()).await.is_none());
        listener.endpoint().close();
        assert!(listener.accept().await.is_err());
        for mut client in clients {
            let mut last = String::new();
            client.read_to_string(&mut last).await.unwrap();
            assert_eq!(last, "goodbye", "what was written before is delivered");
        }
        listener.endpoint().wait_idle().await;
        assert_eq!(listener.endpoint().stats().connections, 0);
        // Also the drivers that had nothing to do any more end with the last handle.
        drop((listener, servers));
        until(|| std::net::UdpSocket::bind(addr).is_ok()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_live_on_without_the_listener_and_lead_to_all_of_their_endpoint() {
    watched(async {
        let listener = listener("127.0.0.1:0").await;
        let addr = listener.local_addr();
        let (mut client, server) = greeted(KcpStream::connect(addr).await.unwrap(), &listener).await;
        drop(listener);
        let endpoint = server.endpoint();
        assert_eq!((endpoint.stats().drivers, endpoint.stats().connections), (DRIVERS, 1));
        assert_eq!(endpoint.local_addr(), addr);
        drop(endpoint);
        let served = tokio::spawn(async move {
            let (mut reader, mut writer) = server.into_split();
            tokio::io::copy(&mut reader, &mut writer).await
        });
        exchange(&mut client, &payload(100_000, 1)).await;
        assert!(std::net::UdpSocket::bind(addr).is_err(), "its drivers are still there");
        drop(client);
        served.await.unwrap().unwrap();
        until(|| std::net::UdpSocket::bind(addr).is_ok()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_of_connections_counts_over_all_drivers() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", drivers(8).max_connections(3)).await.unwrap();
        let mut open = Vec::new();
        for _ in 0..3 {
            open.push(KcpStream::connect(listener.local_addr()).await.unwrap());
        }
        let ending = failed(KcpStream::connect(listener.local_addr()).await, ErrorKind::ConnectionRefused);
        assert_eq!(ending.code, sendoff::code::BUSY);
        assert_eq!(listener.endpoint().stats().answered, 1, "by a RESET");
    })
    .await;
}

#[tokio::test]
async fn an_address_with_drivers_is_taken_by_nobody_else_and_taken_from_nobody() {
    let listener = listener("127.0.0.1:0").await;
    let addr = listener.local_addr();
    let in_use = |result: io::Result<KcpListener>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::AddrInUse);
    };
    in_use(KcpListener::bind_with(addr, drivers(2)).await);
    in_use(KcpListener::bind(addr).await);
    let shared = SocketOptions::new().reuse_port(true);
    let single = KcpListener::bind_with("127.0.0.1:0", Config::new().socket_options(shared)).await.unwrap();
    in_use(KcpListener::bind_with(single.local_addr(), drivers(2)).await);
}

#[tokio::test]
async fn a_socket_that_is_handed_in_has_one_driver() {
    let refused = |result: io::Result<KcpEndpoint>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "drivers 4: a socket that is handed in has one driver");
    };
    let config = drivers(DRIVERS);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    refused(KcpEndpoint::from_socket(socket, config.clone()));
    let deaf = Deaf(|| ([10, 0, 0, 1], 1).into());
    refused(KcpEndpoint::bind_with("10.0.0.1:1", config.socket(Arc::new(deaf))).await);
}

#[test]
fn the_number_of_drivers_is_checked() {
    for wrong in [0, 256] {
        let error = Config::new().drivers(wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("drivers {wrong}: must be 1 to 255"));
    }
    assert_eq!(Config::new().drivers(255).unwrap().drivers_count(), 255);
    assert_eq!(Config::new().drivers_count(), 1);
}

/// An endpoint with several drivers, and servers of which each sees it at the same address.
async fn opener(servers: usize, config: &Config) -> (KcpEndpoint, Vec<SocketAddr>) {
    let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", drivers(DRIVERS)).await.unwrap();
    let mut addrs = Vec::new();
    for _ in 0..servers {
        addrs.push(echo_server(config.clone()).await);
    }
    (endpoint, addrs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_connections_opened_from_drivers_find_the_one_that_has_them() {
    watched(async {
        let (endpoint, addrs) = opener(16, &Config::new()).await;
        let mut streams = Vec::new();
        for addr in addrs {
            let mut stream = endpoint.connect(addr).await.unwrap();
            exchange(&mut stream, &payload(300_000, 1)).await;
            // A second one beside it, to the same peer.
            let mut second = endpoint.connect(addr).await.unwrap();
            exchange(&mut second, &payload(20_000, 2)).await;
            streams.push((stream, second));
        }
        let stats = endpoint.stats();
        assert_eq!((stats.connections, stats.connections_opened), (32, 32));
        assert!(stats.passed_on > 0, "of 16 peers some hash to another driver than theirs");
        assert_eq!(stats.dropped_passed_on, 0);
        assert!(endpoint.driver_stats().iter().filter(|driver| driver.connections > 0).count() > 1);
        endpoint.close();
        drop(streams);
        endpoint.wait_idle().await;
        assert_eq!(endpoint.stats().connections, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_that_come_to_another_driver_are_decoded_where_their_connection_is() {
    watched(async {
        let fec = Config::new().fec(Fec::new(10, 3).unwrap());
        let (endpoint, addrs) = opener(8, &fec).await;
        for (n, addr) in addrs.into_iter().enumerate() {
            let relay = losing_relay(addr, n as u64, 0.1).await;
            let mut stream = endpoint.connect(relay).await.unwrap();
            exchange(&mut stream, &payload(200_000, 1)).await;
        }
        let stats = endpoint.stats();
        assert!(stats.passed_on > 0 && stats.fec.recovered > 0, "{stats:?}");
        let elsewhere = endpoint.driver_stats().into_iter().filter(|driver| driver.connections_opened == 0);
        assert!(elsewhere.map(|driver| driver.fec.recovered).all(|recovered| recovered == 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_another_drivers_socket_hears_ends_the_opening() {
    watched(async {
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", drivers(DRIVERS)).await.unwrap();
        for _ in 0..12 {
            let nobody = {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.local_addr().unwrap()
            };
            failed(endpoint.connect(nobody).await, ErrorKind::ConnectionRefused);
        }
        let hearers = endpoint.driver_stats().into_iter().filter(|driver| driver.icmp_errors > 0);
        assert!(hearers.count() > 1, "each where its connection is");
    })
    .await;
}

async fn roam_over_drivers(config: Config) {
    let server = config.clone().drivers(DRIVERS).unwrap();
    let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
    let endpoint = listener.endpoint().clone();
    let nat = Nat::before(listener.local_addr()).await;
    let mut client = KcpStream::connect_with(nat.addr(), config).await.unwrap();
    client.write_all(b"!").await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (mut reader, mut writer) = server.into_split();
    let ended = reader.closed();
    let mut moves = writer.moves();
    let served = tokio::spawn(async move {
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert_eq!(client.read_u8().await.unwrap(), b'!');
    let mut went = 0;
    while went < 3 || endpoint.stats().passed_on < 100 {
        nat.forget().await;
        exchange(&mut client, &payload(400_000, went)).await;
        assert_eq!(moves.next().await.map(|(_, to)| to), nat.outside());
        went += 1;
    }
    let stats = endpoint.stats();
    assert_eq!((stats.connections, stats.dropped_passed_on), (1, 0));
    let busy = endpoint.driver_stats().into_iter().filter(|driver| driver.datagrams_received > 0);
    assert!(busy.count() > 1, "it has come to several sockets");
    client.shutdown().await.unwrap();
    served.await.unwrap();
    let ending = ended.await;
    assert!(ending.is_clean(), "{ending:?}");
    let sent = 1 + went * 400_000;
    assert_eq!((ending.bytes_received, ending.bytes_acknowledged), (sent, sent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_to_another_drivers_socket_is_served_on() {
    watched(roam_over_drivers(Config::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_fec_that_moves_to_another_drivers_socket_is_served_on() {
    watched(roam_over_drivers(Config::new().fec(Fec::new(10, 3).unwrap()))).await;
}

/// Looks at the block that a segment is.
fn front<R>(heard: &Heard, look: impl FnOnce(Block<'_>) -> R) -> R {
    let mut datagram = Vec::new();
    heard.segment.encode(&heard.data, &mut datagram);
    let (segment, _) = SegmentView::parse(&datagram).unwrap();
    look(Block::parse(&segment).expect("a block"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_from_elsewhere_is_answered_by_the_driver_that_its_token_names() {
    watched(async {
        let listener = listener("127.0.0.1:0").await;
        let mut raw = RawPeer::client(listener.local_addr(), 7).await;
        let ours = Token::new(0x1234).unwrap();
        let say = async |raw: &RawPeer, sn, to, body| {
            let mut data = Vec::new();
            Block { flags: 0, to, from: Some(ours), body }.encode(&mut data);
            raw.send(raw.segment(Command::WindowAsk, sn, 0), &data).await;
        };
        say(&raw, 0, None, Body::Hello { features: 0, cookie: [0; 16] }).await;
        let welcome = raw.recv_one().await;
        let theirs = front(&welcome, |block| block.from).unwrap();
        let has_it = listener.endpoint().driver_stats().iter().position(|driver| driver.connections == 1);
        assert_eq!(has_it, Some(usize::from(theirs.driver())));
        while listener.endpoint().stats().passed_on < 8 {
            let mut elsewhere = RawPeer::client(listener.local_addr(), 7).await;
            say(&elsewhere, 1, Some(theirs), Body::Ping { challenge: 99 }).await;
            let mut answers = Vec::new();
            // A question of its own, and the answer.
            for _ in 0..2 {
                let (answer, local) = (elsewhere.recv_one().await, elsewhere.peer());
                assert_eq!(local, listener.local_addr());
                let kind = front(&answer, |block| match block.body {
                    Body::Ping { .. } => "PING",
                    Body::Pong { challenge: 99 } => "PONG",
                    _ => "neither",
                });
                assert_eq!(front(&answer, |block| block.to), Some(ours), "{kind}");
                answers.push(kind);
            }
            answers.sort_unstable();
            assert_eq!(answers, ["PING", "PONG"]);
        }
    })
    .await;
}
