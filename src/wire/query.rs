//! Reading, removing and hiding parameters of a query without touching the rest of it.

use std::borrow::Cow;

use super::hex;

/// The decoded values of every parameter of this name, in order; an inner error when the value is
/// not percent-encoded UTF-8. Names are compared decoded, as every backend does.
pub fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Result<Cow<'q, str>, BadValue>> {
    pairs(query)
        .filter(move |pair| pair.is_named(name))
        .map(|pair| decode(pair.value).ok_or(BadValue))
}

/// A parameter's value is not percent-encoded UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue;

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the query parameter is not percent-encoded UTF-8")
    }
}

impl std::error::Error for BadValue {}

/// The text as the value of a parameter: everything but unreserved characters is percent-encoded.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// The query without the parameters of these names; every other byte stays as received.
pub fn remove<'q>(query: &'q str, names: &[&str]) -> Cow<'q, str> {
    let doomed = |pair: &Pair<'_>| names.iter().any(|name| pair.is_named(name));
    if !pairs(query).any(|pair| doomed(&pair)) {
        return Cow::Borrowed(query);
    }
    let mut kept = String::with_capacity(query.len());
    for (index, pair) in pairs(query).filter(|pair| !doomed(pair)).enumerate() {
        if index > 0 {
            kept.push('&');
        }
        kept.push_str(pair.text);
    }
    Cow::Owned(kept)
}

/// Parameters that carry secrets in the protocols that pass through us, and the address to come back to
/// after a login, which may hold any of them. Lower case.
const SECRETS: [&str; 18] = [
    "access_token",
    "accesstoken",
    "api_key",
    "api_password",
    "apikey",
    "assertion",
    "authentication",
    "authsig",
    "client_secret",
    "code",
    "code_verifier",
    "id_token",
    "password",
    "rd",
    "refresh_token",
    "secret",
    "signature",
    "token",
];

/// The query for a log line: values of parameters that carry secrets become `***`. Splits at `;`
/// too, since some backends do.
pub fn redact(query: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut start = 0;
    for text in query.split(['&', ';']) {
        let pair = Pair::new(text);
        if !pair.value.is_empty() && is_secret(pair.name) {
            let value_starts = start + text.len() - pair.value.len();
            shown.push_str(&query[copied..value_starts]);
            shown.push_str("***");
            copied = start + text.len();
        }
        start += text.len() + 1;
    }
    if copied == 0 {
        return Cow::Borrowed(query);
    }
    shown.push_str(&query[copied..]);
    Cow::Owned(shown)
}

/// A name or value as meant: `+` is a space, `%XX` a byte. None when an escape is broken or the
/// bytes are not UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex::digit(*rest.first()?)?, hex::digit(*rest.get(1)?)?);
                rest = &rest[2..];
                high << 4 | low
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// `name=value`, or a name alone.
struct Pair<'q> {
    text: &'q str,
    name: &'q str,
    value: &'q str,
}

impl<'q> Pair<'q> {
    fn new(text: &'q str) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Self { text, name, value }
    }

    fn is_named(&self, name: &str) -> bool {
        self.name == name || decode(self.name).is_some_and(|decoded| decoded == name)
    }
}

fn pairs(query: &str) -> impl Iterator<Item = Pair<'_>> {
    query.split('&').map(Pair::new)
}

/// A name that cannot be decoded hides its value too: better one value less in the log. Some parsers
/// trim, and PHP's takes `token[]` for an array called token.
fn is_secret(name: &str) -> bool {
    let Some(name) = decode(name) else { return true };
    let name = name.split('[').next().unwrap_or_default().trim();
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(query: &str, name: &str) -> Vec<Result<String, BadValue>> {
        values(query, name)
            .map(|value| value.map(Cow::into_owned))
            .collect()
    }

    #[test]
    fn finds_every_value_of_a_name_decoded() {
        assert_eq!(
            all("a=1&accessToken=oh.x%2ey+z&b", "accessToken"),
            [Ok("oh.x.y z".to_owned())]
        );
        assert_eq!(
            all("access%54oken=1&accessToken", "accessToken"),
            [Ok("1".to_owned()), Ok(String::new())]
        );
        assert_eq!(all("accesstoken=1", "accessToken"), []);
        assert_eq!(all("", "accessToken"), []);
        for broken in ["t=%", "t=%2", "t=%zz", "t=%ff"] {
            assert_eq!(all(broken, "t"), [Err(BadValue)], "{broken}");
        }
    }

    // "otherwise query is opaque and forwarded byte-exact"
    #[test]
    fn removing_a_parameter_leaves_every_other_byte_as_received() {
        let names = ["accessToken", "access_token"];
        let table = [
            ("accessToken=x", ""),
            ("a=%zz&accessToken=x&b=+;c", "a=%zz&b=+;c"),
            ("accessToken=x&a=1", "a=1"),
            ("a=1&access%54oken=x", "a=1"),
            ("access_token&a&accessToken=1&accessToken=2", "a"),
            ("&&a==&access_token=1&", "&&a==&"),
        ];
        for (query, expected) in table {
            assert_eq!(remove(query, &names), expected, "{query}");
        }
        assert!(matches!(remove("a=accessToken&%=1", &names), Cow::Borrowed(_)));
    }

    // C-34: "value redacted in logs"
    #[test]
    fn values_that_carry_secrets_are_hidden_in_logs() {
        let table = [
            ("a=1&access_token=oh.x.y&b=2", "a=1&access_token=***&b=2"),
            ("accessToken=x=y", "accessToken=***"),
            ("ACCESSTOKEN=x", "ACCESSTOKEN=***"),
            ("a=1;access_token=x", "a=1;access_token=***"),
            (
                "access%5ftoken=x&code=1&token=",
                "access%5ftoken=***&code=***&token=",
            ),
            ("%zz=x&a=%zz", "%zz=***&a=%zz"),
            ("authentication=dXNlcjpwYXNz", "authentication=***"),
            ("authSig=s&b", "authSig=***&b"),
            ("token[]=s&%20token%5B1%5D=s", "token[]=***&%20token%5B1%5D=***"),
            ("rd=http%3A%2F%2Fhome%2F%3Faccess_token%3Doh.x.y", "rd=***"),
            ("mytoken=1&token&", "mytoken=1&token&"),
            ("", ""),
        ];
        for (query, expected) in table {
            assert_eq!(redact(query), expected, "{query}");
        }
        assert!(matches!(redact("a=1&token&tokens=2"), Cow::Borrowed(_)));
    }
}
