//! Where the bytes of a torrent lie in its files. BEP 3 "files", BEP 47 "padding files".
//!
//! Pure arithmetic: content offset in, file spans out, found by binary search however many files
//! there are. Knows neither pieces nor the disk.

use std::ops::Range;

/// A stretch of content that lies in one file, or in none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) place: Place,
    /// Bytes, at least one.
    pub(crate) length: u64,
}

/// Where the first byte of a [`Span`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In the file of that number, that many bytes from its begin.
    File { file: u32, offset: u64 },
    /// Nowhere on the disk: padding, which reads as zeros.
    Zeros,
}

/// One file that has bytes.
#[derive(Clone, Copy, Debug)]
struct Part {
    begin: u64,
    file: u32,
    on_disk: bool,
}

/// All files that have bytes, in the order of the content.
#[derive(Debug)]
pub(crate) struct Layout {
    parts: Box<[Part]>,
    total: u64,
}

impl Layout {
    /// From every file's length in bytes and whether it exists on the disk, in torrent order.
    ///
    /// The caller's torrent is checked: the sum fits, and there are fewer than 2^32 files.
    pub(crate) fn new(files: impl IntoIterator<Item = (u64, bool)>) -> Self {
        let mut parts = Vec::new();
        let mut begin: u64 = 0;
        for (file, (length, on_disk)) in (0u32..).zip(files) {
            if length > 0 {
                parts.push(Part {
                    begin,
                    file,
                    on_disk,
                });
            }
            begin = begin.checked_add(length).expect("metainfo checked the sum");
        }
        Self {
            parts: parts.into(),
            total: begin,
        }
    }

    /// The spans that tile the range of content, in order; each is as long as its file allows.
    pub(crate) fn spans(&self, content: Range<u64>) -> impl Iterator<Item = Span> + '_ {
        assert!(content.end <= self.total, "outside the content");
        let after = self
            .parts
            .partition_point(|part| part.begin <= content.start);
        let mut next = after.saturating_sub(1);
        let mut at = content.start;
        std::iter::from_fn(move || {
            if at >= content.end {
                return None;
            }
            let part = self.parts[next];
            next += 1;
            let part_end = self.parts.get(next).map_or(self.total, |next| next.begin);
            let length = part_end.min(content.end) - at;
            let place = if part.on_disk {
                Place::File {
                    file: part.file,
                    offset: at - part.begin,
                }
            } else {
                Place::Zeros
            };
            at += length;
            Some(Span { place, length })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// For every byte of content, its file and offset, or nothing in padding.
    fn naive(files: &[(u64, bool)]) -> Vec<Option<(u32, u64)>> {
        let numbered = (0u32..).zip(files);
        numbered
            .flat_map(|(file, &(length, on_disk))| {
                (0..length).map(move |offset| on_disk.then_some((file, offset)))
            })
            .collect()
    }

    fn bytes_of(span: Span) -> Vec<Option<(u32, u64)>> {
        (0..span.length)
            .map(|i| match span.place {
                Place::File { file, offset } => Some((file, offset + i)),
                Place::Zeros => None,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn spans_tile_the_range_as_a_naive_model_does(
            files in prop::collection::vec((0..40u64, any::<bool>()), 1..30),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let model = naive(&files);
            let layout = Layout::new(files);
            let (a, b) = (cut.0.index(model.len() + 1), cut.1.index(model.len() + 1));
            let range = a.min(b)..a.max(b);
            let content = u64::try_from(range.start).unwrap()..u64::try_from(range.end).unwrap();
            let spans: Vec<Span> = layout.spans(content).collect();
            prop_assert!(spans.iter().all(|span| span.length > 0));
            let bytes: Vec<_> = spans.into_iter().flat_map(bytes_of).collect();
            prop_assert_eq!(&bytes[..], &model[range]);
        }
    }

    #[test]
    fn empty_files_take_part_in_no_span() {
        let layout = Layout::new([
            (0, true),
            (5, true),
            (0, true),
            (0, true),
            (5, true),
            (0, true),
        ]);
        let places: Vec<Place> = layout.spans(0..10).map(|span| span.place).collect();
        let file = |file| Place::File { file, offset: 0 };
        assert_eq!(places, [file(1), file(4)]);
        assert_eq!(layout.spans(10..10).count(), 0);
    }

    #[test]
    #[should_panic(expected = "outside the content")]
    fn range_behind_the_end_is_a_bug() {
        let _ = Layout::new([(5, true)]).spans(0..6).count();
    }
}
