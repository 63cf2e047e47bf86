//! The keys of a tracker that does not run: made, looked at and removed in its state.
//!
//! Of one that runs, the policy has them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Batch, State, StateError};
use crate::policy::{KeyLimits, KeyRecord, KeyTotals, Passkey};

/// The keys in a state folder; nobody else uses the folder meanwhile.
#[derive(Debug)]
pub struct KeptKeys {
    state: State,
    keys: BTreeMap<Passkey, KeyRecord>,
    changed: bool,
}

impl KeptKeys {
    /// Opens the folder, and makes it if it is not there.
    ///
    /// # Errors
    /// [`StateError`]; [`StateError::InUse`] while the tracker runs.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let (state, remembered) = State::open(folder)?;
        let keys = remembered.keys.into_iter().collect();
        Ok(Self {
            state,
            keys,
            changed: false,
        })
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<Passkey, KeyRecord> {
        &self.keys
    }

    /// Makes a key, or gives one that is there other limits.
    ///
    /// # Errors
    /// [`StateError::NotKept`].
    pub fn put(&mut self, key: Passkey, limits: KeyLimits) -> Result<(), StateError> {
        let before = self.keys.get(&key).map(|record| record.totals);
        let totals: KeyTotals = before.unwrap_or_default();
        let record = KeyRecord { limits, totals };
        self.save(key, Some(record))?;
        self.keys.insert(key, record);
        Ok(())
    }

    /// Removes a key; whether there was one.
    ///
    /// # Errors
    /// [`StateError::NotKept`].
    pub fn remove(&mut self, key: &Passkey) -> Result<bool, StateError> {
        if !self.keys.contains_key(key) {
            return Ok(false);
        }
        self.save(*key, None)?;
        self.keys.remove(key);
        Ok(true)
    }

    /// Ends the use of the folder.
    ///
    /// # Errors
    /// [`StateError::NotKept`].
    pub fn close(self) -> Result<(), StateError> {
        // Who only looked says nothing of how the tracker's run ended.
        if !self.changed {
            return Ok(());
        }
        let path = self.state.path.clone();
        let closed = self.state.close();
        closed.map_err(|why| StateError::NotKept {
            path,
            why: why.to_string(),
        })
    }

    fn save(&mut self, key: Passkey, record: Option<KeyRecord>) -> Result<(), StateError> {
        self.changed = true;
        let mut batch = Batch::default();
        batch.changes.keys.insert(key, record);
        let saved = self.state.save(&batch);
        saved.map_err(|why| StateError::NotKept {
            path: self.state.path.clone(),
            why: why.to_string(),
        })
    }
}
