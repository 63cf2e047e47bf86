//! `bench/compare` works: it finds clients, moves content, counts, and says what went wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::clients::shoal_binary;

fn folder() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("in the workspace")
        .join("bench/compare")
}

/// Runs it with small contents; its tables go to JSON.
fn compare(arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new("python3")
        .arg(folder())
        .args(["--quick", "--warm", "none", "--json"])
        .args(["--size", "8MiB", "--create-size", "8MiB"])
        .arg("--dir")
        .arg(dir.path())
        .args(arguments)
        .env("SHOAL_BIN", shoal_binary())
        .output()
        .expect("python3 runs");
    let left = std::fs::read_dir(dir.path()).expect("the folder").count();
    assert_eq!(left, 0, "it removes what it made: {}", told(&output));
    output
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|text| String::from_utf8_lossy(text))
        .join("\n")
}

/// The row of that name in the table of that role, as JSON.
fn row<'a>(text: &'a str, role: &str, name: &str) -> &'a str {
    let after = |text: &'a str, start: &str| {
        let at = text.find(start);
        at.map_or("", |at| &text[at + start.len()..])
    };
    let table = after(text, &format!("\"role\": \"{role}\""));
    let row = after(table, &format!("\"name\": \"{name}\""));
    row.split("\"name\"").next().unwrap_or_default()
}

#[test]
fn compare_prints_rows_with_figures_for_all_it_found() {
    let output = compare(&[
        "--only",
        "leech,create",
        "--clients",
        "aria2,mktorrent",
        "--require",
        "aria2,mktorrent",
    ]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let rows = [
        ("leech", "ours"),
        ("leech", "aria2"),
        ("leech", "floor: raw TCP, receive"),
        ("leech", "floor: SHA-1, one core"),
        ("create", "ours"),
        ("create", "mktorrent"),
        ("create", "floor: memcpy, one core"),
    ];
    for (role, name) in rows {
        let row = row(&text, role, name);
        let whole = row.contains("\"good\": 1,") && row.contains("\"cpu\": ");
        assert!(whole, "{role} of {name}:\n{row}\n{text}");
    }
    let ratio = "\"ratios\": {\"wall\": 1.0, \"cpu\": 1.0}";
    let best = row(&text, "leech", "aria2");
    assert!(best.contains(ratio), "the only rival is the best:\n{best}");
}

#[test]
fn compare_says_who_did_not_finish() {
    let arguments = ["--only", "leech", "--clients", "ours", "--limit", "0.001"];
    let output = compare(&arguments);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let row = row(&text, "leech", "ours");
    assert!(row.contains("did not finish in 0.001 s"), "{text}");
}

#[test]
fn compare_refuses_to_begin_without_what_is_required() {
    let output = compare(&["--clients", "ours", "--require", "aria2"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("required and not found: aria2"), "{text}");
}

#[test]
fn compare_passes_its_own_tests() {
    let output = Command::new("python3")
        .args(["-B", "-m", "unittest", "discover", "-s"])
        .arg(folder())
        .output()
        .expect("python3 runs");
    assert!(output.status.success(), "{}", told(&output));
    assert!(!told(&output).contains("Ran 0 tests"), "it has tests");
}
