//! A stock client that only sends gives us no data to answer, and so no reason to be believed but its
//! acknowledgements of nothing: it is still never cut off, nor held back.

use std::time::{Duration, Instant};

use interop_plan::{Event, Options, Payload};
use sendoff::{Config, KcpListener, PeerKind};
use sendoff_interop::talk::WATCHDOG;
use sendoff_interop::{Client, Link, Peer, Relay, ready};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// Seconds that the clients send for. The default is beyond the 10 s in which an address has to be proven.
const SECONDS: &str = "SENDOFF_ONE_WAY_SECONDS";
const SEED: &str = "one way";
/// A round trip of 20 ms, so that a window that is held back shows in the rate.
const LINK: Link = Link { delay: Duration::from_millis(10), ..Link::CLEAN };

/// What a client sent, and how fast.
struct Sent {
    bytes: usize,
    per_second: f64,
    /// In the last third of its time.
    late_per_second: f64,
}

/// One client of a peer's to our default listener, until all that it has sent is there and was right.
async fn run(peer: Peer, echoes: bool, time: Duration) -> Sent {
    let listener = KcpListener::bind_with("127.0.0.1:0", Config::fast3()).await.unwrap();
    let relay = Relay::start(listener.local_addr(), LINK, 0).unwrap();
    let options = Options {
        address: relay.address().to_string(),
        seed: SEED.into(),
        profile: Some([1, 10, 2, 1]),
        window: Some(256),
        send_for: Some(time),
        echo: echoes,
        lifetime: WATCHDOG,
        deadline: time + WATCHDOG,
        ..Options::default()
    };
    let mut client = Client::start(peer, &options).unwrap();
    let (mut stream, _) = timeout(WATCHDOG, listener.accept()).await.expect("it connects").unwrap();
    let began = Instant::now();
    let (mut source, mut expected, mut sent) = (Payload::new(SEED), Vec::new(), None);
    let (mut received, mut first_part) = (0, 0);
    while sent != Some(received) {
        tokio::select! {
            chunk = timeout(WATCHDOG, stream.read_chunk(65_536)) => {
                let chunk = match chunk {
                    Ok(Ok(Some(chunk))) => chunk,
                    ended => panic!("{peer}: cut off after {received} bytes: {ended:?}"),
                };
                expected.resize(chunk.len(), 0);
                source.fill(&mut expected);
                assert!(chunk == expected, "{peer}: wrong after {received} bytes");
                received += chunk.len();
                if began.elapsed() < time * 2 / 3 {
                    first_part = received;
                }
                if echoes {
                    stream.write_all(&chunk).await.unwrap();
                }
            }
            event = client.event(), if sent.is_none() => match event.unwrap() {
                Event::Sent { bytes, .. } => sent = Some(bytes),
                other => panic!("{peer} said {other:?}"),
            }
        }
    }
    let (lasted, last_part) = (began.elapsed(), began.elapsed() - time * 2 / 3);
    assert!(stream.ending().is_none(), "{peer}: {:?}", stream.ending());
    assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
    let late_per_second = (received - first_part) as f64 / last_part.as_secs_f64();
    Sent { bytes: received, per_second: received as f64 / lasted.as_secs_f64(), late_per_second }
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_client_that_only_sends_is_never_cut_off_nor_held_back() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let seconds = std::env::var(SECONDS).ok().and_then(|value| value.parse().ok()).unwrap_or(12);
    let time = Duration::from_secs(seconds);
    for peer in Peer::KCP_GO {
        let (one_way, echoing) = tokio::join!(run(peer, false, time), run(peer, true, time));
        for (what, sent) in [("only sends", &one_way), ("is echoed", &echoing)] {
            println!(
                "| {peer} | {what} | {seconds} s | {} bytes | {:.2} MB/s | {:.2} MB/s in the last third |",
                sent.bytes,
                sent.per_second / 1e6,
                sent.late_per_second / 1e6
            );
        }
        assert!(one_way.per_second >= echoing.per_second / 2.0, "{peer} is held back");
        assert!(one_way.late_per_second >= echoing.late_per_second / 2.0, "{peer} is held back later");
    }
}
