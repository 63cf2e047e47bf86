//! A headless Chromium that a test leads, by its DevTools protocol over two pipes.
//!
//! Knows nothing of what it is shown.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A running browser with one page; it is ended when this is dropped.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    /// What happened and nobody has asked for yet.
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts it with a fresh profile in this folder.
    pub(crate) fn start(profile: &Path) -> Self {
        // It reads descriptor 3 and writes 4, which no safe call here could give it.
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            "sh",
        ]);
        shell.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-first-run",
        ]);
        // Root has no sandbox there, and what it is shown is our own.
        shell.args([
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
        ]);
        shell.arg(format!("--user-data-dir={}", profile.display()));
        let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        let input = child.stdin.take().expect("piped above");
        let output = BufReader::new(child.stdout.take().expect("piped above"));
        let mut browser = Self {
            child,
            input,
            output,
            session: None,
            number: 0,
            events: VecDeque::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method; its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut call = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        write!(self.input, "{call}\0").expect("the browser runs; is chromium installed?");
        loop {
            let said = self.read();
            if said["id"] == self.number {
                assert!(said["error"].is_null(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push_back(said);
        }
    }

    /// Opens a page and waits until it is there.
    pub(crate) fn open(&mut self, url: &str) {
        let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
        // Of the page before.
        self.events.retain(|event| !is_load(event));
        self.call("Page.navigate", json!({ "url": url }));
        let mut kept = VecDeque::new();
        loop {
            let event = self.events.pop_front().unwrap_or_else(|| self.read());
            if is_load(&event) {
                break;
            }
            kept.push_back(event);
        }
        kept.append(&mut self.events);
        self.events = kept;
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert!(
            result["exceptionDetails"].is_null(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// What the page had to complain of: errors in its console, what its policy forbade, what it
    /// asked for elsewhere.
    pub(crate) fn complaints(&mut self, origin: &str) -> Vec<String> {
        let is_complaint = |event: &Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown" | "Network.loadingFailed") => true,
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Network.requestWillBeSent") => {
                let url = event["params"]["request"]["url"]
                    .as_str()
                    .unwrap_or_default();
                !url.starts_with(origin) && !url.starts_with("data:")
            }
            _ => false,
        };
        let events = self.events.drain(..);
        events
            .filter(|event| is_complaint(event))
            .map(|event| event.to_string())
            .collect()
    }

    /// What it looks like, base 64 of a PNG.
    pub(crate) fn picture(&mut self) -> String {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        shot["data"].as_str().expect("a picture").to_owned()
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).expect("a pipe");
        assert_eq!(
            bytes.pop(),
            Some(0),
            "the browser has ended; is chromium installed?"
        );
        serde_json::from_slice(&bytes).expect("JSON of the protocol")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it; killed, some might not.
        let _ = write!(self.input, "{{\"id\":0,\"method\":\"Browser.close\"}}\0");
        let _ = self.child.wait();
    }
}
