//! What stands where in the data directory, and what must be true of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::InstanceError;
use super::keys;
pub(super) use crate::config::data_files::{AUDIT, KEYS, MARKER, STORE};
use crate::config::settings::StoreUrl;
use crate::crypto::random;
use crate::store::durable;
use crate::time::Timestamp;

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
        for key in keys::files_in(&self.data)? {
            private(&self.at(&key), 0o077, 0o600)?;
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

/// Our own types as JSON, for people too.
pub(super) fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("strings and numbers have a JSON form");
    text.push('\n');
    text
}
