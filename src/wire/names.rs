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
        BITS[self.0.get() as usize]
    }
}

/// The bit of each number; a shift of so wide a number takes longer.
static BITS: [u128; 256] = {
    let (mut bits, mut number) = ([0; 256], 0);
    while number < 128 {
        bits[number] = 1 << number;
        number += 1;
    }
    bits
};

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

const PLACES: usize = 512;

/// Where each one is, by its mark; two of one place stand one behind the other.
static PLACED: [[u8; 2]; PLACES] = placed();

/// Two names that are the same, whatever their case, have the same mark.
#[inline]
const fn mark(bytes: &[u8]) -> u32 {
    let (length, [first, .., last]) = (bytes.len(), bytes) else {
        return match bytes {
            [only] => 0x10000 | *only as u32 | 0x20,
            _ => 0,
        };
    };
    ((length as u32 & 0xffff) << 16) | ((*first as u32 | 0x20) << 8) | (*last as u32 | 0x20)
}

const fn place(mark: u32) -> usize {
    (mark.wrapping_mul(0x85eb_ca6b) >> 23) as usize
}

const fn placed() -> [[u8; 2]; PLACES] {
    let mut placed = [[0; 2]; PLACES];
    let mut index = 0;
    while index < TABLE.len() {
        let here = &mut placed[place(mark(TABLE[index].name.as_bytes()))];
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
    let name = name.as_bytes();
    let ends = Ends::of(name);
    for number in PLACED[place(mark(name))] {
        let known = Known(NonZeroU8::new(number)?);
        let Shape { ends: lower, length } = SHAPES[number as usize];
        let same = usize::from(length) == name.len()
            && ends.first | letters(lower.first) == lower.first
            && ends.last | letters(lower.last) == lower.last;
        if same && (length <= 16 || known.has_middle(name)) {
            return Some(known);
        }
    }
    None
}

impl Known {
    /// Whether what is between the first and the last eight bytes is the same, in any case.
    fn has_middle(self, name: &[u8]) -> bool {
        let between = |name: &[u8]| 8..name.len() - 8;
        let lower = self.name().as_bytes();
        name[between(name)].eq_ignore_ascii_case(&lower[between(lower)])
    }
}

/// The first and the last eight bytes of a name, or as many as there are: all of it, if it has not more than sixteen.
#[derive(Clone, Copy)]
struct Ends {
    first: u64,
    last: u64,
}

impl Ends {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => Self {
                first: u64::from_le_bytes(*first),
                last: u64::from_le_bytes(*last),
            },
            _ => Self::of_short(name),
        }
    }

    #[inline]
    const fn of_short(name: &[u8]) -> Self {
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self {
                first: u32::from_le_bytes(*first) as u64,
                last: u32::from_le_bytes(*last) as u64,
            };
        }
        let (mut all, mut at) = (0, 0);
        while at < name.len() {
            all = all << 8 | name[at] as u64;
            at += 1;
        }
        Self {
            first: all,
            last: all,
        }
    }
}

/// In the places of letters the bit by which a small one differs from a capital one: among the bytes of known names,
/// small letters alone have the bit above it.
#[inline]
const fn letters(lower: u64) -> u64 {
    (lower & 0x4040_4040_4040_4040) >> 1
}

/// What a name looks like: with the bits of [`letters`] set, no other name has the same ends.
#[derive(Clone, Copy)]
struct Shape {
    ends: Ends,
    length: u8,
}

/// By number. One after the other without a gap: every request looks at a dozen of them.
static SHAPES: [Shape; TABLE.len() + 1] = {
    let none = Shape {
        ends: Ends::of(b""),
        length: 0,
    };
    let mut shapes = [none; TABLE.len() + 1];
    let mut index = 0;
    while index < TABLE.len() {
        let name = TABLE[index].name.as_bytes();
        let mut at = 0;
        while at < name.len() {
            assert!(matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'-'));
            at += 1;
        }
        shapes[index + 1] = Shape {
            ends: Ends::of(name),
            length: name.len() as u8,
        };
        index += 1;
    }
    shapes
};

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
        for one in (0..TABLE.len()).map(Known::at) {
            for at in 0..one.name().len() {
                for byte in 0..128 {
                    let mut other = one.name().as_bytes().to_vec();
                    other[at] = byte;
                    let other = String::from_utf8(other).expect("ASCII");
                    let same = TABLE.iter().find(|entry| entry.name.eq_ignore_ascii_case(&other));
                    assert_eq!(
                        find(&other).map(Known::name),
                        same.map(|entry| entry.name),
                        "{other:?}"
                    );
                }
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
