//! The task of one web seed: wishes in, blocks out, as if it were a connection to a peer.
//!
//! Questions are asked ahead of their answers, so that the line never waits for a round trip.
//! Whatever the server gives is taken for the torrent's bytes: the swarm hashes them.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use async_std::channel::Sender;
use bytes::BytesMut;
use futures_lite::future::or;
use shoal_metainfo::{Block, Torrent, web_seed};
use shoal_swarm::io::PeerKey;
use shoal_tracker::client::web::{Answer, Line, Web, WebError, Whence};
use shoal_wire::Message;

use super::gets::{Get, Kind, Place, gets};
use super::wishes::Wishes;
use crate::connection::FromPeer;
use crate::limits::{
    WEB_ASKED_AHEAD, WEB_READ, WEB_REDIRECTS_KEPT, WEB_REDIRECTS_MAX, WEB_RUN_BYTES,
    WEB_SKIPPED_MAX, WEB_WHOLE_KEPT,
};

/// Why a web seed gives no more for now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// The server or the line to it.
    #[error("{0}")]
    Web(#[from] WebError),
    /// Its file is not the torrent's.
    #[error("its file has {found} bytes where the torrent's has {expected}")]
    OtherLength { expected: u64, found: u64 },
    /// It sent other bytes than it was asked for.
    #[error("it sent bytes {found:?} when asked for {expected:?}")]
    OtherRange {
        expected: Range<u64>,
        found: Range<u64>,
    },
    /// It cannot send parts of files.
    #[error("it sends whole files only, and this one is long")]
    NoRanges,
    /// It leads in circles.
    #[error("it redirects more than {WEB_REDIRECTS_MAX} times")]
    Redirects,
}

/// What a web seed is made of.
pub(crate) struct Fetch {
    pub(crate) web: Web,
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) torrent: Arc<Torrent>,
    pub(crate) peer: PeerKey,
    pub(crate) wishes: Arc<Wishes>,
    pub(crate) blocks_to: Sender<FromPeer>,
}

/// Why a fetch goes on no more.
enum Stop {
    /// The torrent wants nothing from it any more, or has ended.
    Unwanted,
    Failed(FetchError),
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Failed(error)
    }
}

impl From<WebError> for Stop {
    fn from(error: WebError) -> Self {
        Self::Failed(error.into())
    }
}

impl Fetch {
    /// Fetches on `line` what is wished for until nothing is any more.
    ///
    /// # Errors
    /// [`FetchError`] when the server gives no more for now.
    pub(crate) async fn run(self, line: Line) -> Result<(), FetchError> {
        let wishes = self.wishes.clone();
        let mut work = Work {
            fetch: self,
            line: Some(line),
            fresh: false,
            spoiled: false,
            to_ask: VecDeque::new(),
            asked: VecDeque::new(),
            blocks: VecDeque::new(),
            came: BytesMut::new(),
            area: vec![0; WEB_READ],
            moved: HashMap::new(),
            whole: None,
            redirects: 0,
        };
        let rounds = async {
            loop {
                if let Err(stop) = work.round().await {
                    return stop;
                }
            }
        };
        let closed = async {
            wishes.closed().await;
            Stop::Unwanted
        };
        match or(closed, rounds).await {
            Stop::Unwanted => Ok(()),
            Stop::Failed(error) => Err(error),
        }
    }
}

/// A fetch under way.
struct Work {
    fetch: Fetch,
    line: Option<Line>,
    /// The line was opened for what is asked on it now: if it is closed, the server means us.
    fresh: bool,
    /// Nothing more can be asked on it.
    spoiled: bool,
    to_ask: VecDeque<Get>,
    asked: VecDeque<Get>,
    /// What `to_ask` and `asked` will make, in order.
    blocks: VecDeque<Block>,
    /// Bytes of the first of them.
    came: BytesMut,
    area: Vec<u8>,
    /// Where files were found that are not where they should be, and who said so.
    moved: HashMap<usize, (String, Whence)>,
    /// The last file that came whole though a part was asked for.
    whole: Option<(usize, Vec<u8>)>,
    /// One after the other, without a byte of content between them.
    redirects: usize,
}

impl Work {
    /// One answer, from its question to its last byte.
    async fn round(&mut self) -> Result<(), Stop> {
        self.plan();
        if self.to_ask.is_empty() && self.asked.is_empty() {
            self.fetch.wishes.wait().await;
            self.fresh = false;
            return Ok(());
        }
        if self.asked.is_empty()
            && self
                .to_ask
                .front()
                .is_some_and(|get| get.place == Place::Zeros)
        {
            let get = self.to_ask.pop_front().expect("it was looked at");
            return self.zeros(get.length).await;
        }
        if self.asked.is_empty()
            && let Some((kept, _)) = &self.whole
            && let Some(Place::File { file, range }) = self.to_ask.front().map(|get| &get.place)
            && file == kept
        {
            let range = range.clone();
            self.to_ask.pop_front();
            return self.kept(range).await;
        }
        match self.head().await {
            Ok((get, Answer::Moved(to))) => self.moves(&get, to),
            Ok((get, answer)) => self.take(&get, &answer).await,
            Err(Stop::Failed(FetchError::Web(WebError::Closed | WebError::Http { .. })))
                if !self.fresh =>
            {
                // It had enough of this line, not of us.
                self.ask_anew();
                Ok(())
            }
            Err(stop) => Err(stop),
        }
    }

    /// Lays out questions for what is wished for, a little ahead.
    fn plan(&mut self) {
        if self.fetch.wishes.is_in_vain() {
            self.forget();
        }
        let Fetch {
            kind,
            url,
            torrent,
            wishes,
            ..
        } = &self.fetch;
        while self.to_ask.len() + self.asked.len() < WEB_ASKED_AHEAD {
            let one = *kind == Kind::Pieces;
            let run = wishes.begin(&torrent.info.geometry, WEB_RUN_BYTES, one);
            if run.is_empty() {
                return;
            }
            self.to_ask.extend(gets(*kind, url, torrent, &run));
            self.blocks.extend(run);
        }
    }

    /// What was begun is of no use any more; neither is the line, with answers to it on the way.
    fn forget(&mut self) {
        self.to_ask.clear();
        self.blocks.clear();
        self.came.clear();
        if !self.asked.is_empty() {
            self.asked.clear();
            self.line = None;
        }
    }

    /// Asks again, on a new line, for what was asked and did not come.
    fn ask_anew(&mut self) {
        self.line = None;
        self.spoiled = false;
        while let Some(get) = self.asked.pop_back() {
            self.to_ask.push_front(get);
        }
    }

    /// Where to ask, and who led there.
    fn url_of(&self, place: &Place) -> (String, Option<Whence>) {
        match place {
            Place::File { file, .. } => match self.moved.get(file) {
                Some((url, whence)) => (url.clone(), Some(*whence)),
                None => {
                    let info = &self.fetch.torrent.info;
                    (web_seed::file_url(&self.fetch.url, info, *file), None)
                }
            },
            Place::Url(url, whence) => (url.clone(), *whence),
            Place::Zeros => (String::new(), None),
        }
    }

    /// How many questions may be under way: one, until the server has shown that it keeps a line.
    /// One that closes it with questions unread would take its answer back.
    fn ahead(&self) -> usize {
        match self.line.as_ref().is_some_and(Line::is_kept) {
            true => WEB_ASKED_AHEAD,
            false => 1,
        }
    }

    /// Asks as much as the line takes; opens one when there is none.
    async fn ask(&mut self) -> Result<(), Stop> {
        while self.asked.len() < self.ahead() {
            let Some(get) = self.to_ask.front() else {
                return Ok(());
            };
            if get.place == Place::Zeros {
                return Ok(());
            }
            let (url, whence) = self.url_of(&get.place);
            let serves = self.line.as_ref().is_some_and(|line| line.serves(&url));
            if !serves && !self.asked.is_empty() {
                return Ok(());
            }
            if !serves {
                self.line = Some(self.fetch.web.open(&url, whence).await?);
                self.fresh = true;
            }
            let range = match &get.place {
                Place::File { range, .. } => Some(range),
                Place::Url(..) | Place::Zeros => None,
            };
            let line = self.line.as_mut().expect("it was opened");
            line.ask(&url, range).await?;
            self.asked.extend(self.to_ask.pop_front());
        }
        Ok(())
    }

    /// The next question, and what its answer begins with.
    async fn head(&mut self) -> Result<(Get, Answer), Stop> {
        self.ask().await?;
        let get = self.asked.front().expect("something was asked").clone();
        let line = self.line.as_mut().expect("it was asked on a line");
        let answer = line.answer().await?;
        self.fresh = false;
        Ok((get, answer))
    }

    /// What an answer holds.
    async fn take(&mut self, get: &Get, answer: &Answer) -> Result<(), Stop> {
        let skipped = self.judge(get, answer)?;
        if let Answer::Whole {
            length: Some(length),
        } = answer
            && *length <= WEB_WHOLE_KEPT
            && let Place::File { file, .. } = get.place
        {
            return self.keep(file, *length).await;
        }
        self.skip(skipped).await?;
        self.body(get.length).await?;
        if self.asked.pop_front().is_none() {
            // It was forgotten meanwhile.
            return Ok(());
        }
        // Whatever is behind what we wanted would be taken for the next answer.
        let line = self.line.as_mut().expect("the body came on it");
        if self.spoiled || line.read(&mut self.area[..1]).await.unwrap_or(1) > 0 {
            self.ask_anew();
        }
        Ok(())
    }

    /// Whether an answer is what was asked for; bytes to skip before it is.
    fn judge(&self, get: &Get, answer: &Answer) -> Result<u64, FetchError> {
        let (length, expected) = match &get.place {
            Place::File { file, range } => {
                let length = self.fetch.torrent.info.files[*file].length;
                (length, range.clone())
            }
            Place::Url(..) | Place::Zeros => (get.length, 0..get.length),
        };
        let told = match answer {
            Answer::Part { total, .. } => *total,
            Answer::Whole { length } => *length,
            Answer::Moved(_) => None,
        };
        if let Some(found) = told.filter(|&found| found != length) {
            let expected = length;
            return Err(FetchError::OtherLength { expected, found });
        }
        match answer {
            Answer::Part { range, .. } if *range != expected => Err(FetchError::OtherRange {
                expected,
                found: range.clone(),
            }),
            Answer::Whole { .. } if expected.start > WEB_SKIPPED_MAX => Err(FetchError::NoRanges),
            Answer::Whole { .. } => Ok(expected.start),
            Answer::Part { .. } | Answer::Moved(_) => Ok(0),
        }
    }

    /// The file is elsewhere: asks there.
    fn moves(&mut self, get: &Get, to: String) -> Result<(), Stop> {
        self.redirects += 1;
        if self.redirects > WEB_REDIRECTS_MAX {
            return Err(FetchError::Redirects.into());
        }
        let whence = self.line.as_ref().expect("it said so").whence();
        self.ask_anew();
        let first = self.to_ask.front_mut().expect("it was asked");
        match &get.place {
            Place::File { file, .. } => {
                if self.moved.len() >= WEB_REDIRECTS_KEPT {
                    self.moved.clear();
                }
                self.moved.insert(*file, (to, whence));
            }
            Place::Url(..) | Place::Zeros => first.place = Place::Url(to, Some(whence)),
        }
        Ok(())
    }

    /// The server sends whole files: takes this one, and all questions for it, out of memory from
    /// now on.
    async fn keep(&mut self, file: usize, length: u64) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            let line = self.line.as_mut().expect("the answer came on it");
            let count = line.read(&mut self.area).await?;
            self.short(count)?;
            bytes.extend_from_slice(&self.area[..count]);
        }
        self.whole = Some((file, bytes));
        self.redirects = 0;
        self.ask_anew();
        Ok(())
    }

    /// Bytes of a file that is kept.
    async fn kept(&mut self, range: Range<u64>) -> Result<(), Stop> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let (_, bytes) = self.whole.as_ref().expect("it was looked at");
        let bytes = bytes.get(at(range.start)..at(range.end));
        let bytes = bytes.ok_or(WebError::NotThere)?;
        self.came.extend_from_slice(bytes);
        self.hand_over().await
    }

    async fn skip(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            let room = room(bytes, self.area.len());
            let line = self.line.as_mut().expect("the answer came on it");
            let count = line.read(&mut self.area[..room]).await?;
            self.short(count)?;
            bytes -= count as u64;
        }
        Ok(())
    }

    /// So many bytes of content; asks for more meanwhile.
    async fn body(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            self.plan();
            if self.line.is_none() {
                return Ok(());
            }
            // What is on its way may come all the same.
            self.spoiled |= self.ask().await.is_err();
            let room = room(bytes, self.area.len());
            let line = self.line.as_mut().expect("it was looked at");
            let count = line.read(&mut self.area[..room]).await?;
            self.short(count)?;
            bytes -= count as u64;
            self.redirects = 0;
            self.came.extend_from_slice(&self.area[..count]);
            self.hand_over().await?;
        }
        Ok(())
    }

    fn short(&self, count: usize) -> Result<(), FetchError> {
        match count {
            0 => Err(WebError::NotThere.into()),
            _ => Ok(()),
        }
    }

    async fn zeros(&mut self, mut bytes: u64) -> Result<(), Stop> {
        while bytes > 0 {
            let room = room(bytes, WEB_READ);
            bytes -= room as u64;
            self.came.resize(self.came.len() + room, 0);
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Gives the torrent all blocks that are whole; waits while it has enough to do.
    async fn hand_over(&mut self) -> Result<(), Stop> {
        let mut messages = Vec::new();
        while let Some(&block) = self.blocks.front()
            && self.came.len() >= block.length() as usize
        {
            self.blocks.pop_front();
            let data = self.came.split_to(block.length() as usize).freeze();
            if self.fetch.wishes.came() {
                let (index, begin) = (block.piece().get(), block.begin());
                messages.push(Message::Piece { index, begin, data });
            }
        }
        if messages.is_empty() {
            return Ok(());
        }
        let batch = FromPeer::Messages(self.fetch.peer, messages);
        let sent = self.fetch.blocks_to.send(batch).await;
        sent.map_err(|_| Stop::Unwanted)
    }
}

/// How many of so many bytes fit.
fn room(bytes: u64, room: usize) -> usize {
    usize::try_from(bytes).map_or(room, |bytes| bytes.min(room))
}
