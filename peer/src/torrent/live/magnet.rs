//! A torrent that is known by its name alone, until it is live. BEP 9.
//!
//! ```text
//! asking ──the swarm has the metadata──▶ opening ──▶ checking ──▶ live
//! ```
//! Connections and trackers are those of the live torrent from the first moment on. Nobody reads
//! the metadata before the swarm has verified it, and files are touched only when it makes sense.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use shoal_metainfo::{Magnet, Torrent};
use shoal_swarm::io::{CandidateSource, Input};

use super::{Check, Live};
use crate::config::TorrentConfig;
use crate::disk::Lanes;
use crate::error::{Failure, OpenError};
use crate::event::Event;
use crate::handle::State;
use crate::note::{Found, Note};
use crate::open::{Opened, Opener};
use crate::torrent::check::{judge, partial};

/// What is still to be done until the torrent is live, and with what.
pub(in crate::torrent) struct Quest {
    pub(in crate::torrent) magnet: Magnet,
    pub(in crate::torrent) config: TorrentConfig,
    pub(in crate::torrent) opener: Opener,
    pub(in crate::torrent) lanes: Lanes,
    pub(in crate::torrent) check_threads: usize,
    pub(in crate::torrent) stage: Stage,
}

pub(in crate::torrent) enum Stage {
    /// Peers are asked for the metadata.
    Asking,
    /// A disk thread opens the files; or nobody wants them.
    Opening(Arc<Torrent>),
    /// A disk thread looks at what is there.
    Checking(Arc<Torrent>, Box<Opened>, Check),
}

impl Quest {
    pub(in crate::torrent) fn state(&self) -> State {
        match &self.stage {
            Stage::Asking => State::Metadata,
            Stage::Opening(torrent) => State::Checking {
                done: 0,
                total: torrent.info.geometry.total(),
            },
            Stage::Checking(_, _, check) => {
                let (done, total) = check.progress();
                State::Checking { done, total }
            }
        }
    }
}

impl Live {
    /// The peers that the link names. Names are looked up on a thread that may wait.
    pub(super) fn take_peers_of_link(&mut self, now: Instant) {
        let Some(quest) = &self.quest else {
            return;
        };
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for peer in &quest.magnet.peers {
            match peer.parse::<SocketAddr>() {
                Ok(address) => addresses.push(address),
                Err(_) => names.push(peer.clone()),
            }
        }
        let notes = self.shared.notes.clone();
        // A look-up would go beside the proxy.
        if !names.is_empty() && self.proxy.is_none() {
            quest.lanes.check(move || {
                let found = names.iter().flat_map(|name| {
                    let found = name.to_socket_addrs();
                    let found = found.inspect_err(|error| tracing::debug!("{name}: {error}"));
                    found.into_iter().flatten()
                });
                let (source, addresses) = (CandidateSource::Magnet, found.collect());
                // The torrent has ended: then nobody is dialled.
                let _ = notes.push(Note::Named { source, addresses });
            });
        }
        let source = CandidateSource::Magnet;
        self.tell(now, Input::Candidates { source, addresses });
    }

    /// The metadata is here and is what the link names: what does it say?
    pub(super) fn metadata_found(&mut self, info: &Bytes) {
        let Some(quest) = &mut self.quest else {
            return;
        };
        let torrent = match quest.magnet.torrent(info) {
            Ok(torrent) => Arc::new(torrent),
            Err(error) => {
                self.failure = Some(Failure::Metadata(error));
                return;
            }
        };
        quest.stage = Stage::Opening(torrent.clone());
        if !quest.config.metadata_only {
            let (opener, config, board) = (
                quest.opener.clone(),
                quest.config.clone(),
                self.board.clone(),
            );
            let (info, notes) = (torrent.info.clone(), self.shared.notes.clone());
            quest.lanes.check(move || {
                let opened = opener.open(&config, info, &board).map(Box::new);
                // The torrent has ended: then the files are closed again.
                let _ = notes.push(Note::Opened(opened));
            });
        }
        self.board.post(Event::MetadataFound(torrent));
    }

    /// The files are open: what is there?
    pub(super) fn files_opened(
        &mut self,
        opened: Result<Box<Opened>, OpenError>,
    ) -> Result<(), Failure> {
        let opened = opened?;
        if let Some(quest) = &mut self.quest
            && let Stage::Opening(torrent) = &quest.stage
        {
            let notes = &self.shared.notes;
            let check = Check::begin(&opened, &quest.lanes, quest.check_threads, notes);
            quest.stage = Stage::Checking(torrent.clone(), opened, check);
        }
        Ok(())
    }

    /// It is known what is there: the torrent is live.
    pub(super) fn files_checked(&mut self, now: Instant, found: Found) -> Result<(), Failure> {
        let Some(quest) = self.quest.take() else {
            return Ok(());
        };
        let Stage::Checking(torrent, opened, _) = quest.stage else {
            return Ok(());
        };
        if torrent.info.private {
            self.doors.is_private(self.handshake.info_hash);
        }
        let found = judge(&opened, found)?;
        let (resumed, bytes_partial) = partial(&opened, &found.have);
        let is_complete = opened.is_complete(&found.have);
        if let Some(pieces) = opened.wanted.clone() {
            self.tell(now, Input::Only { pieces });
        }
        self.use_files(*opened, quest.lanes);
        self.is_checked(&found, bytes_partial, is_complete);
        let live = Input::Live {
            geometry: torrent.info.geometry,
            have: found.have,
            resumed,
            private: torrent.info.private,
        };
        self.tell(now, live);
        if torrent.info.private {
            self.seeker = None;
            self.allowed.is_private();
        }
        self.web = quest
            .config
            .use_web_seeds
            .then(|| self.web_seeds(now, torrent));
        Ok(())
    }

    /// News of how far it is, about once a second.
    pub(super) fn tell_of_quest(&mut self, now: Instant) {
        let Some(quest) = &mut self.quest else {
            return;
        };
        match &mut quest.stage {
            Stage::Asking => {
                let progress = self.swarm.snapshot(now).metadata;
                if let Some(progress) = progress
                    && self.told_metadata.replace(progress) != Some(progress)
                {
                    self.board.post(Event::MetadataProgress(progress));
                }
            }
            Stage::Opening(_) => {}
            Stage::Checking(_, _, check) => {
                check
                    .news()
                    .into_iter()
                    .for_each(|news| self.board.post(news));
            }
        }
    }
}
