//! `demo` runs without set-up, and what it says is measured.

mod common;

use common::{command, objects, run};

#[test]
fn the_demo_shows_four_datagrams_and_a_close_that_loses_nothing() {
    let output = run(&["demo"], b"");
    let text = output.text();
    assert_eq!(output.code, 0, "{text}{}", output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("1. As kcp-go does it (classic)") && lines[0].contains("client 127.0.0.1:"));
    let rungs = [
        "client ──▶ server   PUSH",
        "client ◀── server   ACK",
        "client ◀── server   PUSH",
        "client ──▶ server   ACK",
    ];
    for (line, rung) in lines[1..].iter().zip(rungs) {
        assert!(line.contains(rung), "{rung}: {text}");
    }
    assert!(lines[5].contains("it gave up after 1.0"), "{text}");
    assert!(
        lines[7].contains("1,048,576 of 1,048,576 bytes arrived") && lines[7].contains("SHA-256 equal"),
        "{text}"
    );
    assert_eq!((lines.len(), output.stderr.as_str()), (8, ""));
}

#[test]
fn the_demo_speaks_json() {
    let output = run(&["demo", "--json"], b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let reports = objects(&output.text());
    let kinds: Vec<&str> = reports.iter().map(|report| report["report"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "datagram", "datagram", "datagram", "datagram", "part", "part"]);
    assert!(reports[5]["gave_up_after_ms"].as_f64().unwrap() >= 1_000.0);
    assert_eq!(reports[6]["sha256_equal"], true);
}

#[test]
fn arrows_are_ascii_where_the_locale_is_and_colours_come_when_asked_for() {
    let output = command(&["demo", "--color", "always"]).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("client --> server") && text.contains("\u{1b}["), "{text}");
    assert!(text.is_ascii(), "{text}");
}
