//! What is always true between two calls of `handle`. For tests: walks everything.

use super::Swarm;

impl Swarm {
    /// Panics when the parts contradict each other.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        self.picker.check_invariants();
        // Each outstanding request is a block marked with that peer, and the other way round.
        let marked = self.picker.requested();
        for &(block, key) in &marked {
            let asked = self.peers.get(&key).map(|peer| peer.pipeline.outstanding());
            let asked = asked.is_some_and(|mut blocks| blocks.any(|other| other == block));
            assert!(
                asked,
                "block {block} is marked as asked of {key:?}, which was not"
            );
        }
        let outstanding: usize = self.peers.values().map(|peer| peer.pipeline.len()).sum();
        assert_eq!(
            marked.len(),
            outstanding,
            "a request out that no block knows of"
        );
        for piece in self.picker.geometry().all_pieces() {
            let holders = self.peers.values().filter(|peer| peer.holdings.has(piece));
            let availability = self.picker.availability(piece) as usize;
            assert_eq!(availability, holders.count(), "availability of {piece}");
        }
        for (key, peer) in &self.peers {
            let wanted = peer.holdings.count_outside(self.picker.settled());
            assert_eq!(peer.wanted, wanted, "wanted of {key:?}");
            assert_eq!(peer.we_are_interested, wanted > 0, "interest in {key:?}");
            let in_line = self.to_serve.iter().filter(|other| *other == key).count();
            assert_eq!(in_line, usize::from(peer.in_turn), "turn of {key:?}");
            let waits = peer.uploads.next().is_some();
            assert!(!waits || peer.in_turn, "{key:?} waits and has no turn");
            assert!(
                !self.disk_failed || peer.pipeline.is_empty(),
                "asked without a disk"
            );
        }
    }
}
