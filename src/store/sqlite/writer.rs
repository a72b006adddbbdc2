//! The thread that writes: it gathers the commits that wait into one transaction and one sync.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use super::super::{Change, Revision, StoreError};
use super::{Place, file, rows};
use crate::time::{Clock, Timestamp};

/// Commits that may share one sync.
const GROUP: usize = 256;

/// How often old events are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(600);

type Reply<T> = Box<dyn FnOnce(Result<T, StoreError>) + Send>;

/// What a caller wants to change, and where the answer goes.
pub(super) struct Commit {
    pub(super) changes: Vec<Change>,
    pub(super) reply: Reply<Revision>,
}

/// The one thread that changes anything.
pub(super) struct Writer {
    connection: Connection,
    /// Of the last durable commit.
    revision: Revision,
    clock: Clock,
    /// When old events were last looked for; none: they are to be looked for now.
    pruned: Option<Duration>,
    place: Arc<Place>,
}

impl Writer {
    /// A writer that goes on after `revision`.
    pub(super) fn new(connection: Connection, revision: Revision, clock: Clock, place: Arc<Place>) -> Self {
        Self {
            connection,
            revision,
            clock,
            pruned: None,
            place,
        }
    }

    /// Writes until nobody can ask any more.
    pub(super) fn run(mut self, queue: &Receiver<Commit>) {
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
