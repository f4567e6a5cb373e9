//! `dissect`: lines, summaries, followed bytes, and what it says of files that are broken.

mod common;

use common::{objects, run};
use sendoff_capture::{LinkType, PcapngWriter, file::InterfaceStatistics};
use serde_json::Value;
use std::{fs, path::PathBuf};

fn capture(name: &str) -> String {
    let places = ["../sendoff-capture/tests/captures", "../sendoff-proto/tests/captures"];
    let paths = places.map(|place| format!("{}/{place}/{name}.pcapng", env!("CARGO_MANIFEST_DIR")));
    paths.into_iter().find(|path| fs::exists(path).unwrap()).unwrap_or_else(|| panic!("no capture {name}"))
}

/// A file of this test run's own.
fn scratch(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_capture_is_told_packet_by_packet_and_in_summary() {
    let output = run(&["dissect", &capture("seed-p002")], b"");
    let text = output.text();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert!(text.lines().next().unwrap().ends_with("(request)"), "{text}");
    assert!(
        text.contains("no end was seen")
            && text.ends_with("4 packets, 370 bytes in 0.57 ms; 1 conversation\n"),
        "{text}"
    );
    let fields = run(&["dissect", "--layers", "udp,kcp", &capture("seed-p002")], b"").text();
    assert!(
        fields.contains("source port: 58628") && fields.contains("una: 1") && !fields.contains("IPv4"),
        "{fields}"
    );
}

#[test]
fn stdin_is_read_and_every_line_of_json_is_an_object() {
    let file = fs::read(capture("seed-p002")).unwrap();
    let output = run(&["dissect", "-", "--json", "-v"], &file);
    let objects: Vec<Value> = output.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reports: Vec<&str> = objects.iter().map(|object| object["report"].as_str().unwrap()).collect();
    assert_eq!(reports, ["packet", "packet", "packet", "packet", "conversation", "capture"]);
    assert_eq!(objects[2]["role"], "response");
    assert_eq!(objects[0]["fields"][0]["name"], "destination");
    assert_eq!(objects[4]["ended"]["how"], "unseen");
}

#[test]
fn what_a_side_sent_is_written_exactly() {
    let key = scratch("crypt.key", b"it's a secrect\n");
    let key = key.to_str().unwrap();
    let plain = run(&["dissect", "--follow", "server", &capture("seed-p002")], b"");
    assert_eq!(
        (plain.code, plain.text().as_str()),
        (0, "2026-11-20 20:59:07.84564567 +0000 UTC m=+0.000684753")
    );
    for arguments in [&["--key-file", key][..], &["--key-file", key, "--crypt", "tea"]] {
        let file = capture("crypt-tea");
        let all = [&["dissect", "--follow", "client"], arguments, &[&file]].concat();
        let output = run(&all, b"");
        assert_eq!((output.code, output.stdout.len()), (0, 4_200), "{}", output.stderr);
    }
    let framed =
        run(&["dissect", "--follow", "client", "--frame", "le32", &capture("seed-tcp-framed-le32")], b"");
    assert_eq!(framed.text(), "Hello, Hello. How are you?".repeat(20));
    let wrong =
        run(&["dissect", "--follow", "client", "--frame", "be32", &capture("seed-tcp-framed-le32")], b"");
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("frame 1 claims 436207616 bytes"), "{}", wrong.stderr);
}

#[test]
fn a_broken_file_is_told_as_far_as_it_can_be_read() {
    let mut file = fs::read(capture("seed-p002")).unwrap();
    file.truncate(file.len() - 200);
    let path = scratch("cut.pcapng", &file);
    let output = run(&["dissect", path.to_str().unwrap()], b"");
    assert_eq!(output.code, 1);
    assert!(output.text().contains("(request)") && output.text().contains("3 packets"), "{}", output.text());
    let expected = "at byte 672: the file is cut off: a block has 12 bytes, 8 are there\n";
    assert!(output.stderr.ends_with(expected), "{}", output.stderr);

    let followed = run(&["dissect", "--follow", "client", path.to_str().unwrap()], b"");
    assert_eq!((followed.code, followed.stdout.len()), (1, 53));
    let text = scratch("text.pcapng", b"GET / HTTP/1.1\r\n");
    let output = run(&["dissect", text.to_str().unwrap()], b"");
    assert!(output.code == 1 && output.stderr.contains("neither pcapng nor pcap"), "{}", output.stderr);
    assert_eq!(run(&["dissect", "/nonexistent.pcapng"], b"").code, 1);
}

#[test]
fn bytes_that_the_capture_lacks_are_an_error() {
    // Without its third packet, the server's answer.
    let mut file = fs::read(capture("seed-p002")).unwrap();
    let len = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut packets) = (0, Vec::new());
    while at < file.len() {
        if file[at] == 6 {
            packets.push(at..at + len(at + 4));
        }
        at += len(at + 4);
    }
    file.drain(packets[2].clone());
    let path = scratch("lacking.pcapng", &file);
    let output = run(&["dissect", "--follow", "server", path.to_str().unwrap()], b"");
    assert_eq!((output.code, output.stdout.len()), (1, 0));
    assert!(
        output.stderr.contains("1 segment is missing from the capture behind byte 0"),
        "{}",
        output.stderr
    );
    let none = run(&["dissect", "--follow", "server", "--conversation", "7", &capture("seed-p002")], b"");
    assert!(none.code == 1 && none.stderr.contains("there is no conversation 7"), "{}", none.stderr);
}

#[test]
fn one_conversation_of_several_is_told_alone() {
    // Files of pcapng one behind the other are one of several sections.
    let both = ["seed-p002", "seed-udp-echo"].map(|name| fs::read(capture(name)).unwrap()).concat();
    let told = |more: &[&str]| objects(&run(&[&["dissect", "-", "--json"], more].concat(), &both).text());
    let of = |objects: &[Value], number: u64| {
        let packets = objects.iter().filter(|o| o["report"] == "packet" && o["conversation"] == number);
        let summaries = objects.iter().filter(|o| o["report"] == "conversation" && o["number"] == number);
        (packets.count(), summaries.count())
    };
    let all = told(&[]);
    assert_eq!((of(&all, 1), of(&all, 2).1), ((4, 1), 1));
    for number in 1..=2 {
        let one = told(&["--conversation", &number.to_string()]);
        assert_eq!(of(&one, number), of(&all, number));
        assert_eq!(of(&one, 3 - number), (0, 0), "{number}");
        let summary = one.iter().find(|o| o["report"] == "conversation");
        assert_eq!(summary, all.iter().find(|o| o["report"] == "conversation" && o["number"] == number));
    }
    let followed = run(&["dissect", "-", "--follow", "client", "--conversation", "1"], &both);
    assert_eq!((followed.code, followed.stdout.len(), followed.stderr.as_str()), (0, 53, ""));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, words) in [
        (&["dissect"][..], "<FILE>"),
        (&["dissect", "x", "--frame", "le16"], "must be le32, be32 or lines"),
        (&["dissect", "x", "--crypt", "rot13"], "must be one of aes, aes-192"),
        (&["dissect", "x", "--crypt", "aes"], "--crypt aes: needs a secret, from --key-file or SENDOFF_KEY"),
        (&["dissect", "x", "--layers", "kcp,quic"], "\"quic\" is no layer"),
        (&["dissect", "x", "--conversation", "0"], "--conversation"),
        (&["dissect", "x", "--follow", "both"], "both"),
    ] {
        let output = run(arguments, b"");
        assert_eq!(output.code, 2, "{arguments:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(words) && output.stdout.is_empty(),
            "{arguments:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn the_dissector_for_wireshark_is_printed_without_a_file_and_alone() {
    let output = run(&["dissect", "--wireshark-plugin"], b"");
    assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    assert_eq!(output.text(), include_str!("../../sendoff-capture/src/wireshark.lua"));
    let file = capture("seed-p002");
    for args in [&["dissect"][..], &["dissect", "--wireshark-plugin", &file]] {
        assert_eq!(run(args, b"").code, 2, "{args:?}");
    }
}

#[test]
fn a_page_is_written_whole_or_not_at_all() {
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("html");
    fs::create_dir_all(&place).unwrap();
    let page = place.join("page.html");
    fs::write(&page, "what was there before").unwrap();
    let to = page.to_str().unwrap();
    let output = run(&["dissect", &capture("seed-p002"), "--html", to], b"");
    assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (0, "", ""));
    let written = fs::read_to_string(&page).unwrap();
    assert!(written.starts_with("<!doctype html>") && written.ends_with("</html>\n"));
    assert!(
        written.contains("<title>seed-p002.pcapng · sendoff dissect</title>"),
        "its name, not where it lies"
    );
    // To stdout it is the same.
    let printed = run(&["dissect", &capture("seed-p002"), "--html", "-"], b"");
    assert_eq!(printed.text(), written);
    // One conversation only, which isn't there.
    let none = run(&["dissect", &capture("seed-p002"), "--html", "-", "--conversation", "2"], b"").text();
    assert!(!none.contains("class=\"conversation\"") && !none.contains("class=\"packets\""));

    // What can't be read at all leaves the page as it was.
    let text = scratch("no-capture.txt", b"GET / HTTP/1.1\r\n");
    assert_eq!(run(&["dissect", text.to_str().unwrap(), "--html", to], b"").code, 1);
    assert_eq!(fs::read_to_string(&page).unwrap(), written);
    // What breaks off is told as far as it goes, and that it breaks off.
    let mut file = fs::read(capture("seed-p002")).unwrap();
    file.truncate(file.len() - 200);
    let broken = scratch("cut-page.pcapng", &file);
    let output = run(&["dissect", broken.to_str().unwrap(), "--html", to], b"");
    assert!(output.code == 1 && output.stderr.contains("the file is cut off"), "{}", output.stderr);
    let written = fs::read_to_string(&page).unwrap();
    assert!(written.contains("\"trouble\":\"at byte 672: the file is cut off"), "{written}");
    let left: Vec<_> = fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["page.html"], "nothing else is left behind");
}

#[test]
fn a_page_tells_what_the_capture_lacks() {
    let mut writer = PcapngWriter::new(Vec::new(), "test").unwrap();
    let interface = writer.interface(LinkType::RAW, "test0").unwrap();
    let lacks = InterfaceStatistics { received: 7, dropped: 5, ..InterfaceStatistics::default() };
    writer.statistics(interface, &lacks).unwrap();
    let page = run(&["dissect", "-", "--html", "-"], &writer.into_inner());
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(page.text().contains("\"dropped\":5,"), "{}", page.text());
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_part_of_a_page_behind() {
    let file = fs::read(capture("seed-p002")).unwrap();
    for (signal, name) in [("INT", "interrupted"), ("TERM", "terminated")] {
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        _ = fs::remove_dir_all(&place);
        fs::create_dir_all(&place).unwrap();
        let page = place.join("page.html");
        let mut dissect = common::Running::start(&["dissect", "-", "--html", page.to_str().unwrap()]);
        // It waits for more.
        dissect.write(&file);
        let files = || fs::read_dir(&place).unwrap().count();
        common::until("a part of the page", || files() == 1);
        dissect.signal(signal);
        let output = dissect.output();
        assert_eq!((output.code, output.stderr.as_str(), files()), (130, "", 0));
    }
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_that_says_where() {
    let output = run(&["dissect", &capture("seed-p002"), "--html", "/nonexistent/page.html"], b"");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("--html /nonexistent/page.html: No such file"), "{}", output.stderr);
    let both = run(&["dissect", &capture("seed-p002"), "--html", "x.html", "--json"], b"");
    assert_eq!(both.code, 2, "{}", both.stderr);
}

#[test]
fn a_stream_of_smux_is_told_and_followed() {
    let key = scratch("kcptun.key", b"correct horse");
    let (key, file) = (key.to_str().unwrap(), capture("kcptun-aes-fast-snappy-smux1"));
    let text = run(&["dissect", "--smux", "--key-file", key, &file], b"").text();
    assert!(text.contains("smux SYN 3") && text.contains("smux 1 in snappy: 1 stream"), "{text}");
    let follow = ["dissect", "--key-file", key, "--follow", "server", "--stream"];
    let page = run(&[&follow[..], &["3", &file]].concat(), b"");
    assert_eq!((page.code, page.stderr.as_str()), (0, ""));
    assert!(page.stdout.starts_with(b"HTTP/1.") && page.stdout.len() > 213_000);
    let page = run(&["dissect", "--smux", "--key-file", key, &file, "--html", "-"], b"").text();
    assert!(
        page.contains("smux SYN 3\"") && page.contains("\"smux\":{\"version\":1,"),
        "a page tells it too"
    );
    let none = run(&[&follow[..], &["4", &file]].concat(), b"");
    assert_eq!((none.code, none.stdout.len()), (1, 0));
    assert!(none.stderr.contains("no stream 4 in it"), "{}", none.stderr);
    for args in [&["--stream", "3"][..], &["--smux", "--follow", "client"], &["--smux", "--frame", "le32"]] {
        assert_eq!(run(&[&["dissect", &file], args].concat(), b"").code, 2, "{args:?}");
    }
}
