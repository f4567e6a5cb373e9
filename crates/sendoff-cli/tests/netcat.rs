//! `listen --once`: raw, both ways, one connection.

mod common;

use common::{Running, command, random_bytes, run};
use std::process::Stdio;

const MEBIBYTE: usize = 1 << 20;

#[test]
fn bytes_pass_untouched_both_ways() {
    let (mut listener, port) = Running::listen(&["--once", "--read-timeout", "2s"]);
    let (there, back) = (random_bytes(MEBIBYTE, 1), random_bytes(MEBIBYTE, 2));
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "off"]);
    let feeding = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            client.write(&there);
            client.close_stdin();
            client.stdout_until(|seen| seen.len() >= MEBIBYTE).to_vec()
        });
        listener.write(&back);
        listener.close_stdin();
        listener.stdout_until(|seen| seen.len() >= MEBIBYTE);
        client.join().unwrap()
    });
    assert!(feeding == back, "what the client printed differs from what the listener read");
    // It leaves by itself: the read timeout is over once nothing comes and all is acknowledged.
    let output = listener.output();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stdout == there, "what the listener printed differs from what the client read");
    assert!(output.stderr.contains("1,048,576 bytes in, 1,048,576 bytes out"), "{}", output.stderr);
}

#[test]
fn one_echo_is_enough_with_once() {
    let (listener, port) = Running::listen(&["--once", "--echo", "--read-timeout", "500ms"]);
    let output = run(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "300ms", "-q"], b"once");
    assert_eq!((output.code, output.text().as_str()), (0, "once"));
    let output = listener.output();
    assert_eq!((output.code, output.text().as_str()), (0, ""), "{}", output.stderr);
}

#[test]
fn a_client_that_is_killed_is_a_failure_of_the_one_connection() {
    let (mut listener, port) = Running::listen(&["--once", "--keep-alive", "200ms"]);
    let mut client = Running::start(&["connect", &format!("127.0.0.1:{port}")]);
    client.write(b"begun");
    listener.stdout_until(|seen| seen == b"begun");
    drop(client);
    let output = listener.output();
    assert_eq!(output.code, 1, "{}", output.stderr);
    let last = output.stderr.lines().last().unwrap();
    assert!(last.starts_with("sendoff: 127.0.0.1:") && last.contains(" is gone "), "{last}");
}

#[test]
fn a_closed_stdout_is_no_failure() {
    let (_listener, port) = Running::listen(&["--echo"]);
    let mut client = command(&["connect", &format!("127.0.0.1:{port}"), "--quit-after", "off"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(client.stdout.take());
    std::io::Write::write_all(client.stdin.as_mut().unwrap(), b"to nobody\n").unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));

    let mut listener = command(&["listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(listener.stdout.take());
    let mut line = String::new();
    let mut stderr = std::io::BufReader::new(listener.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    let port = line.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
    run(&["connect", &format!("127.0.0.1:{port}"), "--send-only", "-q"], b"to nobody\n");
    assert_eq!(listener.wait().unwrap().code(), Some(0));
}
