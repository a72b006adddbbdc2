//! Logins on their way to another domain: a code that works once, within a minute, at that domain, in
//! the browser that asked. After a restart the browser asks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::live_session::LiveSession;
use super::{Account, Accounts};
use crate::crypto::{Secret, mac, random};
use crate::time::Timestamp;

/// Letters and digits in a code: 256 bits.
const LENGTH: usize = 43;
/// A browser follows a redirect at once.
const LIFE: Duration = Duration::from_secs(60);
/// How many there are at once; only people who are logged in can make them.
const MOST: usize = 4096;

/// How many of them one login may have: a browser that opens all its windows at once needs one for each.
const MOST_OF_ONE: usize = 32;

/// What a code stands for.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The login, by its public id.
    pub session: String,
    /// The domain that it is for: scheme, host and port.
    pub domain: String,
    /// What the domain gave the browser that began: nobody else's code logs anybody in there.
    pub state: String,
    /// Where the browser wanted to go there.
    pub path: String,
}

/// All of them, by what their codes are found by.
#[derive(Default)]
pub(super) struct Hops(Mutex<HashMap<[u8; 16], (Hop, Timestamp)>>);

impl Hops {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], (Hop, Timestamp)>> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Makes a code; none when there are too many. A login that asks and asks pushes out its own.
    pub fn begin_hop(&self, hop: Hop, now: Timestamp) -> Option<Secret> {
        let mut all = self.hops.lock();
        all.retain(|_, (_, since)| holds(*since, now));
        let own = |(_, (other, _)): &(&[u8; 16], &(Hop, Timestamp))| other.session == hop.session;
        if all.iter().filter(own).count() >= MOST_OF_ONE {
            let oldest = all.iter().filter(own).min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(code, _)| *code) {
                all.remove(&oldest);
            }
        }
        if all.len() >= MOST {
            return None;
        }
        let code = Secret::new(random::alphanumeric(LENGTH));
        all.insert(mac::fingerprint(code.expose()), (hop, now));
        Some(code)
    }

    /// What the code stands for, with the login and its user as of now. Whatever comes of it, the code is
    /// used up.
    pub fn end_hop(&self, code: &str, now: Timestamp) -> Option<(Hop, Arc<LiveSession>, Arc<Account>)> {
        let (hop, since) = self.hops.lock().remove(&mac::fingerprint(code.as_bytes()))?;
        let session = self.session(&hop.session)?;
        let account = self.user(session.user())?;
        let works = holds(since, now) && session.is_live(now) && !account.user.disabled;
        works.then_some((hop, session, account))
    }
}

fn holds(since: Timestamp, now: Timestamp) -> bool {
    since <= now && now.since(since) < LIFE
}
