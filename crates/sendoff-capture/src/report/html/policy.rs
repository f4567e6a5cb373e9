//! What keeps data from becoming markup: escapes, and the policy that lets nothing run but the page's own script.

use sha2::{Digest, Sha256};

/// Appends JSON so that it can stand in a `<script>` element: what could end the element, or open a comment in it, is
/// written with its number. Such signs occur within strings only, where JSON allows that.
pub(super) fn json_in_script(json: &str, out: &mut String) {
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            // These end a line in JavaScript, though not in JSON.
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// Appends text so that it can stand between tags.
pub(super) fn text_in_markup(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
    }
}

/// The page's Content Security Policy: no network at all, no script and no style but those with these texts.
pub(super) fn content_security_policy(script: &str, style: &str) -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        source_hash(script),
        source_hash(style)
    )
}

/// As a policy names a text (CSP level 3, section 2.3.1, hash-source).
fn source_hash(text: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(text)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [chunk[0], chunk.get(1).copied().unwrap_or(0), chunk.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for n in 0..4 {
            let sign = SIGNS[(bits >> (18 - 6 * n)) as usize & 63];
            out.push(if n > chunk.len() { '=' } else { char::from(sign) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (len, expected) in vectors.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..len]), expected);
        }
    }

    #[test]
    fn a_text_has_the_hash_that_browsers_give_it() {
        // The example of CSP level 3, section 8.4.
        let policy = content_security_policy("alert('Hello, world.');", "");
        assert!(policy.contains("'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"), "{policy}");
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
    }

    #[test]
    fn nothing_in_json_ends_its_script_element() {
        let mut out = String::new();
        json_in_script("\"</script><!-- & \u{2028}\u{2029}ü\"", &mut out);
        assert_eq!(out, "\"\\u003c/script\\u003e\\u003c!-- \\u0026 \\u2028\\u2029ü\"");
        out.clear();
        text_in_markup("</title>&amp;", &mut out);
        assert_eq!(out, "&lt;/title&gt;&amp;amp;");
    }
}
