//! HAProxy, which asks from Lua: it has no other way to ask by HTTP.

use super::site::{Removed, Site, place};
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
    let host_pattern = host.replace('.', "\\.").replace('[', "\\[").replace(']', "\\]");
    let endpoint = site.question("haproxy");
    let (decisions, pages) = (&site.decisions, &site.pages);
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
    variables += &set("credentials", &site.credentials.join(","));
    if let Some(secret) = &site.secret {
        variables += &set("secret", secret);
    }
    let removed =
        |name: &str, how: &str| format!("    http-request del-header {}{how}\n", name.to_ascii_lowercase());
    let mut forged = "    http-request del-header [^a-z0-9-] -m reg\n".to_owned();
    for header in site.removed() {
        forged += &match header {
            Removed::Name(name) => removed(&name, ""),
            Removed::Beginning(beginning) => removed(beginning, " -m beg"),
        };
    }
    let (cdn, client) = match &site.client_header {
        None => (
            String::new(),
            "    # Behind another proxy leave out this line, and add that proxy to server.trusted_proxies.\n"
                .to_owned(),
        ),
        Some(name) => (
            format!(
                "    # Behind a CDN write here, with its networks: http-request set-src req.hdr({name}) if {{ src 192.0.2.0/24 \
                 }}\n"
            ),
            format!(
                "    # Where server.client_ip_header looks: the address of HAProxy's own client, whatever that says of itself.\n    \
                 http-request set-header {name} %[src]\n"
            ),
        ),
    };
    let (tls, pages, app) = (
        match site.app.scheme {
            UpstreamScheme::Https => " ssl verify required ca-file @system-ca sni hdr(host)",
            UpstreamScheme::H2c => " proto h2",
            UpstreamScheme::Http => "",
        },
        socket(pages),
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
    timeout http-request 30s
    timeout client 1m
    timeout server 1m
    # Silence in a WebSocket.
    timeout tunnel 1h

frontend web
    bind :{port}
    # With TLS: bind :443 ssl crt /etc/haproxy/home.pem
    acl sidegate_host req.fhdr(host) -m reg -i ^{host_pattern}(:[0-9]+)?$
    acl sidegate_auth path_beg {prefix}/auth
    acl sidegate_pages path_beg {prefix}/
    http-request deny deny_status 404 unless sidegate_host
    # The application gets the path that was asked about, and nothing before it.
    http-request deny deny_status 400 unless {{ path -m beg / }}
    http-request set-uri %[pathq]
    # Nobody but HAProxy asks for decisions.
    http-request deny deny_status 404 if sidegate_auth
{cdn}    # What an application might believe of whoever says it, and names that it may take for others.
{forged}    # A header that Connection names would be taken away after it was set.
    http-request del-header connection unless {{ req.hdr(upgrade) -m found }}
    http-request set-header connection upgrade if {{ req.hdr(upgrade) -m found }}
{client}    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    http-request set-header X-Forwarded-Host %[req.fhdr(host)]
    # Where to ask, which headers of the answer the application gets, and of which of its own the client's
    # are left when what was for Sidegate is out.
{variables}    http-request lua.sidegate unless sidegate_pages
    # A request goes on where Lua fails: only one that was allowed may.
    http-request deny deny_status 503 unless sidegate_pages or {{ var(txn.sidegate_allowed) -m bool }}
    use_backend sidegate_pages if sidegate_pages
    default_backend app

# Sidegate's own pages.
backend sidegate_pages
    server sidegate {pages}

backend app
    server app {app}{tls}
"#
    )
}
