//! The secrets without which a stolen store is worth nothing, and the files that they are in.
//!
//! There is one pair of keys under which new tokens are made, and there may be older ones under
//! which earlier tokens still verify. The first pair is in `keys/token.key` and `keys/lookup.key`,
//! the second in `keys/token-2.key` and `keys/lookup-2.key`, and so on. Which of them count is said
//! by the record of the store that binds them ([`super::bond::Bond`]), never by the files.

use std::fs;
use std::io;
use std::path::Path;

use super::error::InstanceError;
use super::layout::{KEYS, exists};
use crate::crypto::{Secret, random};
use crate::store::durable;
use crate::time::Timestamp;

/// Bytes in a key file.
const KEY_LENGTH: usize = 32;

/// The most pairs at a time: what an unknown token costs grows with their number.
pub const MOST_PAIRS: usize = 4;

/// The id of the first pair.
pub(super) const FIRST: u32 = 1;

/// Two keys that were made together.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// Counted from 1, never used twice.
    pub id: u32,
    /// When they were made.
    pub created: Timestamp,
    /// For the verifiers of tokens; 32 bytes. None: dropped, nothing verifies under this pair any
    /// more.
    pub token: Option<Secret>,
    /// For the look-up values of tokens; 32 bytes. It outlives the other key for as long as revoked
    /// tokens have to be told from unknown ones.
    pub lookup: Secret,
}

/// All pairs of an instance, the newest first; never none.
#[derive(Clone, Debug)]
pub struct KeyRing(Vec<KeyPair>);

impl KeyPair {
    pub(super) fn random(id: u32, created: Timestamp) -> Self {
        Self {
            id,
            created,
            token: Some(random_key()),
            lookup: random_key(),
        }
    }

    /// Its keys with their files, which are relative to the data directory.
    pub fn files(&self) -> impl Iterator<Item = (Kind, String, &Secret)> {
        let token = self.token.as_ref().map(|key| (Kind::Token, key));
        let lookup = Some((Kind::Lookup, &self.lookup));
        [token, lookup]
            .into_iter()
            .flatten()
            .map(|(kind, key)| (kind, kind.file(self.id), key))
    }

    /// Writes its files.
    fn save(&self, dir: &Path) -> Result<(), InstanceError> {
        for (_, name, key) in self.files() {
            let path = dir.join(name);
            durable::replace(&path, key.expose()).map_err(|error| InstanceError::creating(&path, error))?;
        }
        Ok(())
    }
}

impl KeyRing {
    /// From pairs in any order; at least one.
    pub(super) fn new(first: KeyPair, others: impl IntoIterator<Item = KeyPair>) -> Self {
        let mut pairs = vec![first];
        pairs.extend(others);
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.id));
        Self(pairs)
    }

    /// The pair under which new tokens are made.
    pub fn newest(&self) -> &KeyPair {
        &self.0[0]
    }

    /// All of them, the newest first.
    pub fn pairs(&self) -> &[KeyPair] {
        &self.0
    }

    /// The same with a new pair, and without those of these ids.
    #[must_use]
    pub fn with_new(&self, pair: KeyPair, forgotten: &[u32]) -> Self {
        let kept = self.0.iter().filter(|pair| !forgotten.contains(&pair.id));
        Self::new(pair, kept.cloned())
    }

    /// The newest pair, and of all others what `keep` leaves of them.
    #[must_use]
    pub fn map_older(&self, keep: impl FnMut(&KeyPair) -> Option<KeyPair>) -> Self {
        Self::new(self.newest().clone(), self.0[1..].iter().filter_map(keep))
    }

    fn get(&self, id: u32) -> Option<&KeyPair> {
        self.0.iter().find(|pair| pair.id == id)
    }

    /// Writes the pairs that `known` does not have.
    pub(super) fn save_new(&self, known: &Self, data: &Path) -> Result<(), InstanceError> {
        let mut new = self.0.iter().filter(|pair| known.get(pair.id).is_none());
        new.try_for_each(|pair| pair.save(data))
    }

    /// Writes them into a directory that has none.
    pub(super) fn save(&self, dir: &Path) -> Result<(), InstanceError> {
        let keys = dir.join(KEYS);
        durable::create_dir(&keys).map_err(|error| InstanceError::creating(&keys, error))?;
        self.0.iter().try_for_each(|pair| pair.save(dir))
    }

    /// Removes the files of keys that were dropped: those older than the newest pair that are not in
    /// the ring. Newer ones stay: they are an interrupted rotation's, or those of a store that
    /// somebody put an older copy in the place of.
    pub(super) fn remove_dropped(&self, data: &Path) -> io::Result<()> {
        for (name, kind, id) in listed(data)? {
            let held = self.get(id);
            let counts = match kind {
                Kind::Token => held.is_some_and(|pair| pair.token.is_some()),
                Kind::Lookup => held.is_some(),
            };
            if id < self.newest().id && !counts {
                durable::remove(&data.join(name))?;
            }
        }
        durable::sync_dir(&data.join(KEYS))
    }

    /// An id that neither the ring nor any file has.
    pub(super) fn unused_id(&self, data: &Path) -> Result<u32, InstanceError> {
        let dir = data.join(KEYS);
        let files = listed(data).map_err(|error| InstanceError::io(&dir, error))?;
        let highest = files
            .into_iter()
            .map(|(_, _, id)| id)
            .chain([self.newest().id])
            .max();
        highest.and_then(|id| id.checked_add(1)).ok_or_else(|| {
            let error = io::Error::other("no number is left for a new key");
            InstanceError::CannotCreate(dir, error)
        })
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To verify tokens.
    Token,
    /// To find them.
    Lookup,
}

impl Kind {
    /// The word in file names and listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Lookup => "lookup",
        }
    }

    /// Where the key of that pair is.
    pub(super) fn file(self, id: u32) -> String {
        match id {
            FIRST => format!("{KEYS}/{}.key", self.as_str()),
            _ => format!("{KEYS}/{}-{id}.key", self.as_str()),
        }
    }
}

/// Whether a file of that name, relative to the data directory, is one of ours.
pub(super) fn is_key_file(name: &str) -> bool {
    parse(name).is_some()
}

/// The key files in a data directory, sorted by name.
pub(super) fn files_in(data: &Path) -> Result<Vec<String>, InstanceError> {
    let listed = listed(data).map_err(|error| InstanceError::io(&data.join(KEYS), error))?;
    let mut names: Vec<String> = listed.into_iter().map(|(name, ..)| name).collect();
    names.retain(|name| is_key_file(name));
    names.sort();
    Ok(names)
}

/// The first pair of a first start, which may have been interrupted.
pub(super) fn load_or_create(data: &Path, now: Timestamp) -> Result<KeyRing, InstanceError> {
    let dir = data.join(KEYS);
    if !exists(&dir)? {
        durable::create_dir(&dir).map_err(|error| InstanceError::creating(&dir, error))?;
    }
    let complete = |kind: Kind| -> Result<Secret, InstanceError> {
        let path = data.join(kind.file(FIRST));
        if let Some(found) = load(&path)? {
            return Ok(found);
        }
        let fresh = random_key();
        durable::replace(&path, fresh.expose()).map_err(|error| InstanceError::creating(&path, error))?;
        Ok(fresh)
    };
    let pair = KeyPair {
        id: FIRST,
        created: now,
        token: Some(complete(Kind::Token)?),
        lookup: complete(Kind::Lookup)?,
    };
    Ok(KeyRing::new(pair, []))
}

fn random_key() -> Secret {
    Secret::new(random::bytes::<KEY_LENGTH>())
}

/// The key in a file that must be there.
pub(super) fn load_existing(path: &Path) -> Result<Secret, InstanceError> {
    load(path)?.ok_or_else(|| InstanceError::damaged(path, "the key is missing"))
}

fn load(path: &Path) -> Result<Option<Secret>, InstanceError> {
    match fs::read(path) {
        Ok(bytes) if bytes.len() == KEY_LENGTH => Ok(Some(Secret::new(bytes))),
        Ok(bytes) => Err(InstanceError::damaged(
            path,
            format!("a key has {KEY_LENGTH} bytes, this has {}", bytes.len()),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InstanceError::io(path, error)),
    }
}

/// All key files with what they are for, and what an interrupted writing left of one (`.new`).
fn listed(data: &Path) -> io::Result<Vec<(String, Kind, u32)>> {
    let entries = match fs::read_dir(data.join(KEYS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        // A name that is not UTF-8 is none of ours.
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        let name = format!("{KEYS}/{name}");
        if let Some((kind, id)) = parse(name.strip_suffix(".new").unwrap_or(&name)) {
            files.push((name, kind, id));
        }
    }
    Ok(files)
}

fn parse(name: &str) -> Option<(Kind, u32)> {
    let stem = name.strip_prefix(KEYS)?.strip_prefix('/')?.strip_suffix(".key")?;
    let (word, id) = match stem.split_once('-') {
        None => (stem, FIRST),
        Some((word, id)) => (word, id.parse().ok()?),
    };
    let kind = [Kind::Token, Kind::Lookup]
        .into_iter()
        .find(|kind| kind.as_str() == word)?;
    // One name each: neither `token-02.key` nor `token-1.key`.
    (kind.file(id) == name).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_name() {
        for (name, expected) in [
            ("keys/token.key", Some((Kind::Token, 1))),
            ("keys/lookup.key", Some((Kind::Lookup, 1))),
            ("keys/token-2.key", Some((Kind::Token, 2))),
            ("keys/lookup-40.key", Some((Kind::Lookup, 40))),
            ("keys/token-1.key", None),
            ("keys/token-02.key", None),
            ("keys/token-+2.key", None),
            ("keys/token-.key", None),
            ("keys/token-4294967296.key", None),
            ("keys/other.key", None),
            ("keys/../token.key", None),
            ("token.key", None),
            ("keys/token.key.new", None),
        ] {
            assert_eq!(parse(name), expected, "{name}");
        }
    }
}
