//! Who owns a store, and how far it must have come.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Revision, StoreError, durable};
use crate::config::data_files;

/// Held for as long as the store is open; the kernel releases it when the process dies, however it
/// dies. The file `NAME.lock` beside the store is never removed, because a second process might
/// already have it open.
///
/// In it stands the last revision that was acknowledged. It is written after the commit is durable,
/// so that it never runs ahead of an honest disk: a store that is behind it has lost something (its
/// write-ahead log was deleted or damaged, or an older copy was put in its place), and revoked
/// credentials would be valid again.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of the store at that path.
    ///
    /// # Errors
    /// When another process has it, and when its file cannot be created or opened.
    pub fn take(store: &Path) -> Result<Self, LockError> {
        let path = durable::beside(store, data_files::LOCK);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| LockError::Io(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(store.to_owned())),
            Err(TryLockError::Error(error)) => Err(LockError::Io(path, error)),
        }
    }

    /// The last revision known to be acknowledged; zero when nothing is known.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be read.
    pub fn acknowledged(&self) -> Result<Revision, StoreError> {
        let mut text = [0; 20];
        match self.file.read_exact_at(&mut text, 0) {
            Ok(()) => {
                // What is no number is not from us.
                let number = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                Ok(Revision(number.unwrap_or(0)))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Revision(0)),
            Err(error) => Err(self.unavailable(&error)),
        }
    }

    /// Notes that everything up to `revision` is durable. Not synced: a number that is too low after
    /// a power cut hides a loss at worst, and never invents one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be written.
    pub fn acknowledge(&self, revision: Revision) -> Result<(), StoreError> {
        // Of one length, so that it is overwritten in place and needs no new block on a full disk.
        let text = format!("{:020}\n", revision.0);
        self.file
            .write_all_at(text.as_bytes(), 0)
            .map_err(|error| self.unavailable(&error))
    }

    /// Forgets what was acknowledged, because the store is about to be replaced on purpose.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be written.
    pub fn forget(&self) -> Result<(), StoreError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.sync_all())
            .map_err(|error| self.unavailable(&error))
    }

    fn unavailable(&self, error: &io::Error) -> StoreError {
        StoreError::Unavailable(format!("{}: {error}", self.path.display()))
    }
}

/// Why a lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; what it owns.
    Held(PathBuf),
    /// The lock file cannot be created, opened or locked.
    Io(PathBuf, io::Error),
}

impl From<LockError> for StoreError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held(store) => StoreError::Locked(store.display().to_string()),
            LockError::Io(path, error) => StoreError::Unavailable(format!("{}: {error}", path.display())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting shares the open file
        // until its exec. Nothing can be done about a failure, and the file is closed next.
        let _ = self.file.unlock();
    }
}
