//! The texts that stand for addresses, networks, hosts, paths and header names. Each reader
//! takes one text and gives the one value that it stands for, or says what to write instead.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::error::Wrong;
use super::settings::{Listen, StoreUrl, UpstreamAddr, UpstreamScheme, UpstreamTarget};
use super::shape::not_in_this_version;
use crate::wire::hex;

/// `192.168.1.0/24`, `fd00::/8`, or one address.
///
/// # Errors
///
/// Bits beyond the mask, since the one who wrote them meant another network; a mask of zero,
/// since everybody is never a network to be trusted; IPv4 in the clothes of IPv6, since no
/// peer has such an address here.
pub(super) fn network(text: &str) -> Result<IpNet, Wrong> {
    let net: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| {
            let wrong = Wrong::new("is not a network");
            match whole_network(text) {
                Some(whole) => wrong.hint(format!("write the whole address: {whole}")),
                None => wrong.hint("write for example \"192.168.1.0/24\" or \"fd00::/8\""),
            }
        })?,
    };
    if net.prefix_len() == 0 {
        return Err(Wrong::new("is everybody").hint("name the networks that are meant"));
    }
    if net.trunc() != net {
        return Err(Wrong::new("has bits beyond its mask").hint(format!("write {}", net.trunc())));
    }
    if let IpNet::V6(six) = net
        && let Some(four) = six.addr().to_ipv4_mapped()
        && six.prefix_len() >= 96
    {
        let hint = format!("write {four}/{}", six.prefix_len() - 96);
        return Err(Wrong::new("is an IPv4 network written as IPv6").hint(hint));
    }
    Ok(net)
}

/// `192.168.1/24` filled up to four numbers.
fn whole_network(text: &str) -> Option<IpNet> {
    let (address, mask) = text.split_once('/')?;
    let missing = 3_usize.checked_sub(address.matches('.').count())?;
    format!("{address}{}/{mask}", ".0".repeat(missing)).parse().ok()
}

/// `127.0.0.1:8480`, `[::1]:8480`; port 0 lets the system choose.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let wrong = Wrong::new("is not an address with a port");
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        match (text.split_once(':').map_or("", |(host, _)| host), port) {
            ("localhost", Some(port)) => wrong.hint(format!("write the address: \"127.0.0.1:{port}\"")),
            ("" | "*", Some(port)) => wrong.hint(format!(
                "write \"0.0.0.0:{port}\" for every address of this machine"
            )),
            _ => wrong.hint("write for example \"127.0.0.1:8480\" or \"[::1]:8480\""),
        }
    })
}

/// An address with a port, or `unix:/path`.
pub(super) fn listen(text: &str) -> Result<Listen, Wrong> {
    match text.strip_prefix("unix:") {
        Some(path) => unix_path(path).map(Listen::Unix),
        None => socket_address(text).map(Listen::Tcp),
    }
}

/// What follows `unix:`.
fn unix_path(path: &str) -> Result<PathBuf, Wrong> {
    // sockaddr_un.sun_path is 108 bytes on Linux, with a zero at its end.
    const LONGEST: usize = 107;
    let example = "write for example \"unix:/run/sidegate/http.sock\"";
    if !path.starts_with('/') || path.starts_with("//") || path.ends_with('/') || path.contains('\0') {
        return Err(Wrong::new("is not the absolute path of a socket").hint(example));
    }
    if path.len() > LONGEST {
        return Err(Wrong::new(format!(
            "is longer than a socket's path can be ({LONGEST} bytes)"
        )));
    }
    Ok(PathBuf::from(path))
}

/// `memory:` or `sqlite:PATH`, the path as written.
pub(super) fn store_url(text: &str) -> Result<StoreUrl, Wrong> {
    let example = "write \"sqlite:sidegate.db\" or \"memory:\"";
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Err(not_in_this_version().hint(example));
    }
    match text.strip_prefix("sqlite:") {
        Some(":memory:") => Err(Wrong::new("is not a store").hint("write \"memory:\"")),
        Some(path) if path.starts_with("//") => {
            let path = path.trim_start_matches('/');
            Err(Wrong::new("is not a store").hint(format!("write \"sqlite:/{path}\" for an absolute path")))
        }
        Some(path) if !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '\0']) => {
            Ok(StoreUrl::Sqlite(PathBuf::from(path)))
        }
        _ => Err(Wrong::new("is not a store").hint(example)),
    }
}

/// A host name or an address literal, in lower case: IPv6 without brackets.
enum Host {
    Name(String),
    Four(Ipv4Addr),
    Six(Ipv6Addr),
}

impl Host {
    /// As in a URL or a `Host` header.
    fn in_url(&self) -> String {
        match self {
            Host::Name(name) => name.clone(),
            Host::Four(address) => address.to_string(),
            Host::Six(address) => format!("[{address}]"),
        }
    }

    /// As for connecting.
    fn bare(&self) -> String {
        match self {
            Host::Six(address) => address.to_string(),
            other => other.in_url(),
        }
    }
}

/// `host`, `host:port`, `[::1]:port` (RFC 3986 section 3.2, without user information).
fn authority(text: &str) -> Result<(Host, Option<u16>), Wrong> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest
            .split_once(']')
            .ok_or_else(|| Wrong::new("has a bracket that does not close"))?;
        let address = address
            .parse()
            .map_err(|_| Wrong::new("has no IPv6 address in its brackets"))?;
        let port = match rest {
            "" => None,
            _ => Some(
                rest.strip_prefix(':')
                    .ok_or_else(|| Wrong::new("has something between bracket and port"))?,
            ),
        };
        (Host::Six(address), port)
    } else if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Wrong::new("is an IPv6 address without brackets").hint(format!("write [{text}]")));
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        (host_name(name)?, port)
    };
    let Some(port) = port else { return Ok((host, None)) };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok((host, Some(number))),
        _ => Err(Wrong::new("has no port from 1 to 65535 after the colon")),
    }
}

fn host_name(text: &str) -> Result<Host, Wrong> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains('*') {
        return Err(Wrong::new("has a wildcard, and host names are exact").hint("write one entry per host"));
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let labels = name
        .split('.')
        .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(known));
    if !labels || name.len() > 253 {
        return Err(Wrong::new("is not a host name")
            .hint("write for example \"home.example\" (punycode beyond ASCII)"));
    }
    // URL Standard 3.5: a name whose last label is a number is an IPv4 address, or an error.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        let address = name
            .parse()
            .map_err(|_| Wrong::new("is not a whole IPv4 address"))?;
        return Ok(Host::Four(address));
    }
    Ok(Host::Name(name))
}

/// The `host` of a route or a scope: lower case, without port and trailing dot.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(Wrong::new("is not a host name").hint(format!(
            "leave out {scheme}://: \"{}\"",
            rest.trim_end_matches('/')
        )));
    }
    authority(text).map(|(host, _)| host.in_url())
}

/// The name that an upstream's certificate must have.
pub(super) fn server_name(text: &str) -> Result<String, Wrong> {
    match authority(text)? {
        (host, None) => Ok(host.bare()),
        _ => Err(Wrong::new("has a port").hint("write the name alone")),
    }
}

/// `https://home.example`; one slash at its end is no path and is taken off.
pub(super) fn public_url(text: &str) -> Result<String, Wrong> {
    let example = "write for example \"https://home.example\"";
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| Wrong::new("is not a URL").hint(example))?;
    let (scheme, usual) = match scheme.to_ascii_lowercase().as_str() {
        "https" => ("https", 443),
        "http" => ("http", 80),
        _ => return Err(Wrong::new("is neither http nor https").hint(example)),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    only_authority(rest, scheme)?;
    let (host, port) = authority(rest)?;
    let port = port
        .filter(|port| *port != usual)
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    Ok(format!("{scheme}://{}{port}", host.in_url()))
}

/// `http://127.0.0.1:8123`, `https://…`, `h2c://…` or `unix:/path`.
pub(super) fn upstream(text: &str) -> Result<UpstreamAddr, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(UpstreamAddr {
            scheme: UpstreamScheme::Http,
            target: UpstreamTarget::Unix(unix_path(path)?),
        });
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let wrong = Wrong::new("is not the address of an upstream");
        return Err(match authority(text) {
            Ok(_) => wrong.hint(format!("write \"http://{text}\"")),
            Err(_) => wrong.hint("write for example \"http://127.0.0.1:8123\""),
        });
    };
    let (scheme, word, usual) = match scheme.to_ascii_lowercase().as_str() {
        "http" => (UpstreamScheme::Http, "http", 80),
        "https" => (UpstreamScheme::Https, "https", 443),
        "h2c" => (UpstreamScheme::H2c, "h2c", 80),
        _ => {
            let hint = "write http://, https://, h2c:// or unix:; WebSockets come by http:// and https://";
            return Err(Wrong::new("has an unknown scheme").hint(hint));
        }
    };
    only_authority(rest, word)?;
    let (host, port) = authority(rest)?;
    let target = UpstreamTarget::Tcp {
        host: host.bare(),
        port: port.unwrap_or(usual),
    };
    Ok(UpstreamAddr { scheme, target })
}

/// Refuses path, query, fragment and user information.
fn only_authority(rest: &str, scheme: &str) -> Result<(), Wrong> {
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (before, after) = rest.split_at(end);
    if before.contains('@') {
        // The hint does not repeat what may be a password.
        return Err(Wrong::new("has a user name in it").hint("leave out everything up to the @"));
    }
    if !after.is_empty() {
        return Err(Wrong::new("has a path or query").hint(format!("write \"{scheme}://{before}\"")));
    }
    Ok(())
}

/// What may be a URL, without the user name and password that may stand in it; for messages.
pub(super) fn without_userinfo(text: &str) -> String {
    let Some((before, host)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match before.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://***@{host}"),
        None if before.contains(':') => format!("***@{host}"),
        None => text.to_owned(),
    }
}

/// `server.prefix`: segments of unreserved characters (RFC 3986 section 2.3).
pub(super) fn prefix(text: &str) -> Result<String, Wrong> {
    let wrong = |message: &str| Wrong::new(message).hint("write for example \"/_sidegate\"");
    let Some(rest) = text.strip_prefix('/') else {
        return Err(wrong("does not start with a slash"));
    };
    if rest.is_empty() {
        return Err(wrong("would leave nothing for the routes"));
    }
    if rest.ends_with('/') {
        return Err(Wrong::new("ends with a slash").hint(format!("write \"{}\"", text.trim_end_matches('/'))));
    }
    let segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(is_unreserved)
    };
    if rest.split('/').all(segment) {
        Ok(text.to_owned())
    } else {
        Err(wrong("is not a plain path"))
    }
}

/// A path of a route, a scope or a probe, as it is matched: unreserved characters decoded,
/// other escapes in upper case, no slash at the end.
pub(super) fn path(text: &str) -> Result<String, Wrong> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(Wrong::new("does not start with a slash").hint(format!("write \"/{text}\"")));
    };
    if rest.contains('*') {
        return Err(Wrong::new("has a wildcard").hint("leave it out: a path covers everything below it"));
    }
    let decoded = decode_unreserved(text)?;
    let rest = decoded[1..].strip_suffix('/').unwrap_or(&decoded[1..]);
    if rest.is_empty() && decoded != "/" {
        return Err(Wrong::new("has an empty segment").hint("write one slash between two segments"));
    }
    for segment in rest.split('/').filter(|_| !rest.is_empty()) {
        match segment {
            "" => return Err(Wrong::new("has an empty segment").hint("write one slash between two segments")),
            "." | ".." => return Err(Wrong::new("has a dot segment").hint("write the path that it leads to")),
            _ => {}
        }
    }
    Ok(format!("/{rest}"))
}

/// The same refusals as for the path of a request: no request could ever match what they
/// refuse.
fn decode_unreserved(text: &str) -> Result<String, Wrong> {
    let mut decoded = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (
                    bytes.next().and_then(hex::digit),
                    bytes.next().and_then(hex::digit),
                ) else {
                    return Err(
                        Wrong::new("has a % without two hex digits").hint("write %25 for the sign itself")
                    );
                };
                let value = high << 4 | low;
                match value {
                    0..=0x1f | 0x7f | b'/' | b'\\' => {
                        return Err(Wrong::new(format!(
                            "has %{value:02X}, with which no request is let in"
                        )));
                    }
                    _ if is_unreserved(value) => decoded.push(char::from(value)),
                    _ => decoded.push_str(&format!("%{value:02X}")),
                }
            }
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'+' | b',' | b';' | b'=' => {
                decoded.push(char::from(byte));
            }
            _ if is_unreserved(byte) => decoded.push(char::from(byte)),
            b'?' | b'#' => return Err(Wrong::new("has a query").hint("leave it out")),
            _ => {
                let shown = if byte.is_ascii_graphic() {
                    char::from(byte).to_string()
                } else {
                    "that".into()
                };
                let hint = format!("percent-encode it, for example %{byte:02X}");
                return Err(Wrong::new(format!("has a character that no path has ({shown})")).hint(hint));
            }
        }
    }
    // `%2541` would be `A` to a backend that decodes twice.
    let doubled = decoded.match_indices("%25").any(|(at, _)| {
        let after = decoded.as_bytes().get(at + 3..at + 5);
        after.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if doubled {
        return Err(Wrong::new("is encoded twice (%25 and two hex digits)").hint("encode it once"));
    }
    Ok(decoded)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What no key may name: what frames the message, what carries other people's credentials,
/// what Sidegate writes itself.
const NOT_FOR_US: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-request-id",
    "x-sidegate-hop",
    "x-sidegate-secret",
];

/// A header that a key may name: `[A-Za-z0-9-]+`, and none that means something else already.
pub(super) fn header_name(text: &str) -> Result<HeaderName, Wrong> {
    let plain = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // Backends fold `_` and `.` to `-`: such a name could be forged under another spelling.
    if !plain {
        return Err(Wrong::new("is not a header name").hint("use letters, digits and - only (at most 64)"));
    }
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| Wrong::new("is not a header name"))?;
    if NOT_FOR_US.contains(&name.as_str()) || name.as_str().starts_with("sec-") {
        return Err(Wrong::new("is a header that means something else")
            .hint("choose another, for example one that starts with X-"));
    }
    Ok(name)
}

/// What some gateway writes or removes itself, whatever the client sent: a token there would be gone before the
/// question, with one gateway and not with another.
const OF_GATEWAYS: &[&str] = &[
    "x-forwarded-client-cert",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-tls-client-cert",
    "x-forwarded-tls-client-cert-info",
    "x-real-ip",
];

/// A header in which clients may send a token.
pub(super) fn token_header(text: &str) -> Result<HeaderName, Wrong> {
    let name = header_name(text)?;
    if OF_GATEWAYS.contains(&name.as_str()) || name.as_str().starts_with("x-envoy-") {
        return Err(
            Wrong::new("is a header that gateways write themselves, so no token arrives in it")
                .hint("choose another, for example \"X-Api-Token\""),
        );
    }
    Ok(name)
}

/// A method in upper case that may pass at all.
pub(super) fn method(text: &str) -> Result<Method, Wrong> {
    let token = !text.is_empty()
        && text.len() <= 32
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !token {
        return Err(Wrong::new("is not a method").hint("write for example \"GET\""));
    }
    // RFC 9110 section 9.1: the method token is case-sensitive.
    let upper = text.to_ascii_uppercase();
    if upper != text {
        return Err(Wrong::new("is not a method").hint(format!("write \"{upper}\"")));
    }
    if matches!(text, "CONNECT" | "TRACE" | "TRACK" | "PRI") {
        return Err(Wrong::new("is a method that never passes").hint("leave it out"));
    }
    Method::from_bytes(text.as_bytes()).map_err(|_| Wrong::new("is not a method"))
}

/// The name of an account or a group, as far as a configuration can tell.
pub(super) fn account(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.len() > 255 || text.trim() != text || text.chars().any(char::is_control) {
        return Err(Wrong::new("is not a name"));
    }
    Ok(text.to_owned())
}

/// `tokens.prefix`
pub(super) fn token_prefix(text: &str) -> Result<String, Wrong> {
    if (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("is not a token prefix").hint("use 1 to 16 letters and digits, for example \"oh\""))
}

/// The word of a `[scope.NAME]`: a scope-token of RFC 6749 section 3.3 that is no role.
pub(super) fn scope_name(text: &str) -> Result<String, Wrong> {
    let token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(token) {
        return Err(
            Wrong::new("is not a scope").hint("use printable ASCII without space, quote and backslash")
        );
    }
    if text.parse::<crate::model::Role>().is_ok() {
        return Err(Wrong::new("is the name of a role").hint("choose another name"));
    }
    Ok(text.to_owned())
}
