//! Traefik, with `forwardAuth`.

use super::super::visit::CHAIN;
use super::{Topic, joined, others};

/// What to write, and where.
pub(super) fn change(topic: &Topic<'_>, prefix: &str) -> String {
    match topic {
        Topic::Asks => "http.routers.APP: middlewares: [sidegate-forget, sidegate, sidegate-keep]".into(),
        Topic::Reach => format!(
            "http.middlewares.sidegate.forwardAuth: address: http://ADDRESS-OF-SIDEGATE{prefix}/auth/traefik"
        ),
        Topic::Client(name) if *name != CHAIN => format!(
            "in sidegate.toml, [server]: take out client_ip_header = \"{name}\", which Traefik cannot write"
        ),
        Topic::Scheme | Topic::Host | Topic::Path | Topic::Client(_) => "http.middlewares.sidegate.forwardAuth: \
             trustForwardHeader: false and entryPoints.NAME.forwardedHeaders: insecure: false, with nobody but proxies in \
             trustedIPs"
            .into(),
        Topic::Forged("Connection") => "nothing mends this but a current version of Traefik".into(),
        Topic::Forged(name) if name.starts_with("X-Forwarded-") || *name == "Forwarded" => {
            "http.middlewares.sidegate.forwardAuth: trustForwardHeader: false and \
             entryPoints.NAME.forwardedHeaders: insecure: false, with nobody but proxies in trustedIPs"
                .into()
        }
        Topic::Forged(name) | Topic::Rewrites(name) => {
            format!("http.middlewares.sidegate-forget.headers.customRequestHeaders, before sidegate: {name}: \"\"")
        }
        Topic::Spelling(name) => format!(
            "http.middlewares.sidegate-forget.headers.customRequestHeaders, before sidegate: {}",
            joined(others(name).into_iter().map(|name| format!("{name}: \"\"")))
        ),
        Topic::Identity(names) => format!(
            "http.middlewares.sidegate.forwardAuth: authResponseHeaders: [{}] and in sidegate-forget, before it: {}",
            names.join(", "),
            joined(names.iter().flat_map(|name| others(name)).map(|name| format!("{name}: \"\"")))
        ),
        Topic::Endpoint => format!(
            "http.routers.sidegate-refused: rule: Host(`HOST`) && PathPrefix(`{prefix}/auth`), middlewares: \
             [sidegate-nobody], service: noop@internal; http.middlewares.sidegate-nobody.ipAllowList: sourceRange: \
             [\"255.255.255.255/32\"]"
        ),
        Topic::Pages => format!(
            "http.routers.sidegate-pages: rule: Host(`HOST`) && PathPrefix(`{prefix}/`), service: sidegate-pages, without \
             the middleware sidegate"
        ),
        Topic::Login | Topic::Challenge | Topic::CookieOut => "http.routers.APP: take out the middlewares that change \
             answers (errors, redirects, headers) around sidegate: it passes refusals on as they are"
            .into(),
        Topic::CookieIn => authorized("Cookie"),
        Topic::WebSocketAsk => format!(
            "{}; and http.routers.sidegate-keyless: rule: Host(`HOST`) && HeaderRegexp(`Upgrade`, `.`) && \
             !HeaderRegexp(`Sec-WebSocket-Key`, `.`), priority: 10000, middlewares: [sidegate-nobody], service: \
             noop@internal",
            authorized("Sec-WebSocket-Key")
        ),
        Topic::Preflight => authorized("Origin, Access-Control-Request-Method"),
        Topic::TokenIn(name) => authorized(name),
        Topic::AppCookies => format!(
            "http.middlewares.sidegate.forwardAuth: address: http://ADDRESS-OF-SIDEGATE{prefix}/auth/traefik?strip, and in \
             authResponseHeaders: - Cookie; in http.routers.APP no middleware that changes Cookie or Set-Cookie"
        ),
        Topic::WebSocketPass => "http.routers.APP: take out the middlewares that change Connection or Upgrade".into(),
        Topic::Keep(name) => format!(
            "http.middlewares.sidegate.forwardAuth: address: http://ADDRESS-OF-SIDEGATE{prefix}/auth/traefik?strip, and in \
             authResponseHeaders: - {name}"
        ),
        Topic::AppPath => "http.routers.APP: take out the middlewares that change paths (stripPrefix, replacePath, \
                           addPrefix), or set the application's base path"
            .into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}

/// What `forwardAuth` sends when it is told what to send.
fn authorized(names: &str) -> String {
    format!(
        "http.middlewares.sidegate.forwardAuth: take out authRequestHeaders, which sends nothing else, or add to it: {names}"
    )
}
