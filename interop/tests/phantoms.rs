//! After our end nothing is sent: a stock listener would take it for a new connection.

use std::time::Duration;

use interop_plan::Options;
use sendoff::{Cause, Config};
use sendoff_interop::datagram::Ladder;
use sendoff_interop::talk::{Talk, WATCHDOG, accepted};
use sendoff_interop::{Direction, Peer, Recorded, Relay, ready};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Less than the shortest retransmission timeout, so that no repetition is taken for what was on its way.
const SETTLE: Duration = Duration::from_millis(50);
const BYTES: usize = 65_536;

/// How our side ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Close,
    Drop,
    Abort,
    /// Nothing of the peer's arrives any more, and after the keep-alive time we give up.
    TimeOut,
}

/// Ends our side with data just written, so that the server's echo of it, again and again, comes to a
/// conversation that is over here. Then the server forgets its own side: whatever still came from us would
/// open another.
async fn end(peer: Peer, end: End) {
    let config = Config::new().keep_alive(KEEP_ALIVE);
    let Talk { mut server, relay, mut stream, mut source } =
        Talk::start(peer, &Options::default(), config, BYTES).await;
    stream.write_all(&source.take(10_000)).await.unwrap();
    let endpoint = stream.endpoint();
    match end {
        End::Close => stream.close(0, "enough"),
        End::Drop => drop(stream),
        End::Abort => stream.abort(77),
        End::TimeOut => {
            relay.cut(Direction::ToClient, true);
            let ending = timeout(WATCHDOG, stream.closed()).await.expect("the silence must be noticed");
            assert!(matches!(ending.cause, Cause::TimedOut(_)), "{peer}: {ending}");
            relay.cut(Direction::ToClient, false);
            println!("{peer}: {ending}");
        }
    }
    timeout(WATCHDOG, endpoint.wait_idle()).await.expect("what has ended must go");
    let sent = settled(&relay).await;
    // The server repeats its echo to us for a while, then it forgets.
    sleep(KEEP_ALIVE).await;
    let mut events = server.close_connections().await.unwrap();
    sleep(2 * KEEP_ALIVE).await;
    events.extend(server.stop().await.unwrap());
    let recorded = relay.recorded();
    let late = last_sent(&recorded);
    assert_eq!(late, sent, "{peer}, {end:?}: sent after our end\n{}", Ladder(&recorded[sent.min(late)..]));
    assert_eq!(accepted(&events), 1, "{peer}, {end:?}: {events:?}");
}

/// The place of our last datagram, counted from 1.
fn last_sent(recorded: &[Recorded]) -> usize {
    recorded.iter().rposition(|recorded| recorded.direction == Direction::ToServer).map_or(0, |at| at + 1)
}

/// Waits until what was on its way when we ended has come to the relay, for much longer than that takes.
/// Gives the place of our last datagram.
async fn settled(relay: &Relay) -> usize {
    sleep(SETTLE).await;
    last_sent(&relay.recorded())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_end_of_ours_opens_a_phantom_at_a_stock_server() {
    if !ready(&Peer::ALL) {
        return;
    }
    let mut running = JoinSet::new();
    for peer in Peer::ALL {
        for way in [End::Close, End::Drop, End::Abort, End::TimeOut] {
            running.spawn(end(peer, way));
        }
    }
    running.join_all().await;
}
