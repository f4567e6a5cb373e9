//! Two connections, their applications and the network between. The body is `sendoff_proto::fuzz::operations`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_proto::fuzz::operations(bytes));
