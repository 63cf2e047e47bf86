//! The tracker's pages in a real browser: in the dark, in the light, as large as a phone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use shoal_integration_tests::{TestTracker, eventually};
use shoal_metainfo::InfoHash;
use shoal_tracker::server::FrontConfig;

use crate::browser::Browser;

const EVIL: &str = "<img src=x onerror=alert(1)> & \"friends\"";

fn tracker() -> TestTracker {
    let names = [
        (1, "Debian 13 netinst amd64"),
        (2, EVIL),
        (3, "Sintel (2010)"),
    ];
    let names = names.map(|(at, name)| (InfoHash([at; 20]), name.to_owned()));
    let tracker = TestTracker::with(|config| {
        config.front = FrontConfig {
            names: BTreeMap::from(names),
            ..FrontConfig::default()
        };
    });
    let clients = ["-TR4050-", "-qB4630-", "-lt0D80-", "-SH0100-", "-<b>xx1-"];
    for torrent in 1..=40u16 {
        for peer in 0..=(200 / torrent) {
            let hash = format!("%{torrent:02x}").repeat(20);
            let client = clients[usize::from(peer * 7 + torrent) % clients.len()];
            let client = client.replace('<', "%3C").replace('>', "%3E");
            let target = format!(
                "/announce?info_hash={hash}&peer_id={client}abcdefghijkl&port={}&uploaded=0\
                 &downloaded=0&left={}&event=started",
                1_000 + peer,
                u32::from(peer % 3) * u32::from(peer) * 1_000
            );
            let (status, _) = tracker.get(target.as_bytes());
            assert_eq!(status, "HTTP/1.1 200 OK");
        }
    }
    tracker
}

/// Kept where `SHOAL_SCREENSHOTS` says, to be looked at.
fn keep(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    let Some(folder) = std::env::var_os("SHOAL_SCREENSHOTS") else {
        return;
    };
    let path = Path::new(&folder).join(format!("{name}.png"));
    let mut decode = Command::new("base64");
    decode.arg("-d").stdin(Stdio::piped());
    decode.stdout(fs::File::create(path).expect("a file"));
    let mut decode = decode.spawn().expect("coreutils");
    let mut input = decode.stdin.take().expect("piped above");
    std::io::Write::write_all(&mut input, picture.as_bytes()).expect("it reads");
    drop(input);
    assert!(decode.wait().expect("it ends").success());
}

fn shown_rows(browser: &mut Browser) -> Value {
    browser.value("[...document.querySelectorAll('#rows tr')].filter(r => !r.hidden).length")
}

fn look(browser: &mut Browser, origin: &str, scheme: &str, (width, height): (u32, u32)) {
    let phone = width < 600;
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
    browser.call("Emulation.setDeviceMetricsOverride", size);
    let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
    let name = format!("{scheme}-{width}");
    browser.open(&format!("{origin}/"));
    assert_eq!(shown_rows(browser), 40);
    keep(browser, &format!("status-{name}"));
    // Nothing is wider than the screen.
    assert_eq!(browser.value("document.documentElement.scrollWidth"), width);
    let background = browser.value("getComputedStyle(document.body).backgroundColor");
    let background = background.as_str().expect("a colour").to_owned();
    let first = background.trim_start_matches("rgb(").split(',').next();
    let first: u32 = first.and_then(|red| red.parse().ok()).expect("red");
    assert_eq!(first > 128, scheme == "light", "{background}");
    let search = |text: &str| {
        format!(
            "(() => {{ const q = document.getElementById('q'); q.value = {}; \
             q.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()",
            json!(text)
        )
    };
    for (text, rows) in [
        ("sintel", 1),
        ("0f0f", 1),
        ("<IMG", 1),
        ("nowhere", 0),
        ("", 40),
    ] {
        browser.value(&search(text));
        assert_eq!(shown_rows(browser), rows, "{text}");
        let hidden = browser.value("document.getElementById('none').hidden");
        assert_eq!(hidden, rows > 0, "{text}");
        if text == "nowhere" {
            keep(browser, &format!("search-{name}"));
        }
    }
    browser.open(&format!("{origin}/torrent/{}", "01".repeat(20)));
    let text = browser.value("document.body.innerText");
    let text = text.as_str().expect("text");
    for words in [
        "Debian 13 netinst",
        "qBittorrent 4.6.3.0",
        "Completeness",
        "75–99 %",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!text.contains("127.0.0.1"), "{text}");
    keep(browser, &format!("torrent-{name}"));
    assert_eq!(browser.complaints(origin), Vec::<String>::new(), "{name}");
}

#[test]
fn pages_look_right_in_the_dark_in_the_light_and_on_a_phone() {
    let (tracker, profile) = (tracker(), tempfile::tempdir().expect("a folder"));
    let origin = format!("http://{}", tracker.address());
    let mut browser = Browser::start(profile.path());
    for scheme in ["light", "dark"] {
        for size in [(1_200, 900), (390, 844)] {
            look(&mut browser, &origin, scheme, size);
        }
    }
}

/// The check above would see it if the page's policy forbade something.
#[test]
fn what_the_policy_of_a_page_forbids_does_not_happen_and_is_seen() {
    let (tracker, profile) = (tracker(), tempfile::tempdir().expect("a folder"));
    let origin = format!("http://{}", tracker.address());
    let mut browser = Browser::start(profile.path());
    browser.open(&format!(
        "{origin}/?q={}",
        "%22%3E%3Cscript%3Ewindow.evil=1%3C/script%3E"
    ));
    assert_eq!(browser.complaints(&origin), Vec::<String>::new());
    browser.value(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.evil = 1'; \
         document.body.append(s); })()",
    );
    assert_eq!(browser.value("window.evil === undefined"), true);
    let mut seen = Vec::new();
    eventually("the policy complains", || {
        browser.value("1");
        seen.extend(browser.complaints(&origin));
        seen.iter()
            .any(|line| line.contains("Content Security Policy"))
    });
    drop(tracker);
}

/// Sums are kept fresh by the script.
#[test]
fn numbers_of_an_open_page_follow_the_tracker() {
    let (tracker, profile) = (tracker(), tempfile::tempdir().expect("a folder"));
    let origin = format!("http://{}", tracker.address());
    let mut browser = Browser::start(profile.path());
    browser.open(&format!("{origin}/"));
    let torrents = "document.querySelector('dd[data-stat=torrents]').textContent";
    assert_eq!(browser.value(torrents), "40");
    let target = format!(
        "/announce?info_hash={}&peer_id=-TR4050-abcdefghijkl&port=1&uploaded=0&downloaded=0&left=1",
        "%99".repeat(20)
    );
    let _ = tracker.get(target.as_bytes());
    eventually("the page knows", || browser.value(torrents) == "41");
    assert_eq!(browser.complaints(&origin), Vec::<String>::new());
}
