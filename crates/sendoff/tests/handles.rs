//! The handles: halves, addresses, conversation ids, and what the compiler must know of them.

mod common;

use common::*;
use sendoff::{Config, Conv, KcpEndpoint, KcpListener, KcpStream, ReadHalf, ReuniteError, WriteHalf};
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

#[test]
fn handles_are_send_sync_unpin_and_static_and_futures_are_send() {
    fn handle<T: Send + Sync + Unpin + std::fmt::Debug + 'static>() {}
    fn stream<T: AsyncRead + AsyncWrite>() {}
    fn send<T: Send>(_: T) {}
    fn send_and_static<T: Send + 'static>(_: T) {}
    handle::<KcpEndpoint>();
    handle::<KcpListener>();
    handle::<KcpStream>();
    handle::<ReadHalf>();
    handle::<WriteHalf>();
    handle::<ReuniteError>();
    stream::<KcpStream>();

    #[allow(unused, reason = "compiled, never run")]
    fn futures(
        endpoint: KcpEndpoint,
        listener: KcpListener,
        mut stream: KcpStream,
        read: ReadHalf,
        write: WriteHalf,
    ) {
        send(KcpEndpoint::bind(""));
        send(KcpListener::bind_with("", Config::new()));
        send(KcpStream::connect("localhost:1"));
        send(endpoint.connect("localhost:1"));
        send(endpoint.connect_with("localhost:1", Config::new()));
        send(endpoint.accept());
        send(endpoint.wait_idle());
        send(listener.accept());
        send(stream.readable());
        send(stream.writable());
        send(stream.read_chunk(1));
        send(stream.send("message"));
        send(stream.recv());
        send(stream.shutdown());
        send(read.recv());
        send(write.send(vec![0]));
        send_and_static(stream.closed());
        send_and_static(read.closed());
        send_and_static(write.closed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn halves_work_in_different_tasks_and_reunite() {
    watched(async {
        let Pair { client, server, .. } = Pair::new().await;
        let (mut reader, mut writer) = client.into_split();
        let (mut server_reader, mut server_writer) = server.into_split();
        let echo = tokio::spawn(async move { tokio::io::copy(&mut server_reader, &mut server_writer).await });
        let sent = payload(1 << 20, 4);
        let writing = tokio::spawn({
            let sent = sent.clone();
            async move {
                writer.write_all(&sent).await.unwrap();
                writer
            }
        });
        let mut received = vec![0; sent.len()];
        reader.read_exact(&mut received).await.unwrap();
        assert!(received == sent);
        let mut client = reader.reunite(writing.await.unwrap()).unwrap();
        exchange(&mut client, b"whole again").await;
        echo.abort();
    })
    .await;
}

#[tokio::test]
async fn halves_of_different_streams_do_not_reunite_and_come_back() {
    watched(async {
        let (one, two) = (Pair::new().await, Pair::new().await);
        let (reader, writer) = one.client.into_split();
        let (other_reader, other_writer) = two.client.into_split();
        let ReuniteError(reader, other_writer) = reader.reunite(other_writer).unwrap_err();
        reader.reunite(writer).unwrap();
        other_reader.reunite(other_writer).unwrap();
    })
    .await;
}

#[tokio::test]
async fn halves_tell_what_the_stream_tells() {
    watched(async {
        let Pair { client, server: _server, .. } = Pair::new().await;
        let (conv, local, peer) = (client.conv(), client.local_addr(), client.peer_addr());
        let (reader, writer) = client.into_split();
        assert_eq!((reader.conv(), reader.local_addr(), reader.peer_addr()), (conv, local, peer));
        assert_eq!((writer.conv(), writer.local_addr(), writer.peer_addr()), (conv, local, peer));
        assert_eq!(reader.stats().bytes_sent, 1);
        assert_eq!(writer.endpoint().local_addr(), local);
    })
    .await;
}

#[tokio::test]
async fn dropping_the_write_half_finishes_and_reading_goes_on() {
    watched(async {
        let Pair { client, mut server, .. } = Pair::new().await;
        let (mut reader, mut writer) = client.into_split();
        writer.write_all(b"last words").await.unwrap();
        drop(writer);
        assert_eq!(read_exactly(&mut server, 10).await, b"last words");
        server.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        assert!(reader.ending().is_none());
        let closed = reader.closed();
        drop((reader, server));
        assert!(closed.await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn writing_goes_on_after_the_read_half_is_dropped() {
    watched(async {
        let Pair { client, mut server, .. } = Pair::new().await;
        let (reader, mut writer) = client.into_split();
        drop(reader);
        writer.write_all(b"still here").await.unwrap();
        assert_eq!(read_exactly(&mut server, 10).await, b"still here");
        writer.shutdown().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn both_sides_agree_on_addresses_and_conversation() {
    watched(async {
        let Pair { client, server, listener } = Pair::new().await;
        assert_eq!(client.conv(), server.conv());
        assert_eq!(client.peer_addr(), listener.local_addr());
        assert_eq!(server.local_addr(), listener.local_addr());
        assert_eq!(server.peer_addr(), client.local_addr());
        assert_eq!(client.endpoint().local_addr(), client.local_addr());
        assert_eq!(server.endpoint().local_addr(), listener.local_addr());
        assert_ne!(client.local_addr().port(), 0);
    })
    .await;
}

#[tokio::test]
async fn the_conversation_id_can_be_set_and_is_random_else() {
    watched(async {
        let conv = Conv::new(0x5b1f_03aa).unwrap();
        let pair = Pair::of(Config::new().conv(conv), Config::new()).await;
        assert_eq!((pair.client.conv(), pair.server.conv()), (conv, conv));
        let convs: std::collections::HashSet<_> = {
            let mut streams = Vec::new();
            for _ in 0..16 {
                streams.push(KcpStream::connect(pair.listener.local_addr()).await.unwrap());
            }
            streams.iter().map(|s| s.conv().value()).collect()
        };
        assert_eq!(convs.len(), 16, "16 random ids of 32 bits");
    })
    .await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = KcpListener::bind(listener.local_addr()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    })
    .await;
}

#[tokio::test]
async fn a_conversation_id_in_use_is_an_error_and_leaves_the_connection_alone() {
    watched(async {
        let addr = echo_server(Config::new()).await;
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new().conv(Conv::new(77).unwrap());
        let mut first = endpoint.connect_with(addr, config.clone()).await.unwrap();
        exchange(&mut first, b"first").await;
        let error = endpoint.connect_with(addr, config.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        exchange(&mut first, b"first again").await;
        // With another peer it is another conversation.
        let elsewhere = echo_server(Config::new()).await;
        exchange(&mut endpoint.connect_with(elsewhere, config).await.unwrap(), b"second").await;
    })
    .await;
}

#[tokio::test]
async fn port_0_and_names_without_an_address_cannot_be_connected_to() {
    watched(async {
        let kind = |r: std::io::Result<KcpStream>| r.map(|_| ()).unwrap_err().kind();
        assert_eq!(kind(KcpStream::connect("127.0.0.1:0").await), ErrorKind::InvalidInput);
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(kind(endpoint.connect("127.0.0.1:0").await), ErrorKind::InvalidInput);
        assert_eq!(kind(endpoint.connect("[::1]:9").await), ErrorKind::InvalidInput);
        assert_eq!(kind(KcpStream::connect(&[][..] as &[SocketAddr]).await), ErrorKind::InvalidInput);
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_is_already_bound_can_be_listened_on_and_connected_from() {
    watched(async {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bound = socket.local_addr().unwrap();
        let listener = KcpListener::from_socket(socket, Config::new()).unwrap();
        assert_eq!(listener.local_addr(), bound);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = socket.local_addr().unwrap();
        let endpoint = KcpEndpoint::from_socket(socket, Config::new()).unwrap();
        let stream = endpoint.connect(listener.local_addr()).await.unwrap();
        assert_eq!(stream.local_addr(), from);
        let (_client, server) = greeted(stream, &listener).await;
        assert_eq!(server.peer_addr(), from);
    })
    .await;
}

#[tokio::test]
async fn two_endpoints_connect_to_each_other_from_one_socket_each() {
    watched(async {
        let one = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let two = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut there = one.connect(two.local_addr()).await.unwrap();
        let mut back = two.connect(one.local_addr()).await.unwrap();
        there.write_all(b"there").await.unwrap();
        back.write_all(b"back!").await.unwrap();
        let (mut from_one, peer) = two.accept().await.unwrap();
        assert_eq!(peer, one.local_addr());
        let (mut from_two, peer) = one.accept().await.unwrap();
        assert_eq!(peer, two.local_addr());
        assert_eq!(read_exactly(&mut from_one, 5).await, b"there");
        assert_eq!(read_exactly(&mut from_two, 5).await, b"back!");
        from_one.write_all(b"1").await.unwrap();
        from_two.write_all(b"2").await.unwrap();
        assert_eq!(there.read_u8().await.unwrap(), b'1');
        assert_eq!(back.read_u8().await.unwrap(), b'2');
    })
    .await;
}

#[tokio::test]
async fn connections_of_one_endpoint_to_one_peer_do_not_disturb_each_other() {
    watched(async {
        let addr = echo_server(Config::new()).await;
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut streams = Vec::new();
        for n in 0..10_u8 {
            let mut stream = endpoint.connect(addr).await.unwrap();
            exchange(&mut stream, &[n]).await;
            streams.push(stream);
        }
        for (n, stream) in streams.iter_mut().enumerate() {
            exchange(stream, &payload(5_000, n as u64)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn ipv6_and_dual_stack_sockets_show_canonical_addresses() {
    watched(async {
        let listener = KcpListener::bind("[::]:0").await.unwrap();
        let port = listener.local_addr().port();
        for host in ["127.0.0.1", "[::1]"] {
            let addr: SocketAddr = format!("{host}:{port}").parse().unwrap();
            let client = KcpStream::connect(addr).await.unwrap();
            let (mut client, mut server) = greeted(client, &listener).await;
            assert_eq!(server.peer_addr(), client.local_addr());
            assert_eq!(server.local_addr(), addr, "the address that the client has sent to");
            server.write_all(b"hello").await.unwrap();
            assert_eq!(read_exactly(&mut client, 5).await, b"hello");
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_is_resolved() {
    watched(async {
        let listener = KcpListener::bind("localhost:0").await.unwrap();
        assert!(listener.local_addr().ip().is_loopback());
        let client = KcpStream::connect(("localhost", listener.local_addr().port())).await.unwrap();
        assert!(client.peer_addr().ip().is_loopback());
        assert_eq!(client.peer_addr().port(), listener.local_addr().port());
        let error = KcpStream::connect("no port").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_outlives_its_driver_gives_its_socket_back_when_it_is_dropped() {
    watched(async {
        let Pair { mut client, mut server, listener } = Pair::new().await;
        let local = client.local_addr();
        client.shutdown().await.unwrap();
        server.shutdown().await.unwrap();
        client.closed().await;
        drop((server, listener));
        until(|| tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0).await;
        assert!(UdpSocket::bind(local).is_err(), "the stream still has it");
        drop(client);
        assert!(UdpSocket::bind(local).is_ok());
    })
    .await;
}
