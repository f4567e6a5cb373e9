//! Everything can be done without a mouse, and everything has a name.

use super::{browser, captures, open};
use sendoff_interop::browser::Browser;
use serde_json::json;

/// Presses Tab until an element of that kind has the focus.
fn tab_to(browser: &mut Browser, selector: &str) {
    for _ in 0..60 {
        browser.press("Tab");
        if browser.evaluate(&format!("document.activeElement.matches('{selector}')")) == true {
            return;
        }
    }
    panic!("{selector} can't be reached with the keyboard");
}

fn chosen(browser: &mut Browser) -> String {
    let id = browser.evaluate("document.getElementById('grid').getAttribute('aria-activedescendant')");
    let id = id.as_str().unwrap_or_else(|| panic!("no row is chosen")).to_owned();
    let is = format!("document.getElementById('{id}').matches('[aria-selected=true].chosen')");
    assert_eq!(browser.evaluate(&is), true, "{id} is on the page and marked");
    id
}

#[test]
fn the_ladder_and_the_graphs_are_used_with_keys() {
    let Some(mut browser) = browser("keyboard") else { return };
    open(&mut browser, &captures::named("plain-stream-loss10"), "keyboard");
    tab_to(&mut browser, "[role=slider]");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    let value = browser.evaluate("document.activeElement.getAttribute('aria-valuetext')");
    assert!(value.as_str().unwrap().contains("sent up to"), "{value}");
    browser.press("End");
    browser.press("Enter");
    assert_eq!(browser.evaluate("document.activeElement.id"), "grid", "Enter leads to the ladder");
    assert_ne!(chosen(&mut browser), "row-0");
    browser.press("Home");
    assert_eq!(chosen(&mut browser), "row-0");
    browser.press("ArrowDown");
    browser.press("ArrowDown");
    browser.press("ArrowUp");
    assert_eq!(chosen(&mut browser), "row-1");
    assert_eq!(browser.evaluate("document.getElementById('tip').checkVisibility()"), true);
    browser.press("Escape");
    assert_eq!(browser.evaluate("document.getElementById('tip').checkVisibility()"), false);
    browser.press("n");
    assert_eq!(chosen(&mut browser), "row-3", "packet 4 is the first that went without answer");
    browser.press("End");
    let last = browser.evaluate("Number(document.getElementById('grid').ariaRowCount) - 2").as_u64().unwrap();
    assert_eq!(chosen(&mut browser), format!("row-{last}"));
    browser.press("PageUp");
    browser.press("p");
    chosen(&mut browser);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn graphs_zoom_together_and_back() {
    let Some(mut browser) = browser("zoom") else { return };
    open(&mut browser, &captures::named("plain-stream-loss10"), "zoom");
    let axes = "[...document.querySelectorAll('.plot svg')].map(svg => [...svg.querySelectorAll('.tick')].map(tick => tick.textContent).filter(text => text.endsWith('s')).join())";
    let whole = browser.evaluate(axes);
    assert_eq!(whole.as_array().unwrap().len(), 2, "{whole}");
    tab_to(&mut browser, "[role=slider]");
    browser.press("+");
    browser.press("+");
    let near = browser.evaluate(axes);
    assert!(near[0] != whole[0] && near[1] != whole[1], "both sides: {near}");
    browser.press("End");
    let value = browser.evaluate("document.activeElement.getAttribute('aria-valuetext')");
    assert!(value.as_str().unwrap().contains("sent up to"), "{value}");
    browser.press("0");
    assert_eq!(browser.evaluate(axes), whole);
    // As near as can be, and nothing breaks.
    for _ in 0..20 {
        browser.press("+");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_packet_is_found_by_its_number_and_by_its_text() {
    let Some(mut browser) = browser("find") else { return };
    open(&mut browser, &captures::named("plain-stream-loss10"), "find");
    tab_to(&mut browser, "#sought");
    for key in ["1", "2", "0", "Enter"] {
        browser.press(key);
    }
    assert_eq!(chosen(&mut browser), "row-119");
    browser.evaluate("document.getElementById('sought').value = 'needless'");
    browser.press("Enter");
    let found = chosen(&mut browser);
    let text = browser.evaluate(&format!("document.getElementById('{found}').textContent"));
    assert!(text.as_str().unwrap().contains("needless"), "{text}");
    // Only what is remarkable stays.
    let rows = "Number(document.getElementById('grid').ariaRowCount) - 1";
    let all = browser.evaluate(rows).as_u64().unwrap();
    browser.evaluate("document.getElementById('only').click()");
    let some = browser.evaluate(rows).as_u64().unwrap();
    assert!(some > 0 && some < all, "{some} of {all}");
}

#[test]
fn everything_that_can_be_used_or_heard_has_a_name() {
    let Some(mut browser) = browser("names") else { return };
    open(&mut browser, &captures::named("plain-stream-loss10"), "names");
    browser.call("Accessibility.enable", json!({}));
    let tree = browser.call("Accessibility.getFullAXTree", json!({}));
    let roles = [
        "button",
        "searchbox",
        "checkbox",
        "radio",
        "slider",
        "grid",
        "image",
        "link",
        "DisclosureTriangle",
        "table",
        "region",
    ];
    let mut seen = Vec::new();
    for node in tree["nodes"].as_array().unwrap() {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        if node["ignored"] == true || !roles.contains(&role) {
            continue;
        }
        let name = node["name"]["value"].as_str().unwrap_or_default();
        // The list's table is what its region's heading says.
        assert!(!name.is_empty() || role == "table", "a {role} without a name: {node}");
        seen.push(role);
    }
    for role in ["button", "searchbox", "checkbox", "radio", "slider", "grid", "link", "region"] {
        assert!(seen.contains(&role), "no {role}: {seen:?}");
    }
    let table = "new Promise(done => { const details = document.querySelector('figure details');
        details.addEventListener('toggle', () => done(details.querySelectorAll('tbody tr').length)); details.open = true })";
    assert!(browser.evaluate(table).as_u64().unwrap() > 10, "a graph is there as a table, too");
}
