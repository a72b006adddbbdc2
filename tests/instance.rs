//! The data directory: first starts, damage, backups and violent deaths.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sidegate::config::settings::StoreUrl;
use sidegate::instance::{Instance, InstanceError, reset, restore};
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
        first.keys().token.expose()
    );
    assert_eq!(first.keys().token.expose().len(), 32);
    assert_eq!(first.keys().lookup.expose().len(), 32);
    assert_ne!(first.keys().token, first.keys().lookup);
    assert_eq!(first.audit_file(), place.at("audit.jsonl"));
}

#[test]
fn a_second_start_finds_the_same_instance() {
    let place = place();
    let first = place.start().unwrap();
    let (id, keys) = (first.id().to_owned(), first.keys().clone());
    drop(first);
    let second = place.start().unwrap();
    assert!(!second.is_new());
    assert_eq!(second.id(), id);
    assert_eq!(
        (&second.keys().token, &second.keys().lookup),
        (&keys.token, &keys.lookup)
    );
    drop(second);
    assert_eq!(place.open().unwrap().id(), id);
    let other = self::place();
    assert_ne!(other.start().unwrap().keys().token, keys.token);
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
            assert_eq!(instance.keys().token.expose(), kept, "after {done}");
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
    assert_eq!(instance.keys().token.expose().len(), 32);
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
    assert_ne!(next.keys().token.expose(), key);
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
