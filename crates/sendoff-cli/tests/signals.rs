//! SIGINT and SIGTERM: the first ends gracefully, the second at once.
#![cfg(unix)]

mod common;

use common::Running;
use std::net::UdpSocket;

#[test]
fn an_interrupted_listener_ends_its_connections_and_exits_well() {
    for signal in ["INT", "TERM"] {
        let (mut listener, port) = Running::listen(&["--echo"]);
        let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "off"]);
        client.write(b"echo");
        client.stdout_until(|seen| seen == b"echo");
        listener.event("opened");
        listener.signal(signal);
        let said = listener.event("interrupted");
        assert!(said.contains("ending 1 connection "), "{said}");
        let output = listener.output();
        assert_eq!(output.code, 0, "{}", output.stderr);
        let last = output.stderr.lines().last().unwrap();
        assert!(last.contains("closed here after") && last.contains("4 bytes in, 4 bytes out"), "{last}");
    }
}

#[test]
fn an_interrupted_client_delivers_what_it_has_read() {
    let (mut listener, port) = Running::listen(&[]);
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "off"]);
    let text = "z".repeat(50_000) + "\n";
    client.write(text.as_bytes());
    let expected = format!("#1 {text}");
    listener.stdout_until(|seen| seen == expected.as_bytes());
    client.signal("INT");
    let output = client.output();
    assert_eq!(output.code, 130, "{}", output.stderr);
    assert!(output.stderr.contains("interrupted"), "{}", output.stderr);
}

#[test]
fn a_second_interrupt_ends_at_once() {
    // Nobody acknowledges anything: a graceful end would take its time.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut client = Running::start(&["connect", &address, "--connect-timeout", "1h"]);
    client.write(b"unacknowledged");
    let mut datagram = [0; 2_000];
    silent.recv(&mut datagram).unwrap();
    client.signal("INT");
    client.event("interrupted");
    client.signal("INT");
    assert_eq!(client.output().code, 130);
}

#[test]
fn a_listener_for_one_connection_can_be_interrupted_before_it_comes() {
    let (listener, _port) = Running::listen(&["--once"]);
    listener.signal("TERM");
    assert_eq!(listener.output().code, 130);
}

#[test]
fn an_interrupted_ping_prints_its_summary() {
    let (_listener, port) = Running::listen(&[]);
    let mut ping = Running::start(&["ping", &format!("127.0.0.1:{port}"), "-i", "1h"]);
    ping.stdout_until(|seen| String::from_utf8_lossy(seen).contains("seq=1"));
    ping.signal("INT");
    let output = ping.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.text().contains("1 probe sent, 1 answered, 0% loss"), "{}", output.text());
}

#[test]
fn the_demo_can_be_interrupted() {
    let mut demo = Running::start(&["demo"]);
    demo.stdout_until(|seen| seen.starts_with(b"1."));
    demo.signal("INT");
    assert_eq!(demo.output().code, 130);
}
