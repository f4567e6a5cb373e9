//! Messages over streams: framings, formats, and what happens without any.

mod common;

use common::{Running, objects, run};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

const HELLO: &str = "Hello, Hello. How are you?";

/// What a listener has printed once `lines` lines are there.
fn printed(listener: &mut Running, lines: usize) -> Vec<String> {
    let all = |seen: &[u8]| seen.iter().filter(|byte| **byte == b'\n').count() >= lines;
    let seen = listener.stdout_until(all).to_vec();
    String::from_utf8(seen).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn twenty_messages_over_tcp_without_framing_stick_together() {
    let (mut listener, port) = Running::listen_over("tcp", &[]);
    let args = ["connect", &format!("tcp://127.0.0.1:{port}"), "--message", HELLO, "--repeat", "20"];
    assert_eq!(run(&args, b"").code, 0);
    let ended = listener.event("finished by the peer");
    assert!(ended.contains("520 bytes in"), "{ended}");
    let seen = printed(&mut listener, 1);
    // One line, or several where the client's writes were further apart than a pause: never twenty messages.
    let text: String =
        seen.iter().map(|line| line.trim_start_matches("#1 ").trim_start_matches('…')).collect();
    assert_eq!(text, HELLO.repeat(20));
}

#[test]
fn twenty_messages_arrive_as_twenty_with_every_framing() {
    for frame in [
        "u8",
        "le16",
        "be16",
        "le32",
        "be32",
        "le64",
        "be64",
        "u16be",
        "varint",
        "lines",
        "be16:counting-prefix",
    ] {
        let (mut listener, port) = Running::listen_over("tcp", &["--frame", frame, "--echo", "--print"]);
        let address = format!("tcp://127.0.0.1:{port}");
        let args = ["connect", &address, "--message", HELLO, "--repeat", "20", "--frame", frame];
        let output = run(&args, b"");
        let expected = format!("{HELLO}\n").repeat(20);
        assert_eq!((output.code, output.text(), output.stderr.as_str()), (0, expected, ""), "{frame}");
        let seen = printed(&mut listener, 20);
        assert_eq!(seen.len(), 20, "{frame}");
        for line in seen {
            assert!(line.starts_with("#1 tcp 127.0.0.1:"), "{line}");
            assert!(line.ends_with(&format!(" 26 bytes: {HELLO}")), "{line}");
        }
    }
}

#[test]
fn kcp_in_message_mode_and_udp_need_no_framing() {
    for (scheme, more) in [("kcp", &["--message-mode"][..]), ("udp", &[])] {
        let (mut listener, port) = Running::listen_over(scheme, more);
        let address = format!("{scheme}://127.0.0.1:{port}");
        let args = ["connect", &address, "--send-only", "--message", HELLO, "--repeat", "20"];
        let output = run(&[&args, more].concat(), b"");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let seen = printed(&mut listener, 20);
        assert!(
            seen.len() == 20 && seen.iter().all(|line| line.ends_with(&format!(" 26 bytes: {HELLO}"))),
            "{seen:?}"
        );
    }
}

#[test]
fn le32_is_a_length_of_four_bytes_in_front() {
    let (mut listener, port) = Running::listen_over("tcp", &["--frame", "le32", "--echo", "--print"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // Cut within the length and within the message.
    for piece in [&b"\x02\0"[..], b"\0\0h", b"i\0\0\0\0"] {
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"\x02\0\0\0hi\0\0\0\0");
    let seen = printed(&mut listener, 2);
    assert!(seen[0].ends_with(" 2 bytes: hi") && seen[1].ends_with(" 0 bytes:"), "{seen:?}");
}

#[test]
fn each_line_of_stdin_is_a_message_and_an_empty_one_too() {
    let (_listener, port) = Running::listen_over("tcp", &["--frame", "be16", "--echo"]);
    let args = ["connect", &format!("tcp://127.0.0.1:{port}"), "--frame", "be16", "--format", "hex"];
    let output = run(&args, b"one\n\n\xff\x00\r\nlast");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let sizes: Vec<String> =
        output.text().lines().map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(sizes, ["3 bytes: 6f6e65", "0 bytes:", "3 bytes: ff000d", "4 bytes: 6c617374"]);
}

#[test]
fn raw_pipes_carry_messages_with_any_byte() {
    let (_listener, port) = Running::listen_over("tcp", &["--frame", "le32", "--echo"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let data = common::random_bytes(1 << 20, 7);
    let args = ["connect", &address, "--frame", "le32", "--frame-limit", "1000", "--stdio", "raw"];
    let output = run(&args, &data);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout == data);
}

#[test]
fn what_is_no_message_ends_the_connection_and_is_said() {
    let (mut listener, port) = Running::listen_over("tcp", &["--frame", "le32", "--frame-limit", "1000"]);
    for (bytes, problem) in [
        (&b"\xff\xff\xff\xff"[..], "a negative length: -1"),
        (b"\xe9\x03\0\0", "a message of 1001 bytes: at most 1000 are allowed"),
        (b"\x05\0\0\0abc", "the stream ended inside a frame, after 3 of 5 bytes"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_or(0), 0);
        let ended = listener.event(problem);
        assert!(ended.contains(" after ") && ended.contains("bytes in"), "{ended}");
    }
}

#[test]
fn a_message_that_is_too_long_to_send_is_said() {
    let (_listener, port) = Running::listen_over("tcp", &["--frame", "le32"]);
    let address = format!("tcp://127.0.0.1:{port}");
    let args = ["connect", &address, "--frame", "le32", "--frame-limit", "3", "--message", "four"];
    let output = run(&args, b"");
    assert_eq!(output.code, 1);
    let expected = format!("sendoff: 127.0.0.1:{port}: a message of 4 bytes: at most 3 are allowed\n");
    assert_eq!(output.stderr, expected);
}

#[test]
fn reads_are_shown_as_they_come_when_asked_for() {
    let (mut listener, port) = Running::listen_over("tcp", &["--frame", "none"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    for text in ["one\n", "and \x1b[2J two"] {
        stream.write_all(text.as_bytes()).unwrap();
        let lines = if text == "one\n" { 1 } else { 2 };
        printed(&mut listener, lines);
    }
    let seen = printed(&mut listener, 2);
    assert!(
        seen[0].ends_with(" 4 bytes: one\\n") && seen[1].ends_with(" 12 bytes: and \\u{1b}[2J two"),
        "{seen:?}"
    );
}

#[test]
fn formats_are_text_hex_and_json() {
    for (format, expected) in
        [("text", "2 bytes: \\xff\\n"), ("hex", "2 bytes: ff0a"), ("json", "\"hex\":\"ff0a\"}")]
    {
        let args = ["--frame", "le32", "--format", format];
        let (mut listener, port) = Running::listen_over("tcp", &args);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"\x02\0\0\0\xff\n").unwrap();
        let seen = printed(&mut listener, 1);
        assert!(seen[0].ends_with(expected), "{format}: {seen:?}");
        if format == "json" {
            let object = &objects(&seen[0])[0];
            assert_eq!((&object["report"], &object["bytes"]), (&"message".into(), &2.into()));
            assert_eq!(object["transport"], "tcp");
        }
    }
}

#[test]
fn framing_works_over_kcp_and_udp_too() {
    for (scheme, more) in [("kcp", &[][..]), ("kcp", &["--message-mode"]), ("udp", &[])] {
        let (mut listener, port) = Running::listen_over(scheme, &[&["--frame", "varint"], more].concat());
        let address = format!("{scheme}://127.0.0.1:{port}");
        let output =
            run(&[&["connect", &address, "--frame", "varint", "--send-only"], more].concat(), b"a\nbb\n");
        assert_eq!(output.code, 0, "{}", output.stderr);
        let seen = printed(&mut listener, 2);
        assert!(seen[0].ends_with(" 1 byte: a") && seen[1].ends_with(" 2 bytes: bb"), "{scheme}: {seen:?}");
    }
}
