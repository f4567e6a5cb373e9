//! A stream in the hands of a test: echoes through it, and how it ends.

use std::time::Duration;

use interop_plan::{Event, Options, Payload};
use sendoff::{Config, Ending, KcpStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::{Peer, Relay, Server};

/// Turns a hang into a failure.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// What is written before the echo of it is read: less than the smallest window.
const PIECE: usize = 16_384;

/// Sends the next bytes of a payload, and asserts that the same come back.
pub async fn echo(stream: &mut KcpStream, source: &mut Payload, mut bytes: usize) {
    while bytes > 0 {
        let piece = source.take(bytes.min(PIECE));
        let mut back = vec![0; piece.len()];
        let exchange = async {
            stream.write_all(&piece).await?;
            stream.read_exact(&mut back).await
        };
        timeout(WATCHDOG, exchange).await.expect("the echo must come").expect("the peer is there");
        assert!(back == piece, "the echo is wrong");
        bytes -= piece.len();
    }
}

/// Reads until the stream ends, which must be with an error, and gives the ending behind it. The error, the
/// stream and its `closed` must tell the same.
pub async fn broken_end(stream: &mut KcpStream) -> Ending {
    let read = timeout(WATCHDOG, stream.read(&mut [0; 100])).await.expect("the end must be noticed");
    let error = read.expect_err("nothing came but the end");
    let ending = Ending::of(&error).expect("the error tells how it ended").clone();
    assert_eq!(error.kind(), ending.error_kind());
    assert_eq!(stream.ending().as_ref(), Some(&ending));
    let closed = timeout(WATCHDOG, stream.closed()).await.expect("an ended stream is closed");
    assert_eq!(closed, ending);
    ending
}

/// sendoff as the client of a peer's server, through a relay that records.
pub struct Talk {
    /// The peer's server.
    pub server: Server,
    /// Between the two.
    pub relay: Relay,
    /// Our side.
    pub stream: KcpStream,
    /// What is sent next.
    pub source: Payload,
}

impl Talk {
    /// Starts the server, connects, and echoes so many bytes.
    pub async fn start(peer: Peer, options: &Options, config: Config, bytes: usize) -> Self {
        let server = Server::start(peer, options).await.unwrap();
        let relay = Relay::recording(server.address()).unwrap();
        let connected = timeout(WATCHDOG, KcpStream::connect_with(relay.address(), config)).await;
        let stream = connected.expect("connect must not hang").expect("the server is there");
        let mut talk = Self { server, relay, stream, source: Payload::new("talk") };
        echo(&mut talk.stream, &mut talk.source, bytes).await;
        talk
    }
}

/// How many of these events are new connections.
pub fn accepted(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Accepted { .. })).count()
}
