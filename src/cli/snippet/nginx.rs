//! nginx, with `auth_request`.

use super::{REWRITES, Site, lines, place, reachable};
use crate::config::settings::UpstreamScheme;

/// A file for the `http` block.
pub(super) fn snippet(site: &Site) -> String {
    let head = site.head(
        "nginx",
        "A file for the http block, for example /etc/nginx/conf.d/home.conf.",
    );
    let (host, port, prefix) = (&site.host, site.port, &site.prefix);
    let endpoint = site.endpoint("nginx");
    let (decisions, pages, app) = (
        reachable(&site.decisions),
        reachable(&site.pages),
        place(&site.app),
    );
    let (scheme, sni) = match site.app.scheme {
        UpstreamScheme::Https => ("https", "        proxy_ssl_server_name on;\n"),
        UpstreamScheme::Http | UpstreamScheme::H2c => ("http", ""),
    };
    let variable = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let secret = site.secret.as_ref().map_or_else(String::new, |secret| {
        format!("        proxy_set_header X-Sidegate-Secret \"{secret}\";\n")
    });
    let taken = lines(&site.identity, |name| {
        let name = variable(name);
        format!("        auth_request_set $sidegate_{name} $upstream_http_{name};")
    });
    let told = lines(&site.identity, |name| {
        format!("        proxy_set_header {name} $sidegate_{};", variable(name))
    });
    let kept = lines(&site.tokens, |name| {
        format!("        proxy_set_header {name} \"\";")
    });
    let rewrites = lines(&REWRITES, |name| format!("        proxy_set_header {name} \"\";"));
    format!(
        r#"{head}
map $http_upgrade $sidegate_connection {{
    default upgrade;
    ""      "";
}}
upstream sidegate_decisions {{
    server {decisions};
    keepalive 16;
}}
upstream sidegate_pages {{
    server {pages};
}}
upstream sidegate_app {{
    server {app};
    keepalive 16;
}}

server {{
    listen {port};
    # With TLS: listen 443 ssl; ssl_certificate ...; ssl_certificate_key ...;
    server_name {host};
    client_max_body_size 0;

    # Every request asks here first, and nobody else can.
    location = {endpoint} {{
        internal;
        proxy_pass http://sidegate_decisions{endpoint};
        proxy_http_version 1.1;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header Connection "";
        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
        proxy_set_header X-Original-Method $request_method;
        # Behind another proxy write $proxy_add_x_forwarded_for, and add that proxy to server.trusted_proxies.
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto "";
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header X-Forwarded-Method "";
        proxy_set_header X-Forwarded-Uri "";
        proxy_set_header X-Original-URI "";
        proxy_set_header Forwarded "";
{secret}        # The login address repeats the address of the request.
        proxy_buffer_size 64k;
        proxy_buffers 4 64k;
    }}
    location ^~ {prefix}/auth {{
        return 404;
    }}

    # Sidegate's own pages.
    location ^~ {prefix}/ {{
        proxy_pass http://sidegate_pages;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}

    location / {{
        auth_request {endpoint};
        auth_request_set $sidegate_login $upstream_http_x_auth_location;
        auth_request_set $sidegate_wait $upstream_http_retry_after;
{taken}        error_page 401 = @sidegate_challenge;
        error_page 403 = @sidegate_denial;

        proxy_pass {scheme}://sidegate_app;
{sni}        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_buffering off;
        # Silence in a WebSocket or an event stream.
        proxy_read_timeout 1h;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $sidegate_connection;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        # Who is there. nginx drops names with _ and . by itself: leave underscores_in_headers off.
{told}        # What was for Sidegate, and what could make the application see another address than was judged.
{kept}{rewrites}    }}

    # A browser goes to the login page, a program reads the 401.
    location @sidegate_challenge {{
        if ($sidegate_login) {{
            return 302 $sidegate_login;
        }}
        return 401;
    }}
    location @sidegate_denial {{
        if ($sidegate_wait) {{
            add_header Retry-After $sidegate_wait always;
            return 429;
        }}
        return 403;
    }}
}}
"#
    )
}
