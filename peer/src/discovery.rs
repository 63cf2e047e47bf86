//! Asking trackers for peers. BEP 3 "trackers", BEP 12, 24, 31.
//!
//! Carries out what the announcer decides: it makes the requests and brings the answers back. When
//! and whom to ask is not known here.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use shoal_metainfo::{InfoHash, PeerId};
use shoal_tracker::announcer::{Announcer, Input, Output, TrackerKey, TrackerStatus};
use shoal_tracker::client::Client;
use shoal_tracker::{AnnounceEvent, AnnounceRequest};

use crate::event::{Board, Event};
use crate::limits::PORT_OF_NOBODY;
use crate::mailbox::Mailbox;
use crate::note::{Announced, Note};
use crate::ports::Reach;
use crate::tasks::Tasks;

/// What trackers are told of us and of this run.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) info_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) reach: Reach,
    /// Told to trackers alone.
    pub(crate) key: u32,
}

/// How far the transfer has come, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) left: u64,
}

/// The trackers of one torrent.
pub(crate) struct Discovery {
    announcer: Announcer,
    client: Arc<Client>,
    identity: Identity,
    notes: Arc<Mailbox<Note>>,
    announces: Tasks,
    in_flight: usize,
    external_ip: Option<IpAddr>,
}

impl Discovery {
    pub(crate) fn new(
        announcer: Announcer,
        client: Arc<Client>,
        identity: Identity,
        notes: Arc<Mailbox<Note>>,
    ) -> Self {
        Self {
            announcer,
            client,
            identity,
            notes,
            announces: Tasks::new(),
            in_flight: 0,
            external_ip: None,
        }
    }

    /// Announces that have not ended in a [`Note::Announced`] yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Gives up what is in flight, and waits until that is done.
    pub(crate) async fn join(self) {
        self.announces.join().await;
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.announcer.timeout()
    }

    /// Our address as the tracker sees us that told one last. BEP 24.
    pub(crate) fn external_ip(&self) -> Option<IpAddr> {
        self.external_ip
    }

    pub(crate) fn status(&self) -> Vec<TrackerStatus> {
        self.announcer.status()
    }

    pub(crate) fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.announcer.handle(now, input);
    }

    /// Takes what a tracker said, posts it, and gives the addresses in it.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        announced: Announced,
        board: &Board,
    ) -> Vec<SocketAddr> {
        self.in_flight -= 1;
        let Announced {
            tracker,
            url,
            result,
        } = announced;
        match result {
            Ok(response) => {
                let input = Input::Answered {
                    tracker,
                    response: &response,
                };
                self.announcer.handle(now, input);
                self.external_ip = response.external_ip.or(self.external_ip);
                board.post(Event::TrackerAnswered {
                    url,
                    peers: response.peers.len(),
                    seeders: response.seeders,
                    leechers: response.leechers,
                    warning: response.warning,
                    external_ip: response.external_ip,
                });
                response.peers
            }
            Err(error) => {
                let text = error.to_string();
                self.announcer.note(tracker, &text);
                let retry = error.retry();
                self.announcer.handle(now, Input::Failed { tracker, retry });
                let again = !error.is_permanent();
                board.post(Event::TrackerFailed {
                    url,
                    error: text,
                    again,
                });
                Vec::new()
            }
        }
    }

    /// Starts every announce that the announcer wants; each ends in a [`Note::Announced`].
    pub(crate) fn carry_out(&mut self, totals: impl Fn() -> Totals) {
        while let Some(Output::Announce {
            tracker,
            url,
            event,
        }) = self.announcer.poll()
        {
            let request = self.request(tracker, event, totals());
            let (client, notes) = (self.client.clone(), self.notes.clone());
            self.announces.spawner().until_stop(async move {
                let result = client.announce(&url, &request).await;
                // Nobody reads any more: then nobody needs the answer.
                let _ = notes.push(Note::Announced(Announced {
                    tracker,
                    url,
                    result,
                }));
            });
            self.in_flight += 1;
        }
    }

    fn request(
        &self,
        tracker: TrackerKey,
        event: Option<AnnounceEvent>,
        totals: Totals,
    ) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: self.identity.info_hash,
            peer_id: self.identity.peer_id,
            port: self.identity.reach.port().unwrap_or(PORT_OF_NOBODY),
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            left: totals.left,
            event,
            numwant: (event == Some(AnnounceEvent::Stopped)).then_some(0),
            key: self.identity.key,
            tracker_id: self.announcer.tracker_id(tracker).map(<[u8]>::to_vec),
            compact: true,
        }
    }
}
