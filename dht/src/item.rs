//! Data in the DHT: what it is named after, and who may change it. BEP 44.
//!
//! An [`Item`] has been checked: its value is one bencoded value of at most 1,000 bytes, and when
//! it can change, its signature is of its key.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use shoal_bencode::{Mode, Options, parse};

use crate::id::NodeId;
use crate::limits::{MESSAGE_DEPTH_MAX, MESSAGE_TOKENS_MAX, SALT_LENGTH_MAX, VALUE_LENGTH_MAX};

/// A value, and for one that can change its version and signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    value: Vec<u8>,
    signed: Option<Signed>,
}

/// What makes an item one that can change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Ed25519: whoever has the other half of it may change the item.
    pub key: [u8; 32],
    /// What keeps items of one key apart; empty for none.
    pub salt: Vec<u8>,
    /// The version: the highest counts.
    pub seq: i64,
    /// Of salt, version and value.
    pub sig: [u8; 64],
}

/// Why something is no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// BEP 44: at most 1,000 bytes, bencoded.
    #[error("the value has {0} bytes bencoded; the DHT stores {VALUE_LENGTH_MAX} at most")]
    ValueTooLong(usize),
    /// The value is not one bencoded value.
    #[error("the value is not bencoded")]
    NotBencoded,
    /// BEP 44: at most 64 bytes.
    #[error("the salt has {0} bytes; {SALT_LENGTH_MAX} are the most")]
    SaltTooLong(usize),
    /// BEP 44: from 0 on.
    #[error("the version {0} is negative")]
    NegativeSeq(i64),
    /// The signature is not of this key, salt, version and value.
    #[error("the signature is not of this item")]
    BadSignature,
}

/// The secret half of a key: 32 bytes that were drawn from the system.
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// From its 32 bytes; any are good.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed);
        Self(pair.expect("32 bytes are a seed"))
    }

    /// The other half, which items are named after.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let key = self.0.public_key().as_ref();
        key.try_into().expect("a public key has 32 bytes")
    }

    /// Signs a value.
    ///
    /// # Errors
    /// [`ItemError`] when value, salt or version are not what an item may have.
    pub fn sign(&self, value: Vec<u8>, salt: &[u8], seq: i64) -> Result<Item, ItemError> {
        check(&value, salt, seq)?;
        let sig = self.0.sign(&to_sign(&value, salt, seq));
        let signed = Signed {
            key: self.public(),
            salt: salt.to_vec(),
            seq,
            sig: sig.as_ref().try_into().expect("a signature has 64 bytes"),
        };
        Ok(Item {
            value,
            signed: Some(signed),
        })
    }
}

impl Item {
    /// An item that never changes, of a value that is bencoded already.
    ///
    /// # Errors
    /// [`ItemError::ValueTooLong`], [`ItemError::NotBencoded`].
    pub fn immutable(value: Vec<u8>) -> Result<Self, ItemError> {
        check(&value, b"", 0)?;
        Ok(Self {
            value,
            signed: None,
        })
    }

    /// An item that can change, as it came from somebody.
    ///
    /// # Errors
    /// [`ItemError`]; lengths are looked at first, the signature last.
    pub fn signed(value: Vec<u8>, signed: Signed) -> Result<Self, ItemError> {
        let Signed {
            key,
            salt,
            seq,
            sig,
        } = &signed;
        check(&value, salt, *seq)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&to_sign(&value, salt, *seq), sig)
            .map_err(|_| ItemError::BadSignature)?;
        Ok(Self {
            value,
            signed: Some(signed),
        })
    }

    /// The value, bencoded.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Key, version and signature of an item that can change.
    #[must_use]
    pub fn signature(&self) -> Option<&Signed> {
        self.signed.as_ref()
    }

    /// The version; `None` of an item that never changes.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        self.signed.as_ref().map(|signed| signed.seq)
    }

    /// The name that it is stored under.
    #[must_use]
    pub fn target(&self) -> NodeId {
        match &self.signed {
            None => immutable_target(&self.value),
            Some(signed) => mutable_target(&signed.key, &signed.salt),
        }
    }
}

/// The name of an item that never changes: the hash of its value. BEP 44.
#[must_use]
pub fn immutable_target(value: &[u8]) -> NodeId {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, value);
    NodeId(hash.as_ref().try_into().expect("SHA-1 has 20 bytes"))
}

/// The name of an item that can change: the hash of its key and salt. BEP 44.
#[must_use]
pub fn mutable_target(key: &[u8; 32], salt: &[u8]) -> NodeId {
    immutable_target(&[key, salt].concat())
}

fn check(value: &[u8], salt: &[u8], seq: i64) -> Result<(), ItemError> {
    const ONE_VALUE: Options = Options {
        mode: Mode::Lenient,
        depth_max: MESSAGE_DEPTH_MAX,
        tokens_max: MESSAGE_TOKENS_MAX,
    };
    if value.len() > VALUE_LENGTH_MAX {
        return Err(ItemError::ValueTooLong(value.len()));
    }
    if salt.len() > SALT_LENGTH_MAX {
        return Err(ItemError::SaltTooLong(salt.len()));
    }
    if seq < 0 {
        return Err(ItemError::NegativeSeq(seq));
    }
    match parse(value, ONE_VALUE) {
        Ok(tree) if tree.root().span() == (0..value.len()) => Ok(()),
        _ => Err(ItemError::NotBencoded),
    }
}

/// Source: BEP 44, "signature verification".
fn to_sign(value: &[u8], salt: &[u8], seq: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + salt.len() + 48);
    if !salt.is_empty() {
        bytes.extend_from_slice(format!("4:salt{}:", salt.len()).as_bytes());
        bytes.extend_from_slice(salt);
    }
    bytes.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    bytes.extend_from_slice(value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_metainfo::InfoHash;

    const VALUE: &[u8] = b"12:Hello World!";
    const KEY: &str = "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548";

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..][..2], 16).unwrap())
    }

    /// Source: BEP 44, "test vectors" 1 and 2: salt, target, signature.
    const VECTORS: [(&str, &str, &str); 2] = [
        (
            "",
            "4a533d47ec9c7d95b1ad75f576cffc641853b750",
            "305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff\
             1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01",
        ),
        (
            "foobar",
            "411eba73b6f087ca51a3795d9c8c938d365e32c1",
            "6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17d\
             df9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08",
        ),
    ];

    #[test]
    fn signatures_and_targets_of_the_bep_are_good() {
        for (salt, target, sig) in VECTORS {
            let signed = Signed {
                key: hex(KEY),
                salt: salt.into(),
                seq: 1,
                sig: hex(sig),
            };
            let item = Item::signed(VALUE.to_vec(), signed.clone()).unwrap();
            assert_eq!(item.target().to_string(), target);
            let bad = |change: fn(&mut Signed)| {
                let mut signed = signed.clone();
                change(&mut signed);
                let item = Item::signed(VALUE.to_vec(), signed);
                assert_eq!(item, Err(ItemError::BadSignature));
            };
            bad(|signed| signed.seq = 2);
            bad(|signed| signed.salt.push(b'x'));
            bad(|signed| signed.sig[63] ^= 1);
            bad(|signed| signed.key[0] ^= 1);
        }
        let item = Item::immutable(VALUE.to_vec()).unwrap();
        assert_eq!(
            NodeId::from(InfoHash::from_hex("e5f96f6f38320f0f33959cb4d3d656452117aadb").unwrap()),
            item.target()
        );
    }

    #[test]
    fn what_is_signed_is_what_the_bep_says() {
        assert_eq!(to_sign(VALUE, b"", 1), b"3:seqi1e1:v12:Hello World!");
        let salted = to_sign(VALUE, b"foobar", 1);
        assert_eq!(salted, b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    }

    #[test]
    fn own_signature_is_good() {
        let key = SecretKey::new(&[3; 32]);
        let item = key.sign(VALUE.to_vec(), b"salt", 7).unwrap();
        let signed = item.signature().unwrap().clone();
        assert_eq!(signed.key, key.public());
        assert_eq!(Item::signed(VALUE.to_vec(), signed), Ok(item));
    }

    #[test]
    fn what_is_no_item_is_told() {
        let key = SecretKey::new(&[3; 32]);
        let check = |value: &[u8], salt: &[u8], seq, expect| {
            assert_eq!(key.sign(value.to_vec(), salt, seq).err(), expect);
        };
        let long = |length: usize| format!("{length}:{}", "x".repeat(length)).into_bytes();
        check(&long(996), b"", 1, None);
        check(&long(997), b"", 1, Some(ItemError::ValueTooLong(1001)));
        check(VALUE, &[0; 64], 1, None);
        check(VALUE, &[0; 65], 1, Some(ItemError::SaltTooLong(65)));
        check(VALUE, b"", -1, Some(ItemError::NegativeSeq(-1)));
        check(b"", b"", 1, Some(ItemError::NotBencoded));
        check(b"1:ab", b"", 1, Some(ItemError::NotBencoded));
        check(b"li1e", b"", 1, Some(ItemError::NotBencoded));
        let deep = [vec![b'l'; 500], vec![b'e'; 500]].concat();
        check(&deep, b"", 1, Some(ItemError::NotBencoded));
    }
}
