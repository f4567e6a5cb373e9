//! `demo` runs without set-up, and what it says is measured.

mod common;

use common::{command, objects, run};

#[test]
fn the_demo_shows_an_echo_a_goodbye_a_close_that_loses_nothing_and_what_sticks_together() {
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
    assert!(lines[7].starts_with("2. With a goodbye (extended)"), "{text}");
    assert!(lines[8].contains("client ──▶ server   HELLO") && lines[8].contains("PUSH sn=0"), "{text}");
    assert!(lines[9].contains("client ◀── server   WELCOME"), "{text}");
    let (lines, fourth) = lines.split_at(lines.len() - 7);
    let count = |what: &str| lines[8..].iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("FIN  sn=1"), count("PING"), count("PONG")), (2, 1, 1), "{text}");
    let [knew, both, gap, third] = lines[lines.len() - 4..] else { panic!("{text}") };
    assert!(knew.contains("The server knew after ") && knew.contains(" ms"), "{text}");
    assert!(both.contains("Both say: finished, code 0, 50 bytes each way"), "{text}");
    assert_eq!(gap, "");
    assert!(
        third.contains("1,048,576 of 1,048,576 bytes arrived") && third.contains("SHA-256 equal"),
        "{text}"
    );
    let ["", title, stuck, framed, message_mode, udp, _] = fourth else { panic!("{text}") };
    assert_eq!(*title, "4. \"Hello, Hello. How are you?\" 20 times, back to back");
    assert!(stuck.contains("tcp://  ") && stuck.contains("you?Hello, Hello. …\""), "{text}");
    assert!(framed.ends_with(" 20 messages of 26 bytes"), "{text}");
    for (line, name) in [(message_mode, "kcp:// in message mode"), (udp, "udp://")] {
        assert!(line.contains(name) && line.ends_with(" 20 messages of 26 bytes, and no codec"), "{text}");
    }
    assert_eq!(output.stderr, "");
}

#[test]
fn the_demo_speaks_json() {
    let output = run(&["demo", "--json"], b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let reports = objects(&output.text());
    let kinds: Vec<&str> = reports.iter().map(|report| report["report"].as_str().unwrap()).collect();
    assert_eq!(kinds[..7], ["start", "datagram", "datagram", "datagram", "datagram", "part", "start"]);
    assert!(reports[5]["gave_up_after_ms"].as_f64().unwrap() >= 1_000.0);
    let parts: Vec<_> = reports.iter().filter(|report| report["report"] == "part").collect();
    assert_eq!((parts.len(), &parts[1]["clean"]), (4, &true.into()));
    let sizes: Vec<_> =
        reports.iter().filter_map(|report| report["sizes"].as_array()).map(Vec::len).collect();
    assert!(sizes.len() == 4 && sizes[0] < 20 && sizes[1..] == [20, 20, 20], "{sizes:?}");
    assert!(parts[1]["server_knew_after_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(parts[2]["sha256_equal"], true);
    let blocks: Vec<_> = reports.iter().filter_map(|r| r["segments"][0]["block"].as_str()).collect();
    assert!(blocks.contains(&"HELLO") && blocks.contains(&"FIN code=0"), "{blocks:?}");
}

#[test]
fn arrows_are_ascii_where_the_locale_is_and_colours_come_when_asked_for() {
    let output = command(&["demo", "--color", "always"]).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("client --> server") && text.contains("\u{1b}["), "{text}");
    assert!(text.is_ascii(), "{text}");
}
