//! Tests that need a network of their own: a small link, an address that goes away.

use super::lab::{in_lab, in_lab_with, run};
use super::*;

/// Datagrams of 1,400 bytes are fragmented, and their batches refused.
const SMALL_LINK: &str = "ip link set lo mtu 1420";

#[tokio::test]
async fn a_batch_that_the_link_refuses_leaves_one_by_one_and_arrives_whole() {
    let test = "udp::tests::namespace::a_batch_that_the_link_refuses_leaves_one_by_one_and_arrives_whole";
    if !in_lab_with(test, &[], SMALL_LINK) {
        return;
    }
    const SIZE: usize = 1_400;
    for (wildcard, host) in [V4, V6, DUAL, ("[::]:0", "::1")] {
        let (sender, receiver) = (bind(wildcard), bind(wildcard));
        let there = reach(&receiver, host);
        let contents = payload(43 * SIZE + 333);
        for (round, calls) in [(0, 1 + 44), (1, 44)] {
            let before = sender.counters();
            let mut icmp = Vec::new();
            let sent = send_once(&sender, to(there, &contents, SIZE), &mut icmp).await;
            assert_eq!(sent.expect("a batch that leaves").datagrams, 44);
            assert_eq!(icmp, []);
            let inbox = Inbox::receive(&receiver, 44).await;
            assert_eq!(inbox.payloads(), contents.chunks(SIZE).collect::<Vec<_>>());
            let after = sender.counters();
            assert_eq!(after.send_calls - before.send_calls, calls, "round {round} of {wildcard}");
            assert_eq!(after.gso_fallbacks, 1);
        }
        // Datagrams that fit the link still leave together, to anybody else.
        assert_eq!(sender.max_batch(), 64);
    }
}

#[tokio::test]
async fn a_connected_socket_outlives_its_source_address_with_its_port() {
    let two_sources = "ip addr add 10.1.0.1/32 dev lo
        ip addr add 10.1.0.2/32 dev lo
        ip route add local 10.5.0.5 dev lo src 10.1.0.1 table local";
    let test = "udp::tests::namespace::a_connected_socket_outlives_its_source_address_with_its_port";
    if !in_lab_with(test, &[], two_sources) {
        return;
    }
    for wildcard in [V4.0, DUAL.0] {
        let (server, client) = (bind(wildcard), bind(wildcard));
        let there = reach(&server, "10.5.0.5");
        client.connect(there).expect("a connected socket");
        let first = client.local_addr().expect("an address");
        assert_eq!(first.ip(), IpAddr::from([10, 1, 0, 1]));
        send_all(&client, to(there, b"question", 100)).await;
        assert_eq!(Inbox::receive(&server, 1).await.datagrams[0].source, first);

        run("ip addr del 10.1.0.1/32 dev lo
            ip route replace local 10.5.0.5 dev lo src 10.1.0.2 table local");
        let contents = payload(3_000);
        let result = send_once(&client, to(there, &contents, 1_000), &mut Vec::new()).await;
        assert!(matches!(result, Err(SendError::Unreachable(_))), "{wildcard}: {result:?}");

        client.reconnect().expect("a connected socket");
        let second = SocketAddr::new([10, 1, 0, 2].into(), first.port());
        assert_eq!(client.local_addr().expect("an address"), second);
        let before = client.counters().send_calls;
        send_all(&client, to(there, &contents, 1_000)).await;
        assert_eq!(client.counters().send_calls - before, 1, "GSO must be on still");
        let inbox = Inbox::receive(&server, 3).await;
        assert_eq!(inbox.payloads(), contents.chunks(1_000).collect::<Vec<_>>());
        assert_eq!(inbox.datagrams[0].source, second);

        run("ip addr add 10.1.0.1/32 dev lo
            ip route replace local 10.5.0.5 dev lo src 10.1.0.1 table local");
    }
}

#[tokio::test]
async fn a_socket_that_is_connected_again_over_a_larger_link_sends_batches_again() {
    let test =
        "udp::tests::namespace::a_socket_that_is_connected_again_over_a_larger_link_sends_batches_again";
    if !in_lab_with(test, &[], SMALL_LINK) {
        return;
    }
    const SIZE: usize = 1_400;
    let (client, server) = (bind(V4.0), bind(V4.0));
    let there = reach(&server, V4.1);
    client.connect(there).expect("a connected socket");
    let contents = payload(20 * SIZE);
    let calls = async || {
        let before = client.counters().send_calls;
        send_all(&client, to(there, &contents, SIZE)).await;
        assert_eq!(Inbox::receive(&server, 20).await.payloads(), contents.chunks(SIZE).collect::<Vec<_>>());
        client.counters().send_calls - before
    };
    assert_eq!((calls().await, calls().await), (1 + 20, 20), "the link is too small for a batch");
    run("ip link set lo mtu 1500");
    client.reconnect().expect("a connected socket");
    assert_eq!(calls().await, 1);
}

#[tokio::test]
async fn a_network_without_a_route_is_unreachable_for_itself_only() {
    let test = "udp::tests::namespace::a_network_without_a_route_is_unreachable_for_itself_only";
    if !in_lab(test, &[]) {
        return;
    }
    for (wildcard, host, nowhere) in
        [(V4.0, V4.1, "192.0.2.1:9"), (DUAL.0, DUAL.1, "192.0.2.1:9"), (DUAL.0, DUAL.1, "[2001:db8::1]:9")]
    {
        let (sender, receiver) = (bind(wildcard), bind(wildcard));
        let nowhere = nowhere.parse().expect("an address");
        let result = send_once(&sender, to(nowhere, b"lost", 100), &mut Vec::new()).await;
        assert!(matches!(result, Err(SendError::Unreachable(_))), "{nowhere}: {result:?}");
        send_all(&sender, to(reach(&receiver, host), b"found", 100)).await;
        assert_eq!(Inbox::receive(&receiver, 1).await.payloads(), [b"found"]);
    }
}

#[tokio::test]
async fn a_socket_that_blocks_in_the_middle_of_a_batch_goes_on_there_when_it_is_ready() {
    let slow_link = "tc qdisc add dev lo root tbf rate 4mbit burst 4k limit 100mb";
    let test =
        "udp::tests::namespace::a_socket_that_blocks_in_the_middle_of_a_batch_goes_on_there_when_it_is_ready";
    if !in_lab_with(test, &["tc"], slow_link) {
        return;
    }
    const SIZE: usize = 1_000;
    let small = UdpSocket::bind(V4.0).expect("a socket");
    SockRef::from(&small).set_send_buffer_size(20_000).expect("a small buffer");
    let options = Options { buffer: 20_000, gso: false, ..Options::default() };
    let (sender, receiver) = (UdpIo::from_std(small, &options).expect("a socket"), bind(V4.0));
    let there = reach(&receiver, V4.1);
    let contents = payload(60 * SIZE + 1);
    // Where this thread is held up, the link may have taken a whole batch meanwhile; then with the next.
    let mut whole = 0;
    let first = loop {
        let sent = send_once(&sender, to(there, &contents, SIZE), &mut Vec::new()).await;
        let sent = sent.expect("some that leave");
        if sent.bytes < contents.len() {
            break sent;
        }
        whole += 1;
    };
    assert_eq!(first.bytes, first.datagrams * SIZE);
    let rest = to(there, &contents[first.bytes..], SIZE);
    let blocked = sender.try_send(&rest, &mut Vec::new());
    assert!(matches!(blocked, Err(SendError::Blocked)), "{blocked:?}");
    send_all(&sender, rest).await;
    let batches = whole + 1;
    let inbox = Inbox::receive(&receiver, batches * 61).await;
    let expected: Vec<_> = (0..batches).flat_map(|_| contents.chunks(SIZE)).collect();
    assert_eq!(inbox.payloads(), expected);
}
