//! Where records live. The store knows keys and revisions, not users or tokens.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::config::settings::StoreUrl;

pub mod durable;
pub mod lock;
pub mod memory;
pub mod sqlite;

/// What every store method returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A counter that every commit raises by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A record's body with the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The record's key, `kind/...`.
    pub key: String,
    /// JSON.
    pub body: String,
    /// The commit that wrote it.
    pub revision: Revision,
}

/// One change in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The record's key.
    pub key: String,
    /// The new body; none removes the record.
    pub body: Option<String>,
    /// What must be true for the commit to happen.
    pub expect: Expect,
}

/// The state that a change was decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// No record of that key.
    Absent,
    /// The record as it was read.
    Revision(Revision),
}

/// What happened, in the order of commits. `body: None`: removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit.
    pub revision: Revision,
    /// The record's key.
    pub key: String,
    /// The new body, if it was not removed.
    pub body: Option<String>,
}

/// How long events stay in the feed, at least.
pub const FEED_KEEPS: Duration = Duration::from_secs(24 * 3600);

/// Records behind four methods. `tests/store_contract.rs` holds what each must do.
pub trait Store: Send + Sync {
    /// One record.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Versioned>>;

    /// At most `limit` records whose key starts with `prefix` and is greater than `after`, in key
    /// order (bytes). The next page starts after the last key of this one.
    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Versioned>>;

    /// All or nothing, durable when it returns; [`StoreError::Conflict`] if an expectation fails.
    /// Expectations are about the state before the commit; of two changes to one key the later
    /// wins. A commit of no changes returns the present revision and raises nothing. After
    /// [`StoreError::Unavailable`] the changes are not there, or, when the disk failed at the very
    /// last step, they are whole after the next start.
    fn commit<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, Revision>;

    /// What happened after `revision`, oldest first. Caches and other nodes follow this feed;
    /// a store may forget events older than a day.
    fn changes(&self, after: Revision) -> StoreFuture<'_, Vec<Event>>;
}

/// Why a store could not do it. Never "no such record", which is an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// An expectation of the commit did not hold.
    Conflict {
        /// The key whose record had changed.
        key: String,
    },
    /// Another process owns it.
    Locked(String),
    /// It is not what we wrote: damaged, or not a store at all.
    Damaged(String),
    /// A newer version wrote it.
    TooNew {
        /// Its schema version.
        found: u32,
        /// The newest that this binary knows.
        known: u32,
    },
    /// It cannot be reached, read or written now.
    Unavailable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Conflict { key } => write!(f, "the record {key} was changed by someone else"),
            StoreError::Locked(what) => write!(f, "the store is in use by another process: {what}"),
            StoreError::Damaged(what) => write!(f, "the store is damaged: {what}"),
            StoreError::TooNew { found, known } => write!(
                f,
                "the store has schema version {found}, this sidegate knows {known}; run the newer sidegate, or restore a backup"
            ),
            StoreError::Unavailable(what) => write!(f, "the store is unavailable: {what}"),
        }
    }
}

impl std::error::Error for StoreError {}

/// How a store is opened.
pub type Open = fn(&StoreUrl) -> Result<Arc<dyn Store>, StoreError>;

/// Every store, by the scheme of `store.url`.
pub const STORES: &[(&str, Open)] = &[("memory", memory::open), ("sqlite", sqlite::open)];

/// Opens the store that the URL names.
///
/// # Errors
/// [`StoreError::Locked`], [`StoreError::Damaged`], [`StoreError::TooNew`] or
/// [`StoreError::Unavailable`]; never an empty store in place of a broken one.
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    let scheme = match url {
        StoreUrl::Memory => "memory",
        StoreUrl::Sqlite(_) => "sqlite",
    };
    let (_, open) = STORES
        .iter()
        .find(|(name, _)| *name == scheme)
        .ok_or_else(|| StoreError::Unavailable(format!("{scheme} is not in this version")))?;
    open(url)
}

/// Whether an expectation is true of a record that has this revision, or is not there.
fn holds(expect: Expect, current: Option<Revision>) -> bool {
    match expect {
        Expect::Any => true,
        Expect::Absent => current.is_none(),
        Expect::Revision(revision) => current == Some(revision),
    }
}
