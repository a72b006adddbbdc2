//! What arrived of the requests of `sidegate doctor`, which walks around the house and tries the doors.
//!
//! A command registers a nonce over the control socket. Until it expires, requests that carry it are
//! remembered, in memory only, and the command reads what was remembered. Nobody else learns
//! anything: without a registered nonce the header is one like any other, and a guess hits one of
//! 2^190. No request is decided otherwise for being remembered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::crypto::{Secret, random};
use crate::observe::Outcome;
use crate::request::{Client, Facts, Peer, Received};
use crate::time::Timestamp;
use crate::wire::Fields;

/// The header with the nonce, a dot, and the number of the request. Gateways take away whatever begins with
/// `X-Sidegate-`.
pub const HEADER: HeaderName = HeaderName::from_static("sidegate-doctor");
/// The same in a query, for gateways that ask with few headers.
pub const QUERY: &str = "sidegate-doctor=";
/// The cookie that every answer to a remembered request sets, to see whether it reaches the client.
pub const COOKIE_NAME: &str = "sidegate-doctor";
/// The whole of it: it says nothing, and ends at once.
pub const COOKIE_SET: HeaderValue =
    HeaderValue::from_static("sidegate-doctor=seen; Path=/; Max-Age=0; HttpOnly");
/// In everything that the doctor forges, so that it is recognised where it arrives.
pub const FORGED: &str = "sidegate-doctor-forged";

/// How long a nonce is good for.
pub const GOOD_FOR: Duration = Duration::from_secs(300);
/// Nonces at a time; the oldest gives way.
const WATCHES: usize = 2;
/// Requests remembered for each until the command reads them.
const KEPT: usize = 64;
/// The longest text that is remembered of any part.
const LONGEST: usize = 1024;
/// Header lines remembered of one request.
const LINES: usize = 32;
/// Characters of a nonce.
const NONCE: usize = 32;

/// What gateways say of a request, and what a decision depends on. No header in which a credential
/// travels.
const TOLD: [&str; 22] = [
    "accept",
    "access-control-request-method",
    "connection",
    "forwarded",
    "host",
    "origin",
    "sec-fetch-mode",
    "sec-websocket-version",
    "server",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// One request with the nonce, as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Which of the command's requests.
    pub number: u32,
    /// By which road: `proxy`, or the gateway's.
    pub road: String,
    /// Who was on the socket.
    pub peer: String,
    /// Whose request it is, behind every trusted proxy.
    pub client: String,
    /// Whether that is an address of its own, and not that of a trusted proxy which named nobody.
    pub named: bool,
    /// The target of the message itself, which may be a question.
    pub target: String,
    /// What was judged; none when nobody could tell.
    pub asked: Option<Asked>,
    /// Allow, challenge, deny, throttle, fail, reject; empty for our own pages.
    pub decision: String,
    /// Why it was refused unjudged.
    pub reason: String,
    /// What would mend that.
    pub advice: String,
    /// Our answer's.
    pub status: u16,
    /// Names in lower case, in the order of their arrival.
    pub headers: Vec<(String, String)>,
    /// Names of the command's own cookies.
    pub cookies: Vec<String>,
    /// Whether it asks for a WebSocket, as far as could be told.
    pub websocket: bool,
    /// Whether there was an `Authorization`.
    pub authorization: bool,
}

/// What was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// `http` or `https`; empty when it was refused before that was known.
    pub scheme: String,
    /// As written, with the port; without it when it was refused before.
    pub authority: String,
    /// As written.
    pub path: String,
    /// Without the `?`.
    pub query: String,
}

/// What is remembered for whom.
#[derive(Debug, Default)]
pub struct Sightings {
    /// Whether there is any nonce: all that a request looks at when nobody watches. Written under
    /// the lock of `watches`.
    watching: AtomicBool,
    watches: Mutex<Vec<Watch>>,
}

#[derive(Debug)]
struct Watch {
    nonce: Secret,
    until: Timestamp,
    seen: Vec<Sighting>,
}

impl Sightings {
    /// Registers a nonce, good for [`GOOD_FOR`].
    pub fn watch(&self, now: Timestamp) -> Secret {
        let nonce = Secret::new(random::alphanumeric(NONCE));
        let mut watches = self.watches();
        watches.retain(|watch| now < watch.until);
        if watches.len() >= WATCHES {
            watches.remove(0);
        }
        watches.push(Watch {
            nonce: nonce.clone(),
            until: now.plus(GOOD_FOR),
            seen: Vec::new(),
        });
        self.watching.store(true, Ordering::Relaxed);
        nonce
    }

    /// What arrived with that nonce since the last call; none when it is not good any more.
    pub fn take(&self, nonce: &Secret, now: Timestamp) -> Option<Vec<Sighting>> {
        let mut watches = self.watches();
        let watch = watches
            .iter_mut()
            .find(|watch| watch.nonce == *nonce && now < watch.until)?;
        Some(std::mem::take(&mut watch.seen))
    }

    /// Forgets a nonce and what arrived with it.
    pub fn forget(&self, nonce: &Secret) {
        let mut watches = self.watches();
        watches.retain(|watch| watch.nonce != *nonce);
        self.watching.store(!watches.is_empty(), Ordering::Relaxed);
    }

    /// A request that somebody watches for. One relaxed load when nobody watches.
    #[inline]
    pub fn notice(&self, received: &Received<'_>, peer: &Peer, now: Timestamp) -> Option<Box<Noticed>> {
        if self.watching.load(Ordering::Relaxed) {
            self.look_for(received, peer, now)
        } else {
            None
        }
    }

    fn look_for(&self, received: &Received<'_>, peer: &Peer, now: Timestamp) -> Option<Box<Noticed>> {
        let (nonce, number) = mark(received)?;
        let mut watches = self.watches();
        watches.retain(|watch| now < watch.until);
        self.watching.store(!watches.is_empty(), Ordering::Relaxed);
        watches.iter().find(|watch| watch.nonce == nonce)?;
        drop(watches);
        let mut sighting = Sighting {
            number,
            peer: peer
                .address
                .map_or_else(|| "unix".into(), |peer| peer.ip().to_canonical().to_string()),
            target: cut(&match (received.scheme, received.authority) {
                (Some(scheme), Some(authority)) => format!("{scheme}://{authority}{}", received.target),
                _ => received.target.to_owned(),
            }),
            ..Sighting::default()
        };
        sighting.read(&received.fields);
        Some(Box::new(Noticed { nonce, sighting }))
    }

    /// Remembers it for whoever watches.
    pub fn keep(&self, noticed: Noticed) {
        let mut watches = self.watches();
        if let Some(watch) = watches.iter_mut().find(|watch| watch.nonce == noticed.nonce)
            && watch.seen.len() < KEPT
        {
            watch.seen.push(noticed.sighting);
        }
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Watch>> {
        // Nothing under the lock panics, and what a panic would leave behind is whole.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that somebody watches for, on its way.
#[derive(Debug)]
pub struct Noticed {
    nonce: Secret,
    /// What is known of it so far.
    pub sighting: Sighting,
}

impl Noticed {
    /// What is judged.
    pub fn facts(&mut self, facts: &Facts<'_>) {
        self.sighting.websocket = facts.is_upgrade();
        self.sighting.asked = Some(Asked {
            method: cut(facts.method.as_str()),
            scheme: facts.scheme.as_str().into(),
            authority: cut(facts.authority),
            path: cut(facts.path.raw()),
            query: cut(facts.query),
        });
    }

    /// It was refused unjudged: what of it was told.
    pub fn refused(&mut self, method: &str, host: &str, path: &str, reason: &str, advice: &str) {
        let sighting = &mut self.sighting;
        sighting.reason = reason.into();
        sighting.advice = cut(advice);
        if sighting.asked.is_none() {
            sighting.asked = Some(Asked {
                method: cut(method),
                authority: cut(host),
                path: cut(path),
                ..Asked::default()
            });
        }
    }

    /// How it ended.
    pub fn decided(&mut self, outcome: Outcome) {
        self.sighting.decision = outcome.as_str().into();
    }

    /// The last step.
    pub fn answered(mut self, road: &str, client: Client, status: u16) -> Self {
        let sighting = &mut self.sighting;
        sighting.road = road.into();
        sighting.client = client.to_string();
        sighting.named = matches!(client, Client::Address(_));
        sighting.status = status;
        self
    }
}

impl Sighting {
    fn read(&mut self, headers: &Fields<'_>) {
        self.authorization = headers.contains_key(AUTHORIZATION);
        for (name, value) in headers.iter() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let is_cookie = name.is(COOKIE.as_str());
            let is_told = TOLD.iter().any(|told| name.is(told))
                || (value.contains(FORGED) && !is_cookie && !name.is(AUTHORIZATION.as_str()));
            if is_told && self.headers.len() < LINES {
                self.headers.push((cut(&name.to_lower()), cut(&value)));
            }
            if is_cookie {
                let names = value.split(';').filter_map(|pair| pair.split('=').next());
                let own = names.map(str::trim).filter(|name| name.starts_with(COOKIE_NAME));
                self.cookies.extend(own.take(LINES).map(cut));
            }
        }
        self.cookies.truncate(LINES);
    }

    /// Every value of that header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// Nonce and number, wherever a gateway left them.
fn mark(received: &Received<'_>) -> Option<(Secret, u32)> {
    let own = received
        .fields
        .get_all(&HEADER)
        .find_map(|value| read(value.as_bytes()));
    let query = || {
        let value = |name| received.fields.get_all(name);
        let told = value("x-original-url").chain(value("x-forwarded-uri"));
        std::iter::once(received.target.as_bytes())
            .chain(told.map(|value| value.as_bytes()))
            .find_map(|text| read(after(text, QUERY.as_bytes())?))
    };
    own.or_else(query)
}

/// `NONCE.17`
fn read(text: &[u8]) -> Option<(Secret, u32)> {
    let (nonce, rest) = text.split_at_checked(NONCE)?;
    let digits = rest.strip_prefix(b".")?;
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let number = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some((Secret::new(nonce), number))
}

fn after<'t>(text: &'t [u8], mark: &[u8]) -> Option<&'t [u8]> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some(&text[at + mark.len()..])
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const PEER: Peer = Peer {
        address: None,
        tls: false,
    };
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn parts(headers: &[(&str, &str)], target: &str) -> http::request::Parts {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn carrying(nonce: &Secret) -> http::request::Parts {
        let value = format!("{}.7", nonce.expose_str().expect("text"));
        parts(&[("sidegate-doctor", &value)], "/a")
    }

    #[test]
    fn nobody_is_noticed_who_does_not_know_a_registered_nonce() {
        let sightings = Sightings::default();
        let guess = Secret::new("a".repeat(NONCE));
        assert!(
            sightings
                .notice(&Received::of(&carrying(&guess)), &PEER, NOW)
                .is_none()
        );
        let nonce = sightings.watch(NOW);
        assert!(
            sightings
                .notice(&Received::of(&carrying(&guess)), &PEER, NOW)
                .is_none()
        );
        assert!(
            sightings
                .notice(&Received::of(&parts(&[], "/a")), &PEER, NOW)
                .is_none()
        );
        let noticed = sightings
            .notice(&Received::of(&carrying(&nonce)), &PEER, NOW)
            .expect("noticed");
        assert_eq!(noticed.sighting.number, 7);
        assert!(sightings.take(&guess, NOW).is_none());
        sightings.forget(&nonce);
        assert!(
            sightings
                .notice(&Received::of(&carrying(&nonce)), &PEER, NOW)
                .is_none()
        );
        assert!(!sightings.watching.load(Ordering::Relaxed));
    }

    #[test]
    fn a_nonce_ends_by_itself_and_so_does_the_looking() {
        let sightings = Sightings::default();
        let nonce = sightings.watch(NOW);
        let later = NOW.plus(GOOD_FOR);
        assert!(sightings.take(&nonce, later).is_none());
        assert!(
            sightings
                .notice(&Received::of(&carrying(&nonce)), &PEER, later)
                .is_none()
        );
        assert!(!sightings.watching.load(Ordering::Relaxed));
    }

    // Threat model: "Every buffer, table, count and wait has a number [...] and a test that hits it"
    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let sightings = Sightings::default();
        let nonces: Vec<_> = (0..WATCHES + 1).map(|_| sightings.watch(NOW)).collect();
        assert!(sightings.take(&nonces[0], NOW).is_none(), "the oldest gave way");
        let nonce = &nonces[WATCHES];
        for _ in 0..KEPT + 5 {
            let noticed = sightings
                .notice(&Received::of(&carrying(nonce)), &PEER, NOW)
                .expect("noticed");
            sightings.keep(*noticed);
        }
        assert_eq!(sightings.take(nonce, NOW).map(|seen| seen.len()), Some(KEPT));
        assert_eq!(sightings.take(nonce, NOW), Some(vec![]));

        let value = format!("{}.7", nonce.expose_str().expect("text"));
        let long = "x".repeat(10 * LONGEST);
        let mut headers = vec![("sidegate-doctor", value.as_str())];
        headers.extend([("x-forwarded-for", long.as_str())].repeat(10 * LINES));
        let noticed = sightings
            .notice(&Received::of(&parts(&headers, "/a")), &PEER, NOW)
            .expect("noticed");
        assert_eq!(noticed.sighting.headers.len(), LINES);
        assert!(
            noticed
                .sighting
                .headers
                .iter()
                .all(|(_, value)| value.len() == LONGEST)
        );
    }

    #[test]
    fn a_credential_is_not_remembered() {
        let sightings = Sightings::default();
        let nonce = sightings.watch(NOW);
        let value = format!("{}.7", nonce.expose_str().expect("text"));
        let hidden = format!("hunter2 {FORGED}");
        let parts = parts(
            &[
                ("sidegate-doctor", &value),
                ("authorization", &hidden),
                ("cookie", &hidden),
                ("x-openhab-token", "hunter2"),
                ("x-sidegate-secret", "hunter2"),
                ("x-forwarded-access-token", "hunter2"),
            ],
            "/a",
        );
        let noticed = sightings
            .notice(&Received::of(&parts), &PEER, NOW)
            .expect("noticed");
        assert!(!format!("{noticed:?}").contains("hunter2"));
        assert!(noticed.sighting.authorization);
    }

    #[test]
    fn the_mark_is_found_in_what_gateways_say_of_a_request() {
        let sightings = Sightings::default();
        let nonce = sightings.watch(NOW);
        let text = format!("/b?c=d&{QUERY}{}.9&e", nonce.expose_str().expect("text"));
        for parts in [
            parts(&[], &text),
            parts(&[("x-forwarded-uri", &text)], "/ask"),
            parts(&[("x-original-url", &format!("http://h{text}"))], "/ask"),
        ] {
            let noticed = sightings
                .notice(&Received::of(&parts), &PEER, NOW)
                .expect("noticed");
            assert_eq!(noticed.sighting.number, 9);
        }
    }
}
