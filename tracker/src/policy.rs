//! Who may announce what, and how often: lists, passkeys, clients, load. BEP 3, 31, 41.
//!
//! Sans-io: the clock is an argument, and lists come as text that somebody else has read. All of it
//! can be changed while the tracker runs, and nothing is locked while an announce is answered. An
//! open tracker without any of this pays one branch for it.
//!
//! ```text
//! announce ──▶ Policy::enter ──▶ the registry, whose table is the list ──▶ answer
//!               │ client denied? passkey good, and within its limits?        │
//!               └──▶ refusal                              Policy::interval ──┘
//! ```

mod account;
mod lists;
mod load;
mod passkey;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use shoal_metainfo::{InfoHash, PeerId};

use crate::announce::AnnounceRequest;
use crate::limits;
use crate::registry::Registry;
use account::Account;
pub use account::{KeyLimits, KeyRecord, KeyStatus, KeyTotals};
pub use lists::{ListError, Lists, Mistake, parse_clients, parse_hashes};
use load::Load;
pub use load::LoadStatus;
pub use passkey::{Errand, Passkey, errand};

/// What a policy is to do from the start.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// Whether an announce needs a passkey.
    pub private: bool,
    /// Announces a second that are no burden; with more, peers are told to come less often.
    pub capacity: Option<u32>,
    /// What peers are told to keep when there is no burden.
    pub interval: Duration,
    /// Now, in seconds since 1970, for what expires.
    pub unix_now: u64,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            private: false,
            capacity: None,
            interval: limits::SERVER_INTERVAL_DEFAULT,
            unix_now: 0,
        }
    }
}

/// Why an announce is refused: a `failure reason`.
///
/// A passkey that never was and one that is over are told the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyRefusal {
    /// A private tracker, and no passkey.
    #[error(
        "this tracker is private: announce with your passkey, at /PASSKEY/announce; its site gives \
         torrents that have it"
    )]
    NoPasskey,
    /// A passkey that is not good, or not any more.
    #[error("this passkey is not valid: get a new announce URL from who runs this tracker")]
    Passkey,
    /// As many torrents at once as the key may have.
    #[error("this passkey is for {0} torrents at once: stop another one first")]
    Torrents(u32),
    /// As many peers at once as the key may have.
    #[error("this passkey is for {0} peers at once: stop another one first")]
    Peers(u32),
    /// A client that is not wanted.
    #[error("this client is not allowed here: use another one, or ask who runs this tracker")]
    Client,
    /// Over UDP a scrape has no place for a passkey. Source: BEP 41.
    #[error("this tracker is private: scrape over HTTP, at /PASSKEY/scrape")]
    UdpScrape,
}

/// Why a key cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The same one is there.
    #[error("there is such a key already")]
    Exists,
    /// As many as there may be.
    #[error("there are {} keys, and no more may be: remove some", limits::KEYS_MAX)]
    Full,
}

/// Why nothing was changed of what people allow and deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "of the torrents that are {what} here there may be {max}, and no more: clear some first, or \
     give the tracker a list in a file"
)]
pub struct ListsFull {
    what: &'static str,
    max: usize,
}

/// An announce that was let in; to be told of its end.
#[derive(Debug, Default)]
#[must_use]
pub struct Pass(Option<Entered>);

/// Into whose account, and as which peer if that is new there.
type Entered = (Arc<Account>, Option<(InfoHash, PeerId)>);

impl Pass {
    /// The announce was refused after all, by the registry.
    pub fn give_back(self) {
        if let Self(Some((account, Some(session)))) = self {
            account.forget(&session);
        }
    }
}

/// What somebody changed through the policy and wants to have again in the next run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyChanges {
    /// Keys as they are now; `None` for one that was removed.
    pub keys: BTreeMap<Passkey, Option<KeyRecord>>,
    /// Hashes that were allowed (`Some(true)`), denied or taken off both lists.
    pub hashes: BTreeMap<InfoHash, Option<bool>>,
}

impl PolicyChanges {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.hashes.is_empty()
    }
}

/// Where hashes come from: files, or people who speak to the running tracker.
#[derive(Debug)]
struct Sources {
    /// What people may allow, and as many that they may deny.
    max: usize,
    /// `None` unless the files make it a closed tracker.
    allowed_by_files: Option<BTreeSet<InfoHash>>,
    denied_by_files: BTreeSet<InfoHash>,
    allowed: BTreeSet<InfoHash>,
    denied: BTreeSet<InfoHash>,
    changed: BTreeMap<InfoHash, Option<bool>>,
}

/// The rules of one tracker; shared by all who answer.
#[derive(Debug)]
pub struct Policy {
    /// Whether there is nothing to ask.
    open: AtomicBool,
    private: bool,
    begun: Instant,
    unix_begun: u64,
    clients: RwLock<Arc<[Box<[u8]>]>>,
    accounts: RwLock<BTreeMap<Passkey, Arc<Account>>>,
    removed: Mutex<BTreeSet<Passkey>>,
    load: Load,
    sources: Mutex<Sources>,
    registry: Arc<Registry>,
}

impl Policy {
    /// The rules for a table.
    #[must_use]
    pub fn new(config: &PolicyConfig, registry: Arc<Registry>, now: Instant) -> Self {
        Self {
            open: AtomicBool::new(!config.private && config.capacity.is_none()),
            private: config.private,
            begun: now,
            unix_begun: config.unix_now,
            clients: RwLock::new([].into()),
            accounts: RwLock::default(),
            removed: Mutex::default(),
            load: Load::new(config.interval, config.capacity, now),
            sources: Mutex::new(Sources::new(limits::LISTED_MAX)),
            registry,
        }
    }

    /// Whether announces need a passkey.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Lets an announce in; `key` is the passkey as it stood in the URL.
    ///
    /// # Errors
    /// [`PolicyRefusal`], to be sent as a `failure reason`.
    pub fn enter(
        &self,
        now: Instant,
        request: &AnnounceRequest,
        key: Option<&[u8]>,
    ) -> Result<Pass, PolicyRefusal> {
        if self.open.load(Ordering::Relaxed) {
            return Ok(Pass(None));
        }
        self.load.count();
        let clients = Arc::clone(&read(&self.clients));
        let id = &request.peer_id.0;
        if clients.iter().any(|prefix| id.starts_with(prefix)) {
            return Err(PolicyRefusal::Client);
        }
        if !self.private {
            return Ok(Pass(None));
        }
        let account = self.account(now, key)?;
        let silence = self.silence();
        let fresh = account.enter(now, request, silence)?;
        let session = fresh.then_some((request.info_hash, request.peer_id));
        Ok(Pass(Some((account, session))))
    }

    /// Whether who has this key may scrape.
    ///
    /// # Errors
    /// [`PolicyRefusal`], to be sent as a `failure reason`.
    pub fn may_scrape(&self, now: Instant, key: Option<&[u8]>) -> Result<(), PolicyRefusal> {
        if self.private {
            self.account(now, key)?;
        }
        Ok(())
    }

    /// What peers are told to keep now.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.load.interval()
    }

    /// How busy it is.
    #[must_use]
    pub fn load(&self) -> LoadStatus {
        self.load.status()
    }

    /// Looks at the load; to be called every second. The new interval, if peers are told another
    /// than before.
    pub fn tick(&self, now: Instant) -> Option<Duration> {
        let (_, peers) = self.registry.size();
        let told = self.load.tick(now, peers);
        self.registry.set_interval(self.load.longest());
        told
    }

    /// All keys, as they are.
    #[must_use]
    pub fn keys(&self, now: Instant) -> Vec<KeyStatus> {
        let accounts: Vec<_> = read(&self.accounts).values().cloned().collect();
        let silence = self.silence();
        let status = |account: Arc<Account>| account.status(now, silence);
        accounts.into_iter().map(status).collect()
    }

    /// At most `max` keys in their order, from behind `after`; how many there are in all, and
    /// whether there are more behind these.
    #[must_use]
    pub fn keys_after(
        &self,
        now: Instant,
        after: Option<Passkey>,
        max: usize,
    ) -> (Vec<KeyStatus>, usize, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (accounts, total, more) = {
            let all = read(&self.accounts);
            let mut behind = all.range((from, Bound::Unbounded));
            let first = behind.by_ref().take(max);
            let first: Vec<_> = first.map(|(_, account)| Arc::clone(account)).collect();
            (first, all.len(), behind.next().is_some())
        };
        let silence = self.silence();
        let statuses = accounts.iter().map(|account| account.status(now, silence));
        (statuses.collect(), total, more)
    }

    /// One key, as it is.
    #[must_use]
    pub fn key(&self, now: Instant, key: &Passkey) -> Option<KeyStatus> {
        let account = read(&self.accounts).get(key).cloned();
        account.map(|account| account.status(now, self.silence()))
    }

    /// Makes a key good from now on. A random one is [`Passkey::from_random`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn add_key(&self, key: Passkey, limits: KeyLimits) -> Result<(), KeyError> {
        let record = KeyRecord {
            limits,
            totals: KeyTotals::default(),
        };
        let account = Account::new(key, record);
        account.touch();
        self.insert(account)
    }

    /// Ends a key; its peers stay until they are silent. Whether there was one.
    pub fn remove_key(&self, key: &Passkey) -> bool {
        let gone = write(&self.accounts).remove(key);
        if gone.is_some() {
            lock(&self.removed).insert(*key);
        }
        gone.is_some()
    }

    /// Takes back a key of an earlier run.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn restore_key(&self, key: Passkey, record: KeyRecord) -> Result<(), KeyError> {
        self.insert(Account::new(key, record))
    }

    /// The lists in force: files' and people's together.
    #[must_use]
    pub fn lists(&self) -> Arc<Lists> {
        lock(&self.sources).lists()
    }

    /// Takes what files say of torrents in the place of what they said before; with `allowed` the
    /// tracker is a closed one.
    pub fn set_listed(&self, allowed: Option<BTreeSet<InfoHash>>, denied: BTreeSet<InfoHash>) {
        let mut sources = lock(&self.sources);
        sources.allowed_by_files = allowed;
        sources.denied_by_files = denied;
        // Under the lock: the last one who changes is the last one in force.
        self.registry.set_lists(sources.lists());
    }

    /// Takes these peer id prefixes as those of clients that are refused.
    pub fn set_clients(&self, prefixes: Vec<Box<[u8]>>) {
        let none = prefixes.is_empty() && !self.private && !self.load.is_bounded();
        *write(&self.clients) = prefixes.into();
        self.open.store(none, Ordering::Relaxed);
    }

    /// Takes back what people allowed and denied in an earlier run.
    pub fn restore_hashes(&self, hashes: impl IntoIterator<Item = (InfoHash, bool)>) {
        let mut sources = lock(&self.sources);
        for (info_hash, allowed) in hashes {
            sources.put(info_hash, Some(allowed));
        }
        sources.changed.clear();
        self.registry.set_lists(sources.lists());
    }

    /// What changed since this was asked last.
    #[must_use]
    pub fn take_changes(&self) -> PolicyChanges {
        let mut changes = PolicyChanges {
            hashes: std::mem::take(&mut lock(&self.sources).changed),
            ..PolicyChanges::default()
        };
        let removed = std::mem::take(&mut *lock(&self.removed));
        changes
            .keys
            .extend(removed.into_iter().map(|key| (key, None)));
        // Behind them: a key that was removed may have been made again.
        let accounts = read(&self.accounts);
        let changed = accounts
            .values()
            .filter_map(|account| account.take_change());
        let changed = changed.map(|(key, record)| (key, Some(record)));
        changes.keys.extend(changed);
        changes
    }

    /// Forgets what changed, where nobody writes it down.
    pub fn drop_changes(&self) {
        lock(&self.sources).changed.clear();
        lock(&self.removed).clear();
    }

    /// Changes what people say of torrents; what the files say stays. An allowed one is served by a
    /// closed tracker too; a denied one is not served any more, and its peers are forgotten; `None`
    /// takes either back. Many cost hardly more than one. How many of them that changed.
    ///
    /// # Errors
    /// [`ListsFull`] when they would be more than [`limits::LISTED_MAX`]; nothing was changed then.
    pub fn change_all(
        &self,
        info_hashes: &[InfoHash],
        to: Option<bool>,
    ) -> Result<usize, ListsFull> {
        let mut sources = lock(&self.sources);
        sources.room_for(info_hashes, to)?;
        let mut changed = 0;
        for &info_hash in info_hashes {
            if sources.put(info_hash, to) {
                sources.changed.insert(info_hash, to);
                changed += 1;
            }
        }
        if changed > 0 {
            self.registry.set_lists(sources.lists());
        }
        Ok(changed)
    }

    fn insert(&self, account: Account) -> Result<(), KeyError> {
        let mut accounts = write(&self.accounts);
        if accounts.contains_key(&account.key()) {
            return Err(KeyError::Exists);
        }
        if accounts.len() >= limits::KEYS_MAX {
            return Err(KeyError::Full);
        }
        accounts.insert(account.key(), Arc::new(account));
        Ok(())
    }

    fn account(&self, now: Instant, key: Option<&[u8]>) -> Result<Arc<Account>, PolicyRefusal> {
        let key = key.ok_or(PolicyRefusal::NoPasskey)?;
        let key = Passkey::from_hex(key).ok_or(PolicyRefusal::Passkey)?;
        let account = read(&self.accounts).get(&key).cloned();
        let unix = self.unix_begun + now.saturating_duration_since(self.begun).as_secs();
        account
            .filter(|account| !account.is_over(unix))
            .ok_or(PolicyRefusal::Passkey)
    }

    /// After so long without an announce a peer is gone, as for the registry.
    fn silence(&self) -> Duration {
        self.load.longest() * 2 + limits::EXPIRY_SLACK
    }
}

impl Sources {
    fn new(max: usize) -> Self {
        Self {
            max,
            allowed_by_files: None,
            denied_by_files: BTreeSet::new(),
            allowed: BTreeSet::new(),
            denied: BTreeSet::new(),
            changed: BTreeMap::new(),
        }
    }

    fn room_for(&self, info_hashes: &[InfoHash], to: Option<bool>) -> Result<(), ListsFull> {
        let (list, what) = match to {
            Some(true) => (&self.allowed, "allowed"),
            Some(false) => (&self.denied, "denied"),
            None => return Ok(()),
        };
        let new = info_hashes.iter().filter(|hash| !list.contains(hash));
        let new: BTreeSet<_> = new.collect();
        // One that is full already, from an earlier run, takes what it has.
        if new.is_empty() || list.len() + new.len() <= self.max {
            return Ok(());
        }
        let max = self.max;
        Err(ListsFull { what, max })
    }

    fn lists(&self) -> Arc<Lists> {
        let allowed = self.allowed_by_files.as_ref();
        let allowed = allowed.map(|files| files.union(&self.allowed).copied().collect());
        let denied = self.denied_by_files.union(&self.denied).copied().collect();
        Arc::new(Lists::new(allowed, denied))
    }

    /// Whether that changed anything.
    fn put(&mut self, info_hash: InfoHash, to: Option<bool>) -> bool {
        let before = (
            self.allowed.remove(&info_hash),
            self.denied.remove(&info_hash),
        );
        match to {
            Some(true) => self.allowed.insert(info_hash),
            Some(false) => self.denied.insert(info_hash),
            None => false,
        };
        before != (to == Some(true), to == Some(false))
    }
}

// What is behind these locks is whole between any two calls, so a panic elsewhere spoils nothing.

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
