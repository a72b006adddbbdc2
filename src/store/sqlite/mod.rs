//! Records in one SQLite file: one thread writes and gathers commits that wait into one sync of the
//! disk, two threads read, and nobody waits for anybody in between.

mod file;
mod rows;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::durable;
use super::lock::Lock;
use super::{Change, Event, Revision, Store, StoreError, StoreFuture, Versioned};
use crate::config::settings::StoreUrl;
use crate::time::{Clock, Timestamp};

/// The schema version that this binary writes; it reads older ones and refuses newer ones.
pub const SCHEMA: u32 = file::SCHEMA;

/// Requests that may wait for a thread, each for reading and for writing; the next is told that the
/// store is unavailable.
const QUEUE: usize = 4096;

/// Commits that may share one sync.
const GROUP: usize = 256;

const READERS: usize = 2;

/// How often old events are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;
type Look = Box<dyn FnOnce(&Connection) + Send>;

/// An open store. Dropping it waits for the commits that were accepted, closes the file and gives
/// the lock back.
#[derive(Debug)]
pub struct SqliteStore {
    /// Taken only by `drop`, which ends the threads by it.
    ways_in: Option<WaysIn>,
    writer: Option<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    place: Arc<Place>,
}

#[derive(Debug)]
struct WaysIn {
    commits: SyncSender<Commit>,
    looks: SyncSender<Look>,
}

/// Shared by all threads, so that the lock is given back by the last of them.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    lock: Lock,
}

struct Commit {
    changes: Vec<Change>,
    reply: Reply<Revision>,
}

/// Opens the store that the URL names; creates it if nothing is there.
///
/// # Errors
/// As [`SqliteStore::open`].
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => Ok(Arc::new(SqliteStore::open(path, Clock::system())?)),
        StoreUrl::Memory => Err(StoreError::Unavailable("memory: names no file".into())),
    }
}

impl SqliteStore {
    /// Opens the store at that path; creates it, with mode 0600, if nothing is there.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it open, [`StoreError::Damaged`] when the file
    /// is empty, cut off, altered or not ours, [`StoreError::TooNew`] when a newer version wrote it,
    /// [`StoreError::Unavailable`] when the disk or the permissions do not let us.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        Self::open_locked(path, Lock::take(path)?, clock)
    }

    /// Opens the store whose lock the caller has.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_locked(path: &Path, lock: Lock, clock: Clock) -> Result<Self, StoreError> {
        let (connection, revision) = file::open(path, &lock)?;
        let readers = (0..READERS)
            .map(|_| file::connect(path))
            .collect::<Result<Vec<_>, _>>()?;
        let place = Arc::new(Place {
            path: path.to_owned(),
            lock,
        });
        let (commits, commit_queue) = mpsc::sync_channel(QUEUE);
        let (looks, look_queue) = mpsc::sync_channel(QUEUE);
        let writer = Writer {
            connection,
            revision,
            clock,
            pruned: None,
            place: place.clone(),
        };
        let mut store = Self {
            ways_in: Some(WaysIn { commits, looks }),
            writer: None,
            readers: Vec::new(),
            place,
        };
        store.writer = Some(start("store-writer", move || writer.run(&commit_queue))?);
        let look_queue = Arc::new(Mutex::new(look_queue));
        for reader in readers {
            let queue = look_queue.clone();
            store
                .readers
                .push(start("store-reader", move || read(&reader, &queue))?);
        }
        Ok(store)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// [`Store::get`] for those who may block their thread.
    ///
    /// # Errors
    /// As there.
    pub fn get_blocking(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let (place, key) = (self.place.clone(), key.to_owned());
        self.look_blocking(move |connection| rows::get(&place.path, connection, &key))
    }

    /// [`Store::scan`] for those who may block their thread.
    ///
    /// # Errors
    /// As there.
    pub fn scan_blocking(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Versioned>, StoreError> {
        let (place, prefix, after) = (self.place.clone(), prefix.to_owned(), after.map(str::to_owned));
        self.look_blocking(move |connection| {
            rows::scan(&place.path, connection, &prefix, after.as_deref(), limit)
        })
    }

    /// [`Store::commit`] for those who may block their thread.
    ///
    /// # Errors
    /// As there.
    pub fn commit_blocking(&self, changes: &[Change]) -> Result<Revision, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let commit = Commit {
            changes: changes.to_vec(),
            reply: Box::new(move |result| drop(answer.send(result))),
        };
        let ways_in = self.ways_in()?;
        ways_in.commits.send(commit).map_err(|_| self.stopped())?;
        answered.recv().map_err(|_| self.stopped())?
    }

    /// Copies the store as it is at one moment to a file that is not there yet, with mode 0600, while
    /// others read and write. After an error, or a crash, nothing is under that name. Takes as
    /// long as the disk needs, and blocks the calling thread for that time.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the copy cannot be written or its place is taken,
    /// [`StoreError::Damaged`] when the original cannot be read.
    pub fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        let part = durable::beside(to, ".part");
        let result = self.copy_by(&part, to);
        if result.is_err() {
            // The first failure is the one to report.
            let _ = durable::remove(&part);
        }
        result
    }

    fn copy_by(&self, part: &Path, to: &Path) -> Result<(), StoreError> {
        let at = |path: &Path, error: std::io::Error| {
            StoreError::Unavailable(format!("{}: {error}", path.display()))
        };
        if to.symlink_metadata().is_ok() {
            return Err(at(to, std::io::ErrorKind::AlreadyExists.into()));
        }
        durable::remove(part).map_err(|error| at(part, error))?;
        drop(durable::create(part).map_err(|error| at(part, error))?);
        let from = file::connect(&self.place.path)?;
        let mut copy = file::connect(part)?;
        let mut pages = || -> rusqlite::Result<StepResult> {
            // Synced once, at the end.
            copy.pragma_update(None, "synchronous", "OFF")?;
            // In one step: a commit between two would start it again.
            Backup::new(&from, &mut copy)?.step(-1)
        };
        match pages() {
            Ok(StepResult::Done) => {}
            Ok(_) => {
                return Err(StoreError::Unavailable(
                    "the store is too busy to be copied".into(),
                ));
            }
            Err(error) => return Err(file::explain(part, error)),
        }
        copy.close().map_err(|(_, error)| file::explain(part, error))?;
        fs::File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| durable::rename(part, to))
            .map_err(|error| at(to, error))
    }

    fn ways_in(&self) -> Result<&WaysIn, StoreError> {
        self.ways_in.as_ref().ok_or_else(|| self.stopped())
    }

    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone in the meantime.
        let look: Look = Box::new(move |connection| drop(answer.send(look(connection))));
        let sent = self.ways_in()?.looks.try_send(look);
        sent.map_err(|error| self.not_sent(&error))?;
        Ok(answered)
    }

    fn look_blocking<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let look: Look = Box::new(move |connection| drop(answer.send(look(connection))));
        self.ways_in()?.looks.send(look).map_err(|_| self.stopped())?;
        answered.recv().map_err(|_| self.stopped())?
    }

    fn not_sent<T>(&self, error: &TrySendError<T>) -> StoreError {
        match error {
            TrySendError::Full(_) => StoreError::Unavailable(format!("{QUEUE} requests wait for the disk")),
            TrySendError::Disconnected(_) => self.stopped(),
        }
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable(format!("{}: closed", self.place.path.display()))
    }
}

impl Store for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move {
            let (place, key) = (self.place.clone(), key.to_owned());
            let answered = self.look(move |connection| rows::get(&place.path, connection, &key))?;
            answered.await.map_err(|_| self.stopped())?
        })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Versioned>> {
        Box::pin(async move {
            let (place, prefix, after) = (self.place.clone(), prefix.to_owned(), after.map(str::to_owned));
            let answered = self.look(move |connection| {
                rows::scan(&place.path, connection, &prefix, after.as_deref(), limit)
            })?;
            answered.await.map_err(|_| self.stopped())?
        })
    }

    fn commit<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, Revision> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let commit = Commit {
                changes: changes.to_vec(),
                reply: Box::new(move |result| drop(answer.send(result))),
            };
            let sent = self.ways_in()?.commits.try_send(commit);
            sent.map_err(|error| self.not_sent(&error))?;
            answered.await.map_err(|_| self.stopped())?
        })
    }

    fn changes(&self, after: Revision) -> StoreFuture<'_, Vec<Event>> {
        Box::pin(async move {
            let place = self.place.clone();
            let answered = self.look(move |connection| rows::changes(&place.path, connection, after))?;
            answered.await.map_err(|_| self.stopped())?
        })
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let Some(WaysIn { commits, looks }) = self.ways_in.take() else {
            return;
        };
        // The writer closes last and alone: of two connections that close at the same moment neither
        // is the last for SQLite, and the log would stay. A thread that panicked has nothing left to
        // finish.
        drop(looks);
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        drop(commits);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| StoreError::Unavailable(format!("no thread for the store: {error}")))
}

fn read(connection: &Connection, queue: &Mutex<Receiver<Look>>) {
    loop {
        // The readers take turns in waiting; nothing is looked up while the lock is held.
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(look) => look(connection),
            Err(_) => return,
        }
    }
}

/// The one thread that changes anything.
struct Writer {
    connection: Connection,
    /// Of the last durable commit.
    revision: Revision,
    clock: Clock,
    /// When old events were last looked for; none: they are to be looked for now.
    pruned: Option<Duration>,
    place: Arc<Place>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Commit>) {
        while let Ok(first) = queue.recv() {
            let mut group = VecDeque::from([first]);
            group.extend(queue.try_iter().take(GROUP - 1));
            self.prune();
            self.write(group);
        }
    }

    fn write(&mut self, mut group: VecDeque<Commit>) {
        match self.attempt(&group) {
            Ok(results) => {
                // The commits are durable whether or not this can be noted.
                let _ = self.place.lock.acknowledge(self.revision);
                for (commit, result) in group.into_iter().zip(results) {
                    (commit.reply)(result);
                }
            }
            // One of them may be what fails; the others must not suffer for it.
            Err(_) if group.len() > 1 => {
                while let Some(commit) = group.pop_front() {
                    self.write(VecDeque::from([commit]));
                }
            }
            Err(error) => {
                for commit in group {
                    (commit.reply)(Err(error.clone()));
                }
            }
        }
    }

    /// All of them in one transaction; an error has undone it.
    fn attempt(&mut self, group: &VecDeque<Commit>) -> Result<Vec<Result<Revision, StoreError>>, StoreError> {
        let now = self.clock.now();
        let before = self.revision;
        let path = &self.place.path;
        let result = attempt(&mut self.connection, group, before, now);
        let (results, last) = result.map_err(|error| file::explain(path, error))?;
        self.revision = last;
        Ok(results)
    }

    fn prune(&mut self) {
        let now = self.clock.monotonic();
        let due = self
            .pruned
            .is_none_or(|last| now.saturating_sub(last) >= PRUNE_EVERY);
        if !due {
            return;
        }
        // What cannot be forgotten now is forgotten later.
        let more = rows::prune(&self.connection, self.clock.now()).unwrap_or(false);
        self.pruned = (!more).then_some(now);
    }
}

type Results = (Vec<Result<Revision, StoreError>>, Revision);

fn attempt(
    connection: &mut Connection,
    group: &VecDeque<Commit>,
    before: Revision,
    now: Timestamp,
) -> rusqlite::Result<Results> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut last = before;
    let mut results = Vec::with_capacity(group.len());
    for commit in group {
        if commit.changes.is_empty() {
            results.push(Ok(last));
            continue;
        }
        let next = Revision(last.0 + 1);
        let applied = rows::apply(&transaction, &commit.changes, next, now)?;
        if applied.is_ok() {
            last = next;
        }
        results.push(applied.map(|()| next));
    }
    transaction.commit()?;
    Ok((results, last))
}
