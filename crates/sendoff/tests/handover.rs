//! One socket, two endpoints: the old one keeps its conversations, the new one gets all else. Between processes it is
//! tested with the command.
#![cfg(unix)]

mod common;

use common::*;
use sendoff::{Config, KcpEndpoint, KcpListener, KcpStream, code};
use std::{io::ErrorKind, os::unix::net::UnixStream, time::Duration};
use tokio::io::AsyncWriteExt;

/// The listener that takes over, once the old one passes on.
async fn successor(old: &KcpListener, config: Config) -> KcpListener {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let socket = old.endpoint().share_socket().unwrap();
    let new = KcpListener::take_over(socket, theirs, config).unwrap();
    old.endpoint().hand_over(ours).await.unwrap();
    new
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
        let (ours, theirs) = UnixStream::pair().unwrap();
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
        let both = KcpEndpoint::take_over(socket, theirs, config.clone()).unwrap_err();
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
