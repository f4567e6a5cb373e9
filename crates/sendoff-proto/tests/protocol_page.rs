//! The test vectors of `docs/protocol.md`: each parses to what the page says, and encodes to the same bytes; and
//! the conversation there is the one that two connections have.

use sendoff_proto::{
    Cause, Config, Connection, Conv, Endpoint, Opening, Party, Route, SeqNumber, TransmitBuffer, Wire,
    wire::{Block, Body, SegmentView, Segments, Token, segments},
};
use std::{
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

struct Vector {
    /// The text in front of it.
    text: String,
    expected: Vec<String>,
    bytes: Vec<u8>,
}

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md")).unwrap()
}

/// What stands between three backticks and `kcp`, and three backticks, in one section or in the whole page.
fn vectors(heading: Option<&str>) -> Vec<Vector> {
    let page = page();
    let part = match heading {
        Some(heading) => section(&page, heading),
        None => &page,
    };
    let mut vectors = Vec::new();
    let mut rest = part;
    while let Some((text, fenced)) = rest.split_once("```kcp\n") {
        let (block, after) = fenced.split_once("```\n").unwrap();
        vectors.push(vector(text, block));
        rest = after;
    }
    vectors
}

/// From that heading to the next.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n### {heading}\n")).expect(heading);
    rest.split("\n### ").next().unwrap()
}

fn vector(text: &str, block: &str) -> Vector {
    let is_words = |line: &&str| line.starts_with('[') || line.contains(": ");
    let (words, hex): (Vec<&str>, Vec<&str>) = block.lines().partition(is_words);
    let digits: Vec<char> = hex.concat().chars().filter(|c| *c != ' ').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    Vector {
        text: text.trim().to_owned(),
        expected: words.into_iter().map(str::to_owned).collect(),
        bytes: digits.chunks(2).map(byte).collect(),
    }
}

fn described(mut segments: Segments<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for segment in segments.by_ref() {
        words.push(match segment {
            Ok(segment) => match Block::parse(&segment) {
                Some(block) => format!("{segment:?} {block} {}", tokens(&block)),
                None => format!("{segment:?}"),
            },
            Err(error) => format!("error: {error}"),
        });
    }
    if !segments.rest().is_empty() {
        words.push(format!("ignored: {} bytes", segments.rest().len()));
    }
    words
}

fn tokens(block: &Block<'_>) -> String {
    let words = |token: Option<Token>| token.map_or("0".to_owned(), |t| format!("{:#018x}", t.value()));
    format!("to={} from={}", words(block.to), words(block.from))
}

#[test]
fn every_vector_parses_to_what_the_page_says() {
    let vectors = vectors(None);
    assert_eq!(vectors.len(), 34);
    for Vector { expected, bytes, .. } in vectors {
        assert_eq!(described(segments(&bytes)), expected);
    }
}

#[test]
fn every_segment_and_every_block_encodes_to_the_same_bytes() {
    let (mut encoded, mut blocks) = (0, 0);
    for Vector { bytes, .. } in vectors(None) {
        let mut at = 0;
        for segment in segments(&bytes).filter_map(Result::ok) {
            let mut data = segment.data().to_vec();
            if let Some(block) = Block::parse(&segment) {
                data.clear();
                block.encode(&mut data);
                blocks += 1;
            }
            let mut out = Vec::new();
            segment.to_segment().encode(&data, &mut out);
            assert_eq!(out, bytes[at..at + out.len()]);
            at += out.len();
            encoded += 1;
        }
    }
    assert_eq!((encoded, blocks), (41, 18));
}

#[test]
fn what_nobody_knows_is_answered_as_the_page_says() {
    let vectors = vectors(Some("What nobody knows"));
    let wires = [Wire::Classic, Wire::Extended, Wire::Extended];
    assert_eq!(vectors.len(), 2 * wires.len());
    for (wire, pair) in wires.into_iter().zip(vectors.chunks(2)) {
        let mut endpoint = Endpoint::<()>::new(Arc::new(Config::new().wire(wire)), true);
        let route = endpoint.route(Instant::now(), client(), &pair[0].bytes);
        let Route::Answer(answer) = route else { panic!("{route:?}") };
        assert_eq!(*answer, pair[1].bytes[..]);
    }
    // And the first of them, the WASK, by an extended listener not at all.
    let mut endpoint = Endpoint::<()>::new(Arc::new(Config::new()), true);
    let route = endpoint.route(Instant::now(), client(), &vectors[0].bytes);
    assert!(matches!(route, Route::Dropped(_)), "{route:?}");
}

#[test]
fn under_pressure_the_hello_of_the_page_is_answered_with_its_retry_but_for_the_cookie() {
    let vectors = vectors(Some("Blocks, one by one"));
    let [hello, again, _, retry] = &vectors[..4] else { panic!() };
    let mut endpoint = Endpoint::<()>::new(Arc::new(Config::new()), true).with_cookies(1);
    endpoint.set_pressure(0);
    let now = Instant::now();
    let Route::Answer(answer) = endpoint.route(now, client(), &hello.bytes) else { panic!() };
    let (rest, cookie) = answer.split_at(48);
    assert_eq!((rest, cookie.len()), (&retry.bytes[..48], 16));
    let mut again = again.bytes.clone();
    // When a client would say it again.
    let now = now + Duration::from_millis(250);
    assert!(matches!(endpoint.route(now, client(), &again), Route::Answer(_)), "another's cookie");
    again[52..].copy_from_slice(cookie);
    let route = endpoint.route(now, client(), &again);
    assert!(matches!(route, Route::Opens(_, Opening::HelloWithCookie(_))), "{route:?}");
}

#[test]
fn every_kind_of_block_is_on_the_page() {
    let mut seen = [false; 7];
    for Vector { bytes, .. } in vectors(None) {
        for segment in segments(&bytes).filter_map(Result::ok) {
            if let Some(block) = Block::parse(&segment) {
                seen[block.body.kind() as usize - 1] = true;
            }
        }
    }
    assert_eq!(seen, [true; 7]);
}

const HOP: Duration = Duration::from_millis(10);

fn client() -> SocketAddr {
    "192.0.2.1:40000".parse().unwrap()
}

/// A client whose first data rides with its HELLO, and a listener that echoes.
struct Talk {
    now: Instant,
    endpoint: Endpoint<()>,
    config: Arc<Config>,
    client: Connection,
    server: Option<Connection>,
}

impl Talk {
    fn new(now: Instant, conv: Conv) -> Self {
        let config = Arc::new(Config::new());
        let start = (SeqNumber(0), 1_000);
        Self {
            now,
            endpoint: Endpoint::new(config.clone(), true),
            client: Connection::starting(config.clone(), conv, Opening::Early, now, 1, start),
            server: None,
            config,
        }
    }

    fn client_hears(&mut self, datagram: &[u8]) {
        self.client.handle_datagram(self.now, datagram);
        self.client.read(&mut [0; 64]);
    }

    fn server_hears(&mut self, datagram: &[u8]) {
        match self.endpoint.route(self.now, client(), datagram) {
            Route::Opens(conv, opening) => {
                let (config, start) = (self.config.clone(), (SeqNumber(0), 700_000));
                let mut server = Connection::starting(config, conv, opening, self.now, 2, start);
                server.hold(self.endpoint.lease());
                self.endpoint.insert(client(), conv, ());
                self.server = Some(server);
            }
            Route::Known(()) => {}
            other => panic!("{other:?}"),
        }
        let server = self.server.as_mut().unwrap();
        server.handle_datagram(self.now, datagram);
        let mut read = [0; 64];
        let n = server.read(&mut read);
        server.write(&read[..n]);
        if server.is_peer_finished() {
            server.finish();
        }
    }
}

/// The one datagram that a side has to send.
fn sent(now: Instant, connection: &mut Connection) -> Vec<u8> {
    let mut buffer = TransmitBuffer::new();
    assert!(connection.poll_transmit(now, &mut buffer), "there is something to say");
    let datagram = buffer.contents().to_vec();
    assert_eq!(buffer.len(), 1);
    assert!(!connection.poll_transmit(now, &mut buffer), "and no more than that");
    datagram
}

#[test]
fn two_connections_have_the_conversation_on_the_page() {
    let vectors = vectors(Some("A whole conversation"));
    assert_eq!(vectors.len(), 5);
    let conv = SegmentView::parse(&vectors[0].bytes).unwrap().0.conv();
    let start = Instant::now();
    let mut talk = Talk::new(start, Conv::new(conv).unwrap());
    talk.client.write(b"hello");
    talk.client.finish();
    for (turn, vector) in vectors.iter().enumerate() {
        talk.now = start + HOP * turn as u32;
        let by_client = turn % 2 == 0;
        let side = if by_client { &mut talk.client } else { talk.server.as_mut().unwrap() };
        let datagram = sent(talk.now, side);
        assert_eq!(described(segments(&datagram)), vector.expected, "datagram {turn}");
        assert_eq!(datagram, vector.bytes, "datagram {turn}");
        let who = if by_client { "Client" } else { "Server" };
        let told = vector.text.lines().any(|l| l.starts_with(&format!("{who}, at {} ms. ", 10 * turn)));
        assert!(told, "datagram {turn}: {}", vector.text);
        talk.now += HOP;
        if by_client { talk.server_hears(&datagram) } else { talk.client_hears(&datagram) }
    }
    let (client, server) = (talk.client.ending().unwrap(), talk.server.as_ref().unwrap().ending().unwrap());
    assert_eq!((client.by, client.cause), (Party::Local, Cause::Closed));
    assert_eq!((server.by, server.cause), (Party::Peer, Cause::Closed));
    for ending in [client, server] {
        assert_eq!((ending.bytes_received, ending.bytes_acknowledged), (5, 5));
    }
    assert!(!talk.server.unwrap().has_transmit() && !talk.client.has_transmit());
}

#[test]
fn the_pong_on_the_page_answers_the_ping_there() {
    let challenge = |vector: &Vector| {
        let (segment, _) = SegmentView::parse(&vector.bytes).unwrap();
        match Block::parse(&segment)?.body {
            Body::Ping { challenge } | Body::Pong { challenge } => Some(challenge),
            _ => None,
        }
    };
    let ping = challenge(&vectors(Some("What nobody knows"))[4]);
    assert!(ping.is_some());
    assert!(vectors(Some("Blocks, one by one")).iter().any(|vector| challenge(vector) == ping));
}
