//! What the client shows: lines for people or events for programs, never both.
//!
//! Schema of the events: docs/json-events.md. Decides nothing but what is worth saying.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_metainfo::{InfoHash, Torrent};
use shoal_peer::ports::PortNews;
use shoal_peer::shoal_dht::Snapshot as Node;
use shoal_peer::{Event, State, TorrentSnapshot};
use shoal_storage::{StorageError, Ways};
use shoal_swarm::io::{Event as SwarmEvent, Progress as MetadataProgress};

use super::sources::{Sources, Teller};
use super::told::{Progress, Told, asking, name_of};
use crate::link::Named;
use crate::render::line::{Line, UNKNOWN};
use crate::render::text::Printable;
use crate::render::{self, Mode, json};
use crate::units::{Bytes, Count, PerSecond, Time, rate, runs};

/// Between two plain lines of a client that only seeds. Ours: a log of a day stays readable.
const SEEDING_EVERY: Duration = Duration::from_secs(60);
/// Between two `checking` events. Source: docs/json-events.md.
const CHECKING_EVERY: Duration = Duration::from_secs(1);
/// Trackers and web seeds whose last complaint is remembered. Source: metainfo's bounds on both.
const COMPLAINTS_MAX: usize =
    shoal_metainfo::limits::TRACKERS_MAX + 2 * shoal_metainfo::limits::WEB_SEEDS_MAX;

/// Files that are too long and told to people one by one. Ours: a screen.
const TOO_LONG_SHOWN: usize = 20;
/// Chosen files that are listed. Ours: as many as one looks through.
const CHOSEN_SHOWN: usize = 20;

/// A file that is longer on the disk than the torrent says; bytes.
pub(super) struct TooLong {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    pub(super) found: u64,
}

/// What is shown of one torrent.
pub(super) struct View {
    mode: Mode,
    with_pieces: bool,
    info_hash: InfoHash,
    /// What it is called: by the torrent, before that by the link, or by nobody.
    name: Option<String>,
    /// `None` until a magnet's metadata is here.
    torrent: Option<Arc<Torrent>>,
    line: Line,
    begun: Instant,
    checking: Option<Instant>,
    /// What each tracker last complained of: the same again is not said again.
    complaints: HashMap<String, String>,
    /// Our address as the trackers see it.
    external_ip: Option<IpAddr>,
    /// What was told of the sources of peers.
    sources: Teller,
    /// How the disk fails, if it does.
    disk_failed: Option<mem::Discriminant<StorageError>>,
    /// Some files only are wanted.
    has_chosen: bool,
}

impl View {
    pub(super) fn new(mode: Mode, named: &Named, with_pieces: bool) -> Self {
        let (info_hash, name, torrent) = match named {
            Named::File(torrent) => {
                let name = Some(torrent.info.name.clone());
                (torrent.info_hash, name, Some(Arc::clone(torrent)))
            }
            Named::Link(magnet) => (magnet.info_hash, magnet.name.clone(), None),
        };
        let total = torrent
            .as_ref()
            .map(|torrent| torrent.info.geometry.total());
        let hash = info_hash.to_string();
        Self {
            mode,
            with_pieces,
            line: Line::new(
                mode,
                name.as_deref().unwrap_or(&hash),
                total.unwrap_or(UNKNOWN),
            ),
            info_hash,
            name,
            torrent,
            begun: Instant::now(),
            checking: None,
            complaints: HashMap::new(),
            external_ip: None,
            sources: Teller::default(),
            disk_failed: None,
            has_chosen: false,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.mode == Mode::Live
    }

    pub(super) fn started(
        &self,
        port: Option<u16>,
        dir: &Path,
        ways: Option<Ways>,
    ) -> io::Result<()> {
        let info = self.torrent.as_ref().map(|torrent| &torrent.info);
        let dir = dir.display().to_string();
        if self.mode == Mode::Json {
            return json::emit(&Told::Started {
                info_hash: self.info_hash.to_string(),
                name: self.name.as_deref(),
                dir,
                port,
                size: info.map(|info| info.geometry.total()),
                pieces: info.map(|info| info.geometry.pieces()),
                piece_length: info.map(|info| info.geometry.full_piece_length()),
                files: info.map(|info| info.files.len()),
                storage: ways.map(|ways| ways.to_string()),
            });
        }
        let hash = self.info_hash.to_string();
        let name = Printable(self.name.as_deref().unwrap_or(&hash));
        let what = info.map_or_else(
            || "a magnet link".to_owned(),
            |info| Bytes(info.geometry.total()).to_string(),
        );
        let dir = Printable(&dir);
        let reached = port.map_or_else(
            || "through a proxy, nobody connects to us".to_owned(),
            |port| format!("peers on port {port}"),
        );
        render::say(format_args!("{name} ({what}) in {dir}, {reached}"))
    }

    /// How far the metadata of a magnet is.
    fn metadata_progress(&mut self, progress: &MetadataProgress) -> io::Result<()> {
        let MetadataProgress {
            bytes,
            total,
            peers,
            asked,
        } = *progress;
        self.line.set_total(total);
        self.line.set(bytes, asking(progress));
        self.emit(|| Told::MetadataProgress {
            bytes,
            bytes_total: total,
            peers,
            peers_asked: asked,
        })
    }

    /// A magnet has its metadata.
    fn metadata_found(&mut self, torrent: &Arc<Torrent>) -> io::Result<()> {
        let info = &torrent.info;
        let total = info.geometry.total();
        self.line = Line::new(self.mode, &info.name, total);
        self.torrent = Some(Arc::clone(torrent));
        let files = info.files.len();
        if self.mode == Mode::Json {
            return json::emit(&Told::Metadata {
                name: &info.name,
                size: total,
                pieces: info.geometry.pieces(),
                piece_length: info.geometry.full_piece_length(),
                files,
                private: info.private,
            });
        }
        let name = Printable(&info.name);
        let (size, files) = (Bytes(total), Count(files, "file"));
        render::say(format_args!(
            "the metadata is here: {name}, {size} in {files}"
        ))
    }

    pub(super) fn progress(
        &mut self,
        snapshot: &TorrentSnapshot,
        node: Option<&Node>,
    ) -> io::Result<()> {
        let sources = Sources::new(snapshot, node);
        if let Some(sources) = &sources
            && self.mode == Mode::Json
            && self.sources.is_news(sources)
        {
            json::emit(&Told::Sources { sources })?;
        }
        if let Some(progress) = &snapshot.swarm.metadata
            && self.mode != Mode::Json
        {
            let asked = sources.as_ref().filter(|_| progress.peers == 0);
            let asked = asked.map_or_else(String::new, |sources| format!("  {}", sources.line()));
            self.line
                .set(progress.bytes, format_args!("{}{asked}", asking(progress)));
        }
        if matches!(snapshot.state, State::Metadata | State::Checking { .. }) {
            return Ok(());
        }
        let state = Progress::new(snapshot);
        if self.mode == Mode::Json {
            return json::emit(&Told::Progress { state });
        }
        self.line.set_total(Some(state.bytes_wanted));
        self.line
            .set(state.bytes_here(), state.line(sources.as_ref()));
        Ok(())
    }

    /// Anything but the end and the completion.
    pub(super) fn event(
        &mut self,
        event: &Event,
        snapshot: Option<&TorrentSnapshot>,
    ) -> io::Result<()> {
        match event {
            Event::MetadataProgress(progress) => self.metadata_progress(progress),
            Event::MetadataFound(torrent) => self.metadata_found(torrent),
            Event::FilesChosen { files, bytes, vain } => self.files_chosen(files, *bytes, vain),
            Event::Checking { done, total } => self.checking(*done, *total),
            Event::Checked { .. } => self.checked(event, snapshot),
            Event::NotRemembered { error } => self.warn(&format!(
                "{error}; what is here is not remembered, so the next start checks it"
            )),
            Event::Swarm(event) => self.swarm_event(event),
            Event::TrackerAnswered {
                url,
                peers,
                warning,
                external_ip,
                ..
            } => {
                tracing::info!(url = %Printable(url), peers, "tracker answered");
                self.complaints.remove(url);
                self.external_ip(*external_ip, url)?;
                match warning {
                    Some(warning) => self.complain("tracker", url, warning, true),
                    None => Ok(()),
                }
            }
            Event::TrackerFailed { url, error, again } => {
                self.complain("tracker", url, error, *again)
            }
            Event::WebSeedFailed { url, error } => self.complain("web seed", url, error, true),
            Event::DiskFailed(error) => self.disk_failed(error),
            Event::DiskRecovered => {
                self.disk_failed = None;
                self.warn("the disk works again")
            }
            _ => Ok(()),
        }
    }

    /// Which files are wanted, when that was asked for.
    fn files_chosen(&mut self, files: &[usize], size: u64, vain: &[String]) -> io::Result<()> {
        self.has_chosen = true;
        if self.mode == Mode::Json {
            json::emit(&Told::FilesChosen {
                selected_files: runs(files.iter().copied()),
                files: files.len(),
                size,
            })?;
        } else if let Some(torrent) = &self.torrent {
            let all = torrent.info.files.iter().filter(|file| file.is_on_disk());
            let all = Count(all.count(), "file");
            let chosen = files.len();
            render::say(format_args!("chosen: {chosen} of {all}, {}", Bytes(size)))?;
            for &number in files.iter().take(CHOSEN_SHOWN) {
                render::say(format_args!(
                    "{number:>7}  {}",
                    torrent.info.files[number].path
                ))?;
            }
            if let Some(more @ 1..) = files.len().checked_sub(CHOSEN_SHOWN) {
                render::say(format_args!("         and {}", Count(more, "more file")))?;
            }
        }
        match vain {
            [] => Ok(()),
            vain => self.warn(&format!(
                "not in the torrent, and passed over: {}; `shoal show` lists its files",
                vain.join(", ")
            )),
        }
    }

    fn checking(&mut self, bytes: u64, bytes_total: u64) -> io::Result<()> {
        if self.mode != Mode::Json {
            self.line.set(bytes, "checking what is here");
            return Ok(());
        }
        if self
            .checking
            .is_some_and(|told| told.elapsed() < CHECKING_EVERY)
        {
            return Ok(());
        }
        self.checking = Some(Instant::now());
        json::emit(&Told::Checking { bytes, bytes_total })
    }

    /// Bytes of the torrent; none while nobody knows.
    fn size(&self) -> u64 {
        let torrent = self.torrent.as_ref();
        torrent.map_or(0, |torrent| torrent.info.geometry.total())
    }

    fn checked(&self, event: &Event, snapshot: Option<&TorrentSnapshot>) -> io::Result<()> {
        let Event::Checked {
            have,
            pieces,
            bytes_checked,
            bytes_partial,
        } = *event
        else {
            return Ok(());
        };
        let bytes_total = self.size();
        if self.mode == Mode::Json {
            return json::emit(&Told::Checked {
                have,
                pieces,
                bytes_have: snapshot.map_or(0, |snapshot| snapshot.swarm.bytes_have),
                bytes_total,
                bytes_checked,
                bytes_partial,
            });
        }
        let pieces = Count(pieces, "piece");
        match bytes_checked {
            0 if have > 0 => {
                render::say(format_args!("{have} of {pieces} here, as they were left"))
            }
            _ => render::say(format_args!("checked: {have} of {pieces} here")),
        }
    }

    fn swarm_event(&self, event: &SwarmEvent) -> io::Result<()> {
        match event {
            SwarmEvent::PeerConnected {
                address,
                peer_id,
                source,
                ..
            } => {
                let client = peer_id.client_name();
                let source = source.map_or("torrent", name_of);
                tracing::info!(%address, client, source, "peer connected");
                self.emit(|| Told::PeerConnected {
                    address: address.to_string(),
                    client,
                    source,
                })
            }
            SwarmEvent::PieceVerified { piece } if self.with_pieces => {
                self.emit(|| Told::PieceVerified { piece: piece.get() })
            }
            SwarmEvent::PieceFailed { piece } => {
                tracing::info!(%piece, "piece failed its hash; it is fetched again");
                Ok(())
            }
            SwarmEvent::PeerBanned { address, piece } => {
                let what = match piece {
                    Some(piece) => format!("data for piece {piece}"),
                    None => "metadata".to_owned(),
                };
                self.warn(&format!(
                    "{address} sent bad {what}; it is not spoken to again"
                ))
            }
            SwarmEvent::MetadataFailed => {
                tracing::info!("metadata came that is not what the link names; asking on");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What a tracker says that our address is; told when it is news.
    fn external_ip(&mut self, ip: Option<IpAddr>, tracker: &str) -> io::Result<()> {
        let Some(ip) = ip.filter(|&ip| self.external_ip != Some(ip)) else {
            return Ok(());
        };
        self.external_ip = Some(ip);
        tracing::info!(%ip, tracker = %Printable(tracker), "our address as a tracker sees it");
        self.emit(|| Told::ExternalIp {
            ip: ip.to_string(),
            tracker,
        })
    }

    /// What the router makes of our port.
    pub(super) fn port(&self, news: &PortNews) -> io::Result<()> {
        let (transport, port) = match news {
            PortNews::Mapped {
                transport,
                internal_port,
                ..
            }
            | PortNews::Failed {
                transport,
                internal_port,
                ..
            } => (transport, *internal_port),
        };
        let protocol = transport.to_string().to_lowercase();
        match news {
            PortNews::Mapped {
                by,
                external_port,
                external_ip,
                ..
            } => {
                let external_port = *external_port;
                if self.mode == Mode::Json {
                    return json::emit(&Told::PortMapped {
                        protocol,
                        port,
                        external_ip: external_ip.map(|ip| ip.to_string()),
                        external_port,
                        by: by.to_string(),
                    });
                }
                let at = external_ip.map_or_else(String::new, |ip| format!(" at {ip}"));
                render::say(format_args!(
                    "the router lets peers in on {transport} port {external_port}{at} ({by})"
                ))
            }
            PortNews::Failed { causes, .. } => {
                let causes = causes.iter().map(|(by, cause)| format!("{by}: {cause}"));
                let message = causes.collect::<Vec<_>>().join("; ");
                if self.mode == Mode::Json {
                    let message = &message;
                    return json::emit(&Told::PortMapFailed {
                        protocol,
                        port,
                        message,
                    });
                }
                self.warn(&format!(
                    "the router lets nobody in on {transport} port {port}: {message}; it is asked \
                     again by and by"
                ))
            }
        }
    }

    /// Files that hold more than belongs there.
    pub(super) fn too_long(&self, files: &[TooLong]) -> io::Result<()> {
        if self.mode == Mode::Json {
            return files.iter().try_for_each(|file| {
                json::emit(&Told::FileTooLong {
                    path: file.path.display().to_string(),
                    length: file.length,
                    found: file.found,
                })
            });
        }
        for TooLong {
            path,
            length,
            found,
        } in files.iter().take(TOO_LONG_SHOWN)
        {
            let path = path.display().to_string();
            render::warn(format_args!(
                "{} has {}, {length} in the torrent; the rest is shared with \
                 nobody, and `truncate -s {length}` cuts it",
                Printable(&path),
                Count(*found, "byte")
            ));
        }
        if let Some(more @ 1..) = files.len().checked_sub(TOO_LONG_SHOWN) {
            render::warn(format_args!(
                "too long as well: {}",
                Count(more, "more file")
            ));
        }
        Ok(())
    }

    fn emit<'a>(&self, told: impl FnOnce() -> Told<'a>) -> io::Result<()> {
        match self.mode {
            Mode::Json => json::emit(&told()),
            Mode::Live | Mode::Plain => Ok(()),
        }
    }

    /// Says it once, whichever bytes it happens to next.
    fn disk_failed(&mut self, error: &StorageError) -> io::Result<()> {
        let kind = mem::discriminant(error);
        if self.disk_failed.replace(kind) == Some(kind) {
            return Ok(());
        }
        match error {
            StorageError::Full(fault) => self.warn(&format!(
                "{fault}: the disk or the quota is full; nothing is downloaded until some space \
                 is free, then it goes on by itself"
            )),
            error => self.warn(&format!(
                "{error}; nothing is downloaded until that works again, and nothing of it is served"
            )),
        }
    }

    /// Says what is wrong with a tracker or a web seed, once.
    fn complain(&mut self, what: &str, url: &str, complaint: &str, again: bool) -> io::Result<()> {
        if self
            .complaints
            .get(url)
            .is_some_and(|last| last == complaint)
        {
            return Ok(());
        }
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.insert(url.to_owned(), complaint.to_owned());
        }
        let next = if again {
            "it is asked again by and by"
        } else {
            "it is not asked again"
        };
        self.warn(&format!("{what} {url}: {complaint}; {next}"))
    }

    pub(super) fn warn(&self, message: &str) -> io::Result<()> {
        if self.mode == Mode::Json {
            return json::emit(&Told::Warning {
                message: message.to_owned(),
            });
        }
        render::note(Printable(message));
        Ok(())
    }

    pub(super) fn complete(&mut self, snapshot: Option<&TorrentSnapshot>) -> io::Result<()> {
        let span = self.begun.elapsed();
        let bytes_total = self.size();
        let downloaded = snapshot.map_or(0, |snapshot| snapshot.swarm.downloaded);
        if self.mode == Mode::Json {
            return json::emit(&Told::Complete {
                seconds: span.as_secs_f64(),
                bytes_total,
                downloaded,
            });
        }
        self.line.calm_down(SEEDING_EVERY);
        if downloaded == 0 {
            return render::say(match self.has_chosen {
                true => "complete: all chosen files are here",
                false => "complete: everything is here",
            });
        }
        let (time, bytes, rate) = (Time(span), Bytes(downloaded), rate(downloaded, span));
        let rate = PerSecond(rate);
        render::say(format_args!(
            "complete after {time}: {bytes} downloaded, {rate}"
        ))
    }

    /// The trackers are being told, which may take a moment.
    pub(super) fn stopping(&self) {
        if self.mode != Mode::Json {
            render::note("stopping; Ctrl+C again ends at once");
        }
    }

    pub(super) fn stopped(
        &self,
        snapshot: Option<&TorrentSnapshot>,
        complete: bool,
    ) -> io::Result<()> {
        let state = snapshot.map(Progress::new);
        if self.mode == Mode::Json {
            return json::emit(&Told::Stopped { complete, state });
        }
        let Some(state) = state.filter(|_| self.torrent.is_some()) else {
            return render::say(match self.torrent {
                Some(_) => "stopped",
                None => "stopped before any peer gave the metadata",
            });
        };
        let (down, up) = (Bytes(state.downloaded), Bytes(state.uploaded));
        let (have, pieces) = (state.have, Count(state.pieces, "piece"));
        render::say(format_args!(
            "stopped with {have} of {pieces}: {down} downloaded, {up} uploaded"
        ))
    }
}
