//! The path that policy and backend cannot read differently.
//!
//! Nothing is repaired: what could be read in two ways is refused, and what passes is forwarded
//! byte for byte as received.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::admission::Rejection;
use crate::wire::{hex, scan};

/// Longest path in bytes.
pub const MAX_BYTES: usize = 8 * 1024;
/// Most segments.
pub const MAX_SEGMENTS: usize = 1000;

/// A path that was checked: proof that no decoding of it has `.` or `..` segments, empty segments,
/// control characters or invalid UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath<'r> {
    raw: &'r str,
    decoded: Cow<'r, str>,
    encoded_slash: bool,
    params: bool,
}

impl<'r> SafePath<'r> {
    /// Checks a path as it stands in the request, without the query. Allocates only when the
    /// decoded form differs.
    #[inline]
    pub fn parse(raw: &'r str) -> Result<Self, PathError> {
        if !is_plain(raw.as_bytes()) {
            return Self::parse_closely(raw);
        }
        Ok(Self {
            raw,
            decoded: Cow::Borrowed(raw),
            encoded_slash: false,
            params: false,
        })
    }

    fn parse_closely(raw: &'r str) -> Result<Self, PathError> {
        if !raw.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if raw.len() > MAX_BYTES {
            return Err(PathError::TooLong);
        }
        let bytes = raw.as_bytes();
        let mut decoded = Decoded::new(raw);
        let mut segment = Segment::default();
        let mut segments = 0;
        let (mut encoded_slash, mut params) = (false, false);
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match CLASSES[usize::from(byte)] {
                Class::Plain => segment.push(byte),
                Class::Slash => {
                    if at > 0 && bytes[at - 1] == b'/' {
                        return Err(PathError::DoubleSlash);
                    }
                    segments += 1;
                    segment.next()?;
                }
                Class::Params => {
                    params = true;
                    segment.params()?;
                }
                Class::Percent => {
                    let value = escaped(bytes, at).ok_or(PathError::BadPercent)?;
                    match value {
                        0..=0x1f | 0x7f => return Err(PathError::Control),
                        b'%' if is_encoded_twice(bytes, at + 3) => return Err(PathError::DoubleEncoding),
                        b'/' | b'\\' => {
                            encoded_slash = true;
                            segment.next()?;
                        }
                        b';' => {
                            params = true;
                            segment.params()?;
                        }
                        0x80.. => {
                            let end = end_of_character(bytes, at).ok_or(PathError::Utf8)?;
                            for escape in (at..end).step_by(3) {
                                decoded.upper(escape);
                            }
                            segment.push(value);
                            at = end;
                            continue;
                        }
                        _ => segment.push(value),
                    }
                    if is_unreserved(value) {
                        decoded.replace(at, value);
                    } else {
                        decoded.upper(at);
                    }
                    at += 3;
                    continue;
                }
                Class::Refused(error) => return Err(error),
            }
            at += 1;
        }
        segment.next()?;
        if segments > MAX_SEGMENTS {
            return Err(PathError::TooManySegments);
        }
        Ok(Self {
            raw,
            decoded: decoded.finish(),
            encoded_slash,
            params,
        })
    }

    /// As received: what the backend gets.
    pub fn raw(&self) -> &'r str {
        self.raw
    }

    /// With unreserved characters decoded and other escapes in upper case: what rules match.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Whether it has `%2F` or `%5C`, which only some routes let through.
    pub fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Whether it has `;` or `%3B`, which only some routes let through.
    pub fn has_params(&self) -> bool {
        self.params
    }

    /// Asks the route's settings of the same names for what is not refused everywhere.
    pub fn allowed_on(&self, encoded_slash: bool, path_params: bool) -> Result<(), PathError> {
        if self.encoded_slash && !encoded_slash {
            return Err(PathError::EncodedSlash);
        }
        if self.params && !path_params {
            return Err(PathError::Params);
        }
        Ok(())
    }

    /// What follows the segments of `rule` in the path as received, for `strip_prefix`; `/` when
    /// nothing does. None when the rule does not cover the path, or ends where the path has an
    /// encoded slash or a parameter: the rest would mean something else on its own.
    pub fn without_prefix(&self, rule: &str) -> Option<&'r str> {
        match self.raw.get(end_of_rule(rule, self.raw)?..)? {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

/// Whether `rule` covers `path` (decoded or as received): the same, or followed by more segments.
///
/// Errs on the side of covering, because the more exact rule decides and asks
/// [`SafePath::allowed_on`]: an escape is the character it stands for, an encoded slash ends a
/// segment and a parameter is no part of one, so that a rule for `/admin` also covers
/// `/admin%2Fusers`, `/%61dmin` and `/admin;x=1/users`.
pub fn covers(rule: &str, path: &str) -> bool {
    end_of_rule(rule, path).is_some()
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// Does not start with `/`.
    NotAbsolute,
    /// More than [`MAX_BYTES`].
    TooLong,
    /// More than [`MAX_SEGMENTS`].
    TooManySegments,
    /// A control character, raw or encoded.
    Control,
    /// A raw byte above 0x7E.
    NonAscii,
    /// A space, `<`, `>`, `` ` ``, `?` or `#`.
    Illegal,
    /// A raw `\`.
    Backslash,
    /// `%` without two hex digits.
    BadPercent,
    /// `%25` followed by two hex digits.
    DoubleEncoding,
    /// Escapes that are not UTF-8.
    Utf8,
    /// `.` or `..` in any spelling.
    DotSegment,
    /// `//`.
    DoubleSlash,
    /// `%2F` or `%5C` on a route without `encoded_slash`.
    EncodedSlash,
    /// `;` or `%3B` on a route without `path_params`.
    Params,
}

impl PathError {
    /// The word in the log and in `X-Auth-Error`.
    pub const fn reason(self) -> &'static str {
        match self {
            PathError::NotAbsolute => "path:not-absolute",
            PathError::TooLong => "path:too-long",
            PathError::TooManySegments => "path:segments",
            PathError::Control => "path:control",
            PathError::NonAscii => "path:non-ascii",
            PathError::Illegal => "path:illegal",
            PathError::Backslash => "path:backslash",
            PathError::BadPercent => "path:bad-percent",
            PathError::DoubleEncoding => "path:double-encoding",
            PathError::Utf8 => "path:utf8",
            PathError::DotSegment => "path:dot-segment",
            PathError::DoubleSlash => "path:double-slash",
            PathError::EncodedSlash => "path:encoded-slash",
            PathError::Params => "path:params",
        }
    }

    /// The sentence for the client.
    pub const fn message(self) -> &'static str {
        match self {
            PathError::NotAbsolute => "the path must start with /",
            PathError::TooLong => "the path is longer than 8 KiB",
            PathError::TooManySegments => "the path has more than 1000 segments",
            PathError::Control => "the path has a control character",
            PathError::NonAscii => "the path has a character outside ASCII; percent-encode it",
            PathError::Illegal => "the path has a character that must be percent-encoded",
            PathError::Backslash => "the path has a backslash",
            PathError::BadPercent => "the path has a % that is not followed by two hex digits",
            PathError::DoubleEncoding => "the path is percent-encoded twice",
            PathError::Utf8 => "the path is not UTF-8",
            PathError::DotSegment => "the path has a . or .. segment",
            PathError::DoubleSlash => "the path has an empty segment (//)",
            PathError::EncodedSlash => "the path has an encoded slash, which this route does not let through",
            PathError::Params => "the path has a ; which this route does not let through",
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for PathError {}

impl From<PathError> for Rejection {
    fn from(error: PathError) -> Self {
        let status = match error {
            PathError::TooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        };
        Rejection {
            status,
            reason: error.reason(),
            message: error.message(),
            close: false,
        }
    }
}

/// What a raw byte may do in a path.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Params,
    Percent,
    Refused(PathError),
}

/// RFC 3986 §3.3 `pchar`, and `"[]^{|}`, which browsers do not encode and HTTP parsers let through.
static CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'/' => Class::Slash,
            b';' => Class::Params,
            b'%' => Class::Percent,
            b'\\' => Class::Refused(PathError::Backslash),
            0..=0x1f | 0x7f => Class::Refused(PathError::Control),
            0x80.. => Class::Refused(PathError::NonAscii),
            b' ' | b'<' | b'>' | b'`' | b'?' | b'#' => Class::Refused(PathError::Illegal),
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
};

/// Whether a path is of plain characters and not too long, as nearly every one is, so that there is nothing to decode;
/// if not, that says nothing of it. A segment that begins with a dot is looked at closely.
fn is_plain(path: &[u8]) -> bool {
    let is_odd = |before: u8, byte: u8| {
        let plain = matches!(byte, b'&'..=b':' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'~');
        !plain || (before == b'/' && matches!(byte, b'.' | b'/'))
    };
    // So short that it cannot have too many segments.
    path.starts_with(b"/") && path.len() <= MAX_SEGMENTS && !scan::has_pair(path, is_odd)
}

/// The part of a segment that says what it is: up to the first `;`, as a servlet container sees it.
#[derive(Default)]
struct Segment {
    length: usize,
    dots: usize,
    in_params: bool,
}

impl Segment {
    fn push(&mut self, byte: u8) {
        if !self.in_params {
            self.length += 1;
            self.dots += usize::from(byte == b'.');
        }
    }

    /// Starts the parameters. A segment of parameters alone is `//` where they are cut off.
    fn params(&mut self) -> Result<(), PathError> {
        if self.length == 0 {
            return Err(PathError::DoubleSlash);
        }
        self.in_params = true;
        self.check()
    }

    /// Ends this segment, at a slash of any spelling or at the end, and starts the next.
    fn next(&mut self) -> Result<(), PathError> {
        self.check()?;
        *self = Self::default();
        Ok(())
    }

    fn check(&self) -> Result<(), PathError> {
        match self.length {
            1 | 2 if self.dots == self.length => Err(PathError::DotSegment),
            _ => Ok(()),
        }
    }
}

/// The decoded form as far as it differs from the raw one.
struct Decoded<'r> {
    raw: &'r str,
    /// Stands for `raw[..done]`.
    text: String,
    done: usize,
}

impl<'r> Decoded<'r> {
    fn new(raw: &'r str) -> Self {
        Self {
            raw,
            text: String::new(),
            done: 0,
        }
    }

    /// Puts a character in the place of the escape at `at`.
    fn replace(&mut self, at: usize, character: u8) {
        self.copy_to(at);
        self.text.push(char::from(character));
        self.done = at + 3;
    }

    /// Spells the escape at `at` in upper case.
    fn upper(&mut self, at: usize) {
        let digits = &self.raw[at + 1..at + 3];
        if digits.bytes().any(|digit| digit.is_ascii_lowercase()) {
            self.copy_to(at);
            self.text.push('%');
            self.text
                .extend(digits.chars().map(|digit| digit.to_ascii_uppercase()));
            self.done = at + 3;
        }
    }

    fn copy_to(&mut self, at: usize) {
        if self.done == 0 {
            self.text.reserve(self.raw.len());
        }
        self.text.push_str(&self.raw[self.done..at]);
    }

    fn finish(mut self) -> Cow<'r, str> {
        if self.done == 0 {
            return Cow::Borrowed(self.raw);
        }
        self.copy_to(self.raw.len());
        Cow::Owned(self.text)
    }
}

/// RFC 3986 §2.3: the characters whose escapes mean the same as themselves.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The byte that `%XX` at `at` stands for; none when there is no such escape.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    match bytes.get(at..at + 3)? {
        &[b'%', high, low] => Some(hex::digit(high)? << 4 | hex::digit(low)?),
        _ => None,
    }
}

/// Whether two hex digits start at `at`, themselves escaped or not: after an escaped `%` they make
/// an escape for a backend that decodes twice. `%25%32%65` counts like `%252e`.
fn is_encoded_twice(bytes: &[u8], at: usize) -> bool {
    let end_of_digit = |at: usize| match bytes.get(at) {
        Some(b'%') => escaped(bytes, at)
            .is_some_and(|byte| byte.is_ascii_hexdigit())
            .then_some(at + 3),
        Some(byte) => byte.is_ascii_hexdigit().then_some(at + 1),
        None => None,
    };
    end_of_digit(at).and_then(end_of_digit).is_some()
}

/// Where the UTF-8 character ends whose first byte is escaped at `at`; none when it is none. All
/// its bytes must be escaped, since raw ones are refused anyway.
fn end_of_character(bytes: &[u8], at: usize) -> Option<usize> {
    let first = escaped(bytes, at)?;
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut character = [0; 4];
    for (index, byte) in character.iter_mut().take(length).enumerate() {
        *byte = escaped(bytes, at + 3 * index)?;
    }
    // Leaves overlong forms and surrogates to the standard library.
    std::str::from_utf8(&character[..length]).ok()?;
    Some(at + 3 * length)
}

/// Where in `path` the segments of `rule` end; none when the rule does not cover the path.
fn end_of_rule(rule: &str, path: &str) -> Option<usize> {
    if !rule.starts_with('/') || !path.starts_with('/') {
        return None;
    }
    let (rule, path) = (rule.strip_suffix('/').unwrap_or(rule).as_bytes(), path.as_bytes());
    // Nearly every path differs in the character behind the first slash, and both are what they are.
    let is_itself = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if let (Some(meant), Some(found)) = (rule.get(1), path.get(1))
        && meant != found
        && is_itself(meant)
        && is_itself(found)
    {
        return None;
    }
    let (mut in_rule, mut at) = (0, 0);
    loop {
        let (meant, found) = (meaning(rule, in_rule), meaning(path, at));
        match (meant, found) {
            (None, None | Some((b'/' | b';', _))) => return Some(at),
            (Some((meant, meant_length)), Some((found, length))) if meant == found => {
                in_rule += meant_length;
                at += length;
                if meant == b'/' {
                    at = skip(path, at, |byte| byte == b'/');
                }
            }
            (Some((b'/', _)), Some((b';', _))) => at = skip(path, at, |byte| byte != b'/'),
            _ => return None,
        }
    }
}

/// The character at `at` however it is spelled, with every kind of slash as `/`, and how many
/// bytes it takes.
fn meaning(bytes: &[u8], at: usize) -> Option<(u8, usize)> {
    let (byte, length) = match escaped(bytes, at) {
        Some(byte) => (byte, 3),
        None => (*bytes.get(at)?, 1),
    };
    Some((if byte == b'\\' { b'/' } else { byte }, length))
}

/// The first place from `at` on whose character does not fit.
fn skip(path: &[u8], mut at: usize, fits: impl Fn(u8) -> bool) -> usize {
    while let Some((byte, length)) = meaning(path, at)
        && fits(byte)
    {
        at += length;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // "whole segments: `/public` does not cover `/publicity`"
    #[test]
    fn a_rule_covers_whole_segments() {
        let table = [
            ("/", "/", true),
            ("/", "/x/y", true),
            ("/public", "/public", true),
            ("/public", "/public/", true),
            ("/public", "/public/x", true),
            ("/public/", "/public/x", true),
            ("/public", "/publicity", false),
            ("/public", "/publi", false),
            ("/public", "/Public", false),
            ("/public", "/x/public", false),
            ("/public/a", "/public", false),
            ("/public", "/public%20x", false),
            ("/public", "/public%3F/x", false),
            ("/public", "/public%23", false),
            ("", "/x", false),
            ("public", "/public", false),
            ("/public", "public", false),
            // An escape is the character it stands for, on either side.
            ("/@me", "/%40me/x", true),
            ("/%40me", "/@me", true),
            ("/caf%c3%A9", "/caf%C3%A9", true),
            ("/admin", "/%61dmin", true),
            // the Kelvin sign is no k.
            ("/k", "/%E2%84%AA", false),
            // "/admin%2Fdashboard" must meet the rule for /admin.
            ("/admin", "/admin%2Fdashboard", true),
            ("/admin/x", "/admin%5Cx", true),
            ("/admin", "/%2Fadmin", true),
            ("/admin/x", "/admin/%2f%2Fx", true),
            // P-07: a servlet container sees /admin here.
            ("/admin", "/admin;x=1", true),
            ("/admin", "/admin%3Bx/y", true),
            ("/admin/x", "/admin;a;b/x;c", true),
            ("/admin", "/adm;x/in", false),
            ("/admin/x", "/admin;x", false),
        ];
        for (rule, path, expected) in table {
            assert_eq!(covers(rule, path), expected, "{rule} {path}");
        }
    }

    #[test]
    fn a_prefix_is_taken_off_where_a_segment_ends_for_every_reader() {
        let table = [
            ("/", "/a/b", Some("/a/b")),
            ("/a", "/a", Some("/")),
            ("/a", "/a/", Some("/")),
            ("/a", "/a/b%23c", Some("/b%23c")),
            ("/a", "/%61/b", Some("/b")),
            ("/a", "/ab", None),
            ("/a", "/a%2Fb", None),
            ("/a", "/a;x/b", None),
        ];
        for (rule, raw, expected) in table {
            assert_eq!(
                SafePath::parse(raw).expect("right").without_prefix(rule),
                expected,
                "{rule} {raw}"
            );
        }
    }

    #[test]
    fn lengths_are_limited() {
        let long = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert!(SafePath::parse(&long(MAX_BYTES)).is_ok());
        assert_eq!(SafePath::parse(&long(MAX_BYTES + 1)), Err(PathError::TooLong));
        assert!(SafePath::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert_eq!(
            SafePath::parse(&"/a".repeat(MAX_SEGMENTS + 1)),
            Err(PathError::TooManySegments)
        );
        assert_eq!(SafePath::parse(""), Err(PathError::NotAbsolute));
    }

    #[test]
    fn only_a_path_without_doubt_is_plain() {
        for path in ["/", "/a", "/rest/items/Living_Room/state", "/a.b/@me/x=1,2:3~4/"] {
            assert!(is_plain(path.as_bytes()), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "/.",
            "/..",
            "/a/./b",
            "/a/.hidden",
            "/a//b",
            "/a%2f",
            "/a;b",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\\b",
            "/a<b",
            "/a`b",
            "/é",
            "/\u{7f}",
            "/\n",
        ] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
        assert!(!is_plain(format!("/{}", "a".repeat(MAX_SEGMENTS)).as_bytes()));
    }

    #[test]
    fn a_plain_path_is_not_copied() {
        let path = SafePath::parse("/rest/items/a%23b/state").expect("right");
        assert!(matches!(path.decoded, Cow::Borrowed(_)));
    }

    /// Like a lenient backend: what is no escape stays.
    fn percent_decode(text: &[u8]) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let byte = escaped(text, at);
            decoded.push(byte.unwrap_or(text[at]));
            at += if byte.is_some() { 3 } else { 1 };
        }
        decoded
    }

    fn has_dot_segment(path: &[u8]) -> bool {
        path.split(|byte| matches!(byte, b'/' | b'\\'))
            .map(|segment| segment.split(|byte| *byte == b';').next().unwrap_or_default())
            .any(|name| name == b"." || name == b"..")
    }

    /// Texts of the pieces that attacks are made of.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "/", "/", "/", ".", ".", "..", "%", "%2", "%2e", "%2E", "%2f", "%5c", "%5C", "\\", ";",
                "%3b", "%25", "%25", "%32", "%65", "2", "e", "f", "a", "%61", "%c3", "%a9", "%00", "%20",
                "x=1", "é", " ",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
            any::<u8>().prop_map(|byte| format!("%{byte:02x}")),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(raw in any::<String>(), rule in hostile()) {
            let _ = SafePath::parse(&raw);
            let _ = covers(&rule, &raw);
            let _ = covers(&raw, &rule);
        }

        #[test]
        fn the_short_way_never_differs(raw in "/[a-z./_=@:~-]{0,40}", other in hostile()) {
            for raw in [&raw, &other] {
                if is_plain(raw.as_bytes()) {
                    prop_assert_eq!(SafePath::parse(raw), SafePath::parse_closely(raw));
                    prop_assert!(SafePath::parse(raw).is_ok_and(|path| path.decoded() == raw));
                }
            }
        }

        #[test]
        fn no_decoding_of_an_accepted_path_has_dot_segments_or_controls(raw in hostile()) {
            if let Ok(path) = SafePath::parse(&raw) {
                let once = percent_decode(raw.as_bytes());
                let twice = percent_decode(&once);
                for form in [raw.as_bytes(), path.decoded().as_bytes(), &once, &twice] {
                    prop_assert!(!has_dot_segment(form), "{}", form.escape_ascii());
                    prop_assert!(!form.iter().any(u8::is_ascii_control), "{}", form.escape_ascii());
                }
                prop_assert_eq!(&once, &twice, "a second decoding finds nothing");
                prop_assert!(String::from_utf8(once).is_ok());
                prop_assert!(!raw.contains("//"));
                prop_assert!(raw.is_ascii());
            }
        }

        #[test]
        fn the_decoded_form_is_its_own_and_means_the_same(raw in hostile()) {
            if let Ok(path) = SafePath::parse(&raw) {
                let again = SafePath::parse(path.decoded()).expect("the decoded form is a safe path");
                prop_assert_eq!(again.decoded(), path.decoded());
                prop_assert_eq!(again.has_encoded_slash(), path.has_encoded_slash());
                prop_assert_eq!(again.has_params(), path.has_params());
                prop_assert_eq!(percent_decode(path.decoded().as_bytes()), percent_decode(raw.as_bytes()));
                prop_assert_eq!(covers(&raw, path.decoded()), covers(path.decoded(), &raw));
            }
        }

        // "400 if it changed"
        #[test]
        fn what_is_left_without_a_prefix_is_safe_too(raw in hostile(), rule in hostile()) {
            if let Ok(path) = SafePath::parse(&raw)
                && let Some(rest) = path.without_prefix(&rule)
            {
                prop_assert!(SafePath::parse(rest).is_ok(), "{}", rest);
            }
        }
    }
}
