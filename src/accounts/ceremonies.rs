//! Challenges that browsers were given for passkeys: one at a time for each page that asks, for minutes,
//! and used up by the first answer, right or wrong. After a restart the button is pressed again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crypto::mac;
use crate::crypto::passkey::{Asking, Handle, LIFE, Making};
use crate::time::Timestamp;

/// How many strangers may have at once; a few hundred bytes each.
const MOST: usize = 8192;
/// How many of them one client may have: an office behind one address, and not the whole house.
const MOST_OF_ONE: usize = 128;

/// Whose page asks: what it is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page<'a> {
    /// The login page of a browser, by its own cookie.
    Login(&'a str),
    /// A login that lacks the second factor, by its cookie.
    Pending(&'a str),
    /// Somebody who is logged in, by the id of the login: a second factor in place.
    StepUp(&'a str),
    /// Somebody who is logged in, by the id of the login: a new passkey.
    Enrol(&'a str),
}

impl Page<'_> {
    fn key(self) -> Key {
        let (strange, text) = match self {
            Page::Login(id) => (true, format!("login/{id}")),
            Page::Pending(id) => (false, format!("pending/{id}")),
            Page::StepUp(id) => (false, format!("step-up/{id}")),
            Page::Enrol(id) => (false, format!("enrol/{id}")),
        };
        Key {
            strange,
            digest: mac::fingerprint(text.as_bytes()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    strange: bool,
    digest: [u8; 16],
}

/// What was asked.
pub(super) enum Asked {
    /// For a passkey that there is.
    Show(Asking),
    /// For a new one, under that name of the account.
    Make(Making, Handle),
}

struct Ceremony {
    began: Timestamp,
    client: Option<IpAddr>,
    asked: Asked,
}

impl Ceremony {
    fn holds(&self, now: Timestamp) -> bool {
        self.began <= now && now.since(self.began) < LIFE
    }
}

/// All of them. Strangers, who need no password to open a login page, push out strangers only.
#[derive(Default)]
pub(super) struct Ceremonies(Mutex<HashMap<Key, Ceremony>>);

impl Ceremonies {
    /// In the place of what that page asked before. `client`: whoever asks, if that is a stranger with an
    /// address of their own.
    pub(super) fn begin(&self, page: Page<'_>, client: Option<IpAddr>, asked: Asked, now: Timestamp) {
        let key = page.key();
        let mut all = self.lock();
        if client.is_some() {
            let own = |(_, other): &(&Key, &Ceremony)| other.client == client;
            let oldest = all.iter().filter(own).min_by_key(|(_, own)| own.began);
            let oldest = oldest.map(|(oldest, _)| *oldest);
            if let Some(oldest) = oldest
                && all.iter().filter(own).count() >= MOST_OF_ONE
            {
                all.remove(&oldest);
            }
        }
        let alike = |other: &Key| other.strange == key.strange;
        let is_full = |all: &HashMap<Key, Ceremony>| {
            all.len() >= MOST && all.keys().filter(|other| alike(other)).count() >= MOST
        };
        if is_full(&all) {
            all.retain(|_, ceremony| ceremony.holds(now));
        }
        if is_full(&all) {
            let others = all.iter().filter(|(other, _)| alike(other));
            let oldest = others.min_by_key(|(_, ceremony)| ceremony.began);
            if let Some(oldest) = oldest.map(|(other, _)| *other) {
                all.remove(&oldest);
            }
        }
        let began = now;
        let ceremony = Ceremony { began, client, asked };
        all.insert(key, ceremony);
    }

    /// What that page asked, if it was not long ago; it is used up.
    pub(super) fn take(&self, page: Page<'_>, now: Timestamp) -> Option<Asked> {
        let ceremony = self.lock().remove(&page.key())?;
        ceremony.holds(now).then_some(ceremony.asked)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Ceremony>> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::crypto::passkey::Party;

    fn asked() -> Asked {
        let party = Party::new("https://home.example", "home.example").expect("a name over https");
        let (_, asking) = party.ask(std::iter::empty()).expect("a challenge");
        Asked::Show(asking)
    }

    #[test]
    fn a_challenge_is_for_one_page_one_answer_and_five_minutes() {
        let all = Ceremonies::default();
        let start = Timestamp::from_millis(1_000_000);
        all.begin(Page::Pending("one"), None, asked(), start);
        for other in [
            Page::Pending("two"),
            Page::Login("one"),
            Page::StepUp("one"),
            Page::Enrol("one"),
        ] {
            assert!(all.take(other, start).is_none(), "{other:?}");
        }
        let late = start.plus(LIFE - Duration::from_secs(1));
        assert!(all.take(Page::Pending("one"), late).is_some());
        assert!(all.take(Page::Pending("one"), late).is_none(), "once");
        all.begin(Page::Pending("one"), None, asked(), start);
        assert!(
            all.take(Page::Pending("one"), start.plus(LIFE)).is_none(),
            "too late"
        );
        all.begin(Page::Pending("one"), None, asked(), start.plus(LIFE));
        assert!(
            all.take(Page::Pending("one"), start).is_none(),
            "a clock that was set back"
        );
    }

    #[test]
    fn strangers_push_out_strangers_only() {
        let all = Ceremonies::default();
        let start = Timestamp::from_millis(1_000_000);
        all.begin(Page::Pending("one"), None, asked(), start);
        let party = Party::new("https://home.example", "home.example").expect("a name over https");
        for number in 0..MOST + 10 {
            let (_, asking) = party.ask(std::iter::empty()).expect("a challenge");
            let now = start.plus(Duration::from_millis(1 + number as u64 / 100));
            all.begin(Page::Login(&number.to_string()), None, Asked::Show(asking), now);
        }
        assert_eq!(all.lock().len(), MOST + 1);
        let end = start.plus(Duration::from_secs(60));
        assert!(all.take(Page::Pending("one"), end).is_some());
        assert!(all.take(Page::Login(&(MOST + 9).to_string()), end).is_some());
    }
}
