//! Any bytes as a body of the admin API.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::admin_body(data));
