//! The one directory that holds all that an instance owns: store, keys, marker, control socket and
//! audit file.
//!
//! A first start goes in this order, each step durable before the next: the directory, the keys,
//! the store, the record that binds both together, the marker. Whatever is interrupted before the
//! marker is taken up where it ended. After the marker there is no first start any more: what is
//! missing then is damage, because an empty store would make whoever comes first the owner.

mod archive;
mod bond;
mod error;
mod keys;
mod layout;
mod pending;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use arc_swap::ArcSwap;

pub use self::archive::{reset, restore};
use self::bond::Bond;
pub use self::error::InstanceError;
pub use self::keys::{KeyPair, KeyRing, Kind, MOST_PAIRS};
use self::layout::{Layout, MARKER, Marker, exists};
use crate::config::data_files;
use crate::config::settings::StoreUrl;
use crate::store::lock::Lock;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::SqliteStore;
use crate::store::{Expect, Revision, Store};
use crate::time::{Clock, Timestamp};

/// An open instance, owned by this process until it is dropped.
pub struct Instance {
    layout: Layout,
    keys: ArcSwap<KeyRing>,
    /// Held while keys are replaced or a backup is written, whose store and keys have to fit.
    replacing: Mutex<()>,
    marker: Marker,
    is_new: bool,
    store: Arc<dyn Store>,
    /// The same store, when it is a file.
    file: Option<Arc<SqliteStore>>,
    /// Last, so that it is given back last.
    _lock: Lock,
}

impl Instance {
    /// Opens the instance in that directory, or makes one: for `serve`, `demo` and `user add`. With
    /// `memory:` the keys last as long as the process, and nothing marks the directory.
    ///
    /// # Errors
    /// Every [`InstanceError`] but `NotFound` and `BadArchive`.
    pub fn open_or_create(data: &Path, store: &StoreUrl, clock: &Clock) -> Result<Self, InstanceError> {
        let layout = Layout::new(data, store);
        layout.create_data()?;
        let lock = own(&layout)?;
        let Some(path) = layout.store.clone() else {
            return Self::in_memory(layout, lock, clock);
        };
        match Marker::load(&layout.data)? {
            Some(marker) => Self::open_marked(layout, &path, marker, lock, clock),
            None => Self::first_start(layout, &path, lock, clock),
        }
    }

    /// Opens the instance in that directory and creates nothing when there is none: for every other
    /// verb that finds no server running.
    ///
    /// # Errors
    /// Every [`InstanceError`] but `BadArchive`.
    pub fn open_existing(data: &Path, store: &StoreUrl, clock: &Clock) -> Result<Self, InstanceError> {
        let layout = Layout::new(data, store);
        let not_found = || InstanceError::NotFound(data.to_owned());
        let path = layout.store.clone().ok_or_else(not_found)?;
        if !(exists(&layout.at(MARKER))? || exists(&path)? || pending::is_there(&layout)?) {
            return Err(not_found());
        }
        let lock = own(&layout)?;
        if let Some(marker) = Marker::load(&layout.data)? {
            return Self::open_marked(layout, &path, marker, lock, clock);
        }
        if exists(&path)? {
            let file = open_file(&path, clock)?;
            unfinished(&layout, &path, &file)?;
        }
        Err(not_found())
    }

    fn open_marked(
        layout: Layout,
        path: &Path,
        marker: Marker,
        lock: Lock,
        clock: &Clock,
    ) -> Result<Self, InstanceError> {
        layout.check_private()?;
        if !exists(path)? {
            return Err(InstanceError::damaged(path, "the store is missing"));
        }
        let file = open_file(path, clock)?;
        let (bond, _) =
            bond_of(path, &file)?.ok_or_else(|| InstanceError::damaged(path, "the store is empty"))?;
        if bond.marker.instance != marker.instance {
            return Err(InstanceError::damaged(
                path,
                "the store is that of another instance",
            ));
        }
        let keys = bond.load_keys(&layout.data)?;
        // What cannot be tidied up now counts for nothing, and is tidied up the next time.
        let _ = keys.remove_dropped(&layout.data);
        Ok(Self::of_file(layout, keys, marker, false, file, lock))
    }

    fn first_start(layout: Layout, path: &Path, lock: Lock, clock: &Clock) -> Result<Self, InstanceError> {
        layout.check_private()?;
        let begun = match exists(path)? {
            true => Some(open_file(path, clock)?),
            false => None,
        };
        let bound = match &begun {
            Some(file) => unfinished(&layout, path, file)?,
            None => None,
        };
        let keys = match &bound {
            Some(bond) => bond.load_keys(&layout.data)?,
            None => keys::load_or_create(&layout.data, clock.now())?,
        };
        let file = match begun {
            Some(file) => file,
            None => open_file(path, clock)?,
        };
        let marker = match bound {
            Some(bond) => bond.marker,
            None => bind(path, &file, &keys)?,
        };
        marker.save(&layout.data)?;
        Ok(Self::of_file(layout, keys, marker, true, file, lock))
    }

    fn in_memory(layout: Layout, lock: Lock, clock: &Clock) -> Result<Self, InstanceError> {
        // The store would be empty beside a marker, and the next visitor the owner.
        if exists(&layout.at(MARKER))? {
            return Err(InstanceError::OtherStore(format!(
                "store.url is \"memory:\", but {} holds an instance with accounts; name another directory with --data",
                layout.data.display()
            )));
        }
        Ok(Self {
            marker: Marker::new(clock.now()),
            layout,
            keys: ArcSwap::from_pointee(KeyRing::new(KeyPair::random(keys::FIRST, clock.now()), [])),
            replacing: Mutex::default(),
            is_new: true,
            store: Arc::new(MemoryStore::new(clock.clone())),
            file: None,
            _lock: lock,
        })
    }

    fn of_file(
        layout: Layout,
        keys: KeyRing,
        marker: Marker,
        is_new: bool,
        file: SqliteStore,
        lock: Lock,
    ) -> Self {
        let file = Arc::new(file);
        Self {
            layout,
            keys: ArcSwap::from_pointee(keys),
            replacing: Mutex::default(),
            marker,
            is_new,
            store: file.clone(),
            file: Some(file),
            _lock: lock,
        }
    }

    /// Where its records live.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Its secrets.
    pub fn keys(&self) -> Arc<KeyRing> {
        self.keys.load_full()
    }

    /// A pair of keys that is not in the ring yet.
    ///
    /// # Errors
    /// `Io` or `NotPermitted` when the directory of the keys cannot be read.
    pub fn new_keys(&self, now: Timestamp) -> Result<KeyPair, InstanceError> {
        let id = self.keys().unused_id(&self.layout.data)?;
        Ok(KeyPair::random(id, now))
    }

    /// Puts another ring in the place of the one there is: files of new keys first, then the record
    /// that says which keys count, then the files of dropped keys go; each step durable before the
    /// next. Interrupted anywhere, the next opening finds the old ring or the new one. Blocks the
    /// thread.
    ///
    /// # Errors
    /// `Busy` while a backup is written, `CannotCreate`, `NotPermitted`, `Io`, or `Unavailable`: then
    /// the old ring stays in force.
    pub fn replace_keys(&self, next: KeyRing) -> Result<(), InstanceError> {
        let _replacing = match self.replacing.try_lock() {
            Ok(held) => held,
            // Nothing that could be half-done is behind this lock.
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(InstanceError::Busy("a backup of this instance is being written"));
            }
        };
        if let Some(file) = &self.file {
            let path = file.path();
            next.save_new(&self.keys(), &self.layout.data)?;
            let bond = Bond::new(self.marker.clone(), &next);
            let (_, revision) =
                bond_of(path, file)?.ok_or_else(|| InstanceError::damaged(path, "the store is empty"))?;
            file.commit_blocking(&[bond.change(Expect::Revision(revision))])
                .map_err(|error| InstanceError::store(path, error))?;
            // They count for nothing from here on; what stays now goes with the next opening.
            let _ = next.remove_dropped(&self.layout.data);
        }
        self.keys.store(Arc::new(next));
        Ok(())
    }

    /// Whether this opening was its first start.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Sixteen letters and digits that no other instance has.
    pub fn id(&self) -> &str {
        &self.marker.instance
    }

    /// The moment of its first start.
    pub fn created(&self) -> Timestamp {
        self.marker.created
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.layout.data
    }

    /// Where the audit lines go.
    pub fn audit_file(&self) -> PathBuf {
        self.layout.at(layout::AUDIT)
    }

    /// Writes one consistent backup while everything goes on, and returns where it is: `to` itself if
    /// nothing is there, else, in a directory, `backup-` and the moment. It is a directory of mode
    /// 0700 with the store, the keys, the marker and a manifest, for [`restore`]; it is whole under
    /// its name or not there. Blocks the thread for as long as the disk needs.
    ///
    /// # Errors
    /// `OtherStore` when the store is in memory, `CannotCreate`, `NotPermitted`, `Io`, `Damaged` or
    /// `Unavailable` when it cannot be read or written.
    pub fn backup(&self, to: &Path, now: Timestamp) -> Result<PathBuf, InstanceError> {
        let Some(file) = &self.file else {
            return Err(InstanceError::OtherStore(
                "store.url is \"memory:\": there is nothing that a backup could bring back".into(),
            ));
        };
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        archive::write(file, &self.keys(), &self.marker, to, now)
    }
}

/// The socket on which a running server takes changes from the verbs.
pub fn control_socket(data: &Path) -> PathBuf {
    data.join(data_files::SOCKET)
}

/// Takes the directory, and finishes what a killed process had begun in it.
fn own(layout: &Layout) -> Result<Lock, InstanceError> {
    let lock =
        Lock::take(&layout.at(data_files::INSTANCE)).map_err(|error| match InstanceError::lock(error) {
            // The directory is what people know.
            InstanceError::Locked(_) => InstanceError::Locked(layout.data.clone()),
            other => other,
        })?;
    pending::finish(layout)?;
    Ok(lock)
}

fn open_file(path: &Path, clock: &Clock) -> Result<SqliteStore, InstanceError> {
    let lock = Lock::take(path).map_err(InstanceError::lock)?;
    SqliteStore::open_locked(path, lock, clock.clone()).map_err(|error| InstanceError::store(path, error))
}

/// Writes the record that binds store and keys together.
fn bind(path: &Path, file: &SqliteStore, keys: &KeyRing) -> Result<Marker, InstanceError> {
    let bond = Bond::new(Marker::new(keys.newest().created), keys);
    file.commit_blocking(&[bond.change(Expect::Absent)])
        .map_err(|error| InstanceError::store(path, error))?;
    Ok(bond.marker)
}

fn bond_of(path: &Path, file: &SqliteStore) -> Result<Option<(Bond, Revision)>, InstanceError> {
    let found = file
        .get_blocking(Bond::KEY)
        .map_err(|error| InstanceError::store(path, error))?;
    found
        .map(|found| Ok((serde_json::from_str(&found.body)?, found.revision)))
        .transpose()
        .map_err(|error: serde_json::Error| {
            InstanceError::damaged(path, format!("the record {}: {error}", Bond::KEY))
        })
}

/// What an interrupted first start left in a store without a marker: nothing, or the bond alone.
/// Anything more is an instance whose marker was lost.
fn unfinished(layout: &Layout, path: &Path, file: &SqliteStore) -> Result<Option<Bond>, InstanceError> {
    let found = file
        .scan_blocking("", None, 2)
        .map_err(|error| InstanceError::store(path, error))?;
    match found.as_slice() {
        [] => Ok(None),
        [only] if only.key == Bond::KEY => Ok(bond_of(path, file)?.map(|(bond, _)| bond)),
        _ => Err(InstanceError::Unmarked(layout.data.clone())),
    }
}
