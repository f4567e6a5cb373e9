//! Bounds: of connections, of idleness, of open files.

mod common;

use common::{Running, WATCHDOG, objects, run};
use sendoff_proto::{
    SeqNumber, Timestamp,
    wire::{Block, Body, Command, Segment, Token},
};
use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

#[test]
fn a_tcp_connection_beyond_the_most_is_refused_and_that_is_said_once() {
    let (mut listener, port) = Running::listen_over("tcp", &["--echo", "--max-connections", "2"]);
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    let echo =
        |stream: &mut TcpStream| stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).is_ok();
    let (mut one, mut two) = (connect(), connect());
    assert!(echo(&mut one) && echo(&mut two));
    for _ in 0..3 {
        assert!(!echo(&mut connect()));
    }
    let refused = listener.event("refused");
    assert!(refused.ends_with(" refused: 2 connections open (--max-connections)"), "{refused}");
    drop(one);
    listener.event("finished by the peer");
    assert!(echo(&mut connect()));
    drop(two);
    listener.signal("INT");
    let output = listener.output();
    assert_eq!(output.stderr.matches("refused").count(), 1, "{}", output.stderr);
}

#[test]
fn a_kcp_connection_beyond_the_most_is_refused_by_word() {
    let (_listener, port) = Running::listen_over("kcp", &["--echo", "--max-connections", "1"]);
    let address = format!("127.0.0.1:{port}");
    let mut first = Running::start(&["connect", &address]);
    first.write(b"x");
    first.stdout_until(|seen| seen == b"x");
    let output = run(&["connect", &address], b"y");
    let expected = format!("sendoff: {address} refused the connection: code 3 (busy)\n");
    assert_eq!((output.code, output.stderr), (1, expected));
}

#[test]
fn one_address_has_as_many_connections_as_it_may() {
    let (_listener, port) = Running::listen_over("kcp", &["--echo", "--max-per-address", "1"]);
    let address = format!("127.0.0.1:{port}");
    let mut first = Running::start(&["connect", &address]);
    first.write(b"x");
    first.stdout_until(|seen| seen == b"x");
    let output = run(&["connect", &address], b"y");
    let expected = format!("sendoff: {address} refused the connection: code 3 (busy)\n");
    assert_eq!((output.code, output.stderr), (1, expected));
}

#[test]
fn a_listener_under_pressure_says_so_and_its_clients_notice_nothing() {
    let (mut listener, port) = Running::listen_over("kcp", &["--echo", "--json"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // HELLOs of nobody, all but their answers; a host is asked for a cookie 32 times a second at most.
    for n in 1..=266u32 {
        let mut hello = Vec::new();
        let body = Body::Hello { features: 0, cookie: [0; 16] };
        Block { flags: 0, to: None, from: Token::new(n.into()), body }.encode(&mut hello);
        let segment = Segment {
            conv: n,
            command: Command::WindowAsk,
            fragment: 0,
            window: 32,
            timestamp: Timestamp(0),
            sn: SeqNumber(0),
            una: SeqNumber(0),
        };
        let mut datagram = Vec::new();
        segment.encode(&hello, &mut datagram);
        socket.send_to(&datagram, ("127.0.0.1", port)).unwrap();
        socket.recv(&mut [0; 100]).unwrap();
    }
    let output = run(&["connect", &format!("127.0.0.1:{port}")], b"hello");
    assert_eq!((output.code, output.text().as_str()), (0, "hello"));
    let told = objects(&listener.event("under_pressure")).remove(0);
    assert!(told["retries"].as_u64() >= Some(1), "{told}");
}

#[test]
fn an_idle_connection_is_ended_over_every_transport() {
    for scheme in ["kcp", "tcp", "udp"] {
        let (mut listener, port) = Running::listen_over(scheme, &["--echo", "--idle-timeout", "500ms"]);
        let mut client = Running::start(&["connect", &format!("{scheme}://127.0.0.1:{port}"), "-q"]);
        client.write(b"four\n");
        client.stdout_until(|seen| seen == b"four\n");
        let ended = listener.event("--idle-timeout");
        assert!(ended.contains(" finished here after ") && ended.contains("nothing moved for "), "{ended}");
    }
}

#[test]
fn a_connection_whose_peer_takes_nothing_is_idle() {
    let (mut listener, port) = Running::listen_over("tcp", &["--echo", "--idle-timeout", "1s"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // It is echoed, and nobody reads the echo: sooner or later nothing moves.
    let data = vec![0; 1 << 20];
    while stream.write(&data).is_ok() {}
    let ended = listener.event("--idle-timeout");
    assert!(ended.contains("nothing moved for "), "{ended}");
}

#[test]
fn a_message_that_comes_slowly_is_no_idleness() {
    let (mut listener, port) = Running::listen_over("tcp", &["--frame", "le32", "--idle-timeout", "2s"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"\x06\0\0\0").unwrap();
    for byte in b"slowly" {
        std::thread::sleep(Duration::from_millis(600)); // the network of this test is that slow
        stream.write_all(&[*byte]).unwrap();
    }
    listener.stdout_until(|seen| seen.ends_with(b" 6 bytes: slowly\n"));
}

#[cfg(target_os = "linux")]
mod files {
    use super::*;
    use std::process::{Command, Stdio};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    const CONNECTIONS: usize = 10_000;

    /// Open files that a process of ours may have at most.
    fn hard_limit() -> u64 {
        let output = Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap_or(u64::MAX)
    }

    #[test]
    fn too_few_open_files_are_said() {
        let script = "ulimit -n 100; exec \"$0\" listen tcp://127.0.0.1:0";
        let mut child = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_sendoff")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            std::io::BufRead::read_line(&mut stderr, line).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let expected =
            "warning: 100 files may be open (ulimit -Hn): room for about 68 connections at a time\n";
        assert_eq!(lines[1], expected);
    }

    #[test]
    fn a_soft_limit_is_raised() {
        let script = "ulimit -Sn 64; exec \"$0\" listen tcp://127.0.0.1:0 --echo";
        let mut child = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_sendoff")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        let address = line.trim().split("tcp://").nth(1).unwrap().to_owned();
        let mut streams: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
        for stream in &mut streams {
            stream.set_read_timeout(Some(WATCHDOG)).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn ten_thousand_connections_at_a_time_are_served_by_default() {
        if hard_limit() < CONNECTIONS as u64 + 100 {
            let reason = format!("only {} files may be open here (ulimit -Hn)", hard_limit());
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            _ = writeln!(std::io::stderr(), "skipped: {reason}");
            return;
        }
        raise_soft_limit();
        for scheme in ["tcp", "kcp"] {
            let (listener, port) = Running::listen_over(scheme, &["--echo"]);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let output = runtime.block_on(async {
                let served = timeout(2 * WATCHDOG, serve(scheme, port)).await;
                let _open = served.expect("they are served in time");
                let end = || {
                    listener.signal("INT");
                    listener.output()
                };
                tokio::task::spawn_blocking(end).await.unwrap()
            });
            assert_eq!(output.code, 0);
            assert!(output.stderr.contains("interrupted: ending 10,000 connections"), "{scheme}");
        }
    }

    /// Opens all of them, and then each gets its echo: all are open at the same time.
    async fn serve(scheme: &str, port: u16) -> Vec<sendoff::AnyStream> {
        let endpoint = sendoff::KcpEndpoint::bind("127.0.0.1:0").await.unwrap();
        let mut streams: Vec<sendoff::AnyStream> = Vec::new();
        for _ in 0..CONNECTIONS {
            streams.push(match scheme {
                "tcp" => sendoff::AnyStream::connect(format!("tcp://127.0.0.1:{port}")).await.unwrap(),
                _ => endpoint.connect(("127.0.0.1", port)).await.unwrap().into(),
            });
        }
        for (i, stream) in streams.iter_mut().enumerate() {
            let number = i.to_le_bytes();
            stream.write_all(&number).await.unwrap();
            let mut echo = [0; 8];
            stream.read_exact(&mut echo).await.unwrap();
            assert_eq!(echo, number);
        }
        streams
    }

    /// As the command does it for itself.
    fn raise_soft_limit() {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}
