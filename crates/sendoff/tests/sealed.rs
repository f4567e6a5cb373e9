//! Conversations through a cipher: everything that holds without one, and what those see who have another key.

#![cfg(feature = "crypt")]

mod common;

use common::*;
use sendoff::{
    AnyStream, Cause, Cipher, Config, Crypt, Direction, KcpEndpoint, KcpListener, KcpStream, Key, Party,
    PeerKind, Silence, code,
};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

const SECRET: &str = "correct horse";

/// With CRC and with authentication.
fn crypts() -> [Crypt; 2] {
    [Crypt::aes_256(Key::kcptun(SECRET)), Crypt::aes_128_gcm(Key::kcptun(SECRET))]
}

fn configs() -> impl Iterator<Item = Config> {
    crypts().into_iter().map(|crypt| Config::new().crypt(crypt))
}

fn gcm(secret: &str) -> Config {
    Config::new().crypt(Crypt::aes_128_gcm(Key::kcptun(secret)))
}

#[tokio::test]
async fn every_cipher_carries_bulk_and_messages_alike() {
    watched(async {
        for &cipher in Cipher::ALL {
            let config = Config::new().crypt(Crypt::kcptun(cipher, SECRET));
            let mut pair = Pair::with(config.clone()).await;
            assert_eq!(pair.client.peer_kind(), PeerKind::Extended);
            let sent = payload(300_000, 1);
            let writing = async {
                pair.client.write_all(&sent).await.unwrap();
                pair.client.shutdown().await.unwrap();
            };
            let (received, ()) = tokio::join!(read_exactly(&mut pair.server, sent.len()), writing);
            assert!(received == sent, "{cipher}");
            let (there, here) = (pair.listener.endpoint().stats(), pair.client.endpoint().stats());
            assert_eq!(there.failed_to_open + here.failed_to_open, 0, "{cipher}");
            let overhead = cipher.overhead() as u64;
            if overhead > 0 {
                assert_eq!(here.datagrams_sealed, here.datagrams_sent, "{cipher}");
                assert_eq!(there.datagrams_opened, there.datagrams_received, "{cipher}");
            }
            assert_eq!(here.overhead_bytes, here.datagrams_sealed * overhead, "{cipher}");
            assert_eq!((here.datagrams_sealed > 0), (cipher != Cipher::Null), "{cipher}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cipher_changes_nothing_of_how_a_stock_peer_is_served() {
    watched(async {
        for config in configs() {
            let classic = config.clone().wire(sendoff::Wire::Classic);
            for (client, server) in [(classic.clone(), config.clone()), (config, classic)] {
                let mut pair = Pair::of(client, server).await;
                let sent = payload(50_000, 1);
                let writing = pair.client.write_all(&sent);
                let (received, written) = tokio::join!(read_exactly(&mut pair.server, sent.len()), writing);
                written.unwrap();
                assert!(received == sent);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_loss_of_one_datagram_in_ten_is_made_good() {
    watched(async {
        for config in configs() {
            let addr = bad_relay(echo_server(config.clone()).await, 7).await;
            let mut client =
                KcpStream::connect_with(addr, config.profile(sendoff::Profile::FAST3)).await.unwrap();
            exchange(&mut client, &payload(30_000, 3)).await;
            let stats = client.stats();
            assert!(stats.retransmitted_timeout + stats.retransmitted_fast + stats.retransmitted_early > 0);
            assert_eq!(client.endpoint().stats().failed_to_open, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn both_sides_learn_code_and_reason_of_a_finish() {
    watched(async {
        for config in configs() {
            let Pair { mut client, mut server, .. } = Pair::with(config).await;
            client.write_all(b"bye").await.unwrap();
            client.finish_with(77, "done for today").unwrap();
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"bye");
            server.finish().unwrap();
            assert_eq!(client.read(&mut [0; 8]).await.unwrap(), 0);
            let (here, there) = tokio::join!(client.closed(), server.closed());
            assert!(here.is_clean() && there.is_clean(), "{here}; {there}");
            assert_eq!((there.by, there.code, &*there.reason), (Party::Peer, 77, "done for today"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_abort_resets_the_peer_with_its_code() {
    watched(async {
        for config in configs() {
            let Pair { mut client, mut server, .. } = Pair::with(config).await;
            client.abort(99);
            let ending = failed(server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, 99));
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_nobody_listens_connect_is_refused_though_the_report_quotes_what_nobody_can_read() {
    watched(async {
        tokio::time::pause();
        for config in configs() {
            let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            for shared in [false, true] {
                let result = match shared {
                    false => KcpStream::connect_with(dead, config.clone()).await,
                    true => endpoint.connect(dead).await,
                };
                let ending = failed(result, ErrorKind::ConnectionRefused);
                assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Refused));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_full_or_has_forgotten_says_so_through_its_seal() {
    watched(async {
        for config in configs() {
            let full =
                KcpListener::bind_with("127.0.0.1:0", config.clone().max_connections(0)).await.unwrap();
            let result = KcpStream::connect_with(full.local_addr(), config).await;
            let ending = failed(result, ErrorKind::ConnectionRefused);
            assert_eq!((ending.by, ending.code), (Party::Peer, code::BUSY));
            assert_eq!(full.endpoint().stats().datagrams_sealed, 1);
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_whose_process_is_gone_is_noticed_on_both_sides_and_no_other_is_touched() {
    watched(async {
        tokio::time::pause();
        for config in configs() {
            let (Pair { mut client, server: _server, .. }, gate) = gated(config.clone()).await;
            gate.vanish().await;
            client.write_all(b"still there?").await.unwrap();
            let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));

            let (Pair { mut server, listener, client: _client }, gate) = gated(config.clone()).await;
            let other = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
            let (mut other, mut other_server) = greeted(other, &listener).await;
            gate.vanish().await;
            server.write_all(b"still there?").await.unwrap();
            let ending = failed(server.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));
            other.write_all(b"of course").await.unwrap();
            assert_eq!(read_exactly(&mut other_server, 9).await, b"of course");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_restarts_at_its_port_resets_by_its_first_answers() {
    watched(async {
        let _clock = Frozen::new();
        for config in configs() {
            let (Pair { mut client, server: _server, .. }, gate) = gated(config.clone()).await;
            gate.vanish().await;
            let listener = KcpListener::bind_with(gate.addr(), config).await.unwrap();
            client.write_all(b"do you remember me?").await.unwrap();
            let ending = failed(client.read(&mut [0; 8]).await, ErrorKind::ConnectionReset);
            assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::UNKNOWN));
            assert!(poll_once(listener.accept()).await.is_none());
        }
    })
    .await;
}

#[tokio::test]
async fn who_has_another_key_or_cipher_or_none_opens_nothing_and_is_told_what_may_be_wrong() {
    watched(async {
        tokio::time::pause();
        let [aes, gcm_crypt] = crypts();
        let of = |crypt: &Crypt| Config::new().crypt(crypt.clone());
        let wrong = |client: Config, server: Config| (client, server);
        for (client, server) in [
            wrong(gcm("another"), gcm(SECRET)),
            wrong(of(&Crypt::aes_256(Key::kcptun("another"))), of(&aes)),
            wrong(of(&aes), of(&gcm_crypt)),
            wrong(of(&gcm_crypt), of(&aes)),
            wrong(Config::new(), of(&gcm_crypt)),
            wrong(Config::new(), of(&aes)),
            wrong(of(&gcm_crypt), Config::new()),
            wrong(of(&aes), Config::new()),
        ] {
            let (plain_client, plain_server) = (is_plain(&client), is_plain(&server));
            let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
            let result = KcpStream::connect_with(listener.local_addr(), client).await;
            let ending = failed(result, ErrorKind::TimedOut);
            assert_eq!(ending.cause, Cause::TimedOut(Silence::Opening));
            assert_eq!(ending.datagrams_unopened, (!plain_client).then_some(0));
            assert_eq!(ending.to_string().contains("another key or cipher"), !plain_client, "{ending}");
            let stats = listener.endpoint().stats();
            let refused = if plain_server { stats.dropped_malformed } else { stats.failed_to_open };
            assert_eq!(refused, stats.datagrams_received, "{stats:?}");
            assert!(refused >= 4, "{stats:?}");
            assert_eq!((stats.datagrams_sent, stats.connections, stats.connections_accepted), (0, 0, 0));
        }
    })
    .await;
}

fn is_plain(config: &Config) -> bool {
    config.crypt_value().cipher() == Cipher::Null
}

#[tokio::test]
async fn answers_that_can_not_be_opened_are_counted_and_told_of() {
    watched(async {
        tokio::time::pause();
        let peer = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let connecting = KcpStream::connect_with(peer.local_addr().unwrap(), gcm(SECRET));
        let answering = async {
            let mut buffer = [0; 2_000];
            for _ in 0..3 {
                let (len, from) = peer.recv_from(&mut buffer).await.unwrap();
                buffer[len - 1] ^= 1;
                peer.send_to(&buffer[..len], from).await.unwrap();
            }
        };
        let (result, ()) = tokio::join!(connecting, answering);
        let ending = failed(result, ErrorKind::TimedOut);
        assert_eq!(ending.datagrams_unopened, Some(3));
        let told = "no answer that could be opened: 3 datagrams came (wrong key or cipher?)";
        assert!(ending.to_string().ends_with(told), "{ending}");
    })
    .await;
}

#[tokio::test]
async fn a_tap_sees_what_is_on_the_wire_and_what_is_inside() {
    watched(async {
        for crypt in crypts() {
            let (tap, there) = (Recorder::new(), Recorder::new());
            let config = Config::new().crypt(crypt.clone());
            let pair = Pair::of(config.clone().tap(tap.clone()), config.tap(there.clone())).await;
            let Pair { mut client, mut server, listener } = pair;
            // Enough for a batch of full segments, which is made another way.
            let sent = payload(100_000, 1);
            let writing = client.write_all(&sent);
            let (received, written) = tokio::join!(read_exactly(&mut server, sent.len()), writing);
            written.unwrap();
            assert!(received == sent);
            RawPeer::client(listener.local_addr(), 1).await.send_bytes(b"not sealed").await;
            until(|| listener.endpoint().stats().failed_to_open == 1).await;
            let (seen, there) = (tap.take(), there.take());
            let wire = |direction| seen.iter().filter(move |s| s.direction == direction);
            for own in &seen {
                let mut sealed = own.payload.clone();
                let opened = crypt.opener().open(&mut sealed).unwrap().to_vec();
                assert_eq!(own.opened.as_ref(), Some(&opened), "{own}");
                assert_eq!(own.payload.len(), opened.len() + crypt.overhead());
            }
            assert!(wire(Direction::Sent).any(|s| s.payload.len() == 1_400));
            assert!(wire(Direction::Sent).all(|s| s.payload.len() <= 1_400));
            let came: Vec<_> = there.iter().filter(|s| s.direction == Direction::Received).collect();
            assert!(wire(Direction::Sent).map(|s| &s.payload).all(|p| came.iter().any(|s| s.payload == *p)));
            let stray: Vec<_> = came.iter().filter(|s| s.opened.is_none()).collect();
            assert_eq!(stray.iter().map(|s| &s.payload[..]).collect::<Vec<_>>(), [b"not sealed"]);
        }
    })
    .await;
}

#[tokio::test]
async fn the_cipher_and_the_file_with_its_secret_stand_in_an_address() {
    watched(async {
        let file = std::env::temp_dir().join(format!("sendoff-sealed-{}", std::process::id()));
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        let settings = format!("crypt=aes-128-gcm,key-file={}", file.display());
        let listener = KcpListener::bind_with("127.0.0.1:0", gcm(SECRET)).await.unwrap();
        let address = format!("kcp://{}?{settings}", listener.local_addr());
        let connecting = AnyStream::connect(&address);
        let (client, accepted) = tokio::join!(connecting, listener.accept());
        std::fs::remove_file(file).unwrap();
        let (mut client, mut server) = (client.unwrap(), accepted.unwrap().0);
        client.write_all(b"four").await.unwrap();
        assert_eq!(read_exactly(&mut server, 4).await, b"four");
        let printed = AnyStream::connect("kcp://127.0.0.1:1?key=hunter2").await.unwrap_err().to_string();
        assert!(printed.contains("refused") && !printed.contains("hunter2"), "{printed}");
    })
    .await;
}

// A socket that no event has told of yet takes nothing, as one whose buffer is full.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_batch_that_was_refused_is_sent_later_as_it_was_sealed() {
    watched(async {
        let _clock = Frozen::new();
        for crypt in crypts() {
            let (peer, tap) = (tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap(), Recorder::new());
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let config = classic().crypt(crypt.clone()).tap(tap.clone());
            let endpoint = KcpEndpoint::from_socket(socket, config).unwrap();
            let stream = endpoint.connect(peer.local_addr().unwrap()).await.unwrap();
            assert_eq!(stream.try_write(b"first").unwrap(), 5);
            let refused = tap.take();
            assert_eq!((refused.len(), endpoint.stats().datagrams_sent), (1, 0));
            assert_eq!(stream.try_write(b"second").unwrap(), 6);
            let (mut buffer, mut received) = ([0; 2_000], Vec::new());
            for _ in 0..2 {
                let len = peer.recv(&mut buffer).await.unwrap();
                received.push(buffer[..len].to_vec());
            }
            assert_eq!(received[0], refused[0].payload, "as it was sealed");
            let mut last = received[1].clone();
            assert!(crypt.opener().open(&mut last).unwrap().ends_with(b"second"));
            assert_eq!(endpoint.stats().datagrams_sealed, 2, "each of them once");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_the_cipher_of_its_socket_and_no_other() {
    watched(async {
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", gcm(SECRET)).await.unwrap();
        let addr: SocketAddr = echo_server(gcm(SECRET)).await;
        for config in [Config::new(), gcm(SECRET)] {
            let mut stream = endpoint.connect_with(addr, config).await.unwrap();
            exchange(&mut stream, &payload(20_000, 1)).await;
        }
        for (config, why) in [
            (gcm("another"), "aes-128-gcm with another key than the endpoint's: one socket has one key"),
            (
                Config::new().crypt(crypts()[0].clone()),
                "aes where the endpoint has aes-128-gcm: one socket has one cipher",
            ),
        ] {
            let error = endpoint.connect_with(addr, config).await.unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, why));
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_report_of_a_dead_port_concerns_nobody_where_two_conversations_may_be_meant() {
    watched(async {
        tokio::time::pause();
        let server = KcpListener::bind_with("127.0.0.1:0", gcm(SECRET)).await.unwrap();
        let gate = Gate::before(server.local_addr()).await;
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", gcm(SECRET)).await.unwrap();
        let first = endpoint.connect(gate.addr()).await.unwrap();
        let (mut first, _first_there) = greeted(first, &server).await;
        let second = endpoint.connect(gate.addr()).await.unwrap();
        let (_second, _second_there) = greeted(second, &server).await;
        gate.vanish().await;
        let begun = Instant::now();
        first.write_all(b"still there?").await.unwrap();
        // By its silence, not by the reports.
        let ending = failed(first.read(&mut [0; 8]).await, ErrorKind::TimedOut);
        assert!(matches!(ending.cause, Cause::TimedOut(_)), "{ending}");
        assert!(begun.elapsed().as_secs() >= 20 && endpoint.stats().icmp_errors > 0);
    })
    .await;
}
