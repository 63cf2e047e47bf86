//! The files of a torrent: blocks in, blocks out, through bounded windows of mapped memory.
//!
//! ```text
//!             Storage (storage, report)        check, verify
//!          which files? │   │ whose turn?         │
//!    layout, edges ◀────┘   └──▶ pieces ◀─────────┤
//!                       │                         │
//!                    content: bytes of files, window by window or by calls (method)
//!                       │            │
//!      files: open, allocate,    windows: cache with budgets
//!      write, read               │
//!             │                  │
//!      beneath: one folder    map: all the `unsafe`
//! ```
//! [`Storage`] is shared by disk threads in an [`Arc`](std::sync::Arc); calls block on page faults
//! and the disk, so no executor thread makes them. What goes wrong is a [`StorageError`] that
//! names path, bytes and remedy; nothing outside the chosen folder is ever touched.
//!
//! Files that are cut while they are mapped are errors, too: `fault` answers SIGBUS.
//!
//! [`Journal`] stands beside it: it is told what was written, verified and flushed, and says after
//! the next start what is there. One client a folder: [`FolderLock`].
//!
//! ```
//! use std::sync::{Arc, atomic::AtomicBool};
//! use shoal_metainfo::Info;
//! use shoal_storage::{Options, Storage};
//!
//! // A torrent of one file of five bytes, so of one piece.
//! let mut info = b"d6:lengthi5e4:name5:hello12:piece lengthi16384e6:pieces20:".to_vec();
//! info.extend(shoal_hashing::sha1(b"shoal"));
//! info.push(b'e');
//! let info = Arc::new(Info::parse(&info)?);
//!
//! let dir = tempfile::tempdir()?;
//! let storage = Storage::open(dir.path(), Arc::clone(&info), Options::default())?;
//! storage.prepare()?;
//! let piece = info.geometry.piece(0).unwrap();
//! let block = info.geometry.nth_block(piece, 0).unwrap();
//! storage.write(block, b"shoal")?;
//! assert!(storage.verify(piece)?);
//! assert_eq!(storage.read(block)?, &b"shoal"[..]);
//! storage.flush()?;
//!
//! let have = storage.check(2, &|_bytes| {}, &AtomicBool::new(false))?;
//! assert!(have.is_full());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod again;
mod beneath;
mod check;
mod content;
mod edges;
mod error;
mod fault;
mod files;
pub mod journal;
mod layout;
pub mod limits;
mod map;
pub mod memory;
mod method;
mod pieces;
mod report;
mod stand_in;
mod storage;
mod verify;
mod windows;

pub use error::{Fault, Operation, StorageError};
pub use fault::faults;
pub use files::{Allocation, UnknownAllocation};
pub use journal::{FolderLock, Journal};
pub use method::{Method, UnknownMethod, Ways};
pub use report::{FileReport, FileStatus};
pub use storage::{Access, Options, Storage, Usage};
pub use verify::{Judged, pieces_together};
pub use windows::WindowBudget;
