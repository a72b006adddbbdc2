//! A token as memory keeps it: everything that a look-up needs, in as few bytes as will do.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;

use super::Flag;
use crate::crypto::mac::{Digest, Mac};
use crate::crypto::{random, token_hash};
use crate::model::{TokenRecord, UsedRecord};
use crate::store::Revision;
use crate::time::Timestamp;

/// How often the last use of a token is written down.
const USED_EVERY: Duration = Duration::from_secs(3600);
/// In place of a moment: not seen yet.
const NEVER: i64 = i64::MIN;

/// The public id of a token, `[a-z0-9]{12}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TokenId([u8; 12]);

impl TokenId {
    pub(super) const MIN: Self = Self([0; 12]);
    pub(super) const MAX: Self = Self([0xff; 12]);

    /// A random one.
    pub(super) fn new() -> Self {
        let mut id = [0; 12];
        let mut filled = 0;
        while filled < id.len() {
            // What remains of an even choice of 62 characters is an even choice of 36.
            let text = random::alphanumeric(32);
            for byte in text.bytes().filter(|byte| !byte.is_ascii_uppercase()) {
                if filled < id.len() {
                    id[filled] = byte;
                    filled += 1;
                }
            }
        }
        Self(id)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let id: [u8; 12] = text.as_bytes().try_into().ok()?;
        id.iter().all(allowed).then_some(Self(id))
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parse and new let ASCII through only")
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A token that can be found. One million of them have to fit into a small machine.
pub struct LiveToken {
    pub(super) lookup: [u8; 16],
    salt: [u8; 16],
    verifier: Digest,
    /// The pair of keys that the two values above were made with.
    pub(super) keys: u32,
    pub(super) id: TokenId,
    /// Rotated: stored beside its successor until it expires.
    pub(super) overlap: bool,
    name: Box<str>,
    pub(super) user: Arc<str>,
    scope: Box<str>,
    networks: Box<[IpNet]>,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// Whose access token it is.
    pub(super) grant: Option<TokenId>,
    pub(super) revision: Revision,
    flag: Flag,
    replaced: AtomicBool,
    /// Other keys are the newest now, and nobody has shown it since.
    unmoved: AtomicBool,
    /// Milliseconds since the epoch; written by whoever notes a use, at most once an hour.
    seen: AtomicI64,
    seen_from: Mutex<Option<IpAddr>>,
}

impl LiveToken {
    /// From its record, whose id [`super::record::Record::read`] or [`TokenId::new`] vouches for.
    pub(super) fn new(
        record: TokenRecord,
        id: TokenId,
        user: Arc<str>,
        overlap: bool,
        revision: Revision,
    ) -> Self {
        Self {
            lookup: record.lookup,
            salt: record.salt,
            verifier: record.verifier,
            keys: record.keys,
            id,
            overlap,
            name: record.name.into(),
            user,
            scope: record.scope.into(),
            networks: record.networks.into(),
            created: record.created,
            expires: record.expires,
            grant: record.grant.as_deref().and_then(TokenId::parse),
            revision,
            flag: Flag::up_until(record.expires),
            replaced: AtomicBool::new(false),
            unmoved: AtomicBool::new(false),
            seen: AtomicI64::new(NEVER),
            seen_from: Mutex::new(None),
        }
    }

    /// Public id: what logs, audit and `token revoke` name.
    pub fn id(&self) -> &str {
        self.id.as_str()
    }

    /// Its name, unique per user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user whose rights it has.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Space-separated words; empty: all the user's rights.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Where it may be used from; empty: anywhere.
    pub fn networks(&self) -> &[IpNet] {
        &self.networks
    }

    /// The public id of the grant whose access token it is, if it is one.
    pub fn grant(&self) -> Option<&str> {
        self.grant.as_ref().map(TokenId::as_str)
    }

    /// When it was made.
    pub(super) fn created(&self) -> Timestamp {
        self.created
    }

    /// When it stops working; none: never.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Down when the token was revoked or its record changed; falls by itself when the token expires.
    /// A rotation shortens it.
    pub fn flag(&self) -> &Flag {
        &self.flag
    }

    /// Whether another stands in its place, with the same flag, or shall, under newer keys: who remembers this one looks
    /// anew.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire) || self.unmoved.load(Ordering::Acquire)
    }

    /// There are newer keys: its next use shall not be answered from memory.
    pub(super) fn rest_on_older_keys(&self) {
        self.unmoved.store(true, Ordering::Release);
    }

    /// Its way to the newest keys has begun.
    pub(super) fn looked_at_anew(&self) {
        self.unmoved.store(false, Ordering::Release);
    }

    /// Takes over the flag of the one that it replaces, when only the end of it has come nearer.
    pub(super) fn take_over(&mut self, before: &LiveToken) -> bool {
        let (own, other) = (self.record(), before.record());
        let same = TokenRecord {
            expires: other.expires,
            ..own
        } == other;
        let Some(end) = self
            .expires
            .filter(|end| before.expires.is_none_or(|other| *end <= other))
        else {
            return false;
        };
        if same {
            before.flag.shorten(end);
            self.flag = before.flag.clone();
            before.replaced.store(true, Ordering::Release);
        }
        same
    }

    /// The record that is stored.
    pub fn record(&self) -> TokenRecord {
        TokenRecord {
            id: self.id.as_str().to_owned(),
            name: self.name.clone().into(),
            user: (*self.user).to_owned(),
            lookup: self.lookup,
            salt: self.salt,
            verifier: self.verifier,
            keys: self.keys,
            scope: self.scope.clone().into(),
            networks: self.networks.to_vec(),
            created: self.created,
            expires: self.expires,
            grant: self.grant.as_ref().map(TokenId::to_string),
        }
    }

    /// When and from where it was last seen, to the hour.
    pub fn used(&self) -> Option<UsedRecord> {
        match self.seen.load(Ordering::Acquire) {
            NEVER => None,
            millis => Some(UsedRecord {
                last: Timestamp::from_millis(millis),
                address: *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner),
            }),
        }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(super) fn fits(&self, key: &Mac, token: &[u8]) -> bool {
        token_hash::verify(key, &self.salt, token, &self.verifier)
    }

    /// Takes over the flag of what it was before, when nothing but its keys are newer: then it is the
    /// same token for everyone who holds it. Whether it is.
    pub(super) fn is_moved(&mut self, before: &Self) -> bool {
        let same = self.keys > before.keys
            && self.id == before.id
            && self.overlap == before.overlap
            && self.name == before.name
            && self.user == before.user
            && self.scope == before.scope
            && self.networks == before.networks
            && self.created == before.created
            && self.expires == before.expires
            && self.grant == before.grant;
        if same {
            self.flag = before.flag.clone();
        }
        same
    }

    pub(super) fn set_used(&self, used: &UsedRecord) {
        *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner) = used.address;
        self.seen.store(used.last.as_millis(), Ordering::Release);
    }

    /// Whether a use need not be noted, because one was, at `last`.
    pub fn is_seen_lately(last: Timestamp, now: Timestamp) -> bool {
        // A clock that was set back makes the moment wrong, and it is corrected at once.
        last <= now && now.since(last) < USED_EVERY
    }

    /// Notes a use. True, for one caller an hour: it should be written down.
    pub(super) fn note(&self, now: Timestamp, address: Option<IpAddr>) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        if seen != NEVER && Self::is_seen_lately(Timestamp::from_millis(seen), now) {
            return false;
        }
        let claimed = self
            .seen
            .compare_exchange(seen, now.as_millis(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if claimed {
            *self.seen_from.lock().unwrap_or_else(PoisonError::into_inner) = address;
        }
        claimed
    }
}

impl fmt::Debug for LiveToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveToken({}/{} {})", self.user, self.name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_twelve_of_a_to_z_and_digits() {
        let id = TokenId::new();
        assert_eq!(TokenId::parse(id.as_str()), Some(id));
        assert_ne!(id, TokenId::new());
        for refused in [
            "",
            "abc",
            "ABCDEFGHIJ01",
            "abcdefghij012",
            "abcdefghij/1",
            "abcdefghi\u{e9}1",
        ] {
            assert_eq!(TokenId::parse(refused), None, "{refused}");
        }
    }
}
