//! The fields of one head, as they lie in the bytes that were received.
//!
//! A list, not a map: a request has a dozen fields, and nearly every question about them is about one that is not
//! there, which one bit answers. Names are compared without regard to case, and nobody gets one as text whose case
//! is not settled.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::is_text;
use super::names::{Known, known};

/// Fields in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields<'r> {
    list: Vec<Field<'r>>,
    /// A bit for every mark that is there.
    seen: u64,
}

/// One line of a head.
#[derive(Clone, Debug)]
pub struct Field<'r> {
    name: Name<'r>,
    mark: u32,
    value: Cow<'r, [u8]>,
}

/// The name of a field, in any case.
#[derive(Clone, Copy, Debug)]
pub struct Name<'r> {
    /// Lower case if known, else as sent.
    text: &'r str,
    known: Option<&'static Known>,
}

/// The value of a field: any bytes but controls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'r>(&'r [u8]);

/// A value is no visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

/// What names a field, in any case.
pub trait Named {
    /// The name.
    fn name(&self) -> &str;
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

impl<T: Named + ?Sized> Named for &T {
    fn name(&self) -> &str {
        (**self).name()
    }
}

/// Two names that are the same have the same mark.
#[inline]
pub(super) const fn mark(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (length, [first, .., last]) = (bytes.len(), bytes) else {
        return match bytes {
            [only] => 0x10000 | *only as u32 | 0x20,
            _ => 0,
        };
    };
    ((length as u32 & 0xffff) << 16) | ((*first as u32 | 0x20) << 8) | (*last as u32 | 0x20)
}

#[inline]
const fn bit(mark: u32) -> u64 {
    1 << (mark.wrapping_mul(0x9e37_79b1) >> 26)
}

/// What [`Fields::may_have_any`] asks for.
#[derive(Clone, Copy, Debug)]
pub struct Marks(u64);

impl Marks {
    /// Of these names but those.
    pub const fn of(names: &[&str], but: &[&str]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < names.len() {
            if !contains(but, names[index]) {
                bits |= bit(mark(names[index]));
            }
            index += 1;
        }
        Self(bits)
    }
}

const fn contains(names: &[&str], wanted: &str) -> bool {
    let mut index = 0;
    while index < names.len() {
        let (one, other) = (names[index].as_bytes(), wanted.as_bytes());
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        if at == one.len() && at == other.len() {
            return true;
        }
        index += 1;
    }
    false
}

impl<'r> Fields<'r> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for most heads.
    pub fn with_room() -> Self {
        Self {
            // What the allocator gives without a search.
            list: Vec::with_capacity(14),
            seen: 0,
        }
    }

    /// Those of a head that the HTTP library read.
    pub fn of(headers: &'r HeaderMap) -> Self {
        let mut fields = Self {
            list: Vec::with_capacity(headers.len()),
            seen: 0,
        };
        for (name, value) in headers {
            // Those of one name stand together there, and HTTP/2 allows for so many that a look back at each
            // would cost more than the request.
            fields.add(name.as_str(), Cow::Borrowed(value.as_bytes()), false);
        }
        fields
    }

    /// Adds one behind all others, or behind the last of its name.
    #[inline]
    pub fn push(&mut self, name: &'r str, value: &'r [u8]) {
        self.add(name, Cow::Borrowed(value), true);
    }

    /// Sets the only one of that name.
    pub fn set(&mut self, name: &'r str, value: Vec<u8>) {
        self.remove(name);
        self.add(name, Cow::Owned(value), false);
    }

    #[inline]
    fn add(&mut self, name: &'r str, value: Cow<'r, [u8]>, gathers: bool) {
        let mark = mark(name);
        // As in the maps of the HTTP library, those of one name stand together.
        let twice = gathers && self.seen & bit(mark) != 0;
        self.seen |= bit(mark);
        let known = known(name, mark);
        let text = known.map_or(name, |known| known.name);
        let field = Field {
            name: Name { text, known },
            mark,
            value,
        };
        match twice.then(|| {
            self.list
                .iter()
                .rposition(|other| other.mark == mark && other.name.is(name))
        }) {
            Some(Some(last)) => self.list.insert(last + 1, field),
            _ => self.list.push(field),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The first value of that name.
    #[inline]
    pub fn get(&self, name: impl Named) -> Option<Value<'_>> {
        let name = name.name();
        let mark = mark(name);
        if self.seen & bit(mark) == 0 {
            return None;
        }
        self.find(mark, name)
    }

    fn find(&self, mark: u32, name: &str) -> Option<Value<'_>> {
        self.list
            .iter()
            .find(|field| field.mark == mark && field.name.is(name))
            .map(Field::value)
    }

    /// The first value of that name as it was received, so that it outlives this list; none where it was set since.
    pub fn received(&self, name: impl Named) -> Option<&'r [u8]> {
        let name = name.name();
        let mark = mark(name);
        let field = self
            .list
            .iter()
            .find(|field| field.mark == mark && field.name.is(name))?;
        match field.value {
            Cow::Borrowed(value) => Some(value),
            Cow::Owned(_) => None,
        }
    }

    /// Every value of that name, in order.
    #[inline]
    pub fn get_all<'f, 'n>(&'f self, name: &'n (impl Named + ?Sized)) -> All<'f, 'n> {
        let name = name.name();
        let mark = mark(name);
        let there = self.seen & bit(mark) != 0;
        All {
            list: if there { &self.list[..] } else { &[] },
            mark,
            name,
        }
    }

    /// Whether there is one of that name.
    #[inline]
    pub fn contains_key(&self, name: impl Named) -> bool {
        self.get(name).is_some()
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'r>, Value<'_>)> {
        self.list.iter().map(|field| (field.name, field.value()))
    }

    /// Every name, as often as it is there.
    pub fn names(&self) -> impl Iterator<Item = Name<'r>> {
        self.list.iter().map(|field| field.name)
    }

    /// False if none of these names is there.
    #[inline]
    pub fn may_have_any(&self, marks: Marks) -> bool {
        self.seen & marks.0 != 0
    }

    /// Takes every field of that name out; whether there was one.
    pub fn remove(&mut self, name: impl Named) -> bool {
        if !self.contains_key(&name) {
            return false;
        }
        let name = name.name();
        self.retain(|field| !field.is(name));
        true
    }

    /// Keeps the fields whose names are right.
    pub fn retain(&mut self, mut keeps: impl FnMut(Name<'r>) -> bool) {
        self.list.retain(|field| keeps(field.name));
        self.seen = self.list.iter().fold(0, |seen, field| seen | bit(field.mark));
    }

    /// The same as a map, for whoever needs one; without what no map takes.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            if let (Some(name), Ok(value)) =
                (name.to_header_name(), HeaderValue::from_bytes(value.as_bytes()))
            {
                map.append(name, value);
            }
        }
        map
    }
}

impl<'r, V: AsRef<[u8]> + ?Sized> FromIterator<(&'r str, &'r V)> for Fields<'r> {
    fn from_iter<I: IntoIterator<Item = (&'r str, &'r V)>>(list: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in list {
            fields.push(name, value.as_ref());
        }
        fields
    }
}

/// Every value of one name.
#[derive(Clone, Copy, Debug)]
pub struct All<'f, 'n> {
    list: &'f [Field<'f>],
    mark: u32,
    name: &'n str,
}

impl<'f> Iterator for All<'f, '_> {
    type Item = Value<'f>;

    #[inline]
    fn next(&mut self) -> Option<Value<'f>> {
        while let Some((field, rest)) = self.list.split_first() {
            self.list = rest;
            if field.mark == self.mark && field.name.is(self.name) {
                return Some(field.value());
            }
        }
        None
    }
}

impl Field<'_> {
    #[inline]
    fn value(&self) -> Value<'_> {
        Value(&self.value)
    }
}

impl<'r> Name<'r> {
    /// Whether it is that one.
    #[inline]
    pub fn is(self, name: &str) -> bool {
        self.text == name || (self.text.len() == name.len() && self.text.eq_ignore_ascii_case(name))
    }

    /// Whether it begins so, whatever the case.
    pub fn starts_with(self, beginning: &str) -> bool {
        self.text
            .as_bytes()
            .get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
    }

    /// One of those that are known by name, in lower case.
    #[inline]
    pub fn known(self) -> Option<&'static Known> {
        self.known
    }

    /// In lower case.
    pub fn to_lower(self) -> Cow<'r, str> {
        if self.text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(self.text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(self.text)
        }
    }

    /// As the HTTP library has it.
    pub fn to_header_name(self) -> Option<HeaderName> {
        HeaderName::from_bytes(self.text.as_bytes()).ok()
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no name is empty")]
    pub fn len(self) -> usize {
        self.text.len()
    }

    /// Whether it is of letters, digits and `-` only.
    pub fn is_plain(self) -> bool {
        self.known.is_some() || super::headers::is_plain_name(self.text)
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_lower())
    }
}

impl<'r> Value<'r> {
    /// As it is.
    #[inline]
    pub fn as_bytes(self) -> &'r [u8] {
        self.0
    }

    /// As text.
    ///
    /// # Errors
    /// It is not visible ASCII with spaces and tabs between.
    #[inline]
    pub fn to_str(self) -> Result<&'r str, NotText> {
        if !is_text(self.0) {
            return Err(NotText);
        }
        std::str::from_utf8(self.0).map_err(|_| NotText)
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Value<'_> {
    /// Never the value: it could be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9110, section 5.1: "Field names are case-insensitive"
    #[test]
    fn a_field_is_found_in_any_case_and_gone_when_it_was_removed() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("HOST", "a"),
            ("X-Odd", "1"),
            ("x-oDD", "2"),
            ("Accept", "b"),
            ("é", "c"),
            ("z", "d"),
        ] {
            fields.push(name, value.as_bytes());
        }
        assert_eq!(fields.get("host").map(Value::as_bytes), Some(&b"a"[..]));
        assert_eq!(
            fields.get(http::header::ACCEPT).map(Value::as_bytes),
            Some(&b"b"[..])
        );
        assert_eq!(fields.get("Z").map(Value::as_bytes), Some(&b"d"[..]));
        assert_eq!(
            fields.get_all("x-odd").map(Value::as_bytes).collect::<Vec<_>>(),
            [b"1", b"2"]
        );
        assert!(!fields.contains_key("hosts") && !fields.contains_key("x-ond") && !fields.contains_key(""));
        let lower: Vec<_> = fields.names().map(Name::to_lower).collect();
        assert_eq!(lower, ["host", "x-odd", "x-odd", "accept", "é", "z"]);
        assert!(fields.remove("X-ODD") && !fields.remove("X-ODD"));
        assert_eq!(fields.len(), 4);
        assert!(fields.get("x-odd").is_none());
        assert!(fields.names().any(|name| name.starts_with("hO")));
    }

    #[test]
    fn marks_of_names_that_are_there_are_seen() {
        const ALL: [&str; 3] = ["x-forwarded-host", "forwarded", "x-original-url"];
        for name in ["Forwarded", "X-Original-URL"] {
            let fields = Fields::from_iter([(name, "a")]);
            assert!(
                fields.may_have_any(Marks::of(&ALL, &["x-forwarded-host"])),
                "{name}"
            );
        }
        assert!(!Fields::new().may_have_any(Marks::of(&ALL, &[])));
        assert!(!Fields::from_iter([("x-original-url", "a")]).may_have_any(Marks::of(&ALL[..2], &[])));
    }

    #[test]
    fn what_a_value_is_nobody_reads_in_a_log() {
        assert_eq!(format!("{:?}", Value(b"oh.secret")), "9 bytes");
        assert!(Value(b"caf\xc3\xa9").to_str().is_err());
    }
}
