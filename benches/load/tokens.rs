//! As many tokens of one user as you like, made on the way.

#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;

use sidegate::accounts::{AccountSettings, Accounts, TokenKeys};
use sidegate::config::Settings;
use sidegate::crypto::mac::Mac;
use sidegate::crypto::{random, token_hash};
use sidegate::model::{Role, TokenRecord, UserRecord};
use sidegate::store::{Change, Event, Expect, Revision, Store, StoreError, StoreFuture, Versioned};
use sidegate::time::Timestamp;

/// Whose tokens they are.
pub(crate) const USER: &str = "anna";

/// Keys: random, and gone with the bench.
pub(crate) struct Keys {
    lookup: Mac,
    verifier: Mac,
}

impl Keys {
    /// A new pair.
    pub(crate) fn random() -> Self {
        Self {
            lookup: Mac::ephemeral(),
            verifier: Mac::ephemeral(),
        }
    }

    /// Those of an instance.
    pub(crate) fn new(lookup: Mac, verifier: Mac) -> Self {
        Self { lookup, verifier }
    }

    /// As the accounts take them.
    pub(crate) fn for_accounts(&self) -> TokenKeys {
        TokenKeys::single(self.lookup.clone(), self.verifier.clone())
    }
}

/// Token number `number`: its text, and what is stored of it.
pub(crate) fn token(number: usize, keys: &Keys) -> (String, TokenRecord) {
    let name = format!("t{number:07}");
    let secret = token_hash::mint("oh", &name);
    let salt = random::bytes::<16>();
    let text = secret.expose_str().expect("minted of ASCII").to_owned();
    let record = TokenRecord {
        id: format!("{number:012}"),
        name,
        user: USER.into(),
        keys: 1,
        lookup: token_hash::lookup(&keys.lookup, secret.expose()),
        salt,
        verifier: token_hash::verifier(&keys.verifier, &salt, secret.expose()),
        scope: String::new(),
        networks: Vec::new(),
        created: Timestamp::from_millis(1_700_000_000_000),
        expires: None,
        grant: None,
    };
    (text, record)
}

/// The record of the user.
pub(crate) fn user() -> UserRecord {
    UserRecord {
        name: USER.into(),
        role: Role::Owner,
        groups: vec!["family".into()],
        display_name: "Anna Example".into(),
        email: "anna@home.example".into(),
        password: None,
        disabled: false,
        preferences: Default::default(),
        created: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// A change that puts a record where accounts look for it.
pub(crate) fn put(key: String, record: &impl serde::Serialize) -> Change {
    Change {
        key,
        body: Some(serde_json::to_string(record).expect("records are JSON")),
        expect: Expect::Any,
    }
}

/// The store key of a token.
pub(crate) fn key(record: &TokenRecord) -> String {
    format!("token/{}/{}", record.user, record.name)
}

/// Accounts with so many tokens, and the texts of every one.
pub(crate) fn accounts(count: usize, settings: &Settings) -> (Arc<Accounts>, Vec<String>) {
    let keys = Keys::random();
    let for_accounts = keys.for_accounts();
    let made = Arc::new(Made {
        count,
        keys,
        texts: std::sync::Mutex::default(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime needs nothing");
    let store = Arc::clone(&made) as Arc<dyn Store>;
    let accounts = runtime
        .block_on(Accounts::load(
            store,
            for_accounts,
            AccountSettings::from(settings),
        ))
        .expect("what is made here can be read");
    let texts = std::mem::take(&mut *made.texts.lock().expect("no panic while it is held"));
    assert_eq!((accounts.token_count(), texts.len()), (count, count));
    (Arc::new(accounts), texts)
}

/// A store that makes its records while it is read, so that nothing but accounts keeps them.
struct Made {
    count: usize,
    keys: Keys,
    texts: std::sync::Mutex<Vec<String>>,
}

impl Store for Made {
    fn get<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn scan<'a>(
        &'a self,
        prefix: &'a str,
        _after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Versioned>> {
        let stored = |change: Change| Versioned {
            key: change.key,
            body: change.body.expect("every change here puts something"),
            revision: Revision(1),
        };
        let mut texts = self.texts.lock().expect("no panic while it is held");
        let page = match prefix {
            "user/" => vec![stored(put(format!("user/{USER}"), &user()))],
            "token/" => (texts.len()..self.count)
                .take(limit)
                .map(|number| {
                    let (text, record) = token(number, &self.keys);
                    texts.push(text);
                    stored(put(key(&record), &record))
                })
                .collect(),
            _ => Vec::new(),
        };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn commit<'a>(&'a self, _: &'a [Change]) -> StoreFuture<'a, Revision> {
        Box::pin(std::future::ready(Err(StoreError::Unavailable(
            "nothing is written here".into(),
        ))))
    }

    fn changes(&self, _: Revision) -> StoreFuture<'_, Vec<Event>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
