//! The rules of accounts, each by the sentence that it comes from. The store below is the smallest
//! that keeps the contract, and can be told to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::*;
use crate::crypto::Secret;
use crate::crypto::mac::Mac;
use crate::model::Role;
use crate::store::{Change, Event, Expect, StoreFuture, Versioned};
use crate::time::Timestamp;

mod consistency;
mod grants;
mod keys;
mod links;
mod passwords;
mod sessions;
mod tokens;
mod users;

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

const CHEAP: Cost = Cost {
    memory: 8,
    iterations: 1,
    parallelism: 1,
};

/// How the next commits end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    Never,
    /// Nothing is written.
    Before,
    /// Everything is written, and the answer gets lost.
    After,
}

/// By key: the revision that wrote it, and the body.
type Records = BTreeMap<String, (u64, String)>;

struct TestStore {
    records: Mutex<(u64, Records)>,
    fails: Mutex<Fails>,
    /// Commits wait for `go` while it is set.
    slow: AtomicBool,
    go: Notify,
}

impl TestStore {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            records: Mutex::default(),
            fails: Mutex::new(Fails::Never),
            slow: AtomicBool::new(false),
            go: Notify::new(),
        })
    }

    fn fail(&self, fails: Fails) {
        *self.fails.lock().unwrap() = fails;
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let records = self.records.lock().unwrap();
        records
            .1
            .keys()
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn body(&self, key: &str) -> String {
        self.records.lock().unwrap().1[key].1.clone()
    }

    /// Behind the back of accounts.
    fn write(&self, key: &str, body: Option<&str>) {
        let (body, expect) = (body.map(str::to_owned), Expect::Any);
        self.apply(&[Change {
            key: key.to_owned(),
            body,
            expect,
        }])
        .unwrap();
    }

    fn apply(&self, changes: &[Change]) -> Result<Revision, StoreError> {
        let mut records = self.records.lock().unwrap();
        for change in changes {
            let found = records.1.get(&change.key).map(|(revision, _)| *revision);
            let holds = match change.expect {
                Expect::Any => true,
                Expect::Absent => found.is_none(),
                Expect::Revision(Revision(expected)) => found == Some(expected),
            };
            if !holds {
                return Err(StoreError::Conflict {
                    key: change.key.clone(),
                });
            }
        }
        records.0 += 1;
        let revision = records.0;
        for change in changes {
            match &change.body {
                Some(body) => records.1.insert(change.key.clone(), (revision, body.clone())),
                None => records.1.remove(&change.key),
            };
        }
        Ok(Revision(revision))
    }
}

fn versioned((key, (revision, body)): (&String, &(u64, String))) -> Versioned {
    Versioned {
        key: key.clone(),
        body: body.clone(),
        revision: Revision(*revision),
    }
}

impl Store for TestStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Versioned>> {
        let found = self.records.lock().unwrap().1.get_key_value(key).map(versioned);
        Box::pin(async move { Ok(found) })
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Versioned>> {
        let start = after.map_or(prefix.to_owned(), |after| format!("{after}\0"));
        let records = self.records.lock().unwrap();
        let page = records
            .1
            .range(start..)
            .take_while(|(key, _)| key.starts_with(prefix));
        let page: Vec<_> = page.take(limit).map(versioned).collect();
        Box::pin(async move { Ok(page) })
    }

    fn commit<'a>(&'a self, changes: &'a [Change]) -> StoreFuture<'a, Revision> {
        Box::pin(async move {
            if self.slow.load(Ordering::SeqCst) {
                self.go.notified().await;
            }
            let lost = || StoreError::Unavailable("as the test wanted".into());
            match *self.fails.lock().unwrap() {
                Fails::Never => self.apply(changes),
                Fails::Before => Err(lost()),
                Fails::After => self.apply(changes).and(Err(lost())),
            }
        })
    }

    fn changes(&self, _: Revision) -> StoreFuture<'_, Vec<Event>> {
        Box::pin(async { Err(StoreError::Unavailable("nobody follows this one".into())) })
    }
}

fn keys() -> TokenKeys {
    TokenKeys::single(
        Mac::new(b"the lookup key of the tests"),
        Mac::new(b"the verifier key of the tests"),
    )
}

fn settings() -> AccountSettings {
    AccountSettings {
        token_prefix: "oh".into(),
        password_cost: CHEAP,
        minimum_length: 8,
    }
}

async fn open(store: &Arc<TestStore>) -> Accounts {
    let store: Arc<dyn Store> = Arc::<TestStore>::clone(store);
    Accounts::load(store, keys(), settings()).await.unwrap()
}

/// An owner `olga` and a user `anna`.
async fn house() -> (Arc<TestStore>, Accounts) {
    let store = TestStore::new();
    let accounts = open(&store).await;
    for name in ["olga", "anna"] {
        accounts.add_user(named(name), NOW).await.unwrap();
    }
    (store, accounts)
}

fn named(name: &str) -> NewUser {
    NewUser {
        name: name.into(),
        ..NewUser::default()
    }
}

fn token(user: &str, name: &str) -> NewToken {
    NewToken {
        name: name.into(),
        user: user.into(),
        ..NewToken::default()
    }
}

fn called(user: &str, name: &str) -> TokenSelector {
    TokenSelector::Name {
        user: user.into(),
        name: name.into(),
    }
}

impl Found {
    fn live(self) -> (Arc<LiveToken>, Arc<Account>) {
        match self {
            Found::Live(token, account) => (token, account),
            other => panic!("{other:?}"),
        }
    }
}
