//! Any bytes into the bencode parser, in every mode.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_bencode::fuzz::parse(data));
