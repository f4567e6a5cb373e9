//! Tests that need a network of their own: a small link, an address that goes away.
//!
//! Each test runs this very binary again, for itself alone, in a fresh network namespace.

use std::process::Command;

use super::*;

/// What most of them need.
const LOOPBACK_UP: &str = "ip link set lo up";

const INSIDE: &str = "SENDOFF_TEST_NAMESPACE";

/// Runs the test again in a network namespace that `script` has set up, unless it is there already. Where the command
/// `needs` fails, the test is skipped.
///
/// True: this is the inner run, the test's body is to follow.
fn in_namespace(test: &str, needs: &str, script: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let Some(flags) = ["-n", "-rn"].into_iter().find(|flags| succeeds(flags, needs)) else {
        eprintln!("{test}: skipped, for `unshare -n {needs}` does not work here");
        return false;
    };
    let module = module_path!().split_once("::").expect("a module of a crate").1;
    let output = Command::new("unshare")
        .args([flags, "sh", "-ec", &format!("{script}\nexec \"$@\""), "sh"])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .expect("unshare");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "not one test: {text}");
    false
}

fn succeeds(flags: &str, command: &str) -> bool {
    let result = Command::new("unshare").arg(flags).args(command.split(' ')).output();
    result.is_ok_and(|output| output.status.success())
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("ip");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_batch_that_the_link_refuses_leaves_one_by_one_and_arrives_whole() {
    let small_link = "ip link set lo mtu 1420 up";
    let test = "a_batch_that_the_link_refuses_leaves_one_by_one_and_arrives_whole";
    if !in_namespace(test, LOOPBACK_UP, small_link) {
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
    let two_sources = "ip link set lo up
        ip addr add 10.1.0.1/32 dev lo
        ip addr add 10.1.0.2/32 dev lo
        ip route add local 10.5.0.5 dev lo src 10.1.0.1 table local";
    let test = "a_connected_socket_outlives_its_source_address_with_its_port";
    if !in_namespace(test, LOOPBACK_UP, two_sources) {
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

        ip("addr del 10.1.0.1/32 dev lo");
        ip("route replace local 10.5.0.5 dev lo src 10.1.0.2 table local");
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

        ip("addr add 10.1.0.1/32 dev lo");
        ip("route replace local 10.5.0.5 dev lo src 10.1.0.1 table local");
    }
}

#[tokio::test]
async fn a_network_without_a_route_is_unreachable_for_itself_only() {
    let test = "a_network_without_a_route_is_unreachable_for_itself_only";
    if !in_namespace(test, LOOPBACK_UP, LOOPBACK_UP) {
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
    let test = "a_socket_that_blocks_in_the_middle_of_a_batch_goes_on_there_when_it_is_ready";
    if !in_namespace(test, slow_link, &format!("{LOOPBACK_UP}\n{slow_link}")) {
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
