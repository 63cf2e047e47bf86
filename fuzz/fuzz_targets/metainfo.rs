//! Any bytes as a .torrent, a magnet link and compact peers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    shoal_metainfo::fuzz::torrent(data);
    shoal_metainfo::fuzz::magnet(data);
    shoal_metainfo::fuzz::compact(data);
});
