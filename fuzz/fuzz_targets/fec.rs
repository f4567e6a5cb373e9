//! Shards, honest and not, into a decoder. The body is `sendoff_proto::fuzz::fec`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_proto::fuzz::fec(bytes));
