//! What a tap is told: every datagram, with the addresses that it has on the wire.

mod common;

use common::Recorder;
use sendoff::{
    AnyListener, AnyStream, Config, Direction, KcpListener, KcpStream, Options, Transports, UdpOptions,
};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Another address of this host than the first that comes to mind.
const HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_listener_on_all_addresses_tells_the_one_that_its_peer_knows() {
    let recorder = Recorder::new();
    let config = Config::new().tap(recorder.clone());
    let listener = KcpListener::bind_with("0.0.0.0:0", config).await.unwrap();
    let server = SocketAddr::new(HOST.into(), listener.local_addr().port());
    let mut client = KcpStream::connect(server).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut received = [0; 5];
    stream.read_exact(&mut received).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    client.read_exact(&mut received).await.unwrap();
    let seen = recorder.take();
    for direction in [Direction::Sent, Direction::Received] {
        let of: Vec<_> = seen.iter().filter(|seen| seen.direction == direction).collect();
        assert!(!of.is_empty());
        for seen in of {
            assert_eq!((seen.local, seen.peer), (server, client.local_addr()), "{direction:?}");
        }
    }
}

#[tokio::test]
async fn a_tap_of_udp_sees_each_datagram_in_both_directions() {
    let recorder = Recorder::new();
    let options = Options { udp: UdpOptions::new().tap(recorder.clone()), ..Options::new() };
    let listener: AnyListener = Transports::new(options).bind("udp://127.0.0.1:0").await.unwrap();
    let server = listener.local().socket_addr().unwrap();
    let mut client = AnyStream::connect(format!("udp://{server}")).await.unwrap();
    client.send(b"one").await.unwrap();
    client.send(b"").await.unwrap();
    let (mut stream, peer) = listener.accept().await.unwrap();
    for expected in [&b"one"[..], b""] {
        assert_eq!(stream.recv().await.unwrap().unwrap(), expected);
    }
    stream.send(b"three").await.unwrap();
    let seen = recorder.take();
    let told: Vec<_> = seen.iter().map(|seen| (seen.direction, &seen.payload[..], seen.local)).collect();
    let expected = [
        (Direction::Received, &b"one"[..], server),
        (Direction::Received, b"", server),
        (Direction::Sent, b"three", server),
    ];
    assert_eq!(told, expected);
    assert!(seen.iter().all(|seen| Some(seen.peer) == peer.socket_addr()));
}
