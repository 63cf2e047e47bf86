//! Any bytes as a datagram of the DHT, to the codec and to a node.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| shoal_dht::fuzz::krpc(data));
