//! Which files are stood in for, and their way back when they are chosen after all. BEP 53.
//!
//! Promise: a file that is not chosen is never made. One that is there already is used as it is,
//! chosen or not, so the pieces in it stay good. What [`edges`](crate::edges) holds of a file is
//! moved into it before it is written otherwise, or not at all: a crash on the way costs the pieces
//! that were on it, which are hashed before they are believed.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::Ordering;

use shoal_metainfo::{Chosen, Info};

use crate::edges::{Edges, edges_number};
use crate::error::StorageError;
use crate::files::Files;
use crate::storage::{Access, Storage};

/// The files whose edges lie elsewhere: those that are neither chosen nor there. For who only
/// looks, all that are not there: he does not know what was chosen.
pub(crate) fn stood_in(
    files: &Files,
    info: &Info,
    edges: &Edges,
    chosen: &Chosen,
    access: Access,
) -> BTreeSet<u32> {
    let is_there = |file| !matches!(files.find(file), Ok(None));
    let looks_only = access == Access::ReadOnly;
    let is_needless = match looks_only {
        true => !is_there(edges_number(info)),
        false => chosen.is_all(info),
    };
    if edges.is_empty() || is_needless {
        return BTreeSet::new();
    }
    let entries = (0u32..).zip(&info.files);
    let on_disk = entries.filter(|(_, entry)| entry.is_on_disk() && entry.length > 0);
    let not_chosen = on_disk.filter(|(file, _)| looks_only || !chosen.has(*file as usize));
    let numbers = not_chosen.map(|(file, _)| file);
    numbers.filter(|&file| !is_there(file)).collect()
}

impl Storage {
    /// Moves the edges of files that are chosen now into them, and checks that those of others can
    /// be written.
    pub(crate) fn prepare_edges(&self) -> Result<(), StorageError> {
        let files = &self.content.files;
        let number = edges_number(&self.info);
        if self.edges.is_empty() || files.try_open(number)?.is_none() {
            return Ok(());
        }
        if !self.moved.load(Ordering::Acquire) {
            self.move_edges()?;
            self.moved.store(true, Ordering::Release);
        }
        if self.layout.edges().next().is_none() {
            files.remove_edges()?;
        }
        Ok(())
    }

    fn move_edges(&self) -> Result<(), StorageError> {
        let files = &self.content.files;
        let mut has_moved = false;
        for (file, entry) in self.files_on_disk() {
            let wanted = self.chosen.has(file as usize) && entry.length > 0;
            if !wanted || files.find(file)?.is_some() {
                continue;
            }
            for content in self.shared_ends(entry.range()) {
                let Some(place) = self.edges.place_at(content.start) else {
                    continue;
                };
                let kept = place..place + (content.end - content.start);
                if self.is_kept(&kept)? {
                    let offset = content.start - entry.begin;
                    self.move_edge(file, offset, kept)?;
                    has_moved = true;
                }
            }
        }
        match has_moved {
            true => files.flush(),
            false => Ok(()),
        }
    }

    /// The content of a file in its first and in its last piece.
    fn shared_ends(&self, content: Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let head_end = content.end.min(self.edges.piece_end(content.start));
        let tail = self.edges.piece_begin(content.end - 1)..content.end;
        let tail = Some(tail).filter(|tail| tail.start >= head_end);
        std::iter::once(content.start..head_end).chain(tail)
    }

    /// Whether any of these bytes of the file that stands in was ever written.
    fn is_kept(&self, bytes: &Range<u64>) -> Result<bool, StorageError> {
        let files = &self.content.files;
        let extent = files.next_data(edges_number(&self.info), bytes.start)?;
        let is_data = extent.data.is_some_and(|data| data.start < bytes.end);
        Ok(is_data && extent.length >= bytes.end)
    }

    fn move_edge(&self, file: u32, offset: u64, kept: Range<u64>) -> Result<(), StorageError> {
        let files = &self.content.files;
        let mut bytes = Vec::new();
        files.read_anew(edges_number(&self.info), kept, |chunk| {
            bytes.extend_from_slice(chunk);
        })?;
        files.allocate(file)?;
        let range = offset..offset + bytes.len() as u64;
        files.write_at(file, range, &mut [IoSlice::new(&bytes)])?;
        files.mark_written(file);
        Ok(())
    }
}
