//! Header names: what no client may say to an application, and what a decision depends on.

/// What applications believe of an address, a method, a client or a user, and only a gateway may say:
/// the beginning of names, and how those go on that are in use. Proxy mode takes out whatever begins so
/// (`wire::headers::is_never_from_clients`); so does a gateway that knows patterns, and one that does not
/// takes out these.
pub(super) const BELIEVED: &[(&str, &[&str])] = &[
    ("Client-IP", &[]),
    ("CF-Connecting-IP", &[]),
    ("Forwarded", &[]),
    ("Front-End-Https", &[]),
    ("Proxy", &[]),
    ("Remote-", &["User", "Groups", "Name", "Email"]),
    ("True-Client-IP", &[]),
    (
        "X-Auth-Request-",
        &["User", "Groups", "Email", "Preferred-Username"],
    ),
    ("X-Authentik-", &["Username", "Groups", "Name", "Email"]),
    ("X-Client-IP", &[]),
    ("X-Cluster-Client-IP", &[]),
    (
        "X-Forwarded-",
        &[
            "Method",
            "Prefix",
            "Scheme",
            "Ssl",
            "Uri",
            "User",
            "Groups",
            "Email",
            "Preferred-Username",
        ],
    ),
    ("X-Host", &[]),
    ("X-HTTP-Method", &["", "-Override"]),
    ("X-Method-Override", &[]),
    ("X-Original-", &["Host", "Method", "URI", "URL"]),
    ("X-Remote-", &["User", "Groups", "Name", "Email"]),
    ("X-Rewrite-URL", &[]),
    ("X-Scheme", &[]),
    ("X-Sidegate-", &["Secret"]),
    ("X-Webauth-", &["User", "Name", "Email"]),
];

/// What goes on after `X-Forwarded-` and gateways write themselves, so that it goes only where the whole
/// beginning would.
pub(super) const WRITTEN_BY_GATEWAYS: [&str; 5] = ["For", "Host", "Port", "Proto", "Server"];

/// What nginx passes on of a client and Traefik writes itself.
pub(super) const WRITTEN_BY_TRAEFIK: [&str; 3] = ["X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP"];

/// Every name of [`BELIEVED`] that is in use.
pub(super) fn believed() -> Vec<String> {
    let whole = |(beginning, rests): &(&str, &[&str])| -> Vec<String> {
        match rests {
            [] => vec![(*beginning).to_owned()],
            rests => rests.iter().map(|rest| format!("{beginning}{rest}")).collect(),
        }
    };
    BELIEVED.iter().flat_map(whole).collect()
}

/// The headers that a decision can depend on, for gateways that send only what they are told to.
pub(super) const ASKED_WITH: [&str; 12] = [
    "accept",
    "access-control-request-method",
    "authorization",
    "cookie",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-requested-with",
];

/// Where credentials travel besides `credentials.token_headers`, so that the application gets what an
/// answer leaves of them.
pub(super) const CREDENTIALS: [&str; 3] = ["Authorization", "Cookie", "Sec-WebSocket-Protocol"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::headers::is_never_from_clients;

    // Product contract, section 5: "Header names outside [A-Za-z0-9-] are dropped", and what proxy mode
    // drops besides
    #[test]
    fn what_a_gateway_takes_out_proxy_mode_takes_out_too() {
        for name in believed().iter().map(String::as_str).chain(WRITTEN_BY_TRAEFIK) {
            let lower = name.to_ascii_lowercase();
            assert!(is_never_from_clients(&lower) || lower == "proxy", "{name}");
        }
    }
}
