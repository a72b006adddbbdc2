//! Why an instance could not be opened, kept or brought back.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::lock::LockError;

/// What went wrong, divided by what the operator has to do about it.
#[derive(Debug)]
pub enum InstanceError {
    /// There is no instance in this directory.
    NotFound(PathBuf),
    /// There is no backup at this place.
    NoArchive(PathBuf),
    /// Another process owns it.
    Locked(PathBuf),
    /// Something else is being done with it.
    Busy(&'static str),
    /// Something that was made at the first start is missing or not what it was.
    Damaged {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Records without the marker: neither a first start nor an instance.
    Unmarked(PathBuf),
    /// A backup is not one, or not whole.
    BadArchive {
        /// The file or directory in the backup.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version wrote it.
    TooNew {
        /// The store or backup.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest that this binary knows.
        known: u32,
    },
    /// Others can read a secret, or write where they must not.
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// The settings name a store that this instance cannot have.
    OtherStore(String),
    /// A file or directory cannot be made.
    CannotCreate(PathBuf, io::Error),
    /// The operating system does not let us.
    NotPermitted(PathBuf, io::Error),
    /// A backup may not be written at this place.
    NoBackupThere(PathBuf, io::Error),
    /// Reading or writing failed.
    Io(PathBuf, io::Error),
    /// The store cannot be read or written.
    Unavailable(String),
}

impl InstanceError {
    /// The exit code of `sysexits.h` for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::BadArchive { .. } | Self::TooNew { .. } => 65,
            Self::NotFound(_) | Self::NoArchive(_) => 66,
            Self::Locked(_) | Self::Busy(_) => 69,
            Self::Damaged { .. } | Self::Unmarked(_) => 70,
            Self::CannotCreate(..) => 73,
            Self::Io(..) | Self::Unavailable(_) => 74,
            Self::Exposed { .. } | Self::NotPermitted(..) | Self::NoBackupThere(..) => 77,
            Self::OtherStore(_) => 78,
        }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn bad_archive(path: &Path, what: impl Into<String>) -> Self {
        Self::BadArchive {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    /// Something that was there could not be read or written.
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted(path.to_owned(), error),
            _ => Self::Io(path.to_owned(), error),
        }
    }

    /// Something new could not be made.
    pub(super) fn creating(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NotPermitted(path.to_owned(), error),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Io(path.to_owned(), error),
            _ => Self::CannotCreate(path.to_owned(), error),
        }
    }

    pub(super) fn store(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Locked(_) => Self::Locked(path.to_owned()),
            StoreError::Damaged(what) => {
                // The store names itself first.
                let own = format!("{}: ", path.display());
                Self::damaged(path, what.strip_prefix(&own).unwrap_or(&what))
            }
            StoreError::TooNew { found, known } => Self::TooNew {
                path: path.to_owned(),
                found,
                known,
            },
            StoreError::Conflict { .. } => Self::Unavailable(format!("{}: {error}", path.display())),
            StoreError::Unavailable(what) => Self::Unavailable(what),
        }
    }

    pub(super) fn lock(error: LockError) -> Self {
        match error {
            LockError::Held(path) => Self::Locked(path),
            LockError::Io(path, error) => Self::creating(&path, error),
        }
    }
}

impl fmt::Display for InstanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(data) => write!(
                f,
                "there is no instance in {}; name its directory with --data, or start one with `sidegate serve` or `sidegate user add`",
                data.display()
            ),
            Self::NoArchive(path) => write!(f, "there is no backup at {}", path.display()),
            Self::Locked(path) => write!(
                f,
                "{} is in use by another process; wait until it is done, or stop it",
                path.display()
            ),
            Self::Busy(what) => write!(f, "{what}; try again when that is done"),
            Self::Damaged { path, what } => write!(
                f,
                "{}: {what}; bring back a backup with `sidegate restore`, or set everything aside with `sidegate reset`",
                path.display()
            ),
            Self::Unmarked(data) => write!(
                f,
                "{} has accounts but not the file \"initialised\"; bring back a backup with `sidegate restore`, or set everything aside with `sidegate reset`",
                data.display()
            ),
            Self::BadArchive { path, what } => write!(f, "{} is not a good backup: {what}", path.display()),
            Self::TooNew { path, found, known } => write!(
                f,
                "{} has schema version {found}, this sidegate knows {known}; run the newer sidegate, or restore an older backup",
                path.display()
            ),
            Self::Exposed { path, mode, wanted } => write!(
                f,
                "{} has mode {mode:04o}, so that others can get at it; run: chmod {wanted:o} '{}'",
                path.display(),
                path.display()
            ),
            Self::OtherStore(what) => f.write_str(what),
            Self::CannotCreate(path, error) => write!(f, "cannot create {}: {error}", path.display()),
            Self::NotPermitted(path, error) => write!(
                f,
                "{}: {error}; run as the user who owns the data directory, give it to this one with chown, or name another with --data",
                path.display()
            ),
            Self::NoBackupThere(path, error) => write!(
                f,
                "{}: {error}; the backup is written by the user who runs the server or owns the data directory, \
                 so name a place where that user may write",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unavailable(what) => write!(f, "the store is unavailable: {what}"),
        }
    }
}

impl std::error::Error for InstanceError {}

#[cfg(test)]
mod tests {
    use super::*;

    // "Exit codes are sysexits"
    #[test]
    fn the_kind_of_a_failure_is_kept() {
        let path = Path::new("/data");
        let code = |kind: io::ErrorKind| InstanceError::creating(path, kind.into()).exit_code();
        assert_eq!(code(io::ErrorKind::PermissionDenied), 77);
        assert_eq!(code(io::ErrorKind::ReadOnlyFilesystem), 73);
        assert_eq!(code(io::ErrorKind::NotADirectory), 73);
        assert_eq!(code(io::ErrorKind::StorageFull), 74);
        let store = |error| InstanceError::store(path, error).exit_code();
        assert_eq!(store(StoreError::Locked("x".into())), 69);
        assert_eq!(store(StoreError::Damaged("x".into())), 70);
        assert_eq!(store(StoreError::Unavailable("x".into())), 74);
        assert_eq!(store(StoreError::TooNew { found: 2, known: 1 }), 65);
    }
}
