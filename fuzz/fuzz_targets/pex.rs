//! Any bytes as the payload of a `ut_pex` message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_wire::fuzz::pex(data));
