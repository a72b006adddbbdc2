//! Records in memory: for tests, demonstrations and whoever wants nothing to outlive the process.

use std::collections::{BTreeMap, VecDeque};
use std::future;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Change, Event, FEED_KEEPS, Revision, Store, StoreError, StoreFuture, Versioned, holds};
use crate::config::settings::StoreUrl;
use crate::time::{Clock, Timestamp};

/// A store that is gone with the process.
#[derive(Debug)]
pub struct MemoryStore {
    /// Tells when an event is old enough to be forgotten.
    clock: Clock,
    /// Every method takes the lock once, and never across an `await`.
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    revision: Revision,
    records: BTreeMap<String, (String, Revision)>,
    /// Oldest first, each with the moment of its commit.
    events: VecDeque<(Timestamp, Event)>,
}

/// Opens an empty one. Every call gives a store of its own.
///
/// # Errors
/// None; the type is that of every store.
pub fn open(_url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(MemoryStore::new(Clock::system())))
}

impl MemoryStore {
    /// An empty store that forgets events by this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: RwLock::default(),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        // A panic inside would be a bug of ours, but every change is made after the last check, so
        // that the state is whole even then.
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Versioned>> {
        let found = self.read(|state| {
            let (key, record) = state.records.get_key_value(key)?;
            Some(versioned(key, record))
        });
        Box::pin(future::ready(Ok(found)))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Versioned>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let page = self.read(|state| {
            state
                .records
                .range::<str, _>((start, Bound::Unbounded))
                .take_while(|(key, _)| key.starts_with(prefix))
                .take(limit)
                .map(|(key, record)| versioned(key, record))
                .collect()
        });
        Box::pin(future::ready(Ok(page)))
    }

    fn commit<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, Revision> {
        // Nothing happens before it is awaited, as in every other store.
        Box::pin(async move {
            let now = self.clock.now();
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.commit(changes, now)
        })
    }

    fn changes(&self, after: Revision) -> StoreFuture<'_, Vec<Event>> {
        let events = self.read(|state| {
            let first = state.events.partition_point(|(_, event)| event.revision <= after);
            state
                .events
                .range(first..)
                .map(|(_, event)| event.clone())
                .collect()
        });
        Box::pin(future::ready(Ok(events)))
    }
}

impl State {
    fn commit(&mut self, changes: &[Change], now: Timestamp) -> Result<Revision, StoreError> {
        for change in changes {
            let current = self.records.get(&change.key).map(|(_, revision)| *revision);
            if !holds(change.expect, current) {
                return Err(StoreError::Conflict {
                    key: change.key.clone(),
                });
            }
        }
        if changes.is_empty() {
            return Ok(self.revision);
        }
        let revision = Revision(self.revision.0 + 1);
        self.revision = revision;
        for Change { key, body, .. } in changes {
            match body {
                Some(body) => self.records.insert(key.clone(), (body.clone(), revision)),
                None => self.records.remove(key),
            };
            let event = Event {
                revision,
                key: key.clone(),
                body: body.clone(),
            };
            self.events.push_back((now, event));
        }
        while self
            .events
            .front()
            .is_some_and(|(at, _)| now.since(*at) > FEED_KEEPS)
        {
            self.events.pop_front();
        }
        Ok(revision)
    }
}

fn versioned(key: &str, (body, revision): &(String, Revision)) -> Versioned {
    Versioned {
        key: key.to_owned(),
        body: body.clone(),
        revision: *revision,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Expect;
    use std::time::Duration;

    fn put(key: &str) -> [Change; 1] {
        [Change {
            key: key.into(),
            body: Some("{}".into()),
            expect: Expect::Any,
        }]
    }

    // "a store may forget events older than a day"
    #[test]
    fn events_are_kept_for_a_day() {
        let mut state = State::default();
        let start = Timestamp::from_millis(0);
        state.commit(&put("a"), start).expect("the store takes it");
        let day = start.plus(Duration::from_secs(24 * 3600));
        state.commit(&put("b"), day).expect("the store takes it");
        assert_eq!(state.events.len(), 2);
        let later = day.plus(Duration::from_millis(1));
        state.commit(&put("c"), later).expect("the store takes it");
        let kept: Vec<_> = state.events.iter().map(|(_, event)| event.key.as_str()).collect();
        assert_eq!(kept, ["b", "c"]);
    }
}
