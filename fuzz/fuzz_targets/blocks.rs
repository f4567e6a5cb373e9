//! An endpoint that follows, asks for cookies and goes away, and who knows all tokens. The body is
//! `sendoff_proto::fuzz::blocks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_proto::fuzz::blocks(bytes));
