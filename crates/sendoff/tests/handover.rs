//! One socket, two endpoints: the old one keeps its conversations, the new one gets all else. Between processes it is
//! tested with the command.
#![cfg(unix)]

mod common;

use common::*;
use sendoff::{Config, Fec, KcpEndpoint, KcpListener, KcpStream, code};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// The listener that takes over, once the old one passes on.
async fn successor(old: &KcpListener, config: Config) -> KcpListener {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let socket = old.endpoint().share_socket().unwrap();
    let taking = KcpListener::take_over(socket, theirs, config);
    let (new, handed) = tokio::join!(taking, old.endpoint().hand_over(ours));
    handed.unwrap();
    new.unwrap()
}

/// The other end of a handover, of a successor that says this.
fn saying(words: &str) -> (UnixStream, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(words.as_bytes()).unwrap();
    (ours, theirs)
}

#[tokio::test]
async fn those_who_wait_to_be_accepted_stay_and_the_next_one_comes_to_the_successor() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener: old } = Pair::new().await;
        let addr = old.local_addr();
        let mut waiting = KcpStream::connect(addr).await.unwrap();
        waiting.write_all(b"early").await.unwrap();
        let new = successor(&old, Config::new()).await;
        assert_eq!(new.local_addr(), addr);
        let (mut accepted, _) = old.accept().await.unwrap();
        assert_eq!(read_exactly(&mut accepted, 5).await, b"early");
        let (mut next, mut other) = greeted(KcpStream::connect(addr).await.unwrap(), &new).await;
        // Each of them is served where it is.
        for (here, there) in
            [(&mut client, &mut server), (&mut waiting, &mut accepted), (&mut next, &mut other)]
        {
            let sent = payload(50_000, 1);
            let (received, written) = tokio::join!(read_exactly(there, sent.len()), here.write_all(&sent));
            written.unwrap();
            assert!(received == sent);
        }
        assert_eq!((old.endpoint().stats().connections, new.endpoint().stats().connections), (2, 1));
        assert_eq!(old.endpoint().stats().dropped_unknown, 0, "all of that was passed on");
        // The old one goes: who is left reads the socket.
        drop((client, server, waiting, accepted));
        let closing = tokio::spawn(async move { old.close(Duration::from_secs(60)).await });
        while !closing.is_finished() {
            advance(ms(50)).await;
        }
        assert_eq!(closing.await.unwrap().reset, 0);
        let sent = payload(50_000, 2);
        let (received, written) = tokio::join!(read_exactly(&mut other, sent.len()), next.write_all(&sent));
        written.unwrap();
        assert!(received == sent);
        greeted(KcpStream::connect(addr).await.unwrap(), &new).await;
    })
    .await;
}

#[tokio::test]
async fn without_its_successor_the_old_one_refuses_who_comes() {
    watched(async {
        let _clock = Frozen::new();
        let Pair { mut client, mut server, listener: old } = Pair::new().await;
        let (ours, theirs) = saying("+");
        old.endpoint().hand_over(ours).await.unwrap();
        drop(theirs);
        let refused = async {
            let refused = failed(KcpStream::connect(old.local_addr()).await, ErrorKind::ConnectionRefused);
            assert_eq!(refused.code, code::GOING_AWAY);
        };
        // The first that is passed on shows that nobody is there; HELLO is said again.
        let passing = async {
            for _ in 0..20 {
                advance(ms(100)).await;
            }
        };
        tokio::join!(refused, passing);
        client.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut server, 10).await, b"still here");
    })
    .await;
}

#[tokio::test]
async fn a_successor_hands_nothing_over_before_its_predecessor_has_gone() {
    watched(async {
        let Pair { mut client, mut server, listener: first } = Pair::new().await;
        let addr = first.local_addr();
        let second = successor(&first, Config::new()).await;
        let (mut next, mut other) = greeted(KcpStream::connect(addr).await.unwrap(), &second).await;
        assert_eq!(second.endpoint().share_socket().unwrap_err().kind(), ErrorKind::ResourceBusy);
        let (ours, _theirs) = saying("+");
        assert_eq!(second.endpoint().hand_over(ours).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        // Neither has lost anything by it.
        for (here, there) in [(&mut client, &mut server), (&mut next, &mut other)] {
            here.write_all(b"still there?").await.unwrap();
            assert_eq!(read_exactly(there, 12).await, b"still there?");
        }
        drop((client, server));
        assert_eq!(first.close(Duration::from_secs(60)).await.reset, 0);
        drop(first);
        until(|| second.endpoint().share_socket().is_ok()).await;
        let third = successor(&second, Config::new()).await;
        greeted(KcpStream::connect(addr).await.unwrap(), &third).await;
        next.write_all(b"still there?").await.unwrap();
        assert_eq!(read_exactly(&mut other, 12).await, b"still there?");
    })
    .await;
}

#[tokio::test]
async fn a_client_with_fec_that_moves_finds_the_old_one_behind_its_successor() {
    watched(async {
        let config = Config::new().fec(Fec::new(4, 2).unwrap());
        let old = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
        let nat = Nat::before(old.local_addr()).await;
        let client = KcpStream::connect_with(nat.addr(), config.clone()).await.unwrap();
        let (mut client, mut server) = greeted(client, &old).await;
        let new = successor(&old, config).await;
        nat.forget().await;
        // Unknown to the old one, that goes to the other, which tells the client to say who it is.
        client.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut server, 10).await, b"still here");
        assert_eq!((server.stats().moves, Some(server.peer_addr())), (1, nat.outside()));
        assert_eq!(new.endpoint().stats().connections, 0);
    })
    .await;
}

#[tokio::test]
async fn a_successor_that_is_gone_late_or_another_changes_nothing() {
    watched(async {
        let _clock = Frozen::new();
        let old = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = saying("");
        let (mut others, mut expected) = (Vec::new(), Vec::new());
        for (words, kind) in [
            ("", ErrorKind::ConnectionAborted),
            ("+", ErrorKind::ConnectionAborted),
            ("?", ErrorKind::InvalidData),
            ("++", ErrorKind::InvalidData),
        ] {
            let (ours, theirs) = saying(words);
            // Those who aren't understood stay, to be told.
            if kind == ErrorKind::InvalidData {
                others.push(theirs);
            }
            expected.push((ours, kind));
        }
        for (ours, kind) in expected {
            assert_eq!(old.endpoint().hand_over(ours).await.unwrap_err().kind(), kind);
        }
        for mut other in others {
            assert!(!matches!(other.read(&mut [0]), Ok(1..)), "it is told nothing but the end");
        }
        let handing = tokio::spawn({
            let (endpoint, ours) = (old.endpoint().clone(), silent.0);
            async move { endpoint.hand_over(ours).await }
        });
        settle().await;
        advance(ms(5_001)).await;
        assert_eq!(handing.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        greeted(KcpStream::connect(old.local_addr()).await.unwrap(), &old).await;
        let new = successor(&old, Config::new()).await;
        greeted(KcpStream::connect(old.local_addr()).await.unwrap(), &new).await;
    })
    .await;
}

#[tokio::test]
async fn who_is_handed_nothing_reads_nothing() {
    watched(async {
        let _clock = Frozen::new();
        let old = KcpListener::bind("127.0.0.1:0").await.unwrap();
        // The old one goes, is silent, or says something else.
        for (words, stays, kind) in [
            ("", false, ErrorKind::ConnectionAborted),
            ("", true, ErrorKind::TimedOut),
            ("?", true, ErrorKind::InvalidData),
        ] {
            let (ours, theirs) = saying(words);
            let theirs = Some(theirs).filter(|_| stays);
            let socket = old.endpoint().share_socket().unwrap();
            let taking = tokio::spawn(KcpListener::take_over(socket, ours, Config::new()));
            settle().await;
            advance(ms(10_001)).await;
            assert_eq!(taking.await.unwrap().unwrap_err().kind(), kind);
            drop(theirs);
            greeted(KcpStream::connect(old.local_addr()).await.unwrap(), &old).await;
        }
        assert_eq!(old.endpoint().stats().connections_accepted, 3);
    })
    .await;
}

#[tokio::test]
async fn a_handover_that_is_dropped_before_the_other_is_ready_changes_nothing() {
    watched(async {
        let old = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, mut theirs) = saying("");
        assert!(poll_once(old.endpoint().hand_over(ours)).await.is_none());
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the other one is told");
        greeted(KcpStream::connect(old.local_addr()).await.unwrap(), &old).await;
        successor(&old, Config::new()).await;
    })
    .await;
}

#[test]
fn without_its_runtime_an_endpoint_hands_nothing_over() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let old = first.block_on(KcpListener::bind("127.0.0.1:0")).unwrap();
    drop(first);
    let (ours, _theirs) = saying("+");
    let error = runtime().block_on(watched(old.endpoint().hand_over(ours))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[tokio::test]
async fn a_port_is_handed_over_once_and_a_supplied_socket_never() {
    watched(async {
        let old = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let _new = successor(&old, Config::new()).await;
        let (again, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(old.endpoint().hand_over(again).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let socket = old.endpoint().share_socket().unwrap();
        assert_eq!(socket.local_addr().unwrap(), old.local_addr());
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let config = Config::new().socket(std::sync::Arc::new(Nowhere));
        let both = KcpEndpoint::take_over(socket, theirs, config.clone()).await.unwrap_err();
        assert_eq!(both.kind(), ErrorKind::InvalidInput);
        let supplied = KcpEndpoint::bind_with("0.0.0.0:0", config).await.unwrap();
        assert_eq!(supplied.share_socket().unwrap_err().kind(), ErrorKind::Unsupported);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(supplied.hand_over(ours).await.unwrap_err().kind(), ErrorKind::Unsupported);
    })
    .await;
}

/// A socket that leads nowhere.
struct Nowhere;

impl sendoff::DatagramSocket for Nowhere {
    fn local_addr(&self) -> std::net::SocketAddr {
        ([192, 0, 2, 1], 1_000).into()
    }

    fn try_send(&self, _: std::net::SocketAddr, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn poll_send_ready(&self, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_recv(
        &self,
        _: &mut std::task::Context<'_>,
        _: &mut [u8],
    ) -> std::task::Poll<std::io::Result<(usize, std::net::SocketAddr)>> {
        std::task::Poll::Pending
    }
}
