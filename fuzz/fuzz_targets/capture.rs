//! Capture files, told in every way. The body is `sendoff_capture::fuzz::capture`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sendoff_capture::fuzz::capture(bytes));
