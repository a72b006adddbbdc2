//! The grammar of `Host` and `:authority`: `host[:port]`, and nothing that two servers could read
//! differently.

mod recent;

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::client_addr::plain_v4;
use crate::wire::Value;

/// `host[:port]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Lower case, without trailing dot; an IPv6 address in brackets in its shortest form.
    pub host: Cow<'a, str>,
    /// None when there is no port, or nothing after the colon.
    pub port: Option<u16>,
    /// With the port, for redirects.
    pub as_written: &'a str,
}

impl<'a> Authority<'a> {
    /// Checks a `Host` or `:authority` value. Allocates only when the host changes.
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, HostError> {
        match recent::find(text) {
            Some((host, port)) => Ok(Self::simple(text, host, port)),
            None => Self::parse_anew(text),
        }
    }

    #[inline]
    fn simple(as_written: &'a str, host: &'a str, port: Option<u16>) -> Self {
        Self {
            host: Cow::Borrowed(host),
            port,
            as_written,
        }
    }

    #[inline(never)]
    fn parse_anew(text: &'a str) -> Result<Self, HostError> {
        if let Some((host, port)) = simple(text) {
            recent::keep(text, host, port);
            return Ok(Self::simple(text, host, port));
        }
        // Byte by byte: hosts are short, and a search for a character has to be set up.
        if text.bytes().any(|byte| byte == b'@') {
            return Err(HostError::Userinfo);
        }
        let (host, rest) = if text.starts_with('[') {
            let end = text.find(']').ok_or(HostError::Address)? + 1;
            (parse_v6(&text[..end])?, &text[end..])
        } else {
            let end = text.bytes().position(|byte| byte == b':').unwrap_or(text.len());
            (parse_name(&text[..end])?, &text[end..])
        };
        Ok(Self {
            host,
            port: parse_port(rest)?,
            as_written: text,
        })
    }

    /// The same of a field's value.
    ///
    /// # Errors
    /// As [`Authority::parse`].
    pub fn of(value: Value<'a>) -> Result<Self, HostError> {
        Self::parse(value.to_str().map_err(|_| HostError::Character)?)
    }

    /// Whether both name the same host and port, when this is the port that goes without saying.
    pub fn is_same(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host == other.host && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// Why a host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostError {
    /// No host.
    Empty,
    /// `user@`. Never says which: it could be a token.
    Userinfo,
    /// A character outside letters, digits, `-`, `_` and `.`.
    Character,
    /// An empty label, one of more than 63 characters, or more than 253 in all.
    Label,
    /// `xn--` before what is plain ASCII (CVE-2026-39821, RUSTSEC-2024-0421).
    Punycode,
    /// Looks like an address and is none.
    Address,
    /// Not 1 to 65535.
    Port,
}

impl HostError {
    /// The word in the log and in `X-Auth-Error`.
    pub const fn reason(self) -> &'static str {
        match self {
            HostError::Empty => "host:empty",
            HostError::Userinfo => "host:userinfo",
            HostError::Character => "host:character",
            HostError::Label => "host:label",
            HostError::Punycode => "host:punycode",
            HostError::Address => "host:address",
            HostError::Port => "host:port",
        }
    }

    /// The sentence for the client.
    pub const fn message(self) -> &'static str {
        match self {
            HostError::Empty => "the host is empty",
            HostError::Userinfo => "the host has a user name before it; send it as Authorization",
            HostError::Character => "the host has a character that no host name has",
            HostError::Label => "the host has an empty label or one that is too long",
            HostError::Punycode => "the host has an xn-- label that stands for plain ASCII",
            HostError::Address => "the host is not a valid address",
            HostError::Port => "the port of the host is not a number from 1 to 65535",
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for HostError {}

/// Host and port of what nearly every request says: a name in lower case or an IPv4 address, and no doubt. None says
/// nothing of it.
fn simple(text: &str) -> Option<(&str, Option<u16>)> {
    let bytes = text.as_bytes();
    let end = if bytes.first()?.is_ascii_digit() {
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        plain_v4(&text[..end])?;
        end
    } else {
        end_of_name(bytes)?
    };
    if end > 253 {
        return None;
    }
    let port = match &bytes[end..] {
        [] => None,
        [_, first @ b'1'..=b'9', rest @ ..] if rest.len() < 5 && rest.iter().all(u8::is_ascii_digit) => {
            let port = rest.iter().fold(u32::from(first - b'0'), |port, digit| {
                port * 10 + u32::from(digit - b'0')
            });
            Some(u16::try_from(port).ok()?)
        }
        _ => return None,
    };
    Some((&text[..end], port))
}

/// Where a name ends of which no label begins with a digit, so that it is no address, nor with the `x` of `xn--`.
fn end_of_name(bytes: &[u8]) -> Option<usize> {
    let (mut label, mut at) = (0, 0);
    loop {
        while let Some(b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') = bytes.get(at) {
            at += 1;
        }
        let plain = !matches!(bytes.get(label), Some(b'x' | b'0'..=b'9'));
        if !plain || !(1..=63).contains(&(at - label)) {
            return None;
        }
        match bytes.get(at) {
            Some(b'.') => (label, at) = (at + 1, at + 1),
            Some(b':') | None => return Some(at),
            Some(_) => return None,
        }
    }
}

/// RFC 9110 §4.2.1 allows an empty port.
fn parse_port(rest: &str) -> Result<Option<u16>, HostError> {
    let Some(digits) = rest.strip_prefix(':') else {
        // Something between `]` and the end.
        return if rest.is_empty() {
            Ok(None)
        } else {
            Err(HostError::Address)
        };
    };
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(HostError::Port);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(HostError::Port),
        Ok(port) => Ok(Some(port)),
    }
}

/// With the brackets; a zone id is refused, since it means something on the client's machine only.
fn parse_v6(bracketed: &str) -> Result<Cow<'_, str>, HostError> {
    let inner = &bracketed[1..bracketed.len() - 1];
    let address: Ipv6Addr = inner.parse().map_err(|_| HostError::Address)?;
    let shortest = format!("[{address}]");
    Ok(if shortest == bracketed {
        Cow::Borrowed(bracketed)
    } else {
        Cow::Owned(shortest)
    })
}

fn parse_name(text: &str) -> Result<Cow<'_, str>, HostError> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > 253 {
        return Err(HostError::Label);
    }
    let mut last = "";
    for label in name.split('.') {
        check_label(label)?;
        last = label;
    }
    // As browsers do: what ends in a number is an IPv4 address or nothing. `127.1`, `0x7f.1` and
    // `017700000001` are addresses to some resolvers.
    if is_number(last) && name.parse::<Ipv4Addr>().is_err() {
        return Err(HostError::Address);
    }
    Ok(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

/// `_` is no part of a host name, but of many a container's.
fn check_label(label: &str) -> Result<(), HostError> {
    if !label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    {
        return Err(HostError::Character);
    }
    if label.is_empty() || label.len() > 63 {
        return Err(HostError::Label);
    }
    match label.get(..4) {
        // RFC 3492 §3.1: what stands before the last `-` is literal ASCII, so a label that ends
        // there, or has nothing at all, stands for a plain name.
        Some(prefix) if prefix.eq_ignore_ascii_case("xn--") && (label.len() == 4 || label.ends_with('-')) => {
            Err(HostError::Punycode)
        }
        _ => Ok(()),
    }
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_limited_as_in_dns() {
        let label = "a".repeat(63);
        assert!(Authority::parse(&label).is_ok());
        assert_eq!(Authority::parse(&format!("{label}a")), Err(HostError::Label));
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(Authority::parse(&format!("{longest}.:80")).is_ok());
        assert_eq!(Authority::parse(&format!("{longest}a")), Err(HostError::Label));
        assert_eq!(Authority::parse(""), Err(HostError::Empty));
    }

    #[test]
    fn what_was_written_is_kept_beside_the_normal_form() {
        for (written, host, port) in [
            ("Home.Example.:8480", "home.example", Some(8480)),
            ("home.example:", "home.example", None),
        ] {
            let authority = Authority::of(Value::of(written.as_bytes())).expect("right");
            assert_eq!(
                (authority.as_written, &*authority.host, authority.port),
                (written, host, port)
            );
        }
        assert_eq!(Authority::of(Value::of(b"a\xc3\xa9")), Err(HostError::Character));
    }

    #[test]
    fn a_default_port_goes_without_saying() {
        let parse = |text| Authority::parse(text).expect("right");
        assert!(parse("A.").is_same(&parse("a:443"), 443));
        assert!(!parse("a").is_same(&parse("a:443"), 80));
        assert!(!parse("a").is_same(&parse("b"), 80));
    }

    // The short way says the same as the long one, or nothing.
    fn agrees(text: &str) -> bool {
        let long = || {
            let end = text.bytes().position(|byte| byte == b':').unwrap_or(text.len());
            let host = parse_name(&text[..end]).ok()?;
            Some((host.into_owned(), parse_port(&text[end..]).ok()?))
        };
        simple(text).is_none_or(|(host, port)| long() == Some((host.to_owned(), port)))
    }

    #[test]
    fn what_is_simple_is_read_as_all_else() {
        for text in [
            "home.example",
            "a",
            "127.0.0.1:8080",
            "a-b_c.d:1",
            "1.2.3.4",
            "h1.local:65535",
        ] {
            assert!(simple(text).is_some() && agrees(text), "{text}");
        }
        for text in [
            "",
            ".",
            "a.",
            "a..b",
            "A",
            "1.2.3",
            "1.2.3.256",
            "1.2.3.04",
            "1.2.3.4.5",
            "0x7f.1",
            "a.0x1",
            "xn--a",
            "a:0",
            "a:",
            "a:65536",
            "a:123456",
            "a:1:2",
            "[::1]",
            "a@b",
            "1",
            "a.1",
            "1a.2",
            "é",
            "a b",
        ] {
            assert!(simple(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_never_differs(text in "[a-z0-9.:_-]{0,20}", name in "[ax0-9.-]{0,9}(:[0-9]{0,6})?") {
            prop_assert!(agrees(&text) && agrees(&name));
        }

        #[test]
        fn what_was_read_before_is_read_the_same(text in "[Aa.0-]{0,3}(:[0-9]{0,2})?", long in "[a-b]{28,40}") {
            for text in [&text, &long, &text] {
                prop_assert_eq!(Authority::parse(text), Authority::parse_anew(text));
            }
        }

        #[test]
        fn a_normal_host_is_its_own_normal_form(text in "[\\[]?[a-zA-Z0-9.:_%é@,x\\]-]{0,24}") {
            if let Ok(authority) = Authority::parse(&text) {
                let again = Authority::parse(&authority.host).expect("a normal host is a host");
                prop_assert_eq!(&again.host, &authority.host);
                prop_assert!(matches!(again.host, Cow::Borrowed(_)));
                prop_assert_eq!(again.port, None);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), inner in any::<String>()) {
            let _ = Authority::parse(&text);
            let _ = Authority::parse(&format!("[{inner}]{text}"));
        }
    }
}
