//! What was verified before: this exact credential is that identity.
//!
//! Two levels, both keyed by a keyed digest of the whole credential and never by the credential:
//! one for the process, so that all cores agree on who is known (a ban lets known credentials
//! through), and one per core in front of it, which takes no lock. An entry holds
//! identity only. What that identity may do is asked every time, and a revocation takes down the
//! flag that every entry's lease holds, so no entry outlives it anywhere.
//!
//! Wrong credentials have a pool of their own: an attacker who fills it evicts no right one.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;

use super::core_cache::{CoreCache, Kept, Settled};
use super::first_use::RouteNames;
use super::{Identity, Refusal};
use crate::crypto::mac::{Digest, NamingKey};
use crate::time::Timestamp;

/// After so long an entry is verified anew, whatever its lease says.
const REVERIFY: Duration = Duration::from_secs(5 * 60);
/// A wrong credential is not looked at again for so long.
const WRONG_FOR: Duration = Duration::from_secs(3);

const KNOWN: u64 = 100_000;
const WRONG: u64 = 10_000;

/// What the process knows. Outlives the snapshots of the settings.
pub struct Verified {
    naming: NamingKey,
    known: Cache<Digest, Arc<Known>>,
    wrong: Cache<Digest, Wrong>,
}

/// A verified credential.
#[derive(Debug)]
pub struct Known {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// When it was verified.
    pub verified: Timestamp,
}

#[derive(Clone)]
struct Wrong {
    refusal: Refusal,
    until: Timestamp,
    /// A change of the accounts since then may have made it right.
    accounts: u64,
}

impl Verified {
    /// An empty one.
    pub fn new(naming: NamingKey) -> Self {
        Self {
            naming,
            known: Cache::builder()
                .max_capacity(KNOWN)
                .time_to_idle(Duration::from_secs(3600))
                .build(),
            wrong: Cache::builder()
                .max_capacity(WRONG)
                .time_to_live(WRONG_FOR * 2)
                .build(),
        }
    }

    /// The key of the digests: random, of this process only.
    pub fn naming(&self) -> &NamingKey {
        &self.naming
    }

    /// How many credentials are known.
    pub fn entries(&self) -> u64 {
        // Counted when the cache looks after itself, which it does now and then.
        self.known.run_pending_tasks();
        self.known.entry_count()
    }

    /// Remembers a right credential, here and on this core.
    pub fn remember(&self, core: &CoreCache, key: Digest, identity: Arc<Identity>, now: Timestamp) {
        let known = Arc::new(Known {
            identity,
            verified: now,
        });
        core.keep(key, &known.identity, now);
        self.known.insert(key, known);
    }

    /// Remembers for a moment that this one is refused, unless it was our fault. A password that is
    /// right and does not let in is remembered as well: else asking twice would tell it from a wrong one,
    /// by the hash that it costs again. `accounts` is the count of changes that the verification started
    /// from.
    pub fn remember_refusal(&self, key: Digest, refusal: &Refusal, now: Timestamp, accounts: u64) {
        if !matches!(refusal, Refusal::Invalid(_) | Refusal::Dead(_)) {
            return;
        }
        self.wrong.insert(
            key,
            Wrong {
                refusal: refusal.clone(),
                until: now.plus(WRONG_FOR),
                accounts,
            },
        );
    }

    /// Whether this very credential was refused a moment ago, and how.
    pub fn is_wrong(&self, key: &Digest, now: Timestamp, accounts: u64) -> Option<Refusal> {
        let wrong = self.wrong.get(key)?;
        (now < wrong.until && wrong.accounts == accounts).then_some(wrong.refusal)
    }

    /// What is known of this credential, on this core or anywhere. `changes`: how often the accounts have changed
    /// until now.
    #[inline]
    pub fn find(
        &self,
        core: &CoreCache,
        key: &Digest,
        routes: &RouteNames,
        changes: u64,
        now: Timestamp,
    ) -> Found {
        let fresh = |kept: &Kept| {
            let fresh = kept.is_fresh(routes, changes, now);
            fresh.then(|| Arc::clone(&kept.identity))
        };
        match core.see(key, fresh).flatten() {
            Some(identity) => Found::Fresh(identity),
            None => self.find_elsewhere(core, key, routes, now),
        }
    }

    #[inline(never)]
    fn find_elsewhere(&self, core: &CoreCache, key: &Digest, routes: &RouteNames, now: Timestamp) -> Found {
        match self.known.get(key) {
            Some(known) if known.is_fresh(routes, now) => {
                core.keep(*key, &known.identity, known.verified);
                Found::Fresh(Arc::clone(&known.identity))
            }
            // Old, but it was right: a ban does not stop it from being verified anew.
            Some(known) if known.identity.lease.is_live(now) => Found::Stale(Arc::clone(&known.identity)),
            Some(_) => {
                self.known.invalidate(key);
                core.remove(key);
                Found::Nothing
            }
            None => Found::Nothing,
        }
    }
}

/// What is known of a credential.
pub enum Found {
    /// Verified lately, and its lease holds.
    Fresh(Arc<Identity>),
    /// Verified once, its lease holds, and it is time to verify it anew.
    Stale(Arc<Identity>),
    /// Nothing.
    Nothing,
}

impl Known {
    fn is_fresh(&self, routes: &RouteNames, now: Timestamp) -> bool {
        is_fresh(&self.identity, self.verified, routes, now)
    }
}

fn is_fresh(identity: &Identity, verified: Timestamp, routes: &RouteNames, now: Timestamp) -> bool {
    // A clock that went back makes an entry stale, not eternal.
    let age = now.as_millis().saturating_sub(verified.as_millis());
    (0..REVERIFY.as_millis() as i64).contains(&age)
        && identity.lease.is_live(now)
        && identity.is_current(routes)
}

impl Kept {
    /// `changes` was asked for before: whatever changes after that is seen the next time.
    fn is_fresh(&self, routes: &RouteNames, changes: u64, now: Timestamp) -> bool {
        let settled = self.settled.get();
        if settled.changes == changes && self.verified <= now && now < settled.until {
            return true;
        }
        self.settle(routes, changes, now)
    }

    #[inline(never)]
    fn settle(&self, routes: &RouteNames, changes: u64, now: Timestamp) -> bool {
        let fresh = is_fresh(&self.identity, self.verified, routes, now);
        let until = match (fresh, self.identity.session()) {
            (true, None) => {
                let end = self.verified.plus(REVERIFY);
                self.identity.lease.end().map_or(end, |other| end.min(other))
            }
            // A login ends also by lying still.
            _ => Timestamp::from_millis(i64::MIN),
        };
        self.settled.set(Settled { changes, until });
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Flag;
    use crate::authn::FirstUses;

    const KEY: Digest = [7; 32];

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
    }

    /// What was shown falls by itself at that moment.
    fn identity(routes: &RouteNames, end: Option<Timestamp>) -> Arc<Identity> {
        let mut identity = crate::authn::tests::identity();
        identity.lease.shown = Some(Flag::up_until(end));
        identity.audited = FirstUses::new(routes);
        Arc::new(identity)
    }

    struct Seen {
        verified: Verified,
        core: CoreCache,
        routes: RouteNames,
    }

    impl Seen {
        fn new(identity: impl FnOnce(&RouteNames) -> Arc<Identity>) -> Self {
            let seen = Self {
                verified: Verified::new(NamingKey::ephemeral()),
                core: CoreCache::new(),
                routes: RouteNames::none(),
            };
            seen.verified
                .remember(&seen.core, KEY, identity(&seen.routes), at(0));
            seen
        }

        fn find(&self, changes: u64, now: Timestamp) -> &'static str {
            match self.verified.find(&self.core, &KEY, &self.routes, changes, now) {
                Found::Fresh(_) => "fresh",
                Found::Stale(_) => "stale",
                Found::Nothing => "nothing",
            }
        }
    }

    // "a revocation is in force when the verb returns": the count of changes has moved by then
    #[test]
    fn a_flag_that_goes_down_is_seen_with_the_change_that_took_it_down() {
        let flag = Flag::up();
        let seen = Seen::new(|routes| {
            let mut identity = Arc::into_inner(identity(routes, None)).expect("one has it");
            identity.lease.shown = Some(flag.clone());
            Arc::new(identity)
        });
        assert_eq!([seen.find(4, at(1)), seen.find(4, at(2))], ["fresh"; 2]);
        // A change of somebody else.
        assert_eq!([seen.find(5, at(3)), seen.find(5, at(4))], ["fresh"; 2]);
        flag.take_down();
        assert_eq!([seen.find(6, at(5)), seen.find(6, at(5))], ["nothing"; 2]);
    }

    #[test]
    fn what_falls_by_itself_falls_without_any_change() {
        let seen = Seen::new(|routes| identity(routes, Some(at(60))));
        assert_eq!([seen.find(0, at(1)), seen.find(0, at(59))], ["fresh"; 2]);
        assert_eq!(seen.find(0, at(60)), "nothing");
    }

    #[test]
    fn after_five_minutes_and_by_a_clock_that_went_back_it_is_verified_anew() {
        let seen = Seen::new(|routes| identity(routes, None));
        assert_eq!([seen.find(0, at(1)), seen.find(0, at(299))], ["fresh"; 2]);
        assert_eq!([seen.find(0, at(300)), seen.find(0, at(-1))], ["stale"; 2]);
        assert_eq!(seen.find(0, at(2)), "fresh");
    }
}
