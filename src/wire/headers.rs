//! Header names: how backends fold them, which belong to one hop, which a client may never set.

use http::HeaderName;

use super::names::CONNECTION;
use super::{Fields, Value};

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
    // Without a way out in between, the machine looks at many bytes at once.
    name.bytes().fold(true, |plain, byte| {
        plain & (byte.is_ascii_alphanumeric() | (byte == b'-'))
    })
}

/// Whether a value is visible ASCII with spaces and tabs between, as `HeaderValue::to_str` has it.
pub fn is_text(value: &[u8]) -> bool {
    // Without a way out in between, the machine looks at many bytes at once.
    value.iter().fold(true, |text, byte| {
        text & (matches!(byte, b' '..=b'~') | (*byte == b'\t'))
    })
}

/// Whether the field speaks to the next hop only (RFC 9110 section 7.6.1), or to a proxy. The name is lower case.
pub fn is_hop_by_hop(name: &str) -> bool {
    // Most names do not begin with one of these letters.
    match name.as_bytes().first() {
        Some(b'c') => name == "connection",
        Some(b'h') => name == "http2-settings",
        Some(b'k') => name == "keep-alive",
        Some(b'p') => name == "proxy" || name.starts_with("proxy-"),
        Some(b't') => matches!(name, "te" | "trailer" | "transfer-encoding"),
        Some(b'u') => name == "upgrade",
        _ => false,
    }
}

/// What only a gateway may say: where the client is, who it is, how its request really looked.
/// Whatever arrives under such a name comes from the client and does not
/// go on. The name is lower case and plain, as `HeaderName` and the gate have made it; the routes' own identity headers
/// are the routes' matter.
pub fn is_never_from_clients(name: &str) -> bool {
    // Most names of a request do not begin with one of these letters.
    match name.as_bytes().first() {
        Some(b'x') => is_never_from_clients_with_x(name),
        Some(b'c') => matches!(name, "cf-connecting-ip" | "cf-connecting-ipv6" | "client-ip"),
        Some(b'f') => matches!(name, "forwarded" | "fastly-client-ip" | "front-end-https"),
        Some(b'r') => name.starts_with("remote-"),
        Some(b's') => name.starts_with("ssl-client-") || name.starts_with("sidegate-"),
        Some(b't') => name == "true-client-ip",
        Some(b'v') => name == "via",
        _ => false,
    }
}

fn is_never_from_clients_with_x(name: &str) -> bool {
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

/// The names listed in all `Connection` lines, as written, without empty ones. A value that is not
/// visible ASCII names nothing.
pub fn connection_tokens<'h>(headers: &'h Fields<'_>) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(&CONNECTION)
        .filter_map(|value| value.to_str().ok())
        .flat_map(list_items)
}

/// Whether a `Connection` line names this header.
pub fn connection_names(headers: &Fields<'_>, name: &str) -> bool {
    connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(name))
}

/// The items of a comma-separated list without white space around them and without empty ones
/// (RFC 9110 §5.6.1.2).
pub fn list_items(value: &str) -> impl DoubleEndedIterator<Item = &str> {
    value.split(',').map(trim).filter(|item| !item.is_empty())
}

/// The first value of a header as text; empty when there is none, or it is not ASCII.
pub fn text<'h>(headers: &'h Fields<'_>, name: HeaderName) -> &'h str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

/// Whether it is more than one word.
pub fn has_space(value: &[u8]) -> bool {
    memchr::memchr2(b' ', b'\t', value).is_some()
}

/// Whether `Connection` says no more than what becomes of the connection, as it nearly always does.
pub fn is_about_connection(fields: &Fields<'_>) -> bool {
    let word = |value: Value<'_>| {
        let value = value.as_bytes();
        // Nearly everyone writes it so, which is seen at once.
        let as_usual = matches!(value, b"keep-alive" | b"close");
        as_usual || value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    !fields.repeated().has(CONNECTION) && fields.get(CONNECTION).is_none_or(word)
}

/// Without the spaces and tabs around it: the only white space that HTTP knows.
pub fn trim(value: &str) -> &str {
    // Byte by byte: nearly always there is one, or none.
    let mut rest = value;
    while let [b' ' | b'\t', ..] = rest.as_bytes() {
        rest = &rest[1..];
    }
    while let [.., b' ' | b'\t'] = rest.as_bytes() {
        rest = &rest[..rest.len() - 1];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn forwarding_and_identity_names_of_clients_never_arrive() {
        for name in [
            "x-forwarded-for",
            "x-forwarded-prefix",
            "x-forwarded",
            "forwarded",
            "x-real-ip",
            "x-original-url",
            "remote-user",
            "x-webauth-user",
            "x-authentik-username",
            "x-http-method-override",
            "x-http-method",
            "x-sendfile",
            "x-client-cert",
            "cf-connecting-ip",
            "sidegate-assertion",
            "via",
        ] {
            assert!(is_never_from_clients(name), "{name}");
        }
        for name in [
            "cookie",
            "accept",
            "x-requested-with",
            "remote",
            "x-forward",
            "authorization",
            "viaduct",
        ] {
            assert!(!is_never_from_clients(name), "{name}");
        }
    }

    // B-01: "none forwarded"
    #[test]
    fn hop_by_hop_names_are_known() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "proxy-authenticate",
            "proxy-authorization",
            "http2-settings",
        ] {
            assert!(is_hop_by_hop(name), "{name}");
        }
        assert!(!is_hop_by_hop("content-length"));
    }

    // "in two Connection lines, with spaces/tabs"
    #[test]
    fn connection_tokens_come_from_all_lines_without_white_space_and_empty_items() {
        let mut headers = Fields::new();
        headers.push("Connection", b"close,, \tX-Real-IP ");
        headers.push("connection", b" remote-user");
        assert_eq!(
            connection_tokens(&headers).collect::<Vec<_>>(),
            ["close", "X-Real-IP", "remote-user"]
        );
        assert!(connection_names(&headers, "x-real-ip"));
        assert!(!connection_names(&headers, "upgrade"));
    }
}
