//! API tokens: their text, and the two keyed hashes under which they are kept.
//!
//! A token is `<prefix>.<name>.<random>`. It has more than 256 bits of chance in it, so a slow hash
//! would add nothing but a way to keep the machine busy: HMAC-SHA-256 it is, under keys that are
//! not in the store.

use super::mac::{self, Digest, Mac};
use super::{Secret, random};

/// Characters of chance in a token that we mint: 476 bits.
const CHANCE: usize = 80;
/// Characters of the checksum that follows.
const CHECKSUM: usize = 6;
/// The fewest characters of `[A-Za-z0-9]` that hold 256 bits.
const MIN_RANDOM: usize = 43;
/// More than any server we know of mints.
const MAX_RANDOM: usize = 256;
/// The longest token name.
pub const MAX_NAME: usize = 64;
/// The longest token prefix.
pub const MAX_PREFIX: usize = 16;

/// A new token: prefix, name, 80 random characters, and a checksum that makes 86.
///
/// The name must fit [`is_name`], else the token would never be read back.
pub fn mint(prefix: &str, name: &str) -> Secret {
    let mut token = Vec::with_capacity(prefix.len() + name.len() + 2 + CHANCE + CHECKSUM);
    token.extend_from_slice(prefix.as_bytes());
    token.push(b'.');
    token.extend_from_slice(name.as_bytes());
    token.push(b'.');
    token.extend_from_slice(random::alphanumeric(CHANCE).as_bytes());
    let checksum = checksum(&token);
    token.extend_from_slice(&checksum);
    Secret::new(token)
}

/// Whether a token may have this name: `[A-Za-z0-9]{1,64}`.
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What can be read off a token without any key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it ends as a token that we minted does. Imported ones do not.
    pub checksum_ok: bool,
}

/// Reads `<prefix>.<name>.<random>`; none when it has another form. Looks at each byte once or twice.
pub fn parse<'a>(token: &'a [u8], prefix: &str) -> Option<Parts<'a>> {
    if token.len() > MAX_PREFIX + MAX_NAME + MAX_RANDOM + 2 {
        return None;
    }
    let rest = token.strip_prefix(prefix.as_bytes())?.strip_prefix(b".")?;
    let dot = rest.iter().position(|&byte| byte == b'.')?;
    let name = std::str::from_utf8(&rest[..dot])
        .ok()
        .filter(|name| is_name(name))?;
    let random = &rest[dot + 1..];
    if !(MIN_RANDOM..=MAX_RANDOM).contains(&random.len()) || !random.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let (body, end) = token.split_at(token.len() - CHECKSUM);
    Some(Parts {
        name,
        checksum_ok: checksum(body) == end,
    })
}

/// The value that a token is found by. Without the key nobody can tell which token it belongs to.
pub fn lookup(key: &Mac, token: &[u8]) -> [u8; 16] {
    let digest = key.digest("sidegate token lookup 1", &[token]);
    let mut lookup = [0; 16];
    lookup.copy_from_slice(&digest[..16]);
    lookup
}

/// The salted, keyed hash of the whole token.
pub fn verifier(key: &Mac, salt: &[u8; 16], token: &[u8]) -> Digest {
    key.digest("sidegate token verifier 1", &[salt, token])
}

/// Whether the token is the one that the verifier was made of. Compares in constant time.
pub fn verify(key: &Mac, salt: &[u8; 16], token: &[u8], expected: &Digest) -> bool {
    mac::equal(&verifier(key, salt, token), expected)
}

/// CRC-32 in base 62, most significant digit first. It catches typing errors and foreign tokens
/// before anything is looked up; it proves nothing.
fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut value = crc32(text);
    let mut out = [b'0'; CHECKSUM];
    for digit in out.iter_mut().rev() {
        *digit = DIGITS[(value % 62) as usize];
        value /= 62;
    }
    out
}

/// CRC-32 as in IEEE 802.3 and gzip (RFC 1952 §8).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    // The check value of CRC-32/ISO-HDLC.
    #[test]
    fn crc_32_has_its_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    // Section 7: "`oh.<name>.<random>` ... `random` is `[A-Za-z0-9]`, 256 bits or more, its last six
    // characters a checksum in tokens we mint".
    #[test]
    fn a_minted_token_has_the_openhab_shape_and_a_fitting_checksum() {
        let token = mint("oh", "phone");
        let text = token.expose_str().unwrap();
        let random = text.strip_prefix("oh.phone.").unwrap();
        assert_eq!(random.len(), 86);
        assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let parts = parse(token.expose(), "oh").unwrap();
        assert_eq!(
            parts,
            Parts {
                name: "phone",
                checksum_ok: true
            }
        );
        assert_ne!(token, mint("oh", "phone"));
    }

    #[test]
    fn the_checksum_is_the_same_in_every_version() {
        let body = format!("oh.phone.{}", "A".repeat(80));
        assert_eq!(
            checksum(body.as_bytes()),
            *b"0SXnry",
            "{:#x}",
            crc32(body.as_bytes())
        );
    }

    #[test]
    fn the_checksum_covers_prefix_name_and_random() {
        let token = mint("oh", "phone");
        for position in 0..token.expose().len() {
            let mut other = token.expose().to_vec();
            if other[position] == b'.' {
                continue;
            }
            other[position] = if other[position] == b'x' { b'y' } else { b'x' };
            let prefix = std::str::from_utf8(&other[..2]).unwrap().to_owned();
            let parts = parse(&other, &prefix).unwrap();
            assert!(!parts.checksum_ok, "byte {position}");
        }
    }

    #[test]
    fn an_imported_openhab_token_is_read_without_a_checksum() {
        let text = format!("oh.habdroid.{}", "k".repeat(80));
        let parts = parse(text.as_bytes(), "oh").unwrap();
        assert_eq!(
            parts,
            Parts {
                name: "habdroid",
                checksum_ok: false
            }
        );
    }

    #[test]
    fn what_has_another_form_is_no_token() {
        let long = "a".repeat(MAX_RANDOM + 1);
        let random = "a".repeat(86);
        let cases = [
            String::new(),
            "oh".into(),
            "oh.".into(),
            "oh..".into(),
            "oh.phone.".into(),
            format!("oh.phone.{}", "a".repeat(42)),
            format!("oh.phone.{long}"),
            format!("oh..{random}"),
            format!("oh.ph-one.{random}"),
            format!("oh.ph\u{f6}ne.{random}"),
            format!("oh.{}.{random}", "n".repeat(65)),
            format!("oh.phone.{random}."),
            format!("oh.phone.{random} "),
            format!("oh.phone.x.{random}"),
            format!("OH.phone.{random}"),
            format!("ohphone.{random}"),
            format!(" oh.phone.{random}"),
            "a".repeat(1_000_000),
        ];
        for case in cases {
            assert_eq!(parse(case.as_bytes(), "oh"), None, "{case:.40}");
        }
        assert_eq!(parse(&[0xff; 100], "oh"), None);
    }

    #[test]
    fn lookup_and_verifier_depend_on_key_salt_and_every_byte() {
        let (key, other) = (Mac::new(b"one"), Mac::new(b"two"));
        let salt = [7; 16];
        assert_ne!(lookup(&key, b"oh.a.b"), lookup(&other, b"oh.a.b"));
        assert_ne!(lookup(&key, b"oh.a.b"), lookup(&key, b"oh.a.c"));
        let expected = verifier(&key, &salt, b"oh.a.b");
        assert!(verify(&key, &salt, b"oh.a.b", &expected));
        assert!(!verify(&key, &[8; 16], b"oh.a.b", &expected));
        assert!(!verify(&other, &salt, b"oh.a.b", &expected));
        assert!(!verify(&key, &salt, b"oh.a.c", &expected));
    }
}
