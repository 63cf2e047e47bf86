//! Names, keys and texts of items. BEP 44.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use shoal_metainfo::InfoHash;
use shoal_peer::shoal_dht::item::mutable_target;
use shoal_peer::shoal_dht::{Item, ItemError, NodeId, SecretKey, Task};

use super::DhtError;
use crate::config::UsageError;
use crate::error::Error;

/// What a name or a public key names.
pub(super) fn target(name: &str, salt: &[u8]) -> Result<NodeId, UsageError> {
    if let Some(hash) = InfoHash::from_hex(name) {
        return Ok(hash.into());
    }
    let key = bytes(name).ok_or_else(|| UsageError::DhtName(name.to_owned()))?;
    Ok(mutable_target(&key, salt))
}

/// Something to store.
pub(super) struct Put {
    value: Vec<u8>,
    key: Option<SecretKey>,
    salt: Vec<u8>,
    seq: Option<i64>,
}

impl Put {
    pub(super) fn new(
        text: &str,
        key: Option<&Path>,
        seq: Option<u32>,
        salt: &str,
    ) -> Result<Self, Error> {
        let (value, salt) = (
            format!("{}:{text}", text.len()).into_bytes(),
            salt.as_bytes(),
        );
        // What is too long is told before a key is made and anybody is asked.
        let any_key = SecretKey::new(&[0; 32]);
        let fits = any_key.sign(value.clone(), salt, 1);
        fits.map_err(UsageError::from)?;
        Ok(Self {
            value,
            key: key.map(read_or_make).transpose()?,
            salt: salt.to_vec(),
            seq: seq.map(i64::from),
        })
    }

    /// Whether one must know what is stored to say which version this is.
    pub(super) fn wants_seq(&self) -> bool {
        self.key.is_some() && self.seq.is_none()
    }

    /// Asks for what is stored.
    pub(super) fn question(&self) -> Task {
        let key = self.key.as_ref().map(SecretKey::public).unwrap_or_default();
        Task::Get {
            target: mutable_target(&key, &self.salt),
            salt: self.salt.clone(),
        }
    }

    /// The item, one version above what is stored unless its version was given.
    pub(super) fn item(&self, stored: Option<i64>) -> Result<Item, ItemError> {
        let next = stored.map_or(1, |stored| stored.saturating_add(1));
        match &self.key {
            None => Item::immutable(self.value.clone()),
            Some(key) => key.sign(self.value.clone(), &self.salt, self.seq.unwrap_or(next)),
        }
    }
}

/// The key in a file: 64 hex digits that only its owner may read.
fn read_or_make(path: &Path) -> Result<SecretKey, DhtError> {
    let failed = |reason: String| DhtError::Key {
        path: path.to_owned(),
        reason,
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            let seed = bytes(text.trim());
            let seed = seed.ok_or_else(|| failed("it does not hold 64 hex digits".to_owned()))?;
            Ok(SecretKey::new(&seed))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|error| failed(error.to_string()))?;
            let mut options = OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(path);
            let written = file.and_then(|mut file| writeln!(file, "{}", hex(&seed)));
            written.map_err(|error| failed(error.to_string()))?;
            Ok(SecretKey::new(&seed))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// 64 hex digits.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let halves = [text.get(..40)?, text.get(24..)?];
    let [first, last] = halves.map(InfoHash::from_hex);
    let (first, last) = (first?.0, last?.0);
    let mut bytes = [0; 32];
    bytes[..20].copy_from_slice(&first);
    bytes[12..].copy_from_slice(&last);
    Some(bytes)
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn name_is_forty_digits_and_a_key_sixty_four() {
        let name = "4a533d47ec9c7d95b1ad75f576cffc641853b750";
        let key = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";
        // Source: BEP 44, test vectors 1 and 2.
        assert_eq!(target(name, b"").unwrap().to_string(), name);
        assert_eq!(target(key, b"").unwrap().to_string(), name);
        let salted = target(key, b"foobar").unwrap().to_string();
        assert_eq!(salted, "411eba73b6f087ca51a3795d9c8c938d365e32c1");
        for wrong in [
            "",
            "x",
            &name[1..],
            &key[1..],
            &format!("{key}0"),
            &"é".repeat(32),
        ] {
            assert!(target(wrong, b"").is_err(), "{wrong}");
        }
    }

    #[test]
    fn key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("me.key");
        let made = read_or_make(&path).unwrap().public();
        assert_eq!(read_or_make(&path).unwrap().public(), made);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&path, "nonsense").unwrap();
        assert!(read_or_make(&path).is_err());
    }

    #[test]
    fn version_is_the_next_unless_it_was_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("me.key");
        let put = |seq| Put::new("x", Some(&path), seq, "").unwrap();
        assert_eq!(put(None).item(None).unwrap().seq(), Some(1));
        assert_eq!(put(None).item(Some(6)).unwrap().seq(), Some(7));
        assert_eq!(put(Some(3)).item(Some(6)).unwrap().seq(), Some(3));
        assert!(Put::new(&"x".repeat(996), None, None, "").is_ok());
        let unmade = dir.path().join("unmade.key");
        for (length, salt) in [(997, 0), (1, 65)] {
            let (text, salt) = ("x".repeat(length), "s".repeat(salt));
            let put = Put::new(&text, Some(&unmade), None, &salt);
            assert!(matches!(put, Err(Error::Usage(_))), "{length}");
            assert!(!unmade.exists());
        }
    }
}
