//! What a browser was given when its user logged in: found by its digest, in memory.

use std::sync::Arc;

use super::{Asked, Scheme, Tools, Verification};
use crate::accounts::{Accounts, FoundSession};
use crate::authn::first_use::{FirstUses, RouteNames};
use crate::authn::identity::{Identity, Lease, Method};
use crate::authn::{Presented, Refusal};

pub(super) fn build(tools: &Tools) -> Option<Box<dyn Scheme>> {
    Some(Box::new(Session {
        accounts: Arc::clone(&tools.accounts),
        routes: tools.routes.clone(),
    }))
}

struct Session {
    accounts: Arc<Accounts>,
    routes: RouteNames,
}

impl Scheme for Session {
    fn name(&self) -> &'static str {
        "session"
    }

    fn recognises(&self, presented: &Presented<'_>) -> bool {
        presented.session().is_some()
    }

    fn verify(&self, presented: &Presented<'_>, asked: Asked) -> Verification {
        let cookie = presented.session().unwrap_or_default();
        Verification::Now(match self.accounts.find_session(cookie, asked.now) {
            FoundSession::Live(session, account) => Ok(Identity {
                lease: Lease::of_session(&account, session),
                account,
                method: Method::Session,
                token: None,
                audited: FirstUses::new(&self.routes),
            }),
            FoundSession::Unknown => Err(Refusal::Absent("session-unknown")),
            FoundSession::Expired => Err(Refusal::Absent("session-expired")),
            FoundSession::UserGone => Err(Refusal::Absent("session-user-gone")),
        })
    }
}
