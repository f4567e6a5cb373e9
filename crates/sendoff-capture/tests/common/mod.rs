//! The captures that the tests read.
#![allow(dead_code)] // Each test file uses its part.

use std::{fs, path::Path};

/// Where they lie: those of plain KCP serve the tests of the protocol core too.
const PLACES: [&str; 2] = ["tests/captures", "../sendoff-proto/tests/captures"];

/// A capture by its name.
pub fn capture(name: &str) -> Vec<u8> {
    let path = |place: &&str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join(format!("{name}.pcapng"));
        path.exists().then_some(path)
    };
    let path = PLACES.iter().find_map(path).unwrap_or_else(|| panic!("no capture {name}"));
    fs::read(path).unwrap()
}

/// All of them, with their names, in order.
pub fn all_captures() -> Vec<(String, Vec<u8>)> {
    let mut names = Vec::new();
    for place in PLACES {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
        for entry in fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "pcapng") {
                names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    names.sort();
    assert_eq!(names.len(), 21, "captures are missing or new: {names:?}");
    names.into_iter().map(|name| (name.clone(), capture(&name))).collect()
}
