//! Secrets that have to come back in the clear, and are stored: AES-256-GCM under a key that is not in
//! the store.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::mac::Mac;
use super::{Secret, random};

/// Random bytes by which every message has a key of its own, so that no nonce meets itself.
const SALT: usize = 16;

/// Seals a secret. What it is for, and whose it is, is sealed with it: it opens in its own place only.
pub fn seal(key: &Mac, purpose: &str, whose: &str, plain: &[u8]) -> Option<Vec<u8>> {
    let salt: [u8; SALT] = random::bytes();
    let nonce: [u8; NONCE_LEN] = random::bytes();
    let mut text = plain.to_vec();
    let own = own_key(key, purpose, &salt)?;
    let aad = Aad::from(whose.as_bytes());
    own.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
        .ok()?;
    Some([&salt[..], &nonce, &text].concat())
}

/// Opens what [`seal`] made for the same purpose and owner under that key; none for anything else.
pub fn open(key: &Mac, purpose: &str, whose: &str, sealed: &[u8]) -> Option<Secret> {
    let (salt, rest) = sealed.split_first_chunk::<SALT>()?;
    let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
    let mut text = text.to_vec();
    let own = own_key(key, purpose, salt)?;
    let aad = Aad::from(whose.as_bytes());
    let length = own
        .open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text)
        .ok()?
        .len();
    text.truncate(length);
    Some(Secret::new(text))
}

fn own_key(key: &Mac, purpose: &str, salt: &[u8; SALT]) -> Option<LessSafeKey> {
    let own = key.digest("sidegate seal 1", &[purpose.as_bytes(), salt]);
    UnboundKey::new(&AES_256_GCM, &own).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_in_its_own_place_only() {
        let key = Mac::new(b"one");
        let sealed = seal(&key, "factors", "anna", b"secret words").unwrap();
        assert_ne!(seal(&key, "factors", "anna", b"secret words").unwrap(), sealed);
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        let opened = open(&key, "factors", "anna", &sealed).unwrap();
        assert_eq!(opened.expose(), b"secret words");
        assert!(open(&key, "factors", "ben", &sealed).is_none());
        assert!(open(&key, "draft", "anna", &sealed).is_none());
        assert!(open(&Mac::new(b"two"), "factors", "anna", &sealed).is_none());
        for length in 0..sealed.len() {
            assert!(open(&key, "factors", "anna", &sealed[..length]).is_none());
        }
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(open(&key, "factors", "anna", &other).is_none(), "byte {at}");
        }
    }
}
