//! Any bytes into the decoder of the peer wire protocol, whole and in any split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_wire::fuzz::decode(data));
