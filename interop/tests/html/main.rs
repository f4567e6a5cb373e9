//! The page of `sendoff dissect --html` in a headless Chromium.

mod captures;
mod facts;
mod keyboard;
mod ladder;
mod looks;
mod payload;

use sendoff_capture::{CaptureTotals, Dissector, Options, PacketReader, report::HtmlReport};
use sendoff_interop::{browser::Browser, program};
use std::{fs, path::PathBuf};

/// A browser, if there is one.
fn browser(name: &str) -> Option<Browser> {
    program::there(&["chromium"]).then(|| Browser::start(name))
}

/// The page of a capture called `name`.
fn page_of(capture: &[u8], name: &str) -> Vec<u8> {
    let mut options = Options::default();
    options.keys.secret = Some("it's a secrect".into());
    page_with(capture, name, options)
}

/// The same, told as `options` say.
fn page_with(capture: &[u8], name: &str, options: Options) -> Vec<u8> {
    let (mut reader, mut dissector) = (PacketReader::new(capture).unwrap(), Dissector::new(options));
    let mut report = HtmlReport::new(Vec::new(), name).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        report.packet(&dissector.packet(&packet)).unwrap();
    }
    for conversation in dissector.finish() {
        report.conversation(&conversation).unwrap();
    }
    let totals = CaptureTotals { dropped: reader.dropped(), ..dissector.totals() };
    report.finish(&totals, dissector.origin(), None).unwrap()
}

/// The same in a file of its own.
fn file_of(page: &[u8], name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    fs::write(&path, page).unwrap();
    path
}

/// Opens the page of a capture, and fails if it complains.
fn open(browser: &mut Browser, capture: &[u8], name: &str) {
    browser.open(&file_of(&page_of(capture, &format!("{name}.pcapng")), name));
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
    assert_eq!(browser.evaluate("document.documentElement.dataset.ready"), "true", "{name}");
}
