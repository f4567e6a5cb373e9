//! Readiness is cleared early, and never too early.

use super::*;

fn try_recv(io: &UdpIo) -> io::Result<usize> {
    RecvBuffers::lend(|buffers| io.try_recv(buffers, &mut Vec::new()))
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn after_a_short_batch_nothing_is_asked_of_the_system_until_something_comes() {
    let (sender, receiver) = (bind(V4.0), bind(V4.0));
    let there = reach(&receiver, V4.1);
    for _ in 0..3 {
        send_all(&sender, to(there, b"one", 100)).await;
        recv_ready(&receiver).await;
        assert_eq!(try_recv(&receiver).expect("a datagram"), 1);
        let calls = receiver.counters().recv_calls;
        let error = try_recv(&receiver).expect_err("nothing there");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(receiver.counters().recv_calls, calls);
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_full_batch_leaves_the_socket_ready() {
    let receiver = bind(V4.0);
    let there = reach(&receiver, V4.1);
    // Datagrams of different sockets are never coalesced.
    let senders: Vec<_> = (0..RECV_BATCH + 1).map(|_| bind(V4.0)).collect();
    for sender in &senders {
        send_all(sender, to(there, b"one", 100)).await;
    }
    recv_ready(&receiver).await;
    assert_eq!(try_recv(&receiver).expect("datagrams"), RECV_BATCH);
    assert_eq!(try_recv(&receiver).expect("the last datagram"), 1);
    assert_eq!(try_recv(&receiver).expect_err("nothing there").kind(), io::ErrorKind::WouldBlock);
}

/// The peer is another thread that sends the next datagram as soon as it has its answer, so some come while the
/// receiver is between its system call and its wait. One lost event ends the exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_is_lost_between_a_short_batch_and_the_wait() {
    const ROUNDS: u32 = 20_000;
    let receiver = bind("127.0.0.1:0");
    let there = receiver.local_addr().expect("an address");
    let peer = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(WATCHDOG)).expect("a timeout");
        let mut answer = [0; 8];
        for round in 0..ROUNDS {
            // Two at once: the second often comes while the first is being received.
            for _ in 0..2 {
                socket.send_to(&round.to_be_bytes(), there).expect("a datagram that leaves");
            }
            for _ in 0..2 {
                let len = socket.recv(&mut answer).expect("an answer in time");
                assert_eq!(answer[..len], round.to_be_bytes());
            }
        }
    });
    let mut answered = 0;
    while answered < ROUNDS * 2 {
        let inbox = Inbox::receive(&receiver, 1).await;
        for question in &inbox.datagrams {
            send_all(&receiver, to(question.source, &question.payload, 100)).await;
            answered += 1;
        }
    }
    peer.join().expect("a peer content with its answers");
}
