//! What the fuzz target and the replay of its corpus run. Not part of the crate's face.
//!
//! Promises: any bytes are a journal or an error; a journal that was read is written and read
//! again the same; what is cut off is never read; a change of any bit is noticed.

use super::codec::{self, Decoded};

/// Decodes `data`, as it is and with checksums that fit.
///
/// # Panics
/// When a promise of this module is broken.
pub fn decode(data: &[u8]) {
    check(data);
    check(&codec::with_right_checks(data));
}

fn check(data: &[u8]) {
    let Ok(decoded) = codec::decode(data) else {
        return;
    };
    assert!(decoded.length <= data.len());
    assert_eq!(
        codec::decode(&data[..decoded.length]).as_ref(),
        Ok(&decoded),
        "cut at its end"
    );
    flip(&data[..decoded.length]);
    let (bytes, check) = codec::snapshot(&decoded.state);
    let again = Decoded {
        state: decoded.state,
        snapshot_length: bytes.len(),
        length: bytes.len(),
        check,
    };
    assert_eq!(codec::decode(&bytes), Ok(again), "written again");
}

/// Turns one bit, chosen by the bytes themselves.
fn flip(journal: &[u8]) {
    let digest = shoal_hashing::sha1(journal);
    let chosen = usize::from(u16::from_le_bytes([digest[0], digest[1]])) % journal.len();
    let mut bytes = journal.to_vec();
    bytes[chosen] ^= 1 << (digest[2] % 8);
    if let Ok(decoded) = codec::decode(&bytes) {
        assert!(decoded.length <= chosen, "a wrong bit at {chosen} passes");
    }
}
