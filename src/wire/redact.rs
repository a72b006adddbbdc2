//! Tokens of ours in text that is written to a log: in a path, because of a slip
//! (`http://host/TOKEN` for `http://TOKEN@host/`), or in what a client calls itself.

use std::borrow::Cow;

use memchr::memchr2_iter;

/// Letters and digits from which on the last part is hidden. The shortest token has 43; one that was
/// cut off while it was copied is most of a secret still, and names of files and hosts are shorter.
const FEWEST: usize = 21;

/// The text with `***` in place of the random part of whatever looks like `<prefix>.<name>.<random>`.
/// Prefix and name stay: they say which token has to be rotated. A dot may be `%2E` too, as careful
/// encoders write it, and the case of the prefix does not count, because that of hosts is folded.
///
/// What stands before the prefix does not matter: `Bearer%20oh.phone.…` holds a token too.
pub fn tokens<'t>(text: &'t str, prefix: &str) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    let mut shown = String::new();
    let mut copied = 0;
    for at in memchr2_iter(b'.', b'%', bytes) {
        let Some(begin) = at.checked_sub(prefix.len()) else {
            continue;
        };
        if begin < copied || !bytes[begin..at].eq_ignore_ascii_case(prefix.as_bytes()) {
            continue;
        }
        let Some(name) = after_dot(bytes, at) else {
            continue;
        };
        let Some(random) = after_dot(bytes, name + word(&bytes[name..])) else {
            continue;
        };
        let length = word(&bytes[random..]);
        if length >= FEWEST {
            // Both ends are beside ASCII, so they are between two characters.
            shown.push_str(&text[copied..random]);
            shown.push_str("***");
            copied = random + length;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[copied..]);
    Cow::Owned(shown)
}

/// Where what follows the dot at that place begins; none: there is no dot.
fn after_dot(bytes: &[u8], at: usize) -> Option<usize> {
    match &bytes[at..] {
        [b'.', ..] => Some(at + 1),
        [b'%', b'2', b'e' | b'E', ..] => Some(at + 3),
        _ => None,
    }
}

/// How many letters and digits it begins with.
fn word(bytes: &[u8]) -> usize {
    let is_other = |byte: &u8| !byte.is_ascii_alphanumeric();
    bytes.iter().position(is_other).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::token_hash;

    // Operations: "no credential is ever written"; contract, section 7: "`oh.<name>.<random>`"
    #[test]
    fn the_random_part_of_a_token_is_hidden_wherever_it_stands() {
        let random = "0123456789abcdefghijKLMNOPQRSTUVWXYZ";
        let table = [
            ("/oh.phone.R", "/oh.phone.***"),
            ("oh.phone.R", "oh.phone.***"),
            ("/a/oh.phone.R/b?c=oh.x.R&d", "/a/oh.phone.***/b?c=oh.x.***&d"),
            ("Bearer%20oh.phone.R", "Bearer%20oh.phone.***"),
            ("/oh%2Ephone%2eR", "/oh%2Ephone%2e***"),
            ("OH.phone.R", "OH.phone.***"),
            ("curl/8 (oh.phone.R) é", "curl/8 (oh.phone.***) é"),
            ("oh.oh.phone.R", "oh.oh.phone.***"),
            ("oh.phone.R.oh.phone.R", "oh.phone.***.oh.phone.***"),
            // Half of one is a secret too.
            ("oh.phone.0123456789abcdefghijK", "oh.phone.***"),
        ];
        for (text, expected) in table {
            assert_eq!(tokens(&text.replace('R', random), "oh"), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_token_stays_as_it_is() {
        for text in [
            "",
            "/",
            "oh",
            "oh.",
            "%",
            "oh%",
            "oh%2",
            "oh.phone",
            "oh.phone.",
            "oh.phone.js",
            "oh.home.example",
            "hi.phone.0123456789abcdefghijKLMNOPQRSTUVWXYZ",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        ] {
            let shown = tokens(text, "oh");
            assert!(matches!(shown, Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_token_of_ours_is_left_in_any_text(before in "\\PC{0,20}", after in "\\PC{0,20}",
            prefix in "[A-Za-z0-9]{1,16}", name in "[A-Za-z0-9]{1,64}") {
            let token = token_hash::mint(&prefix, &name);
            let token = token.expose_str().expect("ASCII");
            let random = token.rsplit('.').next().expect("three parts");
            let text = format!("{before}{token}{after}");
            prop_assert!(!tokens(&text, &prefix).contains(&random[..random.len() / 2]));
        }
    }
}
