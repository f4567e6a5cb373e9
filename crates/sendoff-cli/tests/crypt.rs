//! Encryption on the command line: where the secret comes from, what is said, and what is never said.

mod common;

use common::{Output, Running, command, objects, run};
use std::{net::UdpSocket, path::PathBuf, process::Stdio};

const SECRET: &str = "correct horse battery staple";

/// A file with a secret, gone with its guard.
struct KeyFile(PathBuf);

impl KeyFile {
    fn new(name: &str, secret: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sendoff-cli-{}-{name}", std::process::id()));
        std::fs::write(&path, format!("{secret}\n")).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

fn run_with(args: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Output {
    let mut running = Running::start_with(args, environment);
    running.write(input);
    running.close_stdin();
    running.output()
}

/// An echo that two processes had, each with its own way to the secret.
fn assert_echoes(output: &Output, what: &str) {
    assert_eq!((output.code, output.text().as_str()), (0, "four"), "{what}: {}", output.stderr);
    assert!(!output.stderr.contains(SECRET), "{}", output.stderr);
}

#[test]
fn a_secret_from_a_file_the_address_the_environment_or_a_flag_is_the_same_secret() {
    let key = KeyFile::new("ways", SECRET);
    let (mut listener, port) = Running::listen(&["--echo", "--key-file", key.path()]);
    let address = format!("kcp://127.0.0.1:{port}");
    let in_address = format!("{address}?crypt=aes-128-gcm,key-file={}", key.path());
    assert_echoes(&run(&["connect", &in_address], b"four"), "the address");
    let by_name = format!("{address}?key-env=MY_KEY");
    assert_echoes(&run_with(&["connect", &by_name], &[("MY_KEY", SECRET)], b"four"), "key-env=");
    for variable in ["SENDOFF_KEY", "KCPTUN_KEY"] {
        assert_echoes(&run_with(&["connect", &address], &[(variable, SECRET)], b"four"), variable);
    }
    let environment = [("SENDOFF_KEY", "another"), ("KCPTUN_KEY", "a third")];
    let flag = ["connect", &address, "--key-file", key.path()];
    assert_echoes(&run_with(&flag, &environment, b"four"), "a flag goes before the environment");
    let shown = run(&["connect", &address, "--key", SECRET], b"four");
    assert_echoes(&shown, "--key");
    assert!(shown.stderr.contains("warning: everybody on this machine can see"), "{}", shown.stderr);
    let ended = listener.event("#6 ");
    assert!(!ended.contains(SECRET));
}

#[test]
fn every_cipher_by_name_carries_a_conversation_and_answers_a_ping() {
    let environment = [("SENDOFF_KEY", SECRET)];
    for cipher in ["aes", "aes-256-gcm", "salsa20", "twofish", "3des", "tea", "xor", "none", "null"] {
        let args = ["listen", "127.0.0.1:0", "--echo", "--crypt", cipher];
        let mut listener = Running::start_with(&args, &environment);
        let line = listener.event("listening");
        assert_eq!(line.contains(cipher), cipher != "null", "{line}");
        let address = line.split(' ').nth(2).unwrap().to_owned();
        let output = run_with(&["connect", &address, "--crypt", cipher], &environment, b"four");
        assert_echoes(&output, cipher);
        let output = run_with(&["ping", &address, "--crypt", cipher, "-c", "1"], &environment, b"");
        assert_eq!(output.code, 0, "{cipher}: {}{}", output.text(), output.stderr);
        assert!(output.text().contains("(extended): seq=1"), "{}", output.text());
    }
}

#[test]
fn another_key_is_named_as_what_may_be_wrong_on_both_sides() {
    let (key, other) = (KeyFile::new("right", SECRET), KeyFile::new("wrong", "another"));
    let (mut listener, port) = Running::listen(&["--echo", "--key-file", key.path()]);
    let address = format!("127.0.0.1:{port}");
    let args = ["connect", &address, "--connect-timeout", "1s", "--key-file", other.path()];
    let output = run(&args, b"four");
    assert_eq!((output.code, output.text().as_str()), (1, ""));
    assert!(output.stderr.contains("or has another key or cipher"), "{}", output.stderr);
    let told = listener.event("could not be opened");
    assert!(told.contains("(another key or cipher, or forged)"), "{told}");
    let output = run(&["ping", &address, "-c", "1", "-W", "200ms", "--key-file", other.path()], b"");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("it may have another key or cipher"), "{}", output.stderr);
}

#[test]
fn what_comes_back_and_can_not_be_opened_is_counted() {
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = echo.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_000];
        while let Ok((len, from)) = echo.recv_from(&mut buffer) {
            buffer[len / 2] ^= 1;
            _ = echo.send_to(&buffer[..len], from);
        }
    });
    let environment = [("SENDOFF_KEY", SECRET)];
    let output = run_with(&["connect", &address, "--connect-timeout", "500ms"], &environment, b"four");
    assert_eq!(output.code, 1);
    assert!(
        output.stderr.contains("could be opened: 2 datagrams (wrong key or cipher?)"),
        "{}",
        output.stderr
    );
    let output = run_with(&["ping", &address, "-c", "1", "-W", "200ms"], &environment, b"");
    assert!(
        output.stderr.contains("could be opened: 1 datagram (wrong key or cipher?)"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_command_line_without_the_secret_that_it_needs_is_refused() {
    for args in [
        &["listen", "127.0.0.1:0", "--crypt", "aes"][..],
        &["connect", "127.0.0.1:1?crypt=aes"],
        &["ping", "127.0.0.1:1", "--crypt", "aes-128-gcm"],
    ] {
        let output = run(args, b"");
        assert_eq!(output.code, 2, "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains("needs a secret"), "{}", output.stderr);
    }
    let output = run(&["connect", "127.0.0.1:1?key=hunter2"], b"");
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("refused, because addresses get printed"), "{}", output.stderr);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    let output = run(&["connect", "127.0.0.1:1", "--key-file", "/no/such/file"], b"");
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("--key-file /no/such/file: cannot be read"), "{}", output.stderr);
    let output = run(&["connect", "127.0.0.1:1", "--crypt", "rot13", "--key", "hunter2"], b"");
    assert!(
        output.code == 2 && output.stderr.contains("--crypt rot13: must be one of aes,"),
        "{}",
        output.stderr
    );
    let output = run(&["connect", "127.0.0.1:1", "--key", "hunter2", "--mtu", "60"], b"");
    assert!(output.stderr.contains("--mtu 60: must be at least 78 bytes, 28 of them"), "{}", output.stderr);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[test]
fn a_listener_on_all_addresses_warns_only_where_nothing_protects() {
    let environment = [("SENDOFF_KEY", SECRET)];
    for (cipher, warned) in [
        ("null", Some("is not encrypted without --crypt")),
        ("none", Some("is not encrypted by --crypt none")),
        ("xor", Some("is hardly encrypted by --crypt xor")),
        ("aes", None),
        ("aes-128-gcm", None),
    ] {
        let mut listener = Running::start_with(&["listen", ":0", "--json", "--crypt", cipher], &environment);
        let event = objects(&listener.event("listening")).remove(0);
        assert_eq!(event["crypt"], cipher);
        let address = format!("127.0.0.1:{}", event["port"]);
        let client = ["connect", &address, "--send-only", "--crypt", cipher];
        assert_eq!(run_with(&client, &environment, b"four").code, 0);
        // The warning stands before the connection, if at all.
        let next = objects(&listener.event("event")).remove(0);
        assert_eq!(next["event"] == "warning", warned.is_some(), "{cipher}: {next}");
        drop(listener);
        let mut listener = Running::start_with(&["listen", ":0", "--crypt", cipher], &environment);
        if let Some(words) = warned {
            assert!(listener.event("warning:").contains(words));
        }
    }
}

#[test]
fn bench_ciphers_measures_every_cipher_of_the_build() {
    let text = run(&["bench", "ciphers", "--time", "1ms"], b"");
    assert_eq!(text.code, 0, "{}", text.stderr);
    let json = command(&["bench", "ciphers", "--time", "1ms", "--size", "500", "--json"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let reports = objects(&String::from_utf8(json.stdout).unwrap());
    assert_eq!(reports.len(), 16);
    for report in &reports {
        let cipher = report["cipher"].as_str().unwrap();
        assert!(text.text().lines().any(|line| line.starts_with(cipher)), "{cipher}");
        assert_eq!(report["datagram_bytes"], 500);
        assert_eq!(report["authenticated"], cipher.ends_with("-gcm"), "{cipher}");
        assert!(report["seal_mb_per_s"].as_f64().unwrap() >= 0.0);
    }
}
