//! Bans in the store. Who is banned, and why, is decided elsewhere.

use std::collections::HashMap;

use ipnet::IpNet;

use super::record::{self, ban_key};
use super::{Accounts, AccountsError, PAGE};
use crate::model::BanRecord;
use crate::store::{Change, Expect};

impl Accounts {
    /// All bans, over ones too.
    ///
    /// # Errors
    /// [`AccountsError::Store`], or [`AccountsError::Corrupt`] with the key.
    pub async fn load_bans(&self) -> Result<Vec<BanRecord>, AccountsError> {
        let store = &self.shared.store;
        let mut bans: Vec<BanRecord> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(record::BANS, after.as_deref(), PAGE).await?;
            for stored in &page {
                let ban: BanRecord = record::json(&stored.key, &stored.body)?;
                if ban_key(&ban.network) != stored.key {
                    return Err(AccountsError::Corrupt {
                        key: stored.key.clone(),
                        why: "the network in it is another".into(),
                    });
                }
                bans.push(ban);
            }
            if page.len() < PAGE {
                return Ok(bans);
            }
            after = page.last().map(|stored| stored.key.clone());
        }
    }

    /// Writes a ban in place of the one on the same network.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    pub async fn save_ban(&self, ban: &BanRecord) -> Result<(), AccountsError> {
        let (key, body) = written(ban)?;
        self.change_ban(key, Some(body)).await
    }

    /// Makes the bans of the store these, and no others; how many that changed. They are asked for when the
    /// store was read, so that none is removed which came meanwhile.
    ///
    /// # Errors
    /// [`AccountsError::Store`]; some may have been written.
    pub async fn settle_bans(&self, bans: impl FnOnce() -> Vec<BanRecord>) -> Result<usize, AccountsError> {
        let store = &self.shared.store;
        let mut found: HashMap<String, String> = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = store.scan(record::BANS, after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|stored| stored.key.clone());
            found.extend(page.into_iter().map(|stored| (stored.key, stored.body)));
            if is_last {
                break;
            }
        }
        let mut changes = Vec::new();
        let expect = Expect::Any;
        for ban in bans() {
            let (key, body) = written(&ban)?;
            if found.remove(&key).as_ref() != Some(&body) {
                let body = Some(body);
                changes.push(Change { key, body, expect });
            }
        }
        changes.extend(found.into_keys().map(|key| Change {
            key,
            body: None,
            expect,
        }));
        for some in changes.chunks(PAGE) {
            store.commit(some).await?;
        }
        Ok(changes.len())
    }

    /// Removes the ban on exactly that network; false: there was none.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    pub async fn remove_ban(&self, network: &IpNet) -> Result<bool, AccountsError> {
        let key = ban_key(network);
        if self.shared.store.get(&key).await?.is_none() {
            return Ok(false);
        }
        self.change_ban(key, None).await?;
        Ok(true)
    }

    async fn change_ban(&self, key: String, body: Option<String>) -> Result<(), AccountsError> {
        let expect = Expect::Any;
        self.shared.store.commit(&[Change { key, body, expect }]).await?;
        Ok(())
    }
}

/// Its key and its body.
fn written(ban: &BanRecord) -> Result<(String, String), AccountsError> {
    let key = ban_key(&ban.network);
    match serde_json::to_string(ban) {
        Ok(body) => Ok((key, body)),
        Err(error) => Err(AccountsError::Corrupt {
            key,
            why: error.to_string(),
        }),
    }
}
