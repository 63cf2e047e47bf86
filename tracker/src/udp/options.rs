//! What may follow an announce over UDP. BEP 41.
//!
//! Options carry the path and the query of the announce URL, which is where passkeys are. What an
//! announce means is not known here.

/// The end of the options; what follows is not looked at.
const END: u8 = 0;
/// Nothing; one byte.
const NOP: u8 = 1;
/// A part of the URL.
const URL_DATA: u8 = 2;

/// Bytes of one part of a URL: its length is one byte.
const PART_MAX: usize = 255;

/// The options of one announce, as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options<'p>(pub &'p [u8]);

impl<'p> Options<'p> {
    /// The parts of the URL's path and query, in order; concatenated they are the whole.
    ///
    /// Options of another kind are skipped. One that is cut short ends the list, as if it were not
    /// there: an announce has all that it needs in front of them.
    pub fn url_parts(self) -> impl Iterator<Item = &'p [u8]> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                let (&kind, behind) = rest.split_first()?;
                match kind {
                    END => return None,
                    NOP => rest = behind,
                    _ => {
                        let (&length, behind) = behind.split_first()?;
                        let (data, behind) = behind.split_at_checked(length.into())?;
                        rest = behind;
                        if kind == URL_DATA {
                            return Some(data);
                        }
                    }
                }
            }
        })
    }

    /// The URL's path and query: the packet's own bytes where they came in one part, else joined in
    /// `buffer`; nothing where there is none. `None` when they are more than the buffer takes.
    #[must_use]
    pub fn url<'b>(self, buffer: &'b mut [u8]) -> Option<&'b [u8]>
    where
        'p: 'b,
    {
        let mut parts = self.url_parts();
        let first = parts.next().unwrap_or_default();
        let Some(second) = parts.next() else {
            return (first.len() <= buffer.len()).then_some(first);
        };
        let mut length = 0;
        for part in [first, second].into_iter().chain(parts) {
            let end = length + part.len();
            buffer.get_mut(length..end)?.copy_from_slice(part);
            length = end;
        }
        Some(&buffer[..length])
    }
}

/// Appends the options that carry a URL's path and query; none for an empty one.
pub fn push_url(out: &mut Vec<u8>, url: &[u8]) {
    for part in url.chunks(PART_MAX) {
        let length = u8::try_from(part.len()).expect("a chunk of at most 255");
        out.extend_from_slice(&[URL_DATA, length]);
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(options: &[u8], expect: &[u8]) {
        let mut buffer = [0; 64];
        let got = Options(options).url(&mut buffer);
        assert_eq!(got, Some(expect), "{}", options.escape_ascii());
    }

    #[test]
    fn url_is_found_among_other_options() {
        check(b"", b"");
        check(b"\0", b"");
        check(b"\0\0", b"");
        check(b"\x02\x05/dir?", b"/dir?");
        check(b"\x02\x03/di\x01\x02\x02r?\0", b"/dir?");
        check(b"\x01\x01\x02\x02/a\x00\x02\x02/b", b"/a");
        check(b"\x09\x03abc\x02\x01/", b"/");
        check(b"\x02\x00\x02\x01/", b"/");
    }

    #[test]
    fn option_that_is_cut_short_is_not_there() {
        check(b"\x02", b"");
        check(b"\x02\x05/dir", b"");
        check(b"\x02\x01/\x09\x03ab", b"/");
        check(b"\x02\x01/\x09", b"/");
    }

    #[test]
    fn url_that_exceeds_the_buffer_is_refused() {
        let mut options = Vec::new();
        push_url(&mut options, &[b'x'; 600]);
        assert_eq!(Options(&options).url_parts().count(), 3);
        assert_eq!(Options(&options).url(&mut [0; 599]), None);
        assert_eq!(Options(b"\x02\x02ab").url(&mut [0]), None);
    }

    proptest! {
        #[test]
        fn url_round_trips(url in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut options = Vec::new();
            push_url(&mut options, &url);
            let mut buffer = [0; 2_000];
            prop_assert_eq!(Options(&options).url(&mut buffer), Some(&url[..]));
        }

        #[test]
        fn any_bytes_give_parts_of_themselves(bytes: Vec<u8>) {
            let length: usize = Options(&bytes).url_parts().map(<[u8]>::len).sum();
            prop_assert!(length <= bytes.len());
        }
    }
}
