//! How a peer numbers the extensions that we both know. BEP 10, `m`.

use std::collections::BTreeMap;

use shoal_wire::extended::EXTENSIONS;

/// The ids of one peer, in the order of [`EXTENSIONS`]; 0 is none.
#[derive(Debug, Default)]
pub(crate) struct TheirExtensions([u8; EXTENSIONS.len()]);

impl TheirExtensions {
    /// A handshake came: it changes what it names, and 0 turns off.
    pub(crate) fn learn(&mut self, told: &BTreeMap<String, u8>) {
        for (id, (_, name)) in self.0.iter_mut().zip(EXTENSIONS) {
            if let Some(&told) = told.get(name) {
                *id = told;
            }
        }
    }

    /// Its id of the extension with our id `ours`, if it takes it.
    pub(crate) fn id(&self, ours: u8) -> Option<u8> {
        let mut ids = self.0.iter().zip(EXTENSIONS);
        let (&id, _) = ids.find(|(_, (known, _))| *known == ours)?;
        (id != 0).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_wire::extended::{LT_DONTHAVE, UT_PEX};

    #[test]
    fn later_handshake_changes_what_it_names_and_leaves_the_rest() {
        let told = |names: &[(&str, u8)]| {
            let names = names.iter().map(|(name, id)| ((*name).to_owned(), *id));
            names.collect::<BTreeMap<_, _>>()
        };
        let mut theirs = TheirExtensions::default();
        assert_eq!(theirs.id(UT_PEX), None);
        theirs.learn(&told(&[("ut_pex", 7), ("lt_donthave", 9), ("other", 1)]));
        assert_eq!(
            (theirs.id(UT_PEX), theirs.id(LT_DONTHAVE)),
            (Some(7), Some(9))
        );
        theirs.learn(&told(&[("ut_pex", 0)]));
        assert_eq!((theirs.id(UT_PEX), theirs.id(LT_DONTHAVE)), (None, Some(9)));
        assert_eq!(theirs.id(200), None);
    }
}
