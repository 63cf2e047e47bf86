//! Bytes as an announce of local service discovery. BEP 14.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_nearby::fuzz::lsd(data));
