//! Forms that came after their login was over: kept for a while, and sent once their sender is logged
//! in again and says so.
//!
//! A form may do anything, so nothing of it happens by itself. It is kept only if a page of the same
//! host sent it, for the browser that did, in memory, and nobody is shown what is in it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::crypto::{mac, random};
use crate::request::Client;
use crate::time::Timestamp;

/// Letters and digits of an id and of a cookie: 256 bits.
pub(super) const LENGTH: usize = 43;
/// So long there is time to log in.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// All of them together: whoever sends them need not be anybody's user.
const MOST_BYTES: usize = 16 << 20;
/// Of one client.
const MOST_OF_ONE: usize = 8;
/// What a form weighs besides its body.
const OVERHEAD: usize = 1024;

/// A form as it was sent.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Scheme, host and port that it was sent to.
    pub origin: String,
    /// Path and query that it was sent to.
    pub target: String,
    /// `Content-Type`
    pub kind: Box<[u8]>,
    /// `Referer`
    pub referer: Option<Box<[u8]>>,
    /// What was filled in.
    pub body: Bytes,
}

/// What says which form, and that it is this browser's.
pub(super) struct Ticket {
    pub(super) id: String,
    pub(super) cookie: String,
}

/// All of them, of all browsers.
#[derive(Default)]
pub struct KeptForms(Mutex<HashMap<[u8; 16], Held>>);

struct Held {
    form: Kept,
    browser: [u8; 16],
    client: Option<IpAddr>,
    since: Timestamp,
}

impl Held {
    fn holds(&self, now: Timestamp) -> bool {
        self.since <= now && now.since(self.since) < LIFE
    }

    fn weight(&self) -> usize {
        let form = &self.form;
        let referer = form.referer.as_deref().map_or(0, <[u8]>::len);
        form.body.len() + form.target.len() + form.origin.len() + form.kind.len() + referer + OVERHEAD
    }
}

impl KeptForms {
    /// Keeps one; none where there is no room. `cookie` is what the browser has from before.
    pub(super) fn keep(
        &self,
        form: Kept,
        cookie: Option<&str>,
        client: Client,
        now: Timestamp,
    ) -> Option<Ticket> {
        let client = client.address().map(neighbourhood);
        let mut all = self.lock();
        all.retain(|_, held| held.holds(now));
        // A cookie that we do not know may have been planted.
        let known = cookie.filter(|cookie| {
            let browser = mac::fingerprint(cookie.as_bytes());
            all.values().any(|held| held.browser == browser)
        });
        let ticket = Ticket {
            id: random::alphanumeric(LENGTH),
            cookie: known.map_or_else(|| random::alphanumeric(LENGTH), str::to_owned),
        };
        let held = Held {
            form,
            browser: mac::fingerprint(ticket.cookie.as_bytes()),
            client,
            since: now,
        };
        let of_one = all.values().filter(|held| held.client == client).count();
        let bytes: usize = all.values().map(Held::weight).sum();
        if of_one >= MOST_OF_ONE || bytes + held.weight() > MOST_BYTES {
            return None;
        }
        all.insert(mac::fingerprint(ticket.id.as_bytes()), held);
        Some(ticket)
    }

    /// The form of that id, if this browser sent it.
    pub(super) fn look(&self, id: &str, cookie: &[u8], now: Timestamp) -> Option<Kept> {
        let all = self.lock();
        let held = all.get(&mac::fingerprint(id.as_bytes()))?;
        (held.holds(now) && held.browser == mac::fingerprint(cookie)).then(|| held.form.clone())
    }

    /// The same, for the last time: of two who ask, one gets it.
    pub(super) fn take(&self, id: &str, cookie: &[u8], now: Timestamp) -> Option<Kept> {
        let mut all = self.lock();
        let key = mac::fingerprint(id.as_bytes());
        let held = all.get(&key)?;
        if !held.holds(now) || held.browser != mac::fingerprint(cookie) {
            return None;
        }
        all.remove(&key).map(|held| held.form)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 16], Held>> {
        // No code that could panic runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one address of an IPv6 /64 has them all.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// How many fields somebody filled in, or sent without filling in.
pub(super) fn fields(form: &Kept) -> usize {
    let kind = String::from_utf8_lossy(&form.kind).to_ascii_lowercase();
    let lines = || form.body.split(|byte| *byte == b'\n');
    if kind.starts_with("multipart/form-data") {
        let starts = |line: &&[u8]| {
            let start = line.get(..20).unwrap_or_default();
            start.eq_ignore_ascii_case(b"content-disposition:")
        };
        lines().filter(starts).count()
    } else if kind.starts_with("text/plain") {
        lines().filter(|line| !line.trim_ascii().is_empty()).count()
    } else {
        let pairs = form.body.split(|byte| *byte == b'&');
        pairs.filter(|pair| !pair.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &'static [u8], kind: &'static str) -> Kept {
        Kept {
            origin: "http://h".into(),
            target: "/a".into(),
            kind: kind.as_bytes().into(),
            referer: None,
            body: Bytes::from_static(body),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1000)
    }

    #[test]
    fn a_form_is_for_the_browser_that_sent_it_once_and_for_ten_minutes() {
        let forms = KeptForms::default();
        let client = Client::Address([192, 0, 2, 1].into());
        let keep = |cookie: Option<&str>| {
            let kept = forms.keep(
                form(b"a=1", "application/x-www-form-urlencoded"),
                cookie,
                client,
                at(0),
            );
            kept.expect("there is room")
        };
        let one = keep(Some("planted"));
        assert_ne!(one.cookie, "planted");
        let two = keep(Some(&one.cookie));
        assert_eq!(two.cookie, one.cookie, "two windows of one browser");
        let stranger = "B".repeat(LENGTH);
        assert!(forms.look(&one.id, stranger.as_bytes(), at(1)).is_none());
        assert!(forms.take(&one.id, stranger.as_bytes(), at(1)).is_none());
        assert!(forms.look(&one.id, one.cookie.as_bytes(), at(599)).is_some());
        assert!(forms.look(&one.id, one.cookie.as_bytes(), at(600)).is_none());
        assert!(forms.take(&one.id, one.cookie.as_bytes(), at(600)).is_none());
        assert!(forms.take(&two.id, one.cookie.as_bytes(), at(1)).is_some());
        assert!(forms.take(&two.id, one.cookie.as_bytes(), at(1)).is_none());
    }

    #[test]
    fn nobody_fills_the_memory_with_forms() {
        let forms = KeptForms::default();
        let keep = |last: u16, now| {
            let client = Client::Address(Ipv6Addr::new(0x2001, 0xdb8, 0, last, 0, 0, 0, last).into());
            let body = Bytes::from(vec![0; 1 << 20]);
            let form = Kept {
                body,
                ..form(b"", "text/plain")
            };
            forms.keep(form, None, client, now).is_some()
        };
        for _ in 0..MOST_OF_ONE {
            assert!(keep(1, at(0)));
        }
        assert!(!keep(1, at(0)), "one client has its share");
        let more = (2..40).filter(|last| keep(*last, at(0))).count();
        assert_eq!(more, 15 - MOST_OF_ONE);
        assert!(keep(1, at(601)), "what is too old makes room");
    }

    #[test]
    fn whatever_is_kept_with_a_form_takes_its_room() {
        let forms = KeptForms::default();
        let kept = (0..4000_u16).take_while(|number| {
            let client = Client::Address([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]].into());
            let form = Kept {
                kind: vec![b'k'; 20 << 10].into(),
                referer: Some(vec![b'r'; 20 << 10].into()),
                ..form(b"a=1", "")
            };
            forms.keep(form, None, client, at(0)).is_some()
        });
        assert_eq!(kept.count(), MOST_BYTES / ((40 << 10) + OVERHEAD + 13));
    }

    #[test]
    fn fields_are_counted_in_every_kind_of_form() {
        for (kind, body, expected) in [
            ("application/x-www-form-urlencoded", &b"a=1&b=&c"[..], 3),
            ("application/x-www-form-urlencoded", b"", 0),
            ("text/plain", b"a=1\r\nb=2\r\n", 2),
            (
                "multipart/form-data; boundary=x",
                b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x\r\ncontent-disposition: form-data; name=b\r\n\r\n2\r\n--x--\r\n",
                2,
            ),
        ] {
            assert_eq!(fields(&form(body, kind)), expected, "{kind}");
        }
    }
}
