//! From blocks to questions for a web server. BEP 17, 19, 47.

use std::ops::Range;
use std::sync::Arc;

use shoal_metainfo::{Block, Torrent, web_seed};
use shoal_tracker::client::web::Whence;

use super::wishes;

/// How a server has the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As files. BEP 19.
    Files,
    /// By a script that gives pieces. BEP 17.
    Pieces,
}

/// Bytes that lie behind each other in the content and in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Get {
    pub(super) place: Place,
    /// Bytes.
    pub(super) length: u64,
}

/// Where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file of the server.
    File {
        /// Its number in the torrent.
        file: usize,
        /// Offsets in it.
        range: Range<u64>,
    },
    /// What is at this URL, all of it; and who led there.
    Url(String, Option<Whence>),
    /// Padding: nobody has to be asked.
    Zeros,
}

/// The questions for a run of blocks, in order.
pub(super) fn gets(kind: Kind, base: &str, torrent: &Arc<Torrent>, run: &[Block]) -> Vec<Get> {
    let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
        return Vec::new();
    };
    let geometry = &torrent.info.geometry;
    let begin = wishes::begin(geometry, first);
    let end = wishes::begin(geometry, last) + u64::from(last.length());
    match kind {
        Kind::Files => files(torrent, begin..end),
        Kind::Pieces => {
            let piece = first.piece();
            let in_piece = first.begin()..last.begin() + last.length();
            let whole = in_piece == (0..geometry.piece_length(piece));
            let range = (!whole).then_some(&in_piece);
            let url = web_seed::piece_url(base, torrent.info_hash, piece, range);
            vec![Get {
                place: Place::Url(url, None),
                length: end - begin,
            }]
        }
    }
}

fn files(torrent: &Torrent, content: Range<u64>) -> Vec<Get> {
    let files = &torrent.info.files;
    let first = files.partition_point(|file| file.range().end <= content.start);
    let mut gets = Vec::new();
    for (number, file) in files.iter().enumerate().skip(first) {
        let whole = file.range();
        if whole.start >= content.end {
            break;
        }
        let range = content.start.max(whole.start)..content.end.min(whole.end);
        if range.is_empty() {
            continue;
        }
        let place = match file.is_on_disk() {
            true => Place::File {
                file: number,
                range: range.start - whole.start..range.end - whole.start,
            },
            false => Place::Zeros,
        };
        gets.push(Get {
            place,
            length: range.end - range.start,
        });
    }
    gets
}

/// A URL on the server that will be asked first.
pub(super) fn first_url(kind: Kind, base: &str, torrent: &Torrent) -> String {
    match kind {
        Kind::Pieces => base.to_owned(),
        Kind::Files => web_seed::file_url(base, &torrent.info, 0),
    }
}
