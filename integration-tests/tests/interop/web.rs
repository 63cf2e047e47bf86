//! A real web server as the only seed: nginx. BEP 19.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::clients::{Client, Kind, Role, shoal_binary};
use crate::net::{Net, Running};
use crate::trackers::open_folder;
use crate::{LEECHER, SEEDER, content, run};

/// What nginx is told: the files below `root`, and the same behind a redirect.
fn configuration(root: &Path, home: &Path) -> String {
    let (root, home) = (root.display(), home.display());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {home}/{name};"))
        .join(" ");
    format!(
        "daemon off; master_process off; user root; pid {home}/pid; error_log stderr;
         events {{ }}
         http {{ access_log {home}/access.log; {temporary}
           server {{ listen 10.78.0.2:80; root {root};
             location /moved/ {{ rewrite ^/moved/(.*)$ http://10.78.0.2/$1 redirect; }} }} }}"
    )
}

/// Downloads with this client from nginx alone; what nginx was asked.
fn download(kind: Kind, path: &str) -> String {
    let dir = tempfile::Builder::new()
        .permissions(open_folder())
        .tempdir()
        .expect("a temporary folder");
    let (content, torrent) = (content(dir.path()), dir.path().join("content.torrent"));
    let mut create = std::process::Command::new(shoal_binary());
    create.arg("create").arg(&content).args([
        "http://10.78.0.1:6969/announce",
        "--web-seed",
        &format!("http://10.78.0.2{path}"),
        "-o",
    ]);
    run(create.arg(&torrent));
    let net = Net::new(3);
    let configured = dir.path().join("nginx.conf");
    fs::write(&configured, configuration(dir.path(), dir.path())).expect("a file");
    let mut nginx = net.command(SEEDER, "nginx");
    let nginx = Running::start(
        nginx.arg("-c").arg(&configured),
        &dir.path().join("nginx.log"),
    );
    // Nobody listens before it has written that.
    for _ in 0..500 {
        if dir.path().join("pid").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(dir.path().join("pid").exists(), "nginx: {}", nginx.said());
    let data = dir.path().join("leech");
    let mut leech = Client::start((kind, Role::Leech), &net, LEECHER, &torrent, &data);
    leech.wait_whole();
    leech.assert_holds(&content);
    fs::read_to_string(dir.path().join("access.log")).expect("nginx writes it")
}

#[test]
fn we_download_from_nginx_alone() {
    let log = download(Kind::Shoal, "/");
    let asked = log.lines().filter(|line| line.contains("Shoal/"));
    assert!(asked.clone().count() > 0, "{log}");
    assert!(asked.clone().all(|line| line.contains("\" 206 ")), "{log}");
}

#[test]
fn we_follow_the_redirects_of_nginx() {
    let log = download(Kind::Shoal, "/moved/");
    assert!(log.contains("\" 302 ") && log.contains("\" 206 "), "{log}");
}

#[test]
fn libtorrent_downloads_from_the_web_seed_that_we_wrote() {
    let log = download(Kind::Libtorrent, "/");
    assert!(log.contains("\" 206 "), "{log}");
}
