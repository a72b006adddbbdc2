//! What stands in a data directory, by name, told once; and that nothing else is written over it.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::error::Wrong;
use super::resolve::{Resolver, absolute, listener_keys};
use super::settings::{Listen, Settings, StoreUrl};

/// The store, unless `store.url` names another, and its name in a backup.
pub const STORE: &str = "sidegate.db";
/// Behind the name of a store: its write-ahead log.
pub const STORE_LOG: &str = "-wal";
/// The folder of the keys.
pub const KEYS: &str = "keys";
/// Says that there was a first start.
pub const MARKER: &str = "initialised";
/// The audit file, unless `audit.file` names another.
pub const AUDIT: &str = "audit.jsonl";
/// Where commands reach the running server.
pub const SOCKET: &str = "control.sock";
/// What the lock of the whole directory is named after.
pub const INSTANCE: &str = "instance";
/// Behind the name of what is locked: the lock of it.
pub const LOCK: &str = ".lock";
/// Behind the name of a file: what will be put in its place when it is whole.
pub const NEW: &str = ".new";
/// What a restore or a reset still has to move.
pub const PENDING: &str = "pending";
/// Where a restored backup is unpacked.
pub const STAGING: &str = "restoring";

/// What SQLite puts beside a store, and we: behind its name.
const BESIDE_A_STORE: [&str; 6] = ["", STORE_LOG, "-shm", "-journal", LOCK, NEW];

/// The most links on the way to a file, as Linux has it.
const MOST_LINKS: usize = 40;

/// Refuses log files that are files of the instance itself, or one file for two purposes: both would be
/// appended to, and the next start would find the store, a key or the chain damaged.
pub(super) fn compare(resolver: &mut Resolver<'_>, settings: &Settings) {
    let data = &settings.server.data;
    let audit = resolved(&settings.audit.file);
    // Not the name of the audit file, if that is what it is called.
    let free = match audit == resolved(&data.join("access.log")) {
        true => "write a file of its own, for example \"requests.log\"",
        false => "write a file of its own, for example \"access.log\"",
    };
    let chain = "write a file of its own, for example \"audit.jsonl\"";
    let own = own_files(settings);
    let audit_file = Some(&settings.audit.file);
    for (key, file, hint) in [
        ("audit.file", audit_file, chain),
        ("log.access", settings.log.access.as_ref(), free),
    ] {
        let Some(file) = file.filter(|_| !resolver.is_broken(key)) else {
            continue;
        };
        let place = resolved(file);
        let taken = own.iter().find(|(own, _)| place.starts_with(own));
        let message = match taken {
            Some((_, what)) => format!("is {what}, which would be destroyed"),
            None if key == "log.access" && place == audit => {
                "is the audit file too, whose chain would be broken".to_owned()
            }
            None => continue,
        };
        let shown = file.strip_prefix(data).unwrap_or(file).display().to_string();
        resolver.wrong(key, Some(&shown), Wrong::new(message).hint(hint));
    }
}

/// Every place, be it a file or a folder, that belongs to the instance, and what it is.
fn own_files(settings: &Settings) -> Vec<(PathBuf, &'static str)> {
    let data = &settings.server.data;
    let mut own = Vec::new();
    let mut add = |path: &Path, what| own.push((resolved(path), what));
    let mut stores = vec![data.join(STORE)];
    if let StoreUrl::Sqlite(store) = &settings.store {
        // SQLite's own files are beside what a link leads to, our lock is beside the link.
        stores.extend([store.clone(), resolved(store)]);
    }
    for store in &stores {
        for ending in BESIDE_A_STORE {
            add(&with(store, ending), "a file of the store");
        }
    }
    let keys = data.join(KEYS);
    add(&keys, "in the folder of the keys");
    // A key may be a link to somewhere else. What cannot be listed has no reader, and no server.
    for key in std::fs::read_dir(&keys).into_iter().flatten().flatten() {
        add(&key.path(), "a key");
    }
    for (name, what) in [
        (MARKER, "the marker of the instance"),
        (PENDING, "a file of backups that are put in place"),
    ] {
        add(&data.join(name), what);
        add(&with(&data.join(name), NEW), what);
    }
    add(
        &data.join(STAGING),
        "in the folder of backups that are put in place",
    );
    add(&with(&data.join(INSTANCE), LOCK), "the lock of the instance");
    let socket = data.join(SOCKET);
    add(&socket, "the socket of the commands");
    add(&new_socket(&socket), "the socket of the commands");
    for (_, listen) in listener_keys(settings) {
        if let Listen::Unix(path) = listen {
            add(&path, "a socket that is listened on");
        }
    }
    own
}

/// The name of a socket until its mode is right and it is put in its place.
pub fn new_socket(socket: &Path) -> PathBuf {
    socket.with_extension("new")
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The path without `.` and `..`, and without the links that there are; what is not there yet stays as
/// it is written. Two paths to one file give the same, whether or not it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let path = absolute(path.to_owned());
    let mut left: Vec<OsString> = parts(&path);
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        match Path::new(&part).components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                done.pop();
            }
            // The root: it begins anew, also in the middle, where a link led to it.
            Some(Component::RootDir | Component::Prefix(_)) => done = PathBuf::from(part),
            Some(Component::Normal(name)) => {
                let next = done.join(name);
                match std::fs::read_link(&next) {
                    Ok(target) if links < MOST_LINKS => {
                        links += 1;
                        left.extend(parts(&target));
                    }
                    _ => done = next,
                }
            }
        }
    }
    done
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts.map(|part| part.as_os_str().to_owned()).collect()
}
