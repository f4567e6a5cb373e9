//! The test vectors of `docs/protocol.md`: each parses to what the page says, and encodes to the same bytes.

use sendoff_proto::{
    Config, Endpoint, Route,
    wire::{Segments, segments},
};
use std::{fs, sync::Arc, time::Instant};

struct Vector {
    expected: Vec<String>,
    bytes: Vec<u8>,
}

/// The blocks of the page that begin with three backticks and `kcp`.
fn vectors() -> Vec<Vector> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md")).unwrap();
    page.split("```kcp\n").skip(1).map(|rest| vector(rest.split("```").next().unwrap())).collect()
}

fn vector(block: &str) -> Vector {
    let is_words = |line: &&str| line.starts_with('[') || line.contains(": ");
    let (words, hex): (Vec<&str>, Vec<&str>) = block.lines().partition(is_words);
    let digits: Vec<char> = hex.concat().chars().filter(|c| *c != ' ').collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    Vector {
        expected: words.into_iter().map(str::to_owned).collect(),
        bytes: digits.chunks(2).map(byte).collect(),
    }
}

fn described(mut segments: Segments<'_>) -> Vec<String> {
    let mut words = Vec::new();
    for segment in segments.by_ref() {
        words.push(match segment {
            Ok(segment) => format!("{segment:?}"),
            Err(error) => format!("error: {error}"),
        });
    }
    if !segments.rest().is_empty() {
        words.push(format!("ignored: {} bytes", segments.rest().len()));
    }
    words
}

#[test]
fn every_vector_parses_to_what_the_page_says() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 15);
    for Vector { expected, bytes } in vectors {
        assert_eq!(described(segments(&bytes)), expected);
    }
}

#[test]
fn every_segment_encodes_to_the_same_bytes() {
    let mut encoded = 0;
    for Vector { bytes, .. } in vectors() {
        let mut at = 0;
        for segment in segments(&bytes).filter_map(Result::ok) {
            let mut out = Vec::new();
            segment.to_segment().encode(segment.data(), &mut out);
            assert_eq!(out, bytes[at..at + out.len()]);
            at += out.len();
            encoded += 1;
        }
    }
    assert_eq!(encoded, 15);
}

#[test]
fn an_unknown_conversation_is_answered_as_the_page_says() {
    let vectors = vectors();
    let mut endpoint = Endpoint::<()>::new(Arc::new(Config::new()), true);
    let route = endpoint.route(Instant::now(), "192.0.2.1:7".parse().unwrap(), &vectors[6].bytes);
    let Route::Answer(answer) = route else { panic!("{route:?}") };
    assert_eq!(*answer, vectors[7].bytes[..]);
}
