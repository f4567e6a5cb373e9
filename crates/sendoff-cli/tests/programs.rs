//! A command per connection: its stdio is the stream.
#![cfg(unix)]

mod common;

use common::{Running, WATCHDOG, run, until};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
};

fn address(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

#[test]
fn its_stdio_is_the_stream_over_every_transport() {
    for scheme in ["kcp", "tcp", "udp"] {
        let (mut listener, port) = Running::listen_over(scheme, &["--", "cat"]);
        let output = run(&["connect", &address(scheme, port), "--quit-after", "500ms", "-q"], b"one\ntwo\n");
        assert_eq!((output.code, output.text().as_str()), (0, "one\ntwo\n"), "{scheme}");
        if scheme != "udp" {
            let ended = listener.event("exit status 0");
            assert!(ended.contains(" after "), "{ended}");
        }
    }
}

#[test]
fn bytes_pass_untouched() {
    let (_listener, port) = Running::listen_over("tcp", &["--", "cat"]);
    let data = common::random_bytes(2 << 20, 11);
    let output = run(&["connect", &address("tcp", port)], &data);
    assert!(output.code == 0 && output.stdout == data, "{}", output.stderr);
}

#[test]
fn it_knows_who_is_there_and_needs_no_shell() {
    let script = "echo $SENDOFF_TRANSPORT $SENDOFF_PEER $SENDOFF_LOCAL $1";
    let (_listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", script, "sh", "$HOME; a b"]);
    let output = run(&["connect", &address("tcp", port)], b"");
    let text = output.text();
    let words: Vec<&str> = text.trim_end().splitn(4, ' ').collect();
    assert_eq!((words[0], words[2], words[3]), ("tcp", &*format!("127.0.0.1:{port}"), "$HOME; a b"));
    assert!(words[1].starts_with("127.0.0.1:") && words[1] != words[2], "{words:?}");
}

/// Connects, says nothing, and returns what the listener's program has said at its end.
fn farewell(port: u16) -> (u32, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = sendoff::KcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.finish().unwrap();
        let read = stream.read_chunk(100);
        assert!(tokio::time::timeout(WATCHDOG, read).await.unwrap().unwrap().is_none());
        let said = stream.peer_farewell().unwrap();
        (said.code, said.reason)
    })
}

#[test]
fn its_exit_status_is_the_code_that_a_kcp_peer_gets() {
    for (script, code, reason) in
        [("exit 3", 259, "exit status 3"), ("kill -9 $$", 393, "signal 9 (SIGKILL)"), ("exit 0", 0, "")]
    {
        let (_listener, port) = Running::listen_over("kcp", &["--", "sh", "-c", script]);
        assert_eq!(farewell(port), (code, reason.to_owned()));
    }
    let (_listener, port) = Running::listen_over("kcp", &["--", "/no/such/program"]);
    assert_eq!(farewell(port), (383, "cannot run the command".to_owned()));
}

#[test]
fn one_that_cannot_be_started_is_said() {
    let (mut listener, port) = Running::listen_over("tcp", &["--", "/no/such/program"]);
    let output = run(&["connect", &address("tcp", port)], b"");
    assert_eq!((output.code, output.text().as_str()), (0, ""));
    let ended = listener.event("cannot run /no/such/program");
    assert!(ended.contains("No such file"), "{ended}");
}

#[test]
fn when_the_peer_is_gone_it_is_ended() {
    let (mut listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", "echo $$; exec sleep 1000"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut pid = [0; 20];
    let len = stream.read(&mut pid).unwrap();
    let pid: u32 = std::str::from_utf8(&pid[..len]).unwrap().trim().parse().unwrap();
    let process = format!("/proc/{pid}");
    assert!(!cfg!(target_os = "linux") || Path::new(&process).exists());
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    let ended = listener.event("reset by the peer");
    assert!(ended.contains("signal 15"), "{ended}");
    assert!(!Path::new(&process).exists());
}

#[test]
fn one_that_does_not_want_to_end_is_killed() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.1; done";
    let (listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", script]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    listener.signal("INT");
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("signal 9"), "{}", output.stderr);
}

#[test]
fn when_the_peer_has_finished_its_stdin_ends_and_it_may_answer() {
    let (_listener, port) = Running::listen_over("tcp", &["--", "wc", "-c"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"12345").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer.trim(), "5");
}

#[test]
fn an_interrupted_listener_hears_its_last_words() {
    let (mut listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", "echo ready; cat; echo bye"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    listener.signal("INT");
    listener.event("interrupted");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "bye\n");
    drop(stream);
    assert_eq!(listener.output().code, 0);
}

#[test]
fn its_stderr_passes_through() {
    let (mut listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", "echo oops >&2"]);
    assert_eq!(run(&["connect", &address("tcp", port)], b"").code, 0);
    listener.event("oops");
}

#[test]
fn one_that_closes_its_stdout_and_goes_on_keeps_nobody_waiting() {
    let directory = std::env::temp_dir().join(format!("sendoff-{}-goes-on", std::process::id()));
    _ = std::fs::remove_file(&directory);
    let script = format!("exec >&-; read line; touch {}", directory.display());
    let (_listener, port) = Running::listen_over("tcp", &["--", "sh", "-c", &script]);
    let mut client = Running::start(&["connect", &address("tcp", port)]);
    client.write(b"go on\n");
    client.close_stdin();
    assert_eq!(client.output().code, 0);
    until("it has gone on", || directory.exists());
    _ = std::fs::remove_file(&directory);
}
