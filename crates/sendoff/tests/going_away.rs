//! A listener that goes away: who is told, who is waited for, who is reset, who is turned away.

mod common;

use common::*;
use sendoff::{AnyListener, AnyStream, Cause, Config, Departure, KcpListener, KcpStream, Party, code};
use std::{io::ErrorKind, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LIMIT: Duration = Duration::from_secs(8);

/// What is counted, without the time that it took.
fn counts(departure: Departure) -> [(&'static str, u64); 7] {
    let d = departure;
    [
        ("served", d.served),
        ("turned away", d.turned_away),
        ("told", d.told),
        ("confirmed", d.confirmed),
        ("finished", d.finished),
        ("failed", d.failed),
        ("reset", d.reset),
    ]
}

fn counted(numbers: [u64; 7]) -> [(&'static str, u64); 7] {
    let names = ["served", "turned away", "told", "confirmed", "finished", "failed", "reset"];
    std::array::from_fn(|n| (names[n], numbers[n]))
}

/// It has begun to go away.
async fn departing(listener: KcpListener, limit: Duration) -> tokio::task::JoinHandle<Departure> {
    let departing = tokio::spawn(async move { listener.close(limit).await });
    settle().await;
    departing
}

#[tokio::test]
async fn peers_are_told_and_end_their_conversations_in_order() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener } = Pair::new().await;
        assert!(!client.is_peer_going_away());
        let told = tokio::spawn(client.going_away());
        let departing = departing(listener, LIMIT).await;
        assert!(told.await.unwrap());
        assert!(client.is_peer_going_away() && !server.is_peer_going_away());
        // What is under way goes on.
        let sent = payload(100_000, 1);
        let (received, written) =
            tokio::join!(read_exactly(&mut client, sent.len()), server.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        assert!(!departing.is_finished());
        client.finish().unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        server.finish().unwrap();
        let departure = finished(departing).await;
        assert_eq!(counts(departure), counted([1, 0, 1, 1, 1, 0, 0]));
        assert!(client.closed().await.is_clean() && server.closed().await.is_clean());
        assert_eq!(departure.to_string(), "1 served, 1 was open: 1 finished");
    })
    .await;
}

/// Up to a second more may be waited for last words: time passes for that alone.
async fn finished(departing: tokio::task::JoinHandle<Departure>) -> Departure {
    for _ in 0..40 {
        if departing.is_finished() {
            break;
        }
        advance(ms(50)).await;
    }
    assert!(departing.is_finished(), "it waits for nobody any more");
    departing.await.unwrap()
}

#[tokio::test]
async fn what_is_open_after_the_limit_is_reset_with_code_4() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener } = Pair::new().await;
        server.write_all(b"half a sen").await.unwrap();
        until(|| client.stats().unread == 10).await;
        let departing = departing(listener, LIMIT).await;
        assert!(client.going_away().await);
        advance(LIMIT - ms(1)).await;
        assert_eq!((client.ending(), server.ending()), (None, None));
        advance(ms(2)).await;
        let ending = client.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::GOING_AWAY));
        assert_eq!(read_exactly(&mut client, 10).await, b"half a sen");
        assert_eq!(failed(client.read(&mut [0]).await, ErrorKind::ConnectionReset), ending);
        let here = server.closed().await;
        assert_eq!((here.by, here.cause, here.code), (Party::Local, Cause::Aborted, code::GOING_AWAY));
        assert_eq!(counts(finished(departing).await), counted([1, 0, 1, 1, 0, 0, 1]));
    })
    .await;
}

#[tokio::test]
async fn newcomers_are_refused_and_those_who_were_not_accepted_are_reset() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { client, server, listener } = Pair::new().await;
        let addr = listener.local_addr();
        let waiting = KcpStream::connect(addr).await.unwrap();
        let departing = departing(listener, LIMIT).await;
        let ending = waiting.closed().await;
        assert_eq!((ending.by, ending.cause, ending.code), (Party::Peer, Cause::Reset, code::GOING_AWAY));
        let refused = failed(KcpStream::connect(addr).await, ErrorKind::ConnectionRefused);
        assert_eq!((refused.by, refused.code), (Party::Peer, code::GOING_AWAY));
        let mut early = KcpStream::connect_early(addr).await.unwrap();
        early.write_all(b"hello").await.unwrap();
        let refused = failed(early.read(&mut [0]).await, ErrorKind::ConnectionRefused);
        assert_eq!(refused.code, code::GOING_AWAY);
        assert!(client.ending().is_none());
        drop((client, server));
        let departure = finished(departing).await;
        assert_eq!(counts(departure), counted([1, 1, 1, 1, 1, 0, 0]));
        assert_eq!(departure.to_string(), "1 served, 1 was open: 1 finished; 1 turned away");
    })
    .await;
}

#[tokio::test]
async fn a_stock_peer_is_told_nothing_waited_for_and_dropped() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener } = Pair::of(classic(), Config::new()).await;
        // Then its address is proven, and nothing is asked any more.
        server.write_all(b"!").await.unwrap();
        assert_eq!(read_exactly(&mut client, 1).await, b"!");
        until(|| server.stats().bytes_acknowledged == 1).await;
        let heard = client.stats().datagrams_received;
        let departing = departing(listener, LIMIT).await;
        advance(LIMIT - ms(10)).await;
        assert!(!departing.is_finished());
        assert_eq!(server.ending(), None);
        advance(ms(12)).await;
        assert_eq!(counts(finished(departing).await), counted([1, 0, 0, 0, 0, 0, 1]));
        assert_eq!(client.stats().datagrams_received, heard);
        assert_eq!(server.closed().await.cause, Cause::Aborted);
        assert!(poll_once(client.going_away()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_without_it_says_false_and_every_handle_knows() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, server, listener } = Pair::new().await;
        let waiting = tokio::spawn(client.going_away());
        settle().await;
        assert!(!waiting.is_finished());
        client.abort(20);
        assert!(!waiting.await.unwrap(), "it has ended, and nobody went away");
        drop(server);
        drop(listener);
        let Pair { client, server: _server, listener } = Pair::new().await;
        let (reader, writer) = client.into_split();
        let all = [tokio::spawn(reader.going_away()), tokio::spawn(writer.going_away())];
        // Polled and dropped, again and again: nothing is missed by that.
        let closing = listener.close(LIMIT);
        let told = poll_and_drop(async || reader.going_away().await);
        let (_, told) = tokio::join!(poll_once(closing), told);
        assert!(told);
        for waiting in all {
            assert!(waiting.await.unwrap());
        }
        assert!(reader.is_peer_going_away() && writer.is_peer_going_away());
        assert!(reader.going_away().await, "also afterwards");
    })
    .await;
}

#[tokio::test]
async fn a_farewell_that_is_called_off_resets_nobody_and_can_be_taken_up_again() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, server, listener } = Pair::new().await;
        let addr = listener.local_addr();
        assert!(poll_once(listener.close(LIMIT)).await.is_none());
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert!(client.going_away().await, "it goes away all the same");
        failed(KcpStream::connect(addr).await, ErrorKind::ConnectionRefused);
        advance(LIMIT * 2).await;
        assert_eq!((client.ending(), server.ending()), (None, None));
        let departing = departing(listener, Duration::ZERO).await;
        advance(ms(2)).await;
        assert_eq!(failed(client.read(&mut [0]).await, ErrorKind::ConnectionReset).code, code::GOING_AWAY);
        assert_eq!(counts(finished(departing).await), counted([1, 0, 1, 1, 0, 0, 1]));
    })
    .await;
}

#[tokio::test]
async fn who_breaks_off_meanwhile_has_failed() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, server, listener } = Pair::new().await;
        let departing = departing(listener, LIMIT).await;
        assert!(client.going_away().await);
        client.abort(77);
        assert_eq!(server.closed().await.code, 77);
        let departure = finished(departing).await;
        assert_eq!(counts(departure), counted([1, 0, 1, 1, 0, 1, 0]));
        assert!(departure.lasted < LIMIT);
    })
    .await;
}

#[tokio::test]
async fn whoever_listens_no_more_refuses_at_once() {
    watched(async {
        let _clock = Frozen::new();
        // By close of the endpoint, and by dropping the listener.
        for drops in [false, true] {
            let Pair { client, server, listener } = Pair::new().await;
            let addr = listener.local_addr();
            match drops {
                true => drop(listener),
                false => listener.endpoint().close(),
            }
            let refused = failed(KcpStream::connect(addr).await, ErrorKind::ConnectionRefused);
            assert_eq!((refused.by, refused.code), (Party::Peer, code::GOING_AWAY));
            assert!(!client.is_peer_going_away());
            drop((client, server));
        }
    })
    .await;
}

/// A listener of any transport, a client of it, and what it has accepted.
async fn any(address: &str) -> (AnyListener, AnyStream, AnyStream) {
    let listener = AnyListener::bind(address).await.unwrap();
    let to = format!("{}://{}", listener.local().transport(), listener.local());
    let mut client = AnyStream::connect(&to[..]).await.unwrap();
    client.write_all(b"!").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'!');
    (listener, client, server)
}

#[tokio::test]
async fn over_any_transport_what_is_open_is_waited_for_and_then_aborted() {
    watched(async {
        let _clock = Frozen::new();
        for address in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "kcp://127.0.0.1:0"] {
            let (listener, mut client, server) = any(address).await;
            let listener = Arc::new(listener);
            let departing = {
                let listener = listener.clone();
                tokio::spawn(async move { listener.close(LIMIT).await })
            };
            settle().await;
            advance(LIMIT - ms(10)).await;
            assert!(!departing.is_finished() && server.ending().is_none(), "{address}");
            assert_eq!(client.is_peer_going_away(), address.starts_with("kcp"));
            assert!(listener.accept().await.is_err());
            advance(ms(12)).await;
            let departure = finished(departing).await;
            assert_eq!((departure.served, departure.finished, departure.reset), (1, 0, 1), "{address}");
            assert_eq!(server.closed().await.code, code::GOING_AWAY);
            if !address.starts_with("udp") {
                assert_eq!(client.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn over_tcp_those_that_end_in_time_have_finished() {
    watched(async {
        let _clock = Frozen::new();
        let (listener, client, server) = any("tcp://127.0.0.1:0").await;
        let (_, other_client, other) = {
            let to = format!("tcp://{}", listener.local());
            let client = AnyStream::connect(&to[..]).await.unwrap();
            let (server, peer) = listener.accept().await.unwrap();
            (peer, client, server)
        };
        // One that is over before, one that ends meanwhile, one whose handles are dropped.
        drop((other_client, other));
        let departing = tokio::spawn(async move { listener.close(LIMIT).await });
        settle().await;
        assert!(!departing.is_finished());
        drop((client, server));
        let departure = finished(departing).await;
        assert_eq!((departure.served, departure.open(), departure.finished), (2, 1, 1));
    })
    .await;
}

#[tokio::test]
async fn who_has_yet_to_prove_itself_when_nobody_is_accepted_any_more_is_turned_away() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind_with("127.0.0.1:0", Config::new().prove(true)).await.unwrap();
        let endpoint = listener.endpoint().clone();
        let gate = Gate::before(listener.local_addr()).await;
        gate.shut(Way::Back);
        let addr = gate.addr();
        let connecting = tokio::spawn(async move { KcpStream::connect(addr).await });
        until(|| endpoint.stats().connections == 1).await;
        // It is neither served nor open: nobody waits for it.
        let departing = departing(listener, LIMIT).await;
        assert_eq!(counts(finished(departing).await), counted([0, 1, 0, 0, 0, 0, 0]));
        assert_eq!(endpoint.stats().connections, 0);
        gate.open(Way::Back);
        // HELLO is said again, and its answer comes.
        while !connecting.is_finished() {
            advance(ms(50)).await;
        }
        let refused = failed(connecting.await.unwrap(), ErrorKind::ConnectionRefused);
        assert_eq!((refused.by, refused.code), (Party::Peer, code::GOING_AWAY));
    })
    .await;
}
