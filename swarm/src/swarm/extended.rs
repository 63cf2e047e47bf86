//! What each extension's message means: a table. BEP 10; the rest is in the rooms it names.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use shoal_wire::Message;
use shoal_wire::extended::{
    EXTENSIONS, ExtendedHandshake, HANDSHAKE_ID, LT_DONTHAVE, UPLOAD_ONLY, UT_HOLEPUNCH,
    UT_METADATA, UT_PEX,
};

use super::Swarm;
use crate::io::PeerKey;
use crate::limits::REQUESTS_QUEUED_MAX;
use crate::misbehaved::PeerMisbehaved;

impl Swarm {
    /// An `extended` message came. Nonsense is ignored, and paid for: BEP 10 knows no answer to it.
    pub(super) fn extended(
        &mut self,
        now: Instant,
        key: PeerKey,
        id: u8,
        payload: &Bytes,
    ) -> Result<(), PeerMisbehaved> {
        if id == UT_METADATA {
            return self.ut_metadata(now, key, payload);
        }
        self.charge(now, key)?;
        match id {
            HANDSHAKE_ID => self.extended_handshake_came(now, key, payload),
            UT_PEX if self.gossips() => return self.pex_came(now, key, payload),
            LT_DONTHAVE => return self.donthave_came(now, key, payload),
            UT_HOLEPUNCH if self.gossips() => self.holepunch_came(now, key, payload),
            UPLOAD_ONLY => self.upload_only_came(now, key, payload),
            _ => {}
        }
        Ok(())
    }

    fn extended_handshake_came(&mut self, now: Instant, key: PeerKey, payload: &Bytes) {
        let Ok(told) = ExtendedHandshake::decode(payload) else {
            return;
        };
        let peer = self.peer(key);
        peer.extensions.learn(&told.extensions);
        if let Some(reqq) = told.reqq {
            peer.pipeline.set_reqq(reqq as usize);
        }
        if told.your_ip.is_some() {
            peer.sees_us_at = told.your_ip.map(|ip| ip.to_canonical());
        }
        if let Some(upload_only) = told.upload_only {
            self.is_upload_only(now, key, upload_only);
        }
        if let Some(port) = told.port {
            self.listens_at(now, key, port);
        }
        self.offers_metadata(now, key, &told);
    }

    /// Says what we are and take, as soon as a peer is here that understands it.
    pub(super) fn send_extended_handshake(&mut self, now: Instant, key: PeerKey, ip: IpAddr) {
        let gossip = [UT_PEX, UT_HOLEPUNCH];
        let taken = EXTENSIONS
            .into_iter()
            .filter(|(id, _)| self.gossips() || !gossip.contains(id));
        let handshake = ExtendedHandshake {
            extensions: taken.map(|(id, name)| (name.to_owned(), id)).collect(),
            port: self.config.listen_port,
            version: Some(concat!("Shoal ", env!("CARGO_PKG_VERSION")).to_owned()),
            your_ip: Some(ip.to_canonical()),
            reqq: u32::try_from(REQUESTS_QUEUED_MAX).ok(),
            metadata_size: self.metadata_size(),
            upload_only: self.is_complete().then_some(true),
            ..ExtendedHandshake::default()
        };
        self.send(now, key, handshake.message());
    }

    /// Sends a message of the extension with our id `ours`, if the peer takes it.
    pub(super) fn send_extension(
        &mut self,
        now: Instant,
        key: PeerKey,
        ours: u8,
        payload: Vec<u8>,
    ) {
        let peer = self.peers.get(&key);
        if let Some(id) = peer.and_then(|peer| peer.extensions.id(ours)) {
            let payload = Bytes::from(payload);
            self.send(now, key, Message::Extended { id, payload });
        }
    }
}
