//! Bytes as whatever a gateway may say: NAT-PMP, PCP, UPnP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_nearby::fuzz::gateway(data));
