//! SIGINT and SIGTERM: the first ends gracefully, the second at once.
#![cfg(unix)]

mod common;

use common::{Running, WATCHDOG};
use sendoff::{Config, KcpListener};
use std::net::UdpSocket;
use tokio::{io::AsyncReadExt, time::timeout};

#[test]
fn an_interrupted_listener_ends_its_connections_and_exits_well() {
    let (mut listener, port) = Running::listen(&["--echo"]);
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "off"]);
    client.write(b"echo");
    client.stdout_until(|seen| seen == b"echo");
    listener.event("opened");
    listener.signal("INT");
    let said = listener.event("interrupted");
    assert!(said.contains("ending 1 connection "), "{said}");
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("finished here after") && last.contains("4 bytes in, 4 bytes out"), "{last}");
}

#[test]
fn an_interrupted_client_stays_until_what_it_has_read_is_delivered() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let mut client = Running::start(&["connect", &address, "--wire", "classic", "--quit-after", "off"]);
    // One write to the pipe, so that one datagram proves that all of it was read.
    let text = [b'z'; 1_000];
    client.write(&text);
    socket.peek(&mut [0; 2_000]).unwrap();
    client.signal("INT");
    client.event("interrupted");

    // Only now is there anybody to acknowledge it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (received, output) = runtime.block_on(async {
        let listener = KcpListener::from_socket(socket, Config::new()).unwrap();
        let (mut stream, _peer) = timeout(WATCHDOG, listener.accept()).await.unwrap().unwrap();
        let mut received = [0; 1_000];
        timeout(WATCHDOG, stream.read_exact(&mut received)).await.unwrap().unwrap();
        (received, tokio::task::spawn_blocking(|| client.output()).await.unwrap())
    });
    assert!(received == text);
    assert_eq!(output.code, 130, "{}", output.stderr);
}

#[test]
fn a_second_interrupt_ends_at_once() {
    // Nobody acknowledges anything: a graceful end would take its time.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut client = Running::start(&["connect", &address, "--wire", "classic", "--connect-timeout", "1h"]);
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
