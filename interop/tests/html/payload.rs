//! Whatever a payload, a comment, a reason or a name says: it is text on the page, and steers nothing.

use super::{
    browser,
    captures::{CLIENT, Made, SERVER, segment},
    file_of, page_of,
};
use sendoff_proto::wire::{Block, Body, Command};

/// Each fits the excerpt that is shown of a payload.
const HOSTILE: [&str; 9] = [
    "</script><img src=x>",
    "<img onerror=h() src=x>",
    "<!--<script>",
    "]]></style><svg/onload>",
    "\u{2028}h()\u{2029}//",
    "\u{202e}txt.exe\u{202c}",
    "\u{feff}\u{2066}x\u{2069}\u{200f}",
    "\";h();//'`${h()}",
    "{{title}}{{policy}}&lt;",
];

fn hostile() -> Vec<u8> {
    let mut made = Made::new();
    for (n, text) in HOSTILE.into_iter().enumerate() {
        let comments = [text, "<script>h()</script>"];
        made.datagram(CLIENT, SERVER, &segment(Command::Push, n as u32, 0, 1, text.as_bytes()), &comments);
        // One that isn't KCP, in a flow of its own.
        made.datagram("192.0.2.66:6666", SERVER, text.as_bytes(), &comments);
    }
    let mut fin = Vec::new();
    let reason = "</script><b>\u{202e}bye";
    Block { flags: 0, to: None, from: None, body: Body::Fin { code: 1, reason } }.encode(&mut fin);
    made.datagram(CLIENT, SERVER, &segment(Command::Push, HOSTILE.len() as u32, 0, 1, &fin), &[]);
    made.file()
}

#[test]
fn payload_is_data_never_markup() {
    let Some(mut browser) = browser("payload") else { return };
    let name = "</title></h1><script>h()</script>\u{202e}.pcapng";
    let page = String::from_utf8(page_of(&hostile(), name)).unwrap();
    // Nothing but our own elements is in the file: no `<` of data is left.
    let data: Vec<&str> = page.split("<script type=\"application/json\"").skip(1).collect();
    assert!(data.len() >= 4, "{}", data.len());
    for piece in data {
        let inside = piece.split_once('>').unwrap().1.split_once("</script>").unwrap().0;
        assert!(!inside.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{inside}");
    }
    browser.open(&file_of(page.as_bytes(), "payload"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(
        browser.evaluate(
            "document.querySelectorAll('img, b:not(.head b, .tip b), svg[onload], [onerror]').length"
        ),
        0
    );
    assert_eq!(browser.evaluate("document.scripts.length"), 1, "the page's own");
    browser.evaluate("location.hash = '#all'");
    browser.drawn();
    let text = browser.evaluate("document.body.textContent");
    let text = text.as_str().unwrap();
    for shown in [
        "</script><img src=x>",
        "<img onerror=h() src=x>",
        "\\u{2028}h()\\u{2029}//",
        "\\u{202e}txt.exe\\u{202c}",
    ] {
        assert!(text.contains(shown), "{shown} isn't shown");
    }
    assert!(text.contains("# <script>h()</script>"), "comments are shown as well");
    let steering = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let steers: Vec<_> = text.char_indices().filter(|(_, c)| steering(*c)).collect();
    assert!(steers.is_empty(), "{steers:?}");
    // The tips of all rows, too.
    let tips = "(async () => { let all = '';
        for (let n = 0; n < 19; n++) { document.getElementById(`row-${n}`).dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
            all += document.getElementById('tip').innerHTML } return all })()";
    let tips = browser.evaluate(tips);
    let tips = tips.as_str().unwrap();
    assert!(
        tips.contains("&lt;/script&gt;&lt;img src=x&gt;")
            && !tips.contains("<img")
            && !tips.contains("<script"),
        "{tips}"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_page_can_reach_no_network_and_run_no_other_script() {
    let Some(mut browser) = browser("policy") else { return };
    browser.open(&file_of(&page_of(&hostile(), "policy.pcapng"), "policy"));
    let violations = browser.evaluate(
        "new Promise(done => { const seen = [];
            addEventListener('securitypolicyviolation', event => { seen.push(event.effectiveDirective); seen.length === 4 && done(seen.sort()) });
            const add = (name, attributes, text = '') => { const made = document.createElement(name); Object.assign(made, attributes); made.textContent = text; document.body.append(made) };
            add('script', {}, 'window.ran = true');
            add('img', { src: 'https://sendoff.invalid/x.png' });
            add('style', {}, 'body { display: none }');
            fetch('https://sendoff.invalid/').catch(() => {}) })",
    );
    assert_eq!(
        violations,
        serde_json::json!(["connect-src", "img-src", "script-src-elem", "style-src-elem"])
    );
    assert_eq!(browser.evaluate("window.ran === undefined"), true);
    assert!(!browser.complaints().is_empty(), "complaints are heard");
}
