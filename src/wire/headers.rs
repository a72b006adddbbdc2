//! Header names: how backends fold them, which belong to one hop, which a client may never set.

use std::cmp::Ordering;

use http::HeaderMap;
use http::header::CONNECTION;

/// Headers that end at the next hop (RFC 9110 §7.6.1), and those that old proxies treat alike.
/// Sorted.
pub const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Names that mean something to a backend only when a proxy sets them; a client's own never
/// arrive. Sorted by folded name. Identity headers under other names are the route's matter.
const NEVER_FROM_CLIENTS: [&str; 22] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "client-ip",
    "expect",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "proxy",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-method-override",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-reproxy-url",
    "x-rewrite-url",
    "x-scheme",
    "x-sendfile",
    "x-url-scheme",
];

/// The same, for whole families of names.
const NEVER_FROM_CLIENTS_PREFIXES: [&str; 22] = [
    "proxy-",
    "remote-",
    "sidegate-",
    "ssl-client-",
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
    "x-sendfile-",
    "x-sidegate-",
    "x-ssl-",
    "x-token-",
    "x-vouch-",
    "x-webauth-",
];

/// One byte as CGI, WSGI and PHP see it: they fold `_` and `.` onto `-` and ignore case
/// (CVE-2025-64484, CVE-2026-39858, CVE-2026-52845).
pub const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        _ => byte.to_ascii_lowercase(),
    }
}

/// Whether a backend could take both names for the same header.
pub fn same_folded(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().map(fold).eq(other.bytes().map(fold))
}

/// Whether the name consists of letters, digits and `-` only; every other one could fold onto a
/// name that we set, so it is dropped.
pub fn is_plain_name(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether the header belongs to one connection and must not be passed on, whatever `Connection`
/// says.
pub fn is_hop_by_hop(name: &str) -> bool {
    contains_folded(&HOP_BY_HOP, name)
}

/// Whether a client's own header of this name must never reach a backend.
pub fn is_never_from_clients(name: &str) -> bool {
    contains_folded(&NEVER_FROM_CLIENTS, name)
        || NEVER_FROM_CLIENTS_PREFIXES
            .iter()
            .any(|prefix| starts_folded(name, prefix))
}

/// The names listed in all `Connection` lines, as written, without empty ones. A value that is not
/// visible ASCII names nothing.
pub fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(list_items)
}

/// Whether a `Connection` line names this header.
pub fn connection_names(headers: &HeaderMap, name: &str) -> bool {
    connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(name))
}

/// The items of a comma-separated list without white space around them and without empty ones
/// (RFC 9110 §5.6.1.2).
pub fn list_items(value: &str) -> impl DoubleEndedIterator<Item = &str> {
    value.split(',').map(trim).filter(|item| !item.is_empty())
}

/// Without the spaces and tabs around it: the only white space that HTTP knows.
pub fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// `sorted` holds folded names.
fn contains_folded(sorted: &[&str], name: &str) -> bool {
    sorted
        .binary_search_by(|entry| compare_folded(entry, name))
        .is_ok()
}

fn compare_folded(folded: &str, name: &str) -> Ordering {
    folded.bytes().cmp(name.bytes().map(fold))
}

fn starts_folded(name: &str, folded_prefix: &str) -> bool {
    name.len() >= folded_prefix.len()
        && name
            .bytes()
            .map(fold)
            .zip(folded_prefix.bytes())
            .all(|(a, b)| a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn tables_are_sorted_and_folded_so_that_the_search_finds_every_entry() {
        for table in [&HOP_BY_HOP[..], &NEVER_FROM_CLIENTS, &NEVER_FROM_CLIENTS_PREFIXES] {
            assert!(table.is_sorted());
            for entry in table {
                assert!(entry.bytes().all(|byte| fold(byte) == byte), "{entry}");
            }
        }
    }

    // "whose fold (lower; `_`,`.`->`-`) equals"
    #[test]
    fn names_that_a_backend_folds_onto_another_are_the_same() {
        assert!(same_folded("Remote-User", "remote_user"));
        assert!(same_folded("Remote-User", "REMOTE.uSER"));
        assert!(!same_folded("Remote-User", "Remote-Users"));
        assert!(!same_folded("Remote-User", "Remote+User"));
        // "ASCII-only case folding everywhere in protocol syntax" (the Kelvin sign is no k)
        assert!(!same_folded("k", "\u{212a}"));
    }

    #[test]
    fn forwarding_and_identity_names_of_clients_never_arrive_in_any_spelling() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_prefix",
            "X-Forwarded",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X.Original.URI",
            "Remote-User",
            "remote.groups",
            "Proxy",
            "Proxy-Authorization",
            "X-WEBAUTH-USER",
            "X-Authentik-Username",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Sendfile",
            "X-Client-Cert",
            "CF-Connecting-IP",
            "Sidegate-Assertion",
            "Via",
        ] {
            assert!(is_never_from_clients(name), "{name}");
        }
        for name in [
            "Cookie",
            "Accept",
            "X-Requested-With",
            "Remote",
            "X-Forward",
            "Authorization",
            "Viaduct",
        ] {
            assert!(!is_never_from_clients(name), "{name}");
        }
    }

    // B-01: "none forwarded"
    #[test]
    fn hop_by_hop_names_are_known_in_any_case() {
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "HTTP2-Settings",
        ] {
            assert!(is_hop_by_hop(name), "{name}");
        }
        assert!(!is_hop_by_hop("Content-Length"));
    }

    // "in two Connection lines, with spaces/tabs"
    #[test]
    fn connection_tokens_come_from_all_lines_without_white_space_and_empty_items() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("close,, \tX-Real-IP "));
        headers.append(CONNECTION, HeaderValue::from_static(" remote-user"));
        assert_eq!(
            connection_tokens(&headers).collect::<Vec<_>>(),
            ["close", "X-Real-IP", "remote-user"]
        );
        assert!(connection_names(&headers, "x-real-ip"));
        assert!(!connection_names(&headers, "upgrade"));
    }
}
