//! A name and a password, over Basic when it is switched on. Unknown names cost the same hash.

use std::sync::Arc;

use super::{Asked, Scheme, Tools, Verification};
use crate::accounts::{Accounts, PasswordFault, PasswordOutcome};
use crate::authn::first_use::{FirstUses, RouteNames};
use crate::authn::identity::{Identity, Lease, Method};
use crate::authn::{Presented, Refusal};
use crate::crypto::Secret;

pub(super) fn build(tools: &Tools) -> Option<Box<dyn Scheme>> {
    tools.passwords.then(|| {
        Box::new(Password {
            accounts: Arc::clone(&tools.accounts),
            routes: tools.routes.clone(),
        }) as _
    })
}

struct Password {
    accounts: Arc<Accounts>,
    routes: RouteNames,
}

impl Scheme for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn recognises(&self, presented: &Presented<'_>) -> bool {
        presented.pair().is_some()
    }

    fn verify(&self, presented: &Presented<'_>, asked: Asked) -> Verification {
        let (name, secret) = presented.pair().unwrap_or_default();
        let (Ok(name), Ok(_)) = (std::str::from_utf8(name), std::str::from_utf8(secret)) else {
            return Verification::Now(Err(Refusal::Malformed("basic-not-utf8")));
        };
        let (name, secret) = (name.to_owned(), Secret::new(secret));
        let (accounts, routes) = (Arc::clone(&self.accounts), self.routes.clone());
        Verification::Later(Box::pin(async move {
            match accounts
                .verify_password(&name, &secret, asked.key, asked.lane)
                .await
            {
                // The form asks for the second factor; this road cannot, and must not pass it by.
                Ok(PasswordOutcome::Right(_)) if accounts.has_second_factor(&name) => {
                    Err(Refusal::Dead("second-factor"))
                }
                Ok(PasswordOutcome::Right(account)) => Ok(Identity {
                    lease: Lease::of_password(&account),
                    account,
                    method: Method::Password,
                    token: None,
                    audited: FirstUses::new(&routes),
                }),
                Ok(PasswordOutcome::Wrong | PasswordOutcome::UnknownUser) => {
                    Err(Refusal::Invalid("password-wrong"))
                }
                Ok(PasswordOutcome::Disabled) => Err(Refusal::Dead("user-disabled")),
                Err(PasswordFault::QueueFull { retry_after }) => Err(Refusal::Busy(retry_after)),
                Err(PasswordFault::Fault(why)) => Err(Refusal::Unavailable(why)),
            }
        }))
    }
}
