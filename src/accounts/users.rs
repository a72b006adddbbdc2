//! Users: who exists, and what may be changed about them.

use std::sync::Arc;

use super::record::{Edit, Record, factors_key, link_key, used_key};
use super::tokens::revocation;
use super::{Account, Accounts, AccountsError, names};
use crate::crypto::Secret;
use crate::model::{Preferences, Role, SetupRecord, UserRecord};
use crate::store::Expect;
use crate::time::Timestamp;

/// What a new user is made of.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Folded to lower case.
    pub name: String,
    /// None: owner for the first user, `user` for every other.
    pub role: Option<Role>,
    /// Those that do not exist yet are made.
    pub groups: Vec<String>,
    /// May be empty.
    pub display_name: String,
    /// May be empty.
    pub email: String,
    /// None: no password login.
    pub password: Option<Secret>,
}

impl Accounts {
    /// The user of that name, upper or lower case.
    pub fn user(&self, name: &str) -> Option<Arc<Account>> {
        self.memory().user(&names::fold(name)).map(|held| held.account)
    }

    /// All users, in the order of names.
    pub fn users(&self) -> Vec<Arc<Account>> {
        self.memory()
            .users()
            .into_iter()
            .map(|held| held.account)
            .collect()
    }

    /// The owner; of several the first, and an enabled one if there is one.
    pub fn owner(&self) -> Option<Arc<Account>> {
        let mut owners = self.users();
        owners.retain(|account| account.user.role == Role::Owner);
        let enabled = owners.iter().find(|account| !account.user.disabled);
        enabled.or(owners.first()).cloned()
    }

    /// Adds a user. The first one is the owner.
    ///
    /// # Errors
    /// [`AccountsError::Invalid`], [`AccountsError::Exists`], [`AccountsError::Forbidden`] for a first
    /// user with another role, [`AccountsError::PasswordTooShort`], [`AccountsError::QueueFull`],
    /// [`AccountsError::Hash`], [`AccountsError::Store`].
    pub async fn add_user(&self, new: NewUser, now: Timestamp) -> Result<Arc<Account>, AccountsError> {
        let name = names::user(&new.name)?;
        let groups = names::groups(&new.groups)?;
        let display_name = names::display_name(&new.display_name)?;
        let email = names::email(&new.email)?;
        let password = match new.password {
            Some(secret) => Some(self.hash_new_password(&name, secret).await?),
            None => None,
        };
        let writing = self.writing().await;
        if self.user(&name).is_some() {
            return Err(AccountsError::Exists { kind: "user", name });
        }
        let user = UserRecord {
            name: name.clone(),
            role: role_of_new(self.memory().has_users(), new.role)?,
            groups,
            display_name,
            email,
            password,
            disabled: false,
            preferences: Default::default(),
            created: now,
        };
        let mut edits = self.missing_groups(&user.groups, now);
        edits.extend(self.set_up(&user));
        // Tokens without a user are damage; they must not come back to life for a namesake.
        for orphan in self.memory().tokens.list(Some(&name)) {
            edits.extend(revocation(&orphan, now));
        }
        edits.extend(self.goings(&name));
        edits.push(Edit::remove(factors_key(&name), Expect::Any));
        edits.push(Edit::put(Record::User(user), Expect::Absent));
        self.commit(writing, edits).await?;
        self.user(&name).ok_or(AccountsError::Conflict)
    }

    /// Removes a user and all tokens of that user, whose requests end at once.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Forbidden`] for the only owner,
    /// [`AccountsError::Store`].
    pub async fn remove_user(&self, name: &str, now: Timestamp) -> Result<(), AccountsError> {
        let name = names::fold(name);
        let writing = self.writing().await;
        let held = self
            .memory()
            .user(&name)
            .ok_or_else(|| AccountsError::no_user(&name))?;
        self.keep_an_owner(&held.account.user, None)?;
        let key = Record::User(held.account.user.clone()).key();
        let mut edits = vec![Edit::remove(key, Expect::Revision(held.revision))];
        // Those of grants end with them.
        let mut tokens = self.memory().tokens.list(Some(&name));
        tokens.retain(|token| token.grant.is_none());
        for token in tokens {
            edits.extend(revocation(&token, now));
            edits.push(Edit::remove(used_key(token.id), Expect::Any));
        }
        edits.extend(self.goings(&name));
        edits.push(Edit::remove(factors_key(&name), Expect::Any));
        edits.push(Edit::remove(link_key(Some(&name)), Expect::Any));
        self.commit(writing, edits).await?;
        Ok(())
    }

    /// Sets a password, or takes it away. The user's sessions end, tokens stay as they are.
    ///
    /// # Errors
    /// As [`Accounts::add_user`], and [`AccountsError::NotFound`].
    pub async fn set_password(
        &self,
        name: &str,
        password: Option<Secret>,
    ) -> Result<Arc<Account>, AccountsError> {
        let account = self.user(name).ok_or_else(|| AccountsError::no_user(name))?;
        let password = match password {
            Some(secret) => Some(self.hash_new_password(&account.user.name, secret).await?),
            None => None,
        };
        self.change_user(name, |user| {
            user.password = password;
            Ok(self.goings(&user.name))
        })
        .await
    }

    /// Gives a user another name for people, and another e-mail address; none: as it is.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Invalid`], [`AccountsError::Store`].
    pub async fn set_names(
        &self,
        name: &str,
        display_name: Option<&str>,
        email: Option<&str>,
    ) -> Result<Arc<Account>, AccountsError> {
        let display_name = display_name.map(names::display_name).transpose()?;
        let email = email.map(names::email).transpose()?;
        self.change_user(name, |user| {
            if let Some(display_name) = display_name {
                user.display_name = display_name;
            }
            if let Some(email) = email {
                user.email = email;
            }
            Ok(vec![])
        })
        .await
    }

    /// Remembers how a user likes our pages. Nothing that they have open ends.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn set_preferences(
        &self,
        name: &str,
        preferences: Preferences,
    ) -> Result<Arc<Account>, AccountsError> {
        self.change_user(name, |user| {
            user.preferences = preferences;
            Ok(vec![])
        })
        .await
    }

    /// Enables or disables a user. All credentials of a disabled one are refused, and sessions end.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Forbidden`] for the only owner,
    /// [`AccountsError::Store`].
    pub async fn set_enabled(&self, name: &str, enabled: bool) -> Result<Arc<Account>, AccountsError> {
        self.change_user(name, |user| {
            user.disabled = !enabled;
            Ok(if enabled { vec![] } else { self.goings(&user.name) })
        })
        .await
    }

    /// Gives a user another role.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Forbidden`] for the only owner,
    /// [`AccountsError::Store`].
    pub async fn set_role(&self, name: &str, role: Role) -> Result<Arc<Account>, AccountsError> {
        self.change_user(name, |user| {
            user.role = role;
            Ok(vec![])
        })
        .await
    }

    /// Puts a user into exactly these groups; those that do not exist yet are made.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Invalid`], [`AccountsError::Store`].
    pub async fn set_groups(
        &self,
        name: &str,
        groups: &[String],
        now: Timestamp,
    ) -> Result<Arc<Account>, AccountsError> {
        let groups = names::groups(groups)?;
        self.change_user(name, |user| {
            user.groups = groups;
            Ok(self.missing_groups(&user.groups, now))
        })
        .await
    }

    /// Puts a user into one more group, which is made if it does not exist yet.
    ///
    /// # Errors
    /// As [`Accounts::set_groups`].
    pub async fn join_group(
        &self,
        name: &str,
        group: &str,
        now: Timestamp,
    ) -> Result<Arc<Account>, AccountsError> {
        names::group(group)?;
        self.change_user(name, |user| {
            user.groups.push(group.to_owned());
            user.groups = names::groups(&user.groups)?;
            Ok(self.missing_groups(&user.groups, now))
        })
        .await
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] also when the user is not in it; [`AccountsError::Store`].
    pub async fn leave_group(&self, name: &str, group: &str) -> Result<Arc<Account>, AccountsError> {
        self.change_user(name, |user| {
            let before = user.groups.len();
            user.groups.retain(|other| other != group);
            if user.groups.len() == before {
                return Err(AccountsError::NotFound {
                    kind: "group of this user",
                    name: group.to_owned(),
                });
            }
            Ok(vec![])
        })
        .await
    }

    /// Writes down, with the first user, that there was one: a store that has lost its users must not be
    /// taken for one that never had any, which whoever has a link may become the owner of.
    pub(super) fn set_up(&self, user: &UserRecord) -> Option<Edit> {
        let record = SetupRecord {
            owner: user.name.clone(),
            when: user.created,
        };
        (!self.memory().is_set_up()).then(|| Edit::put(Record::Setup(record), Expect::Any))
    }

    /// The same for a store that was set up before that was written down.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; nothing is lost but the word.
    pub async fn note_set_up(&self) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        let first = self.owner().or_else(|| self.users().first().cloned());
        if let Some(edit) = first.and_then(|first| self.set_up(&first.user)) {
            self.commit(writing, vec![edit]).await?;
        }
        Ok(())
    }

    /// Whether the users are there, if there were any.
    ///
    /// # Errors
    /// [`AccountsError::Corrupt`].
    pub(super) fn check_owner(&self) -> Result<(), AccountsError> {
        if self.memory().is_set_up() && !self.memory().has_users() {
            return Err(AccountsError::Corrupt {
                key: "user/...".to_owned(),
                why: "this store had an owner, and has no users any more".to_owned(),
            });
        }
        Ok(())
    }

    /// `change` answers with what else belongs into the commit.
    pub(super) async fn change_user(
        &self,
        name: &str,
        change: impl FnOnce(&mut UserRecord) -> Result<Vec<Edit>, AccountsError>,
    ) -> Result<Arc<Account>, AccountsError> {
        self.change_user_by(name, Edit::put, change).await
    }

    /// The same; `edit` says what kind of change it is.
    pub(super) async fn change_user_by(
        &self,
        name: &str,
        edit: impl FnOnce(Record, Expect) -> Edit,
        change: impl FnOnce(&mut UserRecord) -> Result<Vec<Edit>, AccountsError>,
    ) -> Result<Arc<Account>, AccountsError> {
        let writing = self.writing().await;
        let name = names::fold(name);
        let held = self
            .memory()
            .user(&name)
            .ok_or_else(|| AccountsError::no_user(&name))?;
        let mut user = held.account.user.clone();
        let mut edits = change(&mut user)?;
        if user == held.account.user {
            return Ok(held.account);
        }
        self.keep_an_owner(&held.account.user, Some(&user))?;
        edits.push(edit(Record::User(user), Expect::Revision(held.revision)));
        self.commit(writing, edits).await?;
        self.user(&name).ok_or(AccountsError::Conflict)
    }

    /// The last owner who can get in must stay one.
    fn keep_an_owner(&self, before: &UserRecord, after: Option<&UserRecord>) -> Result<(), AccountsError> {
        let in_charge = |user: &UserRecord| user.role == Role::Owner && !user.disabled;
        let last = after.is_none() && self.memory().users().len() == 1;
        if last && !in_charge(before) {
            return Err(AccountsError::forbidden(format!(
                "{} is the only user; begin anew with: sidegate reset",
                before.name
            )));
        }
        if !in_charge(before) || after.is_some_and(in_charge) || self.memory().has_other_owner(&before.name) {
            return Ok(());
        }
        Err(AccountsError::forbidden(format!(
            "{} is the only owner and cannot be disabled, removed or given another role; make another user \
             the owner first",
            before.name
        )))
    }
}

fn role_of_new(others: bool, asked: Option<Role>) -> Result<Role, AccountsError> {
    match (others, asked) {
        (true, asked) => Ok(asked.unwrap_or(Role::User)),
        (false, None | Some(Role::Owner)) => Ok(Role::Owner),
        (false, Some(role)) => Err(AccountsError::forbidden(format!(
            "the first user is the owner and cannot be added with the role {role}; leave the role out"
        ))),
    }
}
