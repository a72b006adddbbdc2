//! Names of fields that nearly every head has, and what is known of each beforehand.

use std::fmt;
use std::num::NonZeroU8;

use super::scan;

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

    /// From one on.
    #[inline]
    pub(super) const fn number(self) -> u8 {
        self.0.get()
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

    /// Its place in the table.
    #[inline]
    pub(super) const fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    /// The one at that place.
    pub(super) const fn at(index: usize) -> Self {
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

/// How many there are.
pub(super) const COUNT: usize = 73;

static TABLE: [Entry; COUNT] = [
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
    SERVER = "server"
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

/// Where each one is, by its first bytes and its length: no two are in one place.
static PLACED: [u8; PLACES] = {
    let mut placed = [0; PLACES];
    let mut index = 0;
    while index < TABLE.len() {
        let name = TABLE[index].name.as_bytes();
        let place = Begin::of(name).place(name.len());
        assert!(placed[place] == 0, "two names in one place; take another factor");
        placed[place] = index as u8 + 1;
        index += 1;
    }
    placed
};

/// The known name that this is, in any case.
#[inline]
pub(super) fn find(name: &[u8]) -> Option<Known> {
    find_begun(Begin::of(name), name)
}

/// The same where its beginning was looked at before.
#[inline]
pub(super) fn find_begun(begin: Begin, name: &[u8]) -> Option<Known> {
    let known = Known(NonZeroU8::new(PLACED[begin.place(name.len())])?);
    let shape = known.shape();
    let same = usize::from(shape.length) == name.len()
        && begin.low | shape.letters.low == shape.begin.low
        && begin.high | shape.letters.high == shape.begin.high;
    (same && (name.len() <= BEGIN || known.has_end(name))).then_some(known)
}

/// As many bytes are looked at first.
const BEGIN: usize = scan::STEP;

/// The first sixteen bytes of a name, and zeros where it has fewer.
#[derive(Clone, Copy)]
pub(super) struct Begin {
    low: u64,
    high: u64,
}

impl Begin {
    const NONE: Self = Self { low: 0, high: 0 };

    #[inline]
    const fn of(name: &[u8]) -> Self {
        if let Some(first) = name.first_chunk::<BEGIN>() {
            return Self::all_of(first);
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self {
                low: u64::from_le_bytes(*first),
                // Those that stand in both are shifted out; with eight bytes it is all of them.
                high: (u64::from_le_bytes(*last) >> (8 * (BEGIN - 1 - name.len()))) >> 8,
            };
        }
        let (mut low, mut at) = (0, name.len());
        while at > 0 {
            at -= 1;
            low = low << 8 | name[at] as u64;
        }
        Self { low, high: 0 }
    }

    #[inline]
    pub(super) const fn all_of(bytes: &[u8; BEGIN]) -> Self {
        Self::halves(u128::from_le_bytes(*bytes))
    }

    #[inline]
    const fn halves(both: u128) -> Self {
        Self {
            low: both as u64,
            high: (both >> 64) as u64,
        }
    }

    /// What stands before the first colon, and how many bytes that is; none if there is no colon.
    #[inline(always)]
    pub(super) fn before_colon(bytes: &[u8; BEGIN]) -> Option<(Self, usize)> {
        let length = colon(bytes)?;
        let (all, before) = (Self::all_of(bytes), BEFORE[length]);
        let begin = Self {
            low: all.low & before.low,
            high: all.high & before.high,
        };
        Some((begin, length))
    }

    /// Two names that are the same, whatever their case, have the same place.
    #[inline]
    const fn place(self, length: usize) -> usize {
        const SMALL: u64 = 0x2020_2020_2020_2020;
        let both = (self.low | SMALL) ^ (self.high | SMALL).rotate_left(29);
        let mixed = both
            .wrapping_add(length as u64)
            .wrapping_mul(0x51d6_c5aa_4d74_a0f3);
        (mixed >> (u64::BITS - PLACES.trailing_zeros())) as usize
    }
}

/// Where the first colon is.
#[inline(always)]
pub(super) fn colon(bytes: &[u8; BEGIN]) -> Option<usize> {
    let colons = scan::equal(bytes, b':');
    (colons != 0).then(|| colons.trailing_zeros() as usize % BEGIN)
}

/// All bits of so many bytes.
static BEFORE: [Begin; BEGIN] = {
    let (mut before, mut count) = ([Begin::NONE; BEGIN], 0);
    while count < BEGIN {
        before[count] = Begin::halves((1 << (8 * count)) - 1);
        count += 1;
    }
    before
};

/// What a name looks like.
#[derive(Clone, Copy)]
struct Shape {
    begin: Begin,
    /// Of the beginning the bits that say nothing: [`letters`].
    letters: Begin,
    /// The last eight bytes of one that is longer than its beginning.
    last: u64,
    length: u8,
}

impl Known {
    #[inline]
    const fn shape(self) -> &'static Shape {
        &SHAPES[self.0.get() as usize]
    }

    /// Whether what is behind the beginning is the same, in any case; the name has that length.
    #[inline]
    fn has_end(self, name: &[u8]) -> bool {
        let last = name.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
        is_same(last, self.shape().last) && (name.len() <= BEGIN + 8 || self.has_middle(name))
    }

    /// The same of what is between the beginning and the last eight bytes.
    fn has_middle(self, name: &[u8]) -> bool {
        let between = |name: &[u8]| BEGIN..name.len() - 8;
        let lower = self.name().as_bytes();
        name[between(name)].eq_ignore_ascii_case(&lower[between(lower)])
    }
}

/// Whether eight bytes are those, in any case.
#[inline]
const fn is_same(bytes: u64, lower: u64) -> bool {
    bytes | letters(lower) == lower
}

/// In the places of letters the bit by which a small one differs from a capital one. Among the bytes of known names,
/// small letters alone have the bit above it.
const fn letters(lower: u64) -> u64 {
    (lower & 0x4040_4040_4040_4040) >> 1
}

/// By number. One after the other without a gap: every request looks at a dozen of them.
static SHAPES: [Shape; TABLE.len() + 1] = {
    // No name is so long.
    let none = Shape {
        begin: Begin::NONE,
        letters: Begin::NONE,
        last: 0,
        length: u8::MAX,
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
            begin: Begin::of(name),
            letters: Begin {
                low: letters(Begin::of(name).low),
                high: letters(Begin::of(name).high),
            },
            last: match name.last_chunk() {
                Some(last) => u64::from_le_bytes(*last),
                None => 0,
            },
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

    // The beginning of a line has more in it than a name.
    #[test]
    fn a_name_is_the_same_before_a_colon_and_alone() {
        for one in (0..TABLE.len()).map(Known::at) {
            for behind in [
                ": value, and more of it",
                ":\r\n:::::::::::::::::",
                ":\u{7f}:::::::::::::::::",
            ] {
                let line = format!("{}{behind}", one.name().to_ascii_uppercase());
                let begun = line.as_bytes().first_chunk().and_then(Begin::before_colon);
                assert_eq!(begun.is_some(), one.name().len() < BEGIN, "{line:?}");
                if let Some((begin, length)) = begun {
                    assert_eq!(find_begun(begin, &line.as_bytes()[..length]), Some(one));
                }
            }
        }
        assert!(Begin::before_colon(b"abcdefghijklmnop").is_none());
        let (begin, length) = Begin::before_colon(b":host: host: hos").expect("a colon");
        assert!(length == 0 && find_begun(begin, b"").is_none());
    }

    #[test]
    fn every_known_name_is_found_in_any_case_and_is_what_it_is_said_to_be() {
        for one in (0..TABLE.len()).map(Known::at) {
            let name = one.name();
            assert_eq!(find(name.to_ascii_uppercase().as_bytes()), Some(one));
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
                    let same = TABLE
                        .iter()
                        .find(|entry| entry.name.as_bytes().eq_ignore_ascii_case(&other));
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
            assert!(find(other.as_bytes()).is_none());
        }
    }
}
