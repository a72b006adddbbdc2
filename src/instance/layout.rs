//! What stands where in the data directory, and what must be true of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::InstanceError;
use crate::config::settings::StoreUrl;
use crate::crypto::mac::Mac;
use crate::crypto::{Secret, random};
use crate::store::durable;
use crate::time::Timestamp;

/// The names in a data directory, which are those in a backup too.
pub(super) const STORE: &str = "sidegate.db";
pub(super) const KEYS: &str = "keys";
pub(super) const MARKER: &str = "initialised";
pub(super) const AUDIT: &str = "audit.jsonl";
pub(super) const TOKEN_KEY: &str = "keys/token.key";
pub(super) const LOOKUP_KEY: &str = "keys/lookup.key";

/// Bytes in a key file.
const KEY_LENGTH: usize = 32;

/// Where the parts of an instance are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) data: PathBuf,
    /// None: in memory.
    pub(super) store: Option<PathBuf>,
}

impl Layout {
    pub(super) fn new(data: &Path, store: &StoreUrl) -> Self {
        let store = match store {
            StoreUrl::Memory => None,
            // An absolute path stays as it is.
            StoreUrl::Sqlite(path) => Some(data.join(path)),
        };
        Self {
            data: data.to_owned(),
            store,
        }
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// Makes the data directory, readable by its owner only, if it is not there.
    pub(super) fn create_data(&self) -> Result<(), InstanceError> {
        if self.data.is_dir() {
            return Ok(());
        }
        let failed = |error| InstanceError::creating(&self.data, error);
        fs::create_dir_all(durable::parent(&self.data)).map_err(failed)?;
        durable::create_dir(&self.data).map_err(failed)
    }

    /// Refuses a directory that others may write to, and secrets that others may read.
    pub(super) fn check_private(&self) -> Result<(), InstanceError> {
        // Read access to the directory gives away names only; systemd's StateDirectory= has mode
        // 0755, and so have volumes of containers.
        private(&self.data, 0o022, 0o700)?;
        private(&self.at(KEYS), 0o022, 0o700)?;
        for key in [TOKEN_KEY, LOOKUP_KEY] {
            private(&self.at(key), 0o077, 0o600)?;
        }
        match &self.store {
            Some(store) => private(store, 0o077, 0o600),
            None => Ok(()),
        }
    }
}

fn private(path: &Path, forbidden: u32, wanted: u32) -> Result<(), InstanceError> {
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(InstanceError::io(path, error)),
    };
    if mode & forbidden != 0 {
        return Err(InstanceError::Exposed {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}

/// Whether something of that name is there, be it a dangling link.
pub(super) fn exists(path: &Path) -> Result<bool, InstanceError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(InstanceError::io(path, error)),
    }
}

/// The secrets without which a stolen store is worth nothing.
#[derive(Clone, Debug)]
pub struct Keys {
    /// For the verifiers of tokens; 32 bytes.
    pub token: Secret,
    /// For the look-up values of tokens; 32 bytes.
    pub lookup: Secret,
}

impl Keys {
    pub(super) fn random() -> Self {
        Self {
            token: Secret::new(random::bytes::<KEY_LENGTH>()),
            lookup: Secret::new(random::bytes::<KEY_LENGTH>()),
        }
    }

    /// Those of an instance that was initialised.
    pub(super) fn load(dir: &Path) -> Result<Self, InstanceError> {
        let load = |name: &str| {
            let path = dir.join(name);
            load(&path)?.ok_or_else(|| InstanceError::damaged(&path, "the key is missing"))
        };
        Ok(Self {
            token: load(TOKEN_KEY)?,
            lookup: load(LOOKUP_KEY)?,
        })
    }

    /// Those of a first start, which may have been interrupted.
    pub(super) fn load_or_create(data: &Path) -> Result<Self, InstanceError> {
        let dir = data.join(KEYS);
        if !exists(&dir)? {
            durable::create_dir(&dir).map_err(|error| InstanceError::creating(&dir, error))?;
        }
        let fresh = Self::random();
        let complete = |name: &str, fresh: Secret| -> Result<Secret, InstanceError> {
            let path = data.join(name);
            if let Some(found) = load(&path)? {
                return Ok(found);
            }
            durable::replace(&path, fresh.expose()).map_err(|error| InstanceError::creating(&path, error))?;
            Ok(fresh)
        };
        Ok(Self {
            token: complete(TOKEN_KEY, fresh.token)?,
            lookup: complete(LOOKUP_KEY, fresh.lookup)?,
        })
    }

    /// Writes them into a directory that has none.
    pub(super) fn save(&self, dir: &Path) -> Result<(), InstanceError> {
        let keys = dir.join(KEYS);
        durable::create_dir(&keys).map_err(|error| InstanceError::creating(&keys, error))?;
        for (name, key) in [(TOKEN_KEY, &self.token), (LOOKUP_KEY, &self.lookup)] {
            let path = dir.join(name);
            durable::replace(&path, key.expose()).map_err(|error| InstanceError::creating(&path, error))?;
        }
        Ok(())
    }
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

/// The file `initialised`: written last at the first start, when store and keys are durable. With it
/// there is no second first start, whatever else is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Names the instance; also stands in its store, so that a store of another one is noticed.
    pub(super) instance: String,
    /// The moment of the first start.
    pub(super) created: Timestamp,
}

impl Marker {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            instance: random::alphanumeric(16),
            created: now,
        }
    }

    pub(super) fn load(dir: &Path) -> Result<Option<Self>, InstanceError> {
        let path = dir.join(MARKER);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                InstanceError::damaged(&path, format!("the marker cannot be read: {error}"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(InstanceError::io(&path, error)),
        }
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), InstanceError> {
        let path = dir.join(MARKER);
        durable::replace(&path, json(self).as_bytes()).map_err(|error| InstanceError::creating(&path, error))
    }
}

/// The record by which marker, store and keys are known to belong together; never removed, so that
/// the store of an initialised instance is never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bond {
    #[serde(flatten)]
    pub(super) marker: Marker,
    /// Digests under the two keys, in hex: they tell a wrong key from a right one, and nothing else.
    token_key: String,
    lookup_key: String,
}

impl Bond {
    /// Where it stands in the store.
    pub(super) const KEY: &str = "instance/this";

    pub(super) fn new(marker: Marker, keys: &Keys) -> Self {
        let digest =
            |key: &Secret| crate::wire::hex::encode(&Mac::new(key.expose()).digest("key check", &[]));
        Self {
            marker,
            token_key: digest(&keys.token),
            lookup_key: digest(&keys.lookup),
        }
    }

    /// Makes sure that these are the keys it was made with.
    pub(super) fn check(&self, keys: &Keys, dir: &Path) -> Result<(), InstanceError> {
        let right = Self::new(self.marker.clone(), keys);
        let wrong = [
            (TOKEN_KEY, right.token_key != self.token_key),
            (LOOKUP_KEY, right.lookup_key != self.lookup_key),
        ];
        match wrong.iter().find(|(_, wrong)| *wrong) {
            Some((name, _)) => Err(InstanceError::damaged(
                &dir.join(name),
                "this is not the key that the store was made with",
            )),
            None => Ok(()),
        }
    }
}

/// Our own types as JSON, for people too.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("strings and numbers have a JSON form");
    text.push('\n');
    text
}
