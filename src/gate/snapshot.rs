//! One version of the settings, built into everything that a request needs of them.

use std::sync::Arc;

use http::HeaderName;

use crate::accounts::Accounts;
use crate::authn::carrier::Shape;
use crate::authn::scheme::Tools;
use crate::authn::{Authenticator, Verified, carrier, scheme};
use crate::config::Settings;
use crate::crypto::mac::Mac;
use crate::decision::{Authority, Guard};
use crate::dialect::Site;
use crate::policy::{Routes, Scopes, TrustedNetworks};
use crate::upstream::Backends;

/// Everything of the settings that requests need. A request holds one snapshot from its first
/// byte to its last, so it never sees two versions.
pub struct Snapshot {
    /// As resolved.
    pub settings: Settings,
    /// By host and path.
    pub routes: Routes,
    /// Decides.
    pub authority: Authority,
    /// What answers say of ourselves.
    pub site: Site,
    /// Where each route's requests go, by the route's index.
    pub backends: Backends,
    /// Headers of which more than one is refused before anything is judged.
    pub single_headers: Vec<HeaderName>,
}

impl Snapshot {
    /// Builds everything from settings, accounts and guard.
    ///
    /// # Errors
    /// What of the settings cannot be resolved: an unreadable `ca_file`, for example.
    pub fn build(
        settings: Settings,
        accounts: &Arc<Accounts>,
        guard: &Arc<Guard>,
        previous: Option<&Snapshot>,
    ) -> Result<Self, String> {
        let routes = Routes::new(&settings.routes, settings.credentials.query_token);
        let shape = Shape {
            credentials: settings.credentials.clone(),
            prefix: format!("{}.", settings.tokens.prefix),
        };
        let tools = Tools {
            accounts: Arc::clone(accounts),
            passwords: settings.credentials.basic_passwords,
            routes: routes.len(),
        };
        let authority = Authority {
            authenticator: Authenticator::new(
                carrier::build(&shape),
                scheme::build(&tools),
                Verified::new(Mac::ephemeral()),
                Arc::clone(accounts),
            ),
            scopes: Scopes::new(&settings.scopes, &settings.tokens),
            networks: TrustedNetworks::new(&settings.trusted_networks),
            guard: Arc::clone(guard),
            accounts: Arc::clone(accounts),
            routes: routes.len(),
        };
        let backends = Backends::build(&settings, previous.map(|snapshot| &snapshot.backends))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            site: Site {
                prefix: settings.server.prefix.clone(),
                public_url: settings.server.public_url.clone(),
            },
            single_headers: settings.credentials.token_headers.clone(),
            routes,
            authority,
            backends,
            settings,
        })
    }
}
