//! `listen` and `connect` over TCP and UDP.

mod common;

use common::{Running, objects, random_bytes, run};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
};

#[test]
fn a_tcp_server_prints_the_lines_of_many_clients() {
    let (mut listener, port) = Running::listen_over("tcp", &[]);
    let address = format!("tcp://127.0.0.1:{port}");
    for (number, text) in [(1, "one\n"), (2, "two\n")] {
        let output = run(&["connect", &address], text.as_bytes());
        assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, "", ""));
        let opened = listener.event("opened");
        assert!(
            opened.starts_with(&format!("#{number} 127.0.0.1:")) && opened.ends_with(" opened"),
            "{opened}"
        );
        let ended = listener.event("finished by the peer");
        assert!(ended.contains(": 4 bytes in, 0 bytes out") && !ended.contains("code"), "{ended}");
    }
    listener.stdout_until(|seen| seen == b"#1 one\n#2 two\n");
}

#[test]
fn what_is_sent_over_tcp_comes_back() {
    let (_listener, port) = Running::listen_over("tcp", &["--echo"]);
    let text = random_bytes(3 << 20, 3);
    let output = run(&["connect", &format!("tcp://127.0.0.1:{port}")], &text);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(output.stdout == text, "{} of {} bytes", output.stdout.len(), text.len());
}

#[test]
fn a_half_closed_tcp_client_still_hears_the_answer() {
    let (_listener, port) = Running::listen_over("tcp", &["--echo"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"four").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "four");
}

#[test]
fn what_is_sent_over_udp_comes_back_with_its_sender_and_size_printed() {
    let (mut listener, port) = Running::listen_over("udp", &["--echo", "--print"]);
    let args =
        ["connect", &format!("udp://127.0.0.1:{port}"), "--message", "Hello server", "--quit-after", "300ms"];
    let output = run(&args, b"");
    assert_eq!((output.code, output.text().as_str()), (0, "Hello server\n"));
    let left = "sendoff: the peer can't say goodbye (UDP): left after 300 ms of silence (--quit-after)\n";
    assert_eq!(output.stderr, left);
    let seen = listener.stdout_until(|seen| seen.ends_with(b"\n"));
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    assert!(seen.starts_with("#1 udp 127.0.0.1:") && seen.ends_with(" 12 bytes: Hello server\n"), "{seen}");
}

#[test]
fn each_line_is_a_datagram_and_an_empty_one_too() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let address = format!("udp://127.0.0.1:{port}");
    let output = run(&["connect", &address, "--send-only"], b"one\n\nthree");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    let mut buffer = [0; 100];
    for expected in ["one", "", "three"] {
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], expected.as_bytes());
    }
}

#[test]
fn raw_stdin_over_udp_goes_in_datagrams_that_fit_every_path() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = format!("udp://{}", socket.local_addr().unwrap());
    let data = random_bytes(3_000, 5);
    let output = run(&["connect", &address, "--send-only", "--stdio", "raw"], &data);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let (mut received, mut buffer) = (Vec::new(), [0; 70_000]);
    while received.len() < data.len() {
        let len = socket.recv(&mut buffer).unwrap();
        assert!(len <= 1_200, "{len}");
        received.extend_from_slice(&buffer[..len]);
    }
    assert!(received == data);
}

#[test]
fn a_udp_flow_ends_when_it_has_been_idle() {
    let (mut listener, port) = Running::listen_over("udp", &["--idle", "300ms"]);
    let output = run(&["connect", &format!("udp://127.0.0.1:{port}"), "--send-only"], b"once\n");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let ended = listener.event(" gone after ");
    assert!(ended.contains("silent for ") && ended.contains("4 bytes in"), "{ended}");
    // With one connection that is its end, and no failure.
    let (once, port) = Running::listen_over("udp", &["--once", "--print", "--idle", "300ms"]);
    run(&["connect", &format!("udp://127.0.0.1:{port}"), "--send-only"], b"once\n");
    let output = once.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.text().ends_with(" 4 bytes: once\n"), "{}", output.text());
}

#[test]
fn nobody_there_is_said_over_every_transport() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["connect", &format!("tcp://{free}")], b"hello");
    let expected = format!("sendoff: {free} refused the connection\n");
    assert_eq!((output.code, output.stderr), (1, expected));
    let free = common::refusing_address();
    let output = run(&["connect", &format!("udp://{free}")], b"hello");
    let expected = format!("sendoff: {free} refused the connection (port unreachable)\n");
    assert_eq!((output.code, output.stderr), (1, expected));
}

#[test]
fn a_taken_tcp_port_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = run(&["listen", &format!("tcp://{address}")], b"");
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.starts_with(&format!("sendoff: cannot listen on {address}: ")),
        "{}",
        output.stderr
    );
}

#[test]
fn a_reset_by_a_tcp_peer_is_said() {
    let (mut listener, port) = Running::listen_over("tcp", &["--once", "--echo"]);
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    listener.event("opened");
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    let output = listener.output();
    assert_eq!(output.code, 1);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains(" reset the connection after ") && !last.contains("code"), "{last}");
}

#[test]
fn one_tcp_connection_is_a_netcat() {
    let (mut listener, port) = Running::listen_over("tcp", &["--once"]);
    let (there, back) = (random_bytes(1 << 20, 1), random_bytes(1 << 20, 2));
    let mut client = Running::start(&["connect", &format!("tcp://127.0.0.1:{port}")]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write(&there);
            client.close_stdin();
        });
        listener.write(&back);
        listener.close_stdin();
    });
    let (server, client) = (listener.output(), client.output());
    assert_eq!((server.code, client.code), (0, 0), "{}{}", server.stderr, client.stderr);
    assert!(server.stdout == there && client.stdout == back);
}

#[test]
fn an_interrupted_tcp_listener_ends_its_connections() {
    let (listener, port) = Running::listen_over("tcp", &["--echo"]);
    let mut client = Running::start(&["connect", &format!("tcp://127.0.0.1:{port}")]);
    client.write(b"echo");
    client.stdout_until(|seen| seen == b"echo");
    listener.signal("INT");
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.contains("finished here after") && last.contains("4 bytes in, 4 bytes out"), "{last}");
    client.close_stdin();
    assert_eq!(client.output().code, 0);
}

#[test]
fn events_of_every_transport_carry_it() {
    for scheme in ["tcp", "udp", "kcp"] {
        let (mut listener, port) = Running::listen_over(scheme, &["--json", "--read-timeout", "300ms"]);
        let output = run(&["connect", &format!("{scheme}://127.0.0.1:{port}"), "--send-only"], b"hi\n");
        assert_eq!(output.code, 0, "{}", output.stderr);
        for event in ["opened", "ended"] {
            let line = listener.event(&format!("\"{event}\""));
            let event = &objects(&line)[0];
            assert_eq!((&event["transport"], &event["connection"]), (&scheme.into(), &1.into()), "{line}");
        }
        let line = listener.stdout_until(|seen| seen.ends_with(b"\n"));
        let line = &objects(std::str::from_utf8(line).unwrap())[0];
        assert_eq!((&line["transport"], &line["text"]), (&scheme.into(), &"hi".into()));
    }
}

#[test]
fn a_port_alone_listens_on_all_addresses() {
    for scheme in ["tcp", "udp"] {
        let mut listener = Running::start(&["listen", &format!("{scheme}://:0"), "--echo"]);
        let line = listener.event(&format!("listening on {scheme}://"));
        let port = line.split(' ').nth(2).unwrap().rsplit(':').next().unwrap();
        let args = ["connect", &format!("{scheme}://127.0.0.1:{port}"), "--quit-after", "300ms", "-q"];
        let output = run(&args, b"over IPv4\n");
        assert_eq!((output.code, output.text().as_str()), (0, "over IPv4\n"), "{scheme}: {}", output.stderr);
        let opened = listener.event("opened");
        assert!(opened.contains(" 127.0.0.1:"), "{opened}");
    }
}
