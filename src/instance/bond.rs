//! The record that binds a store to its marker and its keys.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::InstanceError;
use super::keys::{self, FIRST, KeyPair, KeyRing, Kind};
use super::layout::{Marker, json};
use crate::crypto::Secret;
use crate::crypto::mac::Mac;
use crate::store::{Change, Expect};
use crate::time::Timestamp;

/// The record by which marker, store and keys are known to belong together; never removed, so that
/// the store of an initialised instance is never empty. It alone says which keys count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Bond {
    #[serde(flatten)]
    pub(super) marker: Marker,
    /// The newest first; never none.
    keys: Vec<BoundPair>,
}

/// Digests under two keys, in hex: they tell a wrong key from a right one, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BoundPair {
    id: u32,
    created: Timestamp,
    /// None: dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_key: Option<String>,
    lookup_key: String,
}

/// As it stands in the store.
#[derive(Deserialize)]
struct Written {
    #[serde(flatten)]
    marker: Marker,
    #[serde(default)]
    keys: Vec<BoundPair>,
    /// Of the only pair, from before there could be several.
    token_key: Option<String>,
    lookup_key: Option<String>,
}

impl Bond {
    /// Where it stands in the store.
    pub(super) const KEY: &str = "instance/this";

    pub(super) fn new(marker: Marker, keys: &KeyRing) -> Self {
        let bound = |pair: &KeyPair| BoundPair {
            id: pair.id,
            created: pair.created,
            token_key: pair.token.as_ref().map(digest),
            lookup_key: digest(&pair.lookup),
        };
        Self {
            marker,
            keys: keys.pairs().iter().map(bound).collect(),
        }
    }

    pub(super) fn change(&self, expect: Expect) -> Change {
        Change {
            key: Self::KEY.to_owned(),
            body: Some(json(self)),
            expect,
        }
    }

    /// The keys that it was made with, from their files.
    pub(super) fn load_keys(&self, dir: &Path) -> Result<KeyRing, InstanceError> {
        let load = |kind: Kind, id: u32, expected: &str| -> Result<Secret, InstanceError> {
            let path = dir.join(kind.file(id));
            let key = keys::load_existing(&path)?;
            if digest(&key) != expected {
                return Err(InstanceError::damaged(
                    &path,
                    "this is not the key that the store was made with",
                ));
            }
            Ok(key)
        };
        let mut pairs = Vec::with_capacity(self.keys.len());
        for bound in &self.keys {
            let token = bound.token_key.as_deref();
            pairs.push(KeyPair {
                id: bound.id,
                created: bound.created,
                token: token
                    .map(|digest| load(Kind::Token, bound.id, digest))
                    .transpose()?,
                lookup: load(Kind::Lookup, bound.id, &bound.lookup_key)?,
            });
        }
        // There is one: a bond without keys is not read.
        let newest = pairs.remove(0);
        Ok(KeyRing::new(newest, pairs))
    }
}

impl TryFrom<Written> for Bond {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written {
            marker,
            mut keys,
            token_key,
            lookup_key,
        } = written;
        if let (true, Some(token_key), Some(lookup_key)) = (keys.is_empty(), token_key, lookup_key) {
            keys.push(BoundPair {
                id: FIRST,
                created: marker.created,
                token_key: Some(token_key),
                lookup_key,
            });
        }
        match keys.first() {
            Some(newest) if newest.token_key.is_some() => Ok(Self { marker, keys }),
            _ => Err("it names no keys"),
        }
    }
}

fn digest(key: &Secret) -> String {
    crate::wire::hex::encode(&Mac::new(key.expose()).digest("key check", &[]))
}
