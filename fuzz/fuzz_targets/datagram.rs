//! Datagrams of any kind, and what applications do meanwhile. The body is `sendoff_proto::fuzz::datagram`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_proto::fuzz::datagram(bytes));
