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
    refused("connect http://h:1", "sendoff: http://h:1: unknown scheme http:// (there is kcp://)");
    refused("listen tcp://:1", "sendoff: tcp://:1: tcp:// is not in this version of sendoff: only kcp://");
    refused("ping udp://h:1", "sendoff: udp://h:1: udp:// is not in this version of sendoff: only kcp://");
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
    refused("listen :0 --rcv-wnd 0", "sendoff: --rcv-wnd 0: must be 1 to 32768 segments");
    refused("connect h:1?key=x", "sendoff: key= in the address: refused, because addresses get printed");
    refused(
        "connect h:1 --quit-after soon",
        "sendoff: --quit-after soon: must be a duration such as 500ms, 2s or 1m, or off",
    );
    refused("ping h:1 -i 1ms", "sendoff: --interval 1ms: must be at least 10ms");
    refused("ping h:1 -c 0", "sendoff: --count 0: must be 1 or more");
    refused("listen :0 --read-timeout 0", "sendoff: --read-timeout 0: must be more than 0");
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
    for there in ["demo", "listen", "connect", "ping", "Addresses:", "Settings:", "Exit:"] {
        assert!(help.text().contains(there), "{there}: {}", help.text());
    }
    for later in ["bench", "forward", "tcp://", "crypt", "fec"] {
        assert!(!help.text().contains(later), "{later}: {}", help.text());
    }
    for command in ["demo", "listen", "connect", "ping", "dissect"] {
        let help = run(&[command, "--help"], b"");
        assert!(help.code == 0 && help.text().contains("Exit:"), "{command}: {}", help.text());
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
