//! Batches out and in.

use super::*;

const SIZE: usize = 1_400;

async fn batch_arrives(from: &str, to_socket: (&str, &str), options: &Options) -> (Counters, Inbox) {
    let (sender, receiver) = (bind_with(from, options), bind(to_socket.0));
    let contents = payload(43 * SIZE + 333);
    send_all(&sender, to(reach(&receiver, to_socket.1), &contents, SIZE)).await;
    let inbox = Inbox::receive(&receiver, 44).await;
    assert_eq!(inbox.payloads(), contents.chunks(SIZE).collect::<Vec<_>>());
    let port = sender.local_addr().expect("an address").port();
    let from = SocketAddr::new(to_socket.1.parse().expect("an address"), port);
    assert!(inbox.datagrams.iter().all(|datagram| datagram.source == from), "{:?}", inbox.datagrams[0]);

    let came = receiver.counters();
    assert_eq!((came.datagrams_received, came.bytes_received), (44, contents.len() as u64));
    let left = sender.counters();
    assert_eq!((left.datagrams_sent, left.bytes_sent), (44, contents.len() as u64));
    (left, inbox)
}

#[tokio::test]
async fn a_batch_arrives_as_the_same_datagrams_in_order_with_a_shorter_last() {
    for (from, to_socket) in
        [(V4.0, V4), (V6.0, V6), (DUAL.0, DUAL), (V4.0, DUAL), (DUAL.0, V4), (DUAL.0, ("[::]:0", "::1"))]
    {
        let (_, inbox) = batch_arrives(from, to_socket, &Options::default()).await;
        assert_eq!(inbox.icmp, [], "{from} to {to_socket:?}");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_batch_is_one_system_call_and_comes_coalesced() {
    let (left, inbox) = batch_arrives(V4.0, V4, &Options::default()).await;
    assert_eq!((left.send_calls, left.gso_fallbacks), (1, 0));
    assert!(inbox.largest_batch > 1, "GRO split nothing");
}

#[tokio::test]
async fn without_gso_each_datagram_is_a_system_call_and_arrives_just_so() {
    let options = Options { gso: false, ..Options::default() };
    assert_eq!(bind_with(V4.0, &options).max_batch(), 1);
    let (left, _) = batch_arrives(V4.0, V4, &options).await;
    assert!(left.send_calls >= 44, "{left:?}");
    assert_eq!(left.gso_fallbacks, 0);
}

#[tokio::test]
async fn a_batch_of_more_than_the_system_takes_leaves_one_by_one() {
    let (sender, receiver) = (bind(V4.0), bind(V4.0));
    let contents = payload(sender.max_batch() * 10 + 15);
    send_all(&sender, to(reach(&receiver, V4.1), &contents, 10)).await;
    let inbox = Inbox::receive(&receiver, contents.len().div_ceil(10)).await;
    assert_eq!(inbox.payloads(), contents.chunks(10).collect::<Vec<_>>());
}

#[tokio::test]
async fn datagrams_of_several_senders_come_in_batches_of_one_source_each() {
    let (senders, receiver) = ([bind(V4.0), bind(V4.0), bind(V4.0)], bind(V4.0));
    let contents = payload(8 * SIZE);
    for sender in &senders {
        send_all(sender, to(reach(&receiver, V4.1), &contents, SIZE)).await;
    }
    let inbox = Inbox::receive(&receiver, 24).await;
    for sender in &senders {
        let from = reach(sender, V4.1);
        let of_sender = inbox.datagrams.iter().filter(|datagram| datagram.source == from);
        let payloads: Vec<_> = of_sender.map(|datagram| &datagram.payload[..]).collect();
        assert_eq!(payloads, contents.chunks(SIZE).collect::<Vec<_>>());
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn an_answer_leaves_from_the_very_address_the_peer_sent_to() {
    for wildcard in [V4.0, DUAL.0] {
        let (server, client) = (bind(wildcard), bind("127.0.0.1:0"));
        let second = reach(&server, "127.0.0.2");
        client.connect(second).expect("a connected socket");
        send_all(&client, to(second, b"question", 100)).await;
        let question = Inbox::receive(&server, 1).await.datagrams.remove(0);
        assert_eq!(question.local, Some(second.ip()));
        assert_eq!(question.source, client.local_addr().expect("an address"));

        // From 127.0.0.1, which the system would choose, nothing reaches the connected client.
        send_all(&server, to(question.source, b"wrong", 100)).await;
        let answer = Transmit { source: question.local, ..to(question.source, b"answer", 3) };
        send_all(&server, answer).await;
        let inbox = Inbox::receive(&client, 2).await;
        assert_eq!(inbox.payloads(), [b"ans", b"wer"]);
        assert_eq!(inbox.datagrams[0].source, second);
    }
}

#[tokio::test]
async fn an_empty_datagram_is_counted_and_disturbs_nobody() {
    let receiver = bind(V4.0);
    let sender = UdpSocket::bind(V4.0).expect("a socket");
    let there = reach(&receiver, V4.1);
    sender.send_to(&[], there).expect("an empty datagram");
    sender.send_to(b"next", there).expect("a datagram");
    let mut payloads = Vec::new();
    while payloads.len() < 2 {
        recv_ready(&receiver).await;
        RecvBuffers::lend(|buffers| {
            if receiver.try_recv(buffers, &mut Vec::new()).is_ok() {
                let all = buffers.batches().flat_map(Batch::datagrams);
                payloads.extend(all.map(|payload| payload.to_vec()));
            }
        });
    }
    assert_eq!(payloads, [&b""[..], b"next"]);
    assert_eq!(receiver.counters().datagrams_received, 2);
}
