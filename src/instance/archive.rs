//! Backups: one directory each, with a manifest that says what must be in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::InstanceError;
use super::keys::{self, KeyRing};
use super::layout::{AUDIT, KEYS, Layout, MARKER, Marker, STORE, exists, json};
use super::pending::{self, Pending, STAGING};
use super::{bond_of, open_file, own};
use crate::config::data_files::STORE_LOG;
use crate::config::settings::StoreUrl;
use crate::crypto::{mac, random};
use crate::store::sqlite::{SCHEMA, SqliteStore};
use crate::store::{durable, lock::Lock};
use crate::time::{Clock, Timestamp};
use crate::wire::hex;

const MANIFEST: &str = "manifest.json";

/// The version of the manifest's own form.
const FORMAT: u32 = 1;

/// The files of a store: what follows its name, and their names in a backup. There is a log only
/// beside a store that could not be opened and closed before it was set aside.
pub(super) const STORE_FILES: [(&str, &str); 2] = [("", STORE), (STORE_LOG, "sidegate.db-wal")];

/// Everything that may be in a backup beside the key files. A manifest that names anything else could
/// write anywhere.
const FILES: [&str; 4] = [STORE, "sidegate.db-wal", MARKER, AUDIT];

/// What must be; which keys must be is said by the store.
const NEEDED: [&str; 2] = [STORE, MARKER];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// The sidegate that wrote it.
    version: String,
    /// Of the store.
    schema: u32,
    /// RFC 3339; absent in a directory that `reset` or `restore` set aside, whose name has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    files: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    size: u64,
    sha256: String,
}

/// See [`super::Instance::backup`].
pub(super) fn write(
    store: &SqliteStore,
    keys: &KeyRing,
    marker: &Marker,
    to: &Path,
    now: Timestamp,
) -> Result<PathBuf, InstanceError> {
    let place = match to.is_dir() {
        true => to.join(unused_name(to, now)?),
        false => to.to_owned(),
    };
    let taken = |path: &Path| InstanceError::creating(path, io::ErrorKind::AlreadyExists.into());
    if exists(&place)? {
        return Err(taken(&place));
    }
    // A name of its own, so that of two backups at once neither spoils the other.
    let part = durable::beside(&place, &format!(".part-{}", random::alphanumeric(8)));
    durable::create_dir(&part).map_err(|error| match InstanceError::creating(&part, error) {
        InstanceError::NotPermitted(_, error) => InstanceError::NoBackupThere(place.clone(), error),
        other => other,
    })?;
    let fill = || -> Result<(), InstanceError> {
        store
            .copy_to(&part.join(STORE))
            .map_err(|error| InstanceError::store(store.path(), error))?;
        keys.save(&part)?;
        marker.save(&part)?;
        Manifest::of(&part, Some(now))?.save(&part)?;
        durable::rename(&part, &place).map_err(|error| InstanceError::creating(&place, error))
    };
    let filled = fill();
    if filled.is_err() {
        // The first failure is the one to report; what stays has a name that says so.
        let _ = fs::remove_dir_all(&part);
    }
    filled.map(|()| place)
}

/// Writes the manifest of a directory that an instance was set aside in.
pub(super) fn write_manifest(dir: &Path) -> Result<(), InstanceError> {
    Manifest::of(dir, None)?.save(dir)
}

/// Moves all accounts of the instance in that directory into `backup-` and the moment, inside it, and
/// returns where that is; the next start is a first start. Configuration stays as it is. Works on a
/// damaged instance too.
///
/// # Errors
/// `NotFound` when there is nothing to move, `Locked` when a server is running, `OtherStore` when the
/// store is in memory, else what the file system says; then the next opening finishes it.
pub fn reset(data: &Path, store: &StoreUrl, now: Timestamp) -> Result<PathBuf, InstanceError> {
    let layout = Layout::new(data, store);
    if !data.is_dir() {
        return Err(InstanceError::NotFound(data.to_owned()));
    }
    let path = file_of(&layout)?;
    let _lock = own(&layout)?;
    fold_log(&path)?;
    let name = unused_name(data, now)?;
    let pending = Pending::new(&layout, &path, name.clone())?;
    if pending.finds_nothing() {
        return Err(InstanceError::NotFound(data.to_owned()));
    }
    pending.write(&layout)?;
    pending::finish(&layout)?;
    Ok(layout.at(&name))
}

/// Puts the instance of a backup into that directory, after the whole backup has been checked. What
/// was there is moved into `backup-` and the moment first; returns where that is, if there was
/// anything.
///
/// # Errors
/// `NoArchive`, `BadArchive` or `TooNew` before anything is touched, `Locked` when a server is
/// running, `OtherStore` when the store is in memory, else what the file system says; then
/// everything is as before, or the next opening finishes it.
pub fn restore(
    from: &Path,
    data: &Path,
    store: &StoreUrl,
    now: Timestamp,
) -> Result<Option<PathBuf>, InstanceError> {
    let layout = Layout::new(data, store);
    let path = file_of(&layout)?;
    let manifest = Manifest::load(from)?;
    layout.create_data()?;
    let _lock = own(&layout)?;
    let staged = stage(&manifest, from, &layout);
    if staged.is_err() {
        pending::remove_staging(&layout)?;
    }
    staged?;
    fold_log(&path)?;
    let pending = Pending::new(&layout, &path, unused_name(data, now)?)?;
    pending.write(&layout)?;
    pending::finish(&layout)?;
    Ok(pending.backup.map(|name| layout.at(&name)))
}

fn file_of(layout: &Layout) -> Result<PathBuf, InstanceError> {
    layout.store.clone().ok_or_else(|| {
        InstanceError::OtherStore("store.url is \"memory:\": it keeps nothing between two starts".into())
    })
}

/// Makes sure that nobody has the store, and brings a sound one into one file; one that is not sound
/// is moved as it is.
fn fold_log(store: &Path) -> Result<(), InstanceError> {
    drop(Lock::take(store).map_err(InstanceError::lock)?);
    if !exists(store)? {
        return Ok(());
    }
    match open_file(store, &Clock::system()) {
        Err(InstanceError::Locked(path)) => Err(InstanceError::Locked(path)),
        _ => Ok(()),
    }
}

/// Copies a backup into the staging directory and proves there that it is a whole instance.
pub(super) fn stage(manifest: &Manifest, from: &Path, layout: &Layout) -> Result<(), InstanceError> {
    let staging = layout.at(STAGING);
    let keys = staging.join(KEYS);
    for dir in [&staging, &keys] {
        durable::create_dir(dir).map_err(|error| InstanceError::creating(dir, error))?;
    }
    for entry in &manifest.files {
        let source = from.join(&entry.name);
        let target = staging.join(&entry.name);
        copy(&source, &target)?;
        // The copy is what counts: the original may change under our hands.
        if Entry::of(&staging, &entry.name)?.is_none_or(|copied| !copied.matches(entry)) {
            return Err(InstanceError::bad_archive(
                &source,
                "it is not as the manifest says",
            ));
        }
    }
    for dir in [&keys, &staging] {
        durable::sync_dir(dir).map_err(|error| InstanceError::io(dir, error))?;
    }
    prove(&staging).map_err(|error| match error {
        InstanceError::Damaged { path, what } => {
            let path = path
                .strip_prefix(&staging)
                .map_or(path.clone(), |name| from.join(name));
            InstanceError::BadArchive { path, what }
        }
        other => other,
    })
}

fn prove(staging: &Path) -> Result<(), InstanceError> {
    let path = staging.join(STORE);
    let marker = Marker::load(staging)?;
    let found = {
        let lock = Lock::take(&path).map_err(InstanceError::lock)?;
        let file = SqliteStore::open_locked(&path, lock, Clock::system())
            .map_err(|error| InstanceError::store(&path, error))?;
        bond_of(&path, &file)?
    };
    let lock = durable::beside(&path, ".lock");
    durable::remove(&lock).map_err(|error| InstanceError::io(&lock, error))?;
    match found {
        Some((bond, _)) if marker.as_ref() == Some(&bond.marker) => bond.load_keys(staging).map(drop),
        _ => Err(InstanceError::damaged(
            &path,
            "the store is not the one that the marker names",
        )),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), InstanceError> {
    let mut source = fs::File::open(from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => InstanceError::bad_archive(from, "the file is missing"),
        _ => InstanceError::io(from, error),
    })?;
    let mut target = durable::create(to).map_err(|error| InstanceError::creating(to, error))?;
    io::copy(&mut source, &mut target)
        .and_then(|_| target.sync_all())
        .map_err(|error| InstanceError::io(to, error))
}

impl Manifest {
    /// Of what is in a directory, or as much of it as there is.
    fn of(dir: &Path, time: Option<Timestamp>) -> Result<Self, InstanceError> {
        let keys = keys::files_in(dir)?;
        let names = FILES.into_iter().chain(keys.iter().map(String::as_str));
        let entries: Result<Vec<_>, _> = names.map(|name| Entry::of(dir, name)).collect();
        Ok(Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: SCHEMA,
            time: time.map(|time| time.to_string()),
            files: entries?.into_iter().flatten().collect(),
        })
    }

    fn save(&self, dir: &Path) -> Result<(), InstanceError> {
        let path = dir.join(MANIFEST);
        durable::replace(&path, json(self).as_bytes()).map_err(|error| InstanceError::creating(&path, error))
    }

    pub(super) fn load(dir: &Path) -> Result<Self, InstanceError> {
        let path = dir.join(MANIFEST);
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !dir.exists() => InstanceError::NoArchive(dir.to_owned()),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                InstanceError::bad_archive(dir, format!("it is not a directory with a {MANIFEST}"))
            }
            _ => InstanceError::io(&path, error),
        })?;
        let bad = |what: String| InstanceError::bad_archive(&path, what);
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| bad(format!("it cannot be read: {error}")))?;
        if manifest.format > FORMAT || manifest.schema > SCHEMA {
            return Err(InstanceError::TooNew {
                path,
                found: manifest.schema.max(manifest.format),
                known: SCHEMA,
            });
        }
        let names: Vec<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
        let belongs = |name: &str| FILES.contains(&name) || keys::is_key_file(name);
        if let Some(other) = names.iter().find(|name| !belongs(name)) {
            return Err(bad(format!("{other:?} has no place in a backup")));
        }
        if let Some(needed) = NEEDED.iter().find(|needed| !names.contains(needed)) {
            return Err(bad(format!("it does not name {needed}")));
        }
        Ok(manifest)
    }
}

impl Entry {
    /// None when there is no such file.
    fn of(dir: &Path, name: &str) -> Result<Option<Self>, InstanceError> {
        let path = dir.join(name);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(InstanceError::io(&path, error)),
        };
        let read =
            || -> io::Result<(u64, mac::Digest)> { Ok((file.metadata()?.len(), mac::sha256_of(&mut file)?)) };
        let (size, digest) = { read }().map_err(|error| InstanceError::io(&path, error))?;
        Ok(Some(Self {
            name: name.to_owned(),
            size,
            sha256: hex::encode(&digest),
        }))
    }

    fn matches(&self, other: &Self) -> bool {
        self.size == other.size && self.sha256 == other.sha256
    }
}

/// `backup-2026-11-22T00-34-57Z`, or with a number after it when there is one of that second.
fn unused_name(dir: &Path, now: Timestamp) -> Result<String, InstanceError> {
    let text = now.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    let first = format!("backup-{}Z", seconds.replace(':', "-"));
    let mut name = first.clone();
    let mut number = 1;
    while exists(&dir.join(&name))? {
        number += 1;
        name = format!("{first}-{number}");
    }
    Ok(name)
}
