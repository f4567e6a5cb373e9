//! Any bytes into the ciphers' openers, and what was sealed, changed. The body is `sendoff_proto::fuzz::seal`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_proto::fuzz::seal(bytes));
