//! Who is let in: openings that the application accepts or refuses before they are answered, a bound for each address,
//! a filter, and a listener under pressure.

mod common;

use common::*;
use sendoff::{
    AnyListener, AnyStream, Cause, Config, Ending, Incoming, KcpListener, KcpStream, Mode, Party, PeerKind,
    Wire, code,
};
use std::{
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

/// A listener whose openings wait for a decision, and what it sends and gets.
async fn deciding(config: Config) -> (Arc<KcpListener>, Arc<Recorder>) {
    let tap = Recorder::new();
    let config = config.tap(tap.clone());
    let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
    assert!(poll_once(listener.incoming()).await.is_none());
    (Arc::new(listener), tap)
}

fn connecting(listener: &KcpListener) -> JoinHandle<io::Result<KcpStream>> {
    connecting_with(listener, Config::new())
}

fn connecting_with(listener: &KcpListener, config: Config) -> JoinHandle<io::Result<KcpStream>> {
    let addr = listener.local_addr();
    tokio::spawn(async move { KcpStream::connect_with(addr, config).await })
}

fn sent(tap: &Recorder) -> Vec<String> {
    tap.take().iter().map(ToString::to_string).filter(|seen| seen.starts_with("sent")).collect()
}

async fn refused(client: JoinHandle<io::Result<KcpStream>>) -> Ending {
    let ending = failed(client.await.unwrap(), ErrorKind::ConnectionRefused);
    assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Refused));
    ending
}

async fn says(from: &mut KcpStream, to: &mut KcpStream, data: &[u8]) {
    from.write_all(data).await.unwrap();
    assert_eq!(read_exactly(to, data.len()).await, data);
}

#[tokio::test]
async fn nobody_is_answered_before_the_application_has_decided() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, tap) = deciding(Config::new()).await;
        let client = connecting(&listener);
        let incoming = listener.incoming().await.unwrap();
        assert_eq!((incoming.peer_kind(), incoming.is_address_proven()), (PeerKind::Extended, false));
        assert_eq!(incoming.local_addr(), listener.local_addr());
        settle().await;
        assert_eq!(sent(&tap), [""; 0]);
        assert!(!client.is_finished());
        let (peer, conv) = (incoming.peer(), incoming.conv());
        let (mut server, from) = incoming.accept();
        let mut client = client.await.unwrap().unwrap();
        assert_eq!((client.local_addr(), client.conv()), (peer, conv));
        assert_eq!((from, server.peer_addr()), (peer, peer));
        says(&mut client, &mut server, b"hello").await;
        says(&mut server, &mut client, b"welcome").await;
        assert_eq!(listener.endpoint().stats().refused, 0);
    })
    .await;
}

#[tokio::test]
async fn who_is_refused_gets_the_code_and_was_never_connected() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, tap) = deciding(Config::new()).await;
        for (n, expected) in [42, code::GOING_AWAY, u32::MAX].into_iter().enumerate() {
            let client = connecting(&listener);
            listener.incoming().await.unwrap().refuse(expected);
            assert_eq!(refused(client).await.code, expected);
            assert_eq!(sent(&tap), [format!("sent RESET {expected} \"\"")]);
            assert_eq!(listener.endpoint().stats().refused, n as u64 + 1);
        }
        until(|| listener.endpoint().stats().connections == 0).await;
        assert_eq!(listener.endpoint().stats().unproven, (0, 0));
    })
    .await;
}

#[tokio::test]
async fn one_that_is_dropped_or_refused_for_nothing_is_told_that_we_are_busy() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, _) = deciding(Config::new()).await;
        for how in [drop::<Incoming>, |incoming: Incoming| incoming.refuse(0)] {
            let client = connecting(&listener);
            how(listener.incoming().await.unwrap());
            assert_eq!(refused(client).await.code, code::BUSY);
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_refused_peer_repeats_is_answered_and_opens_nothing() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, _) = deciding(Config::new()).await;
        let mut raw = RawPeer::client(listener.local_addr(), 7).await;
        raw.hello(9).await;
        listener.incoming().await.unwrap().refuse(42);
        let first = raw.recv_one().await;
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            raw.hello(9).await;
            let again = raw.recv_one().await;
            let (code, to) = (24..28, 8..16);
            assert_eq!(
                (&again.data[code.clone()], &again.data[to.clone()]),
                (&first.data[code], &first.data[to])
            );
        }
        assert!(poll_once(listener.incoming()).await.is_none());
        assert_eq!(listener.endpoint().stats().refused, 1);
    })
    .await;
}

#[tokio::test]
async fn what_rides_with_an_opening_waits_for_the_decision() {
    watched(async {
        for (len, accepts) in [(5, true), (200_000, true), (5, false)] {
            let (listener, _) = deciding(Config::new()).await;
            let mut client = KcpStream::connect_early(listener.local_addr()).await.unwrap();
            let data = vec![7; len];
            let writing = tokio::spawn(async move {
                let result = client.write_all(&data).await;
                (client.shutdown().await.and(result), client)
            });
            let incoming = listener.incoming().await.unwrap();
            settle().await;
            if accepts {
                let (mut server, _) = incoming.accept();
                let mut heard = Vec::new();
                server.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard, vec![7; len]);
                writing.await.unwrap().0.unwrap();
            } else {
                incoming.refuse(42);
                let error = writing.await.unwrap().0.unwrap_err();
                assert_eq!(Ending::of(&error).map(|ending| ending.code), Some(42));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn some_may_wait_in_accept_and_others_for_a_decision() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, _) = deciding(Config::new()).await;
        for decides in [false, true, false] {
            let client = connecting(&listener);
            let (mut server, _) = match decides {
                true => listener.incoming().await.unwrap().accept(),
                false => listener.accept().await.unwrap(),
            };
            says(&mut client.await.unwrap().unwrap(), &mut server, b"hello").await;
        }
    })
    .await;
}

#[tokio::test]
async fn waiting_for_an_opening_loses_none_when_it_is_cancelled() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, _) = deciding(Config::new()).await;
        let client = connecting(&listener);
        let incoming = poll_and_drop(async || listener.incoming().await).await.unwrap();
        let _server = incoming.accept();
        client.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_answered_already_is_reset_when_it_is_refused() {
    watched(async {
        let _clock = Frozen::new();
        // It came before anybody wanted to decide; or had to be answered for its proof.
        for prove in [false, true] {
            let listener = KcpListener::bind_with("127.0.0.1:0", Config::new().prove(prove)).await.unwrap();
            if prove {
                assert!(poll_once(listener.incoming()).await.is_none());
            }
            let mut client = KcpStream::connect(listener.local_addr()).await.unwrap();
            // A read that finds nothing sends what is owed: the proof.
            let reading = tokio::spawn(async move { client.read_u8().await });
            let incoming = listener.incoming().await.unwrap();
            assert!(incoming.is_address_proven() || !prove);
            incoming.refuse(42);
            let error = reading.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            assert_eq!(Ending::of(&error).unwrap().code, 42);
        }
    })
    .await;
}

#[tokio::test]
async fn who_waits_for_a_decision_when_the_endpoint_closes_is_told_so() {
    watched(async {
        let _clock = Frozen::new();
        for taken in [false, true] {
            let (listener, _) = deciding(Config::new()).await;
            let client = connecting(&listener);
            until(|| listener.endpoint().stats().connections == 1).await;
            let incoming = match taken {
                true => Some(listener.incoming().await.unwrap()),
                false => None,
            };
            listener.close();
            assert_eq!(refused(client).await.code, code::GOING_AWAY);
            if let Some(incoming) = incoming {
                let (mut stream, _) = incoming.accept();
                assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
            }
            assert!(listener.incoming().await.is_err());
            let waiting = listener.endpoint().wait_idle();
            tokio::pin!(waiting);
            while poll_once(&mut waiting).await.is_none() {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_stock_client_that_is_refused_meets_silence_for_ten_seconds() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, tap) = deciding(Config::new()).await;
        let stock = RawPeer::client(listener.local_addr(), 7).await;
        for _ in 0..2 {
            stock.push(0, 0, b"hello").await;
            let incoming = listener.incoming().await.unwrap();
            assert_eq!(incoming.peer_kind(), PeerKind::Stock);
            incoming.refuse(42);
            until(|| listener.endpoint().stats().connections == 0).await;
            let before = listener.endpoint().stats().dropped_ended;
            stock.push(0, 0, b"hello").await;
            until(|| listener.endpoint().stats().dropped_ended == before + 1).await;
            assert!(poll_once(listener.incoming()).await.is_none());
            assert_eq!(sent(&tap), [""; 0]);
            tokio::time::advance(Duration::from_millis(10_001)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_not_decided_on_for_ten_seconds_is_forgotten() {
    watched(async {
        tokio::time::pause();
        let (listener, tap) = deciding(Config::new()).await;
        let client = connecting(&listener);
        assert_eq!(client.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(poll_once(listener.incoming()).await.is_none());
        let stats = listener.endpoint().stats();
        assert_eq!((stats.connections, stats.unproven), (0, (0, 0)));
        assert_eq!(sent(&tap), [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn messages_and_stock_clients_are_accepted_as_ever() {
    watched(async {
        let config = Config::new().mode(Mode::Message);
        for client in [config.clone(), config.clone().wire(Wire::Classic)] {
            let (listener, _) = deciding(config.clone()).await;
            let client = KcpStream::connect_early_with(listener.local_addr(), client).await.unwrap();
            client.send([7; 5_000]).await.unwrap();
            let (server, _) = listener.incoming().await.unwrap().accept();
            assert_eq!(server.recv().await.unwrap().unwrap(), [7; 5_000][..]);
            server.send(b"answer").await.unwrap();
            assert_eq!(client.recv().await.unwrap().unwrap(), b"answer"[..]);
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_that_the_filter_keeps_out_meets_silence() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = KcpStream::connect(listener.local_addr()).await.unwrap();
        let (mut client, mut server) = greeted(client, &listener).await;
        let raw = RawPeer::client(listener.local_addr(), 7).await;
        let kept_out = [raw.addr().port(), client.local_addr().port()];
        listener.filter(move |peer| !kept_out.contains(&peer.port()));
        raw.push(0, 0, b"hello").await;
        raw.push(9, 9, b"which would draw a hint").await;
        until(|| listener.endpoint().stats().dropped_filtered == 2).await;
        settle().await;
        assert!(raw.try_recv().is_none() && poll_once(listener.accept()).await.is_none());
        // Who was there before goes on, and others come in.
        says(&mut client, &mut server, b"still here").await;
        says(&mut server, &mut client, b"so am I").await;
        let other = KcpStream::connect(listener.local_addr()).await.unwrap();
        let _others = greeted(other, &listener).await;
        // A later filter replaces it.
        listener.filter(|_| true);
        raw.push(0, 0, b"hello").await;
        assert_eq!(listener.accept().await.unwrap().1, raw.addr());
        assert_eq!(listener.endpoint().stats().dropped_filtered, 2);
    })
    .await;
}

#[tokio::test]
async fn one_address_has_no_more_connections_than_it_may() {
    watched(async {
        let config = Config::new().max_connections_per_address(2);
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let mut there = Vec::new();
        for _ in 0..2 {
            let client = KcpStream::connect(listener.local_addr()).await.unwrap();
            there.push(greeted(client, &listener).await);
        }
        assert_eq!(refused(connecting(&listener)).await.code, code::BUSY);
        let stats = listener.endpoint().stats();
        assert_eq!((stats.refused_per_address, stats.connections), (1, 2));
        assert_eq!(stats.cookies_accepted, 1, "from half of them on, who comes shows that it is his address");
        drop(there.pop());
        until(|| listener.endpoint().stats().connections == 1).await;
        let client = KcpStream::connect(listener.local_addr()).await.unwrap();
        greeted(client, &listener).await;
    })
    .await;
}

#[tokio::test]
async fn the_bound_for_an_address_can_stand_in_a_listeners_address() {
    watched(async {
        let listener = AnyListener::bind("kcp://127.0.0.1:0?max-per-address=1").await.unwrap();
        let address = format!("kcp://{}", listener.local());
        let _first = AnyStream::connect(&*address).await.unwrap();
        let refused = AnyStream::connect(&*address).await;
        let ending = failed(refused, ErrorKind::ConnectionRefused);
        assert_eq!(ending.code, code::BUSY);
        // And what KCP alone has is at its own listener.
        let kcp: &KcpListener = listener.acceptor().unwrap();
        assert_eq!(kcp.endpoint().stats().refused_per_address, 1);
        for wrong in ["kcp://127.0.0.1:0?max-per-address=0", "tcp://127.0.0.1:0?max-per-address=1"] {
            assert_eq!(AnyListener::bind(wrong).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    })
    .await;
}

/// HELLOs of nobody, from one socket under as many names.
async fn press(listener: &KcpListener, hellos: u32) -> RawPeer {
    let mut raw = RawPeer::client(listener.local_addr(), 0).await;
    for n in 1..=hellos {
        raw.conv = n;
        raw.hello(u64::from(n)).await;
        if n % 64 == 0 {
            // So that none is lost on the way.
            until(|| listener.endpoint().stats().datagrams_received >= u64::from(n)).await;
        }
    }
    raw
}

#[tokio::test]
async fn under_pressure_a_client_notices_nothing() {
    watched(async {
        for config in [Config::new(), Config::new().prove(true)] {
            let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
            // Fewer than one host is asked in a second.
            let _raw = press(&listener, 270).await;
            until(|| listener.endpoint().stats().retries_sent == 270 - 256).await;
            assert_eq!(listener.endpoint().stats().unproven.0, 256);
            let accepting = async {
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    let ours = stream.conv().value() > 270;
                    if ours {
                        return (stream, peer);
                    }
                }
            };
            let (mut client, (mut server, peer)) =
                tokio::join!(async { KcpStream::connect(listener.local_addr()).await.unwrap() }, accepting);
            assert_eq!(peer, client.local_addr());
            says(&mut client, &mut server, b"hello").await;
            says(&mut server, &mut client, b"welcome").await;
            assert_eq!(client.stats().retries, 1);
            let stats = listener.endpoint().stats();
            assert_eq!((stats.cookies_accepted, stats.cookies_refused), (1, 0));
            assert!(stats.unproven.0 <= 256);
        }
    })
    .await;
}

#[tokio::test]
async fn an_opening_with_a_cookie_has_proven_its_address_before_it_is_decided_on() {
    watched(async {
        let (listener, _) = deciding(Config::new().max_connections_per_address(1)).await;
        let client = connecting(&listener);
        let incoming = listener.incoming().await.unwrap();
        assert!(incoming.is_address_proven());
        let (mut server, _) = incoming.accept();
        says(&mut client.await.unwrap().unwrap(), &mut server, b"hello").await;
    })
    .await;
}
