//! The data directory: first starts, damage, backups and violent deaths.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sidegate::config::settings::StoreUrl;
use sidegate::crypto::Secret;
use sidegate::instance::{Instance, InstanceError, KeyPair, KeyRing, reset, restore};
use sidegate::store::sqlite::{SCHEMA, SqliteStore};
use sidegate::store::{Change, Expect};
use sidegate::time::{Clock, Timestamp};

struct Place {
    _dir: tempfile::TempDir,
    data: PathBuf,
    url: StoreUrl,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let url = StoreUrl::Sqlite(data.join("sidegate.db"));
    Place { _dir: dir, data, url }
}

impl Place {
    fn start(&self) -> Result<Instance, InstanceError> {
        Instance::open_or_create(&self.data, &self.url, &Clock::system())
    }

    fn open(&self) -> Result<Instance, InstanceError> {
        Instance::open_existing(&self.data, &self.url, &Clock::system())
    }

    fn reset(&self) -> Result<PathBuf, InstanceError> {
        reset(&self.data, &self.url, at("2026-11-22T00:34:57.500Z"))
    }

    fn restore(&self, from: &Path) -> Result<Option<PathBuf>, InstanceError> {
        restore(from, &self.data, &self.url, at("2026-11-22T01:00:00Z"))
    }

    /// An instance with one account.
    fn with_anna() -> Self {
        let place = place();
        put(&place.start().unwrap(), "user/anna", "{}");
        place
    }

    fn has_anna(&self) {
        let instance = self.open().unwrap();
        assert!(!instance.is_new());
        assert_eq!(get(&instance, "user/anna").as_deref(), Some("{}"));
    }

    fn at(&self, name: &str) -> PathBuf {
        match name {
            "" => self.data.clone(),
            name => self.data.join(name),
        }
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn put(instance: &Instance, key: &str, body: &str) {
    let change = Change {
        key: key.into(),
        body: Some(body.into()),
        expect: Expect::Any,
    };
    wait(instance.store().commit(&[change])).unwrap();
}

fn get(instance: &Instance, key: &str) -> Option<String> {
    wait(instance.store().get(key)).unwrap().map(|record| record.body)
}

/// The newest key of token verifiers.
fn token_key(instance: &Instance) -> Secret {
    both_keys(instance).0
}

fn both_keys(instance: &Instance) -> (Secret, Secret) {
    let keys = instance.keys();
    let newest = keys.newest();
    (newest.token.clone().unwrap(), newest.lookup.clone())
}

/// Every file below a directory with its bytes, but for what locks and what SQLite makes by looking.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let by_looking = match path.extension().and_then(|extension| extension.to_str()) {
            Some("lock" | "db-shm") => true,
            Some("db-wal") => bytes.is_empty(),
            _ => false,
        };
        if !by_looking {
            files.insert(path, bytes);
        }
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn code<T>(result: Result<T, InstanceError>) -> u8 {
    match result {
        Ok(_) => 0,
        Err(error) => error.exit_code(),
    }
}

// "One directory holds all that an instance owns: store, key files, the marker "initialised""
#[test]
fn a_first_start_makes_a_private_directory_with_everything() {
    let place = place();
    let first = place.start().unwrap();
    assert!(first.is_new());
    put(&first, "user/anna", "{}");
    for (name, wanted) in [
        ("", 0o700),
        ("keys", 0o700),
        ("keys/token.key", 0o600),
        ("keys/lookup.key", 0o600),
        ("sidegate.db", 0o600),
        ("initialised", 0o600),
    ] {
        assert_eq!(mode(&place.at(name)), wanted, "{name}");
    }
    assert_eq!(
        fs::read(place.at("keys/token.key")).unwrap(),
        token_key(&first).expose()
    );
    assert_eq!(token_key(&first).expose().len(), 32);
    assert_eq!(first.keys().newest().lookup.expose().len(), 32);
    assert_ne!(token_key(&first), first.keys().newest().lookup);
    assert_eq!(first.audit_file(), place.at("audit.jsonl"));
}

#[test]
fn a_second_start_finds_the_same_instance() {
    let place = place();
    let first = place.start().unwrap();
    let (id, keys) = (first.id().to_owned(), both_keys(&first));
    drop(first);
    let second = place.start().unwrap();
    assert!(!second.is_new());
    assert_eq!(second.id(), id);
    assert_eq!(both_keys(&second), keys);
    drop(second);
    assert_eq!(place.open().unwrap().id(), id);
    let other = self::place();
    assert_ne!(token_key(&other.start().unwrap()), keys.0);
}

// "A verb that finds no instance exits 66 and creates nothing, except `serve`, `demo` and `user add`."
#[test]
fn a_verb_that_finds_no_instance_creates_nothing() {
    let place = place();
    assert_eq!(code(place.open()), 66);
    assert_eq!(code(place.reset()), 66);
    assert!(!place.data.exists());
    fs::create_dir(&place.data).unwrap();
    assert_eq!(code(place.open()), 66);
    assert_eq!(fs::read_dir(&place.data).unwrap().count(), 0);
}

// "A second server on one store exits 69."
#[test]
fn an_instance_has_one_owner() {
    let place = Place::with_anna();
    let owner = place.start().unwrap();
    assert_eq!(code(place.start()), 69);
    assert_eq!(code(place.open()), 69);
    assert_eq!(code(place.reset()), 69);
    let backup = owner
        .backup(&place.at("copy"), at("2026-11-22T00:00:00Z"))
        .unwrap();
    assert_eq!(code(place.restore(&backup)), 69);
    drop(owner);
    place.has_anna();
}

// Two data directories whose settings name one store.
#[test]
fn a_store_has_one_owner_whatever_the_directory() {
    let place = Place::with_anna();
    let _owner = place.start().unwrap();
    let other = Place {
        data: place.at("other"),
        url: place.url.clone(),
        ..self::place()
    };
    assert_eq!(code(other.start()), 69);
}

// "An empty or damaged store beside a marker is an error, never a first start."
#[test]
fn what_is_missing_or_wrong_beside_a_marker_is_an_error() {
    type Harm = fn(&Place);
    let harms: [(&str, Harm); 12] = [
        ("no store", |p| fs::remove_file(p.at("sidegate.db")).unwrap()),
        ("no store and no lock file", |p| {
            fs::remove_file(p.at("sidegate.db")).unwrap();
            fs::remove_file(p.at("sidegate.db.lock")).unwrap();
        }),
        ("a store of zero bytes", |p| {
            fs::write(p.at("sidegate.db"), "").unwrap()
        }),
        ("a store cut off", |p| {
            let bytes = fs::read(p.at("sidegate.db")).unwrap();
            fs::write(p.at("sidegate.db"), &bytes[..bytes.len() - 100]).unwrap();
        }),
        ("something else", |p| {
            fs::write(p.at("sidegate.db"), "x".repeat(9999)).unwrap()
        }),
        ("an empty store", |p| {
            fs::remove_file(p.at("sidegate.db")).unwrap();
            fs::remove_file(p.at("sidegate.db.lock")).unwrap();
            drop(SqliteStore::open(&p.at("sidegate.db"), Clock::system()).unwrap());
        }),
        ("the store of another instance", |p| {
            let other = Place::with_anna();
            fs::remove_file(p.at("sidegate.db.lock")).unwrap();
            fs::copy(other.at("sidegate.db"), p.at("sidegate.db")).unwrap();
        }),
        ("no token key", |p| {
            fs::remove_file(p.at("keys/token.key")).unwrap()
        }),
        ("no keys", |p| fs::remove_dir_all(p.at("keys")).unwrap()),
        ("a short key", |p| {
            fs::write(p.at("keys/lookup.key"), "short").unwrap()
        }),
        ("another key", |p| {
            fs::write(p.at("keys/lookup.key"), [7; 32]).unwrap()
        }),
        ("a marker of zero bytes", |p| {
            fs::write(p.at("initialised"), "").unwrap()
        }),
    ];
    for (what, harm) in harms {
        let place = Place::with_anna();
        harm(&place);
        let before = tree(&place.data);
        for result in [place.start(), place.open()] {
            assert!(matches!(result, Err(InstanceError::Damaged { .. })), "{what}");
        }
        assert_eq!(code(place.start()), 70);
        assert!(
            tree(&place.data) == before,
            "{what}: nothing is mended, made or removed"
        );
    }
}

// Crash points of the first start: everything that a completed one has, without what comes later.
#[test]
fn a_first_start_that_was_interrupted_is_completed() {
    let steps = [
        "keys",
        "keys/lookup.key",
        "keys/token.key",
        "sidegate.db",
        "record",
        "initialised",
    ];
    for done in 0..=steps.len() {
        let place = place();
        drop(place.start().unwrap());
        let gone = &steps[done..];
        if gone.contains(&"record") {
            fs::remove_file(place.at("sidegate.db")).unwrap();
            fs::remove_file(place.at("sidegate.db.lock")).unwrap();
        }
        if gone.contains(&"record") && !gone.contains(&"sidegate.db") {
            drop(SqliteStore::open(&place.at("sidegate.db"), Clock::system()).unwrap());
        }
        for name in gone
            .iter()
            .rev()
            .filter(|name| **name != "record" && **name != "sidegate.db")
        {
            let path = place.at(name);
            if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            }
            .unwrap();
        }
        // What a step leaves when it is interrupted itself.
        if !gone.is_empty() {
            fs::write(place.at("initialised.new"), "half").unwrap();
            fs::write(place.at("sidegate.db.new"), "half").unwrap();
        }
        let kept = fs::read(place.at("keys/token.key")).ok();
        if done < steps.len() {
            assert_eq!(code(place.open()), 66, "after {done}: not an instance yet");
        }
        let instance = place
            .start()
            .unwrap_or_else(|error| panic!("after {done}: {error}"));
        assert_eq!(instance.is_new(), done < steps.len());
        if let Some(kept) = kept {
            assert_eq!(token_key(&instance).expose(), kept, "after {done}");
        }
        put(&instance, "user/anna", "{}");
        drop(instance);
        place.has_anna();
    }
}

// A store that has accounts is never started anew.
#[test]
fn accounts_without_a_marker_are_an_error() {
    let place = Place::with_anna();
    fs::remove_file(place.at("initialised")).unwrap();
    for result in [place.start(), place.open()] {
        assert!(matches!(result, Err(InstanceError::Unmarked(_))));
    }
    assert!(!place.at("initialised").exists());
    // and both ways out that the message names are open.
    let aside = place.reset().unwrap();
    assert!(place.start().unwrap().is_new());
    assert!(aside.join("sidegate.db").exists());
}

#[test]
fn an_unfinished_store_with_foreign_keys_is_not_completed() {
    let place = place();
    drop(place.start().unwrap());
    fs::remove_file(place.at("initialised")).unwrap();
    fs::write(place.at("keys/token.key"), [1; 32]).unwrap();
    assert_eq!(code(place.start()), 70);
}

#[test]
fn secrets_that_others_can_read_are_refused_with_the_command_that_mends_it() {
    for (name, bad) in [
        ("keys/token.key", 0o640),
        ("keys/lookup.key", 0o604),
        ("sidegate.db", 0o644),
        ("", 0o777),
        ("keys", 0o770),
    ] {
        let place = Place::with_anna();
        let path = place.at(name);
        let good = mode(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        let error = place.start().err().unwrap();
        assert_eq!(error.exit_code(), 77, "{name}");
        let expected = format!("run: chmod {good:o} '{}'", path.display());
        assert!(error.to_string().contains(&expected), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
        place.has_anna();
    }
}

#[test]
fn a_directory_that_others_may_only_list_is_fine() {
    let place = Place::with_anna();
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o755)).unwrap();
    place.has_anna();
}

#[test]
fn a_data_directory_that_cannot_be_made_is_said() {
    let place = place();
    fs::write(&place.data, "a file").unwrap();
    let error = place.start().err().unwrap();
    assert_eq!(error.exit_code(), 73, "{error}");
    let below = Place {
        data: place.data.join("x/y"),
        ..self::place()
    };
    assert_eq!(code(below.start()), 73);
    assert_eq!(code(below.open()), 66);
}

#[test]
fn in_memory_nothing_is_kept_and_no_marker_is_made() {
    let place = Place {
        url: StoreUrl::Memory,
        ..place()
    };
    let instance = place.start().unwrap();
    assert!(instance.is_new());
    assert_eq!(token_key(&instance).expose().len(), 32);
    put(&instance, "user/anna", "{}");
    assert_eq!(
        code(instance.backup(&place.at("copy"), at("2026-11-22T00:00:00Z"))),
        78
    );
    drop(instance);
    assert!(!place.at("initialised").exists() && !place.at("keys").exists());
    assert_eq!(code(place.open()), 66);
    assert_eq!(get(&place.start().unwrap(), "user/anna"), None);
}

// Its store would be empty beside a marker, and the next visitor the owner.
#[test]
fn in_memory_beside_a_marker_is_refused() {
    let place = Place::with_anna();
    let memory = Place {
        url: StoreUrl::Memory,
        data: place.data.clone(),
        ..self::place()
    };
    assert_eq!(code(memory.start()), 78);
    place.has_anna();
}

#[test]
fn a_store_may_stand_elsewhere() {
    let place = place();
    let elsewhere = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite(elsewhere.path().join("other.db"));
    let place = Place { url, ..place };
    put(&place.start().unwrap(), "user/anna", "{}");
    assert!(!place.at("sidegate.db").exists());
    place.has_anna();
    let aside = place.reset().unwrap();
    assert!(!elsewhere.path().join("other.db").exists());
    assert!(place.start().unwrap().is_new());
    place.restore(&aside).unwrap();
    place.has_anna();
}

// "`sidegate reset` moves all accounts into a dated backup, keeps the configuration, and makes the
// next start a first start"
#[test]
fn a_reset_moves_everything_into_a_dated_backup() {
    let place = Place::with_anna();
    fs::write(place.at("audit.jsonl"), "a line\n").unwrap();
    fs::write(place.at("sidegate.toml"), "configuration").unwrap();
    let key = fs::read(place.at("keys/token.key")).unwrap();
    let aside = place.reset().unwrap();
    assert_eq!(aside, place.at("backup-2026-11-22T00-34-57Z"));
    assert_eq!(mode(&aside), 0o700);
    for name in ["sidegate.db", "keys", "initialised", "audit.jsonl"] {
        assert!(aside.join(name).exists() && !place.at(name).exists(), "{name}");
    }
    assert!(place.at("sidegate.toml").exists());
    assert_eq!(code(place.open()), 66);
    let next = place.start().unwrap();
    assert!(next.is_new());
    assert_eq!(get(&next, "user/anna"), None);
    assert_ne!(token_key(&next).expose(), key);
    drop(next);
    let again = place.reset().unwrap();
    assert_eq!(
        again,
        place.at("backup-2026-11-22T00-34-57Z-2"),
        "the first backup is not touched"
    );
    assert_eq!(place.restore(&aside).unwrap(), None);
    place.has_anna();
    assert_eq!(fs::read(place.at("audit.jsonl")).unwrap(), b"a line\n");
}

#[test]
fn a_reset_works_on_a_damaged_instance_and_keeps_what_is_left() {
    let place = Place::with_anna();
    fs::write(place.at("sidegate.db"), "broken").unwrap();
    fs::remove_file(place.at("keys/token.key")).unwrap();
    let aside = place.reset().unwrap();
    assert_eq!(fs::read(aside.join("sidegate.db")).unwrap(), b"broken");
    assert!(place.start().unwrap().is_new());
}

#[test]
fn a_backup_of_a_running_instance_is_whole_and_private() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    let backup = instance
        .backup(&place.at("copy"), at("2026-11-22T00:00:00Z"))
        .unwrap();
    assert_eq!(backup, place.at("copy"));
    assert_eq!(mode(&backup), 0o700);
    let files = tree(&backup);
    let names: Vec<_> = files
        .keys()
        .map(|path| path.strip_prefix(&backup).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "initialised",
            "keys/lookup.key",
            "keys/token.key",
            "manifest.json",
            "sidegate.db"
        ]
    );
    assert!(files.keys().all(|path| mode(path) == 0o600));
    let manifest: serde_json::Value = serde_json::from_slice(&files[&backup.join("manifest.json")]).unwrap();
    assert_eq!(manifest["schema"], SCHEMA);
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["time"], "2026-11-22T00:00:00.000Z");
    assert_eq!(manifest["files"].as_array().unwrap().len(), 4);
    // It is the state of its moment.
    put(&instance, "user/berta", "{}");
    drop(instance);
    place.restore(&backup).unwrap();
    place.has_anna();
    assert_eq!(get(&place.open().unwrap(), "user/berta"), None);
}

#[test]
fn a_backup_overwrites_nothing() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    let now = at("2026-11-22T00:34:57Z");
    fs::write(place.at("file"), "mine").unwrap();
    assert_eq!(code(instance.backup(&place.at("file"), now)), 73);
    assert_eq!(fs::read(place.at("file")).unwrap(), b"mine");
    assert_eq!(code(instance.backup(&place.at("no/such/parent"), now)), 73);
    let dir = tempfile::tempdir().unwrap();
    let first = instance.backup(dir.path(), now).unwrap();
    assert_eq!(first, dir.path().join("backup-2026-11-22T00-34-57Z"));
    let second = instance.backup(dir.path(), now).unwrap();
    assert_eq!(second, dir.path().join("backup-2026-11-22T00-34-57Z-2"));
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        2,
        "nothing half-made stays"
    );
}

#[test]
fn a_backup_is_restored_where_nothing_was() {
    let place = Place::with_anna();
    let id = place.open().unwrap().id().to_owned();
    let dir = tempfile::tempdir().unwrap();
    let backup = place
        .open()
        .unwrap()
        .backup(dir.path(), at("2026-11-22T00:00:00Z"))
        .unwrap();
    let other = self::place();
    assert_eq!(other.restore(&backup).unwrap(), None);
    other.has_anna();
    assert_eq!(other.open().unwrap().id(), id);
    for (name, wanted) in [
        ("", 0o700),
        ("keys", 0o700),
        ("keys/token.key", 0o600),
        ("sidegate.db", 0o600),
    ] {
        assert_eq!(mode(&other.at(name)), wanted, "{name}");
    }
    assert!(!other.at("restoring").exists() && !other.at("pending").exists());
}

// A restored store is older than what was acknowledged, and this time on purpose.
#[test]
fn a_restore_sets_aside_what_was_there() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    let backup = instance
        .backup(&place.at("copy"), at("2026-11-22T00:00:00Z"))
        .unwrap();
    for n in 0..10 {
        put(&instance, &format!("user/{n}"), "later");
    }
    drop(instance);
    let aside = place.restore(&backup).unwrap().unwrap();
    assert_eq!(aside, place.at("backup-2026-11-22T01-00-00Z"));
    place.has_anna();
    assert_eq!(get(&place.open().unwrap(), "user/9"), None);
    place.restore(&aside).unwrap().unwrap();
    assert_eq!(get(&place.open().unwrap(), "user/9").as_deref(), Some("later"));
}

// "verifies manifest first"
#[test]
fn a_bad_backup_is_refused_before_anything_is_touched() {
    type Harm = fn(&Path);
    fn edit(dir: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(dir.join("manifest.json"), text.replacen(from, to, 1)).unwrap();
    }
    fn flip(path: PathBuf) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }
    let harms: [(&str, Harm); 11] = [
        ("a flipped store", |dir| flip(dir.join("sidegate.db"))),
        ("a flipped key", |dir| flip(dir.join("keys/token.key"))),
        ("a flipped marker", |dir| flip(dir.join("initialised"))),
        ("a missing key", |dir| {
            fs::remove_file(dir.join("keys/lookup.key")).unwrap()
        }),
        ("no manifest", |dir| {
            fs::remove_file(dir.join("manifest.json")).unwrap()
        }),
        ("a manifest of zero bytes", |dir| {
            fs::write(dir.join("manifest.json"), "").unwrap()
        }),
        ("a path that leads out", |dir| {
            edit(dir, "\"keys/token.key\"", "\"../token.key\"")
        }),
        ("an absolute path", |dir| {
            edit(dir, "\"keys/token.key\"", "\"/etc/passwd\"")
        }),
        ("a manifest without the marker", |dir| {
            edit(dir, "\"initialised\"", "\"audit.jsonl\"")
        }),
        ("a newer schema", |dir| {
            edit(dir, "\"schema\": 1", "\"schema\": 2")
        }),
        ("a newer form", |dir| edit(dir, "\"format\": 1", "\"format\": 2")),
    ];
    for (what, harm) in harms {
        let place = Place::with_anna();
        let backup = place._dir.path().join("backup");
        place
            .open()
            .unwrap()
            .backup(&backup, at("2026-11-22T00:00:00Z"))
            .unwrap();
        harm(&backup);
        let before = tree(&place.data);
        let error = place.restore(&backup).unwrap_err();
        assert_eq!(error.exit_code(), 65, "{what}: {error}");
        assert!(tree(&place.data) == before, "{what}");
        place.has_anna();
    }
    let place = Place::with_anna();
    assert_eq!(code(place.restore(&place._dir.path().join("nowhere"))), 66);
}

// Right digests of wrong things: the backup of one instance with the keys of another.
#[test]
fn a_backup_put_together_from_two_is_refused() {
    let (one, other) = (Place::with_anna(), Place::with_anna());
    let mixed = one._dir.path().join("mixed");
    let now = at("2026-11-22T00:00:00Z");
    one.open().unwrap().backup(&mixed, now).unwrap();
    let foreign = other.open().unwrap().backup(&other.at("copy"), now).unwrap();
    fs::copy(foreign.join("sidegate.db"), mixed.join("sidegate.db")).unwrap();
    let read = |dir: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap()
    };
    let (mut manifest, theirs) = (read(&mixed), read(&foreign));
    let store = |manifest: &serde_json::Value| {
        let files = manifest["files"].as_array().unwrap();
        files
            .iter()
            .position(|entry| entry["name"] == "sidegate.db")
            .unwrap()
    };
    let index = store(&manifest);
    manifest["files"][index] = theirs["files"][store(&theirs)].clone();
    fs::write(mixed.join("manifest.json"), manifest.to_string()).unwrap();
    assert_eq!(code(one.restore(&mixed)), 65);
    one.has_anna();
}

const ROTATED: &str = "2026-11-22T00:10:00Z";

/// Puts a new pair before those there are.
fn rotate(instance: &Instance) -> Result<(), InstanceError> {
    let pair = instance.new_keys(at(ROTATED))?;
    instance.replace_keys(instance.keys().with_new(pair, &[]))
}

/// The ids of a ring, with a star where nothing verifies any more.
fn ids(keys: &KeyRing) -> Vec<String> {
    let shown = |pair: &KeyPair| match pair.token {
        Some(_) => pair.id.to_string(),
        None => format!("{}*", pair.id),
    };
    keys.pairs().iter().map(shown).collect()
}

fn key_files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("keys")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn new_keys_stand_beside_the_old_ones_and_are_there_after_a_restart() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    let first = both_keys(&instance);
    rotate(&instance).unwrap();
    assert_eq!(ids(&instance.keys()), ["2", "1"]);
    assert_ne!(both_keys(&instance).0, first.0);
    assert_ne!(both_keys(&instance).1, first.1);
    let second = both_keys(&instance);
    drop(instance);
    let instance = place.open().unwrap();
    assert_eq!(ids(&instance.keys()), ["2", "1"]);
    assert_eq!(both_keys(&instance), second);
    let ring = instance.keys();
    let older = &ring.pairs()[1];
    assert_eq!((older.token.clone().unwrap(), older.lookup.clone()), first);
    assert_eq!(older.created, instance.created());
    assert_eq!(instance.keys().newest().created, at(ROTATED));
    for name in key_files(&place.data) {
        assert_eq!(mode(&place.at("keys").join(&name)), 0o600, "{name}");
    }

    // Only what revoked tokens are known by is left of the first, and then nothing.
    let keep = |pair: &KeyPair| {
        Some(KeyPair {
            token: None,
            ..pair.clone()
        })
    };
    instance.replace_keys(instance.keys().map_older(keep)).unwrap();
    assert_eq!(
        key_files(&place.data),
        ["lookup-2.key", "lookup.key", "token-2.key"]
    );
    drop(instance);
    let instance = place.open().unwrap();
    assert_eq!(ids(&instance.keys()), ["2", "1*"]);
    instance
        .replace_keys(instance.keys().map_older(|_| None))
        .unwrap();
    drop(instance);
    let instance = place.open().unwrap();
    assert_eq!(ids(&instance.keys()), ["2"]);
    assert_eq!(key_files(&place.data), ["lookup-2.key", "token-2.key"]);
    // "never used twice"
    rotate(&instance).unwrap();
    assert_eq!(ids(&instance.keys()), ["3", "2"]);
    drop(instance);
    place.has_anna();
}

// An instance of the form before: one pair, named by the record without a list.
#[test]
fn an_instance_with_a_single_pair_of_keys_opens_as_the_first() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    let keys = both_keys(&instance);
    let record: serde_json::Value = serde_json::from_str(&get(&instance, "instance/this").unwrap()).unwrap();
    let pair = &record["keys"][0];
    let earlier = serde_json::json!({
        "instance": record["instance"],
        "created": record["created"],
        "token_key": pair["token_key"],
        "lookup_key": pair["lookup_key"],
    });
    put(&instance, "instance/this", &earlier.to_string());
    drop(instance);
    let instance = place.open().unwrap();
    assert_eq!(ids(&instance.keys()), ["1"]);
    assert_eq!(both_keys(&instance), keys);
    assert_eq!(instance.keys().newest().created, instance.created());
    rotate(&instance).unwrap();
    drop(instance);
    assert_eq!(ids(&place.open().unwrap().keys()), ["2", "1"]);
    place.has_anna();
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

// Crash points of a rotation: the files of the new keys come first, then the record.
#[test]
fn a_rotation_that_was_interrupted_leaves_the_old_ring_or_the_new_one() {
    let place = Place::with_anna();
    let before = place._dir.path().join("before");
    copy_dir(&place.data, &before);
    let instance = place.start().unwrap();
    let first = both_keys(&instance);
    rotate(&instance).unwrap();
    let second = both_keys(&instance);
    drop(instance);
    let begun: [&[&str]; 4] = [
        &["token-2.key.new"],
        &["token-2.key"],
        &["token-2.key", "lookup-2.key.new"],
        &["token-2.key", "lookup-2.key"],
    ];
    for files in begun {
        let data = place._dir.path().join("killed");
        copy_dir(&before, &data);
        for name in files {
            let bytes = fs::read(place.at("keys").join(name.trim_end_matches(".new"))).unwrap();
            // Half of it, where the writing was interrupted.
            let length = if name.ends_with(".new") { 16 } else { 32 };
            fs::write(data.join("keys").join(name), &bytes[..length]).unwrap();
            fs::set_permissions(data.join("keys").join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let killed = Place {
            url: StoreUrl::Sqlite(data.join("sidegate.db")),
            data,
            ..self::place()
        };
        let instance = killed.open().unwrap_or_else(|error| panic!("{files:?}: {error}"));
        assert_eq!(ids(&instance.keys()), ["1"], "{files:?}");
        assert_eq!(both_keys(&instance), first, "{files:?}");
        // Those that were never acknowledged are not taken for new ones.
        rotate(&instance).unwrap();
        assert_ne!(both_keys(&instance), second, "{files:?}");
        let third = instance.keys().newest().id;
        drop(instance);
        let instance = killed.open().unwrap();
        assert_eq!(ids(&instance.keys()), [third.to_string(), "1".to_owned()]);
        let left = key_files(&killed.data);
        assert_eq!(left.len(), 4, "{files:?}: nothing of it stays: {left:?}");
        drop(instance);
        killed.has_anna();
        fs::remove_dir_all(&killed.data).unwrap();
    }
    let instance = place.open().unwrap();
    assert_eq!(both_keys(&instance), second, "after the record it is done");
}

// Crash points of dropping: the record comes first, then the files go.
#[test]
fn dropped_keys_that_were_left_behind_go_with_the_next_opening() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    rotate(&instance).unwrap();
    let kept: Vec<(String, Vec<u8>)> = key_files(&place.data)
        .into_iter()
        .map(|name| (name.clone(), fs::read(place.at("keys").join(name)).unwrap()))
        .collect();
    instance
        .replace_keys(instance.keys().map_older(|_| None))
        .unwrap();
    drop(instance);
    for (name, bytes) in kept {
        let path = place.at("keys").join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let instance = place.open().unwrap();
    assert_eq!(ids(&instance.keys()), ["2"]);
    assert_eq!(key_files(&place.data), ["lookup-2.key", "token-2.key"]);
}

#[test]
fn each_key_of_the_ring_must_be_there_and_be_the_right_one() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm, u8); 4] = [
        ("missing", |path| fs::remove_file(path).unwrap(), 70),
        ("short", |path| fs::write(path, "short").unwrap(), 70),
        ("another", |path| fs::write(path, [7; 32]).unwrap(), 70),
        (
            "readable by others",
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap(),
            77,
        ),
    ];
    for name in ["token.key", "lookup.key", "token-2.key", "lookup-2.key"] {
        for (what, harm, expected) in harms {
            let place = Place::with_anna();
            rotate(&place.start().unwrap()).unwrap();
            harm(&place.at("keys").join(name));
            let before = tree(&place.data);
            let error = place.open().err().unwrap();
            assert_eq!(error.exit_code(), expected, "{name} {what}: {error}");
            assert!(error.to_string().contains(name), "{error}");
            assert!(tree(&place.data) == before, "{name} {what}");
        }
    }
}

// Tokens may rest on any of them, so none may stay behind.
#[test]
fn backup_restore_and_reset_carry_every_pair() {
    let place = Place::with_anna();
    let instance = place.start().unwrap();
    rotate(&instance).unwrap();
    let keep = |pair: &KeyPair| {
        Some(KeyPair {
            token: None,
            ..pair.clone()
        })
    };
    instance.replace_keys(instance.keys().map_older(keep)).unwrap();
    rotate(&instance).unwrap();
    assert_eq!(ids(&instance.keys()), ["3", "2", "1*"]);
    let newest = both_keys(&instance);
    let backup = instance
        .backup(&place._dir.path().join("copy"), at("2026-11-22T00:00:00Z"))
        .unwrap();
    rotate(&instance).unwrap();
    drop(instance);

    let other = self::place();
    other.restore(&backup).unwrap();
    let restored = other.open().unwrap();
    assert_eq!(ids(&restored.keys()), ["3", "2", "1*"]);
    assert_eq!(both_keys(&restored), newest);
    drop(restored);

    let aside = place.reset().unwrap();
    assert_eq!(ids(&place.start().unwrap().keys()), ["1"]);
    place.restore(&aside).unwrap();
    assert_eq!(ids(&place.open().unwrap().keys()), ["4", "3", "2", "1*"]);
    place.has_anna();

    // What the store asks for must be in a backup, whatever its manifest says.
    for name in ["token-3.key", "lookup-2.key", "lookup.key"] {
        let manifest = backup.join("manifest.json");
        let text = fs::read_to_string(&manifest).unwrap();
        let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
        let files = changed["files"].as_array_mut().unwrap();
        let many = files.len();
        files.retain(|file| file["name"] != format!("keys/{name}"));
        assert_eq!(files.len(), many - 1, "{name}");
        fs::write(&manifest, changed.to_string()).unwrap();
        let before = tree(&place.data);
        let error = place.restore(&backup).unwrap_err();
        assert_eq!(error.exit_code(), 65, "{name}: {error}");
        assert!(tree(&place.data) == before, "{name}");
        fs::write(&manifest, text).unwrap();
    }
}

// The process of the tests below: lives a whole life again and again, and says how far it came.
#[test]
#[ignore = "the process that the tests below start and kill"]
fn child_that_lives() {
    let Ok(data) = std::env::var("SIDEGATE_TEST_DATA") else {
        return;
    };
    let data = PathBuf::from(data);
    let url = StoreUrl::Sqlite(data.join("sidegate.db"));
    let place = Place {
        data,
        url,
        ..self::place()
    };
    let mut n = 0;
    loop {
        let instance = match place.start() {
            Ok(instance) => instance,
            Err(error) => return println!("failed with {}: {error}", error.exit_code()),
        };
        n = get(&instance, "count").map_or(n, |count| count.parse().unwrap()) + 1;
        put(&instance, "count", &n.to_string());
        println!("acknowledged {n}");
        println!("rotated {}", rotate(&instance).is_ok());
        if n % 3 == 0 {
            let one = instance.keys().map_older(|_| None);
            println!("dropped {}", instance.replace_keys(one).is_ok());
        }
        let backup = instance.backup(&place.at(&format!("copy-{n}")), at("2026-11-22T00:00:00Z"));
        drop(instance);
        println!("backup {}", backup.is_ok());
        if n % 2 == 0 {
            println!("reset {}", place.reset().is_ok());
        }
        println!("restored {}", place.restore(&backup.unwrap()).is_ok());
    }
}

fn child(shell: &str, data: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("{shell} exec \"$0\" --exact child_that_lives --ignored --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env("SIDEGATE_TEST_DATA", data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn count(data: &Path) -> Option<u64> {
    let url = StoreUrl::Sqlite(data.join("sidegate.db"));
    let instance = Instance::open_existing(data, &url, &Clock::system()).ok()?;
    get(&instance, "count").map(|count| count.parse().unwrap())
}

// "kill -9 at any point loses nothing": what was acknowledged is in the instance, or, between a reset
// and the restore after it, in what was set aside; and the instance always starts.
#[test]
fn a_killed_process_leaves_an_instance_that_starts_and_has_lost_nothing() {
    let place = place();
    fs::create_dir(&place.data).unwrap();
    let mut acknowledged = 0;
    for round in 0..25usize {
        let mut process = child("", &place.data).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for line in lines.by_ref().take(4 + round % 13) {
            let line = line.unwrap();
            assert!(!line.contains("failed") && !line.contains("false"), "{line}");
            if let Some((_, n)) = line.split_once("acknowledged ") {
                acknowledged = n.parse().unwrap();
            }
        }
        for _ in 0..(round * 7919) % 97 * 3000 {
            std::hint::spin_loop();
        }
        process.kill().unwrap();
        process.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some((_, n)) = line.split_once("acknowledged ") {
                acknowledged = n.parse().unwrap();
            }
        }
        drop(
            place
                .start()
                .unwrap_or_else(|error| panic!("round {round}: {error}")),
        );
        let mut kept = count(&place.data);
        for entry in fs::read_dir(&place.data).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if kept >= Some(acknowledged) {
                break;
            }
            if name.starts_with("backup-") {
                let scratch = self::place();
                scratch.restore(&path).unwrap();
                kept = kept.max(count(&scratch.data));
            }
        }
        assert!(
            kept >= Some(acknowledged),
            "round {round}: {kept:?} of {acknowledged}"
        );
        // The next round goes on from the latest, in a directory that does not grow.
        for entry in fs::read_dir(&place.data).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != "keys" {
                fs::remove_dir_all(path).unwrap();
            }
        }
        let instance = place.start().unwrap();
        put(&instance, "count", &acknowledged.to_string());
    }
    assert!(acknowledged >= 25, "{acknowledged}");
}

#[test]
fn files_are_private_whatever_the_umask_is() {
    for umask in ["0000", "0777"] {
        let place = place();
        let mut process = child(&format!("umask {umask};"), &place.data).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines
            .map_while(Result::ok)
            .find(|line| line.contains("backup") || line.contains("failed"));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(first.unwrap().contains("backup true"), "umask {umask}");
        drop(place.start().unwrap());
        for (name, wanted) in [
            ("", 0o700),
            ("keys", 0o700),
            ("keys/token.key", 0o600),
            ("sidegate.db", 0o600),
            ("initialised", 0o600),
        ] {
            assert_eq!(mode(&place.at(name)), wanted, "umask {umask}: {name}");
        }
    }
}

// Also when the tests run as root, for whom no directory is read-only: then as somebody else.
#[test]
fn a_data_directory_of_someone_else_is_no_permission() {
    let place = Place::with_anna();
    let own = fs::metadata(&place.data).unwrap().uid();
    let program = place._dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(place._dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--exact", "child_that_lives", "--ignored", "--nocapture"])
        .env("SIDEGATE_TEST_DATA", &place.data)
        .current_dir("/");
    if own == 0 {
        command.uid(65_534).gid(65_534);
    } else {
        fs::set_permissions(&place.data, fs::Permissions::from_mode(0o500)).unwrap();
        fs::remove_file(place.at("instance.lock")).unwrap();
    }
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    fs::set_permissions(&place.data, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(output.contains("failed with 77: "), "{output}");
    assert!(output.contains("chown"), "{output}");
    place.has_anna();
}
