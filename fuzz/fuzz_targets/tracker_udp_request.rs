//! Any bytes as a request to a tracker over UDP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_tracker::fuzz::udp_request(data));
