//! Both themes can be read, and paper too.

use super::{browser, captures, open};
use serde_json::{Value, json};

/// Relative luminance of a colour (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let parts: Vec<f64> = colour
        .trim_start_matches("rgb(")
        .trim_end_matches(')')
        .split(", ")
        .map(|part| part.parse().unwrap_or_else(|_| panic!("{colour}")))
        .collect();
    let linear = |part: f64| {
        let part = part / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(parts[0]) + 0.7152 * linear(parts[1]) + 0.0722 * linear(parts[2])
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn text_and_marks_stand_out_in_both_themes() {
    let Some(mut browser) = browser("looks") else { return };
    open(&mut browser, &captures::named("seed-p002"), "looks");
    let mut papers = Vec::new();
    for theme in ["light", "dark"] {
        browser.evaluate(&format!("document.querySelector('[name=theme][value={theme}]').click()"));
        let mut colour = |name: &str| {
            let ask = format!(
                "(() => {{ const probe = document.createElement('i'); document.body.append(probe); probe.style.color = 'var({name})';
                 const is = getComputedStyle(probe).color; probe.remove(); return is }})()"
            );
            browser.evaluate(&ask).as_str().unwrap().to_owned()
        };
        for ground in ["--paper", "--raised", "--band", "--chosen"] {
            let ground_colour = colour(ground);
            // WCAG 2.2, success criterion 1.4.3.
            for name in ["--ink", "--soft", "--data", "--again", "--good", "--odd", "--window"] {
                let found = contrast(&ground_colour, &colour(name));
                assert!(found >= 4.5, "{theme}: {name} on {ground} has a contrast of {found:.2}");
            }
            // Criterion 1.4.11, for what is no text.
            let found = contrast(&ground_colour, &colour("--quiet"));
            assert!(found >= 3.0, "{theme}: --quiet on {ground} has a contrast of {found:.2}");
        }
        papers.push(colour("--paper"));
    }
    assert_ne!(papers[0], papers[1], "the switch works");
    // Without the switch the reader's preference counts.
    browser.evaluate("document.querySelector('[name=theme][value=auto]').click()");
    for (theme, paper) in ["light", "dark"].into_iter().zip(&papers) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        browser.call("Emulation.setEmulatedMedia", features);
        assert_eq!(
            browser.evaluate("getComputedStyle(document.body).backgroundColor"),
            Value::from(paper.as_str())
        );
    }
}

#[test]
fn paper_gets_rows_and_no_controls() {
    let Some(mut browser) = browser("paper") else { return };
    open(&mut browser, &captures::long(1_000), "paper");
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    browser.evaluate("dispatchEvent(new Event('beforeprint'))");
    let rows = "document.querySelectorAll('#paper [data-arrow]').length";
    assert_eq!(browser.evaluate(rows), 400);
    let shown = "[...document.querySelectorAll('#grid, #theme, #find, button')].filter(one => one.checkVisibility()).length";
    assert_eq!(browser.evaluate(shown), 0);
    assert_eq!(browser.evaluate("document.getElementById('paper').checkVisibility()"), true);
    browser.evaluate("dispatchEvent(new Event('afterprint'))");
    assert_eq!(browser.evaluate(rows), 0);
}

#[test]
fn a_narrow_window_scrolls_only_within_its_parts() {
    let Some(mut browser) = browser("narrow") else { return };
    let size = json!({ "width": 420, "height": 900, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", size);
    open(&mut browser, &captures::named("plain-stream-loss10"), "narrow");
    let too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(too_wide), 0, "the page is wider than the window");
}
