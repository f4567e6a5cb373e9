//! The ladder has an arrow for each datagram, whatever the capture.

use super::{browser, captures, open};
use sendoff_capture::{Dissector, Options, PacketReader, Top, conversation::Side};
use sendoff_interop::browser::Browser;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Number and direction of every packet of UDP or TCP.
fn wanted(capture: &[u8]) -> BTreeMap<u64, bool> {
    let (mut reader, mut dissector) =
        (PacketReader::new(capture).unwrap(), Dissector::new(Options::default()));
    let mut all = BTreeMap::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let dissected = dissector.packet(&packet);
        if let Top::Udp(_) | Top::Tcp(_) = dissected.analysis.top {
            all.insert(packet.number, dissected.analysis.participant.unwrap().side == Side::Client);
        }
    }
    all
}

/// Goes down the ladder from `y` on as a reader would, some screens, and notes each arrow in sight: packet and
/// direction. Says where it has come to, or null at the end.
const SCROLL: &str = "(async y => {
    const grid = document.getElementById('grid'), seen = new Map();
    const frame = () => new Promise(requestAnimationFrame);
    for (let screens = 0; screens < 40; screens++, y += grid.clientHeight - 60) {
        grid.scrollTop = y;
        await frame(); await frame();
        const { top, bottom } = grid.getBoundingClientRect();
        for (const arrow of grid.querySelectorAll('[data-arrow]')) {
            const box = arrow.getBoundingClientRect();
            if (box.bottom > top && box.top < bottom && box.width > 50) {
                seen.set(arrow.dataset.arrow, arrow.classList.contains('to-server'));
            }
        }
        if (y + grid.clientHeight >= grid.scrollHeight) return [[...seen], null];
    }
    return [[...seen], y];
})";

fn arrows(browser: &mut Browser) -> BTreeMap<u64, bool> {
    let (mut all, mut place) = (BTreeMap::new(), json!(0));
    while !place.is_null() {
        let mut answer = browser.evaluate(&format!("{SCROLL}({place})"));
        let pair = |pair: &Value| (pair[0].as_str().unwrap().parse().unwrap(), pair[1].as_bool().unwrap());
        all.extend(answer[0].as_array().unwrap().iter().map(pair));
        place = answer[1].take();
    }
    all
}

/// A window as high as a wall, so that there is less to scroll.
fn high(browser: &mut Browser) {
    let size = json!({ "width": 1400, "height": 3_000, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", size);
}

#[test]
fn every_datagram_of_every_capture_has_its_arrow() {
    let Some(mut browser) = browser("ladder") else { return };
    high(&mut browser);
    for (name, capture) in captures::checked_in() {
        open(&mut browser, &capture, &name);
        browser.evaluate("location.hash = '#all'");
        browser.drawn();
        let wanted = wanted(&capture);
        assert!(!wanted.is_empty(), "{name}");
        assert_eq!(arrows(&mut browser), wanted, "{name}");
        // Each conversation shows its own, and together they are all.
        let views =
            "[...document.querySelectorAll('#list a')].map(a => a.hash).filter(hash => hash !== '#all')";
        let Value::Array(views) = browser.evaluate(views) else { panic!("no list") };
        let mut sum = BTreeMap::new();
        for view in views {
            browser.evaluate(&format!("location.hash = {view}"));
            browser.drawn();
            sum.extend(arrows(&mut browser));
        }
        assert_eq!(sum, wanted, "{name}, by conversation");
        assert_eq!(browser.complaints(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_hundred_thousand_packets_are_all_there_while_few_are_on_the_page() {
    let Some(mut browser) = browser("many") else { return };
    let capture = captures::long(100_000);
    open(&mut browser, &capture, "many");
    let elements = browser.evaluate("document.querySelectorAll('*').length").as_u64().unwrap();
    assert!(elements < 3_000, "{elements} elements");
    // The longest number has its room.
    browser.evaluate("document.getElementById('grid').scrollTop = 1e9");
    browser.drawn();
    let last = browser.evaluate("(cell => [cell.textContent.length, cell.scrollWidth <= cell.clientWidth])(document.querySelector('.body .row:last-child .cell'))");
    assert_eq!(last, json!([6, true]));
    high(&mut browser);
    // Painting a hundred thousand rows without a graphics card takes minutes: they keep their places unpainted.
    browser.evaluate("document.getElementById('grid').style.visibility = 'hidden'");
    browser.drawn();
    let (seen, wanted) = (arrows(&mut browser), wanted(&capture));
    assert!(wanted.len() >= 100_000, "{}", wanted.len());
    assert_eq!(seen.len(), wanted.len());
    assert_eq!(seen, wanted);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_was_lost_and_sent_again_says_where() {
    let Some(mut browser) = browser("links") else { return };
    // The third datagram of the first flight is sent again in packet 10, and acknowledged in packet 11.
    open(&mut browser, &captures::long(30), "links");
    let row = |n: u32| format!("document.getElementById('row-{}')", n - 1);
    let lost = browser.evaluate(&format!("{}.textContent", row(3)));
    assert!(lost.as_str().unwrap().contains("no answer seen, sent again in 10"), "{lost}");
    let classes = browser.evaluate(&format!("{}.querySelector('.arrow').className", row(3)));
    assert!(classes.as_str().unwrap().contains("lost"), "{classes}");
    let again = browser.evaluate(&format!("{}.textContent", row(10)));
    assert!(again.as_str().unwrap().contains("retransmission after 2"), "{again}");
    browser.evaluate(&format!("{}.click()", row(10)));
    browser.drawn();
    let tip = browser.evaluate("document.getElementById('tip').textContent");
    let tip = tip.as_str().unwrap();
    assert!(tip.contains("sent before in packet 3") && tip.contains("acknowledged in packet 11"), "{tip}");
    let fine = browser.evaluate(&format!("{}.textContent", row(2)));
    assert!(!fine.as_str().unwrap().contains("no answer"), "{fine}");
    let silence = browser.evaluate(&format!("{}.querySelector('.silence').textContent", row(10)));
    assert_eq!(silence, "200 ms", "the silence before it is shown");
}

#[test]
fn no_capture_keeps_the_page_busy_for_ever() {
    let Some(mut browser) = browser("busy") else { return };
    open(&mut browser, &captures::one_number(500_000), "busy");
    open(&mut browser, &captures::a_century_apart(), "century");
    browser.evaluate("location.hash = '#c2'");
    browser.drawn();
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_the_capture_has_cut_off_is_as_long_as_it_was_on_the_wire() {
    let Some(mut browser) = browser("cut") else { return };
    let whole = captures::named("seed-p002");
    // The second half of the data, all of it, or nothing is missing.
    for kept in [14 + 20 + 8 + 24 + 26, 14 + 20 + 8 + 24, usize::MAX] {
        open(&mut browser, &captures::cut(&whole, kept), "cut");
        for row in [0, 2] {
            let text = browser.evaluate(&format!("document.getElementById('row-{row}').textContent"));
            let text = text.as_str().unwrap();
            assert!(text.contains("53 bytes"), "{kept}: {text}");
            assert_eq!(text.contains("2026-11-20"), kept > 66, "{kept}: {text}");
        }
    }
}
