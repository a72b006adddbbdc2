//! What proves that a form was filled in on a page of ours.

use super::Accounts;
use super::keys::TokenKey;
use crate::crypto::mac::{self, Digest};
use crate::wire::hex;

impl Accounts {
    /// The word that a form for that subject carries; nobody without our keys can make it, and it is
    /// the same after a restart.
    pub fn form_token(&self, kind: &str, subject: &str) -> String {
        let keys = self.shared.keys.load();
        hex::encode(&word(keys.newest(), kind, subject))
    }

    /// Whether it is that word. One made before the keys were rotated still is.
    pub fn is_form_token(&self, given: &str, kind: &str, subject: &str) -> bool {
        let Some(given) = hex::decode::<32>(given) else {
            return false;
        };
        let keys = self.shared.keys.load();
        keys.0
            .iter()
            .any(|key| mac::equal(&word(key, kind, subject), &given))
    }
}

fn word(key: &TokenKey, kind: &str, subject: &str) -> Digest {
    let parts = [kind.as_bytes(), subject.as_bytes()];
    key.verifier.digest("sidegate form 1", &parts)
}
