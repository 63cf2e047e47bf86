//! Peers that lie about metadata, or give none. In all else they are as honest as the others.

use bytes::Bytes;
use shoal_simulation::Rng;
use shoal_wire::extended::metadata::{
    METADATA_PIECE_LENGTH, metadata_piece_length, metadata_pieces,
};
use shoal_wire::extended::{ExtendedHandshake, HANDSHAKE_ID, UT_METADATA};
use shoal_wire::{Message, MetadataMessage};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lie {
    /// Every byte is wrong.
    WrongBytes,
    /// One piece is wrong, in one byte.
    OneWrongPiece,
    /// Half a size, with the true bytes of the first half.
    HalfTheSize,
    /// The greatest size that is believed, and pieces without end.
    Huge,
    /// Claims one size and sends pieces of another.
    TwoSizes,
    /// Claims to have it and gives nothing.
    Silence,
    /// Claims to have it and rejects every request.
    Rejects,
}

impl Lie {
    pub(crate) const ALL: [Self; 7] = [
        Self::WrongBytes,
        Self::OneWrongPiece,
        Self::HalfTheSize,
        Self::Huge,
        Self::TwoSizes,
        Self::Silence,
        Self::Rejects,
    ];

    /// Whether it sends what can be proven wrong.
    pub(crate) fn is_provable(self) -> bool {
        matches!(
            self,
            Self::WrongBytes | Self::OneWrongPiece | Self::HalfTheSize
        )
    }

    fn claims(self, info: &Bytes) -> usize {
        match self {
            Self::HalfTheSize => info.len() / 2,
            Self::Huge => 64 << 20,
            _ => info.len(),
        }
    }

    /// Its handshake, with the size that it claims.
    pub(crate) fn boasts(self, message: Message, info: &Bytes) -> Message {
        match &message {
            Message::Extended { id, payload } if *id == HANDSHAKE_ID => {
                let told = ExtendedHandshake::decode(payload).expect("a brain wrote it");
                let metadata_size = u32::try_from(self.claims(info)).ok();
                ExtendedHandshake {
                    metadata_size,
                    ..told
                }
                .message()
            }
            _ => message,
        }
    }

    /// What it says to a request for that piece.
    pub(crate) fn answers(
        self,
        piece: u32,
        info: &Bytes,
        rng: &mut Rng,
    ) -> Option<MetadataMessage> {
        let size = match self {
            Self::TwoSizes => info.len() + 1,
            _ => self.claims(info),
        };
        let total_size = u32::try_from(size).expect("metadata is not that long");
        let length = metadata_piece_length(total_size, piece)?;
        let begin = (piece * METADATA_PIECE_LENGTH) as usize;
        let mut data = vec![0; length];
        rng.fill(&mut data[..length.min(8)]);
        match self {
            Self::Silence => return None,
            Self::Rejects => return Some(MetadataMessage::Reject { piece }),
            Self::WrongBytes | Self::Huge | Self::TwoSizes => {}
            Self::OneWrongPiece | Self::HalfTheSize => {
                data.copy_from_slice(&info[begin..begin + length]);
            }
        }
        if self == Self::OneWrongPiece && piece == metadata_pieces(total_size) / 2 {
            data[length / 2] ^= 1;
        }
        Some(MetadataMessage::Data {
            piece,
            total_size,
            data: data.into(),
        })
    }
}

/// How the peer numbers `ut_metadata`, if this is where it says so.
pub(crate) fn number_told(message: &Message) -> Option<u8> {
    let Message::Extended {
        id: HANDSHAKE_ID,
        payload,
    } = message
    else {
        return None;
    };
    let told = ExtendedHandshake::decode(payload).ok()?;
    told.extensions.get("ut_metadata").copied()
}

/// The piece of metadata that the message asks for.
pub(crate) fn piece_asked(message: &Message) -> Option<u32> {
    let Message::Extended {
        id: UT_METADATA,
        payload,
    } = message
    else {
        return None;
    };
    match MetadataMessage::decode(payload) {
        Ok(MetadataMessage::Request { piece }) => Some(piece),
        _ => None,
    }
}
