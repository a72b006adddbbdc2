//! Header names: which never go on, because only we may say them or because they end here.

use http::HeaderName;
use http::header;

use crate::config::settings::Route;

/// The identity header names of every route. A backend of one route may also be reached through
/// another, so each name is deleted on all of them.
#[derive(Clone, Debug, Default)]
pub struct IdentityNames(Box<[HeaderName]>);

impl IdentityNames {
    /// Collects them. Those of the presets are deleted without being named by a route.
    pub fn of(routes: &[Route]) -> Self {
        let mut names: Vec<HeaderName> = routes
            .iter()
            .flat_map(|route| {
                let headers = &route.identity_headers;
                [
                    &headers.user,
                    &headers.groups,
                    &headers.name,
                    &headers.email,
                    &headers.scope,
                ]
            })
            .flatten()
            .filter(|name| !is_ours(name.as_str()))
            .cloned()
            .collect();
        names.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        names.dedup();
        Self(names.into())
    }

    /// Whether some route calls an identity so, in any spelling that a backend may take for it.
    pub fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|known| folds_to(name, known.as_str()))
    }
}

/// CGI, WSGI and PHP read `-`, `_` and `.` as one character.
fn folds_to(name: &str, known: &str) -> bool {
    let fold = |byte: u8| match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    };
    name.len() == known.len() && name.bytes().map(fold).eq(known.bytes().map(fold))
}

/// Whether the name is made of `[A-Za-z0-9-]`; `HeaderName` has made it lower case.
pub(super) fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether the field speaks to the next hop only (RFC 9110 section 7.6.1), or to a proxy.
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || matches!(name.as_str(), "keep-alive" | "http2-settings" | "proxy")
        || name.as_str().starts_with("proxy-")
}

/// What only a gateway may say: where the client is, who it is, how its request really looked.
/// Whatever arrives under such a name comes from the client and does not go on.
pub(super) fn is_ours(name: &str) -> bool {
    // Most names of a request do not begin with one of these letters.
    match name.as_bytes().first() {
        Some(b'x') => is_ours_with_x(name),
        Some(b'c') => name == "cf-connecting-ip" || name == "client-ip",
        Some(b'f') => matches!(name, "forwarded" | "fastly-client-ip" | "front-end-https"),
        Some(b'r') => name.starts_with("remote-"),
        Some(b's') => name.starts_with("ssl-client-") || name.starts_with("sidegate-"),
        Some(b't') => name == "true-client-ip",
        Some(b'v') => name == "via",
        _ => false,
    }
}

fn is_ours_with_x(name: &str) -> bool {
    const WHOLE: [&str; 13] = [
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forwarded",
        "x-host",
        "x-method-override",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-request-id",
        "x-reproxy-url",
        "x-rewrite-url",
        "x-scheme",
        "x-url-scheme",
        "x-webauth",
    ];
    const BEGINNINGS: [&str; 18] = [
        "x-accel-",
        "x-auth-request-",
        "x-authelia-",
        "x-authentik-",
        "x-client-cert",
        "x-envoy-",
        "x-forwarded-",
        "x-http-method",
        "x-jwt-",
        "x-original-",
        "x-pomerium-",
        "x-remote-",
        "x-sendfile",
        "x-sidegate-",
        "x-ssl-",
        "x-token-",
        "x-vouch-",
        "x-webauth-",
    ];
    WHOLE.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// What a backend must not say to us: it would speak to a gateway behind, or as one.
pub(super) fn is_forbidden_in_response(name: &str, identities: &IdentityNames) -> bool {
    match name.as_bytes().first() {
        Some(b'x') if name.starts_with("x-accel-") || name.starts_with("x-sendfile") => true,
        Some(b'x') if name == "x-reproxy-url" || name.starts_with("x-sidegate-") => true,
        Some(b's') if name.starts_with("sidegate-") => true,
        _ => identities.contain(name) || PRESETS.iter().any(|known| folds_to(name, known)),
    }
}

/// The identity headers of the presets.
const PRESETS: [&str; 18] = [
    "remote-user",
    "remote-groups",
    "remote-name",
    "remote-email",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-authentik-username",
    "x-authentik-groups",
    "x-authentik-name",
    "x-authentik-email",
    "x-webauth-user",
    "x-webauth-groups",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_preset_is_ours() {
        for name in PRESETS {
            assert!(is_ours(name), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_not_ours() {
        for name in [
            "accept",
            "authorization",
            "cookie",
            "x-openhab-token",
            "x-requested-with",
            "x-csrf-token",
            "x-user-agent",
            "content-type",
            "sec-websocket-key",
            "range",
            "if-none-match",
        ] {
            assert!(!is_ours(name) && is_plain(name), "{name}");
        }
    }

    #[test]
    fn underscores_and_dots_fold_to_hyphens() {
        assert!(folds_to("remote_user", "remote-user"));
        assert!(folds_to("Remote.User", "remote-user"));
        assert!(!folds_to("remoteuser", "remote-user"));
    }
}
