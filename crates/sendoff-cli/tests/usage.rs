//! What is wrong with a command line is said in one line, with exit code 2, before anything is sent.

mod common;

use common::run;

/// Runs it, expects exit code 2 and exactly this on stderr.
#[track_caller]
fn refused(args: &str, expected: &str) {
    let args: Vec<&str> = args.split_whitespace().collect();
    let output = run(&args, b"");
    assert_eq!((output.code, output.stderr.as_str()), (2, format!("{expected}\n").as_str()), "{args:?}");
    assert!(output.stdout.is_empty(), "{}", output.text());
}

#[test]
fn a_bad_address_names_its_wrong_part() {
    refused(
        "connect http://h:1",
        "sendoff: http://h:1: unknown scheme http:// (there are kcp://, tcp://, udp://)",
    );
    refused(
        "listen unix:///run/app.sock",
        "sendoff: unix:///run/app.sock: unknown scheme unix:// (there are kcp://, tcp://, udp://)",
    );
    refused("ping udp://h:1", "sendoff: udp://h:1: udp:// has no ping: only kcp://");
    refused(
        "connect 127.0.0.1:0",
        "sendoff: kcp://127.0.0.1:0: port 0 can't be reached; it must be 1 to 65535",
    );
    refused("ping 127.0.0.1:0", "sendoff: kcp://127.0.0.1:0: port 0 can't be reached; it must be 1 to 65535");
    refused("connect :8080", "sendoff: kcp://:8080: missing host; on this machine: 127.0.0.1:8080");
    refused(
        "listen 127.0.0.1",
        "sendoff: 127.0.0.1: missing port; it must be HOST:PORT, or :PORT to listen on all addresses",
    );
    refused("connect ::1:5", "sendoff: ::1:5: an IPv6 address goes in brackets: [::1]:PORT");
    refused("connect h:99999", "sendoff: h:99999: port 99999: must be 0 to 65535");
}

#[test]
fn a_bad_setting_is_quoted_with_what_would_do() {
    refused("connect kcp://127.0.0.1:8080 --mtu 10", "sendoff: --mtu 10: must be 50 to 65507 bytes");
    refused("connect 127.0.0.1:1?mtu=10", "sendoff: mtu=10 in the address: must be 50 to 65507 bytes");
    refused("ping 127.0.0.1:1?mtu=10", "sendoff: mtu=10 in the address: must be 50 to 65507 bytes");
    refused(
        "listen 127.0.0.1:0?mtu=60 --mtu 60",
        "sendoff: mtu=60 in the address: given twice, first as --mtu 60",
    );
    refused("listen :0?message=1", "sendoff: message=1 in the address: takes no value: message");
    refused("listen :0 --drivers 256", "sendoff: --drivers 256: must be 1 to 255");
    refused("listen :0 --rcv-wnd 0", "sendoff: --rcv-wnd 0: must be 1 to 32768 segments");
    refused(
        "connect h:1?key=x",
        "sendoff: key= in the address: refused, because addresses get printed; key-file= or key-env= say where it is",
    );
    refused(
        "connect h:1 --quit-after soon",
        "sendoff: --quit-after soon: must be a duration such as 500ms, 2s or 1m, or off",
    );
    refused("ping h:1 -i 1ms", "sendoff: --interval 1ms: must be at least 10ms");
    refused("ping h:1 -c 0", "sendoff: --count 0: must be 1 or more");
    refused("listen :0 --read-timeout 0", "sendoff: --read-timeout 0: must be more than 0");
}

#[test]
fn what_a_transport_does_not_have_is_refused() {
    refused("connect tcp://h:1 --mtu 1000", "sendoff: --mtu 1000: not a setting of tcp://");
    refused("connect udp://h:1?conv=5", "sendoff: conv=5 in the address: not a setting of udp://");
    refused("connect tcp://h:1 --early", "sendoff: --early: tcp:// has no such thing: only kcp://");
    refused("connect udp://h:1 --code 17", "sendoff: --code 17: udp:// has no such thing: only kcp://");
    refused("listen tcp://:0 --reason why", "sendoff: --reason: tcp:// has no such thing: only kcp://");
}

#[test]
fn bad_values_of_framings_and_formats_are_told_what_would_do() {
    let framings = "u8, le16, be16, le32, be32, le64, be64, varint, lines or none";
    refused("listen :0 --frame le31", &format!("sendoff: --frame le31: must be {framings}"));
    refused(
        "connect h:1 --frame lines:counting-prefix",
        "sendoff: --frame lines:counting-prefix: framing lines has no length that could count its prefix",
    );
    refused("connect h:1 --frame le32 --frame-limit 0", "sendoff: --frame-limit 0: must be 1 or more bytes");
    refused(
        "connect h:1 --frame le32:limit=7 --frame-limit 5",
        "sendoff: --frame-limit 5: given twice, first as --frame le32:limit=7",
    );
    refused(
        "connect tcp://h:1 --stdio lines",
        "sendoff: --stdio lines: a stream of bytes has no messages: choose a --frame",
    );
    refused(
        "listen :0 --format hex --json",
        r#"{"event":"error","message":"--format hex: not with --json","exit_code":2}"#,
    );
    refused("listen :0 --idle-timeout 0", "sendoff: --idle-timeout 0: must be more than 0");
    refused("listen :0 --max-connections 0", "sendoff: --max-connections 0: must be 1 or more");
}

#[test]
fn what_is_unknown_is_refused() {
    for (args, word) in [
        ("fly", "'fly'"),
        ("connect", "<ADDR>"),
        ("connect h:1 --warp 9", "'--warp'"),
        ("connect h:1 --send-only --quit-after 1s", "'--send-only'"),
        ("listen h:1 --conv 5", "'--conv'"),
        ("completions tcsh", "'tcsh'"),
        ("listen :0 --echo -- cat", "'--echo'"),
        ("listen :0 --format xml", "'xml'"),
        ("listen :0 --frame-limit 5", "--frame <FRAMING>"),
        ("demo --color pink", "'pink'"),
    ] {
        let args: Vec<&str> = args.split_whitespace().collect();
        let output = run(&args, b"");
        assert_eq!(output.code, 2, "{args:?}");
        assert!(output.stderr.contains(word) && output.stdout.is_empty(), "{args:?}: {}", output.stderr);
    }
}

#[test]
fn errors_are_objects_with_json() {
    let output = run(&["connect", "h:1", "--mtu", "10", "--json"], b"");
    let expected = r#"{"event":"error","message":"--mtu 10: must be 50 to 65507 bytes","exit_code":2}"#;
    assert_eq!((output.code, output.stderr.trim_end()), (2, expected));
}

#[test]
fn nothing_in_an_argument_steers_the_terminal() {
    let output = run(&["connect", "\u{1b}[2J:1?\u{1b}[31m=\u{7}"], b"");
    assert_eq!(output.code, 2);
    assert!(!output.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", output.stderr);
    let output = run(&["connect", "h:1", "--quit-after", "\u{1b}[2J"], b"");
    assert!(output.code == 2 && !output.stderr.contains('\u{1b}'), "{:?}", output.stderr);
}

#[test]
fn help_shows_what_exists_and_only_that() {
    let help = run(&["--help"], b"");
    assert_eq!(help.code, 0);
    let commands = ["demo", "listen", "connect", "ping", "bench", "dissect"];
    let parts = ["Addresses:", "tcp://", "udp://", "Settings:", "--crypt", "--fec", "Exit:"];
    for there in commands.into_iter().chain(parts) {
        assert!(help.text().contains(there), "{there}: {}", help.text());
    }
    assert!(!help.text().contains("forward"), "{}", help.text());
    let of_all = help.text().split("Options:").nth(1).unwrap().to_owned();
    assert!(!of_all.contains("--capture"), "not of every command: {of_all}");
    for command in ["demo", "listen", "connect", "ping", "dissect"] {
        let help = run(&[command, "--help"], b"");
        assert!(help.code == 0 && help.text().contains("Exit:"), "{command}: {}", help.text());
        let exit = help.text().split("Exit:").nth(1).unwrap().to_owned();
        assert!(exit.contains("130 interrupted"), "{command}: {exit}");
    }
    let nothing = run(&[], b"");
    assert_eq!(nothing.code, 2);
    assert!(nothing.stderr.contains("Commands:"), "{}", nothing.stderr);
}

#[test]
fn the_version_is_printed() {
    let version = run(&["--version"], b"");
    assert_eq!((version.code, version.text().trim()), (0, concat!("sendoff ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn completions_and_the_man_page_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell], b"");
        assert_eq!(script.code, 0, "{shell}");
        for word in ["listen", "read-timeout", "snd-wnd"] {
            assert!(script.text().contains(word), "{shell}: {word}");
        }
    }
    let page = run(&["man"], b"");
    assert_eq!(page.code, 0);
    for word in [".TH", "SENDOFF LISTEN", "SENDOFF PING", "\\-\\-read\\-timeout", "\\-\\-snd\\-wnd"] {
        assert!(page.text().contains(word), "{word}: {}", page.text());
    }
    assert!(!page.text().contains("COMPLETIONS"), "{}", page.text());
}
