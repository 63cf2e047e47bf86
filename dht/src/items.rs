//! Items that we store for others. BEP 44.
//!
//! Bounded; over it the item whose name is farthest from ours gives way, since others are closer to
//! it. Tokens and signatures were checked before.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::id::NodeId;
use crate::item::Item;
use crate::limits::{ITEM_TIME, ITEMS_MAX};

/// All of them, by name.
#[derive(Default)]
pub(crate) struct Items {
    items: BTreeMap<NodeId, Stored>,
}

struct Stored {
    item: Item,
    put: Instant,
}

/// Why an item is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutRefused {
    /// `cas` names another version than the one stored.
    CasMismatch,
    /// A later version is stored, or another value of the same.
    SeqTooLow,
}

impl Items {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get(&self, target: &NodeId) -> Option<&Item> {
        self.items.get(target).map(|stored| &stored.item)
    }

    /// Stores an item, or an item's next version; the same again starts its time anew.
    pub(crate) fn put(
        &mut self,
        now: Instant,
        own: &NodeId,
        item: Item,
        cas: Option<i64>,
    ) -> Result<(), PutRefused> {
        let target = item.target();
        if let Some(old) = self.get(&target) {
            let same = old.value() == item.value() && old.seq() == item.seq();
            if cas.is_some() && cas != old.seq() {
                return Err(PutRefused::CasMismatch);
            }
            if !same && item.seq() <= old.seq() {
                return Err(PutRefused::SeqTooLow);
            }
        }
        self.items.insert(target, Stored { item, put: now });
        if self.items.len() > ITEMS_MAX {
            let farthest = self.items.keys().max_by_key(|name| own.distance(name));
            let farthest = *farthest.expect("there are items");
            self.items.remove(&farthest);
        }
        Ok(())
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.items.retain(|_, stored| now < stored.put + ITEM_TIME);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::SecretKey;

    const OWN: NodeId = NodeId([0; 20]);

    fn version(seq: i64, value: &str) -> Item {
        let value = format!("{}:{value}", value.len());
        SecretKey::new(&[1; 32])
            .sign(value.into(), b"", seq)
            .unwrap()
    }

    #[test]
    fn later_version_replaces_and_earlier_is_refused() {
        let (mut items, now) = (Items::default(), Instant::now());
        let mut put = |item, cas| items.put(now, &OWN, item, cas);
        assert_eq!(put(version(5, "five"), None), Ok(()));
        assert_eq!(put(version(4, "four"), None), Err(PutRefused::SeqTooLow));
        assert_eq!(put(version(5, "other"), None), Err(PutRefused::SeqTooLow));
        assert_eq!(put(version(5, "five"), None), Ok(()), "the same again");
        assert_eq!(put(version(6, "six"), None), Ok(()));
        let target = version(6, "six").target();
        assert_eq!(items.get(&target), Some(&version(6, "six")));
        assert_eq!(items.len(), 1);
    }

    #[test]
    fn cas_must_name_the_stored_version() {
        let (mut items, now) = (Items::default(), Instant::now());
        let mut put = |item, cas| items.put(now, &OWN, item, cas);
        assert_eq!(
            put(version(5, "five"), Some(1)),
            Ok(()),
            "nothing was stored"
        );
        assert_eq!(
            put(version(6, "six"), Some(4)),
            Err(PutRefused::CasMismatch)
        );
        assert_eq!(put(version(6, "six"), Some(5)), Ok(()));
    }

    #[test]
    fn farthest_gives_way_and_time_takes_the_rest() {
        let (mut items, now) = (Items::default(), Instant::now());
        let mut names = Vec::new();
        for number in 0..ITEMS_MAX + 50 {
            let item = Item::immutable(format!("i{number}e").into()).unwrap();
            names.push(item.target());
            items.put(now, &OWN, item, None).unwrap();
        }
        assert_eq!(items.len(), ITEMS_MAX);
        names.sort();
        assert!(
            names[..ITEMS_MAX]
                .iter()
                .all(|name| items.get(name).is_some())
        );
        items.expire(now + ITEM_TIME);
        assert_eq!(items.len(), 0);
    }
}
