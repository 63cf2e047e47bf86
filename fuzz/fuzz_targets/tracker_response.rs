//! Any bytes as a tracker's answer to an announce and to a scrape.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::response(data));
