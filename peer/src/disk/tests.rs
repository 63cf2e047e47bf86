//! Disk threads against real storage: order, bounds, answers.

use std::future::poll_fn;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use async_std::task;
use shoal_metainfo::Geometry;
use shoal_storage::{Judged, Options, Storage};

use super::*;

/// A disk that notes what is done to it, and fails on demand.
struct Faulty {
    geometry: Geometry,
    done: Mutex<Vec<String>>,
    fails: AtomicBool,
    injected: AtomicUsize,
    lost: AtomicBool,
    flushing: Mutex<()>,
    slow: Option<std::time::Duration>,
}

impl Faulty {
    fn new() -> Self {
        Self {
            geometry: Geometry::new(1 << 20, 1 << 16).unwrap(),
            done: Mutex::default(),
            fails: AtomicBool::new(false),
            injected: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            flushing: Mutex::default(),
            slow: None,
        }
    }

    fn did(&self, what: String) -> Result<(), StorageError> {
        if let Some(pause) = self.slow {
            thread::sleep(pause);
        }
        if self.fails.load(Ordering::SeqCst) {
            self.injected.fetch_add(1, Ordering::SeqCst);
            return Err(real_error());
        }
        self.done.lock().unwrap().push(what);
        Ok(())
    }
}

/// The error of a file where the folder should be: made by the real storage.
fn real_error() -> StorageError {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"in the way").unwrap();
    let info = crate::testing::torrent(&dir.path().join("file"), 16 << 10).info;
    Storage::open(&file, Arc::new(info), Options::default()).unwrap_err()
}

impl Store for Faulty {
    fn prepare(&self) -> Result<(), StorageError> {
        self.did("prepare".to_owned())
    }

    fn write_run(&self, piece: PieceIndex, begin: u32, run: &[&[u8]]) -> Result<(), StorageError> {
        let bytes: usize = run.iter().map(|data| data.len()).sum();
        self.did(format!("write {piece}: {bytes} bytes from {begin}"))
    }

    fn read(&self, block: Block) -> Result<Bytes, StorageError> {
        self.did(format!("read {block}"))?;
        Ok(Bytes::from(vec![0; block.length() as usize]))
    }

    fn piece_length(&self, piece: PieceIndex) -> usize {
        self.geometry.piece_length(piece) as usize
    }

    fn verify_all(&self, pieces: Vec<PieceIndex>) -> Vec<Judged> {
        let verify = |piece: PieceIndex| {
            assert_ne!(piece.get(), 13, "a bug, on purpose");
            let done = self.did(format!("verify {piece}"));
            (piece, done.map(|()| true))
        };
        pieces.into_iter().map(verify).collect()
    }

    fn digests(&self, _: PieceIndex) -> Result<Vec<Digest>, StorageError> {
        Ok(Vec::new())
    }

    fn flush(&self) -> Result<(), StorageError> {
        let _gate = self.flushing.lock().unwrap();
        self.did("flush".to_owned())
    }

    fn trim(&self) {}

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    fn recover(&self, _: &AtomicBool) -> Result<(), StorageError> {
        self.did("recover".to_owned())?;
        self.lost.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn doubt(&self, _: Block) -> StorageError {
        self.lost.store(true, Ordering::SeqCst);
        real_error()
    }
}

struct Bench {
    store: Arc<Faulty>,
    notes: Arc<Mailbox<Note>>,
    disk: Arc<TorrentDisk>,
    _threads: Disk,
}

fn bench(threads: usize, store: Faulty) -> Bench {
    bench_within(threads, u64::MAX, store)
}

fn bench_within(threads: usize, dirty_max: u64, store: Faulty) -> Bench {
    let pool = Disk::start_within(threads, dirty_max).unwrap();
    let (store, notes) = (Arc::new(store), Arc::new(Mailbox::new()));
    let disk = TorrentDisk::new(
        store.clone(),
        None,
        None,
        notes.clone(),
        pool.lanes().clone(),
    );
    Bench {
        store,
        notes,
        disk: Arc::new(disk),
        _threads: pool,
    }
}

impl Bench {
    fn block(&self, piece: u32, number: usize) -> Block {
        let piece = self.store.geometry.piece(piece).unwrap();
        self.store.geometry.nth_block(piece, number).unwrap()
    }

    fn write(&self, piece: u32, number: usize) -> Job {
        let block = self.block(piece, number);
        let data = Bytes::from(vec![1; block.length() as usize]);
        Job::Write { block, data }
    }

    fn verify(&self, piece: u32) -> Job {
        Job::Verify {
            piece: self.store.geometry.piece(piece).unwrap(),
            digests: false,
        }
    }

    fn push(&self, piece: u32, jobs: Vec<Job>) {
        let piece = self.store.geometry.piece(piece).unwrap();
        self.disk.push(self.disk.writer_of(piece), jobs);
    }

    /// Waits for so many answers.
    fn answers(&self, count: usize) -> Vec<Answer> {
        let mut notes = Vec::new();
        task::block_on(async {
            while notes.len() < count {
                poll_fn(|cx| self.notes.poll_ready(cx)).await;
                self.notes.take(&mut notes);
            }
        });
        let answers = notes.into_iter().map(|note| match note {
            Note::Disk(answer) => answer,
            _ => panic!("not of the disk"),
        });
        answers.collect()
    }
}

#[test]
fn piece_is_verified_behind_its_writes_whatever_the_batches() {
    let bench = bench(3, Faulty::new());
    for piece in 0..10 {
        bench.push(piece, vec![bench.write(piece, 0), bench.write(piece, 1)]);
        bench.push(piece, vec![bench.write(piece, 2), bench.verify(piece)]);
    }
    assert_eq!(bench.answers(10).len(), 10);
    let done = bench.store.done.lock().unwrap();
    for piece in 0..10 {
        let verified = done
            .iter()
            .position(|did| *did == format!("verify {piece}"));
        let writes = done.iter().enumerate();
        let last = writes.filter(|(_, did)| did.starts_with(&format!("write {piece}:")));
        assert!(last.map(|(at, _)| at).max() < verified, "{done:?}");
    }
}

#[test]
fn flush_comes_behind_everything() {
    let bench = bench(3, Faulty::new());
    for piece in 0..12 {
        bench.push(
            piece,
            (0..4).map(|number| bench.write(piece, number)).collect(),
        );
    }
    bench.disk.flush();
    assert!(matches!(bench.answers(1)[..], [Answer::Flushed(Ok(()))]));
    let done = bench.store.done.lock().unwrap();
    assert!(done.len() > 12, "{done:?}");
    assert_eq!(done.last().unwrap(), "flush");
}

#[test]
fn blocks_of_a_batch_that_follow_each_other_are_written_together() {
    let bench = bench(1, Faulty::new());
    let jobs = [3, 0, 2, 0].map(|number| bench.write(5, number));
    bench.push(5, jobs.into_iter().chain([bench.write(4, 1)]).collect());
    bench.disk.flush();
    assert!(matches!(bench.answers(1)[..], [Answer::Flushed(Ok(()))]));
    let expect = [
        "write 4: 16384 bytes from 16384",
        "write 5: 16384 bytes from 0",
        "write 5: 16384 bytes from 0",
        "write 5: 32768 bytes from 32768",
        "flush",
    ];
    assert_eq!(*bench.store.done.lock().unwrap(), expect);
}

#[test]
fn run_that_failed_is_tried_again_whole() {
    let bench = bench(1, Faulty::new());
    bench.store.fails.store(true, Ordering::SeqCst);
    bench.push(3, (0..3).map(|number| bench.write(3, number)).collect());
    let answers = bench.answers(1);
    let [Answer::Failed { deed, .. }] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(bench.store.injected.load(Ordering::SeqCst), 1);
    bench.store.fails.store(false, Ordering::SeqCst);
    bench.push(3, vec![Job::Retry(deed.clone())]);
    assert!(matches!(bench.answers(1)[..], [Answer::Retried(Ok(()))]));
    let done = bench.store.done.lock().unwrap();
    assert_eq!(done.last().unwrap(), "write 3: 49152 bytes from 0");
}

#[test]
fn piece_with_a_failed_write_is_unknown_not_bad() {
    let bench = bench(1, Faulty::new());
    bench.store.fails.store(true, Ordering::SeqCst);
    bench.push(3, vec![bench.write(3, 0)]);
    let answers = bench.answers(1);
    let [Answer::Failed { deed, .. }] = &answers[..] else {
        panic!("{answers:?}")
    };
    bench.store.fails.store(false, Ordering::SeqCst);
    bench.push(3, vec![Job::Retry(deed.clone()), bench.verify(3)]);
    let answers = bench.answers(2);
    assert_eq!(answers.len(), 2);
    assert!(matches!(answers[0], Answer::Retried(Ok(()))));
    assert!(matches!(
        answers[1],
        Answer::Verified {
            verdict: Verdict::Unknown,
            ..
        }
    ));
    bench.push(3, vec![bench.verify(3)]);
    let again = &bench.answers(1)[0];
    assert!(matches!(
        again,
        Answer::Verified {
            verdict: Verdict::Good,
            ..
        }
    ));
    assert!(bench.store.injected.load(Ordering::SeqCst) > 0);
}

#[test]
fn piece_fetched_afresh_after_recovery_is_judged_by_its_hash() {
    let bench = bench(1, Faulty::new());
    bench.store.fails.store(true, Ordering::SeqCst);
    bench.push(3, vec![bench.write(3, 0)]);
    assert!(matches!(bench.answers(1)[..], [Answer::Failed { .. }]));
    bench.store.fails.store(false, Ordering::SeqCst);
    bench.disk.recovered();
    bench.push(3, vec![bench.write(3, 0), bench.verify(3)]);
    let answers = bench.answers(1);
    assert!(matches!(
        answers[..],
        [Answer::Verified {
            verdict: Verdict::Good,
            ..
        }]
    ));
    assert!(bench.store.injected.load(Ordering::SeqCst) > 0);
}

#[test]
fn block_that_cannot_be_read_is_told_and_forgotten() {
    let bench = bench(1, Faulty::new());
    bench.store.fails.store(true, Ordering::SeqCst);
    let outbox = Arc::new(Outbox::new(PeerKey(9), Instant::now()));
    outbox.serve(bench.block(1, 0)).unwrap();
    outbox.serve(bench.block(1, 1)).unwrap();
    assert!(outbox.wants_read());
    bench.disk.read_for(outbox.clone());
    let answers = bench.answers(2);
    assert!(answers.iter().any(|answer| matches!(
        answer,
        Answer::Unserved {
            peer: PeerKey(9),
            blocks: 2
        }
    )));
    assert!(!outbox.wants_read(), "nothing is left to read");
    assert!(bench.store.injected.load(Ordering::SeqCst) > 0);
}

#[test]
fn files_of_a_block_that_faulted_while_it_was_sent_are_recovered_before_it_is_read() {
    let bench = bench(1, Faulty::new());
    bench.disk.doubt(vec![bench.block(1, 0)]);
    let answers = bench.answers(1);
    let [Answer::Failed { deed, .. }] = &answers[..] else {
        panic!("{answers:?}")
    };
    bench.store.fails.store(true, Ordering::SeqCst);
    bench.push(1, vec![Job::Retry(deed.clone())]);
    assert!(matches!(bench.answers(1)[..], [Answer::Retried(Err(_))]));
    bench.store.fails.store(false, Ordering::SeqCst);
    bench.push(1, vec![Job::Retry(deed.clone())]);
    assert!(matches!(bench.answers(1)[..], [Answer::Retried(Ok(()))]));
    let done = bench.store.done.lock().unwrap();
    let read = format!("read {}", bench.block(1, 0));
    assert_eq!(*done, ["recover".to_owned(), read]);
    assert!(bench.store.injected.load(Ordering::SeqCst) > 0);
}

#[test]
fn full_queue_tells_when_there_is_room() {
    let mut store = Faulty::new();
    store.slow = Some(std::time::Duration::from_micros(50));
    let bench = bench(1, store);
    let blocks = DISK_QUEUE_BYTES_MAX / (16 << 10) + 1;
    bench.push(0, (0..blocks).map(|_| bench.write(0, 0)).collect());
    assert!(bench.disk.is_full());
    assert!(matches!(bench.answers(1)[..], [Answer::Room]));
    assert!(!bench.disk.is_full());
}

#[test]
fn bytes_that_are_not_durable_hold_up_what_comes_until_they_are() {
    let bench = bench_within(1, 1 << 20, Faulty::new());
    let flush = bench.store.flushing.lock().unwrap();
    bench.push(0, (0..80).map(|_| bench.write(0, 0)).collect());
    while !bench.disk.is_full() {
        thread::yield_now();
    }
    assert!(bench.disk.dirty.bytes() >= 1 << 20);
    drop(flush);
    while bench.disk.is_full() {
        bench.answers(1);
    }
    let done = bench.store.done.lock().unwrap();
    assert!(done.contains(&"flush".to_owned()), "{done:?}");
}

#[test]
fn pieces_that_wait_for_their_hash_hold_up_what_comes() {
    let mut store = Faulty::new();
    store.slow = Some(std::time::Duration::from_micros(50));
    let bench = bench(1, store);
    // The same few pieces over and over.
    let count = 2 * UNJUDGED_BYTES_MAX / (1 << 16);
    let pieces = (0..count).map(|number| u32::try_from(number % 8).unwrap());
    bench.push(0, pieces.map(|piece| bench.verify(piece)).collect());
    while !bench.disk.is_full() {
        thread::yield_now();
    }
    while !bench
        .answers(1)
        .iter()
        .any(|answer| matches!(answer, Answer::Room))
    {}
    while bench.disk.is_full() {
        bench.answers(1);
    }
}

#[test]
fn panic_in_storage_is_told_and_the_thread_goes_on() {
    let bench = bench(1, Faulty::new());
    bench.push(13, vec![bench.verify(13)]);
    let answers = bench.answers(1);
    assert!(matches!(&answers[..], [Answer::Panicked(text)] if text.contains("on purpose")));
    bench.push(1, vec![bench.verify(1)]);
    assert!(matches!(bench.answers(1)[..], [Answer::Verified { .. }]));
}

#[test]
fn threads_end_when_they_are_told() {
    let pool = Disk::start(4).unwrap();
    task::block_on(pool.join());
}
