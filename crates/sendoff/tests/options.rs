//! Options of sockets, as they show on the wire and in what the system allows.

mod common;

use common::watched;
use sendoff::{AnyListener, AnyStream, Config, KcpListener, KcpStream, SocketOptions, Wire};
use std::{io::ErrorKind, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

const SCHEMES: [&str; 3] = ["tcp", "udp", "kcp"];

/// A connection of a byte, and who opened it as the listener sees it.
async fn greeted(listener: &AnyListener, address: String) -> (AnyStream, AnyStream, SocketAddr) {
    let mut client = AnyStream::connect(address).await.unwrap();
    client.write_all(b"!").await.unwrap();
    let (mut server, peer) = listener.accept().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'!');
    (client, server, peer.socket_addr().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_are_opened_from_the_address_that_was_asked_for() {
    watched(async {
        for scheme in SCHEMES {
            let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0")).await.unwrap();
            let address = format!("{scheme}://{}?bind=127.0.0.3", listener.local());
            let (client, _server, peer) = greeted(&listener, address).await;
            assert_eq!(peer.ip().to_string(), "127.0.0.3", "{scheme}");
            assert_eq!(client.local().socket_addr(), Some(peer), "{scheme}");
            let address = format!("{scheme}://{}?bind=::1", listener.local());
            let error = AnyStream::connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("can't be reached from ::1: another address family"),
                "{error}"
            );
        }
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn listeners_share_a_port_if_all_of_them_ask_for_it() {
    watched(async {
        for scheme in SCHEMES {
            let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0?reuse-port")).await.unwrap();
            let second =
                AnyListener::bind(format!("{scheme}://{}?reuse-port", listener.local())).await.unwrap();
            assert_eq!(listener.local(), second.local());
            let error = AnyListener::bind(format!("{scheme}://{}", listener.local())).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{scheme}: {error}");
            let text = format!("cannot listen on {}: ", listener.local());
            assert!(error.to_string().starts_with(&text), "{error}");
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interface_is_bound_by_its_name() {
    watched(async {
        for scheme in SCHEMES {
            let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0?interface=lo")).await.unwrap();
            let address = format!("{scheme}://{}?interface=lo", listener.local());
            let (_client, _server, _) = greeted(&listener, address).await;
            let error =
                AnyListener::bind(format!("{scheme}://127.0.0.1:0?interface=nosuch0")).await.unwrap_err();
            assert!(error.to_string().contains("interface nosuch0: "), "{scheme}: {error}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_ipv6_listener_serves_ipv4_unless_it_is_for_ipv6_alone() {
    watched(async {
        if UdpSocket::bind("[::1]:0").await.is_err() {
            eprintln!("skipped: no IPv6 here");
            assert!(std::env::var_os("CI").is_none());
            return;
        }
        for scheme in SCHEMES {
            let listener = AnyListener::bind(format!("{scheme}://[::]:0")).await.unwrap();
            let port = listener.local().socket_addr().unwrap().port();
            let (_client, _server, peer) = greeted(&listener, format!("{scheme}://127.0.0.1:{port}")).await;
            assert!(peer.is_ipv4(), "{scheme}: {peer}");

            let listener = AnyListener::bind(format!("{scheme}://[::]:0?only-v6")).await.unwrap();
            let port = listener.local().socket_addr().unwrap().port();
            let (_client, _server, _) = greeted(&listener, format!("{scheme}://[::1]:{port}")).await;
            // The port is free for IPv4.
            AnyListener::bind(format!("{scheme}://0.0.0.0:{port}")).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn buffers_of_the_socket_options_count_instead_of_the_socket_buffer() {
    watched(async {
        let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
        let options = SocketOptions::new().send_buffer(30_000).recv_buffer(40_000);
        let listener = KcpListener::bind_with("127.0.0.1:0", Config::new().socket_options(options.clone()));
        let stats = listener.await.unwrap().endpoint().stats();
        assert_eq!((stats.send_buffer, stats.recv_buffer), (30_000 * factor, 40_000 * factor));
        let config = Config::new().wire(Wire::Classic).socket_options(options);
        let client = KcpStream::connect_with("127.0.0.1:1", config).await.unwrap();
        assert_eq!(client.endpoint().stats().recv_buffer, 40_000 * factor);
    })
    .await;
}

/// A receiver that tells the traffic class of what it gets.
#[cfg(target_os = "linux")]
mod marked {
    use super::*;
    use socket2::{MaybeUninitSlice, MsgHdrMut, SockRef};
    use std::mem::MaybeUninit;
    use tokio::io::Interest;

    /// DSCP 46, expedited forwarding, in its place in the traffic class.
    const EXPEDITED: u8 = 46 << 2;

    async fn bind(addr: &str) -> UdpSocket {
        let socket = UdpSocket::bind(addr).await.unwrap();
        match socket.local_addr().unwrap() {
            SocketAddr::V4(_) => SockRef::from(&socket).set_recv_tos_v4(true).unwrap(),
            SocketAddr::V6(_) => SockRef::from(&socket).set_recv_tclass_v6(true).unwrap(),
        }
        socket
    }

    /// The traffic class of the next datagram, and its length.
    #[allow(unsafe_code, reason = "socket2 gives the control messages as it got them")]
    async fn class_of_next(socket: &UdpSocket) -> (u8, usize) {
        socket
            .async_io(Interest::READABLE, || {
                let (mut bytes, mut control) = ([MaybeUninit::uninit(); 70_000], [MaybeUninit::new(0); 64]);
                let mut slices = [MaybeUninitSlice::new(&mut bytes)];
                let mut message = MsgHdrMut::new().with_buffers(&mut slices).with_control(&mut control);
                let len = SockRef::from(socket).recvmsg(&mut message, 0)?;
                // SAFETY: all of it was initialised above.
                let control = control.map(|byte| unsafe { byte.assume_init() });
                // Behind the header of the first message; an int of 4 bytes for IPv6, a byte for IPv4.
                Ok((control[size_of::<libc::cmsghdr>()], len))
            })
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn every_datagram_of_udp_and_kcp_carries_the_dscp() {
        watched(async {
            for (scheme, host) in
                [("udp", "127.0.0.1:0"), ("udp", "[::1]:0"), ("kcp", "127.0.0.1:0"), ("kcp", "[::1]:0")]
            {
                let receiver = bind(host).await;
                let address = format!("{scheme}://{}?dscp=46", receiver.local_addr().unwrap());
                let settings = if scheme == "kcp" { ",wire=classic" } else { "" };
                let mut stream = AnyStream::connect(format!("{address}{settings}")).await.unwrap();
                stream.write_all(b"urgent").await.unwrap();
                assert_eq!(class_of_next(&receiver).await.0, EXPEDITED, "{scheme} {host}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn answers_from_an_address_and_batches_carry_the_dscp_too() {
        watched(async {
            for listen in ["0.0.0.0", "[::]"] {
                let listener = AnyListener::bind(format!("udp://{listen}:0?dscp=46")).await.unwrap();
                let port = listener.local().socket_addr().unwrap().port();
                let receiver = bind("127.0.0.1:0").await;
                // It hears that address alone.
                receiver.connect(("127.0.0.2", port)).await.unwrap();
                receiver.send(b"hello").await.unwrap();
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.send("urgent").await.unwrap();
                assert_eq!(class_of_next(&receiver).await, (EXPEDITED, 6), "{listen}");
            }
            let receiver = bind("127.0.0.1:0").await;
            let options = SocketOptions::new().dscp(46).unwrap();
            let config = Config::new().wire(Wire::Classic).socket_options(options);
            let mut stream = KcpStream::connect_with(receiver.local_addr().unwrap(), config).await.unwrap();
            stream.write_all(&[7; 20_000]).await.unwrap();
            for _ in 0..10 {
                assert_eq!(class_of_next(&receiver).await, (EXPEDITED, 1_400));
            }
            let stats = stream.endpoint().stats();
            assert!(stats.send_calls < stats.datagrams_sent, "{stats:?}");
            assert_eq!(stats.gso_fallbacks, 0);
        })
        .await;
    }

    #[tokio::test]
    async fn without_a_dscp_the_traffic_class_is_zero() {
        watched(async {
            let receiver = bind("127.0.0.1:0").await;
            let address = format!("udp://{}", receiver.local_addr().unwrap());
            let mut stream = AnyStream::connect(address).await.unwrap();
            stream.write_all(b"whenever").await.unwrap();
            assert_eq!(class_of_next(&receiver).await, (0, 8));
        })
        .await;
    }
}
