//! The file of a store: made whole or not at all, and believed only after it has been looked at.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::super::durable;
use super::super::lock::Lock;
use super::super::{Revision, StoreError};
use super::rows;

/// "SdGt": the number by which our files are told from every other SQLite database.
const APPLICATION_ID: i32 = 0x5364_4774;

/// What leads from each schema version to the next; the first makes version 1. Never edit an entry
/// that has been released: append.
const MIGRATIONS: &[&str] = &[include_str!("schema-1.sql")];

/// The schema version that this binary reads and writes.
pub(super) const SCHEMA: u32 = 1;
const _: () = assert!(MIGRATIONS.len() == SCHEMA as usize);

/// Up to this size, in bytes, every page and every record is checked when the store is opened.
/// Above it that would take seconds: then it is the header, the length, the first page and, at each
/// reading, the record.
const CHECKED_WHOLE: u64 = 64 << 20;

/// Makes sure that there is a sound store of our schema, creating it if nothing is there, and
/// returns the connection that may write with the present revision.
pub(super) fn open(path: &Path, lock: &Lock) -> Result<(Connection, Revision), StoreError> {
    let acknowledged = lock.acknowledged()?;
    match fs::metadata(path) {
        Ok(found) => check_header(path, &found)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let logged = fs::metadata(durable::beside(path, "-wal")).map_or(0, |log| log.size());
            if acknowledged > Revision(0) || logged > 0 {
                return Err(damaged(
                    path,
                    "the file is gone, but what was written beside it is there",
                ));
            }
            create(path)?;
        }
        Err(error) => return Err(unavailable(path, &error)),
    }
    let mut writer = connect(path)?;
    // Until it has been found sound, closing it must not touch it: what is left of a damaged store,
    // or of one that a newer version wrote, is for others to save.
    keep_log_on_close(path, &writer, true)?;
    check_version(path, &writer)?;
    check_content(path, &writer)?;
    let revision = rows::revision(&writer).map_err(|error| explain(path, error))?;
    if revision < acknowledged {
        return Err(damaged(
            path,
            &format!(
                "it ends at revision {}, but {} was acknowledged: an older copy, or its -wal file was lost",
                revision.0, acknowledged.0
            ),
        ));
    }
    prepare(path, &mut writer)?;
    lock.acknowledge(revision)?;
    keep_log_on_close(path, &writer, false)?;
    Ok((writer, revision))
}

/// A connection to a store that exists, set to our needs.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        // Somebody may be looking at the file with another program; a writer waits that long.
        connection.busy_timeout(Duration::from_secs(2))?;
        // Nothing that stands in the file, such as a view or a trigger, may act by itself.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        // FULL: the write-ahead log is synced by every commit, so acknowledged means durable.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "fullfsync", true)?;
        // In KiB when negative.
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        Ok(connection)
    };
    open().map_err(|error| explain(path, error))
}

/// What an error of the driver means for whoever must act on it.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> StoreError {
    use rusqlite::Error;
    match &error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(path, &error.to_string()),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Unavailable(format!(
                "{}: another program holds it locked; close that program",
                path.display()
            )),
            ErrorCode::DiskFull => {
                StoreError::Unavailable(format!("{}: the disk is full; make room", path.display()))
            }
            // With no room for the files beside the store, SQLite says this and not that the disk is full.
            ErrorCode::SystemIoFailure => StoreError::Unavailable(format!(
                "{}: {error}; make sure that the disk is not full, and look at the system's log",
                path.display()
            )),
            // Our statements are constant and right, so what SQLite cannot make sense of is the file.
            ErrorCode::Unknown if failure.extended_code == rusqlite::ffi::SQLITE_ERROR => {
                damaged(path, &error.to_string())
            }
            _ => unavailable(path, &error),
        },
        Error::SqlInputError { .. } => damaged(path, &error.to_string()),
        // A value of a type that the schema does not allow.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => damaged(path, &error.to_string()),
        _ => unavailable(path, &error),
    }
}

pub(super) fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged(format!("{}: {what}", path.display()))
}

fn unavailable(path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

/// An empty store under another name first: a file of length zero under the right name can then
/// only be a broken one.
fn create(path: &Path) -> Result<(), StoreError> {
    let new = durable::beside(path, ".new");
    let made = || -> std::io::Result<()> {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            durable::remove(&durable::beside(&new, suffix))?;
        }
        durable::create(&new).map(drop)
    };
    made().map_err(|error| unavailable(&new, &error))?;
    let mut connection = connect(&new)?;
    fill(&mut connection).map_err(|error| explain(&new, error))?;
    connection.close().map_err(|(_, error)| explain(&new, error))?;
    let placed = || -> std::io::Result<()> {
        fs::File::open(&new)?.sync_all()?;
        durable::rename(&new, path)
    };
    placed().map_err(|error| unavailable(path, &error))
}

fn fill(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(connection, 0)?;
    // Stands in the file from now on.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}

/// Runs the migrations after `found`, all of them or none.
fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (version, migration) in (1u32..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()
}

/// What the first hundred bytes say (<https://www.sqlite.org/fileformat.html> section 1.3), before
/// SQLite may write anything.
fn check_header(path: &Path, found: &fs::Metadata) -> Result<(), StoreError> {
    if !found.is_file() {
        return Err(damaged(path, "it is not a regular file"));
    }
    let mut header = [0u8; 100];
    let mut file = fs::File::open(path).map_err(|error| unavailable(path, &error))?;
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damaged(path, &format!("it is only {} bytes long", found.size())));
        }
        Err(error) => return Err(unavailable(path, &error)),
    }
    let number = |at: usize| i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !header.starts_with(b"SQLite format 3\0") || number(68) != APPLICATION_ID {
        return Err(damaged(path, "it is not a store of sidegate"));
    }
    Ok(())
}

fn keep_log_on_close(path: &Path, connection: &Connection, keep: bool) -> Result<(), StoreError> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
        .map_err(|error| explain(path, error))
}

fn check_version(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if found > SCHEMA {
        return Err(StoreError::TooNew { found, known: SCHEMA });
    }
    if found == 0 {
        return Err(damaged(path, "it has no schema version"));
    }
    Ok(())
}

fn check_content(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let pages = |name: &str| -> Result<u64, StoreError> {
        let value: i64 = connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| explain(path, error))?;
        u64::try_from(value).map_err(|_| damaged(path, "its header is broken"))
    };
    let expected = pages("page_count")?.saturating_mul(pages("page_size")?);
    let length = fs::metadata(path)
        .map_err(|error| unavailable(path, &error))?
        .size();
    // With a log the last pages may still be there alone.
    let logged = fs::metadata(durable::beside(path, "-wal")).map_or(0, |log| log.size());
    if length < expected && logged == 0 {
        return Err(damaged(
            path,
            &format!("{length} of its {expected} bytes are there"),
        ));
    }
    if expected > CHECKED_WHOLE {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(path, error))?;
    if verdict != "ok" {
        return Err(damaged(path, &verdict));
    }
    rows::check_all(path, connection)
}

/// Brings an older schema up to date and makes sure of the result.
fn prepare(path: &Path, connection: &mut Connection) -> Result<(), StoreError> {
    let mut check = || -> rusqlite::Result<bool> {
        let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found < SCHEMA {
            migrate(connection, found)?;
        }
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let mut fresh = Connection::open_in_memory()?;
        migrate(&mut fresh, 0)?;
        Ok(mode == "wal" && schema(connection)? == schema(&fresh)?)
    };
    match check() {
        Ok(true) => Ok(()),
        Ok(false) => Err(damaged(path, "its tables are not those that its version has")),
        Err(error) => Err(explain(path, error)),
    }
}

fn schema(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // "acknowledged means durable". No killed process can show it: only a power cut would.
    #[test]
    fn every_commit_is_synced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sidegate.db");
        let lock = Lock::take(&path).expect("nobody else has it");
        let (writer, _) = open(&path, &lock).expect("a new store");
        let number = |name: &str| -> i64 {
            let value = writer.pragma_query_value(None, name, |row| row.get(0));
            value.expect("SQLite knows it")
        };
        assert_eq!(number("synchronous"), 2, "FULL");
        assert_eq!(number("fullfsync"), 1);
    }
}
