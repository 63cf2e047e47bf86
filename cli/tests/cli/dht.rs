//! `shoal dht`, and clients that find each other by it. BEP 5, 44. All on loopback.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Folder, Running, client};

/// A node that begins with nobody, and its address.
fn node(folder: &Folder) -> (Running, String) {
    let line = "dht --listen 127.0.0.1:0 --dht-bootstrap 127.0.0.1:1 --json";
    let mut node = folder.start(line.split_whitespace());
    let listen = node.wait("started")["listen"][0]
        .as_str()
        .unwrap()
        .to_owned();
    (node, listen)
}

/// The line of a question that begins with this node.
fn ask(node: &str, question: &str) -> Vec<String> {
    let line = format!("dht --listen 127.0.0.1:0 --dht-bootstrap {node} {question}");
    line.split_whitespace().map(str::to_owned).collect()
}

const HASH: &str = "2c6b6858d61da9543d4231a71db4b1c9264b0685";

#[test]
fn node_alone_answers_pings_and_stores_peers_and_items() {
    let folder = Folder::new();
    let (_node, at) = node(&folder);
    assert!(
        folder
            .done(ask(&at, &format!("ping {at}")))
            .contains("answers as")
    );
    let nobody = folder.run(ask(&at, &format!("get-peers {HASH}")));
    assert_eq!(nobody.code, Some(1), "{}", nobody.stdout);
    let stored = folder.done(ask(&at, &format!("announce {HASH} 4321")));
    assert!(stored.contains("stored at 1 node"), "{stored}");
    let found = folder.run(ask(&at, &format!("--json get-peers {HASH}")));
    let events = found.events("dht");
    assert_eq!(events[0]["peers"][0], "127.0.0.1:4321");
    assert_eq!(events[1]["peers"], 1);

    let stored = folder.done(ask(&at, "put hello"));
    // The hash of `5:hello`.
    let target = stored
        .lines()
        .find_map(|line| line.strip_prefix("target "))
        .unwrap();
    assert_eq!(folder.done(ask(&at, &format!("get {target}"))), "hello\n");
    let missing = folder.run(ask(&at, &format!("get {HASH}")));
    assert_eq!(missing.code, Some(1));
}

#[test]
fn dead_first_node_is_waited_for_aloud() {
    let folder = Folder::new();
    let line = ask("127.0.0.1:1", &format!("--json get-peers {HASH}"));
    let waiting = folder.start(&line);
    // Three times what it waits in silence.
    std::thread::sleep(Duration::from_secs(6));
    waiting.signal(Signal::INT);
    let (code, _, stderr) = waiting.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("no node of the DHT has answered"),
        "{stderr}"
    );
}

#[test]
fn item_of_a_key_has_versions_and_salts() {
    let folder = Folder::new();
    let (_node, at) = node(&folder);
    let put = |what: &str| folder.run(ask(&at, &format!("--json put {what} --key me.key")));
    let first = put("one").events("dht").remove(0);
    assert_eq!(first["seq"], 1);
    let second = put("two").events("dht").remove(0);
    assert_eq!(
        (&second["seq"], &second["target"]),
        (&2.into(), &first["target"])
    );
    assert_eq!(
        put("old --seq 1").code,
        Some(1),
        "a later version is stored"
    );
    assert_ne!(
        put("other --salt s").events("dht")[0]["target"],
        first["target"]
    );
    let key = first["key"].as_str().unwrap();
    assert_eq!(folder.done(ask(&at, &format!("get {key}"))), "two\n");
    assert_eq!(
        folder.done(ask(&at, &format!("get {key} --salt s"))),
        "other\n"
    );
}

#[test]
fn clients_find_each_other_without_a_tracker() {
    let folder = Folder::new();
    folder.torrent("a", 300_000);
    let (mut node, at) = node(&folder);
    let line = |dir: &str| {
        client(
            "a.torrent",
            &format!("--dir {dir} --json --dht-bootstrap {at}"),
        )
    };
    let mut seeder = folder.start(line("."));
    seeder.wait("complete");
    while node.wait("status")["peers"] == 0 {}
    let at_rest = |event: &serde_json::Value| event["dht"]["state"] == "resting";
    let mut sources = seeder.wait("sources");
    while !at_rest(&sources) {
        sources = seeder.wait("sources");
    }
    assert_eq!(sources["dht"]["nodes_v4"], 1);
    assert_eq!(sources["dht"]["announced"], 1, "{sources}");
    assert_eq!(sources["lsd"]["why"], "unwanted");
    assert_eq!(sources["pex"]["state"], "on");
    let mut leecher = folder.start(line("there"));
    leecher.wait("complete");
    let (here, there) = (folder.path().join("a"), folder.path().join("there/a"));
    assert_eq!(std::fs::read(here).unwrap(), std::fs::read(there).unwrap());
}

#[test]
fn client_says_why_the_dht_is_not_used() {
    let folder = Folder::new();
    folder.torrent("a", 30_000);
    for (more, why) in [
        ("--proxy socks5://127.0.0.1:1", "proxy"),
        ("--no-dht", "unwanted"),
    ] {
        let line = client("a.torrent", &format!("--dir {why} --json {more}"));
        let sources = folder.start(line).wait("sources");
        assert_eq!(sources["dht"]["state"], "off", "{sources}");
        assert_eq!(sources["dht"]["why"], why, "{sources}");
        assert_eq!(sources["trackers"], serde_json::json!([]));
    }
}

#[test]
fn wrong_questions_are_told() {
    let folder = Folder::new();
    for (line, said) in [
        ("dht get-peers abc", "40 hex digits"),
        ("dht get abc", "public key of 64"),
        ("dht announce abc 1", "40 hex digits"),
        (&format!("dht announce {HASH} 0"), "port 0"),
        (&format!("dht put {}", "x".repeat(997)), "bytes"),
        (
            &format!("dht put x --key no.key --salt {}", "s".repeat(65)),
            "salt",
        ),
        ("dht ping nowhere", "nowhere is no node: write HOST:PORT"),
        ("dht --dht-bootstrap nowhere", "HOST:PORT"),
        ("dht put x --seq 1", "--key"),
    ] {
        let ended = folder.run(line.split_whitespace());
        assert_eq!(ended.code, Some(2), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{line}: {}", ended.stderr);
    }
}
