//! A stock client that only sends to a server that only reads acknowledges nothing, since it gets nothing:
//! it is still never cut off, nor held back.

use std::fmt;
use std::time::{Duration, Instant};

use interop_plan::{Event, Options, Payload};
use sendoff::{Config, KcpListener, PeerKind};
use sendoff_interop::talk::WATCHDOG;
use sendoff_interop::{Client, Link, Peer, Relay, ready};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Seconds that the clients send for. The default is beyond the 10 s in which an address has to be proven.
const SECONDS: &str = "SENDOFF_ONE_WAY_SECONDS";
const SEED: &str = "one way";
/// A round trip of 20 ms, so that a window that is held back shows in the rate.
const LINK: Link = Link { delay: Duration::from_millis(10), ..Link::CLEAN };

/// How a client sends.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Bytes per second; `None`: all that its window lets through.
    rate: Option<usize>,
    /// Of a write.
    size: usize,
}

/// As fast as its window lets it.
const BULK: Pace = Pace { rate: None, size: 16_384 };
/// A small write every 100 ms.
const STEADY: Pace = Pace { rate: Some(1_000), size: 100 };
/// A small write every 5 s: nearly silent when it has to be proven.
const RARE: Pace = Pace { rate: Some(20), size: 100 };

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            None => write!(f, "as fast as can be"),
            Some(rate) => write!(f, "{rate} bytes/s"),
        }
    }
}

/// What a client sent, and how fast.
struct Sent {
    bytes: usize,
    per_second: f64,
    /// In the last third of its time.
    late_per_second: f64,
}

/// One client of a peer's to our default listener, until all that it has sent is there and was right.
async fn run(peer: Peer, pace: Pace, echoes: bool, time: Duration) -> Sent {
    let listener = KcpListener::bind_with("127.0.0.1:0", Config::fast3()).await.unwrap();
    let relay = Relay::start(listener.local_addr(), LINK, 0).unwrap();
    let options = Options {
        address: relay.address().to_string(),
        seed: SEED.into(),
        profile: Some([1, 10, 2, 1]),
        window: Some(256),
        sizes: vec![pace.size],
        rate: pace.rate,
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

/// A client that only sends, beside one that is echoed: it must not be slower than half of that.
async fn compare(peer: Peer, pace: Pace, time: Duration) {
    let (one_way, echoing) = tokio::join!(run(peer, pace, false, time), run(peer, pace, true, time));
    for (what, sent) in [("only sends", &one_way), ("is echoed", &echoing)] {
        println!(
            "| {peer} | {what}, {pace} | {} s | {} bytes | {:.0} bytes/s | {:.0} bytes/s in the last third |",
            time.as_secs(),
            sent.bytes,
            sent.per_second,
            sent.late_per_second
        );
    }
    assert!(one_way.per_second >= echoing.per_second / 2.0, "{peer}, {pace}: held back");
    assert!(one_way.late_per_second >= echoing.late_per_second / 2.0, "{peer}, {pace}: held back later");
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_client_that_only_sends_is_never_cut_off_nor_held_back() {
    if !ready(&Peer::KCP_GO) {
        return;
    }
    let seconds = std::env::var(SECONDS).ok().and_then(|value| value.parse().ok()).unwrap_or(12);
    let time = Duration::from_secs(seconds);
    let mut running = JoinSet::new();
    for peer in Peer::KCP_GO {
        for pace in [BULK, STEADY, RARE] {
            running.spawn(compare(peer, pace, time));
        }
    }
    running.join_all().await;
}
