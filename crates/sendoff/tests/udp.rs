//! `udp://`: flows of datagrams, seen by a plain socket at the other end.

mod common;

use common::{advance, failed, ms, payload, settle, until, watched};
use sendoff::{
    AnyListener, AnyStream, Cause, Options, Party, Silence, TransportStats, UdpOptions, UdpStats,
    UdpTransport,
};
use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

async fn bind(address: &str) -> (AnyListener, SocketAddr) {
    let listener = AnyListener::bind(address).await.unwrap();
    let addr = listener.local().socket_addr().unwrap();
    (listener, addr)
}

async fn plain() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

/// A flow that the plain socket has opened with one byte, which is read.
async fn accepted(listener: &AnyListener, addr: SocketAddr) -> (AnyStream, UdpSocket) {
    let peer = plain().await;
    peer.connect(addr).await.unwrap();
    peer.send(b"!").await.unwrap();
    let (mut stream, from) = listener.accept().await.unwrap();
    assert_eq!(from.socket_addr(), Some(peer.local_addr().unwrap()));
    assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"!");
    (stream, peer)
}

fn stats(stream: &AnyStream) -> UdpStats {
    match stream.stats().transport {
        TransportStats::Udp(stats) => stats,
        other => panic!("{other:?}"),
    }
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    let n = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(n);
    buffer
}

#[tokio::test]
async fn an_empty_datagram_is_one_and_no_end() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        for datagram in [b"".as_slice(), b"one", b"", b"", b"two", b""] {
            peer.send(datagram).await.unwrap();
        }
        assert!(stream.recv().await.unwrap().unwrap().is_empty());
        let mut buffer = [0; 10];
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(stream.read(&mut buffer).await.unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
        assert!(stream.recv().await.unwrap().unwrap().is_empty());
        assert_eq!(stats(&stream).empty_passed_over, 2);
        stream.send("").await.unwrap();
        assert_eq!(stream.write(b"").await.unwrap(), 0);
        assert_eq!((heard(&peer).await, heard(&peer).await), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn each_peer_has_a_flow_of_its_own() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut one, peer_one) = accepted(&listener, addr).await;
        let (mut two, peer_two) = accepted(&listener, addr).await;
        peer_two.send(b"from two").await.unwrap();
        peer_one.send(b"from one").await.unwrap();
        assert_eq!(&one.recv().await.unwrap().unwrap()[..], b"from one");
        assert_eq!(&two.recv().await.unwrap().unwrap()[..], b"from two");
        one.send("to one").await.unwrap();
        assert_eq!(heard(&peer_one).await, b"to one");
        assert_eq!(stats(&two).flows, 2);
    })
    .await;
}

#[tokio::test]
async fn the_largest_datagram_passes_and_a_larger_one_is_refused() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        let largest = payload(65_507, 1);
        stream.write_all(&largest).await.unwrap();
        assert!(heard(&peer).await == largest);
        peer.send(&largest).await.unwrap();
        assert!(stream.recv().await.unwrap().unwrap() == largest);
        let error = stream.write(&payload(65_508, 1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "a datagram of 65508 bytes is too large: at most 65507");
        assert_eq!(stats(&stream).too_large, 1);
    })
    .await;
}

#[tokio::test]
async fn a_silence_is_the_end_of_a_flow_and_both_directions_break_it() {
    watched(async {
        let _frozen = common::Frozen::new();
        let (listener, addr) = bind("udp://127.0.0.1:0?idle=10s").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        advance(ms(9_000)).await;
        stream.send("out").await.unwrap();
        advance(ms(9_000)).await;
        peer.send(b"in").await.unwrap();
        until(|| stats(&stream).datagrams_received == 2).await;
        advance(ms(9_990)).await;
        assert!(stream.ending().is_none());
        // The runtime's timers count in milliseconds.
        advance(ms(20)).await;
        let ending = stream.ending().unwrap();
        assert_eq!((ending.by, ending.cause), (Party::Network, Cause::TimedOut(Silence::Idle)));
        assert!((ms(10_000)..=ms(10_011)).contains(&ending.silent_for), "{ending}");
        // What has come is still read; then it is the end, as if the peer had finished.
        assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"in");
        assert_eq!(stream.recv().await.unwrap(), None);
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
        failed(stream.send("too late").await, ErrorKind::TimedOut);
        assert_eq!(stats(&stream).flows, 0);
        // The peer knows nothing of that, and opens another flow.
        peer.send(b"again").await.unwrap();
        let (mut again, _) = listener.accept().await.unwrap();
        assert_eq!(&again.recv().await.unwrap().unwrap()[..], b"again");
    })
    .await;
}

#[tokio::test]
async fn an_idle_time_beyond_all_clocks_is_none() {
    watched(async {
        let options = UdpOptions::new().idle(Duration::MAX);
        let options = Options { udp: options, ..Options::new() };
        let listener = AnyListener::bind_with("udp://127.0.0.1:0", options).await.unwrap();
        let (mut stream, peer) = accepted(&listener, listener.local().socket_addr().unwrap()).await;
        peer.send(b"more").await.unwrap();
        assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"more");
    })
    .await;
}

#[tokio::test]
async fn a_flow_that_was_closed_is_opened_anew_by_the_next_datagram() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        peer.send(b"never read").await.unwrap();
        until(|| stats(&stream).datagrams_received == 2).await;
        stream.close(0, "");
        assert_eq!(stream.recv().await.unwrap(), None);
        peer.send(b"next").await.unwrap();
        let (mut next, from) = listener.accept().await.unwrap();
        assert_eq!(from.socket_addr(), Some(peer.local_addr().unwrap()));
        assert_eq!(&next.recv().await.unwrap().unwrap()[..], b"next");
        // The old handle doesn't take the new flow with it.
        drop(stream);
        assert_eq!(stats(&next).flows, 1);
    })
    .await;
}

#[tokio::test]
async fn a_closed_port_ends_the_flow_of_who_reads() {
    watched(async {
        let addr = plain().await.local_addr().unwrap();
        let mut stream = AnyStream::connect(format!("udp://{addr}")).await.unwrap();
        stream.send("anybody?").await.unwrap();
        let ending = failed(stream.recv().await, ErrorKind::ConnectionRefused);
        assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Refused));
        failed(stream.send("anybody?").await, ErrorKind::ConnectionRefused);
        assert_eq!(stream.closed().await, ending);
    })
    .await;
}

#[tokio::test]
async fn a_closed_port_ends_the_flow_of_who_writes() {
    watched(async {
        let addr = plain().await.local_addr().unwrap();
        let mut stream = AnyStream::connect(format!("udp://{addr}")).await.unwrap();
        let error = loop {
            match stream.send("anybody?").await {
                Ok(()) => tokio::task::yield_now().await,
                error => break error,
            }
        };
        assert_eq!(failed(error, ErrorKind::ConnectionRefused).cause, Cause::Refused);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_has_gone_resets_its_flow_alone() {
    if cfg!(not(target_os = "linux")) {
        return; // elsewhere a socket that isn't connected is told nothing
    }
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        let (mut other, other_peer) = accepted(&listener, addr).await;
        drop(peer);
        stream.send("still there?").await.unwrap();
        let ending = failed(stream.recv().await, ErrorKind::ConnectionReset);
        assert_eq!((ending.by, ending.cause), (Party::Network, Cause::Reset));
        other.send("and you?").await.unwrap();
        assert_eq!(heard(&other_peer).await, b"and you?");
        assert!(other.ending().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_slow_reader_loses_datagrams_and_keeps_nobody_waiting() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut slow, flood) = accepted(&listener, addr).await;
        let (mut other, peer) = accepted(&listener, addr).await;
        for sent in 0..1_030u32 {
            flood.send(&sent.to_le_bytes()).await.unwrap();
            until(|| {
                let stats = stats(&slow);
                stats.datagrams_received + stats.dropped_queue_full == u64::from(sent) + 2
            })
            .await;
        }
        assert_eq!(stats(&slow).dropped_queue_full, 6);
        peer.send(b"me too").await.unwrap();
        assert_eq!(&other.recv().await.unwrap().unwrap()[..], b"me too");
        for sent in 0..1_024u32 {
            assert_eq!(&slow.recv().await.unwrap().unwrap()[..], sent.to_le_bytes());
        }
        flood.send(b"again").await.unwrap();
        assert_eq!(&slow.recv().await.unwrap().unwrap()[..], b"again");
    })
    .await;
}

#[tokio::test]
async fn large_datagrams_are_bounded_by_their_bytes() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (slow, flood) = accepted(&listener, addr).await;
        for sent in 0..20 {
            flood.send(&[0; 60_000]).await.unwrap();
            until(|| {
                let stats = stats(&slow);
                stats.datagrams_received + stats.dropped_queue_full == sent + 2
            })
            .await;
        }
        // 17 times 60,064 bytes are in 1 MiB.
        assert_eq!((stats(&slow).datagrams_received, stats(&slow).dropped_queue_full), (18, 3));
    })
    .await;
}

#[tokio::test]
async fn more_peers_than_flows_are_dropped_and_counted() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0?max-flows=2").await;
        let (one, _peer_one) = accepted(&listener, addr).await;
        let (two, _peer_two) = accepted(&listener, addr).await;
        let third = plain().await;
        third.send_to(b"too many", addr).await.unwrap();
        until(|| stats(&one).dropped_too_many_flows == 1).await;
        drop(two);
        third.send_to(b"now", addr).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"now");
    })
    .await;
}

#[tokio::test]
async fn a_closed_listener_drops_who_is_unknown_and_who_was_not_accepted() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (mut stream, peer) = accepted(&listener, addr).await;
        let late = plain().await;
        late.send_to(b"not accepted", addr).await.unwrap();
        until(|| stats(&stream).flows == 2).await;
        listener.stop_accepting();
        assert_eq!(stats(&stream).flows, 1);
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::NotConnected);
        late.send_to(b"unknown", addr).await.unwrap();
        until(|| stats(&stream).dropped_unknown == 1).await;
        peer.send(b"known").await.unwrap();
        assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"known");
    })
    .await;
}

#[tokio::test]
async fn answers_leave_from_the_address_that_was_spoken_to() {
    if cfg!(not(target_os = "linux")) {
        return; // 127.0.0.2 isn't ours elsewhere
    }
    watched(async {
        for address in ["udp://:0", "udp://0.0.0.0:0"] {
            let (listener, addr) = bind(address).await;
            let spoken_to = SocketAddr::from(([127, 0, 0, 2], addr.port()));
            let peer = plain().await;
            // It hears that address alone.
            peer.connect(spoken_to).await.unwrap();
            peer.send(b"hello").await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.local().socket_addr(), Some(spoken_to));
            stream.send("hello to you").await.unwrap();
            assert_eq!(heard(&peer).await, b"hello to you");
        }
    })
    .await;
}

#[tokio::test]
async fn ipv6_and_ipv4_peers_meet_at_one_listener_unless_it_is_for_ipv6_alone() {
    watched(async {
        let Ok(v6) = UdpSocket::bind("[::1]:0").await else {
            eprintln!("skipped: no IPv6 here");
            assert!(std::env::var_os("CI").is_none());
            return;
        };
        let (listener, addr) = bind("udp://[::]:0").await;
        v6.connect(("::1", addr.port())).await.unwrap();
        v6.send(b"six").await.unwrap();
        let (mut six, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.socket_addr(), Some(v6.local_addr().unwrap()));
        six.send("to six").await.unwrap();
        assert_eq!(heard(&v6).await, b"to six");
        let (_four, _peer) = accepted(&listener, ([127, 0, 0, 1], addr.port()).into()).await;

        let (_listener, addr) = bind("udp://[::]:0?only-v6").await;
        let mut four = AnyStream::connect(format!("udp://127.0.0.1:{}", addr.port())).await.unwrap();
        four.send("nobody here").await.unwrap();
        failed(four.recv().await, ErrorKind::ConnectionRefused);
    })
    .await;
}

#[tokio::test]
async fn a_connected_flow_hears_its_peer_alone() {
    watched(async {
        let (peer, stranger) = (plain().await, plain().await);
        let address = format!("udp://{}?bind=127.0.0.1", peer.local_addr().unwrap());
        let mut stream = AnyStream::connect(address).await.unwrap();
        let local = stream.local().socket_addr().unwrap();
        stranger.send_to(b"psst", local).await.unwrap();
        peer.send_to(b"hello", local).await.unwrap();
        assert_eq!(&stream.recv().await.unwrap().unwrap()[..], b"hello");
    })
    .await;
}

#[tokio::test]
async fn a_silent_server_ends_a_connected_flow_too() {
    watched(async {
        let _frozen = common::Frozen::new();
        let peer = plain().await;
        let address = format!("udp://{}?idle=1s", peer.local_addr().unwrap());
        let mut stream = AnyStream::connect(address).await.unwrap();
        stream.send("hello?").await.unwrap();
        let ended = stream.closed();
        advance(ms(1_010)).await;
        assert_eq!(ended.await.to_string(), "timed out after 1.01 s: idle for 1.01 s");
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn nobody_who_reads_no_more_holds_memory() {
    watched(async {
        let (listener, addr) = bind("udp://127.0.0.1:0").await;
        let (stream, peer) = accepted(&listener, addr).await;
        let (reader, mut writer) = stream.into_split();
        drop(reader);
        peer.send(b"unheard").await.unwrap();
        until(|| match writer.stats().transport {
            TransportStats::Udp(stats) => stats.dropped_queue_full == 1,
            _ => false,
        })
        .await;
        writer.send("still speaking").await.unwrap();
        assert_eq!(heard(&peer).await, b"still speaking");
        let ended = writer.closed();
        drop(writer);
        assert!(ended.await.is_clean());
    })
    .await;
}

#[tokio::test]
async fn a_runtime_that_ends_leaves_no_reader_waiting() {
    let (ended, stream) = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let peer = plain().await;
            let stream = AnyStream::connect(format!("udp://{}", peer.local_addr().unwrap())).await.unwrap();
            settle().await;
            (stream.closed(), stream)
        })
    })
    .join()
    .unwrap();
    watched(async {
        assert_eq!(ended.await.cause, Cause::EndpointLost);
    })
    .await;
    drop(stream);
}

#[tokio::test]
async fn a_plain_socket_is_at_hand_for_send_to_and_recv_from() {
    watched(async {
        let transport = UdpTransport::new(UdpOptions::new());
        let socket = transport.socket("udp://127.0.0.1:0?rcv-buf=100000").await.unwrap();
        let peer = plain().await;
        peer.send_to(b"hello", socket.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 10];
        let (n, from) = socket.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..n], from), (b"hello".as_slice(), peer.local_addr().unwrap()));
        socket.send_to(b"hello to you", from).await.unwrap();
        assert_eq!(heard(&peer).await, b"hello to you");
        let error = transport.socket("udp://127.0.0.1:0?nodelay=1").await.unwrap_err();
        let text = "udp://127.0.0.1:0: nodelay=1 in the address: not a setting of udp://";
        assert_eq!(error.to_string(), text);
    })
    .await;
}
