//! Who the client is, after every trusted proxy was peeled off.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderName;
use ipnet::{IpNet, Ipv4Net};

use super::admission::Rejection;
use super::{Client, Peer, Scheme};
use crate::wire::headers::trim;
use crate::wire::names::{X_FORWARDED_FOR, X_FORWARDED_PROTO};
use crate::wire::{Fields, Named};

/// Longest believable chain of proxies.
const MAX_HOPS: usize = 64;

/// Whose word counts about who the client is. Without any entry: nobody's.
#[derive(Clone, Copy, Debug)]
pub struct ProxyTrust<'s> {
    /// `server.trusted_proxies`
    pub networks: &'s [IpNet],
    /// `"unix"` in that list.
    pub unix: bool,
    /// `server.client_ip_header`, which then counts instead of `X-Forwarded-For`.
    pub header: Option<&'s HeaderName>,
}

/// How a request came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Whose request it is.
    pub client: Client,
    /// How the client spoke, to us or to the trusted proxy.
    pub scheme: Scheme,
    /// Whether the peer is a trusted proxy: its metadata counts, and it may ask decisions.
    pub trusted: bool,
}

/// Finds the client. Forwarding headers of anyone but a trusted proxy are ignored; those of a
/// trusted one must be right, since guessing would take a stranger for a neighbour.
pub fn resolve(peer: &Peer, headers: &Fields<'_>, trust: &ProxyTrust<'_>) -> Result<Hop, Rejection> {
    if trust.includes(peer) {
        return behind_proxy(peer, headers, trust);
    }
    Ok(Hop {
        client: Client::of(peer),
        scheme: own_scheme(peer),
        trusted: false,
    })
}

/// The same where the peer is known to be a trusted proxy.
///
/// # Errors
/// What it says of its client cannot be read.
pub fn behind_proxy(peer: &Peer, headers: &Fields<'_>, trust: &ProxyTrust<'_>) -> Result<Hop, Rejection> {
    // Nearly always there is one address alone, which is the client whoever it is.
    if trust.header.is_none()
        && let Ok(Some(chain)) = single(headers, &X_FORWARDED_FOR)
        && let Some(only) = plain_v4(chain)
    {
        return Ok(Hop {
            client: Client::Address(IpAddr::V4(only)),
            scheme: scheme_behind(peer, headers)?,
            trusted: true,
        });
    }
    behind_several(peer, headers, trust)
}

#[inline(never)]
fn behind_several(peer: &Peer, headers: &Fields<'_>, trust: &ProxyTrust<'_>) -> Result<Hop, Rejection> {
    let named = match trust.header {
        Some(header) => named_client(headers, header)?,
        None => forwarded_client(headers, trust)?,
    };
    let client = match (named, peer.address) {
        (Some(named), _) => Client::Address(named),
        (None, Some(address)) => Client::Proxy(canonical(address.ip())),
        (None, None) => Client::Unix,
    };
    Ok(Hop {
        client,
        scheme: scheme_behind(peer, headers)?,
        trusted: true,
    })
}

fn scheme_behind(peer: &Peer, headers: &Fields<'_>) -> Result<Scheme, Rejection> {
    if headers.seen().has(X_FORWARDED_PROTO) {
        forwarded_scheme(headers).map(|told| told.unwrap_or(own_scheme(peer)))
    } else {
        Ok(own_scheme(peer))
    }
}

fn own_scheme(peer: &Peer) -> Scheme {
    if peer.tls { Scheme::Https } else { Scheme::Http }
}

impl ProxyTrust<'_> {
    /// Whether this peer is a trusted proxy.
    pub fn includes(&self, peer: &Peer) -> bool {
        match peer.address {
            Some(SocketAddr::V4(address)) => self.contains_v4(*address.ip()),
            Some(SocketAddr::V6(address)) => self.contains(canonical(IpAddr::V6(*address.ip()))),
            None => self.unix,
        }
    }

    /// Whether the address is a trusted proxy's.
    fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.contains_v4(address),
            IpAddr::V6(_) => self.networks.iter().any(|network| network.contains(&address)),
        }
    }

    fn contains_v4(&self, address: Ipv4Addr) -> bool {
        let mut networks = self.networks.iter();
        networks.any(|network| matches!(network, IpNet::V4(network) if contains_v4(network, address)))
    }
}

/// As [`Ipv4Net::contains`], which works out the first and the last address of a network each time.
fn contains_v4(network: &Ipv4Net, address: Ipv4Addr) -> bool {
    let differs = network.addr().to_bits() ^ address.to_bits();
    let rest = 32 - u32::from(network.prefix_len());
    differs.checked_shr(rest).is_none_or(|differs| differs == 0)
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is: a dual-stack socket and a dual-stack
/// proxy both write it so, and networks are written the other way.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `X-Forwarded-Proto` of a trusted proxy; none when it is not there. `ws` and `wss` are what
/// Traefik writes for a WebSocket.
pub fn forwarded_scheme(headers: &Fields<'_>) -> Result<Option<Scheme>, Rejection> {
    let mut agreed = None;
    for value in headers.get_all(&X_FORWARDED_PROTO) {
        for word in value.to_str().map_err(|_| BAD_SCHEME)?.split(',').map(trim) {
            let scheme = match word {
                word if word.eq_ignore_ascii_case("https") || word.eq_ignore_ascii_case("wss") => {
                    Scheme::Https
                }
                word if word.eq_ignore_ascii_case("http") || word.eq_ignore_ascii_case("ws") => Scheme::Http,
                _ => return Err(BAD_SCHEME),
            };
            if agreed.replace(scheme).is_some_and(|before| before != scheme) {
                return Err(BAD_SCHEME);
            }
        }
    }
    Ok(agreed)
}

/// The right-most hop of `X-Forwarded-For` that is not a trusted proxy itself, else the left-most.
/// What stands further left was written by a stranger and is not even read.
fn forwarded_client(headers: &Fields<'_>, trust: &ProxyTrust<'_>) -> Result<Option<IpAddr>, Rejection> {
    let Some(chain) = single(headers, &X_FORWARDED_FOR)? else {
        return Ok(None);
    };
    if chain.bytes().filter(|byte| *byte == b',').count() >= MAX_HOPS {
        return Err(LONG_CHAIN);
    }
    let mut client = None;
    for entry in chain.rsplit(',') {
        let hop = parse_hop(trim(entry)).ok_or(BAD_HOP)?;
        client = Some(hop);
        if !trust.contains(hop) {
            break;
        }
    }
    Ok(client)
}

/// The one address in the header that the settings name.
fn named_client(headers: &Fields<'_>, header: &HeaderName) -> Result<Option<IpAddr>, Rejection> {
    match single(headers, header)? {
        Some(text) => parse_hop(trim(text)).map(Some).ok_or(BAD_HOP),
        None => Ok(None),
    }
}

/// The value of a header that must not be there twice: joining two lines is what an attacker who
/// can add one hopes for.
#[inline]
fn single<'h>(headers: &'h Fields<'_>, name: &impl Named) -> Result<Option<&'h str>, Rejection> {
    match headers.only(name).map_err(|_| TWO_CHAINS)? {
        Some(value) => value.to_str().map(Some).map_err(|_| BAD_HOP),
        None => Ok(None),
    }
}

/// An address literal, alone or with a port. The standard library refuses zone ids, leading zeros,
/// hexadecimal and short forms; names, `unknown` and `_hidden` (RFC 7239 §6) are no addresses.
fn parse_hop(text: &str) -> Option<IpAddr> {
    if let Some(address) = plain_v4(text) {
        return Some(IpAddr::V4(address));
    }
    // `[fe80::1%1]:80` is a zone id in figures, which the standard library does take.
    if text.contains('%') {
        return None;
    }
    let bracketed = || {
        let address: Ipv6Addr = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
        Some(IpAddr::V6(address))
    };
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    text.parse()
        .ok()
        .or_else(bracketed)
        .or_else(with_port)
        .map(canonical)
}

/// Four numbers without leading zeros, which nearly every entry is; none says nothing of it.
pub(super) fn plain_v4(text: &str) -> Option<Ipv4Addr> {
    let (mut address, mut rest) = octet(text.as_bytes())?;
    for _ in 0..3 {
        let (next, behind) = octet(rest.strip_prefix(b".")?)?;
        (address, rest) = (address << 8 | next, behind);
    }
    rest.is_empty().then(|| Ipv4Addr::from_bits(address))
}

/// The number at the beginning, and what follows it.
#[inline]
fn octet(text: &[u8]) -> Option<(u32, &[u8])> {
    let (mut octet, mut rest) = digit(text)?;
    for _ in 0..2 {
        let Some((next, behind)) = digit(rest) else { break };
        if octet == 0 {
            return None;
        }
        (octet, rest) = (10 * octet + next, behind);
    }
    (octet < 256).then_some((octet, rest))
}

#[inline]
fn digit(text: &[u8]) -> Option<(u32, &[u8])> {
    match text {
        [digit @ b'0'..=b'9', rest @ ..] => Some((u32::from(digit - b'0'), rest)),
        _ => None,
    }
}

const TWO_CHAINS: Rejection =
    Rejection::bad("xff:duplicate", "the header that names the client is there twice");
const BAD_HOP: Rejection = Rejection::bad(
    "xff:address",
    "the header that names the client has an entry that is not an address",
);
const LONG_CHAIN: Rejection = Rejection::bad("xff:too-long", "X-Forwarded-For has more than 64 entries");
const BAD_SCHEME: Rejection = Rejection::bad("xff:scheme", "X-Forwarded-Proto is not one of http and https");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROXY: Peer = Peer {
        address: Some(SocketAddr::new(
            IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)),
            4711,
        )),
        tls: false,
    };
    const UNIX: Peer = Peer {
        address: None,
        tls: false,
    };
    const CF: HeaderName = HeaderName::from_static("cf-connecting-ip");

    fn headers(list: &[(&'static str, &'static str)]) -> Fields<'static> {
        let mut headers = Fields::new();
        for (name, value) in list {
            headers.push(name, value.as_bytes());
        }
        headers
    }

    fn networks() -> [IpNet; 1] {
        [IpNet::new(IpAddr::V4([10, 0, 0, 0].into()), 8).expect("right")]
    }

    // "another header only if `server.client_ip_header` names it"
    #[test]
    fn the_configured_header_counts_instead_of_the_chain() {
        let networks = networks();
        let trust = ProxyTrust {
            networks: &networks,
            unix: false,
            header: Some(&CF),
        };
        let client = |list: &[(&'static str, &'static str)]| {
            resolve(&PROXY, &headers(list), &trust)
                .map(|hop| hop.client.to_string())
                .map_err(|it| it.reason)
        };
        assert_eq!(
            client(&[("cf-connecting-ip", "198.51.100.8"), ("x-forwarded-for", "a")]),
            Ok("198.51.100.8".to_owned())
        );
        assert_eq!(
            client(&[("cf-connecting-ip", "198.51.100.8, 198.51.100.9")]),
            Err("xff:address")
        );
        assert_eq!(client(&[("cf-connecting-ip", "")]), Err("xff:address"));
        assert_eq!(
            client(&[
                ("cf-connecting-ip", "198.51.100.8"),
                ("cf-connecting-ip", "198.51.100.8")
            ]),
            Err("xff:duplicate")
        );
        // A client's own chain must not stand in for the header that the proxy left out.
        let hop = resolve(&PROXY, &headers(&[("x-forwarded-for", "192.168.1.2")]), &trust).expect("right");
        assert!(matches!(hop.client, Client::Proxy(_)));
    }

    // "No default-trust: empty list = trust nobody"
    #[test]
    fn nobody_is_trusted_unless_listed() {
        let trust = ProxyTrust {
            networks: &[],
            unix: false,
            header: Some(&CF),
        };
        let claims = headers(&[
            ("x-forwarded-for", "192.168.1.2"),
            ("cf-connecting-ip", "192.168.1.2"),
            ("x-forwarded-proto", "https"),
        ]);
        let stranger = Hop {
            client: Client::Address(IpAddr::V4([10, 0, 0, 1].into())),
            scheme: Scheme::Http,
            trusted: false,
        };
        assert_eq!(resolve(&PROXY, &claims, &trust), Ok(stranger));
        let unix = Hop {
            client: Client::Unix,
            scheme: Scheme::Http,
            trusted: false,
        };
        assert_eq!(resolve(&UNIX, &claims, &trust), Ok(unix));
    }

    #[test]
    fn our_own_tls_counts_where_no_trusted_proxy_says_otherwise() {
        let networks = networks();
        let trust = ProxyTrust {
            networks: &networks,
            unix: true,
            header: None,
        };
        let stranger = Peer {
            address: Some(([203, 0, 113, 5], 1).into()),
            tls: true,
        };
        let plain = headers(&[("x-forwarded-proto", "http")]);
        assert_eq!(
            resolve(&stranger, &plain, &trust).expect("right").scheme,
            Scheme::Https
        );
        let proxy = Peer { tls: true, ..PROXY };
        assert_eq!(
            resolve(&proxy, &Fields::new(), &trust).expect("right").scheme,
            Scheme::Https
        );
        assert_eq!(
            resolve(&proxy, &plain, &trust).expect("right").scheme,
            Scheme::Http
        );
    }

    // "1 000 entries"
    #[test]
    fn chains_are_limited() {
        let networks = networks();
        let trust = ProxyTrust {
            networks: &networks,
            unix: false,
            header: None,
        };
        let client = |hops: usize| {
            let value = vec!["10.1.1.1"; hops].join(",");
            resolve(&PROXY, &Fields::from_iter([("x-forwarded-for", &*value)]), &trust)
        };
        assert!(client(MAX_HOPS).is_ok());
        assert_eq!(client(MAX_HOPS + 1), Err(LONG_CHAIN));
    }

    #[test]
    fn the_short_way_to_an_address_is_that_of_the_standard_library() {
        for text in [
            "0.0.0.0",
            "10.0.0.1",
            "255.255.255.255",
            "1.2.3.04",
            "1.2.3.256",
            "1.2.3",
            "1.2.3.4.5",
            "",
            "1..2.3",
            "a",
        ] {
            assert_eq!(plain_v4(text), text.parse().ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_never_differs(text in "[0-9]{0,4}(\\.[0-9]{0,4}){0,4}", any in "[0-9.]{0,16}") {
            for text in [text, any] {
                prop_assert_eq!(plain_v4(&text), text.parse().ok(), "{}", text);
            }
        }

        #[test]
        fn a_network_has_the_addresses_that_the_library_says(
            first in any::<u32>(),
            near in 0_u32..33,
            prefix in 0_u8..33,
        ) {
            let network = Ipv4Net::new(first.into(), prefix).expect("right");
            let other = first ^ 1_u32.checked_shl(near).unwrap_or(0);
            for address in [Ipv4Addr::from(first), Ipv4Addr::from(other)] {
                prop_assert_eq!(contains_v4(&network, address), network.contains(&address));
            }
        }

        #[test]
        fn the_rightmost_stranger_is_the_client_whatever_stands_before(
            spoofed in "[ -~]{0,40}",
            last_hop in 0_u32..0xffff,
        ) {
            let networks = networks();
            let trust = ProxyTrust { networks: &networks, unix: false, header: None };
            let hop = std::net::Ipv4Addr::from(0x0a00_0000 | last_hop);
            let value = format!("{spoofed},198.51.100.7, {hop}");
            let headers = Fields::from_iter([("x-forwarded-for", value.as_str())]);
            let client = resolve(&PROXY, &headers, &trust).expect("right").client;
            prop_assert_eq!(client.to_string(), "198.51.100.7");
        }
    }
}
