//! The only ticket to a backend.

use std::sync::Arc;

use crate::authn::{Identity, Lease};

/// Proof that `Authority::decide` said yes to this request.
///
/// Its fields and its constructor are private to this folder. `Upstreams::forward` takes one by
/// value, so a request that nobody decided about cannot be forwarded.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    identity: Option<Arc<Identity>>,
    anonymous_preflight: bool,
}

impl Permit {
    /// Only the decision makes one.
    pub(super) fn new(identity: Option<Arc<Identity>>) -> Self {
        Self {
            identity,
            anonymous_preflight: false,
        }
    }

    /// A CORS preflight on a route that lets them pass: without cookies, credentials or identity.
    pub(super) fn preflight() -> Self {
        Self {
            identity: None,
            anonymous_preflight: true,
        }
    }

    /// For the tests of what a permit opens.
    #[cfg(test)]
    pub(crate) fn for_tests(identity: Option<Arc<Identity>>, anonymous_preflight: bool) -> Self {
        Self {
            identity,
            anonymous_preflight,
        }
    }

    /// Who is there; none on a public route.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The same of a permit that is taken back.
    pub(super) fn into_identity(self) -> Option<Arc<Identity>> {
        self.identity
    }

    /// Whether cookies and every credential must go before the backend.
    pub fn is_preflight(&self) -> bool {
        self.anonymous_preflight
    }

    /// What a long-lived tunnel watches; none: nothing to revoke.
    pub fn lease(&self) -> Option<&Lease> {
        self.identity.as_deref().map(|identity| &identity.lease)
    }
}
