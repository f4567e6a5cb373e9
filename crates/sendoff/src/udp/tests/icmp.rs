//! ICMP errors name their peer, and harm nobody else.

use super::*;

const SIZE: usize = 1_400;

/// A port that nobody listens on.
fn dead_port(host: &str) -> SocketAddr {
    let socket = UdpSocket::bind((host, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

/// One socket that speaks to a dead peer and a living one, in each family.
const FAMILIES: [(&str, &str); 4] = [V4, V6, DUAL, ("[::]:0", "::1")];

fn assert_port_unreachable(icmp: &[IcmpError], peer: SocketAddr, quoted: &[u8]) {
    let found: Vec<_> = icmp.iter().map(|error| (error.peer, error.kind, error.quoted())).collect();
    assert_eq!(found, [(peer, IcmpKind::PortUnreachable, quoted)]);
}

#[tokio::test]
async fn a_refusal_by_one_peer_costs_another_no_batch_and_names_the_one() {
    for (wildcard, host) in FAMILIES {
        let (io, living, dead) = (bind(wildcard), bind(wildcard), dead_port(host));
        let mut icmp = Vec::new();
        send_once(&io, to(dead, b"anybody?", 100), &mut icmp).await.expect("a datagram that leaves");
        assert_eq!(icmp, []);

        let contents = payload(44 * SIZE);
        let batch = to(reach(&living, host), &contents, SIZE);
        let sent = send_once(&io, batch, &mut icmp).await.expect("a batch that leaves");
        assert_eq!(sent, Sent { bytes: contents.len(), datagrams: 44 });
        assert_port_unreachable(&icmp, dead, b"anybody?");
        let inbox = Inbox::receive(&living, 44).await;
        assert_eq!(inbox.payloads(), contents.chunks(SIZE).collect::<Vec<_>>());
        // One for the dead peer, one that failed in its place, one that went.
        let counters = io.counters();
        assert_eq!((counters.send_calls, counters.gso_fallbacks), (3, 0), "{wildcard}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_hide_datagrams_that_wait() {
    for (wildcard, host) in FAMILIES {
        let (io, living, dead) = (bind(wildcard), bind(wildcard), dead_port(host));
        send_all(&living, to(reach(&io, host), b"waiting", 100)).await;
        send_all(&io, to(dead, b"anybody?", 100)).await;
        recv_ready(&io).await;
        let mut icmp = Vec::new();
        RecvBuffers::lend(|buffers| {
            assert_eq!(io.try_recv(buffers, &mut icmp).expect("a datagram"), 1);
            let payloads: Vec<_> = buffers.batches().flat_map(Batch::datagrams).collect();
            assert_eq!(payloads, [b"waiting"]);
        });
        assert_port_unreachable(&icmp, dead, b"anybody?");
    }
}

#[tokio::test]
async fn a_refusal_wakes_a_socket_that_only_waits_to_receive() {
    for (wildcard, host) in FAMILIES {
        let (io, dead) = (bind(wildcard), dead_port(host));
        send_all(&io, to(dead, b"conv and more than the quote holds", 100)).await;
        let mut inbox = Inbox::default();
        while inbox.icmp.is_empty() {
            inbox.turn(&io).await;
        }
        assert_port_unreachable(&inbox.icmp, dead, &b"conv and more than the quote holds"[..24]);
        assert_eq!(inbox.datagrams, []);
    }
}

#[tokio::test]
async fn a_connected_socket_learns_of_its_refusal() {
    for (wildcard, host) in FAMILIES {
        let (io, dead) = (bind(wildcard), dead_port(host));
        io.connect(dead).expect("a connected socket");
        send_all(&io, to(dead, b"anybody?", 100)).await;
        let mut inbox = Inbox::default();
        while inbox.icmp.is_empty() {
            inbox.turn(&io).await;
        }
        assert_port_unreachable(&inbox.icmp, dead, b"anybody?");
    }
}

#[tokio::test]
async fn many_refusals_are_all_named_and_the_next_batch_still_leaves() {
    let (io, living) = (bind(V4.0), bind(V4.0));
    let dead: Vec<_> = (0..100).map(|_| dead_port(V4.1)).collect();
    let mut icmp = Vec::new();
    for &peer in &dead {
        send_once(&io, to(peer, b"anybody?", 100), &mut icmp).await.expect("a datagram that leaves");
    }
    let contents = payload(2 * SIZE);
    let batch = to(reach(&living, V4.1), &contents, SIZE);
    let sent = send_once(&io, batch, &mut icmp).await.expect("a batch that leaves");
    assert_eq!(sent.datagrams, 2);
    let named: Vec<_> = icmp.iter().map(|error| error.peer).collect();
    assert_eq!(named, dead);
}

/// A socket whose receive buffer is full, which errors are charged to as well.
async fn full_socket(living: &UdpIo) -> UdpIo {
    let small = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    SockRef::from(&small).set_recv_buffer_size(1).expect("a small buffer");
    let options = Options { buffer: 1, ..Options::default() };
    let io = UdpIo::from_std(small, &options).expect("a socket");
    let filler = payload(1_400);
    while io.socket_drops() == Some(0) {
        send_all(living, to(reach(&io, V4.1), &filler, 1_400)).await;
    }
    io
}

#[tokio::test]
async fn a_refusal_that_the_full_queue_could_not_hold_still_costs_nobody_a_batch() {
    let (living, dead) = (bind(V4.0), dead_port(V4.1));
    let io = full_socket(&living).await;
    let mut icmp = Vec::new();
    send_once(&io, to(dead, b"anybody?", 100), &mut icmp).await.expect("a datagram that leaves");
    let contents = payload(3_000);
    let sent = send_once(&io, to(reach(&living, V4.1), &contents, 1_000), &mut icmp).await;
    assert_eq!(sent.expect("a batch that leaves").datagrams, 3);
    assert_eq!(io.counters().send_calls, 3, "the error must have been met");
    assert_eq!(icmp, []);
}

#[tokio::test]
async fn a_refusal_that_the_full_queue_could_not_hold_is_about_the_only_peer() {
    let (living, dead) = (bind(V4.0), dead_port(V4.1));
    let io = full_socket(&living).await;
    io.connect(dead).expect("a connected socket");
    send_all(&io, to(dead, b"anybody?", 100)).await;
    let mut inbox = Inbox::default();
    inbox.turn(&io).await;
    assert_port_unreachable(&inbox.icmp, dead, b"");
}

#[tokio::test]
async fn errors_handed_out_by_one_call_are_bounded() {
    let io = bind(V4.0);
    let dead = dead_port(V4.1);
    let mut icmp = vec![IcmpError::new(dead, IcmpKind::Other, &[]); errors::MAX_ICMP_ERRORS];
    send_all(&io, to(dead, b"anybody?", 100)).await;
    let living = bind(V4.0);
    send_once(&io, to(reach(&living, V4.1), b"hello", 100), &mut icmp).await.expect("a datagram that leaves");
    assert_eq!(icmp.len(), errors::MAX_ICMP_ERRORS);
    assert!(icmp.iter().all(|error| error.kind == IcmpKind::Other));
}
