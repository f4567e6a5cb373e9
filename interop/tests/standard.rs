//! TCP and UDP with programs that know nothing of sendoff: Go's standard `net` and `encoding/binary`, netcat, socat;
//! each with the command and, where it is more than the command uses, with the library; both ways.

use sendoff::{AnyListener, AnyStream, Framing, Messages};
use sendoff_interop::program::{Program, WATCHDOG, run, there};
use std::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

const HELLO: &str = "Hello, Hello. How are you?";

/// The command as a server, with its address without the scheme.
async fn listen(scheme: &str, flags: &[&str]) -> (Program, String) {
    let address = format!("{scheme}://127.0.0.1:0");
    let mut listener = Program::start("sendoff", &[&["listen", &address], flags].concat());
    let line = listener.logs("listening on").await;
    let address = line.split("://").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    (listener, address.to_owned())
}

/// A server of Go's standard library, with its address.
async fn go_server(role: &str) -> (Program, String) {
    let mut server = Program::start("std", &[role]);
    let line = server.says("listening ").await;
    let address = line.trim_start_matches("listening ").to_owned();
    (server, address)
}

#[tokio::test]
async fn clients_in_go_get_their_echoes_from_the_command() {
    if !there(&["std", "sendoff"]) {
        return;
    }
    for (scheme, flags, role, said) in [
        ("tcp", &["--echo"][..], "tcp-client", "echoed 520 bytes\n"),
        ("tcp", &["--echo", "--frame", "le32"], "tcp-framed-client", "echoed 20 messages\n"),
        ("udp", &["--echo"], "udp-client", "echoed 20 datagrams\n"),
    ] {
        let (_listener, address) = listen(scheme, flags).await;
        let client = run("std", &[role, &address, "20"], b"").await;
        assert_eq!(
            (client.code, String::from_utf8_lossy(&client.stdout).as_ref()),
            (Some(0), said),
            "{client:?}"
        );
    }
}

#[tokio::test]
async fn the_command_prints_twenty_messages_of_a_client_in_go_one_a_line() {
    if !there(&["std", "sendoff"]) {
        return;
    }
    for (scheme, frame, role) in [("tcp", "le32", "tcp-framed-client"), ("udp", "none", "udp-client")] {
        let (mut listener, address) = listen(scheme, &["--echo", "--print", "--frame", frame]).await;
        let client = run("std", &[role, &address, "20"], b"").await;
        assert_eq!(client.code, Some(0), "{client:?}");
        for _ in 0..20 {
            let line = listener.says("#1").await;
            assert!(line.starts_with(&format!("#1 {scheme} 127.0.0.1:")), "{line}");
            assert!(line.ends_with(&format!(" 26 bytes: {HELLO}")), "{line}");
        }
    }
}

#[tokio::test]
async fn the_command_gets_its_echoes_from_servers_in_go() {
    if !there(&["std", "sendoff"]) {
        return;
    }
    let message = ["--message", HELLO, "--repeat", "20"];
    for (scheme, role, flags, expected) in [
        ("tcp", "tcp-server", &[][..], HELLO.repeat(20)),
        ("tcp", "tcp-framed-server", &["--frame", "le32"], format!("{HELLO}\n").repeat(20)),
        ("udp", "udp-server", &["-q", "--quit-after", "1s"], format!("{HELLO}\n").repeat(20)),
    ] {
        let (_server, address) = go_server(role).await;
        let address = format!("{scheme}://{address}");
        let client = run("sendoff", &[&["connect", &address], &message[..], flags].concat(), b"").await;
        assert_eq!((client.code, client.stderr.as_str()), (Some(0), ""), "{role}");
        assert_eq!(String::from_utf8_lossy(&client.stdout), expected, "{role}");
    }
}

#[tokio::test]
async fn messages_of_the_library_pass_to_and_fro() {
    if !there(&["std"]) {
        return;
    }
    for (role, scheme, framing) in
        [("tcp-framed-server", "tcp", Framing::le32()), ("udp-server", "udp", Framing::none())]
    {
        let (_server, address) = go_server(role).await;
        let stream = AnyStream::connect(format!("{scheme}://{address}")).await.expect("it is there");
        let mut messages = Messages::new(stream, framing);
        for i in 0..20 {
            let message = format!("{HELLO} {i}");
            messages.send(&message).await.expect("it is sent");
            let echo = timeout(WATCHDOG, messages.try_next()).await.expect("it comes").expect("it is whole");
            assert_eq!(echo.as_deref(), Some(message.as_bytes()), "{role}");
        }
    }
    for (role, scheme, framing) in
        [("tcp-framed-client", "tcp", Framing::le32()), ("udp-client", "udp", Framing::none())]
    {
        let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0")).await.expect("a free port");
        let address = listener.local().to_string();
        let served = tokio::spawn(async move {
            let (stream, _peer) = listener.accept().await.expect("a client");
            let mut messages = Messages::new(stream, framing);
            let mut count = 0;
            while count < 20
                && let Some(message) = messages.try_next().await.expect("whole messages")
            {
                messages.send(message).await.expect("it is sent");
                count += 1;
            }
            _ = messages.finish().await;
            count
        });
        let client = run("std", &[role, &address, "20"], b"").await;
        assert_eq!(client.code, Some(0), "{client:?}");
        assert_eq!(
            timeout(WATCHDOG, served).await.expect("it ends").expect("it doesn't panic"),
            20,
            "{role}"
        );
    }
}

#[tokio::test]
async fn netcat_and_socat_get_their_echoes_from_the_command() {
    if !there(&["nc", "socat", "sendoff"]) {
        return;
    }
    let text = b"one\ntwo\n";
    let (_tcp, address) = listen("tcp", &["--echo"]).await;
    let (host, port) = address.split_once(':').expect("a port");
    let nc = run("nc", &["-N", host, port], text).await;
    assert_eq!((nc.code, &nc.stdout[..]), (Some(0), &text[..]), "{nc:?}");
    let socat = run("socat", &["-t", "10", "-", &format!("TCP:{address}")], text).await;
    assert_eq!((socat.code, &socat.stdout[..]), (Some(0), &text[..]), "{socat:?}");

    let (_udp, address) = listen("udp", &["--echo"]).await;
    let (host, port) = address.split_once(':').expect("a port");
    // Neither knows an end of UDP: a second of silence is one.
    let nc = run("nc", &["-u", "-w", "1", host, port], text).await;
    assert_eq!(&nc.stdout[..], &text[..], "{nc:?}");
    let socat = run("socat", &["-t", "1", "-", &format!("UDP:{address}")], text).await;
    assert_eq!((socat.code, &socat.stdout[..]), (Some(0), &text[..]), "{socat:?}");
}

#[tokio::test]
async fn the_command_talks_to_servers_of_netcat_and_socat() {
    if !there(&["nc", "socat", "sendoff"]) {
        return;
    }
    // Between socat and its cat nothing keeps datagrams apart: over UDP it gets one.
    for (scheme, listen, flags, text) in [
        ("tcp", "TCP-LISTEN:0,bind=127.0.0.1", &[][..], "one\ntwo\n"),
        ("udp", "UDP-LISTEN:0,bind=127.0.0.1", &["-q", "--quit-after", "1s"], "one\n"),
    ] {
        let mut server = Program::start("socat", &["-dd", listen, "EXEC:cat"]);
        let line = server.logs("listening on").await;
        let address = format!("{scheme}://{}", line.rsplit(' ').next().expect("an address"));
        let client = run("sendoff", &[&["connect", &address], flags].concat(), text.as_bytes()).await;
        let echo = String::from_utf8_lossy(&client.stdout);
        assert_eq!((client.code, echo.as_ref()), (Some(0), text), "{client:?}");
    }
    // netcat can't be asked for a free port: it gets one that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let mut nc = Program::start("nc", &["-l", "127.0.0.1", &free.port().to_string()]);
    let client = loop {
        let client = run("sendoff", &["connect", &format!("tcp://{free}"), "--send-only"], b"hello\n").await;
        // It takes a moment to listen.
        if client.code == Some(0) {
            break client;
        }
        assert!(client.stderr.contains("refused"), "{client:?}");
    };
    assert_eq!(client.stderr, "");
    nc.says("hello").await;
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port");
    let mut nc = Program::start("nc", &["-u", "-l", "127.0.0.1", &free.port().to_string()]);
    let address = format!("udp://{free}");
    let send = async {
        loop {
            run("sendoff", &["connect", &address, "--send-only", "--message", "hello\n"], b"").await;
        }
    };
    tokio::select! {
        () = send => {}
        heard = nc.says("hello") => assert_eq!(heard, "hello"),
    }
}
