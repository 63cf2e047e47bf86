//! `shoal tracker` with rules and a memory: passkeys, lists that change, restarts and crashes.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, Running, free_port};
use crate::tracker::{announce, ask};

const LISTEN: [&str; 4] = ["tracker", "--listen", "127.0.0.1:0", "--json"];

fn start(folder: &Folder, more: &[&str]) -> (Running, String) {
    let mut tracker = folder.start(LISTEN.iter().chain(more));
    let started = tracker.wait("started");
    let address = started["listen"][0].as_str().unwrap().to_owned();
    (tracker, address)
}

fn stop(tracker: Running) -> Vec<Value> {
    tracker.signal(Signal::INT);
    let (code, events, stderr) = tracker.end();
    assert_eq!(code, Some(0), "{stderr}");
    events
}

fn message(event: &Value) -> &str {
    event["message"].as_str().unwrap()
}

#[test]
fn clients_with_a_passkey_find_each_other_over_http_and_udp_and_are_counted() {
    let folder = Folder::new();
    let state = ["--state-dir", "state"];
    let add = ["keys", "add", "--days", "9", "--peers-max", "4"];
    let key = folder.done(add.iter().chain(&state)).trim().to_owned();
    assert_eq!(key.len(), 32, "{key}");
    let at = format!("127.0.0.1:{}", free_port());
    let line = ["tracker", "--listen", &at, "--private", "--json"];
    let mut tracker = folder.start(line.iter().chain(&state));
    let told = tracker.wait("started");
    assert_eq!(told["announce"][0], format!("http://{at}/PASSKEY/announce"));
    for (name, url) in [
        ("http", format!("http://{at}/announce/{key}")),
        ("udp", format!("udp://{at}/{key}/announce")),
    ] {
        let content = folder.file(&format!("{name}-seed/{name}"), 300_000);
        let torrent = format!("{name}.torrent");
        let seed = format!("{name}-seed");
        folder.done(["create", &format!("{seed}/{name}"), &url]);
        let client = ["client", &torrent, "0", "--json", "--dir"];
        let mut seeder = folder.start(client.iter().chain(&[&*seed]));
        seeder.wait("complete");
        tracker.wait("announce");
        let leech = format!("{name}-leech");
        fs::create_dir(folder.join(&leech)).unwrap();
        let leecher = folder.start(client.iter().chain(&[&*leech, "--exit-when-complete"]));
        let (code, _, stderr) = leecher.end();
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert_eq!(fs::read(folder.join(leech).join(name)).unwrap(), content);
        seeder.signal(Signal::INT);
        seeder.end();
    }
    for url in [
        format!("udp://{at}/{}/announce", "0".repeat(32)),
        format!("http://{at}/announce"),
    ] {
        folder.file("lost", 10);
        folder.done(["create", "--force", "lost", &url]);
        let mut lost = folder.start(["client", "lost.torrent", "0", "--json"]);
        let warning = lost.wait("warning");
        assert!(message(&warning).contains("refuses"), "{warning}");
        lost.signal(Signal::KILL);
    }
    let list = ["keys", "list"];
    let used = folder.run(list.iter().chain(&state));
    used.failed(1, &["another tracker has its state in state"]);
    stop(tracker);
    let listed = folder.done(list.iter().chain(&state));
    for words in [
        &*key,
        "up 585.9 KiB, down 585.9 KiB",
        "at most 4 peers",
        "good for 9 days",
    ] {
        assert!(listed.contains(words), "{words} is not in {listed}");
    }
    let remove = ["keys", "remove", &key];
    folder.done(remove.iter().chain(&state));
    folder
        .run(remove.iter().chain(&state))
        .failed(2, &["no such passkey"]);
    assert_eq!(folder.done(list.iter().chain(&state)), "");
}

#[test]
fn lists_are_read_again_on_a_signal_and_a_mistake_is_named() {
    let folder = Folder::new();
    let [first, second] = ["0a", "0b"].map(|byte| byte.repeat(20));
    fs::write(folder.join("allow"), &first).unwrap();
    fs::write(folder.join("clients"), "# none yet\n").unwrap();
    fs::create_dir(folder.join("torrents")).unwrap();
    let lists = "--allow allow --deny-clients clients --folder torrents --no-state";
    let lists: Vec<_> = lists.split(' ').collect();
    let (mut tracker, address) = start(&folder, &lists);
    let told = |hash: &str| announce(&address, hash, "&left=5");
    assert!(told(&first).contains("8:interval"));
    assert!(told(&second).contains("unregistered torrent"));
    fs::write(folder.join("allow"), format!("{first}\n{second}")).unwrap();
    tracker.signal(Signal::HUP);
    assert_eq!(tracker.wait("lists")["allowed"], 2);
    assert!(told(&second).contains("8:interval"));

    fs::write(folder.join("allow"), format!("{first}\nnonsense")).unwrap();
    fs::write(folder.join("clients"), "-TR4").unwrap();
    tracker.signal(Signal::HUP);
    let warning = tracker.wait("warning");
    assert!(
        message(&warning).starts_with("allow:2: an info hash"),
        "{warning}"
    );
    assert_eq!(tracker.wait("lists")["clients"], 1);
    assert!(told(&second).contains("this client is not allowed"));

    // Without a signal too, as files come.
    folder.torrent("c", 10);
    fs::rename(folder.join("c.torrent"), folder.join("torrents/c.torrent")).unwrap();
    assert_eq!(tracker.wait("lists")["allowed"], 3);
    stop(tracker);
    let broken = folder.run(LISTEN.iter().chain(&lists));
    broken.failed(1, &["allow:2: an info hash has 40 hex digits"]);
}

/// Waits until what the tracker keeps has changed and is at rest.
fn written(path: &Path, before: &[u8]) {
    let until = Instant::now() + Duration::from_secs(60);
    let mut last = before.to_vec();
    loop {
        sleep(Duration::from_secs(1));
        let now = fs::read(path).unwrap();
        if now != before && now == last {
            return;
        }
        last = now;
        assert!(Instant::now() < until, "nothing is written");
    }
}

#[test]
fn completed_counts_outlive_a_crash_and_a_stop() {
    let folder = Folder::new();
    let hash = "0c".repeat(20);
    let kept = folder.join("state/tracker.redb");
    let more = ["--state-dir", "state"];
    let (tracker, address) = start(&folder, &more);
    let before = fs::read(&kept).unwrap();
    announce(&address, &hash, "&left=0&event=completed");
    written(&kept, &before);
    tracker.signal(Signal::KILL);
    tracker.end();

    let (mut tracker, address) = start(&folder, &more);
    let warning = tracker.wait("warning");
    assert!(message(&warning).contains("cut off"), "{warning}");
    announce(&address, &hash, "&left=0&event=completed");
    assert!(ask(&address, "/scrape", &hash, "").contains("10:downloadedi2e"));
    // At once: what is not written yet is written at the end.
    stop(tracker);

    let (tracker, address) = start(&folder, &more);
    assert_eq!(
        ask(&address, "/scrape", &hash, ""),
        "d5:filesdee",
        "nobody is there"
    );
    announce(&address, &hash, "&left=1");
    assert!(ask(&address, "/scrape", &hash, "").contains("10:downloadedi2e"));
    let events = stop(tracker);
    assert!(
        events.iter().all(|event| event["event"] != "warning"),
        "{events:?}"
    );
}

#[test]
fn what_cannot_be_written_is_told_and_written_when_it_can() {
    let folder = Folder::new();
    let hash = "0e".repeat(20);
    let kept = folder.join("state/tracker.redb");
    let more = ["--state-dir", "state"];
    let (mut tracker, address) = start(&folder, &more);
    tracker.limit_files(Some(4_096));
    announce(&address, &hash, "&left=0&event=completed");
    let warning = tracker.wait("warning");
    assert!(message(&warning).contains("not kept yet"), "{warning}");
    // What failed may have left its marks already.
    let before = fs::read(&kept).unwrap();
    tracker.limit_files(None);
    written(&kept, &before);
    tracker.signal(Signal::KILL);
    tracker.end();
    let (tracker, address) = start(&folder, &more);
    announce(&address, &hash, "&left=1");
    assert!(ask(&address, "/scrape", &hash, "").contains("10:downloadedi1e"));
    stop(tracker);
}

#[test]
fn swarms_are_there_at_once_when_they_are_kept() {
    let folder = Folder::new();
    let hash = "0d".repeat(20);
    let more = ["--state-dir", "state", "--keep-swarms"];
    let (tracker, address) = start(&folder, &more);
    announce(&address, &hash, "&left=5&event=started");
    stop(tracker);
    let (tracker, address) = start(&folder, &more);
    assert!(ask(&address, "/scrape", &hash, "").contains("10:incompletei1e"));
    stop(tracker);
    // Who does not want them any more does not get old ones later.
    let (tracker, _) = start(&folder, &more[..2]);
    stop(tracker);
    let (tracker, address) = start(&folder, &more);
    assert_eq!(ask(&address, "/scrape", &hash, ""), "d5:filesdee");
    stop(tracker);
}

#[test]
fn state_of_another_tracker_or_of_none_is_refused_and_left_alone() {
    let folder = Folder::new();
    let more = ["--state-dir", "state"];
    let (tracker, _) = start(&folder, &more);
    let second = folder.run(LISTEN.iter().chain(&more));
    second.failed(1, &["another tracker has its state in state", "stop it"]);
    stop(tracker);
    let path = folder.join("state/tracker.redb");
    let good = fs::read(&path).unwrap();
    let cut = good[..good.len() / 2].to_vec();
    for (bytes, words) in [
        (b"not ours".to_vec(), "no tracker's state"),
        (cut, "is damaged"),
    ] {
        fs::write(&path, &bytes).unwrap();
        let refused = folder.run(LISTEN.iter().chain(&more));
        refused.failed(1, &["state/tracker.redb", words, "left as it"]);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
