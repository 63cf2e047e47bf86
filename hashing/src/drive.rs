//! Keeps the lanes of a kernel full. No standard's; ours.
//!
//! Every message has its own length; whenever one ends, the next takes its lane. Knows nothing of
//! how a kernel compresses, nor which kernel suits how many messages: that is `select`'s choice.

use crate::block::{Block, State};

/// A kernel that compresses into `N` states side by side.
pub(crate) trait Compress<const N: usize>: Copy {
    /// Takes as many blocks into each state. The runs are equally long.
    fn compress(self, states: &mut [State; N], runs: &[&[Block]; N]);
}

/// What is still to be compressed of one message.
pub(crate) struct Work<'a> {
    state: &'a mut State,
    /// First all of the first, then all of the second. None is empty while the next one is not.
    runs: [&'a [Block]; 2],
}

impl<'a> Work<'a> {
    pub(crate) fn new(state: &'a mut State, first: &'a [Block], then: &'a [Block]) -> Self {
        let runs = if first.is_empty() {
            [then, first]
        } else {
            [first, then]
        };
        Self { state, runs }
    }

    pub(crate) fn blocks(&self) -> usize {
        self.runs[0].len() + self.runs[1].len()
    }

    fn is_done(&self) -> bool {
        self.runs[0].is_empty()
    }

    fn skip(&mut self, blocks: usize) {
        self.runs[0] = &self.runs[0][blocks..];
        if self.runs[0].is_empty() {
            self.runs = [self.runs[1], &[]];
        }
    }
}

/// Compresses until fewer than `busy_min` messages are left; those keep what they have.
pub(crate) fn drive<const N: usize>(
    kernel: impl Compress<N>,
    works: &mut [Work<'_>],
    busy_min: usize,
) {
    // Of the lanes, the first `busy` are at work; in each, the number of its work.
    let mut lanes = [0; N];
    let mut states = [[0; 5]; N];
    let mut busy = 0;
    let mut next = 0;
    loop {
        while busy < N && next < works.len() {
            if !works[next].is_done() {
                lanes[busy] = next;
                states[busy] = *works[next].state;
                busy += 1;
            }
            next += 1;
        }
        if busy < busy_min.max(1) {
            break;
        }
        // An idle lane repeats the first: bytes that are in the cache anyway.
        let run = |lane| works[lanes[if lane < busy { lane } else { 0 }]].runs[0];
        let mut runs: [&[Block]; N] = std::array::from_fn(run);
        let step = runs.iter().map(|run| run.len()).min().unwrap_or(0);
        for run in &mut runs {
            *run = &run[..step];
        }
        kernel.compress(&mut states, &runs);
        for lane in (0..busy).rev() {
            let work = &mut works[lanes[lane]];
            work.skip(step);
            if work.is_done() {
                *work.state = states[lane];
                busy -= 1;
                lanes[lane] = lanes[busy];
                states[lane] = states[busy];
            }
        }
    }
    for (work, state) in lanes.iter().zip(states).take(busy) {
        *works[*work].state = state;
    }
}
