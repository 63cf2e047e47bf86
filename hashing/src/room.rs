//! Room for bytes that are read to be hashed.
//!
//! Promise: it begins where a page does, for some processors copy to places a little behind that at
//! a quarter of the speed (Zen 3, `rep movsb`).

/// Of the systems that we know, or a part of theirs.
const PAGE: usize = 4096;

/// A buffer that is kept from one use to the next.
#[derive(Debug, Default)]
pub struct Room {
    bytes: Vec<u8>,
}

impl Room {
    /// So many bytes, with whatever was in them. Grows when that is more than ever before.
    pub fn take(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length + PAGE {
            // What was in it is not worth a copy.
            self.bytes = vec![0; length + PAGE];
        }
        let begin = self.bytes.as_ptr().align_offset(PAGE).min(PAGE);
        &mut self.bytes[begin..][..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_as_long_as_asked_for_and_begins_where_a_page_does() {
        let mut room = Room::default();
        for length in [0, 1, 5_000, 100, 70_000, 4_096] {
            let bytes = room.take(length);
            assert_eq!(bytes.len(), length);
            // Under Miri addresses need not be known.
            assert!(cfg!(miri) || bytes.as_ptr().addr() % PAGE == 0);
            bytes.fill(7);
        }
    }
}
