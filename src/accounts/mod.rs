//! Users, groups, tokens, sessions and the apps that people let in: the rules about records.
//!
//! Everything a decision needs is in memory and read without waiting. A change goes to the store
//! first, then to memory, then takes the flags of what it ended down, and then returns: a
//! revocation is in force when the verb returns.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use crate::config::settings::Settings;
use crate::crypto::password_hash::{self, Cost};
use crate::crypto::password_pool::PasswordPool;
use crate::model::UserRecord;
use crate::store::{Revision, Store, StoreError};

mod backup_codes;
mod bans;
mod ceremonies;
mod codes;
mod devices;
mod error;
mod factors;
pub mod flag;
mod forms;
mod grant_table;
mod grants;
mod groups;
mod hops;
mod keys;
mod links;
mod live;
mod live_session;
mod memory;
mod names;
mod passkeys;
mod passwords;
mod pending;
mod record;
mod session_table;
mod sessions;
mod table;
mod tokens;
mod used;
mod users;

#[cfg(test)]
mod tests;

pub use ceremonies::Page;
pub use codes::{CodeFound, Consent};
pub use error::AccountsError;
pub use factors::{CodeOutcome, Factors};
pub use flag::Flag;
pub use grants::{ACCESS_LIFE, GrantView, Granted, NewGrant, Refreshed};
pub use hops::Hop;
pub use keys::{KeyUse, Stale, TokenKey, TokenKeys};
pub use links::Purpose;
pub use live::LiveToken;
pub use live_session::LiveSession;
pub use names::{fold as fold_name, scope as plain_scope};
pub use passkeys::{PasskeyOutcome, PasskeyView};
pub use passwords::{PasswordFault, PasswordOutcome};
pub use pending::Pending;
pub use sessions::{FoundSession, NewSession};
pub use tokens::{Found, NewToken, TokenSelector, TokenState, TokenView};
pub use users::NewUser;

use memory::{Effects, Memory};
use record::{Edit, Record};

/// How many records are read from the store at a time.
const PAGE: usize = 1000;

/// A user as of one moment.
#[derive(Debug)]
pub struct Account {
    /// The record.
    pub user: UserRecord,
    /// Down when the user went, or anything of the record but the password changed.
    pub flag: Flag,
    /// Down when the password changed or was taken away.
    pub password: Flag,
}

/// The settings that accounts follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// What tokens start with, before the first dot.
    pub token_prefix: String,
    /// What a password hash costs.
    pub password_cost: Cost,
    /// Fewest characters of a new password.
    pub minimum_length: usize,
}

impl From<&Settings> for AccountSettings {
    fn from(settings: &Settings) -> Self {
        Self {
            token_prefix: settings.tokens.prefix.clone(),
            password_cost: Cost {
                memory: settings.password.memory,
                iterations: settings.password.iterations,
                parallelism: settings.password.parallelism,
            },
            minimum_length: settings.password.minimum_length,
        }
    }
}

/// All accounts, shared by all workers behind an `Arc`. Changes need a tokio runtime around them.
pub struct Accounts {
    shared: Arc<Shared>,
    in_force: ArcSwap<InForce>,
    passwords: PasswordPool,
    /// Changes happen one after the other; nobody who only reads waits for it.
    writing: Arc<tokio::sync::Mutex<()>>,
    /// Held by the login that replaces an outdated password hash.
    renewing: tokio::sync::Mutex<()>,
    /// Verifiers computed so far.
    verified: AtomicU64,
    /// Tokens whose last use is not written down yet.
    unsaved: std::sync::Mutex<Vec<live::TokenId>>,
    /// Tokens on their way to the newest keys, and the word that there are some.
    moving: std::sync::Mutex<HashMap<live::TokenId, keys::Move>>,
    moved: Notify,
    /// Sessions whose last use is not written down yet.
    unseen: std::sync::Mutex<Vec<live::TokenId>>,
    /// Logins that lack the second factor.
    pending: pending::PendingLogins,
    /// Logins on their way to another domain.
    hops: hops::Hops,
    /// What people allowed apps, until they ask for their tokens.
    codes: codes::Codes,
    /// Passkeys that browsers are asked for.
    ceremonies: ceremonies::Ceremonies,
}

struct Shared {
    store: Arc<dyn Store>,
    keys: ArcSwap<TokenKeys>,
    memory: Memory,
    /// How often [`Shared::make_known`] had something to say; a number that costs its readers one load.
    changes: AtomicU64,
    revocations: watch::Sender<u64>,
}

struct InForce {
    settings: AccountSettings,
    /// What the passwords of unknown users are compared with.
    decoy: Arc<str>,
}

/// Hashes computed since the start, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCounts {
    /// Argon2id, for whatever reason.
    pub passwords: u64,
    /// Token verifiers.
    pub tokens: u64,
}

impl Accounts {
    /// Reads all users, groups, tokens, sessions and grants.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; [`AccountsError::Corrupt`] with the key of the first record that
    /// cannot be read; [`AccountsError::Hash`] when the settings ask for a password hash that cannot be.
    pub async fn load(
        store: Arc<dyn Store>,
        keys: TokenKeys,
        settings: AccountSettings,
    ) -> Result<Self, AccountsError> {
        Self::load_with(store, keys, settings, PasswordPool::start()?).await
    }

    async fn load_with(
        store: Arc<dyn Store>,
        keys: TokenKeys,
        settings: AccountSettings,
        passwords: PasswordPool,
    ) -> Result<Self, AccountsError> {
        let in_force = InForce::new(settings)?;
        let memory = Memory::new();
        // Tokens and sessions before their last uses.
        for prefix in [
            record::SETUP,
            record::USERS,
            record::GROUPS,
            record::TOKENS,
            record::USED,
            record::REVOKED,
            record::SESSIONS,
            record::SEEN,
            record::LINKS,
            record::FACTORS,
            record::DEVICES,
            record::GRANTS,
        ] {
            let mut after: Option<String> = None;
            loop {
                let page = store.scan(prefix, after.as_deref(), PAGE).await?;
                for stored in &page {
                    memory.load(stored)?;
                }
                if page.len() < PAGE {
                    break;
                }
                after = page.last().map(|stored| stored.key.clone());
            }
        }
        let accounts = Self {
            shared: Arc::new(Shared {
                store,
                keys: ArcSwap::from_pointee(keys),
                memory,
                changes: AtomicU64::new(0),
                revocations: watch::Sender::new(0),
            }),
            in_force: ArcSwap::from_pointee(in_force),
            passwords,
            writing: Arc::default(),
            renewing: tokio::sync::Mutex::default(),
            verified: AtomicU64::new(0),
            unsaved: std::sync::Mutex::default(),
            moving: std::sync::Mutex::default(),
            moved: Notify::new(),
            unseen: std::sync::Mutex::default(),
            pending: pending::PendingLogins::default(),
            hops: hops::Hops::default(),
            codes: codes::Codes::default(),
            ceremonies: ceremonies::Ceremonies::default(),
        };
        accounts.check_factors()?;
        accounts.check_owner()?;
        Ok(accounts)
    }

    /// Puts other settings in force.
    ///
    /// # Errors
    /// [`AccountsError::Hash`] when they ask for a password hash that cannot be; the old ones stay.
    pub fn reload(&self, settings: AccountSettings) -> Result<(), AccountsError> {
        self.in_force.store(Arc::new(InForce::new(settings)?));
        Ok(())
    }

    /// Counts the changes of users and tokens. It moves after the flags of what ended are down, so who
    /// sees it move and looks at a flag sees the truth.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.shared.revocations.subscribe()
    }

    /// How often users or tokens came, went or changed since the start: a memory of what was right or wrong
    /// then is worth nothing after that. Moves as [`Accounts::revocations`] does.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Acquire)
    }

    /// Whether there is no user yet.
    pub fn is_empty(&self) -> bool {
        !self.memory().has_users()
    }

    /// How many tokens there are, expired ones included.
    pub fn token_count(&self) -> usize {
        self.memory().tokens.len()
    }

    /// How many hashes were computed.
    pub fn hash_counts(&self) -> HashCounts {
        HashCounts {
            passwords: self.passwords.hashes(),
            tokens: self.verified.load(Ordering::Relaxed),
        }
    }

    fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    async fn writing(&self) -> Writing {
        Writing(Arc::clone(&self.writing).lock_owned().await)
    }

    /// Commits to the store, then to memory, then makes it known.
    async fn commit(&self, writing: Writing, edits: Vec<Edit>) -> Result<Revision, AccountsError> {
        let shared = Arc::clone(&self.shared);
        // A task of its own: a caller that goes away half-way must not leave a revocation that the
        // store knows and memory does not. The lock goes with it.
        let task = tokio::spawn(async move {
            let result = shared.commit(edits).await;
            drop(writing);
            result
        });
        task.await.unwrap_or_else(|_| {
            let interrupted = StoreError::Unavailable("the program is ending".into());
            Err(AccountsError::Store(interrupted))
        })
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

impl Shared {
    async fn commit(&self, edits: Vec<Edit>) -> Result<Revision, AccountsError> {
        let changes = edits.iter().map(Edit::change).collect::<Result<Vec<_>, _>>()?;
        let mut effects = Effects::default();
        let result = self.store.commit(&changes).await;
        match &result {
            Ok(revision) => {
                for edit in edits {
                    effects.same_password = edit.same_password;
                    self.memory.apply(&edit.key, edit.record, *revision, &mut effects);
                }
                effects.same_password = false;
            }
            // Either someone else wrote, or the commit may have happened all the same. What the store
            // says now is what memory has to say.
            Err(_) => {
                for edit in &edits {
                    self.reread(&edit.key, &mut effects).await;
                }
            }
        }
        self.make_known(effects);
        Ok(result?)
    }

    /// Best effort: the caller has an error to report already.
    async fn reread(&self, key: &str, effects: &mut Effects) {
        match self.store.get(key).await {
            // As it was: nobody's flag needs to go down.
            Ok(Some(stored)) if self.memory.revision(key) == Some(stored.revision) => {}
            Ok(Some(stored)) => {
                if let Ok(record) = Record::read(key, &stored.body) {
                    self.memory.apply(key, Some(record), stored.revision, effects);
                }
            }
            Ok(None) => self.memory.apply(key, None, Revision(0), effects),
            Err(_) => {}
        }
    }

    fn make_known(&self, effects: Effects) {
        for flag in &effects.down {
            flag.take_down();
        }
        if effects.altered || !effects.down.is_empty() {
            let count = self.changes.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
            self.revocations.send_replace(count);
        }
    }
}

impl InForce {
    fn new(settings: AccountSettings) -> Result<Self, AccountsError> {
        let decoy = password_hash::decoy(settings.password_cost)?.into();
        Ok(Self { settings, decoy })
    }
}

/// The right to change records; one at a time has it.
struct Writing(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);
