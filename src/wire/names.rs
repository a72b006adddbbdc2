//! Names of fields that nearly every head has, and what is known of each beforehand.

use super::fields::mark;

/// A name that is known.
#[derive(Debug)]
pub struct Known {
    /// In lower case; letters, digits and `-` only.
    pub name: &'static str,
    /// Whether it speaks of nothing but the request itself: not of one hop, the client's address or somebody's
    /// identity, so that it goes on as it is, unless a route gives that name to an identity.
    pub ordinary: bool,
}

const fn ordinary(name: &'static str) -> Known {
    Known { name, ordinary: true }
}

const fn special(name: &'static str) -> Known {
    Known {
        name,
        ordinary: false,
    }
}

static KNOWN: [Known; 73] = [
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

const PLACES: usize = 1024;

/// Where each one is, by its mark; two of one place stand one behind the other.
static PLACED: [[u8; 2]; PLACES] = placed();

const fn place(mark: u32) -> usize {
    (mark.wrapping_mul(0x85eb_ca6b) >> 22) as usize
}

const fn placed() -> [[u8; 2]; PLACES] {
    let mut placed = [[0; 2]; PLACES];
    let mut index = 0;
    while index < KNOWN.len() {
        let here = &mut placed[place(mark(KNOWN[index].name))];
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

/// What is known of a name in any case; `mark` is its mark.
#[inline]
pub(super) fn known(name: &str, mark: u32) -> Option<&'static Known> {
    for number in PLACED[place(mark)] {
        let known = KNOWN.get(usize::from(number).checked_sub(1)?)?;
        if known.name.len() == name.len() && is_folded(name.as_bytes(), known.name.as_bytes()) {
            return Some(known);
        }
    }
    None
}

/// Whether a name is this one, of the same length and in lower case. Eight bytes at a time: of two letters that differ
/// in their case alone only one bit does, and no other character but a control has one of these with that bit set.
#[inline]
fn is_folded(name: &[u8], lower: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let same = |one: &[u8; 8], other: &[u8; 8]| {
        let (one, other) = (u64::from_le_bytes(*one), u64::from_le_bytes(*other));
        // A byte below 0x20 borrows from its highest bit.
        let control = one.wrapping_sub(CASE) & !one & HIGH;
        one | CASE == other | CASE && control == 0
    };
    let Some((last, known_last)) = name.last_chunk::<8>().zip(lower.last_chunk::<8>()) else {
        return name.eq_ignore_ascii_case(lower);
    };
    let (names, lowers) = (name.as_chunks::<8>().0, lower.as_chunks::<8>().0);
    same(last, known_last) && names.iter().zip(lowers).all(|(one, other)| same(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::headers::{is_hop_by_hop, is_never_from_clients, is_plain_name};

    #[test]
    fn every_known_name_is_found_in_any_case_and_is_what_it_is_said_to_be() {
        for one in &KNOWN {
            let upper = one.name.to_ascii_uppercase();
            assert!(known(&upper, mark(&upper)).is_some_and(|found| found.name == one.name));
            assert!(is_plain_name(one.name) && one.name.len() < 48);
            if one.ordinary {
                assert!(
                    !is_hop_by_hop(one.name) && !is_never_from_clients(one.name),
                    "{}",
                    one.name
                );
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
            assert!(known(other, mark(other)).is_none());
        }
    }
}
