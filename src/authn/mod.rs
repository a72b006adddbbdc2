//! Who is it: carriers x schemes.

pub mod carrier;
pub mod identity;
pub mod presented;
pub mod refusal;
pub mod scheme;
pub mod verified;

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;

pub use carrier::Place;
pub use identity::{Identity, Lease, Method};
pub use presented::Presented;
pub use refusal::Refusal;
pub use verified::{CoreCache, Verified};

use crate::accounts::Accounts;
use crate::crypto::mac::Digest;
use crate::request::Facts;
use carrier::Carrier;
use scheme::{Scheme, Verification};
use verified::Found;

/// Finds out who sent a request.
pub struct Authenticator {
    carriers: Vec<Box<dyn Carrier>>,
    schemes: Vec<Box<dyn Scheme>>,
    verified: Arc<Verified>,
    accounts: Arc<Accounts>,
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
    /// Whether it was right before, so that a ban does not stop it.
    pub was_right: bool,
    presented: Result<Presented<'r>, Refusal>,
}

impl Authenticator {
    /// From carriers, schemes and an empty memory.
    pub fn new(
        carriers: Vec<Box<dyn Carrier>>,
        schemes: Vec<Box<dyn Scheme>>,
        verified: Arc<Verified>,
        accounts: Arc<Accounts>,
    ) -> Self {
        Self {
            carriers,
            schemes,
            verified,
            accounts,
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
                        was_right: false,
                        presented: Err(refusal),
                    });
                }
            };
            let key = presented.key(self.verified.mac());
            return match self.verified.find(core, &key, facts.now) {
                Found::Fresh(identity) => Recognised::Known {
                    identity,
                    carrier: presented.carrier,
                },
                found => Recognised::Unverified(Unverified {
                    carrier: presented.carrier,
                    key,
                    was_right: matches!(found, Found::Stale),
                    presented: Ok(presented),
                }),
            };
        }
        Recognised::Nothing
    }

    /// Verifies a credential and remembers the outcome.
    ///
    /// # Errors
    /// Why it was not accepted, and by whose fault.
    pub async fn verify(
        &self,
        core: &CoreCache,
        facts: &Facts<'_>,
        unverified: Unverified<'_>,
    ) -> Result<Arc<Identity>, Refusal> {
        let Unverified { key, presented, .. } = unverified;
        let presented = presented?;
        let Some(scheme) = self.schemes.iter().find(|scheme| scheme.recognises(&presented)) else {
            return Err(Refusal::Malformed("no-such-scheme"));
        };
        let changes = self.accounts.changes();
        if let Some(wrong) = self.verified.is_wrong(&key, facts.now, changes) {
            return Err(wrong);
        }
        let outcome = match scheme.verify(&presented, key, facts.now) {
            Verification::Now(outcome) => outcome,
            Verification::Later(outcome) => outcome.await,
        };
        match outcome {
            Ok(identity) => {
                let identity = Arc::new(identity);
                self.verified
                    .remember(core, key, Arc::clone(&identity), facts.now);
                Ok(identity)
            }
            Err(refusal) => {
                if let Refusal::Invalid(why) = refusal {
                    self.verified.remember_wrong(key, why, facts.now, changes);
                }
                Err(refusal)
            }
        }
    }

    /// Takes every credential of ours out of what a backend will get.
    pub fn strip(&self, place: Place, headers: &mut HeaderMap, query: &mut Cow<'_, str>) {
        for carrier in &self.carriers {
            carrier.strip(place, headers, query);
        }
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
            .get(http::header::AUTHORIZATION)
            .map_or(&[][..], |value| value.as_bytes());
        self.verified
            .mac()
            .digest("sidegate malformed 1", &[carrier.as_bytes(), header])
    }
}
