//! The line to change, in the language of each gateway. They are those of `sidegate snippet`, which has
//! them in their places.

use serde::Serialize;

/// A gateway whose configuration is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gateway {
    /// `auth_request`
    Nginx,
    /// `forwardAuth`
    Traefik,
    /// `forward_auth`
    Caddy,
    /// `ext_authz` over HTTP
    Envoy,
    /// A question from Lua
    Haproxy,
}

impl Gateway {
    const ALL: [Gateway; 5] = [
        Gateway::Nginx,
        Gateway::Traefik,
        Gateway::Caddy,
        Gateway::Envoy,
        Gateway::Haproxy,
    ];

    /// By the road of its questions.
    pub(super) fn of_road(road: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gateway| gateway.name() == road)
    }

    /// By the `Server` header of its answers; Traefik and HAProxy have none.
    pub(super) fn of_server(server: &str) -> Option<Self> {
        let server = server.to_ascii_lowercase();
        [
            ("nginx", Gateway::Nginx),
            ("openresty", Gateway::Nginx),
            ("caddy", Gateway::Caddy),
            ("envoy", Gateway::Envoy),
        ]
        .into_iter()
        .find_map(|(word, gateway)| server.contains(word).then_some(gateway))
    }

    /// As in `sidegate snippet`.
    pub const fn name(self) -> &'static str {
        match self {
            Gateway::Nginx => "nginx",
            Gateway::Traefik => "traefik",
            Gateway::Caddy => "caddy",
            Gateway::Envoy => "envoy",
            Gateway::Haproxy => "haproxy",
        }
    }
}

/// What is to be changed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Topic<'t> {
    /// The gateway does not ask.
    Asks,
    /// It does not reach Sidegate.
    Reach,
    /// It may not ask; its address.
    Trusted(&'t str),
    /// It does not know the secret.
    Secret,
    /// Another scheme is judged.
    Scheme,
    /// Another host is judged.
    Host,
    /// Another path, query or method is judged.
    Path,
    /// Whose request it is.
    Client,
    /// A client's own header is believed.
    Forged(&'t str),
    /// An identity header in another spelling passes.
    Spelling(&'t str),
    /// Identity headers for the application.
    Identity(&'t [String]),
    /// The decision endpoint is relayed.
    Endpoint,
    /// Our own pages are not.
    Pages,
    /// Browsers are not sent to log in.
    Login,
    /// Programs do not get their 401.
    Challenge,
    /// Cookies do not arrive.
    CookieIn,
    /// Cookies of ours do not reach the browser.
    CookieOut,
    /// Cookies between application and browser.
    AppCookies,
    /// A question about a WebSocket does not say so.
    WebSocketAsk,
    /// An allowed WebSocket does not open.
    WebSocketPass,
    /// A preflight is not known as one.
    Preflight,
    /// A credential does not arrive; its header.
    TokenIn(&'t str),
    /// A header that tells another address reaches the application.
    Rewrites(&'t str),
    /// The application is asked for another path.
    AppPath,
    /// A credential reaches the application; its header.
    Keep(&'t str),
}

/// What to write, and where.
pub(super) fn change(gateway: Option<Gateway>, topic: &Topic<'_>, prefix: &str) -> String {
    match topic {
        Topic::Trusted(peer) => {
            let entry = match *peer {
                "unix" => "unix".to_owned(),
                peer if peer.contains(':') => format!("{peer}/128"),
                peer => format!("{peer}/32"),
            };
            return format!("in sidegate.toml, [server]: trusted_proxies = [\"{entry}\"]");
        }
        Topic::Secret => {
            return "let the gateway send the content of server.decision_secret_file as X-Sidegate-Secret, as \
                    \"sidegate snippet\" writes it"
                .to_owned();
        }
        _ => {}
    }
    let line = |gateway| match gateway {
        Gateway::Nginx => nginx(topic, prefix),
        Gateway::Traefik => traefik(topic, prefix),
        Gateway::Caddy => caddy(topic, prefix),
        Gateway::Envoy => envoy(topic, prefix),
        Gateway::Haproxy => haproxy(topic, prefix),
    };
    match gateway {
        Some(gateway) => line(gateway),
        None => {
            let lines = Gateway::ALL.map(|gateway| format!("{}: {}", gateway.name(), line(gateway)));
            lines.join("\n")
        }
    }
}

fn nginx(topic: &Topic<'_>, prefix: &str) -> String {
    let asking = format!("in \"location = {prefix}/auth/nginx\"");
    match topic {
        Topic::Asks => format!("in every location that passes to the application: auth_request {prefix}/auth/nginx;"),
        Topic::Reach => format!("{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx;"),
        Topic::Scheme | Topic::Host | Topic::Path => format!(
            "{asking}: proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header \
             X-Original-Method $request_method; (and where nginx forwards to Sidegate: proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-Proto $scheme;)"
        ),
        Topic::Client => format!(
            "{asking}, in \"location ^~ {prefix}/\" and where the application is: proxy_set_header X-Forwarded-For \
             $remote_addr;"
        ),
        Topic::Forged("X-Original-URL" | "X-Original-Method") => format!(
            "{asking}: proxy_set_header X-Original-URL $scheme://$http_host$request_uri; proxy_set_header \
             X-Original-Method $request_method;"
        ),
        Topic::Forged("X-Forwarded-Proto") => {
            format!("in \"location ^~ {prefix}/\" and where the application is: proxy_set_header X-Forwarded-Proto $scheme;")
        }
        Topic::Forged("Connection") => "where the application is: proxy_set_header Connection $sidegate_connection;".into(),
        Topic::Forged(name) => format!("{asking}: proxy_set_header {name} \"\";"),
        Topic::Spelling(_) => "in the server block: underscores_in_headers off; ignore_invalid_headers on;".into(),
        Topic::Identity(names) => {
            let lines = names.iter().map(|name| {
                let variable = name.replace('-', "_");
                format!(
                    "auth_request_set $sidegate_{variable} $upstream_http_{variable}; proxy_set_header {name} \
                     $sidegate_{variable}"
                )
            });
            format!(
                "in every location that passes to the application: {}; and in the server block: underscores_in_headers off;",
                joined(lines)
            )
        }
        Topic::Endpoint => format!("location ^~ {prefix}/auth {{ return 404; }} and {asking}: internal;"),
        Topic::Pages => format!(
            "location ^~ {prefix}/ {{ proxy_pass http://ADDRESS-OF-SIDEGATE; proxy_set_header Host $http_host; \
             proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }} without \
             auth_request, before location /"
        ),
        Topic::Login => "where auth_request is: auth_request_set $sidegate_login $upstream_http_x_auth_location; \
                         error_page 401 = @sidegate_challenge; and location @sidegate_challenge { if ($sidegate_login) { \
                         return 302 $sidegate_login; } return 401; }"
            .into(),
        Topic::Challenge => "in \"location @sidegate_challenge\": if ($sidegate_login) { return 302 $sidegate_login; } \
                             return 401;"
            .into(),
        Topic::CookieIn => format!("{asking}: take out the line that sets or clears Cookie"),
        Topic::CookieOut => "where auth_request is: auth_request_set $sidegate_set_cookie $upstream_http_set_cookie; and in \
                             \"location @sidegate_challenge\": add_header Set-Cookie $sidegate_set_cookie always;"
            .into(),
        Topic::AppCookies => format!(
            "{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx?strip; and where the application is: \
             auth_request_set $sidegate_cookie $upstream_http_cookie; proxy_set_header Cookie $sidegate_cookie; without \
             proxy_hide_header and proxy_ignore_headers"
        ),
        Topic::WebSocketAsk => format!("{asking}: take out the lines that clear Sec-WebSocket-Key and other headers"),
        Topic::WebSocketPass => "where the application is: proxy_http_version 1.1; proxy_set_header Upgrade \
                                 $http_upgrade; proxy_set_header Connection $sidegate_connection;"
            .into(),
        Topic::Preflight => format!("{asking}: proxy_set_header X-Original-Method $request_method; and no \"if ($request_method = OPTIONS)\""),
        Topic::TokenIn(name) => format!("{asking}: take out the line that sets or clears {name}"),
        Topic::Rewrites(name) => format!("where the application is: proxy_set_header {name} \"\";"),
        Topic::Keep(name) => {
            let variable = name.replace('-', "_");
            format!(
                "{asking}: proxy_pass http://ADDRESS-OF-SIDEGATE{prefix}/auth/nginx?strip; and where the application is: \
                 auth_request_set $sidegate_{variable} $upstream_http_{variable}; proxy_set_header {name} \
                 $sidegate_{variable};"
            )
        }
        Topic::AppPath => "where the application is: proxy_pass http://APPLICATION; without a path or a slash behind it".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}

fn traefik(topic: &Topic<'_>, prefix: &str) -> String {
    match topic {
        Topic::Asks => "http.routers.APP: middlewares: [sidegate-forget, sidegate, sidegate-keep]".into(),
        Topic::Reach => format!(
            "http.middlewares.sidegate.forwardAuth: address: http://ADDRESS-OF-SIDEGATE{prefix}/auth/traefik"
        ),
        Topic::Scheme | Topic::Host | Topic::Path | Topic::Client => "http.middlewares.sidegate.forwardAuth: \
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
        Topic::WebSocketAsk => authorized("Sec-WebSocket-Key"),
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

fn caddy(topic: &Topic<'_>, prefix: &str) -> String {
    let question = "in forward_auth";
    match topic {
        Topic::Asks => format!(
            "before reverse_proxy, both in one route block: forward_auth ADDRESS-OF-SIDEGATE {{ uri {prefix}/auth/caddy }}"
        ),
        Topic::Reach => format!("forward_auth ADDRESS-OF-SIDEGATE {{ uri {prefix}/auth/caddy }}"),
        Topic::Scheme | Topic::Host | Topic::Path => format!(
            "{question}: take out every \"header_up X-Forwarded-\" line, which it sends by itself; and before it no rewrite, \
             uri or handle_path"
        ),
        Topic::Client => format!(
            "{question}: take out \"header_up X-Forwarded-For\"; in the global options no \"trusted_proxies\" but for \
             proxies in front"
        ),
        Topic::Forged("Connection") => {
            "before forward_auth: request_header -Connection (and for WebSockets: @upgrade \
             header Connection *pgrade* with request_header @upgrade Connection Upgrade)"
                .into()
        }
        Topic::Forged(name) if name.starts_with("X-Forwarded-") => format!(
            "{question}: take out \"header_up {name}\"; in the global options no \"trusted_proxies\" but for proxies in front"
        ),
        Topic::Forged(name) | Topic::Rewrites(name) => format!("before forward_auth: request_header -{name}"),
        Topic::Spelling(name) => format!(
            "before forward_auth: {}",
            joined(
                others(name)
                    .into_iter()
                    .map(|name| format!("request_header -{name}"))
            )
        ),
        Topic::Identity(names) => format!(
            "{question}: copy_headers {} and before it: {}",
            names.join(" "),
            joined(
                names
                    .iter()
                    .flat_map(|name| spellings(name))
                    .map(|name| format!("request_header -{name}"))
            )
        ),
        Topic::Endpoint => format!(
            "@sidegate_refused path {prefix}/auth {prefix}/auth/* and handle @sidegate_refused {{ respond 404 }}"
        ),
        Topic::Pages => {
            format!("handle {prefix}/* {{ reverse_proxy ADDRESS-OF-SIDEGATE }}, without forward_auth")
        }
        Topic::Login | Topic::Challenge | Topic::CookieOut => format!(
            "{question}: take out handle_response and intercept blocks and \"header_down\" lines: it passes refusals on as \
             they are"
        ),
        Topic::CookieIn => format!("{question}: take out \"header_up -Cookie\""),
        Topic::WebSocketAsk => format!("{question}: take out \"header_up -Sec-WebSocket-Key\""),
        Topic::Preflight => {
            "before forward_auth: take out what answers OPTIONS, and request_header lines for Origin and \
                             Access-Control-Request-Method"
                .into()
        }
        Topic::TokenIn(name) => format!("before and {question}: take out the lines that remove {name}"),
        Topic::AppCookies => format!(
            "{question}: uri {prefix}/auth/caddy?strip and copy_headers Cookie; in reverse_proxy no header_up or header_down \
             for Cookie and Set-Cookie"
        ),
        Topic::WebSocketPass => {
            "before reverse_proxy: @upgrade header Connection *pgrade* with request_header @upgrade \
                                 Connection Upgrade; take out \"-Connection\" and \"-Upgrade\" for it"
                .into()
        }
        Topic::Keep(name) => {
            format!("{question}: uri {prefix}/auth/caddy?strip and copy_headers {name}")
        }
        Topic::AppPath => "before reverse_proxy: take out rewrite, uri and handle_path".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}

fn envoy(topic: &Topic<'_>, prefix: &str) -> String {
    let asked_with = |name: &str| {
        format!(
            "in ext_authz, allowed_headers.patterns: - exact: {}",
            name.to_ascii_lowercase()
        )
    };
    let removed = |name: &str| format!("in early_header_mutation_extensions, mutations: - remove: {name}");
    match topic {
        Topic::Asks => "in http_filters, before the router: envoy.filters.http.ext_authz; no \"disabled: true\" at the route \
                        of the application, and failure_mode_allow: false"
            .into(),
        Topic::Reach => "the cluster sidegate_decisions: its address; in ext_authz: timeout: 5s".into(),
        Topic::Scheme => format!(
            "in http_connection_manager: use_remote_address: true; {}",
            asked_with("x-forwarded-proto")
        ),
        Topic::Host => "at the route of the application: take out host_rewrite and auto_host_rewrite; Envoy asks with the \
                        host that it forwards"
            .into(),
        Topic::Path => format!(
            "in ext_authz, http_service: path_prefix: {prefix}/auth/envoy, without a slash at its end; no \
             normalize_path, merge_slashes or path rewrite"
        ),
        Topic::Client => format!(
            "in http_connection_manager: use_remote_address: true; {}; {}",
            removed("X-Forwarded-For"),
            asked_with("x-forwarded-for")
        ),
        Topic::Forged("Connection") => "in http_connection_manager: leave Connection to Envoy, which removes it".into(),
        Topic::Forged("X-Forwarded-Proto") => "in http_connection_manager: use_remote_address: true".into(),
        Topic::Forged(name) | Topic::Rewrites(name) => removed(name),
        Topic::Spelling(name) => format!(
            "in common_http_protocol_options: headers_with_underscores_action: DROP_HEADER; {}",
            joined(others(name).iter().map(|name| removed(name)))
        ),
        Topic::Identity(names) => format!(
            "in ext_authz, authorization_response: allowed_upstream_headers.patterns: {}; in \
             early_header_mutation_extensions, mutations: {}; headers_with_underscores_action: DROP_HEADER",
            joined(names.iter().map(|name| format!("- exact: {name}"))),
            joined(names.iter().map(|name| format!("- remove: {name}")))
        ),
        Topic::Endpoint => format!(
            "in routes, before all others: - match: {{ prefix: {prefix}/auth }} with direct_response: {{ status: 404 }}"
        ),
        Topic::Pages => format!(
            "in routes, before that of the application: - match: {{ prefix: {prefix}/ }}, route: {{ cluster: sidegate_pages \
             }}, and typed_per_filter_config with ext_authz disabled: true"
        ),
        Topic::Login => told("location"),
        Topic::Challenge => told("www-authenticate"),
        Topic::CookieOut => told("set-cookie"),
        Topic::CookieIn => asked_with("cookie"),
        Topic::WebSocketAsk => asked_with("sec-websocket-key"),
        Topic::Preflight => format!("{}, - exact: access-control-request-method", asked_with("origin")),
        Topic::TokenIn(name) => asked_with(name),
        Topic::AppCookies => "at the route of the application: take out request_headers_to_remove and \
                              response_headers_to_remove for cookies"
            .into(),
        Topic::WebSocketPass => "in http_connection_manager: upgrade_configs: - upgrade_type: websocket".into(),
        Topic::Keep(name) => format!(
            "in ext_authz, authorization_response: allowed_upstream_headers.patterns: - exact: {name}"
        ),
        Topic::AppPath => "at the route of the application: take out prefix_rewrite and regex_rewrite".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}

/// What a refusal of `ext_authz` tells the client.
fn told(name: &str) -> String {
    format!("in ext_authz, authorization_response: allowed_client_headers.patterns: - exact: {name}")
}

fn haproxy(topic: &Topic<'_>, prefix: &str) -> String {
    let deleted =
        |name: &str| format!("in the frontend, before lua.sidegate: http-request del-header {name}");
    match topic {
        Topic::Asks => "in the frontend: http-request lua.sidegate unless sidegate_pages".into(),
        Topic::Reach => format!(
            "in the frontend: http-request set-var-fmt(txn.sidegate_url) http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy"
        ),
        Topic::Scheme | Topic::Host | Topic::Path => "in sidegate.lua: headers[\"x-original-url\"] = { scheme .. \"://\" .. \
             host .. txn.f:pathq() }; in the frontend no set-path, replace-path, normalize-uri or set-header Host before \
             lua.sidegate, and http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]"
            .into(),
        Topic::Client => "in the frontend, before lua.sidegate: http-request set-header X-Forwarded-For %[src]".into(),
        Topic::Forged("Connection") => "in the frontend: http-request del-header connection unless { req.hdr(upgrade) -m \
             found } and http-request set-header connection upgrade if { req.hdr(upgrade) -m found }"
            .into(),
        Topic::Forged("X-Forwarded-Proto") => {
            "in the frontend: http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]".into()
        }
        Topic::Forged(name @ ("X-Original-URL" | "X-Original-Method")) => {
            format!("{}, and in sidegate.lua, kept_here: [\"{}\"] = true", deleted(name), name.to_ascii_lowercase())
        }
        Topic::Forged(name) | Topic::Rewrites(name) => deleted(name),
        Topic::Spelling(name) => deleted(&pattern(name)),
        Topic::Identity(names) => format!(
            "in the frontend, before lua.sidegate: {}; http-request set-var-fmt(txn.sidegate_headers) {}",
            joined(names.iter().map(|name| format!("http-request del-header {}", pattern(name)))),
            names.join(",")
        ),
        Topic::Endpoint => format!("in the frontend, first: http-request deny deny_status 404 if {{ path_beg {prefix}/auth }}"),
        Topic::Pages => format!(
            "in the frontend: acl sidegate_pages path_beg {prefix}/ with use_backend sidegate_pages if sidegate_pages and \
             http-request lua.sidegate unless sidegate_pages"
        ),
        Topic::Login => "in sidegate.lua: elseif status == 401 and headers[\"x-auth-location\"] then refuse(txn, 302, headers)".into(),
        Topic::Challenge => "in sidegate.lua: passed_on = { \"www-authenticate\", ... } and elseif status == 401 or status \
                             == 403 then refuse(txn, status, headers)"
            .into(),
        Topic::CookieOut => "in sidegate.lua: passed_on = { \"www-authenticate\", \"retry-after\", \"x-request-id\", \
                             \"x-auth-error\", \"set-cookie\" }"
            .into(),
        Topic::CookieIn => "in the frontend, before lua.sidegate: no \"del-header Cookie\"; in sidegate.lua, kept_here: no \
                            \"cookie\""
            .into(),
        Topic::WebSocketAsk => "in sidegate.lua, kept_here: no \"sec-websocket-key\"".into(),
        Topic::Preflight => "in the frontend, before lua.sidegate: nothing that answers OPTIONS; in sidegate.lua, kept_here: \
                             no \"origin\" and no \"access-control-request-method\""
            .into(),
        Topic::TokenIn(name) => {
            format!("in the frontend, before lua.sidegate: no \"del-header {name}\", but in the backend of the application")
        }
        Topic::AppCookies => format!(
            "in the frontend: http-request set-var-fmt(txn.sidegate_url) \
             http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy?strip and Cookie in txn.sidegate_credentials; in the backend of \
             the application no line that changes Cookie or Set-Cookie"
        ),
        Topic::WebSocketPass => "in the frontend: http-request set-header connection upgrade if { req.hdr(upgrade) -m found \
                                 }; no del-header Upgrade"
            .into(),
        Topic::Keep(name) => format!(
            "in the frontend, before lua.sidegate: http-request set-var-fmt(txn.sidegate_url) \
             http://ADDRESS-OF-SIDEGATE{prefix}/auth/haproxy?strip and http-request set-var-fmt(txn.sidegate_credentials) \
             {name},..."
        ),
        Topic::AppPath => "in the backend of the application: no set-path, replace-path or normalize-uri".into(),
        Topic::Trusted(_) | Topic::Secret => String::new(),
    }
}

/// What matches every spelling.
fn pattern(name: &str) -> String {
    format!("^{}$ -m reg", name.replace('-', "[-_.]"))
}

/// The spellings with `_` and `.`.
fn others(name: &str) -> Vec<String> {
    spellings(name).split_off(1)
}

fn spellings(name: &str) -> Vec<String> {
    super::forged::spellings(name).into()
}

fn joined(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().collect::<Vec<_>>().join("; ")
}
