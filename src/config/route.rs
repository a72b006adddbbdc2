//! One `[[route]]`.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::error::Wrong;
use super::file;
use super::grammar;
use super::resolve::{DAY, Resolver};
use super::settings::{
    Access, AccessTable, Csrf, HostHeader, IdentityHeaders, Route, UpstreamAddr, UpstreamScheme,
    UpstreamTarget, WebSocket,
};
use super::tree::{element, join};

/// A login that has to be newer would never be new enough.
const SHORTEST_AGE: Duration = Duration::from_secs(60);

/// Reads the route with this index, from 0.
pub(super) fn resolve(resolver: &mut Resolver<'_>, index: usize, route: &file::Route) -> Route {
    let key = element("route", index);
    let host = route
        .host
        .as_ref()
        .and_then(|text| resolver.read(&join(&key, "host"), text, grammar::host));
    let path = resolver
        .read(&join(&key, "path"), &route.path, grammar::path)
        .unwrap_or_default();
    let path_params = route.path_params;
    if path.contains(';') && !path_params {
        let wrong =
            Wrong::new("has a ; with which no request is let in").hint("write path_params = true as well");
        resolver.wrong(&join(&key, "path"), Some(&route.path), wrong);
    }
    let upstream = upstreams(resolver, &join(&key, "upstream"), route.upstream.as_ref());
    let over_tls = upstream
        .iter()
        .any(|address| address.scheme == UpstreamScheme::Https);
    let ca_file = route.ca_file.as_ref().map(|text| {
        let key = join(&key, "ca_file");
        let path = resolver.given_file(&key, text);
        resolver.pem(&key, &path, "CERTIFICATE");
        path
    });
    let server_name = route
        .server_name
        .as_ref()
        .and_then(|text| resolver.read(&join(&key, "server_name"), text, grammar::server_name));
    for (name, is_set) in [
        ("ca_file", ca_file.is_some()),
        ("server_name", server_name.is_some()),
    ] {
        if is_set && !over_tls && !resolver.is_broken(&join(&key, "upstream")) {
            let wrong = Wrong::new("is set, and no upstream of this route is https");
            resolver.wrong(
                &join(&key, name),
                None,
                wrong.hint("write https:// there, or leave it out"),
            );
        }
    }
    let health = route
        .health
        .as_ref()
        .and_then(|text| resolver.read(&join(&key, "health"), text, probe));
    if upstream.is_empty() && !resolver.is_broken(&join(&key, "upstream")) {
        for (name, is_set) in [("health", health.is_some()), ("strip_prefix", route.strip_prefix)] {
            if is_set {
                let wrong = Wrong::new("is set, and the route has no upstream").hint("leave it out");
                resolver.wrong(&join(&key, name), None, wrong);
            }
        }
    }
    Route {
        name: format!("{}{path}", host.as_deref().unwrap_or("*")),
        access: access(resolver, &join(&key, "access"), &route.access),
        identity_headers: Arc::new(identity_headers(
            resolver,
            &join(&key, "identity_headers"),
            &route.identity_headers,
        )),
        host,
        path,
        upstream,
        ca_file,
        server_name,
        pass_credentials: route.pass_credentials,
        query_token: route.query_token,
        host_header: match route.host_header {
            file::HostHeader::Preserve => HostHeader::Preserve,
            file::HostHeader::Upstream => HostHeader::Upstream,
        },
        strip_prefix: route.strip_prefix,
        health,
        preflight_pass: route.preflight == file::Preflight::Pass,
        websocket: match route.websocket {
            file::WebSocket::Write => WebSocket::Write,
            file::WebSocket::Read => WebSocket::Read,
        },
        csrf: match route.csrf {
            file::Csrf::Enforce => Csrf::Enforce,
            file::Csrf::SameSite => Csrf::SameSite,
            file::Csrf::Off => Csrf::Off,
        },
        encoded_slash: route.encoded_slash,
        path_params,
    }
}

/// The path of a probe is sent as it is written.
fn probe(text: &str) -> Result<String, Wrong> {
    grammar::path(text).map(|_| text.to_owned())
}

fn upstreams(resolver: &mut Resolver<'_>, key: &str, written: Option<&file::Upstream>) -> Vec<UpstreamAddr> {
    match written {
        None => Vec::new(),
        Some(file::Upstream::One(text)) => resolver.read(key, text, grammar::upstream).into_iter().collect(),
        Some(file::Upstream::Several(texts)) if texts.is_empty() => {
            let wrong =
                Wrong::new("is empty").hint("leave it out for a route that answers decision endpoints only");
            resolver.wrong(key, None, wrong);
            Vec::new()
        }
        Some(file::Upstream::Several(texts)) => resolver.list(key, texts, grammar::upstream),
    }
}

fn access(resolver: &mut Resolver<'_>, key: &str, written: &file::Access) -> Access {
    let table = match written {
        file::Access::Word(file::AccessWord::Public) => return Access::Public,
        file::Access::Word(file::AccessWord::User) => return Access::User,
        file::Access::Word(file::AccessWord::Admin) => return Access::Admin,
        file::Access::Table(table) => table,
    };
    if *table == file::AccessTable::default() && !resolver.is_broken(key) {
        let hint = "write \"user\" for any user, \"public\" for anyone, or name users, groups, methods, networks, factors or max_age";
        resolver.wrong(key, None, Wrong::new("is a table without a condition").hint(hint));
    }
    Access::Table(AccessTable {
        users: resolver.condition(&join(key, "users"), table.users.as_ref(), grammar::account),
        groups: resolver.condition(&join(key, "groups"), table.groups.as_ref(), grammar::account),
        methods: resolver.condition(&join(key, "methods"), table.methods.as_ref(), grammar::method),
        networks: resolver.condition(&join(key, "networks"), table.networks.as_ref(), grammar::network),
        factors: table.factors,
        max_age: table
            .max_age
            .as_ref()
            .map(|text| max_age(resolver, &join(key, "max_age"), text)),
    })
}

fn max_age(resolver: &mut Resolver<'_>, key: &str, text: &str) -> Duration {
    let age = resolver.time(key, text, 365 * DAY);
    if age < SHORTEST_AGE {
        let wrong = Wrong::new("is over before anybody is back from the login").hint("write at least \"1m\"");
        resolver.wrong(key, Some(text), wrong);
    }
    age
}

fn identity_headers(
    resolver: &mut Resolver<'_>,
    key: &str,
    written: &file::IdentityHeaders,
) -> IdentityHeaders {
    let table = match written {
        file::IdentityHeaders::Preset(preset) => return IdentityHeaders::preset(*preset),
        file::IdentityHeaders::Table(table) => table,
    };
    let named = [
        ("user", &table.user),
        ("groups", &table.groups),
        ("name", &table.name),
        ("email", &table.email),
        ("scope", &table.scope),
    ];
    let mut seen: Vec<(HeaderName, &str)> = Vec::new();
    let mut names = named.map(|(what, text)| {
        let text = text.as_ref()?;
        let name = resolver.read(&join(key, what), text, grammar::header_name)?;
        if let Some((_, other)) = seen.iter().find(|(earlier, _)| *earlier == name) {
            let wrong = Wrong::new(format!("is the header for {other} as well")).hint("give each its own");
            resolver.wrong(&join(key, what), Some(text), wrong);
        }
        seen.push((name.clone(), what));
        Some(name)
    });
    let [user, groups, name, email, scope] = &mut names;
    IdentityHeaders {
        user: user.take(),
        groups: groups.take(),
        name: name.take(),
        email: email.take(),
        scope: scope.take(),
        separator: ',',
    }
}

impl IdentityHeaders {
    /// The preset `remote`, for a decision without a route.
    pub fn remote() -> Self {
        Self::preset(file::Preset::Remote)
    }

    pub(super) fn preset(preset: file::Preset) -> Self {
        let (user, groups, name, email, separator) = match preset {
            file::Preset::Remote => ("remote-user", "remote-groups", "remote-name", "remote-email", ','),
            file::Preset::Oauth2Proxy => (
                "x-forwarded-user",
                "x-forwarded-groups",
                "x-forwarded-preferred-username",
                "x-forwarded-email",
                ',',
            ),
            file::Preset::Authentik => (
                "x-authentik-username",
                "x-authentik-groups",
                "x-authentik-name",
                "x-authentik-email",
                '|',
            ),
            file::Preset::Grafana => ("x-webauth-user", "", "", "", ','),
        };
        let header = |name: &'static str| (!name.is_empty()).then(|| HeaderName::from_static(name));
        Self {
            user: header(user),
            groups: header(groups),
            name: header(name),
            email: header(email),
            scope: None,
            separator,
        }
    }

    /// Every name that is set, in the order user, groups, name, email, scope.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.user, &self.groups, &self.name, &self.email, &self.scope]
            .into_iter()
            .flatten()
    }
}

impl std::fmt::Display for UpstreamAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.scheme {
            UpstreamScheme::Http => "http",
            UpstreamScheme::Https => "https",
            UpstreamScheme::H2c => "h2c",
        };
        match &self.target {
            UpstreamTarget::Unix(path) => write!(f, "unix:{}", path.display()),
            UpstreamTarget::Tcp { host, port } if host.contains(':') => {
                write!(f, "{scheme}://[{host}]:{port}")
            }
            UpstreamTarget::Tcp { host, port } => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}
