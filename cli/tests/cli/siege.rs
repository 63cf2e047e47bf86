//! `shoal client` besieged: the real program serves somebody honest all the same.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use shoal_integration_tests::{BESIEGERS, Content, Ruse, Siege, TestPeer};

use crate::support::Folder;

/// What a peer may have to wait for: until those in its way were tried, on a machine that is busy.
const ROUNDS: Duration = Duration::from_secs(8);

/// What a busy machine may keep a download waiting once. The besiegers run on the same one.
const HICCUP: Duration = Duration::from_secs(3);

#[test]
fn besieged_client_serves_who_comes_late() {
    let content = Content::single(8 << 20);
    let torrent = content.torrent_file();
    let folder = Folder::new();
    let line = ["client".as_ref(), torrent.as_os_str(), "0".as_ref()];
    let dir = ["--dir".as_ref(), content.dir().as_os_str()];
    let more = ["--no-tracker".as_ref(), "--json".as_ref()];
    let mut client = folder.start(line.iter().chain(&dir).chain(&more));
    let port = client.wait("started")["port"].as_u64().unwrap();
    client.wait("complete");
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    let alone = TestPeer::download(&content, address);
    for ruse in [Ruse::NeverReads, Ruse::Sips] {
        let siege = Siege::lay(ruse, address, &content);
        thread::sleep(Duration::from_secs(4));
        let mut besieged = [(); 3].map(|()| TestPeer::download(&content, address));
        assert!(siege.lift() >= BESIEGERS, "there was no siege");
        // Before and after: what the machine does besides counts for both.
        let alone = alone.max(TestPeer::download(&content, address));
        besieged.sort_unstable();
        let [_, median, worst] = besieged;
        assert!(
            median < alone * 4 + HICCUP,
            "{besieged:?} in place of {alone:?}"
        );
        assert!(
            worst < alone * 10 + ROUNDS,
            "{besieged:?} in place of {alone:?}"
        );
    }
}
