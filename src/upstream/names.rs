//! Header names: which never go on, because only we may say them or because they end here.

use http::HeaderName;

use crate::config::settings::Route;
use crate::wire::headers::{is_never_from_clients, same_folded};

/// The identity header names of every route. A backend of one route may also be reached through
/// another, so each name is deleted on all of them.
#[derive(Clone, Debug, Default)]
pub struct IdentityNames(Box<[HeaderName]>);

impl IdentityNames {
    /// Collects them. The presets' names need no route: [`is_never_from_clients`] knows them.
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
            .filter(|name| !is_never_from_clients(name.as_str()))
            .cloned()
            .collect();
        names.sort_by(|one, two| one.as_str().cmp(two.as_str()));
        names.dedup();
        Self(names.into())
    }

    /// Whether there are none but those of the presets.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether some route calls an identity so, in any spelling that a backend may take for it.
    pub fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|known| same_folded(name, known.as_str()))
    }
}

/// What a backend must not say to us: it would speak to a gateway behind, or as one.
pub(super) fn is_forbidden_in_response(name: &str, identities: &IdentityNames) -> bool {
    match name.as_bytes().first() {
        Some(b'x') if name.starts_with("x-accel-") || name.starts_with("x-sendfile") => true,
        Some(b'x') if name == "x-reproxy-url" || name.starts_with("x-sidegate-") => true,
        Some(b's') if name.starts_with("sidegate-") => true,
        // As the presets begin, whatever the fold.
        Some(b'r' | b'x') if PRESETS.iter().any(|known| same_folded(name, known)) => true,
        _ => identities.contain(name),
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
    use crate::wire::headers::is_plain_name;

    #[test]
    fn every_name_of_a_preset_is_never_from_clients() {
        for name in PRESETS {
            assert!(is_never_from_clients(name), "{name}");
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
            assert!(!is_never_from_clients(name) && is_plain_name(name), "{name}");
        }
    }
}
