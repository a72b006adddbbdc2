//! Who is it: carriers x schemes.

pub mod carrier;
pub mod core_cache;
pub mod first_use;
pub mod identity;
pub mod presented;
pub mod refusal;
pub mod scheme;
pub mod verified;

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use carrier::Place;
pub use core_cache::CoreCache;
pub use first_use::{FirstUses, RouteNames};
pub use identity::{Identity, Lease, Method};
pub use presented::Presented;
pub use refusal::Refusal;
pub use verified::Verified;

use crate::accounts::Accounts;
use crate::crypto::Secret;
use crate::crypto::mac::Digest;
use crate::crypto::password_pool::Lane;
use crate::request::Facts;
use crate::wire::{Fields, names};
use carrier::Carrier;
use presented::Named;
use scheme::{Asked, Scheme, Verification};
use verified::Found;

/// Finds out who sent a request.
pub struct Authenticator {
    carriers: Vec<Box<dyn Carrier>>,
    schemes: Vec<Box<dyn Scheme>>,
    verified: Arc<Verified>,
    accounts: Arc<Accounts>,
    routes: RouteNames,
}

/// The first credential of ours in a request, and what is known of it without verifying.
pub enum Recognised<'r> {
    /// None was presented.
    Nothing,
    /// Verified lately.
    Known {
        /// Whose it is.
        identity: Arc<Identity>,
        /// How it travelled.
        carrier: &'static str,
    },
    /// Has to be verified.
    Unverified(Unverified<'r>),
}

/// A credential that has to be verified.
pub struct Unverified<'r> {
    /// How it travelled.
    pub carrier: &'static str,
    /// Its name in caches and among the failures of a client.
    pub key: Digest,
    /// Whose it was when it was right before; a ban does not stop it then.
    pub before: Option<Arc<Identity>>,
    /// Behind whom it waits, if it is a password.
    pub lane: Lane,
    presented: Result<Presented<'r>, Refusal>,
}

impl Unverified<'_> {
    /// Whose password it claims to be, if it is one.
    pub fn named(&self) -> Option<&str> {
        let presented = self.presented.as_ref().ok()?;
        let (name, _) = presented.pair()?;
        std::str::from_utf8(name).ok()
    }

    /// Whether it is a browser's cookie.
    pub fn is_session(&self) -> bool {
        self.presented
            .as_ref()
            .is_ok_and(|presented| presented.session().is_some())
    }
}

impl Authenticator {
    /// From carriers, schemes and an empty memory.
    pub fn new(
        carriers: Vec<Box<dyn Carrier>>,
        schemes: Vec<Box<dyn Scheme>>,
        verified: Arc<Verified>,
        accounts: Arc<Accounts>,
        routes: RouteNames,
    ) -> Self {
        Self {
            carriers,
            schemes,
            verified,
            accounts,
            routes,
        }
    }

    /// Looks for the first credential of ours, and in the memory of verified ones. Synchronous:
    /// on a hit nothing waits and no lock is taken.
    pub fn recognise<'r>(&self, core: &CoreCache, facts: &Facts<'r>, place: Place) -> Recognised<'r> {
        for carrier in &self.carriers {
            let presented = match carrier.present(facts, place) {
                Ok(None) => continue,
                Ok(Some(presented)) => presented,
                Err(refusal) => {
                    let key = self.malformed_key(carrier.name(), facts);
                    return Recognised::Unverified(Unverified {
                        carrier: carrier.name(),
                        key,
                        before: None,
                        lane: Lane::Stranger(0),
                        presented: Err(refusal),
                    });
                }
            };
            let key = presented.key(self.verified.naming());
            let changes = self.accounts.changes();
            let before = match self.verified.find(core, &key, &self.routes, changes, facts.now) {
                Found::Fresh(identity) => {
                    let carrier = presented.carrier;
                    return Recognised::Known { identity, carrier };
                }
                Found::Stale(before) => Some(before),
                Found::Nothing => None,
            };
            return Recognised::Unverified(Unverified {
                carrier: presented.carrier,
                key,
                lane: match before {
                    Some(_) => Lane::Known,
                    None => Lane::Stranger(0),
                },
                before,
                presented: Ok(presented),
            });
        }
        Recognised::Nothing
    }

    /// Verifies a credential and remembers the outcome. If the request goes away before a slow
    /// verification has ended, `abandoned` is told when it was not accepted: else whoever hangs up in
    /// time could guess without being counted.
    ///
    /// # Errors
    /// Why it was not accepted, and by whose fault.
    pub async fn verify(
        &self,
        core: &CoreCache,
        facts: &Facts<'_>,
        unverified: Unverified<'_>,
        abandoned: impl Fn(&Refusal) + Clone + Send + 'static,
    ) -> Result<Arc<Identity>, Refusal> {
        let Unverified {
            key,
            presented,
            before,
            lane,
            ..
        } = unverified;
        let presented = presented?;
        let Some(scheme) = self.schemes.iter().find(|scheme| scheme.recognises(&presented)) else {
            return Err(Refusal::Malformed("no-such-scheme"));
        };
        // An account that changes meanwhile is looked at again; more than twice is no accident.
        for _ in 0..3 {
            let changes = self.accounts.changes();
            if let Some(wrong) = self.verified.is_wrong(&key, facts.now, changes) {
                return Err(wrong);
            }
            let asked = Asked {
                key,
                now: facts.now,
                lane,
            };
            let outcome = match scheme.verify(&presented, asked) {
                Verification::Now(outcome) => outcome,
                Verification::Later(outcome) => {
                    let (verified, abandoned, now) =
                        (Arc::clone(&self.verified), abandoned.clone(), facts.now);
                    see_through(outcome, move |refusal| {
                        verified.remember_refusal(key, &refusal, now, changes);
                        abandoned(&refusal);
                    })
                    .await
                }
            };
            match outcome {
                // The flags went down while it was verified: it may not be right any more.
                Ok(identity) if !identity.lease.is_live(facts.now) => {}
                Ok(mut identity) => {
                    // Of those who waited for the same, the first counts its uses for all.
                    let changes = self.accounts.changes();
                    if let Found::Fresh(first) =
                        self.verified.find(core, &key, &self.routes, changes, facts.now)
                    {
                        return Ok(first);
                    }
                    if let Some(before) = &before {
                        identity.succeed(before, &self.routes);
                    }
                    let identity = Arc::new(identity);
                    self.verified
                        .remember(core, key, Arc::clone(&identity), facts.now);
                    return Ok(identity);
                }
                Err(refusal) => {
                    self.verified.remember_refusal(key, &refusal, facts.now, changes);
                    return Err(refusal);
                }
            }
        }
        Err(Refusal::Unavailable(
            "the account is being changed over and over".into(),
        ))
    }

    /// Takes every credential of ours out of what a backend will get.
    pub fn strip(&self, place: Place, headers: &mut Fields<'_>, query: &mut Cow<'_, str>) {
        for carrier in &self.carriers {
            carrier.strip(place, headers, query);
        }
    }

    /// Under which name a typed name and password count as a failure: the one that the same pair has
    /// over Basic, so that it counts once.
    pub fn password_key(&self, name: &str, secret: &Secret) -> Digest {
        presented::pair_key(self.verified.naming(), name.as_bytes(), secret.expose())
    }

    /// By which number guesses at that account are counted, whether or not there is one.
    pub fn account_key(&self, name: &str) -> Digest {
        let name = crate::accounts::fold_name(name);
        Named::Account.digest(self.verified.naming(), &[name.as_bytes()])
    }

    /// Under which name a typed code counts as a failure.
    pub fn code_key(&self, user: &str, code: &Secret) -> Digest {
        let parts = [user.as_bytes(), code.expose()];
        Named::Code.digest(self.verified.naming(), &parts)
    }

    /// The same of what a browser showed for a passkey.
    pub fn passkey_key(&self, answer: &[u8]) -> Digest {
        Named::Passkey.digest(self.verified.naming(), &[answer])
    }

    /// The same of a one-time link.
    pub fn link_key(&self, code: &[u8]) -> Digest {
        Named::Link.digest(self.verified.naming(), &[code])
    }

    /// The same of an app's code or refresh token.
    pub fn grant_key(&self, shown: &[u8]) -> Digest {
        Named::Grant.digest(self.verified.naming(), &[shown])
    }

    /// What was verified, for the next snapshot.
    pub fn memory(&self) -> Arc<Verified> {
        Arc::clone(&self.verified)
    }

    /// How many verified credentials are remembered.
    pub fn remembered(&self) -> u64 {
        self.verified.entries()
    }

    /// A malformed credential has no form to take a digest of: its header has.
    fn malformed_key(&self, carrier: &str, facts: &Facts<'_>) -> Digest {
        let header = facts
            .headers
            .get(names::AUTHORIZATION)
            .map_or(&[][..], |value| value.as_bytes());
        Named::Malformed.digest(self.verified.naming(), &[carrier.as_bytes(), header])
    }
}

/// Waits for a slow verification, which runs to its end whether or not anyone waits. A refusal
/// that nobody hears goes to `unheard`.
async fn see_through(
    outcome: Pin<Box<dyn Future<Output = Result<Identity, Refusal>> + Send>>,
    unheard: impl FnOnce(Refusal) + Send + 'static,
) -> Result<Identity, Refusal> {
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(Err(refusal)) = tell.send(outcome.await) {
            unheard(refusal);
        }
    });
    let ending = |_| Err(Refusal::Unavailable("the program is ending".into()));
    told.await.unwrap_or_else(ending)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::Method as Verb;

    use super::*;
    use crate::accounts::{Account, AccountSettings, Flag, NewUser, TokenKeys};
    use crate::config::settings::Credentials;
    use crate::crypto::mac::{Mac, NamingKey};
    use crate::crypto::password_hash::Cost;
    use crate::model::{Role, UserRecord};
    use crate::request::{Client, Expects, RequestId, SafePath};
    use crate::store::memory::MemoryStore;
    use crate::time::{Clock, Timestamp};

    /// Somebody, by a token that nobody narrowed.
    pub(super) fn identity() -> Identity {
        let account = Arc::new(Account {
            user: UserRecord {
                name: "anna".into(),
                role: Role::User,
                groups: Vec::new(),
                display_name: String::new(),
                email: String::new(),
                password: None,
                disabled: false,
                preferences: Default::default(),
                created: Timestamp::from_millis(1_700_000_000_000),
            },
            flag: Flag::up(),
            password: Flag::up(),
        });
        Identity {
            lease: Lease {
                user: account.flag.clone(),
                shown: Some(Flag::up()),
                session: None,
            },
            account,
            method: Method::ApiToken,
            token: None,
            audited: FirstUses::new(&RouteNames::none()),
        }
    }

    /// Says yes, and takes the flag of what it says yes to down before anyone hears it, so often.
    struct Overtaken {
        accounts: Arc<Accounts>,
        overtaken: AtomicU32,
        asked: Arc<AtomicU32>,
    }

    impl Scheme for Overtaken {
        fn name(&self) -> &'static str {
            "overtaken"
        }

        fn recognises(&self, _: &Presented<'_>) -> bool {
            true
        }

        fn verify(&self, _: &Presented<'_>, _: Asked) -> Verification {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let account = self.accounts.user("anna").expect("she is there");
            let mut lease = Lease::of_password(&account);
            let left = self.overtaken.load(Ordering::Relaxed);
            if left > 0 {
                self.overtaken.store(left - 1, Ordering::Relaxed);
                let gone = crate::accounts::Flag::up();
                gone.take_down();
                lease.user = gone;
            }
            Verification::Now(Ok(Identity {
                lease,
                account,
                method: Method::Password,
                token: None,
                audited: FirstUses::new(&RouteNames::none()),
            }))
        }
    }

    /// How often the scheme was asked, and what came of it.
    async fn ask(overtaken: u32) -> (u32, Result<Arc<Identity>, Refusal>) {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let keys = TokenKeys::single(Mac::ephemeral(), Mac::ephemeral());
        let settings = AccountSettings {
            token_prefix: "oh".into(),
            password_cost: Cost {
                memory: 8,
                iterations: 1,
                parallelism: 1,
            },
            minimum_length: 8,
        };
        let store = Arc::new(MemoryStore::new(Clock::manual(now)));
        let accounts = Accounts::load(store, keys, settings)
            .await
            .expect("an empty store");
        let anna = NewUser {
            name: "anna".into(),
            ..NewUser::default()
        };
        accounts.add_user(anna, now).await.expect("the first user");
        let accounts = Arc::new(accounts);
        let asked = Arc::new(AtomicU32::new(0));
        let shape = carrier::Shape {
            credentials: Credentials {
                token_headers: Vec::new(),
                basic_passwords: false,
                query_token: false,
            },
            prefix: "oh.".into(),
        };
        let scheme = Overtaken {
            accounts: Arc::clone(&accounts),
            overtaken: AtomicU32::new(overtaken),
            asked: Arc::clone(&asked),
        };
        let authenticator = Authenticator::new(
            carrier::build(&shape),
            vec![Box::new(scheme)],
            Arc::new(Verified::new(NamingKey::ephemeral())),
            accounts,
            RouteNames::none(),
        );
        let headers = Fields::from_iter([("authorization", "Bearer oh.x.y")]);
        let path = SafePath::parse("/").expect("a plain path");
        let facts = Facts {
            now,
            id: RequestId::from_bits(1),
            client: Client::Unix,
            method: &Verb::GET,
            scheme: crate::request::Scheme::Http,
            host: "h",
            authority: "h",
            path: &path,
            query: "",
            headers: &headers,
            expects: Some(Expects::Program),
        };
        let place = Place {
            query_token: false,
            upgrade: false,
        };
        let core = CoreCache::new();
        let Recognised::Unverified(unverified) = authenticator.recognise(&core, &facts, place) else {
            panic!("nothing is known yet")
        };
        let outcome = authenticator.verify(&core, &facts, unverified, |_| {}).await;
        (asked.load(Ordering::Relaxed), outcome)
    }

    // "a revocation is in force when the verb returns", also for what is just being verified
    #[tokio::test]
    async fn what_ended_while_it_was_verified_is_verified_again() {
        let (asked, outcome) = ask(1).await;
        assert_eq!(asked, 2);
        assert!(outcome.is_ok_and(|identity| identity.lease.is_live(Timestamp::default())));
    }

    #[tokio::test]
    async fn what_never_holds_still_is_our_fault_and_lets_nobody_in() {
        let (asked, outcome) = ask(u32::MAX).await;
        assert_eq!(asked, 3);
        assert!(matches!(outcome, Err(Refusal::Unavailable(_))), "{outcome:?}");
    }
}
