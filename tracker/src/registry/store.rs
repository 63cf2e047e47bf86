//! The peers of one swarm and address family as bytes lie in a reply. BEP 23, BEP 7.
//!
//! Addresses are one contiguous run of 6 or 18 bytes each, and what else is known lies beside it at
//! the same place. Swarms of up to [`FEW`] have no memory of their own: most swarms of a large
//! tracker are such. Knows nothing of seeds, order or time.

use shoal_metainfo::PeerId;

/// Peers that lie in the torrent itself. Ours: as aquatic has it; as large as what replaces it.
pub(super) const FEW: usize = 2;

/// What is known of a peer besides its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    /// Seconds since the table began, below; whether its `completed` was counted, the highest bit;
    /// whether it announced at another tracker, the next one.
    seen: u32,
    pub(super) peer_id: PeerId,
}

const COMPLETED: u32 = 1 << 31;
const FOREIGN: u32 = 1 << 30;
const SEEN: u32 = FOREIGN - 1;

impl State {
    pub(super) fn new(peer_id: PeerId, seen: u32, completed: bool) -> Self {
        let seen = seen & SEEN | if completed { COMPLETED } else { 0 };
        Self { seen, peer_id }
    }

    /// One that announced at another tracker.
    pub(super) fn foreign(peer_id: PeerId, seen: u32) -> Self {
        let seen = seen & SEEN | FOREIGN;
        Self { seen, peer_id }
    }

    /// The same peer, seen later.
    pub(super) fn seen_at(self, seen: u32) -> Self {
        let seen = seen & SEEN | self.seen & !SEEN;
        Self { seen, ..self }
    }

    /// When it announced last, in seconds since the table began.
    pub(super) fn seen(&self) -> u32 {
        self.seen & SEEN
    }

    /// Whether another tracker told of it.
    pub(super) fn is_foreign(&self) -> bool {
        self.seen & FOREIGN != 0
    }

    pub(super) fn completed(&self) -> bool {
        self.seen & COMPLETED != 0
    }
}

/// Peers, each at a place.
#[derive(Debug)]
pub(super) enum Store<const N: usize> {
    Few(Few<N>),
    Many(Many<N>),
}

#[derive(Debug)]
pub(super) struct Few<const N: usize> {
    addresses: [[u8; N]; FEW],
    states: [State; FEW],
    len: u8,
}

#[derive(Debug)]
pub(super) struct Many<const N: usize> {
    addresses: Vec<[u8; N]>,
    states: Vec<State>,
}

impl<const N: usize> Default for Store<N> {
    fn default() -> Self {
        Self::Few(Few {
            addresses: [[0; N]; FEW],
            states: [State::new(PeerId([0; 20]), 0, false); FEW],
            len: 0,
        })
    }
}

impl<const N: usize> Store<N> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len.into(),
            Self::Many(many) => many.addresses.len(),
        }
    }

    pub(super) fn addresses(&self) -> &[[u8; N]] {
        match self {
            Self::Few(few) => &few.addresses[..few.len.into()],
            Self::Many(many) => &many.addresses,
        }
    }

    pub(super) fn states(&self) -> &[State] {
        match self {
            Self::Few(few) => &few.states[..few.len.into()],
            Self::Many(many) => &many.states,
        }
    }

    pub(super) fn state_mut(&mut self, at: usize) -> &mut State {
        match self {
            Self::Few(few) => &mut few.states[..few.len.into()][at],
            Self::Many(many) => &mut many.states[at],
        }
    }

    /// Puts a peer at the end.
    pub(super) fn push(&mut self, address: [u8; N], state: State) {
        match self {
            Self::Few(few) if usize::from(few.len) < FEW => {
                let at = usize::from(few.len);
                few.addresses[at] = address;
                few.states[at] = state;
                few.len += 1;
            }
            Self::Few(few) => {
                let mut many = Many {
                    addresses: few.addresses.to_vec(),
                    states: few.states.to_vec(),
                };
                many.push(address, state);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.push(address, state),
        }
    }

    pub(super) fn swap(&mut self, a: usize, b: usize) {
        match self {
            Self::Few(few) => {
                few.addresses.swap(a, b);
                few.states.swap(a, b);
            }
            Self::Many(many) => {
                many.addresses.swap(a, b);
                many.states.swap(a, b);
            }
        }
    }

    /// Takes the last peer out; memory that is mostly empty is given back.
    pub(super) fn pop(&mut self) {
        match self {
            Self::Few(few) => few.len -= 1,
            Self::Many(many) => {
                many.addresses.pop();
                many.states.pop();
                let len = many.addresses.len();
                if len == 0 {
                    *self = Self::default();
                } else if len < many.addresses.capacity() / 2 {
                    many.addresses.shrink_to(len + slack(len));
                    many.states.shrink_to(len + slack(len));
                }
            }
        }
    }
}

impl<const N: usize> Many<N> {
    fn push(&mut self, address: [u8; N], state: State) {
        let len = self.addresses.len();
        if len == self.addresses.capacity() {
            self.addresses.reserve_exact(slack(len));
            self.states.reserve_exact(slack(len));
        }
        self.addresses.push(address);
        self.states.push(state);
    }
}

/// Room beyond what is needed. A `Vec` left alone doubles, and on average a third of it is empty.
pub(super) fn slack(len: usize) -> usize {
    len / 4 + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn store_of_few_is_no_larger_than_a_cache_line_and_a_bit() {
        assert!(size_of::<Store<6>>() <= 72, "{}", size_of::<Store<6>>());
        assert_eq!(size_of::<State>(), 24);
    }

    #[test]
    fn completed_and_time_do_not_disturb_each_other() {
        for (seen, completed) in [(0, true), (7, false), (SEEN, true)] {
            let state = State::new(PeerId([1; 20]), seen, completed);
            assert_eq!((state.seen(), state.completed()), (seen, completed));
            assert!(!state.is_foreign());
            let later = state.seen_at(SEEN);
            assert_eq!((later.seen(), later.completed()), (SEEN, completed));
            let foreign = State::foreign(PeerId([1; 20]), seen).seen_at(8);
            assert!(foreign.is_foreign() && !foreign.completed() && foreign.seen() == 8);
        }
    }

    proptest! {
        #[test]
        fn store_is_what_a_vector_would_be(steps in proptest::collection::vec(0..5u8, 0..400)) {
            let mut store = Store::<6>::default();
            let mut model: Vec<([u8; 6], State)> = Vec::new();
            for (number, step) in (0u32..).zip(steps) {
                let len = model.len();
                match step {
                    0..=2 => {
                        let address = [1, 2, 3, 4, step, number.to_be_bytes()[3]];
                        let state = State::new(PeerId([step; 20]), number, step == 1);
                        store.push(address, state);
                        model.push((address, state));
                    }
                    3 if len > 0 => {
                        store.pop();
                        model.pop();
                    }
                    4 if len > 1 => {
                        let at = usize::try_from(number).unwrap() % len;
                        store.swap(at, len - 1);
                        model.swap(at, len - 1);
                    }
                    _ => {}
                }
                let (addresses, states): (Vec<_>, Vec<_>) = model.iter().copied().unzip();
                prop_assert_eq!(store.addresses(), addresses);
                prop_assert_eq!(store.states(), states);
                prop_assert_eq!(store.len(), model.len());
            }
        }
    }
}
