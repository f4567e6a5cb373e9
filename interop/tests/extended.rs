//! Extended mode and peers that have never heard of it: nothing is harmed, and we know who they are.

use std::io::ErrorKind;
use std::time::Duration;

use interop_plan::{Options, Payload};
use sendoff::{Config, KcpEndpoint, KcpListener, KcpStream, PeerKind, Wire};
use sendoff_interop::ours::EchoServer;
use sendoff_interop::talk::{WATCHDOG, accepted, echo};
use sendoff_interop::{Link, Peer, Relay, Server, peer, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const BYTES: usize = 1 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(1);

fn link_name(link: Link) -> &'static str {
    if link == Link::CLEAN { "clean" } else { "lossy" }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_default_client_echoes_right_with_every_server_and_knows_it_as_stock() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        for link in [Link::CLEAN, Link::LOSSY] {
            running.spawn(async move {
                let server = Server::start(peer, &Options::default()).await.unwrap();
                let relay = Relay::start(server.address(), link, 4).unwrap();
                let mut stream = KcpStream::connect_with(relay.address(), Config::fast3()).await.unwrap();
                assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
                let bytes = if link == Link::CLEAN { BYTES } else { BYTES / 8 };
                echo(&mut stream, &mut Payload::new("extended"), bytes).await;
                assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
                let shutdown = timeout(WATCHDOG, stream.shutdown()).await.expect("no hang");
                shutdown.unwrap_or_else(|error| panic!("{peer}: {error}"));
                println!("our client, {peer} server, {}: {bytes} bytes echoed", link_name(link));
            });
        }
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_rides_with_the_opening_echoes_right_with_every_server() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        for link in [Link::CLEAN, Link::LOSSY] {
            running.spawn(async move {
                let mut server = Server::start(peer, &Options::default()).await.unwrap();
                let relay = Relay::start(server.address(), link, 6).unwrap();
                let connected = KcpStream::connect_early_with(relay.address(), Config::fast3()).await;
                let mut stream = connected.unwrap();
                assert_eq!(stream.peer_kind(), PeerKind::Unknown, "{peer}");
                echo(&mut stream, &mut Payload::new("early"), BYTES / 8).await;
                assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
                let events = server.close_connections().await.unwrap();
                assert_eq!(accepted(&events), 1, "{peer}: {events:?}");
            });
        }
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_echoes_right_with_our_default_listener_that_knows_it_as_stock() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        for link in [Link::CLEAN, Link::LOSSY] {
            running.spawn(async move {
                let server = EchoServer::start(Config::fast3(), false).await.unwrap();
                let relay = Relay::start(server.address(), link, 5).unwrap();
                let bytes = if link == Link::CLEAN { BYTES } else { BYTES / 8 };
                let options = Options {
                    address: relay.address().to_string(),
                    bytes,
                    profile: Some([1, 10, 2, 1]),
                    ..Options::default()
                };
                let (checked, ms) = peer::run_client(peer, &options).await.unwrap();
                assert_eq!(checked, bytes, "{peer}");
                let (kinds, account) = (server.peer_kinds(), server.account());
                assert_eq!(kinds, [PeerKind::Stock], "{peer}: {account}");
                println!(
                    "{peer} client, our server, {}: {bytes} bytes echoed in {ms:.0} ms",
                    link_name(link)
                );
            });
        }
    }
    running.join_all().await;
}

/// Echoes through both in turns: each must live on when the other has spoken.
async fn echo_in_turns(streams: &mut [KcpStream; 2], peer: Peer) {
    let mut sources = [Payload::new("one"), Payload::new("two")];
    for _ in 0..4 {
        for (stream, source) in streams.iter_mut().zip(&mut sources) {
            echo(stream, source, 10_000).await;
        }
    }
    for stream in streams {
        assert!(stream.ending().is_none(), "{peer}: {:?}", stream.ending());
        timeout(WATCHDOG, stream.shutdown()).await.expect("no hang").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_to_one_stock_server_both_live() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        for wire in [Wire::Extended, Wire::Classic] {
            running.spawn(async move {
                let mut server = Server::start(peer, &Options::default()).await.unwrap();
                let config = Config::fast3().keep_alive(KEEP_ALIVE).wire(wire);
                let address = server.address();

                let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
                let (one, two) = (endpoint.connect(address).await, endpoint.connect(address).await);
                let mut shared = [one.unwrap(), two.unwrap()];
                let one = KcpStream::connect_with(address, config.clone()).await;
                let two = KcpStream::connect_with(address, config).await;
                let mut apart = [one.unwrap(), two.unwrap()];

                echo_in_turns(&mut shared, peer).await;
                echo_in_turns(&mut apart, peer).await;
                // Past the keep-alive time, all four are asked and answer.
                sleep(2 * KEEP_ALIVE).await;
                for stream in shared.iter().chain(&apart) {
                    assert!(stream.ending().is_none(), "{peer} {wire}: {:?}", stream.ending());
                }
                let events = server.close_connections().await.unwrap();
                assert_eq!(accepted(&events), 4, "{peer} {wire}: {events:?}");
            });
        }
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_before_finish_is_echoed_after_it() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        running.spawn(async move {
            let server = Server::start(peer, &Options::default()).await.unwrap();
            let mut stream = KcpStream::connect_with(server.address(), Config::fast3()).await.unwrap();
            let words = Payload::new("half").take(10_000);
            stream.write_all(&words).await.unwrap();
            stream.finish().unwrap();
            let refused = stream.write_all(b"more").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::BrokenPipe, "{peer}");
            // Ok says that the server has it all, though it can't be told that there is no more.
            timeout(WATCHDOG, stream.shutdown()).await.expect("no hang").unwrap();
            let mut back = vec![0; words.len()];
            timeout(WATCHDOG, stream.read_exact(&mut back)).await.expect("no hang").unwrap();
            assert!(back == words, "{peer}: the echo is wrong");
            assert!(stream.ending().is_none(), "{peer}: {:?}", stream.ending());
        });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn required_mode_is_refused_by_every_stock_server_and_refuses_every_stock_client() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        running.spawn(async move {
            let config = Config::new().wire(Wire::Required);
            let server = Server::start(peer, &Options::default()).await.unwrap();
            let connected =
                timeout(WATCHDOG, KcpStream::connect_with(server.address(), config.clone())).await;
            let error = connected.expect("no hang").expect_err("a stock server is no peer");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{peer}: {error}");
            println!("our client, {peer} server, required: {error}");

            let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
            let address = listener.local_addr().to_string();
            let deadline = Duration::from_secs(2);
            let options = Options { address, bytes: 1_000, deadline, ..Options::default() };
            let client = async {
                let failed = peer::run_client(peer, &options).await;
                assert!(failed.is_err(), "{peer}: {failed:?}");
            };
            tokio::select! {
                accepted = listener.accept() => panic!("{peer} was accepted: {:?}", accepted.map(|a| a.1)),
                () = client => {}
            }
            let stats = listener.endpoint().stats();
            assert!(stats.dropped_stock > 0, "{peer}: {stats:?}");
            assert_eq!(stats.datagrams_sent, 0, "{peer}: {stats:?}");
        });
    }
    running.join_all().await;
}
