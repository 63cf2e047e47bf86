//! Which kernel for how many messages. No standard's; ours, by measurement.
//!
//! A wide kernel costs the same however few of its lanes are busy, so it is worth it from some
//! number of messages on, and leaves the rest to a narrower one.

use std::cmp::Reverse;
use std::fmt;
use std::sync::OnceLock;

use crate::block::{BLOCK, Ending, INITIAL, digest};
use crate::drive::Work;
use crate::kernel::{Kernel, KernelError};
use crate::limits::{AVX512_BUSY_MIN, GROUP, NEON_BUSY_MIN, PLAIN_BUSY_MIN, SHA_BUSY_MIN};
use crate::{Digest, Hasher};

/// Names the one kernel to use.
const VARIABLE: &str = "SHOAL_SHA1";

/// The kernels in use, the widest first, each from so many pieces on.
///
/// Displayed for a log or a report: `avx512 from 8 pieces on, shani from 2 pieces on, scalar`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    stages: Vec<(Kernel, usize)>,
    refused: Option<KernelError>,
}

impl Selection {
    /// What the whole process uses: by the processor, or by `SHOAL_SHA1` when it names one of
    /// [`Kernel::available`]. Both are looked at on the first call and never again.
    pub fn current() -> &'static Self {
        static CURRENT: OnceLock<Selection> = OnceLock::new();
        CURRENT.get_or_init(|| {
            let forced = std::env::var_os(VARIABLE);
            let forced = forced.map(|name| name.to_string_lossy().into_owned());
            Self::new(forced.as_deref().filter(|name| !name.is_empty()))
        })
    }

    fn new(forced: Option<&str>) -> Self {
        let refused = match forced.map(str::parse) {
            Some(Ok(kernel)) => return Self::only(kernel),
            Some(Err(error)) => Some(error),
            None => None,
        };
        let stages = stages(&Kernel::available());
        Self { stages, refused }
    }

    /// One kernel, however few the pieces.
    #[must_use]
    pub fn only(kernel: Kernel) -> Self {
        Self {
            stages: vec![(kernel, 1)],
            refused: None,
        }
    }

    /// Why the kernel that `SHOAL_SHA1` names is not in use; the others are as if it were not set.
    #[must_use]
    pub fn refused(&self) -> Option<&KernelError> {
        self.refused.as_ref()
    }

    /// See [`lanes`](crate::lanes).
    #[must_use]
    pub fn lanes(&self) -> usize {
        self.stages[0].0.lanes()
    }

    /// See [`lanes_min`](crate::lanes_min).
    #[must_use]
    pub fn lanes_min(&self) -> usize {
        let together = self.stages.iter().filter(|(kernel, _)| kernel.lanes() > 1);
        let min = together.map(|(_, busy_min)| *busy_min).min();
        min.map_or(1, |min| min.max(2))
    }

    /// See [`hash_pieces`](crate::hash_pieces).
    #[must_use]
    pub fn hash_pieces(&self, pieces: &[&[u8]]) -> Vec<Digest> {
        let mut digests = Vec::with_capacity(pieces.len());
        for pieces in pieces.chunks(GROUP) {
            let end = |piece: &&[u8]| Ending::new(piece.as_chunks::<BLOCK>().1, piece.len() as u64);
            let endings: Vec<_> = pieces.iter().map(end).collect();
            let mut states = vec![INITIAL; pieces.len()];
            let ends = endings.iter().map(Ending::blocks);
            let parts = states.iter_mut().zip(pieces).zip(ends);
            let mut works: Vec<_> = parts
                .map(|((state, piece), end)| Work::new(state, piece.as_chunks().0, end))
                .collect();
            self.compress(&mut works);
            digests.extend(states.iter().map(digest));
        }
        digests
    }

    /// See [`advance`](crate::advance).
    pub fn advance(&self, parts: &mut [(&mut Hasher, &[u8])]) {
        for (hasher, data) in &mut *parts {
            *data = hasher.fill(data);
        }
        let works = parts.iter_mut().map(|(hasher, data)| hasher.work(data));
        self.compress(&mut works.collect::<Vec<_>>());
        for (hasher, data) in parts {
            hasher.keep(data);
        }
    }

    fn compress(&self, works: &mut [Work<'_>]) {
        // The longest first, so that they do not stand alone in the end.
        works.sort_by_key(|work| Reverse(work.blocks()));
        for (kernel, busy_min) in &self.stages {
            kernel.compress(works, *busy_min);
        }
    }
}

/// Those of the kernels that are worth it beside each other.
fn stages(available: &[Kernel]) -> Vec<(Kernel, usize)> {
    let names: Vec<_> = available.iter().map(|kernel| kernel.name()).collect();
    let stage = |kernel: &Kernel| Some((*kernel, busy_min(kernel.name(), &names)?));
    available.iter().filter_map(stage).collect()
}

/// The fewest messages that this one of the kernels is for.
fn busy_min(name: &str, available: &[&str]) -> Option<usize> {
    let sha = available.contains(&"shani") || available.contains(&"sha");
    match name {
        // Eight streams of memory are slower there than two, though not from the cache.
        "avx2" if sha || available.contains(&"avx512") => None,
        "avx512" if sha => Some(AVX512_BUSY_MIN),
        "avx512" | "avx2" => Some(PLAIN_BUSY_MIN),
        "neon" if !sha => Some(NEON_BUSY_MIN),
        "shani" | "sha" => Some(SHA_BUSY_MIN),
        "scalar" => Some(1),
        _ => None,
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (kernel, busy_min)) in self.stages.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{kernel}")?;
            if *busy_min > 1 {
                write!(f, " from {busy_min} pieces on")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_comes_first_and_one_alone_is_the_crates() {
        let check = |available: &[&str], expect: &[(&str, usize)]| {
            let chosen = available.iter().filter_map(|name| {
                let busy_min = busy_min(name, available)?;
                Some((*name, busy_min))
            });
            assert_eq!(chosen.collect::<Vec<_>>(), expect, "{available:?}");
        };
        check(
            &["avx512", "avx2", "shani", "portable", "scalar"],
            &[("avx512", AVX512_BUSY_MIN), ("shani", 2), ("scalar", 1)],
        );
        check(
            &["avx512", "avx2", "portable", "scalar"],
            &[("avx512", PLAIN_BUSY_MIN), ("scalar", 1)],
        );
        check(
            &["avx2", "shani", "portable", "scalar"],
            &[("shani", 2), ("scalar", 1)],
        );
        check(
            &["avx2", "portable", "scalar"],
            &[("avx2", PLAIN_BUSY_MIN), ("scalar", 1)],
        );
        check(
            &["shani", "portable", "scalar"],
            &[("shani", 2), ("scalar", 1)],
        );
        check(
            &["sha", "neon", "portable", "scalar"],
            &[("sha", 2), ("scalar", 1)],
        );
        check(
            &["neon", "portable", "scalar"],
            &[("neon", NEON_BUSY_MIN), ("scalar", 1)],
        );
        check(&["portable", "scalar"], &[("scalar", 1)]);
    }

    fn kernel(name: &str) -> Kernel {
        name.parse().expect("every machine has it")
    }

    #[test]
    fn what_a_wide_kernel_leaves_the_next_one_ends() {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(40 * 401).collect();
        for busy_min in 1..=17 {
            let stages = vec![(kernel("portable"), busy_min), (kernel("scalar"), 1)];
            let selection = Selection {
                stages,
                refused: None,
            };
            for count in 0..=40 {
                let pieces = bytes.chunks(401).take(count).enumerate();
                let pieces: Vec<_> = pieces.map(|(n, piece)| &piece[..n * 67 % 401]).collect();
                let expect: Vec<_> = pieces.iter().map(|piece| crate::sha1(piece)).collect();
                assert_eq!(
                    selection.hash_pieces(&pieces),
                    expect,
                    "{count} from {busy_min} on"
                );
            }
        }
    }

    #[test]
    fn lanes_min_is_the_fewest_that_gain() {
        let check = |stages: &[(&str, usize)], lanes, lanes_min| {
            let stages = stages
                .iter()
                .map(|(name, busy_min)| (kernel(name), *busy_min));
            let selection = Selection {
                stages: stages.collect(),
                refused: None,
            };
            assert_eq!(selection.lanes(), lanes, "{selection}");
            assert_eq!(selection.lanes_min(), lanes_min, "{selection}");
        };
        check(&[("portable", 6), ("scalar", 1)], 16, 6);
        check(&[("portable", 1)], 16, 2);
        check(&[("scalar", 1)], 1, 1);
    }

    #[test]
    fn a_selection_reads_as_a_sentence() {
        let stages = vec![(kernel("portable"), 6), (kernel("scalar"), 1)];
        let selection = Selection {
            stages,
            refused: None,
        };
        assert_eq!(selection.to_string(), "portable from 6 pieces on, scalar");
    }
}
