//! Any bytes into the decoder of the journal, with checksums as they come and with right ones.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_storage::journal::fuzz::decode(data));
