//! Sizes, buffers, and what can't be sent.

use super::*;
use socket2::{Domain, Protocol, Socket, Type};

#[tokio::test]
async fn the_largest_datagram_arrives_whole() {
    for socket in [V4, V6, DUAL] {
        let (sender, receiver) = (bind(socket.0), bind(socket.0));
        let contents = payload(MAX_DATAGRAM_BYTES);
        send_all(&sender, to(reach(&receiver, socket.1), &contents, contents.len())).await;
        let inbox = Inbox::receive(&receiver, 1).await;
        assert_eq!(inbox.payloads(), [&contents[..]]);
    }
}

#[tokio::test]
async fn a_datagram_too_large_is_an_error_for_itself_only() {
    let (sender, receiver) = (bind(V4.0), bind(V4.0));
    let there = reach(&receiver, V4.1);
    let contents = payload(MAX_DATAGRAM_BYTES + 5);
    let alone = send_once(&sender, to(there, &contents, contents.len()), &mut Vec::new()).await;
    assert!(matches!(alone, Err(SendError::TooLarge)), "{alone:?}");

    let followed = to(there, &contents, MAX_DATAGRAM_BYTES + 1);
    let followed = send_once(&sender, followed, &mut Vec::new()).await.expect("one that leaves");
    assert_eq!(followed, Sent { bytes: contents.len(), datagrams: 1 });
    let inbox = Inbox::receive(&receiver, 1).await;
    assert_eq!(inbox.payloads(), [&contents[MAX_DATAGRAM_BYTES + 1..]]);
}

#[tokio::test]
async fn an_impossible_destination_is_an_error_for_itself_only() {
    let (sender, receiver) = (bind(V4.0), bind(V4.0));
    for impossible in ["127.0.0.1:0", "[::1]:9"] {
        let impossible = impossible.parse().expect("an address");
        let result = send_once(&sender, to(impossible, b"lost", 10), &mut Vec::new()).await;
        assert!(matches!(result, Err(SendError::Dropped(_))), "{impossible}: {result:?}");
    }
    assert_eq!(sender.counters().send_calls, 0);
    send_all(&sender, to(reach(&receiver, V4.1), b"found", 10)).await;
    assert_eq!(Inbox::receive(&receiver, 1).await.payloads(), [b"found"]);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_source_address_that_is_not_ours_is_unreachable_and_costs_no_gso() {
    for (socket, foreign) in [(V4, "192.0.2.1"), (DUAL, "192.0.2.1"), (V6, "2001:db8::1")] {
        let (sender, receiver) = (bind(socket.0), bind(socket.0));
        let there = reach(&receiver, socket.1);
        let contents = payload(2_000);
        let from_foreign = Transmit { source: foreign.parse().ok(), ..to(there, &contents, 1_000) };
        let result = send_once(&sender, from_foreign, &mut Vec::new()).await;
        assert!(matches!(result, Err(SendError::Unreachable(_))), "{foreign}: {result:?}");
        let before = sender.counters().send_calls;
        send_all(&sender, to(there, &contents, 1_000)).await;
        assert_eq!(sender.counters().send_calls - before, 1, "{foreign}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_drop_counter_moves_when_the_receive_buffer_overflows() {
    let small = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).expect("a socket");
    small.set_recv_buffer_size(8_192).expect("a small buffer");
    small.bind(&"127.0.0.1:0".parse::<SocketAddr>().expect("an address").into()).expect("a port");
    let options = Options { buffer: 8_192, ..Options::default() };
    let receiver = UdpIo::from_std(small.into(), &options).expect("a socket");
    assert_eq!(receiver.socket_drops(), Some(0));

    let sender = bind(V4.0);
    let contents = payload(1_400);
    for _ in 0..100 {
        send_all(&sender, to(reach(&receiver, V4.1), &contents, 1_400)).await;
    }
    let drops = receiver.socket_drops().expect("a count");
    assert!((50..100).contains(&drops), "{drops} dropped of 100");
    let kept = 100 - drops as usize;
    assert_eq!(Inbox::receive(&receiver, kept).await.datagrams.len(), kept);
}

#[tokio::test]
async fn buffers_grow_to_the_wish_and_a_smaller_grant_is_told() {
    let modest = bind_with(V4.0, &Options { buffer: 100_000, ..Options::default() });
    assert!(modest.recv_buffer() >= 100_000 && modest.send_buffer() >= 100_000);
    assert!(!modest.buffers_refused());
    let actual = modest.socket_ref().recv_buffer_size().expect("a size");
    assert_eq!(modest.recv_buffer(), actual);

    let greedy = bind_with(V4.0, &Options { buffer: 1 << 30, ..Options::default() });
    assert!(greedy.buffers_refused());
    assert!(greedy.recv_buffer() >= modest.recv_buffer() && greedy.recv_buffer() < 1 << 30);
}

#[tokio::test]
async fn a_buffer_that_is_large_already_is_not_made_smaller() {
    let large = UdpSocket::bind(V4.0).expect("a socket");
    SockRef::from(&large).set_recv_buffer_size(200_000).expect("a buffer");
    let before = SockRef::from(&large).recv_buffer_size().expect("a size");
    let io = UdpIo::from_std(large, &Options { buffer: 10_000, ..Options::default() }).expect("a socket");
    assert_eq!(io.recv_buffer(), before);
}

#[tokio::test]
async fn a_blocked_socket_says_so_and_takes_the_rest_later() {
    let small = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let sender = UdpIo::from_std(small, &Options { gso: false, ..Options::default() }).expect("a socket");
    // No event has come yet: to tokio the fresh socket is not writable.
    let there = reach(&sender, V4.1);
    let early = sender.try_send(&to(there, b"early", 10), &mut Vec::new());
    assert!(matches!(early, Err(SendError::Blocked)), "{early:?}");
    assert_eq!(sender.counters().send_calls, 0);
    send_all(&sender, to(there, b"late", 10)).await;
    assert_eq!(Inbox::receive(&sender, 1).await.payloads(), [b"late"]);
}

#[tokio::test]
async fn a_socket_of_others_is_taken_over_with_its_connection() {
    let peer = bind("127.0.0.1:0");
    let there = peer.local_addr().expect("an address");
    let connected = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    connected.connect(there).expect("a connected socket");
    let io = UdpIo::from_std(connected, &Options::default()).expect("a socket");
    assert_eq!(io.peer(), Some(there));
    send_all(&io, to(there, b"hello", 10)).await;
    assert_eq!(Inbox::receive(&peer, 1).await.payloads(), [b"hello"]);
    assert!(io.connect(there).is_err());
}

#[tokio::test]
async fn a_socket_connected_again_keeps_its_port_and_works() {
    for socket in [V4, V6, DUAL] {
        let (server, client) = (bind(socket.0), bind(socket.0));
        let there = reach(&server, socket.1);
        client.connect(there).expect("a connected socket");
        let port = client.local_addr().expect("an address").port();
        for _ in 0..2 {
            client.reconnect().expect("a connected socket");
            let local = client.local_addr().expect("an address");
            assert_eq!((local.port(), local.ip()), (port, there.ip()));
            send_all(&client, to(there, b"question", 100)).await;
            let question = Inbox::receive(&server, 1).await.datagrams.remove(0);
            send_all(&server, to(question.source, b"answer", 100)).await;
            assert_eq!(Inbox::receive(&client, 1).await.payloads(), [b"answer"]);
        }
    }
}
