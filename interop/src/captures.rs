//! The captures that are checked in, and values as other programs write them.

use std::{fs, path::PathBuf};

/// Captures that there are at least.
const LEAST: usize = 21;

/// All that are checked in, in order.
///
/// # Panics
/// Some are missing.
pub fn checked_in() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for place in ["sendoff-capture", "sendoff-proto"] {
        let place = format!("{}/../crates/{place}/tests/captures", env!("CARGO_MANIFEST_DIR"));
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "pcapng")));
    }
    files.sort();
    assert!(files.len() >= LEAST, "captures are missing: {files:?}");
    files
}

/// The first word of a value, numbers and truths in one notation: tshark has its own for some.
pub fn plain(text: &str) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    match word.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16)) {
        Some(Ok(number)) => number.to_string(),
        _ if word == "True" => "1".into(),
        _ if word == "False" => "0".into(),
        _ => word.to_owned(),
    }
}
