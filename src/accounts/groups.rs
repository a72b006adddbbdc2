//! Groups. Membership stands in the users' records.

use std::collections::BTreeSet;

use super::record::{Edit, Record};
use super::{Accounts, AccountsError, names};
use crate::model::GroupRecord;
use crate::store::Expect;
use crate::time::Timestamp;

impl Accounts {
    /// All groups, in the order of names.
    pub fn groups(&self) -> Vec<GroupRecord> {
        self.memory().groups()
    }

    /// Adds a group without members.
    ///
    /// # Errors
    /// [`AccountsError::Invalid`], [`AccountsError::Exists`], [`AccountsError::Store`].
    pub async fn add_group(&self, name: &str, now: Timestamp) -> Result<GroupRecord, AccountsError> {
        names::group(name)?;
        let writing = self.writing().await;
        if self.memory().group(name).is_some() {
            return Err(AccountsError::Exists {
                kind: "group",
                name: name.to_owned(),
            });
        }
        let group = GroupRecord {
            name: name.to_owned(),
            created: now,
        };
        let edit = Edit::put(Record::Group(group.clone()), Expect::Absent);
        self.commit(writing, vec![edit]).await?;
        Ok(group)
    }

    /// Removes a group, and its members from it, in one commit.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`], [`AccountsError::Store`].
    pub async fn remove_group(&self, name: &str) -> Result<(), AccountsError> {
        let writing = self.writing().await;
        let (group, revision) = self.memory().group(name).ok_or_else(|| AccountsError::NotFound {
            kind: "group",
            name: name.to_owned(),
        })?;
        let key = Record::Group(group).key();
        let mut edits = vec![Edit::remove(key, Expect::Revision(revision))];
        for held in self.memory().users() {
            let mut user = held.account.user.clone();
            user.groups.retain(|group| group != name);
            if user.groups != held.account.user.groups {
                edits.push(Edit::put(Record::User(user), Expect::Revision(held.revision)));
            }
        }
        self.commit(writing, edits).await?;
        Ok(())
    }

    /// A group exists as soon as someone is in it.
    pub(super) fn missing_groups(&self, wanted: &[String], now: Timestamp) -> Vec<Edit> {
        let known: BTreeSet<String> = self.groups().into_iter().map(|group| group.name).collect();
        let missing = wanted.iter().filter(|name| !known.contains(*name));
        missing
            .map(|name| GroupRecord {
                name: name.clone(),
                created: now,
            })
            .map(|group| Edit::put(Record::Group(group), Expect::Absent))
            .collect()
    }
}
