//! A name and a password, over Basic when it is switched on. Unknown names cost the same hash.

use std::sync::Arc;
use std::time::Duration;

use super::{Scheme, Tools, Verification};
use crate::accounts::{Accounts, PasswordError, PasswordOutcome};
use crate::authn::identity::{Identity, Lease, Method, audit_memory};
use crate::authn::{Presented, Refusal};
use crate::crypto::Secret;
use crate::crypto::mac::Digest;
use crate::time::Timestamp;

/// When the queue of slow hashes is full: 32 of them take about as long.
const COME_BACK: Duration = Duration::from_secs(2);

pub(super) fn build(tools: &Tools) -> Option<Box<dyn Scheme>> {
    tools
        .passwords
        .then(|| Box::new(Password { accounts: Arc::clone(&tools.accounts), routes: tools.routes }) as _)
}

struct Password {
    accounts: Arc<Accounts>,
    routes: usize,
}

impl Scheme for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn recognises(&self, presented: &Presented<'_>) -> bool {
        presented.pair().is_some()
    }

    fn verify<'a>(&'a self, presented: &'a Presented<'a>, key: Digest, now: Timestamp) -> Verification<'a> {
        let (name, secret) = presented.pair().unwrap_or_default();
        let (Ok(name), Ok(_)) = (std::str::from_utf8(name), std::str::from_utf8(secret)) else {
            return Verification::Now(Err(Refusal::Malformed("basic-not-utf8")));
        };
        let secret = Secret::new(secret);
        Verification::Later(Box::pin(async move {
            match self.accounts.verify_password(name, &secret, key, now).await {
                Ok(PasswordOutcome::Right(account)) => Ok(Identity {
                    lease: Lease { user: account.flag.clone(), token: None, expires: None },
                    account,
                    method: Method::Password,
                    token: None,
                    audited: audit_memory(self.routes),
                }),
                Ok(PasswordOutcome::Wrong | PasswordOutcome::UnknownUser) => {
                    Err(Refusal::Invalid("password-wrong"))
                }
                Ok(PasswordOutcome::Disabled) => Err(Refusal::Dead("user-disabled")),
                Err(PasswordError::QueueFull) => Err(Refusal::Busy(COME_BACK)),
                Err(PasswordError::Fault(why)) => Err(Refusal::Unavailable(why)),
            }
        }))
    }
}
