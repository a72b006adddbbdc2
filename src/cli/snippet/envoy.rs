//! Envoy, with `ext_authz` over HTTP.

use super::names::ASKED_WITH;
use super::site::{Removed, Site, host_and_port, lines, place};
use crate::config::settings::{UpstreamScheme, UpstreamTarget};
use crate::control::Failure;

/// What an answer may say to the client.
const TOLD_TO_CLIENTS: [&str; 6] = [
    "location",
    "retry-after",
    "set-cookie",
    "www-authenticate",
    "x-auth-error",
    "x-request-id",
];

/// A whole bootstrap configuration.
pub(super) fn snippet(site: &Site) -> Result<String, Failure> {
    let head = site.head("Envoy", "A whole configuration: envoy -c sidegate.yaml");
    let (host, port, prefix) = (&site.host, site.port, &site.prefix);
    let endpoint = format!("{prefix}/auth/envoy");
    let matched =
        |how: &str, text: &str| format!("remove_on_match: {{ key_matcher: {{ {how}: \"{text}\" }} }}");
    // Names of letters, digits and - stay, and those that begin with : are none of the client's.
    let strange = "remove_on_match: { key_matcher: { safe_regex: { regex: \"[a-z0-9-]*[^a-z0-9:-].*\" } } }";
    let mut forged = vec![strange.to_owned(), "remove: X-Forwarded-For".to_owned()];
    let removed = site.removed().into_iter().filter_map(|removed| match removed {
        Removed::Name(name) => Some(format!("remove: {name}")).filter(|removal| !forged.contains(removal)),
        Removed::Beginning(beginning) => Some(matched("prefix", &beginning.to_ascii_lowercase())),
    });
    let removed: Vec<String> = removed.collect();
    forged.extend(removed);
    let forged = lines(&forged, |removal| format!("              - {removal}"));
    let asked = |name: &str| format!("                - exact: {}", name.to_ascii_lowercase());
    let tokens = (site.credentials.iter())
        .chain(&site.client_header)
        .filter(|name| !ASKED_WITH.contains(&&*name.to_ascii_lowercase()));
    let tokens = lines(tokens, asked);
    let asked_with = lines(ASKED_WITH.iter().copied(), asked);
    let told_to_clients = lines(TOLD_TO_CLIENTS.iter().copied(), |name| {
        format!("                    - exact: {name}")
    });
    let copied = lines(site.identity.iter().chain(&site.credentials), |name| {
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
    let client = client(site);
    let decisions = cluster("sidegate_decisions", &site.decisions, "")?;
    let pages = cluster("sidegate_pages", &site.pages, "")?;
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
          # What an application might believe of whoever says it, and names that it may take for others.
          # Behind another proxy leave X-Forwarded-For out of this, and set xff_num_trusted_hops.
          early_header_mutation_extensions:
          - name: envoy.http.early_header_mutation.header_mutation
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation
              mutations:
{forged}          use_remote_address: true
          upgrade_configs:
          - upgrade_type: websocket
          # WebSockets over HTTP/2 (RFC 8441).
          http2_protocol_options: {{ allow_connect: true }}
          stream_idle_timeout: 3600s
          common_http_protocol_options:
            headers_with_underscores_action: DROP_HEADER
          http_filters:
{client}          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              # Without an answer nobody passes.
              failure_mode_allow: false
              status_on_error: {{ code: ServiceUnavailable }}
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
                  # Who is there, and what is left of the client's own when what was for Sidegate is out.
                  allowed_upstream_headers:
                    patterns:
{copied}                  allowed_client_headers:
                    patterns:
{told_to_clients}          - name: envoy.filters.http.router
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

/// The filter that tells Sidegate and the application whose request it is, where that is not `X-Forwarded-For`.
fn client(site: &Site) -> String {
    let Some(name) = &site.client_header else {
        return String::new();
    };
    format!(
        r#"          # Where server.client_ip_header looks: the address of Envoy's own client, whatever that says of itself.
          # Behind a CDN that nobody can go around: original_ip_detection_extensions with
          # envoy.http.original_ip_detection.custom_header in the place of use_remote_address, and its header no more
          # among the mutations above.
          - name: envoy.filters.http.header_mutation
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
              mutations:
                request_mutations:
                - append:
                    header: {{ key: {name}, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%" }}
                    append_action: OVERWRITE_IF_EXISTS_OR_ADD
"#
    )
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
