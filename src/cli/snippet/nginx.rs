//! nginx, with `auth_request`: a file of its own, or what Nginx Proxy Manager puts into one.

use super::names::WRITTEN_BY_TRAEFIK;
use super::site::{Site, is_in, lines, place};
use crate::config::settings::UpstreamScheme;

/// A file for the `http` block.
pub(super) fn file(site: &Site) -> String {
    let head = site.head(
        "nginx",
        "A file for the http block, for example /etc/nginx/conf.d/home.conf.",
    );
    let (host, port) = (&site.host, site.port);
    let (decisions, pages, app) = (&site.decisions, &site.pages, place(&site.app));
    let question = question(site, "sidegate_decisions", "");
    let our_pages = our_pages(site, "sidegate_pages", "");
    let (scheme, sni) = match site.app.scheme {
        UpstreamScheme::Https => ("https", "        proxy_ssl_server_name on;\n"),
        UpstreamScheme::Http | UpstreamScheme::H2c => ("http", ""),
    };
    let (asked, told) = (asked(site, "        "), told(site));
    let refusals = refusals("");
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

{question}{our_pages}    location / {{
{asked}
        proxy_pass {scheme}://sidegate_app;
{sni}{told}    }}

{refusals}}}
"#
    )
}

/// Nginx Proxy Manager writes the server block itself, and has the application's address in variables.
pub(super) fn npm(site: &Site) -> String {
    let head = site.head(
        "Nginx Proxy Manager",
        "For the field \"Advanced\" of the proxy host, whose own fields name the application. Leave \"Cache Assets\" off \
         and\n# have no custom locations: they would answer without what is said here.",
    );
    let question = question(site, &server(&site.decisions), OFF);
    let our_pages = our_pages(site, &server(&site.pages), OFF);
    let (asked, told) = (asked(site, "    "), told(site));
    let refusals = refusals(OFF);
    format!(
        r#"{head}
client_max_body_size 0;
set $sidegate_connection "";
if ($http_upgrade) {{
    set $sidegate_connection upgrade;
}}
# For every location, also those that are not written here.
{}
{}"#,
        outdented(&asked),
        outdented(&format!(
            "{question}{our_pages}    location / {{\n        proxy_pass $forward_scheme://$server:$port;\n        \
             proxy_ssl_server_name on;\n{told}    }}\n\n{refusals}"
        ))
    )
}

/// For a location, where the whole server asks.
const OFF: &str = "        auth_request off;\n";

/// As `proxy_pass` has it without an upstream block.
fn server(place: &str) -> String {
    match place.strip_prefix("unix:") {
        Some(path) => format!("unix:{path}:"),
        None => place.to_owned(),
    }
}

fn outdented(text: &str) -> String {
    let mut lines: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect();
    lines.truncate(lines.trim_end().len());
    lines.push('\n');
    lines
}

/// The headers that the application gets from an answer, each with its variable. Numbers, because nginx does not
/// start with a name longer than `variables_hash_bucket_size` has room for.
fn copied(site: &Site) -> impl Iterator<Item = (String, &String)> {
    let names = site.identity.iter().chain(&site.credentials);
    names
        .enumerate()
        .map(|(index, name)| (format!("$sidegate_{}", index + 1), name))
}

/// The location that asks.
fn question(site: &Site, decisions: &str, off: &str) -> String {
    let prefix = &site.prefix;
    let endpoint = site.question("nginx");
    let secret = site.secret.as_ref().map_or_else(String::new, |secret| {
        format!("        proxy_set_header X-Sidegate-Secret \"{secret}\";\n")
    });
    // Where that header counts X-Forwarded-For does not.
    let client = match &site.client_header {
        None => "        # Behind another proxy write $proxy_add_x_forwarded_for, and add that proxy to \
                 server.trusted_proxies.\n"
            .to_owned(),
        Some(name) => format!(
            "        # Where server.client_ip_header looks: the address of nginx's own client, whatever that says of itself.\n        \
             # Behind a CDN write in the server block: set_real_ip_from NETWORK-OF-THE-CDN; real_ip_header {name};\n{}",
            client(site)
        ),
    };
    format!(
        r#"    # Every request asks here first, and nobody else can.
    location = {prefix}/auth/nginx {{
        internal;
{off}        proxy_pass http://{decisions}{endpoint};
        proxy_http_version 1.1;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_set_header Connection "";
        # A WebSocket needs other rights than a GET.
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
        proxy_set_header X-Original-Method $request_method;
{client}        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto "";
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header X-Forwarded-Method "";
        proxy_set_header X-Forwarded-Uri "";
        proxy_set_header X-Original-URI "";
        proxy_set_header Forwarded "";
{secret}        # The login address repeats the address of the request, and the answer has the application's cookies.
        proxy_buffer_size 64k;
        proxy_buffers 4 64k;
        # Without an answer nobody passes.
        proxy_connect_timeout 5s;
        proxy_read_timeout 10s;
    }}
    location ^~ {prefix}/auth {{
{off}        return 404;
    }}

"#
    )
}

/// What tells whose request it is, besides `X-Forwarded-For`.
fn client(site: &Site) -> String {
    lines(&site.client_header, |name| {
        format!("        proxy_set_header {name} $remote_addr;")
    })
}

fn our_pages(site: &Site, pages: &str, off: &str) -> String {
    let (prefix, client) = (&site.prefix, client(site));
    format!(
        r#"    # Sidegate's own pages.
    location ^~ {prefix}/ {{
{off}        proxy_pass http://{pages};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
{client}        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
    }}

"#
    )
}

/// The directives by which a request is asked about.
fn asked(site: &Site, indent: &str) -> String {
    let taken: String = copied(site)
        .map(|(variable, name)| {
            let name = name.to_ascii_lowercase().replace('-', "_");
            format!("{indent}auth_request_set {variable} $upstream_http_{name};\n")
        })
        .collect();
    format!(
        "{indent}auth_request {}/auth/nginx;\n{indent}auth_request_set $sidegate_login \
         $upstream_http_x_auth_location;\n{indent}auth_request_set $sidegate_wait \
         $upstream_http_retry_after;\n{indent}auth_request_set $sidegate_set_cookie \
         $upstream_http_set_cookie;\n{taken}{indent}error_page 401 = @sidegate_challenge;\n{indent}error_page 403 = \
         @sidegate_denial;\n",
        site.prefix
    )
}

/// What the application is told.
fn told(site: &Site) -> String {
    let mut identity: Vec<String> = copied(site)
        .map(|(variable, name)| format!("        proxy_set_header {name} {variable};\n"))
        .collect();
    let credentials = identity.split_off(site.identity.len()).concat();
    let identity = identity.concat();
    let client = client(site);
    let believed: Vec<String> = (site.believed().into_iter())
        .chain(WRITTEN_BY_TRAEFIK.map(str::to_owned))
        .filter(|name| !is_in(&site.identity, name) && !is_in(site.client_header.as_slice(), name))
        .collect();
    let removed = lines(&believed, |name| format!("        proxy_set_header {name} \"\";"));
    format!(
        r#"        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_buffering off;
        # Silence in a WebSocket or an event stream.
        proxy_read_timeout 1h;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $sidegate_connection;
        proxy_set_header Host $http_host;
{client}        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $http_host;
        # Who is there. nginx drops names with _ and . by itself: leave underscores_in_headers off.
{identity}        # What is left of the client's own when what was for Sidegate is out.
{credentials}        # What an application might believe of whoever says it.
{removed}"#
    )
}

/// Where `error_page` leads.
fn refusals(off: &str) -> String {
    format!(
        r#"    # A browser goes to the login page, a program reads the 401.
    location @sidegate_challenge {{
{off}        add_header Set-Cookie $sidegate_set_cookie always;
        if ($sidegate_login) {{
            add_header Set-Cookie $sidegate_set_cookie always;
            return 302 $sidegate_login;
        }}
        return 401;
    }}
    location @sidegate_denial {{
{off}        if ($sidegate_wait) {{
            add_header Retry-After $sidegate_wait always;
            return 429;
        }}
        return 403;
    }}
"#
    )
}
