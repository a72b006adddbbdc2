//! One version of the settings, built into everything that a request needs of them.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue, Response};

use super::endpoints::Endpoints;
use super::secure::Secure;
use crate::accounts::Accounts;
use crate::api;
use crate::authn::carrier::Shape;
use crate::authn::scheme::Tools;
use crate::authn::{Authenticator, RouteNames, Verified, carrier, scheme};
use crate::config::Settings;
use crate::crypto::mac::NamingKey;
use crate::decision::{Authority, Guard, Permit};
use crate::dialect::{HandedOn, Site};
use crate::policy::{Route, Routes, Scopes, TrustedNetworks};
use crate::request::client_addr::{Hop, ProxyTrust};
use crate::request::{Facts, Peer, Received, origin};
use crate::upstream::{self, Backends, IdentityNames, RouteBackends};
use crate::wire::{Body, Fields, Value};

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
    pub backends: Vec<RouteBackends>,
    /// The identity header names of all routes.
    pub identity_names: IdentityNames,
    /// Where gateways ask.
    pub endpoints: Endpoints,
    /// Who may use the REST interface.
    pub api: Route,
    /// Where plain text does not stay.
    secure: Option<Secure>,
}

impl Snapshot {
    /// Builds everything from settings and what outlives them.
    ///
    /// # Errors
    /// What of the settings cannot be resolved: an unreadable `ca_file`, for example.
    pub fn build(settings: Settings, lasting: &Lasting, previous: Option<&Snapshot>) -> Result<Self, String> {
        let Lasting {
            accounts,
            guard,
            backends,
        } = lasting;
        let routes = Routes::new(&settings.routes, settings.credentials.query_token);
        let shape = Shape {
            credentials: settings.credentials.clone(),
            prefix: format!("{}.", settings.tokens.prefix),
        };
        let endpoints = Endpoints::new(&settings);
        // Behind those that decisions are about.
        let api = api::route(&settings.server.prefix, settings.routes.len().max(1));
        let names = RouteNames::new(
            endpoints
                .route_names(&settings.routes)
                .chain([api.settings.name.as_str()]),
            previous.map(|previous| &previous.authority.routes),
        );
        let tools = Tools {
            accounts: Arc::clone(accounts),
            passwords: settings.credentials.basic_passwords,
            routes: names.clone(),
        };
        // What was verified stays known, else a reload would lock out who is behind a banned address.
        // With other routes each entry is verified anew at its next use.
        let verified = previous.map_or_else(
            || Arc::new(Verified::new(NamingKey::ephemeral())),
            |previous| previous.authority.authenticator.memory(),
        );
        let authority = Authority {
            authenticator: Authenticator::new(
                carrier::build(&shape),
                scheme::build(&tools),
                verified,
                Arc::clone(accounts),
                names.clone(),
            ),
            scopes: Scopes::new(&settings.scopes, &settings.tokens),
            networks: TrustedNetworks::new(&settings.trusted_networks),
            guard: Arc::clone(guard),
            accounts: Arc::clone(accounts),
            routes: names,
            own_host: settings.server.public_url.as_deref().and_then(origin::host_of),
            public_url: settings.server.public_url.clone(),
            domains: settings.server.domains.clone(),
        };
        let backends = backends
            .resolve(&settings.routes)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            site: Site {
                prefix: settings.server.prefix.clone(),
                public_url: settings.server.public_url.clone(),
                domains: settings.server.domains.clone(),
            },
            identity_names: IdentityNames::of(&settings.routes),
            endpoints,
            api,
            secure: Secure::new(&settings, &[]),
            routes,
            authority,
            backends,
            settings,
        })
    }

    /// Whose `X-Forwarded-*` is believed.
    pub fn proxy_trust(&self) -> ProxyTrust<'_> {
        let server = &self.settings.server;
        ProxyTrust {
            networks: &server.trusted_proxies,
            unix: server.trust_unix,
            header: server.client_ip_header.as_ref(),
        }
    }

    /// Tells on which ports TLS is really spoken: known only when the listeners are bound.
    pub fn set_https_ports(&mut self, bound: &[u16]) {
        self.secure = Secure::new(&self.settings, bound);
    }

    /// With `tls.redirect_http`, the redirect for a client that came in plain text and not through
    /// a trusted proxy.
    pub fn https_instead(&self, peer: &Peer, hop: &Hop, facts: &Facts<'_>) -> Option<Response<Body>> {
        let secure = self.secure.as_ref()?;
        if peer.tls || hop.trusted || peer.address.is_none() {
            return None;
        }
        Some(secure.redirect(facts))
    }

    /// Takes our credentials out of the head, unless the route passes them on; the query without
    /// them, if one had to be changed. A preflight keeps no credential of anyone.
    pub fn take_credentials(
        &self,
        route: &Route,
        permit: &Permit,
        upgrade: bool,
        received: &mut Received<'_>,
    ) -> Option<String> {
        let mut query = Cow::Borrowed(received.query());
        self.strip(route, permit, upgrade, &mut received.fields, &mut query);
        match query {
            Cow::Borrowed(_) => None,
            Cow::Owned(changed) => Some(changed),
        }
    }

    /// What an application behind a gateway gets of each header that may hold a credential of ours, as
    /// a backend would in proxy mode; of those that were sent.
    pub fn handed_on(&self, route: &Route, permit: &Permit, facts: &Facts<'_>) -> Vec<HandedOn> {
        let token_headers = &self.settings.credentials.token_headers;
        let sent = || {
            let names = token_headers.iter().chain(&CREDENTIAL_HEADERS);
            names.filter(|name| facts.headers.contains_key(*name))
        };
        let mut left = Fields::new();
        for name in sent() {
            for value in facts.headers.get_all(name) {
                left.push(name.as_str(), value.as_bytes());
            }
        }
        let upgrade = facts.is_upgrade();
        self.strip(route, permit, upgrade, &mut left, &mut Cow::Borrowed(""));
        upstream::strip_cookies(&mut left, permit, &route.settings);
        sent()
            .map(|name| HandedOn {
                name: name.clone(),
                value: joined(&left, name),
                changed: !facts.headers.get_all(name).eq(left.get_all(name)),
            })
            .collect()
    }

    fn strip(
        &self,
        route: &Route,
        permit: &Permit,
        upgrade: bool,
        headers: &mut Fields<'_>,
        query: &mut Cow<'_, str>,
    ) {
        if permit.is_preflight() {
            headers.remove(AUTHORIZATION);
            headers.remove(COOKIE);
        } else if route.settings.pass_credentials {
            return;
        }
        self.authority
            .authenticator
            .strip(route.place(upgrade), headers, query);
    }
}

/// Where credentials travel besides `credentials.token_headers`.
static CREDENTIAL_HEADERS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL];

/// One value: gateways take the first one. None where nothing is left.
fn joined(headers: &Fields<'_>, name: &HeaderName) -> Option<HeaderValue> {
    let all: Vec<&[u8]> = headers.get_all(name).map(Value::as_bytes).collect();
    if all.is_empty() {
        return None;
    }
    // Parts of header values make one.
    HeaderValue::from_bytes(&all.join(&b", "[..])).ok()
}

/// What outlives a snapshot.
pub struct Lasting {
    /// Users and tokens.
    pub accounts: Arc<Accounts>,
    /// Bans and rates.
    pub guard: Arc<Guard>,
    /// Health and addresses of upstreams.
    pub backends: Arc<Backends>,
}

/// The target for the backend, where it differs from the one received. Both are parts of a target that was checked
/// before.
pub fn target(received: &Received<'_>, path: Option<&str>, query: Option<String>) -> Option<String> {
    if path.is_none() && query.is_none() {
        return None;
    }
    let path = path.unwrap_or(received.path());
    let query = query.as_deref().unwrap_or(received.query());
    Some(if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{query}")
    })
}
