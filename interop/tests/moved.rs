//! A stock peer behind a NAT that forgets: its wire can't prove that the new address is the old peer, so nobody follows it, and
//! both sides are told by silence.

use std::time::{Duration, Instant};

use interop_plan::Options;
use sendoff::{Cause, Config, KcpListener, Party, PeerKind, Silence};
use sendoff_interop::talk::{Talk, WATCHDOG, broken_end};
use sendoff_interop::{Client, Peer, Relay, ready};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

const KEEP_ALIVE: Duration = Duration::from_secs(1);
const BYTES: usize = 100_000;

async fn with_each<F>(test: impl Fn(Peer) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        running.spawn(test(peer));
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_at_another_address_is_a_stranger() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(|peer| async move {
        let config = Config::new().keep_alive(KEEP_ALIVE);
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let relay = Relay::recording(listener.local_addr()).unwrap();
        let options = Options {
            address: relay.address().to_string(),
            bytes: BYTES,
            lifetime: WATCHDOG,
            ..Options::default()
        };
        let _client = Client::start(peer, &options).unwrap();
        let (mut stream, address) = timeout(WATCHDOG, listener.accept()).await.expect("it connects").unwrap();
        assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
        let mut left = BYTES / 2;
        while left > 0 {
            let chunk = timeout(WATCHDOG, stream.read_chunk(left)).await.expect("no hang").unwrap();
            let chunk = chunk.expect("the client is there");
            left -= chunk.len();
            stream.write_all(&chunk).await.unwrap();
        }
        relay.rebind().unwrap();
        let forgotten = Instant::now();
        // What has come before may still be read.
        let error = loop {
            match timeout(WATCHDOG, stream.read_chunk(BYTES)).await.expect("the silence must be noticed") {
                Ok(chunk) => assert!(chunk.is_some(), "{peer} can't say that it has finished"),
                Err(error) => break error,
            }
        };
        let ending = stream.ending().expect("an error is an end");
        println!("| {peer} | its NAT forgets it | {:.1} s | {ending} |", forgotten.elapsed().as_secs_f64());
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{peer}");
        assert_eq!(
            (ending.by, matches!(ending.cause, Cause::TimedOut(_))),
            (Party::Network, true),
            "{peer}: {ending}"
        );
        assert_eq!((stream.peer_addr(), stream.stats().moves), (address, 0), "{peer}");
        // Its data went on, and is nobody's.
        assert_eq!(listener.endpoint().stats().connections_accepted, 1, "{peer}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_server_does_not_know_us_at_another_address() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(|peer| async move {
        let config = Config::new().keep_alive(KEEP_ALIVE);
        let mut talk = Talk::start(peer, &Options::default(), config, BYTES).await;
        talk.relay.rebind().unwrap();
        let forgotten = Instant::now();
        talk.stream.write_all(&talk.source.take(100)).await.unwrap();
        let ending = broken_end(&mut talk.stream).await;
        println!(
            "| {peer} server | our NAT forgets us | {:.1} s | {ending} |",
            forgotten.elapsed().as_secs_f64()
        );
        assert_eq!(ending.bytes_acknowledged, BYTES as u64, "{peer}: {ending}");
        let silent = ending.cause == Cause::TimedOut(Silence::KeepAlive);
        assert!(silent || (ending.by, ending.cause) == (Party::Peer, Cause::Reset), "{peer}: {ending}");
    })
    .await;
}
