//! Who the client is, after every trusted proxy was peeled off.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::admission::Rejection;
use super::{Client, Peer, Scheme};
use crate::wire::headers::trim;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
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
pub fn resolve(peer: &Peer, headers: &HeaderMap, trust: &ProxyTrust<'_>) -> Result<Hop, Rejection> {
    let address = peer.address.map(|address| canonical(address.ip()));
    let trusted = match address {
        Some(address) => trust.contains(address),
        None => trust.unix,
    };
    let own_scheme = if peer.tls { Scheme::Https } else { Scheme::Http };
    if !trusted {
        let client = address.map_or(Client::Unix, Client::Address);
        return Ok(Hop {
            client,
            scheme: own_scheme,
            trusted,
        });
    }
    let named = match trust.header {
        Some(header) => named_client(headers, header)?,
        None => forwarded_client(headers, trust)?,
    };
    let client = match (named, address) {
        (Some(named), _) => Client::Address(named),
        (None, Some(address)) => Client::Proxy(address),
        (None, None) => Client::Unix,
    };
    let scheme = forwarded_scheme(headers)?.unwrap_or(own_scheme);
    Ok(Hop {
        client,
        scheme,
        trusted,
    })
}

impl ProxyTrust<'_> {
    /// Whether the address is a trusted proxy's.
    fn contains(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is: a dual-stack socket and a dual-stack
/// proxy both write it so, and networks are written the other way.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `X-Forwarded-Proto` of a trusted proxy; none when it is not there. `ws` and `wss` are what
/// Traefik writes for a WebSocket.
pub fn forwarded_scheme(headers: &HeaderMap) -> Result<Option<Scheme>, Rejection> {
    let mut agreed = None;
    for value in headers.get_all(X_FORWARDED_PROTO) {
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
fn forwarded_client(headers: &HeaderMap, trust: &ProxyTrust<'_>) -> Result<Option<IpAddr>, Rejection> {
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
fn named_client(headers: &HeaderMap, header: &HeaderName) -> Result<Option<IpAddr>, Rejection> {
    match single(headers, header)? {
        Some(text) => parse_hop(trim(text)).map(Some).ok_or(BAD_HOP),
        None => Ok(None),
    }
}

/// The value of a header that must not be there twice: joining two lines is what an attacker who
/// can add one hopes for.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(TWO_CHAINS);
    }
    value.to_str().map(Some).map_err(|_| BAD_HOP)
}

/// An address literal, alone or with a port. The standard library refuses zone ids, leading zeros,
/// hexadecimal and short forms; names, `unknown` and `_hidden` (RFC 7239 §6) are no addresses.
fn parse_hop(text: &str) -> Option<IpAddr> {
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

const TWO_CHAINS: Rejection =
    Rejection::bad("xff:duplicate", "the header that names the client is there twice");
const BAD_HOP: Rejection = Rejection::bad(
    "xff:address",
    "the header that names the client has an entry that is not an address",
);
const LONG_CHAIN: Rejection = Rejection::bad("xff:too-long", "X-Forwarded-For has more than 64 entries");
const BAD_SCHEME: Rejection = Rejection::bad("xff:scheme", "X-Forwarded-Proto is not one of http and https");
