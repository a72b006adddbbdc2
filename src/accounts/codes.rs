//! Authorization codes (RFC 6749, section 4.1): what somebody allowed an app, until the app asks for its tokens.
//! A code works once, within a minute, for that app. After a restart the app sends its person here again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Accounts;
use crate::crypto::{Secret, mac, random};
use crate::time::Timestamp;

/// Letters and digits in a code: 256 bits.
const LENGTH: usize = 43;
/// An app asks at once.
const LIFE: Duration = Duration::from_secs(60);
/// So long it is known what a code was: one that comes late is no attack, and one that comes twice is.
const KNOWN: Duration = Duration::from_secs(10 * 60);
/// How many there are at once; only people who logged in a moment ago can make them.
const MOST: usize = 4096;
/// How many of them are of one person, who pushes out their own.
const MOST_OF_ONE: usize = 32;

/// What somebody allowed, and to whom.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The account.
    pub user: String,
    /// The login, by its public id.
    pub session: String,
    /// The app, by its address.
    pub client: String,
    /// Where the code is sent, as the app wrote it.
    pub redirect_uri: String,
    /// SHA-256 of what only the app knows, in base 64 (RFC 7636, section 4.2).
    pub challenge: String,
    /// Space-separated words; empty: all that the person may do.
    pub scope: String,
}

/// What a code is. It is used up by this answer.
#[derive(Clone, Debug)]
pub enum CodeFound {
    /// It works, if the app is the one it is for.
    Good(Consent),
    /// It never existed, or is long forgotten.
    Unknown,
    /// It was used before: by the grant of that id, if there is one already. Whoever used it first may be the thief.
    Used(Option<String>),
    /// It is too old, or the login is over that it came from.
    Dead,
}

struct Held {
    consent: Consent,
    since: Timestamp,
    spent: Spent,
}

enum Spent {
    No,
    /// Nothing came of it, or not yet.
    Yes,
    /// The id of the grant that came of it.
    For(String),
    Twice,
}

/// All of them, by what they are found by.
#[derive(Default)]
pub(super) struct Codes(Mutex<HashMap<[u8; 16], Held>>);

impl Codes {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Held>> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Makes a code; none when there are too many.
    pub fn begin_code(&self, consent: Consent, now: Timestamp) -> Option<Secret> {
        let mut all = self.codes.lock();
        all.retain(|_, held| is_within(held.since, now, KNOWN));
        let own = |(_, held): &(&[u8; 16], &Held)| held.consent.user == consent.user;
        if all.iter().filter(own).count() >= MOST_OF_ONE {
            let oldest = all.iter().filter(own).min_by_key(|(_, held)| held.since);
            if let Some(oldest) = oldest.map(|(code, _)| *code) {
                all.remove(&oldest);
            }
        }
        if all.len() >= MOST {
            return None;
        }
        let code = Secret::new(random::alphanumeric(LENGTH));
        let held = Held {
            consent,
            since: now,
            spent: Spent::No,
        };
        all.insert(mac::fingerprint(code.expose()), held);
        Some(code)
    }

    /// What the code is; nobody is told so twice.
    pub fn use_code(&self, code: &Secret, now: Timestamp) -> CodeFound {
        let mut all = self.codes.lock();
        let held = all.get_mut(&mac::fingerprint(code.expose()));
        let Some(held) = held.filter(|held| is_within(held.since, now, KNOWN)) else {
            return CodeFound::Unknown;
        };
        let next = match &held.spent {
            Spent::No => Spent::Yes,
            Spent::Yes | Spent::For(_) | Spent::Twice => Spent::Twice,
        };
        match std::mem::replace(&mut held.spent, next) {
            Spent::No => {}
            Spent::For(grant) => return CodeFound::Used(Some(grant)),
            Spent::Yes | Spent::Twice => return CodeFound::Used(None),
        }
        let is_logged_in = |id: &str| self.session(id).is_some_and(|session| session.is_live(now));
        match is_within(held.since, now, LIFE) && is_logged_in(&held.consent.session) {
            true => CodeFound::Good(held.consent.clone()),
            false => CodeFound::Dead,
        }
    }

    /// Notes which grant came of a code; whether nobody showed the code once more meanwhile.
    pub fn code_became(&self, code: &Secret, grant: &str) -> bool {
        let mut all = self.codes.lock();
        match all.get_mut(&mac::fingerprint(code.expose())) {
            Some(held) if matches!(held.spent, Spent::Twice) => false,
            Some(held) => {
                held.spent = Spent::For(grant.to_owned());
                true
            }
            None => true,
        }
    }
}

fn is_within(since: Timestamp, now: Timestamp, life: Duration) -> bool {
    since <= now && now.since(since) < life
}
