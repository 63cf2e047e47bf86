//! What a terminal is shown: colours, and none where they are not wanted.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Folder, seeder};

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
fn shown(folder: &Folder, port: u64, no_color: Option<&str>) -> String {
    let dir = tempfile::tempdir_in(folder.path()).unwrap();
    let (line, mut screen) = terminal();
    let peer = format!("127.0.0.1:{port}");
    let mut command = folder.command(["client", "a.torrent", "0", "--no-tracker", "-v"]);
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
        let shown = shown(&folder, port, no_color);
        for words in ["peer connected", "complete"] {
            assert!(shown.contains(words), "{words} is not in {shown:?}");
        }
        assert_eq!(colours(&shown) > 0, coloured, "{no_color:?}: {shown:?}");
        assert!(shown.contains("\x1b["), "no live line: {shown:?}");
    }
}
