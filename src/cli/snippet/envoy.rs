//! Envoy, with `ext_authz` over HTTP.

use super::{ASKED_WITH, REWRITES, Site, host_and_port, lines, place, reachable};
use crate::config::settings::{UpstreamScheme, UpstreamTarget};
use crate::control::Failure;

/// What an answer may say to the client.
const TOLD_TO_CLIENTS: [&str; 5] = [
    "location",
    "retry-after",
    "www-authenticate",
    "x-auth-error",
    "x-request-id",
];

/// A whole bootstrap configuration.
pub(super) fn snippet(site: &Site) -> Result<String, Failure> {
    let head = site.head("Envoy", "A whole configuration: envoy -c sidegate.yaml");
    let (host, port, prefix) = (&site.host, site.port, &site.prefix);
    let endpoint = site.endpoint("envoy");
    let mut forged = site.identity.clone();
    forged.extend(site.foldings());
    forged.extend(REWRITES.map(str::to_owned));
    forged.push("X-Forwarded-For".into());
    let forged = lines(&forged, |name| format!("              - remove: {name}"));
    let kept = lines(&site.tokens, |name| format!("                - remove: {name}"));
    let exact = |name: &str| format!("                - exact: {}", name.to_ascii_lowercase());
    let tokens = lines(&site.tokens, exact);
    let asked_with = lines(&ASKED_WITH, exact);
    let told_to_clients = lines(&TOLD_TO_CLIENTS, |name| {
        format!("                    - exact: {name}")
    });
    let copied = lines(&site.identity, |name| {
        format!("                    - exact: {}", name.to_ascii_lowercase())
    });
    let secret = site.secret.as_ref().map_or_else(String::new, |secret| {
        format!(
            r#"                authorization_request:
                  headers_to_add:
                  - key: X-Sidegate-Secret
                    value: "{secret}"
"#
        )
    });
    let decisions = cluster("sidegate_decisions", &reachable(&site.decisions), "")?;
    let pages = cluster("sidegate_pages", &reachable(&site.pages), "")?;
    let app = cluster("app", &place(&site.app), &tls(site))?;
    Ok(format!(
        r#"{head}
static_resources:
  listeners:
  - name: web
    address:
      socket_address: {{ address: 0.0.0.0, port_value: {port} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: web
          # What clients may not say: who they are, in any spelling that an application takes for the
          # headers below, and which address they ask for. Behind another proxy leave X-Forwarded-For out,
          # and set xff_num_trusted_hops.
          early_header_mutation_extensions:
          - name: envoy.http.early_header_mutation.header_mutation
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations:
{forged}          use_remote_address: true
          upgrade_configs:
          - upgrade_type: websocket
          stream_idle_timeout: 3600s
          common_http_protocol_options:
            headers_with_underscores_action: DROP_HEADER
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              # Without an answer nobody passes.
              failure_mode_allow: false
              allowed_headers:
                patterns:
                - prefix: sec-fetch-
{asked_with}{tokens}              http_service:
                server_uri:
                  uri: http://sidegate
                  cluster: sidegate_decisions
                  timeout: 5s
                path_prefix: {endpoint}
{secret}                authorization_response:
                  allowed_upstream_headers:
                    patterns:
{copied}                  allowed_client_headers:
                    patterns:
{told_to_clients}          # What was for Sidegate.
          - name: sidegate.keep
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutations:
                request_mutations:
{kept}          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: app
              domains: ["{host}", "{host}:*"]
              routes:
              # Nobody but Envoy asks for decisions.
              - match: {{ prefix: {prefix}/auth }}
                direct_response: {{ status: 404 }}
                typed_per_filter_config: &unasked
                  envoy.filters.http.ext_authz:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                    disabled: true
              # Sidegate's own pages.
              - match: {{ prefix: {prefix}/ }}
                route: {{ cluster: sidegate_pages }}
                typed_per_filter_config: *unasked
              - match: {{ prefix: / }}
                route: {{ cluster: app, timeout: 0s }}
  clusters:
{decisions}{pages}{app}"#
    ))
}

fn cluster(name: &str, place: &str, transport: &str) -> Result<String, Failure> {
    let (kind, address) = match place.strip_prefix("unix:") {
        Some(path) => ("STATIC", format!("pipe: {{ path: {path} }}")),
        None => {
            let (host, port) = host_and_port(place, "Envoy")?;
            let address = format!("socket_address: {{ address: \"{host}\", port_value: {port} }}");
            ("STRICT_DNS", address)
        }
    };
    Ok(format!(
        r#"  - name: {name}
    type: {kind}
    connect_timeout: 5s
{transport}    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              {address}
"#
    ))
}

fn tls(site: &Site) -> String {
    match (&site.app.scheme, &site.app.target) {
        (UpstreamScheme::Https, UpstreamTarget::Tcp { host, .. }) => format!(
            r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: "{host}"
        common_tls_context:
          validation_context:
            system_root_certs: {{}}
"#
        ),
        _ => String::new(),
    }
}
