//! Everything that a torrent's task waits for, in one place.
//!
//! Commands and notes are always taken; batches of messages only while there is room for them, so
//! that a full disk queue stops the sockets and nothing else.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use async_std::channel::Receiver;
use async_std::stream::Stream;

use crate::clock::Alarm;
use crate::connection::FromPeer;
use crate::handle::Command;
use crate::mailbox::Mailbox;
use crate::note::Note;

/// Three queues and an alarm.
pub(super) struct Inbox {
    commands: Receiver<Command>,
    notes: Arc<Mailbox<Note>>,
    batches: Receiver<FromPeer>,
    alarm: Alarm,
    /// Taken off its queue by waiting, and not yet by the torrent.
    command: Option<Command>,
    batch: Option<FromPeer>,
}

impl Inbox {
    pub(super) fn new(
        commands: Receiver<Command>,
        notes: Arc<Mailbox<Note>>,
        batches: Receiver<FromPeer>,
    ) -> Self {
        let now = Instant::now();
        Self {
            commands,
            notes,
            batches,
            alarm: Alarm::new(now, now),
            command: None,
            batch: None,
        }
    }

    /// Waits until something is here, or the time has come.
    pub(super) async fn wait(&mut self, until: Instant, take_batches: bool) {
        self.alarm.ring_by(Instant::now(), until);
        poll_fn(|cx| self.poll(cx, take_batches)).await;
    }

    pub(super) fn next_command(&mut self) -> Option<Command> {
        self.command
            .take()
            .or_else(|| self.commands.try_recv().ok())
    }

    pub(super) fn next_batch(&mut self) -> Option<FromPeer> {
        self.batch.take().or_else(|| self.batches.try_recv().ok())
    }

    /// Moves all notes behind those in `into`.
    pub(super) fn take_notes(&self, into: &mut Vec<Note>) {
        self.notes.take(into);
    }

    fn poll(&mut self, cx: &mut Context<'_>, take_batches: bool) -> Poll<()> {
        let mut ready = self.notes.poll_ready(cx).is_ready();
        if self.command.is_none()
            && let Poll::Ready(command) = Pin::new(&mut self.commands).poll_next(cx)
        {
            // Nobody can give commands any more: nobody wants it to go on.
            self.command = Some(command.unwrap_or(Command::Stop));
        }
        if take_batches
            && self.batch.is_none()
            && let Poll::Ready(Some(batch)) = Pin::new(&mut self.batches).poll_next(cx)
        {
            self.batch = Some(batch);
        }
        ready |= self.command.is_some() || (take_batches && self.batch.is_some());
        ready |= self.alarm.poll(cx, Instant::now()).is_ready();
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.notes.close();
        self.batches.close();
    }
}
