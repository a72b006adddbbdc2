//! `oh.<name>.<random>`: found by a keyed look-up value, compared by a salted keyed hash. Both
//! are microseconds, so nothing waits.

use std::sync::Arc;

use super::{Asked, Scheme, Tools, Verification};
use crate::accounts::{Accounts, Found};
use crate::authn::first_use::{FirstUses, RouteNames};
use crate::authn::identity::{Identity, Lease, Method};
use crate::authn::{Presented, Refusal};

pub(super) fn build(tools: &Tools) -> Option<Box<dyn Scheme>> {
    Some(Box::new(ApiToken {
        accounts: Arc::clone(&tools.accounts),
        routes: tools.routes.clone(),
    }))
}

struct ApiToken {
    accounts: Arc<Accounts>,
    routes: RouteNames,
}

impl Scheme for ApiToken {
    fn name(&self) -> &'static str {
        "api-token"
    }

    fn recognises(&self, presented: &Presented<'_>) -> bool {
        presented.token().is_some()
    }

    fn verify(&self, presented: &Presented<'_>, asked: Asked) -> Verification {
        let token = presented.token().unwrap_or_default();
        Verification::Now(match self.accounts.find_token(token, asked.now) {
            Found::Live(token, account) => Ok(Identity {
                lease: Lease::of_token(&account, &token),
                account,
                method: Method::ApiToken,
                token: Some(token.into()),
                audited: FirstUses::new(&self.routes),
            }),
            Found::Malformed => Err(Refusal::Malformed("token-malformed")),
            Found::Unknown => Err(Refusal::Invalid("token-unknown")),
            Found::Revoked => Err(Refusal::Dead("token-revoked")),
            Found::Expired => Err(Refusal::Dead("token-expired")),
            Found::UserDisabled => Err(Refusal::Dead("user-disabled")),
            Found::UserGone => Err(Refusal::Dead("user-gone")),
        })
    }
}
