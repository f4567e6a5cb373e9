//! `dissect --live`: what passes on loopback while it runs. Only root may: skipped for others, unless CI is set.
#![cfg(target_os = "linux")]

mod common;

use common::{Running, command, objects, random_bytes, run};
use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Starts to watch loopback, if that is allowed.
fn watch(port: u16, arguments: &[&str]) -> Option<Running> {
    let port = port.to_string();
    let mut live = Running::start(&[&["dissect", "--live", "lo", "--port", &port], arguments].concat());
    let first = live.event("lo");
    if first.contains("CAP_NET_RAW") {
        assert!(env::var_os("CI").is_none(), "{first}");
        eprintln!("skipped: packet sockets need root");
        return None;
    }
    if !arguments.contains(&"--json") {
        assert_eq!(first, format!("sendoff: watching lo (Ethernet), port {port}; Ctrl-C ends it"));
    }
    Some(live)
}

fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn lines_come_while_packets_pass_and_the_summary_when_it_is_interrupted() {
    let (_listener, port) = Running::listen(&["--echo"]);
    let Some(mut live) = watch(port, &[]) else { return };
    let address = format!("127.0.0.1:{port}");
    let output = run(&["connect", &address], b"hello world\n");
    assert_eq!(output.text(), "hello world\n");
    // Seen before anything ends it.
    let text = |seen: &[u8]| String::from_utf8_lossy(seen).into_owned();
    let both_finished = |seen: &[u8]| text(seen).matches("FIN sn=").count() >= 2;
    live.stdout_until(both_finished);
    live.signal("INT");
    let output = live.output();
    let text = output.text();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let arrow = format!(" → {address}  #1 client  ");
    assert!(text.lines().next().unwrap().contains(&arrow), "{text}");
    assert_eq!(text.matches("12 bytes \"hello world\\n\"").count(), 2, "nothing is seen twice: {text}");
    assert!(text.contains("\n#1 KCP conv=") && text.contains("began: with HELLO"), "{text}");
    let lines = text.lines().take_while(|line| !line.is_empty()).count();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(&format!("{lines} packets, ")), "{last}");
    assert!(last.ends_with("; 1 conversation"), "nothing was dropped: {last}");
}

#[test]
fn batches_are_told_datagram_by_datagram_as_the_wire_has_them() {
    let key = scratch("live.key");
    fs::write(&key, "it's a secrect").unwrap();
    let crypt = ["--crypt", "aes-128-gcm", "--key-file", key.to_str().unwrap()];
    let (mut listener, port) = Running::listen(&[&["--once"], &crypt[..]].concat());
    listener.close_stdin();
    let arguments = [&["--follow", "client"], &crypt[2..]].concat();
    let Some(mut live) = watch(port, &arguments) else { return };
    let data = random_bytes(2_000_000, 3);
    let address = format!("127.0.0.1:{port}");
    let output = run(&[&["connect", &address, "--send-only"], &crypt[..]].concat(), &data);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(listener.output().stdout == data);
    // A batch that isn't cut up could not be opened.
    live.stdout_until(|seen| seen.len() >= data.len());
    live.signal("INT");
    let output = live.output();
    assert!(output.stdout == data, "{}", output.stderr);
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn so_many_packets_are_counted_and_kept_in_a_file() {
    let (_listener, port) = Running::listen(&[]);
    let file = scratch("live.pcapng");
    let file = file.to_str().unwrap();
    let Some(live) = watch(port, &["--count", "4", "--write", file, "--json"]) else { return };
    let ping = run(&["ping", &format!("127.0.0.1:{port}"), "-c", "3", "-i", "10ms"], b"");
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    let output = live.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let told = objects(&output.text());
    assert_eq!(told.iter().filter(|object| object["report"] == "packet").count(), 4);
    let again = run(&["dissect", "--json", file], b"");
    assert_eq!(objects(&again.text()), told);
}

#[test]
fn who_may_not_watch_is_told_what_it_takes() {
    // Nobody, in any case.
    let path = scratch("sendoff-for-nobody");
    fs::copy(env!("CARGO_BIN_EXE_sendoff"), &path).unwrap();
    let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    let mut command = if is_root {
        let mut command = Command::new(&path);
        command.args(["dissect", "--live", "lo"]).uid(65_534).gid(65_534);
        command
    } else {
        command(&["dissect", "--live", "lo"])
    };
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected =
        "sendoff: --live lo: only root, or who has CAP_NET_RAW, may see the packets of an interface\n";
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, words) in [
        (
            &["dissect", "--live", "nosuch0"][..],
            "--live nosuch0: there is no interface \"nosuch0\"; there are ",
        ),
        (&["dissect", "--live", "lo", "file"], "'--live <IFACE>' cannot be used with '[FILE]'"),
        (&["dissect", "file", "--port", "80"], "cannot be used with '--port <N>'"),
        (&["dissect", "--count", "1"], "<FILE>"),
        (&["dissect", "--live", "lo", "--port", "0"], "--port"),
        (&["dissect", "--live", "lo", "--crypt", "aes"], "--crypt aes: needs a secret"),
    ] {
        let output = run(arguments, b"");
        assert_eq!((output.code, output.text().as_str()), (2, ""), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
    }
}
