//! Name and password, and a cookie for them.

use std::time::Duration;

use askama::Template;
use http::header::{ORIGIN, SET_COOKIE, USER_AGENT};
use http::{Response, StatusCode};

use super::choice::{self, Chosen};
use super::form::{self, Binding, Form};
use super::frame::{self, Frame};
use super::language::fill;
use super::loops::{self, Loop};
use super::passkeys::Offer;
use super::{House, Visit, back, journal, passkey_shown, second_factor};
use crate::accounts::{Accounts, AccountsError, LiveSession, NewSession, PasswordFault, PasswordOutcome};
use crate::authn::Method;
use crate::decision::guard::Throttled;
use crate::observe::metrics::{Factor, LoginOutcome};
use crate::time::Timestamp;
use crate::wire::cookie::Cookie;
use crate::wire::{Body, headers, query};

/// So long after a login its user may do what a thief of the cookie should not: make tokens.
const RECENT: Duration = Duration::from_secs(15 * 60);
/// A browser is known to its user's account for so long after a login.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    f: Frame<'a>,
    notice: &'a str,
    problem: &'a str,
    here_as: String,
    go_on: String,
    form: String,
    rd: String,
    name: String,
    may_remember: bool,
    remember: bool,
    again: bool,
    choice: Vec<Chosen>,
    passkey: Option<Offer>,
    /// For the form of the passkey.
    at: &'static str,
    why: &'static str,
}

/// Whether a login is so new, and with all factors that its user has, that it may do that.
pub fn is_recent(accounts: &Accounts, session: &LiveSession, now: Timestamp) -> bool {
    let all = session.factors() >= 2 || !accounts.has_second_factor(session.user());
    // A passer-by in a trusted network must not take more away than the visit.
    all && !session.is_chosen() && now < session.began().plus(RECENT)
}

/// What is in the form when it is shown.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) rd: String,
    pub(super) name: String,
    pub(super) remember: bool,
    /// Whoever is there shows once more who they are.
    pub(super) again: bool,
}

/// The form. Whoever is there already may go on, or log in as somebody else.
pub(super) fn show(house: &House<'_>, visit: &Visit<'_>) -> Response<Body> {
    let words = visit.words;
    let rd = one(visit.facts.query, "rd");
    let why = one(visit.facts.query, "why");
    if house.authority.accounts.is_empty() {
        return super::message(house, visit, StatusCode::UNAUTHORIZED, words.no_owner);
    }
    let mut filled = Filled {
        rd: back::target(&rd, house.site, &visit.facts).unwrap_or_default(),
        ..Filled::default()
    };
    let is_logged_in = visit.who.as_deref().is_some_and(|who| who.session().is_some());
    if why.is_empty() && is_logged_in && back::leads_away(&filled.rd) {
        return frame::go(&back::location(&filled.rd, house.site));
    }
    if why.is_empty() && !filled.rd.is_empty() {
        if is_logged_in {
            let (turns, counted) = loops::turn(visit, &filled.rd);
            let problem = match turns > loops::MOST {
                true => loops::told(house, visit, Loop::NotPassedOn),
                false => String::new(),
            };
            let status = status_with(&problem);
            let mut response = shown(house, visit, status, "", &problem, filled);
            response.headers_mut().append(SET_COOKIE, counted);
            return response;
        }
        if loops::was_logged_in(visit, &filled.rd) {
            let problem = loops::told(house, visit, Loop::after_login(visit));
            return shown(house, visit, StatusCode::BAD_REQUEST, "", &problem, filled);
        }
    }
    let unlisted = back::foreign(&rd, house.site, &visit.facts);
    if let Some(origin) = unlisted {
        let problem = loops::not_ours(house, visit, &origin);
        return shown(house, visit, StatusCode::OK, "", &problem, filled);
    }
    let notice = match why.as_str() {
        "out" => words.logged_out,
        "again" => {
            let session = visit.who.as_deref().filter(|who| who.method == Method::Session);
            filled.name = session.map(|who| who.name().to_owned()).unwrap_or_default();
            filled.remember = session
                .and_then(|who| who.session())
                .is_some_and(|session| session.is_remembered());
            filled.again = true;
            words.login_again
        }
        _ => "",
    };
    let mut response = shown(house, visit, StatusCode::OK, notice, "", filled);
    if why == "out" {
        loops::begin_anew(visit, &mut response);
    }
    response
}

/// Somebody typed a name and a password.
pub(super) async fn send(house: &House<'_>, visit: &Visit<'_>, body: Body) -> Response<Body> {
    let words = visit.words;
    let form = match Form::read(&visit.facts, body).await {
        Ok(form) => form,
        Err(status) => return visit.bad_form(status),
    };
    let rd = form.text("rd");
    let rd = back::target(&rd, house.site, &visit.facts);
    let name = form.text("name");
    let remember = form.is_ticked("remember");
    let again_wanted = form.text("why") == "again";
    let again = |status, problem: &str| {
        let filled = Filled {
            rd: rd.clone().unwrap_or_default(),
            name: form::shown(&name),
            remember,
            again: again_wanted,
        };
        shown(house, visit, status, "", problem, filled)
    };
    if house.authority.accounts.is_empty() {
        return super::message(house, visit, StatusCode::UNAUTHORIZED, words.no_owner);
    }
    if is_plain_in_truth(visit) {
        return again(StatusCode::FORBIDDEN, &loops::told(house, visit, Loop::Scheme));
    }
    if !form::comes_from_here(house, &visit.facts) {
        return again(StatusCode::FORBIDDEN, words.foreign);
    }
    if !Binding::holds(house, &visit.facts, &form) {
        return again(StatusCode::FORBIDDEN, words.login_cookie);
    }
    let known = house.authority.accounts.user(&name);
    let known = known.as_ref().map_or("", |account| account.user.name.as_str());
    match check(house, visit, &name, &form, known).await {
        Checked::Right(user) => {
            let remember = remember.then_some(house.settings.session.remember).flatten();
            let in_by = In {
                user: &user,
                remember,
                again: again_wanted,
                chosen: false,
            };
            let entered = enter(house, visit, in_by, rd.as_deref()).await;
            entered.unwrap_or_else(|| again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()))
        }
        Checked::Wrong => again(StatusCode::UNAUTHORIZED, words.login_wrong),
        Checked::Busy(retry_after) => {
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, words.login_busy);
            frame::retry_after(&mut response, retry_after);
            response
        }
        Checked::Throttled(throttled) if throttled.why == "guesses" => {
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, &too_many(visit, throttled));
            frame::retry_after(&mut response, throttled.retry_after);
            response
        }
        Checked::Throttled(throttled) => visit.throttled(throttled),
        Checked::Fault => again(StatusCode::SERVICE_UNAVAILABLE, &visit.fault()),
    }
}

/// Who comes in so far.
pub(super) struct In<'i> {
    pub(super) user: &'i str,
    pub(super) remember: Option<Duration>,
    /// Whether they were asked once more.
    pub(super) again: bool,
    /// Whether they showed no password.
    pub(super) chosen: bool,
}

/// Lets them in, or asks for the second factor; none where the login could not be written down.
pub(super) async fn enter(
    house: &House<'_>,
    visit: &Visit<'_>,
    who: In<'_>,
    rd: Option<&str>,
) -> Option<Response<Body>> {
    let remembers = who.remember.is_some();
    if second_factor::is_asked(house, visit, who.user, who.again) {
        return Some(second_factor::ask(
            house, visit, who.user, remembers, who.chosen, rd,
        ));
    }
    let start = format!("{}/", house.site.prefix);
    let mut response = frame::go(&back::location(rd.unwrap_or(&start), house.site));
    let entry = Entry {
        user: who.user,
        remember: who.remember,
        factor: if who.chosen {
            Factor::Network
        } else {
            Factor::Password
        },
        factors: u8::from(!who.chosen),
        chosen: who.chosen,
        goes_on: None,
    };
    begin(house, visit, entry, &mut response).await.ok()?;
    // A way that was begun and left may be somebody else's.
    for spent in [Cookie::Form, Cookie::Pending] {
        let cookies = response.headers_mut();
        cookies.append(SET_COOKIE, spent.clear(visit.secure()));
    }
    if let Some(rd) = rd {
        loops::logged_in(visit, rd, &mut response);
    }
    Some(response)
}

/// What a typed password is.
pub(super) enum Checked {
    /// That account's.
    Right(String),
    /// Nobody's, or of somebody who may not come in: all causes look alike.
    Wrong,
    /// No room to look at it now.
    Busy(Duration),
    /// Its client is banned or too fast.
    Throttled(Throttled),
    /// We cannot tell.
    Fault,
}

/// Looks at the field `password`, or `current` for somebody who is logged in. The same guard, hash
/// queue and count of failures as for passwords over Basic.
pub(super) async fn check(
    house: &House<'_>,
    visit: &Visit<'_>,
    name: &str,
    form: &Form,
    known: &str,
) -> Checked {
    let facts = &visit.facts;
    let field = if visit.facts.path.raw().ends_with("/login") {
        "password"
    } else {
        "current"
    };
    let secret = form.secret(field);
    let note = |outcome, reason| journal::login(house, visit, Factor::Password, outcome, known, reason);
    let judged = match house.authority.judge_password(facts, name, secret).await {
        Ok(judged) => judged,
        Err(throttled) => {
            note(LoginOutcome::Throttled, throttled.why);
            return Checked::Throttled(throttled);
        }
    };
    match judged.outcome {
        Ok(PasswordOutcome::Right(account)) => Checked::Right(account.user.name.clone()),
        Ok(PasswordOutcome::Disabled) => {
            // Not an attacker: "a disabled user's" credential does not count.
            note(LoginOutcome::Failure, "user-disabled");
            Checked::Wrong
        }
        Ok(PasswordOutcome::Wrong | PasswordOutcome::UnknownUser) => {
            note(LoginOutcome::Failure, "password-wrong");
            journal::banned(house, visit, judged.banned);
            match judged.spent {
                Ok(()) => Checked::Wrong,
                Err(throttled) => Checked::Throttled(throttled),
            }
        }
        Err(PasswordFault::QueueFull { retry_after }) => {
            note(LoginOutcome::Throttled, "password-queue");
            Checked::Busy(retry_after)
        }
        Err(PasswordFault::Fault(why)) => {
            tracing::warn!(request.id = %facts.id, %why, "a password could not be judged");
            Checked::Fault
        }
    }
}

/// How long to wait after too many wrong guesses.
pub(super) fn too_many(visit: &Visit<'_>, throttled: Throttled) -> String {
    let minutes = throttled.retry_after.as_secs().div_ceil(60).max(1);
    fill(visit.words.login_too_often, &minutes.to_string())
}

/// Where one logs in, for that reason, to go on there.
pub(super) fn address(house: &House<'_>, why: &str, rd: &str) -> String {
    let why = match why {
        "" => String::new(),
        why => format!("why={why}&"),
    };
    format!("{}/login?{why}rd={}", house.site.prefix, query::encode(rd))
}

/// Who comes in, and with what.
pub(super) struct Entry<'e> {
    pub(super) user: &'e str,
    pub(super) remember: Option<Duration>,
    /// What was shown last.
    pub(super) factor: Factor,
    /// How many factors were shown.
    pub(super) factors: u8,
    /// Whether the user was chosen in a trusted network, and showed no password.
    pub(super) chosen: bool,
    /// The login that goes on under another cookie, with the times that it had.
    pub(super) goes_on: Option<&'e LiveSession>,
}

/// Begins a login, in the place of the one that the browser had; its cookies go into the response.
pub(super) async fn begin(
    house: &House<'_>,
    visit: &Visit<'_>,
    entry: Entry<'_>,
    response: &mut Response<Body>,
) -> Result<(), AccountsError> {
    let Entry {
        user,
        remember,
        factor,
        factors,
        chosen,
        goes_on,
    } = entry;
    let times = house.settings.session;
    let now = visit.facts.now;
    let before = visit.who.as_deref().and_then(|who| who.session());
    let life = match goes_on {
        Some(session) => session.expires().since(now),
        None => remember.unwrap_or(times.absolute),
    };
    let remember = remember.map(|_| life);
    let new = NewSession {
        user: user.to_owned(),
        began: goes_on.map(LiveSession::began),
        factors,
        chosen,
        life,
        idle: remember.is_none().then_some(times.idle),
        address: visit.facts.client.address(),
        agent: headers::text(visit.facts.headers, USER_AGENT).to_owned(),
        instead_of: before.map(|session| session.id().to_owned()),
        part_of: None,
    };
    let begun = house
        .authority
        .accounts
        .create_session(new, visit.facts.now)
        .await;
    let (cookie, session) = begun.inspect_err(|error| {
        tracing::error!(request.id = %visit.facts.id, %error, "a login could not be written down");
    })?;
    journal::login(house, visit, factor, LoginOutcome::Success, user, session.id());
    let cookie = cookie.expose_str().unwrap_or_default();
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, Cookie::Session.set(visit.secure(), cookie, remember));
    if !chosen {
        house.authority.has_come_in(&visit.facts, user);
        let known = house.authority.known_browser_cookie(user);
        headers.append(
            SET_COOKIE,
            Cookie::Known.set(visit.secure(), &known, Some(KNOWN_FOR)),
        );
    }
    Ok(())
}

pub(super) fn shown(
    house: &House<'_>,
    visit: &Visit<'_>,
    status: StatusCode,
    notice: &str,
    problem: &str,
    filled: Filled,
) -> Response<Body> {
    let words = visit.words;
    let binding = Binding::of(&visit.facts);
    let here_as = match visit.who.as_deref() {
        Some(who) if filled.name.is_empty() => match who.method {
            Method::Network => fill(words.network_as, who.name()),
            Method::Session | Method::ApiToken | Method::Password => fill(words.here_as, who.name()),
        },
        _ => String::new(),
    };
    let go_on = match filled.rd.as_str() {
        "" => format!("{}/", house.site.prefix),
        rd => back::location(rd, house.site),
    };
    let passkey = passkey_shown::offer(house, visit);
    let scripted = matches!(passkey, Some(Offer::Works));
    let frame = Frame::new(house, visit, words.login_title);
    let page = Page {
        f: match scripted {
            true => frame.with_script(),
            false => frame,
        },
        notice,
        problem,
        here_as,
        go_on,
        form: binding.token(house),
        rd: filled.rd,
        name: filled.name,
        may_remember: house.settings.session.remember.is_some(),
        remember: filled.remember,
        choice: if filled.again {
            Vec::new()
        } else {
            choice::offered(house, visit)
        },
        again: filled.again,
        passkey,
        at: "login",
        why: if filled.again { "again" } else { "" },
    };
    let mut response = match scripted {
        true => frame::page_with_script(house, status, &page),
        false => frame::page(house, status, &page),
    };
    response.headers_mut().append(SET_COOKIE, binding.cookie());
    response
}

fn status_with(problem: &str) -> StatusCode {
    match problem {
        "" => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Whether the gateway says https of a browser that came over http: then none of our cookies was kept.
fn is_plain_in_truth(visit: &Visit<'_>) -> bool {
    let origin = headers::text(visit.facts.headers, ORIGIN);
    let plain = origin.strip_prefix("http://");
    visit.secure() && plain.is_some_and(|authority| authority.eq_ignore_ascii_case(visit.facts.authority))
}

/// The parameter, if it is there once.
pub(super) fn one(text: &str, name: &str) -> String {
    let mut values = query::values(text, name);
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => value.into_owned(),
        _ => String::new(),
    }
}
