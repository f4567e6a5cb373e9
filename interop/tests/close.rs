//! What our end does to a kcp-go server: it gets all that was written, and no phantom.

use std::time::Duration;

use interop_plan::{Event, Options, Payload, Serve, sha256_of};
use sendoff::{Config, KcpStream};
use sendoff_interop::{Link, Peer, Relay, Server, peer, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const SEED: &str = "close";
const BYTES: usize = 65_536;
const RUNS: usize = 20;
const WATCHDOG: Duration = Duration::from_secs(60);

/// How a program leaves a stream.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Close,
    Drop,
    Abort,
}

impl Leave {
    fn leave(self, mut stream: KcpStream) {
        match self {
            Self::Close => stream.close(0, ""),
            Self::Drop => {}
            Self::Abort => stream.abort(1),
        }
    }
}

fn sink() -> Options {
    Options { serve: Serve::Sink, bytes: BYTES, seed: SEED.into(), ..Options::default() }
}

/// Writes 64 KiB and leaves at once, 20 times; the server must report each of them whole.
async fn leave_at_once(version: Peer, leave: Leave, link: Link) {
    let mut server = Server::start(version, &sink()).await.unwrap();
    let payload = Payload::new(SEED).take(BYTES);
    let whole = sha256_of(SEED, BYTES);
    for run in 0..RUNS {
        let relay = Relay::start(server.address(), link, run as u64).unwrap();
        let mut stream = KcpStream::connect_with(relay.address(), Config::new()).await.unwrap();
        stream.write_all(&payload).await.unwrap();
        let endpoint = stream.endpoint();
        leave.leave(stream);
        timeout(WATCHDOG, endpoint.wait_idle()).await.expect("the closing connection must end");
        let (bytes, _, sha256) = server.report().await.unwrap();
        assert_eq!((bytes, &sha256), (BYTES, &whole), "{version}, {leave:?}, run {run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_close_delivers_all_that_was_written() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    for version in Peer::KCP_GO {
        leave_at_once(version, Leave::Close, Link::CLEAN).await;
        println!("{version}: {RUNS} of {RUNS} whole after our close");
        println!("{version}: {} of {RUNS} whole after its own close", kcp_go_closes(version).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_close_and_our_drop_deliver_all_through_loss() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let mut running = JoinSet::new();
    for version in Peer::KCP_GO {
        for leave in [Leave::Close, Leave::Drop] {
            running.spawn(leave_at_once(version, leave, Link::LOSSY));
        }
    }
    running.join_all().await;
}

/// The same with kcp-go's own client, for contrast: how many arrive whole.
async fn kcp_go_closes(version: Peer) -> usize {
    let silence = Duration::from_millis(500);
    let server = Server::start(version, &Options { idle: Some(silence), ..sink() }).await.unwrap();
    let options = Options {
        address: server.address().to_string(),
        sizes: vec![BYTES],
        echo: false,
        lifetime: Duration::ZERO,
        ..sink()
    };
    let mut clients = JoinSet::new();
    for _ in 0..RUNS {
        let options = options.clone();
        clients.spawn(async move { peer::run_client(version, &options).await });
    }
    clients.join_all().await;
    sleep(2 * silence).await;
    let events = server.stop().await.unwrap();
    let whole = |event: &&Event| matches!(event, Event::Received { why, .. } if why == "complete");
    events.iter().filter(whole).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn kcp_go_listener_that_closed_first_sees_no_phantom_after_our_end() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let ways = [Leave::Close, Leave::Drop, Leave::Abort];
    for version in Peer::KCP_GO {
        let options = Options {
            bytes: BYTES,
            // Time for the last of our ACKs to reach it.
            close_after: Some(Duration::from_millis(500)),
            ..Options::default()
        };
        let mut server = Server::start(version, &options).await.unwrap();
        let mut accepted = 0;
        for leave in ways {
            let mut stream = KcpStream::connect(server.address()).await.unwrap();
            let payload = Payload::new(SEED).take(BYTES);
            stream.write_all(&payload).await.unwrap();
            let mut echo = vec![0; BYTES];
            timeout(WATCHDOG, stream.read_exact(&mut echo)).await.expect("no hang").unwrap();
            assert!(echo == payload, "the echo is wrong");
            loop {
                match server.event().await.unwrap() {
                    Event::Accepted { .. } => accepted += 1,
                    Event::Closed { .. } => break,
                    _ => {}
                }
            }
            let endpoint = stream.endpoint();
            leave.leave(stream);
            timeout(WATCHDOG, endpoint.wait_idle()).await.expect("the closed connection must end");
        }
        // Whatever might still be sent is sent by now.
        sleep(Duration::from_secs(1)).await;
        let late = server.stop().await.unwrap();
        accepted += late.iter().filter(|event| matches!(event, Event::Accepted { .. })).count();
        assert_eq!(accepted, ways.len(), "{version}: {late:?}");
    }
}
