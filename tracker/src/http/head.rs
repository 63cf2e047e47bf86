//! The head of an HTTP/1 request or response, as far as a tracker needs it. RFC 9112.
//!
//! Finds the end and splits lines; bytes above ASCII are kept as they are. Knows neither methods
//! nor headers, and never sees a body.

use memchr::{memchr, memchr_iter, memrchr};

/// Where a head ends: the offset behind its empty line. A bare line feed ends a line too.
#[must_use]
pub fn end(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for feed in memchr_iter(b'\n', bytes) {
        if line_start > 0 && matches!(&bytes[line_start..feed], b"" | b"\r") {
            return Some(feed + 1);
        }
        line_start = feed + 1;
    }
    None
}

/// A head, split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'h> {
    /// The first line, without its end.
    pub start: &'h [u8],
    fields: &'h [u8],
}

impl<'h> Head<'h> {
    /// Splits a head off its first line.
    #[must_use]
    pub fn new(head: &'h [u8]) -> Self {
        let (start, fields) = line(head);
        Self { start, fields }
    }

    /// The value of a field, trimmed; of several the last, as proxies append theirs.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'h [u8]> {
        self.fields()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()))
            .last()
            .map(|(_, value)| value)
    }

    /// Names and values in order, trimmed; lines without a colon are skipped.
    pub fn fields(&self) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
        let mut rest = self.fields;
        let lines = std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| {
                let (first, behind) = line(rest);
                rest = behind;
                first
            })
        });
        lines.filter_map(|line| {
            let colon = memchr(b':', line)?;
            let (name, value) = line.split_at(colon);
            Some((name.trim_ascii(), value[1..].trim_ascii()))
        })
    }
}

/// A request's first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'h> {
    /// `GET`, we hope.
    pub method: &'h [u8],
    /// The target up to its `?`.
    pub path: &'h [u8],
    /// What follows the `?`, raw, perhaps with bytes that do not belong there.
    pub query: &'h [u8],
    /// `HTTP/1.0` or `HTTP/1.1`; nothing else is accepted.
    pub version: &'h [u8],
}

impl<'h> RequestLine<'h> {
    /// Splits a request's first line. The target is all between the first and the last space, so
    /// that a value with a space in it reaches the one who can name it.
    #[must_use]
    pub fn parse(line: &'h [u8]) -> Option<Self> {
        let (first, last) = (memchr(b' ', line)?, memrchr(b' ', line)?);
        let target = line.get(first + 1..last)?;
        let version = &line[last + 1..];
        if !matches!(version, b"HTTP/1.0" | b"HTTP/1.1") {
            return None;
        }
        // What a proxy would send: `http://host/path`.
        let target = target.strip_prefix(b"http://").map_or(target, |rest| {
            let slash = rest.iter().position(|&byte| byte == b'/');
            slash.map_or(&b"/"[..], |at| &rest[at..])
        });
        if target.first() != Some(&b'/') {
            return None;
        }
        let (path, query) = match memchr(b'?', target) {
            Some(at) => (&target[..at], &target[at + 1..]),
            None => (target, &[][..]),
        };
        Some(Self {
            method: &line[..first],
            path,
            query,
            version,
        })
    }
}

/// A response's status, from its first line: `HTTP/1.x NNN reason`.
#[must_use]
pub fn status(line: &[u8]) -> Option<u16> {
    let rest = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let digits = rest
        .get(..3)
        .filter(|_| matches!(rest.get(3), None | Some(b' ')))?;
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr(b'\n', bytes);
    let (line, rest) = at.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 1..]));
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn end_is_found_at_every_split() {
        let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nnext";
        for length in 0..bytes.len() {
            let expect = (length >= 27).then_some(27);
            assert_eq!(end(&bytes[..length]), expect, "{length}");
        }
        assert_eq!(end(b"GET / HTTP/1.0\n\n"), Some(16));
        assert_eq!(end(b"\r\n"), None, "a head has a first line");
    }

    #[test]
    fn fields_are_found_in_any_case() {
        let head = Head::new(b"HTTP/1.1 200 OK\r\nA: 1\r\nnonsense\r\na:  2 \r\nB:\xff\r\n\r\n");
        assert_eq!(head.start, b"HTTP/1.1 200 OK");
        assert_eq!(head.field("a"), Some(&b"2"[..]));
        assert_eq!(head.field("B"), Some(&b"\xff"[..]));
        assert_eq!(head.field("c"), None);
    }

    #[test]
    fn request_line_keeps_raw_bytes() {
        let check = |line: &[u8], expect: Option<(&[u8], &[u8])>| {
            let got = RequestLine::parse(line).map(|line| (line.path, line.query));
            assert_eq!(got, expect, "{}", String::from_utf8_lossy(line));
        };
        check(b"GET /announce?a=1 HTTP/1.1", Some((b"/announce", b"a=1")));
        check(b"GET / HTTP/1.0", Some((b"/", b"")));
        check(b"GET /a?\xff b?c HTTP/1.1", Some((b"/a", b"\xff b?c")));
        check(b"GET http://h:1/a?b HTTP/1.1", Some((b"/a", b"b")));
        check(b"GET http://h HTTP/1.1", Some((b"/", b"")));
        check(b"GET /announce", None);
        check(b"GET / HTTP/2", None);
        check(b"GET announce HTTP/1.1", None);
        check(b"GET HTTP/1.1", None);
        check(b"", None);
    }

    #[test]
    fn status_is_read_or_refused() {
        let check = |line: &str, expect| assert_eq!(status(line.as_bytes()), expect, "{line}");
        check("HTTP/1.1 200 OK", Some(200));
        check("HTTP/1.0 404", Some(404));
        check("HTTP/1.1 522 ", Some(522));
        check("HTTP/1.1 20", None);
        check("HTTP/1.1 2000", None);
        check("HTTP/1.1 +20", None);
        check("HTTP/2 200", None);
        check("d8:intervali1800ee", None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
            if let Some(end) = end(&bytes) {
                let head = Head::new(&bytes[..end]);
                let _ = (RequestLine::parse(head.start), status(head.start));
                prop_assert!(head.fields().count() <= end);
            }
        }
    }
}
