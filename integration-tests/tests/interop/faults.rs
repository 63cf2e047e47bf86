//! The fault matrix: real disks that fill up, shrink, turn read-only or lose their files, and
//! limits of the system, under a client that downloads and one that seeds.
//!
//! In every case nothing dies, no wrong byte is sent, nothing arrives any more 5 s after the word
//! of the failure, and when the cause is gone it goes on by itself to identical content. A case
//! that cannot be provoked on this machine fails.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use shoal_integration_tests::Content;
use tempfile::TempDir;

use crate::clients::shoal_binary;
use crate::faults_cgroup::Cgroup;
use crate::faults_room::{Line, NOBODY, Room, Shoal};

/// How long blocks may go on arriving once it is told that the disk fails.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// Slow enough that a fault strikes in the middle.
const SLOWLY: [&str; 2] = ["--max-download", "1500KiB"];

/// Many small files, so that some are begun and others are not, and one that is longer.
fn content() -> Content {
    let small = (0..80).map(|number| (format!("d{}/{number}", number % 3), 65_000));
    let files = small.chain([("long".to_owned(), 1_000_000)]);
    let folder = Content::folder("t").piece_length(64 << 10);
    files
        .fold(folder, |folder, (path, length)| folder.file(&path, length))
        .build()
}

/// One way for a disk to fail under a download; the scripts run in the room.
#[derive(Clone, Copy)]
struct Fault {
    name: &'static str,
    /// Before the client is started.
    mount: &'static str,
    /// `data` is a file system that cannot map files.
    no_mmap: bool,
    /// What the client is run through.
    through: &'static str,
    /// Half of the pieces are there already.
    half_done: bool,
    /// Before the first peer comes.
    early: &'static str,
    /// When a third has arrived; `$PID` is the client.
    strike: &'static str,
    /// Makes all well again.
    lift: &'static str,
    /// What the client has to say.
    says: &'static [&'static str],
}

impl Fault {
    fn room(&self, content: &Content) -> Room {
        let mut room = Room::new(content);
        if self.no_mmap {
            room.mount_without_mmap();
        }
        room.sh(self.mount);
        room
    }
}

/// All but 3 MB are used up.
const BALLAST: &str = "avail=$(df --output=avail -k data | tail -n 1)
    fallocate -l $((avail - 3000))k data/ballast";

const ORDINARY: Fault = Fault {
    name: "",
    mount: "",
    no_mmap: false,
    through: "",
    half_done: false,
    early: "",
    strike: "",
    lift: "",
    says: &[],
};

const REFUSING: &[Fault] = &[
    Fault {
        name: "full tmpfs",
        mount: "mount -t tmpfs -o size=16m shoal data",
        early: BALLAST,
        lift: "rm data/ballast",
        says: &["the disk or the quota is full", "until some space is free"],
        ..ORDINARY
    },
    Fault {
        name: "tmpfs with too few inodes",
        mount: "mount -t tmpfs -o size=16m,nr_inodes=40 shoal data",
        lift: "mount -o remount,nr_inodes=1000 data",
        says: &["the disk or the quota is full", "until some space is free"],
        ..ORDINARY
    },
    Fault {
        name: "full ext4",
        mount: "truncate -s 24m image && mkfs.ext4 -q -m 0 image && mount -o loop image data",
        early: BALLAST,
        lift: "rm data/ballast",
        says: &["the disk or the quota is full", "until some space is free"],
        ..ORDINARY
    },
    Fault {
        name: "full disk that cannot be mapped",
        no_mmap: true,
        early: BALLAST,
        lift: "rm data/ballast",
        says: &["the disk or the quota is full", "until some space is free"],
        ..ORDINARY
    },
    Fault {
        name: "RLIMIT_FSIZE",
        through: "prlimit --fsize=200000:",
        lift: "prlimit --pid $PID --fsize=unlimited:",
        says: &[
            "t/long",
            "a limit refuses a file that long",
            "use another folder",
        ],
        ..ORDINARY
    },
    Fault {
        name: "chmod",
        mount: "chown 65534 data",
        through: NOBODY,
        strike: "chmod 555 data/t/d0 data/t/d1 data/t/d2",
        lift: "chmod 755 data/t/d0 data/t/d1 data/t/d2",
        says: &["data/t/d", "permission denied", "change its owner or mode"],
        ..ORDINARY
    },
    Fault {
        name: "read-only tmpfs",
        mount: "mount -t tmpfs -o size=16m shoal data",
        half_done: true,
        early: "mount -o remount,ro data",
        lift: "mount -o remount,rw data",
        says: &["it is read-only", "use a folder that can be written"],
        ..ORDINARY
    },
    Fault {
        name: "read-only ext4",
        mount: "truncate -s 24m image && mkfs.ext4 -q -m 0 image && mount -o loop image data",
        half_done: true,
        early: "mount -o remount,ro data",
        lift: "mount -o remount,rw data",
        says: &["it is read-only", "use a folder that can be written"],
        ..ORDINARY
    },
];

/// Keeps a copy of the files, and does something to them, while nobody looks.
macro_rules! taken {
    ($deed:literal) => {
        concat!(
            "kill -STOP $PID; cp -a data/t keep; ",
            $deed,
            "; kill -CONT $PID"
        )
    };
}

/// Files that were made since stay: pieces in them may be verified.
const PUT_BACK: &str = "kill -STOP $PID; mkdir -p data/t; cp -a --remove-destination keep/. data/t/
    rm -r keep; kill -CONT $PID";

const TAKEN: &[Fault] = &[
    Fault {
        name: "truncate",
        strike: taken!("find data/t -type f -exec truncate -s 0 {} +"),
        lift: PUT_BACK,
        says: &[
            "data/t/",
            "the file ends before that",
            "check the torrent again",
        ],
        ..ORDINARY
    },
    Fault {
        name: "unlink",
        strike: taken!("rm -r data/t/*"),
        lift: PUT_BACK,
        says: &["data/t/", "it is not there", "put it back"],
        ..ORDINARY
    },
    Fault {
        name: "replace",
        strike: taken!(
            "for file in $(find data/t -type f); do
                head -c $(stat -c %s $file) /dev/urandom >other; mv other $file; done"
        ),
        lift: PUT_BACK,
        says: &[
            "data/t/",
            "others have changed it",
            "put back what was there",
        ],
        ..ORDINARY
    },
];

const UNREADABLE: &[Fault] = &[Fault {
    name: "chmod",
    mount: "chown 65534 data",
    through: NOBODY,
    strike: "chmod 000 data/t/d0 data/t/d1 data/t/d2 data/t/long",
    lift: "chmod 755 data/t/d0 data/t/d1 data/t/d2 data/t/long",
    says: &["data/t/", "permission denied", "change its owner or mode"],
    ..ORDINARY
}];

/// Lets a fault strike a download. Gives how often the client told it.
fn strike_leecher(content: &Content, fault: &Fault) -> usize {
    let room = fault.room(content);
    if fault.half_done {
        content.copy_pieces(&room.path("data"), |piece| piece % 2 == 0);
    }
    let leecher = room.client(fault.through, &SLOWLY);
    let script = |script: &str| room.sh(&format!("PID={}\n{script}", leecher.pid()));
    script(fault.early);
    let (seeder, _home) = seeder(content, &leecher);
    if !fault.strike.is_empty() {
        leecher.progress(0, |line| line.number("have") >= line.number("pieces") / 3);
        script(fault.strike);
    }
    let told = leecher.wait_failing(0);
    assert_says(&told, fault);
    assert_stands_still(&leecher, &told);
    let line = leecher.line();
    script(fault.lift);
    leecher.wait_working(line);
    leecher.wait_complete();
    content.assert_identical(&room.path("data"));
    leecher.assert_sent_no_wrong_byte();
    assert_eq!(
        leecher.logged("read by calls"),
        fault.no_mmap,
        "{}",
        leecher.said()
    );
    let failures = leecher.failures();
    leecher.stop();
    seeder.stop();
    failures
}

/// Lets a fault strike an upload. Gives how often the client told it.
fn strike_seeder(content: &Content, fault: &Fault) -> usize {
    let room = fault.room(content);
    content.copy_pieces(&room.path("data"), |_| true);
    let seeder = room.client(fault.through, &[]);
    let home = tempfile::tempdir().expect("a temporary folder");
    let leecher = outside(content, &seeder, home.path(), &SLOWLY);
    let script = |script: &str| room.sh(&format!("PID={}\n{script}", seeder.pid()));
    leecher.progress(0, |line| line.number("have") >= line.number("pieces") / 3);
    script(fault.strike);
    let told = seeder.wait_failing(0);
    assert_says(&told, fault);
    assert_stands_still(&leecher, &told);
    leecher.assert_sent_no_wrong_byte();
    let line = seeder.line();
    script(fault.lift);
    seeder.wait_working(line);
    leecher.wait_complete();
    content.assert_identical(home.path());
    leecher.assert_sent_no_wrong_byte();
    let failures = seeder.failures();
    leecher.stop();
    seeder.stop();
    failures
}

/// A client outside of any room that has everything, and knows the other.
fn seeder(content: &Content, other: &Shoal) -> (Shoal, TempDir) {
    let home = tempfile::tempdir().expect("a temporary folder");
    content.copy_pieces(home.path(), |_| true);
    (outside(content, other, home.path(), &[]), home)
}

/// A client outside of any room that knows the other.
fn outside(content: &Content, other: &Shoal, dir: &Path, arguments: &[&str]) -> Shoal {
    let mut command = Command::new(shoal_binary());
    command
        .arg("client")
        .arg(content.dir().join("content.torrent"));
    command.args([
        "0",
        "--json",
        "-v",
        "--no-tracker",
        "--no-dht",
        "--no-lsd",
        "--peer",
        &other.address(),
        "--dir",
    ]);
    command.arg(dir).args(arguments).stdin(Stdio::null());
    Shoal::start(command)
}

/// Asserts that what was told names the file, the cause and what to do.
fn assert_says(told: &Line, fault: &Fault) {
    for words in fault.says {
        let text = &told.text;
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

/// Asserts that nothing arrives any more, 5 s after the word of the failure.
fn assert_stands_still(leecher: &Shoal, told: &Line) {
    let still = leecher.progress(0, |line| line.at >= told.at + STOPS_WITHIN);
    let later = leecher.progress(still.number + 2, |_| true);
    let [still, later] = [still, later].map(|line| line.number("downloaded"));
    assert_eq!(still, later, "blocks still arrive:\n{}", leecher.said());
}

/// Runs all cases at once: most of the time they wait.
fn check(cases: &[Fault], strike: fn(&Content, &Fault) -> usize) {
    let content = content();
    let _ = content.torrent_file();
    let failed: Vec<_> = thread::scope(|scope| {
        let runs = cases.iter().map(|case| {
            let run = || strike(&content, case);
            (
                case.name,
                thread::Builder::new()
                    .name(case.name.to_owned())
                    .spawn_scoped(scope, run),
            )
        });
        let runs: Vec<_> = runs.collect();
        let ends = runs
            .into_iter()
            .map(|(name, run)| (name, run.expect("a thread").join()));
        ends.filter(|(_, end)| !matches!(end, Ok(1..)))
            .map(|(name, _)| name)
            .collect()
    });
    assert!(failed.is_empty(), "see above: {failed:?}");
}

#[test]
fn download_outlives_a_disk_that_refuses() {
    check(REFUSING, strike_leecher);
}

#[test]
fn download_outlives_files_that_are_taken_away() {
    check(TAKEN, strike_leecher);
}

#[test]
fn upload_outlives_files_that_are_taken_away() {
    check(TAKEN, strike_seeder);
}

#[test]
fn upload_outlives_a_disk_that_refuses() {
    check(UNREADABLE, strike_seeder);
}

/// Nothing is written, so nobody tries the mount before the first file cannot be mapped.
#[test]
fn files_that_cannot_be_mapped_are_verified_by_calls() {
    let content = content();
    let mut room = Room::new(&content);
    room.mount_without_mmap();
    content.copy_pieces(&room.path("data"), |_| true);
    let shoal = shoal_binary();
    room.sh(&format!(
        "{} verify -v torrent --dir data 2>said; cat said; grep 'read by calls' said",
        shoal.display()
    ));
}

/// Far more connections than descriptors, and files too.
#[test]
fn transfer_outlives_64_descriptors() {
    const LIMIT: usize = 64;
    let content = content();
    let _ = content.torrent_file();
    let rooms = [(); 2].map(|()| Room::new(&content));
    content.copy_pieces(&rooms[0].path("data"), |_| true);
    let few = "prlimit --nofile=64";
    let seeder = rooms[0].client(few, &[]);
    let address = seeder.address();
    let arguments = [&SLOWLY[..], &["--peer", &address]].concat();
    let leecher = rooms[1].client(few, &arguments);
    let crowd = [&seeder, &leecher].map(|client| {
        let connect = || TcpStream::connect(client.address()).expect("the backlog takes it");
        (0..2 * LIMIT).map(|_| connect()).collect::<Vec<_>>()
    });
    let mut most = 0;
    leecher.progress(0, |line| {
        let both = [&seeder, &leecher].map(Shoal::descriptors);
        most = most.max(both[0]).max(both[1]);
        line.number("have") >= line.number("pieces") / 3
    });
    drop(crowd);
    leecher.wait_complete();
    content.assert_identical(&rooms[1].path("data"));
    leecher.assert_sent_no_wrong_byte();
    let failures = leecher.failures() + seeder.failures();
    assert!(failures > 0, "the limit was never felt");
    assert!(
        most + 2 >= LIMIT,
        "only {most} of {LIMIT} descriptors were used"
    );
    leecher.stop();
    seeder.stop();
}

/// Contents larger than the memory that each of two clients may use, page cache and all.
#[test]
fn transfer_outlives_a_cgroup_with_little_memory() {
    let content = Content::folder("t")
        .piece_length(256 << 10)
        .file("large", 96 << 20)
        .build();
    let _ = content.torrent_file();
    let groups = [(); 2].map(|()| Cgroup::with_memory(32 << 20));
    let rooms = [(); 2].map(|()| Room::new(&content));
    content.copy_pieces(&rooms[0].path("data"), |_| true);
    // Pages that are in memory already count for whom they were read first.
    rooms[0].sh("sync data/t/large && dd if=data/t/large iflag=nocache count=0 status=none");
    let seeder = rooms[0].client(&groups[0].entry(&rooms[0]), &[]);
    let leecher = rooms[1].client(&groups[1].entry(&rooms[1]), &["--peer", &seeder.address()]);
    leecher.wait_complete();
    content.assert_identical(&rooms[1].path("data"));
    leecher.assert_sent_no_wrong_byte();
    for group in &groups {
        assert!(group.limit_hits() > 0, "the limit was never felt");
    }
    leecher.stop();
    seeder.stop();
}
