//! HAProxy, which asks from Lua: it has no other way to ask by HTTP.

use super::{REWRITES, Site, lines, place, reachable};
use crate::config::settings::UpstreamScheme;

/// The file that asks, the same for every configuration.
pub(super) const LUA: &str = include_str!("haproxy.lua");

/// A whole configuration.
pub(super) fn snippet(site: &Site) -> String {
    let head = site.head(
        "HAProxy",
        "A whole configuration. It needs the file that asks in the same directory:\n#   sidegate snippet haproxy \
         --lua > sidegate.lua",
    );
    let (host, port, prefix) = (&site.host, site.port, &site.prefix);
    let endpoint = site.endpoint("haproxy");
    let decisions = reachable(&site.decisions);
    let pages = reachable(&site.pages);
    let app = place(&site.app);
    let socket = |place: &str| place.replace("unix:", "unix@");
    let set =
        |name: &str, value: &str| format!("    http-request set-var-fmt(txn.sidegate_{name}) {value}\n");
    let mut variables = match decisions.strip_prefix("unix:") {
        Some(path) => {
            set("url", &format!("http://sidegate{endpoint}")) + &set("socket", &format!("unix@{path}"))
        }
        None => set("url", &format!("http://{decisions}{endpoint}")),
    };
    variables += &set("headers", &site.identity.join(","));
    if let Some(secret) = &site.secret {
        variables += &set("secret", secret);
    }
    // Names are case-insensitive, and what matches is removed before Lua sets the right ones.
    let forged = lines(&site.identity, |name| {
        format!(
            "    http-request del-header ^{}$ -m reg",
            name.to_ascii_lowercase().replace('-', "[-_.]")
        )
    });
    let rewrites = lines(&REWRITES, |name| format!("    http-request del-header {name}"));
    let kept = lines(&site.tokens, |name| format!("    http-request del-header {name}"));
    let (tls, pages, app) = (
        match site.app.scheme {
            UpstreamScheme::Https => " ssl verify required ca-file @system-ca sni hdr(host)",
            UpstreamScheme::H2c => " proto h2",
            UpstreamScheme::Http => "",
        },
        socket(&pages),
        socket(&app),
    );
    format!(
        r#"{head}
global
    default-path config
    # The login address repeats the address of the request.
    tune.bufsize 65536
    lua-load sidegate.lua

defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    # Silence in a WebSocket.
    timeout tunnel 1h

frontend web
    bind :{port}
    # With TLS: bind :443 ssl crt /etc/haproxy/home.pem
    acl sidegate_host hdr(host),field(1,:),lower -m str {host}
    acl sidegate_auth path_beg {prefix}/auth
    acl sidegate_pages path_beg {prefix}/
    http-request deny deny_status 404 unless sidegate_host
    # Nobody but HAProxy asks for decisions.
    http-request deny deny_status 404 if sidegate_auth
    # What clients may not say: who they are, in any spelling that an application takes for the headers
    # that Lua sets, and which address they ask for.
{forged}{rewrites}    # A header that Connection names would be taken away after it was set.
    http-request del-header connection unless {{ req.hdr(upgrade) -m found }}
    http-request set-header connection upgrade if {{ req.hdr(upgrade) -m found }}
    # Behind another proxy leave out this line, and add that proxy to server.trusted_proxies.
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    # Where to ask, and which headers of the answer the application gets.
{variables}    http-request lua.sidegate unless sidegate_pages
    use_backend sidegate_pages if sidegate_pages
    default_backend app

# Sidegate's own pages.
backend sidegate_pages
    server sidegate {pages}

backend app
    # What was for Sidegate.
{kept}    server app {app}{tls}
"#
    )
}
