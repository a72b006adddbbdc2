//! The fields of one head, as they lie in the bytes that were received.
//!
//! A list, not a map: a request has a dozen fields, and nearly every question about them is about one that is not
//! there, which one bit answers. Names are compared without regard to case, and nobody gets one as text whose case
//! is not settled.

mod name;
mod room;

use std::fmt;

use http::{HeaderMap, HeaderValue};

use super::headers::is_text;
use super::names::{self, Known, Names};
use super::scan;
use room::Room;

pub use name::{Name, Named};

/// Fields in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields<'r> {
    list: Room<'r>,
    /// The numbers of the first names, 0 for those that are not known: all of them are looked through at once.
    numbers: [u8; scan::STEP],
    seen: Names,
    /// Those that are there more than once, and unknown ones that may be.
    repeated: Names,
    /// A value is no text.
    opaque: bool,
    /// Of names and values, and four for each line.
    bytes: usize,
}

/// One line of a head.
#[derive(Clone, Debug)]
struct Field<'r> {
    name: Name<'r>,
    value: Held<'r>,
}

/// The value of a field: any bytes but controls.
#[derive(Clone, Copy)]
pub enum Value<'r> {
    /// Visible ASCII with spaces and tabs between.
    Text(&'r str),
    /// Anything else.
    Opaque(&'r [u8]),
}

/// A value where it lies.
#[derive(Clone)]
enum Held<'r> {
    Received(Value<'r>),
    Set(Box<[u8]>),
}

/// A value is no visible ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotText;

/// There is more than one value, where one alone can be read in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Several;

impl<'r> Fields<'r> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, with room for most heads.
    pub fn with_room() -> Self {
        Self {
            list: Room::kept(),
            ..Self::default()
        }
    }

    /// Those of a head that the HTTP library read.
    pub fn of(headers: &'r HeaderMap) -> Self {
        let mut fields = Self {
            list: Vec::with_capacity(headers.len()).into(),
            ..Self::default()
        };
        for (name, value) in headers {
            let (name, value) = (Name::of(name.as_str()), Value::of(value.as_bytes()));
            // Those of one name stand together there, and HTTP/2 allows for so many that a look back at each
            // would cost more than the request.
            fields.note(name, value);
            fields.append(Field {
                name,
                value: Held::Received(value),
            });
        }
        fields
    }

    /// Adds one behind all others, or behind the last of its name.
    pub fn push(&mut self, name: &'r str, value: &'r [u8]) {
        self.add(Name::of(name), name.len(), Value::of(value));
    }

    /// The same where the name, which has so many bytes, was looked for, and it is known whether the value is text.
    #[inline(always)]
    pub(super) fn add(&mut self, name: Name<'r>, length: usize, value: Value<'r>) {
        debug_assert!(length == name.len());
        let field = Field {
            name,
            value: Held::Received(value),
        };
        // As in the maps of the HTTP library, those of one name stand together.
        if self.note_weighed(name, value, weight(length, value)) {
            self.add_behind(field);
        } else {
            self.append(field);
        }
    }

    #[inline(always)]
    fn append(&mut self, field: Field<'r>) {
        if let Some(number) = self.numbers.get_mut(self.list.len()) {
            *number = field.name.number();
        }
        self.list.push(field);
    }

    #[cold]
    fn add_behind(&mut self, field: Field<'r>) {
        let last = self.list.iter().rposition(|other| other.name.is(field.name));
        let place = last.map_or(self.list.len(), |last| last + 1);
        self.list.insert(place, field);
        self.number_anew(place);
    }

    /// After those from there on have moved.
    fn number_anew(&mut self, from: usize) {
        let Some(numbers) = self.numbers.get_mut(from..) else {
            return;
        };
        numbers.fill(0);
        for (number, field) in numbers.iter_mut().zip(&self.list[from..]) {
            *number = field.name.number();
        }
    }

    /// Notes what will be there; whether one of that name may be there already.
    #[inline]
    fn note(&mut self, name: Name<'_>, value: Value<'_>) -> bool {
        self.note_weighed(name, value, weight(name.len(), value))
    }

    #[inline(always)]
    fn note_weighed(&mut self, name: Name<'_>, value: Value<'_>, weight: usize) -> bool {
        debug_assert!(name.known() == names::find(name.name().as_bytes()));
        let one = Names::one(name.known());
        let twice = self.seen.has_any(one);
        if twice {
            self.repeated = self.repeated.and(one);
        }
        self.seen = self.seen.and(one);
        self.opaque |= matches!(value, Value::Opaque(_));
        self.bytes += weight;
        twice
    }

    /// Sets the only one of that name.
    pub fn set(&mut self, name: &'r str, value: Vec<u8>) {
        self.remove(name);
        let name = Name::of(name);
        self.note(name, Value::of(&value));
        self.append(Field {
            name,
            value: Held::Set(value.into()),
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Which names are there.
    #[inline]
    pub fn seen(&self) -> Names {
        self.seen
    }

    /// Which are there more than once; of the unknown ones that there are several.
    #[inline]
    pub fn repeated(&self) -> Names {
        self.repeated
    }

    /// As many as they have in a head of HTTP/1.1, without spaces that mean nothing.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether all values are text.
    #[inline]
    pub fn is_text(&self) -> bool {
        !self.opaque
    }

    /// The first value of that name.
    #[inline]
    pub fn get(&self, name: impl Named) -> Option<Value<'_>> {
        self.find(name).map(Field::value)
    }

    /// The only value of that name.
    ///
    /// # Errors
    /// There are several.
    #[inline]
    pub fn only(&self, name: impl Named) -> Result<Option<Value<'_>>, Several> {
        let repeated = self.repeated.has_any(Names::one(name.known()));
        // Of unknown names it is known only that there are several of them.
        if repeated && self.get_all(&name).nth(1).is_some() {
            return Err(Several);
        }
        Ok(self.get(name))
    }

    /// The first value of that name as it was received, so that it outlives this list; none where it was set since.
    #[inline]
    pub fn received(&self, name: impl Named) -> Option<Value<'r>> {
        match self.find(name)?.value {
            Held::Received(value) => Some(value),
            Held::Set(_) => None,
        }
    }

    #[inline]
    fn find(&self, name: impl Named) -> Option<&Field<'r>> {
        match name.known() {
            Some(known) => self.list.get(self.place(known)?),
            None if self.seen.has_any(Names::UNKNOWN) => self.list.iter().find(|field| field.name.is(&name)),
            None => None,
        }
    }

    /// Where the first one of that name is.
    #[inline]
    fn place(&self, known: Known) -> Option<usize> {
        if !self.seen.has(known) {
            return None;
        }
        let among_first = scan::equal(&self.numbers, known.number());
        if among_first != 0 {
            return Some(among_first.trailing_zeros() as usize);
        }
        let rest = self.list.iter().skip(self.numbers.len());
        let place = rest
            .map(|field| field.name.known())
            .position(|other| other == Some(known))?;
        Some(self.numbers.len() + place)
    }

    /// Every value of that name, in order.
    #[inline]
    pub fn get_all<'f, 'n>(&'f self, name: &'n (impl Named + ?Sized)) -> All<'f, 'n> {
        let known = name.known();
        let there = self.seen.has_any(Names::one(known));
        All {
            list: if there { &self.list[..] } else { &[] },
            known,
            name: name.name(),
        }
    }

    /// Whether there is one of that name.
    #[inline]
    pub fn contains_key(&self, name: impl Named) -> bool {
        self.find(name).is_some()
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'r>, Value<'_>)> {
        self.list.iter().map(|field| (field.name, field.value()))
    }

    /// Every name, as often as it is there.
    pub fn names(&self) -> impl Iterator<Item = Name<'r>> {
        self.list.iter().map(|field| field.name)
    }

    /// Whether all names are letters, digits and `-` only.
    #[inline]
    pub fn are_plain(&self) -> bool {
        !self.seen.has_any(Names::UNKNOWN) || self.names().all(Name::is_plain)
    }

    /// Takes every field of that name out; whether there was one.
    pub fn remove(&mut self, name: impl Named) -> bool {
        let one = Names::one(name.known());
        if !self.seen.has_any(one) {
            return false;
        }
        let place = match name.known() {
            Some(known) => self.place(known),
            None => self.list.iter().position(|field| field.name.is(&name)),
        };
        let Some(place) = place else {
            return false;
        };
        if self.opaque || name.known().is_none() || self.repeated.has_any(one) {
            self.retain(|field| !field.is(&name));
            return true;
        }
        let field = self.list.remove(place);
        self.number_anew(place);
        self.seen = self.seen.but(one);
        self.bytes -= weight(field.name.len(), field.value());
        true
    }

    /// Keeps the fields whose names are right.
    pub fn retain(&mut self, mut keeps: impl FnMut(Name<'r>) -> bool) {
        let Self { mut list, .. } = std::mem::take(self);
        list.retain(|field| keeps(field.name));
        for field in &*list {
            self.note(field.name, field.value());
        }
        self.list = list;
        self.number_anew(0);
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

/// As many bytes as the line of a head has whose name has so many, without spaces that mean nothing.
#[inline]
fn weight(name: usize, value: Value<'_>) -> usize {
    name + value.len() + 4
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
    known: Option<Known>,
    name: &'n str,
}

impl<'f> Iterator for All<'f, '_> {
    type Item = Value<'f>;

    #[inline]
    fn next(&mut self) -> Option<Value<'f>> {
        while let Some((field, rest)) = self.list.split_first() {
            self.list = rest;
            let found = match self.known {
                Some(known) => field.name.known() == Some(known),
                None => field.name.is(self.name),
            };
            if found {
                return Some(field.value());
            }
        }
        None
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl Field<'_> {
    #[inline]
    fn value(&self) -> Value<'_> {
        self.value.value()
    }
}

impl Held<'_> {
    #[inline]
    fn value(&self) -> Value<'_> {
        match self {
            Held::Received(value) => *value,
            Held::Set(bytes) => Value::of(bytes),
        }
    }
}

impl<'r> Value<'r> {
    /// Looks whether it is text.
    #[inline]
    pub fn of(bytes: &'r [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) if is_text(bytes) => Value::Text(text),
            _ => Value::Opaque(bytes),
        }
    }

    /// As it is.
    #[inline]
    pub fn as_bytes(self) -> &'r [u8] {
        match self {
            Value::Text(text) => text.as_bytes(),
            Value::Opaque(bytes) => bytes,
        }
    }

    /// As text.
    ///
    /// # Errors
    /// It is not visible ASCII with spaces and tabs between.
    #[inline]
    pub fn to_str(self) -> Result<&'r str, NotText> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Opaque(_) => Err(NotText),
        }
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Value<'_> {}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Value<'_> {
    /// Never the value: it could be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_bytes().len())
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
    fn what_is_left_after_one_was_removed_is_as_if_it_had_never_been_there() {
        let lines = [
            ("Host", "a"),
            ("Cookie", "b=1"),
            ("Accept", "c"),
            ("cookie", "d=2"),
            ("X-Odd", "e"),
            ("Referer", "\u{e9}"),
            ("x-other", "f"),
        ];
        for (gone, _) in lines {
            let mut fields: Fields<'_> = lines.into_iter().collect();
            assert!(fields.remove(gone));
            let others = lines
                .into_iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case(gone));
            let expected: Fields<'_> = others.collect();
            let text = |fields: &Fields<'_>| format!("{fields:?} {} {}", fields.bytes(), fields.is_text());
            assert_eq!(text(&fields), text(&expected), "{gone}");
        }
    }

    #[test]
    fn a_known_name_is_found_behind_however_many_others() {
        for others in 0..40 {
            let names: Vec<String> = (0..others).map(|other| format!("x-{other}")).collect();
            let mut fields: Fields<'_> = names.iter().map(|name| (&**name, "a")).collect();
            fields.push("Host", b"b");
            fields.push("cookie", b"c");
            fields.push("X-last", b"d");
            fields.push("Cookie", b"e");
            fields.set("accept", b"f".to_vec());
            let value = |fields: &Fields<'_>, name| fields.get(name).map(|value| value.as_bytes().to_vec());
            for gone in &names {
                assert_eq!(value(&fields, names::HOST).as_deref(), Some(&b"b"[..]));
                assert_eq!(value(&fields, names::COOKIE).as_deref(), Some(&b"c"[..]));
                assert_eq!(fields.get_all(&names::COOKIE).count(), 2);
                assert_eq!(value(&fields, names::ACCEPT).as_deref(), Some(&b"f"[..]));
                assert!(value(&fields, names::ORIGIN).is_none());
                assert!(fields.remove(&**gone));
            }
            assert!(fields.remove(names::HOST) && fields.remove(names::COOKIE));
            assert!(value(&fields, names::HOST).is_none() && value(&fields, names::COOKIE).is_none());
            let left: Vec<_> = fields.names().map(Name::to_lower).collect();
            assert_eq!(left, ["x-last", "accept"]);
        }
    }

    #[test]
    fn what_is_there_and_what_is_there_twice_is_known_without_a_look() {
        let mut fields =
            Fields::from_iter([("x-forwarded-host", "a"), ("X-A", "1"), ("x-forwarded-HOST", "b")]);
        let host = Names::of(&[names::X_FORWARDED_HOST]);
        assert!(fields.seen().has_any(host) && fields.repeated() == host && fields.is_text());
        assert!(!fields.seen().has_any(Names::of(&[names::HOST, names::COOKIE])));
        fields.push("x-b.c", b"\xe9");
        assert!(fields.repeated().has_any(Names::UNKNOWN) && !fields.is_text() && !fields.are_plain());
        assert!(fields.remove("x-b.c") && fields.is_text() && fields.are_plain());
        assert!(fields.remove(names::X_FORWARDED_HOST) && fields.repeated() == Names::default());
    }

    #[test]
    fn what_a_value_is_nobody_reads_in_a_log() {
        let mut fields = Fields::from_iter([("a", "oh.secret")]);
        fields.set("b", b"oh.secret".to_vec());
        assert_eq!(format!("{:?}", fields.get("a")), "Some(9 bytes)");
        assert!(!format!("{fields:?}").contains("secret"));
        assert!(Value::of(b"caf\xc3\xa9").to_str().is_err());
    }
}
