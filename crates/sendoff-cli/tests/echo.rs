//! `listen` and `connect` as a pair of processes.

mod common;

use common::{Running, objects, run};

#[test]
fn what_is_sent_comes_back() {
    let (mut listener, port) = Running::listen(&["--echo"]);
    let address = format!("kcp://127.0.0.1:{port}");
    let date = "Sat Nov 21 12:00:00 UTC 2026\n";
    for more in [&[][..], &["--early"]] {
        let output = run(&[&["connect", &address], more].concat(), date.as_bytes());
        assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, date, ""));
    }
    let opened = listener.event("opened");
    assert!(opened.starts_with("#1 127.0.0.1:") && opened.contains(" conv=0x"), "{opened}");
    assert!(opened.ends_with("opened, extended"), "{opened}");
    let ended = listener.event("finished by the peer");
    assert!(ended.contains("code 0, 29 bytes in, 29 bytes out"), "{ended}");
}

#[test]
fn code_and_reason_are_told_to_the_other_side() {
    let (mut listener, port) = Running::listen(&["--echo", "--code", "21", "--reason", "enough"]);
    let args = ["connect", &format!("127.0.0.1:{port}"), "--code", "17", "--reason", "out of coffee"];
    let output = run(&args, b"four");
    assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, "four", ""));
    let ended = listener.event("finished by the peer");
    assert!(ended.contains("code 17 \"out of coffee\", 4 bytes in, 4 bytes out"), "{ended}");
}

#[test]
fn a_stock_peer_is_left_after_a_silence() {
    let (mut listener, port) = Running::listen(&["--echo", "--wire", "classic"]);
    let address = format!("kcp://127.0.0.1:{port}");
    let output = run(&["connect", &address], b"four");
    assert_eq!((output.code, output.text().as_str()), (0, "four"));
    assert_eq!(
        output.stderr,
        "sendoff: the peer can't say goodbye (stock KCP): left after 2 s of silence (--quit-after)\n"
    );
    assert!(listener.event("opened").ends_with("opened, stock"));
    let output = run(&["connect", &address, "--wire", "required"], b"four");
    assert_eq!((output.code, output.text().as_str()), (1, ""));
    assert!(output.stderr.contains("is a stock KCP peer"), "{}", output.stderr);
}

#[test]
fn a_silent_client_is_let_go_after_the_read_timeout() {
    let (mut listener, port) = Running::listen(&["--echo", "--read-timeout", "1s"]);
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}"), "-q"]);
    client.write(b"four");
    client.stdout_until(|seen| seen == b"four");
    let ended = listener.event("--read-timeout");
    assert!(ended.starts_with("#1 127.0.0.1:") && ended.contains(" finished here after "), "{ended}");
    assert!(ended.contains("4 bytes in, 4 bytes out"), "{ended}");
    assert!(ended.contains("nothing came for 1.0"), "{ended}");
}

#[test]
fn send_only_leaves_when_all_is_delivered() {
    let (mut listener, port) = Running::listen(&[]);
    let line = "x".repeat(60_000) + "\n";
    let output = run(&["connect", &format!("127.0.0.1:{port}"), "--send-only"], line.as_bytes());
    assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, "", ""));
    let expected = format!("#1 {line}");
    listener.stdout_until(|seen| seen == expected.as_bytes());
}

#[test]
fn a_message_goes_out_as_often_as_asked() {
    let (mut listener, port) = Running::listen(&[]);
    let args = [
        "connect",
        &format!("127.0.0.1:{port}"),
        "--send-only",
        "--message",
        "Hello, Hello.\n",
        "--repeat",
        "20",
    ];
    let output = run(&args, b"never read");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let expected = "#1 Hello, Hello.\n".repeat(20);
    listener.stdout_until(|seen| seen == expected.as_bytes());
}

#[test]
fn messages_keep_their_bounds_in_message_mode() {
    let (mut listener, port) = Running::listen(&["--message-mode", "--echo", "--print"]);
    let address = format!("127.0.0.1:{port}?message");
    let mut client = Running::start(&["connect", &address, "--quit-after", "off"]);
    // No line ends on the wire: the bounds alone keep them apart.
    client.write(b"one\ntwo\n\nthree\n");
    let long = "y".repeat(20_000);
    client.write(long.as_bytes());
    client.close_stdin();
    let expected = format!("one\ntwo\nthree\n{long}\n");
    client.stdout_until(|seen| seen == expected.as_bytes());
    let seen = listener.stdout_until(|seen| seen.iter().filter(|byte| **byte == b'\n').count() == 4);
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    for (line, message) in seen.lines().zip(expected.lines()) {
        assert!(line.starts_with("#1 kcp 127.0.0.1:"), "{line}");
        assert!(
            line.ends_with(&format!(
                " {} bytes: {message}",
                message.len().to_string().replace("20000", "20,000")
            )),
            "{line}"
        );
    }
}

#[test]
fn lines_of_several_clients_stay_whole() {
    const LINES: usize = 200;
    let (mut listener, port) = Running::listen(&[]);
    let address = format!("127.0.0.1:{port}");
    let letters = ["a", "b", "c", "d"];
    let text = |letter: &str| {
        (0..LINES).map(|n| format!("{letter}{n}-{}\n", letter.repeat(400))).collect::<String>()
    };
    let clients: Vec<_> = letters
        .map(|letter| {
            let (address, text) = (address.clone(), text(letter));
            std::thread::spawn(move || run(&["connect", &address, "--send-only"], text.as_bytes()))
        })
        .into();
    for client in clients {
        let output = client.join().unwrap();
        assert_eq!(output.code, 0, "{}", output.stderr);
    }
    let total = letters.len() * LINES;
    let seen = listener.stdout_until(|seen| seen.iter().filter(|byte| **byte == b'\n').count() >= total);
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    for number in 1..=letters.len() {
        let prefix = format!("#{number} ");
        let own: String =
            seen.lines().filter_map(|l| l.strip_prefix(&prefix)).map(|l| format!("{l}\n")).collect();
        let letter = &own[..1];
        assert_eq!(own, text(letter), "connection {number}");
    }
    assert_eq!(seen.lines().count(), total);
}

#[test]
fn a_line_without_end_is_printed_after_a_pause_and_what_follows_is_marked() {
    let (mut listener, port) = Running::listen(&[]);
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}")]);
    client.write(b"hello");
    listener.stdout_until(|seen| seen == b"#1 hello\n");
    client.write(b" world\n");
    listener.stdout_until(|seen| seen == "#1 hello\n#1 … world\n".as_bytes());
}

#[test]
fn control_characters_of_a_peer_are_escaped() {
    let (mut listener, port) = Running::listen(&[]);
    run(&["connect", &format!("127.0.0.1:{port}"), "--send-only"], b"\x1b[2J\x07\xff\n");
    listener.stdout_until(|seen| seen == b"#1 \\u{1b}[2J\\u{7}\\xff\n");
}

#[test]
fn every_line_of_json_is_an_object() {
    let (mut listener, port) = Running::listen(&["--json", "--read-timeout", "500ms"]);
    let output = run(
        &["connect", &format!("127.0.0.1:{port}"), "--json", "--wire", "classic", "--quit-after", "300ms"],
        b"hi\n\xff\n",
    );
    assert_eq!(output.code, 0);
    let left = objects(&output.stderr);
    assert_eq!((&left[0]["event"], &left[0]["silence_ms"]), (&"left".into(), &300.0.into()));

    let ended: serde_json::Value = serde_json::from_str(&listener.event("\"ended\"")).unwrap();
    assert_eq!(
        (&ended["connection"], &ended["bytes_in"], &ended["clean"]),
        (&1.into(), &5.into(), &true.into())
    );
    assert!(ended["read_timeout_ms"].as_f64().unwrap() >= 500.0, "{ended}");
    let lines = listener.stdout_until(|seen| seen.iter().filter(|byte| **byte == b'\n').count() == 2);
    let lines = objects(std::str::from_utf8(lines).unwrap());
    assert_eq!((&lines[0]["text"], &lines[0]["hex"]), (&"hi".into(), &serde_json::Value::Null));
    assert_eq!((&lines[1]["text"], &lines[1]["hex"]), (&"\u{fffd}".into(), &"ff".into()));
    assert_eq!((&lines[0]["report"], &lines[0]["connection"]), (&"line".into(), &1.into()));
}

#[test]
fn quiet_listeners_only_print_data() {
    // Without the event nobody knows the port, so it is one that was free a moment ago.
    let address = common::refusing_address();
    let mut listener = Running::start(&["listen", &address, "-q"]);
    // The first data is sent again until the listener is there: no refusal is final before it has come twice.
    let output = loop {
        let output = run(&["connect", &address, "--send-only", "-q"], b"hi\n");
        if output.code == 0 {
            break output;
        }
    };
    assert_eq!(output.stderr, "");
    listener.stdout_until(|seen| seen.ends_with(b" hi\n"));
    #[cfg(unix)]
    {
        listener.signal("INT");
        let output = listener.output();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn several_drivers_serve_as_one() {
    let (mut listener, port) = Running::listen(&["--echo", "--drivers", "4"]);
    let address = format!("127.0.0.1:{port}");
    for _ in 0..8 {
        let output = run(&["connect", &address], b"four");
        assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, "four", ""));
        listener.event("finished by the peer");
    }
    let second = run(&["listen", &address, "--drivers", "4"], b"");
    assert!(second.code == 1 && second.stderr.contains("in use"), "{}", second.stderr);
    listener.signal("INT");
    assert_eq!(listener.output().code, 0);
    let (_listener, port) = Running::listen(&["--echo", "--profile", "fast3", "--drivers", "2"]);
    assert_eq!(run(&["connect", &format!("127.0.0.1:{port}")], b"four").text(), "four");
}
