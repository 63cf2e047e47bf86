//! Notes to a torrent from those who must never wait for it: disk threads, timers, writers.
//!
//! The queue needs no bound of its own, because every note is an answer: there are never more than
//! jobs given out, and those have bounds. So a torrent that waits for the disk, and a disk that
//! answers the torrent, cannot wait for each other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Many writers, one reading task.
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    notes: Vec<T>,
    reader: Option<Waker>,
    closed: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                notes: Vec::new(),
                reader: None,
                closed: false,
            }),
        }
    }

    /// Leaves a note and wakes the reader; `Err` gives it back when nobody reads any more.
    pub(crate) fn push(&self, note: T) -> Result<(), T> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(note);
        }
        inner.notes.push(note);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Leaves many notes and wakes the reader once.
    pub(crate) fn append(&self, notes: &mut Vec<T>) {
        if notes.is_empty() {
            return;
        }
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            return notes.clear();
        }
        inner.notes.append(notes);
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Moves all notes behind those in `into`; they are in the order of the pushes.
    pub(crate) fn take(&self, into: &mut Vec<T>) {
        into.append(&mut self.lock().notes);
    }

    /// Ready when there is a note.
    pub(crate) fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if !inner.notes.is_empty() {
            return Poll::Ready(());
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nobody will read any more: drops what is there and what comes.
    pub(crate) fn close(&self) {
        let notes = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.reader = None;
            std::mem::take(&mut inner.notes)
        };
        // Outside the lock: what a note holds may leave notes itself.
        drop(notes);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing panics while the lock is held; a poisoned one is whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_std::task;
    use std::future::poll_fn;
    use std::sync::Arc;

    #[test]
    fn notes_of_one_writer_keep_their_order() {
        let mailbox = Arc::new(Mailbox::new());
        let writer = {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || {
                for note in 0..1000 {
                    mailbox.push(note).unwrap();
                }
            })
        };
        let mut found = Vec::new();
        task::block_on(async {
            while found.len() < 1000 {
                poll_fn(|cx| mailbox.poll_ready(cx)).await;
                mailbox.take(&mut found);
            }
        });
        writer.join().unwrap();
        assert!(found.into_iter().eq(0..1000));
    }

    #[test]
    fn closed_mailbox_gives_notes_back() {
        let mailbox = Mailbox::new();
        mailbox.push(1).unwrap();
        mailbox.close();
        assert_eq!(mailbox.push(2), Err(2));
        let mut many = vec![3, 4];
        mailbox.append(&mut many);
        assert!(many.is_empty());
        let mut found = Vec::new();
        mailbox.take(&mut found);
        assert!(found.is_empty());
    }
}
