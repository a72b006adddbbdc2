//! The addresses where gateways ask, and who may.

use std::sync::Arc;

use http::{HeaderName, StatusCode};

use super::Door;
use crate::config::Settings;
use crate::config::settings::{self, Alias, IdentityHeaders};
use crate::crypto::Secret;
use crate::dialect::{DIALECTS, Dialect, Family};
use crate::policy::Route;
use crate::request::Peer;
use crate::request::admission::Rejection;
use crate::request::client_addr::ProxyTrust;
use crate::wire::Fields;

/// What gateways send when `server.decision_secret_file` is set.
pub static SECRET: HeaderName = HeaderName::from_static("x-sidegate-secret");

/// The endpoints of other servers: where, by which dialect.
const ALIASES: &[(Alias, &str, Asker)] = &[
    (Alias::Oauth2Proxy, "/oauth2/auth", Asker::Detected),
    (Alias::Authelia, "/api/authz/auth-request", Asker::Named("nginx")),
    (
        Alias::Authelia,
        "/api/authz/forward-auth",
        Asker::Named("traefik"),
    ),
    (Alias::Authelia, "/api/authz/ext-authz", Asker::Named("envoy")),
    (Alias::Authelia, "/api/verify", Asker::Detected),
    (
        Alias::Authentik,
        "/outpost.goauthentik.io/auth/nginx",
        Asker::Named("nginx"),
    ),
    (
        Alias::Authentik,
        "/outpost.goauthentik.io/auth/traefik",
        Asker::Named("traefik"),
    ),
    (
        Alias::Authentik,
        "/outpost.goauthentik.io/auth/caddy",
        Asker::Named("caddy"),
    ),
    (
        Alias::Authentik,
        "/outpost.goauthentik.io/auth/envoy",
        Asker::Named("envoy"),
    ),
    (Alias::Tinyauth, "/api/auth/nginx", Asker::Named("nginx")),
    (Alias::Tinyauth, "/api/auth/traefik", Asker::Named("traefik")),
    (Alias::Tinyauth, "/api/auth/caddy", Asker::Named("caddy")),
    (Alias::Tinyauth, "/api/auth/envoy", Asker::Named("envoy")),
    (Alias::Vouch, "/validate", Asker::Named("nginx")),
];

/// Who asks at an endpoint.
#[derive(Clone, Copy)]
enum Asker {
    /// The gateway of that dialect.
    Named(&'static str),
    /// Whoever the metadata tells.
    Detected,
}

/// Every endpoint of one version of the settings.
pub struct Endpoints {
    dialects: Vec<Box<dyn Dialect>>,
    /// Below `base`, and it itself.
    places: Vec<Place>,
    /// Those of other servers.
    aliases: Vec<Place>,
    /// `/_sidegate/auth`: nothing below it is anything else.
    base: String,
    /// Whether they have listeners of their own, and the others none.
    own_listeners: bool,
    secret: Option<Secret>,
    /// By the route's index.
    headers: Vec<Arc<IdentityHeaders>>,
    /// Where there is no `[[route]]`.
    default_route: Option<Arc<Route>>,
}

/// One endpoint.
struct Place {
    path: String,
    /// Index of its dialect; none: read from the metadata.
    dialect: Option<usize>,
    takes_path: bool,
    /// The identity headers of another server.
    headers: Option<Arc<IdentityHeaders>>,
}

impl Place {
    /// What follows this endpoint in the target, if that is where it belongs.
    fn rest<'r>(&self, target: &'r str) -> Option<&'r str> {
        below(target, &self.path).filter(|rest| self.takes_path || !rest.starts_with('/'))
    }
}

/// A question arrived at an endpoint.
pub struct Asking<'s, 'r> {
    /// By which dialect; none: read from the metadata.
    pub dialect: Option<&'s dyn Dialect>,
    /// The identity headers of another server, which the route's give way to.
    pub headers: Option<&'s Arc<IdentityHeaders>>,
    /// What follows the endpoint in the target.
    pub rest: &'r str,
}

impl Endpoints {
    /// The endpoints of these settings.
    pub fn new(settings: &Settings) -> Self {
        let dialects: Vec<Box<dyn Dialect>> = DIALECTS
            .iter()
            .map(|(_, build)| build())
            .filter(|dialect| dialect.endpoint().is_some())
            .collect();
        let base = format!("{}/auth", settings.server.prefix);
        let place = |path: String, asker: Asker, headers: Option<Arc<IdentityHeaders>>| {
            let dialect = match asker {
                Asker::Named(name) => dialects.iter().position(|dialect| dialect.name() == name),
                Asker::Detected => None,
            };
            let takes_path = dialect
                .and_then(|index| dialects[index].endpoint())
                .is_some_and(|endpoint| endpoint.takes_path);
            Place {
                path,
                dialect,
                takes_path,
                headers,
            }
        };
        let mut places: Vec<Place> = dialects
            .iter()
            .map(|dialect| {
                let path = format!("{base}/{}", dialect.name());
                place(path, Asker::Named(dialect.name()), None)
            })
            .collect();
        places.push(place(base.clone(), Asker::Detected, None));
        let mut aliases = Vec::new();
        for alias in &settings.aliases {
            let theirs = ALIASES.iter().filter(|(of, ..)| of == alias);
            let headers = Arc::new(alias.identity_headers());
            aliases.extend(
                theirs.map(|(_, path, asker)| place((*path).to_owned(), *asker, Some(headers.clone()))),
            );
        }
        let default_route = settings.routes.is_empty().then(|| {
            Arc::new(Route {
                index: 0,
                settings: settings::Route::for_decisions(),
                query_token: settings.credentials.query_token,
            })
        });
        Self {
            places,
            aliases,
            dialects,
            base,
            own_listeners: !settings.server.decision_listen.is_empty(),
            secret: settings
                .server
                .decision_secret
                .as_ref()
                .map(|secret| secret.secret.clone()),
            headers: settings
                .routes
                .iter()
                .map(|route| Arc::new(route.identity_headers.in_decisions()))
                .collect(),
            default_route,
        }
    }

    /// What a request for this target through that door asks; none: it is no question. An error: it is one, but no
    /// endpoint is there. The path is compared as it was sent: another spelling is another address, where nothing is
    /// allowed.
    pub fn find<'r>(&self, target: &'r str, door: Door) -> Option<Result<Asking<'_, 'r>, Rejection>> {
        let own = below(target, &self.base).is_some();
        let open = door == Door::Decisions || !self.own_listeners;
        let places: &[Place] = match (open, own) {
            (false, _) => &[],
            (true, true) => &self.places,
            (true, false) => &self.aliases,
        };
        for place in places {
            if let Some(rest) = place.rest(target) {
                return Some(Ok(Asking {
                    dialect: place.dialect.map(|index| &*self.dialects[index]),
                    headers: place.headers.as_ref(),
                    rest,
                }));
            }
        }
        let nothing = if open { NO_ENDPOINT } else { ELSEWHERE };
        (own || door == Door::Decisions).then_some(Err(nothing))
    }

    /// The dialect that speaks a family; without one that of nginx, whose answers every gateway
    /// understands.
    pub fn speaking(&self, family: Option<Family>) -> &dyn Dialect {
        let wanted = family.unwrap_or(Family::Original);
        let family = |dialect: &dyn Dialect| dialect.endpoint().map(|endpoint| endpoint.family);
        self.dialects
            .iter()
            .map(|dialect| &**dialect)
            .find(|dialect| family(*dialect) == Some(wanted))
            .expect("every family has a dialect in the table")
    }

    /// Whether that peer may ask, by its address and by what it knows. Its secret is taken out.
    ///
    /// # Errors
    /// It may not.
    pub fn admit(
        &self,
        peer: &Peer,
        headers: &mut Fields<'_>,
        trust: &ProxyTrust<'_>,
    ) -> Result<(), Rejection> {
        if !trust.includes(peer) {
            return Err(STRANGER);
        }
        let Some(secret) = &self.secret else {
            return Ok(());
        };
        let mut told = headers.get_all(&SECRET);
        let knows = told
            .next()
            .is_some_and(|told| Secret::new(told.as_bytes()) == *secret);
        if !knows || told.next().is_some() {
            return Err(NO_SECRET);
        }
        headers.remove(&SECRET);
        Ok(())
    }

    /// The route where none is configured.
    pub fn default_route(&self) -> Option<&Arc<Route>> {
        self.default_route.as_ref()
    }

    /// The names of the routes that decisions are about: those configured, else the default one.
    pub fn route_names<'s>(&'s self, routes: &'s [settings::Route]) -> impl Iterator<Item = &'s str> {
        let default = self
            .default_route
            .iter()
            .map(|route| route.settings.name.as_str());
        routes.iter().map(|route| route.name.as_str()).chain(default)
    }

    /// The identity headers of answers about that route.
    pub fn headers(&self, route: &Route) -> Option<&Arc<IdentityHeaders>> {
        self.headers.get(route.index)
    }
}

/// Whether the gateway asked for what the application gets of the headers that may hold a credential of
/// ours. Others would not look at it, and for those that hold a whole head in a few KiB it may be too
/// much.
pub fn hands_on(dialect: &dyn Dialect, rest: &str) -> bool {
    rest == HAND_ON || dialect.endpoint().is_some_and(|endpoint| endpoint.takes_path)
}

/// What follows an endpoint that is asked so. Where a path follows it, and only what changes is told, no
/// question is needed.
const HAND_ON: &str = "?strip";

/// What follows `base` in the target, if it ends a segment there.
fn below<'r>(target: &'r str, base: &str) -> Option<&'r str> {
    let rest = target.strip_prefix(base)?;
    matches!(rest.as_bytes().first(), None | Some(b'/' | b'?')).then_some(rest)
}

const fn refused(reason: &'static str, message: &'static str) -> Rejection {
    Rejection {
        status: StatusCode::FORBIDDEN,
        reason,
        message,
        close: false,
    }
}

const STRANGER: Rejection = refused(
    "untrusted-peer",
    "only trusted proxies may ask for decisions; if that is your gateway, add its address (\"unix\" for a unix socket) to server.trusted_proxies",
);
const NO_SECRET: Rejection = refused(
    "wrong-secret",
    "the gateway must send the secret of server.decision_secret_file as X-Sidegate-Secret, once",
);
const NO_ENDPOINT: Rejection = refused(
    "no-endpoint",
    "there is no decision endpoint of that name; there are nginx, traefik, caddy, envoy and haproxy below /auth of \
     the prefix",
);
const ELSEWHERE: Rejection = refused(
    "no-endpoint",
    "decisions are asked for on the addresses of server.decision_listen, and nowhere else",
);
/// A question about an address of ours.
pub const OURS: Rejection = Rejection {
    status: StatusCode::NOT_FOUND,
    reason: "no-route",
    message: "the gateway asks about an address of Sidegate itself; let it relay that prefix without asking",
    close: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_names_a_dialect_that_there_is() {
        for (alias, path, asker) in ALIASES {
            if let Asker::Named(name) = asker {
                assert!(crate::dialect::build(name).is_some(), "{alias} {path}");
            }
        }
    }

    #[test]
    fn an_endpoint_covers_whole_segments_and_its_query() {
        assert_eq!(
            below("/_sidegate/auth/caddy?a=1", "/_sidegate/auth/caddy"),
            Some("?a=1")
        );
        assert_eq!(
            below("/_sidegate/auth/envoy/x", "/_sidegate/auth/envoy"),
            Some("/x")
        );
        assert_eq!(below("/_sidegate/authors", "/_sidegate/auth"), None);
    }
}
