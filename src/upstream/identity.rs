//! An identity as header values, made once and shared by all its requests, and by all tokens of one user that may do
//! the same.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::accounts::Account;
use crate::authn::Identity;
use crate::config::settings::IdentityHeaders;
use crate::wire::http1;

/// Values per account and scope. An entry keeps its account alive, so its address names nobody else.
#[derive(Debug, Default)]
pub(super) struct Identities {
    known: HashMap<(usize, char), Entry, Spread>,
    nobody: Rc<IdentityValues>,
}

/// Accounts before the table starts anew: less than a kilobyte each.
const MOST: usize = 32_768;
/// Scopes that are kept of each.
const MOST_SCOPES: usize = 32;

#[derive(Debug)]
struct Entry {
    _alive: Arc<Account>,
    scopes: Vec<(Box<str>, Rc<IdentityValues>)>,
}

/// What headers say of an identity; empty where nothing is known.
#[derive(Debug)]
pub(super) struct IdentityValues {
    user: HeaderValue,
    groups: HeaderValue,
    name: HeaderValue,
    email: HeaderValue,
    scope: HeaderValue,
    /// As they are sent, for the presets that were asked for.
    written: RefCell<Vec<Written>>,
}

/// Presets that are kept written out; others are written anew each time.
const MOST_PRESETS: usize = 4;

/// A preset, and the lines of one identity in it.
type Written = (Arc<IdentityHeaders>, Box<[u8]>);

impl Identities {
    /// The values of that identity, or of nobody.
    pub(super) fn of(&mut self, identity: Option<&Arc<Identity>>, separator: char) -> Rc<IdentityValues> {
        self.see(identity, separator, Rc::clone)
    }

    /// Writes every header of the preset for that identity, empty where nothing is known.
    pub(super) fn write(
        &mut self,
        preset: &Arc<IdentityHeaders>,
        identity: Option<&Arc<Identity>>,
        out: &mut Vec<u8>,
    ) {
        self.see(identity, preset.separator, |values| values.write(preset, out));
    }

    #[inline]
    fn see<R>(
        &mut self,
        identity: Option<&Arc<Identity>>,
        separator: char,
        see: impl FnOnce(&Rc<IdentityValues>) -> R,
    ) -> R {
        let Some(identity) = identity else {
            return see(&self.nobody);
        };
        let key = (Arc::as_ptr(&identity.account).addr(), separator);
        let scopes = self.known.get(&key).map_or(&[][..], |entry| &entry.scopes);
        let scope = identity.scope();
        match scopes.iter().find(|(of, _)| is_same(of, scope)) {
            Some((_, values)) => see(values),
            None => see(&self.add(key, identity)),
        }
    }

    #[cold]
    fn add(&mut self, key: (usize, char), identity: &Arc<Identity>) -> Rc<IdentityValues> {
        if self.known.len() >= MOST && !self.known.contains_key(&key) {
            self.known.clear();
        }
        let values = Rc::new(IdentityValues::of(identity, key.1));
        let entry = self.known.entry(key).or_insert_with(|| Entry {
            _alive: Arc::clone(&identity.account),
            scopes: Vec::with_capacity(1),
        });
        if entry.scopes.len() >= MOST_SCOPES {
            entry.scopes.clear();
        }
        entry.scopes.push((identity.scope().into(), Rc::clone(&values)));
        values
    }
}

/// Whether two scopes are the same. Nearly every one is empty, and then nothing is compared: where the text of one
/// would be is no memory, and a comparison of no bytes by masked loads (AVX-512) takes a tenth of a microsecond to
/// find that out.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

impl IdentityValues {
    /// Writes every header of the preset, empty where nothing is known.
    #[inline]
    pub(super) fn write(&self, preset: &Arc<IdentityHeaders>, out: &mut Vec<u8>) {
        let written = self.written.borrow();
        match written.iter().find(|(of, _)| of == preset) {
            Some((_, lines)) => out.extend_from_slice(lines),
            None => {
                drop(written);
                self.write_anew(preset, out);
            }
        }
    }

    #[cold]
    fn write_anew(&self, preset: &Arc<IdentityHeaders>, out: &mut Vec<u8>) {
        let mut lines = Vec::new();
        for (name, value) in self.named(preset) {
            http1::write_field(name.as_str().as_bytes(), value.as_bytes(), &mut lines);
        }
        out.extend_from_slice(&lines);
        let mut written = self.written.borrow_mut();
        if written.len() < MOST_PRESETS {
            written.push((Arc::clone(preset), lines.into()));
        }
    }

    fn named<'v>(
        &'v self,
        preset: &'v IdentityHeaders,
    ) -> impl Iterator<Item = (&'v HeaderName, &'v HeaderValue)> {
        let pairs = [
            (&preset.user, &self.user),
            (&preset.groups, &self.groups),
            (&preset.name, &self.name),
            (&preset.email, &self.email),
            (&preset.scope, &self.scope),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name.as_ref()?, value)))
    }

    fn of(identity: &Identity, separator: char) -> Self {
        let user = &identity.account.user;
        let mut groups = String::new();
        for group in &user.groups {
            groups.push_str(group);
            groups.push(separator);
        }
        groups.push_str(user.role.as_str());
        Self {
            user: encode(&user.name),
            groups: encode(&groups),
            name: encode(&user.display_name),
            email: encode(&user.email),
            scope: encode(identity.scope()),
            written: RefCell::default(),
        }
    }
}

impl Default for IdentityValues {
    /// Of nobody.
    fn default() -> Self {
        let empty = || HeaderValue::from_static("");
        Self {
            user: empty(),
            groups: empty(),
            name: empty(),
            email: empty(),
            scope: empty(),
            written: RefCell::default(),
        }
    }
}

/// Hashes addresses and numbers of ours: nobody outside can choose them so that they meet, which the
/// standard library's dearer hash is for.
pub(super) type Spread = BuildHasherDefault<Spreading>;

#[derive(Debug, Default)]
pub(super) struct Spreading(u64);

impl Hasher for Spreading {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        // A table looks at both ends, and the last bits of an address are all alike.
        self.0 ^ (self.0 >> 32)
    }
}

/// Visible ASCII and spaces as they are; every other byte as `%` and two hex digits, so that a
/// value can neither end its line nor be read in two encodings.
fn encode(text: &str) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') {
            out.push(byte);
        } else {
            out.extend([
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }
    HeaderValue::from_bytes(&out).expect("printable ASCII is a valid header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Section 5: "Non-ASCII is percent-encoded UTF-8."
    #[test]
    fn what_is_not_printable_ascii_is_percent_encoded() {
        assert_eq!(encode("J\u{fc}rgen M"), "J%C3%BCrgen M");
        assert_eq!(encode("a\r\nX-Admin: 1\0"), "a%0D%0AX-Admin: 1%00");
        assert_eq!(encode(""), "");
    }
}
