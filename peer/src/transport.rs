//! Receive areas: memory that a socket is read into and that blocks are slices of.
//!
//! A connection begins with little, gets more while reads fill it, and gives it back when idle. A
//! used area is free again when the last block in it is written; until then the pool holds its
//! place. Knows nothing of messages but how long the next one is.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;

use crate::limits::{
    RECEIVE_AREA_MAX, RECEIVE_AREA_MIN, RECEIVE_POOL_AREAS_MAX, RECEIVE_POOL_BYTES_MAX,
};

/// Used areas of one torrent, oldest first.
#[derive(Default)]
pub(crate) struct Pool {
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    areas: VecDeque<(usize, BytesMut)>,
    bytes: usize,
}

impl Pool {
    /// An area of exactly `length` bytes, all zero or left over.
    fn take(&self, length: usize) -> BytesMut {
        let mut area = self.reclaim(length).unwrap_or_default();
        area.resize(length, 0);
        area
    }

    /// The newest area of that length that nobody holds a slice of any more: the processor's
    /// caches may still hold it.
    fn reclaim(&self, length: usize) -> Option<BytesMut> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let at = used
            .areas
            .iter_mut()
            .rposition(|(whole, area)| *whole == length && area.try_reclaim(length))?;
        let (whole, area) = used.areas.remove(at)?;
        used.bytes -= whole;
        Some(area)
    }

    /// Keeps the place of an area of `whole` bytes for later.
    fn give(&self, whole: usize, mut area: BytesMut) {
        if whole != RECEIVE_AREA_MAX {
            return;
        }
        area.clear();
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.bytes += whole;
        used.areas.push_back((whole, area));
        while used.bytes > RECEIVE_POOL_BYTES_MAX || used.areas.len() > RECEIVE_POOL_AREAS_MAX {
            let Some((whole, _)) = used.areas.pop_front() else {
                break;
            };
            used.bytes -= whole;
        }
    }
}

/// What one socket is read into.
///
/// ```text
/// │ decoded, cut off │ filled, not yet decoded │ space for the next read │
///                    └──────────────────── area ────────────────────────┘
/// ```
pub(crate) struct ReceiveBuffer {
    /// Initialised to its end, so that reading into it needs no clearing.
    area: BytesMut,
    filled: usize,
    /// Length of the whole area, when it was new.
    whole: usize,
    /// Length of the next area.
    target: usize,
}

impl ReceiveBuffer {
    pub(crate) fn new() -> Self {
        Self {
            area: BytesMut::new(),
            filled: 0,
            whole: 0,
            target: RECEIVE_AREA_MIN,
        }
    }

    /// Room for the next read, never empty; enough for `needs` more bytes of a message.
    pub(crate) fn space(&mut self, pool: &Pool, needs: usize) -> &mut [u8] {
        let room = self.area.len() - self.filled;
        // A short rest is not read into: that would only cost a system call.
        let enough = if self.whole < self.target {
            needs.max(1)
        } else {
            needs.max(self.target / 4)
        };
        if room < enough {
            self.renew(pool, self.target.max(self.filled + needs));
        }
        &mut self.area[self.filled..]
    }

    /// So many bytes of [`space`](Self::space) were filled.
    pub(crate) fn advance(&mut self, bytes: usize) {
        if bytes == self.area.len() - self.filled && bytes >= self.target / 2 {
            self.target = (self.target * 2).min(RECEIVE_AREA_MAX);
        }
        self.filled += bytes;
        debug_assert!(self.filled <= self.area.len());
    }

    /// Lets `decode` take whole messages off the front of what is filled.
    pub(crate) fn decode<T>(&mut self, decode: impl FnOnce(&mut BytesMut) -> T) -> T {
        let rest = self.area.split_off(self.filled);
        let result = decode(&mut self.area);
        self.filled = self.area.len();
        self.area.unsplit(rest);
        result
    }

    /// What is filled and not decoded.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.area[..self.filled]
    }

    /// Begins small again, when nothing is half received.
    pub(crate) fn shrink(&mut self) {
        if self.filled == 0 {
            *self = Self::new();
        }
    }

    /// Whether the area is more than one block needs.
    pub(crate) fn is_large(&self) -> bool {
        self.whole >= 2 * RECEIVE_AREA_MIN
    }

    /// Bytes of the area that is held now.
    #[cfg(test)]
    pub(crate) fn area_bytes(&self) -> usize {
        self.whole
    }

    fn renew(&mut self, pool: &Pool, length: usize) {
        let mut area = pool.take(length);
        area[..self.filled].copy_from_slice(&self.area[..self.filled]);
        let old = std::mem::replace(&mut self.area, area);
        pool.give(self.whole, old);
        self.whole = length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` into the buffer as a socket would, decoding nothing.
    fn read(buffer: &mut ReceiveBuffer, pool: &Pool, bytes: usize) -> usize {
        let space = buffer.space(pool, 0);
        let taken = space.len().min(bytes);
        space[..taken].fill(7);
        buffer.advance(taken);
        taken
    }

    #[test]
    fn buffer_grows_while_reads_fill_it_and_stops_at_the_bound() {
        let (pool, mut buffer) = (Pool::default(), ReceiveBuffer::new());
        let mut sizes = Vec::new();
        for _ in 0..12 {
            read(&mut buffer, &pool, usize::MAX);
            buffer.decode(BytesMut::clear);
            sizes.push(buffer.area_bytes());
        }
        assert_eq!(sizes[0], RECEIVE_AREA_MIN);
        assert!(sizes.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(sizes.last(), Some(&RECEIVE_AREA_MAX));
    }

    #[test]
    fn buffer_of_a_slow_peer_stays_small() {
        let (pool, mut buffer) = (Pool::default(), ReceiveBuffer::new());
        for _ in 0..10_000 {
            read(&mut buffer, &pool, 100);
            buffer.decode(|filled| filled.split_to(filled.len()));
        }
        assert_eq!(buffer.area_bytes(), RECEIVE_AREA_MIN);
    }

    #[test]
    fn half_message_survives_the_change_of_areas() {
        let (pool, mut buffer) = (Pool::default(), ReceiveBuffer::new());
        let mut sent = 0u32;
        let mut seen = 0u32;
        for round in 0..2000usize {
            let space = buffer.space(&pool, 4);
            let mut taken = 0;
            for byte in space.iter_mut().take(round % 977 + 1) {
                *byte = sent.to_be_bytes()[3];
                sent += 1;
                taken += 1;
            }
            buffer.advance(taken);
            buffer.decode(|filled| {
                while filled.len() >= 5 {
                    for byte in filled.split_to(5) {
                        assert_eq!(byte, seen.to_be_bytes()[3]);
                        seen += 1;
                    }
                }
            });
        }
        assert_eq!(seen + u32::try_from(buffer.filled().len()).unwrap(), sent);
    }

    #[test]
    fn area_comes_back_when_its_last_slice_is_gone() {
        let pool = Pool::default();
        let mut area = pool.take(RECEIVE_AREA_MAX);
        let place = area.as_ptr();
        let slice = area.split_to(100).freeze();
        pool.give(RECEIVE_AREA_MAX, area);
        assert_ne!(pool.take(RECEIVE_AREA_MAX).as_ptr(), place);
        drop(slice);
        assert_eq!(pool.take(RECEIVE_AREA_MAX).as_ptr(), place);
    }

    #[test]
    fn pool_keeps_no_more_than_its_bound() {
        let pool = Pool::default();
        let mut slices = Vec::new();
        for _ in 0..200 {
            let mut area = pool.take(RECEIVE_AREA_MAX);
            slices.push(area.split_to(1).freeze());
            pool.give(RECEIVE_AREA_MAX, area);
        }
        let used = pool.used.lock().unwrap();
        assert!(used.bytes <= RECEIVE_POOL_BYTES_MAX);
        assert!(used.areas.len() <= RECEIVE_POOL_AREAS_MAX);
    }

    #[test]
    fn idle_buffer_holds_no_memory() {
        let (pool, mut buffer) = (Pool::default(), ReceiveBuffer::new());
        for _ in 0..12 {
            read(&mut buffer, &pool, usize::MAX);
            buffer.decode(BytesMut::clear);
        }
        buffer.shrink();
        assert_eq!(buffer.area_bytes(), 0);
        read(&mut buffer, &pool, 10);
        assert_eq!(buffer.area_bytes(), RECEIVE_AREA_MIN);
        buffer.shrink();
        assert_eq!(buffer.filled().len(), 10);
    }
}
