//! The name of a field, and what names one.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;

use crate::wire::headers::is_plain_name;
use crate::wire::names::{self, Known};

/// The name of a field, in any case.
#[derive(Clone, Copy, Debug)]
pub enum Name<'r> {
    /// One of those that are known.
    Known(Known),
    /// Any other one, as sent; never one that is known, which the checks that ask for a bit would not see.
    Other(&'r str),
}

/// What names a field, in any case.
pub trait Named {
    /// The name.
    fn name(&self) -> &str;

    /// The same, if it is a known one.
    #[inline]
    fn known(&self) -> Option<Known> {
        names::find(self.name().as_bytes())
    }
}

impl Named for str {
    fn name(&self) -> &str {
        self
    }
}

impl Named for HeaderName {
    fn name(&self) -> &str {
        self.as_str()
    }
}

impl Named for Known {
    #[inline]
    fn name(&self) -> &str {
        Known::name(*self)
    }

    #[inline]
    fn known(&self) -> Option<Known> {
        Some(*self)
    }
}

impl<T: Named + ?Sized> Named for &T {
    #[inline]
    fn name(&self) -> &str {
        (**self).name()
    }

    #[inline]
    fn known(&self) -> Option<Known> {
        (**self).known()
    }
}

impl<'r> Name<'r> {
    /// A name as it was sent.
    #[inline]
    pub(super) fn of(text: &'r str) -> Self {
        names::find(text.as_bytes()).map_or(Self::Other(text), Self::Known)
    }

    /// Whether it is that one.
    #[inline]
    pub fn is(self, name: impl Named) -> bool {
        match self {
            Self::Known(known) => name.known() == Some(known),
            Self::Other(text) => text.eq_ignore_ascii_case(name.name()),
        }
    }

    /// Whether it begins so, whatever the case.
    pub fn starts_with(self, beginning: &str) -> bool {
        self.text()
            .as_bytes()
            .get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
    }

    /// One of those that are known.
    #[inline]
    pub fn known(self) -> Option<Known> {
        match self {
            Self::Known(known) => Some(known),
            Self::Other(_) => None,
        }
    }

    /// Its number if it is known, else 0.
    #[inline]
    pub(super) fn number(self) -> u8 {
        self.known().map_or(0, Known::number)
    }

    /// In lower case if it is known, else as sent.
    #[inline]
    fn text(self) -> &'r str {
        match self {
            Self::Known(known) => known.name(),
            Self::Other(text) => text,
        }
    }

    /// In lower case.
    pub fn to_lower(self) -> Cow<'r, str> {
        match self {
            Self::Other(text) if text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(text.to_ascii_lowercase())
            }
            _ => Cow::Borrowed(self.text()),
        }
    }

    /// As the HTTP library has it.
    pub fn to_header_name(self) -> Option<HeaderName> {
        HeaderName::from_bytes(self.text().as_bytes()).ok()
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no name is empty")]
    #[inline]
    pub fn len(self) -> usize {
        self.text().len()
    }

    /// Whether it is of letters, digits and `-` only.
    #[inline]
    pub fn is_plain(self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Other(text) => is_plain_name(text),
        }
    }
}

impl Named for Name<'_> {
    #[inline]
    fn name(&self) -> &str {
        self.text()
    }

    #[inline]
    fn known(&self) -> Option<Known> {
        Name::known(*self)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lower())
    }
}
