//! The records that decisions need, in memory. What the store says, this says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use super::devices::Devices;
use super::factors::SealedFactors;
use super::grant_table::GrantTable;
use super::links::Links;
use super::record::{Place, Record};
use super::session_table::SessionTable;
use super::table::{TokenTable, read, write};
use super::{Account, AccountsError, Flag};
use crate::accounts::live::TokenId;
use crate::model::{GroupRecord, Role, UserRecord};
use crate::store::{Revision, Versioned};

/// Read by every worker; written under the lock of `Accounts` only, or before anyone reads.
pub(super) struct Memory {
    users: RwLock<BTreeMap<Arc<str>, HeldUser>>,
    groups: RwLock<BTreeMap<String, (GroupRecord, Revision)>>,
    pub(super) tokens: TokenTable,
    pub(super) sessions: SessionTable,
    pub(super) links: Links,
    pub(super) factors: SealedFactors,
    pub(super) devices: Devices,
    pub(super) grants: GrantTable,
    /// There was an owner.
    set_up: AtomicBool,
}

/// A user and the commit that wrote the record.
#[derive(Clone)]
pub(super) struct HeldUser {
    pub(super) account: Arc<Account>,
    pub(super) revision: Revision,
}

/// What must be made known after a change.
#[derive(Default)]
pub(super) struct Effects {
    /// To be taken down.
    pub(super) down: Vec<Flag>,
    /// A user or a token came, went or changed.
    pub(super) altered: bool,
    /// The password of the user that is applied now is the one before, hashed at another cost.
    pub(super) same_password: bool,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            users: RwLock::default(),
            groups: RwLock::default(),
            tokens: TokenTable::new(),
            sessions: SessionTable::default(),
            links: Links::default(),
            factors: SealedFactors::default(),
            devices: Devices::default(),
            grants: GrantTable::default(),
            set_up: AtomicBool::new(false),
        }
    }

    pub(super) fn user(&self, name: &str) -> Option<HeldUser> {
        read(&self.users).get(name).cloned()
    }

    /// In the order of names.
    pub(super) fn users(&self) -> Vec<HeldUser> {
        read(&self.users).values().cloned().collect()
    }

    pub(super) fn has_users(&self) -> bool {
        !read(&self.users).is_empty()
    }

    /// Whether there was an owner, as far as is written down.
    pub(super) fn is_set_up(&self) -> bool {
        self.set_up.load(Ordering::Acquire)
    }

    /// Whether an enabled owner other than this user exists.
    pub(super) fn has_other_owner(&self, name: &str) -> bool {
        read(&self.users)
            .values()
            .map(|held| &held.account.user)
            .any(|user| user.role == Role::Owner && !user.disabled && user.name != name)
    }

    pub(super) fn group(&self, name: &str) -> Option<(GroupRecord, Revision)> {
        read(&self.groups).get(name).cloned()
    }

    /// In the order of names.
    pub(super) fn groups(&self) -> Vec<GroupRecord> {
        read(&self.groups)
            .values()
            .map(|(group, _)| group.clone())
            .collect()
    }

    /// The commit that wrote what memory has of a user or a token.
    pub(super) fn revision(&self, key: &str) -> Option<Revision> {
        match Place::of(key)? {
            Place::User(name) => self.user(name).map(|held| held.revision),
            Place::Token { user, name, id: None } => {
                self.tokens.by_name(user, name).map(|token| token.revision)
            }
            Place::Token { id: Some(id), .. } => {
                let token = self.tokens.by_id(id).filter(|token| token.overlap);
                token.map(|token| token.revision)
            }
            Place::Group(_)
            | Place::Used(_)
            | Place::Revoked(_)
            | Place::Session(_)
            | Place::Seen(_)
            | Place::Device(_)
            | Place::Grant(_)
            | Place::Setup
            | Place::Link(_) => None,
            Place::Factors(user) => self.factors.get(user).map(|(_, revision)| revision),
        }
    }

    /// Takes a record from the store at the start.
    pub(super) fn load(&self, stored: &Versioned) -> Result<(), AccountsError> {
        let record = Record::read(&stored.key, &stored.body)?;
        if let Record::Token(token, _) = &record {
            let known = TokenId::parse(&token.id).and_then(|id| self.tokens.by_id(id));
            if known.is_some() || self.tokens.find(&token.lookup).is_some() {
                return Err(AccountsError::Corrupt {
                    key: stored.key.clone(),
                    why: "another record has the same token".into(),
                });
            }
        }
        self.put(record, stored.revision, &mut Effects::default());
        Ok(())
    }

    /// Takes what the store now says of a key.
    pub(super) fn apply(&self, key: &str, record: Option<Record>, revision: Revision, effects: &mut Effects) {
        let Some(record) = record else {
            return self.remove(key, effects);
        };
        if matches!(record, Record::Used(..) | Record::Seen(..)) {
            // The kinds that memory knows before the store does.
            return;
        }
        if let Record::Token(token, false) = &record
            && let Some(before) = self.tokens.by_name(&token.user, &token.name)
            && before.id() != token.id
        {
            self.tokens.remove(before.id, &mut effects.down);
        }
        self.put(record, revision, effects);
    }

    fn put(&self, record: Record, revision: Revision, effects: &mut Effects) {
        match record {
            Record::User(user) => {
                let name: Arc<str> = user.name.as_str().into();
                let mut users = write(&self.users);
                let before = users.get(&name).map(|held| Arc::clone(&held.account));
                let account = Arc::new(succeed(before.as_deref(), user, effects));
                users.insert(name, HeldUser { account, revision });
                effects.altered = true;
            }
            Record::Group(group) => {
                write(&self.groups).insert(group.name.clone(), (group, revision));
            }
            Record::Token(token, overlap) => {
                if let Some(id) = TokenId::parse(&token.id) {
                    let altered = self.tokens.put(token, id, overlap, revision, &mut effects.down);
                    effects.altered |= altered;
                }
            }
            Record::Used(id, used) => {
                if let Some(token) = self.tokens.by_id(id) {
                    token.set_used(&used);
                }
            }
            Record::Revoked(lookup, record) => self.tokens.put_revoked(lookup, &record),
            Record::Session(session) => {
                if let Some(id) = TokenId::parse(&session.id) {
                    self.sessions.put(session, id);
                }
            }
            Record::Link(link) => self.links.put(link, revision),
            Record::Device(device) => self.devices.put(device),
            Record::Grant(grant) => self.grants.put(grant),
            Record::Setup(_) => self.set_up.store(true, Ordering::Release),
            Record::Factors(factors) => {
                let user = factors.user.clone();
                if self.factors.put(factors, revision) {
                    self.password_is_not_enough(&user, effects);
                }
            }
            Record::Seen(id, used) => {
                if let Some(session) = self.sessions.by_id(id) {
                    session.set_used(&used);
                }
            }
        }
    }

    /// Who came in with the password alone shows more from now on.
    fn password_is_not_enough(&self, user: &str, effects: &mut Effects) {
        let mut users = write(&self.users);
        let Some(held) = users.get_mut(user) else { return };
        effects.down.push(held.account.password.clone());
        effects.altered = true;
        held.account = Arc::new(Account {
            user: held.account.user.clone(),
            flag: held.account.flag.clone(),
            password: Flag::up(),
        });
    }

    fn remove(&self, key: &str, effects: &mut Effects) {
        match Place::of(key) {
            Some(Place::User(name)) => {
                let before = write(&self.users).remove(name);
                effects.down.extend(before.map(|held| held.account.flag.clone()));
                effects.altered = true;
            }
            Some(Place::Group(name)) => {
                write(&self.groups).remove(name);
            }
            Some(Place::Token { user, name, id: None }) => {
                if let Some(token) = self.tokens.by_name(user, name) {
                    self.tokens.remove(token.id, &mut effects.down);
                }
            }
            Some(Place::Token { id: Some(id), .. }) => {
                // The same token may stand under its plain key again; only the older copy goes.
                if self.tokens.by_id(id).is_some_and(|token| token.overlap) {
                    self.tokens.remove(id, &mut effects.down);
                }
            }
            Some(Place::Revoked(lookup)) => self.tokens.remove_revoked(&lookup),
            Some(Place::Session(lookup)) => self.sessions.remove(&lookup, &mut effects.down),
            Some(Place::Link(user)) => self.links.remove(user),
            Some(Place::Factors(user)) => {
                self.factors.remove(user);
                // The password is enough again, also for who was just told that it is not.
                effects.altered = true;
            }
            Some(Place::Device(lookup)) => self.devices.remove(&lookup),
            Some(Place::Grant(id)) => self.grants.remove(id.as_str()),
            Some(Place::Setup) => self.set_up.store(false, Ordering::Release),
            // Goes with its token or session.
            Some(Place::Used(_) | Place::Seen(_)) | None => {}
        }
    }
}

/// The account after a change, with the flags of the one before for what stayed as it was: "Changing
/// a password ends that user's sessions, not the tokens" (product contract, section 7).
fn succeed(before: Option<&Account>, user: UserRecord, effects: &mut Effects) -> Account {
    let fresh = |user| Account {
        user,
        flag: Flag::up(),
        password: Flag::up(),
    };
    let Some(before) = before else { return fresh(user) };
    // Nobody's requests depend on how they like our pages.
    let only_the_password = UserRecord {
        password: user.password.clone(),
        preferences: user.preferences.clone(),
        ..before.user.clone()
    } == user;
    if !only_the_password {
        // Who has shown the password holds this one too.
        effects.down.push(before.flag.clone());
        return fresh(user);
    }
    let password = if effects.same_password || user.password == before.user.password {
        before.password.clone()
    } else {
        effects.down.push(before.password.clone());
        Flag::up()
    };
    Account {
        user,
        flag: before.flag.clone(),
        password,
    }
}
