//! One-time links: made, found, and used up in the commit that they are for.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::record::{Edit, Record, link_key};
use super::table::{read, write};
use super::{Account, Accounts, AccountsError, NewUser, names};
use crate::crypto::mac;
use crate::crypto::{Secret, random};
use crate::model::{LinkRecord, Role, UserRecord};
use crate::store::{Expect, Revision};
use crate::time::Timestamp;

/// Letters and digits in a code: 256 bits.
const LENGTH: usize = 43;
/// Whoever reads the log of a server that was started and forgotten must not become its owner.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first owner makes the account.
    Owner,
    /// That user sets a password.
    Recover {
        /// Who.
        user: String,
        /// Whether it stands for the second factor too: what the operator of the machine makes for
        /// somebody whose phone is lost, and nobody else can.
        all_factors: bool,
    },
}

/// All links; a handful.
#[derive(Default)]
pub(super) struct Links(RwLock<BTreeMap<Option<String>, (LinkRecord, Revision)>>);

impl Links {
    pub(super) fn put(&self, link: LinkRecord, revision: Revision) {
        write(&self.0).insert(link.user.clone(), (link, revision));
    }

    pub(super) fn remove(&self, user: Option<&str>) {
        write(&self.0).remove(&user.map(str::to_owned));
    }

    fn find(&self, lookup: &[u8; 16]) -> Option<(LinkRecord, Revision)> {
        let links = read(&self.0);
        let found = links.values().find(|(link, _)| mac::equal(&link.lookup, lookup));
        found.cloned()
    }

    fn all(&self) -> Vec<LinkRecord> {
        read(&self.0).values().map(|(link, _)| link.clone()).collect()
    }
}

impl Accounts {
    /// Makes a link in the place of the one before; the code in it is kept nowhere, and works until
    /// the moment that is returned.
    ///
    /// # Errors
    /// [`AccountsError::Forbidden`] for an owner's link when there is a user already,
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn create_link(
        &self,
        purpose: &Purpose,
        now: Timestamp,
    ) -> Result<(Secret, Timestamp), AccountsError> {
        let writing = self.writing().await;
        let user = match purpose {
            Purpose::Owner if self.memory().has_users() => return Err(has_users()),
            Purpose::Owner => None,
            Purpose::Recover { user: name, .. } => {
                let name = names::fold(name);
                let held = self.memory().user(&name);
                Some(
                    held.ok_or_else(|| AccountsError::no_user(&name))?
                        .account
                        .user
                        .name
                        .clone(),
                )
            }
        };
        let code = Secret::new(random::alphanumeric(LENGTH));
        let link = LinkRecord {
            user,
            all_factors: matches!(
                purpose,
                Purpose::Recover {
                    all_factors: true,
                    ..
                }
            ),
            lookup: mac::fingerprint(code.expose()),
            created: now,
            expires: now.plus(LIFE),
        };
        let expires = link.expires;
        self.commit(writing, vec![Edit::put(Record::Link(link), Expect::Any)])
            .await?;
        Ok((code, expires))
    }

    /// What the code in a link is for; none: it never was, was used, or is too old.
    pub fn find_link(&self, code: &[u8], now: Timestamp) -> Option<Purpose> {
        self.live_link(code, now).map(|(purpose, _)| purpose)
    }

    /// Makes the first user, the owner, and uses the link up in the same commit: of two who try, one
    /// does.
    ///
    /// # Errors
    /// As [`Accounts::add_user`], and [`AccountsError::Forbidden`] when the link does not work (any
    /// more).
    pub async fn claim_owner(
        &self,
        code: &[u8],
        new: NewUser,
        now: Timestamp,
    ) -> Result<Arc<Account>, AccountsError> {
        let name = names::user(&new.name)?;
        let display_name = names::display_name(&new.display_name)?;
        let Some(password) = new.password else {
            return Err(AccountsError::invalid("password", "the first owner needs one"));
        };
        // Before the hash, which strangers must not be able to ask for.
        self.live_link(code, now).ok_or_else(no_link)?;
        let password = self.hash_new_password(&name, password).await?;
        let writing = self.writing().await;
        let Some((Purpose::Owner, revision)) = self.live_link(code, now) else {
            return Err(no_link());
        };
        let user = UserRecord {
            name: name.clone(),
            role: Role::Owner,
            groups: Vec::new(),
            display_name,
            email: String::new(),
            password: Some(password),
            disabled: false,
            preferences: Default::default(),
            created: now,
        };
        let mut edits = vec![Edit::remove(link_key(None), Expect::Revision(revision))];
        edits.extend(self.set_up(&user));
        edits.push(Edit::put(Record::User(user), Expect::Absent));
        self.commit(writing, edits).await?;
        self.user(&name).ok_or(AccountsError::Conflict)
    }

    /// Sets the password of a locked-out user and uses the link up in the same commit. The user's
    /// sessions end, and a disabled user is enabled.
    ///
    /// # Errors
    /// As [`Accounts::set_password`], and [`AccountsError::Forbidden`] when the link does not work
    /// (any more).
    pub async fn claim_recovery(
        &self,
        code: &[u8],
        password: Secret,
        now: Timestamp,
    ) -> Result<Arc<Account>, AccountsError> {
        let Some((Purpose::Recover { user: name, .. }, _)) = self.live_link(code, now) else {
            return Err(no_link());
        };
        let password = self.hash_new_password(&name, password).await?;
        self.change_user(&name, |user| {
            let Some((Purpose::Recover { user: again, .. }, revision)) = self.live_link(code, now) else {
                return Err(no_link());
            };
            user.password = Some(password);
            user.disabled = false;
            let mut edits = self.goings(&user.name);
            edits.push(Edit::remove(link_key(Some(&again)), Expect::Revision(revision)));
            Ok(edits)
        })
        .await
    }

    /// Forgets links that are too old.
    pub(super) fn old_links(&self, now: Timestamp) -> Vec<Edit> {
        let mut links = self.memory().links.all();
        links.retain(|link| link.expires <= now);
        let forget = |link: &LinkRecord| Edit::remove(link_key(link.user.as_deref()), Expect::Any);
        links.iter().map(forget).collect()
    }

    fn live_link(&self, code: &[u8], now: Timestamp) -> Option<(Purpose, Revision)> {
        if code.len() != LENGTH {
            return None;
        }
        let (link, revision) = self.memory().links.find(&mac::fingerprint(code))?;
        if link.expires <= now {
            return None;
        }
        match link.user {
            None if self.memory().has_users() => None,
            None => Some((Purpose::Owner, revision)),
            Some(user) => {
                let all_factors = link.all_factors;
                let held = self.memory().user(&user);
                held.map(|_| (Purpose::Recover { user, all_factors }, revision))
            }
        }
    }
}

fn has_users() -> AccountsError {
    AccountsError::forbidden(
        "there is a user already, so nobody can become the owner by a link; a locked-out owner gets in with: \
         sidegate user recover NAME",
    )
}

fn no_link() -> AccountsError {
    AccountsError::forbidden("this link does not work any more; a new one is printed by: sidegate setup-link")
}
