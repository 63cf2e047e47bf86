//! Real faults: files that are cut under their mappings.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use rustix::io::Errno;
use shoal_metainfo::{Geometry, PieceIndex};

use super::*;
use crate::map::{Mapping, Purpose};
use crate::pieces::Pieces;

/// More than any page.
const PAGE: usize = 64 << 10;

fn piece() -> PieceIndex {
    Geometry::new(1, 1).unwrap().piece(0).unwrap()
}

/// So many pages of sevens.
fn file(pages: usize) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; pages * PAGE]).unwrap();
    file
}

fn map(file: &File, pages: usize, purpose: Purpose) -> Mapping {
    Mapping::new(file.as_fd(), 0, pages * PAGE, purpose).unwrap()
}

#[test]
fn page_behind_the_end_cannot_be_read_nor_copied_and_no_other_takes_its_place() {
    let (pieces, file) = (Pieces::new(1), file(3));
    let mapping = map(&file, 3, Purpose::Write);
    assert_eq!(mapping.touch(0..3 * PAGE), Ok(7));
    file.set_len(PAGE as u64).unwrap();
    let before = faults();
    assert_eq!(mapping.touch(0..PAGE), Ok(7));
    assert_eq!(mapping.touch(0..PAGE + 1), Err(Errno::FAULT));
    let mut buffer = vec![0; 3 * PAGE];
    {
        let held = pieces.read(piece());
        let copied = mapping.copy_out(0, &mut buffer[..PAGE], &held);
        assert_eq!(copied, Ok(()));
        assert_eq!(mapping.copy_out(0, &mut buffer, &held), Err(Errno::FAULT));
    }
    assert!(buffer[..PAGE].iter().all(|&byte| byte == 7));
    let held = pieces.write(piece()).unwrap();
    let copied = mapping.copy_in(PAGE / 2, &vec![8; PAGE], &held);
    assert_eq!(copied, Err(Errno::FAULT));
    assert!(faults() - before >= 3, "nothing was injected");
    if LENDS {
        assert!(!mapping.is_lost());
        file.set_len(3 * PAGE as u64).unwrap();
        assert_eq!(mapping.touch(0..2 * PAGE), Ok(0), "the page is back");
    }
}

#[test]
fn zeros_behind_the_end_in_its_last_page_show_in_the_last_byte() {
    let file = file(1);
    let mapping = map(&file, 1, Purpose::Read);
    file.set_len(100).unwrap();
    assert_eq!(mapping.touch(0..100), Ok(7));
    assert_eq!(mapping.touch(0..101), Ok(0));
}

#[test]
fn code_that_knows_nothing_of_faults_sees_zeros_and_learns_of_it() {
    let (pieces, file) = (Pieces::new(1), file(3));
    let held = pieces.read(piece());
    let (early, late) = (map(&file, 3, Purpose::Read), map(&file, 3, Purpose::Read));
    let (early, late) = (early.into_own(), late.into_own());
    assert!(early.bytes(&held).iter().all(|&byte| byte == 7));
    assert_eq!(early.check(), Ok(()));
    file.set_len(PAGE as u64).unwrap();
    let before = faults();
    let zeros = late.bytes(&held).iter().filter(|&&byte| byte == 0).count();
    assert_eq!(zeros, 2 * PAGE);
    assert!(faults() > before, "nothing was injected");
    assert_eq!(late.check(), Err(Errno::FAULT));
    assert_eq!(early.check(), Ok(()), "a mapping is lost alone");
}

#[test]
fn many_threads_fault_at_once_on_more_mappings_than_one_chunk_holds() {
    const THREADS: usize = 8;
    const EACH: usize = 2 * SLOTS / THREADS;
    let before = faults();
    let start = std::sync::Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let pieces = Pieces::new(1);
                let files: Vec<_> = (0..EACH).map(|_| file(1)).collect();
                let mut mappings: Vec<_> = files
                    .iter()
                    .map(|file| map(file, 1, Purpose::Read))
                    .collect();
                start.wait();
                files.iter().for_each(|file| file.set_len(0).unwrap());
                for mapping in &mappings {
                    assert_eq!(mapping.touch(0..PAGE), Err(Errno::FAULT));
                }
                let held = pieces.read(piece());
                for own in mappings.drain(..).map(Mapping::into_own) {
                    assert_eq!(own.bytes(&held).iter().max(), Some(&0));
                    assert_eq!(own.check(), Err(Errno::FAULT));
                }
            });
        }
    });
    assert!(faults() - before >= 2 * (THREADS * EACH) as u64);
    assert!(TABLE.next.get().is_some(), "one chunk was enough");
}

#[test]
fn range_covers_its_own_pages_only() {
    let slot = Slot::new();
    slot.range
        .store(pack(5 * UNIT + 1..7 * UNIT), Ordering::Relaxed);
    let covered = [
        0,
        5 * UNIT - 1,
        5 * UNIT,
        7 * UNIT - 1,
        7 * UNIT,
        usize::MAX,
    ];
    let covered = covered.map(|address| slot.covers(address));
    assert_eq!(covered, [false, false, true, true, false, false]);
    slot.range.store(CLAIMED, Ordering::Relaxed);
    assert!(
        !slot.covers(UNIT) && !slot.covers(0),
        "claimed is not covered"
    );
}

/// What the process below does before the first mapping, and then.
const CASE: &str = "SHOAL_FAULT_CASE";

extern "C" fn exit_with_information(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut std::ffi::c_void,
) {
    // SAFETY: the kernel filled it; to exit is allowed anywhere.
    unsafe { libc::_exit(if (*info).si_signo == signal { 42 } else { 1 }) }
}

extern "C" fn exit_plainly(_signal: libc::c_int) {
    // SAFETY: to exit is allowed anywhere.
    unsafe { libc::_exit(43) }
}

fn set_handler(handler: usize, flags: libc::c_int) {
    // SAFETY: the functions above exit and do nothing else.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()),
            0
        );
    }
}

/// A fault in a mapping that is not one of this crate's.
fn fault_elsewhere() {
    let file = file(1);
    let flags = rustix::mm::MapFlags::SHARED;
    let protection = rustix::mm::ProtFlags::READ;
    // SAFETY: a new mapping; the read is what shall end the process.
    unsafe {
        let at = rustix::mm::mmap(std::ptr::null_mut(), PAGE, protection, flags, &file, 0).unwrap();
        file.set_len(0).unwrap();
        let _ = std::ptr::read_volatile(at.cast::<u8>());
    }
    unreachable!("read behind the end of a file");
}

fn be_the_child(case: &str) {
    let no_core = rustix::process::Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(rustix::process::Resource::Core, no_core).unwrap();
    let (before, then) = case.split_once(' ').unwrap();
    match before {
        "standard" => {}
        "default" => set_handler(libc::SIG_DFL, 0),
        "ignored" => set_handler(libc::SIG_IGN, 0),
        "informed" => {
            set_handler(
                (exit_with_information as *const ()).addr(),
                libc::SA_SIGINFO,
            );
        }
        "plain" => set_handler((exit_plainly as *const ()).addr(), 0),
        other => panic!("no such handler: {other}"),
    }
    let file = file(1);
    let mapping = map(&file, 1, Purpose::Read);
    match then {
        "fault" => fault_elsewhere(),
        // SAFETY: to send a signal is always allowed.
        "sent" => assert_eq!(unsafe { libc::raise(libc::SIGBUS) }, 0),
        "ours" => {
            file.set_len(0).unwrap();
            assert_eq!(mapping.touch(0..PAGE), Err(Errno::FAULT));
            let held = Pieces::new(1);
            let held = held.read(piece());
            let own = mapping.into_own();
            assert_eq!(own.bytes(&held)[0], 0);
            assert_eq!(own.check(), Err(Errno::FAULT));
        }
        other => panic!("no such deed: {other}"),
    }
}

#[test]
fn signals_of_others_go_where_they_went_before() {
    if let Ok(case) = std::env::var(CASE) {
        return be_the_child(&case);
    }
    let run = |case: &str| -> ExitStatus {
        let name = "fault::tests::signals_of_others_go_where_they_went_before";
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads=1"])
            .env(CASE, case)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    let killed = |case: &str| assert_eq!(run(case).signal(), Some(libc::SIGBUS), "{case}");
    let exited = |case: &str, code| assert_eq!(run(case).code(), Some(code), "{case}");
    for before in ["standard", "default", "ignored", "informed", "plain"] {
        exited(&format!("{before} ours"), 0);
    }
    killed("standard fault");
    killed("default fault");
    killed("ignored fault");
    killed("default sent");
    exited("ignored sent", 0);
    exited("informed fault", 42);
    exited("informed sent", 42);
    exited("plain fault", 43);
    exited("plain sent", 43);
}
