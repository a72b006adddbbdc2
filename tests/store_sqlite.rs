//! What the SQLite store does with broken files, other programs, full disks and violent deaths.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sidegate::store::sqlite::{SCHEMA, SqliteStore};
use sidegate::store::{Change, Event, Expect, Revision, Store, StoreError, Versioned};
use sidegate::time::{Clock, Timestamp};

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Clock::system())
}

fn put(key: &str, body: &str) -> Change {
    Change {
        key: key.into(),
        body: Some(body.into()),
        expect: Expect::Any,
    }
}

/// A closed store with some hundred records, and what is in it.
fn some_store() -> (tempfile::TempDir, PathBuf, Vec<Versioned>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    let store = open(&path).unwrap();
    for user in ["anna", "berta"] {
        let changes: Vec<_> = (0..60)
            .map(|n| {
                put(
                    &format!("token/{user}/t{n}"),
                    &format!(r#"{{"user":"{user}","n":{n}}}"#),
                )
            })
            .collect();
        store.commit_blocking(&changes).unwrap();
    }
    let all = store.scan_blocking("", None, 1000).unwrap();
    drop(store);
    (dir, path, all)
}

/// What is found in a store after something happened to it: an error, or exactly what was there.
fn found(path: &Path) -> Result<Vec<Versioned>, StoreError> {
    open(path)?.scan_blocking("", None, 10_000)
}

fn feed(store: &SqliteStore) -> Vec<Event> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.changes(Revision(0))).unwrap()
}

fn is_damaged<T>(result: Result<T, StoreError>) {
    match result {
        Err(StoreError::Damaged(_)) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("nothing was noticed"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn all_files_of_a_store_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    let store = open(&path).unwrap();
    store.commit_blocking(&[put("a", "1")]).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        [
            "sidegate.db",
            "sidegate.db-shm",
            "sidegate.db-wal",
            "sidegate.db.lock"
        ]
    );
    drop(store);
    assert!(!dir.path().join("sidegate.db-wal").exists(), "closed cleanly");
}

// "Another process owns it."
#[test]
fn a_second_opener_is_told_that_the_store_is_in_use() {
    let (_dir, path, all) = some_store();
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Locked(_))));
    drop(first);
    assert_eq!(found(&path).unwrap(), all);
}

// "never an empty store in place of a broken one"
#[test]
fn a_file_cut_to_any_length_is_damaged() {
    let (_dir, path, _) = some_store();
    let whole = fs::read(&path).unwrap();
    let lengths = [
        0,
        1,
        15,
        16,
        99,
        100,
        101,
        511,
        512,
        4095,
        4096,
        4097,
        whole.len() / 2,
        whole.len() - 4096,
    ];
    for length in lengths.into_iter().chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        is_damaged(found(&path));
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            length as u64,
            "left as it was found"
        );
    }
}

#[test]
fn a_file_of_zeros_or_of_something_else_is_damaged() {
    let (dir, path, _) = some_store();
    let length = fs::metadata(&path).unwrap().len() as usize;
    let others: [Vec<u8>; 3] = [
        vec![0; length],
        b"hello\n".repeat(1000),
        b"SQLite format 3\0".to_vec(),
    ];
    for other in others {
        fs::write(&path, other).unwrap();
        is_damaged(found(&path));
    }
    let foreign = rusqlite::Connection::open(dir.path().join("foreign.db")).unwrap();
    foreign
        .execute_batch("CREATE TABLE record (key TEXT PRIMARY KEY, body TEXT)")
        .unwrap();
    drop(foreign);
    is_damaged(found(&dir.path().join("foreign.db")));
}

#[test]
fn what_is_no_file_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("directory.db")).unwrap();
    is_damaged(found(&dir.path().join("directory.db")));
    std::os::unix::fs::symlink("/dev/full", dir.path().join("full.db")).unwrap();
    is_damaged(found(&dir.path().join("full.db")));
}

// One bit in every few bytes: the answer is an error or the truth. A body is never another body.
#[test]
fn a_flipped_bit_never_changes_an_answer() {
    let (_dir, path, all) = some_store();
    let events = feed(&open(&path).unwrap());
    let whole = fs::read(&path).unwrap();
    for at in (0..100).chain((100..whole.len()).step_by(29)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&path, flipped).unwrap();
        match open(&path) {
            // Free space, and numbers that nobody reads.
            Ok(store) => {
                assert_eq!(store.scan_blocking("", None, 10_000).unwrap(), all, "byte {at}");
                assert_eq!(feed(&store), events, "byte {at}");
            }
            Err(StoreError::Damaged(_) | StoreError::TooNew { .. }) => {}
            Err(other) => panic!("byte {at}: {other}"),
        }
        let _ = fs::remove_file(path.with_extension("db-wal"));
        let _ = fs::remove_file(path.with_extension("db-shm"));
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(found(&path).unwrap(), all);
}

#[test]
fn a_bit_flipped_in_a_key_or_body_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    open(&path)
        .unwrap()
        .commit_blocking(&[put("user/anna", r#"{"role":"read-only"}"#)])
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let mut places = 0;
    let text = br#"user/anna{"role":"read-only"}"#;
    for start in 0..whole.len() - text.len() {
        if !whole[start..].starts_with(text) {
            continue;
        }
        places += 1;
        for at in start..start + text.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).unwrap();
            is_damaged(found(&path));
        }
    }
    assert!(places > 0);
}

// A store too large to be checked whole at the start still never gives a wrong answer.
#[test]
fn a_body_changed_behind_our_back_is_damaged_when_it_is_read() {
    let (_dir, path, _) = some_store();
    let store = open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE record SET body = replace(body, 'berta', 'owner') WHERE key = 'token/berta/t7'";
    assert_eq!(other.execute(sql, []).unwrap(), 1);
    drop(other);
    is_damaged(store.get_blocking("token/berta/t7"));
    is_damaged(store.scan_blocking("token/berta/", None, 100));
    assert!(store.get_blocking("token/berta/t8").unwrap().is_some());
}

#[test]
fn other_tables_than_ours_are_damage() {
    let (_dir, path, _) = some_store();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END")
        .unwrap();
    drop(other);
    is_damaged(found(&path));
}

#[test]
fn a_store_that_vanished_is_damaged_and_not_made_anew() {
    let (_dir, path, _) = some_store();
    fs::remove_file(&path).unwrap();
    is_damaged(found(&path));
    assert!(!path.exists());
}

// S-04: "replaced by older backup (rollback: revoked tokens return)"
#[test]
fn an_older_copy_in_its_place_is_damaged() {
    let (_dir, path, _) = some_store();
    let older = fs::read(&path).unwrap();
    open(&path)
        .unwrap()
        .commit_blocking(&[put("revoked/1", "{}")])
        .unwrap();
    fs::write(&path, older).unwrap();
    is_damaged(found(&path));
}

// "A newer version wrote it."
#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let (_dir, path, all) = some_store();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert_eq!(
        error,
        StoreError::TooNew {
            found: SCHEMA + 1,
            known: SCHEMA
        }
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", SCHEMA).unwrap();
    drop(other);
    assert_eq!(found(&path).unwrap(), all);
}

#[test]
fn a_directory_that_is_not_there_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let result = open(&dir.path().join("no/sidegate.db"));
    assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
}

// A crash during the very first start leaves the file under its temporary name.
#[test]
fn an_unfinished_creation_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    fs::write(dir.path().join("sidegate.db.new"), "half").unwrap();
    fs::write(dir.path().join("sidegate.db.new-journal"), "half").unwrap();
    open(&path).unwrap().commit_blocking(&[put("a", "1")]).unwrap();
    assert_eq!(found(&path).unwrap().len(), 1);
}

// "a store may forget events older than a day", and never the newest, from which the next revision
// follows.
#[test]
fn old_events_are_forgotten_and_revisions_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    let clock = Clock::manual(Timestamp::from_millis(0));
    let store = SqliteStore::open(&path, clock.clone()).unwrap();
    let commit = |n: u32| store.commit_blocking(&[put("a", &n.to_string())]).unwrap();
    for n in 0..5 {
        commit(n);
    }
    clock.advance(Duration::from_secs(24 * 3600 + 1));
    commit(5);
    commit(6);
    let events = || -> Vec<u64> { feed(&store).iter().map(|event| event.revision.0).collect() };
    assert_eq!(events(), [5, 6, 7], "the newest of the old ones stays");
    clock.advance(Duration::from_secs(48 * 3600));
    store.commit_blocking(&[]).unwrap();
    assert_eq!(events(), [7]);
    drop(store);
    let again = SqliteStore::open(&path, clock).unwrap();
    assert_eq!(again.commit_blocking(&[put("a", "7")]).unwrap(), Revision(8));
}

#[test]
fn a_copy_is_a_whole_private_store_of_one_moment() {
    let (dir, path, all) = some_store();
    let store = open(&path).unwrap();
    let copy = dir.path().join("copy.db");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for n in 0..50 {
                let pair = [put("left", &n.to_string()), put("right", &n.to_string())];
                store.commit_blocking(&pair).unwrap();
            }
        });
        store.copy_to(&copy).unwrap();
        writing.join().unwrap();
    });
    assert_eq!(mode(&copy), 0o600);
    assert!(
        matches!(store.copy_to(&copy), Err(StoreError::Unavailable(_))),
        "nothing is overwritten"
    );
    let copied = open(&copy).unwrap();
    let body = |key: &str| copied.get_blocking(key).unwrap().map(|record| record.body);
    assert_eq!(body("left"), body("right"));
    let tokens = copied.scan_blocking("token/", None, 1000).unwrap();
    assert_eq!(tokens, all);
}

// The child of the tests below: commits numbers and prints each when it has been acknowledged.
#[test]
#[ignore = "the process that the tests below kill"]
fn child_that_commits() {
    let Ok(path) = std::env::var("SIDEGATE_TEST_STORE") else {
        return;
    };
    let store = match open(Path::new(&path)) {
        Ok(store) => store,
        Err(error) => {
            println!("failed {error:?}");
            return;
        }
    };
    let start = store
        .get_blocking("left")
        .unwrap()
        .map_or(0, |found| found.body.parse::<u64>().unwrap());
    let filler = "x".repeat(2000);
    let mut out = std::io::stdout().lock();
    for n in start + 1.. {
        let changes = [
            put("left", &n.to_string()),
            put(&format!("n/{n:06}"), &filler),
            put("right", &n.to_string()),
        ];
        match store.commit_blocking(&changes) {
            Ok(_) => writeln!(out, "acknowledged {n}").unwrap(),
            Err(error) => {
                writeln!(out, "failed {error:?}").unwrap();
                // Reading goes on.
                let left = store.get_blocking("left").unwrap().unwrap();
                writeln!(out, "left {}", left.body).unwrap();
                return;
            }
        }
    }
}

fn child(path: &Path, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("{shell} exec \"$0\" --exact child_that_commits --ignored --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env("SIDEGATE_TEST_STORE", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn acknowledged(line: &str) -> Option<u64> {
    // The test harness may have begun the line.
    line.split_once("acknowledged ")?.1.parse().ok()
}

/// Everything up to `at_least` is there, in whole commits.
fn assert_whole(path: &Path, at_least: u64) {
    let store = open(path).unwrap();
    let number = |key: &str| {
        store
            .get_blocking(key)
            .unwrap()
            .map_or(0, |found| found.body.parse().unwrap())
    };
    let last: u64 = number("left");
    assert!(last >= at_least, "{at_least} was acknowledged, {last} is there");
    assert_eq!(number("right"), last);
    let numbers = store.scan_blocking("n/", None, usize::MAX).unwrap();
    assert_eq!(numbers.len() as u64, last);
}

// S-01: "kill -9 at random points [..]: after restart either old or new state, acknowledged
// revocations never come back"
#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    for round in 0..30u64 {
        let mut process = child(&path, "").spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut last = 0;
        let mut seen = 0;
        // A different number of commits each time, so that it also hits checkpoints.
        while seen < 1 + (round * 13) % 40 {
            let line = lines.next().expect("the child runs until it is killed").unwrap();
            assert!(!line.contains("failed"), "{line}");
            if let Some(n) = acknowledged(&line) {
                (last, seen) = (n, seen + 1);
            }
        }
        process.kill().unwrap();
        process.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            last = acknowledged(&line).unwrap_or(last);
        }
        assert_whole(&path, last);
    }
}

/// A store whose owner was killed, with its log beside it.
fn killed_store(dir: &Path) -> PathBuf {
    let path = dir.join("sidegate.db");
    let mut process = child(&path, "").spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .find(|line| acknowledged(line) == Some(40))
        .unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    path
}

// SQLite itself takes a missing log for no log, and revoked tokens would be back.
#[test]
fn a_deleted_log_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed_store(dir.path());
    let log = dir.path().join("sidegate.db-wal");
    let saved = fs::read(&log).unwrap();
    assert!(saved.len() > 40 * 4096);
    fs::remove_file(&log).unwrap();
    is_damaged(found(&path));
    let _ = fs::remove_file(dir.path().join("sidegate.db-shm"));
    fs::write(&log, saved).unwrap();
    assert_whole(&path, 40);
}

#[test]
fn a_bit_flipped_in_the_log_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = killed_store(dir.path());
    let log = dir.path().join("sidegate.db-wal");
    let length = fs::metadata(&log).unwrap().len();
    for at in [0, 17, 40, 4000, length / 2] {
        let file = OpenOptions::new().read(true).write(true).open(&log).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 4], at).unwrap();
        is_damaged(found(&path));
        file.write_all_at(&byte, at).unwrap();
    }
    assert_whole(&path, 40);
}

// S-02: "ENOSPC/EDQUOT/EIO [..]: admin ops fail with error". A limit on the size of files, whose
// signal is ignored, makes writes fail as a full disk does.
#[test]
fn a_full_disk_is_unavailable_and_nothing_is_half_written() {
    for blocks in [100, 150, 301] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sidegate.db");
        let output = child(&path, &format!("trap '' XFSZ; ulimit -f {blocks};"))
            .output()
            .unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let last = output.lines().filter_map(acknowledged).next_back().unwrap_or(0);
        assert!(last > 0, "{output}");
        assert!(output.contains("failed Unavailable"), "{output}");
        assert!(
            output.contains(&format!("left {last}\n")),
            "reading goes on: {output}"
        );
        assert_whole(&path, last);
    }
}

/// Peak resident memory of this process in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

// S-13: "1 M tokens: load time, RSS, lookups O(1)". Run alone, with --nocapture for the figures.
#[test]
#[ignore = "takes a minute"]
fn a_million_tokens_are_read_in_pages_with_flat_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sidegate.db");
    let store = open(&path).unwrap();
    let body = format!(r#"{{"verifier":"{}"}}"#, "a".repeat(380));
    let started = std::time::Instant::now();
    for user in 0..1000 {
        let changes: Vec<_> = (0..1000)
            .map(|n| put(&format!("token/u{user:03}/t{n:03}"), &body))
            .collect();
        store.commit_blocking(&changes).unwrap();
    }
    println!(
        "written in {:?}, {} bytes",
        started.elapsed(),
        fs::metadata(&path).unwrap().len()
    );
    drop(store);
    let started = std::time::Instant::now();
    let store = open(&path).unwrap();
    println!("opened in {:?}", started.elapsed());
    let before = peak_memory();
    let started = std::time::Instant::now();
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.scan_blocking("token/", after.as_deref(), 1000).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        count += page.len();
    }
    let (took, grew) = (started.elapsed(), peak_memory() - before);
    println!("scanned in {took:?}, {grew} KiB more");
    let started = std::time::Instant::now();
    for n in 0..10_000 {
        let key = format!("token/u{:03}/t{:03}", n * 7 % 1000, n % 1000);
        assert!(store.get_blocking(&key).unwrap().is_some());
    }
    println!("10,000 look-ups in {:?}", started.elapsed());
    assert_eq!(count, 1_000_000);
    assert!(grew < 64 << 10, "{grew} KiB more");
}
