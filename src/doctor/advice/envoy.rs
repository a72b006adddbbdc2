//! Envoy, with `ext_authz` over HTTP.

use super::super::visit::CHAIN;
use super::{Topic, joined, others};

/// What to write, and where.
pub(super) fn change(topic: &Topic<'_>, prefix: &str) -> String {
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
        Topic::Client(name) if *name != CHAIN => format!(
            "in http_filters, before ext_authz: envoy.filters.http.header_mutation, request_mutations: - append: header: {{ \
             key: {name}, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" }}, append_action: \
             OVERWRITE_IF_EXISTS_OR_ADD; {}",
            asked_with(name)
        ),
        Topic::Client(_) => format!(
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
        Topic::WebSocketAsk => format!("{}, - exact: sec-websocket-key", asked_with("upgrade")),
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
