//! Any bytes as a message of `ut_metadata` (BEP 9).
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_wire::fuzz::ut_metadata(data));
