//! What goes wrong on the network: one line, from whom, after what, exit code 1.

mod common;

use common::{Running, objects, refusing_address, run};
use std::net::UdpSocket;

#[test]
fn a_refusal_is_said() {
    let address = refusing_address();
    let output = run(&["connect", &format!("kcp://{address}")], b"hello\n");
    let expected = format!("sendoff: {address} refused the connection (port unreachable)\n");
    assert_eq!((output.code, output.stderr.as_str(), output.text().as_str()), (1, expected.as_str(), ""));
}

#[test]
fn a_refusal_is_an_object_with_json() {
    let address = refusing_address();
    let output = run(&["connect", &address, "--json", "--send-only"], b"hello\n");
    let error = &objects(&output.stderr)[0];
    assert_eq!((output.code, &error["exit_code"], &error["event"]), (1, &1.into(), &"error".into()));
    assert!(error["message"].as_str().unwrap().starts_with(&address), "{error}");
}

#[test]
fn silence_is_given_up_after_the_connect_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = run(&["connect", &address, "--connect-timeout", "300ms"], b"hello");
    assert_eq!(output.code, 1, "{}", output.stderr);
    let line = output.stderr.trim_end();
    assert!(line.starts_with(&format!("sendoff: {address} has not answered within ")), "{line}");
    assert_eq!(output.stderr.lines().count(), 1);
    // Plain KCP finds that out with its first data.
    let args = ["connect", &address, "--wire", "classic", "--connect-timeout", "300ms"];
    let line = run(&args, b"hello").stderr;
    assert!(line.trim_end().ends_with(", 0 of 5 bytes acknowledged"), "{line}");
}

#[test]
fn a_name_without_address_is_said() {
    let output = run(&["connect", "no-such-host.invalid:1"], b"");
    assert_eq!(output.code, 1);
    assert!(output.stderr.starts_with("sendoff: cannot resolve no-such-host.invalid: "), "{}", output.stderr);
}

#[test]
fn a_taken_port_is_said() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["listen", &address], b"");
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.starts_with(&format!("sendoff: cannot listen on {address}: ")),
        "{}",
        output.stderr
    );
}

#[test]
fn a_listener_on_all_addresses_warns() {
    let mut listener = Running::start(&["listen", ":0"]);
    let line = listener.event("listening on kcp://");
    let warning = listener.event("warning:");
    assert!(warning.contains("not encrypted"), "{warning}");
    let port = line.split(' ').nth(2).unwrap().rsplit(':').next().unwrap();
    let output = run(&["connect", &format!("127.0.0.1:{port}"), "--send-only"], b"over IPv4\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    listener.stdout_until(|seen| seen == b"#1 over IPv4\n");
}

#[test]
fn an_empty_stdin_that_meets_silence_is_said() {
    let args = ["connect", &refusing_address(), "--wire", "classic", "--quit-after", "100ms"];
    let output = run(&args, b"");
    let expected = "sendoff: nothing was sent and nothing came: left after 100 ms (--quit-after)\n";
    assert_eq!((output.code, output.stderr.as_str()), (0, expected));
}
