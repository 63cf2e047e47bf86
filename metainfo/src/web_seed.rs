//! Where a web seed has the content. BEP 19 "url-list", BEP 17 "httpseeds".
//!
//! Makes URLs of names, nothing else. A name that had to be changed to be safe on this machine is
//! asked for as it was changed, and a server will not have it.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::id::InfoHash;
use crate::info::Info;
use crate::piece::PieceIndex;

/// Everything but what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of a file of the torrent.
///
/// Of several files, `base` is the folder that holds the torrent's folder, whether or not it ends
/// in a slash; of one file it is the file, or with a slash at its end the folder that holds it.
///
/// # Panics
/// When the torrent has no such file.
///
/// Source: BEP 19, "url-list".
#[must_use]
pub fn file_url(base: &str, info: &Info, file: usize) -> String {
    let file = &info.files[file];
    if !info.multi_file && !base.ends_with('/') {
        return base.to_owned();
    }
    let mut url = base.trim_end_matches('/').to_owned();
    for component in file.path.components() {
        url.push('/');
        url.extend(percent_encode(component.as_bytes(), ESCAPED));
    }
    url
}

/// The URL of bytes `range` of a piece, whole when it is `None`.
///
/// Source: BEP 17, "HTTP seeding".
#[must_use]
pub fn piece_url(
    base: &str,
    info_hash: InfoHash,
    piece: PieceIndex,
    range: Option<&Range<u32>>,
) -> String {
    let join = if base.contains('?') { '&' } else { '?' };
    let hash = percent_encode(&info_hash.0, ESCAPED);
    let ranges = range
        .map(|range| format!("&ranges={}-{}", range.start, range.end - 1))
        .unwrap_or_default();
    format!("{base}{join}info_hash={hash}&piece={piece}{ranges}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Geometry;
    use shoal_bencode::Value;

    fn file<'v>(path: &&[&'v str]) -> Value<'v> {
        let path = Value::list(path.iter().map(|&name| Value::from(name)));
        Value::dict([("length", Value::from(1)), ("path", path)])
    }

    fn info(files: Option<&[&[&str]]>) -> Info {
        let mut entries = vec![
            ("name", Value::from("a b")),
            ("piece length", Value::from(16_384)),
            ("pieces", Value::from(&[0; 20][..])),
        ];
        match files {
            Some(files) => entries.push(("files", Value::list(files.iter().map(file)))),
            None => entries.push(("length", Value::from(1))),
        }
        Info::parse(&Value::dict(entries).encode()).unwrap()
    }

    #[test]
    fn file_is_found_below_the_base() {
        let many = info(Some(&[&["x"], &["ä", "50% #1?.txt"]]));
        let at = |base: &str, file| file_url(base, &many, file);
        assert_eq!(at("http://h/d/", 0), "http://h/d/a%20b/x");
        assert_eq!(at("http://h/d", 0), "http://h/d/a%20b/x");
        let odd = "http://h/a%20b/%C3%A4/50%25%20%231%3F.txt";
        assert_eq!(at("http://h", 1), odd);
        let one = info(None);
        assert_eq!(file_url("http://h/d/", &one, 0), "http://h/d/a%20b");
        assert_eq!(file_url("http://h/d/f.iso", &one, 0), "http://h/d/f.iso");
    }

    #[test]
    fn piece_is_asked_for_by_hash_and_number() {
        let geometry = Geometry::new(1 << 20, 1 << 15).unwrap();
        let piece = geometry.piece(7).unwrap();
        let hash = InfoHash(*b"aB-~\0\xff 123456789012/");
        let url = |base: &str, range| piece_url(base, hash, piece, range);
        let expect = "http://h/s.php?info_hash=aB-~%00%FF%20123456789012%2F&piece=7";
        assert_eq!(url("http://h/s.php", None), expect);
        let ranged = url("http://h/s?k=v", Some(&(16_384..32_768)));
        assert!(ranged.starts_with("http://h/s?k=v&info_hash="), "{ranged}");
        assert!(ranged.ends_with("&piece=7&ranges=16384-32767"), "{ranged}");
    }
}
