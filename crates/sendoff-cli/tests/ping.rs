//! `ping`: against nobody, against a listener, and against servers that treat a second conversation
//! from one address as stock servers do.

mod common;

use common::{Running, objects, refusing_address, run};
use std::{
    net::{SocketAddr, UdpSocket},
    sync::mpsc,
    thread,
};

#[test]
fn a_listener_answers_and_opens_nothing() {
    let (mut listener, port) = Running::listen(&["--echo"]);
    let address = format!("127.0.0.1:{port}");
    let output = run(&["ping", &address, "-c", "3", "-i", "20ms"], b"");
    let text = output.text();
    assert_eq!(output.code, 0, "{text}{}", output.stderr);
    for line in [
        &format!("PING kcp://{address} ({address}): probes of 56 bytes\n"),
        &format!("answer from {address} (extended): seq=1 time="),
        "--- kcp://127.0.0.1:",
        "3 probes sent, 3 answered, 0% loss, time ",
        "time min/avg/max/mdev = ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("flush interval"), "an extended peer answers at once: {text}");
    // The first connection in its log is one that was opened after the pings.
    run(&["connect", &address, "--send-only"], b"now");
    assert!(listener.event("opened").starts_with("#1 "));
}

#[test]
fn nobody_there_is_exit_code_1() {
    let address = refusing_address();
    let output = run(&["ping", &address, "-c", "2", "-i", "10ms"], b"");
    assert_eq!(output.code, 1, "{}", output.text());
    assert_eq!(output.stderr, format!("sendoff: {address} has not answered: port unreachable\n"));
    assert!(output.text().contains("seq=1 port unreachable"), "{}", output.text());
    assert!(output.text().contains("2 probes sent, 0 answered, 100% loss"), "{}", output.text());
}

#[test]
fn silence_is_exit_code_1() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let output = run(&["ping", &address, "-c", "1", "-W", "200ms", "--json"], b"");
    assert_eq!(output.code, 1);
    let reports = objects(&output.text());
    assert_eq!(
        (&reports[0]["report"], &reports[0]["why"]),
        (&"no_answer".into(), &"silent for 200 ms".into())
    );
    assert_eq!((&reports[1]["loss_percent"], &reports[1]["answered"]), (&100.0.into(), &0.into()));
    assert_eq!(objects(&output.stderr)[0]["exit_code"], 1);
    let mut probe = [0; 100];
    assert_eq!(silent.recv(&mut probe).unwrap(), 56, "a probe and nothing else");
    assert_eq!(probe[4..6], [83, 0], "WASK");
    assert_eq!(probe[12..20], [0; 8], "sn 0, una 0");
}

/// A server that answers a probe if `answers` says so; reports every conversation that it is asked in.
fn server(
    mut answers: impl FnMut(u32, SocketAddr) -> bool + Send + 'static,
) -> (String, mpsc::Receiver<(u32, SocketAddr)>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (asked, questions) = mpsc::channel();
    thread::spawn(move || {
        let mut probe = [0; 56];
        while let Ok((56, from)) = socket.recv_from(&mut probe) {
            let conv = u32::from_le_bytes(probe[..4].try_into().unwrap());
            if asked.send((conv, from)).is_err() {
                return;
            }
            if answers(conv, from) {
                probe[4] = 84; // WINS
                probe[20] = 0; // without data
                socket.send_to(&probe[..24], from).unwrap();
            }
        }
    });
    (address, questions)
}

#[test]
fn probes_have_the_size_that_was_asked_for_and_answers_are_small() {
    let (_listener, port) = Running::listen(&["--echo"]);
    let address = format!("127.0.0.1:{port}");
    for size in ["56", "1400", "60000"] {
        let output = run(&["ping", &address, "-c", "1", "--size", size, "--json"], b"");
        assert_eq!(output.code, 0, "{}{}", output.text(), output.stderr);
        let reports = objects(&output.text());
        assert_eq!(reports[0]["server"], "extended");
        assert_eq!(reports[1]["size"].to_string(), size);
    }
    for (size, least) in [("55", "56"), ("65508", "56")] {
        let output = run(&["ping", &address, "-c", "1", "--size", size], b"");
        assert_eq!(
            (output.code, &*output.stderr),
            (2, &*format!("sendoff: --size {size}: must be {least} to 65507 bytes\n"))
        );
    }

    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    run(&["ping", &address, "-c", "1", "-s", "1200", "-W", "100ms"], b"");
    let mut probe = [0; 2_000];
    assert_eq!(silent.recv(&mut probe).unwrap(), 1_200);
    assert_eq!(probe[20..24], 1_176u32.to_le_bytes(), "one segment, whose data a stock peer skips");
}

#[test]
fn each_probe_is_a_new_conversation_from_one_port() {
    let (address, questions) = server(|_, _| true);
    let output = run(&["ping", &address, "-c", "4", "-i", "10ms"], b"");
    assert_eq!(output.code, 0, "{}", output.text());
    assert!(output.text().contains("(stock): seq=1 window=") && output.text().contains("flush interval"));
    let questions: Vec<_> = questions.try_iter().collect();
    let mut convs: Vec<u32> = questions.iter().map(|(conv, _)| *conv).collect();
    convs.sort_unstable();
    convs.dedup();
    assert_eq!((questions.len(), convs.len()), (4, 4));
    assert!(questions.iter().all(|(_, from)| *from == questions[0].1) && !convs.contains(&0));
}

#[test]
fn a_server_that_ignores_a_second_conversation_is_asked_in_the_first() {
    let mut first = None;
    let (address, questions) = server(move |conv, _| *first.get_or_insert(conv) == conv);
    let output = run(&["ping", &address, "-c", "4", "-i", "10ms", "-W", "1s"], b"");
    assert_eq!(output.code, 0, "{}", output.text());
    assert!(output.text().contains("seq=2 silent for 1 s"), "{}", output.text());
    assert!(output.stderr.contains("ignores a second conversation"), "{}", output.stderr);
    let convs: Vec<u32> = questions.try_iter().map(|(conv, _)| conv).collect();
    let again = convs[1..].iter().filter(|conv| **conv == convs[0]).count();
    assert!(
        again == 2 && output.text().contains("4 probes sent, 3 answered, 1 ignored, 0% loss"),
        "{convs:?}\n{}",
        output.text()
    );
}
