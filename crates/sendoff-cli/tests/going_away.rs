//! SIGTERM: peers are told, have some time, and the rest is reset.
#![cfg(unix)]

mod common;

use common::{Running, objects, run};

/// Says something to an echoing listener, and hears it.
fn exchange(client: &mut Running, text: &[u8]) {
    client.write(text);
    client.stdout_until(|seen| seen.ends_with(text));
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[test]
fn clients_are_told_newcomers_are_refused_and_what_ends_in_time_has_finished() {
    let (mut listener, port) = Running::listen(&["--echo", "--drain-timeout", "1h"]);
    let mut client = Running::start(&["connect", &address(port)]);
    exchange(&mut client, b"before ");
    listener.signal("TERM");
    let said = listener.event("going away");
    assert!(said.contains("1 connection has 3600 s to end (again: at once)"), "{said}");
    client.event("the peer goes away");
    exchange(&mut client, b"and after");
    let newcomer = run(&["connect", &address(port)], b"hello");
    assert_eq!(newcomer.code, 1);
    assert!(newcomer.stderr.contains("refused the connection: code 4 (going away)"), "{}", newcomer.stderr);
    client.close_stdin();
    let output = client.output();
    assert_eq!((output.code, output.text().as_str()), (0, "before and after"), "{}", output.stderr);
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains(": 1 served, 1 was open: 1 finished; 1 of 1 confirmed it"), "{last}");
}

#[test]
fn what_is_open_after_the_limit_is_reset() {
    // Time enough to confirm, however slow the machine; the test waits for its end.
    let (mut listener, port) = Running::listen(&["--echo", "--drain-timeout", "3s", "--json"]);
    let mut client = Running::start(&["connect", &address(port), "--quit-after", "off"]);
    exchange(&mut client, b"echo");
    listener.signal("TERM");
    listener.event("going_away");
    client.event("the peer goes away");
    let output = client.output();
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("reset the connection after"), "{}", output.stderr);
    assert!(output.stderr.contains("code 4 (going away)"), "{}", output.stderr);
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let said = objects(&output.stderr);
    let event = |name: &str| said.iter().find(|o| o["event"] == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(
        (&event("going_away")["connections"], &event("going_away")["limit_ms"]),
        (&1.into(), &3_000.0.into())
    );
    let gone = event("gone");
    for (what, count) in [
        ("served", 1),
        ("open", 1),
        ("finished", 0),
        ("failed", 0),
        ("reset", 1),
        ("told", 1),
        ("confirmed", 1),
    ] {
        assert_eq!(gone[what], count, "{what} in {gone}");
    }
    let ended = event("ended");
    assert_eq!((&ended["cause"], &ended["code"]), (&"aborted".into(), &4.into()));
}

#[test]
fn without_connections_it_ends_at_once_and_a_second_signal_does_so_in_any_case() {
    let (listener, _port) = Running::listen(&["--drain-timeout", "1h"]);
    listener.signal("TERM");
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("no connection is open"), "{}", output.stderr);
    let (mut listener, port) = Running::listen(&["--echo", "--drain-timeout", "1h"]);
    let mut client = Running::start(&["connect", &address(port), "--quit-after", "off"]);
    exchange(&mut client, b"echo");
    listener.signal("TERM");
    listener.event("going away");
    listener.signal("TERM");
    assert_eq!(listener.output().code, 130);
}

#[test]
fn programs_run_on_until_their_peers_have_finished_or_the_limit_is_over() {
    for (limit, finishes) in [("1h", true), ("100ms", false)] {
        let (listener, port) = Running::listen(&["--drain-timeout", limit, "--", "cat"]);
        let mut client = Running::start(&["connect", &address(port), "--quit-after", "off"]);
        exchange(&mut client, b"before ");
        listener.signal("TERM");
        client.event("the peer goes away");
        if finishes {
            exchange(&mut client, b"and after");
            client.close_stdin();
        }
        let output = client.output();
        assert_eq!(output.code, i32::from(!finishes), "{}", output.stderr);
        let output = listener.output();
        assert_eq!(output.code, 0, "{}", output.stderr);
        let what = if finishes { "1 finished" } else { "1 reset" };
        assert!(output.stderr.lines().last().unwrap().contains(what), "{}", output.stderr);
    }
}

#[test]
fn over_tcp_nobody_is_told_but_what_is_open_has_its_time() {
    let (mut listener, port) = Running::listen_over("tcp", &["--echo", "--drain-timeout", "1h"]);
    let mut client = Running::start(&["connect", &format!("tcp://127.0.0.1:{port}")]);
    exchange(&mut client, b"before ");
    listener.signal("TERM");
    listener.event("going away");
    exchange(&mut client, b"and after");
    client.close_stdin();
    let output = client.output();
    assert_eq!((output.code, output.text().as_str()), (0, "before and after"), "{}", output.stderr);
    assert!(!output.stderr.contains("goes away"));
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("1 served, 1 was open: 1 finished\n"), "{}", output.stderr);
    // What doesn't end is cut off.
    let (mut listener, port) = Running::listen_over("tcp", &["--echo", "--drain-timeout", "100ms"]);
    let mut client = Running::start(&["connect", &format!("tcp://127.0.0.1:{port}")]);
    exchange(&mut client, b"echo");
    listener.signal("TERM");
    listener.event("going away");
    assert_eq!(client.output().code, 1);
    let output = listener.output();
    assert!(output.stderr.contains("1 reset"), "{}", output.stderr);
}
