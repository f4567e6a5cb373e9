//! `dissect --live`: what passes on loopback while it runs. Only root may: skipped for others, unless CI is set.
#![cfg(target_os = "linux")]

mod common;

use common::{Output, Running, command, objects, random_bytes, run, until};
use std::{
    env, fs,
    net::UdpSocket,
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

/// Sends so many datagrams of so many bytes to a socket that doesn't read them.
fn flood(to: &UdpSocket, datagrams: u32, bytes: usize) {
    let (socket, data) = (UdpSocket::bind("127.0.0.1:0").unwrap(), vec![b'x'; bytes]);
    for _ in 0..datagrams {
        socket.send_to(&data, to.local_addr().unwrap()).unwrap();
    }
}

/// So many datagrams come while it stands still, and an interrupt behind them.
fn interrupted_behind(live: Running, to: &UdpSocket, datagrams: u32, bytes: usize) -> Output {
    live.signal("STOP");
    flood(to, datagrams, bytes);
    live.signal("INT");
    live.signal("CONT");
    let output = live.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

fn unread() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[test]
fn the_last_line_of_a_burst_is_seen_without_a_next_packet() {
    let (to, port) = unread();
    let Some(mut live) = watch(port, &[]) else { return };
    // As much as is read at a time, and then nothing.
    flood(&to, 1, 65_507);
    live.stdout_until(|seen| seen.ends_with(b"\n"));
}

#[test]
fn what_waits_when_it_is_interrupted_is_told() {
    let (to, port) = unread();
    let Some(live) = watch(port, &["--json"]) else { return };
    let datagrams = 1_000;
    let output = interrupted_behind(live, &to, datagrams, 10_000);
    let told = objects(&output.text());
    let last = told.last().unwrap();
    assert_eq!((&last["packets"], &last["dropped"]), (&datagrams.into(), &0.into()));
}

#[test]
fn a_page_tells_what_the_kernel_has_dropped() {
    let (to, port) = unread();
    let page = scratch("live.html");
    let Some(live) = watch(port, &["--html", page.to_str().unwrap()]) else { return };
    // Twice of what can wait.
    let datagrams = 1_200;
    interrupted_behind(live, &to, datagrams, 60_000);
    let page = fs::read_to_string(&page).unwrap();
    let end = page.rsplit_once("class=\"end\">").unwrap().1.split_once("</script>").unwrap().0;
    let totals = &serde_json::from_str::<serde_json::Value>(end).unwrap()["totals"];
    let (told, dropped) = (totals["packets"].as_u64().unwrap(), totals["dropped"].as_u64().unwrap());
    assert!(told > 0 && dropped > 0, "{totals}");
    assert_eq!(told + dropped, u64::from(datagrams), "{totals}");
}

#[test]
fn a_second_interrupt_leaves_no_part_of_a_page_behind() {
    let place = scratch("interrupted-twice");
    _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place).unwrap();
    let [page, pipe] = ["page.html", "pipe"].map(|name| place.join(name).to_str().unwrap().to_owned());
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Somebody opens the pipe, and doesn't read it: it gets full, and who writes to it waits.
    let _reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let (to, port) = unread();
    let Some(live) = watch(port, &["--html", &page, "--write", &pipe]) else { return };
    flood(&to, 10, 60_000);
    let files = || fs::read_dir(&place).unwrap().count();
    until("a part of the page", || files() == 2);
    until("its end", || {
        live.signal("INT");
        files() == 1
    });
    assert_eq!(live.output().code, 130);
}

#[test]
fn a_file_is_only_written_once_the_interface_is_watched() {
    let file = scratch("kept.pcapng");
    fs::write(&file, "what was there before").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(run(&["dissect", "--live", "nosuch0", "--write", path], b"").code, 2);
    assert_eq!(fs::read_to_string(&file).unwrap(), "what was there before");
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
        (
            &["dissect", "--live", "lo", "--write", "-"],
            "--write -: stdout is taken; a named pipe does (mkfifo)",
        ),
    ] {
        let output = run(arguments, b"");
        assert_eq!((output.code, output.text().as_str()), (2, ""), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(words), "{arguments:?}: {}", output.stderr);
    }
}
