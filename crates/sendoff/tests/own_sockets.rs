//! Connections of an endpoint that need a socket of their own: who gets one, and whose they are.

mod common;

use common::*;
use sendoff::{Config, Fec, KcpEndpoint, KcpStream};
use std::{
    io::{self, ErrorKind},
    net::UdpSocket,
    sync::Arc,
    thread,
};

fn fec() -> Config {
    Config::new().fec(Fec::new(10, 3).unwrap())
}

#[tokio::test]
async fn an_endpoint_on_a_connected_socket_reaches_others_from_sockets_of_their_own() {
    watched(async {
        let (peer, other) = (echo_server(Config::new()).await, echo_server(Config::new()).await);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(peer).unwrap();
        let endpoint = KcpEndpoint::from_socket(socket, Config::new()).unwrap();
        let mut streams = Vec::new();
        // Two conversations with the one that it is connected to share the socket.
        for (to, shares) in [(peer, true), (other, false), (peer, true)] {
            let mut stream = endpoint.connect(to).await.unwrap();
            exchange(&mut stream, &payload(10_000, 1)).await;
            assert_eq!(stream.local_addr() == endpoint.local_addr(), shares, "{to}");
            streams.push(stream);
        }
        endpoint.close();
        endpoint.wait_idle().await;
        assert!(streams.iter().all(|stream| stream.ending().unwrap().is_clean()), "all are the endpoint's");
    })
    .await;
}

fn assert_closed(result: io::Result<KcpStream>) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::NotConnected, "the endpoint is closed"));
}

#[tokio::test]
async fn a_closed_endpoint_opens_nothing_from_another_socket_either() {
    watched(async {
        for config in [fec(), classic()] {
            let raw = RawPeer::listening().await;
            let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
            let _first = endpoint.connect_early_with(raw.addr(), config.clone()).await.unwrap();
            let alone = endpoint.connect_early_with(raw.addr(), config.clone()).await.unwrap();
            assert_ne!(alone.local_addr(), endpoint.local_addr());
            endpoint.close();
            assert_closed(endpoint.connect(raw.addr()).await);
            assert_closed(endpoint.connect_early_with(raw.addr(), config).await);
        }
        // Nobody has that of a single stream any more: it is closed like any other whose handles have gone.
        let server = echo_server(Config::new()).await;
        let stream = KcpStream::connect(server).await.unwrap();
        assert_closed(stream.endpoint().connect(server).await);
    })
    .await;
}

#[tokio::test]
async fn what_is_opened_while_the_endpoint_is_closed_is_closed_too() {
    watched(async {
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", fec()).await.unwrap();
        // While a connection is opened with it, another thread closes the endpoint.
        let closing = Deaf({
            let endpoint = endpoint.clone();
            move || {
                let endpoint = endpoint.clone();
                thread::spawn(move || endpoint.close()).join().unwrap();
                ([10, 0, 0, 1], 1).into()
            }
        });
        let config = fec().socket(Arc::new(closing));
        assert_closed(endpoint.connect_early_with("127.0.0.1:9", config.clone()).await);
        // Its driver lets go of the socket once its only connection has ended.
        poll_and_drop(async || match KcpEndpoint::bind_with("0.0.0.0:0", config.clone()).await {
            Ok(endpoint) => endpoint,
            Err(_) => std::future::pending().await,
        })
        .await;
    })
    .await;
}
