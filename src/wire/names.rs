//! Names of fields that nearly every head has, and what is known of each beforehand.

use std::fmt;
use std::num::NonZeroU8;

/// A name that is known: its place in the table, from one on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Known(NonZeroU8);

/// What is known of a name.
struct Entry {
    /// In lower case; letters, digits and `-` only.
    name: &'static str,
    ordinary: bool,
}

impl Known {
    /// In lower case; letters, digits and `-` only.
    #[inline]
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// Whether it speaks of nothing but the request itself: not of one hop, the client's address or somebody's
    /// identity, so that it goes on as it is, unless a route gives that name to an identity.
    #[inline]
    pub const fn is_ordinary(self) -> bool {
        self.entry().ordinary
    }

    const fn entry(self) -> &'static Entry {
        &TABLE[self.0.get() as usize - 1]
    }

    /// Of this name, in any case, when the program is compiled: one that is not in the table is an error then.
    pub const fn of(name: &str) -> Self {
        let mut index = 0;
        while index < TABLE.len() {
            if TABLE[index].name.eq_ignore_ascii_case(name) {
                return Self::at(index);
            }
            index += 1;
        }
        panic!("no such name in the table")
    }

    const fn at(index: usize) -> Self {
        match NonZeroU8::new(index as u8 + 1) {
            Some(number) => Self(number),
            None => panic!("there are fewer names than that"),
        }
    }

    #[inline]
    const fn bit(self) -> u128 {
        1 << self.0.get()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the known names, and one for all that are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(u128);

impl Names {
    /// Any name that is not known.
    pub const UNKNOWN: Self = Self(1);

    /// These.
    pub const fn of(names: &[Known]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < names.len() {
            bits |= names[index].bit();
            index += 1;
        }
        Self(bits)
    }

    /// One, or that there is one which is not known.
    #[inline]
    pub const fn one(name: Option<Known>) -> Self {
        match name {
            Some(known) => Self(known.bit()),
            None => Self::UNKNOWN,
        }
    }

    /// These as well.
    #[inline]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Without those.
    #[inline]
    pub const fn but(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether one of those is among them.
    #[inline]
    pub const fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// Whether it is among them.
    #[inline]
    pub const fn has(self, name: Known) -> bool {
        self.0 & name.bit() != 0
    }
}

const fn ordinary(name: &'static str) -> Entry {
    Entry { name, ordinary: true }
}

const fn special(name: &'static str) -> Entry {
    Entry {
        name,
        ordinary: false,
    }
}

static TABLE: [Entry; 73] = [
    special("authorization"),
    special("connection"),
    special("content-length"),
    special("cookie"),
    special("date"),
    special("expect"),
    special("forwarded"),
    special("host"),
    special("keep-alive"),
    special("server"),
    special("set-cookie"),
    special("te"),
    special("trailer"),
    special("transfer-encoding"),
    special("upgrade"),
    special("via"),
    special("x-forwarded-for"),
    special("x-forwarded-host"),
    special("x-forwarded-method"),
    special("x-forwarded-port"),
    special("x-forwarded-prefix"),
    special("x-forwarded-proto"),
    special("x-forwarded-server"),
    special("x-forwarded-uri"),
    special("x-openhab-token"),
    special("x-original-method"),
    special("x-original-uri"),
    special("x-original-url"),
    special("x-real-ip"),
    special("x-request-id"),
    special("x-rewrite-url"),
    special("x-sidegate-hop"),
    special("x-sidegate-secret"),
    ordinary("accept"),
    ordinary("accept-charset"),
    ordinary("accept-encoding"),
    ordinary("accept-language"),
    ordinary("accept-ranges"),
    ordinary("access-control-allow-origin"),
    ordinary("access-control-request-headers"),
    ordinary("access-control-request-method"),
    ordinary("age"),
    ordinary("allow"),
    ordinary("cache-control"),
    ordinary("content-disposition"),
    ordinary("content-encoding"),
    ordinary("content-language"),
    ordinary("content-security-policy"),
    ordinary("content-type"),
    ordinary("dnt"),
    ordinary("etag"),
    ordinary("expires"),
    ordinary("if-match"),
    ordinary("if-modified-since"),
    ordinary("if-none-match"),
    ordinary("last-modified"),
    ordinary("location"),
    ordinary("origin"),
    ordinary("pragma"),
    ordinary("priority"),
    ordinary("range"),
    ordinary("referer"),
    ordinary("sec-fetch-dest"),
    ordinary("sec-fetch-mode"),
    ordinary("sec-fetch-site"),
    ordinary("sec-fetch-user"),
    ordinary("sec-websocket-key"),
    ordinary("sec-websocket-protocol"),
    ordinary("sec-websocket-version"),
    ordinary("upgrade-insecure-requests"),
    ordinary("user-agent"),
    ordinary("vary"),
    ordinary("x-requested-with"),
];

// No more than there are bits, the first of which stands for all others.
const _: () = assert!(TABLE.len() < 128);

macro_rules! names {
    ($($constant:ident = $name:literal)+) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub const $constant: Known = Known::of($name);
        )+
    };
}

names! {
    ACCEPT = "accept"
    ACCESS_CONTROL_REQUEST_METHOD = "access-control-request-method"
    AUTHORIZATION = "authorization"
    CONNECTION = "connection"
    CONTENT_LENGTH = "content-length"
    CONTENT_TYPE = "content-type"
    COOKIE = "cookie"
    DATE = "date"
    EXPECT = "expect"
    HOST = "host"
    ORIGIN = "origin"
    REFERER = "referer"
    SEC_FETCH_MODE = "sec-fetch-mode"
    SEC_FETCH_SITE = "sec-fetch-site"
    SEC_WEBSOCKET_KEY = "sec-websocket-key"
    SEC_WEBSOCKET_PROTOCOL = "sec-websocket-protocol"
    SEC_WEBSOCKET_VERSION = "sec-websocket-version"
    SET_COOKIE = "set-cookie"
    TE = "te"
    TRANSFER_ENCODING = "transfer-encoding"
    UPGRADE = "upgrade"
    USER_AGENT = "user-agent"
    X_FORWARDED_FOR = "x-forwarded-for"
    X_FORWARDED_HOST = "x-forwarded-host"
    X_FORWARDED_METHOD = "x-forwarded-method"
    X_FORWARDED_PROTO = "x-forwarded-proto"
    X_FORWARDED_URI = "x-forwarded-uri"
    X_ORIGINAL_METHOD = "x-original-method"
    X_ORIGINAL_URL = "x-original-url"
    X_REQUEST_ID = "x-request-id"
    X_REQUESTED_WITH = "x-requested-with"
    X_SIDEGATE_HOP = "x-sidegate-hop"
}

const PLACES: usize = 1024;

/// Where each one is, by its mark; two of one place stand one behind the other.
static PLACED: [[u8; 2]; PLACES] = placed();

/// Two names that are the same, whatever their case, have the same mark.
#[inline]
const fn mark(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (length, [first, .., last]) = (bytes.len(), bytes) else {
        return match bytes {
            [only] => 0x10000 | *only as u32 | 0x20,
            _ => 0,
        };
    };
    ((length as u32 & 0xffff) << 16) | ((*first as u32 | 0x20) << 8) | (*last as u32 | 0x20)
}

const fn place(mark: u32) -> usize {
    (mark.wrapping_mul(0x85eb_ca6b) >> 22) as usize
}

const fn placed() -> [[u8; 2]; PLACES] {
    let mut placed = [[0; 2]; PLACES];
    let mut index = 0;
    while index < TABLE.len() {
        let here = &mut placed[place(mark(TABLE[index].name))];
        let number = index as u8 + 1;
        if here[0] == 0 {
            here[0] = number;
        } else {
            assert!(here[1] == 0, "three names in one place; take another factor");
            here[1] = number;
        }
        index += 1;
    }
    placed
}

/// The known name that this is, in any case.
#[inline]
pub(super) fn find(name: &str) -> Option<Known> {
    for number in PLACED[place(mark(name))] {
        let known = Known(NonZeroU8::new(number)?);
        let lower = known.name();
        if lower.len() == name.len() && is_folded(name.as_bytes(), lower.as_bytes()) {
            return Some(known);
        }
    }
    None
}

/// Whether a name is this one, of the same length and in lower case. Eight bytes at a time, the last ones perhaps
/// twice: of two letters that differ in their case alone only one bit does, and no other character but a control
/// has one of these with that bit set.
#[inline]
fn is_folded(name: &[u8], lower: &[u8]) -> bool {
    let (Some((first, last)), Some((lower_first, lower_last))) = (ends(name), ends(lower)) else {
        return name.eq_ignore_ascii_case(lower);
    };
    if !same(first, lower_first) || !same(last, lower_last) {
        return false;
    }
    let middle = 8..name.len().saturating_sub(8).max(8);
    name.len() <= 16 || name[middle.clone()].eq_ignore_ascii_case(&lower[middle])
}

/// The first and the last eight bytes.
#[inline]
fn ends(name: &[u8]) -> Option<(u64, u64)> {
    let (first, last) = (name.first_chunk::<8>()?, name.last_chunk::<8>()?);
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)))
}

#[inline]
const fn same(one: u64, lower: u64) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte below 0x20 borrows from its highest bit.
    let control = one.wrapping_sub(CASE) & !one & HIGH;
    one | CASE == lower | CASE && control == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::headers::{is_hop_by_hop, is_never_from_clients, is_plain_name};

    #[test]
    fn every_known_name_is_found_in_any_case_and_is_what_it_is_said_to_be() {
        for one in (0..TABLE.len()).map(Known::at) {
            let name = one.name();
            assert_eq!(find(&name.to_ascii_uppercase()), Some(one));
            assert!(is_plain_name(name) && name.len() < 48);
            if one.is_ordinary() {
                assert!(!is_hop_by_hop(name) && !is_never_from_clients(name), "{name}");
            }
        }
        for other in [
            "x-real\u{d}ip",
            "\u{0}uthorization",
            "authorizatio\u{e}",
            "cooki\u{5}",
            "x",
            "hosts",
            "x-forwarded-fro",
            "accepT-",
            "",
        ] {
            assert!(find(other).is_none());
        }
    }
}
