//! Any bytes as requests over HTTP, one behind the other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::http_requests(data));
