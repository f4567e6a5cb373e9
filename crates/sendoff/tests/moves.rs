//! Peers that come from another address than before, over real sockets: a translator of addresses on the way forgets.

mod common;

use common::{Nat, failed, payload, read_exactly, until, watched};
use sendoff::{Cause, Config, Fec, KcpEndpoint, KcpListener, KcpStream, PeerKind, Wire};
use std::{io::ErrorKind, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server, and a client behind a translator, both greeted.
struct Roaming {
    listener: KcpListener,
    nat: Arc<Nat>,
    client: KcpStream,
    server: KcpStream,
}

impl Roaming {
    async fn new(config: Config) -> Self {
        Self::of(config.clone(), config).await
    }

    async fn of(client: Config, server: Config) -> Self {
        let listener = KcpListener::bind_with("127.0.0.1:0", server).await.unwrap();
        let nat = Nat::before(listener.local_addr()).await;
        let client = KcpStream::connect_with(nat.addr(), client).await.unwrap();
        let (client, server) = common::greeted(client, &listener).await;
        assert_eq!(Some(server.peer_addr()), nat.outside());
        Self { listener, nat, client, server }
    }

    /// The server has followed the client to where it is now.
    fn has_followed(&self) -> bool {
        Some(self.server.peer_addr()) == self.nat.outside()
    }
}

/// Sends `data` from one stream to the other, through a translator that forgets at each third.
async fn carry(from: KcpStream, to: KcpStream, nat: &Nat, data: Arc<Vec<u8>>) -> (KcpStream, KcpStream) {
    let third = data.len() / 3;
    let sender = tokio::spawn({
        let (mut from, data) = (from, data.clone());
        async move {
            from.write_all(&data).await.unwrap();
            from
        }
    });
    let mut to = to;
    for (n, part) in data.chunks(third).enumerate() {
        assert!(read_exactly(&mut to, part.len()).await == part, "other bytes arrive");
        if n < 2 {
            nat.forget().await;
        }
    }
    (sender.await.unwrap(), to)
}

#[tokio::test]
async fn an_upload_goes_on_when_a_nat_forgets_it() {
    watched(async {
        let Roaming { nat, client, server, .. } = Roaming::new(Config::new()).await;
        let mut moves = server.moves();
        let first = server.peer_addr();
        let (_client, server) = carry(client, server, &nat, Arc::new(payload(20_000_000, 1))).await;
        until(|| Some(server.peer_addr()) == nat.outside()).await;
        assert!((1..=2).contains(&server.stats().moves), "{:?}", server.stats());
        let (from, to) = moves.next().await.expect("a move");
        assert!(from == first && to == server.peer_addr() && from != to);
    })
    .await;
}

#[tokio::test]
async fn a_download_goes_on_when_a_nat_forgets_it() {
    watched(async {
        let Roaming { nat, client, server, .. } = Roaming::new(Config::new()).await;
        let (server, _client) = carry(server, client, &nat, Arc::new(payload(10_000_000, 2))).await;
        assert!(server.stats().moves >= 1);
        assert_eq!(Some(server.peer_addr()), nat.outside());
    })
    .await;
}

#[tokio::test]
async fn a_connection_with_fec_goes_on_when_a_nat_forgets_it() {
    watched(async {
        let config = Config::new().fec(Fec::new(4, 2).unwrap());
        let Roaming { nat, client, server, .. } = Roaming::new(config).await;
        let (client, server) = carry(client, server, &nat, Arc::new(payload(3_000_000, 3))).await;
        assert!(server.stats().moves >= 1);
        // And the other way.
        let (server, _client) = carry(server, client, &nat, Arc::new(payload(3_000_000, 4))).await;
        assert_eq!(Some(server.peer_addr()), nat.outside());
    })
    .await;
}

#[tokio::test]
async fn an_idle_client_that_was_forgotten_is_followed_when_it_speaks() {
    watched(async {
        let mut roaming = Roaming::new(Config::new()).await;
        roaming.nat.forget().await;
        roaming.client.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut roaming.server, 10).await, b"still here");
        assert!(roaming.has_followed());
        roaming.server.write_all(b"so am I").await.unwrap();
        assert_eq!(read_exactly(&mut roaming.client, 7).await, b"so am I");
        assert_eq!(roaming.listener.endpoint().stats().connections, 1);
    })
    .await;
}

#[tokio::test]
async fn a_silent_client_that_was_forgotten_is_followed_at_its_keep_alive() {
    watched(async {
        let client = Config::new().keep_alive(common::ms(200));
        let roaming = Roaming::of(client, Config::new()).await;
        roaming.nat.forget().await;
        until(|| roaming.nat.outside().is_some() && roaming.has_followed()).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_shares_its_socket_is_followed_too() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let nat = Nat::before(listener.local_addr()).await;
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let client = endpoint.connect(nat.addr()).await.unwrap();
        let (mut client, mut server) = common::greeted(client, &listener).await;
        nat.forget().await;
        client.write_all(b"on").await.unwrap();
        assert_eq!(read_exactly(&mut server, 2).await, b"on");
        assert_eq!(Some(server.peer_addr()), nat.outside());
    })
    .await;
}

#[tokio::test]
async fn both_ends_are_clean_when_a_nat_forgets_while_they_close() {
    watched(async {
        let Roaming { nat, mut client, mut server, .. } = Roaming::new(Config::new()).await;
        client.write_all(b"last words").await.unwrap();
        client.finish().unwrap();
        nat.forget().await;
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"last words");
        nat.forget().await;
        server.finish().unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        let (client, server) = tokio::join!(client.closed(), server.closed());
        assert_eq!((client.cause, server.cause), (Cause::Closed, Cause::Closed), "{client} / {server}");
    })
    .await;
}

#[tokio::test]
async fn without_follow_a_client_that_was_forgotten_is_reset() {
    watched(async {
        let mut roaming = Roaming::of(Config::new(), Config::new().follow(false)).await;
        let before = roaming.server.peer_addr();
        roaming.nat.forget().await;
        roaming.client.write_all(b"anyone?").await.unwrap();
        let ending = failed(roaming.client.read(&mut [0]).await, ErrorKind::ConnectionReset);
        assert_eq!(ending.code, sendoff::code::UNKNOWN);
        assert_eq!(roaming.server.peer_addr(), before);
    })
    .await;
}

#[tokio::test]
async fn a_stock_client_is_not_followed() {
    watched(async {
        let classic = Config::new().wire(Wire::Classic);
        let mut roaming = Roaming::of(classic, Config::new()).await;
        assert_eq!(roaming.server.peer_kind(), PeerKind::Stock);
        let before = roaming.server.peer_addr();
        roaming.nat.forget().await;
        roaming.client.write_all(b"from elsewhere").await.unwrap();
        // It is told, by a hint that it doesn't understand.
        let answered = || roaming.listener.endpoint().stats().answered;
        until(|| answered() > 0).await;
        assert_eq!(roaming.server.peer_addr(), before);
        assert_eq!(roaming.server.stats().moves, 0);
        assert!(roaming.server.try_read(&mut [0]).is_err(), "nothing of it arrives");
    })
    .await;
}
