//! A temporary data directory.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::control::{Exit, Failure};
use crate::crypto::random;

/// A folder of its own, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// In the system's folder for temporary files, for that verb.
    pub(super) fn create(verb: &str) -> Result<Self, Failure> {
        let name = format!("sidegate-{verb}-{}", random::alphanumeric(10));
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(Exit::CannotCreate, format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is in the system's folder for temporary files, and private.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
