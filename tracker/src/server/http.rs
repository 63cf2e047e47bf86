//! The thread that answers over HTTP. BEP 3 "trackers", BEP 48.
//!
//! One loop over epoll accepts, reads, answers and writes: an announce costs a read and a write,
//! and on a connection of its own an accept and a close. What is neither an announce nor a scrape
//! is handed to tide, on the same socket with what was read; so is TLS. Who is connected and who
//! has to leave, `guests` knows.

mod clerk;
mod line;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use async_std::channel::Sender;
use async_std::task;
use futures_lite::FutureExt as _;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::net::{SocketFlags, acceptfrom_with};

use super::connection::{self, Desk};
use super::guests::{Guests, Leave};
use super::tls::{self, Begun};
use super::{Shared, app};
use crate::limits;
pub(super) use clerk::Clerk;
use line::{Line, Wish};

/// Between two looks at the deadlines. Ours: they are of seconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Events taken at once, and connections accepted in a row. Ours: others wait for so long.
const BATCH: usize = 64;

/// What an event is of: listeners count from here down, connections from 0 up.
const WAKE: u64 = u64::MAX;

/// Wakes the loop from another thread.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    pub(super) fn wake(&self) {
        // It fails only when it was woken 2^64 times.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

/// The loop, before it runs.
pub(super) struct Loop {
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    guests: Arc<Guests>,
    clerk: Clerk,
    app: tide::Server<Arc<Shared>>,
    lines: Vec<Option<Line>>,
    free: Vec<usize>,
    chunk: Vec<u8>,
    now: Instant,
    running: Sender<()>,
}

// Tide's server has no face for people.
impl fmt::Debug for Loop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut loop_ = formatter.debug_struct("Loop");
        loop_
            .field("lines", &self.lines.len())
            .finish_non_exhaustive()
    }
}

impl Loop {
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new(
        listeners: Vec<TcpListener>,
        shared: Arc<Shared>,
        guests: Arc<Guests>,
        running: Sender<()>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = epoll::EventData::new_u64(WAKE);
        epoll::add(&epoll, &shared.waker.0, wake, epoll::EventFlags::IN)?;
        for (token, listener) in (0..WAKE).rev().zip(&listeners) {
            let data = epoll::EventData::new_u64(token);
            epoll::add(&epoll, listener, data, epoll::EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            listeners,
            clerk: Clerk::new(Arc::clone(&shared), false),
            app: app::app(Arc::clone(&shared)),
            shared,
            guests,
            lines: Vec::new(),
            free: Vec::new(),
            chunk: vec![0; limits::READ_BYTES],
            now: Instant::now(),
            running,
        })
    }

    /// Runs in a thread of its own until the server is to stop.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn spawn(self) -> io::Result<()> {
        let thread = thread::Builder::new().name("tracker-http".to_owned());
        thread.spawn(|| self.run()).map(drop)
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(BATCH);
        let mut looked = self.now;
        while !self.shared.stop.is_closed() {
            self.turn(&mut events, &mut looked);
        }
        self.drain(&mut events, &mut looked);
        let Self {
            listeners,
            lines,
            running,
            ..
        } = self;
        // Who waits for the end may take the port.
        drop((listeners, lines));
        drop(running);
    }

    /// Waits for something to happen, and handles it.
    fn turn(&mut self, events: &mut Vec<epoll::Event>, looked: &mut Instant) {
        let wait = Timespec::try_from(LOOK_EVERY).expect("a moment");
        events.clear();
        let buffer = rustix::buffer::spare_capacity(events);
        if let Err(error) = epoll::wait(&self.epoll, buffer, Some(&wait))
            && error != rustix::io::Errno::INTR
        {
            tracing::error!(%error, "cannot wait for connections");
            thread::sleep(LOOK_EVERY);
        }
        self.now = Instant::now();
        for event in events.iter() {
            self.handle(event.data.u64(), event.flags);
        }
        if self.now.saturating_duration_since(*looked) >= LOOK_EVERY {
            *looked = self.now;
            self.close_late();
        }
    }

    /// Answers what was asked before the end, accepts nobody more, and closes who asks nothing.
    fn drain(&mut self, events: &mut Vec<epoll::Event>, looked: &mut Instant) {
        // It has woken us, and would go on to.
        let _ = epoll::delete(&self.epoll, &self.shared.waker.0);
        for listener in 0..self.listeners.len() {
            self.accept(listener);
        }
        for listener in std::mem::take(&mut self.listeners) {
            // Somebody else may have it too.
            let _ = epoll::delete(&self.epoll, listener);
        }
        let deadline = self.now + limits::DRAIN_MAX;
        for at in 0..self.lines.len() {
            if let Some(line) = &mut self.lines[at] {
                // The next answer is the last.
                line.left = 1;
                line.deadline = line.deadline.min(deadline);
            }
            self.handle(at as u64, epoll::EventFlags::IN);
        }
        loop {
            for at in 0..self.lines.len() {
                if self.lines[at].as_ref().is_some_and(Line::is_idle) {
                    self.close(at);
                }
            }
            if self.now >= deadline || self.lines.iter().all(Option::is_none) {
                return;
            }
            self.turn(events, looked);
        }
    }

    fn handle(&mut self, token: u64, flags: epoll::EventFlags) {
        let listener = usize::try_from(WAKE.wrapping_sub(1).wrapping_sub(token));
        if let Ok(listener) = listener
            && listener < self.listeners.len()
        {
            return self.accept(listener);
        }
        let Some(at) = usize::try_from(token)
            .ok()
            .filter(|at| *at < self.lines.len())
        else {
            return;
        };
        // It may have had to leave a moment ago.
        let Some(line) = &mut self.lines[at] else {
            return;
        };
        let writing = !line.output.is_empty();
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        let (clerk, chunk, now) = (&mut self.clerk, &mut self.chunk, self.now);
        let wish = if writing {
            line.write(clerk, now)
        } else {
            match line.read_all(clerk, chunk, now, flags.intersects(ends)) {
                Some(wish) => wish,
                // To be told again of what is left.
                None => return self.listen_to(at, Wish::Read, true),
            }
        };
        let wished = if writing { Wish::Write } else { Wish::Read };
        if wish == wished {
            return;
        }
        match wish {
            Wish::Read | Wish::Write => self.listen_to(at, wish, true),
            Wish::HandOver => self.hand_over(at),
            Wish::Close => self.close(at),
        }
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..BATCH {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&self.listeners[listener], flags) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    if let Some(peer) = peer {
                        self.enter(TcpStream::from(socket), peer);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return,
                Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => {}
                // Out of descriptors, mostly: others will be closed soon.
                Err(error) => {
                    let warnings = &self.shared.front.warnings;
                    warnings.tell("cannot accept connections", &error);
                    thread::sleep(Duration::from_millis(10));
                    return;
                }
            }
        }
    }

    fn enter(&mut self, stream: TcpStream, peer: SocketAddr) {
        let at = self.free.pop().unwrap_or(self.lines.len());
        let (place, gone) = self.guests.enter(peer.ip(), Leave::Here(at));
        if let Some(gone) = gone {
            self.close(gone);
        }
        let mut line = Line::new(stream, peer, place, self.now);
        // Most have sent their request by now.
        let wish = line.read(&mut self.clerk, &mut self.chunk, self.now);
        if at == self.lines.len() {
            self.lines.push(None);
        }
        if wish == Wish::Close {
            self.free.push(at);
            return;
        }
        self.lines[at] = Some(line);
        match wish {
            Wish::HandOver => self.hand_over(at),
            wish => self.listen_to(at, wish, false),
        }
    }

    fn listen_to(&mut self, at: usize, wish: Wish, known: bool) {
        let Some(line) = &self.lines[at] else {
            return;
        };
        // Told at edges: what was read to its end is not looked at again for nothing.
        let flags = epoll::EventFlags::ET
            | if wish == Wish::Write {
                epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::IN | epoll::EventFlags::RDHUP
            };
        let data = epoll::EventData::new_u64(at as u64);
        let told = if known {
            epoll::modify(&self.epoll, &line.stream, data, flags)
        } else {
            epoll::add(&self.epoll, &line.stream, data, flags)
        };
        if told.is_err() {
            self.close(at);
        }
    }

    fn close(&mut self, at: usize) {
        if self.lines[at].take().is_some() {
            self.free.push(at);
        }
    }

    /// Gives a connection to tide, with what was read of it.
    fn hand_over(&mut self, at: usize) {
        let Some(line) = self.lines[at].take() else {
            return;
        };
        self.free.push(at);
        // It may not have been told of yet.
        let _ = epoll::delete(&self.epoll, &line.stream);
        let Line {
            stream,
            peer,
            mut place,
            input,
            left,
            ..
        } = line;
        let leave = place.hand_over();
        let shared = Arc::clone(&self.shared);
        let desk = Desk {
            app: self.app.clone(),
            clerk: Some(Clerk::new(Arc::clone(&shared), true)),
            body_max: 0,
            requests: left,
            stopped: shared.stopped.clone(),
        };
        let running = self.running.clone();
        task::spawn(async move {
            let ended = async {
                let drained = async {
                    shared.stopped().await;
                    task::sleep(limits::DRAIN_MAX).await;
                };
                leave.or(drained).await;
                Ok(())
            };
            let stream = async_std::net::TcpStream::from(stream);
            let heard = || place.heard();
            let served = async {
                match &shared.front.tls {
                    Some(tls) if input.first() == Some(&tls::HANDSHAKE) => {
                        let stream = tls::accept(tls, Begun::new(input, stream)).await?;
                        connection::serve(stream, peer, desk, heard).await
                    }
                    _ => {
                        let stream = Begun::new(input, stream);
                        connection::serve(stream, peer, desk, heard).await
                    }
                }
            };
            if let Err(error) = served.or(ended).await {
                tracing::debug!(%peer, %error, "connection closed");
            }
            drop(running);
        });
    }

    fn close_late(&mut self) {
        for at in 0..self.lines.len() {
            if self.lines[at]
                .as_ref()
                .is_some_and(|line| line.deadline <= self.now)
            {
                self.close(at);
            }
        }
    }
}
