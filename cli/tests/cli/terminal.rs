//! What a terminal is shown: colours, and none where they are not wanted.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Folder, client, seeder};

/// Wide enough for a whole line.
const WIDE: Winsize = Winsize {
    ws_row: 40,
    ws_col: 160,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A terminal: what programs see of it, and what a person does.
fn terminal() -> (OwnedFd, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let line = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (line, File::from(screen))
}

/// All that a download writes to a terminal, log and live lines.
fn shown(folder: &Folder, port: u64, no_color: Option<&str>, more: &[&str]) -> String {
    let dir = tempfile::tempdir_in(folder.path()).unwrap();
    let (line, mut screen) = terminal();
    tcsetwinsize(&line, WIDE).unwrap();
    let peer = format!("127.0.0.1:{port}");
    let mut command = folder.command(client("a.torrent", "-v"));
    command.args(more);
    command.args(["--exit-when-complete", "--peer", &peer, "--dir"]);
    command.arg(dir.path()).env("TERM", "xterm-256color");
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM"] {
        command.env_remove(variable);
    }
    command.envs(no_color.map(|value| ("NO_COLOR", value)));
    command.stdout(line.try_clone().unwrap()).stderr(line);
    let mut child = command.spawn().unwrap();
    // Its ends of the line: when the child has closed the others, reading ends.
    drop(command);
    let mut bytes = Vec::new();
    // A terminal that nobody writes to any more is an error (EIO), not an end.
    let _ = screen.read_to_end(&mut bytes);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(bytes).unwrap()
}

/// How often a colour, or bold and the like, is switched on. Source: ECMA-48, SGR.
fn colours(text: &str) -> usize {
    let sequences = text.split("\x1b[").skip(1);
    let is_colour = |sequence: &&str| {
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| {
            sequence[end..].starts_with('m') && !matches!(&sequence[..end], "" | "0")
        })
    };
    sequences.filter(is_colour).count()
}

#[test]
fn colours_are_for_terminals_and_not_with_no_color() {
    let folder = Folder::new();
    folder.torrent("a", 300_000);
    let (_seeder, port) = seeder(&folder, "a.torrent");
    for (no_color, coloured) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let shown = shown(&folder, port, no_color, &[]);
        for words in ["peer connected", "complete"] {
            assert!(shown.contains(words), "{words} is not in {shown:?}");
        }
        assert_eq!(colours(&shown) > 0, coloured, "{no_color:?}: {shown:?}");
        assert!(shown.contains("\x1b["), "no live line: {shown:?}");
    }
}

/// Bytes of the content whose figures are looked at, and bytes a second that it comes with.
const LENGTH: usize = 900_000;
const LIMIT: f64 = 100_000.0;

/// What a live or plain line says.
#[derive(Debug)]
struct Figures {
    percent: f64,
    here: f64,
    total: f64,
    down: f64,
    eta_s: Option<f64>,
    crowd: String,
}

/// ` 45%  264 KiB of 585.9 KiB  down 70.1 KiB/s  up 0 B/s  ETA 4.1 s  1 peer, 1 seed`, and before
/// the percentage a name and a bar.
fn figures(line: &str) -> Option<Figures> {
    let (before, behind) = line.split_once("%  ")?;
    let percent = before.rsplit([' ', ':']).next()?.parse().ok()?;
    let [bytes, down, up, eta, crowd] = behind.split("  ").collect::<Vec<_>>()[..] else {
        return None;
    };
    let (here, total) = bytes.split_once(" of ")?;
    assert_eq!(up, "up 0 B/s");
    Some(Figures {
        percent,
        here: size(here),
        total: size(total),
        down: size(down.strip_prefix("down ")?.strip_suffix("/s")?),
        eta_s: eta
            .strip_prefix("ETA ")?
            .strip_suffix(" s")
            .and_then(|s| s.parse().ok()),
        crowd: crowd.to_owned(),
    })
}

fn size(text: &str) -> f64 {
    let (number, unit) = text
        .split_once(' ')
        .unwrap_or_else(|| panic!("no size: {text:?}"));
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        _ => panic!("no unit: {text:?}"),
    };
    number.parse::<f64>().unwrap() * factor
}

/// The figures agree with each other and with what is known of the download.
fn check_figures(lines: &[Figures], text: &str) {
    assert!(!lines.is_empty(), "no figures in {text:?}");
    let rounding = 1.01;
    for line in lines {
        assert!(
            (line.total * rounding >= LENGTH as f64) && line.total <= LENGTH as f64,
            "{line:?}"
        );
        assert!(
            (line.percent - line.here * 100.0 / line.total).abs() <= 1.5,
            "{line:?}"
        );
        assert!(line.down <= LIMIT * 4.0, "{line:?}");
        assert!(
            ["0 peers, 0 seeds", "1 peer, 0 seeds", "1 peer, 1 seed"].contains(&&*line.crowd),
            "{line:?}"
        );
    }
    assert!(
        lines.is_sorted_by(|a, b| a.percent <= b.percent),
        "{lines:?}"
    );
    let steady = |line: &&Figures| line.down >= LIMIT / 4.0 && line.percent >= 10.0;
    let steady: Vec<_> = lines.iter().filter(steady).collect();
    assert!(!steady.is_empty(), "nothing moves: {lines:?}");
    for line in steady {
        assert_eq!(line.crowd, "1 peer, 1 seed", "{line:?}");
        let expect = (line.total - line.here) / line.down;
        let eta = line.eta_s.unwrap_or_else(|| panic!("no ETA: {line:?}"));
        assert!(
            (eta - expect).abs() <= expect * 0.5 + 2.0,
            "{line:?}: {expect} s are left"
        );
    }
}

#[test]
fn live_line_has_true_figures() {
    let folder = Folder::new();
    folder.torrent("a", LENGTH);
    let (_seeder, port) = seeder(&folder, "a.torrent");
    let shown = shown(&folder, port, Some("1"), &["--max-download", "100kB/s"]);
    let drawn = shown.split(['\r', '\n', '\x1b']).map(str::trim_end);
    let lines: Vec<_> = drawn.filter_map(figures).collect();
    check_figures(&lines, &shown);
    assert!(lines.len() >= 8, "it moves four times a second: {lines:?}");
}

#[test]
fn plain_line_has_true_figures() {
    let folder = Folder::new();
    folder.torrent("a", LENGTH);
    let (_seeder, port) = seeder(&folder, "a.torrent");
    let more =
        format!("--dir there --exit-when-complete --max-download 100kB/s --peer 127.0.0.1:{port}");
    let ended = folder.run(client("a.torrent", &more));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().filter_map(figures).collect();
    check_figures(&lines, &ended.stderr);
    assert!(
        ended.stderr.lines().any(|line| line.starts_with("a: ")),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("complete after"), "{ended:?}");
}
