//! Where the bytes of a torrent lie in its files. BEP 3 "files", BEP 47 "padding files".
//!
//! Pure arithmetic: content offset in, file spans out, found by binary search however many files
//! there are. Knows neither pieces nor the disk.

use std::ops::Range;

use shoal_metainfo::Info;

use crate::edges::Edges;

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

impl Place {
    pub(crate) fn file(self) -> Option<u32> {
        match self {
            Self::File { file, .. } => Some(file),
            Self::Zeros => None,
        }
    }
}

/// A stretch of content that lies in one file as it lies in the torrent.
#[derive(Clone, Copy, Debug)]
struct Part {
    begin: u64,
    place: Place,
}

/// All files that have bytes, in the order of the content.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    parts: Box<[Part]>,
    total: u64,
    /// The number of the file that stands in for others.
    edges: u32,
}

impl Part {
    fn new(begin: u64, file: u32, offset: u64) -> Self {
        let place = Place::File { file, offset };
        Self { begin, place }
    }
}

impl Layout {
    /// Of a torrent, with the numbers of the files that are stood in for.
    pub(crate) fn of(info: &Info, edges: &Edges, stood_in: impl Fn(u32) -> bool) -> Self {
        let files = info.files.iter();
        let files = files.map(|file| (file.length, file.is_on_disk()));
        Self::new(files, edges, stood_in)
    }

    /// From every file's length in bytes and whether it exists on the disk, in torrent order.
    ///
    /// The caller's torrent is checked: the sum fits, and there are fewer than 2^32 files.
    fn new(
        files: impl IntoIterator<Item = (u64, bool), IntoIter: ExactSizeIterator>,
        edges: &Edges,
        stood_in: impl Fn(u32) -> bool,
    ) -> Self {
        let files = files.into_iter();
        let number = u32::try_from(files.len()).expect("fewer than 2^32 files");
        let mut parts = Vec::with_capacity(files.len());
        let mut begin: u64 = 0;
        for (file, (length, on_disk)) in (0u32..).zip(files) {
            let end = begin.checked_add(length).expect("metainfo checked the sum");
            match on_disk {
                _ if length == 0 => {}
                true if stood_in(file) => cut_edges(file, begin..end, edges, number, &mut parts),
                true => parts.push(Part::new(begin, file, 0)),
                false => parts.push(Part {
                    begin,
                    place: Place::Zeros,
                }),
            }
            begin = end;
        }
        Self {
            parts: parts.into(),
            total: begin,
            edges: number,
        }
    }

    /// The content that lies in the file which stands in for others.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ends = self.parts.iter().skip(1).map(|next| next.begin);
        let ends = ends.chain([self.total]);
        let parts = self.parts.iter().zip(ends);
        let edges = parts.filter(|(part, _)| part.place.file() == Some(self.edges));
        edges.map(|(part, end)| part.begin..end)
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
            let place = match part.place {
                Place::File { file, offset } => Place::File {
                    file,
                    offset: offset + at - part.begin,
                },
                Place::Zeros => Place::Zeros,
            };
            at += length;
            Some(Span { place, length })
        })
    }
}

/// A file that is stood in for: where it shares a piece with others, its bytes lie elsewhere.
fn cut_edges(file: u32, content: Range<u64>, edges: &Edges, number: u32, parts: &mut Vec<Part>) {
    let begin = content.start;
    let head = edges.place_at(begin);
    parts.extend(head.map(|offset| Part::new(begin, number, offset)));
    let inside = match head {
        Some(_) => content.end.min(edges.piece_end(begin)),
        None => begin,
    };
    let last = edges.piece_begin(content.end - 1);
    let tail = edges.place_at(last).filter(|_| last >= inside);
    if inside < tail.map_or(content.end, |_| last) {
        parts.push(Part::new(inside, file, inside - begin));
    }
    parts.extend(tail.map(|offset| Part::new(last, number, offset)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// For every byte of content, its file and offset, or nothing in padding. Of files that are
    /// stood in for, bytes in pieces that several files share lie behind the others, in the order
    /// of those pieces.
    fn naive(files: &[(u64, bool)], piece: u64, stood_in: &[bool]) -> Vec<Option<(u32, u64)>> {
        let numbered = (0u32..).zip(files);
        let bytes = numbered.flat_map(|(file, &(length, on_disk))| {
            (0..length).map(move |offset| on_disk.then_some((file, offset)))
        });
        let mut bytes: Vec<_> = bytes.collect();
        let number = u32::try_from(files.len()).unwrap();
        let mut shared = 0;
        for piece_bytes in bytes.chunks_mut(usize::try_from(piece).unwrap()) {
            let mut files: Vec<_> = piece_bytes.iter().flatten().map(|place| place.0).collect();
            files.dedup();
            if files.len() < 2 {
                continue;
            }
            for (at, byte) in (0u64..).zip(piece_bytes) {
                if let Some((file, _)) = byte
                    && stood_in[*file as usize]
                {
                    *byte = Some((number, shared * piece + at));
                }
            }
            shared += 1;
        }
        bytes
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
            piece in 1..20u64,
            stood_in in prop::collection::vec(any::<bool>(), 30),
            cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let model = naive(&files, piece, &stood_in);
            let edges = Edges::new(files.iter().copied(), piece);
            let layout = Layout::new(files, &edges, |file| stood_in[file as usize]);
            for range in layout.edges() {
                let last = usize::try_from(range.end - 1).unwrap();
                prop_assert_eq!(model[last].unwrap().0, layout.edges);
            }
            let edge_bytes: u64 = layout.edges().map(|range| range.end - range.start).sum();
            let in_model = model.iter().flatten().filter(|place| place.0 == layout.edges);
            prop_assert_eq!(edge_bytes, in_model.count() as u64);
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
        let files = [
            (0, true),
            (5, true),
            (0, true),
            (0, true),
            (5, true),
            (0, true),
        ];
        let layout = Layout::new(files, &Edges::default(), |_| false);
        let places: Vec<Place> = layout.spans(0..10).map(|span| span.place).collect();
        let file = |file| Place::File { file, offset: 0 };
        assert_eq!(places, [file(1), file(4)]);
        assert_eq!(layout.spans(10..10).count(), 0);
    }

    #[test]
    #[should_panic(expected = "outside the content")]
    fn range_behind_the_end_is_a_bug() {
        let layout = Layout::new([(5, true)], &Edges::default(), |_| false);
        let _ = layout.spans(0..6).count();
    }
}
