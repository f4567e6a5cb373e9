//! `--capture`: what is in the file, to dissect and to tshark; what it may cost.

mod common;

use common::{Running, objects, random_bytes, run};
use serde_json::Value;
use std::{env, fs, path::PathBuf, process::Command};

/// A file of this test run's own, which isn't there yet.
fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    _ = fs::remove_file(&path);
    path
}

/// What dissect says of the file, as objects.
fn dissected(path: &str, arguments: &[&str]) -> Vec<Value> {
    let output = run(&[&["dissect", path, "--json"], arguments].concat(), b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    objects(&output.text())
}

fn packets(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["report"] == "packet").collect()
}

/// Columns of a file, as tshark reads them; `None` where there is no tshark.
fn tshark(path: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let checks = ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let mut command = Command::new("tshark");
    command.args(["-n", "-r", path, "-T", "fields"]).env("LC_ALL", "C.UTF-8");
    checks.iter().for_each(|check| _ = command.args(["-o", check]));
    fields.iter().for_each(|field| _ = command.args(["-e", field]));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "no tshark: {error}");
            eprintln!("skipped: no tshark ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(ToOwned::to_owned).collect()).collect())
}

/// An echo with both sides captured; `listen` and `connect` are further arguments of each.
fn echo(name: &str, bind: &str, listen: &[&str], connect: &[&str]) -> [String; 2] {
    let files = ["server", "client"].map(|side| scratch(&format!("{name}-{side}.pcapng")));
    let [server, client] = files.map(|path| path.to_str().unwrap().to_owned());
    let mut listener =
        Running::start(&[&["listen", bind, "--echo", "--json", "--capture", &server], listen].concat());
    let event: Value = serde_json::from_str(&listener.event("listening")).unwrap();
    let (scheme, _) = bind.split_once("://").unwrap();
    let address = format!("{scheme}://127.0.0.1:{}", event["port"]);
    let output = run(&[&["connect", &address, "--capture", &client], connect].concat(), b"hello world\n");
    assert_eq!((output.code, output.text().as_str()), (0, "hello world\n"), "{}", output.stderr);
    assert!(output.stderr.contains("captured ") && output.stderr.contains(&client), "{}", output.stderr);
    #[cfg(unix)]
    {
        listener.signal("INT");
        let output = listener.output();
        let captured = objects(&output.stderr).pop().unwrap();
        assert_eq!((output.code, &captured["event"]), (0, &"captured".into()), "{}", output.stderr);
        assert_eq!(captured["bytes"], fs::metadata(&server).unwrap().len());
    }
    [server, client]
}

#[cfg(unix)]
#[test]
fn both_sides_capture_the_same_conversation_with_true_addresses() {
    let [server, client] = echo("same", "kcp://0.0.0.0:0", &[], &[]);
    let told = [&server, &client].map(|file| dissected(file, &[]));
    let ways = |told: &[Value], way: &str| {
        let mut texts = packets(told)
            .into_iter()
            .filter(|packet| packet["comments"][0] == way)
            .map(|packet| {
                assert!(!packet["segments"].as_array().unwrap().is_empty(), "{packet}");
                (packet["source"].clone(), packet["destination"].clone(), packet["segments"][0]["sn"].clone())
            })
            .collect::<Vec<_>>();
        texts.sort_by_key(|text| format!("{text:?}"));
        texts
    };
    assert_eq!(ways(&told[0], "sent"), ways(&told[1], "received"));
    assert_eq!(ways(&told[0], "received"), ways(&told[1], "sent"));
    assert!(!ways(&told[1], "sent").is_empty());
    for packet in packets(&told[0]) {
        assert!(packet["source"].as_str().unwrap().starts_with("127.0.0.1:"), "{packet}");
    }
    let followed = run(&["dissect", "--follow", "client", &client], b"");
    assert_eq!((followed.code, followed.text().as_str()), (0, "hello world\n"), "{}", followed.stderr);
    let text = run(&["dissect", &client], b"").text();
    assert!(text.contains("12 bytes \"hello world\\n\"") && text.contains("  # sent\n"), "{text}");
    assert_eq!(text.matches("hello world").count(), 2, "no words twice: {text}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&client).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn tshark_finds_true_headers_and_our_comments() {
    let [server, _] = echo("tshark", "kcp://127.0.0.1:0", &[], &[]);
    let fields = [
        "ip.checksum.status",
        "udp.checksum.status",
        "ip.src",
        "udp.length",
        "ip.len",
        "ip.ttl",
        "frame.packet_flags_direction",
        "frame.comment",
        "_ws.malformed",
    ];
    let Some(rows) = tshark(&server, &fields) else { return };
    assert!(rows.len() >= 4, "{rows:?}");
    for row in &rows {
        assert_eq!(row[..3], ["1", "1", "127.0.0.1"], "{row:?}");
        let [udp, ip]: [usize; 2] = [row[3].parse().unwrap(), row[4].parse().unwrap()];
        assert_eq!((udp + 20, row[5].as_str()), (ip, "64"));
        // Of Wireshark: 1 inbound, 2 outbound.
        let way = match row[6].as_str() {
            "0x00000001" | "1" => "received",
            _ => "sent",
        };
        assert!(row[7].starts_with(way), "{row:?}");
        assert!(row.get(8).is_none_or(String::is_empty), "{row:?}");
    }
    assert!(rows[0][7].contains("HELLO"), "{rows:?}");
}

#[cfg(unix)]
#[test]
fn a_sealed_conversation_is_captured_in_the_clear_or_sealed() {
    let key = scratch("capture.key");
    fs::write(&key, "it's a secrect").unwrap();
    let key = key.to_str().unwrap();
    let crypt = ["--crypt", "aes-128-gcm", "--key-file", key];
    let sealed = [&crypt[..], &["--capture-sealed"]].concat();
    let [server, client] = echo("crypt", "kcp://127.0.0.1:0", &crypt, &sealed);
    let clear = dissected(&server, &[]);
    let comment = packets(&clear)[0]["comments"][0].as_str().unwrap();
    assert!(comment.contains(" bytes of aes-128-gcm"), "{comment}");
    assert!(run(&["dissect", &server], b"").text().contains("hello world"));

    let file = fs::read(&client).unwrap();
    assert!(!file.windows(5).any(|window| window == b"hello" || window == b"HELLO"));
    assert!(!run(&["dissect", &client], b"").text().contains("hello world"));
    let opened = dissected(&client, &["--key-file", key]);
    assert_eq!(packets(&opened)[0]["cipher"], "aes-128-gcm");
    let followed = run(&["dissect", "--follow", "server", "--key-file", key, &client], b"");
    assert_eq!((followed.code, followed.text().as_str()), (0, "hello world\n"), "{}", followed.stderr);
}

#[cfg(unix)]
#[test]
fn flows_of_udp_are_captured_too() {
    let [server, client] = echo("udp", "udp://127.0.0.1:0", &[], &[]);
    for file in [server, client] {
        let output = run(&["dissect", "--follow", "client", &file], b"");
        assert_eq!((output.code, output.text().as_str()), (0, "hello world"), "{}", output.stderr);
    }
}

#[test]
fn pings_are_captured() {
    let (_listener, port) = Running::listen(&[]);
    let file = scratch("ping.pcapng");
    let file = file.to_str().unwrap();
    let output =
        run(&["ping", &format!("127.0.0.1:{port}"), "-c", "2", "-i", "10ms", "--capture", file], b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    let told = dissected(file, &[]);
    let said: Vec<_> = packets(&told)
        .iter()
        .map(|packet| format!("{} {}", packet["comments"][0], packet["segments"][0]["command"]))
        .collect();
    let expected =
        ["\"sent\" \"WASK\"", "\"received\" \"WINS\"", "\"sent\" \"WASK\"", "\"received\" \"WINS\""];
    assert_eq!(said, expected);
}

#[cfg(unix)]
#[test]
fn a_file_that_was_there_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let (_listener, port) = Running::listen(&[]);
    let file = scratch("was-there.pcapng");
    fs::write(&file, "for all to read").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let arguments = ["-c", "1", "--capture", file.to_str().unwrap()];
    let output = run(&[&["ping", &format!("127.0.0.1:{port}")], &arguments[..]].concat(), b"");
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn at_its_limit_the_capture_stops_and_the_transfer_goes_on() {
    let (mut listener, port) = Running::listen(&["--once"]);
    listener.close_stdin();
    let file = scratch("limit.pcapng");
    let data = random_bytes(3_000_000, 7);
    let arguments =
        ["--send-only", "--capture", file.to_str().unwrap(), "--capture-limit", "200kB", "--json"];
    let address = format!("127.0.0.1:{port}");
    let output = run(&[&["connect", &address], &arguments[..]].concat(), &data);
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(listener.output().stdout == data, "all of it arrives");
    let events = objects(&output.stderr);
    assert_eq!(events[0]["event"], "capture_stopped");
    let captured = events.last().unwrap();
    let bytes = fs::metadata(&file).unwrap().len();
    assert!(bytes <= 200_000 && bytes > 150_000, "{bytes}");
    assert_eq!(captured["bytes"], bytes);
    assert!(captured["after_stop"].as_u64().unwrap() > 2_000, "{captured}");
    let told = dissected(file.to_str().unwrap(), &[]);
    assert_eq!(captured["datagrams"], packets(&told).len());
}

#[test]
fn what_can_not_be_captured_is_refused() {
    for (arguments, code, words) in [
        (&["connect", "tcp://127.0.0.1:1", "--capture", "x"][..], 2, "tcp:// has no datagrams"),
        (&["listen", ":0", "--capture", "-"], 2, "--capture -: stdout is taken"),
        (&["listen", ":0", "--capture-limit", "1MB"], 2, "--capture <FILE>"),
        (&["listen", ":0", "--capture", "x", "--capture-limit", "9kB"], 2, "must be a size of at least 10kB"),
        (&["listen", ":0", "--capture", "/nonexistent/x"], 1, "--capture /nonexistent/x: "),
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.code, code, "{}", output.stderr);
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}
