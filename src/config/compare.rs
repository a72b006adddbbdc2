//! What is right alone and wrong together.

use std::net::{IpAddr, SocketAddr};

use super::error::Wrong;
use super::resolve::{Resolver, listener_keys};
use super::settings::{Access, Listen, Settings, UpstreamTarget};
use super::tree::{element, join};
use super::{data_files, decisions};

/// Compares everything with everything that it could disagree with.
pub(super) fn all(resolver: &mut Resolver<'_>, settings: &Settings) {
    listeners(resolver, settings);
    routes(resolver, settings);
    loops(resolver, settings);
    headers(resolver, settings);
    plain_text(resolver, settings);
    proxies(resolver, settings);
    decisions::compare(resolver, settings);
    data_files::compare(resolver, settings);
}

/// Two listeners on one address.
fn listeners(resolver: &mut Resolver<'_>, settings: &Settings) {
    if settings.server.listen.is_empty() && settings.tls.is_none() && !resolver.is_broken("server.listen") {
        let hint = "write for example [\"127.0.0.1:8480\"]";
        resolver.wrong(
            "server.listen",
            None,
            Wrong::new("is empty, and there is no [tls] either").hint(hint),
        );
    }
    let all = listener_keys(settings);
    for (index, (key, listen)) in all.iter().enumerate() {
        if let Some((earlier, _)) = all[..index].iter().find(|(_, earlier)| overlap(earlier, listen)) {
            let wrong = Wrong::new(format!("is taken by {earlier} already")).hint("choose another port");
            resolver.wrong(key, Some(&listen.to_string()), wrong);
        }
    }
}

fn overlap(a: &Listen, b: &Listen) -> bool {
    match (a, b) {
        (Listen::Unix(a), Listen::Unix(b)) => a == b,
        (Listen::Tcp(a), Listen::Tcp(b)) => {
            let same_family = a.is_ipv4() == b.is_ipv4();
            let any = a.ip().is_unspecified() || b.ip().is_unspecified();
            // Port 0 is another one every time.
            a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || (same_family && any))
        }
        _ => false,
    }
}

/// Two routes for the same host and path, and routes that the prefix hides.
fn routes(resolver: &mut Resolver<'_>, settings: &Settings) {
    for (index, route) in settings.routes.iter().enumerate() {
        let key = element("route", index);
        let same = |other: &super::settings::Route| other.host == route.host && other.path == route.path;
        if let Some(earlier) = settings.routes[..index].iter().position(same)
            && !resolver.is_broken(&key)
            && !resolver.is_broken(&element("route", earlier))
        {
            let place = resolver
                .origin(&element("route", earlier))
                .map(|origin| format!(" ({origin})"));
            let wrong = Wrong::new(format!(
                "has the same host and path as {}{}",
                element("route", earlier),
                place.unwrap_or_default()
            ));
            resolver.wrong(&key, None, wrong.hint("give one of them another host or path"));
        }
        let prefix = settings.server.prefix.as_str();
        let below = route
            .path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below && !prefix.is_empty() {
            let wrong = Wrong::new(format!(
                "is below server.prefix ({prefix}), which is never proxied"
            ));
            resolver.wrong(
                &join(&key, "path"),
                Some(&route.path),
                wrong.hint("choose another path, or another prefix"),
            );
        }
    }
}

/// Upstreams that are ourselves.
fn loops(resolver: &mut Resolver<'_>, settings: &Settings) {
    let ours = listener_keys(settings);
    for (index, route) in settings.routes.iter().enumerate() {
        for upstream in &route.upstream {
            // Operations are no proxy: a route to them is odd and no loop.
            let hit = ours
                .iter()
                .find(|(key, listen)| key != "operations.listen" && reaches(&upstream.target, listen));
            if let Some((listener, _)) = hit {
                let key = join(&element("route", index), "upstream");
                let wrong = Wrong::new(format!("is Sidegate itself ({listener})"));
                resolver.wrong(
                    &key,
                    Some(&upstream.to_string()),
                    wrong.hint("write the address of the backend"),
                );
            }
        }
    }
}

/// Whether connecting to `target` surely ends at `listen`.
fn reaches(target: &UpstreamTarget, listen: &Listen) -> bool {
    match (target, listen) {
        (UpstreamTarget::Unix(path), Listen::Unix(ours)) => path == ours,
        (UpstreamTarget::Tcp { host, port }, Listen::Tcp(ours)) if *port == ours.port() => {
            let is_localhost = host == "localhost" || host.ends_with(".localhost");
            match host.parse::<IpAddr>() {
                Ok(address) => at(address, ours),
                // RFC 6761 section 6.3: these names are loopback.
                Err(_) => is_localhost && (ours.ip().is_loopback() || ours.ip().is_unspecified()),
            }
        }
        _ => false,
    }
}

fn at(address: IpAddr, ours: &SocketAddr) -> bool {
    let address = address.to_canonical();
    // Connecting to 0.0.0.0 is connecting to this machine.
    let local = address.is_loopback() || address.is_unspecified();
    address == ours.ip()
        || (local && ours.ip().is_unspecified())
        || (address.is_unspecified() && ours.ip().is_loopback())
}

/// One header for two things.
fn headers(resolver: &mut Resolver<'_>, settings: &Settings) {
    let taken: Vec<(&str, &http::HeaderName)> = (settings.credentials.token_headers.iter())
        .map(|name| ("credentials.token_headers", name))
        .chain(
            settings
                .server
                .client_ip_header
                .iter()
                .map(|name| ("server.client_ip_header", name)),
        )
        .collect();
    for (index, route) in settings.routes.iter().enumerate() {
        let key = join(&element("route", index), "identity_headers");
        for name in route.identity_headers.names() {
            if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == name) {
                let wrong = Wrong::new(format!("has {name}, which is in {other} as well"));
                resolver.wrong(&key, None, wrong.hint("choose another name"));
            }
        }
    }
    if let Some(name) = &settings.server.client_ip_header
        && settings.credentials.token_headers.contains(name)
    {
        let wrong = Wrong::new("is in credentials.token_headers as well").hint("choose another name");
        resolver.wrong("server.client_ip_header", Some(name.as_str()), wrong);
    }
}

/// Credentials on the wire for everybody to read.
fn plain_text(resolver: &mut Resolver<'_>, settings: &Settings) {
    let redirected = settings.tls.as_ref().is_some_and(|tls| tls.redirect_http);
    let plain = settings.server.listen.iter().enumerate();
    let plain = plain
        .filter(|_| !redirected)
        .map(|(index, listen)| (element("server.listen", index), listen));
    let decisions = settings.server.decision_listen.iter().enumerate();
    let decisions = decisions.map(|(index, listen)| (element("server.decision_listen", index), listen));
    for (key, listen) in plain.chain(decisions) {
        let Listen::Tcp(address) = listen else { continue };
        if address.ip().to_canonical().is_loopback() {
            continue;
        }
        let what = if settings.credentials.basic_passwords {
            "passwords and tokens"
        } else {
            "tokens"
        };
        resolver.warn(
            &key,
            format_args!("= \"{address}\" is plain HTTP on a network: {what} can be read on the way; use [tls], or a gateway with TLS on this machine"),
        );
    }
}

/// Networks that meet trusted proxies, and settings that only work with one.
fn proxies(resolver: &mut Resolver<'_>, settings: &Settings) {
    let proxies = &settings.server.trusted_proxies;
    for (index, trusted) in settings.trusted_networks.iter().enumerate() {
        // A client behind a proxy is judged by its own address; what is left are the proxy's
        // own requests, and clients it forgot to name.
        if let Some(proxy) = proxies.iter().find(|proxy| trusted.cidr.contains(*proxy)) {
            resolver.warn(
                &join(&element("networks.trusted", index), "cidr"),
                format_args!(
                    "= \"{}\" holds the trusted proxy {proxy}; make sure that it sends X-Forwarded-For with every request",
                    trusted.cidr
                ),
            );
        }
        if let Some(wider) = settings.trusted_networks.iter().find(|other| {
            other.cidr != trusted.cidr && other.cidr.contains(&trusted.cidr) && other.user != trusted.user
        }) {
            resolver.warn(
                &join(&element("networks.trusted", index), "cidr"),
                format_args!(
                    "= \"{}\" is part of {}, which has another user",
                    trusted.cidr, wider.cidr
                ),
            );
        }
    }
    let nobody = proxies.is_empty() && !settings.server.trust_unix;
    if nobody && settings.server.client_ip_header.is_some() {
        resolver.warn(
            "server.client_ip_header",
            "is never read: server.trusted_proxies is empty",
        );
    }
    for (index, route) in settings.routes.iter().enumerate() {
        let key = element("route", index);
        if nobody && route.upstream.is_empty() {
            resolver.warn(
                &key,
                "has no upstream, and nobody may ask about it: server.trusted_proxies is empty",
            );
        }
        let methods = match &route.access {
            Access::Table(table) => &table.methods,
            _ => continue,
        };
        if !methods.is_empty()
            && !methods.contains(&http::Method::GET)
            && route.websocket == super::settings::WebSocket::Read
        {
            resolver.warn(
                &key,
                "lets WebSockets in as reads and has no GET among its methods: no WebSocket gets through",
            );
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
