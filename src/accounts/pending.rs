//! Logins that lack the second factor: the password was right, and nothing is open yet. They are a kind
//! of their own, which nothing takes for a login, and last for minutes; after a restart the password is
//! typed again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Accounts, Flag};
use crate::crypto::{Secret, mac, random};
use crate::time::Timestamp;

/// Letters and digits in a cookie: 256 bits.
const LENGTH: usize = 43;
/// So long one has to show the second factor.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// How many there are at once; whoever knows a password could make them without end.
const MOST: usize = 4096;

/// A login that lacks the second factor.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Whose password was right.
    pub user: String,
    /// Whether the browser is to be remembered.
    pub remember: bool,
    /// Whether no password was: the user was chosen in a trusted network.
    pub chosen: bool,
    began: Timestamp,
    /// Of the account and of its password: with either it ends.
    flags: [Flag; 2],
}

impl Pending {
    fn holds(&self, now: Timestamp) -> bool {
        self.began <= now && now.since(self.began) < LIFE && self.flags.iter().all(|flag| flag.holds(now))
    }

    /// When the password was shown.
    pub fn began(&self) -> Timestamp {
        self.began
    }
}

/// All of them, by what their cookies are found by.
#[derive(Default)]
pub(super) struct PendingLogins(Mutex<HashMap<[u8; 16], Pending>>);

impl PendingLogins {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Pending>> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Begins one; what goes into the cookie. None when the user is gone or disabled meanwhile.
    pub fn begin_pending(&self, user: &str, remember: bool, chosen: bool, now: Timestamp) -> Option<Secret> {
        let account = self.user(user).filter(|account| !account.user.disabled)?;
        let pending = Pending {
            user: account.user.name.clone(),
            remember,
            chosen,
            began: now,
            flags: [account.flag.clone(), account.password.clone()],
        };
        let cookie = Secret::new(random::alphanumeric(LENGTH));
        let mut all = self.pending.lock();
        if all.len() >= MOST {
            all.retain(|_, pending| pending.holds(now));
        }
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, pending)| pending.began);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                all.remove(&oldest);
            }
        }
        all.insert(mac::fingerprint(cookie.expose()), pending);
        Some(cookie)
    }

    /// The one that the cookie is for, while it lasts.
    pub fn find_pending(&self, cookie: &[u8], now: Timestamp) -> Option<Pending> {
        let all = self.pending.lock();
        all.get(&mac::fingerprint(cookie))
            .filter(|pending| pending.holds(now))
            .cloned()
    }

    /// Ends it; whether this call did: of two that finish one login, one may go on.
    pub fn end_pending(&self, cookie: &[u8]) -> bool {
        self.pending.lock().remove(&mac::fingerprint(cookie)).is_some()
    }
}
