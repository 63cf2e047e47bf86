//! Any bytes as a list of torrents and as one of clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::lists(data));
