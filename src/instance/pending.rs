//! Moves that are all made or none: what is to be moved is written down first, and whoever opens the
//! directory next finishes it. `kill -9` between any two of them loses nothing.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive;
use super::error::InstanceError;
use super::layout::{AUDIT, KEYS, Layout, MARKER, exists, json};
use crate::config::data_files::PENDING;
pub(super) use crate::config::data_files::STAGING;
use crate::store::durable;
use crate::store::lock::Lock;

/// What is to be done, in the order of the fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The directory, in the data directory, that takes what was there; none: nothing was.
    pub(super) backup: Option<String>,
    /// Into that directory.
    aside: Vec<Move>,
    /// The store, whose lock file must forget how far it had come.
    store: String,
    /// From the staging directory into place; the marker last.
    placed: Vec<Move>,
    /// Whether `aside` is done: it must not be repeated over what has been placed since.
    is_aside: bool,
}

/// From one path to another, both absolute or relative to the data directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Move {
    from: String,
    to: String,
}

impl Pending {
    /// Sets aside what is there under this name, and then places what has been staged.
    pub(super) fn new(layout: &Layout, store: &Path, backup: String) -> Result<Self, InstanceError> {
        let unnamed = || {
            InstanceError::CannotCreate(
                layout.at(PENDING),
                io::Error::new(
                    io::ErrorKind::InvalidFilename,
                    "the path of the store is not UTF-8",
                ),
            )
        };
        let store = store.to_str().ok_or_else(unnamed)?.to_owned();
        let mut pending = Self {
            aside: Vec::new(),
            placed: Vec::new(),
            is_aside: false,
            backup: Some(backup.clone()),
            store: store.clone(),
        };
        let mut set_aside = |from: &str, name: &str| -> Result<(), InstanceError> {
            if exists(&layout.at(from))? {
                let (from, to) = (from.to_owned(), format!("{backup}/{name}"));
                pending.aside.push(Move { from, to });
            }
            Ok(())
        };
        for (suffix, name) in archive::STORE_FILES {
            set_aside(&format!("{store}{suffix}"), name)?;
        }
        set_aside(KEYS, KEYS)?;
        for name in audit_files(layout)? {
            set_aside(&name, &name)?;
        }
        set_aside(MARKER, MARKER)?;
        if pending.aside.is_empty() {
            pending.backup = None;
        }
        for (suffix, name) in archive::STORE_FILES {
            pending.place(layout, name, &format!("{store}{suffix}"))?;
        }
        for name in [KEYS, AUDIT, MARKER] {
            pending.place(layout, name, name)?;
        }
        Ok(pending)
    }

    fn place(&mut self, layout: &Layout, name: &str, to: &str) -> Result<(), InstanceError> {
        let from = format!("{STAGING}/{name}");
        if exists(&layout.at(&from))? {
            let to = to.to_owned();
            self.placed.push(Move { from, to });
        }
        Ok(())
    }

    /// Whether there is nothing to set aside.
    pub(super) fn finds_nothing(&self) -> bool {
        self.aside.is_empty()
    }

    /// From here on it will be done, if not by us then by whoever comes next.
    pub(super) fn write(&self, layout: &Layout) -> Result<(), InstanceError> {
        let path = layout.at(PENDING);
        durable::replace(&path, json(self).as_bytes()).map_err(|error| InstanceError::creating(&path, error))
    }
}

/// Whether something has been begun in this directory.
pub(super) fn is_there(layout: &Layout) -> Result<bool, InstanceError> {
    exists(&layout.at(PENDING))
}

/// Finishes what was begun; the caller has the directory's lock.
pub(super) fn finish(layout: &Layout) -> Result<(), InstanceError> {
    let path = layout.at(PENDING);
    if let Some(mut pending) = load(&path)? {
        if !pending.is_aside {
            move_aside(layout, &pending)?;
            pending.is_aside = true;
            pending.write(layout)?;
        }
        for each in &pending.placed {
            move_file(&layout.at(&each.from), &layout.at(&each.to))?;
        }
        durable::remove(&path)
            .and_then(|()| durable::sync_dir(&layout.data))
            .map_err(|error| InstanceError::io(&path, error))?;
    }
    remove_staging(layout)
}

/// Removes copies that were never placed.
pub(super) fn remove_staging(layout: &Layout) -> Result<(), InstanceError> {
    let staging = layout.at(STAGING);
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InstanceError::io(&staging, error)),
        _ => Ok(()),
    }
}

fn load(path: &Path) -> Result<Option<Pending>, InstanceError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| InstanceError::damaged(path, format!("the file cannot be read: {error}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InstanceError::io(path, error)),
    }
}

fn move_aside(layout: &Layout, pending: &Pending) -> Result<(), InstanceError> {
    // Taken here and not before: a process that was killed has given it back.
    let store = layout.at(&pending.store);
    let lock = Lock::take(&store).map_err(InstanceError::lock)?;
    if let Some(backup) = &pending.backup {
        let dir = layout.at(backup);
        if !exists(&dir)? {
            durable::create_dir(&dir).map_err(|error| InstanceError::creating(&dir, error))?;
        }
        for each in &pending.aside {
            move_file(&layout.at(&each.from), &layout.at(&each.to))?;
        }
        archive::write_manifest(&dir)?;
    }
    lock.forget().map_err(|error| InstanceError::store(&store, error))
}

/// Moves a file or directory, durably; one that is not there has been moved before.
fn move_file(from: &Path, to: &Path) -> Result<(), InstanceError> {
    if !exists(from)? {
        return Ok(());
    }
    match durable::rename(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_and_remove(from, to),
        Err(error) => Err(error),
    }
    .map_err(|error| InstanceError::creating(to, error))
}

fn copy_and_remove(from: &Path, to: &Path) -> io::Result<()> {
    let part = durable::beside(to, ".part");
    durable::remove(&part)?;
    let mut copy = durable::create(&part)?;
    io::copy(&mut fs::File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    durable::rename(&part, to)?;
    durable::remove(from)?;
    durable::sync_dir(durable::parent(from))
}

/// The audit file and those that it was rotated to.
fn audit_files(layout: &Layout) -> Result<Vec<String>, InstanceError> {
    let failed = |error| InstanceError::io(&layout.data, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(&layout.data).map_err(failed)? {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && name.starts_with(AUDIT)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::{Instance, reset, restore};
    use super::*;
    use crate::config::settings::StoreUrl;
    use crate::store::sqlite::SqliteStore;
    use crate::store::{Change, Expect};
    use crate::time::{Clock, Timestamp};
    use std::path::PathBuf;

    const NOW: Timestamp = Timestamp::from_millis(1_795_307_697_000);
    const BACKUP: &str = "backup-test";

    struct Place {
        dir: tempfile::TempDir,
        data: PathBuf,
        url: StoreUrl,
        layout: Layout,
    }

    /// An instance whose record `state` is "new", and a backup of it with "old".
    fn place() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        let url = StoreUrl::Sqlite("sidegate.db".into());
        let layout = Layout::new(&data, &url);
        let place = Place {
            dir,
            data,
            url,
            layout,
        };
        let instance = place.start();
        put(&instance, "old");
        instance.backup(&place.archive(), NOW).expect("a backup");
        put(&instance, "new");
        drop(instance);
        fs::write(place.data.join(AUDIT), "audit").expect("written");
        place
    }

    impl Place {
        fn archive(&self) -> PathBuf {
            self.dir.path().join("archive")
        }

        fn start(&self) -> Instance {
            Instance::open_or_create(&self.data, &self.url, &Clock::system()).expect("it starts")
        }

        fn pending(&self) -> Pending {
            let store = self.layout.store.clone().expect("a file");
            Pending::new(&self.layout, &store, BACKUP.into()).expect("nothing is in the way")
        }

        /// Leaves the directory as a process that was killed after so many steps would.
        fn killed_after(&self, pending: &Pending, steps: usize) -> bool {
            let mut left = steps;
            let mut step = |work: &dyn Fn()| {
                let go = left > 0;
                left = left.saturating_sub(1);
                if go {
                    work();
                }
                go
            };
            let carry = |each: &Move| {
                fs::rename(self.layout.at(&each.from), self.layout.at(&each.to)).expect("moved");
            };
            step(&|| pending.write(&self.layout).expect("written"))
                && step(&|| durable::create_dir(&self.layout.at(BACKUP)).expect("made"))
                && pending.aside.iter().all(|each| step(&|| carry(each)))
                && step(&|| move_aside(&self.layout, pending).expect("only the rest is left"))
                && step(&|| {
                    let is_aside = Pending {
                        is_aside: true,
                        ..pending.clone()
                    };
                    is_aside.write(&self.layout).expect("written");
                })
                && pending.placed.iter().all(|each| step(&|| carry(each)))
        }

        /// The record in an instance that was set aside, by way of restoring it elsewhere.
        fn set_aside(&self) -> Option<String> {
            let elsewhere = tempfile::tempdir().expect("a directory");
            let data = elsewhere.path().join("data");
            restore(&self.data.join(BACKUP), &data, &self.url, NOW).expect("it can be restored");
            let instance = Instance::open_existing(&data, &self.url, &Clock::system()).expect("it opens");
            get(&instance)
        }
    }

    fn put(instance: &Instance, body: &str) {
        let change = Change {
            key: "state".into(),
            body: Some(body.into()),
            expect: Expect::Any,
        };
        let file: &SqliteStore = instance.file.as_ref().expect("a file");
        file.commit_blocking(&[change]).expect("committed");
    }

    fn get(instance: &Instance) -> Option<String> {
        let file: &SqliteStore = instance.file.as_ref().expect("a file");
        file.get_blocking("state")
            .expect("read")
            .map(|record| record.body)
    }

    // "kill -9 at any point loses nothing", and whoever comes next sees all of it or nothing of it.
    #[test]
    fn a_reset_that_was_killed_is_finished_by_the_next_start() {
        for steps in 0.. {
            let place = place();
            let is_done = place.killed_after(&place.pending(), steps);
            let instance = place.start();
            if steps == 0 {
                assert_eq!(get(&instance).as_deref(), Some("new"), "not begun");
                continue;
            }
            assert!(instance.is_new(), "after {steps}");
            assert_eq!(get(&instance), None, "after {steps}");
            assert_eq!(place.set_aside().as_deref(), Some("new"), "after {steps}");
            assert!(place.data.join(BACKUP).join(AUDIT).exists(), "after {steps}");
            assert!(!place.data.join(PENDING).exists(), "after {steps}");
            if is_done {
                assert!(steps > 6);
                return;
            }
        }
    }

    #[test]
    fn a_restore_that_was_killed_is_finished_by_the_next_start() {
        for steps in 0.. {
            let place = place();
            let manifest = archive::Manifest::load(&place.archive()).expect("a manifest");
            archive::stage(&manifest, &place.archive(), &place.layout).expect("staged");
            let is_done = place.killed_after(&place.pending(), steps);
            let instance = place.start();
            assert!(!instance.is_new(), "after {steps}");
            assert!(!place.data.join(STAGING).exists(), "after {steps}");
            if steps == 0 {
                assert_eq!(get(&instance).as_deref(), Some("new"), "not begun");
                continue;
            }
            assert_eq!(get(&instance).as_deref(), Some("old"), "after {steps}");
            assert_eq!(place.set_aside().as_deref(), Some("new"), "after {steps}");
            if is_done {
                assert!(steps > 9);
                return;
            }
        }
    }

    // A verb that creates nothing finishes what was begun, too.
    #[test]
    fn an_unfinished_reset_is_no_instance() {
        let place = place();
        place.killed_after(&place.pending(), 4);
        let result = Instance::open_existing(&place.data, &place.url, &Clock::system());
        assert_eq!(result.err().map(|error| error.exit_code()), Some(66));
        assert_eq!(place.set_aside().as_deref(), Some("new"));
        assert!(
            reset(&place.data, &place.url, NOW).is_err(),
            "nothing is left to reset"
        );
    }

    // The store may be on another file system than the data directory.
    #[test]
    fn a_file_that_cannot_be_renamed_is_copied() {
        let dir = tempfile::tempdir().expect("a directory");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "records").expect("written");
        fs::write(durable::beside(&to, ".part"), "left by a crash").expect("written");
        copy_and_remove(&from, &to).expect("copied");
        assert_eq!(fs::read(&to).expect("read"), b"records");
        assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 1);
    }
}
