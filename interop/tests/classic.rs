//! One echo on the wire as KCP has always done it: PUSH, ACK, PUSH, ACK, and not a datagram more.

use std::time::{Duration, Instant};

use interop_plan::{Options, Payload};
use sendoff::{Config, KcpStream, Wire};
use sendoff_interop::datagram::{Command, Ladder, segments};
use sendoff_interop::ours::EchoServer;
use sendoff_interop::{Direction, Peer, Relay, Server, peer, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Long enough for every retransmission, probe or farewell that might follow: the longest first
/// timeout is 200 ms, the longest tick 100 ms, the first probe of kcp-go comes after 500 ms.
const QUIET: Duration = Duration::from_secs(1);
/// Between two echoes: longer than a tick of kcp-go, so that its ACK has left.
const PAUSE: Duration = Duration::from_millis(400);
const WATCHDOG: Duration = Duration::from_secs(20);
const REQUEST: usize = 53;
/// kcp-go's server writes its answer while its first tick sends the ACK. When the answer wins, which
/// it does once in some hundred echoes, both leave in one datagram, and the echo has to be repeated.
const ATTEMPTS: usize = 5;

/// Waits until the relay has seen nothing for `QUIET`.
async fn quiet(relay: &Relay) {
    let (mut count, mut since) = (0, Instant::now());
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if relay.recorded().len() != count {
            (count, since) = (relay.recorded().len(), Instant::now());
        }
    }
}

/// Waits until all is quiet, then asserts that the relay saw so many echoes and nothing else.
/// False if the server has sent its ACK and its answer in one datagram, which only kcp-go may.
async fn saw_four_datagrams_each(echoes: usize, relay: &Relay) -> bool {
    quiet(relay).await;
    use {Command::*, Direction::*};
    let echo = [(ToServer, Push, REQUEST), (ToClient, Ack, 0), (ToClient, Push, REQUEST), (ToServer, Ack, 0)];
    let recorded = relay.recorded();
    let seen: Vec<_> = recorded
        .iter()
        .flat_map(|recorded| {
            let segments = segments(&recorded.datagram).into_iter();
            segments.map(|segment| (recorded.direction, segment.command, segment.length))
        })
        .collect();
    assert_eq!(seen, echo.repeat(echoes), "\n{}", Ladder(&recorded));
    let merged = |recorded: &&sendoff_interop::Recorded| segments(&recorded.datagram).len() > 1;
    if let Some(datagram) = recorded.iter().find(merged) {
        println!("merged:\n{}", Ladder(&recorded));
        assert_eq!(datagram.direction, ToClient, "\n{}", Ladder(&recorded));
        return false;
    }
    true
}

/// Echoes of a kcp-go client that lives for `lifetime` when it has read the last.
async fn run_kcp_go_client(version: Peer, relay: &Relay, echoes: usize, lifetime: Duration) {
    let options = Options {
        address: relay.address().to_string(),
        bytes: echoes * REQUEST,
        sizes: vec![REQUEST],
        pause: Some(PAUSE),
        lifetime,
        ..Options::default()
    };
    let (bytes, _) = peer::run_client(version, &options).await.unwrap();
    assert_eq!(bytes, echoes * REQUEST);
}

/// How long a kcp-go client must live after its read, for its last ACK to leave at its next tick.
/// The first ACK of 5.6.1 leaves at once, a later one at the tick in both.
fn lifetime_of(version: Peer, echoes: usize) -> Duration {
    Duration::from_millis(if version == Peer::KcpGo561 && echoes == 1 { 0 } else { 300 })
}

#[tokio::test(flavor = "multi_thread")]
async fn kcp_go_echo_with_itself_is_four_datagrams() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    for version in Peer::KCP_GO {
        let mut four = false;
        for _ in 0..ATTEMPTS {
            let server = Server::start(version, &Options::default()).await.unwrap();
            let relay = Relay::recording(server.address()).unwrap();
            run_kcp_go_client(version, &relay, 1, lifetime_of(version, 1)).await;
            four = saw_four_datagrams_each(1, &relay).await;
            if four {
                break;
            }
        }
        assert!(four, "{version} merged its ACK with its answer {ATTEMPTS} times");
    }
}

/// One echo of our client; false if the server merged its two datagrams.
async fn echo_from(server: &Server) -> bool {
    let relay = Relay::recording(server.address()).unwrap();
    let config = Config::new().wire(Wire::Classic);
    let mut stream = KcpStream::connect_with(relay.address(), config).await.unwrap();
    let request = Payload::new("classic").take(REQUEST);
    stream.write_all(&request).await.unwrap();
    let mut answer = vec![0; REQUEST];
    tokio::time::timeout(WATCHDOG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, request);
    let four = saw_four_datagrams_each(1, &relay).await;
    // A farewell would be a fifth.
    stream.close(0, "");
    drop(stream);
    four & saw_four_datagrams_each(1, &relay).await
}

#[tokio::test(flavor = "multi_thread")]
async fn classic_echo_from_a_kcp_go_server_is_four_datagrams() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    for version in Peer::KCP_GO {
        let server = Server::start(version, &Options::default()).await.unwrap();
        let mut four = false;
        for _ in 0..ATTEMPTS {
            four = echo_from(&server).await;
            if four {
                break;
            }
        }
        assert!(four, "{version} merged its ACK with its answer {ATTEMPTS} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn classic_echo_to_a_kcp_go_client_is_four_datagrams_the_second_one_too() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    for version in Peer::KCP_GO {
        // In the second the server's reader is already waiting.
        for echoes in [1, 2] {
            let server = EchoServer::start(Config::new().wire(Wire::Classic), false).await.unwrap();
            let relay = Relay::recording(server.address()).unwrap();
            run_kcp_go_client(version, &relay, echoes, lifetime_of(version, echoes)).await;
            assert!(saw_four_datagrams_each(echoes, &relay).await, "our server merged its datagrams");
        }
    }
}
