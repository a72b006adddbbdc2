//! Records and events as rows, each with a digest that tells a flipped bit from a body.

use std::path::Path;

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::super::{Change, Event, FEED_KEEPS, Revision, StoreError, Versioned, holds};
use super::file::{damaged, explain};
use crate::crypto::mac::sha256;
use crate::time::Timestamp;

/// How many events one pruning looks at, so that no commit waits long for it.
const PRUNED_AT_ONCE: u32 = 10_000;

/// The last revision: the newest event is never pruned.
pub(super) fn revision(connection: &Connection) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT max(revision) FROM event")?;
    let last: Option<Revision> = statement.query_row([], |row| row.get(0))?;
    Ok(last.unwrap_or_default())
}

/// One record.
pub(super) fn get(path: &Path, connection: &Connection, key: &str) -> Result<Option<Versioned>, StoreError> {
    let find = || {
        let mut statement =
            connection.prepare_cached("SELECT key, body, revision, digest FROM record WHERE key = ?1")?;
        statement.query_row([key], record).optional()
    };
    let found = find().map_err(|error| explain(path, error))?;
    found.map(|found| found.checked(path)).transpose()
}

/// A page of records; see [`super::super::Store::scan`].
pub(super) fn scan(
    path: &Path,
    connection: &Connection,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Versioned>, StoreError> {
    // One statement for each shape: a bound that is not there must not stop SQLite from seeking.
    const SEEK: [[&str; 2]; 2] = [
        [
            "SELECT key, body, revision, digest FROM record WHERE key >= ?1 ORDER BY key LIMIT ?2",
            "SELECT key, body, revision, digest FROM record WHERE key >= ?1 AND key < ?3 ORDER BY key LIMIT ?2",
        ],
        [
            "SELECT key, body, revision, digest FROM record WHERE key > ?1 ORDER BY key LIMIT ?2",
            "SELECT key, body, revision, digest FROM record WHERE key > ?1 AND key < ?3 ORDER BY key LIMIT ?2",
        ],
    ];
    let (start, exclusive) = match after {
        Some(after) if after >= prefix => (after, true),
        _ => (prefix, false),
    };
    let end = end_of_prefix(prefix);
    let sql = SEEK[usize::from(exclusive)][usize::from(end.is_some())];
    let limit_column = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = || -> rusqlite::Result<Vec<Record>> {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = match &end {
            Some(end) => statement.query_map(params![start, limit_column, end], record)?,
            None => statement.query_map(params![start, limit_column], record)?,
        };
        rows.collect()
    };
    let rows = rows().map_err(|error| explain(path, error))?;
    rows.into_iter().map(|row| row.checked(path)).collect()
}

/// What happened after a revision.
pub(super) fn changes(
    path: &Path,
    connection: &Connection,
    after: Revision,
) -> Result<Vec<Event>, StoreError> {
    let rows = || -> rusqlite::Result<Vec<(Event, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT revision, key, body, digest FROM event WHERE revision > ?1 ORDER BY revision, n",
        )?;
        statement.query_map([after], event)?.collect()
    };
    let rows = rows().map_err(|error| explain(path, error))?;
    rows.into_iter()
        .map(|(event, digest)| checked_event(path, event, digest))
        .collect()
}

/// Makes one commit part of the transaction, if its expectations hold; the outer error undoes the
/// whole transaction, the inner one is the answer to this commit alone and has changed nothing.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    changes: &[Change],
    revision: Revision,
    now: Timestamp,
) -> rusqlite::Result<Result<(), StoreError>> {
    {
        let mut current = transaction.prepare_cached("SELECT revision FROM record WHERE key = ?1")?;
        for Change { key, expect, .. } in changes {
            let found = current.query_row([key], |row| row.get(0)).optional()?;
            if !holds(*expect, found) {
                return Ok(Err(StoreError::Conflict { key: key.clone() }));
            }
        }
    }
    let mut put = transaction.prepare_cached(
        "INSERT INTO record (key, body, revision, digest) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (key) DO UPDATE SET body = ?2, revision = ?3, digest = ?4",
    )?;
    let mut remove = transaction.prepare_cached("DELETE FROM record WHERE key = ?1")?;
    let mut tell = transaction.prepare_cached(
        "INSERT INTO event (revision, n, at, key, body, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (n, Change { key, body, .. }) in (0i64..).zip(changes) {
        let digest = digest(key, revision, body.as_deref());
        match body {
            Some(body) => put.execute(params![key, body, revision, digest])?,
            None => remove.execute([key])?,
        };
        tell.execute(params![revision, n, now.as_millis(), key, body, digest])?;
    }
    Ok(Ok(()))
}

/// Forgets some of the events that are older than the feed must be, never the newest. Returns
/// whether there may be more.
pub(super) fn prune(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    let last = revision(connection)?;
    let oldest: Vec<(Revision, i64)> = connection
        .prepare_cached("SELECT revision, at FROM event ORDER BY revision, n LIMIT ?1")?
        .query_map([PRUNED_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let old = oldest
        .iter()
        .take_while(|(revision, at)| *revision < last && now.since(Timestamp::from_millis(*at)) > FEED_KEEPS)
        .last();
    let Some((revision, _)) = old else {
        return Ok(false);
    };
    connection
        .prepare_cached("DELETE FROM event WHERE revision <= ?1")?
        .execute([revision])?;
    Ok(oldest.len() as u64 == u64::from(PRUNED_AT_ONCE))
}

/// Compares every digest, and every revision with the last.
pub(super) fn check_all(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let fault = |error| explain(path, error);
    let last = revision(connection).map_err(fault)?;
    let mut records = connection
        .prepare("SELECT key, body, revision, digest FROM record")
        .map_err(fault)?;
    for row in records.query_map([], record).map_err(fault)? {
        let record = row.map_err(fault)?.checked(path)?;
        if record.revision > last {
            return Err(damaged(
                path,
                &format!("the record {} is from the future", record.key),
            ));
        }
    }
    let mut events = connection
        .prepare("SELECT revision, key, body, digest FROM event")
        .map_err(fault)?;
    for row in events.query_map([], event).map_err(fault)? {
        let (event, digest) = row.map_err(fault)?;
        checked_event(path, event, digest)?;
    }
    Ok(())
}

/// A row as it was read; only [`Record::checked`] makes it an answer.
struct Record {
    found: Versioned,
    digest: i64,
}

impl Record {
    fn checked(self, path: &Path) -> Result<Versioned, StoreError> {
        let Versioned { key, body, revision } = &self.found;
        if digest(key, *revision, Some(body)) != self.digest {
            return Err(damaged(
                path,
                &format!("the record {key} is not as it was written"),
            ));
        }
        Ok(self.found)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        found: Versioned {
            key: row.get(0)?,
            body: row.get(1)?,
            revision: row.get(2)?,
        },
        digest: row.get(3)?,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<(Event, i64)> {
    let event = Event {
        revision: row.get(0)?,
        key: row.get(1)?,
        body: row.get(2)?,
    };
    Ok((event, row.get(3)?))
}

fn checked_event(path: &Path, event: Event, found: i64) -> Result<Event, StoreError> {
    if digest(&event.key, event.revision, event.body.as_deref()) != found {
        return Err(damaged(
            path,
            &format!("the event about {} is not as it was written", event.key),
        ));
    }
    Ok(event)
}

impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // SQLite's numbers end where i64 does, and no revision gets there.
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = i64::column_result(value)?;
        u64::try_from(number)
            .map(Revision)
            .map_err(|_| rusqlite::types::FromSqlError::OutOfRange(number))
    }
}

fn digest(key: &str, revision: Revision, body: Option<&str>) -> i64 {
    let mut bytes = Vec::with_capacity(key.len() + body.map_or(0, str::len) + 17);
    bytes.extend_from_slice(&(key.len() as u64).to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(&revision.0.to_be_bytes());
    if let Some(body) = body {
        bytes.push(1);
        bytes.extend_from_slice(body.as_bytes());
    }
    let whole = sha256(&bytes);
    let mut first = [0; 8];
    first.copy_from_slice(&whole[..8]);
    i64::from_be_bytes(first)
}

/// The first key after all those that start with `prefix`; none when there is no such key. In
/// UTF-8 the order of bytes is the order of characters, so this counts in characters.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            // The surrogates between are no characters.
            '\u{D7FF}' => Some('\u{E000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_its_keys_and_before_all_others() {
        assert_eq!(end_of_prefix("token/"), Some("token0".into()));
        assert_eq!(end_of_prefix("a\u{7f}"), Some("a\u{80}".into()));
        assert_eq!(end_of_prefix("a\u{D7FF}"), Some("a\u{E000}".into()));
        assert_eq!(end_of_prefix("a\u{10FFFF}"), Some("b".into()));
        assert_eq!(end_of_prefix("\u{10FFFF}\u{10FFFF}"), None);
        assert_eq!(end_of_prefix(""), None);
    }
}
