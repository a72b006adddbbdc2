//! Browsers that are not asked for a second factor.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::RwLock;
use std::time::Duration;

use super::live::TokenId;
use super::record::{Edit, Record, device_key};
use super::sessions::printable;
use super::table::{read, write};
use super::{Accounts, AccountsError, names};
use crate::crypto::{Secret, mac, random};
use crate::model::DeviceRecord;
use crate::store::Expect;
use crate::time::Timestamp;

/// Letters and digits in a cookie: 256 bits.
const LENGTH: usize = 43;
/// More than this of one user, and the oldest is forgotten.
const MOST: usize = 20;

/// All of them.
#[derive(Default)]
pub(super) struct Devices(RwLock<HashMap<[u8; 16], DeviceRecord>>);

impl Devices {
    pub(super) fn put(&self, device: DeviceRecord) {
        write(&self.0).insert(device.lookup, device);
    }

    pub(super) fn remove(&self, lookup: &[u8; 16]) {
        write(&self.0).remove(lookup);
    }

    fn find(&self, lookup: &[u8; 16]) -> Option<DeviceRecord> {
        read(&self.0).get(lookup).cloned()
    }

    fn select(&self, which: impl Fn(&DeviceRecord) -> bool) -> Vec<DeviceRecord> {
        read(&self.0)
            .values()
            .filter(|device| which(device))
            .cloned()
            .collect()
    }
}

impl Accounts {
    /// Remembers a browser in which the user showed a second factor. What goes into the cookie is kept
    /// nowhere else.
    ///
    /// # Errors
    /// [`AccountsError::NotFound`] without the user, [`AccountsError::Store`].
    pub async fn remember_device(
        &self,
        user: &str,
        life: Duration,
        address: Option<IpAddr>,
        agent: &str,
        now: Timestamp,
    ) -> Result<Secret, AccountsError> {
        let writing = self.writing().await;
        let user = names::fold(user);
        if self.memory().user(&user).is_none() {
            return Err(AccountsError::no_user(&user));
        }
        let mut others = self.memory().devices.select(|device| device.user == user);
        others.sort_by_key(|device| std::cmp::Reverse(device.created));
        let mut edits: Vec<Edit> = others.iter().skip(MOST - 1).map(forgetting).collect();
        let cookie = Secret::new(random::alphanumeric(LENGTH));
        let device = DeviceRecord {
            id: TokenId::new().to_string(),
            lookup: mac::fingerprint(cookie.expose()),
            user: user.into_owned(),
            created: now,
            expires: now.plus(life),
            address,
            agent: printable(agent),
        };
        edits.push(Edit::put(Record::Device(device), Expect::Absent));
        self.commit(writing, edits).await?;
        Ok(cookie)
    }

    /// Whether the cookie is that of a browser in which this user is not asked.
    pub fn is_remembered_device(&self, user: &str, cookie: &[u8], now: Timestamp) -> bool {
        cookie.len() == LENGTH
            && self
                .memory()
                .devices
                .find(&mac::fingerprint(cookie))
                .is_some_and(|device| device.user == names::fold(user) && now < device.expires)
    }

    /// The browsers in which this user is not asked, the newest first.
    pub fn devices(&self, user: &str, now: Timestamp) -> Vec<DeviceRecord> {
        let user = names::fold(user);
        let mut devices = self
            .memory()
            .devices
            .select(|device| device.user == user && now < device.expires);
        devices.sort_by_key(|device| std::cmp::Reverse(device.created));
        devices
    }

    /// Forgets one of a user's, by its public id, or all of them; how many there were.
    ///
    /// # Errors
    /// [`AccountsError::Store`].
    pub async fn forget_devices(&self, user: &str, id: Option<&str>) -> Result<usize, AccountsError> {
        let writing = self.writing().await;
        let user = names::fold(user);
        let chosen = self
            .memory()
            .devices
            .select(|device| device.user == user && id.is_none_or(|id| device.id == id));
        let edits: Vec<Edit> = chosen.iter().map(forgetting).collect();
        let count = edits.len();
        if count > 0 {
            self.commit(writing, edits).await?;
        }
        Ok(count)
    }

    pub(super) fn forget_devices_of(&self, user: &str) -> Vec<Edit> {
        let devices = self.memory().devices.select(|device| device.user == user);
        devices.iter().map(forgetting).collect()
    }

    pub(super) fn old_devices(&self, now: Timestamp) -> Vec<Edit> {
        let devices = self.memory().devices.select(|device| device.expires <= now);
        devices.iter().map(forgetting).collect()
    }
}

fn forgetting(device: &DeviceRecord) -> Edit {
    Edit::remove(device_key(&device.lookup), Expect::Any)
}
