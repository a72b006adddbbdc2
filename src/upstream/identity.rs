//! An identity as header values, made once and shared by all its requests.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use crate::authn::Identity;
use crate::config::settings::IdentityHeaders;

/// Values per identity. An entry keeps its identity alive, so its address names nobody else.
#[derive(Debug, Default)]
pub(super) struct IdentityValues(HashMap<(usize, char), Entry>);

/// Entries before the table starts anew: a few hundred bytes each.
const MOST: usize = 1024;

#[derive(Debug)]
struct Entry {
    _alive: Arc<Identity>,
    values: Values,
}

#[derive(Clone, Debug)]
struct Values {
    user: HeaderValue,
    groups: HeaderValue,
    name: HeaderValue,
    email: HeaderValue,
    scope: HeaderValue,
}

impl IdentityValues {
    /// Sets every header of the preset, empty where nothing is known, and replaces what is there.
    pub(super) fn set(
        &mut self,
        headers: &mut HeaderMap,
        preset: &IdentityHeaders,
        identity: Option<&Arc<Identity>>,
    ) {
        let nobody;
        let values = match identity {
            Some(identity) => self.of(identity, preset.separator),
            None => {
                nobody = Values::empty();
                &nobody
            }
        };
        for (name, value) in [
            (&preset.user, &values.user),
            (&preset.groups, &values.groups),
            (&preset.name, &values.name),
            (&preset.email, &values.email),
            (&preset.scope, &values.scope),
        ] {
            if let Some(name) = name {
                headers.insert(name, value.clone());
            }
        }
    }

    fn of(&mut self, identity: &Arc<Identity>, separator: char) -> &Values {
        let key = (Arc::as_ptr(identity).addr(), separator);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            self.0.clear();
        }
        let entry = self.0.entry(key).or_insert_with(|| Entry {
            _alive: Arc::clone(identity),
            values: Values::of(identity, separator),
        });
        &entry.values
    }
}

impl Values {
    fn empty() -> Self {
        let empty = || HeaderValue::from_static("");
        Self {
            user: empty(),
            groups: empty(),
            name: empty(),
            email: empty(),
            scope: empty(),
        }
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
        }
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
