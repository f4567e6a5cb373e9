//! How stock peers end, and what we learn of it: their close, their restart, their death.
//!
//! None of them says a word when it ends. What is asserted is the cause that our side finds, and how many
//! bytes it knows to have arrived; the times are printed.

use std::time::{Duration, Instant};

use interop_plan::{Event, Options, Payload};
use sendoff::{Cause, Config, Ending, KcpListener, KcpStream, Party, PeerKind, Silence, code};
use sendoff_interop::datagram::{Command, Ladder, segments};
use sendoff_interop::talk::{Talk, WATCHDOG, accepted, broken_end, echo};
use sendoff_interop::{Client, Direction, Peer, Server, ready};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Long enough for whatever might still be sent.
const QUIET: Duration = Duration::from_secs(2);
/// The longest after which an ACK leaves.
const TICK: Duration = Duration::from_millis(100);
const LAST_WORDS: usize = 100;
/// The window of a server that has just accepted, in segments. A peer that has forgotten us says nothing to
/// data beyond it.
const FRESH_WINDOW: usize = 32;
/// Bytes before the end: our next segment is within that window, or beyond it.
const EARLIER: [usize; 2] = [LAST_WORDS, 100_000];
/// What is echoed to a client.
const ECHOED: usize = 100_000;

/// The peers whose server answers when it has forgotten a conversation. kcp-tokio's is silent to an address
/// whose connection it has closed, for up to 30 s.
const ANSWERING: [Peer; 4] = [Peer::KcpGo5672, Peer::KcpGo561, Peer::Ikcp, Peer::TokioKcp];

/// What the test is about, for a message and a table.
fn tell(peer: Peer, what: &str, since: Instant, ending: &Ending) {
    println!("| {peer} | {what} | {:.0} ms | {ending} |", since.elapsed().as_secs_f64() * 1e3);
}

/// The server's window is the fresh one, so that its restart changes nothing but what it remembers.
fn server() -> Options {
    Options { window: Some(FRESH_WINDOW as u16), ..Options::default() }
}

fn without_keep_alive() -> Config {
    Config::new().keep_alive(None)
}

fn with_keep_alive() -> Config {
    Config::new().keep_alive(KEEP_ALIVE)
}

/// A stock peer has shown that it has forgotten us, after so many bytes, and the rest wasn't delivered.
fn assert_forgotten(ending: &Ending, written: usize, acknowledged: usize, context: &str) {
    let found = (ending.by, ending.cause, ending.code);
    assert_eq!(found, (Party::Peer, Cause::Reset, code::UNKNOWN), "{context}: {ending}");
    assert_eq!(ending.error_kind(), std::io::ErrorKind::ConnectionReset, "{context}");
    let counted = (ending.bytes_sent, ending.bytes_acknowledged);
    assert_eq!(counted, (written as u64, acknowledged as u64), "{context}: {ending}");
}

/// The host of the peer has said that nobody listens there any more.
fn assert_unreachable(ending: &Ending, context: &str) {
    assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset), "{context}: {ending}");
}

/// Writes to a peer that has forgotten us, with no keep-alive: only the answer to that data can tell.
/// Gives the ending and when the data was written.
async fn last_words(talk: &mut Talk, context: &str, within_window: bool) -> (Ending, Instant) {
    let before = talk.relay.recorded().len();
    let written = Instant::now();
    let words = talk.source.take(LAST_WORDS);
    talk.stream.write_all(&words).await.unwrap();
    let ending = broken_end(&mut talk.stream).await;
    let recorded = talk.relay.recorded().split_off(before);
    let tells = |datagram: &[u8]| segments(datagram).iter().any(|s| (s.command, s.una) == (Command::Ack, 0));
    let answers = recorded
        .iter()
        .filter(|recorded| recorded.direction == Direction::ToClient && tells(&recorded.datagram))
        .count();
    assert!(answers > 0, "{context}: it was no ACK that told\n{}", Ladder(&recorded));
    // Data beyond the window is met by silence, and the question that goes with its second
    // transmission is answered. Otherwise the very first answer is enough.
    assert!(answers == 1 || !within_window, "{context}: {answers} answers\n{}", Ladder(&recorded));
    (ending, written)
}

/// Waits until the stream has sent nothing for longer than a tick: its last ACK has left.
async fn quiet(stream: &KcpStream) {
    let (mut sent, mut since) = (stream.stats().datagrams_sent, Instant::now());
    while since.elapsed() < TICK * 2 {
        sleep(TICK / 10).await;
        if stream.stats().datagrams_sent != sent {
            (sent, since) = (stream.stats().datagrams_sent, Instant::now());
        }
    }
}

/// Runs a test with each of these peers at the same time.
async fn with_each<F>(peers: &[Peer], test: impl Fn(Peer) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for peer in peers {
        running.spawn(test(*peer));
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_close_shows_in_the_answer_to_our_next_data() {
    if !ready(&ANSWERING) {
        return;
    }
    with_each(&ANSWERING, |peer| async move {
        for bytes in EARLIER {
            let context = format!("{peer} closed after {bytes} bytes");
            let mut talk = Talk::start(peer, &server(), without_keep_alive(), bytes).await;
            let mut events = talk.server.close_connections().await.unwrap();
            let (ending, written) = last_words(&mut talk, &context, bytes == EARLIER[0]).await;
            tell(peer, &format!("closes after {bytes} bytes, we write"), written, &ending);
            assert_forgotten(&ending, bytes + LAST_WORDS, bytes, &context);
            // What we wrote raised one phantom; our end raises none.
            sleep(QUIET).await;
            events.extend(talk.server.stop().await.unwrap());
            assert_eq!(accepted(&events), 2, "{context}: {events:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_close_while_all_is_idle_shows_within_the_keep_alive_time() {
    if !ready(&ANSWERING) {
        return;
    }
    with_each(&ANSWERING, |peer| async move {
        for bytes in EARLIER {
            let context = format!("{peer} closed after {bytes} bytes, idle");
            let mut talk = Talk::start(peer, &server(), with_keep_alive(), bytes).await;
            let mut events = talk.server.close_connections().await.unwrap();
            let closed = Instant::now();
            let ending = broken_end(&mut talk.stream).await;
            tell(peer, &format!("closes after {bytes} bytes, idle"), closed, &ending);
            assert_forgotten(&ending, bytes, bytes, &context);
            // The price of noticing is one phantom, drawn by the question.
            sleep(QUIET).await;
            events.extend(talk.server.stop().await.unwrap());
            assert_eq!(accepted(&events), 2, "{context}: {events:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn close_of_kcp_tokio_which_falls_silent_is_a_time_out() {
    if !ready(&[Peer::KcpTokio]) {
        return;
    }
    for data in [false, true] {
        let peer = Peer::KcpTokio;
        let mut talk = Talk::start(peer, &server(), with_keep_alive(), LAST_WORDS).await;
        let mut events = talk.server.close_connections().await.unwrap();
        let closed = Instant::now();
        if data {
            let words = talk.source.take(LAST_WORDS);
            talk.stream.write_all(&words).await.unwrap();
        }
        let ending = broken_end(&mut talk.stream).await;
        tell(peer, if data { "closes, we write" } else { "closes, idle" }, closed, &ending);
        let found = (ending.by, ending.cause);
        assert_eq!(found, (Party::Network, Cause::TimedOut(Silence::KeepAlive)), "{ending}");
        assert_eq!(ending.bytes_acknowledged, LAST_WORDS as u64);
        events.extend(talk.server.stop().await.unwrap());
        assert_eq!(accepted(&events), 1, "{events:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn their_restart_at_the_same_port_shows_in_the_answer_to_our_next_data() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(&Peer::ALL, |peer| async move {
        for bytes in EARLIER {
            let context = format!("{peer} restarted after {bytes} bytes");
            let mut talk = Talk::start(peer, &server(), without_keep_alive(), bytes).await;
            talk.server = talk.server.restart(&server()).await.unwrap();
            let (ending, written) = last_words(&mut talk, &context, bytes == EARLIER[0]).await;
            tell(peer, &format!("restarts after {bytes} bytes, we write"), written, &ending);
            assert_forgotten(&ending, bytes + LAST_WORDS, bytes, &context);
            sleep(QUIET).await;
            let events = talk.server.stop().await.unwrap();
            assert_eq!(accepted(&events), 1, "{context}: {events:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn their_restart_while_all_is_idle_shows_within_the_keep_alive_time() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(&Peer::ALL, |peer| async move {
        for bytes in EARLIER {
            let context = format!("{peer} restarted after {bytes} bytes, idle");
            let mut talk = Talk::start(peer, &server(), with_keep_alive(), bytes).await;
            talk.server = talk.server.restart(&server()).await.unwrap();
            let restarted = Instant::now();
            let ending = broken_end(&mut talk.stream).await;
            tell(peer, &format!("restarts after {bytes} bytes, idle"), restarted, &ending);
            assert_forgotten(&ending, bytes, bytes, &context);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_of_their_server_is_reported_by_its_host() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(&Peer::ALL, |peer| async move {
        for data in [false, true] {
            let context = format!("{peer} server killed");
            // Directly: a relay would hide the port that is gone.
            let server = Server::start(peer, &server()).await.unwrap();
            let config = if data { without_keep_alive() } else { with_keep_alive() };
            let mut stream = KcpStream::connect_with(server.address(), config).await.unwrap();
            echo(&mut stream, &mut Payload::new("death"), LAST_WORDS).await;
            quiet(&stream).await;
            server.stop().await.unwrap();
            let killed = Instant::now();
            if data {
                stream.write_all(&[7; LAST_WORDS]).await.unwrap();
            }
            let ending = broken_end(&mut stream).await;
            tell(peer, if data { "server killed, we write" } else { "server killed, idle" }, killed, &ending);
            assert_unreachable(&ending, &context);
            assert_eq!(ending.bytes_acknowledged, LAST_WORDS as u64, "{context}");
        }
    })
    .await;
}

/// How a peer's client goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Going {
    /// As `kill -9` does.
    Killed,
    /// It closes, and its process lives on: its socket is gone too. kcp-go only.
    Closes,
}

/// Our listener with one client of a peer's, after a whole echo. Gives its stream.
async fn serve_one(peer: Peer, config: Config) -> (KcpListener, KcpStream, Client) {
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
    let options = Options {
        address: listener.local_addr().to_string(),
        bytes: ECHOED,
        lifetime: WATCHDOG,
        window: Some(FRESH_WINDOW as u16),
        ..Options::default()
    };
    let client = Client::start(peer, &options).unwrap();
    let (mut stream, _) = timeout(WATCHDOG, listener.accept()).await.expect("it connects").unwrap();
    assert_eq!(stream.peer_kind(), PeerKind::Stock, "{peer}");
    let echoed = async {
        let mut left = ECHOED;
        while left > 0 {
            let chunk = stream.read_chunk(left).await.unwrap().expect("the client is there");
            left -= chunk.len();
            stream.write_all(&chunk).await.unwrap();
        }
        while stream.stats().bytes_acknowledged < ECHOED as u64 {
            sleep(Duration::from_millis(5)).await;
        }
        quiet(&stream).await;
    };
    timeout(WATCHDOG, echoed).await.expect("all is echoed and acknowledged");
    (listener, stream, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn death_and_close_of_their_client_are_reported_by_its_host() {
    if !ready(&Peer::ALL) {
        return;
    }
    with_each(&Peer::ALL, |peer| async move {
        for going in [Going::Killed, Going::Closes] {
            if going == Going::Closes && !Peer::KCP_GO.contains(&peer) {
                continue;
            }
            for data in [false, true] {
                let context = format!("{peer} client {going:?}, {}", if data { "we write" } else { "idle" });
                let config = if data { without_keep_alive() } else { with_keep_alive() };
                let (_listener, mut stream, mut client) = serve_one(peer, config).await;
                let mut closed = None;
                match going {
                    Going::Killed => client.kill().await.unwrap(),
                    Going::Closes => {
                        client.close().await.unwrap();
                        closed = Some(client);
                    }
                }
                let gone = Instant::now();
                if data {
                    stream.write_all(&[7; LAST_WORDS]).await.unwrap();
                }
                let ending = broken_end(&mut stream).await;
                tell(peer, &context, gone, &ending);
                assert_unreachable(&ending, &context);
                let counted = (ending.bytes_received, ending.bytes_acknowledged);
                assert_eq!(counted, (ECHOED as u64, ECHOED as u64), "{context}");
                drop(closed);
            }
        }
    })
    .await;
}

/// Tries of which one must be it.
const TRIES: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_to_a_client_that_leaves_without_its_last_ack_tells_what_is_in_doubt() {
    // From 5.6.18 to 5.6.72 a client that closes when it has read its echo sends no last ACK, unless its clock ticks just
    // between the two, as it may on a busy machine.
    let peer = Peer::KcpGo5672;
    if !ready(&[peer]) {
        return;
    }
    for _ in 0..TRIES {
        if let Some(ending) = shutdown_to_a_client_that_leaves(peer).await {
            assert_unreachable(&ending, "shutdown");
            assert_eq!((ending.bytes_sent, ending.bytes_acknowledged), (LAST_WORDS as u64, 0), "{ending}");
            return;
        }
    }
    panic!("{TRIES} clients have acknowledged their echo before they closed");
}

/// Echoes to a client that leaves once it has all of it; `None` if it has acknowledged that.
async fn shutdown_to_a_client_that_leaves(peer: Peer) -> Option<Ending> {
    let listener = KcpListener::bind_with("127.0.0.1:0", with_keep_alive()).await.unwrap();
    let options = Options {
        address: listener.local_addr().to_string(),
        bytes: LAST_WORDS,
        lifetime: Duration::ZERO,
        ..Options::default()
    };
    let mut client = Client::start(peer, &options).unwrap();
    let (mut stream, _) = timeout(WATCHDOG, listener.accept()).await.expect("it connects").unwrap();
    let mut words = vec![0; LAST_WORDS];
    timeout(WATCHDOG, stream.read_exact(&mut words)).await.expect("it writes").unwrap();
    stream.write_all(&words).await.unwrap();
    let written = Instant::now();
    let result = timeout(WATCHDOG, stream.shutdown()).await.expect("no hang");
    assert!(matches!(client.event().await.unwrap(), Event::Result { ok: true, .. }), "it had the whole echo");
    let Err(error) = result else {
        assert_eq!(stream.stats().bytes_acknowledged, LAST_WORDS as u64, "Ok means that it has all");
        return None;
    };
    let ending = Ending::of(&error).expect("the error tells how it ended");
    tell(peer, "client leaves without its last ACK, shutdown", written, ending);
    Some(ending.clone())
}
