//! What is told on standard error beside events, and what a tracker without a folder says.

use serde_json::Value;

use crate::support::Folder;

/// Each line as an object of the log.
#[track_caller]
fn logged(stderr: &str) -> Vec<Value> {
    let read = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        for key in ["timestamp", "level", "target"] {
            assert!(line[key].is_string(), "{line}");
        }
        assert!(line["fields"]["message"].is_string(), "{line}");
        line
    };
    stderr.lines().map(read).collect()
}

#[test]
fn log_of_a_tracker_with_events_is_an_object_a_line() {
    let folder = Folder::new();
    let line = ["tracker", "--no-state", "--json", "--listen", "127.0.0.1:0"];
    // Nobody listens there, which is logged before the event.
    let more = ["--store", "redis://127.0.0.1:1", "-vv"];
    let command = folder.command(line.iter().chain(&more));
    let mut tracker = crate::support::Running::spawn(command, "tracker");
    tracker.wait("store");
    tracker.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = tracker.end();
    assert_eq!(code, Some(0), "{stderr}");
    let lines = logged(&stderr);
    let away = |line: &Value| line["fields"]["message"] == "the store is away";
    assert!(lines.iter().any(away), "{lines:?}");
}

#[test]
fn failure_of_any_command_with_events_is_an_object_too() {
    let folder = Folder::new();
    let check = |ended: crate::support::Ended, code, level: &str, said: &str| {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let lines = logged(&ended.stderr);
        let is_told = |line: &Value| {
            line["level"] == level && line["fields"]["message"].as_str().unwrap().contains(said)
        };
        assert!(lines.iter().any(is_told), "{said:?} is not in {lines:?}");
    };
    let verify = folder.run(["verify", "none.torrent", "--json"]);
    check(verify, 1, "ERROR", "none.torrent");
    // For people it is as it was.
    let verify = folder.run(["verify", "none.torrent"]);
    assert!(verify.stderr.starts_with("shoal: "), "{verify:?}");
}

#[test]
fn warning_is_one_in_the_log_too() {
    let folder = Folder::new();
    folder.file("a", 10);
    let url = "http://t.test/announce";
    let line = ["create", "a", url, url, "--json"];
    let made = folder.run(line);
    assert_eq!(made.code, Some(0), "{made:?}");
    let lines = logged(&made.stderr);
    let [warning] = &lines[..] else {
        panic!("not one line: {lines:?}");
    };
    assert_eq!(warning["level"], "WARN", "{warning}");
    let message = warning["fields"]["message"].as_str().unwrap();
    assert!(message.contains("given twice"), "{message}");
    // For people the word says it.
    let made = folder.run(["create", "a", url, url, "--force"]);
    assert!(made.stderr.contains("warning: "), "{made:?}");
}

#[test]
fn tracker_without_a_folder_for_its_state_says_what_is_lost() {
    let folder = Folder::new();
    let said = |more: &[&str]| {
        let line = ["tracker", "--json", "--listen", "127.0.0.1:0"];
        let mut command = folder.command(line.iter().chain(more));
        command.env_remove("HOME").env_remove("XDG_STATE_HOME");
        let mut tracker = crate::support::Running::spawn(command, "tracker");
        tracker.wait("started");
        tracker.signal(rustix::process::Signal::TERM);
        let (code, events, stderr) = tracker.end();
        assert_eq!(code, Some(0), "{stderr}");
        let warned = events
            .into_iter()
            .filter(|event| event["event"] == "warning");
        warned
            .map(|event| event["message"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let [warning] = &said(&[])[..] else {
        panic!("not one warning");
    };
    for words in ["completed counts", "passkeys", "--state-dir"] {
        assert!(warning.contains(words), "{warning}");
    }
    assert!(folder.names().is_empty(), "{:?}", folder.names());
    assert_eq!(said(&["--no-state"]), [""; 0]);
    assert_eq!(said(&["--state-dir", "kept"]), [""; 0]);
    let mut keys = folder.command(["keys", "add"]);
    keys.env_remove("HOME").env_remove("XDG_STATE_HOME");
    let output = keys.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--state-dir"));
}
