//! BEP 47: padding is counted and never stored.

use shoal_integration_tests::{Content, TestPeer};

#[test]
fn padding_is_made_up_and_not_stored() {
    let content = Content::folder("padded")
        .file("a", 10_000)
        .padding("a.pad/22768", 22_768)
        .file("b", 50_000)
        .padding("b.pad/15536", 15_536)
        .file("c", 7)
        .piece_length(32 << 10)
        .build();
    let padding = content.torrent().info.files.iter();
    assert_eq!(padding.filter(|file| file.attributes.padding).count(), 2);
    let seeder = TestPeer::seeder(&content).start();
    seeder.wait_complete();
    let leecher = TestPeer::leecher(&content).knowing([&seeder]).start();
    leecher.wait_complete();
    content.assert_identical(leecher.dir());
    for path in ["padded/a.pad", "padded/b.pad"] {
        let path = leecher.dir().join(path);
        assert!(!path.exists(), "{} is padding", path.display());
    }
    // One that has no padding on its disk seeds it all the same.
    let second = TestPeer::leecher(&content).knowing([&leecher]);
    drop(seeder);
    let second = second.start();
    second.wait_complete();
    content.assert_identical(second.dir());
}
