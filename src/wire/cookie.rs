//! Our own cookies: their names, how they are found, how they are set.
//!
//! Each has a name on https and another on plain http. A browser takes `__Host-` only over https,
//! for this host and the whole of it (RFC 6265bis, section 4.1.3.2), so no sister host and nobody on
//! the wire can plant one.

use std::time::Duration;

use http::HeaderValue;

use super::Fields;
use super::names::COOKIE;

/// One of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Who is logged in.
    Session,
    /// Which browser was given the login form.
    Form,
    /// In which browser somebody logged in before. It opens nothing.
    Known,
    /// Who has shown a password, and no second factor yet.
    Pending,
    /// In which browser the second factor is not asked for.
    Device,
    /// How often a browser came to log in for the same address.
    Turns,
    /// Which browser sent a form that is kept for after its login.
    Kept,
}

/// All names of ours: none of them goes to a backend or comes from one.
pub const OURS: [&str; 14] = [
    Cookie::Session.name(true),
    Cookie::Session.name(false),
    Cookie::Form.name(true),
    Cookie::Form.name(false),
    Cookie::Known.name(true),
    Cookie::Known.name(false),
    Cookie::Pending.name(true),
    Cookie::Pending.name(false),
    Cookie::Device.name(true),
    Cookie::Device.name(false),
    Cookie::Turns.name(true),
    Cookie::Turns.name(false),
    Cookie::Kept.name(true),
    Cookie::Kept.name(false),
];

/// What a request has under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'h> {
    /// Nothing.
    Nothing,
    /// One value.
    One(&'h [u8]),
    /// More than one, of which only somebody who planted it knows the right one.
    Several,
}

impl Cookie {
    /// Its name on https, or on plain http.
    pub const fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Cookie::Session, true) => "__Host-sidegate",
            (Cookie::Session, false) => "sidegate",
            (Cookie::Form, true) => "__Host-sidegate-form",
            (Cookie::Form, false) => "sidegate-form",
            (Cookie::Known, true) => "__Host-sidegate-known",
            (Cookie::Known, false) => "sidegate-known",
            (Cookie::Pending, true) => "__Host-sidegate-pending",
            (Cookie::Pending, false) => "sidegate-pending",
            (Cookie::Device, true) => "__Host-sidegate-device",
            (Cookie::Device, false) => "sidegate-device",
            (Cookie::Turns, true) => "__Host-sidegate-turns",
            (Cookie::Turns, false) => "sidegate-turns",
            (Cookie::Kept, true) => "__Host-sidegate-kept",
            (Cookie::Kept, false) => "sidegate-kept",
        }
    }

    /// What the request has of it. Names count byte for byte: `__host-sidegate` is not ours. HTTP/2
    /// may split cookies over several fields (RFC 9113, section 8.2.3).
    pub fn find<'h>(self, headers: &'h Fields<'_>, secure: bool) -> Found<'h> {
        let name = self.name(secure).as_bytes();
        let mut values = headers
            .get_all(&COOKIE)
            .flat_map(|field| field.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="));
        match (values.next(), values.next()) {
            (None, _) => Found::Nothing,
            (Some(value), None) => Found::One(value),
            (Some(_), Some(_)) => Found::Several,
        }
    }

    /// `Set-Cookie` with this value, which is letters and digits; without a life the browser keeps
    /// it until it is closed.
    pub fn set(self, secure: bool, value: &str, life: Option<Duration>) -> HeaderValue {
        let life = life.map(|life| format!("; Max-Age={}", life.as_secs()));
        self.header(secure, value, &life.unwrap_or_default())
    }

    /// `Set-Cookie` that takes it away.
    pub fn clear(self, secure: bool) -> HeaderValue {
        self.header(secure, "", "; Max-Age=0")
    }

    /// `Lax`: a link from elsewhere arrives logged in, a form from elsewhere does not.
    fn header(self, secure: bool, value: &str, life: &str) -> HeaderValue {
        let name = self.name(secure);
        let only = if secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{only}{life}");
        HeaderValue::from_str(&text).expect("fixed words, letters and digits are a valid header value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> Fields<'static> {
        let mut all = Fields::new();
        for field in fields {
            all.push("Cookie", field.as_bytes());
        }
        all
    }

    // K-04: "name variants `__host-s`, `__Host-s `, `%5f%5fHost-s`, `__Host-s[]`: not our cookie";
    // K-13: "cookie over http when TLS expected: not accepted"
    #[test]
    fn only_the_exact_name_is_ours() {
        let one = headers(&["a=1; __Host-sidegate=x"]);
        assert_eq!(Cookie::Session.find(&one, true), Found::One(b"x"));
        for other in [
            "__host-sidegate=x",
            "__Host-sidegate =x",
            "%5f%5fHost-sidegate=x",
            "__Host-sidegate[]=x",
            "__Host-sidegate-form=x",
            "__Host-sidegate",
            "sidegate=x",
            "a=__Host-sidegate=x",
        ] {
            assert_eq!(
                Cookie::Session.find(&headers(&[other]), true),
                Found::Nothing,
                "{other}"
            );
        }
        assert_eq!(
            Cookie::Session.find(&headers(&["sidegate=x"]), false),
            Found::One(b"x")
        );
    }

    // K-02: "two session cookies with different values"; K-05: "h2 cookie crumbs"
    #[test]
    fn a_cookie_may_stand_in_any_field_but_once() {
        for (fields, expected) in [
            (&["a=1", "b=2;sidegate=x", "c=3"][..], Found::One(&b"x"[..])),
            (&["sidegate=x; sidegate=y"], Found::Several),
            (&["sidegate=x", "sidegate=x"], Found::Several),
            (&[], Found::Nothing),
        ] {
            assert_eq!(
                Cookie::Session.find(&headers(fields), false),
                expected,
                "{fields:?}"
            );
        }
    }

    // "Cookie `__Host-sidegate`, on plain http `sidegate`"
    #[test]
    fn a_cookie_is_for_this_host_only_and_for_no_script() {
        assert_eq!(
            Cookie::Session.set(true, "abc", Some(Duration::from_secs(60))),
            "__Host-sidegate=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60"
        );
        assert_eq!(
            Cookie::Session.set(false, "abc", None),
            "sidegate=abc; Path=/; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            Cookie::Form.clear(true),
            "__Host-sidegate-form=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
        );
    }
}
