//! Any bytes as the query of an announce and of a scrape.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::query(data));
