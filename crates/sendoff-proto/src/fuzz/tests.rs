use super::*;
use std::{fs, path::Path};

type Body = fn(&[u8]);

fn run_corpus(target: &str, body: Body) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} files in {}", files.len(), directory.display());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let _named = Named(&file, &bytes);
        body(&bytes);
    }
}

/// Names the input that fails.
struct Named<'a>(&'a dyn std::fmt::Debug, &'a [u8]);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input {:?}: {:?}", self.0, self.1);
        }
    }
}

/// Inputs drawn at random.
fn run_random(seeds: std::ops::Range<u64>, body: Body) {
    for seed in seeds {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let len = next() % 600;
        let bytes: Vec<u8> = (0..len).map(|_| (next() >> 32) as u8).collect();
        let _named = Named(&seed, &bytes);
        body(&bytes);
    }
}

#[test]
fn datagrams_of_the_corpus_break_nothing() {
    run_corpus("datagram", datagram);
}

#[test]
fn blocks_of_the_corpus_move_and_end_nobody_who_was_not_asked() {
    run_corpus("blocks", blocks);
}

#[test]
fn random_blocks_move_and_end_nobody_who_was_not_asked() {
    run_random(0..3_000, blocks);
}

#[test]
fn operations_of_the_corpus_deliver_every_byte_once() {
    run_corpus("operations", operations);
}

#[test]
fn random_datagrams_break_nothing() {
    run_random(0..2_000, datagram);
}

#[test]
fn random_operations_deliver_every_byte_once() {
    run_random(0..500, operations);
}

#[test]
fn shards_of_the_corpus_recover_nothing_that_was_not_sent() {
    run_corpus("fec", fec);
}

#[test]
fn random_shards_recover_nothing_that_was_not_sent() {
    run_random(0..1_000, fec);
}

#[test]
fn datagrams_of_the_corpus_open_only_as_they_were_sealed() {
    run_corpus("seal", seal);
}

#[test]
fn random_datagrams_open_only_as_they_were_sealed() {
    run_random(0..2_000, seal);
}
