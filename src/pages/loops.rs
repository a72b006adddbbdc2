//! Logins that lead nowhere: a browser that comes back to the login, right after it, with the same wish.
//! It is told what to mend, instead of being sent round in circles, and so is the operator.

use std::time::Duration;

use http::header::SET_COOKIE;
use http::{HeaderValue, Response, StatusCode};

use super::frame::{self, Frame};
use super::language::fill;
use super::{House, Message, Visit};
use crate::crypto::mac;
use crate::wire::cookie::{Cookie, Found};
use crate::wire::{Body, hex};

/// More turns than this within a minute, to one address, are a loop. A person who opens many windows
/// at once wants many addresses.
pub(super) const MOST: u8 = 3;
/// Who comes back later is a person who tries again.
const WHILE: Duration = Duration::from_secs(60);
/// Hexadecimal digits of the address that one came for.
const WISH: usize = 16;

/// Why the login leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loop {
    /// The browser sends no cookie of ours back.
    NoCookie,
    /// It sends several of one name.
    TwoCookies,
    /// It sends one that nobody knows.
    Unknown,
    /// It is logged in here, and the application does not see it.
    NotPassedOn,
    /// It came over http, and we were told https.
    Scheme,
}

impl Loop {
    /// What it is of a browser that has just logged in.
    pub(super) fn after_login(visit: &Visit<'_>) -> Self {
        let logged_in = visit.who.as_deref().is_some_and(|who| who.session().is_some());
        match Cookie::Session.find(visit.facts.headers, visit.secure()) {
            _ if logged_in => Loop::NotPassedOn,
            Found::Nothing => Loop::NoCookie,
            // Ours was cleared when both came along, and the other is left.
            Found::One(value) if !is_ours(value) => Loop::TwoCookies,
            Found::One(_) => Loop::Unknown,
            Found::Several => Loop::TwoCookies,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Loop::NoCookie => "no-cookie",
            Loop::TwoCookies => "two-cookies",
            Loop::Unknown => "unknown-cookie",
            Loop::NotPassedOn => "cookie-not-passed-on",
            Loop::Scheme => "scheme",
        }
    }

    /// For the log.
    fn advice(self) -> &'static str {
        match self {
            Loop::NoCookie => {
                "the browser does not send the cookie of its login back: it blocks cookies for this host, or came \
                 by another address than the one that it logged in at"
            }
            Loop::TwoCookies => {
                "the browser sends two cookies of our name: another program on this host name sets one too; use \
                 https, or another host name"
            }
            Loop::Unknown => {
                "the login that was just made is not known any more: several servers behind one address, each with \
                 a store of its own, or a clock that was set"
            }
            Loop::NotPassedOn => {
                "the browser is logged in, but the questions of the gateway come without its cookie: let the gateway \
                 pass Cookie on in its question, as the output of \"sidegate snippet\" does"
            }
            Loop::Scheme => {
                "the gateway says https, but the browser came over http, where it keeps no Secure cookie: let the \
                 gateway send the scheme as it is, and redirect to https"
            }
        }
    }
}

/// Counts a turn to that address; how many there were within the minute, and the cookie that says so.
pub(super) fn turn(visit: &Visit<'_>, rd: &str) -> (u8, HeaderValue) {
    let wish = wish(rd);
    let before = sent(visit, &wish).map_or(0, |digit| digit.wrapping_sub(b'0').min(8));
    let turns = before.saturating_add(1);
    let value = format!("{wish}{turns}");
    (turns, Cookie::Turns.set(visit.secure(), &value, Some(WHILE)))
}

/// Notes, for the next minute, that the browser was logged in to go to that address.
pub(super) fn logged_in(visit: &Visit<'_>, rd: &str, response: &mut Response<Body>) {
    let value = format!("{}x", wish(rd));
    let cookie = Cookie::Turns.set(visit.secure(), &value, Some(WHILE));
    response.headers_mut().append(SET_COOKIE, cookie);
}

/// Whether the browser was logged in a moment ago to go to that address.
pub(super) fn was_logged_in(visit: &Visit<'_>, rd: &str) -> bool {
    sent(visit, &wish(rd)) == Some(b'x')
}

/// Tells the operator, once an hour, and the words for the person.
pub(super) fn told(house: &House<'_>, visit: &Visit<'_>, why: Loop) -> String {
    let host = visit.facts.host;
    if house
        .explained
        .is_news(&("login-loop", why.reason(), host), visit.facts.now)
    {
        tracing::warn!(
            request.id = %visit.facts.id,
            host,
            reason = why.reason(),
            "a login leads nowhere: {}",
            why.advice()
        );
    }
    let words = visit.words;
    match why {
        Loop::NoCookie => fill(words.loop_no_cookie, &visit.here()),
        Loop::TwoCookies => fill(words.loop_two_cookies, host),
        Loop::Unknown => words.loop_unknown.to_owned(),
        Loop::NotPassedOn => words.loop_not_passed_on.to_owned(),
        Loop::Scheme => fill(words.loop_scheme, &format!("https://{}", visit.facts.authority)),
    }
}

/// Somebody came from an address that this login is not for. Whoever runs the server may have meant it to
/// be; whoever wrote the link may have meant no good, so nobody is sent there.
pub(super) fn not_ours(house: &House<'_>, visit: &Visit<'_>, origin: &str) -> String {
    let here = visit.here();
    if house
        .explained
        .is_news(&("login-elsewhere", visit.facts.host), visit.facts.now)
    {
        tracing::warn!(
            request.id = %visit.facts.id,
            address = origin,
            "a browser was sent from that address to log in at {here}, where its login does not count for it: open \
             the application at {here}, or list the address in server.domains"
        );
    }
    fill(visit.words.login_elsewhere, origin)
}

/// A page that says what is wrong, and goes nowhere by itself.
pub(super) fn explain(house: &House<'_>, visit: &Visit<'_>, why: Loop) -> Response<Body> {
    let problem = told(house, visit, why);
    let page = Message {
        f: Frame::new(house, visit, visit.words.loop_title),
        notice: "",
        problem: &problem,
        text: String::new(),
        link: format!("{}/", house.site.prefix),
        link_text: visit.words.start_link,
    };
    let mut response = frame::page(house, StatusCode::BAD_REQUEST, &page);
    begin_anew(visit, &mut response);
    response
}

/// Forgets what was: for whoever was told, and for whoever logged out, whose way back to the login is no loop.
pub(super) fn begin_anew(visit: &Visit<'_>, response: &mut Response<Body>) {
    let cookie = Cookie::Turns.clear(visit.secure());
    response.headers_mut().append(SET_COOKIE, cookie);
}

fn sent(visit: &Visit<'_>, wish: &str) -> Option<u8> {
    match Cookie::Turns.find(visit.facts.headers, visit.secure()) {
        Found::One(value) if value.len() == WISH + 1 => value
            .strip_prefix(wish.as_bytes())
            .and_then(|rest| rest.first().copied()),
        _ => None,
    }
}

/// Whether a login of some Sidegate could have that cookie.
fn is_ours(value: &[u8]) -> bool {
    value.len() == 43 && value.iter().all(u8::is_ascii_alphanumeric)
}

fn wish(rd: &str) -> String {
    let digest = hex::encode(&mac::fingerprint(rd.as_bytes()));
    digest.get(..WISH).unwrap_or_default().to_owned()
}
