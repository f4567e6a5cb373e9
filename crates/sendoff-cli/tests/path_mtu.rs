//! `ping --size` and transfers over paths that are smaller than the MTU, in networks of the tests' own.
#![cfg(target_os = "linux")]

mod common;
#[path = "../../sendoff/tests/namespaces/lab.rs"]
#[allow(dead_code, reason = "tasks run on hosts in other tests; here commands do")]
mod lab;

use common::objects;
use lab::{Host, in_lab, link};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Output, Stdio},
};

const SENDOFF: &str = env!("CARGO_BIN_EXE_sendoff");

/// A client, a router, and a server behind a link that takes 1,420 bytes. The client's own takes 1,500.
struct Network {
    client: Host,
    router: Host,
    server: Host,
    listener: Child,
}

impl Network {
    fn new() -> Self {
        let [client, router, server] = ["client", "router", "server"].map(Host::new);
        link((client, "near", "10.7.1.2/24"), (router, "near", "10.7.1.1/24"));
        link((router, "far", "10.7.2.1/24"), (server, "far", "10.7.2.2/24"));
        for host in [router, server] {
            host.run("ip link set dev far mtu 1420");
        }
        router.forward();
        client.run("ip route add default via 10.7.1.1");
        server.run("ip route add default via 10.7.2.1");
        let mut listener = server
            .command(SENDOFF)
            .args(["listen", "10.7.2.2:29900", "--echo"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ip");
        let mut line = String::new();
        BufReader::new(listener.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening on"), "{line}");
        Self { client, router, server, listener }
    }

    fn ping(&self, args: &[&str]) -> Output {
        self.client.command(SENDOFF).args(["ping", "10.7.2.2:29900"]).args(args).output().expect("ip")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        _ = self.listener.kill();
        _ = self.listener.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_largest_size_that_is_answered_is_what_the_path_takes() {
    if !in_lab("the_largest_size_that_is_answered_is_what_the_path_takes", &[]) {
        return;
    }
    let network = Network::new();
    let whole = network.ping(&["-c", "2", "-i", "10ms", "--size", "1392"]);
    assert!(whole.status.success(), "{}", text(&whole.stderr));

    // The first is refused by the router, which says why; the second by our own system, which knows by then.
    let large = network.ping(&["-c", "2", "-i", "100ms", "--size", "1393"]);
    assert_eq!(large.status.code(), Some(1));
    let line = "seq=2 too large for the path (MTU 1420: 1392 bytes at most)";
    assert!(text(&large.stdout).contains(line), "{}", text(&large.stdout));
    let last = "sendoff: 10.7.2.2:29900: probes of 1393 bytes are too large for the path (MTU 1420: 1392 bytes at most)\n";
    assert_eq!(text(&large.stderr), last);

    let local = network.ping(&["-c", "1", "--size", "1473", "--json"]);
    let reports = objects(&text(&local.stdout));
    assert_eq!((&reports[0]["path_mtu"], &reports[1]["too_large"]), (&1_420.into(), &1.into()));
    assert_eq!((&reports[1]["largest"], &reports[1]["size"]), (&1_392.into(), &1_473.into()));
}

#[test]
fn where_routers_say_nothing_a_probe_that_is_too_large_has_no_answer() {
    let quiet = "nft add table ip quiet
        nft add chain ip quiet out '{ type filter hook output priority 0; }'
        nft add rule ip quiet out icmp type destination-unreachable icmp code frag-needed drop";
    if !in_lab("where_routers_say_nothing_a_probe_that_is_too_large_has_no_answer", &["nft"]) {
        return;
    }
    let network = Network::new();
    network.router.run(quiet);
    let large = network.ping(&["-c", "1", "-W", "300ms", "--size", "1393"]);
    assert_eq!(large.status.code(), Some(1));
    assert!(text(&large.stdout).contains("seq=1 silent for 300 ms"), "{}", text(&large.stdout));
    assert!(network.ping(&["-c", "1", "--size", "1392"]).status.success());
    // Without --size nothing forbids fragments, and a probe is small anyway.
    assert!(network.ping(&["-c", "1"]).status.success());
}

#[test]
fn a_path_that_is_found_out_to_be_small_is_said_at_the_end() {
    // Fragments, which a router makes of what is too large, don't arrive.
    let strict = "nft add table ip strict
        nft add chain ip strict in '{ type filter hook prerouting priority -450; }'
        nft add rule ip strict in ip frag-off '&' 0x3fff != 0 drop";
    if !in_lab("a_path_that_is_found_out_to_be_small_is_said_at_the_end", &["nft"]) {
        return;
    }
    let network = Network::new();
    network.server.run(strict);
    let mut client = network
        .client
        .command(SENDOFF)
        .args(["connect", "10.7.2.2:29900", "--send-only", "--json", "-v"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip");
    client.stdin.take().unwrap().write_all(&[b'x'; 300_000]).unwrap();
    let mut said = BufReader::new(client.stderr.take().unwrap()).lines().map(|line| line.unwrap());
    let step = said.find(|line| line.contains("larger datagrams don't get through")).expect("a step");
    assert!(step.contains("mtu=1350"), "{step}");
    // What was made before goes through once they arrive.
    network.server.run("nft delete table ip strict");
    let told: Vec<_> = said.filter(|line| line.starts_with('{')).collect();
    assert!(client.wait().unwrap().success(), "{told:?}");
    let told = objects(&told.join("\n"));
    assert_eq!((&told[0]["event"], &told[0]["mtu"]), (&"small_path".into(), &1_350.into()));
    assert_eq!(told[0]["mtu_steps"], 1);
}
