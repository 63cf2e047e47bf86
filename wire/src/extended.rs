//! What goes into [`Message::Extended`](crate::Message::Extended). BEP 10.
//!
//! | module | extension | says |
//! |---|---|---|
//! | [`handshake`] | id 0 | which extensions the sender takes, and what it tells of itself |
//! | [`metadata`] | `ut_metadata`, BEP 9 | parts of the torrent's `info` |
//! | [`pex`] | `ut_pex`, BEP 11 | whom else the sender is connected to |
//! | [`donthave`] | `lt_donthave`, BEP 54 | a piece is gone |
//! | [`holepunch`] | `ut_holepunch`, BEP 55 | dial each other, now |
//! | [`upload_only`] | `upload_only`, BEP 21 | the sender wants nothing any more |
//!
//! Every id but 0 is what the receiver said in its own handshake: ours are here.

pub mod donthave;
pub mod handshake;
pub mod holepunch;
pub mod metadata;
pub mod pex;
pub mod upload_only;

pub use handshake::ExtendedHandshake;
pub use holepunch::Holepunch;
pub use metadata::MetadataMessage;
pub use pex::Pex;

/// The id of the extended handshake. Source: BEP 10, "handshake message".
pub const HANDSHAKE_ID: u8 = 0;

/// Our id for `ut_metadata`. Ours, as are all below: BEP 10 lets each side choose.
pub const UT_METADATA: u8 = 1;
/// Our id for `ut_pex`.
pub const UT_PEX: u8 = 2;
/// Our id for `lt_donthave`.
pub const LT_DONTHAVE: u8 = 3;
/// Our id for `ut_holepunch`.
pub const UT_HOLEPUNCH: u8 = 4;
/// Our id for `upload_only`.
pub const UPLOAD_ONLY: u8 = 5;

/// The extensions that we know: our id, and the name that everybody knows. BEP 10, `m`.
pub const EXTENSIONS: [(u8, &str); 5] = [
    (UT_METADATA, "ut_metadata"),
    (UT_PEX, "ut_pex"),
    (LT_DONTHAVE, "lt_donthave"),
    (UT_HOLEPUNCH, "ut_holepunch"),
    (UPLOAD_ONLY, "upload_only"),
];
