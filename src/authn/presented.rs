//! What was presented, and not yet believed by anyone.

use zeroize::Zeroizing;

use crate::crypto::mac::{Digest, NamingKey};

/// What a name in the memory of this process stands for: the same bytes as a token and as a cookie are two things.
#[derive(Clone, Copy, Debug)]
pub(super) enum Named {
    Token,
    Pair,
    Session,
    Account,
    Code,
    Passkey,
    Link,
    Grant,
    Malformed,
}

impl Named {
    pub(super) fn digest(self, naming: &NamingKey, parts: &[&[u8]]) -> Digest {
        naming.digest(self as u8, parts)
    }
}

/// The credential a client presented; nobody has believed it yet.
pub struct Presented<'r> {
    /// The name of the carrier it came by.
    pub carrier: &'static str,
    /// Its shape.
    pub form: Form<'r>,
}

/// HTTP knows only two shapes of credential; what we gave a browser ourselves is a third.
pub enum Form<'r> {
    /// One opaque string.
    Token(Text<'r>),
    /// A name and a secret; the position is that of the colon between them.
    Pair {
        /// `name:secret` as decoded.
        text: Text<'r>,
        /// Where the first colon is (RFC 7617, section 2: a user-id has none).
        colon: usize,
    },
    /// What a session cookie holds.
    Session(Text<'r>),
}

/// Bytes of the request, or decoded from it and erased after use.
pub enum Text<'r> {
    /// As they stand in the request.
    Borrowed(&'r [u8]),
    /// Decoded.
    Owned(Zeroizing<Vec<u8>>),
}

impl Text<'_> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Text::Borrowed(bytes) => bytes,
            Text::Owned(bytes) => bytes,
        }
    }
}

impl Presented<'_> {
    /// The name under which caches know this credential: a keyed digest of all of it. Spelling
    /// variants of one credential (case of the scheme, padding) have one key, because it is
    /// taken from the decoded form.
    pub fn key(&self, naming: &NamingKey) -> Digest {
        match &self.form {
            Form::Token(text) => Named::Token.digest(naming, &[text.bytes()]),
            Form::Pair { text, colon } => {
                let (name, secret) = split(text.bytes(), *colon);
                pair_key(naming, name, secret)
            }
            Form::Session(text) => Named::Session.digest(naming, &[text.bytes()]),
        }
    }

    /// The token, if it is one.
    pub fn token(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Token(text) => Some(text.bytes()),
            Form::Pair { .. } | Form::Session(_) => None,
        }
    }

    /// Name and secret, if it is a pair.
    pub fn pair(&self) -> Option<(&[u8], &[u8])> {
        match &self.form {
            Form::Token(_) | Form::Session(_) => None,
            Form::Pair { text, colon } => Some(split(text.bytes(), *colon)),
        }
    }

    /// What a session cookie held, if it is one.
    pub fn session(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Token(_) | Form::Pair { .. } => None,
            Form::Session(text) => Some(text.bytes()),
        }
    }
}

/// The name of a name and a secret, however they came.
pub(super) fn pair_key(naming: &NamingKey, name: &[u8], secret: &[u8]) -> Digest {
    Named::Pair.digest(naming, &[name, secret])
}

fn split(text: &[u8], colon: usize) -> (&[u8], &[u8]) {
    (&text[..colon], &text[colon + 1..])
}
