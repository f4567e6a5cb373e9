//! What the one task of a socket promises: the order of what leaves, what it reads before it looks at
//! the clock, whose error an error is, and what it never does on behalf of a handle.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports, reason = "much here needs Linux"))]

mod common;
#[cfg(target_os = "linux")]
#[path = "namespaces/lab.rs"]
#[allow(dead_code, reason = "hosts aren't needed here")]
mod lab;

use common::*;
use sendoff::{
    Cause, Config, Direction, KcpEndpoint, KcpListener, KcpStream,
    wire::{Command, segments},
};
use std::{
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, runtime::Handle};

/// One socket that is many peers: whatever is sent to 127.0.0.2, 127.0.0.3 … comes to it, in order.
#[cfg(target_os = "linux")]
struct ManyPeers(tokio::net::UdpSocket);

#[cfg(target_os = "linux")]
impl ManyPeers {
    async fn new() -> Self {
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
        Self(socket)
    }

    /// A connection to each of `count` of them, all from one socket.
    async fn connect(&self, endpoint: &KcpEndpoint, count: u8) -> Vec<KcpStream> {
        let port = self.0.local_addr().unwrap().port();
        let mut streams = Vec::new();
        for n in 0..count {
            streams.push(endpoint.connect(SocketAddr::from(([127, 0, 0, 2 + n], port))).await.unwrap());
        }
        streams
    }

    async fn recv(&self, datagrams: usize) -> Vec<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let mut received = Vec::new();
        while received.len() < datagrams {
            let (len, _) = self.0.recv_from(&mut buffer).await.unwrap();
            received.push(buffer[..len].to_vec());
        }
        received
    }

    fn is_empty(&self) -> bool {
        self.0.try_recv(&mut [0; 1]).is_err()
    }
}

/// What a tap saw leave.
fn prepared(tap: &Recorder) -> Vec<Vec<u8>> {
    tap.take().into_iter().filter(|s| s.direction == Direction::Sent).map(|s| s.payload).collect()
}

/// The peer and the number of the first segment of each datagram.
fn whose(streams: &[KcpStream], datagrams: &[Vec<u8>]) -> Vec<(usize, u32)> {
    let whose = |datagram: &Vec<u8>| {
        let first = segments(datagram).next().unwrap().unwrap();
        let at = streams.iter().position(|s| s.conv().value() == first.conv()).unwrap();
        (at, first.sn().0)
    };
    datagrams.iter().map(whose).collect()
}

// A socket that no event has told of yet takes nothing, as one whose buffer is full: nobody has run
// between its making and the first write.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_batch_that_a_handle_could_not_send_stays_as_it_was_prepared_and_goes_first() {
    watched(async {
        let _clock = Frozen::new();
        let (peers, tap) = (ManyPeers::new().await, Recorder::new());
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        // Six of these datagrams are a batch.
        let config = classic().mtu(10_000).unwrap().tap(tap.clone());
        let endpoint = KcpEndpoint::from_socket(socket, config).unwrap();
        let streams = peers.connect(&endpoint, 2).await;
        let segment = payload(10_000 - 24, 1);
        for _ in 0..2 {
            assert_eq!(streams[0].try_write(&segment).unwrap(), segment.len());
        }
        let refused = prepared(&tap);
        assert_eq!(whose(&streams, &refused), [(0, 0)], "the first write leaves at once");
        // More than a batch, from the same handle and another: nothing of it may be prepared now.
        for (stream, segments) in [(&streams[0], 7), (&streams[1], 2)] {
            for _ in 0..segments {
                assert_eq!(stream.try_write(&segment).unwrap(), segment.len());
            }
        }
        assert_eq!(tap.count(Direction::Sent), 0, "prepared behind a batch that was refused");
        assert_eq!(endpoint.stats().datagrams_sent, 0);
        let received = peers.recv(11).await;
        assert!(received[0] == refused[0], "it goes first, as it was prepared");
        assert!(received[1..] == prepared(&tap), "what follows is in order, and nothing twice");
        assert_eq!(whose(&streams, &received).iter().filter(|(at, _)| *at == 0).count(), 9);
        settle().await;
        assert!(peers.is_empty());
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_with_much_to_send_take_turns_batch_by_batch() {
    const PEERS: usize = 20;
    const BATCHES: usize = 4;
    watched(async {
        let _clock = Frozen::new();
        let (peers, tap) = (ManyPeers::new().await, Recorder::new());
        // Three of these datagrams are a batch.
        let config = classic().mtu(20_000).unwrap().tap(tap.clone());
        let endpoint = KcpEndpoint::bind_with("0.0.0.0:0", config).await.unwrap();
        let streams = peers.connect(&endpoint, PEERS as u8).await;
        let segment = payload(20_000 - 24, 1);
        // The socket takes nothing yet: what the handles write waits for the driver.
        for stream in &streams {
            for _ in 0..3 * BATCHES {
                assert_eq!(stream.try_write(&segment).unwrap(), segment.len());
            }
        }
        until(|| tap.count(Direction::Sent) == (PEERS * BATCHES * 3) as u64).await;
        let order = whose(&streams, &prepared(&tap));
        // But for the very first segment, which left, or tried to, by itself.
        assert_eq!(order[0], (0, 0));
        let mut next = [0; PEERS];
        next[0] = 1;
        let mut rounds = vec![Vec::new()];
        for run in order[1..].chunk_by(|a, b| a.0 == b.0) {
            let at = run[0].0;
            assert!(run.len() <= 3 && run[0].1 == next[at], "{at}: {run:?} after {}", next[at]);
            next[at] += run.len() as u32;
            if rounds.last().unwrap().contains(&at) {
                rounds.push(Vec::new());
            }
            rounds.last_mut().unwrap().push(at);
        }
        assert_eq!(next, [3 * BATCHES as u32; PEERS]);
        assert_eq!(rounds.len(), BATCHES, "{rounds:?}");
        assert!(rounds.iter().all(|round| round.is_sorted()), "each once a round, in line: {rounds:?}");
    })
    .await;
}

/// Lets every other task that is ready have one turn, and no more.
async fn stand_in_line() {
    let mut stood = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut stood, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn other_tasks_have_their_turn_while_a_full_socket_is_read() {
    watched(async {
        let endpoint = KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        settle().await;
        // Datagrams of different sources can't be received as one.
        for _ in 0..100 {
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            stranger.send_to(b"whatever this is", endpoint.local_addr()).unwrap();
        }
        let looking = tokio::spawn(async move {
            let mut seen = vec![0];
            while seen.last() != Some(&100) {
                let received = endpoint.stats().datagrams_received;
                if seen.last() != Some(&received) {
                    seen.push(received);
                }
                stand_in_line().await;
            }
            seen
        });
        let seen = looking.await.unwrap();
        assert!(seen.windows(2).all(|w| w[1] - w[0] <= 16), "read in one turn: {seen:?}");
    })
    .await;
}

/// Connections of one endpoint, each to a peer that has got its first data.
async fn introduced(config: Config, count: usize) -> Vec<(KcpStream, RawPeer, Heard)> {
    let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", config).await.unwrap();
    let mut all = Vec::new();
    for _ in 0..count {
        let mut raw = RawPeer::listening().await;
        let mut stream = endpoint.connect(raw.addr()).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let push = raw.recv_one().await;
        all.push((stream, raw, push));
    }
    all
}

#[tokio::test]
async fn after_a_long_stop_the_socket_is_read_before_any_time_passes() {
    watched(async {
        let _clock = Frozen::new();
        // As many answers as several receive calls bring.
        let all = introduced(classic(), 40).await;
        settle().await;
        for (_, raw, push) in &all {
            raw.ack(push, 1).await;
        }
        // Nothing has run since: the answers are in the socket, and the connect timeout is long over.
        assert!(all.iter().all(|(stream, ..)| stream.stats().datagrams_received == 0));
        advance(Duration::from_secs(60)).await;
        for (stream, ..) in &all {
            assert_eq!(stream.ending(), None);
            let stats = stream.stats();
            assert_eq!((stats.bytes_acknowledged, stats.retransmitted_timeout), (5, 0));
        }
    })
    .await;
}

#[tokio::test]
async fn after_a_long_stop_a_driver_that_was_awake_looks_at_its_socket_first_too() {
    watched(async {
        let _clock = Frozen::new();
        let mut all = introduced(classic(), 2).await;
        settle().await;
        for (_, raw, push) in &all {
            raw.ack(push, 1).await;
        }
        // The driver has work to do, and tokio hasn't looked at the socket, when time makes its leap.
        all[0].0.write_all(b"more").await.unwrap();
        advance(Duration::from_secs(60)).await;
        for (stream, ..) in &all {
            assert_eq!((stream.ending(), stream.stats().bytes_acknowledged), (None, 5));
        }
    })
    .await;
}

#[tokio::test]
async fn after_a_long_stop_each_connection_asks_once_and_none_is_ended() {
    watched(async {
        let _clock = Frozen::new();
        let mut all = introduced(classic().keep_alive(Duration::from_secs(1)), 20).await;
        for (stream, raw, push) in &all {
            raw.ack(push, 1).await;
            until(|| stream.stats().bytes_acknowledged == 5).await;
        }
        // Every second one has data in flight too.
        for (stream, raw, _) in all.iter_mut().step_by(2) {
            stream.write_all(b"again").await.unwrap();
            raw.recv_one().await;
        }
        advance(Duration::from_secs(3_600)).await;
        for (n, (stream, raw, _)) in all.iter().enumerate() {
            assert_eq!(stream.ending(), None);
            let mut asked = Vec::new();
            while let Some(heard) = raw.try_recv() {
                asked.extend(heard);
            }
            asked.sort_by_key(|heard| heard.segment.sn.0);
            // The question is a PUSH with an old number.
            let numbers: Vec<_> = asked.iter().map(|heard| heard.segment.sn.0.min(1 << 30)).collect();
            assert_eq!(numbers, [1, 1 << 30][n % 2..], "{n}: once each, however late");
            let una = if n % 2 == 0 { 2 } else { 1 };
            for heard in &asked {
                raw.ack(heard, una).await;
            }
        }
        advance(ms(900)).await;
        assert!(all.iter().all(|(stream, ..)| stream.ending().is_none() && stream.stats().in_flight == 0));
    })
    .await;
}

#[tokio::test]
async fn a_stream_may_be_dropped_where_no_runtime_is_and_spawns_nothing() {
    watched(async {
        let (small, large) = (classic().recv_window(8).unwrap(), classic().send_window(64).unwrap());
        let Pair { client, mut server, .. } = Pair::of(large, small).await;
        // Much more than the peer's window: it can't all leave at once.
        let sent = payload(500_000, 1);
        let mut written = 0;
        while let Ok(n) = client.try_write(&sent[written..]) {
            written += n;
            assert!(written < sent.len());
        }
        assert!(written >= 64 * 1_376);
        settle().await;
        assert!(client.stats().queued > 0);
        let (tasks, endpoint) = (Handle::current().metrics().num_alive_tasks(), client.endpoint());
        let closed = client.closed();
        thread::spawn(move || drop(client)).join().unwrap();
        assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
        assert!(read_exactly(&mut server, written).await == sent[..written]);
        assert!(closed.await.is_clean());
        endpoint.wait_idle().await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_refusal_is_given_to_the_conversation_that_it_quotes_and_to_no_other_of_that_peer() {
    watched(async {
        let _clock = Frozen::new();
        let listener = KcpListener::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 1).await;
        let mut streams = Vec::new();
        for conv in [1, 2] {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
            streams.push(listener.accept().await.unwrap().0);
            raw.recv_one().await;
        }
        drop(raw);
        let reports = || listener.endpoint().stats().icmp_errors;
        let [mut first, mut second] = <[KcpStream; 2]>::try_from(streams).unwrap();
        first.write_all(b"gone?").await.unwrap();
        until(|| reports() == 1).await;
        advance(ms(1_500)).await;
        until(|| first.ending().is_some()).await;
        assert_eq!(first.ending().unwrap().cause, Cause::Reset);
        // The first report about the second: were those before its own, this would end it.
        let before = reports();
        second.write_all(b"gone?").await.unwrap();
        until(|| reports() > before).await;
        assert_eq!(second.ending(), None);
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_refusal_that_a_handle_comes_upon_is_given_to_the_connection_it_names() {
    watched(async {
        let _clock = Frozen::new();
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let mut raw = RawPeer::listening().await;
        let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let living = endpoint.connect(raw.addr()).await.unwrap();
        let refused = endpoint.connect(dead).await.unwrap();
        settle().await;
        // The report of the first datagram comes with the second, before the driver can have run.
        refused.try_write(b"anyone?").unwrap();
        living.try_write(b"hello").unwrap();
        let push = raw.recv_push().await;
        assert_eq!(push.data, b"hello", "it costs the other nothing");
        raw.ack(&push, 1).await;
        until(|| endpoint.stats().icmp_errors == 1).await;
        assert_eq!(refused.ending(), None, "one may be forged");
        // With the next it is refused, which only a second report does.
        advance(ms(300)).await;
        until(|| refused.ending().is_some()).await;
        assert_eq!(refused.ending().unwrap().cause, Cause::Refused);
        assert_eq!(endpoint.stats().icmp_errors, 2);
        until(|| living.stats().bytes_acknowledged == 5).await;
        assert_eq!(living.ending(), None);
    })
    .await;
}

#[tokio::test]
async fn only_the_socket_of_a_single_stream_is_connected() {
    watched(async {
        let mut raw = RawPeer::listening().await;
        let own = KcpStream::connect_with(raw.addr(), classic()).await.unwrap();
        let endpoint = KcpEndpoint::bind_with("127.0.0.1:0", classic()).await.unwrap();
        let shared = endpoint.connect(raw.addr()).await.unwrap();
        let stranger = RawPeer::listening().await;
        for (mut stream, heard) in [(own, 0), (shared, 1)] {
            let mut stranger = RawPeer::client(stream.local_addr(), 7).await;
            stranger.push(0, 0, b"stranger").await;
            stream.write_all(b"hello").await.unwrap();
            let push = raw.recv_push().await;
            raw.ack(&push, 1).await;
            until(|| stream.stats().bytes_acknowledged == 5).await;
            let stats = stream.endpoint().stats();
            assert_eq!((stats.datagrams_received, stats.connections_accepted), (1 + heard, heard));
            if heard > 0 {
                assert_eq!(stranger.recv_one().await.segment.command, Command::Ack);
            }
        }
        drop(stranger);
    })
    .await;
}

/// Tests that need a network of their own.
#[cfg(target_os = "linux")]
mod namespace {
    use super::{
        lab::{in_lab_with, run},
        *,
    };

    /// An endpoint on a socket that holds one batch at most until it has left.
    fn with_small_buffer(tap: &Arc<Recorder>) -> KcpEndpoint {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket2::SockRef::from(&socket).set_send_buffer_size(1).unwrap();
        KcpEndpoint::from_socket(socket, classic().socket_buffer(1).tap(tap.clone())).unwrap()
    }

    /// Nanoseconds for which this thread has worked.
    fn worked() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn what_a_slow_link_refuses_leaves_in_order_once_and_nobody_spins_meanwhile() {
        // So small a link refuses batches: their datagrams leave one by one, and some of them stay.
        let slow = "ip link set lo mtu 1420; tc qdisc add dev lo root tbf rate 4mbit burst 4k limit 100mb";
        let test = "namespace::what_a_slow_link_refuses_leaves_in_order_once_and_nobody_spins_meanwhile";
        if !in_lab_with(test, &["tc"], slow) {
            return;
        }
        watched(async {
            let _clock = Frozen::new();
            let (peers, tap) = (ManyPeers::new().await, Recorder::new());
            let endpoint = with_small_buffer(&tap);
            let streams = peers.connect(&endpoint, 8).await;
            settle().await;
            let (begun, before) = (std::time::Instant::now(), worked());
            // Each handle sends, or tries to, by itself; what it adds is the driver's.
            for stream in &streams {
                for _ in 0..2 {
                    assert_eq!(stream.try_write(&payload(16 * 1_376, 1)).unwrap(), 16 * 1_376);
                }
            }
            let (left, seen) = (endpoint.stats().datagrams_sent, tap.count(Direction::Sent));
            assert!(left < seen && seen <= left + 32, "one batch was refused: {left} of {seen} left");
            let received = peers.recv(8 * 32).await;
            let (worked, lasted) = (worked() - before, begun.elapsed());
            assert!(received == prepared(&tap), "other datagrams, or in another order");
            for (at, stream) in streams.iter().enumerate() {
                let own = whose(&streams, &received).into_iter().filter(|(of, _)| *of == at);
                assert!(own.map(|(_, sn)| sn).eq(0..32), "{at}");
                assert_eq!(stream.stats().segments_sent, 32);
            }
            assert!(u128::from(worked) * 2 < lasted.as_nanos(), "worked {worked} ns in {lasted:?}");
        })
        .await;
    }

    #[tokio::test]
    async fn a_socket_that_takes_nothing_is_still_read() {
        // Behind the one link nothing moves; the loopback is free.
        let stuck = "ip link add v0 type veth peer name v1
            ip link set v0 up
            ip link set v1 up
            ip addr add 10.9.0.1/24 dev v0
            ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent
            tc qdisc add dev v0 root tbf rate 1kbit burst 1600 limit 1mb";
        if !in_lab_with("namespace::a_socket_that_takes_nothing_is_still_read", &["tc"], stuck) {
            return;
        }
        watched(async {
            let _clock = Frozen::new();
            let tap = Recorder::new();
            let endpoint = with_small_buffer(&tap);
            let addr = SocketAddr::from(([127, 0, 0, 1], endpoint.local_addr().port()));
            settle().await;
            let mut stuck = Vec::new();
            while tap.count(Direction::Sent) == endpoint.stats().datagrams_sent {
                let to = SocketAddr::from(([10, 9, 0, 2], 1 + stuck.len() as u16));
                let stream = endpoint.connect(to).await.unwrap();
                stream.try_write(&payload(32 * 1_376, 1)).unwrap();
                stuck.push(stream);
            }
            let before = prepared(&tap).len();
            let mut raw = RawPeer::client(addr, 7).await;
            for sn in 0..100 {
                raw.push(sn, 0, b"hello").await;
            }
            let (mut server, _) = endpoint.accept().await.unwrap();
            assert_eq!(read_exactly(&mut server, 500).await, b"hello".repeat(100));
            assert_eq!(server.try_write(b"answer").unwrap(), 6);
            // Questions of strangers mustn't pile up behind what was refused either.
            for conv in 100..200 {
                let stranger = RawPeer::client(addr, conv).await;
                stranger.ping().await;
            }
            until(|| endpoint.stats().answered == 100).await;
            settle().await;
            assert_eq!(tap.count(Direction::Sent), 0, "something was prepared meanwhile");
            assert!(endpoint.stats().datagrams_sent < before as u64);
            assert!(raw.try_recv().is_none());
            run("tc qdisc del dev v0 root");
            assert_eq!(raw.recv_push().await.data, b"answer");
        })
        .await;
    }

    #[tokio::test]
    async fn a_stream_goes_on_from_another_address_when_its_own_has_gone() {
        let two_sources = "ip addr add 10.1.0.1/32 dev lo
            ip addr add 10.1.0.2/32 dev lo
            ip route add local 10.5.0.5 dev lo src 10.1.0.1 table local";
        let test = "namespace::a_stream_goes_on_from_another_address_when_its_own_has_gone";
        if !in_lab_with(test, &[], two_sources) {
            return;
        }
        watched(async {
            let _clock = Frozen::new();
            let endpoint = KcpEndpoint::bind_with("0.0.0.0:0", classic()).await.unwrap();
            for connected in [true, false] {
                let mut raw = RawPeer::at("10.5.0.5:0").await;
                let mut client = match connected {
                    true => KcpStream::connect_with(raw.addr(), classic()).await.unwrap(),
                    false => endpoint.connect(raw.addr()).await.unwrap(),
                };
                client.write_all(b"here").await.unwrap();
                let push = raw.recv_push().await;
                let first = raw.peer();
                assert_eq!(first.ip().to_string(), "10.1.0.1");
                raw.ack(&push, 1).await;
                until(|| client.stats().bytes_acknowledged == 4).await;
                run("ip addr del 10.1.0.1/32 dev lo
                    ip route replace local 10.5.0.5 dev lo src 10.1.0.2 table local");
                client.write_all(b"there").await.unwrap();
                assert_eq!(client.endpoint().stats().send_failures, 1);
                advance(ms(500)).await;
                let push = raw.recv_push().await;
                assert_eq!(raw.peer(), SocketAddr::from(([10, 1, 0, 2], first.port())));
                raw.ack(&push, 2).await;
                client.shutdown().await.unwrap();
                run("ip addr add 10.1.0.1/32 dev lo
                    ip route replace local 10.5.0.5 dev lo src 10.1.0.1 table local");
            }
        })
        .await;
    }
}
