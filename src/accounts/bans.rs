//! Bans in the store. Who is banned, and why, is decided elsewhere.

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
        let key = ban_key(&ban.network);
        let body = serde_json::to_string(ban).map_err(|error| AccountsError::Corrupt {
            key: key.clone(),
            why: error.to_string(),
        })?;
        self.change_ban(key, Some(body)).await
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
