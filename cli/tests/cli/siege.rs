//! `shoal client` besieged: the real program serves somebody honest all the same.

use std::net::SocketAddr;
use std::time::Duration;

use shoal_integration_tests::{Content, Ruse, Siege};

use crate::support::Folder;

/// How long a siege lasts before somebody honest comes.
const BEFORE_THE_LATE: Duration = Duration::from_secs(4);

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
    for ruse in [Ruse::NeverReads, Ruse::Sips] {
        Siege::assert_late_is_served(ruse, address, &content, BEFORE_THE_LATE);
    }
}
