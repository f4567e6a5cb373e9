//! What comes from the network through a cipher and shouldn't: forged, damaged, replayed.

#![cfg(feature = "crypt")]

mod common;

use common::*;
use sendoff::{
    Cause, Config, Crypt, Direction, KcpListener, KcpStream, Key, SeqNumber, Timestamp,
    wire::{Block, Body, Command, Segment, SegmentView, Token, segments},
};
use std::{io::ErrorKind, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn aes() -> Crypt {
    Crypt::aes_256(Key::kcptun("correct horse"))
}

fn gcm() -> Crypt {
    Crypt::aes_128_gcm(Key::kcptun("correct horse"))
}

fn null() -> Crypt {
    Crypt::null()
}

/// As somebody else would seal it.
fn seal(crypt: &Crypt, plain: &[u8]) -> Vec<u8> {
    let mut datagram = unsealed(crypt, plain);
    let size = datagram.len();
    crypt.sealer([1; 32]).seal_batch(&mut datagram, size);
    datagram
}

fn unsealed(crypt: &Crypt, plain: &[u8]) -> Vec<u8> {
    [&vec![0; crypt.front()], plain, &vec![0; crypt.back()]].concat()
}

/// A conversation through a gate, and what the client has sent: on the wire, and inside.
struct Scene {
    client: KcpStream,
    server: KcpStream,
    listener: KcpListener,
    gate: Arc<Gate>,
    tap: Arc<Recorder>,
}

impl Scene {
    async fn new(crypt: Crypt) -> Self {
        let (config, tap) = (Config::new().crypt(crypt), Recorder::new());
        let (pair, gate) = gated_of(config.clone().tap(tap.clone()), config).await;
        let Pair { mut client, mut server, listener } = pair;
        for _ in 0..3 {
            client.write_all(b"ping").await.unwrap();
            assert_eq!(read_exactly(&mut server, 4).await, b"ping");
            server.write_all(b"pong").await.unwrap();
            assert_eq!(read_exactly(&mut client, 4).await, b"pong");
        }
        Self { client, server, listener, gate, tap }
    }

    /// The conversation is as it was: bytes in order, each once, on both ways.
    async fn goes_on(&mut self) {
        assert_eq!((self.client.ending(), self.server.ending()), (None, None));
        let sent = payload(20_000, 9);
        let Self { client, server, .. } = self;
        let writing = client.write_all(&sent);
        let (received, written) = tokio::join!(read_exactly(server, sent.len()), writing);
        written.unwrap();
        assert!(received == sent, "other bytes");
        server.write_all(b"and back").await.unwrap();
        assert_eq!(read_exactly(client, 8).await, b"and back");
        assert!(poll_once(self.listener.accept()).await.is_none(), "another connection");
    }

    async fn forge(&self, datagram: &[u8]) {
        let before = self.listener.endpoint().stats().datagrams_received;
        self.gate.forge(datagram).await;
        until(|| self.listener.endpoint().stats().datagrams_received > before).await;
    }

    /// Client's and server's tokens: an attacker who knows all but the key.
    fn tokens(&self) -> (Option<Token>, Option<Token>) {
        let pings = self.tap.take().into_iter().filter(|s| s.direction == Direction::Sent);
        let mut blocks = pings.filter_map(|s| {
            let opened = s.opened.unwrap();
            segments(&opened).flatten().find_map(|s| Block::parse(&s).map(|b| (b.from, b.to)))
        });
        blocks.next_back().expect("a block")
    }

    /// Datagrams that would end or falsify the conversation, if they were believed.
    fn forgeries(&self) -> Vec<(&'static str, Vec<u8>)> {
        let (client, server) = self.tokens();
        let header = |command, fragment, sn| Segment {
            conv: self.client.conv().value(),
            command,
            fragment,
            window: 1_024,
            timestamp: Timestamp(0),
            sn: SeqNumber(sn),
            una: SeqNumber(4),
        };
        let block = |command, fragment, sn, body| {
            let (mut data, mut datagram) = (Vec::new(), Vec::new());
            Block { flags: 0, to: server, from: client, body }.encode(&mut data);
            header(command, fragment, sn).encode(&data, &mut datagram);
            datagram
        };
        let mut push = Vec::new();
        header(Command::Push, 0, 4).encode(b"not the client's", &mut push);
        vec![
            ("data", push),
            ("FIN", block(Command::Push, 255, 4, Body::Fin { code: 66, reason: "forged" })),
            ("RESET", block(Command::WindowTell, 0, 1, Body::Reset { code: 66, reason: "forged" })),
        ]
    }
}

#[tokio::test]
async fn who_knows_everything_but_the_key_can_do_nothing_that_he_could_in_the_clear() {
    watched(async {
        // In the clear each of them works: so the forgeries are good ones.
        for at in 0..3 {
            let mut scene = Scene::new(null()).await;
            let (name, forged) = scene.forgeries().remove(at);
            scene.forge(&forged).await;
            match name {
                "data" => assert_eq!(read_exactly(&mut scene.server, 16).await, b"not the client's"),
                "FIN" => assert_eq!(scene.server.read(&mut [0; 8]).await.unwrap(), 0),
                _ => {
                    let ending = failed(scene.server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
                    assert_eq!((ending.cause, ending.code), (Cause::Reset, 66));
                }
            }
        }
        let by_others = [Crypt::aes_128_gcm(Key::kcptun("another")), Crypt::aes_256(Key::kcptun("another"))];
        for (crypt, by_other_key, by_other_cipher) in
            [(gcm(), &by_others[0], aes()), (aes(), &by_others[1], gcm())]
        {
            let mut scene = Scene::new(crypt.clone()).await;
            let (forgeries, mut forged) = (scene.forgeries(), 0);
            for (_, plain) in &forgeries {
                for datagram in [
                    plain.clone(),
                    seal(by_other_key, plain),
                    seal(&by_other_cipher, plain),
                    unsealed(&crypt, plain),
                ] {
                    scene.forge(&datagram).await;
                    forged += 1;
                }
            }
            let stats = scene.listener.endpoint().stats();
            assert_eq!(stats.failed_to_open, forged, "{stats:?}");
            assert_eq!(scene.server.stats().failed_to_open, forged, "it knows that somebody tries");
            scene.goes_on().await;
            // With the key they are believed: so nothing but the cipher stands in the way.
            let (_, reset) = &forgeries[2];
            scene.forge(&seal(&crypt, reset)).await;
            failed(scene.server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
        }
    })
    .await;
}

#[tokio::test]
async fn no_truncation_and_no_changed_bit_of_what_was_recorded_is_opened() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let mut scene = Scene::new(crypt).await;
            let recorded = scene.gate.passed();
            let mut forged = 0;
            for datagram in &recorded {
                let truncated = (0..datagram.len()).map(|len| datagram[..len].to_vec());
                let changed = (0..datagram.len() * 8).map(|bit| {
                    let mut changed = datagram.clone();
                    changed[bit / 8] ^= 1 << (bit % 8);
                    changed
                });
                for forgery in truncated.chain(changed) {
                    scene.gate.forge(&forgery).await;
                    forged += 1;
                    if forged % 64 == 0 {
                        // More don't fit in a small socket's buffer.
                        until(|| scene.listener.endpoint().stats().failed_to_open == forged).await;
                    }
                }
            }
            assert!(recorded.len() >= 5, "{}", recorded.len());
            until(|| scene.listener.endpoint().stats().failed_to_open == forged).await;
            scene.goes_on().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_recorded_and_is_replayed_changes_nothing_of_a_conversation() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let mut scene = Scene::new(crypt).await;
            let before = scene.server.stats();
            let recorded = scene.gate.passed();
            for datagram in recorded.iter().chain(recorded.iter().rev()) {
                scene.forge(datagram).await;
            }
            let after = scene.server.stats();
            assert_eq!(after.bytes_received, before.bytes_received);
            assert!(after.duplicates_received > before.duplicates_received, "they are good datagrams");
            assert_eq!(scene.listener.endpoint().stats().failed_to_open, 0);
            scene.goes_on().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_recorded_opens_nothing_while_its_conversation_is_remembered() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let scene = Scene::new(crypt).await;
            let Scene { mut client, mut server, listener, gate, .. } = scene;
            let recorded = gate.passed();
            client.finish().unwrap();
            server.finish().unwrap();
            let (here, there) = tokio::join!(client.closed(), server.closed());
            assert!(here.is_clean() && there.is_clean());
            for datagram in &recorded {
                gate.forge(datagram).await;
            }
            let dropped = || {
                let stats = listener.endpoint().stats();
                stats.dropped_ended + stats.answered
            };
            until(|| dropped() >= recorded.len() as u64).await;
            assert_eq!(listener.endpoint().stats().connections_accepted, 1);
            assert!(poll_once(listener.accept()).await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn what_opens_but_holds_no_segment_is_dropped_and_opens_no_connection() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let config = Config::new().crypt(crypt.clone());
            let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            let raw = RawPeer::client(listener.local_addr(), 1).await;
            let insides = (0..24).map(|len| payload(len, 1)).chain([payload(24, 2), payload(1_000, 3)]);
            let insides: Vec<_> = insides.collect();
            for inside in &insides {
                assert!(SegmentView::parse(inside).is_err());
                raw.send_bytes(&seal(&crypt, inside)).await;
            }
            let count = insides.len() as u64;
            let stats = || listener.endpoint().stats();
            until(|| stats().datagrams_received == count).await;
            until(|| stats().dropped_malformed == count).await;
            assert_eq!((stats().datagrams_opened, stats().failed_to_open), (count, 0));
            assert_eq!((stats().connections, stats().datagrams_sent), (0, 0));
            let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
            greeted(client, &listener).await;
        }
    })
    .await;
}

#[tokio::test]
async fn garbage_from_1000_ports_is_counted_and_answered_by_nobody() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let config = Config::new().crypt(crypt);
            let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            for n in 0..1_000 {
                let raw = RawPeer::client(listener.local_addr(), 1).await;
                raw.send_bytes(&payload(1 + n % 1_400, n as u64)).await;
                if n % 100 == 99 {
                    until(|| listener.endpoint().stats().datagrams_received > n as u64).await;
                }
            }
            let stats = listener.endpoint().stats();
            assert_eq!((stats.failed_to_open, stats.datagrams_sent, stats.connections), (1_000, 0, 0));
            let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
            greeted(client, &listener).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_recorded_and_is_replayed_from_another_socket_moves_nobody() {
    watched(async {
        for crypt in [gcm(), aes()] {
            let mut scene = Scene::new(crypt).await;
            let (before, place) = (scene.server.stats(), scene.server.peer_addr());
            let elsewhere = RawPeer::client(scene.listener.local_addr(), 1).await;
            let received = |scene: &Scene| scene.listener.endpoint().stats().datagrams_received;
            let recorded = scene.gate.passed();
            // The first is a HELLO, which would open another conversation there: that is tried last.
            for datagram in recorded[1..].iter().chain(recorded.iter().rev()) {
                let count = received(&scene);
                elsewhere.send_bytes(datagram).await;
                until(|| received(&scene) > count).await;
            }
            let after = scene.server.stats();
            assert_eq!((scene.server.peer_addr(), after.moves), (place, 0));
            assert_eq!(after.bytes_received, before.bytes_received);
            assert!(after.datagrams_sent > before.datagrams_sent, "who names it is asked");
            while let Some(Ok((_, peer))) = poll_once(scene.listener.accept()).await {
                assert_eq!(peer, elsewhere.addr());
            }
            scene.goes_on().await;
        }
    })
    .await;
}
