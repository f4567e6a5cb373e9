//! What the page says of the capture as a whole, and of a conversation beside its summary's usual lines.

use super::{
    browser,
    captures::{CLIENT, Made, SERVER, named, segment},
    file_of, open, page_with,
};
use sendoff_capture::Options;
use sendoff_proto::wire::Command;

#[test]
fn what_the_capture_lacks_is_said_at_the_top() {
    let Some(mut browser) = browser("lacks") else { return };
    let mut made = Made::new();
    made.datagram(CLIENT, SERVER, &segment(Command::Push, 0, 0, 1, b"x"), &[]);
    open(&mut browser, &made.file(), "all");
    let facts = browser.evaluate("document.getElementById('facts').textContent");
    assert!(!facts.as_str().unwrap().contains("more"), "{facts}");

    let mut made = Made::new();
    made.datagram(CLIENT, SERVER, &segment(Command::Push, 0, 0, 1, b"x"), &[]);
    made.lacks(1_234);
    open(&mut browser, &made.file(), "lacks");
    let facts = browser.evaluate("document.getElementById('facts').textContent");
    assert!(facts.as_str().unwrap().contains("1,234 packets more passed and are not in it"), "{facts}");
}

#[test]
fn a_session_of_smux_is_told_in_the_summary_and_beside_its_packets() {
    let Some(mut browser) = browser("smux") else { return };
    let mut options = Options { smux: true, ..Options::default() };
    options.keys.secret = Some("correct horse".into());
    let capture = named("kcptun-aes-fast-snappy-smux1");
    browser.open(&file_of(&page_with(&capture, "smux.pcapng", options), "smux"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let summary = browser.evaluate("document.getElementById('summary').textContent");
    assert!(summary.as_str().unwrap().contains("smux1, in snappy"), "{summary}");
    browser.evaluate("location.hash = '#all'");
    browser.drawn();
    let text = browser.evaluate("document.body.textContent");
    assert!(text.as_str().unwrap().contains("smux SYN 3"), "no frame");
}
